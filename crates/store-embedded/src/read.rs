//! From tables back to contents.

use std::collections::BTreeSet;
use std::sync::Arc;

use mconn_model::ModuleName;
use mconn_store::{Contents, Seq, decode_dead_letter, decode_item, decode_journal_entry, decode_preset};
use redb::{Key, ReadTransaction, ReadableTable, Table, TableDefinition, Value};

use crate::error::Failure;
use crate::schema::{DEAD_LETTERS, ITEMS, JOURNAL, META, META_NEXT_SEQ, PRESETS, THROUGH};

/// Number of records in each table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Presets.
    pub presets: u64,
    /// Inventory items.
    pub items: u64,
    /// Events in the journal.
    pub journal: u64,
    /// Marks of modules that are through with an event in the journal.
    pub through: u64,
    /// Failed runs that are kept.
    pub dead_letters: u64,
}

impl Counts {
    /// Those of some contents.
    #[must_use]
    pub fn of(contents: &Contents) -> Self {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Self {
            presets: count(contents.presets.len()),
            items: count(contents.items.len()),
            journal: count(contents.journal.len()),
            through: count(contents.through.len()),
            dead_letters: count(contents.dead_letters.len()),
        }
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.presets + self.items + self.journal + self.through + self.dead_letters
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} presets, {} inventory items, {} queued events, {} marks, {} dead letters",
            self.presets, self.items, self.journal, self.through, self.dead_letters
        )
    }
}

/// A way to go through a table: [`Strict`] for normal work, a patient one for repairs.
pub(crate) trait Walk {
    fn walk<K: Key + 'static, V: Value + 'static>(
        &mut self,
        txn: &ReadTransaction,
        definition: TableDefinition<'static, K, V>,
        row: impl FnMut(K::SelfType<'_>, V::SelfType<'_>),
    ) -> Result<(), Failure>;
}

/// In order, and the first trouble ends it.
pub(crate) struct Strict;

impl Walk for Strict {
    fn walk<K: Key + 'static, V: Value + 'static>(
        &mut self,
        txn: &ReadTransaction,
        definition: TableDefinition<'static, K, V>,
        mut row: impl FnMut(K::SelfType<'_>, V::SelfType<'_>),
    ) -> Result<(), Failure> {
        for entry in txn.open_table(definition)?.iter()? {
            let (key, value) = entry?;
            row(key.value(), value.value());
        }
        Ok(())
    }
}

/// Everything that can be read. Records that cannot be decoded are named in `skipped`; trouble with tables and pages is
/// the walk's to judge.
pub(crate) fn contents(txn: &ReadTransaction, walk: &mut impl Walk) -> Result<Contents, Failure> {
    let mut read = Contents::default();
    let Contents { presets, items, journal, through, dead_letters, next_seq, skipped } = &mut read;
    let mut skip = |place: String, why: String| skipped.push(format!("{place}: {why}"));

    walk.walk(txn, PRESETS, |(module, app), record| match decode_preset(record) {
        Ok(preset) if preset.module.as_str() == module && preset.app.as_str() == app => {
            presets.push(Arc::new(preset));
        }
        Ok(_) => skip(format!("preset {module} {app}"), "is the preset of another module or app".into()),
        Err(error) => skip(format!("preset {module} {app}"), error.to_string()),
    })?;
    walk.walk(txn, ITEMS, |(module, key), record| {
        let item =
            name(module).and_then(|name| Ok((name, decode_item(key, record).map_err(|e| e.to_string())?)));
        match item {
            Ok((module, item)) => items.push((module, Arc::new(item))),
            Err(why) => skip(format!("item {module} {key}"), why),
        }
    })?;
    walk.walk(txn, JOURNAL, |seq, record| match decode_journal_entry(Seq(seq), record) {
        Ok(entry) => journal.push(Arc::new(entry)),
        Err(error) => skip(format!("event {seq}"), error.to_string()),
    })?;
    walk.walk(txn, THROUGH, |(seq, module), ()| match name(module) {
        Ok(module) => through.push((Seq(seq), module)),
        Err(why) => skip(format!("mark of event {seq}"), why),
    })?;
    walk.walk(txn, DEAD_LETTERS, |(module, seq), record| {
        let letter = name(module)
            .and_then(|name| decode_dead_letter(name, Seq(seq), record).map_err(|e| e.to_string()));
        match letter {
            Ok(letter) => dead_letters.push(Arc::new(letter)),
            Err(why) => skip(format!("dead letter {module} {seq}"), why),
        }
    })?;
    walk.walk(txn, META, |name, number| {
        if name == META_NEXT_SEQ {
            *next_seq = Some(Seq(number));
        }
    })?;

    // Marks of records that were skipped would be marks of nothing.
    let known: BTreeSet<Seq> = read.journal.iter().map(|entry| entry.seq).collect();
    read.through.retain(|(seq, _)| known.contains(seq));
    Ok(read)
}

fn name(text: &str) -> Result<ModuleName, String> {
    ModuleName::new(text).map_err(|error| error.to_string())
}

/// The number that is stored under `name`.
pub(crate) fn meta(txn: &ReadTransaction, name: &str) -> Result<Option<u64>, redb::Error> {
    Ok(txn.open_table(META)?.get(name)?.map(|number| number.value()))
}

/// Raises `next_seq` to at least `wanted`.
pub(crate) fn raise_next_seq(
    meta: &mut Table<'_, &'static str, u64>,
    wanted: Option<Seq>,
) -> Result<(), redb::Error> {
    let stored = meta.get(META_NEXT_SEQ)?.map(|seq| Seq(seq.value()));
    if let Some(next_seq) = wanted.filter(|_| wanted > stored) {
        meta.insert(META_NEXT_SEQ, next_seq.0)?;
    }
    Ok(())
}
