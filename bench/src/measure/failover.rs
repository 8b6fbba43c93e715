//! How long nobody works: from the end of one leader to the first event that the next one has finished.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::event::{task_id, write_post};
use crate::figures::{Sample, percentile, sample};
use crate::load::Connection;
use crate::node::{FINISHED, PATIENCE, Place};
use crate::{Result, until};

const APP: &str = "/bench";
/// Leaders that go, each way and at each timeout.
const TIMES: usize = 7;
/// Who posts meanwhile: one for each node.
const PACE: Duration = Duration::from_millis(5);
/// Between two looks: what the figures are exact to.
const LOOK: Duration = Duration::from_millis(2);

/// How a leader goes.
#[derive(Debug, Clone, Copy)]
enum End {
    /// kill -9.
    Kill,
    /// It stands still, and nothing is closed, as when its machine loses its power.
    Silence,
    /// `POST /v1/exit/leader?keep=true`.
    StepDown,
    /// `POST /v1/exit/node` at the leader.
    Exit,
}

/// At the default timeout of node and ensemble, and at a second.
pub(crate) async fn measure(place: &Place) -> Result<Vec<Sample>> {
    let second = Duration::from_secs(1);
    // The ensemble makes 4 s out of it.
    let mut cluster = Cluster::start(place, 3, second * 2, second).await?;
    prepare(&cluster).await?;
    let default = times(&mut cluster, End::Kill).await?;
    let silence_default = times(&mut cluster, End::Silence).await?;
    drop(cluster);
    let mut cluster = Cluster::start(place, 3, second / 2, second).await?;
    prepare(&cluster).await?;
    let kill = times(&mut cluster, End::Kill).await?;
    let silence = times(&mut cluster, End::Silence).await?;
    let step_down = times(&mut cluster, End::StepDown).await?;
    let exit = times(&mut cluster, End::Exit).await?;
    Ok(vec![
        sample("failover.kill_default", percentile(&default, 0.5)),
        sample("failover.kill_default_max", percentile(&default, 1.0)),
        sample("failover.kill_1s", percentile(&kill, 0.5)),
        sample("failover.kill_1s_max", percentile(&kill, 1.0)),
        sample("failover.silent_default", percentile(&silence_default, 0.5)),
        sample("failover.silent_1s", percentile(&silence, 0.5)),
        sample("failover.step_down", percentile(&step_down, 0.5)),
        sample("failover.step_down_max", percentile(&step_down, 1.0)),
        sample("failover.exit", percentile(&exit, 0.5)),
        sample("failover.exit_max", percentile(&exit, 1.0)),
    ])
}

async fn prepare(cluster: &Cluster) -> Result<()> {
    cluster.nodes[cluster.settled().await?].preset(APP, false).await
}

/// The times in ms, sorted.
async fn times(cluster: &mut Cluster, end: End) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        times.push(once(cluster, end).await?.as_secs_f64() * 1e3);
    }
    eprintln!("{end:?}: {times:.0?} ms; logs in {}", cluster.dir().display());
    times.sort_by(f64::total_cmp);
    Ok(times)
}

async fn once(cluster: &mut Cluster, end: End) -> Result<Duration> {
    let leader = cluster.settled().await?;
    let mut old = cluster.nodes.remove(leader);
    let load = Load::start(&cluster.nodes.iter().map(|node| node.addr).collect::<Vec<_>>());
    until(PATIENCE, LOOK, "events are accepted", async || Ok((load.accepted() >= 20).then_some(()))).await?;
    let began = Instant::now();
    match end {
        End::Kill => old.process.kill(),
        End::Silence => old.process.stop()?,
        End::StepDown => drop(old.api.send("POST", "/v1/exit/leader?keep=true", None).await?),
        End::Exit => drop(old.api.send("POST", "/v1/exit/node", None).await?),
    }
    until(PATIENCE, LOOK, "the next leader has finished an event", async || {
        for node in &cluster.nodes {
            // A follower counts no runs.
            let leads = "mconn_role{role=\"leading\"}";
            let [leads, finished] = node.api.metrics([leads, FINISHED]).await.unwrap_or_default();
            if leads == 1.0 && finished > 0.0 {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await?;
    let took = began.elapsed();
    load.stop().await?;
    match end {
        End::StepDown => cluster.nodes.push(old),
        End::Kill | End::Silence | End::Exit => {
            drop(old);
            cluster.add().await?;
        }
    }
    Ok(took)
}

/// A few events all the time, to the nodes that stay.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    senders: JoinSet<()>,
}

impl Load {
    fn start(nodes: &[SocketAddr]) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut senders = JoinSet::new();
        for node in nodes {
            senders.spawn(post(*node, stop.clone(), accepted.clone()));
        }
        Self { stop, accepted, senders }
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.senders.join_next().await {
            ended?;
        }
        Ok(())
    }
}

/// Posts starts and ends of tasks; whatever fails is sent again over a new connection.
async fn post(node: SocketAddr, stop: Arc<AtomicBool>, accepted: Arc<AtomicU64>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut connection = None;
    let mut request = Vec::new();
    'events: while !stop.load(Ordering::Relaxed) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        for status in ["TASK_RUNNING", "TASK_KILLED"] {
            request.clear();
            write_post(&mut request, APP, &task_id(APP, number), status, number);
            loop {
                if stop.load(Ordering::Relaxed) {
                    break 'events;
                }
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => match Connection::open(node).await {
                        Ok(open) => open,
                        Err(_) => continue 'events,
                    },
                };
                let answer = open.send(&request).await;
                if answer.is_ok() {
                    connection = Some(open);
                }
                tokio::time::sleep(PACE).await;
                if matches!(answer, Ok(200)) {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}
