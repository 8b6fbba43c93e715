//! What a node says about who leads.

use serde_json::{Value, json};

use super::{FOLLOWER, behind, follower, pair, seat, vacant};
use crate::node::{Node, Setup};
use mconn_web::Position;

#[tokio::test]
async fn every_node_says_who_leads_and_who_there_is() {
    let (leader, follower, seats) = pair().await;
    let address = leader.address.to_string();
    assert_eq!(follower.get("/v1/leader").await.json(), json!({"leader": address}));
    assert_eq!(follower.get("/v1/info").await.json()["leader"], address.as_str());
    let members = follower.get("/v1/members").await.json();
    assert_eq!(
        members,
        json!({
            "role": "following", "leader": address, "epoch": 1,
            "members": [
                {"name": "m1", "address": address, "version": "0.1.0", "role": "leading", "self": false},
                {"name": "m2", "address": FOLLOWER, "version": null, "role": "following", "self": true},
            ],
        })
    );
    let alone = leader.get("/v1/members").await.json();
    assert_eq!((&alone["role"], &alone["epoch"]), (&json!("leading"), &Value::Null));
    assert_eq!(alone["members"][0]["self"], true);

    seats.send_replace(vacant());
    let nobody = follower.get("/v1/leader").await;
    assert_eq!((nobody.status, nobody.header("retry-after")), (503, Some("1")));
    assert_eq!(nobody.message(), "there is no leader at the moment: the last one went");
    assert_eq!(follower.get("/v1/info").await.json()["leader"], Value::Null);
    assert_eq!(follower.get("/v1/members").await.json()["role"], "vacant");
}

#[tokio::test]
async fn a_follower_is_ready_while_it_knows_a_leader() {
    let (_leader, follower, seats) = pair().await;
    let ready = follower.get("/v1/health/ready").await;
    assert_eq!(ready.status, 200);
    let page = ready.json();
    assert_eq!((&page["role"], &page["queue"]), (&json!("following"), &Value::Null));
    assert_eq!(page["store"].get("ok"), None);
    seats.send_replace(vacant());
    let ready = follower.get("/v1/health/ready").await;
    assert_eq!((ready.status, ready.message().as_str()), (503, "nobody leads: the last one went"));
    let position = Position::leading(follower.queue.clone(), super::leader(follower.address, 2));
    seats.send_replace(seat(position));
    let page = follower.get("/v1/health/ready").await.json();
    assert_eq!((&page["role"], &page["store"]["ok"]), (&json!("leading"), &json!(true)));
}

#[tokio::test]
async fn the_numbers_have_role_epoch_and_what_was_passed_on() {
    let (leader, follower, seats) = pair().await;
    follower.get("/v1/queue").await;
    let page = follower.get("/metrics").await;
    for line in [
        "mconn_role{role=\"following\"} 1".to_owned(),
        "mconn_role{role=\"leading\"} 0".to_owned(),
        format!("mconn_leader{{leader=\"{}\"}} 1", leader.address),
        "mconn_members 2".to_owned(),
        "mconn_epoch 1".to_owned(),
        "mconn_seat_changes_total 0".to_owned(),
        "mconn_proxy_requests_total{outcome=\"answered\"} 1".to_owned(),
        "mconn_proxy_repeats_total 0".to_owned(),
        "mconn_proxy_time_seconds_total".to_owned(),
        "mconn_http_requests_total{method=\"GET\",route=\"/v1/queue\",status=\"200\"} 1".to_owned(),
    ] {
        assert!(page.text().contains(&line), "{line} is not in\n{}", page.text());
    }
    for absent in ["mconn_queue_answers", "mconn_journal_events", "mconn_lane_waiting"] {
        assert!(!page.text().contains(absent), "{absent} is the leader's");
    }
    seats.send_replace(vacant());
    while !follower.get("/metrics").await.text().contains("mconn_seat_changes_total 1") {}
    let page = follower.get("/metrics").await;
    assert!(page.text().contains("mconn_role{role=\"vacant\"} 1"), "{}", page.text());
    assert!(!page.text().contains("mconn_leader{") && page.text().contains("mconn_epoch 0"));
    assert!(leader.get("/metrics").await.text().contains("mconn_role{role=\"leading\"} 1"));
}

#[tokio::test]
async fn exit_leader_ends_the_leader_whoever_is_asked() {
    let (leader, follower, _seats) = pair().await;
    let kept = follower.post("/v1/exit/leader?keep=true", "").await;
    assert_eq!((kept.status, kept.message().as_str()), (409, "no other node can lead: this one is alone"));
    assert!(!leader.exit.is_cancelled());
    let answer = follower.post("/v1/exit/leader", "").await;
    assert_eq!(answer.json()["message"], "Exit leader: node.example:1234");
    assert!(leader.exit.is_cancelled() && !follower.exit.is_cancelled());
}

#[tokio::test]
async fn a_leader_may_step_down_and_stay() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = asked.clone();
    let step_down = mconn_web::StepDown::new(move |keep| {
        noted.lock().unwrap().push(keep);
        Ok(())
    });
    let leader = Node::with(Setup { step_down: Some(step_down), ..Setup::default() }).await;
    let (follower, _seats) = follower(behind(leader.address), Setup::default()).await;
    for (target, message) in [
        ("/v1/exit/leader?keep=true", "Leader steps down: node.example:1234"),
        ("/v1/exit/leader?keep", "Leader steps down: node.example:1234"),
        ("/v1/exit/leader?keep=false", "Exit leader: node.example:1234"),
    ] {
        assert_eq!(follower.post(target, "").await.json()["message"], message);
    }
    assert_eq!(*asked.lock().unwrap(), [true, true, false]);
}

#[tokio::test]
async fn a_stream_of_the_queue_ends_with_the_lead() {
    let (node, seats) = follower(vacant(), Setup::default()).await;
    let position = Position::leading(node.queue.clone(), super::leader(node.address, 1));
    seats.send_replace(seat(position));
    let mut reader = crate::live::Reader::open(&node, "?types=module").await;
    let mut catalog = crate::live::Reader::open(&node, "?types=catalog").await;
    seats.send_replace(vacant());
    while reader.connection.chunk().await.is_some() {}
    node.catalog.send_replace(std::sync::Arc::new(crate::catalog::snapshot(7)));
    assert_eq!(catalog.event().await.2["version"], 7, "the catalog's goes on");
}
