//! Sequences of inputs and what must come of them.

use std::time::Duration;

use mconn_model::{AppId, ClusterEvent, Listing, Observation, Timestamp};
use proptest::prelude::*;

use super::{Effect, Fetch, FollowSettings, Follower, Input, Moment, Request};
use crate::client::Listed;

const DICE: f64 = 0.5;

/// A follower with a clock of its own; effects are shown as short texts.
struct Play {
    follower: Follower,
    now: Duration,
}

impl Play {
    fn new() -> Self {
        Self { follower: Follower::new(FollowSettings::default(), Duration::ZERO), now: Duration::ZERO }
    }

    /// Attached, with the first listing taken.
    fn attached() -> Self {
        let mut play = Self::new();
        play.does(Input::Tick, &["open"]);
        play.does(Input::StreamOpened, &["attached", "fetch listing"]);
        play.does(listing(), &["listing at 0"]);
        play
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.follower.step(input, Moment { now: self.now, dice: DICE }, &mut out);
        out
    }

    #[track_caller]
    fn does(&mut self, input: Input, wanted: &[&str]) {
        let input_text = format!("{input:?}");
        let shown: Vec<_> = self.step(input).iter().map(show).collect();
        assert_eq!(shown, wanted, "after {input_text} at {:?}", self.now);
    }

    /// Lets time pass without anything happening but ticks, each exactly when it is due.
    #[track_caller]
    fn passes(&mut self, millis: u64, wanted: &[&str]) {
        let end = self.now + Duration::from_millis(millis);
        let mut shown = Vec::new();
        while let Some(due) = self.follower.deadline().filter(|due| *due <= end) {
            assert!(due >= self.now, "a deadline in the past would be a busy loop");
            self.now = due;
            let before = self.follower.deadline();
            shown.extend(self.step(Input::Tick).iter().map(show));
            assert_ne!(self.follower.deadline(), before, "a tick that changes nothing would be a busy loop");
        }
        self.now = end;
        assert_eq!(shown, wanted, "until {end:?}");
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::OpenStream => "open".to_owned(),
        Effect::CloseStream => "close".to_owned(),
        Effect::CancelFetch => "cancel".to_owned(),
        Effect::Fetch(Fetch::Listing) => "fetch listing".to_owned(),
        Effect::Fetch(Fetch::App(id)) => format!("fetch {id}"),
        Effect::Emit(Observation::Attached) => "attached".to_owned(),
        Effect::Emit(Observation::Listing { requested_at_event, .. }) => {
            format!("listing at {requested_at_event}")
        }
        Effect::Emit(Observation::App { id, listing, requested_at_event, .. }) => {
            format!("{id} {} at {requested_at_event}", if listing.is_some() { "there" } else { "gone" })
        }
        Effect::Emit(Observation::RequestFailed { id, .. }) => match id {
            Some(id) => format!("failed {id}"),
            None => "failed listing".to_owned(),
        },
        Effect::Emit(Observation::Event(_)) => "event".to_owned(),
        Effect::Emit(Observation::Lost { reason }) => {
            if reason.contains("instead") {
                "lost, polls".to_owned()
            } else {
                "lost".to_owned()
            }
        }
        Effect::Emit(Observation::LeaderChanged { leader }) => format!("leader {leader}"),
    }
}

fn listing() -> Input {
    Input::Listing(Ok(Box::default()))
}

fn event() -> ClusterEvent {
    ClusterEvent::Ignored { event_type: "x".into() }
}

fn id(text: &str) -> AppId {
    AppId::parse(text).unwrap()
}

fn ended() -> Input {
    Input::StreamEnded { reason: "end".to_owned() }
}

fn no_stream(impossible: bool) -> Input {
    Input::StreamFailed { reason: "no".to_owned(), impossible }
}

fn broken() -> Input {
    Input::Listing(Err("broken".to_owned()))
}

fn app() -> Input {
    Input::App(Ok(Box::new(Listed { app: None, as_of: None, warnings: Vec::new() })))
}

#[test]
fn the_stream_is_attached_before_anything_is_listed() {
    let mut play = Play::new();
    assert_eq!(play.follower.deadline(), Some(Duration::ZERO));
    play.does(Input::Tick, &["open"]);
    play.does(Input::StreamOpened, &["attached", "fetch listing"]);
    play.does(Input::Received(vec![event(), event()]), &["event", "event"]);
    play.does(listing(), &["listing at 0"]);
    assert_eq!(play.follower.events(), 2);
}

#[test]
fn answers_say_after_which_event_they_were_asked_for() {
    let mut play = Play::attached();
    play.does(Input::Received(vec![event()]), &["event"]);
    play.does(Input::Requested(Request::App(id("/a"))), &["fetch /a"]);
    play.does(Input::Received(vec![event()]), &["event"]);
    play.does(Input::Requested(Request::App(id("/a"))), &[]);
    play.does(app(), &["/a gone at 1", "fetch /a"]);
    play.does(app(), &["/a gone at 2"]);
}

#[test]
fn the_time_of_an_answer_is_passed_on() {
    let mut play = Play::attached();
    play.does(Input::Requested(Request::App(id("/a"))), &["fetch /a"]);
    let as_of = Timestamp::parse("2026-01-05T10:00:00Z");
    let answer = Listed { app: None, as_of, warnings: Vec::new() };
    let told = play.step(Input::App(Ok(Box::new(answer))));
    let wanted = Observation::App { id: id("/a"), listing: None, as_of, requested_at_event: 0 };
    assert_eq!(told, [Effect::Emit(wanted)]);
}

#[test]
fn silence_is_noticed_and_a_heartbeat_is_no_silence() {
    let mut play = Play::attached();
    play.passes(20_000, &[]);
    play.does(Input::Received(Vec::new()), &[]);
    play.passes(24_999, &[]);
    play.passes(1, &["close", "lost"]);
    play.does(Input::Received(vec![event()]), &[]);
    play.passes(1_000, &["open"]);
}

#[test]
fn the_pause_grows_while_streams_die_young_and_is_short_after_a_healthy_one() {
    let mut play = Play::new();
    play.does(Input::Tick, &["open"]);
    for (pause, told) in [(750, "lost"), (1_500, "lost"), (3_000, "lost, polls")] {
        let fetch: &[&str] = if told == "lost" { &[told] } else { &[told, "fetch listing"] };
        play.does(no_stream(false), fetch);
        play.passes(pause - 1, &[]);
        play.passes(1, &["open"]);
    }
    play.does(Input::StreamOpened, &["attached", "cancel", "fetch listing"]);
    play.does(listing(), &["listing at 0"]);
    play.does(ended(), &["close", "lost"]);
    play.passes(5_999, &[]);
    play.passes(1, &["open"]);
    play.does(Input::StreamOpened, &["attached", "fetch listing"]);
    play.does(listing(), &["listing at 0"]);
    for _ in 0..4 {
        play.passes(9_000, &[]);
        play.does(Input::Received(Vec::new()), &[]);
    }
    play.does(ended(), &["close", "lost"]);
    play.passes(750, &["open"]);
}

#[test]
fn what_was_asked_before_the_stream_does_not_hold_up_the_listing_after_it() {
    let mut play = Play::new();
    play.does(Input::Tick, &["open"]);
    play.does(no_stream(true), &["lost, polls", "fetch listing"]);
    play.passes(300_000, &["open"]);
    play.does(Input::StreamOpened, &["attached", "cancel", "fetch listing"]);
    play.does(listing(), &["listing at 0"]);
}

#[test]
fn while_polling_works_a_stream_that_does_not_is_no_loss() {
    let mut play = Play::new();
    play.does(Input::Tick, &["open"]);
    play.does(no_stream(false), &["lost"]);
    play.passes(750, &["open"]);
    play.does(no_stream(false), &["lost"]);
    play.passes(1_500, &["open"]);
    play.does(no_stream(false), &["lost, polls", "fetch listing"]);
    play.does(listing(), &["listing at 0"]);
    play.passes(3_000, &["open"]);
    play.does(no_stream(false), &[]);
    play.passes(6_000, &["open"]);
    play.does(no_stream(true), &[]);
    play.passes(1_000, &["fetch listing"]);
    play.does(broken(), &["failed listing", "lost"]);
    play.passes(750, &["fetch listing"]);
    play.does(broken(), &["failed listing"]);
    play.passes(1_500, &["fetch listing"]);
    play.does(listing(), &["listing at 0"]);
    play.passes(10_000, &["fetch listing"]);
    play.does(broken(), &["failed listing", "lost"]);
}

#[test]
fn without_a_stream_everything_is_polled() {
    let mut play = Play::new();
    play.does(Input::Tick, &["open"]);
    play.does(no_stream(true), &["lost, polls", "fetch listing"]);
    assert!(play.follower.is_polling());
    for _ in 0..3 {
        play.does(listing(), &["listing at 0"]);
        play.passes(10_000, &["fetch listing"]);
    }
    play.does(broken(), &["failed listing", "lost"]);
    play.passes(749, &[]);
    play.passes(1, &["fetch listing"]);
}

#[test]
fn full_comparisons_come_at_a_jittered_interval() {
    let mut play = Play::attached();
    let heartbeats = |play: &mut Play, count: u64| {
        for _ in 0..count {
            play.passes(10_000, &[]);
            play.does(Input::Received(Vec::new()), &[]);
        }
    };
    heartbeats(&mut play, 17);
    play.passes(9_999, &[]);
    play.passes(1, &["fetch listing"]);
    play.does(listing(), &["listing at 0"]);
}

#[test]
fn failures_pause_all_requests_and_a_failing_app_brings_a_comparison() {
    let mut play = Play::attached();
    play.does(Input::Requested(Request::App(id("/a"))), &["fetch /a"]);
    play.does(Input::App(Err("500".to_owned())), &["failed /a"]);
    play.does(Input::Requested(Request::App(id("/b"))), &[]);
    play.passes(749, &[]);
    play.passes(1, &["fetch listing"]);
    play.does(broken(), &["failed listing"]);
    play.passes(1_499, &[]);
    play.passes(1, &["fetch listing"]);
}

#[test]
fn pods_are_never_asked_for_as_apps() {
    let mut play = Play::attached();
    let changed = ClusterEvent::PodChanged { pod: Some(id("/p")) };
    play.does(Input::Received(vec![changed]), &["event"]);
    play.does(Input::Requested(Request::App(id("/p"))), &["fetch listing"]);
}

#[test]
fn a_leader_is_told_once_and_a_registration_is_an_event_like_others() {
    let mut play = Play::attached();
    play.does(Input::LeaderSeen("a:8080".to_owned()), &["leader a:8080"]);
    play.does(Input::LeaderSeen("a:8080".to_owned()), &[]);
    play.does(Input::LeaderSeen("b:8080".to_owned()), &["leader b:8080"]);
    // What follows from it is the catalog's to say.
    play.does(Input::Received(vec![ClusterEvent::SchedulerRegistered]), &["event"]);
    play.passes(20_000, &[]);
}

#[derive(Debug, Clone)]
enum Move {
    Opened,
    NotOpened(bool),
    Events(usize),
    Ended,
    Answer(bool),
    App(u8),
    Listing,
    Leader(u8),
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        Just(Move::Opened),
        any::<bool>().prop_map(Move::NotOpened),
        (0_usize..4).prop_map(Move::Events),
        Just(Move::Ended),
        any::<bool>().prop_map(Move::Answer),
        (0_u8..14).prop_map(Move::App),
        Just(Move::Listing),
        (0_u8..3).prop_map(Move::Leader),
        (0_u64..400_000).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 0..60)
}

/// The world as the shell sees it: answers come only to what was asked for.
#[derive(Default)]
struct World {
    opening: bool,
    attached: bool,
    fetching: Option<Fetch>,
    /// Events passed on, and how many there were when the request under way was sent.
    events: u64,
    sent_at: u64,
    attached_since_sent: bool,
}

impl World {
    fn check(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::OpenStream => {
                    assert!(!self.opening && !self.attached, "one stream at a time");
                    self.opening = true;
                }
                Effect::CloseStream => self.attached = false,
                Effect::CancelFetch => {
                    assert!(self.fetching.take().is_some(), "nothing is cancelled that is not under way");
                }
                Effect::Fetch(fetch) => {
                    assert!(self.fetching.is_none(), "one request at a time");
                    self.fetching = Some(fetch.clone());
                    self.sent_at = self.events;
                    self.attached_since_sent = false;
                }
                Effect::Emit(Observation::Event(_)) => self.events += 1,
                Effect::Emit(
                    Observation::Listing { requested_at_event, .. }
                    | Observation::App { requested_at_event, .. },
                ) => {
                    assert_eq!(*requested_at_event, self.sent_at);
                    assert!(!self.attached_since_sent, "asked for before the stream was attached");
                }
                Effect::Emit(_) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_rules(moves in moves()) {
        let (mut play, mut world) = (Play::new(), World::default());
        for next in moves {
            let input = match next {
                Move::Opened if world.opening => {
                    (world.opening, world.attached, world.attached_since_sent) = (false, true, true);
                    Input::StreamOpened
                }
                Move::NotOpened(impossible) if world.opening => {
                    world.opening = false;
                    no_stream(impossible)
                }
                Move::Events(count) if world.attached => Input::Received(vec![event(); count]),
                Move::Ended if world.attached => {
                    world.attached = false;
                    ended()
                }
                Move::Answer(good) => match (world.fetching.take(), good) {
                    (Some(Fetch::Listing), true) => Input::Listing(Ok(Box::<Listing>::default())),
                    (Some(Fetch::Listing), false) => broken(),
                    (Some(Fetch::App(_)), true) => app(),
                    (Some(Fetch::App(_)), false) => Input::App(Err("no".to_owned())),
                    (None, _) => continue,
                },
                Move::App(index) => Input::Requested(Request::App(id(&format!("/a{index}")))),
                Move::Listing => Input::Requested(Request::Listing),
                Move::Leader(index) => Input::LeaderSeen(format!("l{index}:8080")),
                Move::Wait(millis) => {
                    let end = play.now + Duration::from_millis(millis);
                    while let Some(due) = play.follower.deadline().filter(|due| *due <= end) {
                        prop_assert!(due >= play.now, "no busy loop");
                        play.now = due;
                        let effects = play.step(Input::Tick);
                        world.check(&effects);
                        prop_assert_ne!(play.follower.deadline(), Some(due), "no busy loop");
                    }
                    play.now = end;
                    continue;
                }
                _ => continue,
            };
            let effects = play.step(input);
            world.check(&effects);
        }
        // Whatever happened: answer everything, and the world is attached and listed again within minutes.
        let mut listed_after_attach = false;
        for _ in 0..20 {
            let (mut inputs, end) = (Vec::new(), play.now + Duration::from_secs(20));
            if std::mem::take(&mut world.opening) {
                (world.attached, world.attached_since_sent) = (true, true);
                let effects = play.step(Input::StreamOpened);
                world.check(&effects);
            }
            match world.fetching.take() {
                Some(Fetch::Listing) => inputs.push(listing()),
                Some(Fetch::App(_)) => inputs.push(app()),
                None => {}
            }
            if world.attached {
                inputs.push(Input::Received(Vec::new()));
            }
            for input in inputs {
                let effects = play.step(input);
                world.check(&effects);
                let listed = |e: &Effect| matches!(e, Effect::Emit(Observation::Listing { .. }));
                listed_after_attach |= world.attached && effects.iter().any(listed);
            }
            while let Some(due) = play.follower.deadline().filter(|due| *due <= end) {
                play.now = due;
                let effects = play.step(Input::Tick);
                world.check(&effects);
            }
            play.now = end;
        }
        prop_assert!(world.attached && listed_after_attach);
    }
}
