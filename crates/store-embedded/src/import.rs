//! Contents into a file: an import, and the making of a new store.

use std::path::Path;
use std::sync::Arc;

use mconn_store::{Contents, StoreError, StoreErrorKind, Write};
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, WriteTransaction};

use crate::error::{Failure, contain, from_io};
use crate::files::Places;
use crate::read::{self, Counts, Strict, raise_next_seq};
use crate::schema::{self, DEAD_LETTERS, ITEMS, JOURNAL, META, META_BATCHES, PRESETS, THROUGH};
use crate::{OpenOptions, apply, open_engine};

/// Fills the store in `dir` with `contents`, in one transaction. Directory and store are created unless they are there.
/// With `replace`, what was in the store before is gone afterwards; only `next_seq` never goes back.
///
/// # Errors
/// Unavailable when there is something in the store and `replace` was not given, or the errors of opening. The store is
/// as before then.
pub fn import(dir: &Path, contents: &Contents, replace: bool) -> Result<Counts, StoreError> {
    let places = Places::new(dir);
    let (mut engine, _lock) = open_engine(&places, OpenOptions::default())?;
    engine.with_db(|db| {
        let txn = db.begin_read()?;
        let present = read::contents(&txn, &mut Strict)?;
        let batches = read::meta(&txn, META_BATCHES)?.unwrap_or_default();
        txn.close()?;
        if !replace && (Counts::of(&present).total() > 0 || !present.skipped.is_empty()) {
            return Err(Failure::Ours(not_empty(&places, &present)));
        }
        let txn = db.begin_write()?;
        clear(&txn)?;
        fill(&txn, contents, batches + 1)?;
        txn.commit()?;
        Ok(())
    })?;
    engine.close()?;
    Ok(Counts::of(contents))
}

/// Makes a new store with these contents. It has its name only when it is complete and synced.
pub(crate) fn create(places: &Places, contents: &Contents) -> Result<(), StoreError> {
    write_new(places, contents)?;
    places.publish_new().map_err(|error| from_io(&error, &places.new))
}

/// The same up to the moment before it gets its name.
pub(crate) fn write_new(places: &Places, contents: &Contents) -> Result<(), StoreError> {
    let new = &places.new;
    contain(|| {
        let backend = FileBackend::new(places.create_new().map_err(redb::Error::Io)?)?;
        let mut builder = Database::builder();
        let db = builder.set_cache_size(OpenOptions::default().cache_bytes).create_with_backend(backend)?;
        let txn = db.begin_write()?;
        schema::create(&txn)?;
        fill(&txn, contents, 0)?;
        txn.commit()?;
        db.close()?;
        Ok(())
    })
    .map_err(|failure| failure.into_store_error(new))
}

fn clear(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.delete_table(PRESETS)?;
    txn.delete_table(ITEMS)?;
    txn.delete_table(JOURNAL)?;
    txn.delete_table(THROUGH)?;
    txn.delete_table(DEAD_LETTERS)?;
    Ok(())
}

fn fill(txn: &WriteTransaction, contents: &Contents, number: u64) -> Result<(), redb::Error> {
    apply::write_all(txn, &writes(contents), number)?;
    raise_next_seq(&mut txn.open_table(META)?, contents.next_seq)
}

/// The batch that makes an empty store hold these contents. Records are shared, not copied.
fn writes(contents: &Contents) -> Vec<Write> {
    let presets = contents.presets.iter().map(|preset| Write::PutPreset(Arc::clone(preset)));
    let items = contents
        .items
        .iter()
        .map(|(module, item)| Write::PutItem { module: module.clone(), item: Arc::clone(item) });
    let journal = contents.journal.iter().map(|entry| Write::Append(Arc::clone(entry)));
    let through =
        contents.through.iter().map(|(seq, module)| Write::Through { seq: *seq, module: module.clone() });
    let letters = contents.dead_letters.iter().map(|letter| Write::PutDeadLetter(Arc::clone(letter)));
    presets.chain(items).chain(journal).chain(through).chain(letters).collect()
}

fn not_empty(places: &Places, present: &Contents) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the store {} is not empty ({}, {} unreadable records): export it first, then import with --replace, or use \
             another data directory",
            places.file.display(),
            Counts::of(present),
            present.skipped.len()
        ),
    )
}
