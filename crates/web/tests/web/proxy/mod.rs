//! Followers: what they pass on to the leader and how, and what they do without one.

mod passing;
mod seats;
mod trouble;

use std::net::SocketAddr;
use std::time::Duration;

use mconn_web::{Leader, Member, Position, Seat};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::client::Connection;
use crate::node::{Node, Setup};

/// What a follower is called.
pub(crate) const FOLLOWER: &str = "follower.example:1";

/// Another node as the leader.
pub(crate) fn leader(address: SocketAddr, epoch: u64) -> Leader {
    Leader { authority: address.to_string(), url: format!("http://{address}"), epoch: Some(epoch) }
}

/// A seat of the follower of the tests.
pub(crate) fn seat(position: Position) -> Seat {
    let led_by = position.leader().map_or("leader.example:1", |leader| &leader.authority).to_owned();
    let member = |name: &str, authority: &str, leads: bool| Member {
        name: name.to_owned(),
        authority: authority.to_owned(),
        version: leads.then(|| "0.1.0".to_owned()),
        is_self: authority == FOLLOWER,
        leads,
    };
    let leads = position.leader().is_some();
    Seat {
        position,
        members: [member("m1", &led_by, leads), member("m2", FOLLOWER, false)].into(),
        apart: None,
    }
}

pub(crate) fn behind(address: SocketAddr) -> Seat {
    seat(Position::following(leader(address, 1)))
}

pub(crate) fn vacant() -> Seat {
    seat(Position::vacant("the last one went"))
}

/// A node that does not lead, and what decides about that.
pub(crate) async fn follower(first: Seat, setup: Setup) -> (Node, watch::Sender<Seat>) {
    let (seats, seat) = watch::channel(first);
    let authority = FOLLOWER.to_owned();
    (Node::with(Setup { seat: Some(seat), authority, ..setup }).await, seats)
}

/// One that waits no longer for a leader than it takes to say so.
pub(crate) fn impatient() -> Setup {
    let mut setup = Setup::default();
    setup.limits.leader_wait = Duration::from_millis(50);
    setup
}

/// A leader and one that follows it.
pub(crate) async fn pair() -> (Node, Node, watch::Sender<Seat>) {
    let leader = Node::start().await;
    let (follower, seats) = follower(behind(leader.address), Setup::default()).await;
    (leader, follower, seats)
}

/// A leader that does what the test says, byte by byte.
pub(crate) struct Scripted(TcpListener);

impl Scripted {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next request on a new connection: its head, and what can be answered on.
    pub(crate) async fn asked(&self) -> (String, Connection) {
        let mut connection = Connection::from(self.0.accept().await.unwrap().0);
        let request = connection.request().await;
        (request, connection)
    }
}

/// The lines of a request's head that begin with this name.
pub(crate) fn lines<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let named = |line: &&str| line.split(':').next().is_some_and(|given| given.eq_ignore_ascii_case(name));
    head.lines().skip(1).filter(named).map(|line| line.split_once(':').unwrap().1.trim()).collect()
}
