//! The state machine of one node: what it knows, and what each input changes. No clock, no I/O, no randomness.

mod lease;
mod next;
mod view;

use std::collections::BTreeSet;
use std::time::Duration;

use mconn_model::Timestamp;

use crate::calls::{Answer, Call, Effect, Input, News, Resigned, Ticket};
use crate::clock::Moment;
use crate::line::{EpochNode, Line, Named, Seen};
use crate::member::{Epoch, MemberName, NodeAddress, NodeId, SessionId};
use crate::settings::Settings;

/// The session, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    /// There is none, and none is being opened.
    None,
    Opening,
    Up(SessionId),
    /// It may live on, but there is no connection.
    Down,
    /// Given up for good.
    Closed,
}

/// What this node wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// It is not able to serve yet.
    NotYet,
    /// A place in the line.
    Member,
    /// None, and then...
    Out(Then),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// ...one at its end.
    Back,
    /// ...nothing.
    Stay,
    /// ...the end.
    Close,
}

/// The term.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tenure {
    None,
    Leading {
        epoch: Epoch,
        since: Timestamp,
        serving: bool,
        /// When the newest call that the quorum has confirmed was sent.
        proved: Duration,
    },
    /// It was told to stop, and something of it may still run. Until `patience` the place in the line is kept.
    Stopping {
        epoch: Epoch,
        patience: Duration,
    },
}

/// The call whose answer is waited for.
#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    call: Call,
    sent: Duration,
}

/// Why and since when there is no connection.
#[derive(Debug, Clone)]
struct Apart {
    since: Timestamp,
    why: String,
}

/// Decides for one node. See the crate's first page for the picture.
#[derive(Debug)]
pub struct Elector {
    settings: Settings,
    node: NodeId,
    address: NodeAddress,
    link: Link,
    /// The timeout of the session.
    timeout: Duration,
    apart: Apart,
    wish: Wish,
    tenure: Tenure,
    /// This node's member in this session, as far as it is known.
    member: Option<MemberName>,
    line: Line,
    /// Something may have changed since the last listing was sent for.
    line_dirty: bool,
    epoch: Option<EpochNode>,
    /// As `line_dirty`.
    epoch_dirty: bool,
    /// The one before this node in line, if its process has ended.
    dead: Option<MemberName>,
    /// Members with a watch that has not fired.
    watched: BTreeSet<MemberName>,
    call: Option<UnderWay>,
    tickets: Ticket,
    /// Calls that failed in a row; claims that were refused in a row; terms that never served in a row.
    failures: u32,
    refusals: u32,
    lost_terms: u32,
    /// No call before this.
    retry_at: Duration,
    /// Not in the line before this.
    rejoin_at: Duration,
    refresh_at: Duration,
    leave_by: Option<Duration>,
    /// When the last step was.
    stepped_at: Duration,
    /// Why the last call failed.
    trouble: Option<String>,
    /// Why the last term ended by itself.
    lost_term: Option<String>,
    settled: bool,
}

impl Elector {
    /// A node at the beginning of its time: give it [`Input::Tick`] first. `node` is unique to this process.
    #[must_use]
    pub fn new(settings: Settings, node: NodeId, address: NodeAddress, moment: Moment) -> Self {
        let apart = Apart { since: moment.wall, why: "not connected yet".to_owned() };
        Self {
            node,
            address,
            link: Link::None,
            timeout: Duration::ZERO,
            apart,
            wish: Wish::NotYet,
            tenure: Tenure::None,
            member: None,
            line: Line::default(),
            line_dirty: true,
            dead: None,
            epoch: None,
            epoch_dirty: true,
            watched: BTreeSet::new(),
            call: None,
            tickets: 0,
            failures: 0,
            refusals: 0,
            lost_terms: 0,
            retry_at: Duration::ZERO,
            rejoin_at: Duration::ZERO,
            refresh_at: moment.now.saturating_add(settings.refresh),
            leave_by: None,
            stepped_at: moment.now,
            trouble: None,
            lost_term: None,
            settled: false,
            settings,
        }
    }

    /// When [`Input::Tick`] is due at the latest; `None` once the machine has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.link == Link::Closed {
            return None;
        }
        let patience = match self.tenure {
            Tenure::Stopping { patience, .. } => Some(patience),
            Tenure::None | Tenure::Leading { .. } => None,
        };
        // While a call is under way, only its answer brings anything about.
        let idle = matches!(self.link, Link::Up(_)) && self.call.is_none();
        let calls = [self.retry_at, self.rejoin_at, self.refresh_at].map(|at| idle.then_some(at));
        // What was due at the last step has been done then.
        let lease = self.lease_ends();
        let proof = self.proof_due().filter(|_| idle);
        let due = [patience, self.leave_by, lease, proof].into_iter().chain(calls).flatten();
        due.filter(|at| *at > self.stepped_at).min()
    }

    /// Whether the session was given up for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.link == Link::Closed
    }

    /// Takes one input and says what is to be done.
    pub fn step(&mut self, input: Input, moment: Moment, out: &mut Vec<Effect>) {
        if self.link == Link::Closed {
            return;
        }
        self.stepped_at = moment.now;
        // Before anything else: who was stopped for a while must not act on what it believed.
        self.watch_lease(moment, out);
        match input {
            Input::Connected { session, timeout } => self.connected(session, timeout, moment, out),
            Input::Unreachable { why } => self.unreachable(why),
            Input::Disconnected { why } => self.disconnected(why, moment, out),
            Input::Expired { why } => self.expired(why, moment, out),
            Input::Ready if self.wish == Wish::NotYet => self.wish = Wish::Member,
            Input::Ready => {}
            Input::StepDown { keep } => self.step_down(keep, moment, out),
            Input::Leave => self.leave(moment, out),
            Input::Serving(epoch) => self.serving(epoch),
            Input::Stopped { epoch, failed } => self.stopped(epoch, failed, moment, out),
            Input::Answered { ticket, answer } => self.answered(ticket, answer, moment, out),
            Input::MemberTouched(name) => self.touched(name),
            Input::Dead(name) => self.dead = Some(name),
            Input::LineTouched => self.line_dirty = true,
            Input::EpochTouched => self.epoch_dirty = true,
            Input::Tick => {}
        }
        self.go_on(moment, out);
    }

    fn touched(&mut self, name: MemberName) {
        self.watched.remove(&name);
        // What this node removes itself is no news.
        let own_doing =
            matches!(self.call, Some(UnderWay { call: Call::Delete(deleted), .. }) if deleted == name);
        self.line_dirty |= !own_doing;
    }

    fn connected(&mut self, session: SessionId, timeout: Duration, moment: Moment, out: &mut Vec<Effect>) {
        if matches!(self.link, Link::Up(known) if known != session) {
            self.resign(Resigned::Expired, moment, out);
        }
        self.link = Link::Up(session);
        self.timeout = timeout;
        self.look_again();
        self.failures = 0;
        self.retry_at = Duration::ZERO;
    }

    /// Nothing that was known holds: read everything again (a watch may have been lost on the way).
    fn look_again(&mut self) {
        self.call = None;
        self.watched.clear();
        // It may have been seen long ago by now.
        self.dead = None;
        self.line_dirty = true;
        self.epoch_dirty = true;
    }

    fn unreachable(&mut self, why: String) {
        if self.link == Link::Opening {
            self.apart.why = why;
        }
    }

    fn disconnected(&mut self, why: String, moment: Moment, out: &mut Vec<Effect>) {
        if matches!(self.link, Link::Up(_)) {
            self.link = Link::Down;
            self.apart = Apart { since: moment.wall, why };
            self.look_again();
            self.resign(Resigned::Disconnected, moment, out);
        }
    }

    fn expired(&mut self, why: String, moment: Moment, out: &mut Vec<Effect>) {
        match self.link {
            Link::Up(_) => self.apart = Apart { since: moment.wall, why },
            Link::Down | Link::Opening => self.apart.why = why,
            Link::None | Link::Closed => return,
        }
        self.link = Link::None;
        self.member = None;
        self.look_again();
        self.resign(Resigned::Expired, moment, out);
    }

    fn step_down(&mut self, keep: bool, moment: Moment, out: &mut Vec<Effect>) {
        let leads = matches!(self.tenure, Tenure::Leading { .. });
        match self.wish {
            // Whoever does not lead has nothing to give up; a place in the line harms nobody.
            Wish::Member if keep && !leads => return,
            Wish::Member | Wish::NotYet => self.wish = Wish::Out(if keep { Then::Back } else { Then::Stay }),
            Wish::Out(Then::Back) if !keep => self.wish = Wish::Out(Then::Stay),
            Wish::Out(_) => {}
        }
        self.resign(Resigned::StepDown, moment, out);
    }

    fn leave(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        self.wish = Wish::Out(Then::Close);
        let limit = moment.now.saturating_add(self.settings.leave_limit);
        self.leave_by.get_or_insert(limit);
        self.resign(Resigned::Leaving, moment, out);
    }

    fn resign(&mut self, reason: Resigned, moment: Moment, out: &mut Vec<Effect>) {
        if let Tenure::Leading { epoch, .. } = self.tenure {
            let patience = moment.now.saturating_add(self.settings.stop_limit);
            self.tenure = Tenure::Stopping { epoch, patience };
            out.push(Effect::Resign { epoch, reason });
        }
    }

    /// Resigns and goes to the end of the line: somebody thinks that this node should not be first.
    fn give_way(&mut self, reason: Resigned, moment: Moment, out: &mut Vec<Effect>) {
        self.resign(reason, moment, out);
        if self.wish == Wish::Member {
            self.wish = Wish::Out(Then::Back);
        }
    }

    fn serving(&mut self, of: Epoch) {
        if let Tenure::Leading { epoch, serving, .. } = &mut self.tenure
            && *epoch == of
        {
            *serving = true;
            self.lost_terms = 0;
            self.lost_term = None;
        }
    }

    fn stopped(&mut self, of: Epoch, failed: Option<String>, moment: Moment, out: &mut Vec<Effect>) {
        match self.tenure {
            Tenure::Stopping { epoch, .. } if epoch == of => {}
            Tenure::Leading { epoch, serving, .. } if epoch == of => {
                // Nobody told it to. Another node may do better, or has the lead already.
                out.push(Effect::Resign { epoch, reason: Resigned::Ended });
                self.lost_terms = if serving { 1 } else { self.lost_terms.saturating_add(1) };
                let Settings { rejoin_min, rejoin_max, .. } = self.settings;
                self.rejoin_at =
                    moment.now.saturating_add(moment.pause(self.lost_terms, rejoin_min, rejoin_max));
                self.lost_term = failed;
                self.epoch_dirty = true;
                if self.wish == Wish::Member {
                    self.wish = Wish::Out(Then::Back);
                }
            }
            _ => return,
        }
        self.tenure = Tenure::None;
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer, moment: Moment, out: &mut Vec<Effect>) {
        let Some(UnderWay { call, sent, .. }) = self.call.take_if(|call| call.ticket == ticket) else {
            return;
        };
        match (call, answer) {
            (Call::List, Answer::Listed(seen)) => self.listed(seen, moment, out),
            (Call::ReadEpoch, Answer::Epoch(node)) => self.epoch_read(node, moment, out),
            (Call::Watch(name), Answer::Watching { present: true }) => _ = self.watched.insert(name),
            (Call::Watch(_), Answer::Watching { present: false }) => self.line_dirty = true,
            (Call::Create, Answer::Created(name)) => {
                self.member = Some(name);
                self.line_dirty = true;
                out.push(Effect::Tell(News::Joined(name)));
            }
            (Call::Delete(name), Answer::Deleted) => {
                self.member.take_if(|own| *own == name);
                self.line.remove(name);
                self.watched.remove(&name);
            }
            (Call::Claim { member, .. }, Answer::Claimed(epoch)) => {
                if !self.claimed(member, epoch, sent, moment, out) {
                    return;
                }
            }
            (Call::Prove { epoch, .. }, Answer::Proved) => self.proved(epoch, sent),
            (Call::Prove { epoch, .. }, Answer::Refused) => self.refuted(epoch, moment, out),
            (Call::Claim { .. }, Answer::Refused) => {
                // Being refused once is a stale epoch; more often, something is odd, and nothing is gained by haste.
                self.refusals = self.refusals.saturating_add(1);
                self.line_dirty = true;
                self.epoch_dirty = true;
                if self.refusals > 1 {
                    self.pause(self.refusals - 1, moment);
                }
                return;
            }
            (_, Answer::Failed { why }) => return self.failed(why, moment),
            (call, answer) => {
                return self.failed(format!("{call:?} was answered with {answer:?}"), moment);
            }
        }
        self.failures = 0;
        self.trouble = None;
    }

    /// What the call was to do may have happened or not: look before anything else.
    fn failed(&mut self, why: String, moment: Moment) {
        self.trouble = Some(why);
        self.line_dirty = true;
        self.epoch_dirty = true;
        self.failures = self.failures.saturating_add(1);
        self.pause(self.failures, moment);
    }

    fn pause(&mut self, failures: u32, moment: Moment) {
        let Settings { retry_min, retry_max, .. } = self.settings;
        self.retry_at = moment.now.saturating_add(moment.pause(failures, retry_min, retry_max));
    }

    fn listed(&mut self, seen: Vec<Seen>, moment: Moment, out: &mut Vec<Effect>) {
        let Link::Up(session) = self.link else { return };
        let before = std::mem::replace(&mut self.line, Line::new(seen));
        let leader_before = self.leader(&before).map(|leader| leader.name);
        let known = self.member;
        self.member = self.line.own(&self.node, session, known);
        match self.member {
            // A call whose answer was lost has made it.
            Some(name) if known.is_none() => out.push(Effect::Tell(News::Joined(name))),
            None if known.is_some() => self.resign(Resigned::MemberGone, moment, out),
            Some(name) if self.line.before(name).is_some() => self.give_way_if_leading(moment, out),
            _ => {}
        }
        if self.line.names().ne(before.names()) {
            self.tell(leader_before, out);
        }
        self.settle(out);
    }

    fn give_way_if_leading(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if matches!(self.tenure, Tenure::Leading { .. }) {
            self.give_way(Resigned::Overtaken, moment, out);
        }
    }

    fn epoch_read(&mut self, node: EpochNode, moment: Moment, out: &mut Vec<Effect>) {
        let by = node.epoch;
        if let Tenure::Leading { epoch, .. } = self.tenure
            && epoch != by
        {
            self.give_way(Resigned::Deposed { by }, moment, out);
        }
        let changed = self.epoch.as_ref().is_none_or(|known| known.epoch != by);
        let leader_before = self.leader(&self.line).map(|leader| leader.name);
        self.epoch = Some(node);
        if changed {
            // The line has changed too, most likely: the one before was in it.
            self.line_dirty |= !self.owns_epoch();
            self.tell(leader_before, out);
        }
        self.settle(out);
    }

    /// Says whether the claim came in time.
    fn claimed(
        &mut self,
        member: MemberName,
        epoch: Epoch,
        sent: Duration,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) -> bool {
        self.refusals = 0;
        let (since, node) = (moment.wall, Some(self.node.clone()));
        let leader = Named { member, node, address: Some(self.address.clone()), since: Some(since) };
        self.epoch = Some(EpochNode { epoch, leader: Some(leader) });
        // The watch on the epoch has fired with our own claim, or soon will.
        self.epoch_dirty = true;
        let wanted = self.wish == Wish::Member && self.member == Some(member);
        if wanted && self.tenure == Tenure::None {
            if moment.now >= sent.saturating_add(self.lease()) {
                self.claimed_too_late(sent, moment);
                return false;
            }
            self.tenure = Tenure::Leading { epoch, since, serving: false, proved: sent };
            out.push(Effect::Lead { epoch });
            self.settle(out);
        }
        true
    }

    fn tell(&self, leader_before: Option<MemberName>, out: &mut Vec<Effect>) {
        match self.leader(&self.line) {
            Some(leader) if leader.is_self => out.push(Effect::Tell(News::StillLeads)),
            Some(leader) if leader_before != Some(leader.name) => out.push(Effect::Tell(News::OtherLeads)),
            _ => {}
        }
    }

    fn settle(&mut self, out: &mut Vec<Effect>) {
        let known = self.epoch.is_some() && self.leader(&self.line).is_some();
        if known && !std::mem::replace(&mut self.settled, true) {
            out.push(Effect::Tell(News::Settled));
        }
    }
}
