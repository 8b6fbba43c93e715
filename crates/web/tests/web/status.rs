//! The status codes that the original's own test-suite demands (spec/mconn.md sections 4.7 and 14).

use crate::client::Ask;
use crate::node::{Node, Setup, event};

#[tokio::test]
async fn status_codes_of_the_original() {
    let node = Node::start().await;
    let event = event("t1", "TASK_RUNNING", "/a");
    let rejected = r#"{"eventType":"subscribe_event"}"#;
    let preset = r#"{"moduleName":"Test","appId":"/a","status":"enabled"}"#;
    let nope = r#"{"moduleName":"Nope","appId":"/a"}"#;
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/v1/ping", "", 200, "pong"),
        ("POST", "/v1/ping", "", 404, "URI not found: /v1/ping"),
        ("GET", "/v1/leader", "", 200, "node.example:1234"),
        ("POST", "/v1/leader", "", 404, "URI not found: /v1/leader"),
        ("GET", "/v1/info", "", 200, "MCONN_HOST"),
        ("POST", "/v1/info", "", 404, "URI not found: /v1/info"),
        ("GET", "/v1/queue", "", 200, "[]"),
        ("POST", "/v1/queue", &event, 200, "t1_TASK_RUNNING"),
        ("POST", "/v1/queue", rejected, 200, "EventType has been rejected: subscribe_event"),
        ("POST", "/v1/queue", "", 200, "EventType has been rejected: undefined"),
        ("POST", "/v1/queue", "{}", 200, "EventType has been rejected: undefined"),
        ("POST", "/v1/queue", r#"{"eventType":"scheduler_registered_event"}"#, 200, ""),
        ("GET", "/v1/module/list", "", 200, "Module.Test"),
        ("POST", "/v1/module/list", "", 404, "URI not found: /v1/module/list"),
        ("GET", "/v1/module/list/Test", "", 200, "Module.Test"),
        ("GET", "/v1/module/list/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/inventory/Test", "", 200, "[]"),
        ("GET", "/v1/module/inventory/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/queue/list/Test", "", 200, ""),
        ("GET", "/v1/module/queue/list/Nope", "", 404, "Module not found: Nope"),
        ("POST", "/v1/module/queue/pause/Test", "", 200, r#""paused": true"#),
        ("POST", "/v1/module/queue/pause/Nope", "", 404, "Module not found: Nope"),
        ("POST", "/v1/module/queue/resume/Test", "", 200, r#""paused": false"#),
        ("POST", "/v1/module/queue/resume/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/queue/pause/Test", "", 404, "URI not found"),
        ("GET", "/v1/module/preset", "", 200, r#""Test": []"#),
        ("GET", "/v1/module/preset/Test", "", 200, "[]"),
        ("GET", "/v1/module/preset/Nope", "", 404, "Module not found: Nope"),
        ("POST", "/v1/module/preset", "", 200, r#""status": "error""#),
        ("PUT", "/v1/module/preset", "", 200, r#""status": "error""#),
        ("DELETE", "/v1/module/preset", "", 200, r#""status": "error""#),
        ("POST", "/v1/module/preset", "{}", 200, r#""status": "error""#),
        ("PUT", "/v1/module/preset", "{}", 200, r#""status": "error""#),
        ("DELETE", "/v1/module/preset", "{}", 200, r#""status": "error""#),
        ("POST", "/v1/module/preset", nope, 200, "Module not found: Nope"),
        ("PUT", "/v1/module/preset", nope, 200, "Module not found: Nope"),
        ("DELETE", "/v1/module/preset", nope, 200, "Module not found: Nope"),
        ("POST", "/v1/module/preset", preset, 200, "AppId for module Test created: /a"),
        ("PUT", "/v1/module/preset", preset, 200, "AppId for module Test modified: /a"),
        ("DELETE", "/v1/module/preset", preset, 200, "AppId for module Test deleted: /a"),
        ("POST", "/v1/module/sync", "", 200, "Force sync of all modules"),
        ("POST", "/v1/module/sync/Test", "", 200, "Force sync of module: Test"),
        ("POST", "/v1/module/sync/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/sync", "", 404, "URI not found"),
        ("GET", "/v1/module/sync/Test", "", 404, "URI not found"),
        ("GET", "/v1/exit/node", "", 404, "URI not found"),
        ("GET", "/v1/exit/leader", "", 404, "URI not found"),
        ("GET", "/v1/nothing?x=%20y", "", 404, "URI not found: /v1/nothing?x=%20y"),
        ("GET", "/", "", 404, "URI not found: /"),
    ];
    for (method, target, body, status, text) in cases {
        let answer = node.ask(Ask::new(method, *target).json(body)).await;
        assert_eq!(answer.status, *status, "{method} {target} {body}: {answer:?}");
        assert!(answer.text().contains(text), "{method} {target} {body}: {answer:?}");
        if *status >= 400 {
            assert_eq!(answer.json()["status"], "error", "{answer:?}");
        }
    }
}

#[tokio::test]
async fn put_and_delete_are_for_presets_alone() {
    let node = Node::start().await;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        for target in [
            "/v1/ping",
            "/v1/leader",
            "/v1/info",
            "/v1/queue",
            "/v1/module/list",
            "/v1/module/inventory/Test",
            "/v1/module/queue/list/Test",
            "/v1/module/queue/pause/Test",
            "/v1/module/preset/Test",
            "/v1/module/sync",
            "/v1/exit/node",
            "/metrics",
        ] {
            let answer = node.ask(Ask::new(method, target)).await;
            assert_eq!(answer.status, 404, "{method} {target}");
            assert_eq!(answer.message(), format!("URI not found: {target}"));
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let node = Node::start().await;
    let mut connection = node.open().await;
    for target in ["/v1/ping", "/v1/queue", "/v1/module/list/Test", "/v1/module/list/Nope", "/metrics"] {
        let get = connection.ask(&Ask::new("GET", target)).await;
        let head = connection.ask(&Ask::new("HEAD", target)).await;
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{target}");
        if target != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{target}");
        }
    }
    assert_eq!(connection.ask(&Ask::new("HEAD", "/v1/module/sync")).await.status, 404);
}

#[tokio::test]
async fn a_node_without_modules_answers_too() {
    let node = Node::with(Setup { modules: Vec::new(), ..Setup::default() }).await;
    assert_eq!(node.get("/v1/module/list").await.text(), "{}");
    assert_eq!(node.get("/v1/module/preset").await.text(), "{}");
    assert_eq!(node.post("/v1/module/sync", "").await.json()["message"], "Force sync of all modules");
}

#[tokio::test]
async fn content_types_are_the_originals() {
    let node = Node::start().await;
    assert_eq!(node.get("/v1/ping").await.header("content-type"), Some("text/html; charset=utf-8"));
    for target in ["/v1/queue", "/v1/leader", "/v1/nothing", "/v1/module/list", "/v1/openapi.json"] {
        let answer = node.get(target).await;
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{target}");
    }
}
