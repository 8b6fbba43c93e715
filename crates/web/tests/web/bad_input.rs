//! Whatever is sent, the answer names the cause, and nothing is queued.

use serde_json::json;

use crate::client::Ask;
use crate::node::{Node, Setup, event};

#[tokio::test]
async fn events_that_are_none_are_refused() {
    let node = Node::start().await;
    let json = "application/json";
    let update = |name: &str, value: serde_json::Value| {
        let mut body: serde_json::Value = serde_json::from_str(&event("t1", "TASK_RUNNING", "/a")).unwrap();
        if value == "absent" {
            body.as_object_mut().unwrap().remove(name);
        } else {
            body[name] = value;
        }
        body.to_string().into_bytes()
    };
    #[rustfmt::skip]
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (json, b"{".to_vec(), 400, "the body is no JSON"),
        (json, b"{\"eventType\":\"status_update_event\"} x".to_vec(), 400, "the body is no JSON"),
        (json, b"nonsense".to_vec(), 400, "the body is no JSON"),
        (json, b"17".to_vec(), 400, "neither an object nor an array"),
        (json, b"\"text\"".to_vec(), 400, "neither an object nor an array"),
        (json, b"[]".to_vec(), 200, "EventType has been rejected: undefined"),
        (json, b"[{}".to_vec(), 400, "the body is no JSON"),
        (json, b"{\"eventType\":\"\xff\"}".to_vec(), 400, "no UTF-8"),
        (json, b"{\"eventType\":null}".to_vec(), 200, "rejected: null"),
        (json, b"{\"eventType\":[1]}".to_vec(), 200, "rejected: an array"),
        (json, b"{\"eventType\":\"other\",\"taskId\":[1],\"ports\":{\"a\":[]}}".to_vec(), 200, "rejected: other"),
        ("text/plain", event("t1", "TASK_RUNNING", "/a").into_bytes(), 200, "EventType has been rejected: undefined"),
        ("", event("t1", "TASK_RUNNING", "/a").into_bytes(), 200, "EventType has been rejected: undefined"),
        (json, update("taskId", json!("absent")), 400, "taskId is missing"),
        (json, update("taskId", json!("")), 400, "taskId is empty"),
        (json, update("taskId", json!(null)), 400, "taskId is null"),
        (json, update("taskId", json!(5)), 400, "taskId is a number"),
        (json, update("taskId", json!("a\nb")), 400, "control character"),
        (json, update("taskId", json!("x".repeat(5000))), 400, "at most 4096"),
        (json, update("taskStatus", json!("absent")), 400, "taskStatus is missing"),
        (json, update("taskStatus", json!(true)), 400, "taskStatus is a truth value"),
        (json, update("taskStatus", json!("a\tb")), 400, "taskStatus"),
        (json, update("appId", json!("absent")), 400, "appId is missing"),
        (json, update("appId", json!(["/a"])), 400, "appId is an array"),
        (json, update("appId", json!({"id": "/a"})), 400, "appId is an object"),
        (json, update("appId", json!("/")), 400, "app id must not be empty"),
        (json, update("appId", json!("/a/../b")), 400, "not allowed"),
        (json, update("ports", json!("31000")), 400, "ports must be"),
        (json, update("ports", json!([70000])), 400, "ports must be"),
        (json, update("ports", json!([1, "2"])), 400, "ports must be"),
        (json, update("host", json!(["h"])), 400, "host must be"),
        (json, update("timestamp", json!({})), 400, "timestamp must be"),
    ];
    for (kind, body, status, text) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = node.ask(Ask::new("POST", "/v1/queue").body(kind, &body)).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert!(answer.message().contains(text), "{shown}: {answer:?}");
    }
    assert_eq!(node.queue.stats().await.unwrap().accepted, 0);
    assert_eq!(node.store.contents().journal.len(), 0);
}

#[tokio::test]
async fn presets_that_are_none_are_refused() {
    let node = Node::start().await;
    #[rustfmt::skip]
    let cases = [
        ("{", 400, "the body is no JSON"),
        ("5", 400, "neither an object nor an array"),
        ("[]", 200, "an object is needed"),
        (r#"[{"moduleName":"Test","appId":"/a"}]"#, 200, "an object is needed"),
        (r#"{"appId":"/a"}"#, 200, "moduleName is missing"),
        (r#"{"moduleName":5,"appId":"/a"}"#, 200, "moduleName must be a text"),
        (r#"{"moduleName":"Test"}"#, 200, "appId is missing"),
        (r#"{"moduleName":"Test","appId":5}"#, 200, "appId must be a text"),
        (r#"{"moduleName":"Test","appId":{"a":1}}"#, 200, "appId must be a text"),
        (r#"{"moduleName":"Test","appId":""}"#, 200, "app id must not be empty"),
        (r#"{"moduleName":"Test","appId":"/"}"#, 200, "app id must not be empty"),
        (r#"{"moduleName":"Test","appId":"/a/../b"}"#, 200, "not allowed"),
    ];
    for (body, status, text) in cases {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = node.ask(Ask::new(method, "/v1/module/preset").json(body)).await;
            assert_eq!(answer.status, status, "{method} {body}: {answer:?}");
            assert!(answer.message().contains(text), "{method} {body}: {answer:?}");
        }
    }
    assert_eq!(
        node.post("/v1/module/preset", r#"{"moduleName":"Test","appId":"/a","status":1}"#).await.status,
        200
    );
    assert!(node.store.contents().presets.is_empty());
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_and_the_answer_arrives() {
    let mut setup = Setup::default();
    setup.limits.body_limit = 1000;
    let node = Node::with(setup).await;
    let fits = event("t1", "TASK_RUNNING", &format!("/{}", "a".repeat(500)));
    assert_eq!(node.post("/v1/queue", &fits).await.status, 200);
    let too_large = event("t2", "TASK_RUNNING", &format!("/{}", "a".repeat(1000)));
    for target in ["/v1/queue", "/v1/module/preset"] {
        let answer = node.post(target, &too_large).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.message(), "the body is larger than 1000 bytes");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // Without a length, in pieces.
    let mut connection = node.open().await;
    connection.send(b"POST /v1/queue HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..4 {
        connection.send(format!("190\r\n{}\r\n", "x".repeat(400)).as_bytes()).await;
    }
    connection.send(b"0\r\n\r\n").await;
    assert_eq!(connection.answer().await.unwrap().status, 413);
    assert_eq!(node.queue.stats().await.unwrap().accepted, 1);
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let node = Node::start().await;
    let ask = Ask::new("POST", "/v1/queue").header("Content-Encoding", "gzip").json("xx");
    assert_eq!(node.ask(ask).await.status, 415);
}

#[tokio::test]
async fn whatever_was_wrong_is_counted() {
    let node = Node::start().await;
    node.post("/v1/queue", "{").await;
    node.post("/v1/queue", "5").await;
    node.post("/v1/queue", r#"{"eventType":"status_update_event"}"#).await;
    node.get("/v1/module/list/Nope").await;
    node.get("/v1/nothing").await;
    node.get("/v1/%zz").await;
    let page = node.get("/metrics").await;
    for line in [
        r#"mconn_http_problems_total{reason="bad_json"} 1"#,
        r#"mconn_http_problems_total{reason="bad_type"} 1"#,
        r#"mconn_http_problems_total{reason="bad_event"} 1"#,
        r#"mconn_http_problems_total{reason="unknown_module"} 1"#,
        r#"mconn_http_problems_total{reason="not_found"} 1"#,
        r#"mconn_http_problems_total{reason="bad_escape"} 1"#,
        r#"mconn_http_requests_total{method="POST",route="/v1/queue",status="400"} 3"#,
    ] {
        assert!(page.text().contains(line), "{line} is not in {}", page.text());
    }
}
