//! Which request is made next: one in flight at a time, the rest collected. No clock, no I/O.

use std::collections::VecDeque;
use std::time::Duration;

use mconn_model::AppId;

use crate::client::is_addressable;

/// What the catalog asks for. The answer comes as an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// One app. Asked for as a listing where it is a pod or cannot be asked for alone: then that listing is the answer.
    App(AppId),
    /// Everything.
    Listing,
}

/// A request to Marathon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// Everything.
    Listing,
    /// One app.
    App(AppId),
}

/// A request that was sent and not answered yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) fetch: Fetch,
    /// Events passed on before it was sent.
    pub(super) at_event: u64,
}

/// Requests in flight and waiting.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    in_flight: Option<InFlight>,
    listing: bool,
    apps: VecDeque<AppId>,
    /// Nothing is sent before this: pausing after a failure.
    not_before: Duration,
}

impl Fetches {
    /// Wants everything. Single apps are asked for nevertheless: events may come between the two.
    pub(super) fn want_listing(&mut self, not_before: Duration) {
        self.want(not_before);
        self.listing = true;
    }

    /// Wants one app. How many are worth a listing is the catalog's to say.
    pub(super) fn want_app(&mut self, id: AppId, not_before: Duration) {
        if self.apps.contains(&id) {
            return;
        }
        if !is_addressable(&id) {
            return self.want_listing(not_before);
        }
        self.want(not_before);
        self.apps.push_back(id);
    }

    /// The first that wants something sets the time; those that join do not delay it.
    fn want(&mut self, not_before: Duration) {
        if !self.is_waiting() {
            self.not_before = self.not_before.max(not_before);
        }
    }

    fn is_waiting(&self) -> bool {
        self.listing || !self.apps.is_empty()
    }

    /// Sends nothing before this.
    pub(super) fn pause_until(&mut self, time: Duration) {
        self.not_before = self.not_before.max(time);
    }

    /// What is to be sent now goes without delay.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.not_before = self.not_before.min(now);
    }

    /// The next request, if its time has come and none is under way.
    pub(super) fn start(&mut self, now: Duration, at_event: u64) -> Option<Fetch> {
        if self.in_flight.is_some() || now < self.not_before {
            return None;
        }
        let fetch = if std::mem::take(&mut self.listing) {
            Fetch::Listing
        } else {
            Fetch::App(self.apps.pop_front()?)
        };
        self.in_flight = Some(InFlight { fetch: fetch.clone(), at_event });
        Some(fetch)
    }

    pub(super) fn answered(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// Gives up what is under way and what waits; whether anything was under way.
    pub(super) fn cancel(&mut self) -> bool {
        (self.listing, self.apps) = (false, VecDeque::new());
        self.in_flight.take().is_some()
    }

    /// When [`Fetches::start`] may have something, unless an answer comes first.
    pub(super) fn deadline(&self) -> Option<Duration> {
        (self.in_flight.is_none() && self.is_waiting()).then_some(self.not_before)
    }

    /// Whether everything is about to be listed anyway.
    pub(super) fn listing_under_way(&self) -> bool {
        self.listing || self.in_flight.as_ref().is_some_and(|sent| sent.fetch == Fetch::Listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn id(text: &str) -> AppId {
        AppId::parse(text).unwrap()
    }

    #[test]
    fn one_at_a_time_and_coalesced() {
        let mut fetches = Fetches::default();
        fetches.want_app(id("/a"), MS(50));
        fetches.want_app(id("/b"), MS(90));
        fetches.want_app(id("/a"), MS(90));
        assert_eq!((fetches.deadline(), fetches.start(MS(49), 0)), (Some(MS(50)), None));
        assert_eq!(fetches.start(MS(50), 7), Some(Fetch::App(id("/a"))));
        fetches.want_app(id("/a"), MS(100));
        assert_eq!((fetches.deadline(), fetches.start(MS(60), 8)), (None, None), "one in flight");
        assert_eq!(fetches.answered().unwrap().at_event, 7);
        assert_eq!(fetches.start(MS(60), 8), Some(Fetch::App(id("/b"))));
        fetches.answered();
        assert_eq!(fetches.start(MS(60), 8), Some(Fetch::App(id("/a"))), "asked for again meanwhile");
    }

    #[test]
    fn a_listing_comes_first_and_apps_that_cannot_be_asked_for_are_one() {
        let mut fetches = Fetches::default();
        fetches.want_app(id("/a"), MS(0));
        fetches.want_listing(MS(0));
        assert_eq!(fetches.start(MS(0), 0), Some(Fetch::Listing));
        fetches.answered();
        assert_eq!(fetches.start(MS(0), 0), Some(Fetch::App(id("/a"))));
        fetches.answered();
        assert_eq!((fetches.start(MS(0), 0), fetches.deadline()), (None, None));
        fetches.want_app(id("/x/versions"), MS(0));
        assert_eq!(fetches.start(MS(0), 0), Some(Fetch::Listing), "cannot be asked for alone");
    }
}
