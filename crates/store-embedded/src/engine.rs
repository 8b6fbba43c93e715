//! One open database and what happens to it when the disk fails.
//!
//! redb refuses everything after an I/O error until it is opened again, and cannot say whether a failed commit is in the
//! file. The engine opens again by itself and finds out: every batch raises the number `batches` in the same transaction,
//! so the file itself tells whether the batch is in.
//!
//! A batch that is in although its commit failed is `Unknown`, not `Ok`: after a failed sync the system may go on showing
//! pages that the disk does not have. Writing the batch again writes its pages again.
//!
//! ```text
//!            commit failed                      it is open again
//!   Open ---------------------> open again ---------------------> Open      Unavailable: the batch is not in
//!    ^                              |                                       Unknown: it is, but was it synced?
//!    |  next commit or load         | not now (no space, I/O error)
//!    +------------------------- Closed                                      Unknown, or Unavailable if it had not
//!                                   | damaged                               come to publishing
//!                                   v
//!                                Broken                                     Corrupt, from now on
//! ```

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};

use mconn_store::{Contents, StoreError, StoreErrorKind, Write};
use redb::{Builder, Database, ReadableDatabase};

use crate::error::{Failure, contain};
use crate::read::{self, Strict};
use crate::schema::{self, META_BATCHES};
use crate::{OpenOptions, apply};

/// Where the bytes are: a file, or a disk of a test.
pub(crate) trait Medium: fmt::Debug + Send + 'static {
    /// Opens what is there. Never creates.
    fn open(&self, builder: &Builder) -> Result<Database, Failure>;

    /// The file, for messages.
    fn file(&self) -> &Path;
}

/// An ordinary file.
#[derive(Debug)]
pub(crate) struct FileMedium(pub(crate) PathBuf);

impl Medium for FileMedium {
    fn open(&self, builder: &Builder) -> Result<Database, Failure> {
        Ok(builder.open(&self.0)?)
    }

    fn file(&self) -> &Path {
        &self.0
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Engine {
    medium: Box<dyn Medium>,
    options: OpenOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    Open { db: Database, batches: u64 },
    Closed,
    Broken(StoreError),
}

impl Engine {
    /// Opens, verifies every page, brings the layout up to date.
    pub(crate) fn start(medium: impl Medium, options: OpenOptions) -> Result<Self, StoreError> {
        let mut engine = Self { medium: Box::new(medium), options, state: State::Closed };
        engine.open(options.verify)?;
        Ok(engine)
    }

    /// Applies a batch, all or nothing, durable on return.
    pub(crate) fn commit(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.ready()?;
        let State::Open { db, batches } = &mut self.state else { return Err(self.away()) };
        let number = *batches + 1;
        let publishing = Cell::new(false);
        let result = contain(|| Ok(apply::commit(db, batch, number, &publishing)?));
        match result {
            Ok(()) => {
                *batches = number;
                Ok(())
            }
            Err(failure) => Err(self.after_failure(failure, number, publishing.get())),
        }
    }

    /// Everything that is stored.
    pub(crate) fn load(&mut self) -> Result<Contents, StoreError> {
        self.with_db(|db| read::contents(&db.begin_read()?, &mut Strict))
    }

    /// Runs something else on the database. After a failure it is opened again by whoever comes next.
    pub(crate) fn with_db<T>(
        &mut self,
        work: impl FnOnce(&mut Database) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.ready()?;
        let State::Open { db, .. } = &mut self.state else { return Err(self.away()) };
        let result = contain(|| work(db));
        result.map_err(|failure| {
            self.shut();
            let error = failure.into_store_error(self.medium.file());
            self.remember(&error);
            error
        })
    }

    /// Closes the file in good order, so that the next start has nothing to recover.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open { db, .. } => {
                contain(|| Ok(db.close()?)).map_err(|failure| failure.into_store_error(self.medium.file()))
            }
            State::Closed | State::Broken(_) => Ok(()),
        }
    }

    fn ready(&mut self) -> Result<(), StoreError> {
        match &self.state {
            State::Open { .. } => Ok(()),
            State::Closed => self.open(false),
            State::Broken(error) => Err(error.clone()),
        }
    }

    fn open(&mut self, verify: bool) -> Result<(), StoreError> {
        let file = self.medium.file().to_owned();
        let result = contain(|| {
            let mut builder = Database::builder();
            builder.set_cache_size(self.options.cache_bytes).set_check_integrity_on_open(verify);
            let db = self.medium.open(&builder)?;
            schema::settle(&db, &file)?;
            let batches = read::meta(&db.begin_read()?, META_BATCHES)?.unwrap_or_default();
            Ok(State::Open { db, batches })
        });
        match result {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(failure) => {
                let error = failure.into_store_error(&file);
                self.remember(&error);
                Err(error)
            }
        }
    }

    /// What became of batch `number`, after `failure`.
    fn after_failure(&mut self, failure: Failure, number: u64, publishing: bool) -> StoreError {
        let file = self.medium.file().to_owned();
        let error = failure.into_store_error(&file);
        tracing::warn!(file = %file.display(), error = %error, "a write failed; opening the store again");
        self.shut();
        // Every page has to prove itself if redb found, or choked on, something damaged.
        match self.open(error.kind == StoreErrorKind::Corrupt) {
            Ok(()) => match &self.state {
                State::Open { batches, .. } if *batches < number => {
                    StoreError::new(StoreErrorKind::Unavailable, error.message)
                }
                // The file shows the batch, but a write or a sync that belongs to it was reported as failed.
                _ => unknown(&error),
            },
            Err(opening) if opening.kind == StoreErrorKind::Corrupt => opening,
            Err(_) if publishing => unknown(&error),
            Err(_) => StoreError::new(StoreErrorKind::Unavailable, error.message),
        }
    }

    /// Lets go of a database that failed. Closing it writes, which may fail or panic as well; nobody waits for that.
    fn shut(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        if let Err(failure) = contain(move || {
            drop(state);
            Ok(())
        }) {
            tracing::debug!(why = failure.brief(), "closing a failed store");
        }
    }

    /// Trying again does not help against these.
    fn remember(&mut self, error: &StoreError) {
        if matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::TooNew) {
            self.state = State::Broken(error.clone());
        }
    }

    fn away(&self) -> StoreError {
        crate::error::unavailable(self.medium.file(), "it is closed")
    }
}

fn unknown(error: &StoreError) -> StoreError {
    let message = format!(
        "{}; whether the last batch is stored is not certain, so it should be written again",
        error.message
    );
    StoreError::new(StoreErrorKind::Unknown, message)
}
