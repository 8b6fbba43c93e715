//! The resolved configuration: strict types, no texts to be read again. Built once by `resolve`; it never changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use mconn_catalog::UnreachablePolicy;
use mconn_model::ModuleName;
use mconn_wire::dcos::DcosCredential;

use super::clusters::Cluster;
use super::raw::Origin;
use super::secret::{HttpCredentials, SecretUrl};
use super::setting::Setting;
use super::table::INFO_ROWS;
use crate::logging;

/// All that a node needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// This node.
    pub(crate) node: Node,
    /// Its HTTP side.
    pub(crate) http: Http,
    /// Its log.
    pub(crate) log: Log,
    /// The Marathons it follows.
    pub(crate) marathon: Marathon,
    /// How tasks are judged.
    pub(crate) catalog: Catalog,
    /// Where state lives.
    pub(crate) store: Store,
    /// Modules and their sync.
    pub(crate) modules: Modules,
    /// The queue.
    pub(crate) queue: Queue,
    /// What the operator should hear at start, besides errors.
    pub(crate) warnings: Vec<String>,
    pub(super) values: Vec<Resolved>,
}

/// One setting's text as it may be shown, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// The row of the table.
    pub(crate) setting: &'static Setting,
    /// The text, without its secrets.
    pub(crate) shown: String,
    /// Who gave it.
    pub(crate) origin: Origin,
}

/// This node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Under which others reach it.
    pub(crate) host: String,
    /// The wanted port; 0 takes a free one.
    pub(crate) port: u16,
    /// The address to listen on.
    pub(crate) bind: IpAddr,
    /// `NODE_ENV=development`.
    pub(crate) development: bool,
    /// For a clean end.
    pub(crate) shutdown_timeout: Duration,
}

/// The HTTP side.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Who may come in.
    pub(crate) credentials: HttpCredentials,
    /// Bytes of a request body at most.
    pub(crate) body_limit: usize,
    /// For an answer.
    pub(crate) request_timeout: Duration,
    /// How long a request waits for the next leader.
    pub(crate) leader_wait: Duration,
    /// Client connections at a time.
    pub(crate) max_connections: usize,
}

/// The log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// What is worth a line.
    pub(crate) level: logging::Level,
    /// The shape of a line.
    pub(crate) format: logging::Format,
    /// No line at all.
    pub(crate) muted: bool,
}

/// Where task events are accepted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Stream and callbacks.
    Both,
    /// Marathon's event stream only.
    Stream,
    /// `POST /v1/queue` only.
    Callback,
}

impl Intake {
    /// Whether events of Marathon's stream count.
    pub(crate) fn takes_stream(self) -> bool {
        self != Self::Callback
    }

    /// Whether events that are posted count.
    pub(crate) fn takes_callbacks(self) -> bool {
        self != Self::Stream
    }
}

/// Which Marathons must have been read once before a node is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Every one.
    All,
    /// At least one.
    Any,
    /// It does not matter.
    None,
}

/// The Marathons to follow, and how.
#[derive(Debug, Clone)]
pub(crate) struct Marathon {
    /// Those of `MCONN_MARATHON_HOSTS` first. Empty if none is followed.
    pub(crate) clusters: Vec<Cluster>,
    /// Which of them must have been read once before the node is ready.
    pub(crate) ready: Ready,
    /// Authorities that vouch for them.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether their certificates are verified.
    pub(crate) verify: bool,
    /// How to log in to DC/OS, if that is in front of it.
    pub(crate) dcos: Option<Dcos>,
    /// To connect.
    pub(crate) connect_timeout: Duration,
    /// For a small request.
    pub(crate) request_timeout: Duration,
    /// For a listing of everything.
    pub(crate) listing_timeout: Duration,
    /// Of silence on the stream.
    pub(crate) watchdog: Duration,
    /// Between full comparisons at least.
    pub(crate) compare_min: Duration,
    /// Between full comparisons at most.
    pub(crate) compare_max: Duration,
    /// Requests for single apps a minute.
    pub(crate) requests_per_minute: u32,
    /// Where events come from.
    pub(crate) intake: Intake,
    /// What to register with Marathon.
    pub(crate) callback_url: Option<SecretUrl>,
}

/// A login to DC/OS.
#[derive(Debug, Clone)]
pub(crate) struct Dcos {
    /// Who.
    pub(crate) credential: DcosSource,
    /// Where, if it is set: goes before what the credential says. If neither tells, [`Cluster::beside`] does.
    pub(crate) login_endpoint: Option<SecretUrl>,
}

/// Where a credential comes from.
#[derive(Debug, Clone)]
pub(crate) enum DcosSource {
    /// The setting itself.
    Inline(DcosCredential),
    /// A file, to be read at start.
    File(PathBuf),
}

/// How tasks are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Catalog {
    /// Percent of healthy tasks below which all are served.
    pub(crate) panic_below: u8,
    /// For tasks whose agent cannot be reached.
    pub(crate) unreachable: UnreachablePolicy,
    /// Percent that may disappear at once.
    pub(crate) hold_share: u8,
    /// How long a mass disappearance is not believed.
    pub(crate) hold_for: Duration,
    /// Between requests for an app whose readiness is pending.
    pub(crate) readiness_poll: Duration,
}

/// Where presets, inventories and the journal live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// In a folder.
    Embedded {
        /// The folder, of this node and namespace alone.
        data_dir: PathBuf,
    },
    /// Nowhere: gone with the process.
    Memory,
    /// With the other nodes, of which one leads.
    ZooKeeper {
        /// Where.
        settings: Box<mconn_zookeeper::Settings>,
        /// For what a node remembers for itself.
        data_dir: PathBuf,
        /// Nobody asked for ZooKeeper's store by name: it follows from the hosts being set.
        derived: bool,
    },
}

/// Modules and their sync.
#[derive(Debug, Clone)]
pub(crate) struct Modules {
    /// The folder of module folders.
    pub(crate) path: PathBuf,
    /// What to start, in order: folder or module names, with the blanks they were given with.
    pub(crate) start: Vec<String>,
    /// Between syncs.
    pub(crate) sync_interval: Duration,
    /// Tasks at a time.
    pub(crate) concurrency: ModuleConcurrency,
    /// When a sync holds back.
    pub(crate) sync_guard: SyncGuard,
    /// Of the module Test.
    pub(crate) test_delay: Duration,
    /// Of the module HelloWorld, for every status; `None` leaves it to the module (250 ms, undefined statuses none).
    pub(crate) hello_world_delay: Option<Duration>,
}

/// Tasks a module works on at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModuleConcurrency {
    pub(super) all: NonZeroUsize,
    pub(super) by_module: BTreeMap<ModuleName, NonZeroUsize>,
}

impl ModuleConcurrency {
    /// Modules that it names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ModuleName> {
        self.by_module.keys()
    }

    /// For this module.
    pub(crate) fn of(&self, module: &ModuleName) -> NonZeroUsize {
        self.by_module.get(module).copied().unwrap_or(self.all)
    }
}

/// A sync that would remove more than both of these waits for a second one that agrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SyncGuard {
    /// Of the inventory, 0 to 1.
    pub(crate) share: f64,
    /// Up to this many removals are never held.
    pub(crate) items: usize,
}

/// The queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    /// At the head of the main queue.
    pub(crate) timeout: Duration,
    /// Events waiting at most.
    pub(crate) limit: usize,
    /// Further attempts at a failed task.
    pub(crate) retries: u32,
    /// Before the first retry.
    pub(crate) retry_backoff: Duration,
    /// Before any retry at most.
    pub(crate) retry_backoff_max: Duration,
    /// Kept per module.
    pub(crate) dead_letter_limit: usize,
}

impl Node {
    /// `host:port`, as `/v1/leader` shows it.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The original's serverurl.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority())
    }
}

impl Config {
    /// All settings in the order of the table.
    pub(crate) fn values(&self) -> &[Resolved] {
        &self.values
    }

    /// The sixteen variables that `/v1/info` shows, in the original's order, without secrets.
    pub(crate) fn info_env(&self) -> Vec<(&'static str, String)> {
        self.values[..INFO_ROWS].iter().map(|v| (v.setting.env, v.shown.clone())).collect()
    }

    /// The lines that a node logs at start, one per setting, in the original's form.
    pub(crate) fn start_lines(&self) -> Vec<String> {
        let line = |v: &Resolved| {
            let default = match v.origin {
                Origin::Default | Origin::Fallback(_) => "default value, ",
                Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_) => "",
            };
            format!("ENV \"{}={}\", {default}{}", v.setting.env, v.shown, v.setting.description)
        };
        self.values.iter().map(line).collect()
    }
}
