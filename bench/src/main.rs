//! mconn-bench: figures of the real binary, measured as a user meets it.
//!
//! **Owns** the load generators, the stand-ins for Marathon, and the table of `bench/README.md`.
//! **Comes in:** `target/release/mconn`, started with `MCONN_*` variables on free loopback ports and a real disk.
//! **Goes out:** one readable line (or one JSON object) per figure; exit code 1 if a target is missed or an accepted
//! event was lost, 2 if something could not be measured.
//! **Never:** a figure from a build without optimisation, a wait without a deadline, a process left behind.
//!
//! ```text
//!   args -> suite (repeats) -> measure/{post, latency, stream, memory, catalog, fold, sync, kill, cluster, failover} -> samples -> report
//!                                 |  uses: node + process (the binary), load (posts), fake + gate (Marathon), proc, disk
//! ```

mod api;
mod args;
mod churn;
mod cluster;
mod disk;
mod event;
mod fake;
mod figures;
mod gate;
mod ledger;
mod load;
mod machine;
mod measure;
mod node;
mod proc;
mod process;
mod report;
mod script;
mod suite;

use std::process::ExitCode;
use std::time::Duration;

/// What can go wrong is for people to read; nobody decides by it.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One thread: half of two cores is the load's, the other half and all that is idle is the measured process's.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        println!("{}", args::USAGE);
        return ExitCode::SUCCESS;
    }
    let args = match args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(words) => {
            eprintln!("{words}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    // Dropping what is measured kills its processes, so an interrupted run leaves nothing behind.
    let ended = tokio::select! {
        ended = suite::run(&args) => ended,
        words = interrupted() => Err(words.into()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return "signals cannot be received" };
    tokio::select! {
        _ = terminate.recv() => "terminated",
        _ = tokio::signal::ctrl_c() => "interrupted",
    }
}

/// A deadline for something that has an error of its own kind.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("not within {limit:?}: {what}").into()),
    }
}

/// Waits until `reached` gives something.
pub(crate) async fn until<T>(
    limit: Duration,
    every: Duration,
    what: &str,
    mut reached: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    within(limit, what, async {
        loop {
            if let Some(done) = reached().await? {
                return Ok(done);
            }
            tokio::time::sleep(every).await;
        }
    })
    .await
}
