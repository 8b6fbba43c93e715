//! Random batches against the memory store, with the file opened again in between.

use mconn_store::{Contents, Document, MemoryStore, Seq, Store, Write};
use mconn_store_embedded::{EmbeddedStore, OpenOptions, check, export, import};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{app, append, module, put_item, put_letter, put_preset};

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Write>),
    Reopen,
    /// Everything through an export document into another directory, and on from there.
    Move,
}

/// Few names and places, so that writes meet each other.
fn write() -> impl Strategy<Value = Write> {
    let name = || prop::sample::select(vec!["Test", "Test.2", "a", "Z"]);
    let app_id = || prop::sample::select(vec!["/a", "/a/b", "/a/b/c", "/ä"]);
    let key = || prop::sample::select(vec!["", "a", "a/b", "..", "%2F", "ä ✓", "long key with \"quotes\""]);
    let seq = || prop_oneof![9 => 0..30_u64, 1 => Just((1 << 53) - 1)];
    let size = prop_oneof![8 => 0..50_usize, 1 => 4_000..9_000_usize];
    prop_oneof![
        (name(), app_id(), 0..9).prop_map(|(name, app, n)| put_preset(name, app, json!({ "n": n }))),
        (name(), app_id()).prop_map(|(name, id)| Write::RemovePreset { module: module(name), app: app(id) }),
        (name(), key(), size).prop_map(|(name, key, size)| put_item(name, key, json!("x".repeat(size)))),
        (name(), key()).prop_map(|(name, key)| Write::RemoveItem { module: module(name), key: key.into() }),
        seq().prop_map(append),
        (seq(), name()).prop_map(|(seq, name)| Write::Through { seq: Seq(seq), module: module(name) }),
        seq().prop_map(|seq| Write::Forget(Seq(seq))),
        (name(), seq(), 0..3).prop_map(|(name, seq, n)| put_letter(name, seq, &format!("reason {n}"))),
        (name(), seq())
            .prop_map(|(name, seq)| Write::RemoveDeadLetter { module: module(name), seq: Seq(seq) }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec(write(), 0..40).prop_map(Step::Commit),
        2 => Just(Step::Reopen),
        1 => Just(Step::Move),
    ];
    prop::collection::vec(step, 1..12)
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut dir = tempfile::tempdir().unwrap();
    let open = |dir: &tempfile::TempDir| EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    let model = MemoryStore::new();
    let mut store = open(&dir);
    for step in steps {
        match step {
            Step::Commit(batch) => {
                model.commit(batch.clone()).await.unwrap();
                store.commit(batch).await.unwrap();
            }
            Step::Reopen => {
                store.close().await.unwrap();
                store = open(&dir);
            }
            Step::Move => {
                store.close().await.unwrap();
                let text = Document::from_contents(&export(dir.path()).unwrap()).to_text();
                dir = tempfile::tempdir().unwrap();
                import(dir.path(), &Document::parse(&text).unwrap(), false).unwrap();
                store = open(&dir);
            }
        }
        prop_assert_eq!(store.load().await.unwrap(), model.contents());
    }
    store.close().await.unwrap();
    let report = check(dir.path()).unwrap();
    prop_assert!(report.is_sound(), "{:?}", report.problems);
    prop_assert_eq!(export(dir.path()).unwrap(), model.contents());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_file_holds_what_the_memory_store_holds(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}

#[tokio::test]
async fn an_import_needs_an_empty_store_or_permission() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    store.commit(vec![append(900), put_preset("Test", "/old", json!(1))]).await.unwrap();
    store.close().await.unwrap();
    let before = export(dir.path()).unwrap();

    let model = MemoryStore::new();
    model.commit(vec![append(7), put_item("Test", "new", json!(2))]).await.unwrap();
    let wanted = model.contents();
    let refusal = import(dir.path(), &wanted, false).unwrap_err();
    assert!(refusal.message.contains("not empty") && refusal.message.contains("--replace"), "{refusal}");
    assert_eq!(export(dir.path()).unwrap(), before, "a refused import changes nothing");

    assert_eq!(import(dir.path(), &wanted, true).unwrap().total(), 2);
    let now = export(dir.path()).unwrap();
    assert_eq!(now, Contents { next_seq: Some(Seq(901)), ..wanted }, "next_seq never goes back");
}

#[tokio::test]
async fn an_import_keeps_a_next_seq_that_no_record_explains() {
    let dir = tempfile::tempdir().unwrap();
    let contents = Contents { next_seq: Some(Seq(12_345)), ..Contents::default() };
    import(dir.path(), &contents, false).unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    assert_eq!(store.load().await.unwrap(), contents);
    store.commit(vec![append(3)]).await.unwrap();
    assert_eq!(store.load().await.unwrap().next_seq, Some(Seq(12_345)));
}
