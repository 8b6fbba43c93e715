//! How everybody else talks to the queue.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, InventoryItem, Preset, TaskEvent};
use mconn_module::InventoryReader;
use mconn_store::{DeadLetter, Seq};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::core::{Core, Inventory, Now};
use crate::{LaneItem, ModuleSetup, ModuleView, Notice, QueueItem, Stats, SyncTrigger};

/// Why events were not accepted, or not known to be. Sending them again is right, except when one is too large: what was kept
/// after all is known by its id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Too many events wait.
    #[error(
        "the queue is full: {limit} events wait; raise MCONN_QUEUE_LIMIT or see which module holds them up"
    )]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The store refuses.
    #[error("the store does not take events now: {reason}")]
    Store {
        /// What it said.
        reason: String,
    },
    /// The store will never take it. The only one of these errors after which sending again makes no sense.
    #[error("an event of {size} bytes is too large: the store takes events of at most {limit} bytes")]
    TooLarge {
        /// Bytes of the event, as it would be stored.
        size: usize,
        /// The most that an event may have.
        limit: usize,
    },
    /// The queue is shutting down, or did not answer in time.
    #[error("the queue does not answer: this node is shutting down or overloaded")]
    NoAnswer,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such module is loaded.
    #[error("Module not found: {0}")]
    UnknownModule(String),
    /// The store refuses; nothing has changed.
    #[error("the store does not take changes now: {reason}")]
    Store {
        /// What it said.
        reason: String,
    },
    /// The store will never take it.
    #[error("a preset of {size} bytes is too large: the store takes at most {limit} bytes in one record")]
    TooLarge {
        /// Bytes of the preset, as it would be stored.
        size: usize,
        /// The most that a record may have.
        limit: usize,
    },
    /// It makes no sense as things stand.
    #[error("{0}")]
    Refused(&'static str),
    /// The queue is shutting down, or did not answer in time.
    #[error("the queue does not answer: this node is shutting down or overloaded")]
    NoAnswer,
}

/// Why a sync did not compare anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// No such module is loaded.
    #[error("Module not found: {0}")]
    UnknownModule(String),
    /// No Marathon gave a usable list.
    #[error("Marathon is unreachable")]
    Unreachable {
        /// What each said, for the log.
        reason: Arc<str>,
    },
    /// The queue is shutting down, or did not answer in time.
    #[error("the queue does not answer: this node is shutting down or overloaded")]
    NoAnswer,
}

/// What a sync did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncOutcome {
    /// Running tasks that were not in the inventory.
    pub missing: usize,
    /// Items of the inventory that do not run.
    pub wrong: usize,
    /// Sources that gave no list; nothing of them was removed.
    pub unread: usize,
}

/// What a change of a preset came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetChange {
    /// There was none for that app and module.
    Created,
    /// It replaced one.
    Modified,
}

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What the shell can be asked for.
pub(crate) enum Command {
    Accept {
        events: Vec<TaskEvent>,
        reply: Reply<Result<(), AcceptError>>,
    },
    PutPreset {
        slot: usize,
        preset: Box<Preset>,
        reply: Reply<Result<PresetChange, CommandError>>,
    },
    DeletePreset {
        slot: usize,
        app: AppId,
        reply: Reply<Result<bool, CommandError>>,
    },
    Pause {
        slot: usize,
        reply: Reply<()>,
    },
    Resume {
        slot: usize,
        reply: Reply<()>,
    },
    RetryDeadLetter {
        slot: usize,
        seq: Seq,
        force: bool,
        reply: Reply<Result<(), CommandError>>,
    },
    DropDeadLetter {
        slot: usize,
        seq: Seq,
        reply: Reply<Result<(), CommandError>>,
    },
    Sync {
        slots: Vec<usize>,
        trigger: SyncTrigger,
        reply: Option<Reply<Result<SyncOutcome, SyncError>>>,
    },
    /// Anything that only looks.
    View(Look),
}

/// Reads the core, and sends what it saw to whoever asked.
pub(crate) type Look = Box<dyn FnOnce(&Core, Now) + Send>;

/// Talks to a queue. Cheap to clone. Every call is answered within the deadline given to [`crate::start`], except
/// [`QueueHandle::sync`], which waits for Marathon as well.
#[derive(Clone)]
pub struct QueueHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) notices: broadcast::Sender<Arc<Notice>>,
    pub(crate) setups: Arc<[ModuleSetup]>,
    pub(crate) inventories: Arc<[Inventory]>,
    pub(crate) deadline: Duration,
}

impl std::fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueHandle").field("modules", &self.setups).finish_non_exhaustive()
    }
}

impl QueueHandle {
    /// Accepts events, all or none. When this returns `Ok` they are durable.
    ///
    /// # Errors
    /// [`AcceptError`]; sending again is right then.
    pub async fn accept(&self, events: Vec<TaskEvent>) -> Result<(), AcceptError> {
        let asked = self.ask(|reply| Command::Accept { events, reply }).await;
        asked.unwrap_or(Err(AcceptError::NoAnswer))
    }

    /// The main queue.
    ///
    /// # Errors
    /// [`CommandError::NoAnswer`].
    pub async fn queue(&self) -> Result<Vec<QueueItem>, CommandError> {
        self.view(Core::queue).await
    }

    /// One module's lane.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn lane(&self, module: &str) -> Result<Vec<LaneItem>, CommandError> {
        let slot = self.slot(module)?;
        self.view(move |core, now| core.lane(slot, now)).await
    }

    /// The loaded modules, in loading order.
    #[must_use]
    pub fn modules(&self) -> &[ModuleSetup] {
        &self.setups
    }

    /// One module with its lane and presets.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn module(&self, module: &str) -> Result<ModuleView, CommandError> {
        let slot = self.slot(module)?;
        let setup = self.setups[slot].clone();
        self.view(move |core, now| ModuleView {
            name: setup.module.name().clone(),
            folder: setup.folder,
            timeout: setup.module.timeout(),
            options: setup.module.options(),
            concurrency: setup.concurrency,
            paused: core.is_paused(slot),
            syncing: core.is_syncing(slot),
            lane: core.lane(slot, now),
            presets: core.presets(slot),
        })
        .await
    }

    /// A module's inventory in order of keys. Does not wait for the queue.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`].
    pub fn inventory(&self, module: &str) -> Result<Vec<Arc<InventoryItem>>, CommandError> {
        Ok(self.inventories[self.slot(module)?].all())
    }

    /// A module's presets in order of app ids.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn presets(&self, module: &str) -> Result<Vec<Arc<Preset>>, CommandError> {
        let slot = self.slot(module)?;
        self.view(move |core, _| core.presets(slot)).await
    }

    /// Creates or replaces a preset. When this returns `Ok` it is durable.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub async fn put_preset(&self, preset: Preset) -> Result<PresetChange, CommandError> {
        let slot = self.slot(preset.module.as_str())?;
        self.ask(|reply| Command::PutPreset { slot, preset: Box::new(preset), reply }).await?
    }

    /// Removes a preset; `false` if there was none. When this returns `Ok` that is durable.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub async fn delete_preset(&self, module: &str, app: &AppId) -> Result<bool, CommandError> {
        let slot = self.slot(module)?;
        let app = app.clone();
        self.ask(|reply| Command::DeletePreset { slot, app, reply }).await?
    }

    /// Starts no further run of this module until [`QueueHandle::resume`]. Forgotten when the node ends.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn pause(&self, module: &str) -> Result<(), CommandError> {
        let slot = self.slot(module)?;
        self.ask(|reply| Command::Pause { slot, reply }).await
    }

    /// Ends a pause, however often it was asked for.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn resume(&self, module: &str) -> Result<(), CommandError> {
        let slot = self.slot(module)?;
        self.ask(|reply| Command::Resume { slot, reply }).await
    }

    /// A module's dead letters, oldest first.
    ///
    /// # Errors
    /// [`CommandError::UnknownModule`], [`CommandError::NoAnswer`].
    pub async fn dead_letters(&self, module: &str) -> Result<Vec<Arc<DeadLetter>>, CommandError> {
        let slot = self.slot(module)?;
        self.view(move |core, _| core.dead_letters(slot)).await
    }

    /// Hands a dead letter to its module once more. `force` does so even if a later event of the task was handled since.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_dead_letter(&self, module: &str, seq: Seq, force: bool) -> Result<(), CommandError> {
        let slot = self.slot(module)?;
        self.ask(|reply| Command::RetryDeadLetter { slot, seq, force, reply }).await?
    }

    /// Gives up a dead letter.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn drop_dead_letter(&self, module: &str, seq: Seq) -> Result<(), CommandError> {
        let slot = self.slot(module)?;
        self.ask(|reply| Command::DropDeadLetter { slot, seq, reply }).await?
    }

    /// Of events that this node has heard, in order, while it did not lead: those that the leader before it has not accepted,
    /// as far as can be told. They are to be offered, before anything that is heard later.
    ///
    /// # Errors
    /// [`CommandError::NoAnswer`].
    pub async fn unheard(&self, events: Vec<TaskEvent>) -> Result<Vec<TaskEvent>, CommandError> {
        self.view(move |core, _| core.unheard(events)).await
    }

    /// Compares one module's inventory with what runs, and waits until that is done and its clean-up runs are queued.
    /// Joins a sync that is under way.
    ///
    /// # Errors
    /// [`SyncError`]; nothing was touched then.
    pub async fn sync(&self, module: &str, trigger: SyncTrigger) -> Result<SyncOutcome, SyncError> {
        let Ok(slot) = self.slot(module) else { return Err(SyncError::UnknownModule(module.to_owned())) };
        let (reply, answer) = oneshot::channel();
        let command = Command::Sync { slots: vec![slot], trigger, reply: Some(reply) };
        self.send(command).await.map_err(|_| SyncError::NoAnswer)?;
        // The list of running tasks has its own deadline, and the shell answers when it passes.
        answer.await.unwrap_or(Err(SyncError::NoAnswer))
    }

    /// Asks for a sync of all modules without waiting for it.
    ///
    /// # Errors
    /// [`CommandError::NoAnswer`].
    pub async fn sync_all(&self, trigger: SyncTrigger) -> Result<(), CommandError> {
        let slots = (0..self.setups.len()).collect();
        self.send(Command::Sync { slots, trigger, reply: None }).await
    }

    /// Numbers for metrics and health.
    ///
    /// # Errors
    /// [`CommandError::NoAnswer`].
    pub async fn stats(&self) -> Result<Stats, CommandError> {
        self.view(|core, _| core.stats()).await
    }

    /// Everything that happens from now on. A reader that falls behind by more than 4096 notices misses the oldest ones
    /// and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.notices.subscribe()
    }

    /// Whether the queue has ended. Nothing is answered by it any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }

    fn slot(&self, module: &str) -> Result<usize, CommandError> {
        let position = self.setups.iter().position(|setup| setup.module.name().as_str() == module);
        position.ok_or_else(|| CommandError::UnknownModule(module.to_owned()))
    }

    async fn send(&self, command: Command) -> Result<(), CommandError> {
        let sent = tokio::time::timeout(self.deadline, self.commands.send(command)).await;
        sent.map_err(|_| CommandError::NoAnswer)?.map_err(|_| CommandError::NoAnswer)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        let answered = tokio::time::timeout(self.deadline, answer).await;
        answered.map_err(|_| CommandError::NoAnswer)?.map_err(|_| CommandError::NoAnswer)
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        self.ask(|reply| {
            Command::View(Box::new(move |core, now| {
                // Nobody waits any more: nothing to do.
                let _ = reply.send(look(core, now));
            }))
        })
        .await
    }
}
