//! `POST /v1/queue` to finished, every event durable before its 200.

use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Args;
use crate::figures::{Sample, sample};
use crate::load::blast;
use crate::node::{Node, Place};
use crate::proc;

const APP: &str = "/bench";
/// Events before the time begins.
const WARM_UP: u64 = 5_000;
/// Events if none are asked for.
const EVENTS: u64 = 200_000;
/// A tenth of the target, and then some.
const LIMIT: Duration = Duration::from_secs(300);

/// At log level 2, and at the default level.
pub(crate) async fn measure(place: &Place, args: &Args) -> Result<Vec<Sample>> {
    let quiet = once(place, args, "2").await?;
    let usual = once(place, args, "3").await?;
    Ok(vec![
        sample("post.finished", quiet.finished),
        sample("post.accepted", quiet.accepted),
        sample("post.cpu", quiet.cpu),
        sample("post.commit", quiet.commit),
        sample("post.batch", quiet.batch),
        sample("post.rss", quiet.rss),
        sample("post.finished_info", usual.finished),
        sample("post.cpu_info", usual.cpu),
    ])
}

struct Run {
    finished: f64,
    accepted: f64,
    cpu: f64,
    commit: f64,
    batch: f64,
    rss: f64,
}

async fn once(place: &Place, args: &Args, level: &str) -> Result<Run> {
    let events = args.events.unwrap_or(EVENTS);
    let dir = place.directory()?;
    let node = Node::start(place, dir.path(), &[("MCONN_LOGGER_LEVEL", level)]).await?;
    node.preset(APP, true).await?;
    blast(node.addr, args.connections, APP, 0, WARM_UP, LIMIT).await?;
    node.wait_for_finished(count(WARM_UP), LIMIT).await?;

    let store =
        ["mconn_store_commits_total", "mconn_store_writes_total", "mconn_store_commit_time_seconds_total"];
    let before = node.api.metrics(store).await?;
    let cpu = proc::cpu(node.process.id())?;
    let began = Instant::now();
    let blast = blast(node.addr, args.connections, APP, WARM_UP, events, LIMIT).await?;
    node.wait_for_finished(count(WARM_UP + events), LIMIT).await?;
    let took = began.elapsed();
    let cpu = proc::cpu(node.process.id())?.saturating_sub(cpu);
    let after = node.api.metrics(store).await?;
    if blast.refused > 0 {
        eprintln!("note: {} events were answered with 503 and sent again", blast.refused);
    }
    let [commits, writes, time] = [0, 1, 2].map(|at| after[at] - before[at]);
    Ok(Run {
        finished: count(events) / took.as_secs_f64(),
        accepted: count(events) / blast.took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / count(events),
        commit: time * 1e3 / commits.max(1.0),
        batch: writes / commits.max(1.0),
        rss: proc::memory(node.process.id())?.resident,
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(events: u64) -> f64 {
    events as f64
}
