//! Starting and stopping a simulation, and its controls in process.

use crate::callbacks::Callbacks;
use crate::cluster::{Answer, Cluster, Command, Fate};
use crate::driver::{Clock, Driver, World};
use crate::http::{Fault, Shared, accept, perform};
use crate::options::SimOptions;
use crate::profile::EventStream;
use crate::scenario::Scenario;
use crate::sockets::Sockets;
use crate::streams::Streams;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to notice that it is over.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// Why a simulation did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("failed to listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// One of [`SimOptions::initial_apps`] was refused.
    #[error("initial apps were refused with status {status}: {body}")]
    InitialApps {
        /// The status that a `PUT /v2/apps` would have had.
        status: u16,
        /// Its body.
        body: String,
    },
}

/// A running simulation. Dropping it ends it, [`Sim::shutdown`] also waits for the end.
#[derive(Debug)]
pub struct Sim {
    addr: SocketAddr,
    handle: SimHandle,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

impl Sim {
    /// Starts a simulation that listens on `addr`; port 0 is any free one.
    ///
    /// # Errors
    /// When the address cannot be used or an initial app is refused.
    pub async fn start(options: SimOptions, addr: SocketAddr) -> Result<Sim, SimError> {
        let refused = |source| SimError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(refused)?;
        Sim::serve(options, listener).await
    }

    /// Starts a simulation on a listener that is already bound.
    ///
    /// # Errors
    /// When an initial app is refused, or the listener has no address.
    pub async fn serve(mut options: SimOptions, listener: TcpListener) -> Result<Sim, SimError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = listener.local_addr().map_err(|source| SimError::Listen { addr: unknown, source })?;
        options.leader.get_or_insert_with(|| addr.to_string());
        let initial = std::mem::take(&mut options.initial_apps);
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let clock = Clock::start();
        let buffer = options.stream_buffer.unwrap_or(options.profile.stream_buffer);
        let (world, driver) = World::new(
            Cluster::new(&options, clock.now()),
            clock,
            Streams::new(buffer, options.profile.overflow)
                .named(options.profile.event_stream == EventStream::Named),
            Callbacks::new(tracker.clone(), shutdown.clone()),
            Sockets::new(tracker.clone(), shutdown.clone()),
        );
        tracker.spawn(world.run(shutdown.clone()));
        let shared = Arc::new(Shared::new(options, driver.clone(), addr, shutdown.clone()));
        let handle = SimHandle { driver, shared: shared.clone() };
        let sim = Sim { addr, handle, shutdown, tracker };
        sim.post(initial).await?;
        sim.tracker.spawn(perform(shared.clone()));
        sim.tracker.spawn(accept(listener, shared, sim.tracker.clone()));
        Ok(sim)
    }

    async fn post(&self, apps: Vec<Value>) -> Result<(), SimError> {
        if apps.is_empty() {
            return Ok(());
        }
        let body = Value::Array(apps);
        let command = Command::UpdateApps { body, force: true, partial: true, create: true };
        let answer = self.handle.command(command).await;
        if answer.is_success() {
            return Ok(());
        }
        Err(SimError::InitialApps { status: answer.status, body: answer.body.unwrap_or_default() })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The controls.
    #[must_use]
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }

    /// Ends everything and waits for it, at most some seconds.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(SHUTDOWN_TIME, self.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "simulation ended with tasks still running");
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The controls of a running simulation, the same as `/sim/` offers over HTTP.
#[derive(Debug, Clone)]
pub struct SimHandle {
    driver: Driver,
    shared: Arc<Shared>,
}

impl SimHandle {
    /// Gives the cluster any command, as if by HTTP.
    pub async fn command(&self, command: Command) -> Answer {
        self.driver.command(command).await
    }

    /// Asks the cluster anything.
    ///
    /// # Errors
    /// The answer of status 503 that a client would get, when the simulation is gone or far too busy.
    pub async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> Result<T, Answer> {
        self.driver.query(query).await
    }

    /// The truth, as `GET /sim/state`; null when the simulation is gone.
    pub async fn state(&self) -> Value {
        self.query(Cluster::state).await.unwrap_or_default()
    }

    /// Ends a task.
    pub async fn end_task(&self, task: &str, fate: Fate) -> Answer {
        self.command(Command::EndTask { task: task.to_owned(), fate }).await
    }

    /// Scripts what probes of a task find from now on.
    pub async fn set_health(&self, task: &str, alive: bool) -> Answer {
        self.command(Command::SetHealth { task: task.to_owned(), alive }).await
    }

    /// Puts an event of one's own on the bus.
    pub async fn emit(&self, body: Value) -> Answer {
        self.command(Command::RawEvent { body }).await
    }

    /// Puts apps with running tasks in place, at once and without events.
    pub async fn fill(&self, apps: u32, tasks: u32) -> Answer {
        self.command(Command::Fill { apps, tasks, template: None }).await
    }

    /// Another node leads: streams are closed, what Marathon probed is forgotten.
    pub async fn change_leader(&self, leader: &str) -> Answer {
        self.command(Command::ChangeLeader { leader: leader.to_owned() }).await
    }

    /// Plays a scenario from now on, instead of whatever was playing.
    pub fn play(&self, scenario: Scenario) {
        self.shared.play(scenario);
    }

    /// How far the scenario has got, as `GET /sim/scenario`.
    #[must_use]
    pub fn scenario_state(&self) -> Value {
        self.shared.scenario_state()
    }

    /// Ends all event streams.
    pub async fn close_streams(&self) {
        self.driver.close_streams().await;
    }

    /// How many event streams are attached.
    pub async fn stream_count(&self) -> usize {
        self.driver.count_streams().await
    }

    /// Keeps streams open but silent, heartbeats included; what happens meanwhile is lost to them.
    pub fn stall_streams(&self, on: bool) {
        self.shared.stall(on);
    }

    /// Makes requests below `/v2` go wrong.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.set_fault(fault);
    }

    /// Requests go right again.
    pub fn clear_fault(&self) {
        self.shared.set_fault(Fault::default());
    }
}
