//! Several nodes on a real ZooKeeper: one leads, everybody answers, and nothing that was accepted is lost when it goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mconn_tests::{Client, Mconn, Node, run_to_end, status_update, until};
use mconn_zookeeper::testing::{Ensemble, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The shortest session that ZooKeeper grants here: two ticks.
const SESSION: &str = "1000";

fn ensemble() -> Ensemble {
    Ensemble::start(&Options { tick: Duration::from_millis(500), ..Options::default() })
}

/// Nodes of one cluster.
struct Cluster {
    hosts: String,
    path: String,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    fn new(ensemble: &Ensemble, path: &str, count: usize) -> Self {
        let dirs = (0..count).map(|_| TempDir::new().unwrap()).collect();
        let nodes = (0..count).map(|_| None).collect();
        let mut cluster = Self { hosts: ensemble.hosts(), path: path.to_owned(), dirs, nodes };
        for at in 0..count {
            cluster.start(at, &[]);
        }
        cluster
    }

    fn start(&mut self, at: usize, more: &[(&str, &str)]) {
        let mut env = vec![
            ("MCONN_ZK_HOSTS", self.hosts.as_str()),
            ("MCONN_ZK_PATH", &self.path),
            ("MCONN_ZK_SESSION_TIMEOUT", SESSION),
            ("MCONN_ZK_SPIN_DELAY", "200"),
        ];
        env.extend(more);
        self.nodes[at] = Some(Node::start(&self.dirs[at], &env));
    }

    fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("it runs")
    }

    fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some()).collect()
    }

    fn authority(&self, at: usize) -> String {
        self.node(at).url.trim_start_matches("http://").to_owned()
    }

    /// Who leads, once all running nodes agree that it is one of them, and it takes events.
    async fn leader(&self) -> usize {
        let mut leader = None;
        until("all nodes name the same leader", async || {
            let mut named = BTreeSet::new();
            for at in self.running() {
                let answer = self.node(at).api.get("/v1/leader").await;
                named.insert(answer.json["leader"].as_str().unwrap_or_default().to_owned());
            }
            leader = self.running().into_iter().find(|at| named.contains(&self.authority(*at)));
            named.len() == 1 && leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    fn follower_of(&self, leader: usize) -> usize {
        self.running().into_iter().find(|at| *at != leader).expect("another node")
    }

    fn stop_all(&mut self) {
        for node in self.nodes.iter().flatten() {
            node.process.signal("TERM");
        }
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            let mut node = node;
            assert_eq!(node.process.exit_code(), 0, "{}", node.process.output());
        }
    }

    async fn all_show(&self, wanted: &[&str]) {
        for at in self.running() {
            let api = &self.node(at).api;
            until("every node shows the inventory", async || api.inventory("Test").await == wanted).await;
        }
    }
}

async fn accept(api: &Client, task: &str) -> Value {
    let answer = api.post("/v1/queue", &status_update(task, "TASK_RUNNING", "/app")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

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
    let presets = cluster.node(2).api.get("/v1/module/preset/list/Test").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_zookeeper_a_node_answers_and_serves_as_soon_as_it_is_there() {
    let mut ensemble = ensemble();
    ensemble.kill(0);
    let mut cluster = Cluster::new(&ensemble, "/mconn", 0);
    cluster.dirs.push(TempDir::new().unwrap());
    cluster.nodes.push(None);
    cluster.start(0, &[("MCONN_LEADER_WAIT", "100")]);
    let api = cluster.node(0).api.clone();
    assert_eq!(api.get("/v1/ping").await.status, 200);
    let refused = api.post("/v1/queue", &status_update("a", "TASK_RUNNING", "/app")).await;
    assert_eq!((refused.status, &refused.json["status"]), (503, &json!("error")), "{}", refused.text);
    cluster.node(0).process.wait_for("Zookeeper is unreachable");

    ensemble.restart(0);
    cluster.leader().await;
    api.preset("Test", "/app").await;
    accept(&api, "a").await;
    cluster.all_show(&["a"]).await;

    // And again, without being started anew.
    ensemble.kill(0);
    until("it does not serve without", async || {
        api.post("/v1/queue", &status_update("b", "TASK_RUNNING", "/app")).await.status == 503
    })
    .await;
    ensemble.restart(0);
    cluster.leader().await;
    accept(&api, "c").await;
    until("what was accepted is done", async || {
        let inventory = api.inventory("Test").await;
        inventory.contains(&"a".to_owned()) && inventory.contains(&"c".to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_keep_others_out_and_are_never_shown() {
    let ensemble = ensemble();
    let mut cluster = Cluster::new(&ensemble, "/mconn", 0);
    cluster.dirs.push(TempDir::new().unwrap());
    cluster.nodes.push(None);
    cluster.start(0, &[("MCONN_ZK_AUTH", "ann:hush-hush")]);
    cluster.leader().await;
    let api = cluster.node(0).api.clone();
    api.preset("Test", "/app").await;
    accept(&api, "a").await;
    let info = api.get("/v1/info").await.text;
    let output = cluster.node(0).process.output();
    assert!(!output.contains("hush-hush") && !info.contains("hush-hush"), "{output}\n{info}");

    for auth in ["ann:wrong", ""] {
        let dir = TempDir::new().unwrap();
        let env = [("MCONN_ZK_HOSTS", cluster.hosts.as_str()), ("MCONN_ZK_AUTH", auth)];
        let env = Node::env(&dir, &env);
        let mut other = Mconn::start(&["serve"], &env, dir.path());
        assert_eq!(other.exit_code(), 1, "{}", other.output());
        assert!(other.output().contains("MCONN_ZK_AUTH"), "{}", other.output());
        let checked = run_to_end(&["check"], &env);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(!checked.status.success() && said.contains("BAD      store"), "{said}");
    }
    let dir = TempDir::new().unwrap();
    let env = [("MCONN_ZK_HOSTS", cluster.hosts.as_str()), ("MCONN_ZK_AUTH", "ann:hush-hush")];
    let checked = run_to_end(&["check"], &Node::env(&dir, &env));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("1 node(s) take part"), "{said}");
}
