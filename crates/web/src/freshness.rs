//! How long ago each source was heard, by this node's clock. Snapshots carry counters, not times, so that equal states
//! are equal; the times are when a snapshot with a new counter was seen here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mconn_model::{Freshness, Snapshot, SourceId};
use tokio::sync::watch;
use tokio::time::Instant;

/// When something last moved at a source.
#[derive(Debug, Clone, Copy)]
struct Seen {
    freshness: Freshness,
    since: Instant,
    comparisons: u64,
    compared: Option<Instant>,
    events: u64,
    event: Option<Instant>,
}

/// Times of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ages {
    /// In the present state of freshness.
    pub(crate) state: Duration,
    /// Since a snapshot told of a comparison.
    pub(crate) comparison: Option<Duration>,
    /// Since a snapshot told of an event.
    pub(crate) event: Option<Duration>,
}

/// Remembers when each source was last heard.
#[derive(Debug, Default)]
pub(crate) struct SourceClock {
    seen: Mutex<BTreeMap<SourceId, Seen>>,
}

impl SourceClock {
    /// Follows the snapshots until the catalog ends.
    pub(crate) async fn follow(&self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            self.note(&snapshot, Instant::now());
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    fn note(&self, snapshot: &Snapshot, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|source, _| snapshot.sources.contains_key(source));
        for (source, state) in &snapshot.sources {
            let before = seen.get(source).copied().unwrap_or(Seen {
                freshness: state.freshness,
                since: now,
                comparisons: 0,
                compared: None,
                events: 0,
                event: None,
            });
            let moved = |was: u64, is: u64, at: Option<Instant>| if is == was { at } else { Some(now) };
            seen.insert(
                source.clone(),
                Seen {
                    freshness: state.freshness,
                    since: if before.freshness == state.freshness { before.since } else { now },
                    comparisons: state.comparisons,
                    compared: moved(before.comparisons, state.comparisons, before.compared),
                    events: state.events,
                    event: moved(before.events, state.events, before.event),
                },
            );
        }
    }

    /// Ages of a source, once a snapshot has named it.
    pub(crate) fn ages(&self, source: &SourceId) -> Option<Ages> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(source)?;
        let age = |at: Instant| at.elapsed();
        Some(Ages { state: age(seen.since), comparison: seen.compared.map(age), event: seen.event.map(age) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::SourceState;

    fn snapshot(freshness: Freshness, comparisons: u64, events: u64) -> Snapshot {
        let id = SourceId::new("m").unwrap();
        let state = SourceState {
            freshness,
            events,
            comparisons,
            differences: 0,
            leader: None,
            last_error: None,
            held: None,
            changes: mconn_model::Changes::default(),
        };
        Snapshot { sources: BTreeMap::from([(id, state)]), ..Snapshot::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn ages_grow_until_something_moves() {
        let clock = SourceClock::default();
        let id = SourceId::new("m").unwrap();
        assert_eq!(clock.ages(&id), None);
        let second = Duration::from_secs(1);
        clock.note(&snapshot(Freshness::Never, 0, 0), Instant::now());
        tokio::time::advance(second).await;
        assert_eq!(clock.ages(&id), Some(Ages { state: second, comparison: None, event: None }));
        clock.note(&snapshot(Freshness::Fresh, 1, 0), Instant::now());
        tokio::time::advance(second).await;
        clock.note(&snapshot(Freshness::Fresh, 1, 5), Instant::now());
        tokio::time::advance(second).await;
        let ages = Ages { state: 2 * second, comparison: Some(2 * second), event: Some(second) };
        assert_eq!(clock.ages(&id), Some(ages));
        clock.note(&Snapshot::default(), Instant::now());
        assert_eq!(clock.ages(&id), None, "a source that is gone is forgotten");
    }
}
