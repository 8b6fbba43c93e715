//! A digest of the catalog's contents that is equal across processes and is kept up to date in O(change).
//!
//! It is the wrapping sum of one well-mixed hash per definition and one per task, so a changed task costs two hashes of
//! that task. Counters and freshness of the sources are left out: two nodes that saw the same cluster agree.
//! Every function takes its type apart without `..`: a new field of the model does not compile until it is decided here.

use std::hash::{Hash, Hasher};

use mconn_model::{
    App, AppEntry, AppId, AppTask, Deployment, Endpoint, HealthCheck, HealthResult, NetworkMode, Pod,
    PodEndpoint, PortDeclaration, Protocols, ReadinessCheck, SourceId, TaskEntry,
};

/// FNV-1a with 64 bits and a final mix: fixed key, no dependency on std's unspecified default.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The sum of unmixed FNV values would cancel too easily.
    fn mixed(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.write(&value.to_le_bytes());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.mixed()
    }
}

/// The digest of one app or pod with all its tasks.
pub(crate) fn of_entry(entry: &AppEntry) -> u64 {
    let AppEntry { source, id, app: _, pod: _, tasks, history: _ } = entry;
    tasks.iter().fold(of_definition(entry), |sum, task| sum.wrapping_add(of_task(source, id, task)))
}

/// The part of the entry itself, without its tasks.
pub(crate) fn of_definition(entry: &AppEntry) -> u64 {
    let AppEntry { source, id, app, pod, tasks: _, history: _ } = entry;
    let mut h = Fnv::new();
    (source, id).hash(&mut h);
    match app {
        Some(app) => feed_app(&mut h, app),
        None => 0u8.hash(&mut h),
    }
    match pod {
        Some(pod) => feed_pod(&mut h, pod),
        None => 0u8.hash(&mut h),
    }
    h.mixed()
}

/// The part of one task.
pub(crate) fn of_task(source: &SourceId, app: &AppId, entry: &TaskEntry) -> u64 {
    // When a verdict began is each node's own experience.
    let TaskEntry { task, endpoints, verdict, since: _, unresolved } = entry;
    let AppTask {
        id,
        app: _,
        instance,
        host,
        agent,
        status,
        ports,
        service_ports,
        addresses,
        staged_at,
        started_at,
        version,
        health,
        ready,
    } = task;
    let mut h = Fnv::new();
    (source, app, id, instance, host, agent, status).hash(&mut h);
    (ports, service_ports, addresses, staged_at, started_at, version, ready, verdict, unresolved)
        .hash(&mut h);
    for HealthResult { alive, consecutive_failures, succeeded_once } in health {
        (alive, consecutive_failures, succeeded_once).hash(&mut h);
    }
    for endpoint in endpoints {
        // Source, app, task and verdict repeat what is hashed above; the invariants see to that.
        let Endpoint {
            source: _,
            app: _,
            task: _,
            port_index,
            port_name,
            service_port,
            transport,
            protocols,
            verdict: _,
        } = endpoint;
        (port_index, port_name, service_port, transport).hash(&mut h);
        feed_protocols(&mut h, *protocols);
    }
    h.mixed()
}

fn feed_app(h: &mut Fnv, app: &App) {
    let App {
        id,
        version,
        last_config_change,
        instances,
        labels,
        network,
        ports,
        require_ports,
        health_checks,
        readiness_checks,
        deployments,
        kill_grace_seconds,
    } = app;
    (1u8, id, version, last_config_change, instances, labels, require_ports, deployments.len()).hash(h);
    feed_network(h, network);
    ports.len().hash(h);
    for port in ports {
        let PortDeclaration { name, protocols, service_port, container_port, host_port, labels, networks } =
            port;
        (name, service_port, container_port, labels, networks).hash(h);
        feed_protocols(h, *protocols);
        match host_port {
            mconn_model::HostPort::None => 0u8.hash(h),
            mconn_model::HostPort::Dynamic => 1u8.hash(h),
            mconn_model::HostPort::Fixed(port) => (2u8, port).hash(h),
        }
    }
    health_checks.len().hash(h);
    for check in health_checks {
        feed_health_check(h, check);
    }
    for ReadinessCheck { name, port_name, interval_seconds, timeout_seconds } in readiness_checks {
        (name, port_name, interval_seconds.to_bits(), timeout_seconds.to_bits()).hash(h);
    }
    for Deployment { id } in deployments {
        id.hash(h);
    }
    kill_grace_seconds.map(f64::to_bits).hash(h);
}

fn feed_health_check(h: &mut Fnv, check: &HealthCheck) {
    let HealthCheck {
        protocol,
        kind,
        path,
        port_index,
        port,
        grace_seconds,
        interval_seconds,
        timeout_seconds,
        max_consecutive_failures,
    } = check;
    let by_mesos = *kind == mconn_model::HealthCheckKind::Mesos;
    (protocol, by_mesos, path, port_index, port, max_consecutive_failures).hash(h);
    (grace_seconds.to_bits(), interval_seconds.to_bits(), timeout_seconds.to_bits()).hash(h);
}

fn feed_pod(h: &mut Fnv, pod: &Pod) {
    // `running` is never kept in an entry: its tasks say it.
    let Pod { id, version, labels, instances, network, endpoints, running: _ } = pod;
    (2u8, id, version, labels, instances).hash(h);
    feed_network(h, network);
    for PodEndpoint { container, name, container_port, protocols, labels } in endpoints {
        (container, name, container_port, labels).hash(h);
        feed_protocols(h, *protocols);
    }
}

fn feed_network(h: &mut Fnv, network: &NetworkMode) {
    match network {
        NetworkMode::Host => 0u8.hash(h),
        NetworkMode::Bridge => 1u8.hash(h),
        NetworkMode::Container { networks } => (2u8, networks).hash(h),
        NetworkMode::IpPerTask { network } => (3u8, network).hash(h),
    }
}

fn feed_protocols(h: &mut Fnv, protocols: Protocols) {
    let Protocols { tcp, udp } = protocols;
    (tcp, udp).hash(h);
}
