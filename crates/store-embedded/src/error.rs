//! redb's errors, and its panics, in our words.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mconn_store::{StoreError, StoreErrorKind};

/// Why something did not work, before it is put into words.
#[derive(Debug)]
pub(crate) enum Failure {
    /// redb said so.
    Redb(Box<redb::Error>),
    /// redb panicked. It does so on damaged pages in a file that claims to have been closed well.
    Panic(String),
    /// We found out ourselves.
    Ours(StoreError),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

/// Runs `work` and turns a panic in it into a [`Failure`]. Whatever `work` had in its hands is to be thrown away then.
pub(crate) fn contain<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure::Panic(text.unwrap_or("a panic without words").to_owned()))
    })
}

impl Failure {
    /// The error that the caller sees. `file` is the file it is about.
    pub(crate) fn into_store_error(self, file: &Path) -> StoreError {
        match self {
            Self::Ours(error) => error,
            Self::Panic(text) => corrupt(file, &format!("reading it failed with \"{}\"", one_line(&text))),
            Self::Redb(error) => from_redb(&error, file),
        }
    }

    /// What is the matter, in a few words, for lists of problems.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Ours(error) => error.message.clone(),
            Self::Panic(text) => one_line(text),
            Self::Redb(error) => one_line(&error.to_string()),
        }
    }
}

fn from_redb(error: &redb::Error, file: &Path) -> StoreError {
    use redb::Error;
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => locked(file),
        Error::Io(io) => from_io(io, file),
        Error::PreviousIo | Error::DatabaseClosed | Error::LockPoisoned(_) => {
            unavailable(file, "an earlier write to it failed")
        }
        Error::ValueTooLarge(_) | Error::TransactionPoisoned => {
            unavailable(file, &one_line(&error.to_string()))
        }
        // What is left is about the contents: checksums, tables that are missing or of another type, formats.
        other => corrupt(file, &one_line(&other.to_string())),
    }
}

/// An I/O error with what to do about it.
pub(crate) fn from_io(error: &std::io::Error, file: &Path) -> StoreError {
    match error.kind() {
        ErrorKind::InvalidData => corrupt(file, "it is no redb file"),
        ErrorKind::UnexpectedEof => corrupt(file, "it is shorter than it says"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => unavailable(
            file,
            &format!(
                "{error}: free some space on that file system; mconn goes on by itself once there is some"
            ),
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            unavailable(file, &format!("{error}: mconn must be able to write there"))
        }
        _ => unavailable(file, &error.to_string()),
    }
}

pub(crate) fn unavailable(file: &Path, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("cannot use the store {}: {why}", file.display()))
}

pub(crate) fn corrupt(file: &Path, why: &str) -> StoreError {
    let dir = file.parent().unwrap_or(file).display();
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!(
            "the store {} is damaged: {why}. Nothing was changed; stop mconn, then `mconn store repair --data-dir {dir}` \
             saves what can be read and keeps the damaged file beside it",
            file.display()
        ),
    )
}

pub(crate) fn locked(file: &Path) -> StoreError {
    let dir = file.parent().unwrap_or(file).display();
    StoreError::new(
        StoreErrorKind::Locked,
        format!(
            "the store {} is in use by another process: stop the other mconn that runs with --data-dir {dir}, or give \
             this one a data directory of its own",
            file.display()
        ),
    )
}

pub(crate) fn too_new(file: &Path, found: u64, known: u32) -> StoreError {
    StoreError::new(
        StoreErrorKind::TooNew,
        format!(
            "the store {} has schema version {found}, this mconn knows versions up to {known}: use the mconn that wrote \
             it, or a newer one",
            file.display()
        ),
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
