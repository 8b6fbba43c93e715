//! Every limit and every delay of the catalog, in one place.

use std::time::Duration;

/// What becomes of a task while Mesos cannot reach its agent (TASK_UNREACHABLE). It may well be reachable from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnreachablePolicy {
    /// No new traffic, and what it serves goes on.
    #[default]
    Drain,
    /// Taken out at once.
    Remove,
    /// Judged by what was known before.
    Keep,
}

/// Limits and delays. The defaults suit a Marathon of a few thousand apps (spec/marathon.md section 10).
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Shortest time between two published snapshots. Default 20 ms.
    pub publish_every: Duration,
    /// How long an app stays dirty before it is fetched, so that the events of one change share one request, and so that
    /// health results are visible when we ask (section 6.5). Default 100 ms.
    pub coalesce: Duration,
    /// With more dirty apps than this, the whole listing is cheaper than single requests. Default 10.
    pub singles_max: usize,
    /// Shortest time between two requests for one app: it doubles from the first to the second while events about the app
    /// go on, so that one noisy app does not use up the budget. Default 1 s to 30 s.
    pub app_gap: (Duration, Duration),
    /// Requests that the catalog may cause per source and minute, listings and single apps together. Default 120.
    pub requests_per_minute: u32,
    /// Requests that may be made at once after a quiet time. Default 20.
    pub requests_burst: u32,
    /// Shortest time between two listings that the catalog asks for, and at least five times what the last one took, so
    /// that Marathon is not busy with listings alone. Default 1 s.
    pub listing_gap: Duration,
    /// A request that nobody answered for this long is made again. Default 60 s.
    pub answer_within: Duration,
    /// First and longest pause after a failed request; it doubles in between. Default 1 s to 30 s.
    pub retry: (Duration, Duration),
    /// After a scheduler (re)registered, Marathon reconciles; a listing is wanted within this span, jittered. Default
    /// 15 s to 30 s.
    pub reconcile: (Duration, Duration),
    /// An ended task that a listing still shows as alive, although it was requested after the end, is not believed for
    /// this long (Marathon up to 1.3 has such windows, section 6.5). Default 2 s.
    pub settle: Duration,
    /// How long an ended task or app is remembered. Default 10 min.
    pub grave_age: Duration,
    /// How many ended tasks (and, apart, apps) are remembered per source: at 100 bytes each this is about 2 MB. Default
    /// 20 000.
    pub graves_max: usize,
    /// A hint that a task will go, and that does not come true, is believed for this long and twice the app's kill grace
    /// period. Default 1 min.
    pub doomed_for: Duration,
    /// A difference that a listing shows counts as a missed event when no event explained it within this. Default 10 s.
    pub explain_within: Duration,
    /// A listing that lacks more than this share of the known apps or of their running tasks, in percent, without any
    /// event that explains it, is held (trap 21): what it lacks stays until the hold is over. 100 holds nothing.
    /// Default 50.
    pub hold_share: u8,
    /// Fewer apps and tasks than this, counted together, are never held. Default 3.
    pub hold_min: usize,
    /// A listing that still lacks them after this time is believed: a list that shrinks because access was taken away
    /// looks the same as a deletion. Zero holds nothing. Default 2 min.
    pub hold_for: Duration,
    /// How often everything is asked for again meanwhile. Default 10 s.
    pub hold_ask: Duration,
    /// What becomes of a task while Mesos cannot reach its agent. Default: drained.
    pub unreachable: UnreachablePolicy,
    /// With a smaller share of an app's running tasks healthy than this, in percent, all that were ready once are served.
    /// Default 0: never.
    pub panic_below: u8,
    /// How often an app is asked for while a readiness check is pending, as no event tells of its success (spec/marathon.md
    /// section 3.5). Default 2 s.
    pub readiness_poll: Duration,
    /// How much longer than a readiness check's timeout a task may be without any result before it counts as older than
    /// the deployment. Default 5 s.
    pub readiness_margin: Duration,
    /// How often what is remembered of tasks is kept on disk, if it changed (the shell). Default 5 s.
    pub keep_every: Duration,
    /// Task events waiting for the queue before intake stops (the shell). At 300 bytes each this is about 3 MB. Default
    /// 10 000.
    pub edge_backlog: usize,
    /// How long intake waits for a queue that takes nothing before waiting task events are dropped in favour of fresh
    /// snapshots (the shell). Default 5 s.
    pub edge_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            publish_every: Duration::from_millis(20),
            coalesce: Duration::from_millis(100),
            singles_max: 10,
            app_gap: (Duration::from_secs(1), Duration::from_secs(30)),
            requests_per_minute: 120,
            requests_burst: 20,
            listing_gap: Duration::from_secs(1),
            answer_within: Duration::from_secs(60),
            retry: (Duration::from_secs(1), Duration::from_secs(30)),
            reconcile: (Duration::from_secs(15), Duration::from_secs(30)),
            settle: Duration::from_secs(2),
            grave_age: Duration::from_secs(600),
            graves_max: 20_000,
            doomed_for: Duration::from_secs(60),
            explain_within: Duration::from_secs(10),
            hold_share: 50,
            hold_min: 3,
            hold_for: Duration::from_secs(120),
            hold_ask: Duration::from_secs(10),
            unreachable: UnreachablePolicy::Drain,
            panic_below: 0,
            readiness_poll: Duration::from_secs(2),
            readiness_margin: Duration::from_secs(5),
            keep_every: Duration::from_secs(5),
            edge_backlog: 10_000,
            edge_patience: Duration::from_secs(5),
        }
    }
}
