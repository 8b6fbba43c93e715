//! What a node does with a request that another one has to answer (spec/marathon.md section 1.1).

use super::finish::{finish, harm};
use super::wire::{Request, Response};
use super::{Outcome, Shared, handle, html, segments};
use crate::faults::Damage;
use std::time::Duration;
use tokio::time::timeout;

/// How long a request is held while there is no leader: ten tries, one every 250 ms.
const LEADER_TIME: Duration = Duration::from_millis(2500);
/// How long a request waits for a free one of the connections to the leader (`--leader_proxy_connection_timeout`).
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the leader may take (`--leader_proxy_read_timeout`).
const READ_TIME: Duration = Duration::from_secs(10);

const VIA: &str = "x-marathon-via";

/// Who has to answer.
pub(super) enum Duty {
    /// This node.
    Own,
    /// The leader, this one.
    Leader(usize),
    /// Nobody can; the answer says why.
    Nobody(Response),
}

/// Finds out who has to answer, and waits for a leader if there is none.
pub(super) async fn duty(request: &Request, shared: &Shared) -> Duty {
    if is_own(request) {
        return Duty::Own;
    }
    let profile = shared.options.profile.nodes;
    let mut view = shared.driver.view();
    let serving = if profile.answers_without_leader {
        view.borrow().serving()
    } else {
        let known = timeout(LEADER_TIME, view.wait_for(|view| view.serving().is_some())).await;
        known.ok().and_then(Result::ok).and_then(|view| view.serving())
    };
    match serving {
        Some(leader) if leader == shared.node => Duty::Own,
        None if profile.answers_without_leader => Duty::Own,
        None => Duty::Nobody(html(profile.unavailable_status, "Could not determine the current leader")),
        Some(_) if passed_here(request, shared) => Duty::Nobody(html(502, "Detected proxying loop.")),
        Some(leader) => Duty::Leader(leader),
    }
}

/// What every node answers itself, leader or not.
fn is_own(request: &Request) -> bool {
    let path = segments(&request.path);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] | ["ping" | "metrics"] | ["v2", "info"] => true,
        ["v2", "leader"] => request.method != "DELETE",
        _ => false,
    }
}

fn passed_here(request: &Request, shared: &Shared) -> bool {
    let here = via(shared);
    request.header(VIA).flat_map(|value| value.split(',')).any(|part| part.trim() == here)
}

fn via(shared: &Shared) -> String {
    format!("1.1 {}", shared.addr)
}

/// The leader's answer, through this node.
pub(super) async fn forward(request: &Request, leader: usize, shared: &Shared, damage: &Damage) -> Outcome {
    let profile = shared.options.profile.nodes;
    let events = super::is_events(request);
    if events && profile.redirects_events {
        return redirect(request, shared, damage).await;
    }
    let failed = async |status, why: &'static str| {
        let (response, manner) = finish(html(status, why), request, shared, damage).await;
        Outcome::Answer(response, manner)
    };
    let Ok(Ok(slot)) = timeout(CONNECT_TIME, shared.ports[shared.node].proxied.clone().acquire_owned()).await
    else {
        return failed(profile.timeout_status, "Timed out waiting for a connection to the leader.").await;
    };
    let mut passed_on = request.clone();
    passed_on.headers.push((VIA.to_owned(), via(shared)));
    passed_on.headers.push(("x-forwarded-for".to_owned(), request.client_ip.clone()));
    passed_on.client_ip = shared.addr.ip().to_string();
    let leader = shared.at(leader);
    // The leader answers within its own node, so what goes wrong there goes wrong here, too.
    let answered = timeout(READ_TIME, Box::pin(handle(&passed_on, &leader, true))).await;
    match answered {
        Ok(Outcome::Answer(mut response, mut manner)) => {
            response.headers.push(("X-Marathon-Via", via(shared)));
            harm(&mut response, &mut manner, damage);
            Outcome::Answer(response, manner)
        }
        Ok(Outcome::Stream(mut stream)) => {
            if profile.leader_header {
                stream.headers.push(("X-Marathon-Via", via(shared)));
            }
            stream.slot = Some(slot);
            Outcome::Stream(stream)
        }
        Ok(Outcome::Reset) => failed(profile.unavailable_status, "Connection to leader refused.").await,
        Ok(Outcome::Hang) => {
            tokio::time::sleep(READ_TIME).await;
            failed(profile.timeout_status, "Timed out waiting for the leader.").await
        }
        Err(_) => failed(profile.timeout_status, "Timed out waiting for the leader.").await,
    }
}

async fn redirect(request: &Request, shared: &Shared, damage: &Damage) -> Outcome {
    let leader = shared.driver.query(|cluster| cluster.leader().to_owned()).await.unwrap_or_default();
    let mut location = format!("{}://{leader}/v2/events", shared.scheme());
    if !request.raw_query.is_empty() {
        location.push('?');
        location.push_str(&request.raw_query);
    }
    let response = Response::new(302, "text/plain", "").with("Location", location);
    let (response, manner) = finish(response, request, shared, damage).await;
    Outcome::Answer(response, manner)
}

/// Sends the client back to where it came from.
pub(super) fn loop_back(request: &Request, shared: &Shared) -> Response {
    let query = if request.raw_query.is_empty() { String::new() } else { format!("?{}", request.raw_query) };
    Response::new(302, "text/plain", "")
        .with("Location", format!("{}{}{query}", shared.base_url(), request.path))
}
