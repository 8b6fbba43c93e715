//! The one table of all settings. It owns names, defaults and descriptions; it never reads a value.
//!
//! The first sixteen rows are the original's variables in the order of its `/v1/info`. Names of the original are kept
//! for ever. A new setting gets a `MCONN_` name and a default with which an old deployment goes on as before.

use super::setting::{Default as D, Kind as K, Secrecy as S, Setting};

/// How many rows, from the first on, `/v1/info` shows.
pub(crate) const INFO_ROWS: usize = 16;

macro_rules! settings {
    ($($name:ident $key:literal $env:literal $flag:literal, $kind:expr, $default:expr, $secret:expr, $text:literal;)*) => {
        /// Names of the settings, in the order of [`SETTINGS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Name { $(#[doc = concat!("`", $key, "`")] $name,)* }

        /// All settings.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            name: Name::$name, key: $key, env: $env, flag: $flag,
            kind: $kind, default: $default, secret: $secret, description: $text,
        },)*];
    };
}

const MS: K = K::Number("MS");
const COUNT: K = K::Number("N");

settings! {
    LoggerLevel "logger.level" "MCONN_LOGGER_LEVEL" "logger-level", K::Number("1-4"),
        D::Derived("4 if NODE_ENV is development, else 3"), S::Open,
        "1 errors, 2 and warnings, 3 and info, 4 and debug";
    Host "node.host" "MCONN_HOST" "host", K::Text,
        D::Fallback { env: "HOST", suffix: "", text: "127.0.0.1" }, S::Open,
        "name or address under which other nodes and browsers reach this node";
    Port "node.port" "MCONN_PORT" "port", K::Number("PORT"),
        D::Fallback { env: "PORT0", suffix: "", text: "1234" }, S::Open,
        "HTTP port; 0 takes a free one";
    Path "node.path" "MCONN_PATH" "path", K::Text, D::Text("/mconn"), S::Open,
        "installation folder of the original; shown only";
    QueueTimeout "queue.timeout" "MCONN_QUEUE_TIMEOUT" "queue-timeout", MS, D::Text("600000"), S::Open,
        "ms a task may be at the head of the main queue";
    ModulePath "modules.path" "MCONN_MODULE_PATH" "module-path", K::Text,
        D::Fallback { env: "MESOS_SANDBOX", suffix: "", text: "/mconn/modules" }, S::Open,
        "folder that contains the module folders";
    ModulePrepare "modules.prepare" "MCONN_MODULE_PREPARE" "module-prepare", K::LooseBool, D::Text("true"), S::Open,
        "true prepares modules at start; kept for old deployments";
    ModuleStart "modules.start" "MCONN_MODULE_START" "module-start", K::List, D::Text(""), S::Open,
        "modules to start, by folder or by name; empty starts none";
    ModuleSyncTime "modules.sync_time" "MCONN_MODULE_SYNC_TIME" "module-sync-time", MS, D::Text("600000"), S::Open,
        "ms between automatic inventory syncs";
    ZkHosts "zookeeper.hosts" "MCONN_ZK_HOSTS" "zk-hosts", K::List,
        D::Fallback { env: "ALIAS_PORT_2181_TCP_ADDR", suffix: ":2181", text: "leader.mesos:2181" }, S::Open,
        "ZooKeeper hosts as host:port";
    ZkPath "zookeeper.path" "MCONN_ZK_PATH" "zk-path", K::Text,
        D::Fallback { env: "MARATHON_APP_ID", suffix: "", text: "/mconn" }, S::Open,
        "namespace of this cluster of nodes, the root znode";
    ZkSessionTimeout "zookeeper.session_timeout" "MCONN_ZK_SESSION_TIMEOUT" "zk-session-timeout", MS,
        D::Text("1000"), S::Open, "ms after which ZooKeeper gives up a silent node, at least 1000; the servers raise it to their own least (4000 as they come)";
    ZkSpinDelay "zookeeper.spin_delay" "MCONN_ZK_SPIN_DELAY" "zk-spin-delay", MS, D::Text("3000"), S::Open,
        "ms to wait at most after all ZooKeeper hosts have been tried";
    ZkRetries "zookeeper.retries" "MCONN_ZK_RETRIES" "zk-retries", COUNT, D::Text("10"), S::Open,
        "retries of a ZooKeeper operation after connection loss; kept for old deployments, calls have a deadline instead";
    MarathonHosts "marathon.hosts" "MCONN_MARATHON_HOSTS" "marathon-hosts", K::List,
        D::Text("leader.mesos:8080"), S::HostList,
        "Marathon hosts as [user:password@]host:port or https://host/path, tried in order; empty follows none";
    MarathonSsl "marathon.ssl" "MCONN_MARATHON_SSL" "marathon-ssl", K::LooseBool, D::Text("false"), S::Open,
        "true speaks https with Marathon";

    Credentials "http.credentials" "MCONN_CREDENTIALS" "credentials", K::Text, D::Text(""), S::Whole,
        "user:password that clients must give; empty asks nobody";
    NodeEnv "node.env" "NODE_ENV" "node-env", K::Text, D::Text("production"), S::Open,
        "development logs more and in colour";
    LoggerMuted "logger.muted" "LOGGER_MUTED" "logger-muted", K::NonEmpty, D::Text(""), S::Open,
        "anything but empty: no log output at all";
    TestDelay "modules.test_delay" "MCONN_MODULE_TEST_DELAY" "module-test-delay", MS, D::Text("250"), S::Open,
        "ms of pretended work of the module Test";
    HelloWorldDelay "modules.helloworld_delay" "MCONN_MODULE_HELLOWORLD_DELAY" "module-helloworld-delay", MS,
        D::Derived("250, for undefined statuses 0"), S::Open,
        "ms of pretended work of the module HelloWorld";

    ZkAuth "zookeeper.auth" "MCONN_ZK_AUTH" "zk-auth", K::Text, D::Text(""), S::Whole,
        "user:password for ZooKeeper's digest scheme; what is created can then be used by that user alone";
    Bind "node.bind" "MCONN_BIND" "bind", K::Text, D::Text("0.0.0.0"), S::Open,
        "address the HTTP port listens on";
    DataDir "store.data_dir" "MCONN_DATA_DIR" "data-dir", K::Text,
        D::Derived("$MESOS_SANDBOX or the current directory, then mconn-data/NAMESPACE/HOST_PORT"), S::Open,
        "folder of the embedded store, and of what a node remembers for itself; one node only may use it";
    Store "store.kind" "MCONN_STORE" "store", K::Word(&["embedded", "memory", "zookeeper"]),
        D::Derived("zookeeper if MCONN_ZK_HOSTS (or what stands in for it) is set, else embedded"), S::Open,
        "where presets, inventories and the journal live; several nodes share them in zookeeper";
    ShutdownTimeout "node.shutdown_timeout" "MCONN_SHUTDOWN_TIMEOUT" "shutdown-timeout", MS, D::Text("5000"), S::Open,
        "ms for a clean end before the node ends anyway";
    LogFormat "logger.format" "MCONN_LOG_FORMAT" "log-format", K::Word(&["classic", "json"]), D::Text("classic"),
        S::Open, "shape of a log line";

    BodyLimit "http.body_limit" "MCONN_BODY_LIMIT" "body-limit", K::Number("BYTES"), D::Text("1048576"), S::Open,
        "bytes of a request body at most; above it 413";
    RequestTimeout "http.request_timeout" "MCONN_REQUEST_TIMEOUT" "request-timeout", MS, D::Text("10000"), S::Open,
        "ms within which a request is answered";
    LeaderWait "http.leader_wait" "MCONN_LEADER_WAIT" "leader-wait", MS, D::Text("8000"), S::Open,
        "ms that a request waits for the next leader before it is answered with 503; never longer than MCONN_REQUEST_TIMEOUT in all";
    MaxConnections "http.max_connections" "MCONN_MAX_CONNECTIONS" "max-connections", COUNT, D::Text("1024"), S::Open,
        "client connections at a time";

    MarathonId "marathon.name" "MCONN_MARATHON_NAME" "marathon-name", K::Text, D::Text(""), S::Open,
        "name of the Marathon of MCONN_MARATHON_HOSTS; empty names it after its hosts";
    MarathonClusters "marathon.clusters" "MCONN_MARATHON_CLUSTERS" "marathon-clusters", K::List, D::Text(""),
        S::Clusters, "further Marathons, each name=HOST|HOST with hosts as MCONN_MARATHON_HOSTS has them";
    MarathonReady "marathon.ready" "MCONN_MARATHON_READY" "marathon-ready", K::Word(&["all", "any", "none"]),
        D::Text("all"), S::Open, "which Marathons must have been read once before the node calls itself ready";
    Intake "marathon.intake" "MCONN_INTAKE" "intake", K::Word(&["both", "stream", "callback"]), D::Text("both"),
        S::Open, "where task events are accepted from";
    CallbackUrl "marathon.callback_url" "MCONN_CALLBACK_URL" "callback-url", K::Text, D::Text(""), S::Address,
        "address of POST /v1/queue to register with Marathon; empty does not register";
    MarathonCaFile "marathon.ca_file" "MCONN_MARATHON_CA_FILE" "marathon-ca-file", K::Text, D::Text(""), S::Open,
        "PEM file with the authorities that vouch for Marathon";
    MarathonVerify "marathon.verify" "MCONN_MARATHON_VERIFY" "marathon-verify", K::Bool,
        D::Derived("true if MCONN_MARATHON_CA_FILE is set, else false"), S::Open,
        "whether Marathon's certificate is verified";
    DcosCredential "marathon.dcos_credential" "MCONN_DCOS_CREDENTIAL" "dcos-credential", K::Text,
        D::Fallback { env: "DCOS_SERVICE_ACCOUNT_CREDENTIAL", suffix: "", text: "" }, S::Whole,
        "DC/OS service account in JSON, file:///path of it, or user:password; empty does not log in";
    DcosLoginEndpoint "marathon.dcos_login_endpoint" "MCONN_DCOS_LOGIN_ENDPOINT" "dcos-login-endpoint", K::Text,
        D::Text(""), S::Address,
        "where to log in to DC/OS; empty takes what the credential names, else the first host of each Marathon that has a path";
    MarathonConnectTimeout "marathon.connect_timeout" "MCONN_MARATHON_CONNECT_TIMEOUT" "marathon-connect-timeout",
        MS, D::Text("3000"), S::Open, "ms to connect to a Marathon host";
    MarathonRequestTimeout "marathon.request_timeout" "MCONN_MARATHON_REQUEST_TIMEOUT" "marathon-request-timeout",
        MS, D::Text("10000"), S::Open, "ms for a small request to Marathon";
    MarathonListingTimeout "marathon.listing_timeout" "MCONN_MARATHON_LISTING_TIMEOUT" "marathon-listing-timeout",
        MS, D::Text("60000"), S::Open, "ms for a listing of all apps and tasks";
    MarathonWatchdog "marathon.watchdog" "MCONN_MARATHON_WATCHDOG" "marathon-watchdog", MS, D::Text("25000"), S::Open,
        "ms of silence after which an event stream counts as dead";
    MarathonCompareMin "marathon.compare_min" "MCONN_MARATHON_COMPARE_MIN" "marathon-compare-min", MS,
        D::Text("60000"), S::Open, "ms between full comparisons with Marathon at least";
    MarathonCompareMax "marathon.compare_max" "MCONN_MARATHON_COMPARE_MAX" "marathon-compare-max", MS,
        D::Text("300000"), S::Open, "ms between full comparisons with Marathon at most";
    MarathonRequestBudget "marathon.request_budget" "MCONN_MARATHON_REQUEST_BUDGET" "marathon-request-budget",
        COUNT, D::Text("300"), S::Open, "requests for single apps a minute";

    PanicBelow "catalog.panic_below" "MCONN_PANIC_BELOW" "panic-below", K::Number("PERCENT"), D::Text("0"), S::Open,
        "below this share of healthy tasks all of an app that were ready once are served; 0 never";
    Unreachable "catalog.unreachable" "MCONN_UNREACHABLE" "unreachable", K::Word(&["drain", "remove", "keep"]),
        D::Text("drain"), S::Open, "what becomes of a task whose agent Mesos cannot reach";
    HoldShare "catalog.hold_share" "MCONN_HOLD_SHARE" "hold-share", K::Number("PERCENT"), D::Text("50"), S::Open,
        "a listing that lacks more than this share of apps or tasks, and no event tells why, is held; 100 holds none";
    HoldFor "catalog.hold_for" "MCONN_HOLD_FOR" "hold-for", MS, D::Text("120000"), S::Open,
        "ms after which such a listing is believed; 0 believes it at once";
    ReadinessPoll "catalog.readiness_poll" "MCONN_READINESS_POLL" "readiness-poll", MS, D::Text("2000"), S::Open,
        "ms between requests for an app whose readiness check is pending";

    QueueLimit "queue.limit" "MCONN_QUEUE_LIMIT" "queue-limit", COUNT, D::Text("100000"), S::Open,
        "events waiting at most; above it 503";
    QueueRetries "queue.retries" "MCONN_QUEUE_RETRIES" "queue-retries", COUNT, D::Text("3"), S::Open,
        "further attempts at a failed task";
    QueueRetryBackoff "queue.retry_backoff" "MCONN_QUEUE_RETRY_BACKOFF" "queue-retry-backoff", MS, D::Text("1000"),
        S::Open, "ms before the first retry, doubled for each further one";
    QueueRetryBackoffMax "queue.retry_backoff_max" "MCONN_QUEUE_RETRY_BACKOFF_MAX" "queue-retry-backoff-max", MS,
        D::Text("60000"), S::Open, "ms before a retry at most";
    DeadLetterLimit "queue.dead_letter_limit" "MCONN_DEAD_LETTER_LIMIT" "dead-letter-limit", COUNT, D::Text("10000"),
        S::Open, "tasks kept per module that failed for good";
    ModuleConcurrency "modules.concurrency" "MCONN_MODULE_CONCURRENCY" "module-concurrency", K::List, D::Text("1"),
        S::Open, "tasks a module works on at a time: a number for all, or Module=N";
    SyncGuardShare "modules.sync_guard_share" "MCONN_SYNC_GUARD_SHARE" "sync-guard-share", K::Number("0-1"),
        D::Text("0.5"), S::Open, "share of an inventory that one sync may remove without a second one that agrees";
    SyncGuardItems "modules.sync_guard_items" "MCONN_SYNC_GUARD_ITEMS" "sync-guard-items", COUNT, D::Text("500"),
        S::Open, "up to this many removals the guard never holds";
}

impl Name {
    /// Its row.
    pub(crate) fn setting(self) -> &'static Setting {
        &SETTINGS[self as usize]
    }
}

/// The key that looks most like `unknown`, if one is near enough to be meant.
pub(crate) fn nearest_key(unknown: &str) -> Option<&'static str> {
    let leaf = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let scored = SETTINGS.iter().map(|s| {
        // The right word in the wrong table is as near as one wrong letter.
        let same_leaf = if leaf(s.key) == leaf(unknown) { 1 } else { usize::MAX };
        (distance(s.key, unknown).min(same_leaf), s.key)
    });
    scored.min().filter(|(distance, _)| *distance <= unknown.len() / 3 + 1).map(|(_, key)| key)
}

/// Letters to insert, delete or replace until `a` is `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replace = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_at_its_place_and_no_name_is_used_twice() {
        let mut seen = HashSet::new();
        for (i, s) in SETTINGS.iter().enumerate() {
            assert_eq!(s.name as usize, i, "{}", s.key);
            assert!(
                seen.insert(s.key) && seen.insert(s.env) && seen.insert(s.flag),
                "{} is used twice",
                s.key
            );
            let flag = s.env.strip_prefix("MCONN_").unwrap_or(s.env).to_lowercase().replace('_', "-");
            assert_eq!(s.flag, flag, "the flag is the variable in small letters, without MCONN_");
            assert_eq!(s.key.split('.').count(), 2, "{}: a key is a table and a word", s.key);
        }
    }

    #[test]
    fn info_shows_the_sixteen_of_the_original_in_its_order() {
        let names: Vec<_> =
            SETTINGS[..INFO_ROWS].iter().map(|s| s.env.trim_start_matches("MCONN_")).collect();
        assert_eq!(
            names.join(" "),
            "LOGGER_LEVEL HOST PORT PATH QUEUE_TIMEOUT MODULE_PATH MODULE_PREPARE MODULE_START MODULE_SYNC_TIME \
             ZK_HOSTS ZK_PATH ZK_SESSION_TIMEOUT ZK_SPIN_DELAY ZK_RETRIES MARATHON_HOSTS MARATHON_SSL"
        );
    }

    #[test]
    fn hints_name_the_key_that_was_meant_or_none() {
        let cases = [
            ("node.hots", Some("node.host")),
            ("nodes.host", Some("node.host")),
            ("queue.data_dir", Some("store.data_dir")),
            ("marathon.host", Some("marathon.hosts")),
            ("completely.different", None),
        ];
        for (given, wanted) in cases {
            assert_eq!(nearest_key(given), wanted, "{given}");
        }
    }
}
