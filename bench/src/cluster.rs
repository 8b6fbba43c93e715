//! Three nodes on a real ZooKeeper, which writes to a real disk too.

use std::path::Path;
use std::time::Duration;

use mconn_zookeeper::testing::{Ensemble, Options};
use tempfile::TempDir;

use crate::node::{LOOK, Node, PATIENCE, Place};
use crate::{Result, until};

/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;

/// The cluster. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    place: Place,
    hosts: String,
    session: String,
    dir: TempDir,
    started: usize,
    /// Dropped last.
    _ensemble: Ensemble,
}

impl Cluster {
    /// Starts everything and waits until one node leads and the others know it.
    pub(crate) async fn start(
        place: &Place,
        servers: usize,
        tick: Duration,
        session: Duration,
    ) -> Result<Self> {
        let ensemble = Ensemble::start(&Options { servers, tick, ..Options::default() });
        let (hosts, session) = (ensemble.hosts(), session.as_millis().to_string());
        let (place, dir) = (place.clone(), place.directory()?);
        let mut cluster =
            Self { nodes: Vec::new(), place, hosts, session, dir, started: 0, _ensemble: ensemble };
        while cluster.nodes.len() < NODES {
            cluster.add().await?;
        }
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Starts one more node and waits until it answers.
    pub(crate) async fn add(&mut self) -> Result<()> {
        let dir = self.dir.path().join(self.started.to_string());
        self.started += 1;
        std::fs::create_dir_all(&dir)?;
        let node = Node::start(&self.place, &dir, &self.env()).await?;
        self.nodes.push(node);
        Ok(())
    }

    fn env(&self) -> [(&str, &str); 5] {
        [
            ("MCONN_STORE", "zookeeper"),
            ("MCONN_ZK_HOSTS", &self.hosts),
            ("MCONN_ZK_PATH", "/bench"),
            ("MCONN_ZK_SESSION_TIMEOUT", &self.session),
            ("MCONN_ZK_SPIN_DELAY", "300"),
        ]
    }

    /// Waits until one node leads and all show the same, and gives the place of the one that leads.
    pub(crate) async fn settled(&self) -> Result<usize> {
        until(PATIENCE, LOOK, "the nodes agree on a leader", async || {
            let mut leads = None;
            let mut epochs = Vec::new();
            for (number, node) in self.nodes.iter().enumerate() {
                let Ok(members) = node.api.json("/v1/members").await else { return Ok(None) };
                match members["role"].as_str() {
                    Some("leading") => leads = Some(number),
                    Some("following") => {}
                    _ => return Ok(None),
                }
                let known = members["members"].as_array().map_or(0, Vec::len);
                epochs.push((members["epoch"].as_u64(), known));
            }
            epochs.dedup();
            // A follower sees who joins behind it with its next refresh.
            let agreed = epochs.len() == 1 || epochs.iter().all(|(epoch, _)| *epoch == epochs[0].0);
            Ok(leads.filter(|_| agreed))
        })
        .await
    }

    /// Where the data and logs of all nodes are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
