//! The task: it moves inputs to the machine and carries out its effects. It decides nothing.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use mconn_leadership::{
    Answer, Call, Effect, Elector, Epoch, EpochNode, Input, Leadership, MemberName, Moment, NodeId,
    SessionId, Ticket,
};
use mconn_model::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::calls::{Armed, Limits, carry_out, lay_ground};
use super::data::Identity;
use super::handle::{Command, ElectionSettings};
use super::log::Log;
use super::term::{Running, Term};
use crate::session::{Session, State, States};
use crate::{Error, ErrorKind, Settings};

/// How long the end of the session may take: the others wait for it, and so does whoever ends this process.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The shortest wait between two attempts at a session.
const MIN_PAUSE: Duration = Duration::from_millis(50);

type Slot<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

pub(super) struct Shell {
    zookeeper: Settings,
    identity: Identity,
    elector: Elector,
    start: Instant,
    opening: Slot<Result<(Session, States), Error>>,
    opened_at: Option<Instant>,
    session: Option<(Session, States)>,
    call: Slot<(Ticket, Answer, Armed)>,
    epoch_watch: Slot<()>,
    /// Of the first in the line alone.
    line_watch: Slot<()>,
    member_watches: BTreeMap<MemberName, Pin<Box<dyn Future<Output = ()> + Send>>>,
    running: Option<Running>,
    terms: mpsc::Sender<Term>,
    commands: mpsc::Receiver<Command>,
    /// Some handle is left.
    asked: bool,
    /// Who has asked for something and is answered once it is under way.
    asker: Option<(oneshot::Sender<bool>, bool)>,
    view: watch::Sender<Leadership>,
    /// The highest epoch that was seen: it must never come again, whoever deletes what.
    highest: Option<Epoch>,
    log: Log,
}

impl Shell {
    pub(super) fn new(
        settings: ElectionSettings,
        commands: mpsc::Receiver<Command>,
        terms: mpsc::Sender<Term>,
    ) -> (Self, watch::Receiver<Leadership>) {
        let ElectionSettings { zookeeper, address, version, rhythm } = settings;
        let start = Instant::now();
        // Two processes must never have the same: 128 bits of chance.
        let node = NodeId::new(&format!("{:032x}", fastrand::u128(..)));
        let elector = Elector::new(rhythm, node.clone(), address.clone(), moment(start));
        let (view, watcher) = watch::channel(elector.view());
        let shell = Self {
            zookeeper,
            identity: Identity { node, address, version },
            elector,
            start,
            opening: None,
            opened_at: None,
            session: None,
            call: None,
            epoch_watch: None,
            line_watch: None,
            member_watches: BTreeMap::new(),
            running: None,
            terms,
            commands,
            asked: true,
            asker: None,
            view,
            highest: None,
            log: Log::default(),
        };
        (shell, watcher)
    }

    /// Takes part until it has left.
    pub(super) async fn run(mut self) {
        self.take(Input::Tick);
        while !self.elector.has_ended() {
            if let Some(input) = self.next().await {
                self.take(input);
            }
        }
        self.forget_connection();
        self.opening = None;
        if let Some((session, _)) = self.session.take() {
            session.close(CLOSE_DEADLINE).await;
        }
    }

    /// What happens next; `None` if it is nothing for the machine. The session's state comes first: who has lost it must stop
    /// leading before anything else. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Input> {
        let deadline = self.elector.deadline().map(|deadline| self.start + deadline);
        tokio::select! {
            biased;
            state = changed(&mut self.session) => Some(self.state_is(state)),
            input = Running::told(&mut self.running) => Some(self.term_says(input)),
            command = self.commands.recv(), if self.asked => Some(self.command(command)),
            (ticket, answer, armed) = ready(&mut self.call) => Some(self.answered(ticket, answer, armed)),
            opened = ready(&mut self.opening) => Some(self.opened(opened)),
            () = ready(&mut self.epoch_watch) => Some(Input::EpochTouched),
            () = ready(&mut self.line_watch) => Some(Input::LineTouched),
            name = fired(&mut self.member_watches) => Some(Input::MemberTouched(name)),
            () = sleep_until(deadline.unwrap_or(self.start)), if deadline.is_some() => Some(Input::Tick),
        }
    }

    fn take(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.elector.step(input, moment(self.start), &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        let view = self.elector.view();
        self.view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
        if let Some((asker, answer)) = self.asker.take() {
            // Whoever asked may not wait for the answer.
            let _ = asker.send(answer);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::OpenSession => self.open(),
            // The loop ends with the machine.
            Effect::CloseSession => {}
            Effect::Call { ticket, call } => self.call(ticket, call),
            Effect::Lead { epoch } => self.lead(epoch),
            Effect::Resign { epoch, reason } => {
                if let Some(running) = &self.running {
                    running.cancel();
                }
                self.log.resigned(epoch, &reason);
            }
            Effect::Tell(news) => self.log.news(&news, &self.elector.view()),
        }
    }

    /// Starts to open a session. One that was over soon after it was opened is not followed by another at once.
    fn open(&mut self) {
        self.forget_connection();
        self.session = None;
        let young = self.opened_at.is_some_and(|at| at.elapsed() < self.zookeeper.retry_pause);
        let pause = if young { self.pause() } else { Duration::ZERO };
        self.opening = Some(Box::pin(open(self.zookeeper.clone(), pause, self.highest)));
    }

    fn pause(&self) -> Duration {
        self.zookeeper.retry_pause.mul_f64(fastrand::f64()).max(MIN_PAUSE)
    }

    fn opened(&mut self, opened: Result<(Session, States), Error>) -> Input {
        match opened {
            Ok((session, states)) => {
                let id = SessionId(session.id());
                self.log.opened(&self.zookeeper.place(), id, session.timeout());
                self.opened_at = Some(Instant::now());
                self.session = Some((session, states));
                self.connected(id)
            }
            Err(error) => {
                self.log.not_opened(&self.zookeeper.host_list(), &error);
                self.opening = Some(Box::pin(open(self.zookeeper.clone(), self.pause(), self.highest)));
                Input::Unreachable { why: error.message }
            }
        }
    }

    fn connected(&self, session: SessionId) -> Input {
        let timeout = self.session.as_ref().map_or(Duration::ZERO, |(session, _)| session.timeout());
        Input::Connected { session, timeout }
    }

    fn state_is(&mut self, state: State) -> Input {
        // Whatever was asked for on the old connection is asked for again, if it is still wanted.
        self.forget_connection();
        let why = match state {
            State::Connected => {
                self.log.reconnected();
                let session = self.session.as_ref().map_or(0, |(session, _)| session.id());
                return self.connected(SessionId(session));
            }
            State::Disconnected => {
                self.log.disconnected();
                let hosts = self.zookeeper.host_list();
                return Input::Disconnected { why: format!("no connection to ZooKeeper {hosts}") };
            }
            State::Expired => "the session has expired",
            State::AuthFailed => "ZooKeeper refuses the credentials",
            State::Closed => "the session was closed",
        };
        self.log.expired(why);
        // Nothing more comes from it.
        self.session = None;
        Input::Expired { why: why.to_owned() }
    }

    fn forget_connection(&mut self) {
        self.call = None;
        self.epoch_watch = None;
        self.line_watch = None;
        self.member_watches.clear();
    }

    fn call(&mut self, ticket: Ticket, call: Call) {
        let Some((session, _)) = &self.session else { return };
        if matches!(call, Call::Delete(_)) {
            // What this node removes itself is no news.
            self.line_watch = None;
        }
        let (session, identity, now) = (session.clone(), self.identity.clone(), wall());
        let given = session.settings().call_deadline;
        let deadline = self.elector.patience().map_or(given, |patience| given.min(patience));
        let limits = Limits { deadline, known: self.highest };
        self.call = Some(Box::pin(async move {
            let (answer, armed) = carry_out(session, identity, call, now, limits).await;
            (ticket, answer, armed)
        }));
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer, armed: Armed) -> Input {
        match armed {
            Armed::Nothing => {}
            Armed::Epoch(watch) => self.epoch_watch = Some(Box::pin(watch.changed())),
            Armed::Line(watch) => self.line_watch = Some(Box::pin(watch.changed())),
            Armed::Member(name, watch) => _ = self.member_watches.insert(name, Box::pin(watch.changed())),
        }
        if let Answer::Epoch(EpochNode { epoch, .. }) | Answer::Claimed(epoch) = &answer {
            self.highest = self.highest.max(Some(*epoch));
        }
        match &answer {
            Answer::Failed { why } => self.log.call_failed(why),
            _ => self.log.call_done(),
        }
        Input::Answered { ticket, answer }
    }

    fn lead(&mut self, epoch: Epoch) {
        let Some((session, _)) = &self.session else { return };
        let (running, term) = Running::new(epoch, session.clone());
        self.log.leads(epoch);
        self.running = Some(running);
        // There is room: the term before was taken, or it could not have stopped. If nobody takes terms any more, this one is
        // dropped, and so has stopped.
        let _ = self.terms.try_send(term);
    }

    fn term_says(&mut self, input: Input) -> Input {
        match &input {
            Input::Stopped { epoch, failed: Some(why) } => self.log.term_failed(*epoch, why),
            Input::Stopped { epoch, failed: None } => self.log.stopped(*epoch),
            _ => {}
        }
        input
    }

    fn command(&mut self, command: Option<Command>) -> Input {
        match command {
            Some(Command::Ready) => Input::Ready,
            Some(Command::StepDown { keep, led }) => {
                self.asker = Some((led, self.elector.view().leads().is_some()));
                Input::StepDown { keep }
            }
            Some(Command::Dead(member)) => Input::Dead(member),
            Some(Command::Leave) => Input::Leave,
            None => {
                self.asked = false;
                Input::Leave
            }
        }
    }
}

/// After a pause, one attempt at a session and what an election needs.
async fn open(settings: Settings, pause: Duration, known: Option<Epoch>) -> Result<(Session, States), Error> {
    sleep(pause).await;
    let session = Session::open_once(settings).await?;
    lay_ground(&session, known).await?;
    let mut states = session.states();
    match states.settled().await {
        State::Connected => Ok((session, states)),
        state => Err(Error {
            kind: ErrorKind::Expired,
            index: None,
            message: format!("the session was over at once: {state:?}"),
        }),
    }
}

fn moment(start: Instant) -> Moment {
    Moment { now: start.elapsed(), wall: wall(), dice: fastrand::f64() }
}

fn wall() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now()).unwrap_or(Timestamp::from_millis(0))
}

async fn changed(session: &mut Option<(Session, States)>) -> State {
    match session {
        Some((_, states)) => states.changed().await,
        None => pending().await,
    }
}

/// Waits for what is in the slot and empties it.
async fn ready<T>(slot: &mut Slot<T>) -> T {
    match slot {
        Some(future) => {
            let done = future.await;
            *slot = None;
            done
        }
        None => pending().await,
    }
}

/// Waits for any of the watches and takes it out.
async fn fired(watches: &mut BTreeMap<MemberName, Pin<Box<dyn Future<Output = ()> + Send>>>) -> MemberName {
    poll_fn(|context| {
        let name = watches.iter_mut().find_map(|(name, watch)| match watch.poll_unpin(context) {
            Poll::Ready(()) => Some(*name),
            Poll::Pending => None,
        });
        match name {
            Some(name) => {
                watches.remove(&name);
                Poll::Ready(name)
            }
            None => Poll::Pending,
        }
    })
    .await
}
