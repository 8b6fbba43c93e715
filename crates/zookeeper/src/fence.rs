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

/// More than this is not raised in one transaction: ZooKeeper takes 1 MiB.
const MAX_RAISE: usize = 512 * 1024;

/// Creates the epoch's node, if it is missing, so that no epoch that was ever led comes again: a leader of old would be taken
/// for the new one. In a place without data, nobody has led. Otherwise the node was deleted by hand; whoever has seen an epoch
/// (`known`) begins with the one after it, and whoever has not cannot know.
pub(crate) async fn lay_ground(session: &Session, known: Option<i32>) -> Result<(), Error> {
    session.create_all(OURS).await?;
    session.sync(OURS).await?;
    if session.exists(EPOCH).await?.is_some() {
        return Ok(());
    }
    let refuse = |why: &str| {
        let place = session.settings().place();
        let text = format!(
            "{place}{EPOCH} is gone, but {place}{OURS} holds data: {why}; stop all nodes of mconn that use it, create that \
             node, empty, with zkCli.sh, and start them again"
        );
        Err(Error::new(ErrorKind::Refused, text))
    };
    let raises = match known.and_then(|known| usize::try_from(known).ok()) {
        Some(known) => known + 1,
        None if session.children(OURS).await?.is_empty() => 0,
        // Another node may have made it meanwhile, and more.
        None if session.exists(EPOCH).await?.is_some() => return Ok(()),
        None => return refuse("which epochs were led before is not known"),
    };
    let set = Change::Set { path: EPOCH.to_owned(), data: Vec::new(), version: None };
    if raises.saturating_mul(set.bytes() + session.settings().path().len()) > MAX_RAISE {
        return refuse("the epochs that were led before are too many to be counted up again");
    }
    let mut changes = vec![Change::Create { path: EPOCH.to_owned(), data: Vec::new() }];
    changes.extend(std::iter::repeat_n(set, raises));
    match session.multi(&changes).await {
        Err(error) if error.kind != ErrorKind::NodeExists => Err(error),
        _ => Ok(()),
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
