//! Saving what can be read from a damaged store.
//!
//! Three attempts, from the trustworthy to the desperate, each on a view in memory:
//! 1. redb opens and verifies the file. Then only records that cannot be decoded are lost.
//! 2. The file is opened without verifying, as if it had been closed in good order, and each table is read from its
//!    beginning up to the first damaged page and from its end back to the last one; events between two damaged pages
//!    are asked for one by one.
//! 3. The same with the older of the two states that redb keeps. It is taken if it lost less.
//!
//! Pages are not searched for records outside the trees: what lies there has been removed, and would come back as
//! events that are handled again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mconn_store::{Contents, SCHEMA_VERSION, Seq, StoreError, StoreErrorKind, decode_journal_entry};
use redb::{
    ConcurrencyMode, Database, Key, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, TableDefinition, TableHandle, Value,
};

use crate::check::{
    CACHE_BYTES, GOD_BYTE, PRIMARY_SLOT, PRIMARY_UNFLUSHED, RECOVERY_REQUIRED, absent, inspect,
};
use crate::error::{Failure, contain, corrupt, from_io, too_new};
use crate::files::Places;
use crate::import;
use crate::overlay::Overlay;
use crate::read::{self, Counts, Walk};
use crate::schema::{JOURNAL, META_SCHEMA};

/// Added to the highest place found when `next_seq` itself is lost, so that no place of a lost event is used again. A
/// million events are more than a queue ever holds.
const SEQ_MARGIN: u64 = 1_000_000;

/// Events that are asked for one by one, at most.
const PROBES_MAX: u64 = 1_000_000;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Where the damaged file is now. `None` if the store was sound; then nothing was changed.
    pub kept_as: Option<PathBuf>,
    /// Records in the new store.
    pub recovered: Counts,
    /// Records that were in the damaged one and are not in the new one, as far as its tables can say.
    pub lost: u64,
    /// Tables of which nothing is known.
    pub unreadable_tables: Vec<&'static str>,
    /// Whether the checksums of what was read are right. If not, recovered records may have changed.
    pub verified: bool,
    /// `next_seq` of the new store.
    pub next_seq: Option<Seq>,
    /// What was found on the way, one sentence each.
    pub problems: Vec<String>,
}

/// Writes what can be read from the store in `dir` into a new file and puts the damaged one aside as
/// `mconn.redb.corrupt-<n>`. The new file is complete and synced before it takes the other's name, in one step.
///
/// # Errors
/// Corrupt when nothing can be read and `allow_empty` is not given; everything stays as it is then. Otherwise the errors
/// of opening and writing, after which the damaged file still has its name.
pub fn salvage(dir: &Path, allow_empty: bool) -> Result<SalvageReport, StoreError> {
    let places = Places::new(dir);
    if !places.file.try_exists().map_err(|error| from_io(&error, &places.file))? {
        return Err(absent(&places));
    }
    let _lock = places.lock()?;
    let (found, contents) = inspect(&places)?;
    if let (true, Some(contents)) = (found.is_sound(), &contents) {
        let recovered = Counts::of(contents);
        let next_seq = contents.next_seq;
        return Ok(SalvageReport { recovered, verified: true, next_seq, ..SalvageReport::default() });
    }
    let mut report = SalvageReport { problems: found.problems, ..SalvageReport::default() };
    let contents = match contents {
        Some(contents) => {
            report.verified = true;
            report.lost = u64::try_from(contents.skipped.len()).unwrap_or(u64::MAX);
            contents
        }
        None => patiently(&places, &mut report)?,
    };
    report.recovered = Counts::of(&contents);
    report.next_seq = contents.next_seq;
    if report.recovered.total() == 0 && !report.verified && !allow_empty {
        let why =
            format!("nothing in it can be read ({}); to start empty, allow it", report.problems.join("; "));
        return Err(corrupt(&places.file, &why));
    }
    // The new file first: if there is no space for it, nothing has happened.
    import::write_new(&places, &contents)?;
    let aside = places.keep_aside().and_then(|aside| places.publish_new().map(|()| aside));
    report.kept_as = Some(aside.map_err(|error| from_io(&error, &places.file))?);
    Ok(report)
}

/// Attempts 2 and 3.
fn patiently(places: &Places, report: &mut SalvageReport) -> Result<Contents, StoreError> {
    let [current, older] = [false, true].map(|older| attempt(&places.file, older));
    let (state, attempt) = match (current?, older?) {
        (current, older) if older.badness() < current.badness() => ("the older", older),
        (current, _) => ("the current", current),
    };
    report.problems.push(format!("read {state} of the two states in the file without verifying it"));
    report.problems.extend(attempt.walk.problems);
    report.problems.extend(attempt.contents.skipped.iter().cloned());
    report.lost = attempt.walk.lost.saturating_add(attempt.contents.skipped.len() as u64);
    report.unreadable_tables = attempt.walk.unreadable;
    Ok(attempt.contents)
}

#[derive(Default)]
struct Attempt {
    contents: Contents,
    walk: Patient,
}

impl Attempt {
    fn badness(&self) -> (usize, u64) {
        (self.walk.unreadable.len(), self.walk.lost.saturating_add(self.contents.skipped.len() as u64))
    }
}

fn attempt(file: &Path, older: bool) -> Result<Attempt, StoreError> {
    let mut attempt = Attempt::default();
    let result = contain(|| {
        let db = open_unverified(file, older)?;
        let txn = db.begin_read()?;
        let version = contain(|| Ok(read::meta(&txn, META_SCHEMA)?)).ok().flatten();
        if let Some(version) = version.filter(|version| *version > u64::from(SCHEMA_VERSION)) {
            return Err(Failure::Ours(too_new(file, version, SCHEMA_VERSION)));
        }
        attempt.contents = read::contents(&txn, &mut attempt.walk)?;
        attempt.walk.probe_journal(&txn, &mut attempt.contents);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(Failure::Ours(error)) if error.kind == StoreErrorKind::TooNew => return Err(error),
        Err(failure) => {
            attempt.walk.problems.push(failure.brief());
            attempt.walk.unreadable = crate::schema::TABLE_NAMES.to_vec();
        }
    }
    let contents = &mut attempt.contents;
    let events = contents.journal.iter().map(|entry| entry.seq);
    let used = events.chain(contents.dead_letters.iter().map(|letter| letter.seq)).max();
    if contents.next_seq.is_none() && (used.is_some() || attempt.walk.lost > 0) {
        let used = used.map_or(0, |seq| seq.0);
        contents.next_seq = Some(Seq(used.saturating_add(SEQ_MARGIN)));
    }
    contents.next_seq = contents.next_seq.max(used.map(|seq| Seq(seq.0.saturating_add(1))));
    Ok(attempt)
}

/// redb verifies a file that was not closed in good order, and refuses it if it is damaged. In this view the file has
/// been closed in good order; and a reader beside a writer, which this one claims to be, needs no allocator state.
fn open_unverified(file: &Path, older: bool) -> Result<ReadOnlyDatabase, Failure> {
    /// Offsets in redb's header: pages of data in a full region, number of full regions, pages in the last one.
    const REGION_PAGES: u64 = 20;
    const FULL_REGIONS: u64 = 24;
    const LAST_PAGES: u64 = 28;
    const PAGE: u64 = 4096;

    let overlay = Overlay::open(file).map_err(redb::Error::Io)?;
    let patch = |overlay: &Overlay| {
        let mut god = [0];
        overlay.read(GOD_BYTE as u64, &mut god)?;
        god[0] &= !(RECOVERY_REQUIRED | PRIMARY_UNFLUSHED);
        god[0] ^= if older { PRIMARY_SLOT } else { 0 };
        overlay.write(GOD_BYTE as u64, &god)?;
        // The sizes in the header are only right in a file that was closed in good order, and was not cut.
        let mut region_pages = [0; 4];
        overlay.read(REGION_PAGES, &mut region_pages)?;
        let region_pages = u64::from(u32::from_le_bytes(region_pages)).max(1);
        let pages = StorageBackend::len(overlay)?.div_ceil(PAGE);
        overlay.set_len(pages * PAGE)?;
        let number = |pages: u64| u32::try_from(pages).unwrap_or(u32::MAX).to_le_bytes();
        overlay.write(FULL_REGIONS, &number(pages.saturating_sub(1) / region_pages))?;
        overlay.write(LAST_PAGES, &number(pages.saturating_sub(1) % region_pages))
    };
    patch(&overlay).map_err(redb::Error::Io)?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_concurrency_mode(ConcurrencyMode::SingleWriter);
    Ok(builder.open_read_only_with_backend(overlay)?)
}

/// Goes on where [`read::Strict`] gives up.
#[derive(Debug, Default)]
struct Patient {
    lost: u64,
    unreadable: Vec<&'static str>,
    problems: Vec<String>,
}

impl Walk for Patient {
    fn walk<K: Key + 'static, V: Value + 'static>(
        &mut self,
        txn: &ReadTransaction,
        definition: TableDefinition<'static, K, V>,
        mut row: impl FnMut(K::SelfType<'_>, V::SelfType<'_>),
    ) -> Result<(), Failure> {
        let name =
            crate::schema::TABLE_NAMES.into_iter().find(|name| *name == definition.name()).unwrap_or("?");
        let opened = contain(|| {
            let table = txn.open_table(definition)?;
            let len = table.len()?;
            Ok((table, len))
        });
        let (table, len) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                self.problems.push(format!("table {name} cannot be opened: {}", failure.brief()));
                self.unreadable.push(name);
                return Ok(());
            }
        };
        let mut pass = Pass::default();
        let forward = contain(|| Ok(table.iter()?)).and_then(|mut rows| {
            pass.run::<K, V>(|| Ok(rows.next().transpose()?), Direction::Forward, &mut row)
        });
        if let Err(failure) = forward {
            self.problems.push(format!("table {name} has a damaged page: {}", failure.brief()));
            let limit = pass.last.take();
            // Where the next damaged page lies does not matter; the count tells what is missing.
            let _ = contain(|| Ok(table.iter()?)).and_then(|mut rows| {
                pass.run::<K, V>(
                    || Ok(rows.next_back().transpose()?),
                    Direction::BackTo(limit.as_deref()),
                    &mut row,
                )
            });
        }
        let lost = len.saturating_sub(pass.rows);
        if lost > 0 {
            self.problems.push(format!("{lost} of {len} records in table {name} are lost"));
            self.lost = self.lost.saturating_add(lost);
        }
        Ok(())
    }
}

type Guards<'t, K, V> = (redb::AccessGuard<'t, K>, redb::AccessGuard<'t, V>);

#[derive(Clone, Copy)]
enum Direction<'a> {
    Forward,
    /// Down to the row after this key, or to the first one.
    BackTo(Option<&'a [u8]>),
}

/// One way through a table, forwards or backwards.
#[derive(Default)]
struct Pass {
    rows: u64,
    last: Option<Vec<u8>>,
}

impl Pass {
    /// Hands each row to `row`. Keys that are out of order mean a page that does not belong here.
    fn run<'t, K: Key + 'static, V: Value + 'static>(
        &mut self,
        mut next: impl FnMut() -> Result<Option<Guards<'t, K, V>>, Failure>,
        direction: Direction<'_>,
        row: &mut impl FnMut(K::SelfType<'_>, V::SelfType<'_>),
    ) -> Result<(), Failure> {
        while let Some((key, value)) = contain(&mut next)? {
            let bytes = contain(|| Ok(K::as_bytes(&key.value()).as_ref().to_vec()))?;
            let above = |low: &[u8], high: &[u8]| K::compare(high, low).is_gt();
            if matches!(direction, Direction::BackTo(Some(limit)) if !above(limit, &bytes)) {
                return Ok(());
            }
            let ordered = self.last.as_ref().is_none_or(|last| match direction {
                Direction::Forward => above(last, &bytes),
                Direction::BackTo(_) => above(&bytes, last),
            });
            if !ordered {
                return Err(Failure::Panic("keys are out of order".into()));
            }
            contain(|| {
                row(key.value(), value.value());
                Ok(())
            })?;
            self.last = Some(bytes);
            self.rows += 1;
        }
        Ok(())
    }
}

impl Patient {
    /// Asks for the events between two damaged pages one by one; their places are known to be numbers in a row.
    fn probe_journal(&mut self, txn: &ReadTransaction, contents: &mut Contents) {
        contents.journal.sort_by_key(|entry| entry.seq);
        if self.lost == 0 {
            return;
        }
        let Ok(table) = contain(|| Ok(txn.open_table(JOURNAL)?)) else { return };
        let known: Vec<u64> = contents.journal.iter().map(|entry| entry.seq.0).collect();
        let gaps = known.windows(2).flat_map(|pair| pair[0] + 1..pair[1]);
        let probes = usize::try_from(PROBES_MAX).unwrap_or(usize::MAX);
        for seq in gaps.take(probes) {
            let entry =
                contain(|| Ok(table.get(seq)?.map(|record| decode_journal_entry(Seq(seq), record.value()))));
            if let Ok(Some(Ok(entry))) = entry {
                contents.journal.push(Arc::new(entry));
                self.lost = self.lost.saturating_sub(1);
            }
        }
        contents.journal.sort_by_key(|entry| entry.seq);
    }
}
