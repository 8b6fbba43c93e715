//! Apps (spec/marathon.md section 3).

use mconn_model::{
    App, AppId, AppListing, Deployment, DeploymentId, HealthCheck, HealthCheckKind, ReadinessCheck, Timestamp,
};
use serde::Deserialize;

use super::deployment::ReadinessDto;
use super::lenient::{List, Number, Object, RawList, Text, Texts};
use super::network::ReachDto;
use super::{Notes, object, task};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AppDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    version_info: Object<VersionInfoDto<'a>>,
    instances: Number,
    labels: Texts,
    #[serde(borrow)]
    health_checks: RawList<'a>,
    #[serde(borrow)]
    readiness_checks: RawList<'a>,
    #[serde(borrow)]
    deployments: RawList<'a>,
    #[serde(borrow)]
    readiness_check_results: List<Object<ReadinessDto<'a>>>,
    task_kill_grace_period_seconds: Number,
    /// 1.4 and later write at least one of these two, older ones neither: that tells how instances are called.
    kill_selection: Text<'a>,
    unreachable_strategy: Present,
    #[serde(borrow)]
    tasks: RawList<'a>,
}

/// Whether a key is there with a value other than null.
#[derive(Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<serde::de::IgnoredAny>::deserialize(deserializer).map(|value| Self(value.is_some()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VersionInfoDto<'a> {
    #[serde(borrow)]
    last_config_change_at: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HealthCheckDto<'a> {
    #[serde(borrow)]
    protocol: Text<'a>,
    #[serde(borrow)]
    path: Text<'a>,
    port_index: Number,
    port: Number,
    grace_period_seconds: Number,
    interval_seconds: Number,
    timeout_seconds: Number,
    max_consecutive_failures: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReadinessCheckDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    port_name: Text<'a>,
    interval_seconds: Number,
    timeout_seconds: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

pub(crate) fn timestamp(text: &Text<'_>) -> Option<Timestamp> {
    text.get().and_then(Timestamp::parse)
}

/// Reads an app's id; a relative one lies below `base`, the id of the group it was found in.
pub(super) fn app_id(text: &Text<'_>, base: &str) -> Result<AppId, String> {
    let id = text.get().ok_or_else(|| "it has no id".to_owned())?;
    if id.starts_with('/') || base.is_empty() {
        return AppId::parse(id).map_err(|error| error.to_string());
    }
    AppId::parse(&format!("{}/{id}", base.strip_suffix('/').unwrap_or(base)))
        .map_err(|error| error.to_string())
}

/// Decodes one app with its tasks. `base` is the group it was found in, if any.
///
/// # Errors
/// A text, when it is no object or has no usable id.
pub(crate) fn decode_app(
    raw: &str,
    base: &str,
    place: &str,
    notes: &mut Notes,
) -> Result<AppListing, String> {
    // Two passes over the same text keep the two concerns apart; the second skips what the first has read.
    let dto: AppDto<'_> = object(raw)?;
    let reach: ReachDto<'_> = object(raw)?;
    let id = app_id(&dto.id, base)?;
    let place = format!("{place} {id}");
    let network = reach.network();
    let app = App {
        version: timestamp(&dto.version),
        last_config_change: dto
            .version_info
            .0
            .as_ref()
            .and_then(|info| timestamp(&info.last_config_change_at)),
        instances: dto.instances.whole().unwrap_or(1),
        ports: reach.declared(&network),
        network,
        require_ports: reach.require_ports(),
        health_checks: notes
            .each(&format!("{place}: healthChecks"), &dto.health_checks, |raw, _, _| health_check(raw)),
        readiness_checks: notes.each(
            &format!("{place}: readinessChecks"),
            &dto.readiness_checks,
            |raw, _, _| readiness_check(raw),
        ),
        deployments: notes
            .each(&format!("{place}: deployments"), &dto.deployments, |raw, _, _| deployment(raw)),
        kill_grace_seconds: dto.task_kill_grace_period_seconds.as_f64(),
        labels: dto.labels.0,
        id,
    };
    let naming = if dto.kill_selection.get().is_some() || dto.unreachable_strategy.0 {
        task::Naming::Instances
    } else {
        task::Naming::Unknown
    };
    let mut tasks = notes.each(&format!("{place}: tasks"), &dto.tasks, |raw, place, notes| {
        task::decode_task(raw, Some(&app.id), naming, place, notes)
    });
    let results = dto.readiness_check_results.0.iter().filter_map(|result| result.0.as_ref()?.result());
    for result in results {
        // One result per check, and all of them have to be good.
        for task in tasks.iter_mut().filter(|task| task.id == result.task) {
            task.ready = Some(task.ready.unwrap_or(true) && result.ready);
        }
    }
    Ok(AppListing { app, tasks })
}

fn health_check(raw: &str) -> Result<HealthCheck, String> {
    let dto: HealthCheckDto<'_> = object(raw)?;
    let protocol = dto.protocol.get().unwrap_or("HTTP").to_ascii_uppercase();
    let command = protocol == "COMMAND";
    let kind = if command || protocol.starts_with("MESOS_") {
        HealthCheckKind::Mesos
    } else {
        HealthCheckKind::Marathon
    };
    let port = dto.port.port();
    let by_default = if command || port.is_some() { None } else { Some(0) };
    Ok(HealthCheck {
        protocol: protocol.into(),
        kind,
        path: dto.path.shared(),
        port_index: dto.port_index.whole::<u16>().map(usize::from).or(by_default),
        port,
        grace_seconds: dto.grace_period_seconds.as_f64().unwrap_or(300.0),
        interval_seconds: dto.interval_seconds.as_f64().unwrap_or(60.0),
        timeout_seconds: dto.timeout_seconds.as_f64().unwrap_or(20.0),
        max_consecutive_failures: dto.max_consecutive_failures.whole().unwrap_or(3),
    })
}

fn readiness_check(raw: &str) -> Result<ReadinessCheck, String> {
    let dto: ReadinessCheckDto<'_> = object(raw)?;
    Ok(ReadinessCheck {
        name: dto.name.shared().unwrap_or_else(|| "readinessCheck".into()),
        port_name: dto.port_name.shared(),
        interval_seconds: dto.interval_seconds.as_f64().unwrap_or(30.0),
        timeout_seconds: dto.timeout_seconds.as_f64().unwrap_or(10.0),
    })
}

fn deployment(raw: &str) -> Result<Deployment, String> {
    let dto: IdDto<'_> = object(raw)?;
    let id = dto.id.get().ok_or_else(|| "it has no id".to_owned())?;
    DeploymentId::new(id).map(|id| Deployment { id }).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::{HostPort, NetworkMode};

    #[track_caller]
    fn check(text: &str) -> App {
        let mut notes = Notes::default();
        let listing = decode_app(text, "", "app", &mut notes).unwrap();
        assert_eq!(notes.into_warnings(), [], "{text}");
        listing.app
    }

    #[test]
    fn the_same_bridged_app_in_two_generations() {
        let old = check(
            r#"{"id":"/web","instances":2.0,"ports":[10000],"env":{},"cmd":null,"args":null,
            "portDefinitions":[{"port":10000,"protocol":"tcp","labels":{}}],"requirePorts":false,"ipAddress":null,
            "container":{"type":"DOCKER","volumes":[],"docker":{"image":"web:1","network":"BRIDGE",
            "portMappings":[{"containerPort":80,"hostPort":0,"servicePort":10000,"protocol":"tcp","name":"http"}]}}}"#,
        );
        let new = check(
            r#"{"id":"/web","instances":2,"networks":[{"mode":"container/bridge"}],
            "container":{"type":"DOCKER","docker":{"image":"web:1"},"portMappings":[{"containerPort":80,"hostPort":0,
            "labels":{},"name":"http","protocol":"tcp","servicePort":10000}]}}"#,
        );
        assert_eq!(old, new);
        assert_eq!(old.network, NetworkMode::Bridge);
        assert_eq!(old.ports[0].service_port, Some(10000));
    }

    #[test]
    fn missing_null_and_empty_are_the_same() {
        let bare = check(r#"{"id":"/a"}"#);
        let nulls = check(
            r#"{"id":"/a","version":null,"labels":null,"container":null,"networks":null,"ipAddress":null,"ports":null,
            "portDefinitions":null,"healthChecks":null,"readinessChecks":null,"deployments":null,"tasks":null,
            "taskKillGracePeriodSeconds":null,"versionInfo":null,"instances":null,"requirePorts":null}"#,
        );
        let empty = check(
            r#"{"id":"/a","version":"","labels":{},"container":{},"networks":[],"ports":[],"portDefinitions":[],
            "healthChecks":[],"readinessChecks":[],"deployments":[],"tasks":[],"versionInfo":{}}"#,
        );
        assert_eq!((&bare, &bare), (&nulls, &empty));
        assert_eq!((bare.instances, bare.network, bare.ports.len()), (1, NetworkMode::Host, 0));
    }

    #[test]
    fn readiness_results_are_told_to_their_tasks() {
        let mut notes = Notes::default();
        let text = r#"{"id":"/a","readinessChecks":[{"name":"r"}],"readinessCheckResults":[{"name":"r","taskId":"a.1",
            "ready":false,"lastResponse":{"status":503}},{"name":"r","taskId":"a.2","ready":true},{"taskId":"a.9"},null],
            "tasks":[{"id":"a.1"},{"id":"a.2"},{"id":"a.3"}]}"#;
        let listing = decode_app(text, "", "app", &mut notes).unwrap();
        let ready: Vec<_> = listing.tasks.iter().map(|task| task.ready).collect();
        assert_eq!(ready, [Some(false), Some(true), None]);
    }

    #[test]
    fn network_modes_of_old_generations() {
        let user = check(
            r#"{"id":"/u","ipAddress":{"networkName":"dcos"},"container":{"docker":{"network":"USER",
            "portMappings":[{"containerPort":80,"servicePort":10001},{"containerPort":0,"hostPort":31000}]}}}"#,
        );
        assert_eq!(user.network, NetworkMode::Container { networks: vec!["dcos".into()] });
        let host_ports: Vec<_> = user.ports.iter().map(|port| port.host_port).collect();
        assert_eq!(host_ports, [HostPort::None, HostPort::Fixed(31000)]);
        assert_eq!(user.ports[1].container_port, None);

        let own = check(
            r#"{"id":"/i","ports":[10002],"ipAddress":{"discovery":{"ports":[{"number":80,"name":"http"}]}}}"#,
        );
        assert_eq!(own.network, NetworkMode::IpPerTask { network: None });
        assert_eq!((own.ports[0].container_port, own.ports[0].service_port), (Some(80), Some(10002)));

        let required = check(r#"{"id":"/h","requirePorts":true,"ports":[8080]}"#);
        assert_eq!(required.ports[0].host_port, HostPort::Fixed(8080));
    }

    #[test]
    fn a_broken_part_is_named_and_the_rest_is_kept() {
        let mut notes = Notes::default();
        let text = r#"{"id":"x","healthChecks":[7,{"protocol":"TCP"}],"tasks":[{"id":""},{"id":"x.1","state":"TASK_RUNNING"}]}"#;
        let listing = decode_app(text, "/group", "apps[0]", &mut notes).unwrap();
        assert_eq!(listing.app.id.as_str(), "/group/x");
        assert_eq!((listing.app.health_checks.len(), listing.tasks.len()), (1, 1));
        let places: Vec<_> = notes.into_warnings().into_iter().map(|warning| warning.place).collect();
        assert_eq!(places, ["apps[0] /group/x: healthChecks[0]", "apps[0] /group/x: tasks[0]"]);
    }
}
