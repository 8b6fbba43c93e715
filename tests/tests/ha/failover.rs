//! The lead goes from one node to the next, by force or on request, and nothing that was accepted is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mconn_tests::{Client, status_update, until};
use serde_json::json;
use tempfile::TempDir;

use crate::{Cluster, accept, ensemble};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_all_answer_and_a_restart_keeps_everything() {
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/infra/mconn", 3);
    let leader = cluster.leader().await;
    let follower = cluster.follower_of(leader);
    cluster.node(follower).api.preset("Test", "/app").await;
    let accepted = accept(&cluster.node(follower).api, "a").await;
    let url = cluster.node(leader).url.clone();
    assert_eq!(accepted, json!({"leader": url, "taskId": "a_TASK_RUNNING"}));
    cluster.all_show(&["a"]).await;

    // Only one node has said that it leads, and it is still the first.
    let led = |at: usize| cluster.node(at).process.output().matches("is the new leading master").count();
    assert_eq!(cluster.running().into_iter().map(led).collect::<Vec<_>>().iter().sum::<usize>(), 1);

    // The store is ZooKeeper: what these nodes keep for themselves is no store.
    cluster.stop_all();
    for dir in &mut cluster.dirs {
        *dir = TempDir::new().unwrap();
    }
    for at in 0..3 {
        cluster.start(at, &[]);
    }
    cluster.leader().await;
    cluster.all_show(&["a"]).await;
    let presets = cluster.node(2).api.get("/v1/module/preset/Test").await;
    assert_eq!(presets.json[0]["appId"], "/app", "{}", presets.text);
}

/// Posts one event after the other to the nodes in turn until told to stop. Gives the numbers that were acknowledged.
async fn post_until(apis: Vec<Client>, stop: Arc<AtomicBool>, first: usize, step: usize) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let mut number = first;
    while !stop.load(Ordering::SeqCst) {
        let api = &apis[number / step % apis.len()];
        let event = status_update(&format!("t{number}"), "TASK_RUNNING", "/app");
        if let Ok(answer) = api.try_send("POST", "/v1/queue", Some(&event)).await
            && answer.status == 200
        {
            acknowledged.push(number);
        }
        number += step;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_leader_again_and_again_loses_no_accepted_event() {
    const SENDERS: usize = 4;
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/mconn", 3);
    let mut leader = cluster.leader().await;
    cluster.node(leader).api.preset("Test", "/app").await;
    let mut all = BTreeSet::new();
    for round in 0..3 {
        let stop = Arc::new(AtomicBool::new(false));
        let apis: Vec<_> = cluster.running().into_iter().map(|at| cluster.node(at).api.clone()).collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                tokio::spawn(post_until(apis.clone(), stop.clone(), round * 1_000_000 + sender, SENDERS))
            })
            .collect();
        // The moment is not a condition but the subject: a different one in each round.
        tokio::time::sleep(Duration::from_millis(300 + 170 * round as u64)).await;
        let mut dead = cluster.nodes[leader].take().unwrap();
        dead.process.kill();
        let killed = Instant::now();
        let next = cluster.leader().await;
        println!("round {round}: another leads after {:?}", killed.elapsed());
        assert_ne!(next, leader);
        accept(&cluster.node(next).api, &format!("after-{round}")).await;
        println!("round {round}: and takes events after {:?}", killed.elapsed());
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            all.extend(sender.await.unwrap());
        }
        cluster.start(leader, &[]);
        leader = cluster.leader().await;
    }
    assert!(all.len() > 30, "only {} events were accepted", all.len());
    println!("{} events were accepted", all.len());
    let api = &cluster.node(cluster.follower_of(leader)).api;
    until("the queue is empty", async || api.get("/v1/queue").await.json == json!([])).await;
    let inventory: BTreeSet<String> = api.inventory("Test").await.into_iter().collect();
    let lost: Vec<_> = all.iter().filter(|number| !inventory.contains(&format!("t{number}"))).collect();
    assert!(lost.is_empty(), "{} of {} accepted events were lost: {lost:?}", lost.len(), all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_hands_over_at_once_and_what_waits_goes_along() {
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/mconn", 3);
    let leader = cluster.leader().await;
    let follower = cluster.follower_of(leader);
    cluster.node(follower).api.preset("Test", "/app").await;
    cluster.node(follower).api.send("POST", "/v1/module/queue/pause/Test", None).await;
    for task in ["a", "b"] {
        accept(&cluster.node(follower).api, task).await;
    }
    let api = cluster.node(follower).api.clone();
    let mut node = cluster.nodes[leader].take().unwrap();
    let signalled = Instant::now();
    node.process.signal("TERM");
    // The follower waits for the next leader itself, so this is how long a client is kept waiting at most.
    until("the next leader takes events", async || {
        let answer = api.post("/v1/queue", &status_update("c", "TASK_RUNNING", "/app")).await;
        answer.status == 200 && !answer.text.contains(&node.url)
    })
    .await;
    println!("handed over after {:?}", signalled.elapsed());
    // Far below the session's timeout, after which it would have happened anyway.
    assert!(signalled.elapsed() < Duration::from_millis(900), "{:?}", signalled.elapsed());
    assert_eq!(node.process.exit_code(), 0, "{}", node.process.output());
    // The pause was the old leader's: what has waited there is done here.
    cluster.all_show(&["a", "b", "c"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_steps_down_and_stays_or_ends() {
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/mconn", 2);
    let first = cluster.leader().await;
    let second = cluster.follower_of(first);
    cluster.node(second).api.preset("Test", "/app").await;
    accept(&cluster.node(second).api, "a").await;
    // It gives the lead to somebody it knows of.
    cluster.all_members(2).await;

    let bye = cluster.node(second).api.send("POST", "/v1/exit/leader?keep=true", None).await;
    let message = format!("Leader steps down: {}", cluster.authority(first));
    assert_eq!(bye.json, json!({"status": "ok", "message": message}));
    until("the other one leads", async || cluster.leader().await == second).await;
    accept(&cluster.node(first).api, "b").await;
    cluster.all_show(&["a", "b"]).await;

    let bye = cluster.node(first).api.send("POST", "/v1/exit/leader", None).await;
    assert_eq!(bye.status, 200, "{}", bye.text);
    let mut gone = cluster.nodes[second].take().unwrap();
    assert_eq!(gone.process.exit_code(), 0, "{}", gone.process.output());
    assert_eq!(cluster.leader().await, first);
    accept(&cluster.node(first).api, "c").await;
    cluster.all_show(&["a", "b", "c"]).await;

    // Nobody is left to take it.
    until("the member is gone", async || {
        cluster.node(first).api.send("POST", "/v1/exit/leader?keep=true", None).await.status == 409
    })
    .await;
}

/// Far longer than any handover may take: whoever waits for it fails the test.
const LONG_SESSION: &str = "10000";
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_node_hands_over_at_once_and_so_does_exit_leader() {
    let ensemble = ensemble();
    let mut cluster = Cluster::with(&ensemble, "/mconn", 3, LONG_SESSION, &[]);
    let mut leader = cluster.leader().await;
    cluster.node(leader).api.preset("Test", "/app").await;
    accept(&cluster.node(leader).api, "a").await;
    for (path, words) in [("/v1/exit/node", "Exit node"), ("/v1/exit/leader", "Exit leader: ")] {
        let asked = Instant::now();
        let bye = cluster.node(leader).api.send("POST", path, None).await;
        assert_eq!((bye.status, &bye.json["status"]), (200, &json!("ok")), "{}", bye.text);
        assert!(bye.json["message"].as_str().unwrap().starts_with(words), "{}", bye.text);
        let mut gone = cluster.nodes[leader].take().unwrap();
        leader = cluster.leader().await;
        accept(&cluster.node(leader).api, path).await;
        println!("{path}: the next leader takes events after {:?}", asked.elapsed());
        assert!(asked.elapsed() < AT_ONCE, "{path} took {:?}", asked.elapsed());
        assert_eq!(gone.process.exit_code(), 0, "{}", gone.process.output());
    }
    cluster.all_show(&["/v1/exit/leader", "/v1/exit/node", "a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_follows_ends_without_a_new_election() {
    let ensemble = ensemble();
    let mut cluster = Cluster::with(&ensemble, "/mconn", 3, LONG_SESSION, &[]);
    let leader = cluster.leader().await;
    let epoch = cluster.node(leader).api.get("/v1/members").await.json["epoch"].clone();
    let follower = cluster.follower_of(leader);
    let bye = cluster.node(follower).api.send("POST", "/v1/exit/node", None).await;
    assert_eq!(bye.json, json!({"status": "ok", "message": "Exit node"}));
    let mut gone = cluster.nodes[follower].take().unwrap();
    assert_eq!(gone.process.exit_code(), 0, "{}", gone.process.output());
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.node(leader).api.get("/v1/members").await.json["epoch"], epoch);
    // The leader counts anew when it looks the next time, and its own list is what the others show.
    cluster.start(follower, &[]);
    assert_eq!(cluster.leader().await, leader);
    cluster.all_members(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_sleeps_past_its_session_comes_back_as_a_follower() {
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/mconn", 3);
    let old = cluster.leader().await;
    cluster.node(old).api.preset("Test", "/app").await;
    accept(&cluster.node(old).api, "before").await;
    cluster.node(old).process.signal("STOP");
    let sleeper = cluster.nodes[old].take().unwrap();
    let new = cluster.leader().await;
    accept(&cluster.node(new).api, "meanwhile").await;
    sleeper.process.signal("CONT");
    cluster.nodes[old] = Some(sleeper);
    assert_eq!(cluster.leader().await, new);
    cluster.all_members(3).await;
    accept(&cluster.node(old).api, "after").await;
    cluster.all_show(&["after", "before", "meanwhile"]).await;

    // It has joined the line as any other: when it is the last one it leads again.
    for at in cluster.running().into_iter().filter(|at| *at != old) {
        let mut node = cluster.nodes[at].take().unwrap();
        node.process.signal("TERM");
        assert_eq!(node.process.exit_code(), 0, "{}", node.process.output());
    }
    assert_eq!(cluster.leader().await, old);
    accept(&cluster.node(old).api, "last").await;
    cluster.all_show(&["after", "before", "last", "meanwhile"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_back_before_its_dead_self_is_forgotten_does_not_ask_itself() {
    let ensemble = ensemble();
    let mut cluster = Cluster::with(&ensemble, "/mconn", 1, "4000", &[("MCONN_LEADER_WAIT", "100")]);
    cluster.leader().await;
    let url = cluster.node(0).url.clone();
    let port = url.rsplit(':').next().unwrap().to_owned();
    cluster.node(0).api.preset("Test", "/app").await;
    cluster.nodes[0].take().unwrap().process.kill();
    cluster.start(0, &[("MCONN_PORT", &port)]);
    let api = cluster.node(0).api.clone();
    let early = api.post("/v1/queue", &status_update("early", "TASK_RUNNING", "/app")).await;
    assert_eq!(early.status, 503, "{}", early.text);
    assert_eq!(early.header("retry-after"), Some("1"));
    until("it leads when the session of the dead one is over", async || {
        api.post("/v1/queue", &status_update("late", "TASK_RUNNING", "/app")).await.status == 200
    })
    .await;
    assert_eq!(api.get("/v1/leader").await.json["leader"], url.trim_start_matches("http://"));
    cluster.all_show(&["late"]).await;
}
