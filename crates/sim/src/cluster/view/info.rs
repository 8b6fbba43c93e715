//! `GET /v2/info`

use super::super::{Cluster, HISTORY_MAX};
use crate::cluster::answer::Answer;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    name: &'static str,
    version: &'static str,
    #[serde(rename = "buildref", skip_serializing_if = "Option::is_none")]
    build_ref: Option<&'static str>,
    elected: bool,
    leader: &'a str,
    framework_id: String,
    #[serde(rename = "marathon_config")]
    marathon_config: MarathonConfig<'a>,
    #[serde(rename = "zookeeper_config")]
    zookeeper_config: ZookeeperConfig,
    /// None is a version without the key, none inside one whose callbacks are off.
    #[serde(rename = "event_subscriber", skip_serializing_if = "Option::is_none")]
    event_subscriber: Option<Option<EventSubscriber<'a>>>,
    #[serde(rename = "http_config")]
    http_config: HttpConfig,
}

#[derive(Serialize)]
struct MarathonConfig<'a> {
    master: &'static str,
    failover_timeout: u32,
    framework_name: &'static str,
    ha: bool,
    checkpoint: bool,
    local_port_min: u16,
    local_port_max: u16,
    hostname: &'a str,
    reconciliation_interval: u32,
    scale_apps_interval: u32,
    task_launch_timeout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_proxy_connection_timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_proxy_read_timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<Vec<&'static str>>,
}

#[derive(Serialize)]
struct ZookeeperConfig {
    zk: &'static str,
    zk_timeout: u32,
    zk_session_timeout: u32,
    zk_max_versions: usize,
}

#[derive(Serialize)]
struct EventSubscriber<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    http_endpoints: &'a [String],
}

#[derive(Serialize)]
struct HttpConfig {
    http_port: u16,
    https_port: u16,
}

impl Cluster {
    /// `GET /v2/info`; `http_port` is where this one listens, `callbacks` are the addresses that get events.
    #[must_use]
    pub fn info(&self, http_port: u16, callbacks: &[String]) -> Answer {
        let profile = &self.options.profile;
        let (local_port_min, local_port_max) = self.options.service_ports;
        let mut features = Vec::new();
        if profile.apps.gpus {
            features.push("gpu_resources");
        }
        if self.options.task_killing {
            features.push("task_killing");
        }
        let subscriber = EventSubscriber { kind: "http_callback", http_endpoints: callbacks };
        let info = Info {
            name: "marathon",
            version: profile.version,
            build_ref: profile.build_ref,
            elected: true,
            leader: &self.leader,
            framework_id: format!("{}-0000", self.cluster_id),
            marathon_config: MarathonConfig {
                master: "127.0.0.1:5050",
                failover_timeout: 604_800,
                framework_name: "marathon",
                ha: true,
                checkpoint: true,
                local_port_min,
                local_port_max,
                hostname: self.leader.split(':').next().unwrap_or_default(),
                reconciliation_interval: 600_000,
                scale_apps_interval: 300_000,
                task_launch_timeout: 300_000,
                leader_proxy_connection_timeout_ms: profile.nodes.leader_header.then_some(5000),
                leader_proxy_read_timeout_ms: profile.nodes.leader_header.then_some(10_000),
                features: profile.security_headers.then_some(features),
            },
            zookeeper_config: ZookeeperConfig {
                zk: "zk://127.0.0.1:2181/marathon",
                zk_timeout: 10_000,
                zk_session_timeout: 10_000,
                zk_max_versions: HISTORY_MAX,
            },
            event_subscriber: profile.callbacks.then_some(self.options.callbacks.then_some(subscriber)),
            http_config: HttpConfig { http_port, https_port: 8443 },
        };
        Answer::json(200, &info)
    }
}
