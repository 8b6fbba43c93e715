//! How bad the way between Marathon and us is, by seed. Each kind of fault is there or not, so that some seeds show one
//! kind alone.

use std::time::Duration;

use fastrand::Rng;

/// Probabilities and delays.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    /// One way, for events and parts of answers, in milliseconds.
    latency: (u64, u64),
    /// The same for answers of Marathon, which has to write them.
    answer: (u64, u64),
    drop: f64,
    duplicate: f64,
    reorder: f64,
    split: f64,
    refuse: f64,
    unavailable: f64,
    hang: f64,
    truncate: f64,
    open_fails: f64,
    open_impossible: f64,
    /// Mean time between streams that break or go silent.
    pub(super) stream_ends: Option<Duration>,
    /// Mean time between elections.
    pub(super) elections: Option<Duration>,
    /// The catalog's request finds the follower's queue full.
    queue_full: f64,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    Refused,
    Unavailable,
    Hangs,
    Truncated,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mail {
    Normal,
    Dropped,
    Twice,
    /// Others overtake it.
    Late(Duration),
}

impl Weather {
    pub(super) fn of(rng: &mut Rng) -> Self {
        // Every tenth seed has only the cluster's own trouble.
        let fine = rng.u8(..10) == 0;
        let mut some = |share: f64, most: f64| {
            let there = rng.f64() < share;
            let much = rng.f64() * most;
            if there && !fine { much } else { 0.0 }
        };
        let drop = some(0.5, 0.2);
        let duplicate = some(0.4, 0.1);
        let reorder = some(0.4, 0.1);
        let refuse = some(0.5, 0.1);
        let unavailable = some(0.5, 0.1);
        let hang = some(0.4, 0.05);
        let truncate = some(0.5, 0.1);
        let open_fails = some(0.5, 0.5);
        let open_impossible = some(0.15, 0.5);
        let queue_full = some(0.2, 0.05);
        let slow = some(0.3, 1.0) > 0.0;
        let split = if rng.bool() { 0.2 } else { 0.0 };
        let mean = |rng: &mut Rng, share: f64, seconds: std::ops::Range<u64>| {
            let there = rng.f64() < share;
            let seconds = rng.u64(seconds);
            (there && !fine).then(|| Duration::from_secs(seconds))
        };
        let stream_ends = mean(rng, 0.6, 15..120);
        let elections = mean(rng, 0.6, 40..200);
        let latency = if slow { (5, 400) } else { (1, 20) };
        let answer = if slow { (50, 3000) } else { (3, 60) };
        Self {
            latency,
            answer,
            drop,
            duplicate,
            reorder,
            split,
            refuse,
            unavailable,
            hang,
            truncate,
            open_fails,
            open_impossible,
            stream_ends,
            elections,
            queue_full,
        }
    }

    /// All faults end; what takes time goes on taking time.
    pub(super) fn calm(&mut self) {
        let (latency, answer, split) = (self.latency, self.answer, self.split);
        *self = Self {
            latency,
            answer,
            split,
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            refuse: 0.0,
            unavailable: 0.0,
            hang: 0.0,
            truncate: 0.0,
            open_fails: 0.0,
            open_impossible: 0.0,
            stream_ends: None,
            elections: None,
            queue_full: 0.0,
        };
    }

    pub(super) fn latency(&self, rng: &mut Rng) -> Duration {
        between(rng, self.latency)
    }

    pub(super) fn answer(&self, rng: &mut Rng) -> Duration {
        between(rng, self.answer)
    }

    pub(super) fn request(&self, rng: &mut Rng) -> Luck {
        let dice = rng.f64();
        let mut sum = 0.0;
        let mut up_to = |share: f64| {
            sum += share;
            dice < sum
        };
        if up_to(self.refuse) {
            Luck::Refused
        } else if up_to(self.unavailable) {
            Luck::Unavailable
        } else if up_to(self.hang) {
            Luck::Hangs
        } else if up_to(self.truncate) {
            Luck::Truncated
        } else {
            Luck::Good
        }
    }

    pub(super) fn mail(&self, rng: &mut Rng) -> Mail {
        let dice = rng.f64();
        if dice < self.drop {
            Mail::Dropped
        } else if dice < self.drop + self.duplicate {
            Mail::Twice
        } else if dice < self.drop + self.duplicate + self.reorder {
            Mail::Late(Duration::from_millis(rng.u64(20..2000)))
        } else {
            Mail::Normal
        }
    }

    pub(super) fn splits(&self, rng: &mut Rng) -> bool {
        rng.f64() < self.split
    }

    pub(super) fn refuses_stream(&self, rng: &mut Rng) -> bool {
        rng.f64() < self.open_fails
    }

    pub(super) fn has_no_stream(&self, rng: &mut Rng) -> bool {
        rng.f64() < self.open_impossible
    }

    pub(super) fn finds_queue_full(&self, rng: &mut Rng) -> bool {
        self.queue_full > 0.0 && rng.f64() < self.queue_full
    }
}

fn between(rng: &mut Rng, (least, most): (u64, u64)) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}

/// A time until the next of things that happen at random with this mean.
pub(super) fn until_next(rng: &mut Rng, mean: Duration) -> Duration {
    let much = -(1.0 - rng.f64()).ln();
    mean.mul_f64(much.min(5.0)).max(Duration::from_millis(1))
}
