//! The store against real servers.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    AppId, EventTimestamp, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp,
};
use mconn_store::{
    Contents, DeadLetter, JournalEntry, MemoryStore, Seq, Store, StoreErrorKind, Write, contract,
};
use mconn_zookeeper::testing::{Ensemble, ORIGINAL};
use mconn_zookeeper::{Session, Settings, State, ZookeeperStore, claim, read_original};
use serde_json::json;

use crate::support::{fresh_path, open, quick, settings, shared, soon, with_auth};

/// A store of a new epoch, on a session of its own.
pub(crate) async fn lead(settings: Settings) -> ZookeeperStore {
    let session = open(settings).await;
    let fence = claim(&session, b"{}").await.expect("an epoch");
    ZookeeperStore::new(session, fence)
}

pub(crate) fn module(name: &str) -> ModuleName {
    ModuleName::new(name).expect("a module name")
}

pub(crate) fn event(task: &str) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).expect("a task id"),
        status: TaskStatus::Running,
        app: AppId::parse("/a").expect("an app id"),
        host: Some("agent.example".into()),
        ports: vec![31000],
        event_type: Some("status_update_event".into()),
        timestamp: Some(EventTimestamp::Millis(5)),
    }
}

pub(crate) fn entry(seq: u64) -> Arc<JournalEntry> {
    Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at: Timestamp::from_millis(1_000),
        event: Arc::new(event(&format!("task.{seq}"))),
        owed: [module("Test"), module("Other")].into(),
    })
}

pub(crate) fn append(places: std::ops::Range<u64>) -> Vec<Write> {
    places.map(|seq| Write::Append(entry(seq))).collect()
}

pub(crate) fn item(key: &str, data: serde_json::Value) -> Arc<InventoryItem> {
    Arc::new(InventoryItem { key: key.into(), data, event: event("web.1") })
}

pub(crate) fn put_item(key: &str, data: serde_json::Value) -> Write {
    Write::PutItem { module: module("Test"), item: item(key, data) }
}

pub(crate) fn preset(app: &str) -> Arc<Preset> {
    Arc::new(Preset {
        app: AppId::parse(app).expect("an app id"),
        module: module("Test"),
        status: Preset::ENABLED.into(),
        options: json!({}),
        last_edit: None,
        extra: serde_json::Map::new(),
    })
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let zookeeper = shared();
    let path = fresh_path();
    contract::check(async |_: Option<ZookeeperStore>| lead(settings(&zookeeper, &path)).await).await;
}

#[tokio::test]
async fn it_keeps_the_contract_with_credentials_and_one_epoch() {
    let zookeeper = shared();
    let settings = with_auth(settings(&zookeeper, &fresh_path()), "me:hush");
    let session = open(settings).await;
    let fence = claim(&session, b"{}").await.unwrap();
    contract::check(async |_: Option<ZookeeperStore>| ZookeeperStore::new(session.clone(), fence)).await;
}

#[tokio::test]
async fn a_deposed_store_writes_nothing_and_says_so_for_good() {
    let zookeeper = shared();
    let path = fresh_path();
    let old = lead(settings(&zookeeper, &path)).await;
    old.load().await.unwrap();
    old.commit(append(1..3)).await.unwrap();
    let new = lead(settings(&zookeeper, &path)).await;

    let batches =
        [append(3..4), vec![Write::Forget(Seq(1))], vec![put_item("x", json!(1))], append(10..5_000)];
    for batch in batches {
        let error = old.commit(batch).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Deposed, "{error}");
    }
    assert_eq!(old.load().await.unwrap_err().kind, StoreErrorKind::Deposed);
    let contents = new.load().await.unwrap();
    assert_eq!(contents.journal, [entry(1), entry(2)]);
    assert_eq!(contents.next_seq, Some(Seq(3)));
    assert!(contents.items.is_empty());
}

#[tokio::test]
async fn the_first_refusal_of_a_deposed_store_names_epoch_and_place() {
    let zookeeper = shared();
    let path = fresh_path();
    let old = lead(settings(&zookeeper, &path)).await;
    old.load().await.unwrap();
    let _new = lead(settings(&zookeeper, &path)).await;
    let error = old.commit(append(1..2)).await.unwrap_err();
    let wanted = format!(
        "another node leads now: epoch 0 at ZooKeeper {}{path} is over; nothing of this batch is stored",
        zookeeper.hosts()
    );
    assert_eq!(error.message, wanted);
    // A store that was never loaded is refused as well.
    let session = open(settings(&zookeeper, &path)).await;
    let fence = claim(&session, b"").await.unwrap();
    claim(&session, b"").await.unwrap();
    let late = ZookeeperStore::new(session, fence);
    assert_eq!(late.load().await.unwrap_err().kind, StoreErrorKind::Deposed);
}

/// Everything that two large batches do, stopped after every possible number of transactions.
#[tokio::test]
async fn a_large_batch_is_all_or_nothing_wherever_the_process_ends() {
    let zookeeper = shared();
    let mut seen = [0, 0];
    for stop in 0.. {
        let path = fresh_path();
        let store = lead(settings(&zookeeper, &path)).await;
        store.load().await.unwrap();
        store.commit(append(1..3)).await.unwrap();
        store.commit(vec![put_item("old", json!("old"))]).await.unwrap();
        let before = store.load().await.unwrap();

        let mut batch = append(10..2_500);
        batch.push(Write::Forget(Seq(1)));
        batch.push(Write::Through { seq: Seq(2), module: module("Test") });
        batch.push(Write::RemoveItem { module: module("Test"), key: "old".into() });
        batch.push(put_item("new", json!("x".repeat(300_000))));
        let mut journal = vec![entry(2)];
        journal.extend((10..2_500).map(entry));
        let after = Contents {
            items: vec![(module("Test"), item("new", json!("x".repeat(300_000))))],
            journal,
            through: vec![(Seq(2), module("Test"))],
            next_seq: Some(Seq(2_500)),
            ..Contents::default()
        };

        store.stop_after(stop);
        let result = store.commit(batch).await;
        let next = lead(settings(&zookeeper, &path)).await;
        let found = next.load().await.unwrap();
        if let Err(error) = &result {
            assert_eq!(error.kind, StoreErrorKind::Deposed, "{error}");
            assert!(found == before, "stopped after {stop}: {} events", found.journal.len());
            seen[0] += 1;
        } else {
            assert!(found == after, "stopped after {stop}: {} events", found.journal.len());
            seen[1] += 1;
        }
        // Nothing is left behind, and it goes on.
        let session = open(settings(&zookeeper, &path)).await;
        assert_eq!(session.children("/mconn/staged").await.unwrap(), Vec::<String>::new());
        next.commit(vec![Write::Append(entry(9_000))]).await.unwrap();
        let again = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
        assert_eq!(again.journal.len(), found.journal.len() + 1);
        // Every step has been seen.
        if !store.was_stopped() {
            break;
        }
    }
    assert!(seen[0] >= 3 && seen[1] >= 3, "{seen:?}");
}

#[tokio::test]
async fn a_leader_that_is_stopped_while_it_finishes_leaves_it_to_the_next() {
    let zookeeper = shared();
    let path = fresh_path();
    let store = lead(settings(&zookeeper, &path)).await;
    store.load().await.unwrap();
    // Parts, then the commitment, and nothing in place.
    store.stop_after(4);
    store.commit(append(1..3_000)).await.unwrap();
    for stop in 0..3 {
        let next = lead(settings(&zookeeper, &path)).await;
        next.stop_after(stop);
        let error = next.load().await.map(|contents| contents.journal.len()).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Deposed, "{error}");
    }
    let last = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
    assert_eq!(last.journal.len(), 2_999);
}

#[tokio::test]
async fn somebody_elses_changes_are_seen_and_survived() {
    let zookeeper = shared();
    let path = fresh_path();
    let store = lead(settings(&zookeeper, &path)).await;
    store.load().await.unwrap();
    let items = |n: i32| (0..100).map(|i| put_item(&format!("i{i}"), json!(n))).collect::<Vec<_>>();
    store.commit(items(1)).await.unwrap();
    let stranger = open(settings(&zookeeper, &path)).await;
    for i in 0..50 {
        stranger.delete(&format!("/modules/Test/inventory/i{i}"), None).await.unwrap();
    }
    stranger.create("/modules/Test/inventory/new", b"?").await.unwrap();
    stranger.create_all("/modules/Test/inventory/i99/a/b").await.unwrap();
    let mut batch = items(2);
    batch.push(put_item("new", json!("ours")));
    batch.push(Write::RemoveItem { module: module("Test"), key: "i0".into() });
    batch.push(Write::RemoveItem { module: module("Test"), key: "i99".into() });
    store.commit(batch).await.unwrap();
    stranger.delete("/modules/Test/presets", None).await.unwrap();
    store.commit(vec![Write::PutPreset(preset("/a"))]).await.unwrap();
    let found = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
    assert_eq!(found.items.len(), 99);
    assert!(found.items.iter().all(|(_, item)| item.data == json!(2) || item.data == json!("ours")));
    assert_eq!(found.presets, [preset("/a")]);
    assert_eq!(found.skipped, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_stays() {
    let zookeeper = shared();
    let path = fresh_path();
    let store = lead(settings(&zookeeper, &path)).await;
    store.load().await.unwrap();
    store.commit(append(1..4)).await.unwrap();
    store.commit(vec![put_item("a", json!(1)), Write::PutPreset(preset("/a"))]).await.unwrap();
    let stranger = open(settings(&zookeeper, &path)).await;
    let node = "/mconn/journal/00000000000000000001";
    let (data, _) = stranger.get(node).await.unwrap();
    stranger.set(node, &[&data[..], b"7 {broken\n"].concat(), None).await.unwrap();
    stranger.create("/mconn/journal/x", b"").await.unwrap();
    stranger.create("/modules/Test/inventory/b", b"not json").await.unwrap();
    stranger.create("/modules/Test/presets/b", b"{}").await.unwrap();
    stranger.create("/modules/no name", b"").await.unwrap();

    let store = lead(settings(&zookeeper, &path)).await;
    let found = store.load().await.unwrap();
    assert_eq!(found.skipped.len(), 5, "{:#?}", found.skipped);
    assert_eq!(found.journal, [entry(1), entry(2), entry(3)]);
    // The place of the broken one is not used again, and its node outlives the events beside it.
    assert_eq!(found.next_seq, Some(Seq(8)));
    store.commit((1..4).map(|seq| Write::Forget(Seq(seq))).collect()).await.unwrap();
    let found = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
    assert_eq!((found.journal.len(), found.skipped.len()), (0, 5));
    let (data, _) = stranger.get(node).await.unwrap();
    assert!(data.ends_with(b"7 {broken\n"));
}

#[tokio::test]
async fn an_unknown_schema_is_refused() {
    let zookeeper = shared();
    let path = fresh_path();
    let session = open(settings(&zookeeper, &path)).await;
    session.create_all("/mconn").await.unwrap();
    session.create("/mconn/schema", br#"{"v":2}"#).await.unwrap();
    let error = lead(settings(&zookeeper, &path)).await.load().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::TooNew, "{error}");
    assert!(
        error.message.ends_with("says version 2, this mconn reads up to 1: use a newer mconn"),
        "{error}"
    );
    session.set("/mconn/schema", b"?", None).await.unwrap();
    let error = lead(settings(&zookeeper, &path)).await.load().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
}

/// By hand from spec/mconn.md section 9.
async fn original(session: &Session) {
    for (path, data) in ORIGINAL {
        session.create(path, data.as_bytes()).await.expect("a node");
    }
}

#[tokio::test]
async fn the_originals_tree_is_taken_over() {
    let zookeeper = shared();
    let path = fresh_path();
    let session = open(settings(&zookeeper, &path)).await;
    original(&session).await;
    let store = lead(settings(&zookeeper, &path)).await;
    let found = store.load().await.unwrap();
    let apps: Vec<_> = found.presets.iter().map(|preset| preset.app.as_str()).collect();
    assert_eq!(apps, ["/bridged-webapp", "/group/app", "/web"]);
    assert_eq!(found.presets[0].extra["note"], json!("kept"));
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].1.data, json!("Moin, Moin"));
    assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
    assert!(found.journal.is_empty() && found.next_seq.is_none());

    let mut names = session.children("/modules/HelloWorld/presets").await.unwrap();
    names.sort();
    assert_eq!(names, ["bridged-webapp", "group%2Fapp", "web"]);
    assert_eq!(session.children("/modules/HelloWorld/queue").await.unwrap(), Vec::<String>::new());
    let again = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
    assert_eq!(again, found);
}

#[tokio::test]
async fn the_originals_tree_is_read_without_a_change() {
    let zookeeper = shared();
    let path = fresh_path();
    let session = open(settings(&zookeeper, &path)).await;
    original(&session).await;
    session.create_member("/leader", "member_", b"{}").await.unwrap();
    let found = read_original(settings(&zookeeper, &path)).await.unwrap();
    assert_eq!((found.waiting, found.members, found.is_ours), (2, 1, false));
    assert_eq!(found.contents.presets.len(), 3);
    let mut names = session.children("/modules/HelloWorld/presets").await.unwrap();
    names.sort();
    assert_eq!(names, ["bridged-webapp", "group", "undefined"]);
    assert!(session.exists("/mconn").await.unwrap().is_none());

    for missing in [fresh_path(), "/".to_owned()] {
        let error = read_original(settings(&zookeeper, &missing)).await.unwrap_err();
        assert!(error.message.starts_with("there is no MConn tree at ZooKeeper"), "{error}");
    }

    let store = lead(settings(&zookeeper, &fresh_path())).await;
    let mut contents = found.contents;
    contents.skipped.clear();
    contents.next_seq = Some(Seq(70));
    store.import(&contents, false).await.unwrap();
    assert_eq!(store.load().await.unwrap(), contents);
    let refused = store.import(&Contents::default(), false).await.unwrap_err();
    assert!(refused.message.contains("is not empty (3 presets, 1 items"), "{refused}");
    let other = Contents {
        journal: (1..2_500).map(entry).collect(),
        next_seq: Some(Seq(2_500)),
        ..Contents::default()
    };
    store.import(&other, true).await.unwrap();
    assert!(store.load().await.unwrap() == other);
}

#[tokio::test]
async fn paths_are_as_the_table_says() {
    let zookeeper = shared();
    let path = fresh_path();
    let store = lead(settings(&zookeeper, &path)).await;
    store.load().await.unwrap();
    let through = Write::Through { seq: Seq(41), module: module("Test") };
    store
        .commit(vec![
            Write::PutPreset(preset("/group/sub/app")),
            put_item("a/b", json!(1)),
            Write::Append(entry(41)),
            Write::Append(entry(42)),
            through,
        ])
        .await
        .unwrap();
    let session = open(settings(&zookeeper, &path)).await;
    for path in [
        "/modules/Test/presets/group%2Fsub%2Fapp",
        "/modules/Test/inventory/a%2Fb",
        "/modules/Test/queue",
        "/mconn/journal/00000000000000000041",
        "/mconn/marks/00000000000000000041",
        "/mconn/epoch",
        "/mconn/schema",
        "/mconn/next",
    ] {
        assert!(session.exists(path).await.unwrap().is_some(), "{path}");
    }
    assert_eq!(session.get("/mconn/schema").await.unwrap().0, br#"{"v":1}"#);
    store.commit(vec![Write::Forget(Seq(41)), Write::Forget(Seq(42))]).await.unwrap();
    assert!(session.children("/mconn/journal").await.unwrap().is_empty());
    assert!(session.children("/mconn/marks").await.unwrap().is_empty());
    let found = lead(settings(&zookeeper, &path)).await.load().await.unwrap();
    assert_eq!(found.next_seq, Some(Seq(43)), "no place is used twice, even when the journal is empty");
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_nothing_else_suffers() {
    let zookeeper = shared();
    let store = lead(settings(&zookeeper, &fresh_path())).await;
    store.load().await.unwrap();
    let error = store.commit(vec![put_item("big", json!("x".repeat(1_000_000)))]).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused { write: 0 });
    assert!(error.message.starts_with("/modules/Test/inventory/big would have 10002"), "{error}");
    store.commit(vec![put_item("large", json!("x".repeat(900_000)))]).await.unwrap();
    assert_eq!(store.load().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_stored_once() {
    let zookeeper = Ensemble::start(&quick(1));
    let mut settings = settings(&zookeeper, "/m");
    settings.session_timeout = Duration::from_secs(8);
    settings.call_deadline = Duration::from_secs(1);
    let session = open(settings).await;
    let fence = claim(&session, b"{}").await.unwrap();
    let store = Arc::new(ZookeeperStore::new(session.clone(), fence));
    store.load().await.unwrap();
    for round in 0..3_u64 {
        assert_eq!(session.states().settled().await, State::Connected);
        zookeeper.stop(0);
        let mut states = session.states();
        let committing = tokio::spawn({
            let store = store.clone();
            async move { store.commit(append(round * 10 + 1..round * 10 + 4)).await }
        });
        // The request is in the stopped server's socket when the client gives the link up.
        assert_eq!(soon(states.changed()).await, State::Disconnected);
        zookeeper.cont(0);
        soon(committing).await.unwrap().unwrap();
    }
    let found = store.load().await.unwrap();
    assert_eq!(found.journal.len(), 9);
    assert_eq!(found.next_seq, Some(Seq(24)));
}

#[tokio::test]
async fn an_expired_session_deposes_its_store() {
    let mut zookeeper = Ensemble::start(&quick(1));
    let mut given = settings(&zookeeper, "/m");
    given.session_timeout = Duration::from_secs(1);
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    store.commit(append(1..2)).await.unwrap();
    zookeeper.kill(0);
    let error = soon(store.commit(append(2..3))).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Deposed, "{error}");
    zookeeper.restart(0);
    zookeeper.serve();
    // Not even now: the session that may write is another one.
    assert_eq!(store.commit(append(2..3)).await.unwrap_err().kind, StoreErrorKind::Deposed);
    let found = soon(lead(given)).await.load().await.unwrap();
    assert_eq!(found.journal, [entry(1)]);
}

#[tokio::test]
async fn an_ensemble_that_loses_its_leader_loses_nothing() {
    let mut zookeeper = Ensemble::start(&quick(3));
    let mut given = settings(&zookeeper, "/m");
    given.session_timeout = Duration::from_secs(10);
    let store = lead(given.clone()).await;
    store.load().await.unwrap();
    for round in 0..3_u64 {
        store.commit(append(round * 100 + 1..round * 100 + 51)).await.unwrap();
        let leader = zookeeper.leader().expect("a leader");
        zookeeper.kill(leader);
        soon(store.commit(append(round * 100 + 51..round * 100 + 101))).await.unwrap();
        zookeeper.restart(leader);
        zookeeper.serve();
    }
    let found = soon(lead(given)).await.load().await.unwrap();
    assert_eq!(found.journal.len(), 300);
}

/// Random batches over a few keys, against the store in memory.
#[tokio::test]
async fn it_holds_what_the_store_in_memory_holds() {
    let zookeeper = shared();
    let mut dice = fastrand::Rng::with_seed(4);
    for _ in 0..6 {
        let path = fresh_path();
        let memory = MemoryStore::new();
        let mut store = lead(settings(&zookeeper, &path)).await;
        store.load().await.unwrap();
        for step in 0..60 {
            let batch: Vec<Write> = (0..dice.usize(1..30)).map(|_| random_write(&mut dice)).collect();
            memory.commit(batch.clone()).await.unwrap();
            store.commit(batch).await.unwrap();
            if step % 10 == 9 {
                if dice.bool() {
                    store = lead(settings(&zookeeper, &path)).await;
                }
                assert_eq!(store.load().await.unwrap(), memory.contents(), "step {step}");
            }
        }
    }
}

fn random_write(dice: &mut fastrand::Rng) -> Write {
    let seq = Seq(dice.u64(1..40));
    let module = module(["Test", "Other"][dice.usize(..2)]);
    let key = ["a", "a/b", ".", "%2F", "ä"][dice.usize(..5)];
    match dice.u32(..12) {
        0 => Write::PutPreset(preset(["/a", "/a/b", "/a/b/c"][dice.usize(..3)])),
        1 => Write::RemovePreset { module, app: AppId::parse("/a/b").expect("an app id") },
        2 => Write::PutItem { module, item: item(key, json!(dice.u8(..))) },
        3 => Write::RemoveItem { module, key: key.into() },
        4..=6 => Write::Append(entry(seq.0)),
        7 | 8 => Write::Through { seq, module },
        9 => Write::Forget(seq),
        10 => Write::PutDeadLetter(Arc::new(DeadLetter {
            module,
            seq,
            event: Arc::new(event("dead")),
            event_id: "dead_TASK_RUNNING".into(),
            reason: "no".into(),
            attempts: dice.u32(1..9),
            failed_at: Timestamp::from_millis(2_000),
            superseded: dice.bool(),
        })),
        _ => Write::RemoveDeadLetter { module, seq },
    }
}
