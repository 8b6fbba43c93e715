//! A good sender: numbered events, each to the next node in turn, again and elsewhere until a node has acknowledged it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::api::Api;

/// The app of all events.
pub(super) const APP: &str = "/demo/web";
/// Events that are on their way at a time.
const SENDERS: u32 = 32;
/// Between two events of one sender: 250 a second of all. HelloWorld as the nodes have it works on some 200 a second, so that
/// events wait when the leader dies.
const PACE: Duration = Duration::from_millis(128);
/// Before an event is sent again, doubled for each further time.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Senders at work. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    api: Api,
    nodes: Vec<String>,
    /// Makes the tasks unlike those of every other run on the same data.
    run: String,
    next: AtomicU64,
    repeats: AtomicU64,
    /// By number: the task, once it is acknowledged.
    acknowledged: Mutex<BTreeMap<u64, String>>,
    longest: Mutex<Duration>,
}

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many events.
    pub(super) events: u64,
    /// How often one was sent again.
    pub(super) repeats: u64,
    /// The tasks of all that were acknowledged.
    pub(super) acknowledged: Vec<String>,
    /// How long the one took that took longest, from its first sending to its acknowledgement.
    pub(super) longest: Duration,
}

impl Load {
    /// Begins to send.
    pub(super) fn start(api: &Api, nodes: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            api: api.clone(),
            nodes,
            run: format!("{:08x}", fastrand::u32(..)),
            next: AtomicU64::new(1),
            repeats: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            longest: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let mut senders = JoinSet::new();
        for place in 0..SENDERS {
            senders.spawn(send_on(shared.clone(), place, stop.clone()));
        }
        Self { shared, stop, senders }
    }

    /// How many are acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        lock(&self.shared.acknowledged).len()
    }

    /// Begins no further event, and waits this long for those that are on their way.
    pub(super) async fn stop(mut self, patience: Duration) -> Sent {
        self.stop.cancel();
        let ends = async { while self.senders.join_next().await.is_some() {} };
        // What is not acknowledged by then shows in the numbers.
        let _ = tokio::time::timeout(patience, ends).await;
        self.senders.shutdown().await;
        Sent {
            events: self.shared.next.load(Ordering::Relaxed) - 1,
            repeats: self.shared.repeats.load(Ordering::Relaxed),
            acknowledged: lock(&self.shared.acknowledged).values().cloned().collect(),
            longest: *lock(&self.shared.longest),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send_on(shared: Arc<Shared>, place: u32, stop: CancellationToken) {
    let mut ticks = tokio::time::interval_at(Instant::now() + PACE * place / SENDERS, PACE);
    // After a time without a leader the senders go on at their pace.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.deliver(number).await;
    }
}

impl Shared {
    async fn deliver(&self, number: u64) {
        let task = format!("demo_web.{}-{number}", self.run);
        let event = event(&task);
        let began = Instant::now();
        let mut pause = PAUSE;
        for node in self.nodes.iter().cycle().skip(usize::try_from(number).unwrap_or(0) % self.nodes.len()) {
            if self.api.post(node, &event).await {
                break;
            }
            self.repeats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        lock(&self.acknowledged).insert(number, task);
        let took = began.elapsed();
        let mut longest = lock(&self.longest);
        *longest = took.max(*longest);
    }
}

fn event(task: &str) -> Value {
    json!({
        "eventType": "status_update_event", "timestamp": jiff::Timestamp::now().to_string(), "slaveId": "demo-S1",
        "taskId": task, "taskStatus": "TASK_RUNNING", "appId": APP, "host": "agent.example", "ports": [31000],
    })
}
