//! Several nodes on one ensemble, each with links of its own to the servers.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use mconn_zookeeper::testing::{Ensemble, Link, Options, Proxy};
use tempfile::TempDir;

use super::history::{Ran, Sighting};
use super::network::{Network, Wire};
use super::trouble::{self, Trouble};
use crate::{Client, FakeMarathon, Mconn, PATIENCE, until};

/// Nodes of a cluster.
pub const NODES: usize = 3;

/// The path that the nodes share.
pub const NAMESPACE: &str = "/faults/mconn";

/// Between the logs of two processes.
const ENDED: &str = "--- its process has ended";

/// Ports that the kernel gives to nobody by itself, so that a node that is started again still finds its own free.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A cluster. All its processes end with this value.
#[derive(Debug)]
pub struct Cluster {
    /// The ensemble.
    pub ensemble: Ensemble,
    /// The Marathon that all nodes follow. It answers nothing until it is told to.
    pub marathon: FakeMarathon,
    /// The clock and the disk of each server.
    pub machines: Vec<Trouble>,
    nodes: Vec<Member>,
    servers: usize,
    session: Duration,
    network: Option<Network>,
}

/// One node.
#[derive(Debug)]
pub struct Member {
    /// Where it listens, whenever it runs.
    pub address: SocketAddr,
    /// Its API.
    pub api: Client,
    /// Its clock and its disk.
    pub machine: Trouble,
    /// Its links, one for each server; none with a network.
    links: Vec<Proxy>,
    dir: TempDir,
    process: Option<Mconn>,
    /// What its processes before have said.
    past: String,
}

impl Cluster {
    /// Starts everything and waits until a node leads. `session` is the time after which ZooKeeper gives up a silent node. Nodes
    /// are on this network, or on loopback with links that can be troubled.
    ///
    /// # Panics
    /// If anything does not start.
    pub async fn start(servers: usize, session: Duration, network: Option<Network>) -> Self {
        // Small files: they are read often, and a server begins a new one whenever it is started.
        let java = vec!["-Dzookeeper.preAllocSize=256".to_owned()];
        let env = trouble::env().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let listen = network.as_ref().map_or(Ipv4Addr::LOCALHOST, Network::ensemble);
        let options = Options { servers, tick: session / 2, java, env, listen, ..Options::default() };
        let ensemble = tokio::task::block_in_place(|| Ensemble::start(&options));
        let machine = |server| Trouble::at(&ensemble.dir().join(format!("server-{}", server + 1)));
        let machines = (0..servers).map(machine).collect();
        let others = network.as_ref().map_or(Ipv4Addr::LOCALHOST, Network::others);
        let marathon = FakeMarathon::on(&format!("{others}:0")).await;
        marathon.answers(503, "{}");
        let mut cluster = Self { ensemble, marathon, machines, nodes: Vec::new(), servers, session, network };
        for node in 0..NODES {
            let mut links = Vec::new();
            let address = if let Some(network) = &cluster.network {
                network.address(node)
            } else {
                for server in 0..servers {
                    links.push(Proxy::start(cluster.ensemble.address(server), Link::Open).await);
                }
                (Ipv4Addr::LOCALHOST, free_port()).into()
            };
            let api = Client::new(&format!("http://{address}"));
            let dir = TempDir::new().expect("a directory");
            let (machine, past) = (Trouble::at(dir.path()), String::new());
            cluster.nodes.push(Member { address, api, machine, links, dir, process: None, past });
        }
        for node in 0..NODES {
            cluster.launch(node);
        }
        cluster.settled().await;
        cluster
    }

    /// Starts a node that does not run and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    pub fn launch(&mut self, node: usize) {
        let shell = self.network.as_ref().map(|network| network.enter(node));
        let node = &mut self.nodes[node];
        let hosts = match node.links.is_empty() {
            true => self.ensemble.hosts(),
            false => {
                let links = node.links.iter().map(|link| link.address().to_string());
                links.collect::<Vec<_>>().join(",")
            }
        };
        let (host, port) = (node.address.ip().to_string(), node.address.port().to_string());
        let timeout = self.session.as_millis().to_string();
        let mut env = vec![
            ("MCONN_HOST", host.as_str()),
            ("MCONN_BIND", host.as_str()),
            ("MCONN_PORT", port.as_str()),
            ("MCONN_MARATHON_HOSTS", self.marathon.address.as_str()),
            ("MCONN_MARATHON_READY", "none"),
            ("MCONN_MODULE_START", "Test"),
            ("MCONN_MODULE_TEST_DELAY", "0"),
            ("MCONN_DATA_DIR", node.dir.path().to_str().expect("a path of text")),
            ("MCONN_STORE", "zookeeper"),
            ("MCONN_ZK_HOSTS", hosts.as_str()),
            ("MCONN_ZK_PATH", NAMESPACE),
            ("MCONN_ZK_SESSION_TIMEOUT", timeout.as_str()),
            ("MCONN_ZK_SPIN_DELAY", "300"),
        ];
        env.extend(trouble::env());
        tokio::task::block_in_place(|| {
            let process = match shell {
                Some(shell) => Mconn::start_through(&shell, &["serve"], &env, node.dir.path()),
                None => Mconn::start(&["serve"], &env, node.dir.path()),
            };
            process.wait_for("Webserver started on");
            node.process = Some(process);
        });
    }

    /// A node.
    #[must_use]
    pub fn node(&self, node: usize) -> &Member {
        &self.nodes[node]
    }

    /// Where all nodes listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// kill -9.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            tokio::task::block_in_place(|| process.kill());
            self.nodes[node].past.push_str(&format!("{}{ENDED} (killed)\n", process.output()));
        }
    }

    /// How many servers the ensemble has.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.servers
    }

    /// Sends a signal to a node that runs.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, node: usize, name: &str) {
        self.nodes[node].process.as_ref().expect("the node runs").signal(name);
    }

    /// Waits for the end of a node that was told to end, and says how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn end(&mut self, node: usize) -> i32 {
        let mut process = self.nodes[node].process.take().expect("the node runs");
        let code = tokio::task::block_in_place(|| process.exit_code());
        self.nodes[node].past.push_str(&format!("{}{ENDED} ({code})\n", process.output()));
        code
    }

    /// Changes all links of a node to the ensemble.
    ///
    /// # Panics
    /// If there is a network, which is open or frozen and nothing else.
    pub fn link(&self, node: usize, link: Link) {
        match (&self.network, link) {
            (None, link) => self.nodes[node].links.iter().for_each(|proxy| proxy.set(link)),
            (Some(network), Link::Open) => network.mend(node, Wire::Ensemble),
            (Some(network), Link::Frozen) => network.pull(node, Wire::Ensemble),
            (Some(_), link) => panic!("a network is never {link:?}"),
        }
    }

    /// The network.
    ///
    /// # Panics
    /// If there are only links.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the cluster was started on a network")
    }

    /// What each process of each node says that it has done, in its order.
    #[must_use]
    pub fn ran(&self) -> Vec<Vec<Ran>> {
        let mut ran = Vec::new();
        for node in &self.nodes {
            let now = node.process.as_ref().map(Mconn::output).unwrap_or_default();
            let processes = node.past.split(ENDED).chain([now.as_str()]);
            ran.extend(processes.map(|log| log.lines().filter_map(Ran::of_line).collect()));
        }
        ran
    }

    /// The nodes that take themselves for the leader, as far as they answer, with their epochs.
    pub async fn leaders(&self) -> Vec<(usize, i64)> {
        let mut leaders = Vec::new();
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            if let Ok(answer) = node.api.try_send("GET", "/v1/members", None).await
                && answer.json["role"] == "leading"
            {
                leaders.push((number, answer.json["epoch"].as_i64().unwrap_or_default()));
            }
        }
        leaders
    }

    /// Waits until a node leads and gives it. All nodes must run and answer.
    pub async fn leader(&self) -> usize {
        let mut found = None;
        until("a node leads", async || {
            found = self.leaders().await.into_iter().max_by_key(|(_, epoch)| *epoch).map(|(node, _)| node);
            found.is_some()
        })
        .await;
        found.unwrap_or_default()
    }

    /// Waits until one node leads and all others know it and are members.
    ///
    /// # Panics
    /// If that takes too long. The message has what each node shows.
    pub async fn settled(&self) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut shown = Vec::new();
            for node in &self.nodes {
                let answer = node.api.try_send("GET", "/v1/members", None).await;
                shown.push(answer.map(|answer| answer.json).unwrap_or_default());
            }
            let epochs: BTreeSet<_> = shown.iter().map(|members| members["epoch"].as_i64()).collect();
            let leading = shown.iter().filter(|members| members["role"] == "leading").count();
            let following = shown.iter().filter(|members| members["role"] == "following").count();
            // Followers hear of who joins behind them later.
            let known = shown.iter().filter(|members| members["role"] == "leading");
            let known =
                known.filter_map(|members| members["members"].as_array()).all(|all| all.len() >= NODES);
            if leading == 1 && following == NODES - 1 && epochs.len() == 1 && known {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "the nodes do not agree on a leader: {shown:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The leadership that each node that answers at once shows.
    pub async fn sightings(clients: &[Client]) -> Vec<Sighting> {
        let mut seen = Vec::new();
        for api in clients {
            let asked = api.try_send("GET", "/v1/members", None);
            // One that is stopped shows nothing.
            let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_millis(200), asked).await else {
                continue;
            };
            let (epoch, leader) = (answer.json["epoch"].as_i64(), answer.json["leader"].as_str());
            if let (Some(epoch), Some(leader)) = (epoch.and_then(|epoch| epoch.try_into().ok()), leader) {
                seen.push(Sighting { epoch, leader: leader.to_owned() });
            }
        }
        seen
    }

    /// The keys of the module's inventory as each node shows them.
    pub async fn inventories(&self) -> Vec<(String, BTreeSet<String>)> {
        let mut inventories = Vec::new();
        for node in &self.nodes {
            let keys = node.api.inventory("Test").await;
            inventories.push((node.address.to_string(), keys.into_iter().collect()));
        }
        inventories
    }

    /// Waits until everything that was accepted is handled.
    pub async fn handled(&self) {
        until("everything accepted is handled", async || {
            let leader = self.leader().await;
            let Ok(page) = self.nodes[leader].api.try_send("GET", "/metrics", None).await else {
                return false;
            };
            let names = ["mconn_journal_events", "mconn_lane_active{module=\"Test\"}"];
            names.iter().all(|name| {
                let value =
                    page.text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
                value == Some(0.0)
            })
        })
        .await;
    }
}

impl Drop for Cluster {
    /// What a failure is about may have happened long before it shows, so all logs are kept then.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let Ok(kept) = TempDir::with_prefix("mconn-faults-").map(TempDir::keep) else { return };
        for (number, node) in self.nodes.iter().enumerate() {
            let now = node.process.as_ref().map(Mconn::output).unwrap_or_default();
            // There is nothing more to be done about a disk that is full.
            let _ = std::fs::write(
                kept.join(format!("node-{number}-{}.log", node.address)),
                node.past.clone() + &now,
            );
        }
        for server in 0..self.servers {
            let _ = std::fs::write(kept.join(format!("server-{server}.log")), self.ensemble.log(server));
            let from = self.ensemble.dir().join(format!("server-{}/data/version-2", server + 1));
            for log in std::fs::read_dir(from).into_iter().flatten().flatten() {
                let name = format!("server-{server}-{}", log.file_name().to_string_lossy());
                let _ = std::fs::copy(log.path(), kept.join(name));
            }
        }
        eprintln!("all logs are kept in {}", kept.display());
    }
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = fastrand::u16(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
