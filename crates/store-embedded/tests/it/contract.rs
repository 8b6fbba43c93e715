//! The store against the contract, and what opening promises.

use std::os::unix::fs::PermissionsExt;

use mconn_store::{Contents, Store, StoreErrorKind, Write, contract};
use mconn_store_embedded::{EmbeddedStore, FILE_NAME, OpenOptions, check};

use crate::common::append;

#[tokio::test]
async fn the_contract_holds() {
    let dir = tempfile::tempdir().unwrap();
    contract::check(|store: Option<EmbeddedStore>| {
        let path = dir.path().to_owned();
        async move {
            if let Some(store) = store {
                store.close().await.unwrap();
            }
            EmbeddedStore::open(&path, OpenOptions::default()).unwrap()
        }
    })
    .await;
    let report = check(dir.path()).unwrap();
    assert!(report.is_sound() && report.closed_well, "{report:?}");
}

#[tokio::test]
async fn dropping_closes_as_well() {
    let dir = tempfile::tempdir().unwrap();
    for seq in 0..3 {
        let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
        store.commit(vec![append(seq)]).await.unwrap();
        drop(store);
        assert!(check(dir.path()).unwrap().closed_well);
    }
    assert_eq!(check(dir.path()).unwrap().counts.journal, 3);
}

#[tokio::test]
async fn a_closed_store_refuses_and_closing_twice_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.commit(vec![append(1)]).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(store.load().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

/// A caller that stops waiting does not undo what it asked for, and does not upset the next one.
#[tokio::test]
async fn an_abandoned_commit_is_still_applied() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    {
        let mut commit = store.commit((0..500).map(append).collect());
        let waker = std::task::Waker::noop();
        assert!(commit.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    store.commit(vec![append(500)]).await.unwrap();
    assert_eq!(store.load().await.unwrap().journal.len(), 501);
}

#[tokio::test]
async fn the_directory_is_made_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let store = EmbeddedStore::open(&data, OpenOptions::default()).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join(FILE_NAME)), 0o600);
    assert_eq!(store.location(), data.join(FILE_NAME).display().to_string());
    assert!(!data.join("mconn.redb.new").exists());
}

#[tokio::test]
async fn a_store_in_use_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    let refusals = [
        EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap_err(),
        check(dir.path()).unwrap_err(),
        mconn_store_embedded::export(dir.path()).unwrap_err(),
        mconn_store_embedded::salvage(dir.path(), true).unwrap_err(),
        mconn_store_embedded::import(dir.path(), &Contents::default(), true).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind, StoreErrorKind::Locked, "{error}");
        assert!(
            error.message.contains(FILE_NAME) && error.message.contains("stop the other mconn"),
            "{error}"
        );
    }
    store.commit(vec![append(1)]).await.unwrap();
    drop(store);
    EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let error = EmbeddedStore::open(&dir.path().join("file/data"), OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("file/data"), "{error}");
}

/// What an interrupted creation leaves is never taken for a store, and does not stand in the way.
#[tokio::test]
async fn an_unfinished_new_file_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mconn.redb.new"), "half of something").unwrap();
    let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
    assert_eq!(store.load().await.unwrap(), Contents::default());
}

#[tokio::test]
async fn a_large_and_empty_file_is_compacted_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let size = || file.metadata().unwrap().len();
    let options = OpenOptions { compact_above_bytes: 1 << 20, ..OpenOptions::default() };
    let store = EmbeddedStore::open(dir.path(), options).unwrap();
    // Survivors in between keep redb from cutting off the end by itself.
    for batch in 0..20_u64 {
        store.commit((batch * 1000..(batch + 1) * 1000).map(append).collect()).await.unwrap();
    }
    for batch in 0..20_u64 {
        let forget = |seq| Write::Forget(mconn_store::Seq(seq));
        store.commit((batch * 1000..batch * 1000 + 999).map(forget).collect()).await.unwrap();
    }
    store.close().await.unwrap();
    let before = size();
    assert!(before > 1 << 20, "{before}");
    let store = EmbeddedStore::open(dir.path(), options).unwrap();
    let kept = store.load().await.unwrap();
    assert_eq!(kept.journal.len(), 20);
    store.close().await.unwrap();
    assert!(size() < before / 4, "{before} -> {}", size());
    assert!(check(dir.path()).unwrap().is_sound());
}
