//! Scenarios: what happens to a simulated cluster, and when, as a file.
//!
//! ```text
//!   JSON --parse--> Scenario --expand loops--> steps in order of time
//!                                                  |
//!                     Player: (state, time, cluster) -> acts     pure: choices follow from the seed
//!                                                  |
//!                  shell (real time, all of it)  or  Rehearsal (virtual time, the cluster alone)
//! ```
//! `parse` reads and refuses, `action` is what a step can do, `player` decides what is due, `rehearsal` plays a scenario
//! without a clock, `ready` are the ones that are built in.

mod action;
mod parse;
mod player;
mod ready;
mod rehearsal;
#[cfg(test)]
mod tests;

pub use action::{Action, AgentChoice, StreamTrouble};
pub use parse::ScenarioError;
pub use player::{Act, Played, Player};
pub use ready::ready;
pub use rehearsal::{Rehearsal, Scene};

use crate::options::SimOptions;
use crate::profile::Profile;
use std::collections::BTreeMap;
use std::time::Duration;

/// One thing to do, at its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// When, from the beginning, before it is divided by the speed.
    pub at: Duration,
    /// Which step of the file: `3`, or `3.2` inside of another.
    pub step: String,
    /// What.
    pub action: Action,
}

/// A scenario that can be played.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name; empty if the file has none.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// The seed, if it asks for one.
    pub seed: Option<u64>,
    /// The name of the profile, if it asks for one.
    pub profile: Option<&'static str>,
    /// The speed, if it asks for one.
    pub speed: Option<f64>,
    /// The number of agents, if it asks for one.
    pub agents: Option<usize>,
    /// The agents' attributes.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// How long it is worth looking at; at least until its last step.
    pub length: Duration,
    /// All steps, loops unrolled, in order of time.
    pub steps: Vec<Timed>,
}

impl Scenario {
    /// The options it asks for, laid over `options`.
    #[must_use]
    pub fn options(&self, mut options: SimOptions) -> SimOptions {
        options.seed = self.seed.unwrap_or(options.seed);
        options.speed = self.speed.unwrap_or(options.speed);
        options.agents = self.agents.unwrap_or(options.agents);
        if let Some(profile) = self.profile.and_then(Profile::by_name) {
            options.profile = profile;
        }
        if !self.attributes.is_empty() {
            options.agent_attributes = self.attributes.clone();
        }
        options
    }

    /// The one that is built in under this name.
    #[must_use]
    pub fn ready(name: &str) -> Option<Scenario> {
        ready().find(|scenario| scenario.name == name)
    }
}
