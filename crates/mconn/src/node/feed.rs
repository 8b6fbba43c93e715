//! From the catalog to the queue: task events, which must not be lost while the queue is busy, and leader changes.
//!
//! Only the leader has a queue. The others follow Marathon all the same, and what they would feed is dropped: the leader
//! hears it itself. A node that begins to lead syncs first, with a list that is asked for after it began, so nothing is
//! missing that was dropped before; what comes after that moment waits here until its queue is there.

use std::time::Duration;

use mconn_catalog::{Signal, Why};
use mconn_model::TaskEvent;
use mconn_queue::{AcceptError, QueueHandle, SyncTrigger};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// First and longest pause before a refused batch is offered again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

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

impl Taker {
    /// On a node that has one queue for ever.
    pub(super) fn always(queue: QueueHandle) -> watch::Receiver<Self> {
        watch::channel(Self::Queue(queue)).1
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

/// Offers each batch until the queue has accepted it, or is no more. Meanwhile the channel fills up, and the stream is read
/// later.
pub(super) async fn events(
    mut takers: watch::Receiver<Taker>,
    mut batches: mpsc::Receiver<Vec<TaskEvent>>,
    cancel: CancellationToken,
) -> Result<(), String> {
    while let Some(Some(batch)) = cancel.run_until_cancelled(batches.recv()).await {
        let offered = cancel.run_until_cancelled(offer(&mut takers, &batch)).await;
        if offered.is_none() {
            break;
        }
    }
    Ok(())
}

/// Returns when the batch is accepted, or nobody is there to take it.
async fn offer(takers: &mut watch::Receiver<Taker>, batch: &[TaskEvent]) {
    let mut pause = PAUSE.0;
    loop {
        let Some(queue) = queue_of(takers).await else {
            debug!(context = "QueueManager", "{} events are left to the leader", batch.len());
            return;
        };
        let Err(refused) = queue.accept(batch.to_vec()).await else { return };
        // A batch larger than the whole queue would be refused for ever, and so would one with an event that the store never
        // takes: offer it piece by piece.
        let for_ever = match refused {
            AcceptError::Full { limit } => batch.len() > limit.max(1),
            AcceptError::TooLarge { .. } => true,
            _ => false,
        };
        if for_ever {
            return accept_singly(&queue, batch).await;
        }
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
    takers: watch::Receiver<Taker>,
    mut signals: mpsc::Receiver<Signal>,
    cancel: CancellationToken,
) -> Result<(), String> {
    while let Some(Some(signal)) = cancel.run_until_cancelled(signals.recv()).await {
        // A queue that is not there yet syncs when it starts.
        let Taker::Queue(queue) = takers.borrow().clone() else { continue };
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
