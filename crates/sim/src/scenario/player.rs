//! Decides what is due. It has no clock and touches nothing: time and cluster are arguments, acts are the result.

use super::{Action, AgentChoice, Scenario, StreamTrouble, Timed};
use crate::cluster::{
    AgentFate, BusTrouble, Caller, Cluster, Command, Fate, KillTarget, PathId, Pick, PickState,
};
use crate::http::Fault;
use serde_json::json;
use std::time::Duration;

/// What somebody has to do.
#[derive(Debug, Clone)]
pub enum Act {
    /// Give the cluster this command.
    Command(Command),
    /// Let requests go wrong; the default is that they do not.
    Fault(Fault),
    /// Do this to the event streams.
    Streams(StreamTrouble),
    /// Log this line.
    Say(String),
}

/// A step that is due.
#[derive(Debug, Clone)]
pub struct Played {
    /// Which step of the file.
    pub step: String,
    /// What it comes to now; nothing if no task or agent fits.
    pub acts: Vec<Act>,
    /// Whether nothing fitted what it asks for.
    pub missed: bool,
}

/// A scenario on its way.
#[derive(Debug)]
pub struct Player {
    steps: Vec<Timed>,
    next: usize,
    speed: f64,
    rng: fastrand::Rng,
}

impl Player {
    /// At the beginning. Choices follow from `seed`; times are divided by `speed`.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64, speed: f64) -> Player {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        // The cluster draws from a generator with the same seed; the two must not walk in step.
        let rng = fastrand::Rng::with_seed(seed ^ 0x5ce4_a510_5eed_0001);
        Player { steps: scenario.steps.clone(), next: 0, speed, rng }
    }

    /// When the next step is due, from the beginning.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        let at = self.steps.get(self.next)?.at;
        Some(Duration::try_from_secs_f64(at.as_secs_f64() / self.speed).unwrap_or(Duration::MAX))
    }

    /// How many steps have been played, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.next, self.steps.len())
    }

    /// The next step, if it is due after `elapsed`. Its acts have to be done before the next call, as choices depend on
    /// what is there.
    pub fn next(&mut self, elapsed: Duration, cluster: &Cluster) -> Option<Played> {
        self.next_at().filter(|at| *at <= elapsed)?;
        let Timed { step, action, .. } = self.steps.get(self.next)?.clone();
        self.next += 1;
        let acts = self.acts(action, cluster);
        Some(Played { step, missed: acts.is_empty(), acts })
    }

    fn tasks(&mut self, pick: &Pick, cluster: &Cluster) -> Vec<String> {
        let rng = &mut self.rng;
        cluster.pick(pick, &mut |below| rng.usize(..below.max(1)))
    }

    fn end(&mut self, pick: &Pick, fate: Fate, cluster: &Cluster) -> Vec<Act> {
        let tasks = self.tasks(pick, cluster).into_iter();
        tasks.map(|task| Act::Command(Command::EndTask { task, fate })).collect()
    }

    fn agents(&mut self, which: AgentChoice, fate: AgentFate, cluster: &Cluster) -> Vec<Act> {
        let fitting = cluster.agent_ids(fate != AgentFate::Return);
        let chosen = match which {
            AgentChoice::Named(name) => vec![name],
            AgentChoice::All => fitting,
            AgentChoice::Any if fitting.is_empty() => Vec::new(),
            AgentChoice::Any => {
                let at = self.rng.usize(..fitting.len());
                fitting.into_iter().skip(at).take(1).collect()
            }
        };
        chosen.into_iter().map(|agent| Act::Command(Command::ChangeAgent { agent, fate })).collect()
    }

    fn acts(&mut self, action: Action, cluster: &Cluster) -> Vec<Act> {
        let command = match action {
            Action::CreateApp(body) => {
                Command::CreateApp { body, force: false, caller: caller("/v2/apps", None) }
            }
            Action::PutApp { id, app, force, partial } => update(id, app, force, partial),
            Action::Scale { id, instances, force } => {
                update(id, json!({ "instances": instances }), force, true)
            }
            Action::DeleteApp { id, force } => {
                let caller = Caller::default();
                Command::DeleteApp { id, force, caller }
            }
            Action::Restart { id, force } => Command::RestartApp { id, force },
            Action::CreatePod(body) => {
                Command::CreatePod { body, force: false, caller: caller("/v2/pods", None) }
            }
            Action::PutPod { id, pod, force } => {
                let caller = caller("/v2/pods", Some(&id));
                Command::UpdatePod { id, body: pod, force, caller }
            }
            Action::DeletePod { id, force } => {
                let caller = caller("/v2/pods", Some(&id));
                Command::DeletePod { id, force, caller }
            }
            Action::PutGroup { id, group, force } => {
                Command::UpdateGroup { id, body: group, force, dry_run: false, must_be_new: false }
            }
            Action::DeleteGroup { id, force } => Command::DeleteGroup { id, force },
            Action::Kill { tasks, scale, wipe } => {
                let ids = self.tasks(&tasks, cluster);
                if ids.is_empty() {
                    return Vec::new();
                }
                Command::KillTasks { target: KillTarget::Ids(ids), scale, wipe, force: true }
            }
            Action::CancelDeployment { of, force } => match cluster.deployment_of(&of) {
                Some(id) => Command::CancelDeployment { id, force },
                None => return Vec::new(),
            },
            Action::ResetDelay { id } => Command::ResetDelay { id },
            Action::Fail(pick) => return self.end(&pick, Fate::Fail, cluster),
            Action::Finish(pick) => return self.end(&pick, Fate::Finish, cluster),
            Action::Lose(pick) => return self.end(&pick, Fate::Lose, cluster),
            Action::Return(mut pick) => {
                pick.state = PickState::Lost;
                return self.end(&pick, Fate::Return, cluster);
            }
            Action::Health { tasks, alive, flap_ms } => {
                let tasks = self.tasks(&tasks, cluster).into_iter();
                return tasks
                    .map(|task| Act::Command(Command::FlapHealth { task, alive, flap_ms }))
                    .collect();
            }
            Action::Behaviour { app, set } => Command::SetBehaviour { app, behaviour: set },
            Action::Agent { which, fate } => return self.agents(which, fate, cluster),
            Action::LeaderChange { leader } => {
                Command::ChangeLeader { leader: leader.unwrap_or_else(|| cluster.leader().to_owned()) }
            }
            Action::Fault(fault) => return vec![Act::Fault(fault.unwrap_or_default())],
            Action::Streams(trouble) => return vec![Act::Streams(trouble)],
            Action::Bus(trouble) => {
                Command::DisturbBus { trouble: trouble.unwrap_or_else(BusTrouble::default) }
            }
            Action::ClockJump { ms } => Command::JumpClock { ms },
            Action::Fill { apps, tasks, app } => Command::Fill { apps, tasks, template: app },
            Action::Event(body) => Command::RawEvent { body },
            Action::Say(line) => return vec![Act::Say(line)],
        };
        vec![Act::Command(command)]
    }
}

fn caller(path: &str, id: Option<&PathId>) -> Caller {
    let uri = id.map_or_else(|| path.to_owned(), |id| format!("{path}{id}"));
    Caller { client_ip: "127.0.0.1".into(), uri }
}

fn update(id: PathId, body: serde_json::Value, force: bool, partial: bool) -> Command {
    let caller = caller("/v2/apps", Some(&id));
    Command::UpdateApp { id, body, force, partial, create: true, caller }
}
