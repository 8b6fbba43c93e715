//! What MConn's own tests of leader election, credentials and modules demand of several nodes, which are configured by the
//! original's variables alone, on a ZooKeeper as it comes.

use mconn_tests::{Client, Mconn, Node, status_update, until};
use mconn_zookeeper::testing::{Ensemble, Options};
use serde_json::json;
use tempfile::TempDir;

/// A node as the original's tests start one.
fn start(dir: &TempDir, zookeeper: &Ensemble, env: &[(&str, &str)]) -> Node {
    let hosts = zookeeper.hosts();
    let mut all = vec![
        ("MCONN_HOST", "127.0.0.1"),
        ("MCONN_PORT", "0"),
        ("MCONN_MODULE_PATH", ""),
        ("MCONN_MODULE_START", "Test"),
        ("MCONN_MODULE_TEST_DELAY", "0"),
        ("MCONN_ZK_HOSTS", hosts.as_str()),
        ("MCONN_ZK_PATH", "/mconn-test"),
    ];
    all.extend(env);
    let node = Node::ready(Mconn::start(&["serve"], &all, dir.path()));
    node.process.wait_for("New member generated with id");
    node
}

/// Who leads, as this node says once it knows.
async fn leader(api: &Client) -> String {
    let mut leader = String::new();
    until("a leader is named", async || {
        let answer = api.get("/v1/leader").await;
        leader = format!("http://{}", answer.json["leader"].as_str().unwrap_or_default());
        answer.status == 200
    })
    .await;
    leader
}

#[tokio::test]
async fn the_next_in_line_leads_and_who_comes_back_follows() {
    let zookeeper = Ensemble::start(&Options::default());
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    // Far less than any server grants.
    let env = [("MCONN_ZK_SESSION_TIMEOUT", "250")];
    let mut first = start(&dirs[0], &zookeeper, &env);
    let second = start(&dirs[1], &zookeeper, &env);
    assert_eq!(leader(&first.api).await, first.url, "the first in line");
    assert_eq!(leader(&second.api).await, first.url);

    first.process.signal("TERM");
    assert_eq!(first.process.exit_code(), 0, "{}", first.process.output());
    until("the second one leads", async || leader(&second.api).await == second.url).await;
    let first = start(&dirs[0], &zookeeper, &env);
    assert_eq!(leader(&first.api).await, second.url, "it does not take the lead back");
    assert_eq!(leader(&second.api).await, second.url);
}

#[tokio::test]
async fn followers_ask_for_credentials_and_pass_on_what_is_for_the_leader() {
    let zookeeper = Ensemble::start(&Options::default());
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let env = [("MCONN_CREDENTIALS", "admin:password"), ("MCONN_ZK_SESSION_TIMEOUT", "1000")];
    let nodes: Vec<_> = dirs.iter().map(|dir| start(dir, &zookeeper, &env)).collect();
    let known: Vec<_> = nodes.iter().map(|node| node.api.with_credentials("admin", "password")).collect();

    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(node.api.get("/v1/ping").await.status, 200);
        for path in [
            "/v1/queue",
            "/v1/module/inventory/Test",
            "/v1/module/list",
            "/v1/module/list/Test",
            "/v1/module/queue/list/Test",
            "/v1/module/preset",
            "/v1/module/preset/Test",
            "/v1/info",
            "/v1/leader",
        ] {
            assert_eq!(node.api.get(path).await.status, 401, "{path} of node {number}");
            assert_eq!(known[number].get(path).await.status, 200, "{path} of node {number}");
        }
        assert_eq!(leader(&known[number]).await, nodes[0].url, "as node {number} says");
    }

    let preset = json!({"appId": "/app", "moduleName": "Test", "status": "enabled", "options": {"actions": {"add": "a"}}});
    assert_eq!(nodes[1].api.post("/v1/module/preset", &preset).await.status, 401);
    for (method, number, done) in
        [("POST", 1, "created"), ("PUT", 2, "modified"), ("DELETE", 1, "deleted"), ("POST", 2, "created")]
    {
        let answer = known[number].send(method, "/v1/module/preset", Some(&preset)).await;
        assert_eq!(answer.json["message"], format!("AppId for module Test {done}: /app"), "{}", answer.text);
    }
    // Marathon's callback has no credentials.
    for (number, node) in nodes.iter().enumerate() {
        let event = status_update(&format!("app_{number}"), "TASK_RUNNING", "/app");
        let answer = node.api.post("/v1/queue", &event).await;
        assert_eq!(answer.json["taskId"], format!("app_{number}_TASK_RUNNING"), "{}", answer.text);
        assert_eq!(answer.json["leader"], nodes[0].url);
    }
    for known in &known {
        until("all three tasks are in the inventory", async || {
            known.inventory("Test").await == ["app_0", "app_1", "app_2"]
        })
        .await;
    }
}
