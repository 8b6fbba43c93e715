//! Who leads, and who there is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, level};
use crate::seat::{Role, Seat};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaderLabels {
    leader: String,
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
        if let Some(epoch) = leader.epoch {
            let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
            gauge(registry, "epoch", "Number of the leadership that this node knows of", epoch);
        }
    }
    registry.register("leader", "1 for the node that leads, as this one knows", leaders);
    gauge(registry, "members", "Nodes of the cluster, as this one knows", level(seat.members.len()));
}
