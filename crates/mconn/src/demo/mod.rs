//! `mconn demo`: a simulated Marathon, a real node, and a story told in readable lines.
//!
//! Everything is real but Marathon: sockets, the event stream, the store on disk, the API. The story posts to Marathon as
//! an operator would and tells what the node makes of it. With `--nodes` the demo is another one, see [`several`].

mod apps;
mod several;
mod story;
mod tell;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mconn_sim::{Sim, SimOptions};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::story::Story;
use self::tell::Teller;
use crate::cli::DemoArgs;
use crate::commands::sim::sim_report;
use crate::config::{Config, Raw};
use crate::node::Node;
use crate::report::Report;
use crate::run::{end_on_signal, start_logging};

/// What the module of the demo needs to do its pretended work, in milliseconds.
const MODULE_DELAY: &str = "50";

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Report> {
    match args.nodes {
        Some(nodes) => several::run(args, nodes.into()).await,
        None => alone(args).await,
    }
}

/// One node that follows a simulated Marathon.
async fn alone(args: &DemoArgs) -> Result<(), Report> {
    let began = Instant::now();
    let (dir, _remove_at_end) = data_dir(args)?;
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(end_on_signal(cancel.clone()));
    let sim = start_marathon(args).await?;
    let config = node_config(args, &sim, &dir)?;
    let _logging = start_logging(&config)?;
    let node = Node::start(&config, cancel.clone()).await?;
    let (addr, catalog) = (node.addr, node.catalog.clone());
    let queue = node.queue.clone().ok_or_else(|| Report::could_not_run("the demo's node must work alone"))?;
    // Watched from now on: a part that fails ends the story, too.
    let ended = tokio::spawn(node.join(config.node.shutdown_timeout));

    let teller = Teller::new(began);
    teller.heading("mconn demo");
    teller.line(&format!(
        "simulated Marathon  {}/v2/apps   (seed {}, time x{})",
        sim.url(),
        args.seed,
        args.speed
    ));
    teller.line(&format!("node                http://{}/v1/queue   (data in {})", addr, dir.display()));
    let mut story = Story::new(&sim, addr, queue, catalog, teller.clone())?;
    let told = match args.run_for {
        Some(limit) => {
            tokio::time::timeout(limit.saturating_sub(began.elapsed()), tell(&mut story, &cancel)).await
        }
        None => Ok(tell(&mut story, &cancel).await),
    };
    let outcome = match told {
        Ok(outcome) => outcome,
        Err(_) => {
            teller.line("the time given with --for is over before the story is");
            Ok(())
        }
    };
    if outcome.is_ok() && !cancel.is_cancelled() {
        stay(args, &sim, addr, &teller, began, &cancel).await;
    }
    let summary = story.summary().await;
    cancel.cancel();
    let ended = ended.await.unwrap_or_else(|error| Err(Report::failed("the node failed").because(&error)));
    sim.shutdown().await;
    signals.abort();
    teller.heading("summary");
    for line in summary {
        teller.line(&line);
    }
    teller.line(&format!("ran for {:.1} s", began.elapsed().as_secs_f64()));
    outcome.and(ended)
}

async fn tell(story: &mut Story, cancel: &CancellationToken) -> Result<(), Report> {
    match cancel.run_until_cancelled(story.tell()).await {
        // The node closes what the story has under way: no failure. One of the node itself is told by its own end.
        Some(Err(_)) if cancel.is_cancelled() => Ok(()),
        told => told.unwrap_or(Ok(())),
    }
}

/// Leaves everything up, until the time is over or the user ends it.
async fn stay(
    args: &DemoArgs,
    sim: &Sim,
    addr: SocketAddr,
    teller: &Teller,
    began: Instant,
    cancel: &CancellationToken,
) {
    teller.heading("it stays up: try it");
    let url = format!("http://{addr}");
    for (what, command) in [
        ("what the module has done", format!("curl {url}/v1/module/inventory/HelloWorld")),
        ("every task, port and verdict", format!("curl {url}/v1/catalog")),
        ("what happens, live", format!("curl -N {url}/v1/events")),
        ("metrics", format!("curl {url}/metrics")),
        ("the same from this binary", format!("mconn inventory HelloWorld --url {url}")),
        ("kill a task", format!("curl -X DELETE '{}/v2/apps/shop/backend/cart/tasks'", sim.url())),
    ] {
        teller.line(&format!("{what:30}{command}"));
    }
    match args.run_for {
        None => {
            teller.line("Ctrl-C ends it");
            cancel.cancelled().await;
        }
        Some(limit) => {
            let rest = limit.saturating_sub(began.elapsed());
            teller.line(&format!("it ends by itself in {:.0} s", rest.as_secs_f64()));
            cancel.run_until_cancelled(tokio::time::sleep(rest)).await;
        }
    }
}

async fn start_marathon(args: &DemoArgs) -> Result<Sim, Report> {
    let options = SimOptions {
        seed: args.seed,
        speed: args.speed,
        task_sockets: true,
        initial_apps: apps::initial(),
        ..SimOptions::default()
    };
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, args.marathon_port));
    Sim::start(options, addr).await.map_err(|error| sim_report(&error))
}

/// The node is configured as a user would, by settings alone.
fn node_config(args: &DemoArgs, sim: &Sim, dir: &std::path::Path) -> Result<Config, Report> {
    let port = args.port.to_string();
    let marathon = sim.addr().to_string();
    let dir = dir.display().to_string();
    let mut flags = vec![
        ("host", "127.0.0.1"),
        ("bind", "127.0.0.1"),
        ("port", &port),
        ("marathon-hosts", &marathon),
        ("module-start", "HelloWorld"),
        ("module-helloworld-delay", MODULE_DELAY),
        ("data-dir", &dir),
    ];
    if !args.log {
        flags.push(("logger-muted", "1"));
    }
    Raw::new()
        .with_flags(flags)
        .resolve()
        .map_err(|errors| Report::could_not_run("the demo's own settings do not fit").because(&errors))
}

/// Where the data go, and what removes them at the end.
fn data_dir(args: &DemoArgs) -> Result<(PathBuf, Option<TempDir>), Report> {
    match &args.data_dir {
        Some(dir) => Ok((dir.clone(), None)),
        None => {
            let dir = tempfile::Builder::new().prefix("mconn-demo-").tempdir();
            let dir = dir.map_err(|error| {
                Report::could_not_run("cannot make a temporary directory").because(&error)
            })?;
            Ok((dir.path().to_owned(), Some(dir)))
        }
    }
}

/// How long a step of the story may take, whatever the simulated cluster's speed.
const STEP: Duration = Duration::from_secs(30);
