//! A scenario played with the cluster alone, in virtual time: hours in milliseconds, the same each time.

use super::{Act, Played, Player, Scenario};
use crate::cluster::{Cluster, Effect, Step, Ticket};
use crate::options::SimOptions;
use crate::time::Time;
use std::time::Duration;

/// What happened at one time.
#[derive(Debug, Clone)]
pub struct Scene {
    /// When.
    pub at: Time,
    /// The step that was played, if one was.
    pub played: Option<Played>,
    /// What the cluster had to say: events and answers, among others.
    pub effects: Vec<Effect>,
}

/// A cluster and a player that share a virtual clock.
#[derive(Debug)]
pub struct Rehearsal {
    cluster: Cluster,
    player: Player,
    started: Time,
    ends: Time,
    ticket: Ticket,
}

impl Rehearsal {
    /// Begins at `start` with what the scenario asks for, and `options` for the rest.
    #[must_use]
    pub fn new(scenario: &Scenario, options: SimOptions, start: Time) -> Rehearsal {
        let options = scenario.options(options);
        let speed = if options.speed.is_finite() && options.speed > 0.0 { options.speed } else { 1.0 };
        let length =
            Duration::try_from_secs_f64(scenario.length.as_secs_f64() / speed).unwrap_or(Duration::MAX);
        Rehearsal {
            cluster: Cluster::new(&options, start),
            player: Player::new(scenario, options.seed, options.speed),
            started: start,
            ends: start.after(length),
            ticket: 0,
        }
    }

    /// The cluster as it is now.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn perform(&mut self, now: Time, played: &Played) -> Vec<Effect> {
        let mut effects = Vec::new();
        for act in &played.acts {
            // Requests and streams are the shell's; here there are none that could go wrong.
            if let Act::Command(command) = act {
                self.ticket += 1;
                effects.extend(self.cluster.apply(now, self.ticket, command.clone()).effects);
            }
        }
        effects
    }
}

impl Iterator for Rehearsal {
    type Item = Scene;

    fn next(&mut self) -> Option<Scene> {
        let step_at = self.player.next_at().map(|at| self.started.after(at));
        let due = [self.cluster.wake_at(), step_at].into_iter().flatten().min()?;
        if due > self.ends {
            return None;
        }
        let Step { mut effects, .. } = self.cluster.advance(due);
        // Whole milliseconds, as time stamps are: a step at a fraction is due at the millisecond it lies in.
        let elapsed = due.since(self.started) + Duration::from_micros(999);
        let played = self.player.next(elapsed, &self.cluster);
        if let Some(played) = &played {
            effects.extend(self.perform(due, played));
        }
        Some(Scene { at: due, played, effects })
    }
}
