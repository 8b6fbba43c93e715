//! Three real nodes on a real ensemble, while everything goes wrong that can: what was acknowledged is handled, in order, and
//! only the leader of the newest epoch writes.
//!
//! `MCONN_FAULT_ROUNDS`, `MCONN_FAULT_SEED` and `MCONN_FAULT_SERVERS` choose how many rounds of random faults there are, which
//! ones, and on how many servers. `MCONN_FAULT_NETWORK_ROUNDS` is the number of rounds on real networks.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mconn_tests::ha::{
    APP, Cluster, Fault, History, Judged, NAMESPACE, NODES, Network, Outcome, Round, Senders, Sighting,
    Status, Written, check, event, post, read_all, schedule,
};
use mconn_tests::{Client, PATIENCE, until};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Long enough for a busy machine of two cores, and short enough for many rounds.
const SESSION: Duration = Duration::from_secs(1);

/// After so many rounds everything is judged, so that what went wrong is not too long ago.
const ROUNDS_AT_ONCE: usize = 10;

/// A sync that removes much is held until the next one agrees.
const SYNCS: usize = 10;

/// One at a time: each has eight processes and needs the machine.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// A cluster, and all that is known of it.
struct Campaign {
    cluster: Cluster,
    history: History,
    seed: u64,
    parts: u64,
}

impl Campaign {
    async fn start(servers: usize, seed: u64, network: Option<Network>) -> Self {
        let cluster = Cluster::start(servers, SESSION, network).await;
        cluster.node(cluster.leader().await).api.preset("Test", APP).await;
        Self { cluster, history: History::default(), seed, parts: 0 }
    }

    /// Rounds of trouble under a stream of events; then everything is judged.
    async fn suffer(&mut self, rounds: &[Round]) -> Judged {
        for part in rounds.chunks(ROUNDS_AT_ONCE) {
            let senders = Senders::start(&self.cluster.addresses(), self.parts, self.seed);
            self.parts += 1;
            let watch = Watch::start(&self.cluster);
            for round in part {
                sleep(round.before).await;
                let began = Instant::now();
                self.cluster.suffer(*round).await;
                self.cluster.settled().await;
                every_node_goes_on(&senders).await;
                println!("{round}: well again {:?} after its begin", began.elapsed());
            }
            self.history.tasks.extend(senders.stop().await);
            self.history.sightings.extend(watch.stop().await);
            self.judge().await;
        }
        self.judge().await
    }

    /// Waits until everything is handled and compares what is with what must be.
    async fn judge(&mut self) -> Judged {
        self.cluster.handled().await;
        self.history.inventories = self.cluster.inventories().await;
        let txns = tokio::task::block_in_place(|| read_all(self.cluster.ensemble.dir()));
        self.history.written = Written::of(&txns, NAMESPACE);
        self.history.ran = self.cluster.ran();
        let (violations, judged) = check(&self.history);
        let shown: Vec<_> = violations.iter().take(20).map(ToString::to_string).collect();
        assert!(
            violations.is_empty(),
            "{} violations (MCONN_FAULT_SEED={} repeats the faults):\n{}",
            violations.len(),
            self.seed,
            shown.join("\n")
        );
        let node = self.cluster.leader().await;
        let dead = self.cluster.node(node).api.get("/v1/module/dead-letters/Test").await;
        assert_eq!(dead.json, serde_json::json!([]), "{}", dead.text);
        judged
    }

    /// In the end Marathon tells the truth, which is not what the inventory says, and a sync has to make up for it.
    async fn sync(&mut self) {
        let (_, inventory) = self.cluster.inventories().await.swap_remove(0);
        let mut truth: BTreeSet<String> = inventory.iter().skip(3).cloned().collect();
        truth.extend(["new-1".to_owned(), "new-2".to_owned()]);
        assert!(truth.len() > 5, "{truth:?}");
        self.cluster.marathon.tasks_of(APP, &truth.iter().map(String::as_str).collect::<Vec<_>>());
        let mut shown = Vec::new();
        for sync in 0..SYNCS {
            let node = self.cluster.node(sync % NODES);
            let answer = node.api.send("POST", "/v1/module/sync/Test", None).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            self.cluster.handled().await;
            shown = self.cluster.inventories().await;
            if shown.iter().all(|(_, inventory)| *inventory == truth) {
                return;
            }
        }
        let different: BTreeMap<_, Vec<_>> = shown
            .iter()
            .map(|(node, inventory)| (node, inventory.symmetric_difference(&truth).take(10).collect()))
            .collect();
        panic!("after {SYNCS} syncs the inventories are not the truth: {different:?}");
    }
}

/// Looks all the time at who leads, as the nodes show it.
struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<BTreeSet<Sighting>>,
}

impl Watch {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<Client> = (0..NODES).map(|node| cluster.node(node).api.clone()).collect();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::SeqCst) {
                seen.extend(Cluster::sightings(&clients).await);
                sleep(Duration::from_millis(50)).await;
            }
            seen
        });
        Self { stop, task }
    }

    async fn stop(self) -> BTreeSet<Sighting> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("looking does not panic")
    }
}

/// Every node has acknowledged something since now.
async fn every_node_goes_on(senders: &Senders) {
    let before = senders.progress().by_node();
    until("every node acknowledges events again", async || {
        senders.progress().by_node().iter().zip(&before).all(|(now, before)| now > before)
    })
    .await;
}

/// A number from the environment.
fn chosen<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_once_on_three_servers() {
    let _machine = MACHINE.lock().await;
    let rounds = schedule(&Fault::ALL, 1, Fault::ALL.len(), SESSION);
    let mut campaign = Campaign::start(3, 1, None).await;
    let judged = campaign.suffer(&rounds).await;
    println!("{judged:?}");
    assert!(judged.acknowledged > 500 && judged.ends > 100, "too little to judge: {judged:?}");
    // Not every fault costs the lead.
    assert!(judged.epochs > 8, "{judged:?}");
    campaign.sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_faults() {
    let _machine = MACHINE.lock().await;
    let rounds = chosen("MCONN_FAULT_ROUNDS", 6);
    let servers = chosen("MCONN_FAULT_SERVERS", 1);
    let seed = chosen("MCONN_FAULT_SEED", fastrand::u64(..1_000_000));
    println!(
        "repeat these faults with MCONN_FAULT_SEED={seed} MCONN_FAULT_ROUNDS={rounds} MCONN_FAULT_SERVERS={servers}"
    );
    let began = Instant::now();
    let mut campaign = Campaign::start(servers, seed, None).await;
    let judged = campaign.suffer(&schedule(&Fault::ALL, seed, rounds, SESSION)).await;
    println!("{rounds} rounds in {:?}: {judged:?}", began.elapsed());
    assert!(judged.acknowledged > 20 * rounds, "too little to judge: {judged:?}");
    campaign.sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn networks_that_part() {
    let _machine = MACHINE.lock().await;
    let inside = tokio::task::block_in_place(|| Network::inside("networks_that_part"));
    let Some(network) = inside else { return };
    let rounds = chosen("MCONN_FAULT_NETWORK_ROUNDS", Fault::NETWORK.len());
    let seed = chosen("MCONN_FAULT_SEED", 1);
    let mut campaign = Campaign::start(3, seed, Some(network)).await;
    let judged = campaign.suffer(&schedule(&Fault::NETWORK, seed, rounds, SESSION)).await;
    println!("{judged:?}");
    assert!(judged.acknowledged > 20 * rounds && judged.epochs > rounds / 3, "too little: {judged:?}");
    campaign.sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_is_killed_is_followed_before_its_session_ends() {
    let _machine = MACHINE.lock().await;
    let session = Duration::from_secs(20);
    let mut cluster = Cluster::start(1, session, None).await;
    let old = cluster.leader().await;
    cluster.node(old).api.preset("Test", APP).await;
    let other = cluster.node((old + 1) % NODES).address;
    // Its successor has to know that it is one, and to look.
    let looks = async || {
        let page = cluster.node(old).api.get("/metrics").await;
        page.text.lines().any(|line| line.starts_with("mconn_http_event_streams ") && line.ends_with(" 1"))
    };
    until("the successor looks after the leader", looks).await;
    let began = Instant::now();
    cluster.kill(old);
    let event = event("t", Status::Running, 1);
    until("another node accepts events", async || post(other, &event).await == Outcome::Accepted).await;
    println!("followed after {:?}", began.elapsed());
    assert!(began.elapsed() < session / 2, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deposed_leader_that_wakes_up_cannot_write() {
    let _machine = MACHINE.lock().await;
    let mut campaign = Campaign::start(1, 0, None).await;
    let cluster = &mut campaign.cluster;
    let old = cluster.leader().await;
    let address = cluster.node(old).address;
    cluster.signal(old, "STOP");
    // It has them before it knows that it does not lead any more: first in its socket, then in its queue.
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let event = event(&format!("stopped-{number}"), Status::Running, number);
            tokio::spawn(async move { post(address, &event).await })
        })
        .collect();
    let mut new = old;
    until("another node leads", async || {
        let others = (0..NODES).filter(|node| *node != old);
        for node in others {
            let answer = cluster.node(node).api.get("/v1/members").await;
            if answer.json["role"] == "leading" {
                new = node;
                return true;
            }
        }
        false
    })
    .await;
    let event = event("meanwhile", Status::Running, 1_000);
    assert_eq!(post(cluster.node(new).address, &event).await, Outcome::Accepted);
    cluster.signal(old, "CONT");
    let mut steps = BTreeMap::new();
    for (number, answer) in waiting.into_iter().enumerate() {
        let outcome = tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap();
        steps.insert(format!("stopped-{number}"), (number as u64, outcome));
    }
    cluster.settled().await;
    assert_eq!(cluster.leader().await, new, "it leads no more");
    let answer = cluster.node(old).api.get("/v1/leader").await;
    assert_eq!(answer.json["leader"], cluster.node(new).address.to_string());
    // Whatever it has acknowledged was accepted by the new leader, and whatever it wrote, nothing is in the tree.
    steps.insert("meanwhile".to_owned(), (1_000, Outcome::Accepted));
    let step = |(number, outcome)| mconn_tests::ha::Step {
        number,
        status: Status::Running,
        attempts: vec![outcome],
    };
    campaign.history.tasks = steps.into_iter().map(|(task, sent)| (task, vec![step(sent)])).collect();
    let judged = campaign.judge().await;
    println!("{judged:?}");
    assert_eq!(judged.epochs, 2, "{judged:?}");
}
