//! What the fold asks of the world. Closed enums, so that the shell handles every case.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, SourceId, TaskEvent};

/// A request that the catalog wants a source's follower to make.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fetch {
    /// One app with its tasks. Never asked for a pod.
    App(SourceId, AppId),
    /// Everything.
    Listing(SourceId),
}

impl Fetch {
    /// Whose follower has to make it.
    #[must_use]
    pub fn source(&self) -> &SourceId {
        match self {
            Self::App(source, _) | Self::Listing(source) => source,
        }
    }
}

/// Something that people should be able to read in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The first complete listing of a source was folded.
    SourceComplete {
        /// The source.
        source: SourceId,
        /// Apps and pods in it.
        apps: usize,
    },
    /// A source went away; its last state is served.
    SourceLost {
        /// The source.
        source: SourceId,
        /// What happened.
        reason: String,
    },
    /// A source that was away was read completely again.
    SourceBack {
        /// The source.
        source: SourceId,
    },
    /// A request failed.
    RequestFailed {
        /// The source.
        source: SourceId,
        /// The app, or `None` for the listing.
        app: Option<AppId>,
        /// What went wrong.
        reason: String,
    },
    /// Another leader speaks for the source. Sync starts from this.
    LeaderChanged {
        /// The source.
        source: SourceId,
        /// The leader as it calls itself.
        leader: Arc<str>,
    },
    /// A comparison found differences that no event announced.
    EventsMissed {
        /// The source.
        source: SourceId,
        /// The app or pod.
        app: AppId,
        /// How many differences.
        count: u64,
    },
    /// A listing lacks so much that it is not believed yet.
    Held {
        /// The source.
        source: SourceId,
        /// Apps and pods that it lacks.
        apps: usize,
        /// Tasks that it lacks.
        tasks: usize,
        /// Apps and pods known, and tasks that run.
        known: (usize, usize),
        /// How long it is held at most.
        wait: Duration,
    },
    /// A mass disappearance is not held any more.
    HoldEnded {
        /// The source.
        source: SourceId,
        /// Its time is over, and what is still missing is removed; otherwise most of it is listed again.
        believed: bool,
    },
    /// So few tasks of an app are healthy that all that were ready once are served.
    PanicBegan {
        /// The source.
        source: SourceId,
        /// The app.
        app: AppId,
        /// Healthy tasks.
        healthy: usize,
        /// Tasks that run, health aside.
        of: usize,
    },
    /// Enough tasks are healthy again, or none fails any more.
    PanicEnded {
        /// The source.
        source: SourceId,
        /// The app.
        app: AppId,
        /// Healthy tasks.
        healthy: usize,
        /// Tasks that run, health aside.
        of: usize,
    },
    /// Nothing is remembered of any task: those that run for longer than their grace period are admitted.
    Admitted {
        /// The source.
        source: SourceId,
        /// How many tasks.
        tasks: usize,
    },
    /// Parts of a listing could not be read and were left out.
    ListingIncomplete {
        /// The source.
        source: SourceId,
        /// How many parts.
        parts: usize,
        /// The first of them.
        first: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceComplete { source, apps } => {
                write!(f, "{source}: read completely, {apps} apps and pods")
            }
            Self::SourceLost { source, reason } => {
                write!(f, "{source}: lost ({reason}), its last state stays")
            }
            Self::SourceBack { source } => write!(f, "{source}: back and read completely"),
            Self::RequestFailed { source, app: Some(app), reason } => {
                write!(f, "{source}: fetching {app} failed: {reason}")
            }
            Self::RequestFailed { source, app: None, reason } => {
                write!(f, "{source}: fetching the listing failed: {reason}")
            }
            Self::LeaderChanged { source, leader } => write!(f, "{source}: the leader is now {leader}"),
            Self::EventsMissed { source, app, count } => {
                write!(f, "{source}: {count} differences of {app} that no event announced")
            }
            Self::Held { source, apps, tasks, known: (known_apps, known_tasks), wait } => write!(
                f,
                "{source}: a listing lacks {apps} of {known_apps} apps and {tasks} of {known_tasks} tasks, and no event \
                 explains it; they stay for {wait:?} at most"
            ),
            Self::HoldEnded { source, believed: true } => {
                write!(f, "{source}: what was missing is missing still, and is removed")
            }
            Self::HoldEnded { source, believed: false } => {
                write!(f, "{source}: what was missing is listed again, or was explained")
            }
            Self::PanicBegan { source, app, healthy, of } => write!(
                f,
                "{source}: PANIC for {app}: only {healthy} of {of} tasks are healthy, all that were ready once are served"
            ),
            Self::PanicEnded { source, app, healthy, of } => {
                write!(f, "{source}: panic for {app} is over: {healthy} of {of} tasks are healthy")
            }
            Self::Admitted { source, tasks } => write!(
                f,
                "{source}: the health of {tasks} tasks is unknown and nothing is remembered; they run for longer than \
                 their grace period and are admitted"
            ),
            Self::ListingIncomplete { source, parts, first } => {
                write!(f, "{source}: {parts} parts of the listing could not be read, the first: {first}")
            }
        }
    }
}

/// Why what modules know of a source must be compared with what runs: something happened that no event told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A scheduler registered with Mesos: a leader began its work.
    SchedulerRegistered,
    /// A stream is attached again, and what happened in between is listed.
    StreamGap,
    /// There is no stream, and a listing shows other tasks than the one before.
    NoStream,
    /// A comparison found differences that no event announced, or events had to be dropped.
    EventsMissed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SchedulerRegistered => "Marathon has registered with Mesos",
            Self::StreamGap => "Marathon's event stream had a gap",
            Self::NoStream => "Tasks have changed without an event stream",
            Self::EventsMissed => "Events were missed",
        })
    }
}

/// Everything that one step of the fold asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Requests to make. One that cannot be handed on goes back through [`crate::Catalog::refused`].
    pub fetches: Vec<Fetch>,
    /// When a new snapshot must be published at the latest, on the clock of `now`; `None` if nothing changed.
    pub publish_by: Option<Duration>,
    /// Task events for the queue, in order, none merged.
    pub task_events: Vec<TaskEvent>,
    /// For the log.
    pub notices: Vec<Notice>,
    /// Sources with which all modules must be synced.
    pub resyncs: BTreeMap<SourceId, Why>,
    /// Differences that were counted in this step.
    pub differences: u64,
}
