//! What people and machines do to the cluster, by seed: eight minutes of it, then nothing any more.

use std::time::Duration;

use mconn_sim::cluster::{Caller, Command, Fate, KillTarget, PathId};
use serde_json::{Value, json};

use super::apps;
use super::weather::until_next;
use super::world::{CALM, Item, World};

/// What the story keeps in mind.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Mean time between two things.
    pace: Duration,
    leaders: u64,
}

impl World {
    pub(super) fn begin_story(&mut self) {
        self.story.pace = Duration::from_secs(self.rng.u64(2..=8));
        let first = self.rng.usize(3..=6);
        for id in apps::IDS.iter().take(first) {
            self.create(id);
        }
        self.plan(Duration::from_secs(5), Item::Story);
        if let Some(mean) = self.weather.stream_ends {
            let at = until_next(&mut self.rng, mean);
            self.plan(at, Item::EndStream);
        }
        if let Some(mean) = self.weather.elections {
            let at = until_next(&mut self.rng, mean);
            self.plan(at, Item::Election);
        }
    }

    pub(super) fn go_on_with_story(&mut self) {
        if self.now >= CALM {
            return;
        }
        self.do_something();
        // Things come in bursts, as when somebody deploys and something breaks.
        let pause =
            if self.rng.u8(..4) == 0 { Duration::from_millis(self.rng.u64(..300)) } else { self.story.pace };
        let at = until_next(&mut self.rng, pause.max(Duration::from_millis(1)));
        self.plan(at, Item::Story);
    }

    fn do_something(&mut self) {
        match self.rng.u8(..24) {
            0..=1 => {
                let id = apps::IDS[self.rng.usize(..apps::IDS.len())];
                self.create(id);
            }
            2..=6 => self.scale(),
            7..=10 => self.update(),
            11 => self.restart(),
            12 => self.delete(),
            13..=15 => self.kill(),
            16..=17 => self.end_a_task(Fate::Fail, "task crashed"),
            18..=20 => self.sicken(),
            21..=22 => self.end_a_task(Fate::Lose, "task unreachable"),
            _ => self.cancel_deployment(),
        }
    }

    fn caller() -> Caller {
        Caller { client_ip: "10.0.0.9".into(), uri: "/v2/apps".into() }
    }

    fn create(&mut self, id: &str) {
        let body = apps::definition(&mut self.rng, id);
        let dying =
            self.truth.open.iter().any(|at| self.truth.tasks[*at].alive && self.truth.tasks[*at].app == id);
        let known = self.wanted().iter().any(|(known, _)| known == id);
        if !known {
            self.coverage.note(if dying {
                "app created anew while its old tasks die"
            } else {
                "app created"
            });
        }
        self.log(&format!("POST {body}"));
        self.command(Command::CreateApp {
            body,
            force: self.now.as_millis().is_multiple_of(2),
            caller: Self::caller(),
        });
    }

    /// The apps that are not being deleted, with the number of tasks that exist.
    fn wanted(&self) -> Vec<(String, usize)> {
        let kept = self.cluster.app_glances().filter(|app| !app.deleted);
        let count = |id: &str| {
            let open = self.truth.open.iter().map(|at| &self.truth.tasks[*at]);
            open.filter(|task| task.alive && !task.decommissioned && task.app == id).count()
        };
        kept.map(|app| (app.id.as_str().to_owned(), count(app.id.as_str()))).collect()
    }

    fn some_app(&mut self) -> Option<(String, usize)> {
        let wanted = self.wanted();
        (!wanted.is_empty()).then(|| wanted[self.rng.usize(..wanted.len())].clone())
    }

    fn put(&mut self, id: &str, body: Value, force: bool) {
        self.log(&format!("PUT {id} {body} force={force}"));
        let id = PathId::lenient(id);
        self.command(Command::UpdateApp {
            id,
            body,
            force,
            partial: true,
            create: false,
            caller: Self::caller(),
        });
    }

    fn force(&mut self) -> bool {
        let force = self.rng.u8(..3) == 0;
        if force {
            self.coverage.note("app updated by force");
        }
        force
    }

    fn scale(&mut self) {
        let Some((id, count)) = self.some_app() else { return };
        let wanted = self.rng.usize(0..=6);
        self.coverage.note(if wanted < count { "app scaled down" } else { "app scaled up" });
        let force = self.force();
        self.put(&id, json!({ "instances": wanted }), force);
    }

    /// More tasks exist than are wanted.
    pub(super) fn is_scaling_down(&self) -> bool {
        let dying = |at: &usize| self.truth.tasks[*at].alive && self.truth.tasks[*at].decommissioned;
        self.truth.open.iter().any(dying)
    }

    fn update(&mut self) {
        let Some((id, _)) = self.some_app() else { return };
        let body = match self.rng.u8(..8) {
            0 => {
                self.coverage.note("app with other checks");
                json!({ "healthChecks": apps::checks(&mut self.rng) })
            }
            1 => {
                self.coverage.note("app with other ports");
                apps::other_ports(&mut self.rng)
            }
            2 => json!({ "labels": { "HAPROXY_GROUP": "internal", "n": self.rng.u8(..).to_string() } }),
            _ => json!({ "cmd": format!("run {}", self.rng.u8(..)) }),
        };
        self.coverage.note("app updated");
        let force = self.force();
        self.put(&id, body, force);
    }

    fn restart(&mut self) {
        let Some((id, _)) = self.some_app() else { return };
        self.coverage.note("app restarted");
        let force = self.force();
        self.log(&format!("POST {id}/restart force={force}"));
        self.command(Command::RestartApp { id: PathId::lenient(&id), force });
    }

    fn delete(&mut self) {
        if self.rng.u8(..4) == 0 {
            self.coverage.note("group deleted");
            let group = ["/shop", "/jobs", "/shop/x"][self.rng.usize(..3)];
            self.log(&format!("DELETE group {group}"));
            return self.command(Command::DeleteGroup { id: PathId::lenient(group), force: true });
        }
        let Some((id, _)) = self.some_app() else { return };
        self.coverage.note("app deleted");
        self.log(&format!("DELETE {id}"));
        self.command(Command::DeleteApp { id: PathId::lenient(&id), force: true, caller: Caller::default() });
        if self.rng.bool() {
            // Somebody wants it back at once.
            let body = apps::definition(&mut self.rng, &id);
            self.coverage.note("app created anew while its old tasks die");
            self.log(&format!("POST {body}"));
            self.command(Command::CreateApp { body, force: true, caller: Self::caller() });
        }
    }

    fn some_task(&mut self) -> Option<String> {
        let alive: Vec<usize> =
            self.truth.open.iter().copied().filter(|at| self.truth.tasks[*at].alive).collect();
        let at = *alive.get(self.rng.usize(..alive.len().max(1)))?;
        Some(self.truth.tasks[at].id.as_str().to_owned())
    }

    fn kill(&mut self) {
        let Some(task) = self.some_task() else { return };
        let scale = self.rng.bool();
        self.coverage.note(if scale { "task killed and scaled" } else { "task killed" });
        self.log(&format!("kill {task} scale={scale}"));
        let target = KillTarget::Ids(vec![task]);
        self.command(Command::KillTasks { target, scale, wipe: false, force: false });
    }

    fn end_a_task(&mut self, fate: Fate, name: &str) {
        let Some(task) = self.some_task() else { return };
        self.coverage.note(name);
        self.log(&format!("{name}: {task}"));
        self.command(Command::EndTask { task, fate });
    }

    /// A task stops answering its checks, for a while.
    fn sicken(&mut self) {
        let Some(task) = self.some_task() else { return };
        self.coverage.note("task unhealthy");
        self.log(&format!("unhealthy: {task}"));
        self.command(Command::SetHealth { task: task.clone(), alive: false });
        let while_ill = Duration::from_millis(self.rng.u64(1000..40_000));
        self.plan(while_ill, Item::Recover(task));
    }

    pub(super) fn recover(&mut self, task: String) {
        self.log(&format!("healthy: {task}"));
        self.command(Command::SetHealth { task, alive: true });
    }

    fn cancel_deployment(&mut self) {
        let body = self.cluster.deployments().body.unwrap_or_default();
        let plans: Value = serde_json::from_str(&body).unwrap_or_default();
        let Some(id) = plans[0]["id"].as_str() else { return };
        self.coverage.note("deployment cancelled");
        let force = self.rng.bool();
        self.log(&format!("DELETE deployment {id} force={force}"));
        self.command(Command::CancelDeployment { id: id.to_owned(), force });
    }

    pub(super) fn lose_stream(&mut self) {
        let Some(mean) = self.weather.stream_ends else { return };
        let silently = self.rng.u8(..4) == 0;
        self.break_stream(silently);
        let at = until_next(&mut self.rng, mean);
        self.plan(at, Item::EndStream);
    }

    /// The leader is gone. Its streams end, or nobody hears of its end; a new one needs time.
    pub(super) fn hold_election(&mut self) {
        let Some(mean) = self.weather.elections else { return };
        let silently = self.rng.u8(..4) == 0;
        self.break_stream(silently);
        let away = Duration::from_millis(if self.rng.bool() {
            self.rng.u64(..500)
        } else {
            self.rng.u64(5000..30_000)
        });
        self.coverage.note("Marathon away");
        self.log(&format!("Marathon is away for {away:?}"));
        self.away_until = self.now + away;
        self.truth.hinder(self.away_until);
        self.plan(away, Item::Elected);
        let at = until_next(&mut self.rng, mean) + away;
        self.plan(at, Item::Election);
    }

    pub(super) fn elect(&mut self) {
        self.coverage.note("leader changed");
        if self.cluster.app_glances().any(|app| app.deploying) {
            self.coverage.note("leader changed while deploying");
        }
        if self.truth.open.iter().any(|at| self.truth.tasks[*at].is_untested()) {
            self.coverage.note("leader changed while tasks have passed no check yet");
        }
        self.story.leaders += 1;
        let leader = format!("10.0.0.{}:8080", 1 + self.story.leaders % 3);
        self.log(&format!("{leader} leads"));
        self.command(Command::ChangeLeader { leader });
    }

    /// Everything that was broken is repaired.
    pub(super) fn calm(&mut self) {
        self.log("calm");
        self.weather.calm();
        self.truth.hinder(self.now);
        let open: Vec<String> =
            self.truth.open.iter().map(|at| self.truth.tasks[*at].id.as_str().to_owned()).collect();
        for task in open {
            self.command(Command::SetHealth { task, alive: true });
        }
    }
}
