//! Tables, and their version.

use std::path::Path;

use mconn_store::SCHEMA_VERSION;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::error::{Failure, corrupt, too_new};

/// Values are the JSON records of mconn-store.
type Record = &'static [u8];

/// By module and app.
pub(crate) const PRESETS: TableDefinition<'static, (&str, &str), Record> = TableDefinition::new("presets");
/// By module and key.
pub(crate) const ITEMS: TableDefinition<'static, (&str, &str), Record> = TableDefinition::new("items");
/// By place.
pub(crate) const JOURNAL: TableDefinition<'static, u64, Record> = TableDefinition::new("journal");
/// By place and module, so that an event's marks lie together.
pub(crate) const THROUGH: TableDefinition<'static, (u64, &str), ()> = TableDefinition::new("through");
/// By module and place.
pub(crate) const DEAD_LETTERS: TableDefinition<'static, (&str, u64), Record> =
    TableDefinition::new("dead_letters");
/// Numbers by name, see below.
pub(crate) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Version of this layout.
pub(crate) const META_SCHEMA: &str = "schema_version";
/// Greater than every place ever used; absent while none was.
pub(crate) const META_NEXT_SEQ: &str = "next_seq";
/// Number of batches ever applied: tells after a failed commit whether the batch is in.
pub(crate) const META_BATCHES: &str = "batches";

/// All tables, for the check of what does not belong here.
pub(crate) const TABLE_NAMES: [&str; 6] = ["presets", "items", "journal", "through", "dead_letters", "meta"];

/// Brings a layout from one version to the next, within the transaction that also records the new version.
pub(crate) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The first one leads from version 1 to 2, and so on.
const MIGRATIONS: &[Migration] = &[];
const _: () = assert!(MIGRATIONS.len() + 1 == SCHEMA_VERSION as usize);

/// Makes all tables, so that no reader meets a missing one, and writes the version.
pub(crate) fn create(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(PRESETS)?;
    txn.open_table(ITEMS)?;
    txn.open_table(JOURNAL)?;
    txn.open_table(THROUGH)?;
    txn.open_table(DEAD_LETTERS)?;
    let mut meta = txn.open_table(META)?;
    meta.insert(META_SCHEMA, u64::from(SCHEMA_VERSION))?;
    meta.insert(META_BATCHES, 0)?;
    Ok(())
}

/// Refuses layouts that are newer than this program and brings older ones up to date.
pub(crate) fn settle(db: &Database, file: &Path) -> Result<(), Failure> {
    settle_with(db, file, MIGRATIONS)
}

fn settle_with(db: &Database, file: &Path, migrations: &[Migration]) -> Result<(), Failure> {
    let newest = migrations.len() + 1;
    let found = version(db, file)?;
    let version = usize::try_from(found).unwrap_or(usize::MAX);
    if version > newest {
        return Err(Failure::Ours(too_new(file, found, u32::try_from(newest).unwrap_or(u32::MAX))));
    }
    if version == 0 {
        return Err(Failure::Ours(corrupt(file, "its schema version is 0, which never existed")));
    }
    if version == newest {
        return Ok(());
    }
    tracing::info!(file = %file.display(), from = version, to = newest, "bringing the store up to date");
    let txn = db.begin_write()?;
    for migration in &migrations[version - 1..] {
        migration(&txn)?;
    }
    txn.open_table(META)?.insert(META_SCHEMA, newest as u64)?;
    txn.commit()?;
    Ok(())
}

fn version(db: &Database, file: &Path) -> Result<u64, Failure> {
    let foreign = || Failure::Ours(corrupt(file, "it is a redb file, but mconn did not write it"));
    let meta = match db.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(foreign()),
    };
    let version = meta.get(META_SCHEMA)?.ok_or_else(foreign)?;
    Ok(version.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_store::StoreErrorKind;
    use redb::ReadableTable;
    use redb::backends::InMemoryBackend;

    fn memory() -> Database {
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = db.begin_write().unwrap();
        create(&txn).unwrap();
        txn.commit().unwrap();
        db
    }

    fn set_version(db: &Database, version: u64) {
        let txn = db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert(META_SCHEMA, version).unwrap();
        txn.commit().unwrap();
    }

    fn add(name: &'static str) -> impl Fn(&WriteTransaction) -> Result<(), redb::Error> {
        move |txn| {
            let mut meta = txn.open_table(META)?;
            let sum = meta.get("sum")?.map_or(0, |sum| sum.value());
            meta.insert("sum", sum * 10 + u64::from(name == "second") + 1)?;
            Ok(())
        }
    }

    #[test]
    fn migrations_run_once_in_order_from_where_the_store_is() {
        let migrations: &[Migration] = &[|txn| add("first")(txn), |txn| add("second")(txn)];
        let file = Path::new("/data/mconn.redb");
        for (from, sum) in [(1, Some(12)), (2, Some(2)), (3, None)] {
            let db = memory();
            set_version(&db, from);
            for _ in 0..2 {
                settle_with(&db, file, migrations).unwrap();
                assert_eq!(version(&db, file).unwrap(), 3, "from {from}");
                let meta = db.begin_read().unwrap().open_table(META).unwrap();
                assert_eq!(meta.get("sum").unwrap().map(|sum| sum.value()), sum, "from {from}");
            }
        }
    }

    #[test]
    fn a_failed_migration_changes_nothing() {
        let migrations: &[Migration] =
            &[|txn| add("first")(txn), |_| Err(redb::Error::Corrupted("no".into()))];
        let db = memory();
        let file = Path::new("/data/mconn.redb");
        settle_with(&db, file, migrations).unwrap_err();
        assert_eq!(version(&db, file).unwrap(), 1);
        let meta = db.begin_read().unwrap().open_table(META).unwrap();
        assert!(meta.get("sum").unwrap().is_none());
    }

    #[test]
    fn newer_versions_and_foreign_files_are_refused() {
        let file = Path::new("/data/mconn.redb");
        let db = memory();
        set_version(&db, u64::from(SCHEMA_VERSION) + 1);
        let error = settle(&db, file).unwrap_err().into_store_error(file);
        assert_eq!(error.kind, StoreErrorKind::TooNew, "{error}");
        set_version(&db, 0);
        let error = settle(&db, file).unwrap_err().into_store_error(file);
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
        let foreign = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let error = settle(&foreign, file).unwrap_err().into_store_error(file);
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
    }
}
