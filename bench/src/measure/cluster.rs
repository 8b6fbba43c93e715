//! `POST /v1/queue` to all of three nodes, every event durable in ZooKeeper before its 200.

use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Args;
use crate::cluster::{Cluster, NODES};
use crate::figures::{Sample, sample};
use crate::load::blast;
use crate::node::Place;

const APP: &str = "/bench";
/// Events before the time begins.
const WARM_UP: u64 = 2_000;
/// Events if none are asked for.
const EVENTS: u64 = 60_000;
/// A tenth of the target, and then some.
const LIMIT: Duration = Duration::from_secs(300);

/// On an ensemble of one server, and of three.
pub(crate) async fn measure(place: &Place, args: &Args) -> Result<Vec<Sample>> {
    let (accepted, finished) = once(place, args, 1).await?;
    let (accepted_3, finished_3) = once(place, args, 3).await?;
    Ok(vec![
        sample("cluster.accepted", accepted),
        sample("cluster.finished", finished),
        sample("cluster.accepted_3", accepted_3),
        sample("cluster.finished_3", finished_3),
    ])
}

async fn once(place: &Place, args: &Args, servers: usize) -> Result<(f64, f64)> {
    let second = Duration::from_secs(1);
    let cluster = Cluster::start(place, servers, second * 2, second * 4).await?;
    let leader = cluster.settled().await?;
    let leader = &cluster.nodes[leader];
    leader.preset(APP, true).await?;
    blast(leader.addr, args.connections, APP, 0, WARM_UP, LIMIT).await?;
    leader.wait_for_finished(count(WARM_UP), LIMIT).await?;

    let share = args.events.unwrap_or(EVENTS) / NODES as u64;
    let connections = args.connections.div_ceil(NODES);
    let began = Instant::now();
    let [a, b, c] = &cluster.nodes[..] else { return Err("there are not three nodes".into()) };
    let load = |node: &crate::node::Node, part: u64| {
        blast(node.addr, connections, APP, WARM_UP + part * share, share, LIMIT)
    };
    let (a, b, c) = tokio::join!(load(a, 0), load(b, 1), load(c, 2));
    let accepted = began.elapsed();
    let refused = a?.refused + b?.refused + c?.refused;
    let events = share * NODES as u64;
    leader.wait_for_finished(count(WARM_UP + events), LIMIT).await?;
    let finished = began.elapsed();
    if refused > 0 {
        eprintln!("note: {refused} events were answered with 503 and sent again");
    }
    Ok((count(events) / accepted.as_secs_f64(), count(events) / finished.as_secs_f64()))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(events: u64) -> f64 {
    events as f64
}
