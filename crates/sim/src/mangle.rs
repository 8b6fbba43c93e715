//! Which events come out when, after a bad way: some lost, some twice, some late, some out of order.
//!
//! ```text
//!   push(now, event) --> [ dice: lost? twice? how late? held back? ] --> lane, in order --> pop_due(now)
//!                                                                          |      ^
//!                                                                          held back, passed by later ones
//! ```
//! Pure: time is an argument and the dice are seeded. What comes out depends on the seed, the policy, and what was
//! pushed when, but not on when somebody looks.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest delay, also for an event that is held back; longer than any client waits.
const DELAY_MAX_MS: u64 = 300_000;
/// The most events that may pass one that is held back.
const REORDER_BY_MAX: u32 = 1000;
/// Events inside at one time: 30 s at 500 events per second. Beyond it the oldest come out early; none is lost.
const HELD_MAX: usize = 16_384;

/// How events are mangled. The default does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ManglePolicy {
    /// So many of 100 events are lost.
    pub drop_percent: u8,
    /// So many of 100 events come twice, one right after the other.
    pub duplicate_percent: u8,
    /// So many of 100 events are held back until later ones have passed.
    pub reorder_percent: u8,
    /// At most so many later events pass one that is held back, 1 to 1000. Default 3.
    pub reorder_by: u32,
    /// An event that is held back comes after this time at the latest, as perhaps none follows; 300,000 at most.
    /// Default 1000.
    pub reorder_hold_ms: u64,
    /// Every event comes so much later at least. A delay alone keeps the order, as a slow line does.
    pub delay_min_ms: u64,
    /// Every event comes so much later at most (it may have to wait for the one before, too); 300,000 at most.
    pub delay_max_ms: u64,
}

impl Default for ManglePolicy {
    fn default() -> Self {
        ManglePolicy {
            drop_percent: 0,
            duplicate_percent: 0,
            reorder_percent: 0,
            reorder_by: 3,
            reorder_hold_ms: 1000,
            delay_min_ms: 0,
            delay_max_ms: 0,
        }
    }
}

impl ManglePolicy {
    /// Whether events come out as they go in.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.drop_percent == 0
            && self.duplicate_percent == 0
            && self.reorder_percent == 0
            && self.delay_max_ms == 0
    }

    /// Looks whether the numbers make sense.
    ///
    /// # Errors
    /// Which one does not, and what would.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.drop_percent > 100 || self.duplicate_percent > 100 || self.reorder_percent > 100 {
            return Err("dropPercent, duplicatePercent and reorderPercent have to be from 0 to 100");
        }
        if !(1..=REORDER_BY_MAX).contains(&self.reorder_by) {
            return Err("reorderBy has to be from 1 to 1000");
        }
        if self.delay_min_ms > self.delay_max_ms {
            return Err("delayMinMs must not be more than delayMaxMs");
        }
        if self.delay_max_ms > DELAY_MAX_MS || self.reorder_hold_ms > DELAY_MAX_MS {
            return Err("delayMaxMs and reorderHoldMs have to be 300000 at most");
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Queued<T> {
    due: Time,
    /// After so many later ones; zero is in order.
    after: u32,
    hold: Duration,
    event: T,
}

#[derive(Debug)]
struct Held<T> {
    until: Time,
    /// So many later ones have yet to pass.
    remaining: u32,
    event: T,
}

/// One stream's bad way.
#[derive(Debug)]
pub struct Mangle<T> {
    rng: fastrand::Rng,
    policy: ManglePolicy,
    lane: VecDeque<Queued<T>>,
    /// In the order in which they were pushed.
    held: Vec<Held<T>>,
    last_due: Time,
}

impl<T: Clone> Mangle<T> {
    /// A way whose dice follow from `seed`, with a policy that [`ManglePolicy::check`] has nothing against.
    #[must_use]
    pub fn new(seed: u64, policy: ManglePolicy) -> Mangle<T> {
        Mangle {
            rng: fastrand::Rng::with_seed(seed),
            policy,
            lane: VecDeque::new(),
            held: Vec::new(),
            last_due: Time::default(),
        }
    }

    /// Another policy, for what is pushed from now on.
    pub fn set_policy(&mut self, policy: ManglePolicy) {
        self.policy = policy;
    }

    /// The policy that rules what is pushed now.
    #[must_use]
    pub fn policy(&self) -> &ManglePolicy {
        &self.policy
    }

    /// An event goes in at `now`.
    pub fn push(&mut self, now: Time, event: T) {
        // Always the same number of dice, so that one event's luck is not another's.
        let (drop, duplicate, reorder) =
            (self.rng.u8(..100), self.rng.u8(..100), [self.rng.u8(..100), self.rng.u8(..100)]);
        let policy = &self.policy;
        let by = [self.rng.u32(1..=policy.reorder_by.max(1)), self.rng.u32(1..=policy.reorder_by.max(1))];
        let delay = self.rng.u64(policy.delay_min_ms..=policy.delay_max_ms.max(policy.delay_min_ms));
        if drop < policy.drop_percent {
            return;
        }
        self.last_due = now.after(Duration::from_millis(delay)).max(self.last_due);
        let hold = Duration::from_millis(policy.reorder_hold_ms);
        let percent = policy.reorder_percent;
        let after = |copy: usize| if reorder[copy] < percent { by[copy] } else { 0 };
        let (first, second) = (after(0), after(1));
        if duplicate < policy.duplicate_percent {
            self.queue(first, hold, event.clone());
            self.queue(second, hold, event);
        } else {
            self.queue(first, hold, event);
        }
    }

    fn queue(&mut self, after: u32, hold: Duration, event: T) {
        self.lane.push_back(Queued { due: self.last_due, after, hold, event });
    }

    /// What comes out up to `now`, in order.
    pub fn pop_due(&mut self, now: Time) -> Vec<T> {
        let mut out = Vec::new();
        loop {
            // Strictly in the order of time, so that it does not matter how often somebody looks.
            let full = self.lane.len() + self.held.len() > HELD_MAX;
            let lane = self.lane.front().map(|queued| queued.due);
            let held = self.held.iter().map(|held| held.until).min();
            match (lane, held) {
                (Some(due), held) if (due <= now || full) && held.is_none_or(|until| due <= until) => {
                    self.leave_lane(&mut out);
                }
                (_, Some(until)) if until <= now || full => {
                    let at = self.held.iter().position(|held| held.until == until);
                    if let Some(at) = at {
                        out.push(self.held.remove(at).event);
                    }
                }
                _ => return out,
            }
        }
    }

    /// When something comes out next, if nothing else goes in.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        let lane = self.lane.front().map(|queued| queued.due);
        lane.into_iter().chain(self.held.iter().map(|held| held.until)).min()
    }

    /// How many events are inside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lane.len() + self.held.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next in the lane comes out or is held back. Either way it passes those that are held back already, so that
    /// nothing is ever ahead of more than `reorder_by` others.
    fn leave_lane(&mut self, out: &mut Vec<T>) {
        let Some(Queued { due, after, hold, event }) = self.lane.pop_front() else { return };
        let mut event = Some(event);
        if after == 0 {
            out.extend(event.take());
        }
        for held in &mut self.held {
            held.remaining = held.remaining.saturating_sub(1);
        }
        let free = self.held.extract_if(.., |held| held.remaining == 0);
        out.extend(free.map(|held| held.event));
        if let Some(event) = event {
            self.held.push(Held { until: due.after(hold), remaining: after, event });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policies() -> impl Strategy<Value = ManglePolicy> {
        (0..=100_u8, 0..=100_u8, 0..=100_u8, 1..=8_u32, 0..200_u64, 0..50_u64, 0..50_u64).prop_map(
            |(drop_percent, duplicate_percent, reorder_percent, reorder_by, reorder_hold_ms, min, more)| {
                ManglePolicy {
                    drop_percent,
                    duplicate_percent,
                    reorder_percent,
                    reorder_by,
                    reorder_hold_ms,
                    delay_min_ms: min,
                    delay_max_ms: min + more,
                }
            },
        )
    }

    /// Times at which events are pushed, in order.
    fn times() -> impl Strategy<Value = Vec<Time>> {
        prop::collection::vec(0..40_u64, 0..120).prop_map(|gaps| {
            let mut now = 0;
            gaps.into_iter()
                .map(|gap| {
                    now += gap;
                    Time(now)
                })
                .collect()
        })
    }

    const END: Time = Time(u64::MAX);

    /// Pushes 0, 1, 2, ... and returns what comes out, looking after each push if told so.
    fn run(seed: u64, policy: &ManglePolicy, times: &[Time], look: bool) -> Vec<usize> {
        let mut mangle = Mangle::new(seed, policy.clone());
        let mut out = Vec::new();
        for (number, &now) in times.iter().enumerate() {
            mangle.push(now, number);
            if look {
                out.extend(mangle.pop_due(now));
            }
        }
        out.extend(mangle.pop_due(END));
        assert!(mangle.is_empty() && mangle.next_due().is_none());
        out
    }

    /// For each event that came out, how many later ones came before it, and how many earlier ones after it.
    fn distances(out: &[usize]) -> Vec<(usize, usize)> {
        let of = |(at, &event): (usize, &usize)| {
            let late = out[..at].iter().filter(|&&other| other > event).count();
            let early = out[at..].iter().filter(|&&other| other < event).count();
            (late, early)
        };
        out.iter().enumerate().map(of).collect()
    }

    proptest! {
        #[test]
        fn the_same_seed_has_the_same_outcome_however_often_one_looks(
            seed: u64, policy in policies(), times in times()
        ) {
            let out = run(seed, &policy, &times, true);
            prop_assert_eq!(&out, &run(seed, &policy, &times, true));
            prop_assert_eq!(&out, &run(seed, &policy, &times, false));
        }

        #[test]
        fn doing_nothing_is_the_identity(seed: u64, times in times()) {
            let mut mangle = Mangle::new(seed, ManglePolicy::default());
            for (number, &now) in times.iter().enumerate() {
                mangle.push(now, number);
                prop_assert_eq!(mangle.next_due(), Some(now));
                prop_assert_eq!(mangle.pop_due(now), vec![number]);
            }
        }

        #[test]
        fn only_dropping_loses_and_only_duplicating_doubles(
            seed: u64, policy in policies(), times in times()
        ) {
            let all: Vec<usize> = (0..times.len()).collect();
            let mut out = run(seed, &ManglePolicy { drop_percent: 0, duplicate_percent: 0, ..policy.clone() }, &times, true);
            out.sort_unstable();
            prop_assert_eq!(&out, &all);
            let mut out = run(seed, &ManglePolicy { drop_percent: 0, ..policy.clone() }, &times, true);
            out.sort_unstable();
            prop_assert!(out.len() <= 2 * all.len());
            out.dedup();
            prop_assert_eq!(&out, &all);
            let mut out = run(seed, &ManglePolicy { duplicate_percent: 0, ..policy.clone() }, &times, true);
            out.sort_unstable();
            prop_assert!(out.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(run(seed, &ManglePolicy { drop_percent: 100, ..policy }, &times, true), Vec::<usize>::new());
        }

        #[test]
        fn only_reordering_reorders_and_by_a_bounded_distance(
            seed: u64, policy in policies(), times in times()
        ) {
            let straight = run(seed, &ManglePolicy { reorder_percent: 0, ..policy.clone() }, &times, true);
            prop_assert!(straight.is_sorted());
            let single = ManglePolicy { duplicate_percent: 0, ..policy };
            let bound = single.reorder_by as usize;
            for (late, early) in distances(&run(seed, &single, &times, true)) {
                prop_assert!(late <= bound && early <= bound, "late {} early {}", late, early);
            }
        }

        #[test]
        fn nothing_comes_before_its_delay_or_after_all_bounds(
            seed: u64, policy in policies(), times in times()
        ) {
            let mut mangle = Mangle::new(seed, policy.clone());
            let mut pushed = times.iter().enumerate().peekable();
            let end = times.last().map_or(0, |time| time.0) + 1000;
            for now in 0..end {
                while let Some((number, _)) = pushed.next_if(|(_, time)| time.0 <= now) {
                    mangle.push(Time(now), number);
                }
                for number in mangle.pop_due(Time(now)) {
                    let took = now - times[number].0;
                    prop_assert!(took >= policy.delay_min_ms);
                    // The one before may have been later, but it was pushed earlier: the same bound holds.
                    prop_assert!(took <= policy.delay_max_ms + policy.reorder_hold_ms);
                }
            }
            prop_assert!(mangle.is_empty());
        }
    }

    #[test]
    fn half_is_about_half() {
        let policy = ManglePolicy { drop_percent: 50, ..ManglePolicy::default() };
        let left = run(7, &policy, &[Time(0); 10_000], false).len();
        assert!((4500..5500).contains(&left), "{left}");
    }

    #[test]
    fn too_many_come_out_early_and_none_is_lost() {
        let policy = ManglePolicy { delay_min_ms: 1000, delay_max_ms: 1000, ..ManglePolicy::default() };
        let mut mangle = Mangle::new(1, policy);
        for number in 0..HELD_MAX + 10 {
            mangle.push(Time(0), number);
        }
        assert_eq!(mangle.pop_due(Time(0)), (0..10).collect::<Vec<_>>());
        assert_eq!(mangle.pop_due(Time(1000)).len(), HELD_MAX);
    }

    #[test]
    fn policies_are_checked_and_read_strictly() {
        let read = |text: &str| serde_json::from_str::<ManglePolicy>(text);
        assert_eq!(read("{}").expect("valid"), ManglePolicy::default());
        let policy = read(r#"{"dropPercent":5,"delayMinMs":2,"delayMaxMs":3}"#).expect("valid");
        assert!(policy.check().is_ok() && !policy.is_identity());
        assert!(read(r#"{"drop":5}"#).is_err());
        for bad in [
            r#"{"dropPercent":101}"#,
            r#"{"reorderBy":0}"#,
            r#"{"delayMinMs":1}"#,
            r#"{"delayMaxMs":300001}"#,
        ] {
            assert!(read(bad).expect("the right types").check().is_err(), "{bad}");
        }
    }
}
