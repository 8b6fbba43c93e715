//! Several nodes on a real ZooKeeper: one leads, everybody answers, and nothing that was accepted is lost when it goes.
//!
//! * `failover`: the lead goes from one to the next, by force or on request;
//! * `followers`: whichever node is asked, the answer is the same;
//! * `takeover`: what the next leader finds and goes on with;
//! * `zookeeper`: ZooKeeper is away, forgets a node, keeps strangers out; what lies where in it.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod failover;
mod followers;
mod takeover;
mod zookeeper;

use std::collections::BTreeSet;
use std::time::Duration;

use mconn_tests::{Client, Node, status_update, until};
use mconn_zookeeper::testing::{Ensemble, Options};
use mconn_zookeeper::{Digest, Session, Settings};
use serde_json::Value;
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
    session: &'static str,
    more: Vec<(&'static str, String)>,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// Nodes that run.
    fn new(ensemble: &Ensemble, path: &str, count: usize) -> Self {
        Self::with(ensemble, path, count, SESSION, &[])
    }

    /// The same with another session timeout and further settings.
    fn with(
        ensemble: &Ensemble,
        path: &str,
        count: usize,
        session: &'static str,
        more: &[(&'static str, &str)],
    ) -> Self {
        let mut cluster = Self::prepare(ensemble, path, count);
        cluster.session = session;
        cluster.more = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for at in 0..count {
            cluster.start(at, &[]);
        }
        cluster
    }

    /// Nodes that are still to be started.
    fn prepare(ensemble: &Ensemble, path: &str, count: usize) -> Self {
        let dirs = (0..count).map(|_| TempDir::new().unwrap()).collect();
        let nodes = (0..count).map(|_| None).collect();
        Self {
            hosts: ensemble.hosts(),
            path: path.to_owned(),
            session: SESSION,
            more: Vec::new(),
            dirs,
            nodes,
        }
    }

    fn start(&mut self, at: usize, more: &[(&str, &str)]) {
        let env = self.env(more);
        self.nodes[at] = Some(Node::start(&self.dirs[at], &env));
    }

    fn env<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut env = vec![
            ("MCONN_ZK_HOSTS", self.hosts.as_str()),
            ("MCONN_ZK_PATH", &self.path),
            ("MCONN_ZK_SESSION_TIMEOUT", self.session),
            ("MCONN_ZK_SPIN_DELAY", "200"),
        ];
        env.extend(self.more.iter().map(|(name, value)| (*name, value.as_str())));
        env.extend(more);
        env
    }

    /// A session with the ensemble, below the nodes' path.
    async fn look(&self, auth: Option<&str>) -> Session {
        self.look_at(&self.path, auth).await
    }

    async fn look_at(&self, path: &str, auth: Option<&str>) -> Session {
        let mut settings = Settings::new(&self.hosts, path).unwrap();
        settings.auth = auth.map(|auth| Digest::parse(auth).unwrap());
        Session::visit(settings).await.unwrap()
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
        self.leader_as(None).await
    }

    /// The same where credentials are needed.
    async fn leader_as(&self, credentials: Option<(&str, &str)>) -> usize {
        let mut leader = None;
        until("all nodes name the same leader", async || {
            let mut named = BTreeSet::new();
            for at in self.running() {
                let api = &self.node(at).api;
                let answer = match credentials {
                    Some((user, password)) => api.with_credentials(user, password).get("/v1/leader").await,
                    None => api.get("/v1/leader").await,
                };
                named.insert(answer.json["leader"].as_str().unwrap_or_default().to_owned());
            }
            leader = self.running().into_iter().find(|at| named.contains(&self.authority(*at)));
            named.len() == 1 && leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    /// Waits until every node that runs shows so many members, each at its own address.
    async fn all_members(&self, count: usize) {
        for at in self.running() {
            let api = &self.node(at).api;
            until("every node shows all members", async || {
                let members = api.get("/v1/members").await.json;
                let members = members["members"].as_array().cloned().unwrap_or_default();
                let addresses: BTreeSet<_> =
                    members.iter().filter_map(|member| member["address"].as_str()).collect();
                members.len() == count && addresses.len() == count
            })
            .await;
        }
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
