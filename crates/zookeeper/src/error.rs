//! What can go wrong with a call, sorted by what the caller must know: has it changed anything?

use zookeeper_client as zk;

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is the matter.
    pub kind: ErrorKind,
    /// For [`crate::Session::multi`]: which of the changes was refused, counted from 0.
    pub index: Option<usize>,
    /// What happened, where, and what to do.
    pub message: String,
}

/// What is the matter with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The node is not there, or the one above a new node is not.
    NoNode,
    /// The node is there already.
    NodeExists,
    /// The node has another version than was asked for.
    BadVersion,
    /// The node has children.
    NotEmpty,
    /// The node's access list does not let us. Needs the operator.
    NoAuth,
    /// The server refuses our credentials; the session is over. Needs the operator.
    AuthFailed,
    /// The session is over: its ephemeral nodes are gone or soon will be.
    Expired,
    /// We have closed the session.
    Closed,
    /// The server says no for another reason, or the request makes no sense. It has changed nothing.
    Refused,
    /// There was no connection within the deadline, so nothing was sent.
    NotSent,
    /// The request was sent and its answer did not come: it may have been carried out, or still be.
    Unknown,
}

impl ErrorKind {
    /// Whether it is certain that the call has changed nothing and never will.
    #[must_use]
    pub fn changed_nothing(self) -> bool {
        !matches!(self, Self::Unknown | Self::Expired | Self::Closed)
    }

    /// Whether this session is of no use any more.
    #[must_use]
    pub fn ends_session(self) -> bool {
        matches!(self, Self::AuthFailed | Self::Expired | Self::Closed)
    }

    /// Whether only the link is in trouble, so that trying again makes sense.
    #[must_use]
    pub fn is_link(self) -> bool {
        matches!(self, Self::NotSent | Self::Unknown)
    }

    /// The library's own list of errors that change nothing is private, and errors of the link come in several forms:
    /// whatever is not named here may have changed something.
    pub(crate) fn of(error: &zk::Error) -> Self {
        match error {
            zk::Error::NoNode => Self::NoNode,
            zk::Error::NodeExists => Self::NodeExists,
            zk::Error::BadVersion => Self::BadVersion,
            zk::Error::NotEmpty => Self::NotEmpty,
            zk::Error::NoAuth => Self::NoAuth,
            zk::Error::AuthFailed => Self::AuthFailed,
            zk::Error::SessionExpired => Self::Expired,
            zk::Error::ClientClosed => Self::Closed,
            zk::Error::BadArguments(_)
            | zk::Error::NoChildrenForEphemerals
            | zk::Error::InvalidAcl
            | zk::Error::NotReadOnly
            | zk::Error::NoWatcher
            | zk::Error::QuotaExceeded
            | zk::Error::Throttled
            | zk::Error::Unimplemented
            | zk::Error::ReconfigDisabled => Self::Refused,
            // An answer that we do not understand tells nothing about what was done.
            _ => Self::Unknown,
        }
    }

    /// What to do about it, to follow the description of what happened.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::NoAuth => {
                ": its access list does not allow it; use the ZooKeeper credentials that created the node, \
                 or change its access list"
            }
            Self::AuthFailed => ": check the ZooKeeper credentials",
            Self::Unknown | Self::NotSent => ": check that the ensemble can be reached and has a quorum",
            Self::Expired => ": a new session is needed",
            _ => "",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, index: None, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_changed_nothing_is_called_so() {
        for error in [zk::Error::NoNode, zk::Error::BadVersion, zk::Error::NoAuth, zk::Error::QuotaExceeded] {
            assert!(ErrorKind::of(&error).changed_nothing(), "{error}");
        }
        for error in [
            zk::Error::ConnectionLoss,
            zk::Error::Timeout,
            zk::Error::SessionMoved,
            zk::Error::SessionExpired,
            zk::Error::RuntimeInconsistent,
            zk::Error::MarshallingError,
            zk::Error::UnexpectedErrorCode(-99),
            zk::Error::UnexpectedError("x".to_owned()),
        ] {
            assert!(!ErrorKind::of(&error).changed_nothing(), "{error}");
        }
    }
}
