//! Ends are never unseen: every part's task is joined here, a part that fails ends the node, and the end goes in steps.
//!
//! First the lead is given up, while this node still answers and can pass requests on to the next leader. Then nothing more
//! is taken in: the port closes, requests in flight are answered, following stops. Then the queue writes its last batch.
//! Then the store is closed. Each step has its part of the time, so that none is left without; whatever still runs when its
//! time is over is named and cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::report::Report;

/// When a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Gives up what others wait for: the lead.
    Handover,
    /// Takes things in: web server, follower, catalog.
    Intake,
    /// Works on what was taken in: the queue.
    Work,
    /// Keeps it: the store.
    Storage,
}

type Done = (Arc<str>, Result<(), String>);

#[derive(Debug, Default)]
struct Parts {
    tasks: JoinSet<Done>,
    token: CancellationToken,
    /// Those that have not ended.
    names: Vec<Arc<str>>,
}

/// The tasks of a node.
#[derive(Debug)]
pub(super) struct Supervisor {
    cancel: CancellationToken,
    steps: [Parts; 4],
}

impl Supervisor {
    /// `cancel` ends the node; it is cancelled here when a part fails.
    pub(super) fn new(cancel: CancellationToken) -> Self {
        let mut steps: [Parts; 4] = Default::default();
        steps[Step::Handover as usize].token = cancel.clone();
        Self { cancel, steps }
    }

    /// Cancelled when that step's turn to end has come.
    pub(super) fn token(&self, step: Step) -> CancellationToken {
        self.steps[step as usize].token.clone()
    }

    /// Owns a part. Ending before its step is told to, or with an error, ends the node.
    pub(super) fn spawn(
        &mut self,
        step: Step,
        name: impl Into<Arc<str>>,
        part: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let parts = &mut self.steps[step as usize];
        let name = name.into();
        parts.names.push(name.clone());
        parts.tasks.spawn(async move { (name, part.await) });
    }

    /// Runs until the node is to end, then ends it within `limit`.
    pub(super) async fn join(mut self, limit: Duration) -> Result<(), Report> {
        let [handover, intake, work, storage] = &mut self.steps;
        let early = tokio::select! {
            // Parts that were told to end may be quicker than we are to notice that they were.
            biased;
            () = self.cancel.cancelled() => None,
            Some(done) = handover.tasks.join_next() => Some(done),
            Some(done) = intake.tasks.join_next() => Some(done),
            Some(done) = work.tasks.join_next() => Some(done),
            Some(done) = storage.tasks.join_next() => Some(done),
        };
        let mut failure =
            early.map(|done| complaint(done).unwrap_or_else(|name| format!("{name} has ended")));
        if let Some(failure) = &failure {
            error!(context = "App", "{failure}");
        }
        info!(
            context = "App",
            "Ending: requests are answered, runs of modules are cut off and will run again"
        );
        let began = Instant::now();
        // By when each step is over.
        let ends = [limit / 10, limit / 2, limit * 4 / 5, limit];
        for (parts, limit) in self.steps.iter_mut().zip(ends) {
            parts.token.cancel();
            while let Some(done) = next(parts, began + limit).await {
                if let Ok(complaint) = complaint(done) {
                    error!(context = "App", "{complaint}");
                    failure.get_or_insert(complaint);
                }
            }
        }
        match failure {
            None => Ok(()),
            Some(failure) => Err(Report::failed(format!("the node has ended: {failure}"))),
        }
    }
}

/// What is to be said of a part's end; `Err` with its name if it ended well.
fn complaint(done: Result<Done, JoinError>) -> Result<String, Arc<str>> {
    match done {
        Ok((name, Ok(()))) => Err(name),
        Ok((name, Err(reason))) => Ok(format!("{name}: {reason}")),
        Err(error) if error.is_cancelled() => Err("a part".into()),
        Err(error) => Ok(format!("a part failed: {error}")),
    }
}

/// The next part that ends, before the deadline or cut off at it.
async fn next(parts: &mut Parts, deadline: Instant) -> Option<Result<Done, JoinError>> {
    let done = match tokio::time::timeout_at(deadline, parts.tasks.join_next()).await {
        Ok(done) => done,
        Err(_) => {
            if !parts.names.is_empty() {
                let names = parts.names.join(", ");
                error!(
                    context = "App",
                    "Did not end in time and is cut off: {names} (MCONN_SHUTDOWN_TIMEOUT)"
                );
                parts.names.clear();
            }
            parts.tasks.abort_all();
            parts.tasks.join_next().await
        }
    };
    if let Some(Ok((name, _))) = &done {
        parts.names.retain(|other| other != name);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parts_end_in_steps() {
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(cancel.clone());
        let (order, mut ended) = tokio::sync::mpsc::channel(4);
        let parts = [
            (Step::Storage, "store"),
            (Step::Intake, "web"),
            (Step::Work, "queue"),
            (Step::Handover, "lead"),
        ];
        for (step, name) in parts {
            let (token, order) = (supervisor.token(step), order.clone());
            supervisor.spawn(step, name, async move {
                token.cancelled().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
                order.send(name).await.map_err(|error| error.to_string())
            });
        }
        cancel.cancel();
        supervisor.join(Duration::from_secs(5)).await.unwrap();
        let mut names = Vec::new();
        while let Ok(name) = ended.try_recv() {
            names.push(name);
        }
        assert_eq!(names, ["lead", "web", "queue", "store"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_ends_the_node_and_one_that_hangs_is_cut_off() {
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(cancel.clone());
        supervisor.spawn(Step::Intake, "hangs", std::future::pending());
        supervisor.spawn(Step::Work, "queue", async { Err("the store is corrupt".to_owned()) });
        let report = supervisor.join(Duration::from_secs(5)).await.unwrap_err();
        assert!(report.text().contains("queue: the store is corrupt"), "{}", report.text());
        assert!(cancel.is_cancelled());
    }
}
