//! What can go wrong, and in which order it does: drawn from a seed, so that a bad run can be repeated.

use std::fmt;
use std::time::Duration;

use mconn_zookeeper::testing::Link;
use tokio::time::sleep;

use super::cluster::{Cluster, NODES};
use super::network::Wire;
use super::trouble::Trouble;

/// In seconds.
const DAY: i64 = 86_400;

/// Something that goes wrong, and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of the leader, and a new process.
    KillLeader,
    /// kill -9 of another node, and a new process.
    KillFollower,
    /// kill -9 of all nodes at once.
    KillAll,
    /// The leader's process stands still, and goes on as if nothing had been.
    StopLeader,
    /// The same with another node.
    StopFollower,
    /// The leader is told to end (SIGTERM), and is started again.
    Terminate,
    /// The leader gives up the lead and stays.
    StepDown,
    /// Nothing passes between the leader and the ensemble.
    PartLeader,
    /// Nothing passes between another node and the ensemble.
    PartFollower,
    /// What the leader asks arrives, and no answer comes back.
    MuteLeader,
    /// The leader's connections break.
    CutLeader,
    /// The server that leads the ensemble is killed and started again.
    KillServer,
    /// The server that leads the ensemble stands still.
    StopServer,
    /// The ensemble loses its majority and gets it back.
    LoseQuorum,
    /// The leader dies while another node cannot reach the ensemble.
    KillLeaderAndPart,
    /// The disks of all servers are slow.
    SlowDisks,
    /// The leader's clock jumps by a day, and back.
    JumpLeader,
    /// The clocks of all servers jump by a day, and back.
    JumpServers,
    /// The leader reaches nobody at all. Only on a network, as all that follow.
    IsolateLeader,
    /// Another node reaches nobody at all.
    IsolateFollower,
    /// The leader reaches the ensemble, and nobody else reaches the leader.
    HideLeader,
}

impl Fault {
    /// All that need no network.
    pub const ALL: [Self; 18] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAll,
        Self::StopLeader,
        Self::StopFollower,
        Self::Terminate,
        Self::StepDown,
        Self::PartLeader,
        Self::PartFollower,
        Self::MuteLeader,
        Self::CutLeader,
        Self::KillServer,
        Self::StopServer,
        Self::LoseQuorum,
        Self::KillLeaderAndPart,
        Self::SlowDisks,
        Self::JumpLeader,
        Self::JumpServers,
    ];

    /// All that a network can suffer.
    pub const NETWORK: [Self; 6] = [
        Self::PartLeader,
        Self::PartFollower,
        Self::KillLeaderAndPart,
        Self::IsolateLeader,
        Self::IsolateFollower,
        Self::HideLeader,
    ];
}

/// One round of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// How long all is well before.
    pub before: Duration,
    /// What goes wrong.
    pub fault: Fault,
    /// For how long.
    pub lasts: Duration,
    /// Which node it is, of those that it may be.
    pub which: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} for {} ms, {} ms after the last",
            self.fault,
            self.lasts.as_millis(),
            self.before.as_millis()
        )
    }
}

/// So many rounds of these faults, always the same for one seed. Every fault comes once before any comes again. Half of them last
/// longer than a session.
#[must_use]
pub fn schedule(faults: &[Fault], seed: u64, rounds: usize, session: Duration) -> Vec<Round> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut deck = Vec::new();
    let mut drawn = Vec::with_capacity(rounds);
    while drawn.len() < rounds {
        if deck.is_empty() {
            deck = faults.to_vec();
            rng.shuffle(&mut deck);
        }
        let Some(fault) = deck.pop() else { continue };
        drawn.push(Round {
            before: Duration::from_millis(rng.u64(50..600)),
            fault,
            lasts: session.mul_f64(0.3 + 2.0 * rng.f64()),
            which: rng.usize(..NODES - 1),
        });
    }
    drawn
}

impl Cluster {
    /// Lets something go wrong, for its time, and mends it. What follows from it may go on.
    pub async fn suffer(&mut self, round: Round) {
        let Round { fault, lasts, which, .. } = round;
        let leader = self.leader().await;
        let follower = (leader + 1 + which) % NODES;
        match fault {
            Fault::KillLeader => self.killed(&[leader], lasts).await,
            Fault::KillFollower => self.killed(&[follower], lasts).await,
            Fault::KillAll => self.killed(&[leader, follower, (leader + 2 - which) % NODES], lasts).await,
            Fault::StopLeader => self.stopped(leader, lasts).await,
            Fault::StopFollower => self.stopped(follower, lasts).await,
            Fault::Terminate => {
                self.signal(leader, "TERM");
                assert_eq!(self.end(leader), 0, "a node that is told to end ends well");
                sleep(lasts).await;
                self.launch(leader);
            }
            Fault::StepDown => {
                // Any node passes it on.
                let answer = self.node(follower).api.send("POST", "/v1/exit/leader?keep=true", None).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            Fault::PartLeader => self.troubled(leader, Link::Frozen, lasts).await,
            Fault::PartFollower => self.troubled(follower, Link::Frozen, lasts).await,
            Fault::MuteLeader => self.troubled(leader, Link::Mute, lasts).await,
            Fault::CutLeader => self.troubled(leader, Link::Cut, lasts).await,
            Fault::KillServer => self.without_servers(1, lasts).await,
            Fault::StopServer => self.with_stopped_server(lasts).await,
            Fault::LoseQuorum => self.without_servers(usize::MAX, lasts).await,
            Fault::KillLeaderAndPart => {
                self.link(follower, Link::Frozen);
                self.killed(&[leader], lasts).await;
                self.link(follower, Link::Open);
            }
            Fault::SlowDisks => {
                // A few syncs within the time, each as long as a node may wait for an answer or longer.
                self.machines.iter().for_each(|server| server.disk(lasts / 3));
                sleep(lasts).await;
                self.machines.iter().for_each(|server| server.disk(Duration::ZERO));
            }
            Fault::JumpLeader => jumped(&[&self.node(leader).machine], which, lasts).await,
            Fault::JumpServers => jumped(&self.machines.iter().collect::<Vec<_>>(), which, lasts).await,
            Fault::IsolateLeader => self.pulled(leader, &[Wire::Ensemble, Wire::Others], lasts).await,
            Fault::IsolateFollower => self.pulled(follower, &[Wire::Ensemble, Wire::Others], lasts).await,
            Fault::HideLeader => self.pulled(leader, &[Wire::Others], lasts).await,
        }
    }

    async fn killed(&mut self, nodes: &[usize], lasts: Duration) {
        nodes.iter().for_each(|node| self.kill(*node));
        sleep(lasts).await;
        nodes.iter().for_each(|node| self.launch(*node));
    }

    async fn stopped(&mut self, node: usize, lasts: Duration) {
        self.signal(node, "STOP");
        sleep(lasts).await;
        self.signal(node, "CONT");
    }

    async fn pulled(&mut self, node: usize, wires: &[Wire], lasts: Duration) {
        wires.iter().for_each(|wire| self.network().pull(node, *wire));
        sleep(lasts).await;
        wires.iter().for_each(|wire| self.network().mend(node, *wire));
    }

    async fn troubled(&mut self, node: usize, link: Link, lasts: Duration) {
        self.link(node, link);
        sleep(lasts).await;
        self.link(node, Link::Open);
    }

    /// Kills so many servers, the leading one first, but no more than it takes to lose the majority.
    async fn without_servers(&mut self, count: usize, lasts: Duration) {
        let dead = self.servers_from_the_leading_one(count);
        tokio::task::block_in_place(|| dead.iter().for_each(|server| self.ensemble.kill(*server)));
        sleep(lasts).await;
        tokio::task::block_in_place(|| {
            dead.iter().for_each(|server| self.ensemble.restart(*server));
            self.ensemble.serve();
        });
    }

    async fn with_stopped_server(&mut self, lasts: Duration) {
        let stopped = self.servers_from_the_leading_one(1);
        stopped.iter().for_each(|server| self.ensemble.stop(*server));
        sleep(lasts).await;
        stopped.iter().for_each(|server| self.ensemble.cont(*server));
        tokio::task::block_in_place(|| self.ensemble.serve());
    }

    fn servers_from_the_leading_one(&self, count: usize) -> Vec<usize> {
        let servers = self.servers();
        let first = tokio::task::block_in_place(|| self.ensemble.leader()).unwrap_or_default();
        (0..count.min(servers.div_ceil(2))).map(|server| (first + server) % servers).collect()
    }
}

async fn jumped(machines: &[&Trouble], which: usize, lasts: Duration) {
    let jump = if which == 0 { DAY } else { -DAY };
    machines.iter().for_each(|machine| machine.clock(jump));
    sleep(lasts).await;
    machines.iter().for_each(|machine| machine.clock(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_its_seeds_and_leaves_nothing_out() {
        let second = Duration::from_secs(1);
        let drawn = schedule(&Fault::ALL, 7, 40, second);
        assert_eq!(drawn, schedule(&Fault::ALL, 7, 40, second));
        assert_ne!(drawn, schedule(&Fault::ALL, 8, 40, second));
        for hand in drawn.chunks_exact(Fault::ALL.len()) {
            let mut faults: Vec<_> = hand.iter().map(|round| round.fault).collect();
            faults.sort();
            assert_eq!(faults, Fault::ALL);
        }
        let long = drawn.iter().filter(|round| round.lasts > second).count();
        assert!((10..40).contains(&long), "{long}");
    }
}
