//! A batch of writes as one transaction.

use std::cell::Cell;
use std::ops::{Bound, RangeBounds};

use mconn_store::{Seq, Write, encode_dead_letter, encode_item, encode_journal_entry, encode_preset};
use redb::{Database, Durability, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::schema::{DEAD_LETTERS, ITEMS, JOURNAL, META, META_BATCHES, META_NEXT_SEQ, PRESETS, THROUGH};

/// Applies `batch` and makes it durable. `publishing` is set as soon as some of it may survive a failure.
///
/// One-phase commit: redb writes pages and header, then syncs once; after a crash, checksums tell whether the last
/// transaction arrived whole. Two-phase commit would sync twice, for a guarantee against crafted page contents only.
pub(crate) fn commit(
    db: &Database,
    batch: &[Write],
    number: u64,
    publishing: &Cell<bool>,
) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    write_all(&txn, batch, number)?;
    publishing.set(true);
    txn.commit()?;
    Ok(())
}

/// The batch's changes to the tables, within a transaction that is not committed here.
pub(crate) fn write_all(txn: &WriteTransaction, batch: &[Write], number: u64) -> Result<(), redb::Error> {
    let mut tables = Tables::open(txn)?;
    for write in batch {
        tables.apply(write)?;
    }
    tables.finish(number)
}

/// Every table, open for the time of one transaction.
struct Tables<'txn> {
    presets: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    items: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    journal: Table<'txn, u64, &'static [u8]>,
    through: Table<'txn, (u64, &'static str), ()>,
    dead_letters: Table<'txn, (&'static str, u64), &'static [u8]>,
    meta: Table<'txn, &'static str, u64>,
    next_seq_stored: Option<u64>,
    next_seq: Option<u64>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let meta = txn.open_table(META)?;
        let next_seq = meta.get(META_NEXT_SEQ)?.map(|seq| seq.value());
        Ok(Self {
            presets: txn.open_table(PRESETS)?,
            items: txn.open_table(ITEMS)?,
            journal: txn.open_table(JOURNAL)?,
            through: txn.open_table(THROUGH)?,
            dead_letters: txn.open_table(DEAD_LETTERS)?,
            meta,
            next_seq_stored: next_seq,
            next_seq,
        })
    }

    fn apply(&mut self, write: &Write) -> Result<(), redb::Error> {
        match write {
            Write::PutPreset(preset) => {
                let key = (preset.module.as_str(), preset.app.as_str());
                self.presets.insert(key, encode_preset(preset).as_slice())?;
            }
            Write::RemovePreset { module, app } => {
                self.presets.remove((module.as_str(), app.as_str()))?;
            }
            Write::PutItem { module, item } => {
                self.items.insert((module.as_str(), &*item.key), encode_item(item).as_slice())?;
            }
            Write::RemoveItem { module, key } => {
                self.items.remove((module.as_str(), &**key))?;
            }
            Write::Append(entry) => {
                self.used(entry.seq);
                self.journal.insert(entry.seq.0, encode_journal_entry(entry).as_slice())?;
            }
            Write::Through { seq, module } => {
                if self.journal.get(seq.0)?.is_some() {
                    self.through.insert((seq.0, module.as_str()), ())?;
                }
            }
            Write::Forget(seq) => self.forget(*seq)?,
            Write::PutDeadLetter(letter) => {
                self.used(letter.seq);
                let key = (letter.module.as_str(), letter.seq.0);
                self.dead_letters.insert(key, encode_dead_letter(letter).as_slice())?;
            }
            Write::RemoveDeadLetter { module, seq } => {
                self.dead_letters.remove((module.as_str(), seq.0))?;
            }
        }
        Ok(())
    }

    /// Forgetting is as frequent as appending, and with one module there never are marks, so the cheap questions come
    /// first.
    fn forget(&mut self, seq: Seq) -> Result<(), redb::Error> {
        self.journal.remove(seq.0)?;
        if self.through.is_empty()? {
            return Ok(());
        }
        let range = marks(seq.0);
        if self.through.range(range.clone())?.next().is_some() {
            self.through.retain_in(range, |_, ()| false)?;
        }
        Ok(())
    }

    fn used(&mut self, seq: Seq) {
        self.next_seq = self.next_seq.max(Some(seq.0.saturating_add(1)));
    }

    fn finish(mut self, number: u64) -> Result<(), redb::Error> {
        if let Some(next_seq) = self.next_seq.filter(|_| self.next_seq != self.next_seq_stored) {
            self.meta.insert(META_NEXT_SEQ, next_seq)?;
        }
        self.meta.insert(META_BATCHES, number)?;
        Ok(())
    }
}

/// All marks of one event, whatever the module.
fn marks(seq: u64) -> impl RangeBounds<(u64, &'static str)> + Clone {
    let end = seq.checked_add(1).map_or(Bound::Unbounded, |next| Bound::Excluded((next, "")));
    (Bound::Included((seq, "")), end)
}
