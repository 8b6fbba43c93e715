//! Whether the leader's process still runs. ZooKeeper says so too, but only when the session is over: seconds later, and with its
//! own rounding of up to a tick and a half. The system knows at once.
//!
//! ```text
//!   leader <--- event stream of the node itself --- its successor in line
//!      |                                                 |
//!    kill -9:  the stream breaks off without its end,    +--> and then nobody listens on the port: dead
//! ```
//!
//! Only the successor looks, so there is one such stream however many nodes there are. Silence says nothing: a host that is gone or
//! cut off, or a process that stands still, is left to ZooKeeper. So is a node that ends in order, which ends its streams. Being wrong
//! costs a change of the lead and nothing else, as every write carries the epoch.

use std::io;
use std::time::Duration;

use mconn_leadership::{Leadership, MemberName, NodeAddress, Role};
use mconn_wire::http::{Credentials, HttpClient, HttpError, HttpSettings, Request, StatusCode};
use mconn_zookeeper::election::ElectionHandle;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use url::Url;

/// Catalog events are every node's own, and few.
const STREAM: &str = "/v1/events?types=catalog";
/// For a connection, and for the head of an answer: on a network of our own both take a millisecond.
const CONNECT: Duration = Duration::from_secs(2);
/// A stream says every 15 s that it is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// Before the next look at a leader whose stream has ended, or was not to be had.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a port must refuse before its process counts as dead, and the pause before each. One that was restarted listens again
/// after a moment.
const REFUSALS: u32 = 3;
const REFUSAL_PAUSE: Duration = Duration::from_millis(30);

/// The leader that this node would follow, if it would.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leader {
    name: MemberName,
    address: NodeAddress,
}

impl Leader {
    fn of(view: &Leadership) -> Option<Self> {
        let leader = view.leader.as_ref().filter(|leader| !leader.is_self && leader.epoch.is_some())?;
        let own = view.members.iter().position(|member| Some(member.name) == view.member)?;
        let before = view.members.get(own.checked_sub(1)?)?;
        let is_next = view.role == Role::Following && before.name == leader.name;
        is_next.then(|| Self { name: leader.name, address: leader.address.clone() })
    }
}

/// Looks for as long as this node is not about to end.
pub(super) async fn keep(
    election: ElectionHandle,
    credentials: Option<Credentials>,
    token: CancellationToken,
) -> Result<(), String> {
    let settings = HttpSettings { connect_timeout: CONNECT, ..HttpSettings::default() };
    let client = HttpClient::new(&settings).map_err(|error| error.to_string())?;
    let mut view = election.view();
    while !token.is_cancelled() {
        let leader = Leader::of(&view.borrow_and_update());
        tokio::select! {
            () = token.cancelled() => {}
            () = another(&mut view, leader.as_ref()) => {}
            () = ended(&client, credentials.as_ref(), leader.as_ref()) => {
                let Some(leader) = leader else { continue };
                let NodeAddress { host, port, .. } = &leader.address;
                warn!(
                    context = "ZookeeperHandler",
                    "The process of the leader \"{host}:{port}\" has ended: taking over without waiting for its session"
                );
                election.dead(leader.name).await;
                // Once is enough; if it comes to nothing, the session decides.
                let told = Some(leader);
                tokio::select! {
                    () = token.cancelled() => {}
                    () = another(&mut view, told.as_ref()) => {}
                }
            }
        }
    }
    Ok(())
}

/// Waits until there is another leader to look after than this one.
async fn another(view: &mut watch::Receiver<Leadership>, leader: Option<&Leader>) {
    while Leader::of(&view.borrow_and_update()).as_ref() == leader {
        if view.changed().await.is_err() {
            // The election has ended, and so will this node.
            return std::future::pending().await;
        }
    }
}

/// Waits until this leader's process has ended.
async fn ended(client: &HttpClient, credentials: Option<&Credentials>, leader: Option<&Leader>) {
    let stream = leader.and_then(|leader| Url::parse(&leader.address.url).ok()?.join(STREAM).ok());
    let (Some(stream), Some(leader)) = (stream, leader) else { return std::future::pending().await };
    loop {
        let request = Request {
            accept: "text/event-stream",
            credentials: credentials.cloned(),
            deadline: CONNECT,
            ..Request::get(stream.clone())
        };
        if breaks_off(client, request).await && refuses(&leader.address.host, leader.address.port).await {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Reads a stream until it is over. Whether it was there and then broke off.
async fn breaks_off(client: &HttpClient, request: Request) -> bool {
    let Ok(mut answer) = client.open(request).await else { return false };
    if answer.status != StatusCode::OK {
        return false;
    }
    loop {
        match answer.body.chunk_within(SILENCE).await {
            Ok(Some(_)) => {}
            Err(HttpError::Broken { .. }) => return true,
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Whether nobody listens there, although the host answers.
async fn refuses(host: &str, port: u16) -> bool {
    for _ in 0..REFUSALS {
        sleep(REFUSAL_PAUSE).await;
        let tried = timeout(CONNECT, TcpStream::connect((host, port))).await;
        if !matches!(tried, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
