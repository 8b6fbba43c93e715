//! What differs between Marathon's versions when there are several nodes (spec/marathon.md sections 1.1 and 6.7).

/// How the nodes of one version behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeProfile {
    /// Whether answers carry `X-Marathon-Leader` and proxied ones `X-Marathon-Via` (0.10 on).
    pub leader_header: bool,
    /// Whether a node that knows no leader answers itself (0.8).
    pub answers_without_leader: bool,
    /// The status when there is no leader, or when it refuses connections: 503 up to 1.5, 502 later.
    pub unavailable_status: u16,
    /// The status when the leader takes too long: 504 up to 1.5, 502 later.
    pub timeout_status: u16,
    /// How many requests a follower forwards at one time: 32 up to 1.6, 64 later.
    pub proxied_max: usize,
    /// Whether a follower answers `/v2/events` with 302 to the leader (1.7 on) instead of forwarding it.
    pub redirects_events: bool,
    /// Whether the process of a leader that is one no more ends (1.3.6 on).
    pub exits_on_loss: bool,
}

impl NodeProfile {
    /// 1.7 and later.
    #[must_use]
    pub const fn since_1_7() -> NodeProfile {
        NodeProfile {
            leader_header: true,
            answers_without_leader: false,
            unavailable_status: 502,
            timeout_status: 502,
            proxied_max: 64,
            redirects_events: true,
            exits_on_loss: true,
        }
    }

    /// 1.6.
    #[must_use]
    pub const fn v1_6() -> NodeProfile {
        NodeProfile { proxied_max: 32, redirects_events: false, ..NodeProfile::since_1_7() }
    }

    /// 1.3.6 to 1.5.
    #[must_use]
    pub const fn since_1_3_6() -> NodeProfile {
        NodeProfile { unavailable_status: 503, timeout_status: 504, ..NodeProfile::v1_6() }
    }

    /// 0.10 to 1.3.5: a leader that is one no more stays and follows.
    #[must_use]
    pub const fn since_0_10() -> NodeProfile {
        NodeProfile { exits_on_loss: false, ..NodeProfile::since_1_3_6() }
    }

    /// 0.8 and 0.9.
    #[must_use]
    pub const fn v0_8() -> NodeProfile {
        NodeProfile { leader_header: false, answers_without_leader: true, ..NodeProfile::since_0_10() }
    }
}
