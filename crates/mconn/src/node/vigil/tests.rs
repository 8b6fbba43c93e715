use std::net::SocketAddr;

use mconn_leadership::{Epoch, Leader as Leads, Member};
use mconn_model::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn name(number: u32) -> MemberName {
    MemberName::parse(&format!("member_{number:010}")).unwrap()
}

fn address(addr: SocketAddr) -> NodeAddress {
    NodeAddress { host: addr.ip().to_string(), port: addr.port(), url: format!("http://{addr}") }
}

/// What member 9 sees while the first of these leads.
fn view(line: &[u32], role: Role) -> Leadership {
    let here = address(([127, 0, 0, 1], 1).into());
    let mut view = Leadership::unknown(here.clone(), Timestamp::from_millis(0));
    view.role = role;
    view.member = Some(name(9));
    view.members = line
        .iter()
        .map(|number| Member {
            name: name(*number),
            address: Some(here.clone()),
            version: None,
            is_self: *number == 9,
        })
        .collect();
    view.leader = Some(Leads {
        name: name(line[0]),
        address: here,
        epoch: Some(Epoch(3)),
        since: None,
        is_self: line[0] == 9,
    });
    view
}

#[test]
fn only_the_successor_looks_after_the_leader() {
    let looks = |view: &Leadership| Leader::of(view).map(|leader| leader.name);
    assert_eq!(looks(&view(&[3, 9], Role::Following)), Some(name(3)));
    assert_eq!(looks(&view(&[3, 9, 12], Role::Following)), Some(name(3)));
    assert_eq!(looks(&view(&[3, 5, 9], Role::Following)), None, "another is next");
    assert_eq!(looks(&view(&[9, 12], Role::Leading { epoch: Epoch(3) })), None);
    let apart = Role::Apart { since: Timestamp::from_millis(0), why: "cut off".to_owned() };
    assert_eq!(looks(&view(&[3, 9], apart)), None, "what it knows may be old");
    let mut original = view(&[3, 9], Role::Following);
    original.leader.as_mut().unwrap().epoch = None;
    assert_eq!(
        looks(&original),
        None,
        "a node of the original has no such stream, and would not be stopped by an epoch"
    );
    let mut out = view(&[3, 9], Role::Following);
    out.member = None;
    assert_eq!(looks(&out), None);
}

/// A leader that answers each request with this text and ends its connection then.
async fn answering(text: &'static str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (addr, task)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const OPEN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n";
const ENDED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n0\r\n\r\n";

#[tokio::test]
async fn only_a_stream_that_breaks_off_says_something() {
    let client = HttpClient::new(&HttpSettings::default()).unwrap();
    let looked = async |text| {
        let (addr, task) = answering(text).await;
        let url = Url::parse(&format!("http://{addr}{STREAM}")).unwrap();
        let broke = breaks_off(&client, Request::get(url)).await;
        task.abort();
        broke
    };
    assert!(looked(HEAD).await && looked(OPEN).await);
    assert!(!looked(ENDED).await, "a node that ends in order ends its streams");
    assert!(!looked("HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nab").await);
    assert!(!looked("").await, "there was no stream");
}

#[tokio::test]
async fn a_process_has_ended_when_its_port_refuses() {
    let (addr, task) = answering(OPEN).await;
    let host = addr.ip().to_string();
    assert!(!refuses(&host, addr.port()).await);
    task.abort();
    let _ = task.await;
    assert!(refuses(&host, addr.port()).await);
}

#[tokio::test]
async fn the_end_of_a_leader_is_seen_and_a_broken_stream_alone_is_none() {
    let client = HttpClient::new(&HttpSettings::default()).unwrap();
    // Every stream of it breaks, and it listens on.
    let (addr, task) = answering(OPEN).await;
    let leader = Leader { name: name(3), address: address(addr) };
    let ends = ended(&client, None, Some(&leader));
    tokio::pin!(ends);
    assert!(timeout(PAUSE * 3, &mut ends).await.is_err());
    task.abort();
    let _ = task.await;
    // A stream that was never open tells nothing: nobody was there.
    assert!(timeout(PAUSE * 3, &mut ends).await.is_err());
    let listener = TcpListener::bind(addr).await.unwrap();
    let (mut stream, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        () = &mut ends => panic!("it listens again"),
    };
    let serve = async {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        stream.write_all(OPEN.as_bytes()).await.unwrap();
        // As the system does it when a process ends: all its sockets at once.
        drop(listener);
        drop(stream);
    };
    let (seen, ()) = tokio::join!(timeout(CONNECT * 5, &mut ends), serve);
    assert!(seen.is_ok(), "its end was not seen");
}
