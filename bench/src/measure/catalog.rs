//! A node that follows 5,000 apps with 10 tasks each.

use std::time::{Duration, Instant};

use mconn_marathon::client::{ClientSettings, Endpoint, MarathonClient};

use crate::api::Api;
use crate::figures::{Sample, sample};
use crate::node::{LOOK, Node, PATIENCE, Place};
use crate::process::Process;
use crate::{Result, proc, until};

use super::fold;

const APPS: &str = "5000";
const TASKS: &str = "10";
/// The figure is what a node needs to keep a cluster. What a listing needs for a moment is the peak.
const SETTLE: Duration = Duration::from_secs(10);
/// Between two looks at the metrics page, which takes the node some milliseconds at this size.
const LOOK_AT_PAGE: Duration = Duration::from_millis(100);
const LISTING: &str = "/v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness";

pub(crate) async fn measure(place: &Place) -> Result<Vec<Sample>> {
    let dir = place.directory()?;
    let log = dir.path().join("sim.log");
    let options = ["sim", "--listen", "127.0.0.1:0", "--fill-apps", APPS, "--fill-tasks", TASKS];
    let mut sim = Process::start(&place.binary, &options, &[], &log)?;
    let addr = until(PATIENCE, LOOK, "the simulation listens", async || {
        if sim.has_ended()? {
            return Err(sim.last_words().into());
        }
        let said = sim.said();
        // Its last line, so that everything is in place.
        let listens = said.lines().find(|line| line.contains("listens on http://"));
        let ready = said.contains("controls");
        Ok(listens.filter(|_| ready).and_then(|line| Some(line.rsplit_once("http://")?.1.to_owned())))
    })
    .await?;
    let mut samples = node(place, &addr, dir.path()).await?;
    samples.extend(in_process(&addr).await?);
    Ok(samples)
}

/// The real node: what it needs after the first and after the second listing.
async fn node(place: &Place, marathon: &str, dir: &std::path::Path) -> Result<Vec<Sample>> {
    let node = Node::start(place, dir, &[("MCONN_MARATHON_HOSTS", marathon)]).await?;
    // A source is called as its hosts are.
    let comparisons = format!("mconn_source_comparisons_total{{source=\"{marathon}\"}}");
    let compared = async |count: f64| {
        until(PATIENCE, LOOK_AT_PAGE, "a comparison", async || {
            let [comparisons, tasks] = node.api.metrics([&comparisons, "mconn_catalog_tasks"]).await?;
            Ok((comparisons >= count && tasks >= 50_000.0).then_some(comparisons))
        })
        .await
    };
    let first = compared(1.0).await?;
    tokio::time::sleep(SETTLE).await;
    let after_first = proc::memory(node.process.id())?;
    let cpu = proc::cpu(node.process.id())?;
    Api::new(&format!("http://{marathon}"))?.send("POST", "/sim/streams/close", None).await?;
    compared(first + 1.0).await?;
    let cpu = proc::cpu(node.process.id())?.saturating_sub(cpu);
    tokio::time::sleep(SETTLE).await;
    let after_second = proc::memory(node.process.id())?;
    Ok(vec![
        sample("catalog.rss", after_first.resident),
        sample("catalog.rss_second", after_second.resident),
        sample("catalog.peak", after_second.peak),
        sample("catalog.compare_cpu", cpu.as_secs_f64()),
    ])
}

/// The parts of it, without what lies between: the client that the node uses, and the catalog itself.
async fn in_process(marathon: &str) -> Result<Vec<Sample>> {
    let began = Instant::now();
    Api::new(&format!("http://{marathon}"))?.send("GET", LISTING, None).await?;
    let fetch = began.elapsed();
    let client = MarathonClient::new(ClientSettings::new(vec![Endpoint::parse(marathon, false)?]))?;
    let first = client.listing().await?;
    let began = Instant::now();
    let second = client.listing().await?;
    let listing = began.elapsed();
    let (folded, samples) = fold::measure(first, second)?;
    let mut all = vec![
        sample("catalog.compare", (listing + folded).as_secs_f64()),
        sample("catalog.fetch", fetch.as_secs_f64()),
    ];
    all.extend(samples);
    Ok(all)
}
