//! What everybody may know: plain data for the API, metrics, proxying and the pages.

use mconn_model::Timestamp;

use crate::member::{Epoch, Member, MemberName, NodeAddress};

/// What this node is to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It leads and serves.
    Leading {
        /// Its epoch.
        epoch: Epoch,
    },
    /// It has claimed the lead and is taking up what the one before has left.
    TakingOver {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Somebody else leads, or nobody yet.
    Following,
    /// It has no connection, so it cannot lead, and what it knows of others may be old.
    Apart {
        /// Since when.
        since: Timestamp,
        /// Why, for people.
        why: String,
    },
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Its member.
    pub name: MemberName,
    /// Where it is reached.
    pub address: NodeAddress,
    /// Its epoch; none if it is a node of the original, which knows no epochs (spec/mconn.md section 9).
    pub epoch: Option<Epoch>,
    /// Since when, by its own clock.
    pub since: Option<Timestamp>,
    /// Whether it is this node. It is then [`Role::Leading`] or [`Role::TakingOver`].
    pub is_self: bool,
}

/// Leadership as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// What this node is.
    pub role: Role,
    /// Where this node is reached.
    pub address: NodeAddress,
    /// The member of this node; none while it is not in the line.
    pub member: Option<MemberName>,
    /// Who leads, as far as it is known. While this node is [`Role::Apart`] it is whoever led last, if it was another.
    pub leader: Option<Leader>,
    /// All members, first to last, as of the last listing.
    pub members: Vec<Member>,
    /// The last thing that went wrong, until something succeeds.
    pub trouble: Option<String>,
}

impl Leadership {
    /// Before anything is known.
    #[must_use]
    pub fn unknown(address: NodeAddress, since: Timestamp) -> Self {
        let why = "not connected yet".to_owned();
        Self {
            role: Role::Apart { since, why },
            address,
            member: None,
            leader: None,
            members: Vec::new(),
            trouble: None,
        }
    }

    /// The epoch in which this node leads, whether it serves already or not.
    #[must_use]
    pub fn leads(&self) -> Option<Epoch> {
        match self.role {
            Role::Leading { epoch } | Role::TakingOver { epoch } => Some(epoch),
            Role::Following | Role::Apart { .. } => None,
        }
    }

    /// Another node that a request may be passed on to. Never this node, and neither its own dead predecessor at the same
    /// address whose member is still there (spec/mconn.md section 14).
    #[must_use]
    pub fn to_ask(&self) -> Option<&Leader> {
        let own = |leader: &&Leader| {
            leader.is_self
                || leader.address.url == self.address.url
                || leader.address.host_port() == self.address.host_port()
        };
        self.leader.as_ref().filter(|leader| !own(leader))
    }
}
