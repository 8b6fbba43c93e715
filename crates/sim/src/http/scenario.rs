//! Plays scenarios in real time, and `/sim/scenario`.

use super::control::done;
use super::wire::{Request, Response};
use super::{Common, Shared, json, message};
use crate::cluster::Answer;
use crate::scenario::{Act, Played, Player, Scenario, StreamTrouble};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Problems that are kept for whoever asks; the oldest go first.
const PROBLEMS_MAX: usize = 100;

/// What is to be played, and how far it has got.
#[derive(Debug)]
pub(super) struct Stage {
    wanted: watch::Sender<Option<Arc<Scenario>>>,
    report: Mutex<Report>,
}

#[derive(Debug, Default)]
struct Report {
    name: String,
    played: usize,
    steps: usize,
    problems: VecDeque<String>,
}

impl Default for Stage {
    fn default() -> Self {
        Stage { wanted: watch::channel(None).0, report: Mutex::default() }
    }
}

impl Stage {
    /// Plays this one from now on, instead of whatever was playing; none ends it.
    pub(super) fn play(&self, scenario: Option<Scenario>) {
        let name = scenario.as_ref().map(|scenario| scenario.name.clone()).unwrap_or_default();
        let steps = scenario.as_ref().map_or(0, |scenario| scenario.steps.len());
        *self.report() = Report { name, steps, ..Report::default() };
        self.wanted.send_replace(scenario.map(Arc::new));
    }

    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET /sim/scenario`
    pub(super) fn state(&self) -> Value {
        let report = self.report();
        json!({ "name": report.name, "played": report.played, "steps": report.steps,
            "done": report.played == report.steps, "problems": report.problems })
    }

    fn note(&self, step: &str, problem: &str) {
        tracing::warn!(step, problem, "a step of the scenario did not do what it should");
        let mut report = self.report();
        if report.problems.len() >= PROBLEMS_MAX {
            report.problems.pop_front();
        }
        report.problems.push_back(format!("step {step}: {problem}"));
    }
}

/// Plays what is wanted until the simulation ends.
pub(crate) async fn perform(shared: Arc<Common>) {
    let mut wanted = shared.stage.wanted.subscribe();
    loop {
        let scenario = wanted.borrow_and_update().clone();
        let play = async {
            if let Some(scenario) = scenario {
                play(&scenario, &shared).await;
            }
            // Until another one is wanted.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            changed = wanted.changed() => if changed.is_err() { return },
            () = play => {}
        }
    }
}

async fn play(scenario: &Scenario, shared: &Common) {
    let seed = scenario.seed.unwrap_or(shared.options.seed);
    let mut player = Player::new(scenario, seed, shared.options.speed);
    let started = Instant::now();
    while let Some(at) = player.next_at() {
        let Some(due) = started.checked_add(at) else { return };
        sleep_until(due).await;
        let elapsed = started.elapsed();
        // The player decides with the cluster at hand, where the cluster is.
        let decided = shared.driver.query(move |cluster| {
            let played = player.next(elapsed, cluster);
            (player, played)
        });
        let Ok((back, played)) = decided.await else {
            shared.stage.note("-", "the simulation is too busy to go on with the scenario");
            return;
        };
        player = back;
        if let Some(played) = played {
            act(played, shared).await;
        }
        shared.stage.report().played = player.progress().0;
    }
}

async fn act(played: Played, shared: &Common) {
    if played.missed {
        shared.stage.note(&played.step, "no task, agent or deployment fits");
    }
    for act in played.acts {
        match act {
            Act::Command(command) => {
                let answer = shared.driver.command(command).await;
                if let Some(problem) = problem(&answer) {
                    shared.stage.note(&played.step, &problem);
                }
            }
            Act::Fault(fault) => {
                if let Err(problem) = shared.faults().set(vec![fault]) {
                    shared.stage.note(&played.step, problem);
                }
            }
            Act::Streams(StreamTrouble::Close) => shared.driver.close_streams().await,
            Act::Streams(trouble) => shared.stall(trouble == StreamTrouble::Stall),
            Act::Say(line) => tracing::info!(step = %played.step, "{line}"),
        }
    }
}

fn problem(answer: &Answer) -> Option<String> {
    let body = answer.body.as_deref().unwrap_or_default();
    (!answer.is_success()).then(|| format!("{} {body}", answer.status))
}

/// `POST`: a scenario, or `{"name": ...}` for one that is built in. `GET`: how far it has got. `DELETE`: ends it.
pub(super) fn route(request: &Request, shared: &Shared) -> Result<Response, Response> {
    match request.method.as_str() {
        "GET" => Ok(json(shared.stage.state().to_string())),
        "DELETE" => {
            shared.stage.play(None);
            Ok(done())
        }
        "POST" => {
            let scenario = wanted(&request.body)?;
            shared.stage.play(Some(scenario));
            Ok(json(shared.stage.state().to_string()))
        }
        _ => Err(message(405, "method is not supported")),
    }
}

fn wanted(body: &[u8]) -> Result<Scenario, Response> {
    let named = serde_json::from_slice::<Value>(body).ok().filter(|value| value.get("steps").is_none());
    if let Some(name) = named.as_ref().and_then(|value| value.get("name")).and_then(Value::as_str) {
        return Scenario::ready(name)
            .ok_or_else(|| message(404, &format!("no scenario \"{name}\" is built in")));
    }
    Scenario::parse(body).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        message(422, &format!("{error}{cause}"))
    })
}
