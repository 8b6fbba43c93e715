//! `mconn store import`: the tree of an original MConn in a real ZooKeeper becomes ours, in a data directory or in ZooKeeper.

use std::process::Output;
use std::time::Duration;

use mconn_tests::{Node, run_to_end, status_update, until};
use mconn_zookeeper::testing::{Ensemble, ORIGINAL, Options};
use mconn_zookeeper::{Session, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

fn zookeeper() -> Ensemble {
    Ensemble::start(&Options { tick: Duration::from_millis(500), ..Options::default() })
}

/// Makes the original's tree at this place; the session is for looking at it.
async fn original(place: &str) -> Session {
    let session = Session::open_once(Settings::at(place).expect("a place")).await.expect("a session");
    for (path, data) in ORIGINAL {
        session.create(path, data.as_bytes()).await.expect("a node");
    }
    session
}

/// Everything below a place, to see whether anything changed.
async fn tree(place: &str) -> Vec<(String, Vec<u8>, i32)> {
    let session = Session::visit(Settings::at(place).expect("a place")).await.expect("a session");
    let (mut open, mut found) = (vec![String::new()], Vec::new());
    while let Some(path) = open.pop() {
        let at = if path.is_empty() { "/" } else { path.as_str() };
        let (data, stat) = session.get(at).await.expect("its data");
        found.push((at.to_owned(), data, stat.version));
        let names = session.children(at).await.expect("its children");
        open.extend(names.iter().map(|name| format!("{path}/{name}")));
    }
    session.close(Duration::from_secs(5)).await;
    found.sort();
    found
}

fn run(args: &[&str]) -> Output {
    run_to_end(&[&["store", "import"], args].concat(), &[])
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// What a node serves of the fixture.
async fn check_node(node: &Node) {
    let presets = node.api.get("/v1/module/preset/HelloWorld").await.json;
    let mut apps: Vec<_> =
        presets.as_array().expect("a list").iter().map(|preset| preset["appId"].clone()).collect();
    apps.sort_by_key(Value::to_string);
    assert_eq!(apps, [json!("/bridged-webapp"), json!("/group/app"), json!("/web")]);
    assert_eq!(node.api.inventory("HelloWorld").await, ["bridged-webapp.8c1b"]);
}

#[tokio::test]
async fn an_originals_tree_goes_into_a_data_directory() {
    let zookeeper = zookeeper();
    let from = format!("{}/infra/mconn", zookeeper.hosts());
    original(&from).await;
    let before = tree(&from).await;
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();

    let dry = run(&["--from-mconn", &from, "--data-dir", path, "--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    for part in [
        "3 presets, 1 inventory items, 0 queued events",
        "nothing was changed",
        "2 events waited in its queues",
        "warning: left out, cannot be read: ",
    ] {
        assert!(said(&dry).contains(part), "{part:?} is not in:\n{}", said(&dry));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a dry run leaves nothing");

    // As Marathon's settings have it, and with the directory from the environment.
    let zk = format!("zk://{from}");
    let done = run_to_end(&["store", "import", "--from-mconn", &zk], &[("MCONN_DATA_DIR", path)]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains(&format!("imported into {path}: 3 presets, 1 inventory items")));
    assert_eq!(tree(&from).await, before, "the original's tree is not changed");

    for dry in [&[][..], &["--dry-run"]] {
        let again = run(&[&["--from-mconn", &from, "--data-dir", path], dry].concat());
        assert_eq!(again.status.code(), Some(2), "{}", said(&again));
        assert!(
            said(&again).contains("is not empty") && said(&again).contains("--replace"),
            "{}",
            said(&again)
        );
    }
    let replaced = run(&["--from-mconn", &from, "--data-dir", path, "--replace"]);
    assert!(replaced.status.success(), "{}", said(&replaced));

    check_node(&Node::start(&dir, &[("MCONN_MODULE_START", "HelloWorld")])).await;
}

#[tokio::test]
async fn an_originals_tree_goes_to_another_path_of_zookeeper() {
    let zookeeper = zookeeper();
    let hosts = zookeeper.hosts();
    let (from, to) = (format!("{hosts}/old"), format!("{hosts}/infra/new"));
    let session = original(&from).await;
    let before = tree(&from).await;

    let dry = run(&["--from-mconn", &from, "--to-zookeeper", &to, "--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("would import into ZooKeeper"), "{}", said(&dry));
    assert!(Session::visit(Settings::at(&to).unwrap()).await.is_err(), "a dry run creates nothing");

    let done = run(&["--from-mconn", &from, "--to-zookeeper", &to]);
    assert!(done.status.success(), "{}", said(&done));
    let imported = format!("imported into ZooKeeper {to}: 3 presets, 1 inventory items");
    assert!(said(&done).contains(&imported), "{}", said(&done));
    assert_eq!(tree(&from).await, before, "the original's tree is not changed");

    let after = tree(&to).await;
    for dry in [&[][..], &["--dry-run"]] {
        let again = run(&[&["--from-mconn", &from, "--to-zookeeper", &to], dry].concat());
        assert_eq!(again.status.code(), Some(2), "{}", said(&again));
        assert!(said(&again).contains("is not empty (3 presets, 1 inventory items"), "{}", said(&again));
    }
    // Nodes take it over by themselves; an import on top of it would be a mistake.
    let onto = run(&["--from-mconn", &to, "--to-zookeeper", &from, "--replace"]);
    assert_eq!(onto.status.code(), Some(2), "{}", said(&onto));
    assert!(said(&onto).contains("holds the tree of an original MConn"), "{}", said(&onto));
    assert_eq!((tree(&to).await, tree(&from).await), (after, before), "what is refused changes nothing");

    // A node goes on with it, and while it runs nothing is imported.
    session.create_member("/leader", "member_", b"{}").await.unwrap();
    let dir = TempDir::new().unwrap();
    let env = [
        ("MCONN_MODULE_START", "HelloWorld"),
        ("MCONN_ZK_HOSTS", hosts.as_str()),
        ("MCONN_ZK_PATH", "/infra/new"),
        ("MCONN_ZK_SESSION_TIMEOUT", "1000"),
    ];
    let mut node = Node::start(&dir, &env);
    check_node(&node).await;
    let refused = run(&["--from-mconn", &from, "--to-zookeeper", &to, "--replace"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    for part in ["1 node(s) run at ZooKeeper", "warning: 1 node(s) run there"] {
        assert!(said(&refused).contains(part), "{part:?} is not in:\n{}", said(&refused));
    }
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);
    let replaced = run(&["--from-mconn", &from, "--to-zookeeper", &to, "--replace"]);
    assert!(replaced.status.success(), "{}", said(&replaced));
}

#[tokio::test]
async fn an_export_goes_into_zookeeper_too() {
    let zookeeper = zookeeper();
    let from = format!("{}/old", zookeeper.hosts());
    let to = format!("{}/new", zookeeper.hosts());
    original(&from).await;
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let document = dir.path().join("export.json");
    let document = document.to_str().unwrap();
    let done = run(&["--from-mconn", &from, "--data-dir", path]);
    assert!(done.status.success(), "{}", said(&done));
    let exported = run_to_end(&["store", "export", "--data-dir", path, "--output", document], &[]);
    assert!(exported.status.success(), "{}", said(&exported));
    let shown = run_to_end(&["store", "export", "--data-dir", path, "--output", "-"], &[]);
    assert_eq!(shown.stdout, std::fs::read(document).unwrap(), "{}", said(&shown));
    let secret = run_to_end(
        &["store", "import", document, "--to-zookeeper", &to],
        &[("MCONN_ZK_AUTH", "someone:hush")],
    );
    assert!(secret.status.success(), "{}", said(&secret));
    assert!(said(&secret).contains("3 presets, 1 inventory items"), "{}", said(&secret));
    assert!(!said(&secret).contains("hush"), "{}", said(&secret));
    let strange = run(&["--from-mconn", &to, "--data-dir", path, "--replace"]);
    assert_eq!(strange.status.code(), Some(2), "another user reads nothing: {}", said(&strange));
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let zookeeper = zookeeper();
    let hosts = zookeeper.hosts();
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let nothing = run(&["--from-mconn", &format!("{hosts}/nothing"), "--data-dir", path]);
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    assert!(said(&nothing).contains("there is no MConn tree at ZooKeeper"), "{}", said(&nothing));
    for (args, text) in [
        (&["--from-mconn", "zk1:2181", "--data-dir", path][..], "names no path"),
        (&["--from-mconn", "zk1:2181/a", "-", "--data-dir", path], "cannot be used with"),
        (&["--data-dir", path], "--from-mconn"),
        (&["--from-mconn", "zk1:2181/a"], "--to-zookeeper"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(text), "{args:?}: {}", said(&output));
    }
}

/// `mconn store check`, `export` and `drop-module` of what nodes share.
#[tokio::test]
async fn what_nodes_share_can_be_checked_exported_and_cleaned() {
    let zookeeper = zookeeper();
    let hosts = zookeeper.hosts();
    let place = format!("{hosts}/shared");
    let auth = ("MCONN_ZK_AUTH", "someone:hush");
    let store = |args: &[&str]| run_to_end(&[&["store"], args, &["--zookeeper", &place]].concat(), &[auth]);
    for args in [&["check"][..], &["export"], &["drop-module", "Test"]] {
        let nothing = store(args);
        assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
        assert!(said(&nothing).contains("there is no MConn tree at ZooKeeper"), "{}", said(&nothing));
    }

    let dir = TempDir::new().unwrap();
    let env = [
        ("MCONN_MODULE_START", "HelloWorld,Test"),
        ("MCONN_ZK_HOSTS", hosts.as_str()),
        ("MCONN_ZK_PATH", "/shared"),
        ("MCONN_ZK_SESSION_TIMEOUT", "1000"),
        auth,
    ];
    let mut node = Node::start(&dir, &env);
    node.api.preset("Test", "/app").await;
    node.api.preset("HelloWorld", "/app").await;
    for task in ["a", "b"] {
        node.api.post("/v1/queue", &status_update(task, "TASK_RUNNING", "/app")).await;
    }
    until("both are handled", async || node.api.inventory("Test").await == ["a", "b"]).await;
    until("both are handled", async || node.api.inventory("HelloWorld").await == ["a", "b"]).await;

    // Reading disturbs nobody.
    let checked = store(&["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    for part in ["2 presets, 4 inventory items", "(schema version 1)", "nodes     1 run there", "sound"] {
        assert!(said(&checked).contains(part), "{part:?} is not in:\n{}", said(&checked));
    }
    let exported = store(&["export"]);
    assert!(exported.status.success(), "{}", said(&exported));
    let document: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(document["inventory"].as_array().map(Vec::len), Some(4));
    assert_eq!(document["nextSeq"], json!(2));
    let refused = store(&["drop-module", "Test"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("1 node(s) run at ZooKeeper"), "{}", said(&refused));
    assert_eq!(node.api.inventory("Test").await, ["a", "b"]);

    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);
    let dropped = store(&["drop-module", "Test"]);
    assert!(dropped.status.success(), "{}", said(&dropped));
    let told = "dropped of module Test: 1 presets, 2 inventory items";
    assert!(said(&dropped).contains(told), "{}", said(&dropped));

    // Whoever leads next begins without it.
    let mut node = Node::start(&dir, &env);
    until("the node leads", async || node.api.get("/v1/module/preset/Test").await.status == 200).await;
    assert_eq!(node.api.get("/v1/module/preset/Test").await.json, json!([]));
    assert_eq!(node.api.inventory("HelloWorld").await, ["a", "b"]);
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);

    let again = store(&["drop-module", "Test"]);
    assert!(said(&again).contains("there is nothing of module Test"), "{}", said(&again));
    let mut given = Settings::at(&place).unwrap();
    given.auth = Some(mconn_zookeeper::Digest::parse("someone:hush").unwrap());
    let session = Session::open_once(given).await.unwrap();
    session.create("/modules/HelloWorld/inventory/broken", b"?").await.unwrap();
    let unsound = store(&["check"]);
    assert_eq!(unsound.status.code(), Some(1), "{}", said(&unsound));
    assert!(said(&unsound).contains("problem   /modules/HelloWorld/inventory/broken"), "{}", said(&unsound));
    assert!(!said(&unsound).contains("hush"));
}
