//! Looking at a store without changing it.

use std::path::{Path, PathBuf};

use mconn_store::{Contents, Seq, StoreError, StoreErrorKind};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableHandle};

use crate::error::{Failure, contain, corrupt, from_io, unavailable};
use crate::files::{DirLock, Places};
use crate::overlay::Overlay;
use crate::read::{self, Counts, Strict};
use crate::schema::{self, META_SCHEMA, TABLE_NAMES, THROUGH};

/// Memory for pages while a file is looked at.
pub(crate) const CACHE_BYTES: usize = 8 << 20;

/// More problems than this are only counted.
const PROBLEMS_MAX: usize = 100;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Version of the layout, if it can be read.
    pub schema_version: Option<u64>,
    /// Whether the last process closed it in good order. If not, the next start recovers it; that is no problem.
    pub closed_well: bool,
    /// Records that can be read and decoded.
    pub counts: Counts,
    /// Greater than every place ever used.
    pub next_seq: Option<Seq>,
    /// What is wrong, one sentence each. Empty when the store is sound.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }
}

/// Reads everything in the store in `dir`: every page with its checksum, every record. Not one byte of it changes; what
/// redb does to recover from a crash is done in memory.
///
/// # Errors
/// When there is no store, it is in use, or it is of a newer version. A damaged store is no error but a report.
pub fn check(dir: &Path) -> Result<CheckReport, StoreError> {
    let places = Places::new(dir);
    let _lock = present(&places)?;
    let mut report = inspect(&places)?.0;
    if report.problems.len() > PROBLEMS_MAX {
        let more = report.problems.len() - PROBLEMS_MAX;
        report.problems.truncate(PROBLEMS_MAX);
        report.problem(format!("and {more} more"));
    }
    Ok(report)
}

/// Everything in the store in `dir`, for an export document. Records that cannot be decoded are in `skipped`. The file
/// does not change.
///
/// # Errors
/// Corrupt when the file is damaged (a repair comes first), or the errors of [`check`].
pub fn export(dir: &Path) -> Result<Contents, StoreError> {
    let places = Places::new(dir);
    let _lock = present(&places)?;
    let (report, contents) = inspect(&places)?;
    contents.ok_or_else(|| corrupt(&places.file, report.problems.first().map_or("", String::as_str)))
}

/// Makes sure that there is a store that nobody is using.
fn present(places: &Places) -> Result<Option<DirLock>, StoreError> {
    match places.file.try_exists() {
        Ok(true) => places.lock_shared(),
        Ok(false) => Err(absent(places)),
        Err(error) => Err(from_io(&error, &places.file)),
    }
}

pub(crate) fn absent(places: &Places) -> StoreError {
    unavailable(
        &places.file,
        "it does not exist; mconn creates it when it first runs with this data directory",
    )
}

/// The report, and the contents if every table can be read.
pub(crate) fn inspect(places: &Places) -> Result<(CheckReport, Option<Contents>), StoreError> {
    let file = &places.file;
    let mut report = CheckReport { file: file.clone(), ..CheckReport::default() };
    report.bytes = std::fs::metadata(file).map_err(|error| from_io(&error, file))?.len();
    report.closed_well = closed_well(file);
    let result = contain(|| {
        let db = open_verified(file)?;
        schema::settle(&db, file)?;
        look(&db.begin_read()?, &mut report)
    });
    match result {
        Ok(contents) => Ok((report, Some(contents))),
        Err(Failure::Ours(error)) if error.kind == StoreErrorKind::TooNew => Err(error),
        Err(failure) => {
            report.problem(failure.brief());
            Ok((report, None))
        }
    }
}

/// Opens a view of the file after redb has verified every page in use.
pub(crate) fn open_verified(file: &Path) -> Result<Database, Failure> {
    let overlay = Overlay::open(file).map_err(redb::Error::Io)?;
    if redb::StorageBackend::len(&overlay).map_err(redb::Error::Io)? == 0 {
        // redb would make a new database of it. Ours never are empty, not even after a crash while they are made.
        return Err(Failure::Ours(corrupt(file, "it is empty")));
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(overlay)?)
}

fn look(txn: &ReadTransaction, report: &mut CheckReport) -> Result<Contents, Failure> {
    report.schema_version = read::meta(txn, META_SCHEMA)?;
    for table in txn.list_tables()? {
        if !TABLE_NAMES.contains(&table.name()) {
            report.problem(format!("there is a table \"{}\", which is not mconn's", table.name()));
        }
    }
    let contents = read::contents(txn, &mut Strict)?;
    report.counts = Counts::of(&contents);
    report.next_seq = contents.next_seq;
    for skipped in &contents.skipped {
        report.problem(skipped.clone());
    }
    let marks = txn.open_table(THROUGH)?.len()?;
    if marks > report.counts.through {
        let lone = marks - report.counts.through;
        report.problem(format!("{lone} marks belong to no queued event that can be read"));
    }
    let events = contents.journal.iter().map(|entry| entry.seq);
    let used = events.chain(contents.dead_letters.iter().map(|letter| letter.seq)).max();
    if used.is_some() && used >= contents.next_seq {
        report.problem("next_seq is not greater than every place in use");
    }
    Ok(contents)
}

/// The flag in redb's header (docs/design.md of redb, "god byte") that is set while a process has the file open.
fn closed_well(file: &Path) -> bool {
    let mut header = [0; 10];
    let read = std::fs::File::open(file).and_then(|file| {
        use std::os::unix::fs::FileExt;
        file.read_exact_at(&mut header, 0)
    });
    read.is_ok() && header[GOD_BYTE] & RECOVERY_REQUIRED == 0
}

/// Where redb's header keeps the flags.
pub(crate) const GOD_BYTE: usize = 9;
/// Which of the two commit slots is the current one.
pub(crate) const PRIMARY_SLOT: u8 = 1;
/// Not closed in good order.
pub(crate) const RECOVERY_REQUIRED: u8 = 2;
/// A flag of redb's modes that share a file between processes.
pub(crate) const PRIMARY_UNFLUSHED: u8 = 8;
