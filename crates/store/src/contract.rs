//! What every store must do. Each implementation's tests call [`check`] with a way to open the same data again.

use std::future::Future;
use std::sync::Arc;

use mconn_model::{AppId, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp};
use serde_json::{Map, Value, json};

use crate::{Contents, DeadLetter, Document, JournalEntry, Seq, Store, StoreErrorKind, Write};

/// Runs the whole suite. `reopen` closes the store, if it is open, and opens the same data again; the first call finds
/// nothing there.
///
/// # Panics
/// If the store breaks the contract; the message says which part.
pub async fn check<S, F, Fut>(mut reopen: F)
where
    S: Store,
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let store = reopen(None).await;
    let empty = store.load().await.expect("an empty store loads");
    assert_eq!(empty, Contents::default(), "a new store is empty");

    store.commit(Vec::new()).await.expect("an empty batch is no error");
    store.commit(everything()).await.expect("a batch with one write of each kind");
    let store = check_contents(store, &mut reopen, &wanted(), "after the first batch").await;

    store.commit(everything()).await.expect("the same batch again");
    let store = check_contents(store, &mut reopen, &wanted(), "writes are idempotent").await;

    let store = order(store, &mut reopen).await;
    let store = replacing(store, &mut reopen).await;
    let store = removing(store, &mut reopen).await;
    let store = large(store, &mut reopen).await;
    let store = largest(store, &mut reopen).await;
    awkward_keys(store, &mut reopen).await;
}

async fn check_contents<S: Store, F, Fut>(store: S, reopen: &mut F, wanted: &Contents, when: &str) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let live = store.load().await.expect("a store loads while it is in use");
    assert_eq!(&live, wanted, "{when}, as read back");
    let store = reopen(Some(store)).await;
    let reopened = store.load().await.expect("a store loads after it was opened again");
    assert_eq!(&reopened, wanted, "{when}, after opening again");
    let text = Document::from_contents(&reopened).to_text();
    assert_eq!(&Document::parse(&text).expect("an export can be read"), wanted, "{when}, through an export");
    store
}

/// Within a batch, later writes win; `next_seq` never goes back.
async fn order<S: Store, F, Fut>(store: S, reopen: &mut F) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let batch = vec![
        Write::PutItem { module: module("Test"), item: item("twice", json!(1)) },
        Write::RemoveItem { module: module("Test"), key: "twice".into() },
        Write::PutItem { module: module("Test"), item: item("twice", json!(2)) },
        Write::Append(entry(9)),
        Write::Forget(Seq(9)),
    ];
    store.commit(batch).await.expect("several writes of one key");
    let mut contents = wanted();
    contents.items.insert(0, (module("Test"), item("twice", json!(2))));
    contents.next_seq = Some(Seq(10));
    let store = check_contents(store, reopen, &contents, "later writes of a batch win").await;
    store
        .commit(vec![Write::RemoveItem { module: module("Test"), key: "twice".into() }])
        .await
        .expect("removal");
    store
}

async fn replacing<S: Store, F, Fut>(store: S, reopen: &mut F) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let mut changed = (*preset("/group/sub/app")).clone();
    changed.status = "disabled".into();
    changed.last_edit = Some(Timestamp::from_millis(1_435_909_578_085));
    let changed = Arc::new(changed);
    store.commit(vec![Write::PutPreset(changed.clone())]).await.expect("a preset is replaced");
    let mut contents = wanted();
    contents.next_seq = Some(Seq(10));
    contents.presets = vec![preset("/group"), changed];
    let store = check_contents(store, reopen, &contents, "a nested app's preset changes alone").await;
    store.commit(vec![Write::PutPreset(preset("/group/sub/app"))]).await.expect("and back");
    store
}

/// Removing what is gone is no error, and forgetting an event takes its marks along.
async fn removing<S: Store, F, Fut>(store: S, reopen: &mut F) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let batch = || {
        vec![
            Write::RemovePreset { module: module("Test"), app: app("/group") },
            Write::RemovePreset { module: module("Test"), app: app("/group/sub/app") },
            Write::RemoveItem { module: module("Test"), key: "web.1".into() },
            Write::Forget(Seq(1)),
            Write::Forget(Seq(2)),
            Write::Through { seq: Seq(1), module: module("Test") },
            Write::RemoveDeadLetter { module: module("Test"), seq: Seq(0) },
        ]
    };
    let nothing = Contents { next_seq: Some(Seq(10)), ..Contents::default() };
    store.commit(batch()).await.expect("everything is removed");
    let store = check_contents(store, reopen, &nothing, "after removal").await;
    store.commit(batch()).await.expect("removing what is gone");
    check_contents(store, reopen, &nothing, "after removal twice").await
}

/// More than one page, one node or one packet holds.
async fn large<S: Store, F, Fut>(store: S, reopen: &mut F) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let appends: Vec<_> = (100..5_100).map(|seq| Write::Append(entry(seq))).collect();
    store.commit(appends).await.expect("5,000 events in one batch");
    let big = item("big", Value::String("x".repeat(200_000)));
    store
        .commit(vec![Write::PutItem { module: module("Test"), item: big.clone() }])
        .await
        .expect("a large item");
    let contents = Contents {
        journal: (100..5_100).map(entry).collect(),
        items: vec![(module("Test"), big)],
        next_seq: Some(Seq(5_100)),
        ..Contents::default()
    };
    let store = check_contents(store, reopen, &contents, "large batches and items").await;
    let mut batch: Vec<_> = (100..5_100).map(|seq| Write::Forget(Seq(seq))).collect();
    batch.push(Write::RemoveItem { module: module("Test"), key: "big".into() });
    store.commit(batch).await.expect("5,000 events leave in one batch");
    store
}

/// Keys that would be dangerous as paths are only keys (spec/mconn.md section 13, defects 5 and 12).
async fn awkward_keys<S: Store, F, Fut>(store: S, reopen: &mut F)
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    let keys = ["%2F", "..", "/", "a/b", "a b", "ä.✓", "zz/../x"];
    let batch = keys
        .iter()
        .map(|key| Write::PutItem { module: module("Test"), item: item(key, json!(key)) })
        .collect();
    store.commit(batch).await.expect("awkward keys");
    let mut contents = Contents { next_seq: Some(Seq(5_100)), ..Contents::default() };
    contents.items = keys.iter().map(|key| (module("Test"), item(key, json!(key)))).collect();
    contents.items.sort_by(|a, b| a.1.key.cmp(&b.1.key));
    let _store = check_contents(store, reopen, &contents, "awkward keys").await;
}

/// A record as large as the store says is kept. A much larger one is refused by name, with its whole batch, and the store goes on;
/// where there is no limit it is kept.
async fn largest<S: Store, F, Fut>(store: S, reopen: &mut F) -> S
where
    F: FnMut(Option<S>) -> Fut,
    Fut: Future<Output = S>,
{
    const LARGE: usize = 2_500_000;
    let contents = store.load().await.expect("a store loads");
    let put = |key: &str, size: usize| {
        let write = |data: Value| Write::PutItem { module: module("Test"), item: item(key, data) };
        let frame = write(json!("")).size();
        write(json!("x".repeat(size - frame)))
    };
    let remove = |key: &str| Write::RemoveItem { module: module("Test"), key: key.into() };
    let limit = store.record_limit();
    let fits = put("fits", limit.unwrap_or(LARGE));
    assert_eq!(fits.size(), limit.unwrap_or(LARGE));
    store.commit(vec![fits.clone()]).await.expect("a record of the largest size");
    let mut with_it = contents.clone();
    if let Write::PutItem { module, item } = fits {
        with_it.items.insert(0, (module, item));
    }
    let store = check_contents(store, reopen, &with_it, "a record of the largest size").await;
    store.commit(vec![remove("fits")]).await.expect("its removal");
    let Some(limit) = limit else { return store };

    let mut text = event("large");
    text.host = Some("x".repeat(2 * limit).into());
    let entry = JournalEntry { event: Arc::new(text.clone()), ..(*entry(7_000)).clone() };
    let letter = DeadLetter { event: Arc::new(text), seq: Seq(7_000), ..(*letter()).clone() };
    let preset = Preset { options: json!("x".repeat(2 * limit)), ..(*preset("/large")).clone() };
    let too_large = [
        put("large", 2 * limit),
        Write::Append(Arc::new(entry)),
        Write::PutDeadLetter(Arc::new(letter)),
        Write::PutPreset(Arc::new(preset)),
    ];
    for write in too_large {
        let batch = vec![put("small", 1_000), remove("none"), write.clone(), put("small", 1_000)];
        let error = store.commit(batch).await.expect_err("more than the largest size");
        assert_eq!(error.kind, StoreErrorKind::Refused { write: 2 }, "{write}: {error}");
        assert_eq!(
            store.load().await.expect("a store loads"),
            contents,
            "{write}: nothing of its batch is kept"
        );
        store.commit(vec![put("small", 1_000), remove("small")]).await.expect("the store goes on");
    }
    check_contents(store, reopen, &contents, "after records that were too large").await
}

fn everything() -> Vec<Write> {
    vec![
        Write::PutPreset(preset("/group/sub/app")),
        Write::PutPreset(preset("/group")),
        Write::PutItem { module: module("Test"), item: item("web.1", json!({"nested": [1, null, "x"]})) },
        Write::Append(entry(1)),
        Write::Append(entry(2)),
        Write::Through { seq: Seq(1), module: module("Test") },
        Write::Through { seq: Seq(77), module: module("Test") },
        Write::PutDeadLetter(letter()),
    ]
}

fn wanted() -> Contents {
    Contents {
        presets: vec![preset("/group"), preset("/group/sub/app")],
        items: vec![(module("Test"), item("web.1", json!({"nested": [1, null, "x"]})))],
        journal: vec![entry(1), entry(2)],
        through: vec![(Seq(1), module("Test"))],
        dead_letters: vec![letter()],
        next_seq: Some(Seq(3)),
        skipped: Vec::new(),
    }
}

fn module(name: &str) -> ModuleName {
    ModuleName::new(name).expect("a module name")
}

fn app(id: &str) -> AppId {
    AppId::parse(id).expect("an app id")
}

fn event(task: &str) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).expect("a task id"),
        status: TaskStatus::Running,
        app: app("/group/sub/app"),
        host: Some("agent.example".into()),
        ports: vec![31000, 31001],
        event_type: Some("status_update_event".into()),
        timestamp: Some(mconn_model::EventTimestamp::Text("2015-05-25T15:12:24.140Z".into())),
    }
}

fn preset(id: &str) -> Arc<Preset> {
    let mut extra = Map::new();
    extra.insert("note".to_owned(), json!("kept"));
    Arc::new(Preset {
        app: app(id),
        module: module("Test"),
        status: Preset::ENABLED.into(),
        options: json!({"actions": {"add": "Moin", "remove": "Tschues"}}),
        last_edit: None,
        extra,
    })
}

fn item(key: &str, data: Value) -> Arc<InventoryItem> {
    Arc::new(InventoryItem { key: key.into(), data, event: event("web.1") })
}

fn entry(seq: u64) -> Arc<JournalEntry> {
    let event = Arc::new(event(&format!("task.{seq}")));
    Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at: Timestamp::from_millis(1_000),
        event,
        owed: [module("Test"), module("Other")].into(),
    })
}

fn letter() -> Arc<DeadLetter> {
    Arc::new(DeadLetter {
        module: module("Test"),
        seq: Seq(0),
        event: Arc::new(event("dead.0")),
        event_id: "dead.0_TASK_RUNNING".into(),
        reason: "no options.actions".into(),
        attempts: 4,
        failed_at: Timestamp::from_millis(2_000),
        superseded: true,
    })
}
