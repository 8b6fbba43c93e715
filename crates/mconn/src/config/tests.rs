//! Layers, defaults and secrets, for every setting of the table.

use std::time::Duration;

use super::problem::ConfigErrors;
use super::setting::Default as D;
use super::table::{Name, SETTINGS};
use super::*;

/// A secret that no output may have in it.
const HUSH: &str = "hush";

fn resolve(environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Raw::new().with_environment(environment.iter().copied()).resolve()
}

fn config(environment: &[(&str, &str)]) -> Config {
    resolve(environment).unwrap()
}

fn errors(environment: &[(&str, &str)]) -> Vec<String> {
    lines(&resolve(environment).unwrap_err())
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.problems().iter().map(ToString::to_string).collect()
}

fn shown(config: &Config, name: Name) -> (&str, String) {
    let value = &config.values()[name as usize];
    (&value.shown, value.origin.to_string())
}

/// Three texts that fit a setting, no two of them alike.
fn three(name: Name) -> [&'static str; 3] {
    match name {
        Name::LoggerLevel => ["1", "2", "4"],
        Name::ModulePrepare | Name::MarathonSsl => ["false", "true", ""],
        Name::MarathonVerify => ["false", "true", "false"],
        Name::Store => ["memory", "zookeeper", "embedded"],
        Name::LogFormat => ["json", "classic", "json"],
        Name::Intake => ["stream", "callback", "both"],
        Name::Unreachable => ["remove", "keep", "drain"],
        Name::Bind => ["127.0.0.1", "::", "10.0.0.1"],
        Name::CallbackUrl => ["http://a/q", "http://b/q", "https://c/q"],
        Name::SyncGuardShare => ["0.1", "0.2", "1"],
        Name::MarathonCompareMin => ["1000", "2000", "3000"],
        Name::MarathonCompareMax => ["3000000", "4000000", "5000000"],
        Name::QueueRetryBackoff => ["1", "2", "3"],
        Name::ZkAuth => ["ann:a", "bob:b:c", ""],
        Name::ZkHosts => ["a", "b:1,[::1]:2", ""],
        Name::Credentials => ["", "a:b", "c"],
        Name::MarathonHosts => ["a:1", "b:2,https://c/marathon", ""],
        Name::DcosCredential => ["ann:a", "file:///run/secrets/dcos", ""],
        Name::DcosLoginEndpoint => ["http://a/login", "https://b/login", ""],
        Name::MarathonId => ["north", "south", ""],
        Name::MarathonClusters => ["x=d:1", "x=https://u:hush@d:1/m|e:2,y=f:3", ""],
        Name::MarathonReady => ["any", "none", "all"],
        _ => ["100001", "100002", "100003"],
    }
}

/// As [`three`], within the bounds of small numbers.
fn texts(name: Name) -> [&'static str; 3] {
    match name {
        Name::Port => ["1", "2", "65535"],
        Name::PanicBelow | Name::HoldShare => ["1", "2", "100"],
        Name::QueueRetries | Name::ModuleConcurrency => ["1", "2", "1000"],
        _ => three(name),
    }
}

fn masked(name: Name, text: &str) -> String {
    secret::mask(name.setting().secret, text)
}

#[test]
fn every_setting_has_its_default() {
    let none = config(&[]);
    for s in SETTINGS {
        let (text, origin) = shown(&none, s.name);
        assert_eq!(origin, "default", "{}", s.key);
        match s.default {
            D::Text(default) | D::Fallback { text: default, .. } => assert_eq!(text, default, "{}", s.key),
            D::Derived(_) => {}
        }
    }
    assert_eq!(shown(&none, Name::LoggerLevel).0, "3");
    assert_eq!(shown(&none, Name::HelloWorldDelay).0, "250");
    assert_eq!(shown(&none, Name::MarathonVerify).0, "false");
    assert_eq!(shown(&none, Name::DataDir).0, "./mconn-data/mconn/127.0.0.1_1234");
    assert_eq!(shown(&none, Name::Store).0, "embedded");
    assert_eq!(none.warnings, [""; 0]);
}

#[test]
fn every_setting_can_be_set_by_file_environment_and_flag_in_this_order() {
    for s in SETTINGS {
        let (area, key) = s.key.split_once('.').unwrap();
        let [by_file, by_env, by_flag] = texts(s.name);
        let file = format!("# first\n[{area}]\n{key} = \"{by_file}\"\n");
        let expect = |raw: Raw, text: &str, origin: String| {
            let config = raw.resolve().unwrap_or_else(|e| panic!("{}: {e}", s.key));
            assert_eq!(shown(&config, s.name), (masked(s.name, text).as_str(), origin), "{}", s.key);
        };
        let raw = Raw::new().with_file("m.toml", &file);
        expect(raw.clone(), by_file, "file m.toml:3".to_owned());
        let raw = raw.with_environment([(s.env, by_env)]);
        expect(raw.clone(), by_env, format!("environment ${}", s.env));
        expect(raw.with_flags([(s.flag, by_flag)]), by_flag, format!("flag --{}", s.flag));
        // Layers may come in any order.
        let reversed = Raw::new().with_flags([(s.flag, by_flag)]).with_environment([(s.env, by_env)]);
        expect(reversed.with_file("m.toml", &file), by_flag, format!("flag --{}", s.flag));
    }
}

#[test]
fn fallback_variables_stand_in_and_give_way() {
    for s in SETTINGS {
        let D::Fallback { env, suffix, text } = s.default else { continue };
        let [value, given, _] = texts(s.name);
        let with = config(&[(env, value)]);
        let wanted = masked(s.name, &format!("{value}{suffix}"));
        assert_eq!(shown(&with, s.name), (wanted.as_str(), format!("fallback ${env}")));
        assert_eq!(shown(&config(&[(env, "")]), s.name).0, text, "an empty fallback counts as absent");
        assert_eq!(shown(&config(&[(env, value), (s.env, given)]), s.name).0, masked(s.name, given));
    }
    let linked = [("ALIAS_PORT_2181_TCP_ADDR", "10.0.0.9"), ("MCONN_STORE", "zookeeper")];
    assert_eq!(zookeeper(&linked).place(), "10.0.0.9:2181/mconn");
}

#[test]
fn an_empty_variable_wins_over_its_default() {
    let c = config(&[
        ("MCONN_MODULE_START", ""),
        ("MCONN_MARATHON_HOSTS", ""),
        ("MCONN_MODULE_PATH", ""),
        ("MESOS_SANDBOX", "/s"),
    ]);
    assert!(c.modules.start.is_empty() && c.marathon.clusters.is_empty());
    assert_eq!(c.modules.path, std::path::PathBuf::new());
    assert_eq!(shown(&c, Name::ModulePath), ("", "environment $MCONN_MODULE_PATH".to_owned()));
}

#[test]
fn under_marathon_four_variables_are_enough() {
    let c = config(&[
        ("HOST", "agent-1"),
        ("PORT0", "31999"),
        ("MARATHON_APP_ID", "/infra/mconn"),
        ("MESOS_SANDBOX", "/mnt/mesos/sandbox"),
    ]);
    assert_eq!(c.node.authority(), "agent-1:31999");
    let data_dir = "/mnt/mesos/sandbox/mconn-data/infra%2Fmconn/agent-1_31999".into();
    assert_eq!(c.store, Store::Embedded { data_dir });
    assert!(c.warnings[0].contains("works alone"), "{:?}", c.warnings);
    assert!(c.warnings[1].contains("lost with this task"), "{:?}", c.warnings);
    let kept = config(&[("MESOS_SANDBOX", "/s"), ("MCONN_DATA_DIR", "/data")]);
    assert_eq!((kept.store, kept.warnings.len()), (Store::Embedded { data_dir: "/data".into() }, 0));
}

/// Where this configuration shares its state.
fn zookeeper(environment: &[(&str, &str)]) -> mconn_zookeeper::Settings {
    match config(environment).store {
        Store::ZooKeeper { settings, .. } => *settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_names_zookeepers_hosts_shares_state_there() {
    let hosts = ("MCONN_ZK_HOSTS", "a:1, b");
    let under_marathon = ("MARATHON_APP_ID", "/infra/mconn");
    let settings = zookeeper(&[hosts, under_marathon, ("MCONN_ZK_SPIN_DELAY", "70")]);
    assert_eq!(settings.place(), "a:1,b:2181/infra/mconn");
    assert_eq!(
        (settings.session_timeout, settings.retry_pause),
        (Duration::from_secs(1), Duration::from_millis(70))
    );
    assert_eq!(zookeeper(&[("MCONN_STORE", "zookeeper")]).place(), "leader.mesos:2181/mconn");
    // A container's link to ZooKeeper's port, as the original took it.
    assert_eq!(zookeeper(&[("ALIAS_PORT_2181_TCP_ADDR", "10.0.0.9")]).place(), "10.0.0.9:2181/mconn");
    for alone in [("MCONN_ZK_HOSTS", ""), ("MCONN_ZK_PATH", "/m"), ("MCONN_STORE", "embedded")] {
        let alone = config(&[alone]);
        assert!(matches!(alone.store, Store::Embedded { .. }) && alone.warnings.is_empty(), "{alone:?}");
    }
    let told = config(&[hosts, ("MCONN_STORE", "embedded"), ("MCONN_HOST", "n")]);
    assert!(matches!(told.store, Store::Embedded { .. }));
    assert!(
        told.warnings.len() == 1 && told.warnings[0].contains("MCONN_STORE=embedded"),
        "{:?}",
        told.warnings
    );
    for (host, warnings) in [("127.0.0.1", 1), ("localhost", 1), ("[::1]", 1), ("node-1", 0), ("10.0.0.1", 0)]
    {
        assert_eq!(config(&[hosts, ("MCONN_HOST", host)]).warnings.len(), warnings, "{host}");
    }
}

#[test]
fn what_does_not_fit_of_zookeeper_is_told_without_its_secret() {
    let got = errors(&[("MCONN_ZK_HOSTS", "a:x"), ("MCONN_ZK_AUTH", HUSH)]);
    assert!(
        got.iter().any(|it| it.contains("MCONN_ZK_HOSTS") && it.contains("is no ZooKeeper host")),
        "{got:?}"
    );
    assert!(got.iter().any(|it| it.contains("MCONN_ZK_AUTH") && it.contains("user:password")), "{got:?}");
    assert!(!got.concat().contains(HUSH), "{got:?}");
    let path = errors(&[("MCONN_ZK_HOSTS", "a"), ("MCONN_ZK_PATH", "/zookeeper/x")]);
    assert!(path[0].contains("MCONN_ZK_PATH") && path[0].contains("belongs to ZooKeeper"), "{path:?}");
    // Where it is not used, an old deployment may have anything.
    config(&[("MCONN_ZK_HOSTS", "a:x"), ("MCONN_STORE", "embedded")]);
    let secret = config(&[("MCONN_ZK_HOSTS", "a"), ("MCONN_ZK_AUTH", "ann:hush")]);
    assert_eq!(shown(&secret, Name::ZkAuth).0, "***");
    assert!(!format!("{secret:?}").contains(HUSH));
}

#[test]
fn values_become_strict_types() {
    let c = config(&[
        ("NODE_ENV", "development"),
        ("MCONN_MODULE_START", "Test, HelloWorld,"),
        ("MCONN_MODULE_CONCURRENCY", "Test=4"),
        ("MCONN_MARATHON_SSL", "true"),
        ("MCONN_MARATHON_HOSTS", "me:hush@a,b:1"),
        ("MCONN_MODULE_HELLOWORLD_DELAY", "7"),
        ("MCONN_INTAKE", "callback"),
        ("MCONN_UNREACHABLE", "keep"),
        ("MCONN_PANIC_BELOW", "25"),
        ("LOGGER_MUTED", "no"),
    ]);
    assert!(c.node.development && c.log.muted && c.log.level == crate::logging::Level::Debug);
    assert_eq!(c.modules.start, ["Test", " HelloWorld"]);
    let [cluster] = &*c.marathon.clusters else { panic!("one Marathon") };
    assert_eq!(format!("{:?}", cluster.hosts), "[***:***@a:443, b:1]");
    assert_eq!((cluster.name.as_str(), cluster.mark()), ("a:443,b:1", None));
    assert!(cluster.hosts.iter().all(|host| host.tls));
    assert!(!c.marathon.intake.takes_stream() && c.marathon.intake.takes_callbacks());
    let policy = (c.catalog.unreachable, c.catalog.panic_below);
    assert_eq!(policy, (mconn_catalog::UnreachablePolicy::Keep, 25));
    assert_eq!(c.modules.hello_world_delay, Some(Duration::from_millis(7)));
    assert_eq!(config(&[]).modules.hello_world_delay, None);
}

#[test]
fn https_without_verification_is_said_aloud() {
    let unverified = |environment: &[(&str, &str)]| {
        let c = config(environment);
        (c.marathon.verify, c.warnings.iter().any(|w| w.contains("is not verified")))
    };
    let ssl = ("MCONN_MARATHON_SSL", "true");
    assert_eq!(unverified(&[ssl]), (false, true));
    assert_eq!(unverified(&[ssl, ("MCONN_MARATHON_CA_FILE", "/ca.pem")]), (true, false));
    assert_eq!(unverified(&[ssl, ("MCONN_MARATHON_VERIFY", "true")]), (true, false));
    assert_eq!(
        unverified(&[ssl, ("MCONN_MARATHON_CA_FILE", "/ca"), ("MCONN_MARATHON_VERIFY", "false")]),
        (false, true)
    );
    assert_eq!(unverified(&[("MCONN_MARATHON_HOSTS", "a:1,https://b/marathon")]), (false, true));
    assert_eq!(unverified(&[ssl, ("MCONN_MARATHON_HOSTS", "http://a:1")]), (false, false));
    assert_eq!(unverified(&[]), (false, false));
    let loose = config(&[("MCONN_MARATHON_SSL", "TRUE")]);
    assert!(!loose.marathon.clusters[0].hosts[0].tls && loose.warnings[0].contains("counts as false"));
}

#[test]
fn several_marathons_have_names_and_hosts_of_their_own() {
    let c = config(&[
        ("MCONN_MARATHON_HOSTS", "a:1,b:1"),
        ("MCONN_MARATHON_NAME", "north"),
        ("MCONN_MARATHON_CLUSTERS", "east=https://c|d, west=e:1"),
    ]);
    let one = |c: &Cluster| (c.name.to_string(), c.mark().is_some(), c.hosts.iter().all(|host| host.tls));
    let names: Vec<_> = c.marathon.clusters.iter().map(one).collect();
    let wanted = [("north", false, false), ("east", true, true), ("west", true, false)];
    assert_eq!(names, wanted.map(|(name, marked, tls)| (name.to_owned(), marked, tls)));
    assert!(c.warnings.len() == 1 && c.warnings[0].contains("by https (east), but"), "{:?}", c.warnings);
    let file = "marathon = { hosts = [], clusters = ['east=c:1|d:1', 'west=e:1'] }";
    let c = Raw::new().with_file("m.toml", file).resolve().unwrap();
    assert_eq!(c.marathon.clusters.len(), 2);
    assert!(c.marathon.clusters.iter().all(|cluster| !cluster.first));
    let c = config(&[("MCONN_MARATHON_CLUSTERS", "east=c:1")]);
    assert!(c.warnings[0].starts_with("MCONN_MARATHON_HOSTS is not set, so leader.mesos:8080 is followed"));
}

#[test]
fn one_marathon_is_never_followed_twice() {
    let clusters = |hosts, name, clusters| {
        errors(&[
            ("MCONN_MARATHON_HOSTS", hosts),
            ("MCONN_MARATHON_NAME", name),
            ("MCONN_MARATHON_CLUSTERS", clusters),
        ])
        .join("\n")
    };
    let cases = [
        (("a:1", "", "east=b:1|A:1"), "A:1 is in a:1 and in east"),
        (("a:1", "east", "east=u:hush@b:1"), "that of MCONN_MARATHON_HOSTS is east, too"),
        (("", "", "east=a:1,east=b:1"), "entries 1 and 2 have the same"),
        (("", "", "east=a:1,=b:1"), "of 64 bytes at most (entry 2)"),
        (("a:1", "no name", ""), "MCONN_MARATHON_NAME: the value \"no name\" does not fit"),
    ];
    for ((hosts, name, further), wanted) in cases {
        let got = clusters(hosts, name, further);
        assert!(got.contains(wanted) && !got.contains(HUSH) && !got.contains('\n'), "{got}");
    }
}

#[test]
fn all_errors_are_reported_at_once_with_place_value_and_expectation() {
    let raw = Raw::new()
        .with_file("m.toml", "[queue]\nlimit = 0\n\n[node]\nhots = \"a\"\nport = [1]\n[nowhere]\nx = 1\n")
        .with_environment([("PORT0", "http"), ("MCONN_LOGGER_LEVEL", "5"), ("MCONN_STORE", "cloud")])
        .with_flags([("bind", "eth0")]);
    insta::assert_snapshot!(lines(&raw.resolve().unwrap_err()).join("\n"), @r#"
    m.toml:5: unknown key "node.hots", did you mean "node.host"?
    m.toml:6: node.port is an array, expected one value
    m.toml:7: unknown key "nowhere"
    PORT0 (in place of MCONN_PORT): the value "http" does not fit, expected a whole number from 0 to 65535
    --bind: the value "eth0" does not fit, expected an IP address such as 0.0.0.0, :: or 127.0.0.1
    MCONN_LOGGER_LEVEL: the value "5" does not fit, expected a whole number from 1 to 4
    MCONN_STORE: the value "cloud" does not fit, expected embedded, memory or zookeeper
    m.toml:2 (queue.limit): the value "0" does not fit, expected a whole number from 1 to 100000000
    "#);
}

#[test]
fn the_catalog_is_set_as_its_own_defaults_say() {
    let (ours, theirs) = (config(&[]).catalog, mconn_catalog::Settings::default());
    assert_eq!(ours.panic_below, theirs.panic_below);
    assert_eq!(ours.unreachable, theirs.unreachable);
    assert_eq!((ours.hold_share, ours.hold_for), (theirs.hold_share, theirs.hold_for));
    assert_eq!(ours.readiness_poll, theirs.readiness_poll);
}

#[test]
fn bad_numbers_never_start_a_node() {
    for s in SETTINGS.iter().filter(|s| matches!(s.kind, setting::Kind::Number(_))) {
        for bad in ["", "abc", "-1", "1e400", "99999999999999999999", "1.5.2"] {
            let got = errors(&[(s.env, bad)]);
            assert!(
                got.len() == 1 && got[0].starts_with(&format!("{}: the value {bad:?}", s.env)),
                "{got:?}"
            );
        }
    }
    let crossed = errors(&[("MCONN_MARATHON_COMPARE_MIN", "300001")]);
    assert_eq!(
        crossed,
        [
            "MCONN_MARATHON_COMPARE_MIN: \"300001\" is above MCONN_MARATHON_COMPARE_MAX (300000), expected at most that"
        ]
    );
}

#[test]
fn toml_values_may_have_their_own_types() {
    let text = "
        node.port = 0x4D2
        marathon = { hosts = ['a:1', 'b:2'], ssl = true, verify = true }
        sync = 1
        [logger]
        muted = false
        [queue]
        limit = 1_000
        [modules]
        sync_guard_share = 0.25
    ";
    let errors = Raw::new().with_file("m.toml", text).resolve().unwrap_err();
    assert_eq!(lines(&errors), ["m.toml:4: unknown key \"sync\""]);
    let c = Raw::new().with_file("m.toml", &text.replace("sync = 1", "")).resolve().unwrap();
    assert_eq!((c.node.port, c.queue.limit, c.modules.sync_guard.share), (1234, 1000, 0.25));
    assert!(
        c.marathon.clusters[0].hosts[0].tls
            && c.marathon.verify
            && c.marathon.clusters[0].hosts.len() == 2
            && !c.log.muted
    );
    let muted = Raw::new().with_file("m.toml", "logger.muted = true").resolve().unwrap();
    assert!(muted.log.muted);
}

#[test]
fn a_broken_file_is_named_by_its_line_and_not_shown() {
    let text = "[http]\ncredentials = \"me:hush\n";
    let errors = Raw::new().with_file("m.toml", text).resolve().unwrap_err();
    assert!(errors.to_string().starts_with("m.toml:2: ") && !errors.to_string().contains(HUSH), "{errors}");
}

#[test]
fn unknown_variables_get_a_warning() {
    let c = config(&[
        ("MCONN_QUEUE_LIMITS", HUSH),
        ("MCONN_TEST_PATH", "/t"),
        ("MCONN_CONFIG", "m.toml"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(
        c.warnings,
        ["The environment variable \"MCONN_QUEUE_LIMITS\" is not known and has no effect"]
    );
}

#[test]
fn malformed_credentials_switch_off_with_a_warning() {
    for text in ["hush", "a:hush:c"] {
        let c = config(&[("MCONN_CREDENTIALS", text)]);
        assert_eq!(c.http.credentials, HttpCredentials::Malformed);
        assert!(c.warnings[0].starts_with(
            "\"MCONN_CREDENTIALS\" has an invalid formatting and basic-auth has been disabled!"
        ));
        assert!(!everything(&c).contains(HUSH));
    }
    assert_eq!(config(&[("MCONN_CREDENTIALS", "")]).http.credentials, HttpCredentials::Off);
}

/// All that a configuration can show of itself.
fn everything(c: &Config) -> String {
    format!("{c:?} {c:#?} {:?} {:?} {} {:?}", c.info_env(), c.start_lines(), explain(c), c.warnings)
}

#[test]
fn no_output_shows_a_secret() {
    let secrets = [
        ("MCONN_CREDENTIALS", "hush:hush"),
        ("MCONN_MARATHON_HOSTS", "hush:hush@a:1,hush@b:2,hush:hu,sh:hush@c:3"),
        ("MCONN_CALLBACK_URL", "http://hush:hush@n/v1/queue?token=hush"),
        ("MCONN_MARATHON_CLUSTERS", "x=hush:hush@d:1,y=https://hush:hush@e|hush@f"),
    ];
    let raw = Raw::new().with_environment(secrets);
    assert!(!format!("{raw:?}").contains(HUSH));
    // A comma in a password makes the hosts unreadable: an error, and it does not tell either.
    let errors = raw.resolve().unwrap_err();
    assert!(!format!("{errors} {errors:?}").contains(HUSH), "{errors}");
    assert!(errors.to_string().contains("***:***@c:3"), "{errors}");

    let good = [secrets[0], ("MCONN_MARATHON_HOSTS", "hush:hush@a:1,hush@b:2"), secrets[2], secrets[3]];
    let c = config(&good);
    assert!(!everything(&c).contains(HUSH), "{}", everything(&c));
    let HttpCredentials::On(credentials) = &c.http.credentials else { panic!("on") };
    assert_eq!((credentials.reveal_user(), credentials.reveal_password()), (HUSH, HUSH));
    assert_eq!(c.marathon.callback_url.as_ref().unwrap().reveal().password(), Some(HUSH));
    let hosts = c.info_env().into_iter().find(|(name, _)| *name == "MCONN_MARATHON_HOSTS").unwrap().1;
    assert_eq!(hosts, "***:***@a:1,***:***@b:2");

    let bad = [
        ("MCONN_CALLBACK_URL", "hush://hush@"),
        ("MCONN_MARATHON_HOSTS", "hush:hush@a:hush"),
        ("MCONN_MARATHON_CLUSTERS", "x=hush:hush@a:1,hush:hush@b"),
    ];
    let errors = resolve(&bad).unwrap_err();
    assert_eq!(errors.problems().len(), 3);
    assert!(!format!("{errors} {errors:?}").contains(HUSH), "{errors}");
    let flags = Raw::new().with_flags([("credentials", "hush:hush")]);
    assert!(!everything(&flags.resolve().unwrap()).contains(HUSH));
}

#[test]
fn a_login_to_dcos_is_read_and_never_shown() {
    let of = |environment: &[(&str, &str)]| config(environment).marathon.dcos;
    assert!(of(&[]).is_none() && of(&[("MCONN_DCOS_LOGIN_ENDPOINT", "https://a/login")]).is_none());
    let inline = config(&[
        ("DCOS_SERVICE_ACCOUNT_CREDENTIAL", r#"{"uid":"ann","password":"hush"}"#),
        ("MCONN_DCOS_LOGIN_ENDPOINT", "https://a/login?hush"),
        ("MCONN_MARATHON_HOSTS", "me:hush@a:1"),
    ]);
    let dcos = inline.marathon.dcos.as_ref().unwrap();
    assert!(matches!(&dcos.credential, DcosSource::Inline(who) if who.uid() == "ann"));
    assert_eq!(dcos.login_endpoint.as_ref().unwrap().reveal().path(), "/login");
    assert!(inline.warnings.iter().any(|w| w.contains("no token of DC/OS")), "{:?}", inline.warnings);
    let unverified = |c: &Config| c.warnings.iter().any(|w| w.contains("the login endpoint is not verified"));
    assert!(unverified(&inline));
    assert!(!unverified(&config(&[("MCONN_DCOS_CREDENTIAL", "a:b"), ("MCONN_MARATHON_VERIFY", "true")])));
    assert!(!everything(&inline).contains(HUSH), "{}", everything(&inline));
    let named = ("MCONN_MARATHON_CLUSTERS", "east=a:1|https://b/service/m,west=https://u:hush@c");
    let several =
        config(&[("MCONN_DCOS_CREDENTIAL", "a:hush"), ("MCONN_MARATHON_HOSTS", "http://a/m"), named]);
    let beside = |c: &Cluster| c.beside.as_ref().map(ToString::to_string);
    let beside: Vec<_> = several.marathon.clusters.iter().map(beside).collect();
    let wanted = ["http://a/acs/api/v1/auth/login", "https://b/acs/api/v1/auth/login"];
    assert_eq!(beside, [Some(wanted[0].to_owned()), Some(wanted[1].to_owned()), None]);
    assert!(several.warnings.iter().any(|w| w.contains("a host in MCONN_MARATHON_CLUSTERS: that host")));
    let file = of(&[("MCONN_DCOS_CREDENTIAL", "file:///run/secrets/dcos")]).unwrap();
    assert!(
        matches!(file.credential, DcosSource::File(path) if path == std::path::Path::new("/run/secrets/dcos"))
    );

    for bad in ["hush", "file://hush", "{\"uid\":\"ann\",\"private_key\":\"hush\"}", "{hush"] {
        let errors = resolve(&[("MCONN_DCOS_CREDENTIAL", bad)]).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains(HUSH), "{errors}");
        assert!(
            errors.to_string().contains("MCONN_DCOS_CREDENTIAL")
                && errors.to_string().contains("file:///path")
        );
    }
}

#[test]
fn start_lines_have_the_form_of_the_original() {
    let lines =
        config(&[("MCONN_HOST", "me"), ("PORT0", "80"), ("MCONN_CREDENTIALS", "a:hush")]).start_lines();
    assert_eq!(lines.len(), SETTINGS.len());
    let wanted = [
        "ENV \"MCONN_HOST=me\", name or address under which other nodes and browsers reach this node",
        "ENV \"MCONN_PORT=80\", default value, HTTP port; 0 takes a free one",
        "ENV \"MCONN_CREDENTIALS=***\", user:password that clients must give; empty asks nobody",
    ];
    assert_eq!([&lines[1], &lines[2], &lines[16]], wanted);
}

#[test]
fn explain_shows_values_and_origins_in_columns() {
    let raw = Raw::new()
        .with_file("/etc/mconn.toml", "[queue]\nlimit = 5\n")
        .with_environment([("HOST", "me"), ("MCONN_PATH", "/a\nb")])
        .with_flags([("zk-path", "/ns")]);
    let text = explain(&raw.resolve().unwrap());
    let row = |key: &str| {
        text.lines().find(|l| l.starts_with(key)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("queue.limit "), "queue.limit 5 file /etc/mconn.toml:2");
    assert_eq!(row("node.host"), "node.host me fallback $HOST");
    assert_eq!(row("node.path"), "node.path /a\\nb environment $MCONN_PATH");
    assert_eq!(row("zookeeper.path"), "zookeeper.path /ns flag --zk-path");
    assert_eq!(row("modules.start"), "modules.start (empty) default");
    let column = |needle: &str| text.lines().find_map(|l| l.find(needle)).unwrap();
    assert_eq!(column("fallback $HOST"), column("flag --zk-path"));
}

#[test]
fn flags_and_help_come_from_the_table() {
    let mut command = clap::Command::new("t").args(arguments());
    command.build();
    command.clone().debug_assert();
    let matches = command.clone().get_matches_from(["t", "--port", "80", "--module-start="]);
    assert_eq!(given_flags(&matches), [("port", "80".to_owned()), ("module-start", String::new())]);
    let help = command.render_long_help().to_string();
    for s in SETTINGS {
        assert!(help.contains(&format!("--{}", s.flag)) && help.contains(s.env), "{}", s.key);
    }
}
