//! The fencing token: who leads owns the newest version of one node's data, and every write of a leader checks it in its
//! own transaction. ZooKeeper counts the versions, so no clock and no number of ours can be wrong.

use crate::error::{Error, ErrorKind};
use crate::session::{Change, Session};

/// The node whose data version is the epoch.
pub(crate) const EPOCH: &str = "/mconn/epoch";

/// The node above everything that is ours alone.
pub(crate) const OURS: &str = "/mconn";

/// Proof that its holder led when the epoch began. It is worth nothing as soon as somebody else claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence {
    /// Version of the epoch's node.
    epoch: i32,
}

impl Fence {
    /// Of an epoch that the election has claimed for this node.
    pub(crate) fn of(epoch: i32) -> Self {
        Self { epoch }
    }

    /// The number of the epoch. Grows with every leader.
    #[must_use]
    pub fn epoch(self) -> i32 {
        self.epoch
    }

    /// The first part of every write of a leader: refuses all the rest once somebody else has claimed.
    #[must_use]
    pub fn check(self) -> Change {
        Change::Check { path: EPOCH.to_owned(), version: self.epoch }
    }
}

/// Begins a new epoch: from now on the writes of every leader before are refused. `who` is kept for people to read. Called by
/// the node that the election has chosen, before it does anything else as leader.
///
/// # Errors
/// `BadVersion` or `NodeExists` when somebody else claimed at the same time: look at the election again. `Unknown` when the link
/// went away: claiming again is right, and costs one epoch at most.
pub async fn claim(session: &Session, who: &[u8]) -> Result<Fence, Error> {
    session.create_all(OURS).await?;
    // What is read must not be older than what a leader before has confirmed, or the claim would only fail.
    session.sync(OURS).await?;
    match session.exists(EPOCH).await? {
        Some(stat) => Ok(Fence { epoch: session.set(EPOCH, who, Some(stat.version)).await? }),
        None => match session.create(EPOCH, who).await {
            Ok(()) => Ok(Fence { epoch: 0 }),
            Err(error) if error.kind == ErrorKind::NodeExists => Err(Error {
                message: format!("{}: another node claims at the same time", error.message),
                ..error
            }),
            Err(error) => Err(error),
        },
    }
}
