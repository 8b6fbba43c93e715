//! What is known, as everybody may see it.

use crate::line::{Line, Seen};
use crate::member::Member;
use crate::view::{Leader, Leadership, Role};

use super::{Elector, Link, Tenure};

impl Elector {
    /// Whether this process is the one that the epoch names.
    pub(super) fn owns_epoch(&self) -> bool {
        let named = self.epoch.as_ref().and_then(|node| node.leader.as_ref());
        named.is_some_and(|leader| leader.node.as_ref() == Some(&self.node))
    }

    /// Who leads by this line and the epoch.
    pub(super) fn leader(&self, line: &Line) -> Option<Leader> {
        if let Tenure::Leading { epoch, since, .. } = self.tenure {
            let name = self.member?;
            let address = self.address.clone();
            return Some(Leader { name, address, epoch: Some(epoch), since: Some(since), is_self: true });
        }
        let node = self.epoch.as_ref()?;
        let named = node.leader.as_ref().filter(|named| {
            line.find(named.member).is_some_and(|seen| named.node.is_none() || seen.node == named.node)
        });
        let (name, process, address, epoch, since) = match named {
            Some(named) => (named.member, &named.node, named.address.as_ref(), Some(node.epoch), named.since),
            // Nobody that the epoch names: the first leads, or will. (A node of the original claims no epoch.)
            None => {
                let first = line.members().first()?;
                (first.name, &first.node, first.address.as_ref(), None, None)
            }
        };
        // This node does not lead, or it would have been found above.
        let own = process.as_ref() == Some(&self.node) || self.member == Some(name);
        let address = address?.clone();
        (!own).then_some(Leader { name, address, epoch, since, is_self: false })
    }

    /// What everybody may know.
    #[must_use]
    pub fn view(&self) -> Leadership {
        let member = |seen: &Seen| Member {
            name: seen.name,
            address: seen.address.clone(),
            version: seen.version.clone(),
            is_self: seen.node.as_ref() == Some(&self.node),
        };
        Leadership {
            role: self.role(),
            address: self.address.clone(),
            member: self.member,
            leader: self.leader(&self.line),
            members: self.line.members().iter().map(member).collect(),
            trouble: self.lost_term.as_ref().or(self.trouble.as_ref()).cloned(),
        }
    }

    fn role(&self) -> Role {
        match (&self.link, &self.tenure) {
            (Link::Up(_), Tenure::Leading { epoch, serving: true, .. }) => Role::Leading { epoch: *epoch },
            (Link::Up(_), Tenure::Leading { epoch, .. }) => Role::TakingOver { epoch: *epoch },
            (Link::Up(_), _) => Role::Following,
            _ => Role::Apart { since: self.apart.since, why: self.apart.why.clone() },
        }
    }
}
