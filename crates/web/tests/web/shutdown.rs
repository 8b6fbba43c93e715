//! Ending: answers first, streams end, what does not end is cut.

use std::time::Duration;

use mconn_web::Served;

use crate::client::Ask;
use crate::node::{Node, Setup};

#[tokio::test]
async fn exit_is_answered_before_the_node_ends() {
    for (target, message) in
        [("/v1/exit/node", "Exit node"), ("/v1/exit/leader", "Exit leader: node.example:1234")]
    {
        let node = Node::start().await;
        let (exit, cancel) = (node.exit.clone(), node.cancel.clone());
        // As the binary does: the token ends everything.
        tokio::spawn(async move {
            exit.cancelled().await;
            cancel.cancel();
        });
        let mut connection = node.open().await;
        let answer = connection.ask(&Ask::new("POST", target)).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (200, Some(message)));
        assert!(connection.is_closed().await);
        assert_eq!(node.serving.await.unwrap(), Served { cut_off: 0 });
    }
}

#[tokio::test]
async fn requests_under_way_are_answered_and_idle_connections_end() {
    let node = Node::start().await;
    let mut idle = node.open().await;
    idle.ask(&Ask::new("GET", "/v1/ping")).await;
    let mut busy = node.open().await;
    busy.ask(&Ask::new("GET", "/v1/ping")).await;
    busy.send(b"POST /v1/module/preset HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n").await;
    busy.send(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    // The server asks for the body: the request is under way.
    assert_eq!(busy.head().await.unwrap().status, 100);
    node.cancel.cancel();
    assert!(idle.is_closed().await);
    busy.send(b"{}").await;
    let answer = busy.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(node.serving.await.unwrap(), Served { cut_off: 0 });
}

#[tokio::test]
async fn streams_end() {
    let node = Node::start().await;
    let mut stream = node.open().await;
    stream.send(b"GET /v1/events HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(stream.head().await.unwrap().status, 200);
    assert!(stream.chunk().await.is_some());
    node.cancel.cancel();
    assert_eq!(stream.chunk().await, None);
    assert_eq!(node.serving.await.unwrap(), Served { cut_off: 0 });
}

#[tokio::test]
async fn who_does_not_end_is_cut() {
    let mut setup = Setup::default();
    setup.limits.shutdown_timeout = Duration::from_millis(50);
    let node = Node::with(setup).await;
    let mut busy = node.open().await;
    busy.send(b"POST /v1/queue HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(busy.head().await.unwrap().status, 100);
    node.cancel.cancel();
    assert_eq!(node.serving.await.unwrap(), Served { cut_off: 1 });
    assert!(busy.is_closed().await);
}
