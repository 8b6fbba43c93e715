//! Single decisions of the machine. `tests/simulation` has it meet everything at once.

use std::time::Duration;

use mconn_model::Timestamp;

use crate::{
    Answer, Call, Effect, Elector, Epoch, EpochNode, Input, Leadership, MemberName, Moment, Named, News,
    NodeAddress, NodeId, Resigned, Role, Seen, SessionId, Settings, Ticket,
};

const SESSION: SessionId = SessionId(7);

const TIMEOUT: Duration = Duration::from_secs(10);

/// The machine of node `me`, a clock, and what it wants done.
struct Story {
    elector: Elector,
    now: Duration,
    effects: Vec<Effect>,
}

fn member(number: u32) -> MemberName {
    MemberName::parse(&format!("member_{number:010}")).unwrap()
}

fn address(host: &str) -> NodeAddress {
    NodeAddress { host: host.to_owned(), port: 1234, url: format!("http://{host}:1234") }
}

/// A member of a node whose id is its host; that of `me` belongs to the session.
fn seen(number: u32, node: &str) -> Seen {
    let session = if node == "me" { SESSION } else { SessionId(1000 + i64::from(number)) };
    Seen {
        name: member(number),
        session: Some(session),
        node: Some(NodeId::new(node)),
        address: Some(address(node)),
        version: None,
    }
}

fn epoch(number: i32, leader: Option<(u32, &str)>) -> Answer {
    let named = |(number, node): (u32, &str)| Named {
        member: member(number),
        node: Some(NodeId::new(node)),
        address: Some(address(node)),
        since: None,
    };
    Answer::Epoch(EpochNode { epoch: Epoch(number), leader: leader.map(named) })
}

fn connected(session: SessionId) -> Input {
    Input::Connected { session, timeout: TIMEOUT }
}

fn disconnected() -> Input {
    Input::Disconnected { why: "no answer".to_owned() }
}

impl Story {
    fn new() -> Self {
        let start = Moment { now: Duration::ZERO, wall: Timestamp::from_millis(0), dice: 0.0 };
        let elector = Elector::new(Settings::default(), NodeId::new("me"), address("me"), start);
        Self { elector, now: Duration::ZERO, effects: Vec::new() }
    }

    /// Connected, ready, alone with these before it in line, who lead by the epoch; its own number is 9.
    fn joined(others: &[Seen], epoch_answer: Answer) -> Self {
        let mut story = Self::new();
        story.input(Input::Tick);
        story.input(Input::Ready);
        assert_eq!(story.take(), [Effect::OpenSession]);
        story.input(connected(SESSION));
        story.answer(&Call::ReadEpoch, epoch_answer);
        story.answer(&Call::List, Answer::Listed(others.to_vec()));
        story.answer(&Call::Create, Answer::Created(member(9)));
        let line = others.iter().cloned().chain([seen(9, "me")]).collect();
        story.answer(&Call::List, Answer::Listed(line));
        story
    }

    /// It has claimed epoch 4 and serves, and there is nothing to do.
    fn leading() -> Self {
        let mut story = Self::joined(&[], epoch(3, None));
        story.answer(&Call::Claim { member: member(9), seen: Epoch(3) }, Answer::Claimed(Epoch(4)));
        assert!(story.take().contains(&Effect::Lead { epoch: Epoch(4) }));
        story.input(Input::Serving(Epoch(4)));
        story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
        story.answer(&Call::Watch(member(9)), Answer::Watching { present: true });
        assert_eq!(story.call(), None);
        story
    }

    fn input(&mut self, input: Input) {
        let wall = Timestamp::from_millis(0).after(self.now);
        let moment = Moment { now: self.now, wall, dice: 0.0 };
        self.elector.step(input, moment, &mut self.effects);
    }

    /// What it wants done since the last time, without calls and news.
    fn take(&mut self) -> Vec<Effect> {
        let (taken, kept) = self
            .effects
            .drain(..)
            .filter(|effect| !matches!(effect, Effect::Tell(_)))
            .partition(|effect| !matches!(effect, Effect::Call { .. }));
        self.effects = kept;
        taken
    }

    /// The last call that it wants, if it was not asked for before.
    fn call(&mut self) -> Option<(Ticket, Call)> {
        let calls = std::mem::take(&mut self.effects).into_iter();
        let calls = calls.filter_map(|effect| match effect {
            Effect::Call { ticket, call } => Some((ticket, call)),
            other => {
                self.effects.push(other);
                None
            }
        });
        calls.last()
    }

    fn answer(&mut self, expected: &Call, answer: Answer) {
        let (ticket, call) = self.call().unwrap_or_else(|| panic!("no call, but {expected:?} was expected"));
        assert_eq!(call, *expected);
        self.input(Input::Answered { ticket, answer });
    }

    fn fail(&mut self, expected: &Call) {
        self.answer(expected, Answer::Failed { why: "refused".to_owned() });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }

    fn view(&self) -> Leadership {
        self.elector.view()
    }
}

#[test]
fn the_first_of_the_line_claims_and_leads() {
    let mut story = Story::joined(&[], epoch(3, None));
    assert_eq!(story.view().role, Role::Following);
    story.answer(&Call::Claim { member: member(9), seen: Epoch(3) }, Answer::Claimed(Epoch(4)));
    let tells = [Effect::Tell(News::Joined(member(9))), Effect::Tell(News::Settled)];
    assert!(tells.iter().all(|tell| story.effects.contains(tell)), "{:?}", story.effects);
    assert_eq!(story.take(), [Effect::Lead { epoch: Epoch(4) }]);
    assert_eq!(story.view().role, Role::TakingOver { epoch: Epoch(4) });
    story.input(Input::Serving(Epoch(4)));
    let view = story.view();
    assert_eq!(view.role, Role::Leading { epoch: Epoch(4) });
    let leader = view.leader.as_ref().unwrap();
    assert!(leader.is_self && leader.epoch == Some(Epoch(4)) && view.to_ask().is_none());
}

#[test]
fn nobody_joins_before_it_is_ready() {
    let mut story = Story::new();
    story.input(connected(SESSION));
    story.answer(&Call::ReadEpoch, epoch(0, None));
    story.answer(&Call::List, Answer::Listed(vec![]));
    assert_eq!(story.call(), None);
    story.input(Input::Ready);
    assert_eq!(story.call().unwrap().1, Call::Create);
}

#[test]
fn a_follower_watches_the_one_before_it_and_itself() {
    let mut story = Story::joined(&[seen(3, "a"), seen(5, "b")], epoch(3, Some((3, "a"))));
    story.answer(&Call::Watch(member(5)), Answer::Watching { present: true });
    story.answer(&Call::Watch(member(9)), Answer::Watching { present: true });
    assert_eq!(story.call(), None);
    assert_eq!(story.view().to_ask().unwrap().address, address("a"));
    // The one before goes: the next is watched. That one goes as well: it is first.
    story.input(Input::MemberTouched(member(5)));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me"), seen(3, "a")]));
    story.answer(&Call::Watch(member(3)), Answer::Watching { present: false });
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    assert_eq!(story.call().unwrap().1, Call::Claim { member: member(9), seen: Epoch(3) });
}

#[test]
fn a_lost_connection_ends_the_lead_at_once_and_the_next_one_waits_for_the_end_of_the_first() {
    let mut story = Story::leading();
    story.input(disconnected());
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason: Resigned::Disconnected }]);
    assert!(matches!(story.view().role, Role::Apart { .. }) && story.view().leader.is_none());
    story.input(connected(SESSION));
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    story.answer(&Call::Watch(member(9)), Answer::Watching { present: true });
    assert_eq!(story.call(), None, "the first term still runs");
    assert_eq!(story.view().leader, None, "and nobody must be sent here");
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    story.answer(&Call::Claim { member: member(9), seen: Epoch(4) }, Answer::Claimed(Epoch(5)));
    assert_eq!(story.take(), [Effect::Lead { epoch: Epoch(5) }]);
}

#[test]
fn a_term_that_hangs_costs_the_place_in_line() {
    let mut story = Story::leading();
    story.input(disconnected());
    story.input(connected(SESSION));
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me"), seen(12, "b")]));
    story.answer(&Call::Watch(member(9)), Answer::Watching { present: true });
    assert_eq!(story.elector.deadline(), Some(Settings::default().stop_limit));
    // Refreshes go on meanwhile.
    story.pass(Settings::default().stop_limit);
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me"), seen(12, "b")]));
    story.answer(&Call::Delete(member(9)), Answer::Deleted);
    assert_eq!(story.call(), None, "no new member before the term has stopped");
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    assert_eq!(story.call().unwrap().1, Call::Create);
}

#[test]
fn stepping_down_stops_first_then_leaves_the_line_then_joins_its_end() {
    let mut story = Story::leading();
    story.input(Input::StepDown { keep: true });
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason: Resigned::StepDown }]);
    assert_eq!(story.call(), None);
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    // Its own watch tells what it does itself.
    let (ticket, call) = story.call().unwrap();
    assert_eq!(call, Call::Delete(member(9)));
    story.input(Input::MemberTouched(member(9)));
    story.input(Input::Answered { ticket, answer: Answer::Deleted });
    story.answer(&Call::Create, Answer::Created(member(13)));
    story.answer(&Call::List, Answer::Listed(vec![seen(12, "b"), seen(13, "me")]));
    assert_eq!(story.call().unwrap().1, Call::Watch(member(12)));
    assert_eq!(
        story.view().to_ask().unwrap().address,
        address("b"),
        "first, although the epoch is not claimed yet"
    );
}

#[test]
fn a_claim_that_is_not_wanted_any_more_leads_to_nothing() {
    let mut story = Story::joined(&[], epoch(3, None));
    let (ticket, call) = story.call().unwrap();
    assert_eq!(call, Call::Claim { member: member(9), seen: Epoch(3) });
    story.input(Input::StepDown { keep: false });
    story.input(Input::Answered { ticket, answer: Answer::Claimed(Epoch(4)) });
    assert!(story.take().is_empty());
    assert_eq!(story.view().leads(), None);
}

#[test]
fn answers_to_calls_of_a_former_connection_count_for_nothing() {
    let mut story = Story::joined(&[], epoch(3, None));
    let (ticket, _) = story.call().unwrap();
    story.input(disconnected());
    story.input(connected(SESSION));
    story.input(Input::Answered { ticket, answer: Answer::Claimed(Epoch(4)) });
    assert!(story.take().is_empty());
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    assert_eq!(story.call().unwrap().1, Call::Claim { member: member(9), seen: Epoch(4) });
}

#[test]
fn a_member_without_an_answer_is_looked_for_before_another_is_made() {
    let mut story = Story::new();
    story.input(Input::Ready);
    story.input(connected(SESSION));
    story.answer(&Call::ReadEpoch, epoch(0, None));
    story.answer(&Call::List, Answer::Listed(vec![]));
    story.fail(&Call::Create);
    assert_eq!(story.view().trouble.as_deref(), Some("refused"));
    assert_eq!(story.call(), None, "it waits a little");
    story.pass(Duration::from_secs(1));
    story.answer(&Call::ReadEpoch, epoch(0, None));
    story.answer(&Call::List, Answer::Listed(vec![seen(4, "me"), seen(5, "me")]));
    story.answer(&Call::Delete(member(5)), Answer::Deleted);
    assert_eq!(story.view().member, Some(member(4)));
    assert_eq!(story.view().trouble, None);
    assert_eq!(story.call().unwrap().1, Call::Claim { member: member(4), seen: Epoch(0) });
}

#[test]
fn a_member_of_a_session_that_was_given_up_is_removed() {
    let mut story = Story::leading();
    story.input(Input::Expired { why: "too late".to_owned() });
    let resign = Effect::Resign { epoch: Epoch(4), reason: Resigned::Expired };
    assert_eq!(story.take(), [resign, Effect::OpenSession]);
    story.input(connected(SessionId(8)));
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    story.answer(&Call::Delete(member(9)), Answer::Deleted);
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    assert_eq!(story.call().unwrap().1, Call::Create);
}

#[test]
fn calls_that_fail_are_repeated_more_and_more_slowly() {
    let mut story = Story::new();
    story.input(connected(SESSION));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        story.fail(&Call::ReadEpoch);
        let due = story.elector.deadline().unwrap();
        pauses.push((due - story.now).as_millis());
        story.pass(due - story.now);
    }
    // With the worst of luck, half the whole.
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1500, 1500, 1500]);
}

#[test]
fn a_successor_does_not_wait_for_the_session_of_a_process_that_has_ended() {
    let line = [seen(3, "a"), seen(5, "b")];
    let mut story = Story::joined(&line, epoch(3, Some((3, "a"))));
    story.answer(&Call::Watch(member(5)), Answer::Watching { present: true });
    story.answer(&Call::Watch(member(9)), Answer::Watching { present: true });
    // Whoever is not next has no say.
    story.input(Input::Dead(member(3)));
    assert_eq!(story.call(), None);
    story.input(Input::MemberTouched(member(5)));
    story.answer(&Call::List, Answer::Listed(vec![seen(3, "a"), seen(9, "me")]));
    story.answer(&Call::Watch(member(3)), Answer::Watching { present: true });
    assert_eq!(story.call(), None);
    story.input(Input::Dead(member(3)));
    story.fail(&Call::Delete(member(3)));
    story.pass(Settings::default().retry_max);
    story.answer(&Call::ReadEpoch, epoch(3, Some((3, "a"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(3, "a"), seen(9, "me")]));
    // It was tried once: what was seen may be old.
    assert_eq!(story.call(), None);
    story.input(Input::Dead(member(3)));
    story.answer(&Call::Delete(member(3)), Answer::Deleted);
    story.answer(&Call::Claim { member: member(9), seen: Epoch(3) }, Answer::Claimed(Epoch(4)));
    assert!(story.take().contains(&Effect::Lead { epoch: Epoch(4) }));
}

#[test]
fn a_term_that_ends_by_itself_makes_room_and_comes_back_later_each_time() {
    let mut story = Story::leading();
    let mut waited = Vec::new();
    for round in 0..3 {
        let led = story.view().leads().unwrap();
        story.input(Input::Stopped { epoch: led, failed: Some("no store".to_owned()) });
        assert_eq!(story.take(), [Effect::Resign { epoch: led, reason: Resigned::Ended }]);
        assert_eq!(story.view().trouble.as_deref(), Some("no store"));
        let own = story.view().member.unwrap();
        story.answer(&Call::ReadEpoch, epoch(led.0, Some((9, "me"))));
        story.answer(&Call::Delete(own), Answer::Deleted);
        let due = story.elector.deadline().unwrap();
        waited.push((due - story.now).as_millis());
        story.pass(due - story.now);
        story.answer(&Call::Create, Answer::Created(member(20 + round)));
        story.answer(&Call::List, Answer::Listed(vec![seen(20 + round, "me")]));
        let claim = Call::Claim { member: member(20 + round), seen: led };
        story.answer(&claim, Answer::Claimed(Epoch(led.0 + 1)));
        story.take();
        story.answer(&Call::ReadEpoch, epoch(led.0 + 1, Some((20 + round, "me"))));
        story.answer(&Call::Watch(member(20 + round)), Answer::Watching { present: true });
    }
    assert_eq!(waited, [250, 500, 1000]);
    let led = story.view().leads().unwrap();
    story.input(Input::Serving(led));
    assert_eq!(story.view().trouble, None);
}

#[test]
fn a_higher_epoch_deposes() {
    let mut story = Story::leading();
    story.input(Input::EpochTouched);
    story.answer(&Call::ReadEpoch, epoch(6, Some((12, "b"))));
    let reason = Resigned::Deposed { by: Epoch(6) };
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason }]);
}

#[test]
fn leaving_gives_up_the_member_and_then_the_session() {
    let mut story = Story::leading();
    story.input(Input::Leave);
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason: Resigned::Leaving }]);
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    story.answer(&Call::Delete(member(9)), Answer::Deleted);
    assert_eq!(story.take(), [Effect::CloseSession]);
    assert!(story.elector.has_ended() && story.elector.deadline().is_none());
    story.input(connected(SESSION));
    assert!(story.effects.is_empty());
}

#[test]
fn leaving_without_a_connection_waits_for_the_term_only_and_for_nothing_too_long() {
    let mut story = Story::leading();
    story.input(disconnected());
    story.take();
    story.input(Input::Leave);
    assert_eq!(story.take(), [], "the term still runs");
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    assert_eq!(story.take(), [Effect::CloseSession]);

    let mut story = Story::leading();
    story.input(Input::Leave);
    story.take();
    story.pass(Settings::default().leave_limit);
    assert_eq!(story.take(), [Effect::CloseSession]);
}

#[test]
fn nobody_is_sent_to_itself_or_to_a_dead_predecessor_at_its_own_address() {
    let dead = Seen { node: Some(NodeId::new("me before")), ..seen(3, "me") };
    let dead = Seen { session: Some(SessionId(1)), ..dead };
    let story = Story::joined(&[dead], epoch(3, None));
    let view = story.view();
    assert_eq!(view.leader.as_ref().unwrap().address, address("me"));
    assert!(!view.leader.as_ref().unwrap().is_self && view.to_ask().is_none());
}

#[test]
fn a_member_of_the_original_leads_although_the_epoch_names_nobody_who_is_there() {
    let original = Seen { node: None, ..seen(3, "old") };
    let mut story = Story::joined(&[original], epoch(3, Some((1, "gone"))));
    let view = story.view();
    let leader = view.to_ask().unwrap();
    assert_eq!((leader.address.clone(), leader.epoch), (address("old"), None));
    assert_eq!(story.call().unwrap().1, Call::Watch(member(3)));
}

#[test]
fn a_leader_whose_quorum_is_silent_resigns_although_it_is_connected() {
    let mut story = Story::leading();
    let prove = Call::Prove { member: member(9), epoch: Epoch(4) };
    for _ in 0..3 {
        assert_eq!(story.elector.deadline(), Some(story.now + TIMEOUT / 5));
        story.pass(TIMEOUT / 5);
        story.answer(&prove, Answer::Proved);
    }
    assert!(story.take().is_empty());
    // The next is never answered: two fifths later its caller gives up, which is the end of the lease.
    let begun = story.now;
    story.pass(TIMEOUT / 5);
    assert_eq!(story.elector.patience(), Some(TIMEOUT * 2 / 5));
    let (ticket, call) = story.call().unwrap();
    assert_eq!((call, story.elector.deadline()), (prove, Some(begun + TIMEOUT * 3 / 5)));
    story.pass(TIMEOUT * 2 / 5 - Duration::from_nanos(1));
    assert!(story.take().is_empty());
    story.pass(Duration::from_nanos(1));
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason: Resigned::Silent }]);
    assert_eq!((story.view().role, story.elector.patience()), (Role::Following, None));
    // The answer comes after all: it changes nothing any more.
    story.input(Input::Answered { ticket, answer: Answer::Proved });
    story.input(Input::Stopped { epoch: Epoch(4), failed: None });
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    assert_eq!(story.call().unwrap().1, Call::Claim { member: member(9), seen: Epoch(4) });
}

#[test]
fn a_proof_counts_from_when_it_was_sent() {
    let mut story = Story::leading();
    story.pass(TIMEOUT / 5);
    let sent = story.now;
    story.pass(TIMEOUT / 5);
    story.answer(&Call::Prove { member: member(9), epoch: Epoch(4) }, Answer::Proved);
    story.call().expect("the next is due at once");
    assert_eq!(story.elector.deadline(), Some(sent + TIMEOUT * 3 / 5));
}

#[test]
fn a_proof_that_is_refused_ends_the_lead() {
    let mut story = Story::leading();
    story.pass(TIMEOUT / 5);
    story.answer(&Call::Prove { member: member(9), epoch: Epoch(4) }, Answer::Refused);
    assert_eq!(story.take(), [Effect::Resign { epoch: Epoch(4), reason: Resigned::Refuted }]);
    assert_eq!(story.call().unwrap().1, Call::ReadEpoch);
}

#[test]
fn a_claim_that_took_longer_than_it_holds_is_made_again() {
    let mut story = Story::joined(&[], epoch(3, None));
    story.pass(TIMEOUT * 3 / 5);
    story.answer(&Call::Claim { member: member(9), seen: Epoch(3) }, Answer::Claimed(Epoch(4)));
    assert!(story.take().is_empty());
    assert!(story.view().trouble.unwrap().contains("too slow for a session timeout"));
    story.pass(Duration::from_secs(1));
    story.answer(&Call::ReadEpoch, epoch(4, Some((9, "me"))));
    story.answer(&Call::List, Answer::Listed(vec![seen(9, "me")]));
    story.answer(&Call::Claim { member: member(9), seen: Epoch(4) }, Answer::Claimed(Epoch(5)));
    assert_eq!(story.take(), [Effect::Lead { epoch: Epoch(5) }]);
}
