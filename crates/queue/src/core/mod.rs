//! The state machine of the queue: no clock, no I/O, no randomness of its own.
//!
//! Every method takes the time as an argument, changes the state, and leaves behind what is to be done: runs to start
//! ([`Core::take_starts`]), a batch to commit ([`Core::take_batch`]) and notices ([`Core::take_notices`]).

mod dead;
mod dedupe;
mod doubt;
mod inventory;
mod journal;
mod lane;
mod outbox;
mod presets;
mod runs;
mod slot;
mod sync;
#[cfg(test)]
mod tests;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{ModuleName, TaskEvent, TaskKey, Timestamp};
use mconn_store::{Contents, JournalEntry, Seq, Write, event_fits};

use self::dedupe::Dedupe;
use self::doubt::Inherited;
pub(crate) use self::inventory::Inventory;
use self::journal::Journal;
use self::lane::{Job, Origin, Phase};
pub(crate) use self::outbox::BatchNo;
use self::outbox::{Outbox, Request, TakenOut};
pub(crate) use self::runs::{RunEnd, RunKey, Start};
use self::slot::Slot;
pub(crate) use self::slot::SlotSetup;
use crate::{Notice, Settings};

/// The time, as the shell reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Since the start of the process; never goes back. For everything that is measured.
    pub(crate) mono: Duration,
    /// For what people read.
    pub(crate) wall: Timestamp,
}

/// Why events were not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many wait.
    Full,
    /// The store is in trouble.
    Store,
    /// The store will not take a record of this size.
    TooLarge { size: usize, limit: usize },
}

/// Of the largest record, what an event may take: a dead letter holds it, an id that is made of its fields, and a reason.
const EVENT_SHARE: usize = 3;

#[derive(Debug, Default)]
struct Counters {
    accepted: u64,
    duplicates: u64,
    refused_full: u64,
    refused_store: u64,
    timed_out: u64,
    commits: u64,
    committed_writes: u64,
    commit_time: Duration,
}

/// The whole state of the queue.
#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    slots: Vec<Slot>,
    by_name: HashMap<ModuleName, usize>,
    /// The loaded modules: whom a new event is owed to.
    names: Arc<[ModuleName]>,
    journal: Journal,
    dedupe: Dedupe,
    outbox: Outbox,
    next_seq: Seq,
    /// The first place of its own: what comes before was accepted by the one before.
    first_own: Seq,
    /// What that was, until all modules have settled.
    inherited: HashMap<TaskKey, Inherited>,
    rng: fastrand::Rng,
    counters: Counters,
    starts: Vec<Start>,
    notices: Vec<Notice>,
    in_flight_writes: usize,
    fullness: Fullness,
    /// The most bytes that the store takes in one record, if there is a limit.
    record_limit: Option<usize>,
    /// Nothing is started any more.
    ending: bool,
}

/// What was last said about how full the journal is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fullness {
    #[default]
    Roomy,
    /// Above 80 %.
    Filling,
    Full,
}

impl Core {
    /// Takes over what the store holds. Records of modules that are not loaded stay in the store, untouched.
    pub(crate) fn new(settings: Settings, setups: Vec<SlotSetup>, contents: Contents, now: Now) -> Self {
        let slots: Vec<Slot> = setups.into_iter().map(Slot::new).collect();
        let names = slots.iter().map(Slot::name).collect();
        let by_name = slots.iter().enumerate().map(|(index, slot)| (slot.name(), index)).collect();
        let mut core = Self {
            dedupe: Dedupe::new(settings.remembered_ids),
            rng: fastrand::Rng::with_seed(settings.seed),
            settings,
            slots,
            by_name,
            names,
            journal: Journal::default(),
            outbox: Outbox::new(),
            next_seq: contents.next_seq.unwrap_or(Seq(0)),
            first_own: contents.next_seq.unwrap_or(Seq(0)),
            inherited: HashMap::new(),
            counters: Counters::default(),
            starts: Vec::new(),
            notices: Vec::new(),
            in_flight_writes: 0,
            fullness: Fullness::default(),
            record_limit: None,
            ending: false,
        };
        core.take_over(contents);
        for slot in &mut core.slots {
            slot.doubts.second_at(now.mono + core.settings.second_sync);
        }
        core.pump_all(now);
        core
    }

    /// From now on no record of more bytes is made.
    pub(crate) fn limit_records(&mut self, limit: Option<usize>) {
        self.record_limit = limit;
    }

    fn take_over(&mut self, contents: Contents) {
        for preset in contents.presets {
            if let Some(&slot) = self.by_name.get(&preset.module) {
                self.slots[slot].presets.insert(preset.app.clone(), preset);
            }
        }
        for (module, item) in contents.items {
            if let Some(&slot) = self.by_name.get(&module) {
                self.slots[slot].inventory.put(item);
            }
        }
        for letter in contents.dead_letters {
            if let Some(&slot) = self.by_name.get(&letter.module) {
                self.slots[slot].dead.put(letter, usize::MAX);
            }
        }
        let mut through: HashMap<Seq, Vec<ModuleName>> = HashMap::new();
        for (seq, module) in contents.through {
            through.entry(seq).or_default().push(module);
        }
        let mut kept: BTreeMap<ModuleName, usize> = BTreeMap::new();
        for entry in contents.journal {
            if let Some(key) = entry.event.key() {
                self.dedupe.open(key, BatchNo::FIRST);
            }
            self.inherited.entry(entry.event.task_key()).or_default().add(&entry.event);
            let done = through.remove(&entry.seq).unwrap_or_default();
            for absent in entry.owed.iter().filter(|name| !self.names.contains(name) && !done.contains(name))
            {
                *kept.entry(absent.clone()).or_default() += 1;
            }
            self.enter(&entry, &done);
        }
        self.notices
            .extend(kept.into_iter().map(|(module, events)| Notice::OwedElsewhere { module, events }));
    }

    /// Accepts events, all or none. They are durable, and the sender may be told so, when the returned batch is
    /// committed; `None` if they all are already.
    pub(crate) fn accept(&mut self, events: Vec<TaskEvent>, now: Now) -> Result<Option<BatchNo>, Refused> {
        if self.outbox.refuses(now.mono) {
            self.counters.refused_store += events.len() as u64;
            return Err(Refused::Store);
        }
        if let Some(limit) = self.record_limit.map(|limit| limit / EVENT_SHARE)
            && let Some(size) = events.iter().find_map(|event| event_fits(event, limit).err())
        {
            self.counters.refused_store += events.len() as u64;
            return Err(Refused::TooLarge { size, limit });
        }
        let waiting = self.journal.len() + self.outbox.undecided();
        if waiting + events.len() > self.settings.journal_limit {
            self.counters.refused_full += events.len() as u64;
            if self.fullness != Fullness::Full {
                self.fullness = Fullness::Full;
                self.notices.push(Notice::Full { limit: self.settings.journal_limit });
            }
            return Err(Refused::Full);
        }
        self.warn_when_filling(waiting + events.len());
        let mut last = None;
        for event in events {
            let key = event.key();
            let known = key.as_ref().and_then(|key| self.dedupe.batch_of(key));
            let batch = known.unwrap_or_else(|| {
                let seq = self.next_seq;
                self.next_seq = seq.next();
                let owed = self.names.clone();
                let entry =
                    Arc::new(JournalEntry { seq, accepted_at: now.wall, event: Arc::new(event), owed });
                let batch = self.outbox.request(Write::Append(entry.clone()), Request::Event(entry));
                if let Some(key) = key {
                    self.dedupe.open(key, batch);
                }
                batch
            });
            if known.is_some() {
                self.counters.duplicates += 1;
                for slot in &self.slots {
                    self.notices
                        .push(Notice::AlreadyDone { module: slot.name(), waiting: slot.lane.waiting() });
                }
            }
            last = last.max((!self.outbox.is_committed(batch)).then_some(batch));
        }
        Ok(last)
    }

    /// Says once that the journal fills up, before it is full, and again only after it was roomy in between.
    fn warn_when_filling(&mut self, waiting: usize) {
        let limit = self.settings.journal_limit;
        if waiting * 10 < limit * 6 {
            self.fullness = Fullness::Roomy;
        } else if waiting * 10 >= limit * 8 && self.fullness == Fullness::Roomy {
            self.fullness = Fullness::Filling;
            self.notices.push(Notice::Filling { waiting, limit });
        }
    }

    /// A durable event enters the lanes of the modules that it is owed to and that are not through with it.
    fn enter(&mut self, entry: &Arc<JournalEntry>, done: &[ModuleName]) {
        let display_id: Arc<str> = entry.event.display_id().into();
        let event_id: Arc<str> = match entry.event.key() {
            Some(key) => key.to_string().into(),
            None => format!("{display_id}_{}", entry.seq).into(),
        };
        let is_owed = |name: &ModuleName| entry.owed.contains(name) && !done.contains(name);
        let through: Vec<bool> = self.slots.iter().map(|slot| !is_owed(&slot.setup.name)).collect();
        let owed_elsewhere = entry.owed.iter().any(|name| is_owed(name) && !self.names.contains(name));
        if through.iter().all(|through| *through) {
            if !owed_elsewhere {
                self.forget(entry.seq, &entry.event, display_id);
            }
            return;
        }
        for (slot, _) in self.slots.iter_mut().zip(&through).filter(|(_, through)| !**through) {
            self.notices.push(Notice::Created { module: slot.name(), id: display_id.clone() });
            if entry.seq < self.first_own {
                slot.doubts.inherit();
            }
            slot.doubts.enter(entry, slot.sync.touched.is_some());
            slot.lane.push(Job {
                event: entry.event.clone(),
                event_id: event_id.clone(),
                display_id: display_id.clone(),
                origin: Origin::Journal(entry.seq),
                attempts: 0,
                last_error: None,
                phase: Phase::Waiting,
            });
        }
        self.journal.insert(entry.seq, entry.event.clone(), display_id, &through, owed_elsewhere);
    }

    /// Every module that the event is owed to is through with it.
    fn forget(&mut self, seq: Seq, event: &TaskEvent, display_id: Arc<str>) {
        self.outbox.result(Write::Forget(seq));
        if let Some(key) = event.key() {
            self.dedupe.finish(key);
        }
        self.notices.push(Notice::Removed { id: display_id, waiting: self.journal.visible_len() });
    }

    /// The next batch to commit, if there is one and none is under way.
    pub(crate) fn take_batch(&mut self, now: Now) -> Option<(BatchNo, Vec<Write>)> {
        let (no, writes) = self.outbox.take(now.mono)?;
        self.in_flight_writes = writes.len();
        Some((no, writes))
    }

    /// The batch under way is durable.
    pub(crate) fn committed(&mut self, took: Duration, now: Now) {
        self.counters.commits += 1;
        self.counters.committed_writes += self.in_flight_writes as u64;
        self.counters.commit_time += took;
        let (requests, was_in_trouble) = self.outbox.committed();
        if was_in_trouble {
            self.notices.push(Notice::StoreRecovered);
        }
        for request in requests {
            match request {
                Request::Event(entry) => {
                    self.counters.accepted += 1;
                    self.enter(&entry, &[]);
                }
                // Presets work from the moment they were asked for; only the answer waited.
                Request::Preset { .. } => {}
            }
        }
        self.pump_all(now);
    }

    /// The batch under way failed. Everything that somebody waits for is taken back; every number up to and including
    /// the returned one is to be answered with an error.
    pub(crate) fn commit_failed(&mut self, reason: &str, now: Now) -> BatchNo {
        let last = self.outbox.open_no();
        let (requests, pause) = self.outbox.failed(now.mono, |request| match request {
            Request::Event(entry) => Write::Forget(entry.seq),
            Request::Preset { before: Some(before), .. } => Write::PutPreset(before.clone()),
            Request::Preset { module, app, before: None } => {
                Write::RemovePreset { module: module.clone(), app: app.clone() }
            }
        });
        self.taken_back(requests);
        self.notices.push(Notice::StoreTrouble { reason: reason.into(), retry_in: pause });
        last
    }

    /// The store will never take one write of the batch under way, and has taken nothing of it. Gives the batch without it, to be
    /// sent again; or as [`Core::commit_failed`] the last number to be answered with an error, if somebody waits for that write.
    pub(crate) fn commit_refused(
        &mut self,
        write: usize,
        reason: &str,
        now: Now,
    ) -> Result<Vec<Write>, BatchNo> {
        let (refused, again) = match self.outbox.take_out(write) {
            TakenOut::Result(refused, writes) => {
                self.in_flight_writes = writes.len();
                (refused, Ok(writes))
            }
            TakenOut::Request(refused) => {
                let last = self.outbox.open_no();
                // Nothing is in the store that had to be undone, and nothing keeps the rest from trying again at once.
                let requests = self.outbox.take_back(|_| None);
                self.taken_back(requests);
                (refused, Err(last))
            }
            TakenOut::Nothing => return Err(self.commit_failed(reason, now)),
        };
        self.notices.push(Notice::WriteRefused { what: refused.to_string().into(), reason: reason.into() });
        again
    }

    /// What somebody had asked for and has not got, newest first.
    fn taken_back(&mut self, requests: Vec<Request>) {
        for request in requests {
            match request {
                Request::Event(entry) => {
                    self.counters.refused_store += 1;
                    if let Some(key) = entry.event.key() {
                        self.dedupe.forget(&key);
                    }
                }
                Request::Preset { module, app, before } => {
                    self.notices.push(Notice::PresetTakenBack { module: module.clone(), app: app.clone() });
                    self.restore_preset(&module, app, before);
                }
            }
        }
    }

    /// Time has passed: retries that are due, the oldest event's time, the next attempt at the store.
    pub(crate) fn tick(&mut self, now: Now) {
        for id in self.journal.expire(now.mono, self.settings.queue_timeout) {
            self.counters.timed_out += 1;
            self.notices.push(Notice::QueueTimeout { id });
        }
        self.settle(now);
        self.pump_all(now);
    }

    /// When [`Core::tick`] has something to do at the latest.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let retries = self.slots.iter().filter_map(|slot| slot.lane.next_retry());
        let expiry = self.journal.next_expiry(self.settings.queue_timeout);
        retries.chain(expiry).chain(self.outbox.next_attempt()).chain(self.next_second()).min()
    }

    /// Runs to start now.
    pub(crate) fn take_starts(&mut self) -> Vec<Start> {
        std::mem::take(&mut self.starts)
    }

    /// What has happened since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// From now on nothing is started. What has ended is still taken up and written.
    pub(crate) fn start_no_more(&mut self) {
        self.ending = true;
    }

    /// Nothing is to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(crate) fn slot_of(&self, module: &str) -> Option<usize> {
        self.by_name.get(module).copied()
    }

    pub(crate) fn inventory(&self, slot: usize) -> Inventory {
        self.slots[slot].inventory.clone()
    }
}
