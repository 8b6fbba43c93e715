//! The Marathons as the node uses them: for following, for syncs, and for registering a callback.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use mconn_catalog::{CatalogHandle, Fetch};
use mconn_marathon::client::{ClientError, ClientSettings, Endpoint, MarathonClient};
use mconn_marathon::follow::{
    FollowSettings, FollowStats, Request, RequestCount, RequestKind, Wiring, follow,
};
use mconn_model::{Observation, SourceId};
use mconn_queue::{RunningList, RunningTask, RunningTasks};
use mconn_web::{Follower, FollowerCounts, RequestCounts};
use mconn_wire::dcos::{DcosCredential, DcosSettings};
use mconn_wire::http::{Credentials, HttpSettings, Trust};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::supervise::{Step, Supervisor};
use crate::config::{Cluster, Config, DcosSource, Marathon, MarathonHost, SecretUrl};
use crate::report::Report;

/// Requests of the catalog that may wait; one that finds no room is made again later.
const REQUESTS: usize = 64;
/// First and longest pause before a callback is registered again.
const CALLBACK_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long unregistering may hold up the end of the node.
const UNREGISTER: Duration = Duration::from_secs(2);

/// One Marathon as everything here uses it.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) cluster: Cluster,
    pub(crate) client: MarathonClient,
    /// Of its follower, and of whatever else it is asked.
    stats: Arc<FollowStats>,
}

/// Clients of all configured Marathons; none if none is to be followed. Opens no connection.
pub(crate) fn connect(config: &Config) -> Result<Vec<Connected>, Report> {
    config.marathon.clusters.iter().map(|cluster| connect_one(config, cluster.clone())).collect()
}

/// A client of this one. Opens no connection.
pub(crate) fn connect_one(config: &Config, cluster: Cluster) -> Result<Connected, Report> {
    let marathon = &config.marathon;
    let endpoint = |host: &MarathonHost| {
        let credentials = host.credentials.as_ref();
        let credentials =
            credentials.map(|given| Credentials::new(given.reveal_user(), given.reveal_password()));
        Endpoint::parse(&host.url(), host.tls).map(|endpoint| endpoint.with_credentials(credentials))
    };
    let endpoints = cluster.hosts.iter().map(endpoint).collect::<Result<Vec<_>, _>>();
    let endpoints = endpoints
        .map_err(|error| Report::usage(format!("{} is not usable", cluster.setting())).because(&error))?;
    let trust = match (&marathon.ca_file, marathon.verify) {
        (_, false) => Trust::Anybody,
        (Some(file), true) => Trust::CaFile(file.clone()),
        (None, true) => Trust::System,
    };
    let http = HttpSettings { trust, connect_timeout: marathon.connect_timeout, ..HttpSettings::default() };
    let settings = ClientSettings {
        http,
        dcos: dcos(marathon, &cluster)?,
        request_timeout: marathon.request_timeout,
        listing_timeout: marathon.listing_timeout,
        ..ClientSettings::new(endpoints)
    };
    let client = MarathonClient::new(settings)
        .map_err(|error| Report::could_not_run("cannot set up the client of Marathon").because(&error))?;
    Ok(Connected { cluster, client, stats: Arc::default() })
}

/// How to log in to the DC/OS of this Marathon. Reads the credential, if it is in a file.
fn dcos(marathon: &Marathon, cluster: &Cluster) -> Result<Option<DcosSettings>, Report> {
    let Some(dcos) = &marathon.dcos else { return Ok(None) };
    let credential = match &dcos.credential {
        DcosSource::Inline(credential) => credential.clone(),
        DcosSource::File(path) => {
            let unusable = || format!("cannot use the DC/OS credential in {}", path.display());
            let text = std::fs::read_to_string(path)
                .map_err(|error| Report::could_not_run(unusable()).because(&error))?;
            DcosCredential::parse(&text).map_err(|error| Report::could_not_run(unusable()).because(&error))?
        }
    };
    let set = dcos.login_endpoint.as_ref().map(SecretUrl::reveal);
    let beside = cluster.beside.as_ref().map(SecretUrl::reveal);
    match set.or(credential.login_endpoint()).or(beside).cloned() {
        Some(login_endpoint) => Ok(Some(DcosSettings { credential, login_endpoint })),
        // Another one is behind DC/OS, and this one beside it need not be.
        None if marathon.clusters.iter().any(|other| other.beside.is_some()) => Ok(None),
        None => Err(Report::usage("the DC/OS credential does not tell where to log in")
            .hint("set MCONN_DCOS_LOGIN_ENDPOINT, usually to https://<master>/acs/api/v1/auth/login")),
    }
}

/// Running tasks as the Marathons list them, for syncs. All are asked at once; the slowest decides when the list is there.
pub(super) struct Listed(pub(super) Vec<Connected>);

impl RunningTasks for Listed {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        let sources = self.0.clone();
        async move {
            let count = sources.len();
            let (mut all, mut failures) = (RunningList::default(), Vec::new());
            for listed in join_all(sources.into_iter().map(list)).await {
                match listed {
                    Ok(list) => {
                        all.tasks.extend(list.tasks);
                        all.complete.extend(list.complete);
                    }
                    Err(failure) => failures.push(failure),
                }
            }
            if failures.len() == count {
                return Err(failures.join("; "));
            }
            // Tasks of those that answer are compared; of the others nothing is removed.
            all.unread = failures.len();
            for failure in &failures {
                warn!(
                    context = "Marathon",
                    "A sync goes on without one Marathon, whose tasks are left alone: {failure}"
                );
            }
            Ok(all)
        }
        .boxed()
    }
}

/// What runs in one Marathon.
async fn list(marathon: Connected) -> Result<RunningList, String> {
    let Connected { cluster, client, stats } = marathon;
    let listed = client.running_tasks().await;
    stats.requests.note(RequestKind::Other, listed.is_ok());
    let listed = listed.map_err(|error| {
        let (ClientError::NoneAnswered { attempts, .. } | ClientError::Unsupported { attempts, .. }) = &error;
        for attempt in attempts {
            let host = attempt.endpoint.base().authority();
            error!(context = "Module", "Could not fetch the inventory from Marathon Host {host}");
        }
        error.to_string()
    })?;
    if let Some(first) = listed.warnings.first() {
        let (count, name) = (listed.warnings.len(), &cluster.name);
        warn!(
            context = "Marathon",
            "{count} running tasks of {name} cannot be read, nothing of it is removed: {first}"
        );
    }
    let source = cluster.mark();
    let running = |task: mconn_marathon::json::RunningTask| RunningTask {
        source: source.clone(),
        id: task.task,
        app: task.app,
        host: task.host,
        ports: task.ports,
    };
    Ok(RunningList {
        complete: listed.warnings.is_empty().then(|| source.clone()).into_iter().collect(),
        tasks: listed.tasks.into_iter().map(running).collect(),
        unread: 0,
    })
}

/// Starts to follow; returns where the catalog's requests go, and the counters.
pub(super) fn start_follower(
    config: &Config,
    marathon: &Connected,
    observations: mpsc::Sender<(SourceId, Vec<Observation>)>,
    catalog: &CatalogHandle,
    supervisor: &mut Supervisor,
) -> (mpsc::Sender<Fetch>, Follower) {
    let Connected { cluster, client, stats } = marathon.clone();
    let source = cluster.name.clone();
    let (fetches, mut fetched) = mpsc::channel(REQUESTS);
    let (asked, requests) = mpsc::channel(REQUESTS);
    let settings = FollowSettings {
        silence: config.marathon.watchdog,
        compare_min: config.marathon.compare_min,
        compare_max: config.marathon.compare_max,
        mark: cluster.mark(),
        ..FollowSettings::default()
    };
    let counts = counts(stats.clone(), catalog.clone(), source.clone());
    let follower = Follower { source: source.clone(), mark: cluster.mark(), counts };
    let name = format!("follower of {source}");
    let wiring = Wiring { source, observations, requests, stats };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, name, async move {
        // The catalog says what it wants in its own words, Marathon's client takes them in its own.
        let translate = async {
            while let Some(fetch) = fetched.recv().await {
                let request = match fetch {
                    Fetch::App(_, app) => Request::App(app),
                    Fetch::Listing(_) => Request::Listing,
                };
                if asked.send(request).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = follow(client, settings, wiring, token) => {}
            () = translate => {}
        }
        Ok(())
    });
    (fetches, follower)
}

fn counts(
    stats: Arc<FollowStats>,
    catalog: CatalogHandle,
    source: SourceId,
) -> Arc<dyn Fn() -> FollowerCounts + Send + Sync> {
    Arc::new(move || FollowerCounts {
        requests: RequestKind::ALL.map(|kind| {
            let RequestCount { ok, failed } = stats.requests.get(kind);
            RequestCounts { kind: kind.as_str(), ok, failed }
        }),
        budget_per_minute: catalog.budget(&source).per_minute,
        budget_left: catalog.budget(&source).left,
        events: stats.events.load(Relaxed),
        undecodable: stats.undecodable.load(Relaxed),
        stream_bytes: stats.stream_bytes.load(Relaxed),
        attached: stats.attached.load(Relaxed),
        failed_requests: stats.failed_requests.load(Relaxed),
        left_out: stats.warnings.load(Relaxed),
    })
}

/// Registers our callback with a Marathon if that is wanted, for as long as the node runs.
pub(super) fn register_callback(config: &Config, marathon: &Connected, supervisor: &mut Supervisor) {
    let Some(url) = &config.marathon.callback_url else { return };
    let Connected { cluster, client, stats } = marathon.clone();
    let callback = Callback { url: callback_url(url, &cluster), client, stats, of: cluster.name.clone() };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, format!("callback of {}", cluster.name), async move {
        if callback.register(&token).await {
            token.cancelled().await;
            callback.unregister().await;
        }
        token.cancelled().await;
        Ok(())
    });
}

/// A Marathon does not say who it is, so the address that it calls does.
fn callback_url(url: &SecretUrl, cluster: &Cluster) -> SecretUrl {
    let mut url = url.reveal().clone();
    if let Some(mark) = cluster.mark() {
        url.query_pairs_mut().append_pair("source", mark.as_str());
    }
    SecretUrl::new(url)
}

/// Our callback at one Marathon.
struct Callback {
    url: SecretUrl,
    client: MarathonClient,
    stats: Arc<FollowStats>,
    of: SourceId,
}

impl Callback {
    /// Tries until it works or makes no sense; whether it is registered.
    async fn register(&self, token: &CancellationToken) -> bool {
        let Self { url, client, stats, of } = self;
        let mut pause = CALLBACK_PAUSE.0;
        loop {
            let Some(done) = token.run_until_cancelled(client.subscribe(url.reveal().as_str())).await else {
                return false;
            };
            stats.requests.note(RequestKind::Other, done.is_ok());
            match done {
                Ok(()) => {
                    info!(context = "Marathon", "The callback {url} is registered with Marathon ({of})");
                    return true;
                }
                Err(error @ ClientError::Unsupported { .. }) => {
                    warn!(context = "Marathon", "The callback {url} is not registered ({of}): {error}");
                    return false;
                }
                Err(error) => {
                    warn!(
                        context = "Marathon",
                        "The callback {url} is not registered yet ({of}), next attempt in {pause:?}: {error}"
                    );
                    token.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(CALLBACK_PAUSE.1);
                }
            }
        }
    }

    async fn unregister(&self) {
        let Self { url, client, stats, of } = self;
        let done = tokio::time::timeout(UNREGISTER, client.unsubscribe(url.reveal().as_str())).await;
        stats.requests.note(RequestKind::Other, matches!(done, Ok(Ok(()))));
        match done {
            Ok(Ok(())) => info!(context = "Marathon", "The callback {url} is unregistered ({of})"),
            Ok(Err(error)) => {
                warn!(context = "Marathon", "The callback {url} stays registered ({of}): {error}");
            }
            Err(_) => warn!(
                context = "Marathon",
                "The callback {url} stays registered ({of}): Marathon does not answer"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Raw;

    /// Where each Marathon's login goes, or what is wrong.
    fn logins(environment: &[(&str, &str)]) -> Vec<Result<Option<String>, String>> {
        let with_credential = environment.iter().copied().chain([("MCONN_DCOS_CREDENTIAL", "ann:hush")]);
        let config = Raw::new().with_environment(with_credential).resolve().unwrap();
        let login = |cluster| match dcos(&config.marathon, cluster) {
            Ok(login) => Ok(login.map(|login| login.login_endpoint.to_string())),
            Err(report) => Err(report.line()),
        };
        config.marathon.clusters.iter().map(login).collect()
    }

    #[test]
    fn each_marathon_logs_in_at_its_own_dcos() {
        let at = |text: &str| Ok(Some(text.to_owned()));
        let hosts = ("MCONN_MARATHON_HOSTS", "a:1,http://b/service/marathon");
        let clusters = ("MCONN_MARATHON_CLUSTERS", "east=https://c:8443/marathon,west=d:1");
        let own =
            [at("http://b/acs/api/v1/auth/login"), at("https://c:8443/acs/api/v1/auth/login"), Ok(None)];
        assert_eq!(logins(&[hosts, clusters]), own);
        let everywhere = ("MCONN_DCOS_LOGIN_ENDPOINT", "https://e/login");
        assert_eq!(logins(&[hosts, clusters, everywhere]), [0; 3].map(|_| at("https://e/login")));
        let nowhere = logins(&[("MCONN_MARATHON_HOSTS", "a:1"), ("MCONN_MARATHON_CLUSTERS", "west=d:1")]);
        assert!(nowhere.iter().all(|login| login.as_ref().is_err_and(|it| it.contains("where to log in"))));
    }
}
