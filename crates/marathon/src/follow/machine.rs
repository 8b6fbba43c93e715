//! The state machine of following. No clock, no I/O, no randomness.

use std::collections::BTreeSet;
use std::time::Duration;

use mconn_model::{AppId, ClusterEvent, Listing, Observation};

use super::fetches::{Fetch, Fetches, InFlight, Request};
use super::settings::FollowSettings;
use crate::client::Listed;

/// When a step happens, and its luck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Monotonic time since any fixed beginning.
    pub now: Duration,
    /// Random, from 0 up to but not including 1.
    pub dice: f64,
}

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// The stream that was to be opened is attached.
    StreamOpened,
    /// It could not be opened. `impossible` if Marathon says that there is none.
    StreamFailed {
        /// Why, for people.
        reason: String,
        /// Trying again soon makes no sense.
        impossible: bool,
    },
    /// Bytes have arrived, and these are the events in them (often none: a heartbeat).
    Received(Vec<ClusterEvent>),
    /// The stream has ended or cannot be read on.
    StreamEnded {
        /// Why, for people.
        reason: String,
    },
    /// The answer to [`Fetch::Listing`].
    Listing(Result<Box<Listing>, String>),
    /// The answer to [`Fetch::App`].
    App(Result<Box<Listed>, String>),
    /// The catalog wants something.
    Requested(Request),
    /// The leader as Marathon last named it.
    LeaderSeen(String),
    /// The time of [`Follower::deadline`] has come.
    Tick,
}

/// What is to be done, in order.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into its batch; a box for each event would cost more"
)]
pub enum Effect {
    /// Open a stream; there is none. Answer with [`Input::StreamOpened`] or [`Input::StreamFailed`].
    OpenStream,
    /// Drop the stream; nothing more is expected from it.
    CloseStream,
    /// Send a request; there is none under way. Answer with [`Input::Listing`] or [`Input::App`].
    Fetch(Fetch),
    /// Drop the request under way; its answer is not wanted any more.
    CancelFetch,
    /// Pass this on.
    Emit(Observation),
}

#[derive(Debug, PartialEq)]
enum Stream {
    /// Try again then.
    Waiting {
        until: Duration,
    },
    Opening,
    Attached {
        since: Duration,
        last_byte: Duration,
    },
}

/// Follows one Marathon. See [`super`] for the picture.
#[derive(Debug)]
pub struct Follower {
    settings: FollowSettings,
    stream: Stream,
    /// Attempts to attach that failed in a row, and streams that died young.
    failures: u32,
    polling: bool,
    /// It was told that the source is lost, and nothing was listed since.
    away: bool,
    fetches: Fetches,
    fetch_failures: u32,
    /// The next full comparison.
    compare_at: Duration,
    /// Events passed on since the beginning, over all streams.
    events: u64,
    leader: Option<String>,
    /// Ids of pods, which cannot be asked for as apps (spec/marathon.md section 11, trap 30).
    pods: BTreeSet<AppId>,
}

impl Follower {
    /// A follower at the beginning of its time. Its first deadline is `now`.
    #[must_use]
    pub fn new(settings: FollowSettings, now: Duration) -> Self {
        Self {
            stream: Stream::Waiting { until: now },
            failures: 0,
            polling: false,
            away: false,
            fetches: Fetches::default(),
            fetch_failures: 0,
            compare_at: now.saturating_add(settings.compare_max),
            events: 0,
            leader: None,
            pods: BTreeSet::new(),
            settings,
        }
    }

    /// When [`Input::Tick`] is due at the latest; `None` while only answers can bring anything about.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let stream = match self.stream {
            Stream::Waiting { until } => Some(until),
            Stream::Opening => None,
            Stream::Attached { last_byte, .. } => Some(last_byte.saturating_add(self.settings.silence)),
        };
        // A comparison that is due while a listing is under way waits for its answer, which sets the next one.
        let compare = (!self.fetches.listing_under_way()).then_some(self.compare_at);
        [stream, self.fetches.deadline(), compare].into_iter().flatten().min()
    }

    /// Events passed on since the beginning, over all streams.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether everything is listed at an interval because there is no stream.
    #[must_use]
    pub fn is_polling(&self) -> bool {
        self.polling
    }

    /// Takes one input and says what is to be done.
    pub fn step(&mut self, input: Input, moment: Moment, out: &mut Vec<Effect>) {
        match input {
            Input::StreamOpened => self.opened(moment, out),
            Input::StreamFailed { reason, impossible } => self.not_opened(reason, impossible, moment, out),
            Input::Received(events) => self.received(events, moment, out),
            Input::StreamEnded { reason } => self.lost(reason, moment, out),
            Input::Listing(answer) => self.listed(answer, moment, out),
            Input::App(answer) => self.app_answered(answer, moment, out),
            Input::Requested(request) => self.requested(request, moment),
            Input::LeaderSeen(leader) => self.leader_seen(leader, out),
            Input::Tick => {}
        }
        self.watch(moment, out);
        out.extend(self.fetches.start(moment.now, self.events).map(Effect::Fetch));
    }

    /// What time alone brings about.
    fn watch(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        match self.stream {
            Stream::Waiting { until } if moment.now >= until => {
                self.stream = Stream::Opening;
                out.push(Effect::OpenStream);
            }
            Stream::Attached { last_byte, .. }
                if moment.now >= last_byte.saturating_add(self.settings.silence) =>
            {
                let reason = format!("no byte for {:?}, not even a heartbeat", self.settings.silence);
                self.lost(reason, moment, out);
            }
            _ => {}
        }
        if moment.now >= self.compare_at && !self.fetches.listing_under_way() {
            self.fetches.want_listing(moment.now);
        }
    }

    fn opened(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if self.stream != Stream::Opening {
            return;
        }
        self.stream = Stream::Attached { since: moment.now, last_byte: moment.now };
        self.polling = false;
        out.push(Effect::Emit(Observation::Attached));
        // What happened before this moment was not replayed, so an answer under way cannot be trusted to be whole, and
        // it must not hold up the listing that can.
        if self.fetches.cancel() {
            out.push(Effect::CancelFetch);
        }
        self.fetches.want_listing(moment.now);
        self.fetches.hurry(moment.now);
    }

    fn not_opened(&mut self, reason: String, impossible: bool, moment: Moment, out: &mut Vec<Effect>) {
        if self.stream != Stream::Opening {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = if impossible { self.settings.stream_retry } else { self.pause(self.failures, moment) };
        self.stream = Stream::Waiting { until: moment.now.saturating_add(pause) };
        if self.polling {
            // That there is no stream is known, and listings keep up with what happens.
            return;
        }
        let told = if impossible || self.failures >= self.settings.poll_after_failures {
            self.polling = true;
            self.compare_at = moment.now;
            format!("{reason}; everything is listed every {:?} instead", self.settings.poll_interval)
        } else {
            reason
        };
        self.away = true;
        out.push(Effect::Emit(Observation::Lost { reason: told }));
    }

    fn received(&mut self, events: Vec<ClusterEvent>, moment: Moment, out: &mut Vec<Effect>) {
        let Stream::Attached { last_byte, .. } = &mut self.stream else { return };
        *last_byte = moment.now;
        self.events += events.len() as u64;
        for event in events {
            if let ClusterEvent::PodChanged { pod: Some(pod) } = &event {
                self.pods.insert(pod.clone());
            }
            out.push(Effect::Emit(Observation::Event(event)));
        }
    }

    fn lost(&mut self, reason: String, moment: Moment, out: &mut Vec<Effect>) {
        let Stream::Attached { since, .. } = self.stream else { return };
        let healthy = moment.now.saturating_sub(since) >= self.settings.healthy_after;
        self.failures = if healthy { 1 } else { self.failures.saturating_add(1) };
        self.stream = Stream::Waiting { until: moment.now.saturating_add(self.pause(self.failures, moment)) };
        self.away = true;
        out.push(Effect::CloseStream);
        out.push(Effect::Emit(Observation::Lost { reason }));
    }

    fn leader_seen(&mut self, leader: String, out: &mut Vec<Effect>) {
        if self.leader.as_ref() != Some(&leader) {
            self.leader = Some(leader.clone());
            out.push(Effect::Emit(Observation::LeaderChanged { leader }));
        }
    }

    fn requested(&mut self, request: Request, moment: Moment) {
        match request {
            Request::App(id) if !self.pods.contains(&id) => self.fetches.want_app(id, moment.now),
            Request::App(_) | Request::Listing => self.fetches.want_listing(moment.now),
        }
    }

    fn listed(&mut self, answer: Result<Box<Listing>, String>, moment: Moment, out: &mut Vec<Effect>) {
        let Some(sent) = self.fetches.answered() else { return };
        match answer {
            Ok(listing) => {
                self.fetch_failures = 0;
                self.schedule_comparison(moment);
                self.away = false;
                self.pods = listing.pods.iter().map(|pod| pod.id.clone()).collect();
                out.push(Effect::Emit(Observation::Listing { listing, requested_at_event: sent.at_event }));
            }
            Err(reason) => {
                // Listings were what was left of the source.
                let lost = self.polling && !self.away;
                self.away |= lost;
                let lost = lost.then(|| format!("there is no stream, and {reason}"));
                self.fetch_failed(None, reason, moment, out);
                out.extend(lost.map(|reason| Effect::Emit(Observation::Lost { reason })));
                self.fetches.want_listing(moment.now);
            }
        }
    }

    fn app_answered(&mut self, answer: Result<Box<Listed>, String>, moment: Moment, out: &mut Vec<Effect>) {
        let Some(InFlight { fetch: Fetch::App(id), at_event }) = self.fetches.answered() else {
            return;
        };
        match answer {
            Ok(listed) => {
                self.fetch_failures = 0;
                let Listed { app, as_of, .. } = *listed;
                let (listing, requested_at_event) = (app.map(Box::new), at_event);
                out.push(Effect::Emit(Observation::App { id, listing, as_of, requested_at_event }));
            }
            // The app may be what breaks the answer, so not the same again: the next comparison comes sooner.
            Err(reason) => {
                let pause = self.fetch_failed(Some(id), reason, moment, out);
                self.compare_at = self.compare_at.min(moment.now.saturating_add(pause));
            }
        }
    }

    fn fetch_failed(
        &mut self,
        id: Option<AppId>,
        reason: String,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) -> Duration {
        self.fetch_failures = self.fetch_failures.saturating_add(1);
        let pause = self.pause(self.fetch_failures, moment);
        self.fetches.pause_until(moment.now.saturating_add(pause));
        out.push(Effect::Emit(Observation::RequestFailed { id, reason }));
        pause
    }

    fn schedule_comparison(&mut self, moment: Moment) {
        let FollowSettings { compare_min, compare_max, poll_interval, .. } = self.settings;
        let after = if self.polling {
            poll_interval
        } else {
            compare_min + compare_max.saturating_sub(compare_min).mul_f64(moment.dice)
        };
        self.compare_at = moment.now.saturating_add(after);
    }

    /// The pause after so many failures in a row: doubling, between half and the whole of it at random.
    fn pause(&self, failures: u32, moment: Moment) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.settings.backoff_min.saturating_mul(1 << doublings).min(self.settings.backoff_max);
        whole.mul_f64(0.5 + moment.dice / 2.0)
    }
}
