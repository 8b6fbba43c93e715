//! What MConn's own black-box tests demand of a node that is configured by the original's variables alone.

use mconn_tests::{FakeMarathon, Mconn, Node, status_update, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node as the original's tests start one: its variables and nothing of ours.
fn node(dir: &TempDir, env: &[(&str, &str)]) -> Node {
    let mut all = vec![
        ("MCONN_HOST", "127.0.0.1"),
        ("MCONN_PORT", "0"),
        ("MCONN_CREDENTIALS", ""),
        ("MCONN_MODULE_PATH", ""),
        ("MCONN_MODULE_START", "Test"),
        ("MCONN_MODULE_TEST_DELAY", "0"),
        ("MCONN_ZK_HOSTS", "127.0.0.1:2181"),
        ("MCONN_ZK_PATH", "/mconn-dev-webapi"),
        ("MCONN_ZK_SESSION_TIMEOUT", "1000"),
        // The one that is not the original's: what is shown here needs no ZooKeeper.
        ("MCONN_STORE", "embedded"),
    ];
    all.extend(env);
    Node::ready(Mconn::start(&["serve"], &all, dir.path()))
}

fn is_empty(json: &Value) -> bool {
    json.as_array().is_some_and(Vec::is_empty) || json.as_object().is_some_and(serde_json::Map::is_empty)
}

#[tokio::test]
async fn status_codes_without_modules() {
    let dir = TempDir::new().unwrap();
    let node = node(&dir, &[("MCONN_MODULE_START", ""), ("MCONN_MARATHON_HOSTS", "127.0.0.1:1")]);
    let cases: &[(&str, u16, &[&str])] = &[
        (
            "GET",
            200,
            &["/v1/queue", "/v1/module/list", "/v1/module/preset", "/v1/info", "/v1/leader", "/v1/ping"],
        ),
        (
            "GET",
            404,
            &[
                "/v1/module/inventory/Test",
                "/v1/module/list/Test",
                "/v1/module/queue/list/Test",
                "/v1/module/preset/Test",
                "/v1/module/sync",
                "/v1/exit/leader",
                "/v1/exit/node",
            ],
        ),
        ("POST", 200, &["/v1/queue", "/v1/module/preset", "/v1/module/sync"]),
        (
            "POST",
            404,
            &[
                "/v1/module/inventory/Test",
                "/v1/module/list",
                "/v1/module/queue/list",
                "/v1/module/queue/pause/Test",
                "/v1/module/queue/resume/Test",
                "/v1/module/sync/Test",
                "/v1/info",
                "/v1/leader",
                "/v1/ping",
            ],
        ),
        ("PUT", 200, &["/v1/module/preset"]),
        (
            "PUT",
            404,
            &[
                "/v1/queue",
                "/v1/module/list",
                "/v1/module/sync",
                "/v1/info",
                "/v1/ping",
                "/v1/exit/leader",
                "/v1/exit/node",
            ],
        ),
        ("DELETE", 200, &["/v1/module/preset"]),
        (
            "DELETE",
            404,
            &["/v1/queue", "/v1/module/list", "/v1/module/sync", "/v1/info", "/v1/ping", "/v1/exit/node"],
        ),
    ];
    for (method, status, paths) in cases {
        for path in *paths {
            let answer = node.api.send(method, path, None).await;
            assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text);
        }
    }
    for path in ["/v1/queue", "/v1/module/list", "/v1/module/preset"] {
        assert!(is_empty(&node.api.get(path).await.json), "{path}");
    }
    for path in ["/v1/module/inventory/Test", "/v1/module/list/Test", "/v1/module/preset/Test"] {
        let answer = node.api.get(path).await;
        assert_eq!(answer.json["status"], "error");
        assert_eq!(answer.json["message"], "Module not found: Test", "{path}");
    }
}

#[tokio::test]
async fn messages_of_queue_presets_and_system() {
    let dir = TempDir::new().unwrap();
    let node = node(&dir, &[("MCONN_MODULE_START", "")]);
    let accepted = node.api.post("/v1/queue", &status_update("app_1234", "TASK_RUNNING", "/app")).await;
    assert_eq!(accepted.json, json!({"leader": node.url, "taskId": "app_1234_TASK_RUNNING"}));
    let rejected = node.api.post("/v1/queue", &json!({"eventType": "custom_event"})).await;
    assert_eq!(rejected.json["message"], "EventType has been rejected: custom_event");
    for method in ["POST", "PUT"] {
        let preset = json!({"appId": "/app", "moduleName": "Test", "status": "enabled", "options": {}});
        let answer = node.api.send(method, "/v1/module/preset", Some(&preset)).await;
        assert_eq!((answer.status, &answer.json["message"]), (200, &json!("Module not found: Test")));
    }
    let leader = node.url.trim_start_matches("http://");
    assert_eq!(node.api.get("/v1/leader").await.json, json!({"leader": leader}));
    assert_eq!(node.api.get("/v1/ping").await.text, "pong");
    let info = node.api.get("/v1/info").await.json;
    assert_eq!(info["leader"], leader);
    for name in [
        "LOGGER_LEVEL",
        "HOST",
        "PORT",
        "PATH",
        "QUEUE_TIMEOUT",
        "MODULE_PATH",
        "MODULE_PREPARE",
        "MODULE_START",
        "MODULE_SYNC_TIME",
        "ZK_HOSTS",
        "ZK_PATH",
        "ZK_SESSION_TIMEOUT",
        "ZK_SPIN_DELAY",
        "ZK_RETRIES",
        "MARATHON_HOSTS",
        "MARATHON_SSL",
    ] {
        assert!(info["env"][format!("MCONN_{name}")].is_string(), "{name} is missing: {info}");
    }
}

#[tokio::test]
async fn credentials_are_asked_for_everywhere_but_where_marathon_calls() {
    let dir = TempDir::new().unwrap();
    let node = node(&dir, &[("MCONN_CREDENTIALS", "admin:secret-word")]);
    let admin = node.api.with_credentials("admin", "secret-word");
    admin.preset("Test", "/app").await;
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
        "/metrics",
        "/v1/catalog",
    ] {
        assert_eq!(node.api.get(path).await.status, 401, "{path} without credentials");
        assert_eq!(node.api.with_credentials("admin", "wrong").get(path).await.status, 401, "{path}, wrong");
        assert_eq!(admin.get(path).await.status, 200, "{path} with credentials");
    }
    assert_eq!(node.api.get("/v1/ping").await.status, 200);
    let posted = node.api.post("/v1/queue", &status_update("t", "TASK_RUNNING", "/app")).await;
    assert_eq!(posted.status, 200);
    let output = node.process.output();
    assert!(!output.contains("secret-word"), "a secret in the log:\n{output}");
    assert!(output.contains("tried to connect with wrong credentials!"));
}

#[tokio::test]
async fn malformed_credentials_ask_nobody_and_are_complained_about() {
    for credentials in ["admin", "admin:a:a"] {
        let dir = TempDir::new().unwrap();
        let node = node(&dir, &[("MCONN_CREDENTIALS", credentials)]);
        assert_eq!(node.api.get("/v1/info").await.status, 200, "{credentials}");
        let complaint = "\"MCONN_CREDENTIALS\" has an invalid formatting and basic-auth has been disabled!";
        assert!(node.process.output().contains(complaint), "{credentials}");
    }
}

#[tokio::test]
async fn a_sync_makes_the_inventory_equal_to_what_runs() {
    let marathon = FakeMarathon::start().await;
    let dir = TempDir::new().unwrap();
    let node = node(&dir, &[("MCONN_MARATHON_HOSTS", &marathon.address)]);
    node.api.preset("Test", "/dev-app-1").await;
    assert!(node.api.inventory("Test").await.is_empty());
    assert!(is_empty(&node.api.get("/v1/module/queue/list/Test").await.json));

    marathon.tasks(&["A"]);
    let answer = node.api.send("POST", "/v1/module/sync/Test", None).await;
    assert_eq!(answer.json, json!({"status": "ok", "message": "Force sync of module: Test"}));
    until("A is added", async || node.api.inventory("Test").await == ["A"]).await;
    assert!(marathon.requests().iter().all(|line| line.starts_with("GET /v2/tasks?status=running ")));

    marathon.tasks(&[]);
    node.api.send("POST", "/v1/module/sync/Test", None).await;
    until("A is removed", async || node.api.inventory("Test").await.is_empty()).await;

    node.api.post("/v1/queue", &status_update("D", "TASK_RUNNING", "/dev-app-1")).await;
    until("D is there", async || node.api.inventory("Test").await == ["D"]).await;
    marathon.tasks(&["A", "B", "C"]);
    let all = node.api.send("POST", "/v1/module/sync", None).await;
    assert_eq!(all.json, json!({"status": "ok", "message": "Force sync of all modules"}));
    until("A, B and C instead of D", async || node.api.inventory("Test").await == ["A", "B", "C"]).await;

    let inventory = node.api.get("/v1/module/inventory/Test").await.json;
    let task = &inventory[0]["data"]["taskData"];
    assert_eq!((&task["appId"], &task["host"]), (&json!("/dev-app-1"), &json!("ac3.kiel")));
    assert!(task["timestamp"].is_i64(), "the moment of storing, in milliseconds: {task}");
}

#[tokio::test]
async fn hosts_are_tried_in_order_until_one_gives_a_list() {
    let dir = TempDir::new().unwrap();
    let broken = FakeMarathon::start().await;
    broken.answers(500, r#"{"message": "no"}"#);
    let good = FakeMarathon::start().await;
    let dead = {
        let gone = FakeMarathon::start().await;
        gone.address.clone()
    };
    let hosts = format!("{dead},{},{}", broken.address, good.address);
    let node = node(&dir, &[("MCONN_MARATHON_HOSTS", &hosts)]);
    node.api.preset("Test", "/dev-app-1").await;
    good.tasks(&["A"]);
    let answer = node.api.send("POST", "/v1/module/sync/Test", None).await;
    assert_eq!(answer.json["status"], "ok", "{}", answer.text);
    until("A is added", async || node.api.inventory("Test").await == ["A"]).await;

    // A JSON error body is no list: nothing is removed because of it.
    good.answers(200, r#"{"message": "starting"}"#);
    let answer = node.api.send("POST", "/v1/module/sync/Test", None).await;
    assert_eq!((answer.status, &answer.json["message"]), (500, &json!("Marathon is unreachable")));
    assert_eq!(node.api.inventory("Test").await, ["A"]);
}

#[tokio::test]
async fn a_node_without_any_marathon_works_and_recovers() {
    let dir = TempDir::new().unwrap();
    let address = FakeMarathon::start().await.address.clone();
    let node = node(&dir, &[("MCONN_MARATHON_HOSTS", &address)]);
    node.api.preset("Test", "/dev-app-1").await;
    let answer = node.api.send("POST", "/v1/module/sync/Test", None).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    node.api.post("/v1/queue", &status_update("D", "TASK_RUNNING", "/dev-app-1")).await;
    until("events are handled all the same", async || node.api.inventory("Test").await == ["D"]).await;
    let marathon = FakeMarathon::on(&address).await;
    marathon.tasks(&["D", "E"]);
    until("a sync comes through", async || {
        node.api.send("POST", "/v1/module/sync/Test", None).await.status == 200
    })
    .await;
    until("E is added", async || node.api.inventory("Test").await == ["D", "E"]).await;
}

#[tokio::test]
async fn sandbox_variables_are_enough() {
    let dir = TempDir::new().unwrap();
    let sandbox = dir.path().to_str().unwrap();
    let env = [
        ("HOST", "127.0.0.1"),
        ("PORT0", "0"),
        ("MESOS_SANDBOX", sandbox),
        ("MARATHON_APP_ID", "/infra/mconn"),
    ];
    let node = Node::ready(Mconn::start(&["serve"], &env, dir.path()));
    let env = &node.api.get("/v1/info").await.json["env"];
    assert_eq!((&env["MCONN_ZK_PATH"], &env["MCONN_MODULE_PATH"]), (&json!("/infra/mconn"), &json!(sandbox)));
    assert!(dir.path().join("mconn-data").is_dir(), "the data lie in the sandbox");
}
