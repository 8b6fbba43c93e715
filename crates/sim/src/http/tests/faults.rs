//! What goes wrong on purpose, as a client sees it.

use super::{Got, Listener, ask, get, get_at, post, start, web, within};
use crate::{Fault, ManglePolicy, Sim, SimOptions};
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

async fn sim() -> Sim {
    start(SimOptions { initial_apps: vec![web()], ..SimOptions::immediate() }).await
}

async fn set(sim: &Sim, faults: serde_json::Value) {
    let set = post(sim, "/sim/fault", faults).await;
    assert_eq!((set.status, set.text().as_str()), (200, "{}"));
}

#[tokio::test]
async fn several_at_once_each_at_its_place() {
    let sim = start(SimOptions { nodes: 2, ..SimOptions::immediate() }).await;
    set(
        &sim,
        json!([
            {"path": "/v2/apps", "status": 503},
            {"path": "/v2/tasks", "status": 403},
            {"path": "/v2/groups", "node": 1, "status": 401},
            {"path": "/ping", "status": 500, "html": true},
            {"path": "/v2/queue", "percent": 0, "status": 500},
        ]),
    )
    .await;
    let status = async |path: &str| get(&sim, path).await.status;
    assert_eq!(status("/v2/apps").await, 503);
    assert_eq!(status("/v2/apps/x/tasks").await, 503);
    assert_eq!(status("/v2/tasks").await, 403);
    assert_eq!(status("/v2/groups").await, 200);
    assert_eq!(get_at(sim.addresses()[1], "/v2/groups").await.status, 401);
    assert!(get(&sim, "/ping").await.text().starts_with("<html>"));
    assert_eq!(status("/v2/queue").await, 200);
    let all = get(&sim, "/sim/fault").await.json();
    assert_eq!((all.as_array().map(Vec::len), &all[1]["status"]), (Some(5), &json!(403)));
    ask(&sim, "DELETE", "/sim/fault", "", "").await;
    assert_eq!(get(&sim, "/sim/fault").await.json(), json!([]));
    assert_eq!(status("/v2/apps").await, 200);
    for (bad, part) in [
        (json!({"dealyMs": 1}), "dealyMs"),
        (json!([{"status": 503}, {"status": 7}]), "from 200 to 599"),
        (json!({"events": {"drop": 1}}), "drop"),
        (json!({"percent": 300}), "300"),
        (json!(7), "expected"),
    ] {
        let refused = post(&sim, "/sim/fault", bad.clone()).await;
        assert_eq!(refused.status, 422, "{bad}");
        assert!(refused.text().contains(part), "{bad}: {}", refused.text());
    }
}

#[tokio::test]
async fn a_fault_ends_by_itself() {
    let sim = sim().await;
    set(&sim, json!({"status": 503, "forMs": 300})).await;
    assert_eq!(get(&sim, "/v2/apps").await.status, 503);
    super::until(&sim, "/sim/fault", |all| all == &json!([])).await;
    assert_eq!(get(&sim, "/v2/apps").await.status, 200);
}

#[tokio::test]
async fn garbage_is_no_json_and_padding_leaves_json_valid() {
    let sim = sim().await;
    set(&sim, json!({"garbage": true})).await;
    let garbage = get(&sim, "/v2/apps").await;
    assert_eq!((garbage.status, garbage.header("Content-Type")), (200, Some("application/json")));
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
    set(&sim, json!({"padBytes": 3_000_000})).await;
    let padded = get(&sim, "/v2/info").await;
    assert!(padded.body.len() > 3_000_000);
    assert_eq!(padded.json()["name"], "marathon");
    let packed = ask(&sim, "GET", "/v2/info", "Accept-Encoding: gzip\r\n", "").await;
    assert!(packed.body.len() < 30_000);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text.len(), padded.body.len());
}

#[tokio::test]
async fn bodies_are_cut_at_their_share() {
    let sim = sim().await;
    for percent in [0, 25, 99] {
        set(&sim, json!({"truncatePercent": percent})).await;
        let cut = get(&sim, "/v2/apps").await;
        let length: usize = cut.header("Content-Length").expect("a length").parse().expect("a number");
        assert_eq!(cut.body.len(), length / 100 * percent + length % 100 * percent / 100);
    }
}

#[tokio::test]
async fn slow_bodies_are_slow_and_whole() {
    let sim = sim().await;
    set(&sim, json!({"path": "/v2/info", "bytesPerSecond": 2000})).await;
    let started = Instant::now();
    let slow: Got = get(&sim, "/v2/info").await;
    assert_eq!(slow.json()["name"], "marathon");
    let least = Duration::from_millis(slow.body.len() as u64 / 3);
    assert!(started.elapsed() >= least, "{:?} for {} bytes", started.elapsed(), slow.body.len());
}

#[tokio::test]
async fn connections_hang_and_are_reset() {
    let sim = sim().await;
    let ask_raw = async || {
        let mut stream = TcpStream::connect(sim.addr()).await.expect("connects");
        stream.write_all(b"GET /v2/apps HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
        stream
    };
    set(&sim, json!({"reset": true})).await;
    let mut stream = ask_raw().await;
    let error = within(stream.read_u8()).await.expect_err("no answer");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    set(&sim, json!({"hang": true})).await;
    let mut stream = ask_raw().await;
    assert_eq!(get(&sim, "/sim/state").await.status, 200);
    let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(silence.is_err(), "neither an answer nor an end");
    // Its end is the simulation's at the latest.
    within(sim.shutdown()).await;
    assert!(within(stream.read_u8()).await.is_err());
}

#[tokio::test]
async fn redirects_lead_back_and_the_header_can_lie() {
    let sim = sim().await;
    set(&sim, json!({"redirectLoop": true})).await;
    let moved = get(&sim, "/v2/apps?id=a%20b").await;
    let back = format!("{}/v2/apps?id=a%20b", sim.url());
    assert_eq!((moved.status, moved.header("Location")), (302, Some(back.as_str())));
    set(&sim, json!({"leader": "http://10.255.0.1:8080"})).await;
    assert_eq!(get(&sim, "/v2/apps").await.header("X-Marathon-Leader"), Some("http://10.255.0.1:8080"));
    set(&sim, json!({"leader": ""})).await;
    assert!(get(&sim, "/v2/apps").await.header("X-Marathon-Leader").is_none());
}

async fn emit(sim: &Sim, numbers: std::ops::Range<u32>) {
    for number in numbers {
        sim.handle().emit(json!({"eventType": "n", "number": number})).await;
    }
}

/// The numbers of the events that a listener has seen.
fn numbers(events: &Listener) -> Vec<u32> {
    let text = events.text();
    let of = |part: &str| part.split('}').next().and_then(|number| number.parse().ok());
    text.split("\"number\":").skip(1).filter_map(of).collect()
}

#[tokio::test]
async fn events_are_lost_doubled_and_reordered() {
    let sim = sim().await;
    let mut events = Listener::attach(&sim, "?event_type=n&event_type=end").await;
    let all: Vec<u32> = (0..200).collect();
    let seen = async |events: &mut Listener, policy: serde_json::Value, end: &str| {
        let before = numbers(events).len();
        set(&sim, json!({"events": policy})).await;
        emit(&sim, 0..200).await;
        // Until all that is held back is out; then nothing goes wrong with the last one.
        set(&sim, json!([])).await;
        for number in 0..3 {
            sim.handle().emit(json!({"eventType": "end", "is": format!("{end}{number}")})).await;
        }
        events.until(&format!("\"is\":\"{end}2\"")).await;
        numbers(events)[before..].to_vec()
    };
    assert_eq!(seen(&mut events, json!({}), "a").await, all);
    let lost = seen(&mut events, json!({"dropPercent": 30}), "b").await;
    assert!((90..190).contains(&lost.len()) && lost.is_sorted(), "{lost:?}");
    let mut doubled = seen(&mut events, json!({"duplicatePercent": 30}), "c").await;
    assert!((210..320).contains(&doubled.len()) && doubled.is_sorted());
    doubled.dedup();
    assert_eq!(doubled, all);
    let policy = json!({"reorderPercent": 50, "reorderBy": 2, "reorderHoldMs": 60_000});
    let mut mixed = seen(&mut events, policy, "d").await;
    assert!(!mixed.is_sorted());
    mixed.sort_unstable();
    assert_eq!(mixed, all);
}

#[tokio::test]
async fn events_are_delayed_in_order() {
    let sim = sim().await;
    let mut events = Listener::attach(&sim, "?event_type=n").await;
    set(&sim, json!({"events": {"delayMinMs": 150, "delayMaxMs": 300}})).await;
    let started = Instant::now();
    emit(&sim, 0..20).await;
    events.until("\"number\":19}").await;
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(numbers(&events), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn silence_has_no_byte_and_the_rest_goes_on() {
    let sim = start(SimOptions { heartbeat: Duration::from_millis(5), ..SimOptions::immediate() }).await;
    let mut events = Listener::attach(&sim, "?event_type=n").await;
    set(&sim, json!({"silentStreams": true})).await;
    emit(&sim, 0..1).await;
    // What is on the way still comes; then nothing more does.
    let quiet = async {
        let mut byte = [0];
        while tokio::time::timeout(Duration::from_millis(100), events.stream.read(&mut byte)).await.is_ok() {}
    };
    within(quiet).await;
    assert_eq!(sim.handle().stream_count().await, 1);
    ask(&sim, "DELETE", "/sim/fault", "", "").await;
    emit(&sim, 1..2).await;
    events.until("\"number\":1}").await;
    assert_eq!(numbers(&events), [1]);
}

#[tokio::test]
async fn frames_are_cut_in_the_middle() {
    let sim = sim().await;
    let mut events = Listener::attach(&sim, "?event_type=n").await;
    emit(&sim, 0..1).await;
    events.until("\"number\":0}\r\n\r\n").await;
    set(&sim, json!({"cutFrames": true})).await;
    emit(&sim, 1..2).await;
    events.end().await;
    let text = events.text();
    let last = text.rsplit("\r\n\r\n").next().expect("a rest").trim_start_matches(['\r', '\n']);
    assert!(last.starts_with("event: n") && !last.contains("\"number\":1}"), "{last:?}");
}

#[tokio::test]
async fn a_limited_stream_overflows_its_buffer() {
    let sim = start(SimOptions { stream_buffer: Some(4), ..SimOptions::immediate() }).await;
    let mut events = Listener::attach(&sim, "").await;
    events.until("event_stream_attached").await;
    set(&sim, json!({"eventsPerSecond": 1})).await;
    emit(&sim, 0..20).await;
    events.end().await;
    assert!(numbers(&events).len() < 10);
}

#[tokio::test]
async fn streams_in_single_bytes_are_whole() {
    let sim = sim().await;
    set(&sim, json!({"singleBytes": true})).await;
    let mut events = Listener::attach(&sim, "?event_type=n").await;
    emit(&sim, 0..3).await;
    events.until("\"number\":2}\r\n\r\n").await;
    assert_eq!(numbers(&events), [0, 1, 2]);
}

#[tokio::test]
async fn callbacks_go_wrong_as_streams_do() {
    let sim = start(SimOptions::immediate()).await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http%3A//{}/", receiver.local_addr().expect("an address"));
    let lost = ManglePolicy { drop_percent: 100, ..ManglePolicy::default() };
    sim.handle().set_fault(Fault { callbacks: Some(lost), ..Fault::default() }).expect("valid");
    post(&sim, &format!("/v2/eventSubscriptions?callbackUrl={url}"), json!({})).await;
    let mut events = Listener::attach(&sim, "?event_type=n").await;
    emit(&sim, 0..3).await;
    // The stream has them, and the callback only those that come after the fault.
    events.until("\"number\":2}").await;
    // The worker has had its turn when the event that follows is there.
    let doubled = ManglePolicy { duplicate_percent: 100, ..ManglePolicy::default() };
    tokio::task::yield_now().await;
    sim.handle().set_fault(Fault { callbacks: Some(doubled), ..Fault::default() }).expect("valid");
    sim.handle().emit(json!({"eventType": "twice"})).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (mut stream, _) = within(receiver.accept()).await.expect("a call");
        let mut bytes = Vec::new();
        within(async {
            while !bytes.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut bytes).await.expect("reads"), 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("writes");
        })
        .await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        seen.push(text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned());
    }
    assert_eq!(seen, [r#"{"eventType":"twice"}"#, r#"{"eventType":"twice"}"#]);
}
