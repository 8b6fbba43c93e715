//! Which node is up and which one leads: a state machine of the nodes' processes and of their elections.
//!
//! ```text
//!   leads --- change, stop ---> electing --- election time ---> loading --- load time ---> leads
//!     ^                                                            |
//!     '--- with no node up there is nobody to elect: vacant <--- stop
//! ```
//! From 1.3.6 on the process of a leader that is one no more ends, and comes back after some seconds (spec/marathon.md
//! sections 1.1 and 8). Time is an argument, the dice are seeded.

mod profile;

pub use profile::NodeProfile;

use crate::options::{SimOptions, Span};
use crate::time::Time;
use std::time::Duration;

/// From losing the leadership to the end of the process, before it is divided by the speed.
const EXIT_AFTER: Duration = Duration::from_millis(500);

/// How long an election takes, in place of [`crate::Timeline`]'s times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ElectionTimes {
    /// Until a new leader is known.
    pub election: Option<Duration>,
    /// From then until it is ready; zero if only `election` is given.
    pub load: Option<Duration>,
}

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    /// There is no leader any more: its streams end.
    Lost,
    /// The node leads and is ready.
    Leads(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leadership {
    Leads(usize),
    Electing { until: Time, wanted: Option<usize>, old: Option<usize>, load: Option<Duration> },
    Loading { node: usize, until: Time },
    Vacant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    down: bool,
    stops: u32,
    /// Its process ends then.
    exit_at: Option<Time>,
    /// It is started again then.
    back_at: Option<Time>,
}

impl Node {
    /// It is up, and stays.
    fn come(&mut self) {
        *self = Node { stops: self.stops, ..Node::default() };
    }
}

/// What every node can know about the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Whether each node is up.
    pub(crate) up: Vec<bool>,
    /// How often the process of each has ended.
    pub(crate) stops: Vec<u32>,
    /// Who has been elected.
    pub(crate) leader: Option<usize>,
    /// Whether it serves requests already.
    pub(crate) ready: bool,
}

impl View {
    /// The node that serves requests.
    pub(crate) fn serving(&self) -> Option<usize> {
        self.leader.filter(|_| self.ready)
    }
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    rng: fastrand::Rng,
    nodes: Vec<Node>,
    leadership: Leadership,
    exits: bool,
    election: Span,
    load: Span,
    restart: Span,
    speed: f64,
}

impl Nodes {
    /// As many as the options say; the first one leads.
    pub(crate) fn new(options: &SimOptions) -> Nodes {
        let speed = if options.speed.is_finite() && options.speed > 0.0 { options.speed } else { 1.0 };
        Nodes {
            // Other dice than the cluster's, whose ids shall not depend on the number of nodes.
            rng: fastrand::Rng::with_seed(options.seed ^ 0x6e6f_6465_7300),
            nodes: vec![Node::default(); options.nodes.max(1)],
            leadership: Leadership::Leads(0),
            exits: options.profile.nodes.exits_on_loss,
            election: options.timeline.election,
            load: options.timeline.load,
            restart: options.timeline.node_restart,
            speed,
        }
    }

    pub(crate) fn view(&self) -> View {
        let (leader, ready) = match self.leadership {
            Leadership::Leads(node) => (Some(node), true),
            Leadership::Loading { node, .. } => (Some(node), false),
            Leadership::Electing { .. } | Leadership::Vacant => (None, false),
        };
        let up = self.nodes.iter().map(|node| !node.down).collect();
        let stops = self.nodes.iter().map(|node| node.stops).collect();
        View { up, stops, leader, ready }
    }

    /// Whether some node serves requests.
    pub(crate) fn is_led(&self) -> bool {
        matches!(self.leadership, Leadership::Leads(_))
    }

    /// When something happens by itself.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        let of_nodes = self.nodes.iter().flat_map(|node| node.exit_at.into_iter().chain(node.back_at));
        of_nodes.chain(self.leadership_due()).min()
    }

    fn leadership_due(&self) -> Option<Time> {
        match self.leadership {
            Leadership::Electing { until, .. } | Leadership::Loading { until, .. } => Some(until),
            Leadership::Leads(_) | Leadership::Vacant => None,
        }
    }

    /// The leader gives up, and `wanted` or another one follows it. A node that is alone is elected again at once
    /// unless `times` says otherwise, and its process stays.
    pub(crate) fn change(&mut self, now: Time, wanted: Option<usize>, times: ElectionTimes) -> Vec<Happened> {
        let mut happened = self.advance(now);
        let old = self.view().leader;
        let alone = self.nodes.len() == 1;
        if let Some(old) = old {
            happened.push(Happened::Lost);
            if self.exits && !alone {
                let exit = now.after(self.scaled(EXIT_AFTER));
                let back = exit.after(self.draw(self.restart));
                self.nodes[old].exit_at = Some(exit);
                self.nodes[old].back_at = Some(back);
            }
        }
        let times = if alone && times == ElectionTimes::default() {
            ElectionTimes { election: Some(Duration::ZERO), load: None }
        } else {
            times
        };
        self.elect(now, wanted, times);
        happened.extend(self.advance(now));
        happened
    }

    /// The node's process ends at once, for good or for a time.
    pub(crate) fn stop(&mut self, now: Time, node: usize, back_after: Option<Duration>) -> Vec<Happened> {
        let mut happened = self.advance(now);
        let back_at = back_after.map(|after| now.after(after));
        let Some(found) = self.nodes.get_mut(node) else { return happened };
        let stops = found.stops.wrapping_add(u32::from(!found.down));
        *found = Node { down: true, stops, exit_at: None, back_at };
        self.left(now, node, &mut happened);
        happened.extend(self.advance(now));
        happened
    }

    /// The node's process is started.
    pub(crate) fn start(&mut self, now: Time, node: usize) -> Vec<Happened> {
        let mut happened = self.advance(now);
        if self.nodes.get(node).is_some_and(|found| found.down) {
            self.came(now, node);
            happened.extend(self.advance(now));
        }
        happened
    }

    /// Does what is due up to `now`.
    pub(crate) fn advance(&mut self, now: Time) -> Vec<Happened> {
        let mut happened = Vec::new();
        while let Some(at) = self.wake_at().filter(|at| *at <= now) {
            if let Some(node) = self.nodes.iter().position(|node| node.exit_at == Some(at)) {
                self.nodes[node].exit_at = None;
                self.nodes[node].down = true;
                self.nodes[node].stops = self.nodes[node].stops.wrapping_add(1);
                self.left(at, node, &mut happened);
            } else if let Some(node) = self.nodes.iter().position(|node| node.back_at == Some(at)) {
                self.came(at, node);
            } else {
                self.go_on(at, &mut happened);
            }
        }
        happened
    }

    fn left(&mut self, now: Time, node: usize, happened: &mut Vec<Happened>) {
        if self.view().leader != Some(node) {
            return;
        }
        if self.view().ready {
            happened.push(Happened::Lost);
        }
        self.elect(now, None, ElectionTimes::default());
    }

    fn came(&mut self, now: Time, node: usize) {
        self.nodes[node].come();
        if self.leadership == Leadership::Vacant {
            self.elect(now, None, ElectionTimes::default());
        }
    }

    fn elect(&mut self, now: Time, wanted: Option<usize>, times: ElectionTimes) {
        let election = times.election.unwrap_or_else(|| self.draw(self.election));
        let load = times.load.or_else(|| times.election.map(|_| Duration::ZERO));
        let old = self.view().leader;
        self.leadership = Leadership::Electing { until: now.after(election), wanted, old, load };
    }

    /// The election or the loading is over.
    fn go_on(&mut self, now: Time, happened: &mut Vec<Happened>) {
        match self.leadership {
            Leadership::Electing { wanted, old, load, .. } => {
                let Some(node) = self.choose(wanted, old) else {
                    self.leadership = Leadership::Vacant;
                    return;
                };
                let load = load.unwrap_or_else(|| self.draw(self.load));
                self.leadership = Leadership::Loading { node, until: now.after(load) };
            }
            Leadership::Loading { node, .. } => {
                self.leadership = Leadership::Leads(node);
                happened.push(Happened::Leads(node));
            }
            Leadership::Leads(_) | Leadership::Vacant => {}
        }
    }

    /// The wanted one if it is up, else any that is up and stays; the old leader only if there is no other.
    fn choose(&mut self, wanted: Option<usize>, old: Option<usize>) -> Option<usize> {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|&node| !self.nodes[node].down).collect();
        if let Some(wanted) = wanted.filter(|wanted| up.contains(wanted)) {
            self.nodes[wanted].come();
            return Some(wanted);
        }
        let staying: Vec<usize> = up.into_iter().filter(|&node| self.nodes[node].exit_at.is_none()).collect();
        let others: Vec<usize> = staying.iter().copied().filter(|&node| Some(node) != old).collect();
        self.rng.choice(if others.is_empty() { staying } else { others })
    }

    fn draw(&mut self, span: Span) -> Duration {
        let (min, max) = (span.min.as_millis() as u64, span.max.as_millis() as u64);
        let drawn = if min >= max { min } else { self.rng.u64(min..=max) };
        self.scaled(Duration::from_millis(drawn))
    }

    fn scaled(&self, duration: Duration) -> Duration {
        Duration::try_from_secs_f64(duration.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nodes(count: usize) -> Nodes {
        Nodes::new(&SimOptions { nodes: count, ..SimOptions::default() })
    }

    const EXACT: ElectionTimes =
        ElectionTimes { election: Some(Duration::from_millis(100)), load: Some(Duration::from_millis(10)) };

    #[test]
    fn a_change_takes_its_times_and_the_loser_exits_and_comes_back() {
        let mut nodes = nodes(3);
        assert_eq!(nodes.change(Time(0), Some(2), EXACT), [Happened::Lost]);
        assert_eq!(nodes.view().leader, None);
        assert_eq!(nodes.advance(Time(99)), []);
        assert_eq!(nodes.advance(Time(100)), []);
        assert_eq!((nodes.view().leader, nodes.view().serving()), (Some(2), None));
        assert_eq!(nodes.advance(Time(110)), [Happened::Leads(2)]);
        assert_eq!(nodes.view().up, [true; 3]);
        assert_eq!(nodes.advance(Time(500)), []);
        assert_eq!((nodes.view().up, nodes.view().serving()), (vec![false, true, true], Some(2)));
        let back = nodes.wake_at().expect("it comes back");
        assert_eq!(nodes.advance(back), []);
        assert_eq!(nodes.view().up, [true; 3]);
        assert_eq!(nodes.wake_at(), None);
    }

    #[test]
    fn old_versions_keep_the_loser() {
        let mut options = SimOptions { nodes: 2, ..SimOptions::default() };
        options.profile.nodes = NodeProfile::since_0_10();
        let mut nodes = Nodes::new(&options);
        nodes.change(Time(0), Some(1), EXACT);
        assert_eq!(nodes.advance(Time(1_000_000)), [Happened::Leads(1)]);
        assert_eq!(nodes.view().up, [true; 2]);
    }

    #[test]
    fn one_node_is_elected_again_at_once() {
        let mut nodes = nodes(1);
        let happened = nodes.change(Time(5), None, ElectionTimes::default());
        assert_eq!(happened, [Happened::Lost, Happened::Leads(0)]);
        assert_eq!(nodes.change(Time(5), None, EXACT), [Happened::Lost]);
        assert_eq!(nodes.advance(Time(115)), [Happened::Leads(0)]);
    }

    #[test]
    fn without_any_node_there_is_nobody_to_elect() {
        let mut nodes = nodes(2);
        assert_eq!(nodes.stop(Time(0), 1, None), []);
        assert_eq!(nodes.stop(Time(0), 0, Some(Duration::from_millis(40_000))), [Happened::Lost]);
        assert_eq!(nodes.advance(Time(39_999)), []);
        assert_eq!(nodes.view().leader, None);
        let mut happened = Vec::new();
        while let Some(at) = nodes.wake_at() {
            happened.extend(nodes.advance(at));
        }
        assert_eq!(happened, [Happened::Leads(0)]);
        assert_eq!(nodes.start(Time(200_000), 1), []);
        assert_eq!((nodes.view().up, nodes.view().stops), (vec![true; 2], vec![1; 2]));
    }

    proptest! {
        /// Whatever is done: a leader is up, Lost and Leads alternate, and once left alone somebody leads.
        #[test]
        fn leadership_is_sane(
            count in 1..5_usize,
            steps in prop::collection::vec((0..4_u8, 0..5_usize, 0..20_000_u64), 0..60)
        ) {
            let mut nodes = nodes(count);
            let (mut now, mut leads) = (Time(0), true);
            let mut happened = Vec::new();
            for (step, node, wait) in steps {
                let node = node % count;
                happened.extend(match step {
                    0 => nodes.change(now, Some(node), ElectionTimes::default()),
                    1 => nodes.stop(now, node, None),
                    2 => nodes.start(now, node),
                    _ => nodes.advance(now),
                });
                let view = nodes.view();
                prop_assert!(view.leader.is_none_or(|leader| view.up[leader]));
                now = Time(now.0 + wait);
            }
            for node in 0..count {
                happened.extend(nodes.start(now, node));
            }
            happened.extend(nodes.advance(Time(now.0 + 10_000_000)));
            for happened in happened {
                match happened {
                    // A change during an election loses nothing.
                    Happened::Lost => leads = false,
                    Happened::Leads(_) => { prop_assert!(!leads); leads = true; }
                }
            }
            prop_assert!(leads && nodes.is_led() && nodes.view().serving().is_some());
        }
    }
}
