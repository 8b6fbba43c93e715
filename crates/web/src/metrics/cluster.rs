//! Who leads, and who there is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{counter, gauge, level};
use crate::seat::{Role, Seat};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaderLabels {
    leader: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemberLabels {
    member: String,
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// How a request for the leader ended, on a node that does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// With the leader's answer, whatever it was.
    Answered,
    /// With a 503: no leader could be asked in time. Nothing was done.
    NoLeader,
    /// With a 503: the leader was asked and went before it had answered.
    Broken,
    /// With a 503: the leader was asked and has not answered in time.
    Late,
}

impl Passed {
    const ALL: [Self; 4] = [Self::Answered, Self::NoLeader, Self::Broken, Self::Late];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoLeader => "no_leader",
            Self::Broken => "broken",
            Self::Late => "late",
        }
    }
}

/// Counters of the proxy.
#[derive(Debug, Default)]
pub(crate) struct Proxied {
    outcomes: [AtomicU64; Passed::ALL.len()],
    repeats: AtomicU64,
    micros: AtomicU64,
}

impl Proxied {
    /// A request has ended; `took` counts for those that were answered.
    pub(crate) fn passed(&self, outcome: Passed, took: Duration) {
        if let Some(place) = Passed::ALL.iter().position(|known| *known == outcome) {
            self.outcomes[place].fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A request is tried again.
    pub(crate) fn repeated(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, registry: &mut Registry) {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        for (place, outcome) in Passed::ALL.into_iter().enumerate() {
            let count = self.outcomes[place].load(Ordering::Relaxed);
            outcomes.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc_by(count);
        }
        registry.register("proxy_requests", "Requests for the leader that this node was asked", outcomes);
        let repeats = self.repeats.load(Ordering::Relaxed);
        counter(registry, "proxy_repeats", "Further attempts after there was no answer of a leader", repeats);
        let time: Counter<f64, AtomicU64> = Counter::default();
        time.inc_by(Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64());
        registry.register_with_unit(
            "proxy_time",
            "Time spent waiting for the leader's answers",
            Unit::Seconds,
            time,
        );
    }
}

pub(super) fn show(registry: &mut Registry, seat: &Seat) {
    let roles = Family::<RoleLabels, Gauge>::default();
    for role in Role::ALL {
        let holds = seat.position.role() == role;
        roles.get_or_create(&RoleLabels { role: role.as_str() }).set(holds.into());
    }
    registry.register("role", "1 for what this node is", roles);
    // Nothing while nobody leads.
    let leaders = Family::<LeaderLabels, Gauge>::default();
    if let Some(leader) = seat.leader() {
        leaders.get_or_create(&LeaderLabels { leader: leader.authority.clone() }).set(1);
    }
    let epoch = seat.leader().and_then(|leader| leader.epoch).unwrap_or(0);
    let help = "Number of the leadership that this node knows of; 0 without";
    gauge(registry, "epoch", help, i64::try_from(epoch).unwrap_or(i64::MAX));
    registry.register("leader", "1 for the node that leads, as this one knows", leaders);
    gauge(registry, "members", "Nodes of the cluster, as this one knows", level(seat.members.len()));
    let members = Family::<MemberLabels, Gauge>::default();
    for member in seat.members.iter() {
        let labels = MemberLabels { member: member.authority.clone(), role: member.role().as_str() };
        members.get_or_create(&labels).set(1);
    }
    registry.register("member_role", "1 for what each node of the cluster is, as this one knows", members);
}
