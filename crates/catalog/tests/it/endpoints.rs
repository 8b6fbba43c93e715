//! Section 5 of the specification: every network mode of every generation, and every way in which a port can fail.

use std::net::IpAddr;

use crate::support::*;
use mconn_model::*;

struct Case {
    what: &'static str,
    network: NetworkMode,
    ports: Vec<PortDeclaration>,
    task_ports: Vec<u16>,
    addresses: &'static [&'static str],
    host: Option<&'static str>,
    /// `index=transport` of each endpoint.
    reached: &'static [&'static str],
    unresolved: &'static [&'static str],
    rule: Rule,
}

fn container() -> NetworkMode {
    NetworkMode::Container { networks: vec!["dcos".into()] }
}

fn base() -> Case {
    Case {
        what: "",
        network: NetworkMode::Host,
        ports: Vec::new(),
        task_ports: Vec::new(),
        addresses: &[],
        host: Some("agent1"),
        reached: &[],
        unresolved: &[],
        rule: Rule::RunningWithoutChecks,
    }
}

fn check(case: Case) {
    let app = App { network: case.network, ports: case.ports, ..app("/web") };
    let addresses = case.addresses.iter().map(|text| IpAddress(text.parse::<IpAddr>().unwrap()));
    let task = AppTask {
        ports: case.task_ports,
        addresses: addresses.collect(),
        host: case.host.map(Into::into),
        ..task("/web", "web.1")
    };
    let bench = Bench::reading(vec![listed(app, vec![task])]);
    let entry = bench.entry("/web").unwrap();
    let got = &entry.tasks[0];
    let reached: Vec<String> =
        got.endpoints.iter().map(|e| format!("{}={}", e.port_index, e.transport)).collect();
    assert_eq!(reached, case.reached, "{}", case.what);
    let unresolved: Vec<&str> = got.unresolved.iter().map(|text| &**text).collect();
    assert_eq!(unresolved, case.unresolved, "{}", case.what);
    assert_eq!(got.verdict.rule, case.rule, "{}", case.what);
}

#[test]
fn on_the_agents_network() {
    let (dynamic, fixed) = (|| port(None, HostPort::Dynamic), || port(None, HostPort::Fixed(8080)));
    check(Case {
        what: "host: task ports in order",
        ports: vec![dynamic(), fixed()],
        task_ports: vec![31_000, 8080],
        reached: &["0=agent1:31000", "1=agent1:8080"],
        ..base()
    });
    check(Case {
        what: "host: the agent's address in ipAddresses is not used",
        ports: vec![dynamic()],
        task_ports: vec![31_000],
        addresses: &["10.0.0.5"],
        reached: &["0=agent1:31000"],
        ..base()
    });
    check(Case {
        what: "host: fewer ports than declared",
        ports: vec![dynamic(), fixed()],
        task_ports: vec![31_000],
        reached: &["0=agent1:31000"],
        unresolved: &["port 1 with host port 8080 has no host port"],
        ..base()
    });
    check(Case {
        what: "host: more ports than declared",
        ports: vec![dynamic()],
        task_ports: vec![31_000, 31_001],
        reached: &["0=agent1:31000"],
        unresolved: &["the task has 2 host ports, 1 are declared"],
        ..base()
    });
    check(Case { what: "host: no ports at all is still an address", ..base() });
    check(Case {
        what: "host: no agent yet",
        ports: vec![dynamic()],
        task_ports: vec![31_000],
        host: None,
        unresolved: &["port 0 has no agent yet"],
        rule: Rule::NoAddress,
        ..base()
    });
    check(Case {
        what: "host: port 0 is no port",
        ports: vec![dynamic()],
        task_ports: vec![0],
        unresolved: &["port 0 has host port 0"],
        ..base()
    });
}

#[test]
fn trap_15_bridge_addresses_do_not_leak() {
    check(Case {
        what: "bridge: mapped ports",
        network: NetworkMode::Bridge,
        ports: vec![port(Some(80), HostPort::Dynamic), port(Some(443), HostPort::Fixed(443))],
        task_ports: vec![31_000, 443],
        addresses: &["172.17.0.3"],
        reached: &["0=agent1:31000", "1=agent1:443"],
        ..base()
    });
    check(Case {
        what: "bridge: a port without host port is not reachable, and shifts the others",
        network: NetworkMode::Bridge,
        ports: vec![port(Some(80), HostPort::None), port(Some(443), HostPort::Dynamic)],
        task_ports: vec![31_000],
        addresses: &["172.17.0.3"],
        reached: &["1=agent1:31000"],
        unresolved: &["port 0 is not exposed on the agent"],
        ..base()
    });
}

#[test]
fn trap_14_container_networks_with_and_without_host_ports() {
    check(Case {
        what: "container: no host port",
        network: container(),
        ports: vec![port(Some(80), HostPort::None)],
        addresses: &["9.0.2.130"],
        reached: &["0=9.0.2.130:80"],
        ..base()
    });
    check(Case {
        what: "container: mixed host ports shift the index",
        network: container(),
        ports: vec![
            port(Some(80), HostPort::None),
            port(Some(81), HostPort::Dynamic),
            port(Some(82), HostPort::None),
            port(Some(83), HostPort::Fixed(9000)),
        ],
        task_ports: vec![31_000, 9000],
        addresses: &["9.0.2.130"],
        reached: &["0=9.0.2.130:80", "1=agent1:31000", "2=9.0.2.130:82", "3=agent1:9000"],
        ..base()
    });
    check(Case {
        what: "container: no address yet",
        network: container(),
        ports: vec![port(Some(80), HostPort::None)],
        unresolved: &["port 0 has no container address yet"],
        rule: Rule::NoAddress,
        ..base()
    });
    check(Case {
        what: "container: host ports are reachable without an address",
        network: container(),
        ports: vec![port(Some(80), HostPort::Dynamic), port(Some(81), HostPort::None)],
        task_ports: vec![31_000],
        reached: &["0=agent1:31000"],
        unresolved: &["port 1 has no container address yet"],
        ..base()
    });
    check(Case {
        what: "container: containerPort 0 without host port is unknown",
        network: container(),
        ports: vec![port(Some(0), HostPort::None)],
        addresses: &["9.0.2.130"],
        unresolved: &["port 0 has no known container port"],
        ..base()
    });
    check(Case {
        what: "container: IPv6 first",
        network: container(),
        ports: vec![port(Some(80), HostPort::None)],
        addresses: &["fd00::1", "9.0.2.130"],
        reached: &["0=9.0.2.130:80"],
        ..base()
    });
    check(Case {
        what: "container: IPv6 alone",
        network: container(),
        ports: vec![port(Some(80), HostPort::None)],
        addresses: &["fd00::1"],
        reached: &["0=[fd00::1]:80"],
        ..base()
    });
    check(Case {
        what: "USER of 1.3 without a network name",
        network: NetworkMode::Container { networks: Vec::new() },
        ports: vec![port(Some(80), HostPort::None)],
        addresses: &["9.0.2.130"],
        reached: &["0=9.0.2.130:80"],
        ..base()
    });
    check(Case {
        what: "container: no ports, no address",
        network: container(),
        rule: Rule::NoAddress,
        ..base()
    });
}

#[test]
fn address_per_task() {
    check(Case {
        what: "discovery ports",
        network: NetworkMode::IpPerTask { network: None },
        ports: vec![port(Some(80), HostPort::None), port(Some(0), HostPort::None)],
        addresses: &["192.168.1.4"],
        reached: &["0=192.168.1.4:80"],
        unresolved: &["port 1 has no known container port"],
        ..base()
    });
}

#[test]
fn pods_by_allocated_port_or_network_address() {
    let mut pod = pod("/web");
    pod.running = vec![pod_instance("web.instance-1", "main", TaskStatus::Running)];
    let mut bench = Bench::reading(Vec::new());
    bench.list(Vec::new(), vec![pod.clone()]);
    let task = "web.instance-1.main";
    let line = format!("{task} running-without-checks agent1:31500,9.0.2.1:9090");
    assert_eq!(bench.shows("/web"), [line]);
    assert_eq!(bench.entry("/web").unwrap().pod.as_ref().unwrap().running, []);

    // The pod's own network is preferred, and a check that has not reported yet holds the container back.
    let running = &mut pod.running[0];
    running.addresses.insert(0, (Some("other".into()), "9.9.9.9".parse().unwrap()));
    running.containers[0].healthy = Some(false);
    bench.list(Vec::new(), vec![pod.clone()]);
    assert_eq!(bench.shows("/web"), [format!("{task} unhealthy agent1:31500,9.0.2.1:9090")]);

    // A host-network pod has its allocated ports alone.
    pod.network = NetworkMode::Host;
    pod.running[0].containers[0].healthy = Some(true);
    bench.list(Vec::new(), vec![pod]);
    assert_eq!(bench.shows("/web"), [format!("{task} healthy agent1:31500")]);
    assert_eq!(&*bench.entry("/web").unwrap().tasks[0].unresolved[0], "port 1 (admin) has no host port");
}
