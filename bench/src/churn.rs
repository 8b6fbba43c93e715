//! A simulated cluster in which apps are scaled and tasks die, all the time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use mconn_sim::{Sim, SimOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::gate::Gate;
use crate::node::PATIENCE;
use crate::{Result, until};

/// Apps, `/churn/0` and so on.
const APPS: usize = 5;
/// Most instances of each.
const INSTANCES: u32 = 8;
/// The simulation's time against ours.
const SPEED: f64 = 50.0;
/// Time between two changes.
const PACE: Duration = Duration::from_millis(25);

/// The cluster, the gate before it, and who stirs it.
#[derive(Debug)]
pub(crate) struct Churn {
    /// What nodes are told to be Marathon.
    pub(crate) gate: Gate,
    api: Api,
    _sim: Sim,
    stirring: JoinHandle<()>,
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stirring.abort();
    }
}

impl Churn {
    pub(crate) async fn start(seed: u64) -> Result<Self> {
        let mut gate = Gate::bind().await?;
        let options = SimOptions {
            seed,
            speed: SPEED,
            // Nodes go straight to the leader, so the gate has to be it.
            leader: Some(gate.addr.to_string()),
            initial_apps: (0..APPS)
                .map(|app| json!({"id": app_id(app), "cmd": "x", "instances": 3}))
                .collect(),
            ..SimOptions::default()
        };
        let sim = Sim::start(options, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        gate.lead_to(sim.addr());
        let api = Api::new(&sim.url())?;
        let stirring = tokio::spawn(stir(api.clone(), seed));
        Ok(Self { gate, api, _sim: sim, stirring })
    }

    /// Ids of all apps.
    pub(crate) fn apps() -> impl Iterator<Item = String> {
        (0..APPS).map(app_id)
    }

    /// Nothing changes any more; gives the tasks that run.
    pub(crate) async fn settle(&self) -> Result<BTreeSet<String>> {
        self.stirring.abort();
        let mut before = BTreeSet::new();
        until(PATIENCE, Duration::from_millis(500), "the cluster is at rest", async || {
            let deployments = self.api.json("/v2/deployments").await?;
            let tasks = self.running().await?;
            let at_rest = deployments.as_array().is_some_and(Vec::is_empty) && tasks == before;
            before = tasks;
            Ok(at_rest.then(|| before.clone()))
        })
        .await
    }

    /// The tasks that run now.
    pub(crate) async fn running(&self) -> Result<BTreeSet<String>> {
        Ok(ids(&self.api.json("/v2/tasks?status=running").await?["tasks"]))
    }
}

fn app_id(number: usize) -> String {
    format!("/churn/{number}")
}

/// The `id` of each element.
pub(crate) fn ids(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
}

/// Scales an app or ends a task, until it is aborted. What the simulation refuses is tried differently next time.
async fn stir(api: Api, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        tokio::time::sleep(PACE).await;
        if rng.bool() {
            let scale = json!({"instances": rng.u32(1..=INSTANCES)});
            let path = format!("/v2/apps{}?force=true", app_id(rng.usize(..APPS)));
            drop(api.send("PUT", &path, Some(&scale)).await);
            continue;
        }
        let Ok(tasks) = api.json("/v2/tasks?status=running").await else { continue };
        if let Some(task) = rng.choice(ids(&tasks["tasks"])) {
            let fate = rng.choice(["kill", "fail", "finish", "lost"]).unwrap_or("kill");
            drop(api.send("POST", &format!("/sim/tasks/{task}/{fate}"), None).await);
        }
    }
}
