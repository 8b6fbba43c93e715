//! Requests on their way to Marathon, and answers on their way back.

use std::time::Duration;

use mconn_marathon::client::Listed;
use mconn_marathon::follow::{Fetch, Input};
use mconn_marathon::json;
use mconn_model::Timestamp;
use mconn_sim::cluster::{Answer, AppFilter, Embeds, PathId};

use super::truth::View;
use super::weather::Luck;
use super::world::{Item, World};

/// The request under way: the follower makes one at a time.
#[derive(Debug)]
pub(super) struct Request {
    number: u64,
    fetch: Fetch,
    luck: Luck,
    /// Events delivered when it was sent.
    asked: u64,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Reply {
    number: u64,
    outcome: Result<(Answer, View, Timestamp), &'static str>,
}

/// The client's limits for one app and for everything.
const APP_TIMEOUT: Duration = Duration::from_secs(10);
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);

impl World {
    /// The follower sends a request.
    pub(super) fn send(&mut self, fetch: Fetch) {
        assert!(self.request.is_none(), "two requests at once: {:?} and {fetch:?}", self.request);
        let broken = self.budget.sent(self.now);
        self.note_broken(broken);
        if self.budget.is_used_up() {
            self.coverage.note("budget used up");
        }
        self.requests += 1;
        let number = self.requests;
        self.trace(|| format!("  -> {fetch:?} (request {number})"));
        let luck = self.weather.request(&mut self.rng);
        let way = self.weather.latency(&mut self.rng);
        let limit = if fetch == Fetch::Listing { LISTING_TIMEOUT } else { APP_TIMEOUT };
        if fetch == Fetch::Listing && self.follower.is_polling() {
            self.coverage.note("everything polled");
        }
        let fails = |reason| Item::Reply(Reply { number, outcome: Err(reason) });
        match luck {
            Luck::Refused => {
                self.coverage.note("request refused");
                self.plan(way, fails("connection refused"));
            }
            Luck::Hangs => {
                self.coverage.note("request hung");
                if fetch == Fetch::Listing {
                    self.truth.hinder(self.now + limit);
                }
                self.plan(limit, fails("no answer in time"));
            }
            Luck::Good | Luck::Unavailable | Luck::Truncated => self.plan(way, Item::Asked(number)),
        }
        self.request = Some(Request { number, fetch, luck, asked: self.truth.delivered });
    }

    /// The follower gives up the request under way.
    pub(super) fn cancel(&mut self) {
        self.coverage.note("request given up");
        self.request = None;
    }

    /// A request arrives at Marathon.
    pub(super) fn asked(&mut self, number: u64) {
        let Some(request) = self.request.as_ref().filter(|request| request.number == number) else { return };
        let mut way = self.weather.answer(&mut self.rng);
        let away = self.now < self.away_until;
        let outcome = if away || request.luck == Luck::Unavailable {
            if away {
                // A follower holds the request for a while before it says that there is no leader.
                way += Duration::from_millis(2500);
            }
            self.coverage.note("answer 503");
            Err("503: Could not determine the current leader")
        } else {
            let (answer, app) = match &request.fetch {
                Fetch::Listing => {
                    let embeds = Embeds::of_apps(["apps.tasks", "apps.deployments", "apps.readiness"]);
                    (self.cluster.apps(&AppFilter::default(), &embeds), None)
                }
                Fetch::App(id) => {
                    let embeds = Embeds::of_app(["app.readiness"]);
                    (self.cluster.app(&PathId::lenient(id.as_str()), &embeds), Some(id.as_str()))
                }
            };
            let view = self.truth.view(&self.cluster, app, request.asked);
            let clock = i64::try_from(self.cluster.now().0).unwrap_or_default() / 1000 * 1000;
            Ok((self.perhaps_truncated(answer, request.luck), view, Timestamp::from_millis(clock)))
        };
        self.plan(way, Item::Reply(Reply { number, outcome }));
    }

    fn perhaps_truncated(&self, mut answer: Answer, luck: Luck) -> Answer {
        if luck == Luck::Truncated
            && let Some(body) = answer.body.take()
        {
            // Reproducible, and anywhere: definitions, tasks, the last brace.
            let mut at = (body.len() * 7919 + self.requests as usize * 104_729) % body.len().max(1);
            while !body.is_char_boundary(at) {
                at -= 1;
            }
            answer.body = Some(body[..at].to_owned());
        }
        answer
    }

    /// An answer arrives, if somebody still waits for it.
    pub(super) fn reply(&mut self, reply: Reply) {
        let Some(request) = self.request.take_if(|request| request.number == reply.number) else { return };
        let (answer, view, clock) = match reply.outcome {
            Ok(answered) => answered,
            Err(reason) => {
                self.hinder_if_listing(&request.fetch);
                self.trace(|| format!("  <- request {} failed: {reason}", reply.number));
                return self.feed(failed(&request.fetch, reason.to_owned()));
            }
        };
        self.say_leader();
        if self.truth.delivered > request.asked {
            self.coverage.note("answer older than an event");
        }
        let body = answer.body.unwrap_or_default();
        self.trace(|| format!("  <- request {}: {} and {} bytes", reply.number, answer.status, body.len()));
        let input = match &request.fetch {
            Fetch::Listing => match json::listing(body.as_bytes()) {
                Ok(mut listing) => {
                    listing.as_of = Some(clock);
                    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
                    Input::Listing(Ok(Box::new(listing)))
                }
                Err(error) => failed(&request.fetch, error.to_string()),
            },
            Fetch::App(_) if answer.status == 404 && json::error_message(body.as_bytes()).is_some() => {
                Input::App(Ok(Box::new(Listed { app: None, as_of: Some(clock), warnings: Vec::new() })))
            }
            Fetch::App(_) => match json::app(body.as_bytes()) {
                Ok(parsed) => {
                    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
                    Input::App(Ok(Box::new(Listed {
                        app: Some(parsed.value),
                        as_of: Some(clock),
                        warnings: Vec::new(),
                    })))
                }
                Err(error) => failed(&request.fetch, error.to_string()),
            },
        };
        let read = matches!(&input, Input::Listing(Ok(_)) | Input::App(Ok(_)));
        assert!(read != (request.luck == Luck::Truncated), "a truncated answer is none: {body}");
        if read {
            self.truth.doubt(&view);
        }
        self.feed(input);
        if read {
            if request.fetch == Fetch::Listing {
                self.compared = self.now;
            }
            if self.truth.answered(&view, self.held, self.now) {
                self.coverage.note("told by an answer");
                self.plan_inspection();
            }
        } else {
            self.coverage.note("answer truncated");
            self.hinder_if_listing(&request.fetch);
        }
    }
}

impl World {
    /// A comparison that failed puts off what it would have found; an app that could not be asked for does not.
    fn hinder_if_listing(&mut self, fetch: &Fetch) {
        if *fetch == Fetch::Listing {
            self.truth.hinder(self.now);
        }
    }
}

fn failed(fetch: &Fetch, reason: String) -> Input {
    match fetch {
        Fetch::Listing => Input::Listing(Err(reason)),
        Fetch::App(_) => Input::App(Err(reason)),
    }
}
