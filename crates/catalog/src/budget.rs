//! What is left of each source's request budget, for metrics: the task notes it when it spends, readers let it grow again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mconn_model::SourceId;
use tokio::time::Instant;

use crate::settings::Settings;

/// A source's budget for the requests that the catalog causes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Requests a minute in the long run.
    pub per_minute: u32,
    /// Requests that may be made at once after a quiet time.
    pub burst: u32,
    /// How many of these there are now.
    pub left: f64,
}

/// Shared by the task and its readers. The lock guards single map operations.
#[derive(Debug)]
pub(crate) struct Budgets {
    per_minute: u32,
    burst: u32,
    spent: Mutex<BTreeMap<SourceId, (f64, Instant)>>,
}

impl Budgets {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            per_minute: settings.requests_per_minute.max(1),
            burst: settings.requests_burst.max(1),
            spent: Mutex::default(),
        }
    }

    /// So much was left just now.
    pub(crate) fn note(&self, source: &SourceId, left: f64) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.insert(source.clone(), (left, Instant::now()));
    }

    pub(crate) fn read(&self, source: &SourceId) -> Budget {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied();
        let burst = f64::from(self.burst);
        let grown = |(left, at): (f64, Instant)| {
            (left + at.elapsed().as_secs_f64() * f64::from(self.per_minute) / 60.0).min(burst)
        };
        Budget { per_minute: self.per_minute, burst: self.burst, left: spent.map_or(burst, grown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_comes_back() {
        let settings = Settings { requests_per_minute: 60, requests_burst: 20, ..Settings::default() };
        let budgets = Budgets::new(&settings);
        let [a, b] = ["a", "b"].map(|name| SourceId::new(name).unwrap());
        budgets.note(&a, 3.0);
        assert_eq!((budgets.read(&a).left, budgets.read(&b).left), (3.0, 20.0));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(budgets.read(&a).left, 5.0);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(budgets.read(&a).left, 20.0);
    }
}
