//! From a file to steps in order of time, or to a message that names the step and the field.

use super::{Action, Scenario, Timed};
use crate::profile::Profile;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Steps with all loops unrolled. Each is some hundred bytes; more is a typing error.
const STEPS_MAX: usize = 100_000;
/// Steps in steps.
const DEPTH_MAX: usize = 4;
/// The latest step: a week.
const TIME_MAX: Duration = Duration::from_secs(7 * 86_400);
/// What is worth looking at after the last step, unless the file says otherwise.
const AFTERMATH: Duration = Duration::from_secs(60);

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no JSON, or its frame is wrong.
    #[error("the scenario cannot be read")]
    Frame(#[from] serde_json::Error),
    /// A field of the frame has an impossible value.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A step is wrong.
    #[error("step {step}: {what}")]
    Step {
        /// Counted from 1; `3.2` is the second one inside of the third.
        step: String,
        /// What is wrong, with the field.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Frame {
    #[serde(default)]
    name: String,
    #[serde(default)]
    about: String,
    seed: Option<u64>,
    profile: Option<String>,
    speed: Option<f64>,
    agents: Option<usize>,
    #[serde(default)]
    attributes: BTreeMap<String, Vec<String>>,
    length: Option<Value>,
    steps: Vec<Value>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong and in which step.
    pub fn parse(text: &[u8]) -> Result<Scenario, ScenarioError> {
        let frame: Frame = serde_json::from_slice(text)?;
        let field = |field, what: String| ScenarioError::Field { field, what };
        let profile = match &frame.profile {
            None => None,
            Some(name) => {
                let known = Profile::by_name(name).map(|profile| profile.name);
                Some(known.ok_or_else(|| field("profile", format!("there is no profile \"{name}\"")))?)
            }
        };
        if frame.speed.is_some_and(|speed| !(speed.is_finite() && speed > 0.0)) {
            return Err(field("speed", "has to be above 0".into()));
        }
        if frame.agents == Some(0) {
            return Err(field("agents", "there has to be one".into()));
        }
        let mut steps = Vec::new();
        unroll(&frame.steps, "", Duration::ZERO, 1, &mut steps)?;
        // Stable: steps of the same time stay in the order of the file.
        steps.sort_by_key(|step| step.at);
        let last = steps.last().map_or(Duration::ZERO, |step| step.at);
        let length = match &frame.length {
            None => last + AFTERMATH,
            Some(value) => duration(value).map_err(|what| field("length", what))?.max(last),
        };
        Ok(Scenario {
            name: frame.name,
            about: frame.about,
            seed: frame.seed,
            profile,
            speed: frame.speed,
            agents: frame.agents,
            attributes: frame.attributes,
            length,
            steps,
        })
    }
}

/// `500`, `"500ms"`, `"1.5s"`, `"2m"`, `"1h"`
fn duration(value: &Value) -> Result<Duration, String> {
    let wrong = || format!("{value} is no time: write milliseconds, or \"500ms\", \"12s\", \"2m\", \"1h\"");
    let (number, unit) = match value {
        Value::Number(number) => (number.as_f64().ok_or_else(wrong)?, 0.001),
        Value::String(text) => {
            let at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
            let unit = match &text[at..] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
            (text[..at].trim().parse::<f64>().map_err(|_| wrong())?, unit)
        }
        _ => return Err(wrong()),
    };
    let found = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
    if found > TIME_MAX { Err(format!("{value} is more than a week")) } else { Ok(found) }
}

/// One step without its loops.
struct Step<'a> {
    at: Duration,
    every: Duration,
    times: u64,
    name: &'a str,
    body: &'a Value,
}

fn read<'a>(step: &'a Map<String, Value>) -> Result<Step<'a>, String> {
    let time = |key: &str| match step.get(key) {
        None => Ok(None),
        Some(value) => duration(value).map(Some).map_err(|what| format!("{key}: {what}")),
    };
    let at = time("at")?.unwrap_or(Duration::ZERO);
    let every = time("every")?;
    let times = match step.get("times") {
        None if every.is_some() => return Err("every needs times: how often?".into()),
        None => 1,
        Some(value) => {
            value.as_u64().filter(|times| *times > 0).ok_or("times: has to be a number above 0")?
        }
    };
    if times > 1 && every.is_none() {
        return Err("times needs every: how far apart?".into());
    }
    let mut actions =
        step.iter().filter(|(key, _)| !matches!(key.as_str(), "at" | "every" | "times" | "note"));
    let (name, body) = actions.next().ok_or("there is no action beside at, every, times and note")?;
    if let Some((other, _)) = actions.next() {
        return Err(format!("has two actions, {name} and {other}: make it two steps"));
    }
    Ok(Step { at, every: every.unwrap_or_default(), times, name, body })
}

fn unroll(
    steps: &[Value],
    prefix: &str,
    start: Duration,
    depth: usize,
    found: &mut Vec<Timed>,
) -> Result<(), ScenarioError> {
    for (index, value) in steps.iter().enumerate() {
        let number = format!("{prefix}{}", index + 1);
        let wrong = |what: String| ScenarioError::Step { step: number.clone(), what };
        let map = value.as_object().ok_or_else(|| wrong("has to be an object".into()))?;
        let step = read(map).map_err(wrong)?;
        let inner = if step.name == "steps" {
            Some(step.body.as_array().ok_or_else(|| wrong("steps: has to be an array".into()))?)
        } else {
            None
        };
        if inner.is_some() && depth >= DEPTH_MAX {
            return Err(wrong(format!("more than {DEPTH_MAX} steps inside of each other")));
        }
        let action = match inner {
            Some(_) => None,
            None => Some(action(step.name, step.body).map_err(wrong)?),
        };
        for round in 0..step.times {
            let later = u32::try_from(round).ok().and_then(|round| step.every.checked_mul(round));
            let at = later.and_then(|later| start.checked_add(step.at)?.checked_add(later));
            let at = at.filter(|at| *at <= TIME_MAX).ok_or_else(|| wrong("is later than a week".into()))?;
            match (&action, inner) {
                (Some(action), _) => {
                    found.push(Timed { at, step: number.clone(), action: action.clone() });
                }
                (None, Some(inner)) => unroll(inner, &format!("{number}."), at, depth + 1, found)?,
                (None, None) => {}
            }
            if found.len() > STEPS_MAX {
                return Err(wrong(format!("more than {STEPS_MAX} steps in all")));
            }
        }
    }
    Ok(())
}

fn action(name: &str, body: &Value) -> Result<Action, String> {
    let tagged = Map::from_iter([(name.to_owned(), body.clone())]);
    let action: Action =
        serde_json::from_value(Value::Object(tagged)).map_err(|error| format!("{name}: {error}"))?;
    let fault = match &action {
        Action::Bus(Some(trouble)) => trouble.fault(),
        Action::Behaviour { set: Some(behaviour), .. } => behaviour.fault(),
        Action::Fault(Some(fault)) => fault.check().err(),
        Action::Health { alive: None, flap_ms: None, .. } => Some("either alive or flapMs has to be given"),
        _ => None,
    };
    fault.map_or(Ok(action), |fault| Err(format!("{name}: {fault}")))
}
