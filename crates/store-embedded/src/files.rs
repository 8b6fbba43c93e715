//! The data directory: names, the lock, and changes of names that survive a crash.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mconn_store::StoreError;

use crate::error::{from_io, locked};

/// The store's file in the data directory.
pub const FILE_NAME: &str = "mconn.redb";

/// Held locked, exclusively by whoever may write. redb locks its own file as well, but lets go of it when it is opened
/// again after an I/O error and when a repair puts another file in its place.
const LOCK_NAME: &str = "mconn.lock";

/// A new file has this name until it is complete, so that a file with the real name always is.
const NEW_NAME: &str = "mconn.redb.new";

/// More damaged files than this in one directory, and someone has to look.
const ASIDE_MAX: u32 = 1_000;

/// Where everything lies.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) dir: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) new: PathBuf,
}

/// The right to use the data directory; gone when dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is just being started from another thread has a copy of it
        // until it runs its program.
        let _ = self.file.unlock();
    }
}

impl Places {
    pub(crate) fn new(dir: &Path) -> Self {
        // An absolute path keeps messages useful, and the store where it is when the process changes its directory.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        Self { file: dir.join(FILE_NAME), new: dir.join(NEW_NAME), dir }
    }

    /// Creates the directory, for its owner alone, unless it is there.
    pub(crate) fn create_dir(&self) -> Result<(), StoreError> {
        if self.dir.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|e| from_io(&e, &self.dir))?;
        // The directory's own entry; a parent that cannot be opened is not ours to complain about.
        if let Some(parent) = self.dir.parent() {
            let _ = sync_dir(parent);
        }
        Ok(())
    }

    /// The right to write.
    pub(crate) fn lock(&self) -> Result<DirLock, StoreError> {
        let path = self.dir.join(LOCK_NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|e| from_io(&e, &path))?;
        self.locked(file.try_lock())?;
        Ok(DirLock { file })
    }

    /// The right to read, without leaving a trace. A directory that was never locked needs none.
    pub(crate) fn lock_shared(&self) -> Result<Option<DirLock>, StoreError> {
        let path = self.dir.join(LOCK_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(from_io(&error, &path)),
        };
        self.locked(file.try_lock_shared())?;
        Ok(Some(DirLock { file }))
    }

    fn locked(&self, attempt: Result<(), TryLockError>) -> Result<(), StoreError> {
        match attempt {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(locked(&self.file)),
            Err(TryLockError::Error(error)) => Err(from_io(&error, &self.dir.join(LOCK_NAME))),
        }
    }

    /// An empty file under the temporary name. What an interrupted attempt left there was never in use.
    pub(crate) fn create_new(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&self.new)
    }

    /// Gives the complete new file the real name; whatever had that name is replaced in the same instant.
    pub(crate) fn publish_new(&self) -> io::Result<()> {
        File::open(&self.new)?.sync_all()?;
        fs::rename(&self.new, &self.file)?;
        sync_dir(&self.dir)
    }

    /// Gives the present file a second name `mconn.redb.corrupt-<n>` that survives [`Self::publish_new`].
    pub(crate) fn keep_aside(&self) -> io::Result<PathBuf> {
        for n in 1..=ASIDE_MAX {
            let aside = self.dir.join(format!("{FILE_NAME}.corrupt-{n}"));
            match fs::hard_link(&self.file, &aside) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                // No hard links here: a copy does as well, it only takes longer.
                Err(_) if !aside.exists() => {
                    fs::copy(&self.file, &aside)?;
                    File::open(&aside)?.sync_all()?;
                }
                Err(error) => return Err(error),
            }
            sync_dir(&self.dir)?;
            return Ok(aside);
        }
        Err(io::Error::other(format!("there are {ASIDE_MAX} damaged files already")))
    }
}

/// Makes new names in a directory survive a power cut.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
