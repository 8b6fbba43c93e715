//! The line as it was last seen, and questions to it.

use mconn_model::Timestamp;

use crate::member::{Epoch, MemberName, NodeAddress, NodeId, SessionId};

/// One member of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: MemberName,
    /// The session that it belongs to; `None` if it does not go with a session (nobody of us made it).
    pub session: Option<SessionId>,
    /// The process that it belongs to; the original tells none.
    pub node: Option<NodeId>,
    /// Where it is reached; `None` if that cannot be read.
    pub address: Option<NodeAddress>,
    /// The version of its program.
    pub version: Option<String>,
}

/// Who says to lead: what the leader has written beside the epoch when it claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its member.
    pub member: MemberName,
    /// Its process.
    pub node: Option<NodeId>,
    /// Where it is reached.
    pub address: Option<NodeAddress>,
    /// Since when, by its own clock.
    pub since: Option<Timestamp>,
}

/// The epoch and who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochNode {
    /// The number.
    pub epoch: Epoch,
    /// `None` if nobody has claimed it yet, or what stands there cannot be read.
    pub leader: Option<Named>,
}

/// All members, first to last.
#[derive(Debug, Default)]
pub(crate) struct Line {
    members: Vec<Seen>,
}

impl Line {
    /// Puts them in order, and drops what is named twice.
    pub(crate) fn new(mut members: Vec<Seen>) -> Self {
        members.sort_by_key(|seen| seen.name);
        members.dedup_by_key(|seen| seen.name);
        Self { members }
    }

    pub(crate) fn members(&self) -> &[Seen] {
        &self.members
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = MemberName> {
        self.members.iter().map(|seen| seen.name)
    }

    pub(crate) fn find(&self, name: MemberName) -> Option<&Seen> {
        self.members.iter().find(|seen| seen.name == name)
    }

    pub(crate) fn remove(&mut self, name: MemberName) {
        self.members.retain(|seen| seen.name != name);
    }

    pub(crate) fn before(&self, name: MemberName) -> Option<MemberName> {
        self.names().take_while(|other| *other < name).last()
    }

    /// The member of this process in this session: the one that is known already, else the first in the line.
    pub(crate) fn own(
        &self,
        node: &NodeId,
        session: SessionId,
        known: Option<MemberName>,
    ) -> Option<MemberName> {
        let mut own = self.of(node).filter(|seen| seen.session == Some(session)).map(|seen| seen.name);
        let known = known.filter(|known| own.clone().any(|name| name == *known));
        known.or_else(|| own.next())
    }

    /// A member that this process has made and does not use: of a session that it has given up, or made by a call whose
    /// answer was lost.
    pub(crate) fn leftover(&self, node: &NodeId, own: Option<MemberName>) -> Option<MemberName> {
        self.of(node).map(|seen| seen.name).find(|name| Some(*name) != own)
    }

    fn of<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = &'a Seen> + Clone {
        self.members.iter().filter(move |seen| seen.node.as_ref() == Some(node))
    }
}
