//! The store of a single node: one crash-safe file in a data directory.
//!
//! **Owns** the data directory, its lock and the file `mconn.redb` (redb, a copy-on-write B-tree with checksums), and the
//! tools that look at that file: [`check`], [`salvage`], [`import`], [`export`].
//! **Comes in:** batches of writes, one at a time. **Goes out:** contents, and for each batch a definite answer: durable,
//! not in the store, or unknown.
//! **Never:** deletes a file that held data, creates an empty store where a damaged one lies, decides what a write
//! means, blocks the async runtime, or lets a panic of redb out.
//!
//! ```text
//!   commit(batch) --> bounded channel --> thread "mconn-store" --> Engine --> redb --> mconn.redb (one fsync per batch)
//!        ^                                                            |
//!        +------------------ oneshot: Ok, Unavailable, Unknown -------+   opens the file again after an I/O error
//! ```
//!
//! # The data directory
//!
//! | name | what |
//! |---|---|
//! | `mconn.redb` | the store |
//! | `mconn.lock` | empty; locked by the process that uses the directory |
//! | `mconn.redb.new` | a new store that is not complete; never read, overwritten by the next attempt |
//! | `mconn.redb.corrupt-<n>` | a damaged store that a repair has put aside |
//!
//! # The file
//!
//! Keys are redb's tuples of text and numbers, values the JSON records of `mconn-store` (its golden files show them).
//!
//! | table | key | value |
//! |---|---|---|
//! | `presets` | (module, app id) | preset |
//! | `items` | (module, item key) | inventory item |
//! | `journal` | place (u64) | accepted event |
//! | `through` | (place, module) | nothing: the module is through with the event |
//! | `dead_letters` | (module, place) | dead letter |
//! | `meta` | name | u64: `schema_version`, `next_seq`, `batches` (how many were ever applied) |
//!
//! A newer `schema_version` is refused, an older one is migrated within one transaction.
//!
//! # What is promised
//!
//! * A batch that was answered with `Ok` is in the file after any crash of process or machine, whole, if the disk keeps
//!   what it has synced.
//!   Damage that hits the pages of the very last batch *and* comes with a crash looks to redb like a batch that had not
//!   arrived, and is rolled back without a word; a second sync per batch would be the price of telling them apart.
//! * `Unavailable`: nothing of the batch is in the file. `Unknown`: all of it, or nothing.
//! * After an error of the disk, or a full one, the store goes on as soon as the disk does; nobody has to restart it.
//! * Every page is verified when the store is opened ([`OpenOptions::verify`]); damage is reported, never repaired or
//!   deleted unasked. Single records that cannot be decoded are left in place and named in `Contents::skipped`.

mod apply;
mod check;
mod compact;
mod engine;
mod error;
mod files;
mod import;
mod overlay;
mod read;
mod salvage;
mod schema;
mod writer;

#[cfg(test)]
mod faults;

pub use check::{CheckReport, check, export};
pub use files::FILE_NAME;
pub use import::import;
pub use read::Counts;
pub use salvage::{SalvageReport, salvage};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use mconn_store::{BoxFuture, Contents, Store, StoreError, Write};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Engine, FileMedium};
use crate::error::{from_io, unavailable};
use crate::files::{DirLock, Places};
use crate::writer::Job;

/// How to open a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Memory for cached pages. The contents live in the queue's memory, so the cache only serves the paths of the
    /// B-trees that a batch touches; a node has to stay below 60 MiB in all.
    pub cache_bytes: usize,
    /// Verify the checksum of every page when opening. Reads the whole file, some 100 ms for 64 MiB. Without it, damage
    /// that happened while the store was closed shows when the page is next read.
    pub verify: bool,
    /// Files below this size are never compacted.
    pub compact_above_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { cache_bytes: 8 << 20, verify: true, compact_above_bytes: 64 << 20 }
    }
}

/// See the crate's text.
#[derive(Debug)]
pub struct EmbeddedStore {
    file: PathBuf,
    jobs: mpsc::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the store in `dir`; directory and store are created unless they are there. Blocks, so it belongs to the
    /// start of a process.
    ///
    /// # Errors
    /// Locked, Corrupt, `TooNew`, or Unavailable when the directory cannot be used. The message says what to do.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let places = Places::new(dir);
        let (engine, lock) = open_engine(&places, options)?;
        Self::start(places.file, engine, Some(lock))
    }

    fn start(file: PathBuf, engine: Engine, lock: Option<DirLock>) -> Result<Self, StoreError> {
        let (jobs, thread) = writer::spawn(engine, lock).map_err(|error| from_io(&error, &file))?;
        Ok(Self { file, jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Finishes what was asked before, closes the file and gives up the directory. Everything after it is refused.
    /// Dropping the store does the same, but blocks for it and cannot tell of an error.
    ///
    /// # Errors
    /// Unavailable when closing failed. No data are lost then; the next start recovers the file.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(Job::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let closed = || unavailable(&self.file, "it is closed");
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Store for EmbeddedStore {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(self.ask(Job::Load))
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.ask(|reply| Job::Commit(batch, reply)))
    }

    fn location(&self) -> String {
        self.file.display().to_string()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The thread ends when there is no sender left.
        self.jobs = mpsc::channel(1).0;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(file = %self.file.display(), "the store's thread had panicked");
        }
    }
}

/// Locks the directory, makes sure that there is a store, and opens it.
pub(crate) fn open_engine(places: &Places, options: OpenOptions) -> Result<(Engine, DirLock), StoreError> {
    places.create_dir()?;
    let lock = places.lock()?;
    if !places.file.try_exists().map_err(|error| from_io(&error, &places.file))? {
        import::create(places, &Contents::default())?;
    }
    let mut engine = Engine::start(FileMedium(places.file.clone()), options)?;
    compact::if_worthwhile(&mut engine, &places.file, options);
    Ok((engine, lock))
}
