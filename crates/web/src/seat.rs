//! What this node is at the moment: the one that works on events, one that passes requests on to it, or one that waits
//! until somebody leads.
//!
//! The binary keeps a `watch` channel of [`Seat`]s up to date; who leads, and why, is decided elsewhere.

use std::fmt;
use std::sync::Arc;

use mconn_queue::QueueHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What this node is, and who else there is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Seat {
    /// What this node is.
    pub position: Position,
    /// All members of the cluster that are known, this node included, in the order in which they would lead.
    pub members: Arc<[Member]>,
}

/// What this node is.
#[derive(Debug, Clone)]
pub enum Position {
    /// It leads: it serves everything itself.
    Leading(Arc<Lead>),
    /// Another node leads: what only the leader has is asked for there.
    Following(Arc<Leader>),
    /// Nobody leads that this node knows of. Requests for the leader wait a bounded time for the next one.
    Vacant {
        /// For people, such as `the connection to ZooKeeper is lost`.
        why: Arc<str>,
    },
}

/// The lead, held by this node.
#[derive(Debug)]
pub struct Lead {
    /// Queue, modules, presets, inventories.
    pub queue: QueueHandle,
    /// This node, as the leader.
    pub leader: Leader,
    /// Beginning of every answer to an accepted event, up to the task id.
    pub(crate) accepted: String,
}

/// The node that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// `host:port`, as `/v1/leader` shows it.
    pub authority: String,
    /// `http://host:port`, as `POST /v1/queue` answers it.
    pub url: String,
    /// The number of this leadership, growing; `None` where nobody counts, because one node leads for ever.
    pub epoch: Option<u64>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As the cluster calls it, such as `member_0000000007`.
    pub name: String,
    /// `host:port`.
    pub authority: String,
    /// What it runs, if it says so.
    pub version: Option<String>,
    /// Whether it is this node.
    pub is_self: bool,
    /// Whether it leads.
    pub leads: bool,
}

impl Member {
    /// What it is, as this node knows.
    pub(crate) fn role(&self) -> Role {
        if self.leads { Role::Leading } else { Role::Following }
    }
}

impl Seat {
    /// The seat of a node without others: it leads for ever.
    #[must_use]
    pub fn alone(
        queue: QueueHandle,
        authority: String,
        url: String,
        version: String,
    ) -> watch::Receiver<Self> {
        let member = Member {
            name: authority.clone(),
            authority: authority.clone(),
            version: Some(version),
            is_self: true,
            leads: true,
        };
        let position = Position::leading(queue, Leader { authority, url, epoch: None });
        watch::channel(Self { position, members: [member].into() }).1
    }

    /// Who leads, if anybody.
    #[must_use]
    pub fn leader(&self) -> Option<&Leader> {
        self.position.leader()
    }
}

impl Position {
    /// This node leads.
    #[must_use]
    pub fn leading(queue: QueueHandle, leader: Leader) -> Self {
        let accepted = crate::routes::accepted_prefix(&leader.url);
        Self::Leading(Arc::new(Lead { queue, leader, accepted }))
    }

    /// Another node leads.
    #[must_use]
    pub fn following(leader: Leader) -> Self {
        Self::Following(Arc::new(leader))
    }

    /// Nobody leads.
    #[must_use]
    pub fn vacant(why: impl Into<Arc<str>>) -> Self {
        Self::Vacant { why: why.into() }
    }

    /// Who leads, if anybody.
    #[must_use]
    pub fn leader(&self) -> Option<&Leader> {
        match self {
            Self::Leading(lead) => Some(&lead.leader),
            Self::Following(leader) => Some(leader),
            Self::Vacant { .. } => None,
        }
    }

    /// A word for pages and metrics.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Leading(_) => Role::Leading,
            Self::Following(_) => Role::Following,
            Self::Vacant { .. } => Role::Vacant,
        }
    }

    /// Whether this is the same lead, held since without a break.
    pub(crate) fn holds(&self, lead: &Arc<Lead>) -> bool {
        matches!(self, Self::Leading(held) if Arc::ptr_eq(held, lead))
    }
}

/// What a node can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Leading,
    Following,
    Vacant,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Leading, Self::Following, Self::Vacant];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Leading => "leading",
            Self::Following => "following",
            Self::Vacant => "vacant",
        }
    }
}

/// What `POST /v1/exit/leader` does to the node that leads.
#[derive(Clone)]
pub struct StepDown(Arc<Act>);

type Act = dyn Fn(bool) -> Result<(), String> + Send + Sync;

impl StepDown {
    /// `act` begins to step down and does not wait for it; its argument says whether the process is to stay. It may
    /// refuse, with a reason for people. The request that asked for it is still answered.
    pub fn new(act: impl Fn(bool) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }

    /// On a node without others: it ends, and cannot give the lead to anybody.
    #[must_use]
    pub fn alone(exit: CancellationToken) -> Self {
        Self::new(move |keep| {
            if keep {
                return Err("no other node can lead: this one is alone".to_owned());
            }
            exit.cancel();
            Ok(())
        })
    }

    pub(crate) fn act(&self, keep: bool) -> Result<(), String> {
        (self.0)(keep)
    }
}

impl fmt::Debug for StepDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepDown")
    }
}

/// Waits for the next seat. For ever, if there will be none: the sender is gone, so things stay as they are.
pub(crate) async fn next(seats: &mut watch::Receiver<Seat>) {
    if seats.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
