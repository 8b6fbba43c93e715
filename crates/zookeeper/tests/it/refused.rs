//! Nodes at which we may not write, and other things that somebody has left in the tree.

use mconn_store::{Seq, Store, StoreErrorKind, Write};
use mconn_zookeeper::{Settings, ZookeeperStore};
use serde_json::json;

use crate::store::{append, entry, lead, module, preset, put_item};
use crate::support::{fresh_path, open, settings, shared, with_auth};

/// A store, and an item that somebody else has locked.
async fn locked(given: &Settings) -> ZookeeperStore {
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    store.commit(vec![put_item("a", json!(1))]).await.unwrap();
    let other = open(with_auth(given.clone(), "other:hush")).await;
    other.create("/modules/Test/inventory/locked", b"{}").await.unwrap();
    store
}

#[tokio::test]
async fn one_node_that_is_locked_costs_one_write() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    locked(&given).await;
    let store = lead(given.clone()).await;
    let found = store.load().await.unwrap();
    assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
    assert!(found.skipped[0].contains("its access list does not allow it"), "{:?}", found.skipped);

    let batch = vec![put_item("b", json!(1)), put_item("locked", json!(1)), Write::Append(entry(1))];
    let error = store.commit(batch.clone()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused { write: 1 }, "{error}");
    assert!(error.message.contains("/modules/Test/inventory/locked"), "{error}");
    assert_eq!(store.load().await.unwrap(), found, "nothing of its batch is there");
    let rest = vec![batch[0].clone(), batch[2].clone()];
    store.commit(rest).await.unwrap();
    let found = lead(given).await.load().await.unwrap();
    assert_eq!((found.items.len(), found.journal.len()), (2, 1));
}

#[tokio::test]
async fn one_node_that_is_locked_does_not_hold_up_a_large_batch() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = locked(&given).await;
    let mut batch = append(1..4);
    batch.push(put_item("locked", json!(1)));
    batch.extend((0..3).map(|i| put_item(&format!("big{i}"), json!("x".repeat(300_000)))));
    store.commit(batch).await.unwrap();
    let found = lead(given).await.load().await.unwrap();
    assert_eq!((found.items.len(), found.journal.len(), found.skipped.len()), (4, 3, 1));
}

#[tokio::test]
async fn a_locked_folder_costs_what_belongs_into_it() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    let other = open(with_auth(given.clone(), "other:hush")).await;
    other.create("/modules/Other", b"").await.unwrap();
    let mut preset = (*preset("/a")).clone();
    preset.module = module("Other");
    let error =
        store.commit(vec![put_item("a", json!(1)), Write::PutPreset(preset.into())]).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused { write: 1 }, "{error}");
    store.commit(vec![put_item("a", json!(1))]).await.unwrap();
}

#[tokio::test]
async fn marks_without_events_go_at_the_next_load() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    store.commit(append(1..3)).await.unwrap();
    store.commit(vec![Write::Through { seq: Seq(1), module: module("Test") }]).await.unwrap();
    let stranger = open(given.clone()).await;
    stranger.create("/mconn/marks/00000000000000000099", br#"{"v":1,"forgotten":[[0,0]]}"#).await.unwrap();
    let found = lead(given.clone()).await.load().await.unwrap();
    assert_eq!(found.through, [(Seq(1), module("Test"))]);
    assert_eq!(stranger.children("/mconn/marks").await.unwrap(), ["00000000000000000001"]);
}

#[tokio::test]
async fn a_misplaced_record_that_cannot_be_moved_stays_and_counts() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let stranger = open(given.clone()).await;
    stranger.create_all("/modules/Test/presets").await.unwrap();
    let preset = br#"{"appId":"/group/app","moduleName":"Test","status":"enabled"}"#;
    stranger.create("/modules/Test/presets/group", preset).await.unwrap();
    stranger.create("/modules/Test/presets/group/below", b"").await.unwrap();
    for _ in 0..2 {
        let found = lead(given.clone()).await.load().await.unwrap();
        assert_eq!(found.presets[0].app.as_str(), "/group/app");
    }
    assert!(stranger.exists("/modules/Test/presets/group/below").await.unwrap().is_some());
}
