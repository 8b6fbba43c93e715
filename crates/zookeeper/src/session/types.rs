//! What is said to a session, and what it says.

use zookeeper_client as zk;

/// How the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls are answered.
    Connected,
    /// The link is lost. The session lives on at the servers until its timeout; who leads must stop leading now.
    Disconnected,
    /// The session is over, and with it its ephemeral nodes. Open a new one.
    Expired,
    /// The servers refuse our credentials; the session is over.
    AuthFailed,
    /// We have closed it.
    Closed,
}

impl State {
    fn of(state: zk::SessionState) -> Self {
        match state {
            zk::SessionState::SyncConnected => Self::Connected,
            // Not asked for, so it does not come; who cannot write must not lead.
            zk::SessionState::ConnectedReadOnly | zk::SessionState::Disconnected => Self::Disconnected,
            zk::SessionState::Expired => Self::Expired,
            zk::SessionState::AuthFailed => Self::AuthFailed,
            zk::SessionState::Closed => Self::Closed,
        }
    }

    /// Whether no other state follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::AuthFailed | Self::Closed)
    }
}

/// The states of a session, to be waited for. Who looks too late sees the newest only.
#[derive(Debug, Clone)]
pub struct States(pub(super) zk::StateWatcher);

impl States {
    /// How it is now.
    #[must_use]
    pub fn now(&self) -> State {
        State::of(self.0.peek_state())
    }

    /// Waits for the next change; for ever after a final state was given.
    pub async fn changed(&mut self) -> State {
        State::of(self.0.changed().await)
    }

    /// Waits until the session is connected, or over.
    pub async fn settled(&mut self) -> State {
        // Marks as seen, so that no change after this moment is missed.
        let mut state = State::of(self.0.state());
        while state == State::Disconnected {
            state = self.changed().await;
        }
        state
    }
}

/// What ZooKeeper tells of a node beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Number of changes of the data.
    pub version: i32,
    /// The session that an ephemeral node belongs to; 0 for a persistent one.
    pub owner: i64,
    /// How many children it has.
    pub children: i32,
    /// When it was created, in milliseconds of the server's clock.
    pub created: i64,
    /// The transaction that created it: tells a node from another one that has its name.
    pub created_by: i64,
}

impl Stat {
    pub(super) fn of(stat: &zk::Stat) -> Self {
        Self {
            version: stat.version,
            owner: stat.ephemeral_owner,
            children: stat.num_children,
            created: stat.ctime,
            created_by: stat.czxid,
        }
    }
}

/// One part of a [`crate::Session::multi`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Refuses all if the node has another version.
    Check {
        /// The node.
        path: String,
        /// The version it must have.
        version: i32,
    },
    /// Creates a persistent node.
    Create {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// Replaces a node's data.
    Set {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// The version it must have, if it matters.
        version: Option<i32>,
    },
    /// Deletes a node without children.
    Delete {
        /// The node.
        path: String,
        /// The version it must have, if it matters.
        version: Option<i32>,
    },
}

impl Change {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Check { path, .. }
            | Self::Create { path, .. }
            | Self::Set { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }

    /// Roughly what it takes in a request.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let data = match self {
            Self::Create { data, .. } | Self::Set { data, .. } => data.len(),
            Self::Check { .. } | Self::Delete { .. } => 0,
        };
        // Header, version, flags, access list; the names within the path of our namespace come on top.
        data + self.path().len() + 100
    }
}

/// What became of one part of a [`crate::Session::multi`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Checked, created or deleted.
    Done,
    /// Set; the node has this version now.
    Set {
        /// The version after the change.
        version: i32,
    },
}

/// Waits for one change of what was read with it. Dropping it takes the watch back.
#[derive(Debug)]
pub struct Watch(pub(super) zk::OneshotWatcher);

impl Watch {
    /// Waits until what was read has changed, or the session is over. A lost connection alone does not end the wait:
    /// ZooKeeper compares when it is back.
    pub async fn changed(self) {
        self.0.changed().await;
    }
}
