//! Random commands: whatever is asked for, the cluster keeps its books straight and comes to rest.

use super::*;

impl Cluster {
    /// What holds at any time.
    fn assert_consistent(&self) {
        let mut held: BTreeSet<(usize, u16)> = BTreeSet::new();
        for (id, ghost) in &self.ghosts {
            assert!(!self.instances.contains_key(id), "{id} is known and unknown");
            for port in &ghost.host_ports {
                assert!(
                    held.insert((ghost.agent.expect("an agent"), *port)),
                    "a ghost's port {port} is held twice"
                );
            }
        }
        for (id, instance) in &self.instances {
            assert_eq!(*id, instance.id);
            assert_eq!(
                instance.lost.is_some(),
                matches!(instance.condition, Condition::Unreachable | Condition::UnreachableInactive),
                "{id}"
            );
            let containers = instance.def.pod.as_ref().map_or(0, |pod| pod.containers.len());
            assert_eq!(instance.containers.len(), containers, "{id}");
            assert!(self.by_app[&instance.app].contains(id), "{id} is not listed for its app");
            assert!(!instance.dying || instance.condition.has_task(), "{id} is dying without a task");
            for port in &instance.host_ports {
                let agent = instance.agent.expect("ports belong to an agent");
                assert!(held.insert((agent, *port)), "port {port} is held twice");
            }
        }
        let listed: usize = self.by_app.values().map(BTreeSet::len).sum();
        assert_eq!(listed, self.instances.len());
        for (id, app) in &self.apps {
            assert_eq!(*id, app.def.id);
            assert!(
                app.def.service_ports().iter().all(|port| *port != 0),
                "{id} has an unassigned service port"
            );
        }
        let mut locked = BTreeSet::new();
        for deployment in &self.deployments {
            for app in deployment.original.keys() {
                assert!(locked.insert(app), "{app} is changed by two deployments");
            }
        }
    }
}

fn random_pod(rng: &mut fastrand::Rng) -> Value {
    json!({"id": "/g/pod", "scaling": {"instances": rng.u32(..4)}, "networks": [{"mode": "container", "name": "n"}],
        "containers": [{"name": "a", "labels": {"x": rng.u8(..2).to_string()}, "endpoints": [{"name": "e", "hostPort": 0}],
            "healthCheck": {"tcp": {"endpoint": "e"}, "intervalSeconds": 1, "delaySeconds": 1}}, {"name": "b"}]})
}

/// What is not asked of Marathon, and pods.
fn random_fate(rng: &mut fastrand::Rng, task: String) -> Command {
    let (force, caller) = (rng.bool(), Caller::default());
    let pod = PathId::lenient("/g/pod");
    match rng.u8(..10) {
        0 => Command::CreatePod { body: random_pod(rng), force, caller },
        1 | 2 => Command::UpdatePod { id: pod, body: random_pod(rng), force, caller },
        3 if rng.bool() => Command::DeletePod { id: pod, force, caller },
        4 => {
            let fates = [AgentFate::Lose, AgentFate::Return, AgentFate::Drain];
            Command::ChangeAgent { agent: format!("10.0.0.{}", rng.u8(21..24)), fate: fates[rng.usize(..3)] }
        }
        5 => Command::FlapHealth { task, alive: Some(rng.bool()), flap_ms: Some(rng.u64(1..3000)) },
        6 => {
            let behaviour = json!({"startMs": rng.u32(..2000), "crashAfterMs": rng.bool().then(|| rng.u32(..3000)),
                "addressMs": rng.bool().then(|| rng.u32(..2000)), "killMs": rng.u32(..3000)});
            let behaviour = serde_json::from_value(behaviour).expect("a behaviour");
            Command::SetBehaviour { app: PathId::lenient("/a"), behaviour: Some(behaviour) }
        }
        7 => Command::JumpClock { ms: rng.i64(-100_000..100_000) },
        8 => {
            let trouble = json!({"reorderMs": rng.u32(..500), "duplicatePercent": rng.u8(..50)});
            Command::DisturbBus { trouble: serde_json::from_value(trouble).expect("trouble") }
        }
        _ => Command::EndTask { task, fate: [Fate::Lose, Fate::Return, Fate::Fail][rng.usize(..3)] },
    }
}

fn random_command(rng: &mut fastrand::Rng, tasks: &[Value], deployment: Option<String>) -> Command {
    let names = ["/a", "/b", "/g/c", "/g/h/d"];
    let id = PathId::lenient(names[rng.usize(..names.len())]);
    let task = match tasks {
        [] => "none".to_owned(),
        tasks => tasks[rng.usize(..tasks.len())]["id"].as_str().expect("an id").to_owned(),
    };
    let (force, scale) = (rng.bool(), rng.bool());
    let body = json!({"id": id, "cmd": format!("run {}", rng.u8(..3)), "instances": rng.u32(..5),
        "upgradeStrategy": {"minimumHealthCapacity": rng.f64(), "maximumOverCapacity": rng.f64()},
        "healthChecks": if rng.bool() { json!([{"protocol": "HTTP", "intervalSeconds": 1, "gracePeriodSeconds": 1}]) } else { json!([]) }});
    let caller = Caller::default();
    match rng.u8(..15) {
        0..=3 => Command::UpdateApp { id, body, force, partial: rng.bool(), create: true, caller },
        4 => Command::CreateApp { body, force, caller },
        5 => Command::DeleteApp { id, force, caller },
        6 => Command::RestartApp { id, force },
        7 => Command::KillTasks { target: KillTarget::Ids(vec![task]), scale, wipe: false, force },
        8 => Command::EndTask {
            task,
            fate: [Fate::Fail, Fate::Finish, Fate::Lose, Fate::Kill][rng.usize(..4)],
        },
        9 => Command::SetHealth { task, alive: rng.bool() },
        10 => Command::UpdateGroup {
            id: PathId::lenient("/g"),
            body: json!({"apps": [{"id": "c", "cmd": "x"}], "groups": []}),
            force,
            dry_run: false,
            must_be_new: false,
        },
        11 => Command::DeleteGroup { id: PathId::lenient("/g"), force },
        12 => Command::CancelDeployment { id: deployment.unwrap_or_default(), force },
        13 => Command::ChangeLeader { leader: "l:1".into() },
        _ => Command::UpdateApps { body: json!([body]), force, partial: true, create: true },
    }
}

#[test]
fn random_commands_leave_a_consistent_cluster() {
    let mut succeeded = 0;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let profiles = Profile::all();
        // Every other seed is the default; the others go through all versions.
        let profile =
            if seed % 2 == 0 { Profile::default() } else { profiles[seed as usize / 2 % profiles.len()] };
        let mut bench =
            Bench::new(&SimOptions { seed, profile, task_killing: rng.bool(), ..SimOptions::default() });
        for _ in 0..60 {
            let deployment = bench.cluster.deployments.first().map(|found| found.plan.id.clone());
            let known = bench.cluster.state()["tasks"].as_array().expect("a list").clone();
            let command = if rng.u8(..3) == 0 && !known.is_empty() {
                let task = known[rng.usize(..known.len())]["id"].as_str().expect("an id").to_owned();
                random_fate(&mut rng, task)
            } else {
                random_command(&mut rng, &bench.tasks(), deployment)
            };
            bench.give(command);
            bench.cluster.assert_consistent();
            bench.pass(Duration::from_millis(rng.u64(..1500)));
            bench.cluster.assert_consistent();
        }
        // Agents are there and probes succeed again, so that everything can come to rest.
        bench.give(Command::SetBehaviour { app: PathId::lenient("/a"), behaviour: None });
        for number in 21..24 {
            bench.give(Command::ChangeAgent { agent: format!("10.0.0.{number}"), fate: AgentFate::Return });
        }
        let known = bench.cluster.state()["tasks"].as_array().expect("a list").clone();
        for task in known {
            let task = task["id"].as_str().expect("an id").to_owned();
            bench.give(Command::SetHealth { task: task.clone(), alive: true });
            // Single tasks that were lost are back, too; the others refuse.
            bench.give(Command::EndTask { task, fate: Fate::Return });
        }
        bench.pass(Duration::from_secs(3600));
        bench.cluster.assert_consistent();
        assert_eq!(bench.answers.len() as u64, bench.ticket, "every command is answered");
        assert_eq!(bench.cluster.deployments().body.as_deref(), Some("[]"), "seed {seed}");
        let orphan =
            bench.cluster.instances.values().find(|found| !bench.cluster.apps.contains_key(&found.app));
        assert!(orphan.is_none(), "seed {seed}: {orphan:?}");
        succeeded += bench.answers.values().filter(|answer| answer.is_success()).count();
        let tasks = bench.cluster.state()["tasks"].as_array().expect("a list").clone();
        for app in bench.cluster.apps.values() {
            let each = app.def.pod.as_ref().map_or(1, |pod| pod.containers.len());
            let running = tasks.iter().filter(|task| task["appId"] == app.def.id.as_str()).count();
            assert_eq!(running, app.def.instances as usize * each, "seed {seed}: {}", app.def.id);
        }
    }
    assert!(succeeded > 60 * 20, "most commands have to do something: {succeeded}");
}
