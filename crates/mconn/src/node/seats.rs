//! What this node is to its clients, from what the election says and from what this node has ready. No waiting here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mconn_leadership::{Epoch, Leader, Leadership, Role};
use mconn_web::{Apart, Member, Position, Seat};
use tokio::sync::watch;

/// Keeps the seat up to date. Whoever changes one of the two sides sees the seat changed when the call returns.
#[derive(Debug)]
pub(super) struct Seats {
    seat: watch::Sender<Seat>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    view: Leadership,
    /// What this node has ready, and for which lead.
    ready: Option<(Epoch, Position)>,
}

impl Seats {
    pub(super) fn new(view: Leadership) -> (Self, watch::Receiver<Seat>) {
        let (seat, watcher) = watch::channel(seat(&view, None));
        (Self { seat, known: Mutex::new(Known { view, ready: None }) }, watcher)
    }

    /// The election says something new.
    pub(super) fn see(&self, view: Leadership) {
        self.change(|known| known.view = view);
    }

    /// This node is able to serve in this epoch.
    pub(super) fn serve(&self, epoch: Epoch, position: Position) {
        self.change(|known| known.ready = Some((epoch, position)));
    }

    /// It is not any more.
    pub(super) fn vacate(&self) {
        self.change(|known| known.ready = None);
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        change(&mut known);
        // Under the lock, so that the newest is sent last.
        self.seat.send_replace(seat(&known.view, known.ready.as_ref()));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only who leads by both accounts leads: the election's, which knows first when it is over, and this node's own.
fn seat(view: &Leadership, ready: Option<&(Epoch, Position)>) -> Seat {
    let ready = ready.filter(|(epoch, _)| view.leads() == Some(*epoch));
    let position = match (ready, &view.role) {
        (Some((_, position)), _) => position.clone(),
        (None, Role::Leading { epoch } | Role::TakingOver { epoch }) => Position::vacant(format!(
            "this node is taking over (epoch {epoch}){}",
            trouble(view).unwrap_or_default()
        )),
        // Who has led last may still do, although this node is not told.
        (None, role) => match (view.to_ask(), role) {
            (Some(leader), _) => Position::following(leader_of(leader)),
            (None, Role::Apart { why, .. }) => Position::vacant(why.as_str()),
            (None, _) => Position::vacant(format!("no node leads yet{}", trouble(view).unwrap_or_default())),
        },
    };
    let leads = view.leader.as_ref().map(|leader| leader.name);
    let member = |member: &mconn_leadership::Member| Member {
        name: member.name.to_string(),
        authority: member
            .address
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), mconn_leadership::NodeAddress::host_port),
        version: member.version.clone(),
        is_self: member.is_self,
        leads: leads == Some(member.name),
    };
    let apart = match &view.role {
        Role::Apart { since, why } => Some(Apart { since: *since, why: why.as_str().into() }),
        Role::Leading { .. } | Role::TakingOver { .. } | Role::Following => None,
    };
    Seat { position, members: view.members.iter().map(member).collect(), apart }
}

fn trouble(view: &Leadership) -> Option<String> {
    view.trouble.as_ref().map(|trouble| format!(": {trouble}"))
}

fn leader_of(leader: &Leader) -> mconn_web::Leader {
    mconn_web::Leader {
        authority: leader.address.host_port(),
        url: leader.address.url.clone(),
        epoch: leader.epoch.and_then(|epoch| u64::try_from(epoch.0).ok()),
    }
}

#[cfg(test)]
mod tests {
    use mconn_leadership::{MemberName, NodeAddress};
    use mconn_model::Timestamp;

    use super::*;

    fn address(port: u16) -> NodeAddress {
        NodeAddress { host: "n".to_owned(), port, url: format!("http://n:{port}") }
    }

    fn led_by(port: u16, role: Role) -> Leadership {
        let name = MemberName::parse("member_0000000003").unwrap();
        let leader =
            Leader { name, address: address(port), epoch: Some(Epoch(7)), since: None, is_self: port == 1 };
        let member = mconn_leadership::Member {
            name,
            address: Some(address(port)),
            version: None,
            is_self: leader.is_self,
        };
        let unknown = Leadership::unknown(address(1), Timestamp::from_millis(0));
        Leadership { role, leader: Some(leader), members: vec![member], ..unknown }
    }

    /// The seat in a few words. What is ready is told by a leader's own address, since a queue needs a store.
    fn told(view: &Leadership, ready: Option<Epoch>) -> String {
        let mark = mconn_web::Leader { authority: "ready".to_owned(), url: String::new(), epoch: None };
        let ready = ready.map(|epoch| (epoch, Position::following(mark)));
        match seat(view, ready.as_ref()).position {
            Position::Leading(_) => "leading".to_owned(),
            Position::Following(leader) => leader.authority.clone(),
            Position::Vacant { why } => why.to_string(),
        }
    }

    #[test]
    fn a_node_leads_only_by_both_accounts() {
        let leading = led_by(1, Role::Leading { epoch: Epoch(7) });
        assert_eq!(told(&leading, Some(Epoch(7))), "ready");
        assert_eq!(told(&leading, Some(Epoch(6))), "this node is taking over (epoch 7)");
        assert_eq!(told(&leading, None), "this node is taking over (epoch 7)");
        assert_eq!(told(&led_by(1, Role::TakingOver { epoch: Epoch(7) }), Some(Epoch(7))), "ready");
        // The election says that it is over before this node has stopped.
        assert_eq!(told(&led_by(2, Role::Following), Some(Epoch(7))), "n:2");
        assert_eq!(told(&led_by(1, Role::Following), Some(Epoch(7))), "no node leads yet");
    }

    #[test]
    fn who_is_apart_asks_the_last_leader_and_never_itself() {
        let apart = Role::Apart { since: Timestamp::from_millis(0), why: "no connection".to_owned() };
        assert_eq!(told(&led_by(2, apart.clone()), None), "n:2");
        assert_eq!(told(&led_by(1, apart), None), "no connection");
        let unknown = Leadership::unknown(address(1), Timestamp::from_millis(0));
        assert_eq!(told(&unknown, None), "not connected yet");
    }

    #[test]
    fn members_are_shown_with_who_leads() {
        let seat = seat(&led_by(2, Role::Following), None);
        let members: Vec<_> =
            seat.members.iter().map(|it| (it.name.as_str(), it.authority.as_str(), it.leads)).collect();
        assert_eq!(members, [("member_0000000003", "n:2", true)]);
        assert_eq!(seat.leader().and_then(|leader| leader.epoch), Some(7));
    }
}
