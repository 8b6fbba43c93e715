//! The command line as a user meets it.

use mconn_tests::{Node, Sim, run_to_end, status_update, until};
use tempfile::TempDir;

struct Done {
    code: i32,
    out: String,
    err: String,
}

fn mconn(args: &[&str], env: &[(&str, &str)]) -> Done {
    let output = run_to_end(args, env);
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn presets_queue_modules_and_inventory_from_the_shell() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(&dir, &[]);
    let url = [("MCONN_URL", node.url.as_str())];
    let run = |args: &[&str]| {
        let done = mconn(args, &url);
        assert_eq!(done.code, 0, "{args:?}: {}{}", done.out, done.err);
        done.out
    };
    let options = r#"{"actions": {"add": "Moin", "remove": "Tschues"}}"#;
    assert_eq!(
        run(&["preset", "set", "Test", "/g/app", "--options", options]),
        "AppId for module Test created: /g/app\n"
    );
    assert!(run(&["preset", "list"]).contains("/g/app"));
    assert!(run(&["preset", "get", "Test", "g/app"]).contains("\"Moin\""));
    run(&["preset", "disable", "Test", "/g/app"]);
    assert!(run(&["preset", "list", "Test"]).contains("disabled"));
    run(&["preset", "enable", "Test", "/g/app"]);
    assert!(run(&["module", "pause", "Test"]).contains("paused"));
    assert!(
        run(&["queue", "post", "/g/app", "g_app.1", "TASK_RUNNING", "--port", "31000"])
            .contains("g_app.1_TASK_RUNNING")
    );
    assert!(run(&["queue", "list"]).contains("g_app.1"));
    assert!(run(&["module", "queue", "Test"]).contains("idle"));
    assert!(run(&["module", "resume", "Test"]).contains("running"));
    until("it is done", async || node.api.inventory("Test").await == ["g_app.1"]).await;
    assert!(run(&["inventory", "Test"]).contains("g_app.1"));
    assert!(run(&["inventory", "Test", "--json"]).trim_start().starts_with('['));
    assert!(run(&["module", "list"]).contains("Test"));
    assert!(run(&["sync"]).contains("Force sync of all modules"));
    run(&["preset", "delete", "Test", "/g/app"]);

    let missing = mconn(&["preset", "get", "Test", "/nope"], &url);
    assert_eq!(missing.code, 1);
    assert!(missing.err.starts_with("error: ") && missing.err.contains("hint: "), "{}", missing.err);
    assert_eq!(mconn(&["inventory", "Nope"], &url).err.lines().next(), Some("error: Module not found: Nope"));
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_dropped() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(&dir, &[("MCONN_QUEUE_RETRIES", "1"), ("MCONN_QUEUE_RETRY_BACKOFF", "10")]);
    let url = [("MCONN_URL", node.url.as_str())];
    let failing = r#"{"test": {"fail": true}}"#;
    assert_eq!(mconn(&["preset", "set", "Test", "/a", "--options", failing], &url).code, 0);
    for task in ["a.1", "a.2"] {
        node.api.post("/v1/queue", &status_update(task, "TASK_RUNNING", "/a")).await;
    }
    until("both have failed", async || {
        let letters = node.api.get("/v1/module/dead-letters/Test").await.json;
        letters.as_array().is_some_and(|letters| letters.len() == 2)
    })
    .await;
    let listed = mconn(&["module", "dead-letters", "Test"], &url).out;
    assert!(listed.contains("a.1_TASK_RUNNING") && listed.contains("options.test.fail"), "{listed}");
    let number = |task: &str| {
        let line = listed.lines().find(|line| line.contains(task)).expect("its line");
        line.split_whitespace().next().expect("its number").to_owned()
    };
    assert_eq!(mconn(&["module", "drop", "Test", &number("a.1")], &url).code, 0);
    let working = r#"{"actions": {"add": "Moin", "remove": "Tschues"}}"#;
    mconn(&["preset", "set", "Test", "/a", "--options", working], &url);
    assert_eq!(mconn(&["module", "retry", "Test", "all"], &url).code, 0);
    until("the retry works", async || node.api.inventory("Test").await == ["a.2"]).await;
    until("nothing is left", async || {
        node.api.get("/v1/module/dead-letters/Test").await.json == serde_json::json!([])
    })
    .await;
}

#[test]
fn wrong_usage_and_configuration_end_with_64() {
    assert_eq!(mconn(&["serve", "--no-such-flag"], &[]).code, 64);
    let wrong = mconn(&["serve"], &[("MCONN_PORT", "many"), ("MCONN_QUEUE_TIMEOUT", "soon")]);
    assert_eq!(wrong.code, 64);
    assert!(
        wrong.err.contains("MCONN_PORT") && wrong.err.contains("MCONN_QUEUE_TIMEOUT"),
        "both: {}",
        wrong.err
    );
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("mconn.toml");
    std::fs::write(&file, "[node]\nhots = \"x\"\n").unwrap();
    let wrong = mconn(&["serve", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.err.contains("node.hots") && wrong.err.contains("node.host"), "{}", wrong.err);
    let zookeeper = mconn(&["serve"], &[("MCONN_STORE", "zookeeper"), ("MCONN_ZK_HOSTS", "zk1:many")]);
    assert_eq!(zookeeper.code, 64);
    assert!(
        zookeeper.err.contains("MCONN_ZK_HOSTS") && zookeeper.err.contains("zk1:many"),
        "{}",
        zookeeper.err
    );
}

#[test]
fn a_port_in_use_is_said_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = TempDir::new().unwrap();
    let env = Node::env(&dir, &[("MCONN_PORT", &port)]);
    let refused = mconn(&["serve"], &env);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains(&port) && refused.err.contains("hint: "), "{}", refused.err);
    assert!(!dir.path().join("mconn.redb").exists(), "nothing was created");
}

#[test]
fn check_says_what_holds_where_it_came_from_and_what_is_wrong() {
    let sim = Sim::start(&["--credentials", "user:secret-word"]);
    let dir = TempDir::new().unwrap();
    let hosts = format!("user:secret-word@{}", sim.address);
    let env = Node::env(&dir, &[("MCONN_MARATHON_HOSTS", &hosts)]);
    let good = mconn(&["check"], &env);
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(
        good.out.contains("environment $MCONN_MARATHON_HOSTS") && good.out.contains("ok       marathon: ")
    );
    assert!(!good.out.contains("secret-word"), "{}", good.out);

    let hosts = format!("user:wrong-word@{}", sim.address);
    let env = Node::env(&dir, &[("MCONN_MARATHON_HOSTS", &hosts), ("MCONN_MODULE_START", "Nope")]);
    let bad = mconn(&["check"], &env);
    assert_eq!(bad.code, 1);
    assert!(bad.out.contains("BAD      marathon: ") && bad.out.contains("BAD      module: "), "{}", bad.out);
    assert!(!bad.out.contains("wrong-word"), "{}", bad.out);
    assert_eq!(mconn(&["check", "--offline"], &Node::env(&dir, &[])).code, 0);
}

#[test]
fn completions_and_help_are_there() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(mconn(&["completions", shell], &[]).out.contains("mconn"));
    }
    let help = mconn(&["serve", "--help"], &[]).out;
    for name in ["MCONN_QUEUE_TIMEOUT", "MCONN_DATA_DIR", "--marathon-hosts"] {
        assert!(help.contains(name), "{name} is not in the help");
    }
}

#[test]
fn a_node_that_is_not_there_is_an_error_with_a_hint() {
    let done = mconn(&["queue", "list"], &[("MCONN_URL", "http://127.0.0.1:1")]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("hint: is it running there?"), "{}", done.err);
    assert_eq!(mconn(&["queue", "list", "--url", "nonsense"], &[]).code, 64);
}
