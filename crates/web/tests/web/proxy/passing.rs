//! Requests that are passed on, and answers.

use base64::Engine;
use mconn_web::{Basic, Credentials};

use super::{FOLLOWER, Scripted, behind, follower, lines, pair, vacant};
use crate::client::Ask;
use crate::live::Reader;
use crate::node::{Node, SECRET, Setup, event};

#[tokio::test]
async fn the_leaders_answers_are_the_followers() {
    let (leader, follower, _seats) = pair().await;
    leader.preset("/a", "{}").await;
    let preset = r#"{"moduleName":"Test","appId":"/b","status":"enabled"}"#;
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/v1/queue", "", 200, "[]"),
        ("POST", "/v1/queue", r#"{"eventType":"x"}"#, 200, "EventType has been rejected: x"),
        ("POST", "/v1/queue", "{", 400, "the body is no JSON"),
        ("POST", "/v1/queue", r#"{"eventType":"scheduler_registered_event"}"#, 200, ""),
        ("GET", "/v1/module/list", "", 200, "Module.Test"),
        ("GET", "/V1/Module/%6cist/Test/?x=%20y", "", 200, "Module.Test"),
        ("GET", "/v1/module/list/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/inventory/Test", "", 200, "[]"),
        ("GET", "/v1/module/queue/list/Test", "", 200, "[]"),
        ("POST", "/v1/module/queue/pause/Test", "", 200, r#""paused": true"#),
        ("POST", "/v1/module/queue/resume/Test", "", 200, r#""paused": false"#),
        ("POST", "/v1/module/queue/pause/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/preset/Test", "", 200, "/a"),
        ("POST", "/v1/module/preset", preset, 200, "AppId for module Test created: /b"),
        ("PUT", "/v1/module/preset", preset, 200, "AppId for module Test modified: /b"),
        ("DELETE", "/v1/module/preset?moduleName=Test&appId=%2Fb", "", 200, "AppId for module Test deleted: /b"),
        ("POST", "/v1/module/sync", "", 200, "Force sync of all modules"),
        ("POST", "/v1/module/sync/Test", "", 200, "Force sync of module: Test"),
        ("POST", "/v1/module/sync/Nope", "", 404, "Module not found: Nope"),
        ("GET", "/v1/module/dead-letters/Test", "", 200, "[]"),
        ("DELETE", "/v1/module/dead-letters/Test/7", "", 404, "Dead letter not found: 7"),
        ("GET", "/v1/events?types=nope", "", 400, "Unknown type of events"),
    ];
    let by = leader.address.to_string();
    for (method, target, body, status, text) in cases {
        let answer = follower.ask(Ask::new(method, *target).json(body)).await;
        assert_eq!(answer.status, *status, "{method} {target}: {answer:?}");
        assert!(answer.text().contains(text), "{method} {target}: {answer:?}");
        let passed = !target.contains("nope");
        assert_eq!(answer.header("x-mconn-leader"), passed.then_some(by.as_str()), "{method} {target}");
        if *method == "GET" {
            let own = leader.ask(Ask::new(method, *target)).await;
            assert_eq!(answer.text(), own.text(), "{target}");
            assert_eq!(answer.header("content-type"), own.header("content-type"), "{target}");
            assert_eq!(answer.header("content-length"), own.header("content-length"), "{target}");
        }
    }
}

#[tokio::test]
async fn head_is_passed_on_and_the_connection_stays() {
    let (leader, follower, _seats) = pair().await;
    let mut connection = follower.open().await;
    for target in ["/v1/queue", "/v1/module/list/Test", "/v1/module/list/Nope"] {
        let get = connection.ask(&Ask::new("GET", target)).await;
        let head = connection.ask(&Ask::new("HEAD", target)).await;
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{target}");
        assert!(head.header("x-mconn-leader").is_some(), "{target}");
    }
    let page = leader.get("/metrics").await;
    assert!(
        page.text().contains("mconn_http_connections 2"),
        "one connection is used again: {}",
        page.text()
    );
}

#[tokio::test]
async fn an_event_is_accepted_by_the_leader() {
    let (leader, follower, _seats) = pair().await;
    let answer = follower.event("t1", "TASK_RUNNING", "/a").await;
    assert_eq!(answer.json()["taskId"], "t1_TASK_RUNNING");
    assert_eq!(
        answer.json()["leader"],
        "http://node.example:1234",
        "the leader's address, not the follower's"
    );
    assert_eq!(leader.queue.stats().await.unwrap().accepted, 1);
    assert_eq!(follower.queue.stats().await.unwrap().accepted, 0);
}

#[tokio::test]
async fn every_other_route_is_the_nodes_own() {
    let (leader, follower, _seats) = pair().await;
    for target in [
        "/v1/ping",
        "/v1/leader",
        "/v1/members",
        "/v1/info",
        "/v1/openapi.json",
        "/v1/catalog",
        "/v1/verdicts",
        "/v1/explain",
        "/metrics",
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/health/freshness",
    ] {
        let answer = follower.get(target).await;
        assert_eq!((answer.status, answer.header("x-mconn-leader")), (200, None), "{target}");
    }
    assert_eq!(follower.get("/v1/module/nothing").await.status, 404);
    assert_eq!(follower.ask(Ask::new("PATCH", "/v1/queue")).await.status, 404);
    assert_eq!(follower.post("/v1/exit/node", "").await.json()["message"], "Exit node");
    assert!(follower.exit.is_cancelled() && !leader.exit.is_cancelled());
    let page = leader.get("/metrics").await;
    assert!(page.text().contains("mconn_http_connections 1"), "nobody else has asked it: {}", page.text());
}

#[tokio::test]
async fn headers_pass_but_for_those_of_a_connection() {
    let scripted = Scripted::start().await;
    let (follower, _seats) = follower(behind(scripted.address()), Setup::default()).await;
    let mut client = follower.open().await;
    client
        .send(
            b"PUT /v1/module/preset?a=%2F&b HTTP/1.1\r\nHost: front.example\r\nConnection: x-mine\r\nX-Mine: 1\r\n\
              Keep-Alive: 5\r\nX-Request-Id: 7\r\nContent-Type: text/x; y=z\r\nTransfer-Encoding: chunked\r\n\
              X-Forwarded-For: 10.0.0.9\r\nCookie: a=b\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
        .await;
    let (request, mut answering) = scripted.asked().await;
    assert!(request.starts_with("PUT /v1/module/preset?a=%2F&b HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nabcde"), "{request}");
    let address = scripted.address().to_string();
    for (name, wanted) in [
        ("host", &[address.as_str()][..]),
        ("x-request-id", &["7"]),
        ("content-type", &["text/x; y=z"]),
        ("content-length", &["5"]),
        ("cookie", &["a=b"]),
        ("via", &["1.1 follower.example:1"]),
        ("x-forwarded-for", &["10.0.0.9, 127.0.0.1"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &["front.example"]),
        ("x-mconn-via", &[FOLLOWER]),
        ("x-mine", &[]),
        ("keep-alive", &[]),
        ("transfer-encoding", &[]),
        ("connection", &[]),
    ] {
        assert_eq!(lines(&request, name), wanted, "{name} in {request}");
    }
    answering
        .send(
            b"HTTP/1.1 418 Other Words\r\nContent-Type: text/tea\r\nETag: \"7\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
              Keep-Alive: 5\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Length: 3\r\n\r\ntea",
        )
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text()), (418, "tea"));
    for (name, wanted) in [
        ("content-type", &["text/tea"][..]),
        ("etag", &["\"7\""]),
        ("set-cookie", &["a=1", "b=2"]),
        ("date", &["Tue, 24 Nov 2026 12:00:00 GMT"]),
        ("via", &["1.1 follower.example:1"]),
        ("x-mconn-leader", &[address.as_str()]),
        ("keep-alive", &[]),
    ] {
        assert_eq!(lines(&answer.head, name), wanted, "{name} in {}", answer.head);
    }
}

#[tokio::test]
async fn an_answer_passes_as_it_comes_and_half_of_one_is_none() {
    let scripted = Scripted::start().await;
    let (follower, _seats) = follower(behind(scripted.address()), Setup::default()).await;
    let mut client = follower.open().await;
    client.send(b"GET /v1/queue HTTP/1.1\r\nHost: t\r\n\r\n").await;
    let (_, mut answering) = scripted.asked().await;
    answering.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert_eq!(client.head().await.unwrap().status, 200);
    assert_eq!(client.chunk().await.unwrap(), b"first");
    answering.send(b"6\r\nsecond\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"second");
    assert_eq!(client.chunk().await, None);

    client.send(b"GET /v1/queue HTTP/1.1\r\nHost: t\r\n\r\n").await;
    answering.request().await;
    answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("100")));
    drop(answering);
    assert_eq!(client.rest().await, b"half", "and then the connection breaks");
}

#[tokio::test]
async fn large_bodies_pass_whole_and_are_limited_by_the_follower() {
    let (leader, follower, _seats) = pair().await;
    let large = "x".repeat(900_000);
    for app in ["/a", "/b", "/c"] {
        follower.preset(app, &format!("\"{large}\"")).await;
    }
    let all = follower.get("/v1/module/preset").await;
    assert!(all.body.len() > 2_700_000, "{}", all.body.len());
    assert_eq!(all.body, leader.get("/v1/module/preset").await.body);
    let zipped = follower.ask(Ask::new("GET", "/v1/module/preset").header("Accept-Encoding", "gzip")).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"), "by the leader, and not once more");
    let too_large = follower.post("/v1/queue", &"x".repeat(1_100_000)).await;
    assert_eq!((too_large.status, too_large.header("x-mconn-leader")), (413, None));
}

#[tokio::test]
async fn an_event_stream_passes_as_it_comes_and_ends_with_the_leadership() {
    let (leader, follower, seats) = pair().await;
    let mut reader = Reader::open(&follower, "?types=module").await;
    for what in ["paused", "pauseReached", "resumed"] {
        match what {
            "paused" => leader.queue.pause("Test").await.unwrap(),
            "resumed" => leader.queue.resume("Test").await.unwrap(),
            _ => {}
        }
        assert_eq!(reader.event().await.2["what"], what);
    }
    assert!(follower.get("/metrics").await.text().contains("mconn_http_event_streams 1"));
    seats.send_replace(vacant());
    leader.queue.pause("Test").await.unwrap();
    assert_eq!(
        reader.event().await.2["what"],
        "paused",
        "that the node knows no leader may be its own trouble"
    );
    let next = Node::start().await;
    seats.send_replace(behind(next.address));
    while reader.connection.chunk().await.is_some() {}
    while !follower.get("/metrics").await.text().contains("mconn_http_event_streams 0") {}
    let mut reader = Reader::open(&follower, "?types=module").await;
    next.queue.pause("Test").await.unwrap();
    assert_eq!(reader.event().await.2["what"], "paused");
    follower.cancel.cancel();
    while reader.connection.chunk().await.is_some() {}
    assert_eq!(follower.serving.await.unwrap().cut_off, 0);
}

#[tokio::test]
async fn the_catalogs_stream_is_the_nodes_own_and_needs_no_leader() {
    let (follower, _seats) = follower(vacant(), Setup::default()).await;
    let mut reader = Reader::open(&follower, "?types=catalog").await;
    follower.catalog.send_replace(std::sync::Arc::new(crate::catalog::snapshot(7)));
    assert_eq!(reader.event().await.2["version"], 7);
}

#[tokio::test]
async fn a_follower_lets_in_whom_the_leader_would() {
    let credentials = || Credentials::On(Basic::new("admin", SECRET));
    let good =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("admin:{SECRET}")));
    let leader = Node::with(Setup { credentials: credentials(), ..Setup::default() }).await;
    let setup = Setup { credentials: credentials(), ..Setup::default() };
    let (follower_, _seats) = follower(behind(leader.address), setup.clone()).await;
    let refused = follower_.get("/v1/module/list").await;
    assert_eq!(
        (refused.status, refused.header("x-mconn-leader")),
        (401, None),
        "the follower says so itself"
    );
    let passed = follower_.ask(Ask::new("GET", "/v1/module/list").header("Authorization", &good)).await;
    assert_eq!(passed.status, 200);
    assert_eq!(follower_.event("t1", "TASK_RUNNING", "/a").await.status, 200, "exempt, as at the leader");

    let scripted = Scripted::start().await;
    let (follower, _seats) = follower(behind(scripted.address()), setup).await;
    let mut client = follower.open().await;
    let body = event("t1", "TASK_RUNNING", "/a");
    let head = format!("POST /v1/queue HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.send(head.as_bytes()).await;
    let (request, _answering) = scripted.asked().await;
    assert_eq!(lines(&request, "authorization"), [good], "the node vouches for it with its own");
}
