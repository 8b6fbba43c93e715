//! Reading a tree: large ones, while somebody writes; and dropping a module.

use std::sync::Arc;
use std::time::Instant;

use mconn_model::{ModuleName, Timestamp};
use mconn_store::{Contents, DeadLetter, JournalEntry, Seq, Store, Write};
use mconn_zookeeper::{Dropped, read_original};
use serde_json::json;

use crate::store::{append, entry, event, item, lead, module, preset, put_item};
use crate::support::{fresh_path, open, settings, shared};

/// The list of names alone is larger than a request may be.
#[tokio::test]
async fn fifty_thousand_items_are_read_whole() {
    const ITEMS: usize = 50_000;
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = lead(given.clone()).await;
    let key = |i: usize| format!("bridged-webapp_{i:06}.8c1b2c3d-0011-11ec-8d3d-0242ac130003");
    let items = (0..ITEMS).map(|i| (module("Test"), item(&key(i), json!(i))));
    let contents = Contents { items: items.collect(), next_seq: Some(Seq(5)), ..Contents::default() };
    store.import(&contents, false).await.unwrap();
    let next = lead(given.clone()).await;
    let began = Instant::now();
    let found = next.load().await.unwrap();
    println!("{ITEMS} items were loaded in {:?}", began.elapsed());
    assert!(found == contents, "{} items, {:?}", found.items.len(), found.skipped.first());
    assert!(read_original(given).await.unwrap().contents == contents);
}

/// Small and large nodes beside each other, in folders whose names take up more than one request.
#[tokio::test]
async fn nodes_of_all_sizes_and_long_names_are_read() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = lead(given.clone()).await;
    let items = (0..300).map(|i| {
        let size = if i % 20 == 0 { 100_000 } else { i };
        (module("Test"), item(&format!("{i:03}{}", "ä".repeat(700)), json!("x".repeat(size))))
    });
    let contents = Contents { items: items.collect(), next_seq: Some(Seq(5)), ..Contents::default() };
    store.import(&contents, false).await.unwrap();
    assert!(lead(given).await.load().await.unwrap() == contents);
}

#[tokio::test]
async fn what_is_read_while_a_leader_works_misses_no_event() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = Arc::new(lead(given.clone()).await);
    store.load().await.unwrap();
    // Each event becomes an item in the batch in which it leaves.
    let working = tokio::spawn({
        let store = store.clone();
        async move {
            for seq in 1..400 {
                store.commit(append(seq..seq + 1)).await.unwrap();
                let item = put_item(&format!("{seq:03}"), json!(seq));
                store.commit(vec![Write::Forget(Seq(seq)), item]).await.unwrap();
            }
        }
    });
    let mut changing = 0;
    while !working.is_finished() {
        let Ok(found) = read_original(given.clone()).await else { continue };
        changing += usize::from(found.changing);
        let contents = found.contents;
        let begun = contents.next_seq.map_or(1, |next| next.0);
        for seq in 1..begun.min(contents.journal.first().map_or(begun, |entry| entry.seq.0)) {
            let key = format!("{seq:03}");
            let is_there = contents.items.iter().any(|(_, item)| *item.key == *key)
                || contents.journal.iter().any(|entry| entry.seq == Seq(seq));
            // The place is counted under the version that is read first, so the event was accepted before.
            assert!(is_there, "event {seq} of {begun} is missing");
        }
    }
    working.await.unwrap();
    assert!(changing > 0, "the leader was never at work");
    assert_eq!(read_original(given).await.unwrap().contents.items.len(), 399);
}

#[tokio::test]
async fn a_module_is_dropped_whole() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    let other: ModuleName = module("Other");
    let letter = |module: &str, seq: u64| {
        Write::PutDeadLetter(Arc::new(DeadLetter {
            module: crate::store::module(module),
            seq: Seq(seq),
            event: Arc::new(event("dead")),
            event_id: "dead_TASK_RUNNING".into(),
            reason: "no".into(),
            attempts: 1,
            failed_at: Timestamp::from_millis(2_000),
            superseded: false,
        }))
    };
    let alone = JournalEntry { owed: [module("Test")].into(), ..(*entry(3)).clone() };
    let mut batch = append(1..3);
    batch.extend([
        Write::Append(Arc::new(alone)),
        Write::Append(entry(4)),
        // Nobody but the dropped one is owed this any more, and this is owed to the other alone.
        Write::Through { seq: Seq(2), module: other.clone() },
        Write::Through { seq: Seq(4), module: module("Test") },
        Write::PutPreset(preset("/a")),
        put_item("a", json!(1)),
        put_item("b", json!(1)),
        Write::PutItem { module: other.clone(), item: item("a", json!(1)) },
        letter("Test", 1),
        letter("Other", 1),
    ]);
    store.commit(batch).await.unwrap();
    let stranger = open(given.clone()).await;
    stranger.create("/modules/Test/inventory/broken", b"?").await.unwrap();

    let dropped = lead(given.clone()).await.drop_module(&module("Test")).await.unwrap();
    assert_eq!(dropped, Dropped { presets: 1, items: 2, dead_letters: 1, owed: 3, events: 2 });
    let found = lead(given.clone()).await.load().await.unwrap();
    assert_eq!(found.journal.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(1), Seq(4)]);
    assert_eq!(found.through, [(Seq(1), module("Test")), (Seq(4), module("Test"))]);
    assert_eq!((found.presets.len(), found.items.len(), found.dead_letters.len()), (0, 1, 1));
    assert_eq!((found.skipped.len(), found.next_seq), (0, Some(Seq(5))));
    assert!(stranger.exists("/modules/Test").await.unwrap().is_none());
    let again = lead(given).await.drop_module(&module("Test")).await.unwrap();
    assert_eq!(again, Dropped::default());
}
