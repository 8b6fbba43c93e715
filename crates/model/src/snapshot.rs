//! The catalog's product: immutable, numbered truth for everyone who wants the newest state.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{App, AppId, AppTask, Changes, Gone, Happened, Pod, SourceId, TaskId, Timestamp, Verdict};

/// One consistent state of all sources. Cheap to clone and to share: entries that did not change are the same `Arc` as
/// in the snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows by at least one with every change; starts at 0 (nothing known yet) with each process.
    pub version: u64,
    /// Equal for equal contents, whatever the version. Two nodes that saw the same cluster have the same digest.
    pub digest: u64,
    /// Apps and pods by (source, id).
    pub apps: BTreeMap<(SourceId, AppId), Arc<AppEntry>>,
    /// State of each source.
    pub sources: BTreeMap<SourceId, SourceState>,
    /// Apps and pods that went lately, oldest first; bounded.
    pub gone: Arc<[Gone]>,
}

impl Snapshot {
    /// Whether every source has been read completely at least once. Before that nothing may be concluded from absence.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.sources.is_empty() && self.sources.values().all(|s| s.freshness != Freshness::Never)
    }

    /// All endpoints of all apps, in order of their keys.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.apps.values().flat_map(|app| app.tasks.iter().flat_map(|task| task.endpoints.iter()))
    }
}

/// One app or pod with its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct AppEntry {
    /// Its source.
    pub source: SourceId,
    /// Its id.
    pub id: AppId,
    /// The definition of an app; `None` for pods and for tasks whose definition is not known yet.
    pub app: Option<Arc<App>>,
    /// The definition of a pod.
    pub pod: Option<Arc<Pod>>,
    /// Tasks in order of their ids.
    pub tasks: Vec<Arc<TaskEntry>>,
    /// What happened to the tasks lately, oldest first; bounded. No part of the digest.
    pub history: Vec<Happened>,
}

impl AppEntry {
    /// A task by its id.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Arc<TaskEntry>> {
        self.tasks.binary_search_by(|entry| entry.task.id.cmp(id)).ok().map(|at| &self.tasks[at])
    }
}

/// One task with what it offers.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// The task as last seen.
    pub task: AppTask,
    /// One per declared port whose address is known.
    pub endpoints: Vec<Endpoint>,
    /// The verdict on the task as a whole; endpoints carry the same one.
    pub verdict: Verdict,
    /// Since when that verdict holds, by our clock. No part of the digest.
    pub since: Timestamp,
    /// Declared ports that could not be resolved, and why, for people.
    pub unresolved: Vec<Arc<str>>,
}

/// Address, port and protocol of one declared port of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Source of the app.
    pub source: SourceId,
    /// The app or pod.
    pub app: AppId,
    /// The task.
    pub task: TaskId,
    /// Index of the declared port.
    pub port_index: usize,
    /// Name of the declared port.
    pub port_name: Option<Arc<str>>,
    /// The cluster-wide service port, if any.
    pub service_port: Option<u16>,
    /// Where it listens.
    pub transport: Transport,
    /// TCP, UDP or both.
    pub protocols: crate::Protocols,
    /// Whether it shall get traffic.
    pub verdict: Verdict,
}

/// Address and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// An agent's host name (or address as text) and an agent port.
    Host {
        /// As the agent registered it.
        host: Arc<str>,
        /// Agent port.
        port: u16,
    },
    /// A container's own address and port.
    Container {
        /// Container address.
        address: IpAddr,
        /// Container port.
        port: u16,
    },
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Container { address, port } => write!(f, "{}", std::net::SocketAddr::new(*address, *port)),
        }
    }
}

/// How well a source is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Whether what we know is current.
    pub freshness: Freshness,
    /// Events folded so far.
    pub events: u64,
    /// Full comparisons so far.
    pub comparisons: u64,
    /// Differences that a full comparison found although the stream was attached: events that were missed.
    pub differences: u64,
    /// The leader as the source last named it.
    pub leader: Option<Arc<str>>,
    /// The last failure, for people.
    pub last_error: Option<Arc<str>>,
    /// So much vanished from its listing at once that it is not believed yet.
    pub held: Option<Held>,
    /// Changes of verdicts, which number what the histories hold.
    pub changes: Changes,
}

/// A mass disappearance that is held: what is counted here stays served although the source does not list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Apps and pods that the listing lacks.
    pub apps: usize,
    /// Tasks that the listing lacks.
    pub tasks: usize,
    /// Since when, by our clock.
    pub since: Timestamp,
    /// When a listing that still lacks them is believed, by our clock.
    pub until: Timestamp,
}

/// Whether what we know of a source is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Never read completely.
    Never,
    /// Stream attached (or polling works) and compared since.
    Fresh,
    /// Was read, but the source is away; the last good state is served.
    Stale,
}

impl Freshness {
    /// Lower-case name for API and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
        }
    }
}

/// What differs between two snapshots, for people and logs.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An app or pod became known.
    AppAdded(SourceId, AppId),
    /// Its definition changed.
    AppChanged(SourceId, AppId),
    /// It is gone.
    AppRemoved(SourceId, AppId),
    /// A task became known.
    TaskAdded(SourceId, AppId, TaskId, Verdict),
    /// State, addresses or verdict of a task changed.
    TaskChanged(SourceId, AppId, TaskId, Verdict),
    /// A task is gone.
    TaskRemoved(SourceId, AppId, TaskId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_can_be_dialled() {
        let v6 = Transport::Container { address: "fd00::1".parse().unwrap(), port: 80 };
        assert_eq!(v6.to_string(), "[fd00::1]:80");
        let host = Transport::Host { host: "agent1".into(), port: 31000 };
        assert_eq!(host.to_string(), "agent1:31000");
        let bare = Transport::Host { host: "fd00::2".into(), port: 31000 };
        assert_eq!(bare.to_string(), "[fd00::2]:31000");
    }

    #[test]
    fn an_empty_snapshot_is_not_complete() {
        assert!(!Snapshot::default().is_complete());
    }
}
