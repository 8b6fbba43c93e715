//! The queue as its users see it: a handle, a store and a module. Time is paused, so waits cost nothing.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mconn_model::{AppId, EventTimestamp, ModuleName, Preset, TaskEvent, TaskId, TaskStatus};
use mconn_module::{BoxFuture, Module, Outcome, Run};
use mconn_queue::{
    AcceptError, CommandError, ModuleSetup, Notice, PresetChange, QueueHandle, QueueTask, RunningList,
    RunningTask, RunningTasks, Settings, SyncError, SyncOutcome, SyncTrigger,
};
use mconn_store::{Contents, MemoryStore, Store, StoreError, StoreErrorKind, Write};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

/// Does what the task id says: `ok`, `hang`, `panic`, `wait` (one second).
struct Obedient {
    name: ModuleName,
    cancelled: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Module for Obedient {
    fn name(&self) -> &ModuleName {
        &self.name
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let task = run.event().task.as_str().to_owned();
            if task.starts_with("hang") {
                let _guard = CountDrop(self.cancelled.clone());
                std::future::pending::<()>().await;
            }
            assert!(!task.starts_with("panic"), "told to");
            if task.starts_with("wait") {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            match run.event().status {
                TaskStatus::Running => run.put_item("", json!("here")),
                _ => run.remove_item(""),
            }
            Outcome::Finished
        })
    }
}

#[derive(Default)]
struct Source {
    answer: std::sync::Mutex<Option<Result<RunningList, String>>>,
    fetches: AtomicUsize,
}

impl RunningTasks for Source {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone().unwrap_or_else(|| Err("no host answers".to_owned()));
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer
        })
    }
}

struct Node {
    queue: QueueHandle,
    task: QueueTask,
    cancel: CancellationToken,
    store: Arc<MemoryStore>,
    source: Arc<Source>,
    cancelled: Arc<AtomicUsize>,
}

async fn node(store: Arc<MemoryStore>) -> Node {
    node_with(store, Settings::default(), 1).await
}

async fn node_with(store: Arc<MemoryStore>, settings: Settings, concurrency: usize) -> Node {
    node_on(store.clone(), store, settings, concurrency).await
}

/// On a store that may be another one, or stand before this one.
async fn node_on(
    on: Arc<dyn Store>,
    store: Arc<MemoryStore>,
    settings: Settings,
    concurrency: usize,
) -> Node {
    let cancel = CancellationToken::new();
    let source = Arc::new(Source::default());
    let cancelled = Arc::new(AtomicUsize::new(0));
    let module = Obedient { name: ModuleName::new("Test").unwrap(), cancelled: cancelled.clone() };
    let setup = ModuleSetup { module: Arc::new(module), concurrency, folder: "Test".to_owned() };
    let (queue, task) = mconn_queue::start(
        settings,
        vec![setup],
        on,
        Some(source.clone()),
        Duration::from_secs(10),
        cancel.clone(),
    )
    .await
    .unwrap();
    Node { queue, task, cancel, store, source, cancelled }
}

impl Node {
    async fn preset(&self) {
        let preset = Preset {
            app: AppId::parse("/a").unwrap(),
            module: ModuleName::new("Test").unwrap(),
            status: "enabled".into(),
            options: json!({}),
            last_edit: None,
            extra: Map::new(),
        };
        self.queue.put_preset(preset).await.unwrap();
    }

    async fn until(&self, what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3_600), wait)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }

    async fn until_idle(&self) {
        self.until("idle", async || self.queue.queue().await.unwrap().is_empty()).await;
    }

    fn items(&self) -> Vec<String> {
        self.queue.inventory("Test").unwrap().iter().map(|item| item.key.to_string()).collect()
    }
}

fn event(task: &str, status: &str, at: i64) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::parse(status),
        app: AppId::parse("/a").unwrap(),
        host: None,
        ports: Vec::new(),
        event_type: None,
        timestamp: Some(EventTimestamp::Millis(at)),
    }
}

fn list(ids: &[&str]) -> RunningList {
    let running = |id: &&str| RunningTask {
        source: None,
        id: TaskId::new(id).unwrap(),
        app: AppId::parse("/a").unwrap(),
        host: None,
        ports: Vec::new(),
    };
    RunningList { tasks: ids.iter().map(running).collect(), complete: [None].into(), unread: 0 }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_event_is_durable_and_is_handled() {
    let node = node(Arc::default()).await;
    node.preset().await;
    node.queue.pause("Test").await.unwrap();
    node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await.unwrap();
    assert_eq!(node.store.contents().journal.len(), 1, "durable when the call returns");
    assert_eq!(node.queue.lane("Test").await.unwrap().len(), 1);
    node.queue.resume("Test").await.unwrap();
    node.until_idle().await;
    assert_eq!(node.items(), ["ok"]);
    node.cancel.cancel();
    node.task.join().await.unwrap();
    assert!(node.store.contents().journal.is_empty(), "written at the end at the latest");
}

#[tokio::test(start_paused = true)]
async fn many_senders_share_commits() {
    let node = node(Arc::default()).await;
    let before = node.store.commits();
    let sends = (0..500).map(|n| {
        let queue = node.queue.clone();
        async move { queue.accept(vec![event("ok", "TASK_RUNNING", n)]).await }
    });
    for result in futures_util::future::join_all(sends).await {
        result.unwrap();
    }
    assert!(node.store.commits() - before < 50, "{} commits for 500 events", node.store.commits() - before);
    assert_eq!(node.queue.stats().await.unwrap().accepted, 500);
}

#[tokio::test(start_paused = true)]
async fn a_hung_run_is_cancelled_at_its_deadline_and_the_next_one_starts() {
    let node = node(Arc::default()).await;
    node.preset().await;
    node.queue.accept(vec![event("hang", "TASK_RUNNING", 1), event("ok", "TASK_RUNNING", 2)]).await.unwrap();
    node.until("ok is handled", async || node.items() == ["ok"]).await;
    assert_eq!(node.cancelled.load(Ordering::SeqCst), 1, "its future is dropped");
    node.until("given up", async || node.queue.stats().await.unwrap().modules[0].dead_letters == 1).await;
    let letter = node.queue.dead_letters("Test").await.unwrap().remove(0);
    assert_eq!((&*letter.reason, letter.attempts), ("timeout on task", 4));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_run_alone() {
    let settings = Settings { retries: 0, ..Settings::default() };
    let node = node_with(Arc::default(), settings, 1).await;
    node.preset().await;
    node.queue.accept(vec![event("panic", "TASK_RUNNING", 1), event("ok", "TASK_RUNNING", 2)]).await.unwrap();
    node.until_idle().await;
    assert_eq!(node.items(), ["ok"]);
    let letter = node.queue.dead_letters("Test").await.unwrap().remove(0);
    assert_eq!(&*letter.reason, "the module panicked: told to");
    node.queue.drop_dead_letter("Test", letter.seq).await.unwrap();
    assert_eq!(
        node.queue.drop_dead_letter("Test", letter.seq).await,
        Err(CommandError::Refused("there is no such dead letter"))
    );
}

#[tokio::test(start_paused = true)]
async fn concurrency_runs_different_tasks_at_once() {
    let node = node_with(Arc::default(), Settings::default(), 4).await;
    node.preset().await;
    let began = tokio::time::Instant::now();
    let events = (0..8).map(|n| event(&format!("wait{}", n / 2), "TASK_RUNNING", n)).collect();
    node.queue.accept(events).await.unwrap();
    node.until_idle().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "two of each task, one after the other: {took:?}");
    assert!(took < Duration::from_secs(3), "four tasks at once: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_keeps_what_is_not_done() {
    let store = Arc::new(MemoryStore::new());
    let node1 = node(store.clone()).await;
    node1.preset().await;
    node1.queue.accept(vec![event("wait", "TASK_RUNNING", 1), event("ok", "TASK_RUNNING", 2)]).await.unwrap();
    node1.until("it runs", async || node1.queue.stats().await.unwrap().modules[0].active == 1).await;
    node1.cancel.cancel();
    node1.task.join().await.unwrap();
    assert_eq!(node1.queue.accept(vec![event("x", "TASK_RUNNING", 3)]).await, Err(AcceptError::NoAnswer));
    assert_eq!(store.contents().journal.len(), 2);

    let node2 = node(store).await;
    node2.until_idle().await;
    assert_eq!(node2.items(), ["ok", "wait"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_an_error_now_and_no_loss_later() {
    let node = node(Arc::default()).await;
    node.preset().await;
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Unavailable, "no space left on device")));
    let refused = node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await;
    assert_eq!(refused, Err(AcceptError::Store { reason: "no space left on device".to_owned() }));
    let refused = node.queue.delete_preset("Test", &AppId::parse("/a").unwrap()).await;
    assert!(matches!(refused, Err(CommandError::Store { .. })), "{refused:?}");
    assert_eq!(node.queue.presets("Test").await.unwrap().len(), 1);
    node.store.refuse(None);
    node.until("it recovers", async || node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await.is_ok())
        .await;
    node.until_idle().await;
    assert_eq!(node.items(), ["ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_store_ends_the_task() {
    let node = node(Arc::default()).await;
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Corrupt, "page 7 is damaged")));
    assert_eq!(node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await, Err(AcceptError::NoAnswer));
    assert_eq!(node.task.join().await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

#[tokio::test(start_paused = true)]
async fn a_deposed_store_ends_the_task() {
    let node = node(Arc::default()).await;
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Deposed, "another node leads now")));
    assert_eq!(node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await, Err(AcceptError::NoAnswer));
    assert_eq!(node.task.join().await.unwrap_err().kind, StoreErrorKind::Deposed);
    assert_eq!(node.store.commits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sync_is_answered_when_it_has_compared() {
    let node = node(Arc::default()).await;
    node.preset().await;
    node.until("the first syncs have failed", async || {
        node.queue.stats().await.unwrap().modules[0].syncs_failed > 0
    })
    .await;
    let failed = node.queue.sync("Test", SyncTrigger::Request).await;
    assert_eq!(failed, Err(SyncError::Unreachable { reason: "no host answers".into() }));
    *node.source.answer.lock().unwrap() = Some(Ok(list(&["ok1", "ok2"])));
    let (one, two) = tokio::join!(
        node.queue.sync("Test", SyncTrigger::Request),
        node.queue.sync("Test", SyncTrigger::Request)
    );
    assert_eq!(one, Ok(SyncOutcome { missing: 2, wrong: 0, unread: 0 }));
    assert_eq!(two, one, "the second joins the first");
    node.until("they are added", async || node.items() == ["ok1", "ok2"]).await;
    assert_eq!(
        node.queue.sync("Nope", SyncTrigger::Request).await,
        Err(SyncError::UnknownModule("Nope".to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn syncs_come_by_themselves() {
    let node = node(Arc::default()).await;
    *node.source.answer.lock().unwrap() = Some(Ok(list(&["ok1"])));
    // At the start Marathon was away; that sync is tried again. The preset makes the module care.
    node.preset().await;
    node.until("the preset's sync adds the task", async || node.items() == ["ok1"]).await;
    *node.source.answer.lock().unwrap() = Some(Ok(list(&["ok2"])));
    let began = tokio::time::Instant::now();
    node.until("the interval's sync sees the change", async || node.items() == ["ok2"]).await;
    assert!(began.elapsed() <= Duration::from_secs(601), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_what_happens() {
    let node = node(Arc::default()).await;
    node.preset().await;
    let mut notices = node.queue.subscribe();
    node.queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await.unwrap();
    node.until_idle().await;
    let mut heard = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        heard.push(match &*notice {
            Notice::Created { .. } => "created",
            Notice::Started { .. } => "started",
            Notice::InventoryChanged { .. } => "inventory",
            Notice::Ended { .. } => "ended",
            Notice::Removed { .. } => "removed",
            _ => "other",
        });
    }
    heard.retain(|what| *what != "other");
    assert_eq!(heard, ["created", "started", "inventory", "ended", "removed"]);
}

#[tokio::test(start_paused = true)]
async fn presets_say_what_they_did() {
    let node = node(Arc::default()).await;
    node.preset().await;
    let app = AppId::parse("/a").unwrap();
    let preset = (*node.queue.presets("Test").await.unwrap()[0]).clone();
    assert_eq!(node.queue.put_preset(preset.clone()).await, Ok(PresetChange::Modified));
    assert_eq!(node.queue.delete_preset("Test", &app).await, Ok(true));
    assert_eq!(node.queue.delete_preset("Test", &app).await, Ok(false));
    assert_eq!(node.queue.put_preset(preset).await, Ok(PresetChange::Created));
    let unknown = node.queue.pause("Nope").await;
    assert_eq!(unknown, Err(CommandError::UnknownModule("Nope".to_owned())));
}

/// The first process is ended with an event in its lane, and the task dies while nobody listens.
#[tokio::test(start_paused = true)]
async fn a_task_that_died_between_two_processes_leaves_the_inventory_at_once() {
    let store: Arc<MemoryStore> = Arc::default();
    let first = node(store.clone()).await;
    first.preset().await;
    first.queue.pause("Test").await.unwrap();
    first.queue.accept(vec![event("wait", "TASK_RUNNING", 1)]).await.unwrap();
    first.cancel.cancel();
    first.task.join().await.unwrap();

    let second = node(store).await;
    *second.source.answer.lock().unwrap() = Some(Ok(list(&[])));
    let began = tokio::time::Instant::now();
    second.until("the run puts it there", async || second.items() == ["wait"]).await;
    second.until("the sync that follows removes it", async || second.items().is_empty()).await;
    // Long before the second sync after the start, which comes all the same, and before that of the interval.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let fetches = second.source.fetches.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(second.source.fetches.load(Ordering::SeqCst), fetches + 1);
}

/// Does not take what is called like this, and may take its time.
struct Picky {
    store: Arc<MemoryStore>,
    refuses: &'static str,
    hangs: bool,
}

impl Store for Picky {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.store.load()
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.hangs {
            return Box::pin(std::future::pending());
        }
        match batch.iter().position(|write| write.to_string().contains(self.refuses)) {
            Some(write) => {
                let error = StoreError::new(StoreErrorKind::Refused { write }, "not that one");
                Box::pin(std::future::ready(Err(error)))
            }
            None => self.store.commit(batch),
        }
    }

    fn location(&self) -> String {
        "picky".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_store_never_takes_costs_itself_alone() {
    let store = Arc::new(MemoryStore::new());
    let picky = Picky { store: store.clone(), refuses: "item \"ok-bad\"", hangs: false };
    let node = node_on(Arc::new(picky), store, Settings::default(), 1).await;
    node.preset().await;
    node.queue
        .accept(vec![event("ok-bad", "TASK_RUNNING", 1), event("ok", "TASK_RUNNING", 2)])
        .await
        .unwrap();
    node.until_idle().await;
    node.queue.accept(vec![event("ok-later", "TASK_RUNNING", 3)]).await.unwrap();
    node.until_idle().await;
    assert_eq!(node.items(), ["ok", "ok-bad", "ok-later"]);
    node.cancel.cancel();
    node.task.join().await.unwrap();
    let stored = node.store.contents();
    assert_eq!((stored.items.len(), stored.journal.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_store_never_takes_is_told_so() {
    let store = Arc::new(MemoryStore::new());
    let picky = Picky { store: store.clone(), refuses: "event ok-bad", hangs: false };
    let node = node_on(Arc::new(picky), store, Settings::default(), 1).await;
    node.preset().await;
    let refused = node.queue.accept(vec![event("ok-bad", "TASK_RUNNING", 1)]).await;
    assert_eq!(refused, Err(AcceptError::Store { reason: "not that one".to_owned() }));
    node.queue.accept(vec![event("ok", "TASK_RUNNING", 2)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_run_outlives_a_deposed_queue() {
    let node = node_with(Arc::default(), Settings::default(), 2).await;
    node.preset().await;
    node.queue.accept(vec![event("hang", "TASK_RUNNING", 1)]).await.unwrap();
    node.until("it runs", async || node.queue.stats().await.unwrap().modules[0].active == 1).await;
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Deposed, "another node leads now")));
    assert_eq!(node.queue.accept(vec![event("ok", "TASK_RUNNING", 2)]).await, Err(AcceptError::NoAnswer));
    assert_eq!(node.task.join().await.unwrap_err().kind, StoreErrorKind::Deposed);
    assert_eq!(node.cancelled.load(Ordering::SeqCst), 1, "its future is dropped by then");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_queue_that_ends() {
    // Which of end and command is seen first is left to chance.
    for _ in 0..20 {
        let store = Arc::new(MemoryStore::new());
        let picky = Picky { store: store.clone(), refuses: "nothing", hangs: true };
        let node = node_on(Arc::new(picky), store, Settings::default(), 1).await;
        // Its batch is never written, so the end takes as long as it may.
        let accepting = tokio::spawn({
            let queue = node.queue.clone();
            async move { queue.accept(vec![event("ok", "TASK_RUNNING", 1)]).await }
        });
        tokio::task::yield_now().await;
        node.cancel.cancel();
        let began = tokio::time::Instant::now();
        let _ = node.queue.stats().await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(node.task.join().await.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert!(accepting.await.unwrap().is_err());
    }
}
