//! A node: its parts, wired together in one process. No logic of its own.
//!
//! ```text
//!   Marathon --> follower --> catalog --> task events --> feed --> queue --> modules
//!                    ^           |                                  |
//!                    +- requests +--> snapshots --> web <-----------+--> store
//! ```
//!
//! There is a follower per Marathon; all else there is once. With ZooKeeper a node has queue and store only while it leads:
//! see `lead`.

mod feed;
mod heard;
mod lead;
mod marathon;
mod memory;
mod seats;
mod store;
mod supervise;
mod vigil;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mconn_catalog::{CatalogHandle, CatalogTask};
use mconn_leadership::NodeAddress;
use mconn_model::Snapshot;
use mconn_queue::{ModuleSetup, QueueHandle, RunningTasks};
use mconn_web::{App, Build, Follower, Limits, ReadyWhen, Seat, StepDown};
use mconn_wire::http::Credentials;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub(crate) use self::lead::look as look_at_zookeeper;
pub(crate) use self::marathon::{Connected, connect as connect_marathons, connect_one as connect_marathon};
pub(crate) use self::store::left_behind as store_left_behind;

use self::feed::Feed;
use self::lead::{Together, Work};
use self::supervise::{Step, Supervisor};
use crate::commands::store::store_report;
use crate::config::{self, Config, HttpCredentials};
use crate::report::Report;

/// Batches of observations and of task events that may wait between two parts. Each part passes on what it has at once,
/// so a few batches are enough, and a full channel slows the sender down, which is what is wanted.
const BATCHES: usize = 64;
/// Leader changes that may wait; the catalog merges what nobody has taken.
const SIGNALS: usize = 4;
/// Connections that the kernel may hold until they are accepted.
const BACKLOG: u32 = 1024;

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    /// That of a node which works alone.
    pub(crate) queue: Option<QueueHandle>,
    pub(crate) catalog: Option<CatalogHandle>,
    followers: Vec<Follower>,
    supervisor: Supervisor,
}

impl Node {
    /// Starts all parts. The port is open when this returns. `cancel` ends the node, and is cancelled by it when a part
    /// fails or somebody asks the node to exit.
    pub(crate) async fn start(config: &Config, cancel: CancellationToken) -> Result<Self, Report> {
        for line in config.start_lines() {
            info!(context = "App", "{line}");
        }
        for warning in &config.warnings {
            warn!(context = "App", "{warning}");
        }
        if let Some(report) = store::left_behind(config) {
            return Err(report);
        }
        // Bound before anything else starts, so that a port in use changes nothing; opened when there is an answer.
        let socket = bind(config)?;
        // With port 0 only the socket knows.
        let mut shown = config.node.clone();
        shown.port = socket.local_addr().map_or(shown.port, |addr| addr.port());
        let mut supervisor = Supervisor::new(cancel.clone());
        let marathons = marathon::connect(config)?;
        let listed = (!marathons.is_empty()).then(|| marathon::Listed(marathons.clone()));
        let work = Work {
            settings: queue_settings(config),
            modules: find_modules(config),
            running: listed.map(|listed| Arc::new(listed) as Arc<dyn RunningTasks>),
            deadline: config.http.request_timeout,
        };
        let role = match &config.store {
            config::Store::ZooKeeper { settings, .. } => {
                let address = NodeAddress { host: shown.host.clone(), port: shown.port, url: shown.url() };
                let end_within = config.node.shutdown_timeout;
                let credentials = match &config.http.credentials {
                    HttpCredentials::On(own) => {
                        Some(Credentials::new(own.reveal_user(), own.reveal_password()))
                    }
                    HttpCredentials::Off | HttpCredentials::Malformed => None,
                };
                let (exit, supervisor) = (cancel.clone(), &mut supervisor);
                let together =
                    lead::start(settings, address, work, end_within, credentials, exit, supervisor);
                info!(context = "App", "The store is \"ZooKeeper {}\"", settings.place());
                Role { store: format!("ZooKeeper {}", settings.place()), queue: None, together }
            }
            config::Store::Embedded { .. } | config::Store::Memory => {
                alone(config, &shown, work, cancel.clone(), &mut supervisor).await?
            }
        };
        let feed = role.together.feed.clone();
        let (catalog, followers) = if marathons.is_empty() {
            (None, Vec::new())
        } else {
            let (handle, followers) = follow(config, &marathons, feed, &mut supervisor);
            (Some(handle), followers)
        };
        for marathon in &marathons {
            marathon::register_callback(config, marathon, &mut supervisor);
        }
        let listener = socket.listen(BACKLOG).map_err(|error| {
            Report::could_not_run(format!("cannot listen on {}:{}", config.node.bind, config.node.port))
                .because(&error)
        })?;
        let addr = listener.local_addr().unwrap_or_else(|_| SocketAddr::new(config.node.bind, shown.port));
        let node = Self { addr, queue: role.queue.clone(), catalog, followers, supervisor };
        Ok(node.serve(config, &shown, listener, role, cancel))
    }

    fn serve(
        mut self,
        config: &Config,
        shown: &config::Node,
        listener: TcpListener,
        role: Role,
        cancel: CancellationToken,
    ) -> Self {
        let (_, nothing) = watch::channel(Arc::new(Snapshot::default()));
        let app = App {
            seat: role.together.seat,
            authority: shown.authority(),
            catalog: self.catalog.as_ref().map_or(nothing, CatalogHandle::subscribe),
            followers: self.followers.clone(),
            ready: match config.marathon.ready {
                config::Ready::All => ReadyWhen::EverySource,
                config::Ready::Any => ReadyWhen::AnySource,
                config::Ready::None => ReadyWhen::NoSource,
            },
            credentials: credentials(config),
            env: config.info_env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: option_env!("MCONN_COMMIT").map(str::to_owned),
            },
            store: role.store,
            callbacks: config.marathon.intake.takes_callbacks(),
            step_down: role.together.step_down,
            exit: cancel,
        };
        let limits = Limits {
            request_timeout: config.http.request_timeout,
            leader_wait: config.http.leader_wait,
            body_limit: config.http.body_limit,
            max_connections: config.http.max_connections,
            // Twice this, with the handover before it, is half of the time.
            shutdown_timeout: config.node.shutdown_timeout / 5,
            ..Limits::default()
        };
        let token = self.supervisor.token(Step::Intake);
        self.supervisor.spawn(Step::Intake, "web server", async move {
            let served = mconn_web::serve(listener, app, limits, token).await;
            if served.cut_off > 0 {
                warn!(context = "App", "{} connections were busy for too long and were cut", served.cut_off);
            }
            Ok(())
        });
        if self.queue.is_some() {
            info!(context = "App", "leader election has been finished");
        }
        info!(context = "App", "Webserver started on \"{}\"", shown.authority());
        info!(context = "App", "MConn \"{}\" is ready to rumble", env!("CARGO_PKG_VERSION"));
        self
    }

    /// Waits for the end, whoever wants it, and ends the parts in order.
    pub(crate) async fn join(self, limit: Duration) -> Result<(), Report> {
        self.supervisor.join(limit).await
    }
}

/// What a node is to others, and where it keeps what it does.
struct Role {
    together: Together,
    store: String,
    queue: Option<QueueHandle>,
}

/// A node without others: it has its store to itself, and leads for ever.
async fn alone(
    config: &Config,
    shown: &config::Node,
    work: Work,
    cancel: CancellationToken,
    supervisor: &mut Supervisor,
) -> Result<Role, Report> {
    let store = store::open(config).await?;
    let token = supervisor.token(Step::Work);
    let Work { settings, modules, running, deadline } = work;
    let (queue, task) = mconn_queue::start(settings, modules, store.as_store(), running, deadline, token)
        .await
        .map_err(|error| store_report(&error))?;
    supervisor.spawn(Step::Work, "queue", async move { task.join().await.map_err(|error| error.message) });
    let location = store.as_store().location();
    supervisor.spawn(Step::Storage, "store", store.close_when(supervisor.token(Step::Storage)));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let together = Together {
        seat: Seat::alone(queue.clone(), shown.authority(), shown.url(), version),
        step_down: StepDown::alone(cancel),
        feed: Feed::alone(queue.clone()),
    };
    Ok(Role { together, store: location, queue: Some(queue) })
}

fn bind(config: &Config) -> Result<TcpSocket, Report> {
    let addr = SocketAddr::new(config.node.bind, config.node.port);
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // A node that is started again at once must not fail because old connections linger.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(socket)
    });
    bound.map_err(|error| {
        Report::could_not_run(format!("cannot listen on {addr}"))
            .because(&error)
            .hint("MCONN_BIND has to be an address of this machine, and MCONN_PORT a port that no other program uses")
    })
}

fn find_modules(config: &Config) -> Vec<ModuleSetup> {
    let delays = mconn_modules::Delays {
        hello_world: config.modules.hello_world_delay,
        test: Some(config.modules.test_delay),
    };
    let (found, errors) = mconn_modules::find(&config.modules.start, &config.modules.path, delays);
    for failure in errors {
        error!(context = "Module", "{failure}");
    }
    let loaded: Vec<_> = found.iter().map(|found| found.module.name().clone()).collect();
    for name in config.modules.concurrency.names().filter(|name| !loaded.contains(name)) {
        warn!(context = "Module", "MCONN_MODULE_CONCURRENCY names \"{name}\", which is not loaded");
    }
    let setup = |found: mconn_modules::Found| {
        let name = found.module.name();
        info!(
            context = "Module",
            "Module \"{name}\" successfully initiated from folder \"{}\"", found.folder
        );
        let concurrency = config.modules.concurrency.of(name).get();
        ModuleSetup { module: found.module, concurrency, folder: found.folder }
    };
    found.into_iter().map(setup).collect()
}

fn queue_settings(config: &Config) -> mconn_queue::Settings {
    mconn_queue::Settings {
        journal_limit: config.queue.limit,
        queue_timeout: config.queue.timeout,
        retries: config.queue.retries,
        retry_backoff: config.queue.retry_backoff,
        retry_backoff_max: config.queue.retry_backoff_max,
        dead_letter_limit: config.queue.dead_letter_limit,
        sync_interval: config.modules.sync_interval,
        sync_guard_share: config.modules.sync_guard.share,
        sync_guard_items: config.modules.sync_guard.items,
        seed: fastrand::u64(..),
        ..mconn_queue::Settings::default()
    }
}

fn credentials(config: &Config) -> mconn_web::Credentials {
    match &config.http.credentials {
        HttpCredentials::Off => mconn_web::Credentials::Off,
        HttpCredentials::Malformed => mconn_web::Credentials::Malformed,
        HttpCredentials::On(given) => {
            mconn_web::Credentials::On(mconn_web::Basic::new(given.reveal_user(), given.reveal_password()))
        }
    }
}

/// One catalog and one feed, and a follower per Marathon. Followers share nothing but the way in: one that waits for its
/// Marathon holds up no other.
fn follow(
    config: &Config,
    marathons: &[Connected],
    feed: Feed,
    supervisor: &mut Supervisor,
) -> (CatalogHandle, Vec<Follower>) {
    let settings = mconn_catalog::Settings {
        requests_per_minute: config.marathon.requests_per_minute,
        panic_below: config.catalog.panic_below,
        unreachable: config.catalog.unreachable,
        hold_share: config.catalog.hold_share,
        hold_for: config.catalog.hold_for,
        readiness_poll: config.catalog.readiness_poll,
        ..mconn_catalog::Settings::default()
    };
    let names = marathons.iter().map(|marathon| marathon.cluster.name.clone());
    let (mut catalog, handle) = CatalogTask::new(settings, names, fastrand::Rng::new());
    let (memory, kept) = memory::open(config);
    catalog.restore(kept);
    let (observed, observations) = mpsc::channel(BATCHES);
    let (signals, signalled) = mpsc::channel(SIGNALS);
    let fed = config.marathon.intake.takes_stream().then(|| {
        let (fed, events) = mpsc::channel(BATCHES);
        let token = supervisor.token(Step::Intake);
        supervisor.spawn(Step::Intake, "feed", feed.clone().events(events, token));
        fed
    });
    let (mut fetches, mut followers) = (BTreeMap::new(), Vec::new());
    for marathon in marathons {
        let (fetched, follower) =
            marathon::start_follower(config, marathon, observed.clone(), &handle, supervisor);
        fetches.insert(follower.source.clone(), fetched);
        followers.push(follower);
    }
    let wiring =
        mconn_catalog::Wiring { observations, fetches, task_events: fed, signals: Some(signals), memory };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "catalog", async move {
        catalog.run(wiring, token).await;
        Ok(())
    });
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "missed events", feed::missed(feed.takers, signalled, token));
    (handle, followers)
}
