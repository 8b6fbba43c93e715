//! The task around the core: reads the clock, commits batches, spawns runs, fetches the list of running tasks.

mod follow_up;
mod log;
mod run;
mod sync;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use mconn_model::Timestamp;
use mconn_store::{BoxFuture, Store, StoreError, StoreErrorKind, Write};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::sync::{RunningList, RunningTask, RunningTasks, SyncTrigger};

use self::run::run_one;
use self::sync::Syncs;
use crate::core::{BatchNo, Core, Now, Refused, RunEnd, RunKey, SlotSetup};
use crate::handle::{Command, Reply};
use crate::{AcceptError, CommandError, ModuleSetup, Notice, PresetChange, QueueHandle, Settings};

/// Commands that may wait. One per request that is being answered; with 1,024 connections at most (MCONN_MAX_CONNECTIONS)
/// this never blocks a request, and a stream's batch counts as one.
const COMMANDS: usize = 1024;
/// Commands and outcomes taken up before the next batch is formed.
const AT_ONCE: usize = 256;
/// Notices that a slow reader may be behind.
const NOTICES: usize = 4096;
/// How long the last batch may take when the node ends.
const FLUSH: Duration = Duration::from_secs(2);

/// The queue's task. Ends when the token given to [`start`] is cancelled.
#[derive(Debug)]
pub struct QueueTask {
    task: JoinHandle<Result<(), StoreError>>,
}

impl QueueTask {
    /// Waits for the end: runs under way are cancelled (their events stay in the journal), the last batch is written.
    ///
    /// # Errors
    /// When the store cannot be trusted any more, or the task itself failed.
    pub async fn join(self) -> Result<(), StoreError> {
        self.task.await.unwrap_or_else(|error| {
            Err(StoreError::new(StoreErrorKind::Unknown, format!("the queue's task failed: {error}")))
        })
    }
}

/// Takes over what the store holds and starts to work. `deadline` bounds every call of the handle. Without `running` no
/// sync takes place.
///
/// # Errors
/// When the store cannot be read.
pub async fn start(
    settings: Settings,
    modules: Vec<ModuleSetup>,
    store: Arc<dyn Store>,
    running: Option<Arc<dyn RunningTasks>>,
    deadline: Duration,
    cancel: CancellationToken,
) -> Result<(QueueHandle, QueueTask), StoreError> {
    let contents = store.load().await?;
    for skipped in &contents.skipped {
        tracing::warn!("a stored record cannot be read and is left where it is: {skipped}");
    }
    let clock = Clock { start: Instant::now() };
    let setups: Arc<[ModuleSetup]> = modules.into();
    let slots = setups
        .iter()
        .map(|setup| SlotSetup { name: setup.module.name().clone(), concurrency: setup.concurrency.max(1) });
    let syncs = Syncs::new(running, settings.sync_interval, setups.len(), settings.seed, clock.now().mono);
    let mut core = Core::new(settings, slots.collect(), contents, clock.now());
    core.limit_records(store.record_limit());
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (notices, _) = broadcast::channel(NOTICES);
    let handle = QueueHandle {
        commands,
        notices: notices.clone(),
        inventories: (0..setups.len()).map(|slot| core.inventory(slot)).collect(),
        setups: setups.clone(),
        deadline,
    };
    let shell = Shell {
        core,
        setups,
        store,
        clock,
        notices,
        inbox,
        runs: JoinSet::new(),
        run_keys: HashMap::new(),
        commit: None,
        waiting: BTreeMap::new(),
        last_trouble: Arc::from("it failed before"),
        syncs,
    };
    Ok((handle, QueueTask { task: tokio::spawn(shell.work(cancel)) }))
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        Now { mono: self.start.elapsed(), wall }
    }
}

/// Somebody who waits for a batch.
enum Waiter {
    Accept(Reply<Result<(), AcceptError>>),
    Put(Reply<Result<PresetChange, CommandError>>, PresetChange, usize),
    Delete(Reply<Result<bool, CommandError>>, usize),
}

struct Commit {
    no: BatchNo,
    began: Duration,
    future: BoxFuture<'static, Result<(), StoreError>>,
}

struct Shell {
    core: Core,
    setups: Arc<[ModuleSetup]>,
    store: Arc<dyn Store>,
    clock: Clock,
    notices: broadcast::Sender<Arc<Notice>>,
    inbox: mpsc::Receiver<Command>,
    runs: JoinSet<(RunKey, RunEnd)>,
    run_keys: HashMap<Id, RunKey>,
    commit: Option<Commit>,
    waiting: BTreeMap<BatchNo, Vec<Waiter>>,
    last_trouble: Arc<str>,
    syncs: Syncs,
}

impl Shell {
    async fn work(mut self, cancel: CancellationToken) -> Result<(), StoreError> {
        let mut commands = Vec::with_capacity(AT_ONCE);
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        self.syncs.request_all(&mut self.core, SyncTrigger::Start);
        loop {
            let now = self.clock.now();
            self.core.tick(now);
            self.syncs.follow_up(self.core.take_follow_ups());
            self.syncs.tick(&mut self.core, now.mono);
            self.act(now);
            let wake = self.core.next_wake().into_iter().chain(self.syncs.next_wake()).min();
            let wake = self.clock.start + wake.unwrap_or(now.mono + Duration::from_secs(3600));
            if sleep.deadline() != wake {
                sleep.as_mut().reset(wake);
            }
            tokio::select! {
                () = cancel.cancelled() => return self.end().await,
                result = wait(self.commit.as_mut().map(|commit| &mut commit.future)) => {
                    if let Err(error) = self.committed(result) {
                        return self.give_up(error).await;
                    }
                }
                Some(ended) = self.runs.join_next_with_id() => {
                    self.run_ended(ended);
                    for _ in 1..AT_ONCE {
                        let Some(ended) = self.runs.try_join_next_with_id() else { break };
                        self.run_ended(ended);
                    }
                }
                received = self.inbox.recv_many(&mut commands, AT_ONCE) => {
                    if received == 0 {
                        return self.end().await;
                    }
                    for command in commands.drain(..) {
                        self.command(command);
                    }
                }
                listing = wait(self.syncs.fetch.as_mut()) => self.listed(listing),
                () = &mut sleep => {}
            }
        }
    }

    /// Does what the core has left behind.
    fn act(&mut self, now: Now) {
        for start in self.core.take_starts() {
            let setup = &self.setups[start.key.slot];
            let key = start.key;
            let inventory = Arc::new(self.core.inventory(key.slot));
            let spawned = self.runs.spawn(run_one(setup.module.clone(), start, inventory));
            self.run_keys.insert(spawned.id(), key);
        }
        if self.commit.is_none()
            && let Some((no, writes)) = self.core.take_batch(now)
        {
            self.send(no, writes, now.mono);
        }
        let listened = self.notices.receiver_count() > 0;
        for notice in self.core.take_notices() {
            log::log(&notice);
            if listened {
                // An error means that the last listener has just gone.
                let _ = self.notices.send(Arc::new(notice));
            }
        }
    }

    fn send(&mut self, no: BatchNo, writes: Vec<Write>, began: Duration) {
        let store = self.store.clone();
        let future = async move { store.commit(writes).await }.boxed();
        self.commit = Some(Commit { no, began, future });
    }

    fn committed(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        let Some(Commit { no, began, .. }) = self.commit.take() else { return Ok(()) };
        let now = self.clock.now();
        match result {
            Ok(()) => {
                self.core.committed(now.mono.saturating_sub(began), now);
                for waiter in self.waiting.remove(&no).unwrap_or_default() {
                    self.answer(waiter);
                }
                Ok(())
            }
            // Nothing that comes later can be written either.
            Err(error) if matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::Deposed) => {
                Err(error)
            }
            Err(error) => {
                self.last_trouble = error.message.as_str().into();
                let last = match error.kind {
                    StoreErrorKind::Refused { write } => {
                        match self.core.commit_refused(write, &error.message, now) {
                            Ok(writes) => {
                                self.send(no, writes, began);
                                return Ok(());
                            }
                            Err(last) => last,
                        }
                    }
                    _ => self.core.commit_failed(&error.message, now),
                };
                let later = self.waiting.split_off(&last);
                let failed = std::mem::replace(&mut self.waiting, later).into_values();
                let at_last = self.waiting.remove(&last).into_iter();
                for waiter in failed.chain(at_last).flatten() {
                    refuse(waiter, &self.last_trouble);
                }
                Ok(())
            }
        }
    }

    /// Tells somebody that what they asked for is durable. A changed preset may mean tasks to add: the module syncs.
    fn answer(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Accept(reply) => tell(reply, Ok(())),
            Waiter::Put(reply, change, slot) => {
                tell(reply, Ok(change));
                self.syncs.request(&mut self.core, [slot], SyncTrigger::Preset, None);
            }
            Waiter::Delete(reply, slot) => {
                tell(reply, Ok(true));
                self.syncs.request(&mut self.core, [slot], SyncTrigger::Preset, None);
            }
        }
    }

    fn run_ended(&mut self, ended: Result<(Id, (RunKey, RunEnd)), tokio::task::JoinError>) {
        let (id, key, end) = match ended {
            Ok((id, (key, end))) => (id, Some(key), end),
            // The run's own panics are caught; this one came while its future was dropped.
            Err(error) => (error.id(), None, RunEnd::Panicked(error.to_string())),
        };
        let known = self.run_keys.remove(&id);
        if let Some(key) = key.or(known) {
            self.core.run_ended(key, end, self.clock.now());
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Accept { events, reply } => match self.core.accept(events, now) {
                Ok(Some(batch)) => self.wait_for(batch, Waiter::Accept(reply)),
                Ok(None) => tell(reply, Ok(())),
                Err(refused) => tell(reply, Err(self.accept_error(refused))),
            },
            Command::PutPreset { slot, preset, reply } => match self.core.put_preset(slot, *preset, now) {
                Ok(request) => self.wait_for(request.batch, Waiter::Put(reply, request.change, slot)),
                Err(refused) => tell(reply, Err(self.command_error(refused))),
            },
            Command::DeletePreset { slot, app, reply } => match self.core.delete_preset(slot, &app, now) {
                Ok(Some(batch)) => self.wait_for(batch, Waiter::Delete(reply, slot)),
                Ok(None) => tell(reply, Ok(false)),
                Err(refused) => tell(reply, Err(self.command_error(refused))),
            },
            Command::Pause { slot, reply } => {
                self.core.pause(slot);
                tell(reply, ());
            }
            Command::Resume { slot, reply } => {
                self.core.resume(slot, now);
                tell(reply, ());
            }
            Command::RetryDeadLetter { slot, seq, force, reply } => {
                let done = self.core.retry_dead_letter(slot, seq, force, now);
                tell(reply, done.map_err(CommandError::Refused));
            }
            Command::DropDeadLetter { slot, seq, reply } => {
                let done = self.core.drop_dead_letter(slot, seq);
                tell(reply, done.map_err(CommandError::Refused));
            }
            Command::Sync { slots, trigger, reply } => {
                self.syncs.request(&mut self.core, slots, trigger, reply);
            }
            Command::View(look) => look(&self.core, now),
        }
    }

    fn wait_for(&mut self, batch: BatchNo, waiter: Waiter) {
        self.waiting.entry(batch).or_default().push(waiter);
    }

    fn accept_error(&self, refused: Refused) -> AcceptError {
        match refused {
            Refused::Full => AcceptError::Full { limit: self.core.stats().journal_limit },
            Refused::Store => AcceptError::Store { reason: self.last_trouble.to_string() },
            Refused::TooLarge { size, limit } => AcceptError::TooLarge { size, limit },
        }
    }

    fn command_error(&self, refused: Refused) -> CommandError {
        match refused {
            Refused::TooLarge { size, limit } => CommandError::TooLarge { size, limit },
            Refused::Full | Refused::Store => CommandError::Store { reason: self.last_trouble.to_string() },
        }
    }

    /// Answers nobody any more. Whoever waits learns it now and not when the runs have ended.
    fn hang_up(&mut self) {
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {}
    }

    /// Ends without writing anything: the store is not ours any more. No run outlives this.
    async fn give_up(mut self, error: StoreError) -> Result<(), StoreError> {
        self.hang_up();
        self.waiting.clear();
        self.runs.shutdown().await;
        Err(error)
    }

    /// Cancels runs, writes what has happened, and ends.
    async fn end(mut self) -> Result<(), StoreError> {
        self.hang_up();
        self.core.start_no_more();
        // What has ended before this moment counts; what has not runs again at the next start.
        while let Some(ended) = self.runs.try_join_next_with_id() {
            self.run_ended(ended);
        }
        self.runs.shutdown().await;
        let deadline = Instant::now() + FLUSH;
        let mut result = Ok(());
        while result.is_ok() && !self.core.is_flushed() {
            self.act(self.clock.now());
            let next_attempt = self.core.next_wake().map_or(deadline, |wake| self.clock.start + wake);
            let flushed = async {
                tokio::select! {
                    done = wait(self.commit.as_mut().map(|commit| &mut commit.future)) => Some(done),
                    () = tokio::time::sleep_until(next_attempt), if self.commit.is_none() => None,
                }
            };
            match tokio::time::timeout_at(deadline, flushed).await {
                Ok(Some(done)) => result = self.committed(done),
                Ok(None) => {}
                Err(_) => {
                    let message =
                        format!("the last batch could not be written within {FLUSH:?}; its events run again");
                    result = Err(StoreError::new(StoreErrorKind::Unavailable, message));
                }
            }
        }
        self.act(self.clock.now());
        result
    }
}

fn refuse(waiter: Waiter, reason: &Arc<str>) {
    let reason = reason.to_string();
    match waiter {
        Waiter::Accept(reply) => tell(reply, Err(AcceptError::Store { reason })),
        Waiter::Put(reply, ..) => tell(reply, Err(CommandError::Store { reason })),
        Waiter::Delete(reply, _) => tell(reply, Err(CommandError::Store { reason })),
    }
}

/// Answers. That nobody waits any more changes nothing.
pub(super) fn tell<T>(reply: Reply<T>, answer: T) {
    let _ = reply.send(answer);
}

/// Waits for a future that may not be there: then for ever.
async fn wait<T>(future: Option<&mut BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
