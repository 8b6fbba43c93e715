//! Several nodes: one leads, the others follow.

use super::{Got, Listener, get_at, post_at, request_at, start, web, within};
use crate::{ElectionTimes, Fault, NodeProfile, Profile, Sim, SimOptions};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

async fn several(nodes: usize, profile: NodeProfile) -> Sim {
    let profile = Profile { nodes: profile, ..Profile::v1_8() };
    start(SimOptions { nodes, profile, initial_apps: vec![web()], ..SimOptions::immediate() }).await
}

const AT_ONCE: ElectionTimes = ElectionTimes { election: Some(Duration::ZERO), load: Some(Duration::ZERO) };
/// Longer than a request is held for want of a leader.
const FOR_LONG: ElectionTimes = ElectionTimes { election: Some(Duration::from_secs(3600)), load: None };

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

#[tokio::test]
async fn followers_pass_requests_on() {
    let sim = several(3, NodeProfile::since_1_7()).await;
    let [leader, one, two] = sim.addresses() else { panic!("three nodes") };
    let direct = get_at(*leader, "/v2/apps").await;
    let passed = get_at(*one, "/v2/apps").await;
    assert_eq!((passed.status, passed.json()["apps"][0]["id"].as_str()), (200, Some("/shop/web")));
    assert_eq!(passed.header("X-Marathon-Leader"), Some(url(*leader).as_str()));
    assert_eq!(passed.header("X-Marathon-Via"), Some(format!("1.1 {one}").as_str()));
    assert!(direct.header("X-Marathon-Via").is_none());
    let created = post_at(*two, "/v2/apps", json!({"id": "/b", "cmd": "x"})).await;
    assert_eq!(created.status, 201);
    assert_eq!(get_at(*leader, "/v2/apps/b").await.status, 200);
    // Errors come through as they are.
    assert_eq!(get_at(*one, "/v2/apps/none").await.status, 404);
    assert_eq!(get_at(*one, "/v2/nothing").await.status, 500);
}

#[tokio::test]
async fn every_node_knows_what_it_is() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [leader, follower] = sim.addresses() else { panic!("two nodes") };
    for (addr, elected) in [(leader, true), (follower, false)] {
        let info = get_at(*addr, "/v2/info").await;
        assert_eq!(
            (&info.json()["elected"], &info.json()["leader"]),
            (&json!(elected), &json!(leader.to_string()))
        );
        assert_eq!(info.json()["http_config"]["http_port"], addr.port());
        assert_eq!(get_at(*addr, "/v2/leader").await.json(), json!({"leader": leader.to_string()}));
        let ping = get_at(*addr, "/ping").await;
        assert_eq!((ping.text().as_str(), ping.header("X-Marathon-Leader").is_some()), ("pong", elected));
        assert!(ping.header("X-Marathon-Via").is_none());
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [leader, follower] = sim.addresses() else { panic!("two nodes") };
    let via = format!("X-Marathon-Via: 1.1 elsewhere:1, 1.1 {follower}\r\n");
    let refused = request_at(*follower, "GET", "/v2/apps", &via, "").await;
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains("Detected proxying loop."), "{}", refused.text());
    assert_eq!(request_at(*leader, "GET", "/v2/apps", &via, "").await.status, 200);
    let other = format!("X-Marathon-Via: 1.1 {leader}\r\n");
    assert_eq!(request_at(*follower, "GET", "/v2/apps", &other, "").await.status, 200);
}

#[tokio::test]
async fn without_a_leader_requests_are_held_and_then_refused() {
    for (profile, status) in [(NodeProfile::since_1_7(), 502), (NodeProfile::since_0_10(), 503)] {
        let sim = several(2, profile).await;
        sim.handle().elect(Some(1), FOR_LONG).await;
        let addr = sim.addresses()[1];
        let started = tokio::time::Instant::now();
        let refused = get_at(addr, "/v2/apps").await;
        assert!(started.elapsed() >= Duration::from_millis(2400));
        assert_eq!(refused.status, status);
        assert!(refused.text().contains("Could not determine the current leader"));
        assert!(refused.header("X-Marathon-Leader").is_none());
        assert_eq!(get_at(addr, "/ping").await.text(), "pong");
        let none = get_at(addr, "/v2/leader").await;
        assert_eq!((none.status, none.json()), (404, json!({"message": "There is no leader"})));
        let info = get_at(addr, "/v2/info").await.json();
        assert_eq!((&info["elected"], &info["leader"]), (&json!(false), &Value::Null));
    }
}

#[tokio::test]
async fn a_held_request_is_answered_by_the_new_leader() {
    let sim = several(2, NodeProfile::since_0_10()).await;
    let [first, second] = sim.addresses() else { panic!("two nodes") };
    sim.handle().elect(None, FOR_LONG).await;
    let addr = *first;
    let held = tokio::spawn(async move { get_at(addr, "/v2/apps").await });
    sim.handle().elect(Some(1), AT_ONCE).await;
    let answered = within(held).await.expect("ends");
    assert_eq!(answered.status, 200);
    assert_eq!(answered.header("X-Marathon-Leader"), Some(url(*second).as_str()));
}

#[tokio::test]
async fn an_old_node_without_a_leader_answers_itself_and_sends_no_header() {
    let sim = several(2, NodeProfile::v0_8()).await;
    sim.handle().elect(None, FOR_LONG).await;
    let answered = get_at(sim.addresses()[1], "/v2/apps").await;
    assert_eq!(answered.status, 200);
    assert!(answered.header("X-Marathon-Leader").is_none());
}

#[tokio::test]
async fn events_of_a_follower_are_passed_on_or_redirected() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [leader, follower] = sim.addresses() else { panic!("two nodes") };
    let accept = "Accept: text/event-stream\r\n";
    let moved = request_at(*follower, "GET", "/v2/events?event_type=a&event_type=b%20c", accept, "").await;
    assert_eq!(moved.status, 302);
    let wanted = format!("http://{leader}/v2/events?event_type=a&event_type=b%20c");
    assert_eq!(moved.header("Location"), Some(wanted.as_str()));
    assert_eq!(moved.body, b"");

    let sim = several(2, NodeProfile::v1_6()).await;
    let [leader, follower] = sim.addresses() else { panic!("two nodes") };
    let mut events = Listener::attach_at(*follower, "?event_type=mine").await;
    assert!(events.text().contains(&format!("X-Marathon-Via: 1.1 {follower}\r\n")), "{}", events.text());
    assert!(events.text().contains(&format!("X-Marathon-Leader: http://{leader}\r\n")));
    sim.handle().emit(json!({"eventType": "other"})).await;
    sim.handle().emit(json!({"eventType": "mine"})).await;
    events.until("event: mine").await;
    assert!(!events.text().contains("other"));
    sim.handle().stop_node(1, None).await;
    events.end().await;
}

#[tokio::test]
async fn a_leader_change_ends_streams_forgets_health_and_the_loser_exits_and_returns() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [old, new] = sim.addresses() else { panic!("two nodes") };
    let healthy = |app: &Value| app["app"]["tasksHealthy"] == json!(1);
    super::until_at(*old, "/v2/apps/shop/web", healthy).await;
    let mut events = Listener::attach_at(*old, "").await;
    let change = json!({"leader": new.to_string(), "electionMs": 0});
    assert_eq!(post_at(*old, "/sim/leader/change", change).await.status, 200);
    events.end().await;
    let apps = get_at(*new, "/v2/apps/shop/web").await;
    assert_eq!(apps.header("X-Marathon-Leader"), Some(url(*new).as_str()));
    let gone = |nodes: &Value| nodes[0]["stops"] == json!(1);
    let nodes = super::until_at(*new, "/sim/nodes", gone).await;
    assert_eq!(nodes[1]["ready"], true);
    let back = |nodes: &Value| nodes[0]["up"] == json!(true);
    super::until_at(*new, "/sim/nodes", back).await;
    within(async {
        while TcpStream::connect(old).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get_at(*old, "/v2/info").await.json()["elected"], false);
    assert_eq!(get_at(*old, "/v2/apps").await.header("X-Marathon-Via"), Some(format!("1.1 {old}").as_str()));
}

#[tokio::test]
async fn a_change_forgets_what_marathon_probed() {
    let profile = Profile { nodes: NodeProfile::since_0_10(), ..Profile::v1_8() };
    let mut options = SimOptions { nodes: 2, profile, initial_apps: vec![web()], ..SimOptions::immediate() };
    // The first probe after the change is an hour away.
    options.timeline.first_health = None;
    let sim = start(options).await;
    let addr = sim.addr();
    let running = |app: &Value| app["app"]["tasksRunning"] == json!(1);
    let app = super::until_at(addr, "/v2/apps/shop/web", running).await;
    let task = app["app"]["tasks"][0]["id"].as_str().expect("an id").to_owned();
    sim.handle().set_health(&task, true).await;
    sim.handle().elect(Some(1), AT_ONCE).await;
    let app = get_at(addr, "/v2/apps/shop/web").await.json();
    assert_eq!((&app["app"]["tasksRunning"], &app["app"]["tasksHealthy"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn abdication_elects_another_one() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [old, new] = sim.addresses() else { panic!("two nodes") };
    let answer = request_at(*old, "DELETE", "/v2/leader", "", "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"message": "Leadership abdicated"})));
    super::until_at(*new, "/sim/nodes", |nodes| nodes[1]["ready"] == json!(true)).await;
    // A follower passes it on.
    let sim = several(2, NodeProfile::since_0_10()).await;
    let answer = request_at(sim.addresses()[1], "DELETE", "/v2/leader", "", "").await;
    assert_eq!(answer.header("X-Marathon-Via"), Some(format!("1.1 {}", sim.addresses()[1]).as_str()));
    super::until_at(sim.addr(), "/sim/nodes", |nodes| nodes[1]["ready"] == json!(true)).await;
}

#[tokio::test]
async fn nodes_stop_and_start() {
    let sim = several(2, NodeProfile::since_1_7()).await;
    let [first, second] = sim.addresses() else { panic!("two nodes") };
    let mut idle = TcpStream::connect(first).await.expect("connects");
    assert_eq!(post_at(*second, "/sim/nodes/0/stop", json!({})).await.status, 200);
    let refused = TcpStream::connect(first).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut rest = Vec::new();
    // Its open connections end as well, one way or the other.
    let _ = within(tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest)).await;
    assert_eq!(rest, b"");
    super::until_at(*second, "/sim/nodes", |nodes| nodes[1]["ready"] == json!(true)).await;
    // The last one stays, unless it comes back by itself; and it still answers.
    assert_eq!(post_at(*second, "/sim/nodes/1/stop", json!({})).await.status, 409);
    assert_eq!(post_at(*second, "/sim/nodes/1/stop", json!({"forMs": 1})).await.status, 200);
    within(async {
        while sim.handle().leader() != Some(1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It is up already; this waits until it listens.
    sim.handle().start_node(1).await;
    assert_eq!(get_at(*second, "/sim/nodes").await.json()[1]["stops"], 1);
    assert_eq!(post_at(*second, "/sim/nodes/0/start", json!({})).await.status, 200);
    assert_eq!(get_at(*first, "/v2/info").await.json()["elected"], false);
    for (path, body, status) in [
        ("/sim/nodes/2/stop", json!({}), 404),
        ("/sim/nodes/x/start", json!({}), 404),
        ("/sim/nodes/0/stop", json!({"for": 1}), 422),
        ("/sim/leader/change", json!({"leader": 2}), 404),
        ("/sim/leader/change", json!({"leader": "other:1", "electionMs": 1}), 422),
        ("/sim/leader/change", json!({"who": 1}), 422),
    ] {
        assert_eq!(post_at(*first, path, body.clone()).await.status, status, "{path} {body}");
    }
}

#[tokio::test]
async fn trouble_at_the_leader_is_the_followers_502_or_503() {
    for (profile, status) in [(NodeProfile::since_1_7(), 502), (NodeProfile::since_1_3_6(), 503)] {
        let sim = several(2, profile).await;
        sim.handle().set_fault(Fault { node: Some(0), reset: true, ..Fault::default() }).expect("valid");
        let refused: Got = get_at(sim.addresses()[1], "/v2/apps").await;
        assert_eq!(refused.status, status);
        assert!(refused.text().contains("Connection to leader refused."));
    }
}
