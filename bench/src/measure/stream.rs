//! Marathon's event stream to finished, through follower, catalog, journal and module.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::fake::FakeMarathon;
use crate::figures::{Sample, sample};
use crate::node::{LOOK, Node, PATIENCE, Place};
use crate::script::Script;
use crate::{Result, proc, until};

/// Events if none are asked for.
const EVENTS: u64 = 500_000;
/// Events before the time begins.
const WARM_UP: u64 = 5_000;
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) async fn measure(place: &Place, args: &Args) -> Result<Vec<Sample>> {
    let events = args.events.unwrap_or(EVENTS);
    let script = Script { apps: 20, alive: 2_000 };
    let marathon = FakeMarathon::start(script).await?;
    let dir = place.directory()?;
    let addr = marathon.addr.to_string();
    let node = Node::start(place, dir.path(), &[("MCONN_MARATHON_HOSTS", &addr)]).await?;
    for app in 0..script.apps {
        node.preset(&script.app(app), true).await?;
    }
    until(PATIENCE, LOOK, "the stream is attached", async || Ok((marathon.streams() > 0).then_some(())))
        .await?;
    marathon.send_to(WARM_UP);
    node.wait_for_finished(count(WARM_UP), LIMIT).await?;
    // The last runs of the warm-up are on their way to the disk.
    let listings = marathon.listings();
    let before = node.finished().await?;

    let cpu = proc::cpu(node.process.id())?;
    let began = Instant::now();
    marathon.send_to(WARM_UP + events);
    node.wait_for_finished(before + count(events), LIMIT).await?;
    let took = began.elapsed();
    let cpu = proc::cpu(node.process.id())?.saturating_sub(cpu);
    Ok(vec![
        sample("stream.finished", count(events) / took.as_secs_f64()),
        sample("stream.cpu", cpu.as_secs_f64() * 1e6 / count(events)),
        sample("stream.listings", count(marathon.listings() - listings)),
        sample("stream.rss", proc::memory(node.process.id())?.peak),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(events: u64) -> f64 {
    events as f64
}
