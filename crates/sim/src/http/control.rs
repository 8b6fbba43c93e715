//! `/sim/`: what no Marathon has. The truth, scripted fates, and faults.

use super::fault::Fault;
use super::scenario;
use super::wire::{Request, Response};
use super::{Shared, answer, body_json, json, late, message, path_id};
use crate::cluster::{AgentFate, BusTrouble, Cluster, Command, Fate, PathId};
use crate::driver::NodeChange;
use crate::nodes::ElectionTimes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long a node may take to listen again.
const LISTEN_TIME: Duration = Duration::from_secs(5);

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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Leader {
    /// A node's number or address; any other name is one that the leader goes by from now on.
    leader: Option<NodeName>,
    election_ms: Option<u64>,
    load_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NodeName {
    Number(usize),
    Name(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Stop {
    for_ms: Option<u64>,
}

/// What `POST /sim/fault` takes: one, or several at once.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
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
        ("POST", ["fault"]) => set_faults(request, shared),
        ("GET", ["fault"]) => Ok(json(serde_json::to_string(&shared.faults().all()).unwrap_or_default())),
        ("DELETE", ["fault"]) => {
            Ok(shared.faults().set(Vec::new()).map_or_else(|why| message(422, why), |()| done()))
        }
        ("POST", ["tokens", "expire"]) if shared.expire_tokens() => Ok(done()),
        ("POST", ["tokens", "expire"]) => {
            Ok(message(422, "there are no tokens: the simulator was started without DC/OS"))
        }
        ("GET", ["nodes"]) => Ok(nodes(shared)),
        ("POST", ["nodes", node, "stop"]) => stop_node(request, node, shared).await,
        ("POST", ["nodes", node, "start"]) => match node_number(node, shared) {
            Ok(node) => change_nodes(NodeChange::Start(node), shared).await,
            Err(refused) => Err(refused),
        },
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

fn set_faults(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let faults = match read(request)? {
        OneOrMore::More(faults) => faults,
        OneOrMore::One(fault) => vec![fault],
    };
    let faults: Result<Vec<Fault>, _> = faults.into_iter().map(serde_json::from_value).collect();
    let faults = faults.map_err(|error| message(422, &error.to_string()))?;
    shared.faults().set(faults).map_err(|why| message(422, why))?;
    Ok(done())
}

fn nodes(shared: &Shared) -> Response {
    let view = shared.driver.view();
    let view = view.borrow();
    let of = |(node, port): (usize, &super::Port)| {
        json!({ "node": node, "address": port.addr.to_string(), "up": view.up[node], "stops": view.stops[node],
            "elected": view.leader == Some(node), "ready": view.serving() == Some(node) })
    };
    let all: Vec<Value> = shared.ports.iter().enumerate().map(of).collect();
    json(Value::Array(all).to_string())
}

fn node_number(text: &str, shared: &Shared) -> Result<usize, Response> {
    let number = text.parse().ok().filter(|&number| number < shared.ports.len());
    number.ok_or_else(|| message(404, &format!("there is no node {text}; they are numbered from 0")))
}

/// Carries it out, and waits until listeners are as they shall be.
async fn change_nodes(change: NodeChange, shared: &Shared) -> Result<Response, Response> {
    shared.driver.change_nodes(change).await.map_err(|late| answer(late, None))?;
    if timeout(LISTEN_TIME, shared.settle()).await.is_err() {
        return Err(message(503, "a node does not listen yet: its port is in use"));
    }
    Ok(done())
}

async fn stop_node(request: &Request, node: &str, shared: &Shared) -> Result<Response, Response> {
    let node = node_number(node, shared)?;
    let Stop { for_ms } = if request.body.is_empty() { Stop::default() } else { read(request)? };
    let others = shared.driver.view().borrow().up.iter().enumerate().any(|(other, up)| *up && other != node);
    if !others && for_ms.is_none() {
        let why = "no node would be left to start it again; forMs brings it back by itself after a time";
        return Err(message(409, why));
    }
    change_nodes(NodeChange::Stop { node, back_after: for_ms.map(Duration::from_millis) }, shared).await
}

async fn change_leader(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let Leader { leader, election_ms, load_ms } = read(request)?;
    let times = ElectionTimes {
        election: election_ms.map(Duration::from_millis),
        load: load_ms.map(Duration::from_millis),
    };
    let wanted = match leader {
        None => None,
        Some(NodeName::Number(number)) => Some(node_number(&number.to_string(), shared)?),
        Some(NodeName::Name(name)) => {
            match shared.ports.iter().position(|port| port.addr.to_string() == name) {
                Some(node) => Some(node),
                None if times == ElectionTimes::default() => {
                    return change_nodes(NodeChange::Rename(name), shared).await;
                }
                None => return Err(message(422, "only one of the nodes can be elected; see /sim/nodes")),
            }
        }
    };
    change_nodes(NodeChange::Leader { wanted, times }, shared).await
}

async fn fill(request: &Request, shared: &Shared) -> Result<Response, Response> {
    let Fill { apps, tasks, app } = read(request)?;
    Ok(give(Command::Fill { apps, tasks, template: app }, shared).await)
}
