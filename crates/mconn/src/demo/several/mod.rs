//! `mconn demo --nodes 3`: a real ZooKeeper, node processes of this binary, and a stream of numbered events that goes on while the
//! leader is killed and while the lead is handed over. Then it is counted what became of every event.
//!
//! There is no Marathon here: a sync would rightly remove tasks that no Marathon runs.

mod api;
mod cluster;
mod load;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use mconn_zookeeper::local::{self, LocalError};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::cluster::Cluster;
use self::story::Story;
use super::data_dir;
use super::tell::Teller;
use crate::cli::DemoArgs;
use crate::report::Report;
use crate::run::end_on_signal;

/// The module that works on the events.
const MODULE: &str = "HelloWorld";
/// What the nodes ask ZooKeeper for: its servers here allow it, at two ticks.
const SESSION: Duration = Duration::from_secs(1);
/// How long any step may take on a busy machine.
const STEP: Duration = Duration::from_secs(60);
/// How often it is looked what has ended, at the end.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(args: &DemoArgs, nodes: usize) -> Result<(), Report> {
    let began = Instant::now();
    local::look().map_err(|error| zookeeper_report(&error))?;
    let (dir, temporary) = data_dir(args)?;
    let cancel = CancellationToken::new();
    // From now on: whatever is started is ended below.
    let signals = tokio::spawn(end_on_signal(cancel.clone()));
    let teller = Teller::new(began);
    let mut cluster = Cluster::new(dir.clone(), args, nodes)?;
    let mut story = Story::new(teller.clone())?;
    let limit = args.run_for.map(|limit| limit.saturating_sub(began.elapsed()));
    let told = tell(&mut story, &mut cluster, limit, &cancel).await;
    if told.is_ok() && story.is_told && !cancel.is_cancelled() {
        stay(args, &mut cluster, &teller, began, &cancel).await;
    }
    story.end().await;
    cluster.end().await;
    signals.abort();
    teller.heading("summary");
    for line in story.summary() {
        teller.line(line);
    }
    teller.line(&format!("ran for {:.1} s", began.elapsed().as_secs_f64()));
    told.map_err(|report| {
        keep(temporary);
        report.hint(format!("logs and data are kept in {}", dir.display()))
    })
}

/// Tells it to its end, or until the time is over or the user has seen enough.
async fn tell(
    story: &mut Story,
    cluster: &mut Cluster,
    limit: Option<Duration>,
    cancel: &CancellationToken,
) -> Result<(), Report> {
    let teller = story.teller.clone();
    let telling = cancel.run_until_cancelled(story.tell(cluster));
    let told = match limit {
        Some(limit) => tokio::time::timeout(limit, telling).await,
        None => Ok(telling.await),
    };
    match told {
        Ok(Some(told)) => told,
        Ok(None) => {
            teller.line("ended before the story is; nothing was counted");
            Ok(())
        }
        Err(_) => {
            teller.line("the time given with --for is over before the story is; nothing was counted");
            Ok(())
        }
    }
}

/// Leaves everything up, until the time is over or the user ends it.
async fn stay(
    args: &DemoArgs,
    cluster: &mut Cluster,
    teller: &Teller,
    began: Instant,
    cancel: &CancellationToken,
) {
    teller.heading("it stays up: try it");
    let urls: Vec<_> = cluster.nodes.iter().map(|node| format!("http://{}", node.authority)).collect();
    let last = &urls[urls.len() - 1];
    for (what, command) in [
        ("who leads, and who else is there", format!("curl {}/v1/members", urls[0])),
        ("what the module has done", format!("curl {last}/v1/module/inventory/{MODULE}")),
        ("what happens, live", format!("curl -N {last}/v1/events")),
        ("hand the lead over", format!("curl -X POST '{}/v1/exit/leader?keep=true'", urls[0])),
        ("end the leader", format!("curl -X POST {}/v1/exit/leader", urls[0])),
        ("what the nodes have logged", format!("tail -f {}/node-*/log", cluster.dir().display())),
    ] {
        teller.line(&format!("{what:34}{command}"));
    }
    match args.run_for {
        None => {
            teller.line("Ctrl-C ends it");
            cancel.run_until_cancelled(tell_ends(cluster, teller)).await;
        }
        Some(limit) => {
            let rest = limit.saturating_sub(began.elapsed());
            teller.line(&format!("it ends by itself in {:.0} s", rest.as_secs_f64()));
            let ends = tell_ends(cluster, teller);
            cancel.run_until_cancelled(tokio::time::timeout(rest, ends)).await;
        }
    }
}

/// Tells what ends while everything is up: the user may end nodes. Returns never.
async fn tell_ends(cluster: &mut Cluster, teller: &Teller) {
    loop {
        for name in cluster.ended() {
            teller.line(&format!("{name} has ended"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Files that show what went wrong outlive the demo.
fn keep(temporary: Option<TempDir>) -> Option<PathBuf> {
    temporary.map(TempDir::keep)
}

/// What is wrong with ZooKeeper here, and what to do.
fn zookeeper_report(error: &LocalError) -> Report {
    let report = Report::could_not_run("the demo of several nodes cannot start ZooKeeper").because(error);
    match error {
        LocalError::Missing(_) => {
            report.hint("make demo ARGS=\"--nodes 3\" installs what is missing, as root")
        }
        LocalError::Failed { .. } | LocalError::Ended { .. } => report,
    }
}
