//! The list of everything that is measured: names, units and targets. It measures nothing.

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    Post,
    Latency,
    Stream,
    Memory,
    Catalog,
    Sync,
    Kill,
    Cluster,
    Failover,
}

impl Suite {
    pub(crate) const ALL: [Self; 9] = [
        Self::Post,
        Self::Latency,
        Self::Stream,
        Self::Memory,
        Self::Catalog,
        Self::Sync,
        Self::Kill,
        Self::Cluster,
        Self::Failover,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Latency => "latency",
            Self::Stream => "stream",
            Self::Memory => "memory",
            Self::Catalog => "catalog",
            Self::Sync => "sync",
            Self::Kill => "kill",
            Self::Cluster => "cluster",
            Self::Failover => "failover",
        }
    }
}

/// Which way is better, and the bound that has to be kept, if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aim {
    /// At least so much.
    AtLeast(f64),
    /// Less than that.
    Below(f64),
    /// Exactly nothing.
    Zero,
    /// More is better, without a bound.
    High,
    /// Less is better, without a bound.
    Low,
}

impl Aim {
    /// Whether a value keeps the bound; `None` without one.
    pub(crate) fn is_met_by(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::Below(bound) => Some(value < bound),
            Self::Zero => Some(value == 0.0),
            Self::High | Self::Low => None,
        }
    }

    /// The better of two values.
    pub(crate) fn better(self, a: f64, b: f64) -> f64 {
        match self {
            Self::AtLeast(_) | Self::High => a.max(b),
            Self::Below(_) | Self::Zero | Self::Low => a.min(b),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// Suite and name, `suite.name`.
    pub(crate) id: &'static str,
    /// What it is.
    pub(crate) text: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What is wanted.
    pub(crate) aim: Aim,
}

const fn figure(id: &'static str, unit: &'static str, aim: Aim, text: &'static str) -> Figure {
    Figure { id, text, unit, aim }
}

/// All of them, in the order of the table.
pub(crate) const FIGURES: &[Figure] = &[
    figure("post.finished", "/s", Aim::AtLeast(20_000.0), "POST /v1/queue to finished, durable, log level 2"),
    figure("post.accepted", "/s", Aim::High, "of these, POST to 200"),
    figure("post.cpu", "us", Aim::Low, "CPU of the node per event"),
    figure("post.commit", "ms", Aim::Low, "mean time of one commit of the store"),
    figure("post.batch", "writes", Aim::High, "mean writes per commit"),
    figure("post.rss", "MiB", Aim::Low, "RSS afterwards"),
    figure("post.finished_info", "/s", Aim::High, "the same at the default log level 3, log to a file"),
    figure("post.cpu_info", "us", Aim::Low, "CPU of the node per event at level 3"),
    figure("latency.p50", "ms", Aim::Low, "send to finished on /v1/events at 1,000/s, half of all"),
    figure("latency.p99", "ms", Aim::Below(10.0), "the same, 99 of 100"),
    figure("latency.max", "ms", Aim::Low, "the same, slowest"),
    figure("latency.answer_p50", "ms", Aim::Low, "send to the answer 200, half of all"),
    figure("latency.answer_p99", "ms", Aim::Low, "the same, 99 of 100"),
    figure("latency.sync_p50", "ms", Aim::Low, "the disk's write + fdatasync in the same run, half of all"),
    figure("latency.sync_p99", "ms", Aim::Low, "the same, 99 of 100"),
    figure(
        "stream.finished",
        "/s",
        Aim::AtLeast(50_000.0),
        "Marathon's event stream to finished, whole program",
    ),
    figure("stream.cpu", "us", Aim::Low, "CPU of the node per event"),
    figure("stream.listings", "", Aim::Low, "listings that the node asked for meanwhile"),
    figure("stream.rss", "MiB", Aim::Low, "largest RSS"),
    figure("memory.idle", "MiB", Aim::Low, "RSS of a node that has just started"),
    figure("memory.queued", "MiB", Aim::Below(60.0), "RSS with 10,000 events waiting in a paused module"),
    figure("memory.peak", "MiB", Aim::Low, "largest RSS until then"),
    figure(
        "catalog.rss",
        "MiB",
        Aim::Below(150.0),
        "RSS 10 s after the first listing of 5,000 apps x 10 tasks",
    ),
    figure("catalog.rss_second", "MiB", Aim::Below(150.0), "RSS 10 s after the second listing"),
    figure("catalog.peak", "MiB", Aim::Low, "largest RSS until then"),
    figure(
        "catalog.compare",
        "s",
        Aim::Below(1.0),
        "one listing fetched, read and compared; the simulation's own time is in it",
    ),
    figure("catalog.compare_cpu", "s", Aim::Low, "CPU of the node for the second listing"),
    figure("catalog.fetch", "s", Aim::Low, "of the listing: the simulation's answer, not read"),
    figure(
        "catalog.fold_listing",
        "ms",
        Aim::Low,
        "of the listing: compared with what is known, nothing new",
    ),
    figure("catalog.update_p50", "us", Aim::Low, "fold of one status update at 5,000 x 10, half of all"),
    figure("catalog.update_p99", "us", Aim::Below(50.0), "the same, 99 of 100"),
    figure("catalog.publish", "ms", Aim::Low, "one new snapshot at 5,000 x 10"),
    figure(
        "sync.nothing",
        "s",
        Aim::Below(2.0),
        "sync of 5,000 missing tasks, module that writes no inventory",
    ),
    figure("sync.test", "s", Aim::Below(2.0), "the same, module Test with an inventory"),
    figure("kill.lost", "events", Aim::Zero, "acknowledged events lost in all rounds of kill -9"),
    figure(
        "kill.different",
        "tasks",
        Aim::Zero,
        "tasks in which inventory and cluster differ after the last sync",
    ),
    figure("kill.acknowledged", "events", Aim::High, "acknowledged events in all rounds"),
    figure("kill.rounds", "rounds", Aim::High, "rounds"),
    figure(
        "cluster.accepted",
        "/s",
        Aim::AtLeast(5_000.0),
        "POST /v1/queue to three nodes, durable in ZooKeeper (one server) before the 200",
    ),
    figure("cluster.finished", "/s", Aim::High, "the same, to finished"),
    figure("cluster.accepted_3", "/s", Aim::High, "the same with an ensemble of three servers, to 200"),
    figure("cluster.finished_3", "/s", Aim::High, "the same, to finished"),
    figure(
        "failover.kill_default",
        "ms",
        Aim::Below(4_500.0),
        "kill -9 of the leader to the next one's first finished event, session of 4 s (default)",
    ),
    figure("failover.kill_default_max", "ms", Aim::Low, "the slowest of these"),
    figure("failover.kill_1s", "ms", Aim::Below(1_500.0), "the same, session of 1 s"),
    figure("failover.kill_1s_max", "ms", Aim::Low, "the slowest of these"),
    figure(
        "failover.silent_default",
        "ms",
        Aim::Low,
        "the leader stands still and no socket closes, as when a machine loses its power; session of 4 s",
    ),
    figure("failover.silent_1s", "ms", Aim::Low, "the same, session of 1 s"),
    figure(
        "failover.step_down",
        "ms",
        Aim::Below(300.0),
        "POST /v1/exit/leader?keep=true to the next leader's first finished event",
    ),
    figure("failover.step_down_max", "ms", Aim::Low, "the slowest of these"),
    figure("failover.exit", "ms", Aim::Below(300.0), "POST /v1/exit/node at the leader to the same"),
    figure("failover.exit_max", "ms", Aim::Low, "the slowest of these"),
];

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Which figure.
    pub(crate) id: &'static str,
    /// In its unit.
    pub(crate) value: f64,
}

/// A sample of a figure.
pub(crate) const fn sample(id: &'static str, value: f64) -> Sample {
    Sample { id, value }
}

/// Percentile of sorted values; 0 without any.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_figure_belongs_to_a_suite_and_is_there_once() {
        let mut seen = HashSet::new();
        for figure in FIGURES {
            assert!(seen.insert(figure.id), "{} is there twice", figure.id);
            let suite = figure.id.split('.').next();
            assert!(Suite::ALL.iter().any(|known| Some(known.as_str()) == suite), "{}", figure.id);
        }
    }

    #[test]
    fn aims() {
        assert_eq!(Aim::AtLeast(5.0).is_met_by(5.0), Some(true));
        assert_eq!(Aim::Below(5.0).is_met_by(5.0), Some(false));
        assert_eq!(Aim::Zero.is_met_by(1.0), Some(false));
        assert_eq!(Aim::High.is_met_by(0.0), None);
        assert!((Aim::Low.better(1.0, 2.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn percentiles() {
        let sorted: Vec<f64> = (0..=100).map(f64::from).collect();
        assert!((percentile(&sorted, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 0.5).abs() < f64::EPSILON);
    }
}
