//! Several machines, one server, and everything that may go wrong between them, on one clock and one die.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use mconn_leadership::{
    Answer, Call, Effect, Elector, Epoch, Input, MemberName, Moment, News, NodeId, Role, SessionId, Settings,
    Ticket,
};
use mconn_model::Timestamp;

use crate::server::{Fired, Server, address};

/// The session timeout.
pub(crate) const SESSION: u64 = 1000;

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Processes stand still for longer than a session lives, and go on.
    pub pauses: bool,
    /// Somebody deletes members and raises the epoch by hand.
    pub tampering: bool,
    /// Members of the original stand in the line.
    pub originals: bool,
}

/// How long two nodes may believe to lead at once, if both run: the rest of a lease, and what a process that stood still takes
/// to look at its clock.
const OVERLAP: u64 = SESSION * 3 / 5 + 60;

/// What happens at some time. `life` is that of the process, `link` that of the connection: what belongs to an older one
/// is dropped, but for calls, which may arrive at the server when nobody waits for them any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    AtServer { sent: u64 },
    AtNode { node: usize, life: u64, link: u64, what: Message },
    Timer { node: usize, life: u64 },
    CallLate { node: usize, life: u64, ticket: Ticket },
    Detect { node: usize, life: u64, link: u64 },
    Attach { node: usize, life: u64 },
    ServerExpires { session: i64, heard: u64 },
    Consumer { node: usize, life: u64, epoch: i32, what: Consumer },
    Wish { node: usize, life: u64, what: Wish },
    Restart { node: usize },
    Resume { node: usize },
    Report { node: usize, name: MemberName },
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Answer(Ticket),
    Member(MemberName),
    Epoch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Consumer {
    Serves,
    Fails,
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Ready,
    StepDown,
    Leave,
}

/// A call on its way.
struct Sent {
    node: usize,
    life: u64,
    link: u64,
    ticket: Ticket,
    session: SessionId,
    id: NodeId,
    call: Call,
}

/// One process with its machine.
struct Node {
    elector: Elector,
    id: NodeId,
    life: u64,
    link: u64,
    session: Option<SessionId>,
    /// Whether the process has been told that it is connected and not yet that it is not.
    connected: bool,
    /// Whether bytes get through.
    up: bool,
    /// Since when not.
    cut_at: u64,
    /// Its server has lost the others: it answers pings, and reads from what it knew then, and nothing else.
    stranded: Option<Server>,
    running: bool,
    paused: Option<Vec<Event>>,
    leaving: bool,
    answers: HashMap<Ticket, Answer>,
    under_way: Option<Ticket>,
    /// The last delivery in each direction: neither overtakes itself.
    to_server: u64,
    to_node: u64,
    timer: Option<u64>,
    /// The term that it believes in, and the term that is not stopped.
    leads: Option<Epoch>,
    term: Option<Epoch>,
}

/// The whole.
pub(crate) struct World {
    pub faults: Faults,
    pub server: Server,
    pub now: u64,
    dice: fastrand::Rng,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    nodes: Vec<Node>,
    lives: u64,
    sent: HashMap<u64, Sent>,
    /// Since when two nodes that run believe to lead.
    overlap: Option<u64>,
    epochs_led: HashSet<i32>,
    originals: Vec<SessionId>,
    calm: bool,
    /// Calls that were carried out, by node.
    pub called: BTreeMap<usize, Vec<Call>>,
    /// Kinds of things that have come to pass, so that a test can tell that it has met them.
    pub met: BTreeSet<String>,
    /// What happened, for whoever has to find out why.
    pub log: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, faults: Faults) -> Self {
        let mut world = Self {
            faults,
            server: Server::new(),
            now: 0,
            dice: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            serial: 0,
            nodes: Vec::new(),
            lives: 0,
            sent: HashMap::new(),
            overlap: None,
            epochs_led: HashSet::new(),
            originals: Vec::new(),
            calm: false,
            called: BTreeMap::new(),
            met: BTreeSet::new(),
            log: Vec::new(),
        };
        for node in 0..nodes {
            let process = world.process();
            world.nodes.push(process);
            let at = world.dice.u64(0..500);
            world.at(at, Event::Restart { node });
        }
        world.at(500, Event::Fault);
        world
    }

    fn process(&mut self) -> Node {
        self.lives += 1;
        let id = NodeId::new(&format!("n{}", self.lives));
        Node {
            elector: Elector::new(settings(), id.clone(), address(id.as_str()), self.moment()),
            id,
            life: self.lives,
            link: 0,
            session: None,
            connected: false,
            up: true,
            cut_at: 0,
            stranded: None,
            running: false,
            paused: None,
            leaving: false,
            answers: HashMap::new(),
            under_way: None,
            to_server: 0,
            to_node: 0,
            timer: None,
            leads: None,
            term: None,
        }
    }

    fn moment(&mut self) -> Moment {
        let now = Duration::from_millis(self.now);
        Moment { now, wall: Timestamp::from_millis(self.now.cast_signed()), dice: self.dice.f64() }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse((time, self.serial, event)));
    }

    fn after(&mut self, range: std::ops::Range<u64>, event: Event) {
        let time = self.now + self.dice.u64(range);
        self.at(time, event);
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.dice.u64(0..100) < percent
    }

    /// How long a message is on its way; sometimes so long that the call counts as failed.
    fn latency(&mut self) -> u64 {
        if !self.calm && self.chance(2) { self.dice.u64(50..800) } else { self.dice.u64(1..10) }
    }

    /// Goes on until then.
    pub(crate) fn run_until(&mut self, end: u64) {
        while self.queue.peek().is_some_and(|Reverse((time, ..))| *time <= end) {
            let Some(Reverse((time, _, event))) = self.queue.pop() else { return };
            self.now = self.now.max(time);
            self.happen(event);
            self.check();
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        // A process that stands still gets everything when it goes on.
        if let Some(node) = stands_at(&event)
            && let Some(waiting) = &mut self.nodes[node].paused
        {
            return waiting.push(event);
        }
        match event {
            Event::AtServer { sent } => self.at_server(sent),
            Event::AtNode { node, life, link, what } => self.at_node(node, life, link, what),
            Event::Timer { node, life } if self.nodes[node].life == life => {
                self.nodes[node].timer = None;
                self.input(node, Input::Tick);
            }
            Event::CallLate { node, life, ticket }
                if self.nodes[node].life == life && self.nodes[node].under_way == Some(ticket) =>
            {
                let answer = Answer::Failed { why: "no answer in time".to_owned() };
                self.input(node, Input::Answered { ticket, answer });
            }
            Event::Detect { node, life, link } if self.nodes[node].life == life => self.detect(node, link),
            Event::Attach { node, life } if self.nodes[node].life == life => self.attach(node),
            Event::ServerExpires { session, heard } => self.server_expires(SessionId(session), heard),
            Event::Consumer { node, life, epoch, what } if self.nodes[node].life == life => {
                self.consumer(node, Epoch(epoch), what);
            }
            Event::Wish { node, life, what } if self.nodes[node].life == life => match what {
                Wish::Ready => self.input(node, Input::Ready),
                Wish::StepDown => {
                    let keep = true;
                    self.input(node, Input::StepDown { keep });
                }
                Wish::Leave => {
                    self.nodes[node].leaving = true;
                    self.input(node, Input::Leave);
                }
            },
            Event::Restart { node } => self.start(node),
            Event::Resume { node } => self.resume(node),
            Event::Report { node, name } => self.input(node, Input::Dead(name)),
            Event::Fault if !self.calm => self.fault(),
            _ => {}
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].running {
            return;
        }
        let mut process = self.process();
        process.running = true;
        let life = process.life;
        self.nodes[node] = process;
        self.log.push(format!("{} n{node} starts as n{life}", self.now));
        self.after(0..300, Event::Wish { node, life, what: Wish::Ready });
        self.input(node, Input::Tick);
    }

    /// The process is gone without a word.
    fn kill(&mut self, node: usize) {
        self.log.push(format!("{} n{node} is killed", self.now));
        if let Some(name) = self.nodes[node].elector.view().member {
            self.report(name);
        }
        self.cut(node);
        let process = &mut self.nodes[node];
        process.running = false;
        process.paused = None;
        (process.leads, process.term) = (None, None);
        self.lives += 1;
        self.nodes[node].life = self.lives;
        self.after(10..2000, Event::Restart { node });
    }

    fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].running {
            return;
        }
        if let Input::Answered { ticket, .. } = &input {
            let process = &mut self.nodes[node];
            process.under_way.take_if(|open| open == ticket);
        }
        let moment = self.moment();
        let mut effects = Vec::new();
        self.log.push(format!("{} n{node} <- {input:?}", self.now));
        let listed = matches!(&input, Input::Answered { answer: Answer::Listed(_), .. });
        if matches!(&input, Input::Answered { answer: Answer::Refused, .. }) {
            self.met.insert("claim refused".to_owned());
        }
        self.nodes[node].elector.step(input, moment, &mut effects);
        for effect in effects {
            self.note(node, &effect, listed);
            self.log.push(format!("{} n{node}    -> {effect:?}", self.now));
            self.carry_out(node, effect);
        }
        let life = self.nodes[node].life;
        let due = self.nodes[node].elector.deadline().map(|at| at.as_millis() as u64 + 1);
        if let Some(due) = due.filter(|due| self.nodes[node].timer.is_none_or(|set| *due < set)) {
            self.nodes[node].timer = Some(due);
            self.at(due, Event::Timer { node, life });
        }
    }

    fn note(&mut self, node: usize, effect: &Effect, listed: bool) {
        let own = self.nodes[node].elector.view().member;
        let met = match effect {
            Effect::Resign { reason, .. } => {
                let reason = format!("{reason:?}");
                format!("resigned: {}", reason.split(' ').next().unwrap_or_default())
            }
            Effect::Tell(News::Joined(_)) if listed => {
                "found a member that was made without an answer".to_owned()
            }
            Effect::Call { call: Call::Delete(name), .. } if Some(*name) != own => {
                let view = self.nodes[node].elector.view();
                let own_leftover = view.members.iter().any(|member| member.name == *name && member.is_self);
                if own_leftover { "removed a leftover" } else { "removed a dead leader" }.to_owned()
            }
            Effect::Call { call: Call::Delete(_), .. } if self.nodes[node].term.is_some() => {
                "left the line with a term that hangs".to_owned()
            }
            _ => return,
        };
        self.met.insert(met);
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        match effect {
            Effect::OpenSession => {
                self.nodes[node].session = None;
                self.nodes[node].connected = false;
                self.after(1..200, Event::Attach { node, life });
            }
            Effect::CloseSession => {
                assert!(self.nodes[node].term.is_none() || self.nodes[node].leaving, "left while leading");
                if self.nodes[node].up && self.nodes[node].connected && self.nodes[node].stranded.is_none() {
                    let session = self.nodes[node].session.expect("connected");
                    self.end_session(session);
                } else {
                    self.cut(node);
                }
                self.nodes[node].running = false;
                self.after(10..1000, Event::Restart { node });
            }
            Effect::Call { ticket, call } => self.send(node, ticket, call),
            Effect::Lead { epoch } => self.lead(node, epoch),
            Effect::Resign { epoch, .. } => {
                assert_eq!(self.nodes[node].leads.take(), Some(epoch), "resigns what it does not lead");
                if self.nodes[node].term.is_some() {
                    let hangs = !self.calm && self.chance(3);
                    let range = if hangs { 1000..5000 } else { 1..100 };
                    self.after(
                        range,
                        Event::Consumer { node, life, epoch: epoch.0, what: Consumer::Stopped },
                    );
                }
            }
            Effect::Tell(_) => {}
        }
    }

    fn lead(&mut self, node: usize, epoch: Epoch) {
        let life = self.nodes[node].life;
        assert!(self.epochs_led.insert(epoch.0), "epoch {epoch} is led twice");
        assert_eq!(self.nodes[node].term, None, "a term before the last has stopped");
        self.nodes[node].leads = Some(epoch);
        self.nodes[node].term = Some(epoch);
        let fails = !self.calm && self.chance(10);
        let what = if fails { Consumer::Fails } else { Consumer::Serves };
        self.after(1..200, Event::Consumer { node, life, epoch: epoch.0, what });
        if !self.calm && self.chance(5) {
            self.after(10..3000, Event::Consumer { node, life, epoch: epoch.0, what: Consumer::Fails });
        }
    }

    fn consumer(&mut self, node: usize, epoch: Epoch, what: Consumer) {
        if self.nodes[node].term != Some(epoch) {
            return;
        }
        let failed = match what {
            Consumer::Serves => return self.input(node, Input::Serving(epoch)),
            Consumer::Fails if self.nodes[node].leads.is_none() => return,
            Consumer::Fails => Some("could not load".to_owned()),
            Consumer::Stopped => None,
        };
        self.nodes[node].term = None;
        self.input(node, Input::Stopped { epoch, failed });
    }

    fn send(&mut self, node: usize, ticket: Ticket, call: Call) {
        assert_eq!(self.nodes[node].under_way, None, "two calls at once");
        assert!(self.nodes[node].connected, "a call without a connection");
        let hangs = self.nodes[node].term.is_some() && self.nodes[node].leads.is_none();
        assert!(!hangs || call != Call::Create, "joins the line before the last term has stopped");
        let (life, link) = (self.nodes[node].life, self.nodes[node].link);
        self.nodes[node].under_way = Some(ticket);
        let limit = self.nodes[node].elector.patience().map_or(SESSION / 2, |limit| limit.as_millis() as u64);
        self.at(self.now + limit, Event::CallLate { node, life, ticket });
        let time = (self.now + self.latency()).max(self.nodes[node].to_server);
        self.nodes[node].to_server = time;
        // Bytes that are sent into a cut are lost.
        if self.nodes[node].up {
            let session = self.nodes[node].session.expect("connected");
            let id = self.nodes[node].id.clone();
            self.sent.insert(self.serial, Sent { node, life, link, ticket, session, id, call });
            self.at(time, Event::AtServer { sent: self.serial });
        }
    }

    fn at_server(&mut self, sent: u64) {
        let Some(Sent { node, life, link, ticket, session, id, call }) = self.sent.remove(&sent) else {
            return;
        };
        let process = &mut self.nodes[node];
        let current = process.life == life && process.link == link && process.running;
        if current && let Some(server) = &mut process.stranded {
            // Without a leader, only what it can answer from its own copy.
            if matches!(call, Call::ReadEpoch | Call::Watch(_)) {
                let (answer, _) = server.call(session, &id, &call);
                process.answers.insert(ticket, answer);
                self.tell(node, Message::Answer(ticket));
            }
            return;
        }
        // What was on its way when the link was cut arrives or not, even after a new one is there.
        let reached = current && process.up;
        if !self.server.is_alive(session) || (!reached && self.chance(50)) {
            return;
        }
        if !current {
            if matches!(call, Call::Create | Call::Claim { .. } | Call::Delete(_)) {
                let (answer, fired) = self.server.call(session, &id, &call);
                let kind = format!("{call:?}");
                let kind = kind.split([' ', '(']).next().unwrap_or_default();
                self.met.insert(format!("late {kind}"));
                self.log.push(format!("{} n{node}'s {call:?} arrives late: {answer:?}", self.now));
                self.fire(fired);
            }
            return;
        }
        let answer = if !self.calm && self.chance(2) {
            Answer::Failed { why: "throttled".to_owned() }
        } else {
            self.called.entry(node).or_default().push(call.clone());
            let (answer, fired) = self.server.call(session, &id, &call);
            self.fire(fired);
            answer
        };
        self.nodes[node].answers.insert(ticket, answer);
        self.tell(node, Message::Answer(ticket));
    }

    fn tell(&mut self, node: usize, what: Message) {
        let time = (self.now + self.latency()).max(self.nodes[node].to_node);
        self.nodes[node].to_node = time;
        let (life, link) = (self.nodes[node].life, self.nodes[node].link);
        if self.nodes[node].up {
            self.at(time, Event::AtNode { node, life, link, what });
        }
    }

    fn fire(&mut self, fired: Vec<(SessionId, Fired)>) {
        for (session, what) in fired {
            // Watches are lost now and then (ZOOKEEPER-4698 and its like).
            if !self.calm && self.chance(3) {
                continue;
            }
            let hears = |n: &Node| n.running && n.session == Some(session) && n.stranded.is_none();
            let node = self.nodes.iter().position(hears);
            let message = match what {
                Fired::Member(name) => Message::Member(name),
                Fired::Epoch => Message::Epoch,
            };
            if let Some(node) = node {
                self.tell(node, message);
            }
        }
    }

    fn at_node(&mut self, node: usize, life: u64, link: u64, what: Message) {
        let process = &mut self.nodes[node];
        if process.life != life || process.link != link || (!process.up && self.dice.bool()) {
            return;
        }
        match what {
            Message::Answer(ticket) => {
                let Some(answer) = process.answers.remove(&ticket) else { return };
                self.input(node, Input::Answered { ticket, answer });
            }
            Message::Member(name) => self.input(node, Input::MemberTouched(name)),
            Message::Epoch => self.input(node, Input::EpochTouched),
        }
    }

    /// From now on nothing gets through; the client finds out at two fifths of the session, the server after the whole.
    fn cut(&mut self, node: usize) {
        if !self.nodes[node].up {
            return;
        }
        self.nodes[node].up = false;
        self.nodes[node].cut_at = self.now;
        let link = self.nodes[node].link;
        let life = self.nodes[node].life;
        self.after(0..SESSION * 2 / 5, Event::Detect { node, life, link });
        if let Some(session) = self.nodes[node].session {
            self.let_expire(session);
        }
        self.log.push(format!("{} n{node} is cut off", self.now));
    }

    /// The server counts from the last that it has heard, which was before now, and in ticks.
    fn let_expire(&mut self, session: SessionId) {
        let heard = self.server.heard(session);
        // An ensemble without a quorum lets nobody expire.
        let range = if self.chance(10) {
            SESSION * 13 / 10..SESSION * 4
        } else {
            SESSION * 6 / 10..SESSION * 13 / 10
        };
        self.after(range, Event::ServerExpires { session: session.0, heard });
    }

    fn detect(&mut self, node: usize, link: u64) {
        if self.nodes[node].link != link || !self.nodes[node].connected {
            return;
        }
        self.nodes[node].connected = false;
        self.nodes[node].link += 1;
        self.nodes[node].under_way = None;
        let life = self.nodes[node].life;
        self.input(node, Input::Disconnected { why: "no answer".to_owned() });
        self.nodes[node].stranded = None;
        self.after(1..300, Event::Attach { node, life });
    }

    /// The client's server loses the ensemble, which hears of the session no more. After a while it gives up its clients.
    fn strand(&mut self, node: usize) {
        let process = &mut self.nodes[node];
        let (Some(session), true) = (process.session, process.connected && process.up) else { return };
        if process.stranded.is_some() || !self.server.is_alive(session) {
            return;
        }
        process.stranded = Some(self.server.clone());
        let (life, link) = (process.life, process.link);
        self.log.push(format!("{} n{node} talks to a server that has lost the ensemble", self.now));
        self.let_expire(session);
        self.after(SESSION / 10..SESSION * 3, Event::Detect { node, life, link });
    }

    /// The client tries to connect.
    fn attach(&mut self, node: usize) {
        let life = self.nodes[node].life;
        if !self.nodes[node].running || self.nodes[node].connected {
            return;
        }
        if !self.nodes[node].up {
            let own_clock = self.now > self.nodes[node].cut_at + SESSION * 7 / 5;
            match self.nodes[node].session {
                // By its own clock; the server may think otherwise.
                Some(_) if own_clock => self.forget_session(node, "no server for too long"),
                Some(_) => self.after(20..200, Event::Attach { node, life }),
                None => {
                    self.input(node, Input::Unreachable { why: "no route".to_owned() });
                    self.after(20..300, Event::Attach { node, life });
                }
            }
            return;
        }
        let session = match self.nodes[node].session {
            Some(session) if self.server.is_alive(session) => {
                self.server.reattach(session);
                session
            }
            Some(_) => return self.forget_session(node, "expired"),
            None => self.server.open_session(),
        };
        let process = &mut self.nodes[node];
        process.session = Some(session);
        process.link += 1;
        process.connected = true;
        process.under_way = None;
        let timeout = Duration::from_millis(SESSION);
        self.input(node, Input::Connected { session, timeout });
    }

    fn forget_session(&mut self, node: usize, why: &str) {
        self.nodes[node].session = None;
        self.nodes[node].under_way = None;
        self.input(node, Input::Expired { why: why.to_owned() });
    }

    fn server_expires(&mut self, session: SessionId, heard: u64) {
        if self.server.is_alive(session) && self.server.heard(session) == heard {
            self.end_session(session);
        }
    }

    fn end_session(&mut self, session: SessionId) {
        self.log.push(format!("{} session {session} ends", self.now));
        let fired = self.server.end_session(session);
        self.fire(fired);
    }

    fn mend(&mut self, node: usize) {
        let process = &mut self.nodes[node];
        if process.up {
            return;
        }
        // The old connection is dead, whether the client knows or not.
        process.up = true;
        let link = process.link;
        self.detect(node, link);
    }

    fn pause(&mut self, node: usize) {
        self.log.push(format!("{} n{node} stands still", self.now));
        self.nodes[node].paused = Some(Vec::new());
        if let Some(session) = self.nodes[node].session {
            self.let_expire(session);
        }
        self.after(10..3000, Event::Resume { node });
    }

    fn resume(&mut self, node: usize) {
        let Some(waiting) = self.nodes[node].paused.take() else { return };
        self.log.push(format!("{} n{node} goes on", self.now));
        for event in waiting {
            self.at(self.now, event);
        }
        if let Some(session) = self.nodes[node].session
            && self.nodes[node].up
            && self.nodes[node].stranded.is_none()
        {
            self.server.hear(session);
        }
        // The client notices, after some of what has piled up, that it was away for too long.
        let link = self.nodes[node].link;
        if self.nodes[node].session.is_some_and(|session| !self.server.is_alive(session)) {
            let life = self.nodes[node].life;
            self.after(0..50, Event::Detect { node, life, link });
        }
    }

    fn fault(&mut self) {
        let node = self.dice.usize(0..self.nodes.len());
        let life = self.nodes[node].life;
        let idle = self.nodes[node].running && self.nodes[node].paused.is_none();
        match self.dice.u64(0..100) {
            0..20 if idle => self.cut(node),
            20..30 if idle => self.strand(node),
            30..55 => self.mend(node),
            55..62 if idle => self.kill(node),
            62..75 if idle => self.happen(Event::Wish { node, life, what: Wish::StepDown }),
            75..80 if idle => self.happen(Event::Wish { node, life, what: Wish::Leave }),
            80..88 if self.faults.pauses && idle => self.pause(node),
            88..92 if self.faults.tampering => self.tamper(),
            92..100 if self.faults.originals => self.original(),
            _ => {}
        }
        self.after(1..700, Event::Fault);
    }

    /// Everybody may hear that this member's process has ended; some do.
    fn report(&mut self, name: MemberName) {
        for node in 0..self.nodes.len() {
            if self.dice.bool() {
                self.after(50..400, Event::Report { node, name });
            }
        }
    }

    fn tamper(&mut self) {
        let members: Vec<_> = self.server.members().map(|(name, _)| name).collect();
        if let Some(name) = self.dice.choice(&members).filter(|_| self.dice.bool()) {
            // It lives, most likely.
            self.log.push(format!("{} {name} is taken for dead", self.now));
            self.report(*name);
        }
        let fired = match self.dice.choice(&members) {
            Some(name) if self.dice.bool() => self.server.delete(*name),
            _ => self.server.bump(None),
        };
        self.log.push(format!("{} somebody tampers", self.now));
        self.fire(fired);
    }

    fn original(&mut self) {
        match self.originals.pop() {
            Some(session) => self.end_session(session),
            None => {
                let session = self.server.open_session();
                self.server.create(session, None);
                self.originals.push(session);
            }
        }
    }

    /// What holds at every moment.
    fn check(&mut self) {
        let mut believers = 0;
        let mut awake = 0;
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, n)| n.running) {
            let led = node.elector.view().leads();
            assert_eq!(led, node.leads, "n{number}: the view and the effects differ");
            assert!(led.is_none() || node.connected, "n{number} believes to lead without a connection");
            believers += usize::from(led.is_some());
            awake += usize::from(led.is_some() && node.paused.is_none());
        }
        if awake > 1 {
            let since = *self.overlap.get_or_insert(self.now);
            assert!(self.now - since <= OVERLAP, "{awake} have led at once since {since}");
        } else {
            self.overlap = None;
        }
        if !self.faults.pauses && !self.faults.tampering {
            assert!(believers <= 1, "{believers} believe to lead");
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&mut self, keep_originals: bool) {
        self.calm = true;
        self.log.push(format!("{} calm", self.now));
        for node in 0..self.nodes.len() {
            self.resume(node);
            self.mend(node);
            if self.nodes[node].stranded.is_some() {
                let link = self.nodes[node].link;
                self.detect(node, link);
            }
        }
        if !keep_originals {
            while !self.originals.is_empty() {
                self.original();
            }
        }
    }

    /// What holds when nothing has gone wrong for a while.
    pub(crate) fn check_settled(&self) {
        let members: Vec<_> = self.server.members().collect();
        let views: Vec<_> = self.nodes.iter().map(|node| node.elector.view()).collect();
        for (node, view) in self.nodes.iter().zip(&views) {
            assert!(node.running, "{:?} does not run", node.id);
            let own: Vec<_> = members.iter().filter(|(_, m)| m.node.as_ref() == Some(&node.id)).collect();
            assert_eq!(own.len(), 1, "{:?} has members {own:?}", node.id);
            assert_eq!(view.member, Some(own[0].0));
            let seen: Vec<_> = view.members.iter().map(|m| m.name).collect();
            let are: Vec<_> = members.iter().map(|(name, _)| *name).collect();
            assert_eq!(seen, are, "{:?} sees other members", node.id);
            // Epoch, itself, the one before. Who was moved by force may still watch the one that was before it.
            let most = if self.faults.tampering { members.len() + 1 } else { 3 };
            let watches = self.server.watches(node.session.expect("connected"));
            assert!(watches <= most, "{:?} has {watches} watches", node.id);
        }
        let (first, stored) = members.first().expect("members");
        let leading = views.iter().filter(|view| matches!(view.role, Role::Leading { .. })).count();
        assert_eq!(leading, usize::from(stored.node.is_some()), "{leading} lead");
        for view in &views {
            let leader = view.leader.as_ref().expect("somebody leads");
            assert_eq!(leader.name, *first, "another leads");
            assert_eq!(leader.epoch, stored.node.is_some().then(|| self.server.epoch()));
        }
    }

    /// Whether everything but the calls of refreshes is quiet; for counting.
    pub(crate) fn leader(&self) -> usize {
        self.nodes.iter().position(|node| node.leads.is_some()).expect("somebody leads")
    }

    /// Kills the process of a node.
    pub(crate) fn kill_now(&mut self, node: usize) {
        self.kill(node);
    }
}

/// Which node must run for it.
fn stands_at(event: &Event) -> Option<usize> {
    match event {
        Event::AtNode { node, .. }
        | Event::Timer { node, .. }
        | Event::CallLate { node, .. }
        | Event::Detect { node, .. }
        | Event::Attach { node, .. }
        | Event::Consumer { node, .. }
        | Event::Wish { node, .. } => Some(*node),
        _ => None,
    }
}

/// Shorter than those of the product, as the session is.
fn settings() -> Settings {
    Settings {
        refresh: Duration::from_secs(2),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(500),
        stop_limit: Duration::from_secs(1),
        leave_limit: Duration::from_secs(2),
        rejoin_min: Duration::from_millis(50),
        rejoin_max: Duration::from_secs(2),
    }
}
