//! Agents that are lost, come back, are removed and drained; constraints.

use super::*;

fn change(bench: &mut Bench, agent: &str, fate: AgentFate) {
    let agent = agent.to_owned();
    let ticket = bench.give(Command::ChangeAgent { agent, fate });
    assert_eq!(bench.answers[&ticket].status, 200);
}

fn patient(instances: u32) -> Value {
    json!({"id": "/a", "cmd": "x", "instances": instances,
        "unreachableStrategy": {"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}})
}

fn agents(bench: &Bench) -> Vec<Value> {
    let body: Value = serde_json::from_str(&bench.cluster.agents().body.expect("a body")).expect("json");
    body["agents"].as_array().expect("a list").clone()
}

#[test]
fn a_partition_shorter_than_the_strategy_changes_nothing_but_events() {
    let mut bench = Bench::new(&SimOptions { agents: 1, ..quick() });
    bench.create(patient(2));
    let before = bench.tasks();
    let host = before[0]["host"].as_str().expect("a host").to_owned();
    bench.told();
    change(&mut bench, &host, AgentFate::Lose);
    assert_eq!(bench.told(), ["S:UNREACHABLE", "I:Unreachable", "S:UNREACHABLE", "I:Unreachable"]);
    bench.pass(Duration::from_secs(30));
    assert!(bench.told().is_empty());
    change(&mut bench, &host, AgentFate::Return);
    assert_eq!(bench.told(), ["S:RUNNING", "I:Running", "S:RUNNING", "I:Running"]);
    bench.pass(Duration::from_secs(1000));
    assert!(bench.told().is_empty(), "timers of a partition that is over are void");
    assert_eq!(bench.tasks(), before, "the same tasks at the same addresses");
}

#[test]
fn an_inactive_task_that_comes_back_is_one_too_many_until_the_scale_check() {
    let mut bench = Bench::new(&SimOptions { agents: 2, ..quick() });
    bench.create(patient(1));
    let first = bench.task_id();
    let lost = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
    bench.told();
    change(&mut bench, &lost, AgentFate::Lose);
    bench.pass(Duration::from_secs(61));
    let told = bench.told();
    assert_eq!(told[..4], ["S:UNREACHABLE", "I:Unreachable", "S:UNREACHABLE", "I:UnreachableInactive"]);
    assert!(told.contains(&"I:Running".to_owned()), "a replacement: {told:?}");
    change(&mut bench, &lost, AgentFate::Return);
    assert_eq!(bench.told(), ["S:RUNNING", "I:Running"]);
    assert_eq!(bench.tasks().len(), 2);
    bench.pass(Duration::from_secs(301));
    let told = bench.told();
    assert_eq!(told, ["I:Running", "S:KILLING", "I:Killing", "S:KILLED", "I:Killed"]);
    // Youngest first: the replacement goes.
    assert_eq!(bench.task_id(), first);
}

#[test]
fn the_death_of_a_task_that_nobody_knows_is_told_as_the_version_tells_it() {
    for (profile, told) in [
        ("1.1", None),
        ("1.3", Some("unknown_task_terminated_event")),
        ("1.4", Some("unknown_instance_terminated_event")),
    ] {
        let profile = Profile::by_name(profile).expect("a profile");
        let mut bench = Bench::new(&SimOptions { agents: 2, profile, ..quick() });
        bench.create(json!({"id": "/a", "cmd": "x"}));
        bench.quiet();
        let lost = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
        change(&mut bench, &lost, AgentFate::Lose);
        bench.quiet();
        bench.told();
        change(&mut bench, &lost, AgentFate::Return);
        bench.quiet();
        let unknown: Vec<_> = bench.told().into_iter().filter(|kind| kind.starts_with("unknown")).collect();
        assert_eq!(unknown, Vec::from_iter(told), "{}", profile.name);
    }
}

#[test]
fn an_expunged_task_comes_back_as_unknown_and_is_killed() {
    let mut bench = Bench::new(&SimOptions { agents: 2, ..quick() });
    bench.create(json!({"id": "/a", "cmd": "x"}));
    let ghost = bench.task_id();
    let lost = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
    change(&mut bench, &lost, AgentFate::Lose);
    bench.quiet();
    assert_eq!(bench.tasks().len(), 1);
    assert_ne!(bench.task_id(), ghost);
    assert_eq!(bench.cluster.state()["ghosts"], json!([ghost]));
    bench.told();
    change(&mut bench, &lost, AgentFate::Return);
    bench.quiet();
    assert_eq!(bench.told(), ["unknown_instance_terminated_event"]);
    assert_eq!(bench.cluster.state()["ghosts"], json!([]));
    assert_eq!(bench.tasks().len(), 1);
}

#[test]
fn a_removed_agent_takes_its_tasks_along() {
    let mut bench = Bench::new(&SimOptions { agents: 2, ..quick() });
    bench.create(json!({"id": "/a", "cmd": "x", "instances": 2, "constraints": [["hostname", "UNIQUE"]]}));
    bench.told();
    let gone = agents(&bench)[0]["id"].as_str().expect("an id").to_owned();
    change(&mut bench, &gone, AgentFate::Remove);
    bench.quiet();
    let told = bench.told();
    assert_eq!(told, ["S:GONE", "I:Gone", "I:Scheduled"], "nowhere to go");
    assert_eq!(agents(&bench)[0]["state"], "gone");
    let answer = bench.call(Command::ChangeAgent { agent: gone, fate: AgentFate::Return });
    assert_eq!(answer.status, 422);
}

#[test]
fn versions_that_know_no_partitions_lose_the_task() {
    let profile = Profile { partition_aware: false, ..Profile::v1_8() };
    let mut bench = Bench::new(&SimOptions { agents: 2, profile, ..quick() });
    bench.create(json!({"id": "/a", "cmd": "x"}));
    let lost = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
    bench.told();
    change(&mut bench, &lost, AgentFate::Lose);
    assert_eq!(bench.told()[0], "S:LOST");
    bench.quiet();
    assert_eq!(bench.tasks().len(), 1);
    bench.told();
    change(&mut bench, &lost, AgentFate::Return);
    bench.quiet();
    assert_eq!(bench.told(), ["unknown_instance_terminated_event"], "a zombie");
}

#[test]
fn a_drained_agent_is_left() {
    let mut bench = Bench::new(&SimOptions { agents: 2, ..quick() });
    bench.create(json!({"id": "/a", "cmd": "x", "instances": 6}));
    let drained = agents(&bench)[0]["host"].clone();
    change(&mut bench, drained.as_str().expect("a host"), AgentFate::Drain);
    bench.quiet();
    assert!(bench.tasks().iter().all(|task| task["host"] != drained));
    assert_eq!(bench.tasks().len(), 6);
}

#[test]
fn killing_what_cannot_be_reached_gives_it_up() {
    let mut bench = Bench::new(&SimOptions { agents: 1, ..quick() });
    bench.create(patient(1));
    let host = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
    change(&mut bench, &host, AgentFate::Lose);
    bench.told();
    bench.call(Command::DeleteApp { id: PathId::lenient("/a"), force: true, caller: Caller::default() });
    let told = bench.told();
    assert!(
        told.contains(&"app_terminated_event".to_owned()) && !told.contains(&"S:KILLED".to_owned()),
        "{told:?}"
    );
    change(&mut bench, &host, AgentFate::Return);
    bench.quiet();
    assert_eq!(bench.told(), ["unknown_instance_terminated_event"]);
}

#[test]
fn health_goes_on_where_it_was() {
    let mut bench = Bench::new(&SimOptions { agents: 1, ..quick() });
    let mut body = web(1);
    body["unreachableStrategy"] = json!("disabled");
    bench.create(body);
    let task = bench.task_id();
    let host = bench.tasks()[0]["host"].as_str().expect("a host").to_owned();
    change(&mut bench, &host, AgentFate::Lose);
    let last = bench.tasks()[0]["healthCheckResults"][0]["lastSuccess"].clone();
    bench.give(Command::SetHealth { task, alive: false });
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.tasks()[0]["healthCheckResults"][0]["lastSuccess"], last);
    bench.told();
    change(&mut bench, &host, AgentFate::Return);
    bench.pass(Duration::from_secs(4));
    let told = bench.told();
    assert_eq!(told[..2], ["S:RUNNING", "I:Running"]);
    assert_eq!(told.iter().filter(|word| *word == "failed_health_check_event").count(), 1, "{told:?}");
}

#[test]
fn constraints_are_obeyed() {
    let racks = BTreeMap::from([("rack".to_owned(), vec!["r1".to_owned(), "r2".to_owned()])]);
    let options = SimOptions { agents: 4, agent_attributes: racks, ..quick() };
    let rack =
        |host: &str| (host.rsplit('.').next().expect("a number").parse::<u32>().expect("a number") - 21) % 2;
    let spread = |constraints: Value, instances: u32| {
        let mut bench = Bench::new(&options);
        bench.create(json!({"id": "/a", "cmd": "x", "instances": instances, "constraints": constraints}));
        let hosts =
            bench.tasks().iter().map(|task| task["host"].as_str().expect("a host").to_owned()).collect();
        let hosts: Vec<String> = hosts;
        let racks: Vec<u32> = hosts.iter().map(|host| rack(host)).collect();
        (hosts, racks)
    };
    let (hosts, _) = spread(json!([["hostname", "MAX_PER", "2"]]), 10);
    assert_eq!(hosts.len(), 8);
    let (_, racks) = spread(json!([["rack", "GROUP_BY", "2"]]), 6);
    assert_eq!(racks.iter().filter(|rack| **rack == 0).count(), 3);
    let (_, racks) = spread(json!([["rack", "CLUSTER", "r2"]]), 5);
    assert_eq!(racks, vec![1; 5]);
    let (hosts, _) = spread(json!([["hostname", "CLUSTER"]]), 5);
    assert!(hosts.iter().all(|host| *host == hosts[0]) && hosts.len() == 5);
    let (hosts, _) = spread(json!([["hostname", "LIKE", r"10\.0\.0\.2[12]"]]), 5);
    assert!(hosts.iter().all(|host| host == "10.0.0.21" || host == "10.0.0.22"), "{hosts:?}");
    let (_, racks) = spread(json!([["rack", "UNLIKE", "r1"], ["@zone", "UNIQUE"]]), 5);
    assert_eq!(racks, vec![1; 5], "what no agent has is of no effect");
}
