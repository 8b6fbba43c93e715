//! Scenarios of the simulated Marathon: finding them, listing them, and playing one without a clock.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use mconn_sim::cluster::Effect;
use mconn_sim::scenario::{Rehearsal, Scenario, ready};
use mconn_sim::{SimOptions, Time};

use crate::cli::SimArgs;
use crate::report::Report;

/// The scenario that the command line asks for. What the command line says otherwise wins over what is in it.
pub(crate) fn wanted(args: &SimArgs) -> Result<Option<Scenario>, Report> {
    let Some(name) = &args.scenario else { return Ok(None) };
    let mut scenario = match Scenario::ready(name) {
        Some(scenario) => scenario,
        None => read(Path::new(name))?,
    };
    scenario.seed = args.seed.or(scenario.seed);
    scenario.speed = args.speed.or(scenario.speed);
    scenario.agents = args.agents.map(std::num::NonZero::get).or(scenario.agents);
    if args.profile.is_some() {
        scenario.profile = None;
    }
    if !args.agent_attribute.is_empty() {
        scenario.attributes = BTreeMap::new();
    }
    Ok(Some(scenario))
}

fn read(file: &Path) -> Result<Scenario, Report> {
    let text = std::fs::read(file).map_err(|error| {
        Report::usage(format!("cannot read the scenario {}", file.display()))
            .because(&error)
            .hint(format!("built in are: {}", names()))
    })?;
    Scenario::parse(&text).map_err(|error| {
        Report::usage(format!("{} is no scenario", file.display()))
            .because(&error)
            .hint("docs/simulator.md lists what a step can do")
    })
}

fn names() -> String {
    ready().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ")
}

/// `--list-scenarios`
pub(crate) fn list() -> String {
    let width = ready().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let line = |scenario: Scenario| {
        let seconds = scenario.length.as_secs();
        format!("{:width$}  {:>2}:{:02}  {}\n", scenario.name, seconds / 60, seconds % 60, scenario.about)
    };
    ready().map(line).collect()
}

/// `--rehearse`: the events of a scenario, without waiting for them. The first time stamp is that of today's start, so
/// that two runs of one day are the same byte for byte.
pub(crate) fn rehearse(scenario: &Scenario, options: SimOptions, out: &mut dyn Write) -> std::io::Result<()> {
    const DAY_MS: u64 = 86_400_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(0);
    for scene in Rehearsal::new(scenario, options, Time(now - now % DAY_MS)) {
        for effect in &scene.effects {
            if let Effect::Event(event) = effect {
                writeln!(out, "{}", event.body)?;
            }
        }
        if let Some(played) = scene.played.filter(|played| played.missed) {
            tracing::warn!(step = played.step, "no task, agent or deployment fits");
        }
    }
    out.flush()
}
