//! What has to be asked again, and when: dirty apps, wanted listings, and the budget that bounds both.
//!
//! A mark carries the number of the event that made it. An answer cleans a mark only if it was requested after that
//! event (trap 1); otherwise the app is asked again. Marking is O(log n); the dirty apps are walked only when a request
//! may be due, and beyond [`Settings::singles_max`] of them one listing takes their place.

use std::collections::BTreeMap;
use std::time::Duration;

use mconn_model::{AppId, Timestamp};

use crate::settings::Settings;

/// How many times as long as the last listing took, from asking for it on, no other one is asked for.
const LISTING_REST: u32 = 5;
/// So many apps' last requests are kept before those that do not matter any more are dropped.
const ASKS_KEPT: usize = 256;

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    App(AppId),
    Listing,
}

#[derive(Debug, Clone)]
struct Dirty {
    event: u64,
    due: Duration,
    asked: Option<Duration>,
    /// A pod, or something that may be one: only a listing tells (trap 30).
    by_listing: bool,
    /// Asked for at a rhythm of its own, without any event.
    poll: bool,
}

/// Requests are paid from here.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn per_second(settings: &Settings) -> f64 {
        f64::from(settings.requests_per_minute.max(1)) / 60.0
    }

    /// Tokens by now.
    fn left(&self, now: Duration, settings: &Settings) -> f64 {
        let brought = now.saturating_sub(self.at).as_secs_f64() * Self::per_second(settings);
        (self.tokens + brought).min(f64::from(settings.requests_burst.max(1)))
    }

    /// Adds what time has brought.
    fn fill(&mut self, now: Duration, settings: &Settings) {
        self.tokens = self.left(now, settings);
        self.at = now;
    }

    /// Takes a token, or says when there will be one.
    fn take(&mut self, now: Duration, settings: &Settings) -> Result<(), Duration> {
        self.fill(now, settings);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = Duration::from_secs_f64((1.0 - self.tokens) / Self::per_second(settings));
        // A millisecond more, so that rounding cannot wake us a moment too early for ever.
        Err(now + missing + Duration::from_millis(1))
    }

    /// Takes a token for a request that is made in any case.
    fn charge(&mut self, now: Duration, settings: &Settings) {
        self.fill(now, settings);
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

/// The requests of one source.
#[derive(Debug)]
pub(crate) struct Refetch {
    dirty: BTreeMap<AppId, Dirty>,
    /// A listing is wanted then, because of that event.
    listing: Option<(Duration, u64)>,
    /// It is wanted only because of a changed group, of this version.
    listing_of_group: Option<Timestamp>,
    /// A listing is wanted not before then, whatever arrives until then.
    reconcile: Option<Duration>,
    listing_asked: Option<Duration>,
    last_listing: Option<Duration>,
    /// How long the answer to the last listing took.
    listing_took: Duration,
    /// When apps were asked for last, and how long they are then left alone.
    asks: BTreeMap<AppId, (Duration, Duration)>,
    bucket: Bucket,
    /// Nothing is asked before then, after failures.
    backoff: Option<(Duration, Duration)>,
    /// The source is away.
    paused: bool,
    wake: Option<Duration>,
}

impl Refetch {
    pub(crate) fn new(settings: &Settings) -> Self {
        let bucket = Bucket { tokens: f64::from(settings.requests_burst.max(1)), at: Duration::ZERO };
        Self {
            dirty: BTreeMap::new(),
            listing: None,
            listing_of_group: None,
            reconcile: None,
            listing_asked: None,
            last_listing: None,
            listing_took: Duration::ZERO,
            asks: BTreeMap::new(),
            bucket,
            backoff: None,
            paused: false,
            wake: None,
        }
    }

    /// Requests that could be paid at once now.
    pub(crate) fn budget_left(&self, now: Duration, settings: &Settings) -> f64 {
        self.bucket.left(now, settings)
    }

    fn wake_at(&mut self, due: Duration) {
        self.wake = Some(self.wake.map_or(due, |wake| wake.min(due)));
    }

    /// When [`Refetch::due`] has something to do.
    pub(crate) fn next(&self) -> Option<Duration> {
        if self.paused { None } else { self.wake }
    }

    /// Apps that an event told of and no answer since.
    pub(crate) fn dirty_apps(&self) -> std::collections::BTreeSet<AppId> {
        self.dirty.iter().filter(|(_, dirty)| !dirty.poll).map(|(app, _)| app.clone()).collect()
    }

    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// An event said that what we know of this app may be old. The first mark sets the time: a stream of events must
    /// not put the request off for ever.
    pub(crate) fn mark(&mut self, app: &AppId, by_listing: bool, event: u64, due: Duration) {
        match self.dirty.get_mut(app) {
            Some(dirty) => {
                dirty.event = event;
                dirty.by_listing = by_listing;
                if std::mem::take(&mut dirty.poll) && dirty.due > due {
                    dirty.due = due;
                    self.wake_at(due);
                }
            }
            None => {
                self.dirty.insert(app.clone(), Dirty { event, due, asked: None, by_listing, poll: false });
                self.wake_at(due);
            }
        }
    }

    /// No event will tell when the app changes, so it is asked for at `due`, unless it is before.
    pub(crate) fn poll(&mut self, app: &AppId, event: u64, due: Duration) {
        if !self.dirty.contains_key(app) {
            let dirty = Dirty { event, due, asked: None, by_listing: false, poll: true };
            self.dirty.insert(app.clone(), dirty);
            self.wake_at(due);
        }
    }

    /// Counts a request that the follower makes by itself.
    pub(crate) fn charge(&mut self, now: Duration, settings: &Settings) {
        self.bucket.charge(now, settings);
    }

    pub(crate) fn forget(&mut self, app: &AppId) {
        self.dirty.remove(app);
    }

    /// A changed group alone wants a listing; [`Refetch::explain_group`] takes that back.
    pub(crate) fn want_group_listing(&mut self, version: Option<Timestamp>, event: u64, due: Duration) {
        let alone = self.listing.is_none();
        self.want_listing(event, due);
        self.listing_of_group = version.filter(|_| alone);
    }

    /// The change of this version was the writing of one app.
    pub(crate) fn explain_group(&mut self, version: Timestamp) {
        if self.listing_of_group.take_if(|of| *of == version).is_some() {
            self.listing = None;
        }
    }

    pub(crate) fn want_listing(&mut self, event: u64, due: Duration) {
        self.listing_of_group = None;
        let due = self.listing.map_or(due, |(earlier, _)| earlier.min(due));
        self.listing = Some((due, event));
        self.wake_at(due);
    }

    pub(crate) fn want_reconcile(&mut self, at: Duration) {
        self.reconcile = Some(at);
        self.wake_at(at);
    }

    /// An app was answered by a request made at `requested` events.
    pub(crate) fn answered_app(&mut self, app: &AppId, requested: u64, again: Duration) {
        self.backoff = None;
        let Some(dirty) = self.dirty.get_mut(app) else { return };
        if dirty.event <= requested {
            self.dirty.remove(app);
        } else {
            dirty.asked = None;
            dirty.due = again;
            self.wake_at(again);
        }
    }

    /// Everything was answered by a request made at `requested` events.
    pub(crate) fn answered_listing(&mut self, requested: u64, now: Duration, coalesce: Duration) {
        let again = now + coalesce;
        self.backoff = None;
        if let Some(asked) = self.listing_asked.take() {
            self.listing_took = now.saturating_sub(asked);
        }
        if self.listing.is_some_and(|(_, event)| event <= requested) {
            self.listing = None;
            self.listing_of_group = None;
        }
        self.dirty.retain(|_, dirty| dirty.event > requested);
        for dirty in self.dirty.values_mut().filter(|dirty| dirty.asked.is_none()) {
            dirty.due = dirty.due.max(again);
        }
        // What is left is due then; the walk finds the exact time.
        self.wake_at(again);
    }

    /// Says anew which dirty apps only a listing tells of, now that more are known.
    pub(crate) fn classify(&mut self, by_listing: impl Fn(&AppId) -> bool) {
        for (app, dirty) in &mut self.dirty {
            dirty.by_listing = by_listing(app);
        }
    }

    /// A request failed. Everything pauses, because it is the same server that was asked; `jitter` is 0 to 1.
    pub(crate) fn failed(&mut self, app: Option<&AppId>, now: Duration, jitter: f64, settings: &Settings) {
        let (first, longest) = settings.retry;
        let pause = self.backoff.map_or(first, |(_, last)| (last * 2).min(longest));
        let until = now + pause.mul_f64(0.5 + jitter / 2.0);
        self.backoff = Some((until, pause));
        match app {
            Some(app) => {
                if let Some(dirty) = self.dirty.get_mut(app) {
                    dirty.asked = None;
                    dirty.due = until;
                }
            }
            None => {
                self.listing_asked = None;
                let event = self.listing.map_or(0, |(_, event)| event);
                self.listing = Some((until, event));
                self.listing_of_group = None;
            }
        }
        self.wake_at(until);
    }

    /// A request could not be handed to the follower.
    pub(crate) fn refused(&mut self, want: &Want, again: Duration) {
        match want {
            Want::App(app) => {
                self.asks.remove(app);
                if let Some(dirty) = self.dirty.get_mut(app) {
                    dirty.asked = None;
                    dirty.due = again;
                }
            }
            Want::Listing => {
                self.listing_asked = None;
                let event = self.listing.map_or(0, |(_, event)| event);
                self.listing = Some((again, event));
                self.listing_of_group = None;
            }
        }
        self.wake_at(again);
    }

    /// The source went away: nobody will answer, and a listing follows when it is back.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
        self.listing_asked = None;
        for dirty in self.dirty.values_mut() {
            dirty.asked = None;
        }
    }

    pub(crate) fn resume(&mut self, now: Duration) {
        if self.paused {
            self.paused = false;
            self.wake_at(now);
        }
    }

    /// The stream is attached: its follower asks for the listing by itself and gives up what it was asked for before;
    /// what is dirty waits for the listing.
    pub(crate) fn attached(&mut self, now: Duration, settings: &Settings) {
        self.resume(now);
        for dirty in self.dirty.values_mut() {
            dirty.asked = None;
        }
        self.listing_asked = Some(now);
        self.wake_at(now + settings.answer_within);
    }

    /// What to ask for now.
    pub(crate) fn due(&mut self, now: Duration, settings: &Settings) -> Vec<Want> {
        let mut out = Vec::new();
        if self.paused || self.wake.is_none_or(|wake| wake > now) {
            return out;
        }
        self.wake = None;
        if let Some(asked) = self.listing_asked {
            // Whatever is dirty waits: the listing may clean it.
            let patience = asked + settings.answer_within;
            if patience > now {
                self.wake_at(patience);
                return out;
            }
            self.listing_asked = None;
            self.listing = Some((now, self.listing.map_or(0, |(_, event)| event)));
            self.listing_of_group = None;
        }
        if let Some((until, _)) = self.backoff
            && until > now
        {
            self.wake_at(until);
            return out;
        }
        if self.listing_is_due(now, settings) {
            let gap = settings.listing_gap.max(self.listing_took * LISTING_REST);
            let free = self.last_listing.map_or(now, |last| last + gap);
            let paid = if free > now { Err(free) } else { self.bucket.take(now, settings) };
            match paid {
                Ok(()) => self.ask_listing(now, settings, &mut out),
                Err(later) => self.wake_at(later),
            }
            return out;
        }
        self.ask_singles(now, settings, &mut out);
        for at in [self.listing.map(|(due, _)| due), self.reconcile].into_iter().flatten() {
            self.wake_at(at);
        }
        out
    }

    fn listing_is_due(&self, now: Duration, settings: &Settings) -> bool {
        if self.listing.is_some_and(|(due, _)| due <= now) || self.reconcile.is_some_and(|due| due <= now) {
            return true;
        }
        let waiting = || self.dirty.values().filter(|dirty| dirty.asked.is_none());
        waiting().any(|dirty| dirty.by_listing && dirty.due <= now)
            || (waiting().count() > settings.singles_max && waiting().any(|dirty| dirty.due <= now))
    }

    fn ask_listing(&mut self, now: Duration, settings: &Settings, out: &mut Vec<Want>) {
        self.listing_asked = Some(now);
        self.last_listing = Some(now);
        self.listing = None;
        self.listing_of_group = None;
        if self.reconcile.is_some_and(|due| due <= now) {
            self.reconcile = None;
        }
        self.wake_at(now + settings.answer_within);
        out.push(Want::Listing);
    }

    /// Whoever waits longest is asked for first: the order of ids would starve the last ones when the budget is used up.
    fn ask_singles(&mut self, now: Duration, settings: &Settings, out: &mut Vec<Want>) {
        let mut wake: Option<Duration> = None;
        let mut wake_at = |at: Duration| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        let mut due = Vec::new();
        for (app, dirty) in &mut self.dirty {
            if dirty.asked.is_some_and(|asked| asked + settings.answer_within <= now) {
                dirty.asked = None;
            }
            let free = match self.asks.get(app) {
                Some((at, gap)) if !dirty.poll => *at + *gap,
                _ => Duration::ZERO,
            };
            match dirty.asked {
                Some(asked) => wake_at(asked + settings.answer_within),
                None if dirty.due.max(free) <= now => due.push((dirty.due, app.clone())),
                None => wake_at(dirty.due.max(free)),
            }
        }
        due.sort();
        for (_, app) in due {
            if let Err(later) = self.bucket.take(now, settings) {
                wake_at(later);
                break;
            }
            if !self.dirty.get(&app).is_some_and(|dirty| dirty.poll) {
                self.note_ask(&app, now, settings);
            }
            if let Some(dirty) = self.dirty.get_mut(&app) {
                dirty.asked = Some(now);
                wake_at(now + settings.answer_within);
            }
            out.push(Want::App(app));
        }
        if let Some(wake) = wake {
            self.wake_at(wake);
        }
    }

    fn note_ask(&mut self, app: &AppId, now: Duration, settings: &Settings) {
        let (first, longest) = settings.app_gap;
        let noisy = |(at, gap): &(Duration, Duration)| now < *at + *gap * 2;
        if self.asks.len() >= ASKS_KEPT {
            self.asks.retain(|_, ask| noisy(ask));
        }
        let gap = match self.asks.get(app) {
            Some(ask) if noisy(ask) => (ask.1 * 2).min(longest),
            _ => first,
        };
        self.asks.insert(app.clone(), (now, gap));
    }
}
