//! `/sim/`: what no Marathon has. The truth, scripted fates, and faults.

use super::fault::Fault;
use super::scenario;
use super::wire::{Request, Response};
use super::{Shared, answer, body_json, json, late, message, path_id};
use crate::cluster::{AgentFate, BusTrouble, Cluster, Command, Fate, PathId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Health {
    alive: Option<bool>,
    /// From now on probes succeed and fail in turn, each for so long.
    flap_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    ms: i64,
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

#[derive(Deserialize)]
struct Leader {
    leader: String,
}

#[derive(Deserialize)]
struct Fill {
    apps: u32,
    tasks: u32,
    /// The definition of each app; a bridged web server unless given.
    app: Option<Value>,
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Response> {
    serde_json::from_value(body_json(request)?).map_err(|error| message(422, &error.to_string()))
}

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    let found = match (request.method.as_str(), path) {
        ("GET", ["state"]) => Ok(state(shared).await),
        ("POST", ["tasks", id, fate @ ("fail" | "finish" | "lost" | "kill" | "return")]) => {
            let fate = match *fate {
                "fail" => Fate::Fail,
                "finish" => Fate::Finish,
                "lost" => Fate::Lose,
                "return" => Fate::Return,
                _ => Fate::Kill,
            };
            Ok(give(Command::EndTask { task: (*id).to_owned(), fate }, shared).await)
        }
        ("POST", ["tasks", id, "health"]) => set_health(request, id, shared).await,
        ("GET", ["agents"]) => Ok(late(shared.driver.query(Cluster::agents).await)),
        ("POST", ["agents", agent, fate]) => match AgentFate::by_name(fate) {
            Some(fate) => Ok(give(Command::ChangeAgent { agent: (*agent).to_owned(), fate }, shared).await),
            None => Err(message(404, "no such control")),
        },
        (_, ["scenario"]) => scenario::route(request, shared),
        (method, ["apps", app @ .., "behaviour"]) if !app.is_empty() => {
            behaviour(request, method, path_id(app), shared).await
        }
        ("POST", ["clock", "jump"]) => match read::<Jump>(request) {
            Ok(Jump { ms }) => Ok(give(Command::JumpClock { ms }, shared).await),
            Err(refused) => Err(refused),
        },
        ("POST", ["bus"]) => match read(request) {
            Ok(trouble) => Ok(give(Command::DisturbBus { trouble }, shared).await),
            Err(refused) => Err(refused),
        },
        ("DELETE", ["bus"]) => Ok(give(Command::DisturbBus { trouble: BusTrouble::default() }, shared).await),
        ("POST", ["events"]) => raw_event(request, shared).await,
        ("POST", ["streams", "close"]) => {
            shared.driver.close_streams().await;
            Ok(done())
        }
        ("POST", ["streams", "stall"]) => read::<Switch>(request).map(|switch| {
            shared.stall(switch.on);
            done()
        }),
        ("POST", ["fault"]) => read::<Fault>(request).map(|fault| set_fault(fault, shared)),
        ("GET", ["fault"]) => Ok(json(serde_json::to_string(&shared.fault()).unwrap_or_default())),
        ("DELETE", ["fault"]) => Ok(set_fault(Fault::default(), shared)),
        ("POST", ["leader", "change"]) => change_leader(request, shared).await,
        ("POST", ["fill"]) => fill(request, shared).await,
        _ => return Some(message(404, "no such control")),
    };
    Some(found.unwrap_or_else(|refused| refused))
}

pub(super) fn done() -> Response {
    json("{}".to_owned())
}

async fn give(command: Command, shared: &Shared) -> Response {
    answer(shared.driver.command(command).await, None)
}

async fn state(shared: &Shared) -> Response {
    let streams = shared.driver.count_streams().await;
    match shared.driver.query(move |cluster| cluster.state_json(streams)).await {
        Ok(state) => json(state),
        Err(late) => answer(late, None),
    }
}

async fn set_health(request: &Request, task: &str, shared: &Shared) -> Result<Response, Response> {
    let Health { alive, flap_ms } = read(request)?;
    Ok(give(Command::FlapHealth { task: task.to_owned(), alive, flap_ms }, shared).await)
}

async fn behaviour(
    request: &Request,
    method: &str,
    app: PathId,
    shared: &Shared,
) -> Result<Response, Response> {
    let behaviour = match method {
        "GET" => return Ok(late(shared.driver.query(move |cluster| cluster.behaviour(&app)).await)),
        "DELETE" => None,
        "POST" => Some(read(request)?),
        _ => return Err(message(405, "method is not supported")),
    };
    Ok(give(Command::SetBehaviour { app, behaviour }, shared).await)
}

async fn raw_event(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let body = body_json(request)?;
    Ok(give(Command::RawEvent { body }, shared).await)
}

fn set_fault(fault: Fault, shared: &Shared) -> Response {
    if !fault.is_valid() {
        return message(422, "status has to be from 200 to 599");
    }
    shared.set_fault(fault);
    done()
}

async fn change_leader(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let Leader { leader } = read(request)?;
    Ok(give(Command::ChangeLeader { leader }, shared).await)
}

async fn fill(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let Fill { apps, tasks, app } = read(request)?;
    Ok(give(Command::Fill { apps, tasks, template: app }, shared).await)
}
