//! How many requests a Marathon has been sent, by kind and result: what its request budget is spent on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Everything: apps, tasks, groups, pods.
    Listing,
    /// One app.
    App,
    /// The event stream.
    Stream,
    /// The running tasks for a sync; callbacks.
    Other,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Listing, Self::App, Self::Stream, Self::Other];

    /// A word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::App => "app",
            Self::Stream => "stream",
            Self::Other => "other",
        }
    }
}

/// Counts of one kind. What was given up before it was answered is in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCount {
    /// That were answered as they should.
    pub ok: u64,
    /// That no host answered as it should.
    pub failed: u64,
}

/// Requests since the start. One that is tried at several hosts, or a listing that takes several calls, counts once.
#[derive(Debug, Default)]
pub struct RequestStats {
    /// By kind in the order of [`RequestKind::ALL`]; then those that were answered, and those that failed.
    counts: [[AtomicU64; 2]; 4],
}

impl RequestStats {
    /// A request has come to its end.
    pub fn note(&self, kind: RequestKind, ok: bool) {
        self.counts[kind as usize][usize::from(!ok)].fetch_add(1, Relaxed);
    }

    /// Requests of this kind so far.
    #[must_use]
    pub fn get(&self, kind: RequestKind) -> RequestCount {
        let [ok, failed] = &self.counts[kind as usize];
        RequestCount { ok: ok.load(Relaxed), failed: failed.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_results_are_counted_apart() {
        let stats = RequestStats::default();
        for (i, kind) in RequestKind::ALL.into_iter().enumerate() {
            (0..=i).for_each(|_| stats.note(kind, true));
            stats.note(kind, false);
        }
        let counts = RequestKind::ALL.map(|kind| stats.get(kind));
        assert_eq!(counts, [1, 2, 3, 4].map(|ok| RequestCount { ok, failed: 1 }));
    }
}
