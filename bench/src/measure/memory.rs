//! Memory of a node in which 10,000 events wait.

use std::time::Duration;

use crate::Result;
use crate::figures::{Sample, sample};
use crate::load::blast;
use crate::node::{Node, Place};
use crate::proc;

const APP: &str = "/bench";
const EVENTS: u64 = 10_000;
const CONNECTIONS: usize = 8;
/// The figure is what stays, not what the load itself needs for a moment.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure(place: &Place) -> Result<Vec<Sample>> {
    let dir = place.directory()?;
    let node = Node::start(place, dir.path(), &[]).await?;
    node.preset(APP, false).await?;
    let idle = proc::memory(node.process.id())?;
    node.api.send("POST", "/v1/module/queue/pause/Test", None).await?;
    blast(node.addr, CONNECTIONS, APP, 0, EVENTS, Duration::from_secs(120)).await?;
    tokio::time::sleep(SETTLE).await;
    let [waiting] = node.api.metrics(["mconn_lane_waiting{module=\"Test\"}"]).await?;
    if waiting < 10_000.0 {
        return Err(format!("only {waiting} events wait").into());
    }
    let memory = proc::memory(node.process.id())?;
    Ok(vec![
        sample("memory.idle", idle.resident),
        sample("memory.queued", memory.resident),
        sample("memory.peak", memory.peak),
    ])
}
