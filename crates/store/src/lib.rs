//! Where presets, inventories and the journal live.
//!
//! **Owns** the trait [`Store`], the records and their serialised form, the memory store, export and import documents,
//! and the contract suite that every implementation passes.
//! **Comes in:** batches of [`Write`]s. **Goes out:** [`Contents`], once, when a node takes over.
//! **Never:** decisions. What a write means, and when an event is done, is the queue's business.
//!
//! ```text
//!   queue --commit(batch)--> Store (embedded | memory | ZooKeeper)   all or nothing, durable when it returns Ok
//!   queue <----load()------- Store                                   everything, when leadership begins
//! ```
//!
//! The working copy lives in the leader's memory; a store is its durable shadow. That is why it has two operations, and
//! why any engine that can apply a batch atomically can be one.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod document;
mod memory;
mod record;
mod size;

pub use document::{Document, DocumentError, FORMAT, SCHEMA_VERSION};
pub use futures_util::future::BoxFuture;
pub use memory::MemoryStore;
pub use record::{
    DeadLetter, JournalEntry, RecordError, decode_dead_letter, decode_item, decode_journal_entry,
    decode_preset, encode_dead_letter, encode_item, encode_journal_entry, encode_preset,
    task_event_from_json, task_event_to_json,
};
pub use size::{beginning, event_fits};

use std::sync::Arc;

use mconn_model::{AppId, InventoryItem, ModuleName, Preset};

/// Place of an event in the journal. Grows by one with every accepted event and is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The next place.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One change. A batch of them is applied in order, all or nothing. Writes are idempotent: putting what is there and
/// removing what is gone is no error.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Create or replace a preset.
    PutPreset(Arc<Preset>),
    /// Remove a preset.
    RemovePreset {
        /// Its module.
        module: ModuleName,
        /// Its app.
        app: AppId,
    },
    /// Create or replace an inventory item.
    PutItem {
        /// Whose inventory.
        module: ModuleName,
        /// The item, with its key.
        item: Arc<InventoryItem>,
    },
    /// Remove an inventory item.
    RemoveItem {
        /// Whose inventory.
        module: ModuleName,
        /// Its key.
        key: Arc<str>,
    },
    /// Append an accepted event to the journal.
    Append(Arc<JournalEntry>),
    /// One module is through with an event; others are not yet.
    Through {
        /// The event.
        seq: Seq,
        /// The module.
        module: ModuleName,
    },
    /// Every module is through with an event; it leaves the journal, and its `Through` marks with it.
    Forget(Seq),
    /// Keep a failed run for the operator.
    PutDeadLetter(Arc<DeadLetter>),
    /// Drop one (retried with success, or given up).
    RemoveDeadLetter {
        /// Its module.
        module: ModuleName,
        /// Its event.
        seq: Seq,
    },
}

/// Everything that a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// By module and app.
    pub presets: Vec<Arc<Preset>>,
    /// By module and key.
    pub items: Vec<(ModuleName, Arc<InventoryItem>)>,
    /// In order of acceptance.
    pub journal: Vec<Arc<JournalEntry>>,
    /// Modules that are through with events still in the journal.
    pub through: Vec<(Seq, ModuleName)>,
    /// By module and event.
    pub dead_letters: Vec<Arc<DeadLetter>>,
    /// Greater than every place ever used.
    pub next_seq: Option<Seq>,
    /// Records that could not be read and were left where they are, in words for the log.
    pub skipped: Vec<String>,
}

/// Durable, atomic, small.
pub trait Store: Send + Sync + 'static {
    /// Reads everything. Called once, when this node starts to lead.
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>>;

    /// Applies a batch, all or nothing, and returns when it is durable. Batches are applied in the order of the calls;
    /// the caller makes the next call after the last one returned.
    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Where the data lie, for log and API. No secrets.
    fn location(&self) -> String;

    /// The most bytes that one record may have ([`Write::size`]), if there is a limit. A batch with a write that is much larger
    /// fails with [`StoreErrorKind::Refused`] for ever, so whoever makes records looks first.
    fn record_limit(&self) -> Option<usize> {
        None
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What is the matter.
    pub kind: StoreErrorKind,
    /// What happened, where, and what to do.
    pub message: String,
}

impl StoreError {
    /// Puts an error together.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What is the matter with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No space, or a write failed: nothing of the batch is in the store. Trying again later makes sense.
    Unavailable,
    /// The batch may or may not be in the store. Trying again later makes sense: writes are idempotent.
    Unknown,
    /// This write of the batch, counted from 0, will not be taken however often it is tried: it is too large, or the store does
    /// not let us write at its place. Nothing of the batch is in the store, and the rest may be tried again at once.
    Refused {
        /// Which.
        write: usize,
    },
    /// What is stored cannot be trusted. Needs the operator.
    Corrupt,
    /// Written by a newer version of mconn.
    TooNew,
    /// Another process has it.
    Locked,
    /// Another node leads now, or may: this node must stop writing, for good. Nothing of the batch is in the store, unless the
    /// message says that it may be because the link went away in the middle of it.
    Deposed,
}
