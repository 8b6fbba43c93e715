//! Errors of a call as errors of a store.

use mconn_store::{StoreError, StoreErrorKind};

use crate::error::{Error, ErrorKind};

/// Whether a transaction that begins with the check of the epoch was refused because somebody else leads.
pub(crate) fn is_deposed(error: &Error) -> bool {
    error.index == Some(0) && matches!(error.kind, ErrorKind::BadVersion | ErrorKind::NoNode)
}

/// A read that failed.
pub(crate) fn from_read(error: &Error) -> StoreError {
    if error.kind.ends_session() {
        return over(error, false);
    }
    StoreError::new(StoreErrorKind::Unavailable, error.message.clone())
}

/// The session is over, and with it the right to write.
pub(crate) fn over(error: &Error, may_be_stored: bool) -> StoreError {
    let batch = if may_be_stored {
        "the last batch may be stored; the next leader reads what is there"
    } else {
        "nothing of this batch is stored"
    };
    StoreError::new(
        StoreErrorKind::Deposed,
        format!("this node does not lead any more: {}; {batch}", error.message),
    )
}

/// Somebody else has begun an epoch.
pub(crate) fn deposed(epoch: i32, place: &str, may_be_stored: bool) -> StoreError {
    let batch =
        if may_be_stored { "the last batch may be stored" } else { "nothing of this batch is stored" };
    StoreError::new(
        StoreErrorKind::Deposed,
        format!("another node leads now: epoch {epoch} at ZooKeeper {place} is over; {batch}"),
    )
}
