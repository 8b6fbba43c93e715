//! ZooKeeper is away, forgets a node, keeps strangers out; and what lies where in it.

use std::collections::BTreeSet;

use mconn_tests::{Mconn, Node, run_to_end, status_update, until};
use mconn_zookeeper::testing::ORIGINAL;
use mconn_zookeeper::{ErrorKind, Session, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Cluster, accept, ensemble};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_zookeeper_a_node_answers_and_serves_as_soon_as_it_is_there() {
    let mut ensemble = ensemble();
    ensemble.kill(0);
    let mut cluster = Cluster::prepare(&ensemble, "/mconn", 1);
    cluster.start(0, &[("MCONN_LEADER_WAIT", "100")]);
    let api = cluster.node(0).api.clone();
    assert_eq!(api.get("/v1/ping").await.status, 200);
    let refused = api.post("/v1/queue", &status_update("a", "TASK_RUNNING", "/app")).await;
    assert_eq!((refused.status, &refused.json["status"]), (503, &json!("error")), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let preset = json!({"moduleName": "Test", "appId": "/app", "status": "enabled"});
    for (method, path) in [
        ("GET", "/v1/leader"),
        ("GET", "/v1/queue"),
        ("GET", "/v1/module/list"),
        ("PUT", "/v1/module/preset"),
        ("POST", "/v1/module/sync"),
        ("POST", "/v1/exit/leader"),
    ] {
        let refused = api.send(method, path, Some(&preset)).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{method} {path}");
        assert!(
            refused.text.contains("there is no leader at the moment"),
            "{method} {path}: {}",
            refused.text
        );
    }
    // What is every node's own goes on.
    assert_eq!(api.get("/v1/info").await.json["leader"], Value::Null);
    assert_eq!(api.get("/v1/members").await.json["role"], "vacant");
    assert!(api.get("/metrics").await.text.contains("mconn_role{role=\"vacant\"} 1"));
    assert_eq!(api.get("/v1/catalog").await.status, 200);
    assert_eq!(api.get("/v1/health/live").await.status, 200);
    assert_eq!(api.get("/v1/health/ready").await.status, 503);
    cluster.node(0).process.wait_for("Zookeeper is unreachable");

    ensemble.restart(0);
    cluster.leader().await;
    api.preset("Test", "/app").await;
    accept(&api, "a").await;
    cluster.all_show(&["a"]).await;

    // And again, without being started anew.
    ensemble.kill(0);
    until("it does not serve without", async || {
        api.post("/v1/queue", &status_update("b", "TASK_RUNNING", "/app")).await.status == 503
    })
    .await;
    ensemble.restart(0);
    cluster.leader().await;
    accept(&api, "c").await;
    until("what was accepted is done", async || {
        let inventory = api.inventory("Test").await;
        inventory.contains(&"a".to_owned()) && inventory.contains(&"c".to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_keep_others_out_and_are_never_shown() {
    let ensemble = ensemble();
    let mut cluster = Cluster::prepare(&ensemble, "/mconn", 1);
    cluster.start(0, &[("MCONN_ZK_AUTH", "ann:hush-hush")]);
    cluster.leader().await;
    let api = cluster.node(0).api.clone();
    api.preset("Test", "/app").await;
    accept(&api, "a").await;
    let info = api.get("/v1/info").await.text;
    let output = cluster.node(0).process.output();
    assert!(!output.contains("hush-hush") && !info.contains("hush-hush"), "{output}\n{info}");

    for auth in ["ann:wrong", ""] {
        let dir = TempDir::new().unwrap();
        let env = [("MCONN_ZK_HOSTS", cluster.hosts.as_str()), ("MCONN_ZK_AUTH", auth)];
        let env = Node::env(&dir, &env);
        let mut other = Mconn::start(&["serve"], &env, dir.path());
        assert_eq!(other.exit_code(), 1, "{}", other.output());
        assert!(other.output().contains("MCONN_ZK_AUTH"), "{}", other.output());
        let checked = run_to_end(&["check"], &env);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(!checked.status.success() && said.contains("BAD      store"), "{said}");
    }
    let dir = TempDir::new().unwrap();
    let env = [("MCONN_ZK_HOSTS", cluster.hosts.as_str()), ("MCONN_ZK_AUTH", "ann:hush-hush")];
    let checked = run_to_end(&["check"], &Node::env(&dir, &env));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("1 node(s) take part"), "{said}");

    // Nothing that the nodes have made is anybody else's.
    let paths = ["/", "/leader", "/mconn/epoch", "/mconn/journal", "/modules/Test/presets/app"];
    let owner = cluster.look(Some("ann:hush-hush")).await;
    for path in paths {
        owner.get(path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    for auth in [None, Some("ann:wrong"), Some("bob:hush-hush")] {
        let stranger = cluster.look(auth).await;
        for path in paths {
            let refused = [
                stranger.get(path).await.err(),
                stranger.set(path, b"mine", None).await.err(),
                stranger.create(&format!("{}/mine", path.trim_end_matches('/')), b"").await.err(),
            ];
            for error in refused {
                assert_eq!(error.map(|error| error.kind), Some(ErrorKind::NoAuth), "{auth:?} {path}");
            }
        }
    }
}

/// Everything below a place.
async fn tree(session: &Session) -> Vec<(String, Vec<u8>)> {
    let (mut open, mut found) = (vec![String::new()], Vec::new());
    while let Some(path) = open.pop() {
        let at = if path.is_empty() { "/" } else { path.as_str() };
        match session.get(at).await {
            Ok((data, _)) => found.push((at.to_owned(), data)),
            // It has gone since it was listed.
            Err(error) if error.kind == ErrorKind::NoNode => continue,
            Err(error) => panic!("{error}"),
        }
        open.extend(session.children(at).await.unwrap().iter().map(|name| format!("{path}/{name}")));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_nodes_make_lies_below_their_path() {
    let ensemble = ensemble();
    let cluster = Cluster::new(&ensemble, "/infra/mconn", 2);
    let leader = cluster.leader().await;
    let api = &cluster.node(cluster.follower_of(leader)).api;
    api.preset("Test", "/group/app").await;
    let event = status_update("web/1", "TASK_RUNNING", "/group/app");
    assert_eq!(api.post("/v1/queue", &event).await.status, 200);
    cluster.all_show(&["web/1"]).await;
    until("the queue is empty", async || api.get("/v1/queue").await.json == json!([])).await;

    let top = cluster.look_at("/", None).await;
    let children: BTreeSet<String> = top.children("/").await.unwrap().into_iter().collect();
    assert_eq!(children, BTreeSet::from(["infra".to_owned(), "zookeeper".to_owned()]));
    assert_eq!(top.children("/infra").await.unwrap(), ["mconn"]);

    let session = cluster.look(None).await;
    let found = tree(&session).await;
    let data = |path: &str| -> Value {
        let entry = found.iter().find(|(at, _)| at == path);
        let (_, data) = entry.unwrap_or_else(|| panic!("no {path} in {found:?}"));
        serde_json::from_slice(data).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    // As the original has it (spec/mconn.md section 9).
    let mut members: Vec<_> =
        found.iter().filter(|(path, _)| path.starts_with("/leader/member_")).map(|(path, _)| path).collect();
    members.sort();
    assert_eq!(members.len(), 2, "{members:?}");
    let member = data(members[0]);
    let authority = cluster.authority(leader);
    assert_eq!(member["serverdata"]["serverurl"], format!("http://{authority}"), "{member}");
    assert_eq!(member["serverdata"]["ip"], "127.0.0.1", "{member}");
    assert_eq!(member["serverdata"]["port"], authority.rsplit(':').next().unwrap(), "{member}");
    let preset = data("/modules/Test/presets/group%2Fapp");
    assert_eq!((&preset["appId"], &preset["moduleName"]), (&json!("/group/app"), &json!("Test")), "{preset}");
    let item = data("/modules/Test/inventory/web%2F1");
    assert_eq!(
        (&item["customData"], &item["taskData"]["taskId"]),
        (&json!("test"), &json!("web/1")),
        "{item}"
    );
    // Nothing is left of an event that is done.
    let left: Vec<_> = found
        .iter()
        .filter(|(path, _)| path.starts_with("/mconn/journal/") || path.contains("/queue/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_the_path_of_an_original_take_it_over() {
    let ensemble = ensemble();
    let place = Settings::new(&ensemble.hosts(), "/infra/mconn").unwrap();
    let session = Session::open_once(place).await.unwrap();
    for (path, data) in ORIGINAL {
        session.create(path, data.as_bytes()).await.unwrap();
    }
    let more = [("MCONN_MODULE_START", "HelloWorld")];
    let cluster = Cluster::with(&ensemble, "/infra/mconn", 2, "1000", &more);
    let leader = cluster.leader().await;
    let api = &cluster.node(cluster.follower_of(leader)).api;
    let presets = api.get("/v1/module/preset/HelloWorld").await;
    let apps: BTreeSet<_> =
        presets.json.as_array().unwrap().iter().filter_map(|preset| preset["appId"].as_str()).collect();
    assert_eq!(apps, BTreeSet::from(["/bridged-webapp", "/group/app", "/web"]), "{}", presets.text);
    let kept = presets.json.as_array().unwrap().iter().find(|preset| preset["appId"] == "/bridged-webapp");
    assert_eq!(kept.unwrap()["note"], "kept", "{}", presets.text);
    assert_eq!(api.inventory("HelloWorld").await, ["bridged-webapp.8c1b"]);
    // Old entries of the queue have no content that could be handled.
    until("the old queue is empty", async || {
        session.children("/modules/HelloWorld/queue").await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_a_newer_version_is_left_alone() {
    let ensemble = ensemble();
    let place = Settings::new(&ensemble.hosts(), "/mconn").unwrap();
    let session = Session::open_once(place).await.unwrap();
    session.create_all("/mconn").await.unwrap();
    session.create("/mconn/epoch", b"").await.unwrap();
    session.create("/mconn/schema", br#"{"v":99}"#).await.unwrap();
    let cluster = Cluster::prepare(&ensemble, "/mconn", 1);
    let env = Node::env(&cluster.dirs[0], &cluster.env(&[]));
    let mut node = Mconn::start(&["serve"], &env, cluster.dirs[0].path());
    assert_eq!(node.exit_code(), 1, "{}", node.output());
    assert!(node.output().contains("99"), "{}", node.output());
    assert_eq!(session.get("/mconn/schema").await.unwrap().0, br#"{"v":99}"#);
}
