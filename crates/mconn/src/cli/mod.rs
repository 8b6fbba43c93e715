//! The command line: what can be typed, and its help. Nothing is done here.

mod look;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::look::{ExplainArgs, WatchArgs};
pub(crate) use self::settings::SettingsArgs;

/// Service discovery for Mesos and Marathon clusters: follows a Marathon and runs modules on its task events.
#[derive(Debug, Parser)]
#[command(name = "mconn", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node: follow Marathon, queue its task events, run modules on them, serve the API
    #[command(
        after_help = "Settings come from --config (TOML), the environment (MCONN_*), and flags, in rising \
                            precedence. `mconn serve --help` lists all of them; `mconn check` shows what holds and why."
    )]
    Serve(SettingsArgs),
    /// Show it at work: a simulated Marathon, a node, and a story told in readable lines
    Demo(DemoArgs),
    /// Run a simulated Marathon on real sockets
    Sim(SimArgs),
    /// Say what is wrong with a configuration, a data directory or a Marathon before anything starts
    Check(CheckArgs),
    /// Explain why an app is, or is not, reachable: tasks, ports, the rules that decide, and what happened lately
    #[command(after_help = look::EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// Follow the changes of all verdicts, live, until Ctrl-C; goes on after a restart of the node
    Watch(WatchArgs),
    /// Look at presets and change them
    #[command(subcommand)]
    Preset(PresetCommand),
    /// Look at the queue, or put an event into it
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at modules, hold them, and care for their dead letters
    #[command(subcommand)]
    Module(ModuleCommand),
    /// Show what a module has done
    Inventory(InventoryArgs),
    /// Compare inventories with Marathon's running tasks, and repair what differs
    Sync(SyncArgs),
    /// Check, export, import or repair the data of a node that is not running, or of nodes that share ZooKeeper; import those of an
    /// original MConn
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print a completion script for your shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How to reach a node.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Address of any node
    #[arg(
        long,
        env = "MCONN_URL",
        default_value = "http://127.0.0.1:1234",
        global = true,
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// user:password, if the node asks for it; prefer the variable, other users can see flags
    #[arg(
        long,
        env = "MCONN_CREDENTIALS",
        hide_env_values = true,
        global = true,
        value_name = "USER:PASSWORD"
    )]
    pub(crate) credentials: Option<String>,
    /// Print the node's own JSON instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait for an answer
    #[arg(long, default_value = "30s", global = true, value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// What the demonstration is like.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// End by itself after this time, with a summary; without it the demo stays up until Ctrl-C
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) run_for: Option<Duration>,
    /// Several nodes on a real ZooKeeper, without Marathon: kills the leader under load and counts what became of every event
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=9),
          conflicts_with_all = ["marathon_port", "seed", "speed"])]
    pub(crate) nodes: Option<u8>,
    /// Port of the node's API, with --nodes of the first one; 0 takes free ones
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Port of the simulated Marathon; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) marathon_port: u16,
    /// Where nodes, and ZooKeeper, keep their data; without it in a temporary directory that is removed at the end
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Every id, delay and choice of the simulated cluster follows from it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The simulated cluster's time runs this much faster
    #[arg(long, default_value_t = 4.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// Show the log lines of all nodes, too
    #[arg(long)]
    pub(crate) log: bool,
}

/// What the simulated Marathon is like.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimArgs {
    /// Where to listen (loopback unless you mean it otherwise)
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Every id, delay and choice follows from it [default: the scenario's, or 1]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Time runs this much faster [default: the scenario's, or 1]
    #[arg(long, value_parser = speed)]
    pub(crate) speed: Option<f64>,
    /// The Marathon version that is imitated [default: the scenario's, or 1.8]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Number of Marathon nodes: one leads, the others listen on the ports that follow and pass requests on
    #[arg(long, default_value = "1")]
    pub(crate) nodes: std::num::NonZeroUsize,
    /// Number of agents [default: the scenario's, or 3]
    #[arg(long)]
    pub(crate) agents: Option<std::num::NonZeroUsize>,
    /// An attribute of the agents with its values, which they get in turn, as rack=r1,r2
    #[arg(long, value_name = "NAME=VALUE,...", value_parser = attribute)]
    pub(crate) agent_attribute: Vec<(String, Vec<String>)>,
    /// What happens, and when: a scenario's file, or the name of one that is built in
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) scenario: Option<String>,
    /// List the scenarios that are built in, and end
    #[arg(long)]
    pub(crate) list_scenarios: bool,
    /// Play the scenario in virtual time, without listening: print its events, one line of JSON each, and end
    #[arg(long, requires = "scenario")]
    pub(crate) rehearse: bool,
    /// Each task is a real HTTP server that answers with its task id
    #[arg(long)]
    pub(crate) task_sockets: bool,
    /// user:password that every request has to bring
    #[arg(long, hide_env_values = true, env = "MCONN_SIM_CREDENTIALS", value_name = "USER:PASSWORD")]
    pub(crate) credentials: Option<String>,
    /// Speak HTTPS, with a certificate of an authority that is made up at the start
    #[arg(long)]
    pub(crate) tls: bool,
    /// Where that authority's certificate is written; without it to a temporary file that is removed at the end
    #[arg(long, requires = "tls", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Speak HTTPS with this certificate chain (PEM)
    #[arg(long, requires = "tls_key", conflicts_with = "tls", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Stand behind DC/OS: every request needs a token, which /acs/api/v1/auth/login gives
    #[arg(long, conflicts_with = "credentials")]
    pub(crate) dcos: bool,
    /// A user who can log in, repeatable; bootstrapuser:deleteme if nobody is named
    #[arg(long = "dcos-user", requires = "dcos", value_parser = user, value_name = "UID:PASSWORD")]
    pub(crate) dcos_users: Vec<(String, String)>,
    /// A service account with its public key (PEM, RSA), repeatable
    #[arg(long = "dcos-key", requires = "dcos", value_parser = account, value_name = "UID=FILE")]
    pub(crate) dcos_keys: Vec<(String, String)>,
    /// Say oauthjwt instead of acsjwt in 401, as open DC/OS does
    #[arg(long, requires = "dcos")]
    pub(crate) dcos_oauth: bool,
    /// How long a token is good for; five days unless given
    #[arg(long, requires = "dcos", value_parser = duration, value_name = "TIME")]
    pub(crate) token_lifetime: Option<Duration>,
    /// Refuse /v2/eventSubscriptions (HTTP callbacks)
    #[arg(long)]
    pub(crate) no_callbacks: bool,
    /// Apps to start with: a JSON file with one definition, an array, or {"apps": [...]}
    #[arg(long, value_name = "FILE")]
    pub(crate) apps: Option<PathBuf>,
    /// Start with this many apps in place, each with --fill-tasks running tasks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) fill_apps: u32,
    /// Running tasks of each app that --fill-apps puts in place
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) fill_tasks: u32,
}

impl SimArgs {
    pub(crate) fn is_https(&self) -> bool {
        self.tls || self.tls_cert.is_some()
    }
}

/// What to check.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Do not try to reach Marathon or ZooKeeper
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Presets.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PresetCommand {
    /// List presets, of all modules or of one
    List {
        /// Only this module's
        module: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show one preset
    Get {
        /// The module
        module: String,
        /// The whole app id
        app: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Create or replace a preset
    Set {
        /// The module
        module: String,
        /// The whole app id
        app: String,
        /// The module's options as JSON; without it those of the present preset stay, or there are none
        #[arg(long, value_name = "JSON")]
        options: Option<String>,
        /// Keep it, but do not use it
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Use a preset that is there, its options unchanged
    Enable {
        /// The module
        module: String,
        /// The whole app id
        app: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Keep a preset, but do not use it
    Disable {
        /// The module
        module: String,
        /// The whole app id
        app: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove a preset
    Delete {
        /// The module
        module: String,
        /// The whole app id
        app: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// The queue.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the events that are not finished
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Put an event into the queue, as Marathon would
    Post {
        /// The app id
        app: String,
        /// The task id
        task: String,
        /// The status, e.g. TASK_RUNNING
        status: String,
        /// The agent's host name
        #[arg(long)]
        host: Option<String>,
        /// Agent ports
        #[arg(long = "port", value_name = "PORT")]
        ports: Vec<u16>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Follow what happens, live, until Ctrl-C
    Watch {
        /// Only these kinds: queue, module, preset, inventory, sync, catalog
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Modules.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ModuleCommand {
    /// List the loaded modules
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List what waits in a module's lane
    Queue {
        /// The module
        module: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Start no further run of a module
    Pause {
        /// The module
        module: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// End a pause
    Resume {
        /// The module
        module: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List the runs that failed for good
    DeadLetters {
        /// The module
        module: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Hand a dead letter to its module once more
    Retry {
        /// The module
        module: String,
        /// Its number in the list; `all` for every one
        seq: String,
        /// Even if a later event of the same task has been handled since
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Give up a dead letter
    Drop {
        /// The module
        module: String,
        /// Its number in the list; `all` for every one
        seq: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// The inventory.
#[derive(Debug, Clone, Args)]
pub(crate) struct InventoryArgs {
    /// The module
    pub(crate) module: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Sync.
#[derive(Debug, Clone, Args)]
pub(crate) struct SyncArgs {
    /// The module, waiting for the result; without it all modules, without waiting
    pub(crate) module: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// The data directory, or what is in ZooKeeper.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything and say what is damaged; changes nothing
    Check(Place),
    /// Print everything as one JSON document
    Export {
        #[command(flatten)]
        place: Place,
        /// Write it to this file instead of standard output, which is `-`, too
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fill an empty store: from such a document, or with what an original MConn has left in ZooKeeper
    Import(ImportArgs),
    /// Drop everything of one module that will not be loaded again: presets, inventory, dead letters, events owed to it
    DropModule {
        /// The module
        module: String,
        #[command(flatten)]
        place: Place,
    },
    /// Save what can still be read of a damaged store; the damaged file is put aside, never deleted
    Repair {
        #[command(flatten)]
        dir: DataDir,
        /// Begin with an empty store if nothing can be read
        #[arg(long)]
        allow_empty: bool,
    },
}

/// What to import, and into what.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
#[command(group = clap::ArgGroup::new("target").required(true).multiple(true))]
pub(crate) struct ImportArgs {
    /// The document; `-` for standard input
    #[arg(group = "source")]
    pub(crate) file: Option<PathBuf>,
    /// The tree of an original MConn, its MCONN_ZK_HOSTS and MCONN_ZK_PATH in one word; it is read and not changed
    #[arg(long, group = "source", value_name = "HOST:PORT,HOST:PORT/PATH")]
    pub(crate) from_mconn: Option<String>,
    /// user:password for the ZooKeeper of --from-mconn; prefer the variable, other users can see flags
    #[arg(long, env = "MCONN_FROM_ZK_AUTH", hide_env_values = true, value_name = "USER:PASSWORD")]
    pub(crate) from_auth: Option<String>,
    /// The data directory of a node that is not running (MCONN_DATA_DIR; `mconn check` shows it)
    #[arg(long, env = "MCONN_DATA_DIR", group = "target", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Instead of a data directory the path in ZooKeeper of nodes that are not running
    #[arg(long, group = "target", value_name = "HOST:PORT,HOST:PORT/PATH")]
    pub(crate) to_zookeeper: Option<String>,
    /// user:password for the ZooKeeper of --to-zookeeper; what is created can then be used by that user alone
    #[arg(long, env = "MCONN_ZK_AUTH", hide_env_values = true, value_name = "USER:PASSWORD")]
    pub(crate) zk_auth: Option<String>,
    /// Replace what is there
    #[arg(long)]
    pub(crate) replace: bool,
    /// Read and check everything, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Where the data lie: in a directory, or in ZooKeeper.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("place").required(true).multiple(true))]
pub(crate) struct Place {
    /// The data directory of a node that is not running (MCONN_DATA_DIR; `mconn check` shows it)
    #[arg(long, env = "MCONN_DATA_DIR", group = "place", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Instead of a data directory the path in ZooKeeper of nodes that share it, their MCONN_ZK_HOSTS and MCONN_ZK_PATH in one word
    #[arg(long, group = "place", value_name = "HOST:PORT,HOST:PORT/PATH")]
    pub(crate) zookeeper: Option<String>,
    /// user:password for ZooKeeper; prefer the variable, other users can see flags
    #[arg(long, env = "MCONN_ZK_AUTH", hide_env_values = true, value_name = "USER:PASSWORD")]
    pub(crate) zk_auth: Option<String>,
}

/// Where the data lie.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// The node's data directory (MCONN_DATA_DIR; `mconn check` shows it)
    #[arg(long, env = "MCONN_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// `20s`, `1m30s`, `500ms`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a time such as 20s, 1m30s or 500ms".to_owned())?;
    span.try_into().map_err(|_| "a time cannot be negative".to_owned())
}

/// `rack=r1,r2`
fn attribute(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, values) = text.split_once('=').ok_or("expected NAME=VALUE,...")?;
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if name.is_empty() || values.iter().any(String::is_empty) {
        return Err("expected NAME=VALUE,..., none of them empty".to_owned());
    }
    Ok((name.to_owned(), values))
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("expected a number above 0".to_owned()) }
}

/// `UID:PASSWORD`; further colons are the password's.
fn user(text: &str) -> Result<(String, String), String> {
    pair(text, ':').ok_or_else(|| "expected UID:PASSWORD".to_owned())
}

/// `UID=FILE`
fn account(text: &str) -> Result<(String, String), String> {
    pair(text, '=').ok_or_else(|| "expected UID=FILE".to_owned())
}

fn pair(text: &str, separator: char) -> Option<(String, String)> {
    let (first, second) = text.split_once(separator)?;
    (!first.is_empty() && !second.is_empty()).then(|| (first.to_owned(), second.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("20s", 20_000), ("1m30s", 90_000), ("500ms", 500), ("2.5", 2_500), ("20", 20_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("soon").is_err() && duration("-1s").is_err());
    }
}
