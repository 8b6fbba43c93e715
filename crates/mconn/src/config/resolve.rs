//! From raw layers to the resolved [`Config`]: fills in defaults, reads every text, checks what must go together. No I/O.
//! It collects everything that is wrong before it gives up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mconn_catalog::UnreachablePolicy;
use mconn_model::SourceId;
use mconn_zookeeper::Digest;

use super::clusters::{self, Cluster};
use super::problem::{ConfigErrors, Problem, place};
use super::raw::{Given, Origin, Raw};
use super::read::{self, Expected};
use super::resolved::{
    Catalog, Config, Dcos, Http, Intake, Log, Marathon, ModuleConcurrency, Modules, Node, Queue, Ready,
    Resolved, Store, SyncGuard,
};
use super::secret::{HttpCredentials, MarathonHost, mask};
use super::setting::{Default, Kind};
use super::table::{Name, SETTINGS};
use crate::logging;

const SANDBOX: &str = "MESOS_SANDBOX";

impl Raw {
    /// Reads all texts.
    ///
    /// # Errors
    /// Everything that does not fit, at once.
    pub(crate) fn resolve(mut self) -> Result<Config, ConfigErrors> {
        let (problems, warnings) = self.take_findings();
        let texts = SETTINGS.iter().filter_map(|s| Some((s.name, effective(&self, s.name)?))).collect();
        let sandbox = self.fallback(SANDBOX).map(str::to_owned);
        let mut resolver = Resolver { texts, problems, warnings };
        resolver.derive(sandbox.as_deref());
        let config = resolver.config(&self, sandbox.is_some());
        match ConfigErrors::new(resolver.problems) {
            Some(errors) => Err(errors),
            None => Ok(config),
        }
    }
}

/// The given value, the fallback or the fixed default.
fn effective(raw: &Raw, name: Name) -> Option<Given> {
    if let Some(given) = raw.given(name) {
        return Some(given.clone());
    }
    match name.setting().default {
        Default::Text(text) => Some(Given::new(text, Origin::Default)),
        Default::Fallback { env, suffix, text } => Some(match raw.fallback(env) {
            Some(value) => Given::new(format!("{value}{suffix}"), Origin::Fallback(env)),
            None => Given::new(text, Origin::Default),
        }),
        Default::Derived(_) => None,
    }
}

struct Resolver {
    texts: BTreeMap<Name, Given>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Resolver {
    fn text(&self, name: Name) -> &str {
        self.texts.get(&name).map_or("", Given::text)
    }

    /// Fills in the defaults that follow from other settings.
    fn derive(&mut self, sandbox: Option<&str>) {
        let level = if self.text(Name::NodeEnv) == "development" { "4" } else { "3" };
        let verify = !self.text(Name::MarathonCaFile).is_empty();
        // A variable that the operator has set, or the link of a container to a port that only ZooKeeper has: such a
        // deployment of the original shares its state, and would have several leaders if this did not.
        let named = self.texts.get(&Name::ZkHosts).is_some_and(|given| given.origin() != &Origin::Default);
        let shares = named && !read::list(self.text(Name::ZkHosts)).is_empty();
        let store = if shares { "zookeeper" } else { "embedded" };
        let derived = [
            (Name::LoggerLevel, level.to_owned()),
            (Name::HelloWorldDelay, "250".to_owned()),
            (Name::MarathonVerify, verify.to_string()),
            (Name::Store, store.to_owned()),
            (Name::DataDir, self.default_data_dir(sandbox)),
        ];
        for (name, text) in derived {
            self.texts.entry(name).or_insert_with(|| Given::new(text, Origin::Default));
        }
    }

    /// One folder per namespace and node, because one process may have it open: two nodes of one cluster on one machine,
    /// or nodes of two clusters, must not meet in it. The host is part of it because a Mesos sandbox or a home folder can
    /// lie on a share that several machines see.
    fn default_data_dir(&self, sandbox: Option<&str>) -> String {
        let namespace = self.text(Name::ZkPath).trim_matches('/');
        let node =
            format!("{}_{}", read::file_name(self.text(Name::Host)), read::file_name(self.text(Name::Port)));
        let dir = PathBuf::from(sandbox.unwrap_or("."))
            .join("mconn-data")
            .join(read::file_name(namespace))
            .join(node);
        dir.to_string_lossy().into_owned()
    }

    /// Reads one text; what does not fit is noted, and `otherwise` stands in until the errors are reported.
    fn read<T>(&mut self, name: Name, otherwise: T, reader: impl FnOnce(&str) -> Result<T, Expected>) -> T {
        match reader(self.text(name)) {
            Ok(value) => value,
            Err(expected) => {
                if let Some(given) = self.texts.get(&name) {
                    self.problems.push(Problem::value(name.setting(), given, expected));
                }
                otherwise
            }
        }
    }

    fn millis(&mut self, name: Name, min: u64) -> Duration {
        self.read(name, Duration::ZERO, |text| read::millis(text, min))
    }

    fn count(&mut self, name: Name, min: usize, max: usize) -> usize {
        self.read(name, min, |text| read::number(text, min, max))
    }

    fn number(&mut self, name: Name, min: u32, max: u32) -> u32 {
        self.read(name, min, |text| read::number(text, min, max))
    }

    /// The original's switches: exactly `true` is on. What is neither of the two words gets a warning.
    fn loose(&mut self, name: Name) -> bool {
        debug_assert_eq!(name.setting().kind, Kind::LooseBool);
        let text = self.text(name);
        let on = text == "true";
        if !on && !matches!(text, "false" | "") {
            let warning =
                format!("{} is {text:?}, which counts as false: only \"true\" is on", name.setting().env);
            self.warnings.push(warning);
        }
        on
    }

    /// Reads two times of which the first must not be above the second.
    fn ordered(&mut self, low: Name, high: Name, min: u64) -> (Duration, Duration) {
        let before = self.problems.len();
        let times = (self.millis(low, min), self.millis(high, min));
        if self.problems.len() == before
            && times.0 > times.1
            && let Some(given) = self.texts.get(&low)
        {
            self.problems.push(Problem::Above {
                place: place(low.setting(), given.origin()),
                shown: given.text().to_owned(),
                other: high.setting().env,
                other_value: times.1.as_millis(),
            });
        }
        times
    }

    fn is_given(&self, name: Name) -> bool {
        let origin = self.texts.get(&name).map(Given::origin);
        !matches!(origin, None | Some(Origin::Default | Origin::Fallback(_)))
    }

    fn config(&mut self, raw: &Raw, in_sandbox: bool) -> Config {
        let config = Config {
            node: self.node(),
            http: self.http(),
            log: self.log(),
            marathon: self.marathon(),
            catalog: self.catalog(),
            store: self.store(in_sandbox),
            modules: self.modules(raw),
            queue: self.queue(),
            warnings: Vec::new(),
            values: Vec::new(),
        };
        let values = self.texts.iter().map(|(name, given)| {
            let setting = name.setting();
            Resolved { setting, shown: mask(setting.secret, given.text()), origin: given.origin().clone() }
        });
        Config { values: values.collect(), warnings: std::mem::take(&mut self.warnings), ..config }
    }

    fn node(&mut self) -> Node {
        Node {
            host: self.read(Name::Host, String::new(), read::host),
            port: self.read(Name::Port, 0, |text| read::number(text, 0, u16::MAX)),
            bind: self.read(Name::Bind, std::net::Ipv4Addr::UNSPECIFIED.into(), read::address),
            development: self.text(Name::NodeEnv) == "development",
            shutdown_timeout: self.millis(Name::ShutdownTimeout, 0),
        }
    }

    fn http(&mut self) -> Http {
        let credentials = read::credentials(self.text(Name::Credentials));
        if credentials == HttpCredentials::Malformed {
            let text = "\"MCONN_CREDENTIALS\" has an invalid formatting and basic-auth has been disabled! \
                        Expected user:password with exactly one colon; until then every client has access";
            self.warnings.push(text.to_owned());
        }
        Http {
            credentials,
            body_limit: self.count(Name::BodyLimit, 1024, 1 << 30),
            request_timeout: self.millis(Name::RequestTimeout, 1),
            leader_wait: self.millis(Name::LeaderWait, 0),
            max_connections: self.count(Name::MaxConnections, 1, 1_000_000),
        }
    }

    fn log(&mut self) -> Log {
        let level = self.read(Name::LoggerLevel, 3, |text| read::number(text, 1, 4));
        Log {
            level: logging::Level::from_number(level).unwrap_or(logging::Level::Info),
            format: self.read(Name::LogFormat, logging::Format::Classic, |text| match text {
                "classic" => Ok(logging::Format::Classic),
                "json" => Ok(logging::Format::Json),
                _ => Err("classic or json".to_owned()),
            }),
            muted: !self.text(Name::LoggerMuted).is_empty(),
        }
    }

    fn marathon(&mut self) -> Marathon {
        let tls = self.loose(Name::MarathonSsl);
        let ca_file = Some(self.text(Name::MarathonCaFile)).filter(|f| !f.is_empty()).map(PathBuf::from);
        let verify = self.read(Name::MarathonVerify, false, read::boolean);
        let clusters = self.clusters(tls);
        let by_https = |cluster: &&Cluster| cluster.hosts.iter().any(|host| host.tls);
        let by_https: Vec<_> = clusters.iter().filter(by_https).map(|it| it.name.as_str()).collect();
        if !by_https.is_empty() && !verify {
            self.warnings.push(format!(
                "Marathon is reached by https ({}), but its certificate is not verified: anyone on the way can pose as \
                 Marathon. Set MCONN_MARATHON_CA_FILE, or MCONN_MARATHON_VERIFY=true",
                by_https.join(" and ")
            ));
        }
        let (compare_min, compare_max) =
            self.ordered(Name::MarathonCompareMin, Name::MarathonCompareMax, 100);
        Marathon {
            dcos: self.dcos(&clusters, verify),
            clusters,
            ready: self.read(Name::MarathonReady, Ready::All, read::ready),
            ca_file,
            verify,
            connect_timeout: self.millis(Name::MarathonConnectTimeout, 1),
            request_timeout: self.millis(Name::MarathonRequestTimeout, 1),
            listing_timeout: self.millis(Name::MarathonListingTimeout, 1),
            watchdog: self.millis(Name::MarathonWatchdog, 100),
            compare_min,
            compare_max,
            requests_per_minute: self.number(Name::MarathonRequestBudget, 1, 1_000_000),
            intake: self.read(Name::Intake, Intake::Both, read::intake),
            callback_url: self.read(Name::CallbackUrl, None, read::callback_url),
        }
    }

    fn dcos(&mut self, clusters: &[Cluster], verify: bool) -> Option<Dcos> {
        let login_endpoint = self.read(Name::DcosLoginEndpoint, None, read::login_endpoint);
        let credential = self.read(Name::DcosCredential, None, read::dcos_credential)?;
        let with_user =
            clusters.iter().find(|cluster| cluster.hosts.iter().any(|host| host.credentials.is_some()));
        if let Some(cluster) = with_user {
            self.warnings.push(format!(
                "MCONN_DCOS_CREDENTIAL is set, and so are user and password of a host in {}: that host gets these, and no \
                 token of DC/OS",
                cluster.setting()
            ));
        }
        if !verify {
            let text = "MCONN_DCOS_CREDENTIAL is set, but the certificate of the login endpoint is not verified: whoever \
                        poses as it can log in as us. Set MCONN_MARATHON_CA_FILE, or MCONN_MARATHON_VERIFY=true";
            self.warnings.push(text.to_owned());
        }
        Some(Dcos { credential, login_endpoint })
    }

    /// The Marathon of `MCONN_MARATHON_HOSTS` if there is one, then the others.
    fn clusters(&mut self, tls: bool) -> Vec<Cluster> {
        let before = self.problems.len();
        let hosts = self.read(Name::MarathonHosts, Vec::new(), |text| read::marathon_hosts(text, tls));
        let authorities: Vec<_> = hosts.iter().map(MarathonHost::authority).collect();
        let name = self.read(Name::MarathonId, None, |text| match text {
            // Hosts need not be short, but a name has to be.
            "" => Ok(SourceId::new(&authorities.join(",")).or_else(|_| SourceId::new("marathon")).ok()),
            text => clusters::name(text).map(Some),
        });
        let first = name.filter(|_| !hosts.is_empty());
        let first = first.map(|name| Cluster::new(name, true, hosts));
        let further = self.read(Name::MarathonClusters, Vec::new(), |text| clusters::clusters(text, tls));
        if !further.is_empty() && first.is_some() && !self.is_given(Name::MarathonHosts) {
            self.warnings.push(format!(
                "MCONN_MARATHON_HOSTS is not set, so {} is followed as well as MCONN_MARATHON_CLUSTERS. Set it empty to \
                 follow those alone",
                authorities.join(",")
            ));
        }
        let all: Vec<_> = first.into_iter().chain(further).collect();
        if self.problems.len() == before {
            self.read(Name::MarathonClusters, (), |_| clusters::distinct(&all));
        }
        all
    }

    fn catalog(&mut self) -> Catalog {
        Catalog {
            panic_below: self.read(Name::PanicBelow, 0, |text| read::number(text, 0, 100)),
            unreachable: self.read(Name::Unreachable, UnreachablePolicy::Drain, read::unreachable),
            hold_share: self.read(Name::HoldShare, 50, |text| read::number(text, 0, 100)),
            hold_for: self.millis(Name::HoldFor, 0),
            readiness_poll: self.millis(Name::ReadinessPoll, 100),
        }
    }

    /// Where ZooKeeper is. Hosts are read only where it is used: an old deployment may have any text there.
    fn zookeeper(&mut self, used: bool) -> Option<mconn_zookeeper::Settings> {
        let path = self.read(Name::ZkPath, "/".to_owned(), read::namespace);
        let session_timeout = self.millis(Name::ZkSessionTimeout, 0).max(Duration::from_millis(1));
        let retry_pause = self.millis(Name::ZkSpinDelay, 0);
        // Read and checked only: how long an operation may take is bounded, however often it is tried.
        let _retries = self.number(Name::ZkRetries, 0, 1_000_000);
        let auth = self.read(Name::ZkAuth, None, |text| match text {
            "" => Ok(None),
            text => Digest::parse(text).map(Some).map_err(|_| "user:password".to_owned()),
        });
        if !used {
            return None;
        }
        let hosts = self.read(Name::ZkHosts, None, |text| {
            let settings = mconn_zookeeper::Settings::new(text, "/");
            let list = settings.map(|settings| Some(settings.host_list()));
            list.map_err(|error| format!("host:port,host:port ({error})"))
        })?;
        let mut settings = self.read(Name::ZkPath, None, |_| {
            let settings = mconn_zookeeper::Settings::new(&hosts, &path).map(Some);
            settings.map_err(|error| format!("a path such as /mconn ({error})"))
        })?;
        settings.session_timeout = session_timeout;
        settings.retry_pause = retry_pause;
        settings.auth = auth;
        Some(settings)
    }

    fn store(&mut self, in_sandbox: bool) -> Store {
        let data_dir = self.read(Name::DataDir, PathBuf::new(), |text| match text {
            "" => Err("a folder".to_owned()),
            text => Ok(PathBuf::from(text)),
        });
        let word = self.read(Name::Store, "memory", |text| {
            let known = ["embedded", "memory", "zookeeper"].into_iter().find(|word| *word == text);
            known.ok_or_else(|| "embedded, memory or zookeeper".to_owned())
        });
        let zookeeper = self.zookeeper(word == "zookeeper");
        let store = match (word, zookeeper) {
            ("embedded", _) => Store::Embedded { data_dir },
            ("zookeeper", Some(settings)) => Store::ZooKeeper {
                settings: Box::new(settings),
                data_dir,
                derived: !self.is_given(Name::Store),
            },
            // What is wrong with ZooKeeper's settings is noted.
            _ => Store::Memory,
        };
        if word != "zookeeper" && self.is_given(Name::ZkHosts) && !self.text(Name::ZkHosts).is_empty() {
            let warning = format!(
                "MCONN_ZK_HOSTS is set, and MCONN_STORE={word} goes before it: state is kept on this node alone, and other \
                 nodes do not share it"
            );
            self.warnings.push(warning);
        }
        if word == "zookeeper" && read::is_loopback(self.text(Name::Host)) {
            let warning = format!(
                "MCONN_HOST is {:?}: nodes on other machines cannot reach this node there, and one of them may have to pass \
                 requests on to it",
                self.text(Name::Host)
            );
            self.warnings.push(warning);
        }
        // The original looked for ZooKeeper at leader.mesos. That one cannot be relied on, and an operator who starts three
        // of these must not find out by three leaders.
        let under_marathon =
            matches!(self.texts.get(&Name::ZkPath).map(Given::origin), Some(Origin::Fallback(_)));
        if under_marathon && matches!(store, Store::Embedded { .. }) && !self.is_given(Name::Store) {
            let text = "This node works alone: further instances of this app would share nothing with it, and each would \
                        handle every event. For several instances set MCONN_ZK_HOSTS (leader.mesos:2181 on a master of \
                        DC/OS); for one, MCONN_STORE=embedded says so";
            self.warnings.push(text.to_owned());
        }
        if in_sandbox && matches!(store, Store::Embedded { .. }) && !self.is_given(Name::DataDir) {
            let text = "The data folder lies in the Mesos sandbox and is lost with this task. Set MCONN_DATA_DIR to a \
                        persistent volume";
            self.warnings.push(text.to_owned());
        }
        store
    }

    fn modules(&mut self, raw: &Raw) -> Modules {
        self.loose(Name::ModulePrepare);
        let start = read::list(self.text(Name::ModuleStart));
        let delay = self.millis(Name::HelloWorldDelay, 0);
        let one = ModuleConcurrency { all: std::num::NonZeroUsize::MIN, by_module: BTreeMap::new() };
        Modules {
            path: PathBuf::from(self.text(Name::ModulePath)),
            start,
            sync_interval: self.millis(Name::ModuleSyncTime, 100),
            concurrency: self.read(Name::ModuleConcurrency, one, read::concurrency),
            sync_guard: SyncGuard {
                share: self.read(Name::SyncGuardShare, 0.0, read::share),
                items: self.count(Name::SyncGuardItems, 0, 100_000_000),
            },
            test_delay: self.millis(Name::TestDelay, 0),
            hello_world_delay: raw.given(Name::HelloWorldDelay).map(|_| delay),
        }
    }

    fn queue(&mut self) -> Queue {
        let (backoff, max) = self.ordered(Name::QueueRetryBackoff, Name::QueueRetryBackoffMax, 0);
        Queue {
            timeout: self.millis(Name::QueueTimeout, 1),
            limit: self.count(Name::QueueLimit, 1, 100_000_000),
            retries: self.number(Name::QueueRetries, 0, 1000),
            retry_backoff: backoff,
            retry_backoff_max: max,
            dead_letter_limit: self.count(Name::DeadLetterLimit, 0, 100_000_000),
        }
    }
}
