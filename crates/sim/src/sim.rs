//! Starting and stopping a simulation, and its controls in process.

use crate::callbacks::Callbacks;
use crate::cluster::{Answer, Cluster, Command, Fate};
use crate::driver::{Clock, Driver, NodeChange, World};
use crate::faults::Faults;
use crate::http::{Common, Fault, Shared, perform, run_node};
use crate::nodes::{ElectionTimes, Nodes};
use crate::options::SimOptions;
use crate::profile::EventStream;
use crate::scenario::Scenario;
use crate::sockets::Sockets;
use crate::streams::Streams;
use crate::tls;
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
    /// [`SimOptions::tls`] cannot be used.
    #[error("failed to set up TLS: {reason}")]
    Tls {
        /// Why not.
        reason: String,
    },
    /// [`SimOptions::dcos`] cannot be used.
    #[error("failed to set up logins: {reason}")]
    Dcos {
        /// Why not.
        reason: String,
    },
}

/// A running simulation. Dropping it ends it, [`Sim::shutdown`] also waits for the end.
#[derive(Debug)]
pub struct Sim {
    /// Of each node.
    addresses: Vec<SocketAddr>,
    ca_pem: Option<String>,
    handle: SimHandle,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

impl Sim {
    /// Starts a simulation that listens on `addr`, its further nodes on the ports that follow; port 0 is any free one.
    ///
    /// # Errors
    /// When an address cannot be used, an initial app is refused, or keys and certificates are of no use.
    pub async fn start(options: SimOptions, addr: SocketAddr) -> Result<Sim, SimError> {
        let listener = listen(addr).await?;
        Sim::serve(options, listener).await
    }

    /// Starts a simulation on a listener that is already bound; further nodes listen as with [`Sim::start`], or
    /// anywhere if those ports are in use.
    ///
    /// # Errors
    /// As for [`Sim::start`], or when the listener has no address.
    pub async fn serve(mut options: SimOptions, listener: TcpListener) -> Result<Sim, SimError> {
        let listeners = with_followers(listener, options.nodes.max(1)).await?;
        let (listeners, addresses): (Vec<_>, Vec<_>) = listeners.into_iter().unzip();
        let addr = addresses[0];
        let mut names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        names[0] = options.leader.get_or_insert_with(|| addr.to_string()).clone();
        let (tls, ca_pem) = match &options.tls {
            None => (None, None),
            Some(tls) => {
                let (config, ca_pem) =
                    tls::server_config(tls, addr.ip()).map_err(|reason| SimError::Tls { reason })?;
                (Some(config), ca_pem)
            }
        };
        let initial = std::mem::take(&mut options.initial_apps);
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let clock = Clock::start();
        let buffer = options.stream_buffer.unwrap_or(options.profile.stream_buffer);
        let faults = Arc::new(Faults::new(options.seed));
        let (world, driver) = World::new(
            Cluster::new(&options, clock.now()),
            clock,
            Streams::new(buffer, options.profile.overflow)
                .named(options.profile.event_stream == EventStream::Named),
            Callbacks::new(faults.clone(), options.seed, tracker.clone(), shutdown.clone()),
            Sockets::new(tracker.clone(), shutdown.clone()),
            Nodes::new(&options),
            names,
        );
        let common = Common::new(options, driver.clone(), &addresses, faults, tls, shutdown.clone())
            .map_err(|reason| SimError::Dcos { reason })?;
        let common = Arc::new(common);
        tracker.spawn(world.run(shutdown.clone()));
        let handle = SimHandle { driver, common: common.clone() };
        let sim = Sim { addresses, ca_pem, handle, shutdown, tracker };
        sim.post(initial).await?;
        sim.tracker.spawn(perform(common.clone()));
        for (node, listener) in listeners.into_iter().enumerate() {
            let shared = Arc::new(Shared::new(common.clone(), node));
            sim.tracker.spawn(run_node(listener, shared, sim.tracker.clone()));
        }
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

    /// Where the first node listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where each node listens, by its number.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// `http://host:port` of the first node, or `https`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.handle.common.scheme(), self.addr())
    }

    /// The certificate of the authority that was made up for [`crate::TlsOptions::Generated`], as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
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
    common: Arc<Common>,
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

    /// Another node leads at once, as far as anybody can tell: streams are closed, what Marathon probed is forgotten,
    /// and the node that led goes by this name. See [`SimHandle::elect`] for how it really happens.
    pub async fn change_leader(&self, leader: &str) -> Answer {
        self.command(Command::ChangeLeader { leader: leader.to_owned() }).await
    }

    /// Plays a scenario from now on, instead of whatever was playing.
    pub fn play(&self, scenario: Scenario) {
        self.common.play(scenario);
    }

    /// How far the scenario has got, as `GET /sim/scenario`.
    #[must_use]
    pub fn scenario_state(&self) -> Value {
        self.common.scenario_state()
    }

    /// The leader gives up. The node of this number, or any other, leads after the times given, or those of the
    /// [`crate::Timeline`]; from 1.3.6 on the old leader's process ends and comes back.
    pub async fn elect(&self, node: Option<usize>, times: ElectionTimes) {
        // Of a simulation that has ended nothing is expected.
        let _ = self.driver.change_nodes(NodeChange::Leader { wanted: node, times }).await;
    }

    /// Ends a node's process, for good or for a time, and waits until it listens no more.
    pub async fn stop_node(&self, node: usize, back_after: Option<Duration>) {
        let _ = self.driver.change_nodes(NodeChange::Stop { node, back_after }).await;
        self.settle().await;
    }

    /// Starts a node's process, and waits until it listens.
    pub async fn start_node(&self, node: usize) {
        let _ = self.driver.change_nodes(NodeChange::Start(node)).await;
        self.settle().await;
    }

    async fn settle(&self) {
        if tokio::time::timeout(SHUTDOWN_TIME, self.common.settle()).await.is_err() {
            tracing::warn!("a node does not listen as it should");
        }
    }

    /// The number of the node that serves requests; none during an election.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.driver.view().borrow().serving()
    }

    /// Ends all tokens that a DC/OS login gave; open streams stay.
    pub fn expire_tokens(&self) {
        self.common.expire_tokens();
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
        self.common.stall(on);
    }

    /// Makes something go wrong, in place of what did before.
    ///
    /// # Errors
    /// As for [`SimHandle::set_faults`].
    pub fn set_fault(&self, fault: Fault) -> Result<(), &'static str> {
        self.set_faults(vec![fault])
    }

    /// Makes several things go wrong, in place of what did before.
    ///
    /// # Errors
    /// What is wrong with one of them (see [`Fault::check`]), or that they are too many.
    pub fn set_faults(&self, faults: Vec<Fault>) -> Result<(), &'static str> {
        self.common.faults().set(faults)
    }

    /// All goes right again.
    pub fn clear_fault(&self) {
        // None at all are never too many.
        let _ = self.common.faults().set(Vec::new());
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(addr).await.map_err(|source| SimError::Listen { addr, source })
}

/// Listeners for all nodes: the one that is there, and others on the ports that follow it.
async fn with_followers(
    listener: TcpListener,
    count: usize,
) -> Result<Vec<(TcpListener, SocketAddr)>, SimError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let address_of = |listener: &TcpListener| {
        listener.local_addr().map_err(|source| SimError::Listen { addr: unknown, source })
    };
    let first = address_of(&listener)?;
    let mut found = vec![(listener, first)];
    for number in 1..count {
        let port = u16::try_from(number).ok().and_then(|number| first.port().checked_add(number));
        let next = port.map(|port| SocketAddr::new(first.ip(), port));
        let listener = match next {
            Some(addr) if let Ok(listener) = TcpListener::bind(addr).await => listener,
            _ => listen(SocketAddr::new(first.ip(), 0)).await?,
        };
        let addr = address_of(&listener)?;
        found.push((listener, addr));
    }
    Ok(found)
}
