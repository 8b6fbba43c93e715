//! Which connections wait for a request, and making room by closing the one that has waited longest.
//!
//! Keep-alive connections may stay open for a minute doing nothing. Without this, as many of them as there may be at once
//! would lock everybody out, health checks included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection that was told to close may take before another one is told.
const MAKES_ROOM: Duration = Duration::from_millis(100);

/// All connections of a server that wait for a request, in the order in which they began to.
#[derive(Debug)]
pub(crate) struct Idle {
    permits: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// Another connection has begun to wait.
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_turn: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    pub(crate) fn new(max_connections: usize) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(max_connections.max(1)));
        Arc::new(Self { permits, waiting: Mutex::default(), more: Notify::new() })
    }

    /// A place among the connections. If all are taken, the connection that has waited longest for a request is closed;
    /// if all are at work, this waits.
    pub(crate) async fn admit(self: &Arc<Self>) -> Place {
        let permit = loop {
            // Heard before the look, so that no connection begins to wait unseen in between.
            let more = self.more.notified();
            match self.permits.clone().try_acquire_owned() {
                Ok(permit) => break Some(permit),
                Err(_) if self.close_oldest() => {
                    // It ends at once, unless a request has just come or its client takes an answer slowly: then the
                    // next one has to go.
                    let freed = self.permits.clone().acquire_owned();
                    if let Ok(permit) = tokio::time::timeout(MAKES_ROOM, freed).await {
                        break permit.ok();
                    }
                }
                Err(_) => tokio::select! {
                    permit = self.permits.clone().acquire_owned() => break permit.ok(),
                    () = more => {}
                },
            }
        };
        Place { idle: self.clone(), _permit: permit, close: CancellationToken::new(), turn: Mutex::new(None) }
    }

    fn close_oldest(&self) -> bool {
        let oldest = self.lock().by_turn.pop_first();
        oldest.is_some_and(|(_, close)| {
            close.cancel();
            true
        })
    }

    // There is nothing but single operations under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    idle: Arc<Idle>,
    _permit: Option<OwnedSemaphorePermit>,
    close: CancellationToken,
    turn: Mutex<Option<u64>>,
}

impl Place {
    /// Cancelled when this connection has to make room.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.close
    }

    /// It waits for a request.
    pub(crate) fn waits(&self) {
        let mut waiting = self.idle.lock();
        let turn = waiting.next;
        waiting.next += 1;
        waiting.by_turn.insert(turn, self.close.clone());
        drop(waiting);
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        self.idle.more.notify_waiters();
    }

    /// It answers one.
    pub(crate) fn works(&self) {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(turn) = turn {
            self.idle.lock().by_turn.remove(&turn);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.works();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_waits_longest_makes_room() {
        let idle = Idle::new(2);
        let (first, second) = (idle.admit().await, idle.admit().await);
        first.waits();
        second.waits();
        first.works();
        first.waits();
        let newcomer = tokio::spawn({
            let idle = idle.clone();
            async move { idle.admit().await }
        });
        second.closed().cancelled().await;
        assert!(!first.closed().is_cancelled());
        drop(second);
        newcomer.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_at_work_is_closed() {
        let idle = Idle::new(1);
        let busy = idle.admit().await;
        let newcomer = tokio::spawn({
            let idle = idle.clone();
            async move { idle.admit().await }
        });
        tokio::task::yield_now().await;
        assert!(!busy.closed().is_cancelled() && !newcomer.is_finished());
        busy.waits();
        busy.closed().cancelled().await;
        drop(busy);
        newcomer.await.unwrap();
    }
}
