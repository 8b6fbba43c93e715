//! From the catalog to the queue: task events, which must not be lost while the queue is busy, and leader changes.
//!
//! Only the leader has a queue. The others follow Marathon all the same, and keep what they would feed for a while: a
//! leader that dies has not accepted all that it heard, and until the next one is there nobody does. A node that begins to
//! lead offers that first, in order, before it serves anybody. Twice heard is harmless, and mostly known by the journal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mconn_catalog::{Signal, Why};
use mconn_leadership::{Epoch, Leadership, Role};
use mconn_model::TaskEvent;
use mconn_queue::{AcceptError, QueueHandle, SyncTrigger};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::heard::Heard;

/// First and longest pause before a refused batch is offered again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Pause before what was heard is offered again.
const AGAIN: Duration = Duration::from_millis(500);
/// Events of those that were heard that are offered at once.
const PIECE: usize = 500;
/// How long a new leader keeps clients waiting for what it has heard before. It goes on beside them then.
const FIRST: Duration = Duration::from_secs(2);
/// The shortest session that ZooKeeper grants where its own settings are the usual ones; shorter wishes become this.
const SESSION_MIN: Duration = Duration::from_secs(4);

/// Who takes task events on this node.
#[derive(Debug, Clone)]
pub(super) enum Taker {
    /// Nobody: another node leads, or none.
    Nobody,
    /// A queue that is about to start. It has not asked for its first list yet.
    Soon,
    /// The queue.
    Queue(QueueHandle),
}

/// What this node has heard and nobody here has taken yet. Each lock is held for one operation.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    heard: Arc<Mutex<Heard>>,
    start: Instant,
}

impl Ring {
    /// For nodes whose sessions last so long. A leader is dead for at most that before the others know, for as long again
    /// if ZooKeeper changes its own leader meanwhile, and the third is for looking and for slow streams.
    pub(super) fn new(session: Duration) -> Self {
        let heard = Heard::new(session.max(SESSION_MIN) * 3);
        Self { heard: Arc::new(Mutex::new(heard)), start: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, events: Vec<TaskEvent>) {
        let now = self.start.elapsed();
        self.lock().hear(events, now);
    }

    fn see(&self, view: &Leadership) {
        let now = self.start.elapsed();
        self.lock().led_by(leads_elsewhere(view), now);
    }

    /// Offers all of it. Nothing is gone from here before all of it is accepted, so this may be dropped half-way.
    async fn offer_to(&self, queue: &QueueHandle) -> Result<(), String> {
        let waiting = self.lock().waiting();
        if waiting.dropped > 0 {
            warn!(
                context = "QueueManager",
                "{} events of Marathon were heard and not kept while this node did not lead: all modules are synced",
                waiting.dropped
            );
            queue.sync_all(SyncTrigger::Missed).await.map_err(|error| error.to_string())?;
        }
        if !waiting.events.is_empty() {
            let all = waiting.events.len();
            let unheard = queue.unheard(waiting.events.clone()).await.map_err(|error| error.to_string())?;
            for piece in unheard.chunks(PIECE) {
                accept(queue, piece).await.map_err(|error| error.to_string())?;
            }
            info!(
                context = "QueueManager",
                "{} of {all} events of Marathon that were heard while this node did not lead are taken up",
                unheard.len()
            );
        }
        self.lock().taken(&waiting);
        Ok(())
    }
}

/// Which epoch another node leads, if this node knows that it does.
fn leads_elsewhere(view: &Leadership) -> Option<Epoch> {
    let other = view.leader.as_ref().filter(|leader| view.role == Role::Following && !leader.is_self);
    other.and_then(|leader| leader.epoch)
}

/// Makes a new queue the taker: first comes what was heard before, then `serve` lets clients in, then what is heard from now
/// on.
pub(super) async fn take_up(
    taker: &watch::Sender<Taker>,
    ring: &Ring,
    queue: &QueueHandle,
    serve: impl FnOnce(),
) {
    let first = tokio::time::timeout(FIRST, ring.offer_to(queue)).await;
    if let Err(reason) = first.unwrap_or_else(|_| Err(format!("it took longer than {FIRST:?}"))) {
        warn!(
            context = "QueueManager",
            "What was heard while this node did not lead could not be taken up first, it follows: {reason}"
        );
    }
    serve();
    taker.send_replace(Taker::Queue(queue.clone()));
}

/// Where task events go on this node.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub(super) takers: watch::Receiver<Taker>,
    pub(super) ring: Ring,
    /// Of a node with others.
    pub(super) leadership: Option<watch::Receiver<Leadership>>,
}

impl Feed {
    /// On a node that has one queue for ever.
    pub(super) fn alone(queue: QueueHandle) -> Self {
        let takers = watch::channel(Taker::Queue(queue)).1;
        Self { takers, ring: Ring::new(Duration::ZERO), leadership: None }
    }

    /// Offers each batch until the queue has accepted it, or is no more. Meanwhile the channel fills up, and the stream is
    /// read later. Without a queue it is kept.
    pub(super) async fn events(
        mut self,
        mut batches: mpsc::Receiver<Vec<TaskEvent>>,
        cancel: CancellationToken,
    ) -> Result<(), String> {
        let feed = async {
            loop {
                let taker = self.takers.borrow_and_update().clone();
                if let Taker::Queue(queue) = taker
                    && !self.ring.lock().is_empty()
                {
                    self.offer_heard(&queue).await;
                    continue;
                }
                tokio::select! {
                    biased;
                    () = changed(&mut self.takers) => {}
                    () = seen(self.leadership.as_mut(), &self.ring) => {}
                    batch = batches.recv() => match batch {
                        Some(batch) => self.take(batch).await,
                        None => return,
                    },
                }
            }
        };
        // Nothing that is dropped half-way was promised to anybody.
        let _ = cancel.run_until_cancelled(feed).await;
        Ok(())
    }

    /// Comes before anything new.
    async fn offer_heard(&mut self, queue: &QueueHandle) {
        if let Err(reason) = self.ring.offer_to(queue).await {
            debug!(context = "QueueManager", "what was heard before has to wait: {reason}");
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = changed(&mut self.takers) => {}
            }
        }
    }

    async fn take(&mut self, batch: Vec<TaskEvent>) {
        if !offer(&mut self.takers, &batch).await {
            self.ring.hear(batch);
        }
    }
}

/// The queue, once it is there; `None` if there will be none.
async fn queue_of(takers: &mut watch::Receiver<Taker>) -> Option<QueueHandle> {
    match &*takers.wait_for(|taker| !matches!(taker, Taker::Soon)).await.ok()? {
        Taker::Queue(queue) => Some(queue.clone()),
        Taker::Nobody | Taker::Soon => None,
    }
}

/// Until the taker changes. For ever, if it cannot.
async fn changed(takers: &mut watch::Receiver<Taker>) {
    if takers.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Until who leads has changed, which is noted. For ever, if it cannot.
async fn seen(leadership: Option<&mut watch::Receiver<Leadership>>, ring: &Ring) {
    if let Some(view) = leadership
        && view.changed().await.is_ok()
    {
        return ring.see(&view.borrow_and_update());
    }
    std::future::pending::<()>().await;
}

/// Whether the queue has accepted the batch. If not, it is no more, or there is none.
async fn offer(takers: &mut watch::Receiver<Taker>, batch: &[TaskEvent]) -> bool {
    let mut pause = PAUSE.0;
    loop {
        let Taker::Queue(queue) = takers.borrow_and_update().clone() else { return false };
        let Err(refused) = accept(&queue, batch).await else { return true };
        // One that has ended is about to be replaced.
        if !queue.has_ended() {
            warn!(
                context = "QueueManager",
                "{} events of Marathon's stream have to wait: {refused}",
                batch.len()
            );
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed(takers) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// A batch larger than the whole queue would be refused for ever, and so would one with an event that the store never takes:
/// it is offered piece by piece.
async fn accept(queue: &QueueHandle, batch: &[TaskEvent]) -> Result<(), AcceptError> {
    let Err(refused) = queue.accept(batch.to_vec()).await else { return Ok(()) };
    let for_ever = match refused {
        AcceptError::Full { limit } => batch.len() > limit.max(1),
        AcceptError::TooLarge { .. } => true,
        _ => false,
    };
    if !for_ever {
        return Err(refused);
    }
    accept_singly(queue, batch).await;
    if queue.has_ended() { Err(AcceptError::NoAnswer) } else { Ok(()) }
}

async fn accept_singly(queue: &QueueHandle, batch: &[TaskEvent]) {
    for event in batch {
        while let Err(refused) = queue.accept(vec![event.clone()]).await
            && !queue.has_ended()
        {
            if matches!(refused, AcceptError::TooLarge { .. }) {
                let task: String = event.task.as_str().chars().take(200).collect();
                error!(
                    context = "QueueManager",
                    "an event of Marathon's stream is left out, task {task:?}: {refused}"
                );
                break;
            }
            tokio::time::sleep(PAUSE.0).await;
        }
    }
}

/// Syncs all modules when Marathon's leader has changed or a source has to be synced: what happened was told to nobody.
pub(super) async fn missed(
    mut takers: watch::Receiver<Taker>,
    mut signals: mpsc::Receiver<Signal>,
    cancel: CancellationToken,
) -> Result<(), String> {
    while let Some(Some(signal)) = cancel.run_until_cancelled(signals.recv()).await {
        // Where none will be, another node hears the same. One that is about to start has asked for its first list before it
        // is there, and that may be older than this.
        let Some(queue) = cancel.run_until_cancelled(queue_of(&mut takers)).await.flatten() else { continue };
        let (what, source, trigger) = match signal {
            Signal::LeaderChanged { source, leader } => (
                "Marathon has changed his leader".to_owned(),
                format!("{source}: {leader}"),
                SyncTrigger::LeaderChange,
            ),
            // In the words of the event that a callback brings.
            Signal::Resync { source, why: Why::SchedulerRegistered } => {
                ("Marathon has changed his leader".to_owned(), source.to_string(), SyncTrigger::LeaderChange)
            }
            Signal::Resync { source, why } => (why.to_string(), source.to_string(), SyncTrigger::Missed),
        };
        info!(context = "Middlewares", "{what}! Sync all modules ({source})");
        if let Err(error) = queue.sync_all(trigger).await {
            warn!(context = "Middlewares", "the sync could not be asked for: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
