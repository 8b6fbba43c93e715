//! Whichever node is asked, the answer is the same.

use std::collections::BTreeSet;

use mconn_tests::{Answer, Client, Mconn, status_update, until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Cluster, accept, ensemble};

/// All nodes, with credentials; the leader first.
struct Nodes {
    cluster: Cluster,
    leader: usize,
    apis: Vec<Client>,
}

impl Nodes {
    async fn of(cluster: Cluster, credentials: Option<(&str, &str)>) -> Self {
        let leader = cluster.leader_as(credentials).await;
        let others = cluster.running().into_iter().filter(|at| *at != leader);
        let apis = [leader].into_iter().chain(others).map(|at| match credentials {
            Some((user, password)) => cluster.node(at).api.with_credentials(user, password),
            None => cluster.node(at).api.clone(),
        });
        let apis = apis.collect();
        Self { cluster, leader, apis }
    }

    /// What all nodes answer: the same, and followers say who has answered.
    async fn all(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let wanted = self.apis[0].send(method, path, body).await;
        assert_eq!(wanted.header("x-mconn-leader"), None, "{method} {path}");
        for follower in &self.apis[1..] {
            let answer = follower.send(method, path, body).await;
            assert_eq!((answer.status, &answer.text), (wanted.status, &wanted.text), "{method} {path}");
            assert_eq!(answer.header("content-type"), wanted.header("content-type"), "{method} {path}");
            let leader = self.cluster.authority(self.leader);
            assert_eq!(answer.header("x-mconn-leader"), Some(&*leader), "{method} {path}");
        }
        wanted
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_leader_answers_the_same_on_all_nodes() {
    let ensemble = ensemble();
    let more = [("MCONN_MODULE_START", "Test,HelloWorld"), ("MCONN_BODY_LIMIT", "2000")];
    let nodes = Nodes::of(Cluster::with(&ensemble, "/mconn", 3, "1000", &more), None).await;
    let follower = &nodes.apis[1];

    // Presets: created, edited, read and removed through different nodes.
    let preset = |text: &str| {
        json!({"moduleName": "HelloWorld", "appId": "/app", "status": "enabled",
               "options": {"actions": {"add": text, "remove": "bye"}}})
    };
    let made = follower.send("POST", "/v1/module/preset", Some(&preset("one"))).await;
    assert_eq!(made.json["message"], "AppId for module HelloWorld created: /app");
    let edited = nodes.apis[2].send("PUT", "/v1/module/preset", Some(&preset("two"))).await;
    assert_eq!(edited.json["message"], "AppId for module HelloWorld modified: /app");
    let shown = nodes.all("GET", "/v1/module/preset/HelloWorld", None).await;
    assert_eq!(shown.json[0]["options"]["actions"]["add"], "two", "{}", shown.text);
    follower.preset("Test", "/app").await;
    nodes.all("GET", "/v1/module/preset", None).await;
    let query = "/v1/module/preset?moduleName=Test&appId=%2Fapp";
    let removed = follower.send("DELETE", query, None).await;
    assert_eq!(removed.json["message"], "AppId for module Test deleted: /app");
    let again = nodes.all("DELETE", query, None).await;
    assert_eq!((again.status, &again.json["status"]), (200, &json!("error")), "{}", again.text);

    // Events, and what becomes of them.
    let accepted = accept(follower, "a").await;
    assert_eq!(accepted, json!({"leader": nodes.cluster.node(nodes.leader).url, "taskId": "a_TASK_RUNNING"}));
    until("it is greeted", async || follower.inventory("HelloWorld").await == ["a"]).await;
    until("and the queue is empty", async || follower.get("/v1/queue").await.json == json!([])).await;
    let inventory = nodes.all("GET", "/v1/module/inventory/HelloWorld", None).await;
    assert_eq!(inventory.json[0]["data"]["customData"], "two", "{}", inventory.text);

    // A pause through one node holds for all.
    let paused = follower.send("POST", "/v1/module/queue/pause/HelloWorld", None).await;
    assert_eq!(paused.json["queue"]["paused"], true, "{}", paused.text);
    accept(&nodes.apis[2], "b").await;
    let waiting = nodes.all("GET", "/v1/module/queue/list/HelloWorld", None).await;
    assert_eq!(waiting.json[0]["id"], "b_TASK_RUNNING", "{}", waiting.text);
    nodes.apis[2].send("POST", "/v1/module/queue/resume/HelloWorld", None).await;
    until("it goes on", async || follower.inventory("HelloWorld").await == ["a", "b"]).await;

    for (method, path, status) in [
        ("GET", "/v1/module/list", 200),
        ("GET", "/v1/module/list/HelloWorld", 200),
        ("GET", "/V1/Module/List/HelloWorld/", 200),
        ("GET", "/v1/module/dead-letters/Test", 200),
        ("DELETE", "/v1/module/dead-letters/Test/7", 404),
        ("GET", "/v1/module/list/Nope", 404),
        ("GET", "/v1/module/inventory/%2F", 404),
        ("POST", "/v1/module/queue/pause/Nope", 404),
        ("POST", "/v1/module/sync/Nope", 404),
        ("POST", "/v1/module/sync", 200),
    ] {
        let answer = nodes.all(method, path, None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    let nobody =
        nodes.all("POST", "/v1/queue?source=nobody", Some(&status_update("c", "TASK_RUNNING", "/app"))).await;
    assert!(nobody.text.contains("nobody"), "the query has arrived: {}", nobody.text);
    assert_eq!(nobody.status, 400, "{}", nobody.text);
    let rejected = nodes.all("POST", "/v1/queue", Some(&json!({"eventType": "custom_event"}))).await;
    assert_eq!(rejected.json["message"], "EventType has been rejected: custom_event");
    let large = status_update(&"x".repeat(2000), "TASK_RUNNING", "/app");
    for api in &nodes.apis {
        let refused = api.post("/v1/queue", &large).await;
        assert_eq!(refused.status, 413, "{}", refused.text);
    }
    // What is no route anywhere is none on a follower either, and is not passed on.
    for (method, path) in [("GET", "/v1/exit/leader"), ("GET", "/v1/exit/node"), ("POST", "/v1/leader")] {
        for api in &nodes.apis {
            let answer = api.send(method, path, None).await;
            assert_eq!((answer.status, answer.header("x-mconn-leader")), (404, None), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_shows_the_leaders_events_as_they_happen() {
    let ensemble = ensemble();
    let nodes = Nodes::of(Cluster::new(&ensemble, "/mconn", 2), None).await;
    nodes.apis[0].preset("Test", "/app").await;
    let dir = TempDir::new().unwrap();
    let url = nodes.cluster.node(nodes.cluster.follower_of(nodes.leader)).url.clone();
    let watch = Mconn::start(&["queue", "watch", "--url", &url], &[], dir.path());
    let mut number = 0;
    until("the stream shows an event", async || {
        number += 1;
        accept(&nodes.apis[0], &format!("t{number}")).await;
        watch.output().contains("_TASK_RUNNING")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_hold_on_every_node() {
    const USER: (&str, &str) = ("admin", "open-sesame");
    let ensemble = ensemble();
    let more = [("MCONN_CREDENTIALS", "admin:open-sesame")];
    let cluster = Cluster::with(&ensemble, "/mconn", 3, "1000", &more);
    let nodes = Nodes::of(cluster, Some(USER)).await;
    nodes.apis[1].preset("Test", "/app").await;
    nodes.all("GET", "/v1/module/preset/Test", None).await;
    for at in nodes.cluster.running() {
        let api = &nodes.cluster.node(at).api;
        for (method, path) in [
            ("GET", "/v1/module/list"),
            ("GET", "/v1/queue"),
            ("GET", "/v1/leader"),
            ("GET", "/v1/members"),
            ("GET", "/metrics"),
            ("POST", "/v1/module/preset"),
            ("POST", "/v1/exit/leader"),
            ("POST", "/v1/exit/node"),
        ] {
            for api in [api, &api.with_credentials("admin", "wrong")] {
                let answer = api.send(method, path, None).await;
                assert_eq!((answer.status, &*answer.text), (401, "Unauthorized"), "{method} {path}");
            }
        }
        // Marathon's callback cannot show any: a follower shows its own to the leader.
        accept(api, &format!("t{at}")).await;
        assert_eq!(api.get("/v1/ping").await.text, "pong");
    }
    until("all are done", async || nodes.apis[2].inventory("Test").await == ["t0", "t1", "t2"]).await;
    for at in nodes.cluster.running() {
        let output = nodes.cluster.node(at).process.output();
        assert!(!output.contains("open-sesame"), "a secret in the log:\n{output}");
    }
    // The original could not do that with credentials (spec/mconn.md section 4.9).
    let bye = nodes.apis[1].send("POST", "/v1/exit/leader", None).await;
    assert_eq!(bye.json["status"], "ok", "{}", bye.text);
    let mut cluster = nodes.cluster;
    let mut gone = cluster.nodes[nodes.leader].take().unwrap();
    assert_eq!(gone.process.exit_code(), 0, "{}", gone.process.output());
    assert_ne!(cluster.leader_as(Some(USER)).await, nodes.leader);
}

/// The samples of a metric, each as it is shown.
fn samples<'a>(page: &'a str, name: &str) -> BTreeSet<&'a str> {
    page.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_what_all_of_them_are() {
    let ensemble = ensemble();
    let nodes = Nodes::of(Cluster::new(&ensemble, "/mconn", 3), None).await;
    let cluster = &nodes.cluster;
    cluster.all_members(3).await;
    let leader = cluster.authority(nodes.leader);
    let wanted: BTreeSet<String> = cluster
        .running()
        .into_iter()
        .map(|at| {
            let role = if at == nodes.leader { "leading" } else { "following" };
            format!("mconn_member_role{{member=\"{}\",role=\"{role}\"}} 1", cluster.authority(at))
        })
        .collect();
    for at in cluster.running() {
        let api = &cluster.node(at).api;
        let own = if at == nodes.leader { "leading" } else { "following" };
        let page = api.get("/metrics").await.text;
        assert_eq!(
            samples(&page, "mconn_member_role"),
            wanted.iter().map(String::as_str).collect(),
            "{page}"
        );
        assert_eq!(samples(&page, "mconn_members"), BTreeSet::from(["mconn_members 3"]));
        let shown = format!("mconn_leader{{leader=\"{leader}\"}} 1");
        assert_eq!(samples(&page, "mconn_leader"), BTreeSet::from([shown.as_str()]));
        assert!(samples(&page, "mconn_role").contains(format!("mconn_role{{role=\"{own}\"}} 1").as_str()));
        // What only the leader knows is shown by nobody else, so that a sum over all nodes counts it once.
        assert_eq!(samples(&page, "mconn_journal_events").len(), usize::from(at == nodes.leader));

        let members = api.get("/v1/members").await.json;
        assert_eq!((&members["role"], &members["leader"]), (&json!(own), &json!(leader)), "{members}");
        let itself: Vec<_> =
            members["members"].as_array().unwrap().iter().filter(|it| it["self"] == true).collect();
        assert_eq!(itself.len(), 1, "{members}");
        assert_eq!(itself[0]["address"], cluster.authority(at), "{members}");
        assert_eq!(itself[0]["version"], env!("CARGO_PKG_VERSION"), "{members}");
        assert_eq!(api.get("/v1/info").await.json["leader"], leader);
        let ready = api.get("/v1/health/ready").await;
        assert_eq!((ready.status, &ready.json["role"]), (200, &json!(own)), "{}", ready.text);
    }
}
