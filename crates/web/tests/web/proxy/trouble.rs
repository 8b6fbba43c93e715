//! No leader, an old one, a dying one, a frozen one, and nodes that disagree.

use std::time::Duration;

use mconn_web::Position;
use tokio::net::TcpListener;

use super::{FOLLOWER, Scripted, behind, follower, impatient, leader, seat, vacant};
use crate::client::{Answer, Ask};
use crate::node::{Node, Setup, event};

/// Receivers of seats that a node has of its own: one for its requests, one that counts. A request that waits has another.
const RECEIVERS: usize = 2;

const PRESET: &str = r#"{"moduleName":"Test","appId":"/a","status":"enabled"}"#;

/// A 503 in the API's shape, with the words that are to be in it.
fn assert_unavailable(answer: &Answer, words: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert!(answer.message().contains(words), "{words}: {answer:?}");
    assert_eq!(answer.header("x-mconn-leader"), None);
}

#[tokio::test]
async fn without_a_leader_a_request_is_held_and_refused_then() {
    let (follower, _seats) = follower(vacant(), impatient()).await;
    for (method, target) in [
        ("GET", "/v1/queue"),
        ("POST", "/v1/queue"),
        ("PUT", "/v1/module/preset"),
        ("POST", "/v1/module/sync/Test"),
        ("POST", "/v1/exit/leader"),
        ("GET", "/v1/events"),
    ] {
        let began = std::time::Instant::now();
        let answer = follower.ask(Ask::new(method, target).json(event("t", "TASK_RUNNING", "/a"))).await;
        assert_unavailable(&answer, "there is no leader at the moment: the last one went");
        assert!(began.elapsed() >= Duration::from_millis(50), "{method} {target}");
        assert_eq!(answer.header("x-mconn-not-handled"), None, "that is for nodes");
    }
    let page = follower.get("/metrics").await;
    assert!(page.text().contains("mconn_proxy_requests_total{outcome=\"no_leader\"} 6"), "{}", page.text());
    assert_eq!(follower.queue.stats().await.unwrap().accepted, 0);
}

#[tokio::test]
async fn a_leader_that_comes_in_time_gets_what_waits() {
    let next = Node::start().await;
    let (follower, seats) = follower(vacant(), Setup::default()).await;
    let asks = [
        Ask::new("POST", "/v1/queue").json(event("t1", "TASK_RUNNING", "/a")),
        Ask::new("PUT", "/v1/module/preset").json(PRESET),
        Ask::new("GET", "/v1/module/list"),
    ];
    let come = async {
        // All of them are waiting by now.
        while seats.receiver_count() < RECEIVERS + 3 {
            tokio::task::yield_now().await;
        }
        seats.send_replace(behind(next.address));
    };
    let [event, preset, list] = asks;
    let (event, preset, list, ()) =
        tokio::join!(follower.ask(event), follower.ask(preset), follower.ask(list), come);
    assert_eq!((event.status, preset.status, list.status), (200, 200, 200));
    assert_eq!(next.queue.stats().await.unwrap().accepted, 1);
    assert!(preset.text().contains("created: /a"), "{preset:?}");
}

#[tokio::test]
async fn a_node_that_takes_the_lead_itself_serves_what_waits() {
    let (follower, seats) = follower(vacant(), Setup::default()).await;
    let lead = Position::leading(follower.queue.clone(), leader(follower.address, 2));
    let come = async {
        while seats.receiver_count() < RECEIVERS + 1 {
            tokio::task::yield_now().await;
        }
        seats.send_replace(seat(lead));
    };
    let (answer, ()) = tokio::join!(follower.event("t1", "TASK_RUNNING", "/a"), come);
    assert_eq!((answer.status, answer.header("x-mconn-leader")), (200, None));
    assert_eq!(answer.json()["leader"], format!("http://{}", follower.address));
    assert_eq!(follower.queue.stats().await.unwrap().accepted, 1);
}

/// A port on which nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn whatever_was_not_sent_goes_to_the_next_leader() {
    let next = Node::start().await;
    let (follower, seats) = follower(behind(nobody().await), Setup::default()).await;
    let come = async {
        while !follower.get("/metrics").await.text().contains("mconn_proxy_repeats_total 1") {}
        seats.send_replace(seat(Position::following(leader(next.address, 2))));
    };
    let (answer, ()) = tokio::join!(follower.ask(Ask::new("PUT", "/v1/module/preset").json(PRESET)), come);
    assert!(answer.text().contains("created: /a"), "{answer:?}");
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_named() {
    let address = nobody().await;
    let (follower, _seats) = follower(behind(address), impatient()).await;
    let answer = follower.post("/v1/queue", &event("t1", "TASK_RUNNING", "/a")).await;
    assert_unavailable(&answer, &format!("{address} cannot be reached"));
    assert!(answer.message().contains("refused"), "{answer:?}");
}

#[tokio::test]
async fn a_leader_that_dies_at_it_costs_nothing_that_may_be_repeated() {
    for (method, target, body) in [
        ("GET", "/v1/module/list", String::new()),
        ("POST", "/v1/queue", event("t1", "TASK_RUNNING", "/a")),
        ("POST", "/v1/module/sync/Test", String::new()),
    ] {
        let (dying, next) = (Scripted::start().await, Node::start().await);
        let (follower, seats) = follower(behind(dying.address()), Setup::default()).await;
        let die = async {
            let (request, connection) = dying.asked().await;
            assert!(request.ends_with(&body), "it was sent whole: {request}");
            drop(connection);
            drop(dying);
            seats.send_replace(seat(Position::following(leader(next.address, 2))));
        };
        let (answer, ()) = tokio::join!(follower.ask(Ask::new(method, target).json(&body)), die);
        assert_eq!(answer.status, 200, "{method} {target}: {answer:?}");
        assert_eq!(answer.header("x-mconn-leader"), Some(next.address.to_string().as_str()));
    }
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_left_to_its_sender() {
    let (dying, next) = (Scripted::start().await, Node::start().await);
    let (follower, seats) = follower(behind(dying.address()), Setup::default()).await;
    for (method, target) in
        [("PUT", "/v1/module/preset"), ("POST", "/v1/exit/leader"), ("POST", "/v1/module/queue/pause/Test")]
    {
        let die = async { drop(dying.asked().await) };
        let (answer, ()) = tokio::join!(follower.ask(Ask::new(method, target).json(PRESET)), die);
        assert_unavailable(&answer, "broke off before it had answered");
        let hint = answer.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("whether it was done is not known"), "{hint}");
    }
    seats.send_replace(behind(next.address));
    assert_eq!(follower.get("/v1/module/preset/Test").await.text(), "[]", "and was not");
    assert!(
        follower.get("/metrics").await.text().contains("mconn_proxy_requests_total{outcome=\"broken\"} 3")
    );
}

#[tokio::test]
async fn a_frozen_leader_is_left_when_another_leads() {
    let (frozen, next) = (Scripted::start().await, Node::start().await);
    let (follower, seats) = follower(behind(frozen.address()), Setup::default()).await;
    let go = async {
        let asked = frozen.asked().await;
        seats.send_replace(vacant());
        seats.send_replace(seat(Position::following(leader(next.address, 2))));
        asked
    };
    let (answer, _still_open) = tokio::join!(follower.event("t1", "TASK_RUNNING", "/a"), go);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(next.queue.stats().await.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_leader_that_is_silent_is_waited_for_no_longer_than_for_any_answer() {
    let silent = Scripted::start().await;
    let mut setup = Setup::default();
    setup.limits.request_timeout = Duration::from_millis(80);
    let (follower, _seats) = follower(behind(silent.address()), setup).await;
    let (answer, _open) = tokio::join!(follower.event("t1", "TASK_RUNNING", "/a"), silent.asked());
    assert_unavailable(&answer, "gave no answer within");
    assert!(follower.get("/metrics").await.text().contains("mconn_proxy_requests_total{outcome=\"late\"} 1"));
    let (answer, _open) = tokio::join!(follower.get("/v1/events"), silent.asked());
    assert_unavailable(&answer, "gave no answer within");
}

#[tokio::test]
async fn a_queue_that_ended_with_the_lead_hands_over_to_the_next() {
    let next = Node::start().await;
    let (old, seats) = follower(vacant(), Setup::default()).await;
    let lead = Position::leading(old.queue.clone(), leader(old.address, 1));
    seats.send_replace(seat(lead));
    assert_eq!(old.event("t1", "TASK_RUNNING", "/a").await.status, 200);
    old.queue_end.cancel();
    old.queue_task.join().await.unwrap();
    let asked = tokio::spawn({
        let mut connection = crate::client::Connection::open(old.address).await;
        async move { connection.ask(&Ask::new("POST", "/v1/queue").json(event("t2", "TASK_RUNNING", "/a"))).await }
    });
    while seats.receiver_count() < RECEIVERS + 1 {
        tokio::task::yield_now().await;
    }
    seats.send_replace(seat(Position::following(leader(next.address, 2))));
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.header("x-mconn-leader").is_some()), (200, true), "{answer:?}");
    assert_eq!(next.queue.stats().await.unwrap().accepted, 1);
}

#[tokio::test]
async fn two_that_take_each_other_for_the_leader_do_not_go_round() {
    let (a, seats_a) = follower(vacant(), impatient()).await;
    let (b, seats_b) = follower(vacant(), impatient()).await;
    seats_a.send_replace(behind(b.address));
    seats_b.send_replace(behind(a.address));
    // Both are called the same here, so neither finds the other in the list, and only the number of hops ends it.
    let answer = a.get("/v1/queue").await;
    assert_unavailable(&answer, "there is no leader at the moment");
    for node in [&a, &b] {
        let page = node.get("/metrics").await;
        assert!(
            page.text().contains("mconn_proxy_requests_total{outcome=\"answered\"} 0"),
            "{}",
            page.text()
        );
    }
}

#[tokio::test]
async fn a_request_is_not_sent_back_to_whom_it_comes_from() {
    let other = Scripted::start().await;
    let (node, seats) = follower(behind(other.address()), impatient()).await;
    let from_other = Ask::new("GET", "/v1/queue").header("X-MConn-Via", &other.address().to_string());
    let answer = node.ask(from_other.clone()).await;
    assert_unavailable(&answer, "takes this node for the leader");
    assert_eq!(answer.header("x-mconn-not-handled"), Some("1"), "the other may try elsewhere");
    // News arrive: this node leads indeed.
    seats.send_replace(seat(Position::leading(node.queue.clone(), leader(node.address, 2))));
    assert_eq!(node.ask(from_other).await.status, 200);
}

#[tokio::test]
async fn old_news_of_one_node_cost_a_second_hop_and_no_third() {
    let real = Node::start().await;
    let (second, seats) = follower(behind(real.address), impatient()).await;
    let (first, _seats) = follower(behind(second.address), impatient()).await;
    let answer = first.get("/v1/module/list").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("via"), Some("1.1 follower.example:1, 1.1 follower.example:1"));
    let (zeroth, _seats) = follower(behind(first.address), impatient()).await;
    assert_unavailable(&zeroth.get("/v1/module/list").await, "there is no leader at the moment");
    seats.send_replace(vacant());
    let marked = Ask::new("GET", "/v1/module/list").header("X-MConn-Via", "x:1, y:1");
    let answer = second.ask(marked.clone()).await;
    assert_unavailable(&answer, "no node that was asked leads");
    assert_eq!(answer.header("x-mconn-not-handled"), Some("1"));
    assert_eq!(real.ask(marked).await.status, 200, "who leads serves it, however it came");
}

#[tokio::test]
async fn a_node_does_not_ask_itself() {
    let mut own = leader("127.0.0.1:1".parse().unwrap(), 1);
    own.authority = FOLLOWER.to_owned();
    let (node, _seats) = follower(seat(Position::following(own)), impatient()).await;
    assert_unavailable(&node.get("/v1/queue").await, "has this node's address");
}

#[tokio::test]
async fn a_node_that_ends_holds_nothing_back() {
    let (node, seats) = follower(vacant(), Setup::default()).await;
    let cancel = node.cancel.clone();
    let end = async {
        while seats.receiver_count() < RECEIVERS + 1 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let began = std::time::Instant::now();
    let (answer, ()) = tokio::join!(node.get("/v1/queue"), end);
    assert_unavailable(&answer, "there is no leader at the moment");
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(node.serving.await.unwrap().cut_off, 0);
}

/// Leaders come and go, and the follower's news of them are late and wrong: every confirmed event is at a leader.
#[tokio::test]
async fn nothing_is_confirmed_that_no_leader_has() {
    let (one, two, nobody) = (Node::start().await, Node::start().await, nobody().await);
    for node in [&one, &two] {
        node.preset("/a", "{}").await;
    }
    let (follower, seats) = follower(vacant(), Setup::default()).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let change = async {
        let mut epoch = 0;
        while !stop.is_cancelled() {
            for address in [one.address, nobody, two.address] {
                epoch += 1;
                seats.send_replace(seat(Position::following(leader(address, epoch))));
                // As long as a few requests take.
                one.get("/v1/ping").await;
            }
            seats.send_replace(vacant());
            two.get("/v1/ping").await;
        }
    };
    let senders = async {
        let send = async |sender: usize| {
            let mut confirmed = Vec::new();
            let mut connection = follower.open().await;
            for number in 0..100 {
                let task = format!("t{sender}-{number}");
                let ask = Ask::new("POST", "/v1/queue").json(event(&task, "TASK_RUNNING", "/a"));
                let answer = connection.ask(&ask).await;
                if answer.status == 200 {
                    assert_eq!(answer.json()["taskId"], format!("{task}_TASK_RUNNING"));
                    confirmed.push(task);
                }
            }
            confirmed
        };
        let all = futures_util::future::join_all((0..4).map(send)).await;
        stop.cancel();
        all.concat()
    };
    let (confirmed, ()) = tokio::join!(senders, change);
    assert!(confirmed.len() > 350, "nearly all get through: {}", confirmed.len());
    let mut known = String::new();
    for node in [&one, &two] {
        while node.queue.stats().await.unwrap().journal > 0 {
            tokio::task::yield_now().await;
        }
        let inventory = node.get("/v1/module/inventory/Test").await;
        assert_ne!(inventory.text(), "[]", "each has led for some of the time");
        known.push_str(inventory.text());
    }
    for task in confirmed {
        assert!(known.contains(&format!("\"{task}\"")), "{task} was confirmed and is nowhere");
    }
}
