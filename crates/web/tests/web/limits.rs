//! Slow clients, crowds, compression.

use std::time::Duration;

use crate::client::Ask;
use crate::node::{Node, Setup, event};

async fn impatient() -> Node {
    let mut setup = Setup::default();
    setup.limits.read_timeout = Duration::from_millis(100);
    setup.limits.idle_timeout = Duration::from_millis(300);
    Node::with(setup).await
}

#[tokio::test]
async fn a_dribbling_head_is_cut_off_with_408() {
    let node = impatient().await;
    let mut fresh = node.open().await;
    fresh.send(b"GET /v1/pi").await;
    let answer = fresh.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.message(), "the request's head did not arrive in time");
    assert!(fresh.is_closed().await);
    let mut used = node.open().await;
    used.ask(&Ask::new("GET", "/v1/ping")).await;
    used.send(b"GET").await;
    assert_eq!(used.answer().await.unwrap().status, 408);
    let page = node.get("/metrics").await;
    assert!(page.text().contains(r#"mconn_http_problems_total{reason="slow_client"} 2"#), "{}", page.text());
}

#[tokio::test]
async fn a_dribbling_body_is_cut_off_with_408() {
    let node = impatient().await;
    let mut connection = node.open().await;
    connection.send(b"POST /v1/queue HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{\"ev").await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.message(), "the body did not arrive in time");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let node = impatient().await;
    let mut connection = node.open().await;
    connection.ask(&Ask::new("GET", "/v1/ping")).await;
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let mut setup = Setup::default();
    setup.limits.max_connections = 2;
    let node = Node::with(setup).await;
    let (mut first, mut second) = (node.open().await, node.open().await);
    first.ask(&Ask::new("GET", "/v1/ping")).await;
    second.ask(&Ask::new("GET", "/v1/ping")).await;
    let mut third = node.open().await;
    assert_eq!(third.ask(&Ask::new("GET", "/v1/ping")).await.status, 200);
    assert!(first.is_closed().await, "it had been idle for longest");
    assert_eq!(second.ask(&Ask::new("GET", "/v1/ping")).await.status, 200);
}

#[tokio::test]
async fn a_busy_connection_is_waited_for() {
    let mut setup = Setup::default();
    setup.limits.max_connections = 2;
    let node = Node::with(setup).await;
    let mut stream = node.open().await;
    stream.send(b"GET /v1/events HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(stream.head().await.unwrap().status, 200);
    let mut idle = node.open().await;
    idle.ask(&Ask::new("GET", "/v1/ping")).await;
    let mut other_stream = node.open().await;
    other_stream.send(b"GET /v1/events HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(other_stream.head().await.unwrap().status, 200, "the idle one went, not the stream");
    let mut late = node.open().await;
    late.send(b"GET /v1/ping HTTP/1.1\r\nHost: t\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(50), late.head()).await;
    assert!(early.is_err(), "answered although both places are at work");
    drop(stream);
    assert_eq!(late.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn who_takes_nothing_of_a_stream_is_cut_off() {
    let mut setup = Setup::default();
    setup.limits.write_timeout = Duration::from_millis(50);
    let node = Node::with(setup).await;
    let mut stuck = node.open().await;
    stuck.send(b"GET /v1/events?types=module HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(stuck.head().await.unwrap().status, 200);
    let mut connection = node.open().await;
    let metrics = Ask::new("GET", "/metrics");
    while connection.ask(&metrics).await.text().contains("mconn_http_event_streams 1") {
        for _ in 0..1000 {
            node.queue.pause("Test").await.unwrap();
            node.queue.resume("Test").await.unwrap();
        }
    }
    let page = connection.ask(&metrics).await;
    assert!(page.text().contains("mconn_http_event_streams 0"), "{}", page.text());
}

#[tokio::test]
async fn an_answer_is_due_after_the_request_timeout() {
    let mut setup = Setup::default();
    setup.limits.request_timeout = Duration::from_millis(50);
    let node = Node::with(setup).await;
    node.hangs.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = node.event("t1", "TASK_RUNNING", "/a").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.message(), "no answer within 50.0ms");
    assert_eq!(node.get("/v1/ping").await.status, 200);
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let node = Node::with(Setup { modules: vec!["Panics"], ..Setup::default() }).await;
    let mut connection = node.open().await;
    let answer = connection.ask(&Ask::new("GET", "/v1/module/list/Panics")).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.message().starts_with("an error in mconn itself"));
    assert_eq!(connection.ask(&Ask::new("GET", "/v1/ping")).await.status, 200);
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_want_it() {
    let node = Node::start().await;
    let ask = Ask::new("GET", "/v1/openapi.json");
    let plain = node.ask(ask.clone()).await;
    assert_eq!(plain.header("content-encoding"), None);
    let zipped = node.ask(ask.header("Accept-Encoding", "gzip, deflate")).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() < plain.body.len() / 2);
    let small = node.ask(Ask::new("GET", "/v1/leader").header("Accept-Encoding", "gzip")).await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn requests_that_nobody_can_read_are_answered() {
    let node = Node::start().await;
    let mut connection = node.open().await;
    connection.send(b"nonsense\r\n\r\n").await;
    assert_eq!(connection.head().await.unwrap().status, 400);
    let mut connection = node.open().await;
    let long = format!("GET /v1/ping HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    connection.send(long.as_bytes()).await;
    assert_eq!(connection.head().await.unwrap().status, 431);
}

#[tokio::test]
async fn requests_may_follow_each_other_without_waiting() {
    let node = Node::start().await;
    let mut connection = node.open().await;
    let body = event("t1", "TASK_RUNNING", "/a");
    let post = format!(
        "POST /v1/queue HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let three = format!("{post}GET /v1/ping HTTP/1.1\r\nHost: t\r\n\r\n{post}");
    connection.send(three.as_bytes()).await;
    for _ in 0..3 {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}
