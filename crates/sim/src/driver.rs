//! The owner of the cluster: gives it commands and the real time, and does what it says.

use crate::callbacks::Callbacks;
use crate::cluster::{Answer, Cluster, Command, Effect, Step, Ticket};
use crate::nodes::{ElectionTimes, Happened, Nodes, View};
use crate::sockets::Sockets;
use crate::streams::{Stream, Streams};
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Requests that may wait for the cluster. More connections than that would only wait in another place.
const QUEUE_MAX: usize = 1024;
/// How long a request may wait; the real one gives up on its actors after the same time.
const ASK_TIME: Duration = Duration::from_secs(10);

/// What the rest of the crate asks of the driver.
pub(crate) enum Message {
    Command { command: Command, reply: oneshot::Sender<Answer> },
    Query(Box<dyn FnOnce(&Cluster) + Send>),
    Attach { remote: String, reply: oneshot::Sender<Option<Stream>> },
    Detach { id: u64 },
    CloseStreams,
    CountStreams(oneshot::Sender<usize>),
    Subscribe { url: String, client_ip: String, reply: oneshot::Sender<Answer> },
    Unsubscribe { url: String, client_ip: String, reply: oneshot::Sender<Answer> },
    Subscriptions(oneshot::Sender<Vec<String>>),
    Nodes { change: NodeChange, reply: oneshot::Sender<()> },
}

/// What happens to the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeChange {
    /// The leader gives up.
    Leader { wanted: Option<usize>, times: ElectionTimes },
    /// The node that leads goes by another name from now on, as if that one had taken over without a pause.
    Rename(String),
    /// The node's process ends, for good or for a time.
    Stop { node: usize, back_after: Option<Duration> },
    /// The node's process is started.
    Start(usize),
}

/// The way to the driver.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    messages: mpsc::Sender<Message>,
    /// The status of an answer that takes too long.
    late_status: u16,
    view: watch::Receiver<View>,
}

impl Driver {
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Answer> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.messages.send(message(reply)).await.ok()?;
            answer.await.ok()
        };
        timeout(ASK_TIME, asked)
            .await
            .ok()
            .flatten()
            .ok_or_else(|| Answer::message(self.late_status, "Futures timed out after [10000 milliseconds]"))
    }

    pub(crate) async fn command(&self, command: Command) -> Answer {
        self.ask(|reply| Message::Command { command, reply }).await.unwrap_or_else(|late| late)
    }

    pub(crate) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> Result<T, Answer> {
        let ask = |reply: oneshot::Sender<T>| {
            Message::Query(Box::new(move |cluster| {
                // Whoever asked may have gone.
                let _ = reply.send(query(cluster));
            }))
        };
        self.ask(ask).await
    }

    pub(crate) async fn attach(&self, remote: String) -> Result<Option<Stream>, Answer> {
        self.ask(|reply| Message::Attach { remote, reply }).await
    }

    pub(crate) async fn detach(&self, id: u64) {
        // At shutdown nobody needs to know.
        let _ = self.messages.send(Message::Detach { id }).await;
    }

    pub(crate) async fn close_streams(&self) {
        let _ = self.messages.send(Message::CloseStreams).await;
    }

    pub(crate) async fn count_streams(&self) -> usize {
        self.ask(Message::CountStreams).await.unwrap_or(0)
    }

    pub(crate) async fn subscribe(&self, url: String, client_ip: String) -> Answer {
        self.ask(|reply| Message::Subscribe { url, client_ip, reply }).await.unwrap_or_else(|late| late)
    }

    pub(crate) async fn unsubscribe(&self, url: String, client_ip: String) -> Answer {
        self.ask(|reply| Message::Unsubscribe { url, client_ip, reply }).await.unwrap_or_else(|late| late)
    }

    /// Who is up and who leads, as it is now and as it changes.
    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Changes something about the nodes; an error is the answer of a simulation that is gone.
    pub(crate) async fn change_nodes(&self, change: NodeChange) -> Result<(), Answer> {
        self.ask(|reply| Message::Nodes { change, reply }).await
    }

    pub(crate) async fn subscriptions(&self) -> Result<Vec<String>, Answer> {
        self.ask(Message::Subscriptions).await
    }
}

/// The real time, which never runs backwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Time,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), started_at: Time::default().after(since_epoch) }
    }

    pub(crate) fn now(&self) -> Time {
        self.started_at.after(self.started.elapsed())
    }

    /// None is further away than clocks reach.
    fn instant(&self, time: Time) -> Option<Instant> {
        self.started.checked_add(time.since(self.started_at))
    }
}

/// The cluster with everything its effects are done to.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) clock: Clock,
    pub(crate) streams: Streams,
    pub(crate) callbacks: Callbacks,
    pub(crate) sockets: Sockets,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    last_ticket: Ticket,
    messages: mpsc::Receiver<Message>,
    nodes: Nodes,
    /// What each node is called when it leads.
    names: Vec<String>,
    view: watch::Sender<View>,
}

impl World {
    pub(crate) fn new(
        cluster: Cluster,
        clock: Clock,
        streams: Streams,
        callbacks: Callbacks,
        sockets: Sockets,
        nodes: Nodes,
        names: Vec<String>,
    ) -> (World, Driver) {
        let (sender, messages) = mpsc::channel(QUEUE_MAX);
        let late_status = cluster.profile().late_status;
        let (view, seen) = watch::channel(nodes.view());
        let world = World {
            cluster,
            clock,
            streams,
            callbacks,
            sockets,
            waiting: HashMap::new(),
            last_ticket: 0,
            messages,
            nodes,
            names,
            view,
        };
        (world, Driver { messages: sender, late_status, view: seen })
    }

    /// Runs until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        /// Stands for "no timer"; waking up once an hour for nothing costs nothing.
        const IDLE: Duration = Duration::from_secs(3600);
        loop {
            let due = self.cluster.wake_at().into_iter().chain(self.nodes.wake_at()).min();
            let due = due.and_then(|at| self.clock.instant(at));
            let wake = due.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = shutdown.cancelled() => return,
                message = self.messages.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
                () = sleep_until(wake) => {
                    let step = self.cluster.advance(self.clock.now());
                    self.act(step);
                    let happened = self.nodes.advance(self.clock.now());
                    self.follow_nodes(happened);
                }
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Command { command, reply } => self.give(command, Some(reply)),
            Message::Query(query) => {
                // Bring the state up to now first, as readers expect to see what is due.
                let step = self.cluster.advance(self.clock.now());
                self.act(step);
                query(&self.cluster);
            }
            Message::Attach { remote, reply } => {
                let stream = self.streams.attach(remote.clone());
                let attached = stream.is_some();
                let _ = reply.send(stream);
                if attached {
                    self.give(Command::StreamAttached { remote }, None);
                }
            }
            Message::Detach { id } => {
                if let Some(remote) = self.streams.detach(id) {
                    self.give(Command::StreamDetached { remote }, None);
                }
            }
            Message::CloseStreams => self.streams.close_all(),
            Message::CountStreams(reply) => drop(reply.send(self.streams.len())),
            Message::Subscribe { url, client_ip, reply } => match self.callbacks.subscribe(&url) {
                Ok(()) => self.give(Command::Subscribed { client_ip, url }, Some(reply)),
                Err(message) => drop(reply.send(Answer::message(400, message))),
            },
            Message::Unsubscribe { url, client_ip, reply } => {
                self.callbacks.unsubscribe(&url);
                self.give(Command::Unsubscribed { client_ip, url }, Some(reply));
            }
            Message::Nodes { change, reply } => {
                self.change_nodes(change);
                let _ = reply.send(());
            }
            Message::Subscriptions(reply) => drop(reply.send(self.callbacks.urls())),
        }
    }

    fn change_nodes(&mut self, change: NodeChange) {
        let now = self.clock.now();
        let happened = match change {
            NodeChange::Leader { wanted, times } => self.nodes.change(now, wanted, times),
            NodeChange::Rename(leader) => return self.give(Command::ChangeLeader { leader }, None),
            NodeChange::Stop { node, back_after } => self.nodes.stop(now, node, back_after),
            NodeChange::Start(node) => self.nodes.start(now, node),
        };
        self.follow_nodes(happened);
    }

    fn follow_nodes(&mut self, happened: Vec<Happened>) {
        for happened in happened {
            match happened {
                Happened::Lost => self.streams.close_all(),
                Happened::Leads(node) => {
                    let leader = self.names.get(node).cloned().unwrap_or_default();
                    self.give(Command::ChangeLeader { leader }, None);
                }
            }
        }
        // Only now: who sees the new leader shall find it without the old one's health results.
        let view = self.nodes.view();
        self.view.send_if_modified(|seen| std::mem::replace(seen, view.clone()) != view);
    }

    fn give(&mut self, command: Command, reply: Option<oneshot::Sender<Answer>>) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        if let Some(reply) = reply {
            self.waiting.insert(ticket, reply);
        }
        let step = self.cluster.apply(self.clock.now(), ticket, command);
        self.act(step);
    }

    /// Does what the cluster said, and what it says in turn.
    fn act(&mut self, step: Step) {
        let mut due: VecDeque<Effect> = step.effects.into();
        while let Some(effect) = due.pop_front() {
            match effect {
                Effect::Answer(ticket, answer) => {
                    if let Some(reply) = self.waiting.remove(&ticket) {
                        let _ = reply.send(answer);
                    }
                }
                // Without a leader there is nobody to tell it, and later it is not made up for.
                Effect::Event(_) if !self.nodes.is_led() => {}
                Effect::Event(event) => {
                    self.streams.publish(&event);
                    self.callbacks.publish(&event);
                }
                Effect::BindPorts { task, wanted } => {
                    let ports = self.sockets.bind(&task, &wanted);
                    self.last_ticket += 1;
                    let command = Command::PortsBound { task, ports };
                    due.extend(self.cluster.apply(self.clock.now(), self.last_ticket, command).effects);
                }
                Effect::TaskRunning { task } => self.sockets.run(&task),
                Effect::TaskEnded { task } => self.sockets.end(&task),
                Effect::CloseStreams => self.streams.close_all(),
            }
        }
    }
}
