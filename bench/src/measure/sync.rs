//! A sync that finds 5,000 running tasks and an empty inventory.

use std::time::{Duration, Instant};

use crate::fake::FakeMarathon;
use crate::figures::{Sample, sample};
use crate::node::{LOOK, Node, PATIENCE, Place};
use crate::script::Script;
use crate::{Result, until};

const TASKS: u64 = 5_000;

pub(crate) async fn measure(place: &Place) -> Result<Vec<Sample>> {
    Ok(vec![
        sample("sync.nothing", once(place, true).await?.as_secs_f64()),
        sample("sync.test", once(place, false).await?.as_secs_f64()),
    ])
}

/// From asking for the sync to the last clean-up run's end.
async fn once(place: &Place, nothing: bool) -> Result<Duration> {
    let script = Script { apps: 50, alive: TASKS };
    let marathon = FakeMarathon::start(script).await?;
    let dir = place.directory()?;
    let addr = marathon.addr.to_string();
    let node = Node::start(place, dir.path(), &[("MCONN_MARATHON_HOSTS", &addr)]).await?;
    for app in 0..script.apps {
        node.preset(&script.app(app), nothing).await?;
    }
    // Each preset asks for a sync of its own; none of them may be left when the tasks appear.
    let syncs = "mconn_syncs_total{module=\"Test\"}";
    let mut last = node.api.metrics([syncs]).await?;
    until(PATIENCE, Duration::from_millis(300), "the syncs after the presets are over", async || {
        let now = node.api.metrics([syncs]).await?;
        Ok((std::mem::replace(&mut last, now) == now && now[0] > 0.0).then_some(()))
    })
    .await?;
    let before = node.finished().await?;
    marathon.skip_to(TASKS);

    let began = Instant::now();
    node.api.send("POST", "/v1/module/sync/Test", None).await?;
    node.wait_for_finished(before + 5_000.0, PATIENCE).await?;
    let took = began.elapsed();
    let items = if nothing { 0.0 } else { 5_000.0 };
    until(PATIENCE, LOOK, "the inventory is complete", async || {
        let [found] = node.api.metrics(["mconn_inventory_items{module=\"Test\"}"]).await?;
        Ok((found >= items).then_some(()))
    })
    .await?;
    Ok(took)
}
