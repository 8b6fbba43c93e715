//! Tasks of the version before keep the ports and the checks that they were started with.

use mconn_model::*;

use crate::support::*;

fn at(millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis))
}

fn version(app: App, version: i64, changed: i64) -> App {
    App { version: at(version), last_config_change: at(changed), ..app }
}

fn of(id: &str, version: i64) -> AppTask {
    AppTask {
        version: at(version),
        addresses: vec![IpAddress("172.17.0.2".parse().unwrap())],
        ..task("/web", id)
    }
}

fn bridged(checks: usize) -> App {
    App {
        network: NetworkMode::Bridge,
        ports: vec![port(Some(80), HostPort::Dynamic)],
        ..checked("/web", checks)
    }
}

fn contained(checks: usize) -> App {
    let network = NetworkMode::Container { networks: vec!["dcos".into()] };
    App { network, ports: vec![port(Some(8080), HostPort::None)], ..checked("/web", checks) }
}

#[test]
fn an_update_that_moves_the_ports_and_adds_checks_leaves_old_tasks_where_they_are() {
    let old = "web.1 running-without-checks agent1:31000";
    let mut bench = Bench::reading(vec![listed(version(bridged(0), 1, 1), vec![of("web.1", 1)])]);
    assert_eq!(bench.shows("/web"), [old]);
    let next = || version(contained(1), 5, 5);
    bench.event(ClusterEvent::AppDefinition { app: Box::new(next()) });
    assert_eq!(bench.shows("/web"), [old]);
    let both = || vec![listed(next(), vec![of("web.1", 1), of("web.2", 5)])];
    bench.list(both(), Vec::new());
    assert_eq!(bench.shows("/web"), [old, "web.2 health-unknown 172.17.0.2:8080"]);
    // Scaling makes a new version of the same definition.
    let scaled = version(contained(1), 9, 5);
    bench.list(vec![listed(scaled, vec![of("web.1", 1), of("web.2", 5), of("web.3", 9)])], Vec::new());
    assert_eq!(bench.shows("/web")[0], old);
    assert_eq!(bench.shows("/web")[2], "web.3 health-unknown 172.17.0.2:8080");
}

#[test]
fn an_update_that_removes_checks_makes_no_old_task_ready() {
    let sick = with_health(of("web.1", 1), &[]);
    let mut bench = Bench::reading(vec![listed(version(bridged(1), 1, 1), vec![sick.clone()])]);
    bench.list(vec![listed(version(bridged(0), 5, 5), vec![sick])], Vec::new());
    assert_eq!(bench.shows("/web"), ["web.1 health-unknown agent1:31000"]);
}

#[test]
fn several_updates_in_a_row_are_kept_apart_and_forgotten_with_their_tasks() {
    let with_ports = |n: u16| {
        let ports = (0..n).map(|_| port(None, HostPort::Dynamic)).collect();
        version(App { ports, ..app("/web") }, i64::from(n), i64::from(n))
    };
    let task_of = |n: u16| AppTask {
        ports: (0..n).map(|p| 31_000 + p).collect(),
        ..of(&format!("web.{n}"), i64::from(n))
    };
    let endpoints = |bench: &Bench| -> Vec<usize> {
        bench.entry("/web").unwrap().tasks.iter().map(|task| task.endpoints.len()).collect()
    };
    let mut bench = Bench::reading(vec![listed(with_ports(1), vec![task_of(1)])]);
    bench.list(vec![listed(with_ports(2), vec![task_of(1), task_of(2)])], Vec::new());
    bench.list(vec![listed(with_ports(3), vec![task_of(1), task_of(2), task_of(3)])], Vec::new());
    assert_eq!(endpoints(&bench), [1, 2, 3]);
    assert!(bench.entry("/web").unwrap().tasks.iter().all(|task| task.unresolved.is_empty()));
    // An old definition is of no use when its tasks are gone.
    bench.list(vec![listed(with_ports(4), vec![task_of(3), task_of(4)])], Vec::new());
    assert_eq!(endpoints(&bench), [3, 4]);
    bench.list(vec![listed(with_ports(5), vec![task_of(2), task_of(4), task_of(5)])], Vec::new());
    assert_eq!(endpoints(&bench), [2, 4, 5]);
    assert_eq!(bench.entry("/web").unwrap().tasks[0].unresolved.len(), 3, "judged by the newest one");
}

#[test]
fn a_version_that_was_not_seen_has_to_fulfil_what_either_definition_asks_for() {
    let mut bench = Bench::reading(vec![listed(version(bridged(0), 1, 1), vec![of("web.1", 1)])]);
    // A scaling of the first one, or something with checks: nobody saw version 3.
    let tasks = || vec![of("web.1", 1), of("web.3", 3)];
    let mut next = version(contained(1), 5, 5);
    next.deployments = vec![Deployment { id: DeploymentId::new("d").unwrap() }];
    bench.list(vec![listed(next, tasks())], Vec::new());
    let old = "web.1 running-without-checks agent1:31000";
    assert_eq!(bench.shows("/web"), [old, "web.3 health-unknown agent1:31000"]);
    // What a deployment has not replaced when it ends stays what it was.
    bench.list(vec![listed(version(contained(1), 5, 5), tasks())], Vec::new());
    assert_eq!(bench.shows("/web"), [old, "web.3 running-without-checks agent1:31000"]);
}

#[test]
fn instances_of_an_older_pod_keep_their_ports() {
    let version = |port: u16, version: i64, instances: &[i64]| {
        let mut pod = Pod { version: at(version), ..pod("/pod") };
        pod.endpoints.truncate(1);
        pod.endpoints[0].container_port = Some(port);
        let instance = |of: &i64| {
            let id = format!("pod.instance-{of}");
            let mut instance = pod_instance(&id, "main", TaskStatus::Running);
            instance.version = at(*of);
            instance.containers[0].host_ports.clear();
            instance
        };
        pod.running = instances.iter().map(instance).collect();
        pod
    };
    let mut bench = Bench::reading(Vec::new());
    bench.list(Vec::new(), vec![version(8080, 1, &[1])]);
    bench.list(Vec::new(), vec![version(9090, 2, &[1, 2])]);
    assert_eq!(
        bench.shows("/pod"),
        [
            "pod.instance-1.main running-without-checks 9.0.2.1:8080",
            "pod.instance-2.main running-without-checks 9.0.2.1:9090",
        ]
    );
}
