//! What happens in Marathon while no node leads: the next leader tells its modules all of it, and nobody has to ask for a
//! sync.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mconn_tests::{Client, Node, Sim, until};
use mconn_wire::http::{HttpClient, HttpSettings, Request};
use mconn_wire::sse::SseParser;
use mconn_zookeeper::testing::{Ensemble, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

/// So long no node leads after `kill -9`, less at most a third: enough for all that is to happen meanwhile.
const SESSION: &str = "6000";
/// What a node says when it begins to lead.
const LEADS: &str = "is the new leading master";

/// Three nodes that follow a simulated Marathon.
struct Cluster {
    _ensemble: Ensemble,
    sim: Sim,
    hosts: String,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
    /// What those that are dead have said.
    past: String,
}

impl Cluster {
    fn new() -> Self {
        let ensemble = Ensemble::start(&Options { tick: Duration::from_millis(500), ..Options::default() });
        let hosts = ensemble.hosts();
        let mut cluster = Self {
            _ensemble: ensemble,
            sim: Sim::start(&["--no-callbacks"]),
            hosts,
            dirs: (0..3).map(|_| TempDir::new().expect("a directory")).collect(),
            nodes: vec![None, None, None],
            past: String::new(),
        };
        for at in 0..3 {
            cluster.start(at);
        }
        cluster
    }

    fn start(&mut self, at: usize) {
        let env = [
            ("MCONN_ZK_HOSTS", self.hosts.as_str()),
            ("MCONN_ZK_SESSION_TIMEOUT", SESSION),
            ("MCONN_ZK_SPIN_DELAY", "200"),
            ("MCONN_MARATHON_HOSTS", &self.sim.address),
            ("MCONN_INTAKE", "stream"),
        ];
        self.nodes[at] = Some(Node::start(&self.dirs[at], &env));
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("it runs")
    }

    /// Who leads, once all nodes that run name the same one of them.
    async fn leader(&self) -> usize {
        let mut leader = None;
        until("all nodes name the same leader", async || {
            let mut named = BTreeSet::new();
            for node in self.running() {
                let answer = node.api.get("/v1/leader").await;
                named.insert(answer.json["leader"].as_str().unwrap_or_default().to_owned());
            }
            let is_named = |node: &Option<Node>| {
                node.as_ref().is_some_and(|node| named.contains(node.url.trim_start_matches("http://")))
            };
            leader = self.nodes.iter().position(is_named);
            named.len() == 1 && leader.is_some()
        })
        .await;
        leader.expect("it is named")
    }

    fn kill(&mut self, at: usize) {
        let mut dead = self.nodes[at].take().expect("it runs");
        dead.process.kill();
        self.past += &dead.process.output();
    }

    /// How often a node that runs has begun to lead.
    fn leads(&self) -> usize {
        self.running().map(|node| node.process.output().matches(LEADS).count()).sum()
    }

    /// Everything that any node has said.
    fn said(&self) -> String {
        self.running().fold(self.past.clone(), |said, node| said + &node.process.output())
    }

    /// Until every node shows the inventory that the truth demands.
    async fn until_equal(&self) {
        until("inventories are what runs", async || {
            let truth = self.truth().await;
            for node in self.running() {
                if node.api.inventory("Test").await != truth {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Tasks that run, sorted.
    async fn truth(&self) -> Vec<String> {
        let state = self.sim.api.get("/sim/state").await.json;
        let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        let mut ids: Vec<_> = running.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids
    }

    async fn post(&self, path: &str, body: &Value) {
        let answer = self.sim.api.post(path, body).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {} {}", answer.status, answer.text);
    }

    /// Creates the app, or changes how many tasks it has.
    async fn scale(&self, app: &str, instances: u32) {
        let body = json!({"cmd": "sleep", "cpus": 0.1, "mem": 32, "instances": instances});
        let answer = self.sim.api.send("PUT", &format!("/v2/apps{app}?force=true"), Some(&body)).await;
        assert!(matches!(answer.status, 200 | 201), "{app}: {} {}", answer.status, answer.text);
    }
}

/// Every status update that Marathon has told, as a witness of our own heard it.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, String)>>>);

impl Told {
    async fn listen(sim: &Sim) -> Self {
        let told = Self::default();
        let http = HttpClient::new(&HttpSettings::default()).expect("an HTTP client");
        let url = format!("http://{}/v2/events", sim.address).parse().expect("a URL");
        let opened = http.open(Request { accept: "text/event-stream", ..Request::get(url) }).await;
        let mut body = opened.expect("a stream").body;
        let heard = told.clone();
        tokio::spawn(async move {
            let mut parser = SseParser::new(1 << 20);
            while let Ok(Some(chunk)) = body.chunk().await {
                let fed = parser.feed(&chunk, |event| {
                    let event: Value = serde_json::from_slice(event.data).unwrap_or_default();
                    if event["eventType"] == "status_update_event" {
                        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                        heard
                            .0
                            .lock()
                            .expect("nobody panics in here")
                            .push((text("taskId"), text("taskStatus")));
                    }
                });
                fed.expect("events of usual size");
            }
        });
        told
    }

    fn all(&self) -> Vec<(String, String)> {
        self.0.lock().expect("nobody panics in here").clone()
    }

    /// The first task of an app that is told to run, after so much was told.
    async fn running(&self, app: &str, after: usize) -> String {
        let mut found = None;
        until(&format!("a task of {app} runs"), async || {
            let mut later = self.all().into_iter().skip(after);
            found = later.find(|(task, status)| task.starts_with(app) && status == "TASK_RUNNING");
            found.is_some()
        })
        .await;
        found.expect("it is found").0
    }
}

/// A module is through with this event, by what the nodes say. Place of the last time.
fn handled(said: &str, task: &str, status: &str) -> Option<usize> {
    let state = if matches!(status, "TASK_RUNNING" | "TASK_FAILED" | "TASK_FINISHED" | "TASK_KILLED") {
        "finished"
    } else {
        "undefinedStatus"
    };
    said.rfind(&format!("Task \"{task}_{status}\" state changed to \"{state}\""))
}

async fn queued(api: &Client) -> Vec<String> {
    let queue = api.get("/v1/queue").await.json;
    let entries = queue.as_array().cloned().unwrap_or_default();
    entries.iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_marathon_tells_while_no_node_leads_reaches_the_modules() {
    let mut cluster = Cluster::new();
    let told = Told::listen(&cluster.sim).await;
    let mut leader = cluster.leader().await;
    for app in ["/web", "/brief0", "/brief1"] {
        cluster.node(leader).api.preset("Test", app).await;
    }
    cluster.scale("/web", 2).await;
    until("two tasks run", async || cluster.truth().await.len() == 2).await;
    cluster.until_equal().await;

    for round in 0..2_u32 {
        // RUNNING waits in the leader's lane.
        let api = cluster.node(leader).api.clone();
        api.send("POST", "/v1/module/queue/pause/Test", None).await;
        let before = told.all().len();
        cluster.scale("/web", 3 + round).await;
        let dies = told.running("web", before).await;
        until("its event is accepted", async || {
            queued(&api).await.iter().any(|entry| entry.contains(&dies) && entry.contains("TASK_RUNNING"))
        })
        .await;

        cluster.kill(leader);
        let killed = Instant::now();
        let leads = cluster.leads();
        // Nobody leads. One task dies; its place is taken by another.
        cluster.post(&format!("/sim/tasks/{dies}/finish"), &json!({})).await;
        // And another task lives from its beginning to its end.
        let (app, name) = (format!("/brief{round}"), format!("brief{round}"));
        cluster.scale(&app, 1).await;
        let brief = told.running(&name, before).await;
        cluster.post(&format!("/sim/tasks/{brief}/fail"), &json!({})).await;
        until("its end is told", async || told.all().contains(&(brief.clone(), "TASK_FAILED".to_owned())))
            .await;
        assert!(told.all().contains(&(dies.clone(), "TASK_FINISHED".to_owned())));
        assert_eq!(cluster.leads(), leads, "nobody leads yet, after {:?}", killed.elapsed());
        println!("round {round}: all has happened {:?} after the end of the leader", killed.elapsed());

        let dead = leader;
        leader = cluster.leader().await;
        println!("round {round}: another leads after {:?}", killed.elapsed());
        cluster.sim.api.send("DELETE", &format!("/v2/apps{app}"), None).await;
        cluster.until_equal().await;
        println!("round {round}: inventories are right after {:?}", killed.elapsed());

        // What never was in any list cannot be known by a sync: the module was told of each step, in order.
        let steps: Vec<_> = told.all().into_iter().filter(|(task, _)| *task == brief).collect();
        assert!(steps.len() >= 3, "{steps:?}");
        let said = cluster.node(leader).process.output();
        let places: Vec<_> = steps.iter().map(|(task, status)| handled(&said, task, status)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{steps:?}: {places:?}");
        assert!(handled(&said, &dies, "TASK_RUNNING") < handled(&said, &dies, "TASK_FINISHED"), "{dies}");

        cluster.start(dead);
        cluster.leader().await;
    }
    cluster.until_equal().await;
    let told = told.all();
    let mut missing = Vec::new();
    until("all that was told is handled", async || {
        let said = cluster.said();
        missing =
            told.iter().filter(|(task, status)| handled(&said, task, status).is_none()).cloned().collect();
        missing.is_empty()
    })
    .await;
    println!("{} events were told", told.len());
    assert!(told.len() > 20, "{told:?}");
}
