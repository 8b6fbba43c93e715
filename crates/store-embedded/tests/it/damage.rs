//! Damaged files: reported, never changed unasked, and saved as far as possible.

use std::fs;
use std::path::{Path, PathBuf};

use mconn_store::{Contents, Seq, Store, StoreError, StoreErrorKind, Write};
use mconn_store_embedded::{EmbeddedStore, FILE_NAME, OpenOptions, check, export, salvage};
use serde_json::json;

use crate::common::{append, module, put_item, put_letter, put_preset};

const PAGE: usize = 4096;
const EVENTS: u64 = 600;

/// A store with several pages in the larger tables, and a small last batch. `killed`: as after a crash, not closed in
/// good order. Also what it holds, and what it held before the last batch.
async fn filled(dir: &Path, killed: bool) -> (PathBuf, Contents, Contents) {
    let store = EmbeddedStore::open(dir, OpenOptions::default()).unwrap();
    let mut batch: Vec<Write> = (0..EVENTS).map(append).collect();
    batch.extend((0..40).map(|n| put_preset("Test", &format!("/app-{n}"), json!({ "n": n }))));
    batch.extend((0..200).map(|n| put_item("Test", &format!("task-{n}"), json!("x".repeat(100)))));
    batch.extend((0..9).map(|seq| Write::Through { seq: Seq(seq), module: module("Test") }));
    batch.push(put_letter("Test", 1, "no"));
    store.commit(batch).await.unwrap();
    let before_last = store.load().await.unwrap();
    store.commit(vec![put_item("Test", "last", json!(1))]).await.unwrap();
    let file = dir.join(FILE_NAME);
    let image = fs::read(&file).unwrap();
    let contents = store.load().await.unwrap();
    store.close().await.unwrap();
    if killed {
        fs::write(&file, image).unwrap();
    }
    (file, contents, before_last)
}

fn open(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, OpenOptions::default())
}

/// Opening says Corrupt, names file and remedy, and leaves every byte as it is.
fn refused(dir: &Path, file: &Path, what: &str) {
    let before = fs::read(file).unwrap();
    let error = open(dir).err().unwrap_or_else(|| panic!("{what}: it opens"));
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{what}: {error}");
    let remedy = format!("mconn store repair --data-dir {}", dir.display());
    assert!(error.message.contains(&remedy) && error.message.contains(FILE_NAME), "{what}: {error}");
    assert!(fs::read(file).unwrap() == before, "{what}: opening has changed the file");
    let report = check(dir).unwrap();
    assert!(!report.is_sound(), "{what}: the check finds nothing");
    assert_eq!(export(dir).unwrap_err().kind, StoreErrorKind::Corrupt, "{what}");
    assert!(fs::read(file).unwrap() == before, "{what}: a check has changed the file");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let text = b"not a store at all, but somebody's notes".repeat(500);
    for (what, bytes) in [("empty", &b""[..]), ("short", b"redb"), ("text", &text)] {
        fs::write(&file, bytes).unwrap();
        refused(dir.path(), &file, what);
        let error = salvage(dir.path(), false).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{what}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{what}: a refused repair changes nothing");
    }
    let report = salvage(dir.path(), true).unwrap();
    let kept = report.kept_as.unwrap();
    assert_eq!(kept, dir.path().join("mconn.redb.corrupt-1"));
    assert_eq!(fs::read(&kept).unwrap(), text);
    assert_eq!(open(dir.path()).unwrap().load().await.unwrap(), Contents::default());
}

#[tokio::test]
async fn a_truncated_file_is_reported_and_can_be_repaired() {
    for killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (file, ..) = filled(dir.path(), killed).await;
        let whole = fs::read(&file).unwrap();
        for len in [1, 100, 511, 512, PAGE, PAGE + 1, whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4] {
            let what = format!("cut to {len} of {} bytes, killed: {killed}", whole.len());
            fs::write(&file, &whole[..len]).unwrap();
            refused(dir.path(), &file, &what);
            let report = salvage(dir.path(), true).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(fs::read(report.kept_as.unwrap()).unwrap(), &whole[..len], "{what}");
            assert!(check(dir.path()).unwrap().is_sound(), "{what}");
        }
    }
}

/// Destroys each page of the file in turn. Either the page was not in use, or its loss is noticed; and whatever a repair
/// saves is a part of what was there.
#[tokio::test]
async fn every_damaged_page_is_noticed_and_the_rest_is_saved() {
    for killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (file, contents, before_last) = filled(dir.path(), killed).await;
        let whole = fs::read(&file).unwrap();
        let (mut noticed, mut saved) = (0, 0);
        for page in 1..whole.len() / PAGE {
            let what = format!("page {page}, killed: {killed}");
            let mut image = whole.clone();
            for byte in &mut image[page * PAGE..(page + 1) * PAGE] {
                *byte ^= 0x5A;
            }
            fs::write(&file, &image).unwrap();
            match open(dir.path()) {
                Ok(store) => {
                    let now = store.load().await.unwrap();
                    // After a crash, redb takes damage in the pages of the last batch for a batch that did not arrive.
                    assert!(now == contents || killed && now == before_last, "{what}");
                    continue;
                }
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{what}: {error}"),
            }
            noticed += 1;
            refused(dir.path(), &file, &what);
            let report = salvage(dir.path(), true).unwrap_or_else(|error| panic!("{what}: {error}"));
            let now = open(dir.path()).unwrap().load().await.unwrap();
            part_of(&now, &contents, &what);
            assert!(now.next_seq >= contents.next_seq || report.recovered.journal == 0, "{what}: {report:?}");
            saved += report.recovered.total();
            fs::remove_file(report.kept_as.unwrap()).unwrap();
        }
        assert!(noticed > 10, "{noticed} pages in use were damaged, killed: {killed}");
        let all = check(dir.path()).map(|_| 40 + 200 + EVENTS + 9 + 1).unwrap();
        assert!(
            killed || saved / noticed > all / 2,
            "{saved} records saved in {noticed} repairs of {all} each"
        );
    }
}

fn part_of(now: &Contents, all: &Contents, what: &str) {
    assert!(now.presets.iter().all(|preset| all.presets.contains(preset)), "{what}");
    assert!(now.items.iter().all(|item| all.items.contains(item)), "{what}");
    assert!(
        now.journal.iter().all(|entry| all.journal.get(usize::try_from(entry.seq.0).unwrap()) == Some(entry))
    );
    assert!(now.through.iter().all(|mark| all.through.contains(mark)), "{what}");
    assert!(now.dead_letters.iter().all(|letter| all.dead_letters.contains(letter)), "{what}");
}

/// Events between two damaged pages are saved as well.
#[tokio::test]
async fn one_damaged_page_of_events_costs_only_its_own_events() {
    let dir = tempfile::tempdir().unwrap();
    let (file, ..) = filled(dir.path(), false).await;
    let mut image = fs::read(&file).unwrap();
    let page_of = |seq: u64| {
        let needle = format!("group_app.task-{seq}\"");
        image.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap() / PAGE
    };
    let pages = [page_of(100), page_of(400)];
    assert_ne!(pages[0], pages[1]);
    for page in pages {
        image[page * PAGE..(page + 1) * PAGE].fill(0xFF);
    }
    fs::write(&file, &image).unwrap();
    let report = salvage(dir.path(), false).unwrap();
    assert!(!report.verified && report.unreadable_tables.is_empty(), "{report:?}");
    assert_eq!(report.recovered.journal + report.lost, EVENTS, "{report:?}");
    assert!(report.recovered.journal > EVENTS - 60, "{report:?}");
    assert_eq!((report.recovered.presets, report.recovered.items), (40, 201));
    let saved = export(dir.path()).unwrap();
    assert!(saved.journal.iter().any(|entry| entry.seq == Seq(250)), "between the damaged pages");
    assert!(saved.next_seq >= Some(Seq(EVENTS)));
}

#[tokio::test]
async fn records_that_cannot_be_decoded_stay_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, contents, _) = filled(dir.path(), false).await;
    break_records(&file);

    let store = open(dir.path()).unwrap();
    let now = store.load().await.unwrap();
    assert_eq!(now.skipped.len(), 3, "{:?}", now.skipped);
    assert!(now.skipped.iter().any(|text| text.starts_with("preset Test /app-7: ")), "{:?}", now.skipped);
    assert!(now.skipped.iter().any(|text| text.starts_with("event 5: ")), "{:?}", now.skipped);
    assert!(now.skipped.iter().any(|text| text.contains("another module or app")), "{:?}", now.skipped);
    assert_eq!(now.journal.len(), contents.journal.len() - 1);
    assert_eq!(now.through.len(), contents.through.len() - 1, "no mark without its event");
    store.commit(vec![append(EVENTS)]).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(export(dir.path()).unwrap().skipped.len(), 3, "they are still there");

    let report = check(dir.path()).unwrap();
    assert_eq!(report.problems.len(), 4, "{:?}", report.problems);
    let report = salvage(dir.path(), false).unwrap();
    assert!(report.verified && report.lost == 3, "{report:?}");
    assert!(report.kept_as.unwrap().exists());
    assert!(check(dir.path()).unwrap().is_sound());
    let again = salvage(dir.path(), false).unwrap();
    assert_eq!(again.kept_as, None, "a sound store is left alone");
    assert_eq!(again.recovered, report.recovered);
}

/// Writes past the store, with redb itself.
fn break_records(file: &Path) {
    use redb::{Database, ReadableTable, TableDefinition};
    const PRESETS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("presets");
    const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
    let db = Database::open(file).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut presets = txn.open_table(PRESETS).unwrap();
        presets.insert(("Test", "/app-7"), &b"{]"[..]).unwrap();
        let other = presets.get(("Test", "/app-8")).unwrap().unwrap().value().to_vec();
        presets.insert(("Test", "/app-9"), &*other).unwrap();
        txn.open_table(JOURNAL).unwrap().insert(5, &b"null"[..]).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn without_a_store_there_is_nothing_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    for error in [
        check(dir.path()).unwrap_err(),
        export(dir.path()).unwrap_err(),
        salvage(dir.path(), true).unwrap_err(),
    ] {
        assert!(error.message.contains("does not exist"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "looking leaves no trace");
}
