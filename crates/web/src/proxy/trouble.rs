//! Why a request has not reached a leader, and what that means for it.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};

use super::whose::Repeat;
use crate::metrics::Passed;
use crate::problem::{Cause, Problem};
use crate::seat::Leader;

/// Why there is no answer of a leader.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody leads.
    Vacant(Arc<str>),
    /// The address of the leader is this node's, which does not lead.
    Myself,
    /// The leader has sent the request to this node, so one of the two has old news.
    Circle(Arc<Leader>),
    /// It was asked and says that it does not lead.
    NotLeading(Arc<Leader>),
    /// Nothing was sent: there is no connection.
    Unreachable(Arc<Leader>, String),
    /// It was asked, and the connection broke before it had answered.
    Broken(Arc<Leader>, String),
    /// It was asked, and another one leads now.
    Deposed(Arc<Leader>),
    /// It was asked, and has not answered in time.
    Silent(Arc<Leader>, Duration),
    /// This node has lost the lead while its queue was at it. What the handler said.
    Lost(Response),
}

impl Trouble {
    /// Whether the next leader may be asked.
    pub(super) fn may_go_on(&self, repeat: Repeat) -> bool {
        match self {
            Self::Silent(..) => false,
            Self::Broken(..) | Self::Deposed(_) | Self::Lost(_) => repeat == Repeat::Safe,
            _ => true,
        }
    }

    /// Whether it is certain that nothing was done.
    pub(super) fn left_undone(&self) -> bool {
        !matches!(self, Self::Broken(..) | Self::Deposed(_) | Self::Silent(..) | Self::Lost(_))
    }

    /// Whether it may pass although this node hears nothing new, so that asking again after a pause makes sense.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(..) | Self::Broken(..) | Self::NotLeading(_))
    }

    /// What the log says about it; what is not told there was told by whoever holds the election.
    pub(super) fn for_log(&self) -> Option<String> {
        match self {
            Self::NotLeading(leader) => Some(format!("{} does not lead", leader.authority)),
            Self::Unreachable(leader, error) | Self::Broken(leader, error) => {
                Some(format!("{}: {error}", leader.authority))
            }
            Self::Silent(leader, after) => {
                Some(format!("{}: no answer within {after:.1?}", leader.authority))
            }
            _ => None,
        }
    }

    /// How it is counted when nothing more is tried.
    pub(super) fn outcome(&self) -> Passed {
        match self {
            Self::Silent(..) => Passed::Late,
            Self::Broken(..) | Self::Deposed(_) | Self::Lost(_) => Passed::Broken,
            _ => Passed::NoLeader,
        }
    }

    /// What the client is told when nothing more is tried.
    pub(super) fn into_response(self, repeat: Repeat) -> Response {
        let unknown = |message: String| {
            let hint = match repeat {
                Repeat::Safe => "send it again: once or twice makes no difference",
                Repeat::Unsafe => "whether it was done is not known: look before you send it again",
            };
            Problem::unavailable(Cause::NoLeader, message).hint(hint)
        };
        let problem = match self {
            // The handler knows best what has become of it.
            Self::Lost(response) => return response,
            Self::Vacant(why) => Problem::no_leader(&why),
            Self::Myself => {
                Problem::no_leader("the last known one has this node's address, and this node does not lead")
            }
            Self::Circle(leader) => {
                let other = &leader.authority;
                Problem::no_leader(&format!(
                    "{other} takes this node for the leader, and this node takes {other}"
                ))
            }
            Self::NotLeading(leader) => {
                Problem::no_leader(&format!("the last known one, {}, does not lead", leader.authority))
            }
            Self::Unreachable(leader, error) => {
                Problem::no_leader(&format!("{} cannot be reached: {error}", leader.authority))
            }
            Self::Broken(leader, error) => {
                unknown(format!("the leader {} broke off before it had answered: {error}", leader.authority))
            }
            Self::Deposed(leader) => {
                unknown(format!("the leader {} lost the lead before it had answered", leader.authority))
            }
            Self::Silent(leader, after) => {
                unknown(format!("the leader {} gave no answer within {after:.1?}", leader.authority))
            }
        };
        problem.into_response()
    }
}
