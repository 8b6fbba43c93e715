//! Who takes what, and in which order. Time is paused.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mconn_leadership::{Leader, MemberName, NodeAddress};
use mconn_model::{AppId, EventTimestamp, SourceId, TaskId, TaskStatus, Timestamp};
use mconn_module::Module;
use mconn_modules::TestModule;
use mconn_queue::{ModuleSetup, Notice, QueueTask, RunningList, RunningTasks, Settings};
use mconn_store::{MemoryStore, Store, StoreError, StoreErrorKind};
use tokio::sync::broadcast;

use super::*;

fn event(number: usize) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(&format!("t{number}")).unwrap(),
        status: TaskStatus::Running,
        app: AppId::parse("/a").unwrap(),
        host: None,
        ports: Vec::new(),
        event_type: None,
        timestamp: Some(EventTimestamp::Millis(1)),
    }
}

/// Answers with nothing, a moment after it is asked.
#[derive(Default)]
struct Lists(AtomicUsize);

impl RunningTasks for Lists {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(RunningList::default())
        }
        .boxed()
    }
}

/// A node whose queue is there when it begins to lead.
struct Node {
    store: Arc<MemoryStore>,
    lists: Arc<Lists>,
    queue: QueueHandle,
    _task: QueueTask,
    accepted: broadcast::Receiver<Arc<Notice>>,
    taker: watch::Sender<Taker>,
    ring: Ring,
    batches: mpsc::Sender<Vec<TaskEvent>>,
    cancel: CancellationToken,
}

impl Node {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (store, lists, cancel) =
            (Arc::new(MemoryStore::new()), Arc::new(Lists::default()), CancellationToken::new());
        let module: Arc<dyn Module> = Arc::new(TestModule::new(serde_json::json!({}), Some(Duration::ZERO)));
        let setup = ModuleSetup { module, concurrency: 1, folder: "Test".to_owned() };
        let (queue, task) = mconn_queue::start(
            settings,
            vec![setup],
            store.clone() as Arc<dyn Store>,
            Some(lists.clone()),
            Duration::from_secs(10),
            cancel.clone(),
        )
        .await
        .unwrap();
        let (taker, takers) = watch::channel(Taker::Nobody);
        let (batches, inbox) = mpsc::channel(8);
        let ring = Ring::new(Duration::from_secs(10));
        let feed = Feed { takers, ring: ring.clone(), leadership: None };
        tokio::spawn(feed.events(inbox, cancel.clone()));
        let accepted = queue.subscribe();
        Self { store, lists, queue, _task: task, accepted, taker, ring, batches, cancel }
    }

    async fn hear(&self, number: usize) {
        self.batches.send(vec![event(number)]).await.unwrap();
    }

    /// The next task that enters the module's lane.
    async fn next(&mut self) -> String {
        loop {
            let notice = tokio::time::timeout(Duration::from_secs(3_600), self.accepted.recv()).await;
            if let Notice::Created { id, .. } = &*notice.expect("something comes").unwrap() {
                return id.trim_end_matches("_TASK_RUNNING").to_owned();
            }
        }
    }

    async fn until_heard(&self, count: usize) {
        let wait = async {
            while self.ring.lock().waiting().events.len() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3_600), wait).await.expect("it is heard");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_comes_first_then_clients_then_what_is_new() {
    let mut node = Node::new().await;
    node.hear(1).await;
    node.until_heard(1).await;
    node.taker.send_replace(Taker::Soon);
    node.hear(2).await;
    node.until_heard(2).await;

    let serve = || {
        assert!(node.ring.lock().is_empty(), "it is accepted");
        assert_eq!(node.store.contents().next_seq.map(|seq| seq.0), Some(2), "which means durable");
        assert!(matches!(*node.taker.borrow(), Taker::Soon), "nothing new before clients can be served");
    };
    take_up(&node.taker, &node.ring, &node.queue, serve).await;
    assert!(matches!(*node.taker.borrow(), Taker::Queue(_)));
    node.hear(3).await;
    assert_eq!([node.next().await, node.next().await, node.next().await], ["t1", "t2", "t3"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_in_trouble_keeps_clients_waiting_for_a_moment_only_and_loses_nothing() {
    let mut node = Node::new().await;
    node.hear(1).await;
    node.until_heard(1).await;
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Unavailable, "no space left on device")));
    let began = Instant::now();
    take_up(&node.taker, &node.ring, &node.queue, || {}).await;
    assert!(began.elapsed() <= FIRST, "{:?}", began.elapsed());
    node.hear(2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    node.until_heard(1).await;
    node.store.refuse(None);
    assert_eq!([node.next().await, node.next().await], ["t1", "t2"], "in order all the same");
}

#[tokio::test(start_paused = true)]
async fn what_a_queue_had_not_accepted_when_the_lead_was_over_is_kept() {
    let mut node = Node::new().await;
    take_up(&node.taker, &node.ring, &node.queue, || {}).await;
    node.hear(1).await;
    assert_eq!(node.next().await, "t1");
    node.store.refuse(Some(StoreError::new(StoreErrorKind::Unavailable, "no space left on device")));
    node.hear(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(node.ring.lock().is_empty(), "it is still offered");
    node.taker.send_replace(Taker::Nobody);
    node.until_heard(1).await;
    assert_eq!(node.ring.lock().waiting().events, [event(2)]);
}

#[tokio::test(start_paused = true)]
async fn too_many_are_told_and_made_up_for_by_a_sync() {
    let node = Node::new().await;
    node.batches.send((0..10_001).map(event).collect()).await.unwrap();
    node.until_heard(10_000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.lists.0.load(Ordering::SeqCst), 1, "that of the start");
    take_up(&node.taker, &node.ring, &node.queue, || {}).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.lists.0.load(Ordering::SeqCst), 2);
    assert_eq!(node.queue.stats().await.unwrap().accepted, 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_smaller_than_what_was_heard_takes_it_bit_by_bit() {
    let node = Node::with(Settings { journal_limit: 10, ..Settings::default() }).await;
    node.batches.send((0..100).map(event).collect()).await.unwrap();
    node.until_heard(100).await;
    take_up(&node.taker, &node.ring, &node.queue, || {}).await;
    node.until_heard(0).await;
    assert_eq!(node.queue.stats().await.unwrap().accepted, 100);
}

#[tokio::test(start_paused = true)]
async fn a_signal_while_the_queue_starts_waits_for_it() {
    let node = Node::new().await;
    let (signals, signalled) = mpsc::channel(4);
    tokio::spawn(missed(node.taker.subscribe(), signalled, node.cancel.clone()));
    let resync = || Signal::Resync { source: SourceId::new("east").unwrap(), why: Why::EventsMissed };
    // Another node leads, and hears the same.
    signals.send(resync()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.taker.send_replace(Taker::Soon);
    signals.send(resync()).await.unwrap();
    // The start's list has been asked for, and is there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.lists.0.load(Ordering::SeqCst), 1);
    take_up(&node.taker, &node.ring, &node.queue, || {}).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.lists.0.load(Ordering::SeqCst), 2, "asked for after the signal");
}

#[test]
fn only_another_node_that_leads_makes_old_events_needless() {
    let address =
        |host: &str| NodeAddress { host: host.to_owned(), port: 1, url: format!("http://{host}:1") };
    let now = Timestamp::from_millis(0);
    let unknown = Leadership::unknown(address("a"), now);
    let leader = |epoch, is_self| {
        let name = MemberName::parse("member_0000000003").unwrap();
        Some(Leader { name, address: address("b"), epoch, since: None, is_self })
    };
    let seen = |role, leader| leads_elsewhere(&Leadership { role, leader, ..unknown.clone() });
    let apart = Role::Apart { since: now, why: "no connection".to_owned() };
    assert_eq!(leads_elsewhere(&unknown), None);
    assert_eq!(seen(Role::Following, leader(Some(Epoch(3)), false)), Some(Epoch(3)));
    assert_eq!(seen(Role::Following, leader(None, false)), None, "it is only the first in line");
    assert_eq!(seen(apart, leader(Some(Epoch(3)), false)), None, "what is known may be old");
    assert_eq!(seen(Role::Leading { epoch: Epoch(4) }, leader(Some(Epoch(4)), true)), None);
}
