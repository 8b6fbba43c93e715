//! From the catalog to the queue: task events, which must not be lost while the queue is busy, and leader changes.

use std::time::Duration;

use mconn_catalog::{Signal, Why};
use mconn_model::TaskEvent;
use mconn_queue::{AcceptError, QueueHandle, SyncTrigger};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// First and longest pause before a refused batch is offered again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Offers each batch until the queue has accepted it. Meanwhile the channel fills up, and the stream is read later.
pub(super) async fn events(
    queue: QueueHandle,
    mut batches: mpsc::Receiver<Vec<TaskEvent>>,
    cancel: CancellationToken,
) -> Result<(), String> {
    while let Some(Some(batch)) = cancel.run_until_cancelled(batches.recv()).await {
        let mut pause = PAUSE.0;
        loop {
            let Some(accepted) = cancel.run_until_cancelled(queue.accept(batch.clone())).await else {
                return Ok(());
            };
            let Err(refused) = accepted else { break };
            // A batch larger than the whole queue would be refused for ever: offer it piece by piece.
            if let AcceptError::Full { limit } = refused
                && batch.len() > limit.max(1)
            {
                accept_singly(&queue, &batch, &cancel).await;
                break;
            }
            warn!(
                context = "QueueManager",
                "{} events of Marathon's stream have to wait: {refused}",
                batch.len()
            );
            cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
    Ok(())
}

async fn accept_singly(queue: &QueueHandle, batch: &[TaskEvent], cancel: &CancellationToken) {
    for event in batch {
        while queue.accept(vec![event.clone()]).await.is_err() && !cancel.is_cancelled() {
            cancel.run_until_cancelled(tokio::time::sleep(PAUSE.0)).await;
        }
    }
}

/// Syncs all modules when Marathon's leader has changed or a source has to be synced: what happened was told to nobody.
pub(super) async fn missed(
    queue: QueueHandle,
    mut signals: mpsc::Receiver<Signal>,
    cancel: CancellationToken,
) -> Result<(), String> {
    while let Some(Some(signal)) = cancel.run_until_cancelled(signals.recv()).await {
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
