//! What can be set when a simulated Marathon is started.

use crate::dcos::DcosOptions;
use crate::profile::Profile;
use crate::tls::TlsOptions;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A duration that is drawn evenly between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Span {
    /// Between `min` and `max` milliseconds.
    #[must_use]
    pub const fn millis(min: u64, max: u64) -> Span {
        Span { min: Duration::from_millis(min), max: Duration::from_millis(max) }
    }

    /// Always exactly `millis` milliseconds.
    #[must_use]
    pub const fn exactly(millis: u64) -> Span {
        Span::millis(millis, millis)
    }
}

/// How long things take, before they are divided by [`SimOptions::speed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// From Scheduled to an agent's offer. Default 0.2 to 1 s.
    pub offer: Span,
    /// From STAGING to RUNNING. Default 0.5 to 3 s.
    pub start: Span,
    /// From SIGTERM to the end of a task whose app sets no `taskKillGracePeriodSeconds`. Default 0.1 to 3 s.
    pub kill: Span,
    /// From RUNNING to the first health result. `None`, the default: up to the check's interval for checks made by
    /// Marathon, `delaySeconds` for checks made by Mesos.
    pub first_health: Option<Span>,
    /// From RUNNING to ready, for apps with a readiness check. Default 0.5 to 5 s.
    pub readiness: Span,
    /// From `deployment_info` until a changed definition is visible. Default 5 to 50 ms, and never scaled.
    pub visibility_lag: Span,
    /// Until the next offer after one that did not fit. Default 5 s.
    pub offer_retry: Duration,
    /// Until surplus or missing instances are noticed outside of deployments (`--scale_apps_interval`). Default 300 s.
    pub scale_check: Duration,
    /// From the end of one leader until the next one is known. Default 12 s.
    pub election: Span,
    /// From then until the new leader has loaded its state and serves requests. Default 2 to 20 s.
    pub load: Span,
    /// Until a node whose process has ended by itself is up again. Default 3 to 6 s.
    pub node_restart: Span,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline {
            offer: Span::millis(200, 1000),
            start: Span::millis(500, 3000),
            kill: Span::millis(100, 3000),
            first_health: None,
            readiness: Span::millis(500, 5000),
            visibility_lag: Span::millis(5, 50),
            offer_retry: Duration::from_secs(5),
            scale_check: Duration::from_secs(300),
            election: Span::exactly(12_000),
            load: Span::millis(2000, 20_000),
            node_restart: Span::millis(3000, 6000),
        }
    }
}

impl Timeline {
    /// Everything at once: for tests that look at order, not at time.
    #[must_use]
    pub fn immediate() -> Timeline {
        Timeline {
            offer: Span::exactly(1),
            start: Span::exactly(2),
            kill: Span::exactly(2),
            first_health: Some(Span::exactly(1)),
            readiness: Span::exactly(1),
            visibility_lag: Span::exactly(0),
            offer_retry: Duration::from_millis(20),
            scale_check: Duration::from_secs(300),
            election: Span::exactly(1),
            load: Span::exactly(1),
            node_restart: Span::exactly(1),
        }
    }
}

/// How a simulated Marathon behaves. `SimOptions::default()` is a 1.8 with three agents in real time.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Every id, delay and choice follows from it. Default 1.
    pub seed: u64,
    /// Durations are divided by this: 10 makes ten seconds take one. Time stamps stay real. Default 1.
    pub speed: f64,
    /// The version that is imitated. Default 1.8.
    pub profile: Profile,
    /// How long things take.
    pub timeline: Timeline,
    /// How many Marathon nodes there are, at least one; one leads, the others follow. Default 1.
    pub nodes: usize,
    /// How many agents the cluster has, at least one. Default 3.
    pub agents: usize,
    /// Attributes of the agents: the first agent has the first value of each list, and so on round and round. They can
    /// be named by constraints. Default none.
    pub agent_attributes: BTreeMap<String, Vec<String>>,
    /// Whether TASK_KILLING is posted (`--enable_features task_killing`). Default true.
    pub task_killing: bool,
    /// Whether checks succeed as long as nobody scripts otherwise. Default true.
    pub healthy: bool,
    /// Whether each running task is a real HTTP server on 127.0.0.1 at its host ports. Default false.
    pub task_sockets: bool,
    /// `user:password` that every request has to bring. Default none.
    pub credentials: Option<String>,
    /// Logins and tokens as in a DC/OS cluster, in place of `credentials`. Default none.
    pub dcos: Option<DcosOptions>,
    /// Whether it speaks HTTPS, and with which certificate. Default none: HTTP.
    pub tls: Option<TlsOptions>,
    /// Whether `/v2/eventSubscriptions` works (`--event_subscriber http_callback`). Default true, also for versions
    /// from 1.5 on, which have no callbacks: receivers can be tested with any version. False is the truth about those.
    pub callbacks: bool,
    /// The time between heartbeats of a stream, which is never scaled. Default 10 s.
    pub heartbeat: Duration,
    /// How many events may wait for one stream; `None` is the profile's number.
    pub stream_buffer: Option<usize>,
    /// What the first node is called as leader, `host:port`; `None` is the address it listens on.
    pub leader: Option<String>,
    /// The range that service ports are taken from (`--local_port_min`, `--local_port_max`). Default 10000 to 20000.
    pub service_ports: (u16, u16),
    /// The range of each agent's host ports. Default 31000 to 32000.
    pub host_ports: (u16, u16),
    /// Definitions that are posted, in order, before the first request is served.
    pub initial_apps: Vec<Value>,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            seed: 1,
            speed: 1.0,
            profile: Profile::default(),
            timeline: Timeline::default(),
            nodes: 1,
            agents: 3,
            agent_attributes: BTreeMap::new(),
            task_killing: true,
            healthy: true,
            task_sockets: false,
            credentials: None,
            dcos: None,
            tls: None,
            callbacks: true,
            heartbeat: Duration::from_secs(10),
            stream_buffer: None,
            leader: None,
            service_ports: (10_000, 20_000),
            host_ports: (31_000, 32_000),
            initial_apps: Vec::new(),
        }
    }
}

impl SimOptions {
    /// The default with [`Timeline::immediate`].
    #[must_use]
    pub fn immediate() -> SimOptions {
        SimOptions { timeline: Timeline::immediate(), ..SimOptions::default() }
    }
}
