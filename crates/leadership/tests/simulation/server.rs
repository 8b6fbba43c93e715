//! ZooKeeper, as far as the line of members needs it: numbered ephemeral nodes, one epoch, one-shot watches, sessions.

use std::collections::{BTreeMap, BTreeSet};

use mconn_leadership::{
    Answer, Call, Epoch, EpochNode, MemberName, Named, NodeAddress, NodeId, Seen, SessionId,
};

/// A member at the server.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub session: SessionId,
    pub node: Option<NodeId>,
}

/// A watch that has fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    Member(MemberName),
    Line,
    Epoch,
}

#[derive(Debug, Default)]
struct Watches {
    members: BTreeSet<MemberName>,
    epoch: bool,
    line: bool,
    /// Grows whenever the server hears of the session after a silence.
    heard: u64,
}

/// One ensemble. What it does it does at once, in the order in which it is asked.
#[derive(Debug)]
pub(crate) struct Server {
    members: BTreeMap<MemberName, Stored>,
    next_number: u32,
    epoch: i32,
    leader: Option<Named>,
    sessions: BTreeMap<i64, Watches>,
    next_session: i64,
}

/// Where a node of the simulation is reached.
pub(crate) fn address(node: &str) -> NodeAddress {
    NodeAddress { host: node.to_owned(), port: 1234, url: format!("http://{node}:1234") }
}

fn name(number: u32) -> MemberName {
    MemberName::parse(&format!("member_{number:010}")).expect("ten digits")
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            next_number: 0,
            epoch: 0,
            leader: None,
            sessions: BTreeMap::new(),
            next_session: 1,
        }
    }

    pub(crate) fn open_session(&mut self) -> SessionId {
        let id = self.next_session;
        self.next_session += 1;
        self.sessions.insert(id, Watches::default());
        SessionId(id)
    }

    pub(crate) fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session.0)
    }

    /// A new connection of a session: watches are those that are set from now on.
    pub(crate) fn reattach(&mut self, session: SessionId) {
        if let Some(watches) = self.sessions.get_mut(&session.0) {
            *watches = Watches { heard: watches.heard + 1, ..Watches::default() };
        }
    }

    /// The session has told that it lives.
    pub(crate) fn hear(&mut self, session: SessionId) {
        if let Some(watches) = self.sessions.get_mut(&session.0) {
            watches.heard += 1;
        }
    }

    /// How often the session was heard of after a silence.
    pub(crate) fn heard(&self, session: SessionId) -> u64 {
        self.sessions.get(&session.0).map_or(0, |watches| watches.heard)
    }

    pub(crate) fn end_session(&mut self, session: SessionId) -> Vec<(SessionId, Fired)> {
        self.sessions.remove(&session.0);
        let gone: Vec<_> =
            self.members.iter().filter(|(_, m)| m.session == session).map(|(name, _)| *name).collect();
        gone.into_iter().flat_map(|name| self.delete(name)).collect()
    }

    pub(crate) fn create(&mut self, session: SessionId, node: Option<NodeId>) -> MemberName {
        let name = name(self.next_number);
        self.next_number += 1;
        self.members.insert(name, Stored { session, node });
        name
    }

    pub(crate) fn delete(&mut self, name: MemberName) -> Vec<(SessionId, Fired)> {
        if self.members.remove(&name).is_none() {
            return Vec::new();
        }
        let watchers = self.sessions.iter_mut().filter_map(|(id, watches)| {
            watches.members.remove(&name).then_some((SessionId(*id), Fired::Member(name)))
        });
        let mut fired: Vec<_> = watchers.collect();
        fired.extend(self.line_fires());
        fired
    }

    /// A member comes or goes.
    pub(crate) fn line_fires(&mut self) -> Vec<(SessionId, Fired)> {
        let watchers = self.sessions.iter_mut().filter_map(|(id, watches)| {
            std::mem::take(&mut watches.line).then_some((SessionId(*id), Fired::Line))
        });
        watchers.collect()
    }

    /// Sets the epoch one higher.
    pub(crate) fn bump(&mut self, leader: Option<Named>) -> Vec<(SessionId, Fired)> {
        self.epoch += 1;
        self.leader = leader;
        let watchers = self.sessions.iter_mut().filter_map(|(id, watches)| {
            std::mem::take(&mut watches.epoch).then_some((SessionId(*id), Fired::Epoch))
        });
        watchers.collect()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (MemberName, &Stored)> {
        self.members.iter().map(|(name, stored)| (*name, stored))
    }

    /// How many watches a session has.
    pub(crate) fn watches(&self, session: SessionId) -> usize {
        self.sessions
            .get(&session.0)
            .map_or(0, |w| w.members.len() + usize::from(w.epoch) + usize::from(w.line))
    }

    /// Carries out one call of a live session: the answer, and the watches that it makes fire.
    pub(crate) fn call(
        &mut self,
        session: SessionId,
        node: &NodeId,
        call: &Call,
    ) -> (Answer, Vec<(SessionId, Fired)>) {
        let mut fired = Vec::new();
        let answer = match call {
            Call::List { watch } => {
                self.watches_of(session).line |= watch;
                Answer::Listed(self.seen())
            }
            Call::ReadEpoch => {
                self.watches_of(session).epoch = true;
                Answer::Epoch(EpochNode { epoch: Epoch(self.epoch), leader: self.leader.clone() })
            }
            Call::Watch(name) => {
                let present = self.members.contains_key(name);
                if present {
                    self.watches_of(session).members.insert(*name);
                }
                Answer::Watching { present }
            }
            Call::Create => {
                fired = self.line_fires();
                Answer::Created(self.create(session, Some(node.clone())))
            }
            Call::Delete(name) => {
                fired = self.delete(*name);
                Answer::Deleted
            }
            Call::Claim { member, seen } => {
                if self.epoch == seen.0 && self.members.contains_key(member) {
                    let address = Some(address(node.as_str()));
                    let named = Named { member: *member, node: Some(node.clone()), address, since: None };
                    fired = self.bump(Some(named));
                    Answer::Claimed(Epoch(self.epoch))
                } else {
                    Answer::Refused
                }
            }
        };
        (answer, fired)
    }

    fn watches_of(&mut self, session: SessionId) -> &mut Watches {
        self.sessions.get_mut(&session.0).expect("the session lives")
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |(name, stored): (&MemberName, &Stored)| Seen {
            name: *name,
            session: Some(stored.session),
            node: stored.node.clone(),
            address: Some(address(stored.node.as_ref().map_or("original", NodeId::as_str))),
            version: None,
        };
        // In no order, as the real one.
        self.members.iter().rev().map(seen).collect()
    }
}
