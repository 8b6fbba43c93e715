//! Everything that happens in the queue and that somebody may want to know: the log, the metrics and the live events are
//! all made from these.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, ModuleName, TaskId};

/// State of a module's copy of an event (spec/mconn.md section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateName {
    /// Waits, for the first time or for a retry.
    Idle,
    /// A run is under way.
    Started,
    /// Done.
    Finished,
    /// Failed for good; there is a dead letter.
    Failed,
    /// No enabled preset.
    NoPreset,
    /// The module does nothing for this status.
    UndefinedStatus,
}

impl StateName {
    /// The original's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::NoPreset => "nopreset",
            Self::UndefinedStatus => "undefinedStatus",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "field names repeat what the variants say")]
pub enum Notice {
    /// An event is durable and entered a module's lane.
    Created { module: ModuleName, id: Arc<str> },
    /// A module's turn has come for an event.
    Started { module: ModuleName, id: Arc<str> },
    /// A module is through with an event.
    Ended {
        module: ModuleName,
        id: Arc<str>,
        state: StateName,
        waiting: usize,
        reason: Option<Arc<str>>,
        cleanup: bool,
    },
    /// The module has no use for this status, and it is none of those that every module is expected to know.
    UnknownStatus { module: ModuleName, status: Arc<str> },
    /// A delivery was known already.
    AlreadyDone { module: ModuleName, waiting: usize },
    /// A run failed and will be tried again.
    Retry { module: ModuleName, id: Arc<str>, attempt: u32, delay: Duration, reason: Arc<str> },
    /// A run failed for good.
    DeadLetter { module: ModuleName, id: Arc<str>, attempts: u32, reason: Arc<str> },
    /// The oldest dead letter was dropped to make room.
    DeadLetterDropped { module: ModuleName, id: Arc<str> },
    /// All modules are through with an event.
    Removed { id: Arc<str>, waiting: usize },
    /// An event was the oldest for too long and left the list.
    QueueTimeout { id: Arc<str> },
    /// Many events wait; soon they will be refused.
    Filling { waiting: usize, limit: usize },
    /// Events are refused because too many wait.
    Full { limit: usize },
    /// Stored events are owed to a module that is not loaded; they stay until it is.
    OwedElsewhere { module: ModuleName, events: usize },
    /// A module was paused; `active` runs may still end.
    Paused { module: ModuleName, active: usize },
    /// The last active run of a paused module has ended.
    PauseReached { module: ModuleName },
    /// A module goes on.
    Resumed { module: ModuleName },
    /// A preset was created.
    PresetCreated { module: ModuleName, app: AppId },
    /// A preset was changed.
    PresetModified { module: ModuleName, app: AppId },
    /// A preset was removed.
    PresetDeleted { module: ModuleName, app: AppId },
    /// A change of a preset could not be stored and was taken back.
    PresetTakenBack { module: ModuleName, app: AppId },
    /// A module's inventory changed.
    InventoryChanged { module: ModuleName },
    /// A sync was asked for.
    SyncStarted { module: ModuleName },
    /// A running task is not in the inventory.
    SyncMissing { module: ModuleName, task: TaskId },
    /// A task of the inventory does not run.
    SyncWrong { module: ModuleName, task: TaskId },
    /// A difference was left alone because events of that task are under way.
    SyncSkipped { module: ModuleName, task: TaskId },
    /// A sync would remove too much at once; the next one decides.
    SyncHeld { module: ModuleName, wrong: usize, of: usize },
    /// A sync has compared and queued its clean-up runs.
    SyncDone { module: ModuleName, cleanups: usize },
    /// Marathon's list could not be had.
    SyncFailed { module: ModuleName, reason: Arc<str> },
    /// A clean-up run ended well.
    CleanupDone { module: ModuleName, task: TaskId, added: bool },
    /// The store refuses; intake answers 503 until it recovers.
    StoreTrouble { reason: Arc<str>, retry_in: Duration },
    /// The store will never take a write: it was left out, and the rest goes on.
    WriteRefused { what: Arc<str>, reason: Arc<str> },
    /// The store works again.
    StoreRecovered,
}
