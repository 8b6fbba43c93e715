//! kill -9 at random moments under load: is anything lost that was acknowledged?

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::args::Args;
use crate::churn::{Churn, ids};
use crate::event::{task_id, write_post};
use crate::figures::{Sample, sample};
use crate::ledger::Ledger;
use crate::load::Connection;
use crate::node::{LOOK, Node, PATIENCE, Place};
use crate::{Result, until};

/// The app of the posted tasks, which Marathon does not know.
const POSTED: &str = "/posted";
/// Who posts at the same time.
const SENDERS: u64 = 8;
/// From the start of a process to its death, in ms: some die while they recover.
const MOMENTS: std::ops::Range<u64> = 20..600;
/// Numbers of one sender in one round.
const NUMBERS: u64 = 1_000_000;
/// A sync that removes much is held until the next one agrees.
const SYNCS: usize = 10;
/// How many losses are named.
const NAMED: usize = 10;

pub(crate) async fn measure(place: &Place, args: &Args) -> Result<Vec<Sample>> {
    let churn = Churn::start(args.seed).await?;
    let dir = place.directory()?;
    let mut rng = fastrand::Rng::with_seed(args.seed);
    let mut ledger = Ledger::default();
    let gate = churn.gate.addr.to_string();
    let env = [("MCONN_MARATHON_HOSTS", gate.as_str())];
    prepare(place, dir.path(), &env).await?;
    let mut idle = 0;
    for round in 0..args.rounds {
        let before = ledger.acknowledged();
        let moment = Duration::from_millis(rng.u64(MOMENTS));
        ledger.merge(one_round(place, dir.path(), &env, u64::from(round), moment, rng.fork()).await?);
        idle += u32::from(before == ledger.acknowledged());
    }
    if idle > 0 {
        eprintln!(
            "note: in {idle} of {} rounds the process died before it had accepted anything",
            args.rounds
        );
    }

    let node = Node::start(place, dir.path(), &env).await?;
    until(PATIENCE, LOOK, "everything accepted is handled", async || {
        let [journal, active] =
            node.api.metrics(["mconn_journal_events", "mconn_lane_active{module=\"Test\"}"]).await?;
        Ok((journal == 0.0 && active == 0.0).then_some(()))
    })
    .await?;
    let lost = ledger.lost(&inventory(&node).await?);
    for event in lost.iter().take(NAMED) {
        eprintln!("lost: {event}");
    }
    Ok(vec![
        sample("kill.lost", count(lost.len())),
        sample("kill.different", count(different(&churn, &node).await?)),
        sample("kill.acknowledged", count(usize::try_from(ledger.acknowledged())?)),
        sample("kill.rounds", f64::from(args.rounds)),
    ])
}

/// Presets for all apps.
async fn prepare(place: &Place, dir: &Path, env: &[(&str, &str)]) -> Result<()> {
    let mut node = Node::start(place, dir, env).await?;
    node.preset(POSTED, false).await?;
    for app in Churn::apps() {
        node.preset(&app, false).await?;
    }
    node.process.kill();
    Ok(())
}

/// Starts a node, posts as soon as it answers, kills it at that moment.
async fn one_round(
    place: &Place,
    dir: &Path,
    env: &[(&str, &str)],
    round: u64,
    moment: Duration,
    mut rng: fastrand::Rng,
) -> Result<Ledger> {
    let death = tokio::time::Instant::now() + moment;
    let mut node = Node::spawn(place, dir, env)?;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let first = (round * SENDERS + sender) * NUMBERS;
        senders.spawn(post(node.addr, first, death, rng.fork()));
    }
    tokio::time::sleep_until(death).await;
    if node.process.has_ended()? {
        return Err(format!("the node has ended by itself\n{}", node.process.last_words()).into());
    }
    node.process.kill();
    let mut ledger = Ledger::default();
    while let Some(part) = senders.join_next().await {
        ledger.merge(part?);
    }
    Ok(ledger)
}

/// Posts starts and ends of tasks one after the other until the node is dead.
async fn post(addr: SocketAddr, first: u64, death: tokio::time::Instant, mut rng: fastrand::Rng) -> Ledger {
    let mut ledger = Ledger::default();
    let mut connection = loop {
        match Connection::open(addr).await {
            Ok(connection) => break connection,
            Err(_) if tokio::time::Instant::now() > death => return ledger,
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    let mut running: Vec<String> = Vec::new();
    let mut request = Vec::with_capacity(1024);
    for number in first..first + NUMBERS {
        let ends = rng.u8(..3) == 0 && !running.is_empty();
        let task =
            if ends { running.swap_remove(rng.usize(..running.len())) } else { task_id(POSTED, number) };
        let status = if ends { "TASK_KILLED" } else { "TASK_RUNNING" };
        request.clear();
        write_post(&mut request, POSTED, &task, status, number);
        let answer = connection.send(&request).await;
        let acknowledged = matches!(answer, Ok(200));
        if ends {
            ledger.ended(&task, acknowledged);
        } else {
            ledger.started(task.clone(), acknowledged);
            running.push(task);
        }
        match answer {
            Ok(200) => {}
            // Its last event is not known, so nothing is posted about that task any more.
            Ok(503) if !ends => drop(running.pop()),
            Ok(503) => {}
            _ => return ledger,
        }
    }
    ledger
}

/// Ids of the tasks that the module has handled.
async fn inventory(node: &Node) -> Result<BTreeSet<String>> {
    Ok(ids(&node.api.json("/v1/module/inventory/Test").await?))
}

/// Tasks in which the inventory and the cluster at rest differ after syncs.
async fn different(churn: &Churn, node: &Node) -> Result<usize> {
    let truth = churn.settle().await?;
    if truth.is_empty() {
        return Err("nothing runs in the simulated cluster, so equal would mean nothing".into());
    }
    churn.gate.open();
    let mut different = usize::MAX;
    for _ in 0..SYNCS {
        node.api.send("POST", "/v1/module/sync/Test", None).await?;
        until(PATIENCE, LOOK, "clean-up runs are over", async || {
            let names = ["mconn_lane_waiting{module=\"Test\"}", "mconn_lane_active{module=\"Test\"}"];
            let [waiting, active] = node.api.metrics(names).await?;
            Ok((waiting + active == 0.0).then_some(()))
        })
        .await?;
        let found = inventory(node).await?;
        different = found.symmetric_difference(&truth).count();
        if different == 0 {
            break;
        }
    }
    Ok(different)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(events: usize) -> f64 {
    events as f64
}
