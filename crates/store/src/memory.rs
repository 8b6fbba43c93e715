//! A store that forgets at the end of the process. For tests, and for nodes whose state may go (MCONN_STORE=memory).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use mconn_model::{AppId, InventoryItem, ModuleName, Preset};

use crate::{BoxFuture, Contents, DeadLetter, JournalEntry, Seq, Store, StoreError, StoreErrorKind, Write};

/// Everything in memory, applied under one lock that is never held across an await.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    record_limit: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    presets: BTreeMap<(ModuleName, AppId), Arc<Preset>>,
    items: BTreeMap<(ModuleName, Arc<str>), Arc<InventoryItem>>,
    journal: BTreeMap<Seq, Arc<JournalEntry>>,
    through: BTreeMap<Seq, BTreeSet<ModuleName>>,
    dead_letters: BTreeMap<(ModuleName, Seq), Arc<DeadLetter>>,
    next_seq: Option<Seq>,
    refusal: Option<StoreError>,
    commits: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes no record of more bytes.
    #[must_use]
    pub fn with_record_limit(limit: usize) -> Self {
        Self { record_limit: Some(limit), ..Self::default() }
    }

    /// From now on every commit fails with this error, or works again with `None`. For tests of what happens then.
    pub fn refuse(&self, error: Option<StoreError>) {
        self.lock().refusal = error;
    }

    /// Number of batches applied so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// What [`Store::load`] would give now.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let state = self.lock();
        Contents {
            presets: state.presets.values().cloned().collect(),
            items: state.items.iter().map(|((module, _), item)| (module.clone(), item.clone())).collect(),
            journal: state.journal.values().cloned().collect(),
            through: marks(&state.through),
            dead_letters: state.dead_letters.values().cloned().collect(),
            next_seq: state.next_seq,
            skipped: Vec::new(),
        }
    }

    /// A panic while the lock was held cannot leave a half-applied batch that matters: `apply` does not panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, write: Write) {
        match write {
            Write::PutPreset(preset) => {
                self.presets.insert((preset.module.clone(), preset.app.clone()), preset);
            }
            Write::RemovePreset { module, app } => {
                self.presets.remove(&(module, app));
            }
            Write::PutItem { module, item } => {
                self.items.insert((module, item.key.clone()), item);
            }
            Write::RemoveItem { module, key } => {
                self.items.remove(&(module, key));
            }
            Write::Append(entry) => {
                self.next_seq = self.next_seq.max(Some(entry.seq.next()));
                self.journal.insert(entry.seq, entry);
            }
            Write::Through { seq, module } => {
                if self.journal.contains_key(&seq) {
                    self.through.entry(seq).or_default().insert(module);
                }
            }
            Write::Forget(seq) => {
                self.journal.remove(&seq);
                self.through.remove(&seq);
            }
            Write::PutDeadLetter(letter) => {
                self.next_seq = self.next_seq.max(Some(letter.seq.next()));
                self.dead_letters.insert((letter.module.clone(), letter.seq), letter);
            }
            Write::RemoveDeadLetter { module, seq } => {
                self.dead_letters.remove(&(module, seq));
            }
        }
    }
}

fn marks(through: &BTreeMap<Seq, BTreeSet<ModuleName>>) -> Vec<(Seq, ModuleName)> {
    through.iter().flat_map(|(seq, modules)| modules.iter().map(|module| (*seq, module.clone()))).collect()
}

impl Store for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(async { Ok(self.contents()) })
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.lock();
            if let Some(error) = &state.refusal {
                return Err(error.clone());
            }
            let large = |write: &Write| self.record_limit.is_some_and(|limit| write.size() > limit);
            if let Some(index) = batch.iter().position(large) {
                let text = format!("{} is too large for the store in memory", batch[index]);
                return Err(StoreError::new(StoreErrorKind::Refused { write: index }, text));
            }
            state.commits += 1;
            for write in batch {
                state.apply(write);
            }
            Ok(())
        })
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn record_limit(&self) -> Option<usize> {
        self.record_limit
    }
}
