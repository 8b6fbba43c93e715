//! Folding single events: table 6.6, and the traps of section 11 that concern them.

use mconn_model::*;

use crate::support::*;

const TASK: &str = "web.instance-1._app.1";

fn web() -> Bench {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", TASK)])]);
    assert_eq!(bench.shows("/web"), [format!("{TASK} running-without-checks agent1:31000")]);
    assert_eq!(bench.asked(), Vec::<String>::new());
    bench
}

/// Folds one event into [`web`] and compares the tasks right after it and what is asked for within a second.
fn check(what: &str, event: ClusterEvent, shows: &[&str], asked: &[&str]) {
    let mut bench = web();
    bench.event(event);
    assert_eq!(bench.shows("/web"), shows, "{what}");
    bench.pass_ms(1000);
    assert_eq!(bench.asked(), asked, "{what}");
}

#[test]
fn status_updates_act_at_once() {
    let line = |rule: &str| format!("{TASK} {rule} agent1:31000");
    let running = line("running-without-checks");
    check("killing", status("/web", TASK, TaskStatus::Killing), &[&line("killing")], &["/web"]);
    check("unreachable", status("/web", TASK, TaskStatus::Unreachable), &[&line("unreachable")], &["/web"]);
    for end in [TaskStatus::Killed, TaskStatus::Failed, TaskStatus::Finished, TaskStatus::Lost] {
        check("ended", status("/web", TASK, end), &[], &["/web"]);
    }
    check("late staging", status("/web", TASK, TaskStatus::Staging), &[&running], &["/web"]);
    check("trap 11: the same again", status("/web", TASK, TaskStatus::Running), &[&running], &["/web"]);
    check(
        "a new one",
        status("/web", "web.instance-2._app.1", TaskStatus::Running),
        &[&running, "web.instance-2._app.1 running-without-checks agent1:31000"],
        &["/web"],
    );
    check(
        "trap 12: one that we never saw ends",
        status("/web", "web.instance-3._app.1", TaskStatus::Failed),
        &[&running],
        &["/web"],
    );
}

#[test]
fn other_events() {
    let running = format!("{TASK} running-without-checks agent1:31000");
    let killing = format!("{TASK} kill-announced agent1:31000");
    let changed = |name: &str, condition| ClusterEvent::InstanceChanged {
        instance: instance(name),
        app: app_id("/web"),
        condition,
        version: None,
        at: None,
    };
    let of = "web.instance-1";
    check("the same condition is a hint", changed(of, InstanceCondition::Running), &[&running], &[]);
    let unreachable = format!("{TASK} unreachable agent1:31000");
    check("an agent is lost", changed(of, InstanceCondition::Unreachable), &[&unreachable], &["/web"]);
    check("and given up", changed(of, InstanceCondition::UnreachableInactive), &[&unreachable], &["/web"]);
    check("an end is believed at once", changed(of, InstanceCondition::Failed), &[&killing], &["/web"]);
    check("launched again, or late", changed(of, InstanceCondition::Provisioned), &[&running], &["/web"]);
    check("a kill is believed", changed(of, InstanceCondition::Killing), &[&killing], &["/web"]);
    check("a new instance", changed("web.instance-9", InstanceCondition::Scheduled), &[&running], &["/web"]);
    check(
        "an end after the status event",
        changed("web.instance-9", InstanceCondition::Killed),
        &[&running],
        &[],
    );

    let kill = |task: Option<&str>, instance: Option<InstanceId>| ClusterEvent::UnhealthyKill {
        app: app_id("/web"),
        task: task.map(task_id),
        instance,
    };
    check("unhealthy kill by task", kill(Some(TASK), None), &[&killing], &["/web"]);
    check("unhealthy kill by instance", kill(None, Some(instance(of))), &[&killing], &["/web"]);
    check("unhealthy kill of an unknown one", kill(Some("x"), None), &[&running], &["/web"]);

    let unknown = |app: &str, id: &str| ClusterEvent::UnknownTerminated {
        app: app_id(app),
        task: None,
        instance: Some(instance(id)),
    };
    check("unknown terminated, known to us", unknown("/web", of), &[], &["/web"]);
    check("unknown terminated, unknown to us", unknown("/other", "other.instance-1"), &[&running], &[]);

    check("terminated", ClusterEvent::AppTerminated { app: app_id("/web") }, &["no such app"], &[]);
    check("pod changed", ClusterEvent::PodChanged { pod: Some(app_id("/pod")) }, &[&running], &["*"]);
    check("pod created", ClusterEvent::PodChanged { pod: None }, &[&running], &["*"]);
    check("ignored", ClusterEvent::Ignored { event_type: "x".into() }, &[&running], &[]);
    check("deployment", deployment(DeploymentPhase::StepBegan, &["/web"]), &[&running], &["/web"]);
    check("group of the app", group("/"), &[&running], &["/web"]);
    check("group that we know nothing of", group("/shop"), &[&running], &["*"]);
}

#[test]
fn task_events_are_passed_on_unmerged() {
    let mut bench = web();
    for _ in 0..2 {
        bench.event(status("/web", TASK, TaskStatus::Running));
        assert_eq!(bench.effects.task_events.len(), 1);
    }
    bench.event(group("/"));
    assert_eq!(bench.effects.task_events, []);
}

#[test]
fn trap_29_addresses_arrive_with_a_second_update() {
    let mut definition = app("/web");
    definition.network = NetworkMode::Container { networks: vec!["dcos".into()] };
    definition.ports = vec![port(Some(80), HostPort::None)];
    let mut bench = Bench::reading(vec![listed(definition, Vec::new())]);
    let with = |addresses: Vec<std::net::IpAddr>| {
        let ClusterEvent::Status(update) = status("/web", "web.1", TaskStatus::Running) else {
            unreachable!()
        };
        let event = TaskEvent { ports: Vec::new(), ..update.event };
        ClusterEvent::Status(StatusUpdate { event, addresses, ..update })
    };
    bench.event(with(Vec::new()));
    assert_eq!(bench.shows("/web"), ["web.1 no-address "]);
    bench.event(with(vec!["9.0.2.1".parse().unwrap()]));
    assert_eq!(bench.shows("/web"), ["web.1 running-without-checks 9.0.2.1:80"]);
    bench.event(with(Vec::new()));
    assert_eq!(bench.shows("/web"), ["web.1 running-without-checks 9.0.2.1:80"], "nothing told is not gone");
}

#[test]
fn trap_26_an_agent_returns() {
    let mut bench = web();
    bench.event(status("/web", TASK, TaskStatus::Unreachable));
    bench.event(status("/web", TASK, TaskStatus::Running));
    assert_eq!(bench.shows("/web"), [format!("{TASK} running-without-checks agent1:31000")]);
    // Old Marathons say LOST, and the task may come back all the same.
    bench.event(status("/web", TASK, TaskStatus::Lost));
    assert_eq!(bench.shows("/web"), Vec::<String>::new());
    bench.event(status("/web", TASK, TaskStatus::Running));
    assert_eq!(bench.shows("/web").len(), 1);
}

#[test]
fn an_ended_task_is_not_brought_back_by_a_late_event() {
    let mut bench = web();
    bench.event(status("/web", TASK, TaskStatus::Killed));
    bench.event(status("/web", TASK, TaskStatus::Running));
    assert_eq!(bench.shows("/web"), Vec::<String>::new());
    let mut bench = web();
    bench.event(status("/web", TASK, TaskStatus::Killing));
    bench.event(status("/web", TASK, TaskStatus::Running));
    assert_eq!(bench.shows("/web"), [format!("{TASK} killing agent1:31000")]);
}

#[test]
fn trap_25_a_relaunch_within_one_instance() {
    let mut bench = web();
    bench.event(status("/web", TASK, TaskStatus::Killed));
    bench.event(status("/web", "web.instance-1._app.2", TaskStatus::Running));
    bench.event(ClusterEvent::HealthChanged {
        app: app_id("/web"),
        instance: Some(instance("web.instance-1")),
        task: None,
        healthy: Some(true),
        whole: true,
        at: None,
    });
    assert_eq!(bench.shows("/web"), ["web.instance-1._app.2 running-without-checks agent1:31000"]);
}

#[test]
fn health_acts_at_once_and_good_news_only_when_it_is_about_all_checks() {
    let check = |checks: usize, results: &[bool], told: Option<bool>, rule: &str| {
        let one = with_health(task("/web", "web.1"), results);
        let mut bench = Bench::reading(vec![listed(checked("/web", checks), vec![one])]);
        bench.event(health("/web", "web.1", told));
        let wanted = [format!("web.1 {rule} agent1:31000")];
        assert_eq!(bench.shows("/web"), wanted, "{checks} {results:?} {told:?}");
        assert_eq!(bench.pass_ms(200).asked(), ["/web"]);
    };
    check(1, &[true], Some(false), "unhealthy");
    check(1, &[], Some(true), "healthy");
    check(1, &[false], Some(true), "healthy");
    check(1, &[true], None, "healthy");
    check(2, &[true, true], Some(false), "unhealthy");
    check(2, &[true, false], Some(true), "unhealthy");
    check(2, &[true], Some(true), "health-unknown");
    check(0, &[], Some(false), "unhealthy");
}

#[test]
fn good_news_of_one_check_is_not_believed_before_it_is_known_how_many_there_are() {
    let mut bench = web();
    bench.event(status("/new", "new.1", TaskStatus::Running));
    bench.event(health("/new", "new.1", Some(true)));
    bench.answer("/new", Some(listed(checked("/new", 2), vec![with_health(task("/new", "new.1"), &[true])])));
    assert_eq!(bench.shows("/new"), ["new.1 health-unknown agent1:31000"]);
    bench.event(ClusterEvent::HealthChanged {
        app: app_id("/new"),
        instance: None,
        task: Some(task_id("new.1")),
        healthy: Some(true),
        whole: true,
        at: None,
    });
    assert_eq!(bench.shows("/new"), ["new.1 healthy agent1:31000"], "the aggregate speaks for all");
}

#[test]
fn health_by_instance_finds_the_task_of_each_generation() {
    for (task_name, instance_name, hit) in [
        ("web.instance-1._app.1", "web.instance-1", true),
        ("web.instance-10._app.1", "web.instance-1", false),
        ("web.u-u-i-d", "web.marathon-u-u-i-d", true),
        ("web.u-u-i-d.2", "web.marathon-u-u-i-d", true),
        ("web.other", "web.marathon-u-u-i-d", false),
    ] {
        let one = with_health(task("/web", task_name), &[true]);
        let mut bench = Bench::reading(vec![listed(checked("/web", 1), vec![one])]);
        bench.event(ClusterEvent::HealthChanged {
            app: app_id("/web"),
            instance: Some(instance(instance_name)),
            task: None,
            healthy: Some(false),
            whole: true,
            at: None,
        });
        assert_eq!(bench.shows("/web")[0].contains("unhealthy"), hit, "{task_name} {instance_name}");
    }
}

#[test]
fn trap_8_a_leader_change_forgets_health_and_we_do_not() {
    let result = |results: &[bool]| with_health(task("/web", "web.1"), results);
    let mut bench = Bench::reading(vec![listed(checked("/web", 1), vec![result(&[true])])]);
    bench.see(Observation::Lost { reason: "end of stream".into() });
    bench.see(Observation::LeaderChanged { leader: "m2:8080".into() });
    bench.see(Observation::Attached);
    let new = task("/web", "web.2");
    bench.list(vec![listed(checked("/web", 1), vec![result(&[]), new])], Vec::new());
    let wanted = ["web.1 remembered-healthy agent1:31000", "web.2 health-unknown agent1:31000"];
    assert_eq!(bench.shows("/web"), wanted);
    assert_eq!(bench.state().leader.as_deref(), Some("m2:8080"));
    assert_eq!(bench.pass_ms(60_000).state().differences, 0, "nothing that happened in between was missed");
}

#[test]
fn a_definition_is_used_directly_and_judges_the_tasks_anew() {
    let mut bench = web();
    let mut next = checked("/web", 1);
    next.version = Some(Timestamp::from_millis(2));
    next.ports.push(port(None, HostPort::Dynamic));
    bench.event(ClusterEvent::AppDefinition { app: Box::new(next) });
    let entry = bench.entry("/web").unwrap();
    // Marathon checks tasks of the new version alone; this one goes on until it is replaced.
    assert_eq!(entry.tasks[0].verdict.rule, Rule::RememberedHealthy);
    bench.event(status("/web", "web.instance-2._app.1", TaskStatus::Running));
    assert!(bench.shows("/web")[1].contains("health-unknown"));
    assert_eq!(&*entry.tasks[0].unresolved[0], "port 1 has no host port");
    // An app that nobody has listed yet.
    bench.event(ClusterEvent::AppDefinition { app: Box::new(app("/new")) });
    assert!(bench.entry("/new").is_some());
    assert_eq!(bench.pass_ms(200).asked(), ["/new", "/web"]);
}

#[test]
fn an_announced_kill_is_believed_through_listings_but_not_for_ever() {
    let mut bench = web();
    let kill = ClusterEvent::UnhealthyKill { app: app_id("/web"), task: Some(task_id(TASK)), instance: None };
    bench.event(kill);
    let all = || vec![listed(app("/web"), vec![task("/web", TASK)])];
    bench.list(all(), Vec::new());
    assert_eq!(bench.shows("/web"), [format!("{TASK} kill-announced agent1:31000")]);
    bench.pass_ms(61_000).list(all(), Vec::new());
    assert_eq!(bench.shows("/web"), [format!("{TASK} running-without-checks agent1:31000")]);
}

#[test]
fn a_task_of_an_unknown_app_is_kept_without_endpoints() {
    let mut bench = web();
    bench.event(status("/new", "new.1", TaskStatus::Running));
    assert_eq!(bench.shows("/new"), ["new.1 definition-unknown "]);
    bench.event(status("/new", "new.1", TaskStatus::Failed));
    assert_eq!(bench.shows("/new"), ["no such app"]);
}

#[test]
fn trap_19_a_suspended_app_stays_known() {
    let suspended = App { instances: 0, ..app("/web") };
    let bench = Bench::reading(vec![listed(suspended, Vec::new())]);
    assert_eq!(bench.shows("/web"), Vec::<String>::new());
}

#[test]
fn trap_13_a_stuck_deployment_changes_nothing() {
    let deployments = vec![Deployment { id: DeploymentId::new("d1").unwrap() }];
    let stuck = App { deployments, ..app("/web") };
    let bench = Bench::reading(vec![listed(stuck, vec![task("/web", TASK)])]);
    assert_eq!(bench.shows("/web"), [format!("{TASK} running-without-checks agent1:31000")]);
}
