//! Marathon as the node uses it: for following, for syncs, and for registering a callback.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mconn_catalog::Fetch;
use mconn_marathon::client::{ClientError, ClientSettings, Endpoint, MarathonClient};
use mconn_marathon::follow::{FollowSettings, FollowStats, Request, Wiring, follow};
use mconn_model::{Observation, SourceId};
use mconn_queue::{RunningList, RunningTask, RunningTasks};
use mconn_web::{Follower, FollowerCounts};
use mconn_wire::dcos::{DcosCredential, DcosSettings};
use mconn_wire::http::{Credentials, HttpSettings, Trust};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::supervise::{Step, Supervisor};
use crate::config::{Config, DcosSource, Marathon, MarathonHost, SecretUrl};
use crate::report::Report;

/// Requests of the catalog that may wait; one that finds no room is made again later.
const REQUESTS: usize = 64;
/// First and longest pause before a callback is registered again.
const CALLBACK_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long unregistering may hold up the end of the node.
const UNREGISTER: Duration = Duration::from_secs(2);

/// A client of the configured Marathon; `None` if none is to be followed. Opens no connection.
pub(crate) fn connect(config: &Config) -> Result<Option<MarathonClient>, Report> {
    let marathon = &config.marathon;
    if marathon.hosts.is_empty() {
        return Ok(None);
    }
    let endpoint = |host: &MarathonHost| {
        let credentials = host.credentials.as_ref();
        let credentials =
            credentials.map(|given| Credentials::new(given.reveal_user(), given.reveal_password()));
        Endpoint::parse(&host.url(), host.tls).map(|endpoint| endpoint.with_credentials(credentials))
    };
    let endpoints = marathon.hosts.iter().map(endpoint).collect::<Result<Vec<_>, _>>();
    let endpoints =
        endpoints.map_err(|error| Report::usage("MCONN_MARATHON_HOSTS is not usable").because(&error))?;
    let trust = match (&marathon.ca_file, marathon.verify) {
        (_, false) => Trust::Anybody,
        (Some(file), true) => Trust::CaFile(file.clone()),
        (None, true) => Trust::System,
    };
    let http = HttpSettings { trust, connect_timeout: marathon.connect_timeout, ..HttpSettings::default() };
    let settings = ClientSettings {
        http,
        dcos: dcos(marathon)?,
        request_timeout: marathon.request_timeout,
        listing_timeout: marathon.listing_timeout,
        ..ClientSettings::new(endpoints)
    };
    let client = MarathonClient::new(settings)
        .map_err(|error| Report::could_not_run("cannot set up the client of Marathon").because(&error))?;
    Ok(Some(client))
}

/// How to log in to DC/OS. Reads the credential, if it is in a file.
fn dcos(marathon: &Marathon) -> Result<Option<DcosSettings>, Report> {
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
    let beside = dcos.beside_marathon.as_ref().map(SecretUrl::reveal);
    let login_endpoint = set.or(credential.login_endpoint()).or(beside).cloned().ok_or_else(|| {
        Report::usage("the DC/OS credential does not tell where to log in")
            .hint("set MCONN_DCOS_LOGIN_ENDPOINT, usually to https://<master>/acs/api/v1/auth/login")
    })?;
    Ok(Some(DcosSettings { credential, login_endpoint }))
}

/// Running tasks as Marathon lists them, for syncs.
pub(super) struct Listed(pub(super) MarathonClient);

impl RunningTasks for Listed {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        let client = self.0.clone();
        async move {
            let listed = client.running_tasks().await.map_err(|error| {
                let (ClientError::NoneAnswered { attempts, .. } | ClientError::Unsupported { attempts, .. }) =
                    &error;
                for attempt in attempts {
                    let host = attempt.endpoint.base().authority();
                    error!(context = "Module", "Could not fetch the inventory from Marathon Host {host}");
                }
                error.to_string()
            })?;
            if let Some(first) = listed.warnings.first() {
                let count = listed.warnings.len();
                warn!(
                    context = "Marathon",
                    "{count} running tasks cannot be read, nothing is removed: {first}"
                );
            }
            let running = |task: mconn_marathon::json::RunningTask| RunningTask {
                id: task.task,
                app: task.app,
                host: task.host,
                ports: task.ports,
            };
            let complete = listed.warnings.is_empty();
            Ok(RunningList { tasks: listed.tasks.into_iter().map(running).collect(), complete })
        }
        .boxed()
    }
}

/// Starts to follow; returns where the catalog's requests go, and the counters.
pub(super) fn start_follower(
    config: &Config,
    client: MarathonClient,
    source: SourceId,
    observations: mpsc::Sender<(SourceId, Vec<Observation>)>,
    supervisor: &mut Supervisor,
) -> (mpsc::Sender<Fetch>, Follower) {
    let (fetches, mut fetched) = mpsc::channel(REQUESTS);
    let (asked, requests) = mpsc::channel(REQUESTS);
    let settings = FollowSettings {
        silence: config.marathon.watchdog,
        compare_min: config.marathon.compare_min,
        compare_max: config.marathon.compare_max,
        ..FollowSettings::default()
    };
    let stats = Arc::new(FollowStats::default());
    let follower = Follower { source: source.clone(), counts: counts(stats.clone()) };
    let wiring = Wiring { source, observations, requests, stats };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "follower", async move {
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

fn counts(stats: Arc<FollowStats>) -> Arc<dyn Fn() -> FollowerCounts + Send + Sync> {
    Arc::new(move || FollowerCounts {
        events: stats.events.load(Relaxed),
        undecodable: stats.undecodable.load(Relaxed),
        stream_bytes: stats.stream_bytes.load(Relaxed),
        attached: stats.attached.load(Relaxed),
        failed_requests: stats.failed_requests.load(Relaxed),
        left_out: stats.warnings.load(Relaxed),
    })
}

/// Registers our callback with Marathon if that is wanted, for as long as the node runs.
pub(super) fn register_callback(config: &Config, client: MarathonClient, supervisor: &mut Supervisor) {
    let Some(url) = config.marathon.callback_url.clone() else { return };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "callback", async move {
        if register(&client, &url, &token).await {
            token.cancelled().await;
            match tokio::time::timeout(UNREGISTER, client.unsubscribe(url.reveal().as_str())).await {
                Ok(Ok(())) => info!(context = "Marathon", "The callback {url} is unregistered"),
                Ok(Err(error)) => warn!(context = "Marathon", "The callback {url} stays registered: {error}"),
                Err(_) => warn!(
                    context = "Marathon",
                    "The callback {url} stays registered: Marathon does not answer"
                ),
            }
        }
        token.cancelled().await;
        Ok(())
    });
}

/// Tries until it works or makes no sense; whether it is registered.
async fn register(client: &MarathonClient, url: &SecretUrl, token: &CancellationToken) -> bool {
    let mut pause = CALLBACK_PAUSE.0;
    loop {
        let Some(done) = token.run_until_cancelled(client.subscribe(url.reveal().as_str())).await else {
            return false;
        };
        match done {
            Ok(()) => {
                info!(context = "Marathon", "The callback {url} is registered with Marathon");
                return true;
            }
            Err(error @ ClientError::Unsupported { .. }) => {
                warn!(context = "Marathon", "The callback {url} is not registered: {error}");
                return false;
            }
            Err(error) => {
                warn!(
                    context = "Marathon",
                    "The callback {url} is not registered yet, next attempt in {pause:?}: {error}"
                );
                token.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(CALLBACK_PAUSE.1);
            }
        }
    }
}
