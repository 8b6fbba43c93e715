//! Batches that are larger than one transaction, and everything that can come between.

use std::sync::Arc;
use std::time::Duration;

use mconn_store::{Contents, Seq, Store, StoreErrorKind, Write};
use mconn_zookeeper::testing::{Link, Proxy};
use mconn_zookeeper::{Session, Settings, State, ZookeeperStore, claim, read_original};
use serde_json::json;

use crate::store::{append, entry, item, lead, module, preset, put_item};
use crate::support::{fresh_path, open, settings, shared, soon};

/// What is there before the large batch.
async fn begin(store: &ZookeeperStore) -> Contents {
    store.load().await.unwrap();
    store.commit(append(1..3)).await.unwrap();
    store.commit(vec![put_item("old", json!("old")), Write::PutPreset(preset("/a"))]).await.unwrap();
    store.load().await.unwrap()
}

/// Of every kind something, in three parts.
fn large() -> Vec<Write> {
    let mut batch = append(10..12);
    batch.push(Write::Forget(Seq(1)));
    batch.push(Write::Through { seq: Seq(2), module: module("Test") });
    batch.push(Write::RemoveItem { module: module("Test"), key: "old".into() });
    batch.extend((0..3).map(|i| put_item(&format!("new{i}"), json!("x".repeat(300_000)))));
    batch
}

fn after(before: &Contents) -> Contents {
    let new = |i| (module("Test"), item(&format!("new{i}"), json!("x".repeat(300_000))));
    Contents {
        items: (0..3).map(new).collect(),
        journal: vec![entry(2), entry(10), entry(11)],
        through: vec![(Seq(2), module("Test"))],
        next_seq: Some(Seq(12)),
        ..before.clone()
    }
}

async fn staged(session: &Session) -> Vec<String> {
    session.children("/mconn/staged").await.unwrap()
}

/// A store that has committed the large batch and put nothing in place.
async fn committed(settings: &Settings) -> Contents {
    for stop in 0.. {
        let store = lead(settings.clone()).await;
        let before = begin(&store).await;
        store.stop_after(stop);
        if store.commit(large()).await.is_ok() {
            assert!(store.was_stopped());
            return after(&before);
        }
    }
    unreachable!()
}

#[tokio::test]
async fn whoever_reads_the_tree_sees_what_is_committed_and_nothing_else() {
    let zookeeper = shared();
    let mut seen = [0, 0];
    for stop in 0.. {
        let settings = settings(&zookeeper, &fresh_path());
        let store = lead(settings.clone()).await;
        let before = begin(&store).await;
        store.stop_after(stop);
        let wanted = match store.commit(large()).await {
            Ok(()) => after(&before),
            Err(_) => before,
        };
        let found = read_original(settings.clone()).await.unwrap();
        assert!(found.contents == wanted, "stopped after {stop}: {:?}", found.contents.skipped);
        assert_eq!((found.is_ours, found.changing, found.schema), (true, false, Some(1)));
        seen[usize::from(found.unfinished)] += 1;
        // Reading has changed nothing, and the next leader sees the same.
        assert!(lead(settings).await.load().await.unwrap() == wanted, "stopped after {stop}");
        if !store.was_stopped() {
            break;
        }
    }
    assert!(seen[0] >= 4 && seen[1] >= 3, "{seen:?}");
}

#[tokio::test]
async fn a_tree_of_ours_keeps_its_places_and_its_version_for_whoever_reads_it() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    let store = lead(settings.clone()).await;
    store.load().await.unwrap();
    store.commit(append(1..9)).await.unwrap();
    store.commit((1..9).map(|seq| Write::Forget(Seq(seq))).collect()).await.unwrap();
    let found = read_original(settings.clone()).await.unwrap();
    assert_eq!(found.contents, Contents { next_seq: Some(Seq(9)), ..Contents::default() });
    let stranger = open(settings.clone()).await;
    stranger.set("/mconn/schema", br#"{"v":2}"#, None).await.unwrap();
    assert_eq!(read_original(settings).await.unwrap_err().kind, StoreErrorKind::TooNew);
}

#[tokio::test]
async fn a_removed_folder_does_not_hold_up_a_committed_batch() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    let mut wanted = committed(&settings).await;
    let stranger = open(settings.clone()).await;
    for path in ["/modules/Test/inventory/old", "/modules/Test/inventory", "/modules/Test/presets/a"] {
        stranger.delete(path, None).await.unwrap();
    }
    for path in ["/modules/Test/presets", "/modules/Test/queue", "/modules/Test", "/modules"] {
        stranger.delete(path, None).await.unwrap();
    }
    // What was removed and is not in the batch is gone.
    wanted.presets.clear();
    let next = lead(settings.clone()).await;
    let found = next.load().await.unwrap();
    assert!(found == wanted, "{:?}", found.skipped);
    assert!(staged(&stranger).await.is_empty());
    next.commit(vec![Write::PutPreset(preset("/a"))]).await.unwrap();
    // And the folder for parts itself.
    stranger.delete("/mconn/staged", None).await.unwrap();
    next.commit(vec![put_item("a", json!("x".repeat(400_000))), put_item("b", json!("x".repeat(400_000)))])
        .await
        .unwrap();
    assert_eq!(lead(settings).await.load().await.unwrap().items.len(), 5);
}

#[tokio::test]
async fn a_pending_batch_is_named_when_it_cannot_be_put_in_place() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    committed(&settings).await;
    let stranger = open(settings.clone()).await;
    let folder = format!("/mconn/staged/{}", staged(&stranger).await[0]);
    stranger.delete(&format!("{folder}/000000"), None).await.unwrap();
    let error = lead(settings.clone()).await.load().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
    assert!(error.message.contains(&format!("its part {folder}/000000 is gone")), "{error}");
    assert_eq!(read_original(settings).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn somebody_among_the_parts_does_not_hold_up_a_committed_batch() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    let wanted = committed(&settings).await;
    let stranger = open(settings.clone()).await;
    let folder = format!("/mconn/staged/{}", staged(&stranger).await[0]);
    stranger.create_all(&format!("{folder}/000000/below")).await.unwrap();
    stranger.create_all(&format!("{folder}/else")).await.unwrap();
    assert!(lead(settings).await.load().await.unwrap() == wanted);
    assert!(staged(&stranger).await.is_empty());
}

#[tokio::test]
async fn nothing_older_can_be_committed_once_its_parts_are_removed() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    let session = open(settings.clone()).await;
    let fence = claim(&session, b"{}").await.unwrap();
    // Two stores of one epoch: as if a call of the first one had been given up.
    let (given_up, store) =
        (ZookeeperStore::new(session.clone(), fence), ZookeeperStore::new(session.clone(), fence));
    begin(&given_up).await;
    let (data, stat) = session.get("/mconn/next").await.unwrap();
    store.load().await.unwrap();
    assert_eq!(session.get("/mconn/next").await.unwrap().1.version, stat.version, "nothing lies there");
    session.create_all("/mconn/staged/batch/000000").await.unwrap();
    store.load().await.unwrap();
    let (same, now) = session.get("/mconn/next").await.unwrap();
    assert_eq!((same, now.version), (data, stat.version + 1));
    assert!(staged(&session).await.is_empty());
    // What was under way under the old version does not count; the next attempt reads first.
    given_up.commit(append(20..21)).await.unwrap();
    store.commit(append(21..22)).await.unwrap();
    assert_eq!(lead(settings).await.load().await.unwrap().journal.len(), 4);
}

#[tokio::test]
async fn somebody_elses_changes_do_not_harm_a_large_batch() {
    let zookeeper = shared();
    let settings = settings(&zookeeper, &fresh_path());
    let store = lead(settings.clone()).await;
    store.load().await.unwrap();
    let text = "x".repeat(2_000);
    let items =
        |n: i32| (0..500).map(|i| put_item(&format!("i{i:03}"), json!([n, &text]))).collect::<Vec<_>>();
    store.commit(items(1)).await.unwrap();
    let stranger = open(settings.clone()).await;
    for i in 0..50 {
        stranger.delete(&format!("/modules/Test/inventory/i{i:03}"), None).await.unwrap();
    }
    stranger.create("/modules/Test/inventory/new", b"?").await.unwrap();
    stranger.create_all("/modules/Test/inventory/i499/a/b").await.unwrap();
    stranger.delete("/modules/Test/presets", None).await.unwrap();
    let mut batch = items(2);
    batch.push(put_item("new", json!([2, "ours"])));
    batch.push(Write::PutPreset(preset("/a")));
    for gone in ["i000", "i100", "i499"] {
        batch.push(Write::RemoveItem { module: module("Test"), key: gone.into() });
    }
    store.commit(batch).await.unwrap();
    let found = lead(settings).await.load().await.unwrap();
    assert_eq!((found.items.len(), found.presets.len(), found.skipped.len()), (498, 1, 0));
    assert!(found.items.iter().all(|(_, item)| item.data[0] == json!(2)));
}

/// The link is lost before every possible transaction: cut, or with the answers kept back. The store goes on by itself, and what it
/// said holds.
#[tokio::test]
async fn a_link_that_is_lost_anywhere_in_a_large_batch_loses_nothing() {
    for link in [Link::Cut, Link::Mute] {
        let mut step = 0;
        // As many at once as make the waits short.
        while trouble_in(link, step..step + 6).await {
            step += 6;
        }
        assert!(step >= 6, "a large batch has more transactions");
    }
}

/// Whether all of these steps have come.
async fn trouble_in(link: Link, steps: std::ops::Range<usize>) -> bool {
    let mut tests = tokio::task::JoinSet::new();
    for step in steps {
        tests.spawn(trouble(link, step));
    }
    tests.join_all().await.into_iter().all(|came| came)
}

/// A store on a session whose calls do not wait long, which a busy machine may not keep up with.
async fn through_it(session: &Session) -> ZookeeperStore {
    soon(async {
        let fence = loop {
            if let Ok(fence) = claim(session, b"{}").await {
                break fence;
            }
        };
        let store = ZookeeperStore::new(session.clone(), fence);
        while store.load().await.is_err() {}
        store
    })
    .await
}

async fn trouble(link: Link, step: usize) -> bool {
    let zookeeper = shared();
    let proxy = Arc::new(Proxy::start(zookeeper.address(0), Link::Open).await);
    let direct = settings(&zookeeper, &fresh_path());
    let mut given = Settings::new(&proxy.address().to_string(), direct.path()).unwrap();
    given.session_timeout = Duration::from_secs(8);
    given.call_deadline = Duration::from_secs(1);
    given.retry_pause = Duration::from_millis(100);
    let before = begin(&lead(direct.clone()).await).await;
    let session = open(given).await;
    let store = through_it(&session).await;
    let (lost, came) = tokio::sync::oneshot::channel();
    let cut = proxy.clone();
    store.before_step(step, move || {
        cut.set(link);
        let _ = lost.send(());
    });
    let mut states = session.states();
    let mended = tokio::spawn(async move {
        if came.await.is_ok() {
            while states.changed().await == State::Connected {}
            proxy.set(Link::Open);
        }
        proxy
    });
    let result = soon(store.commit(large())).await;
    let came = !store.awaits_step();
    // Otherwise the link never was in trouble.
    let wanted = after(&before);
    match &result {
        Ok(()) => {}
        Err(error) => assert!(
            matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown),
            "{link:?} before {step}: {error}"
        ),
    }
    // It goes on, with a state that is right.
    if came {
        let again = async {
            while let Err(error) = store.commit(large()).await {
                assert_ne!(error.kind, StoreErrorKind::Deposed, "{link:?} before {step}: {error}");
            }
        };
        soon(again).await;
        let direct = open(direct.clone()).await;
        assert!(staged(&direct).await.is_empty(), "{link:?} before {step}");
    }
    let last = async { while store.commit(vec![put_item("last", json!(1))]).await.is_err() {} };
    soon(last).await;
    let mut found = lead(direct).await.load().await.unwrap();
    found.items.retain(|(_, item)| &*item.key != "last");
    assert!(found == wanted, "{link:?} before {step}: {result:?}");
    drop(store);
    let _proxy = mended;
    came
}

#[tokio::test]
async fn a_store_goes_on_after_a_batch_that_was_committed_and_not_put_in_place() {
    let zookeeper = shared();
    let proxy = Arc::new(Proxy::start(zookeeper.address(0), Link::Open).await);
    let direct = settings(&zookeeper, &fresh_path());
    let mut given = Settings::new(&proxy.address().to_string(), direct.path()).unwrap();
    given.session_timeout = Duration::from_secs(10);
    given.call_deadline = Duration::from_millis(500);
    given.retry_pause = Duration::from_millis(100);
    let before = begin(&lead(direct.clone()).await).await;
    let session = open(given).await;
    let store = through_it(&session).await;
    // A folder, three parts, the commitment; then they are put in place.
    let cut = proxy.clone();
    store.before_step(5, move || cut.set(Link::Cut));
    soon(store.commit(large())).await.unwrap();
    assert!(!store.awaits_step());
    let looked = read_original(direct.clone()).await.unwrap();
    assert!(looked.unfinished && looked.contents == after(&before));
    proxy.set(Link::Open);
    assert_eq!(soon(session.states().settled()).await, State::Connected);
    soon(async { while store.commit(vec![Write::Append(entry(30))]).await.is_err() {} }).await;
    let mut wanted = after(&before);
    wanted.journal.push(entry(30));
    wanted.next_seq = Some(Seq(31));
    let looked = read_original(direct).await.unwrap();
    assert!(!looked.unfinished && looked.contents == wanted);
}
