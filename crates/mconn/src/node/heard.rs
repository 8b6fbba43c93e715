//! Task events that this node has heard while it did not lead: what the next leader may have been the only one to hear of.
//!
//! A leader that dies takes along what it had not accepted, and until the next one is there nobody accepts anything. So
//! every node keeps what it hears. As long as another one leads, only what is recent is kept: that node is dead for at most
//! its session's time before everybody knows. While nobody is known to lead, and until a new one has led for a while, all
//! of it is kept, up to a limit.

use std::collections::VecDeque;
use std::time::Duration;

use mconn_leadership::Epoch;
use mconn_model::TaskEvent;

/// Events kept at most. Some 6 MB; a Marathon that sends 1,000 events a second is covered for 10 seconds.
const LIMIT: usize = 10_000;

/// What was heard, in order. Times are those of one clock that never goes back.
#[derive(Debug)]
pub(super) struct Heard {
    events: VecDeque<(Duration, TaskEvent)>,
    /// The place of the first one. Places are never used twice.
    first: u64,
    /// How long an event is kept while another node leads.
    window: Duration,
    /// Which epoch another node leads, and since when this is known.
    leader: Option<(Epoch, Duration)>,
    /// How many found no room, and when the newest of them was heard.
    dropped: Option<(u64, Duration)>,
}

/// Everything at one moment.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Waiting {
    pub(super) events: Vec<TaskEvent>,
    /// How many more there were.
    pub(super) dropped: u64,
    end: u64,
}

impl Heard {
    pub(super) fn new(window: Duration) -> Self {
        Self { events: VecDeque::new(), first: 0, window, leader: None, dropped: None }
    }

    /// Another node leads, or nobody is known to.
    pub(super) fn led_by(&mut self, leader: Option<Epoch>, now: Duration) {
        // By what was known until now.
        self.forget(now);
        if self.leader.map(|(epoch, _)| epoch) != leader {
            self.leader = leader.map(|epoch| (epoch, now));
        }
    }

    pub(super) fn hear(&mut self, events: Vec<TaskEvent>, now: Duration) {
        self.events.extend(events.into_iter().map(|event| (now, event)));
        self.forget(now);
        while self.events.len() > LIMIT
            && let Some((at, _)) = self.events.pop_front()
        {
            self.first += 1;
            let before = self.dropped.map_or(0, |(count, _)| count);
            self.dropped = Some((before + 1, at));
        }
    }

    fn forget(&mut self, now: Duration) {
        let Some((_, since)) = self.leader else { return };
        if now < since + self.window {
            return;
        }
        while self.events.front().is_some_and(|(at, _)| *at + self.window < now) {
            self.events.pop_front();
            self.first += 1;
        }
        self.dropped = self.dropped.filter(|(_, at)| *at + self.window >= now);
    }

    /// Stays here until it is [`Heard::taken`].
    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            events: self.events.iter().map(|(_, event)| event.clone()).collect(),
            dropped: self.dropped.map_or(0, |(count, _)| count),
            end: self.first + self.events.len() as u64,
        }
    }

    /// That is not needed any more.
    pub(super) fn taken(&mut self, waiting: &Waiting) {
        while self.first < waiting.end && self.events.pop_front().is_some() {
            self.first += 1;
        }
        self.dropped = self.dropped.filter(|(count, _)| *count > waiting.dropped);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.dropped.is_none()
    }
}

#[cfg(test)]
mod tests {
    use mconn_model::{AppId, EventTimestamp, TaskId, TaskStatus};
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn event(number: usize) -> TaskEvent {
        TaskEvent {
            source: None,
            task: TaskId::new(&format!("t{number}")).unwrap(),
            status: TaskStatus::Running,
            app: AppId::parse("/a").unwrap(),
            host: None,
            ports: Vec::new(),
            event_type: None,
            timestamp: Some(EventTimestamp::Millis(1)),
        }
    }

    fn tasks(heard: &Heard) -> Vec<String> {
        heard.waiting().events.iter().map(|event| event.task.to_string()).collect()
    }

    #[test]
    fn while_another_leads_only_what_is_recent_is_kept() {
        let mut heard = Heard::new(3 * SECOND);
        heard.led_by(Some(Epoch(1)), Duration::ZERO);
        for second in 0..6_u32 {
            heard.hear(vec![event(second as usize)], second * SECOND);
        }
        assert_eq!(tasks(&heard), ["t2", "t3", "t4", "t5"]);
        // It is seen to be gone: what it may not have lived to accept stays for as long as nobody leads.
        heard.led_by(None, 6 * SECOND);
        assert_eq!(tasks(&heard), ["t3", "t4", "t5"]);
        heard.hear(vec![event(100)], 100 * SECOND);
        assert_eq!(tasks(&heard), ["t3", "t4", "t5", "t100"]);
        // The next one may die before it has taken up what it heard.
        heard.led_by(Some(Epoch(2)), 100 * SECOND);
        heard.led_by(Some(Epoch(3)), 102 * SECOND);
        heard.hear(vec![event(104)], 104 * SECOND);
        assert_eq!(tasks(&heard), ["t3", "t4", "t5", "t100", "t104"]);
        heard.led_by(Some(Epoch(3)), 105 * SECOND);
        assert_eq!(tasks(&heard), ["t104"], "it has led for long enough");
    }

    #[test]
    fn what_finds_no_room_is_counted_until_it_is_old() {
        let mut heard = Heard::new(3 * SECOND);
        heard.hear((0..LIMIT + 2).map(event).collect(), SECOND);
        let waiting = heard.waiting();
        assert_eq!((waiting.events.len(), waiting.dropped), (LIMIT, 2));
        assert_eq!(waiting.events[0], event(2), "the oldest go");
        heard.led_by(Some(Epoch(1)), 2 * SECOND);
        heard.led_by(Some(Epoch(1)), 10 * SECOND);
        assert!(heard.is_empty());
    }

    #[test]
    fn what_is_heard_while_it_is_taken_stays() {
        let mut heard = Heard::new(SECOND);
        heard.hear(vec![event(1), event(2)], SECOND);
        let waiting = heard.waiting();
        heard.hear(vec![event(3)], 2 * SECOND);
        heard.taken(&waiting);
        assert_eq!(tasks(&heard), ["t3"]);
        heard.taken(&waiting);
        assert_eq!(tasks(&heard), ["t3"], "once");
        // So many come meanwhile that what is taken has lost its place: nothing else goes for it.
        let waiting = heard.waiting();
        heard.hear((0..LIMIT + 5).map(event).collect(), 3 * SECOND);
        heard.taken(&waiting);
        assert_eq!(heard.waiting().events.len(), LIMIT);
        assert_eq!(heard.waiting().dropped, 6);
    }

    proptest! {
        /// Whatever is heard and whoever leads: nothing is missing that was heard since a leader was steady, and the rest is
        /// in order.
        #[test]
        fn nothing_recent_is_missing(steps in prop::collection::vec((0_u8..4, 0_u32..3), 1..100)) {
            let window = 5 * SECOND;
            let mut heard = Heard::new(window);
            let (mut now, mut all, mut epoch) = (Duration::ZERO, Vec::new(), 0);
            // When each state of the lead began.
            let mut leads: Vec<(Duration, Option<Epoch>)> = vec![(Duration::ZERO, None)];
            for (step, pick) in steps {
                match step {
                    0 => now += SECOND * pick,
                    1 | 2 => {
                        heard.hear(vec![event(all.len())], now);
                        all.push(now);
                    }
                    _ => {
                        epoch += i32::from(pick == 0);
                        let leader = (pick < 2).then_some(Epoch(epoch));
                        heard.led_by(leader, now);
                        if leads.last().is_some_and(|(_, before)| *before != leader) {
                            leads.push((now, leader));
                        }
                    }
                }
            }
            let ends = leads.iter().skip(1).map(|(at, _)| *at).chain([now]);
            // The last moment at which somebody had led for long enough.
            let steady = leads.iter().zip(ends).filter(|((since, leader), end)| {
                leader.is_some() && *end >= *since + window
            });
            let needed_from = steady.map(|(_, end)| end.saturating_sub(window)).max().unwrap_or_default();
            let kept = tasks(&heard);
            let first = all.len() - kept.len();
            prop_assert_eq!(&kept, &(first..all.len()).map(|at| format!("t{at}")).collect::<Vec<_>>());
            prop_assert!(all[..first].iter().all(|at| *at < needed_from), "{} of {:?}", first, all);
        }
    }
}
