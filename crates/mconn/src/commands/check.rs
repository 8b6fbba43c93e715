//! `mconn check`: what is wrong before anything starts.

use std::net::TcpListener;
use std::path::Path;

use futures_util::future::join_all;
use mconn_marathon::client::EventFilter;
use mconn_store_embedded::FILE_NAME;

use crate::cli::CheckArgs;
use crate::config::{self, Cluster, Config, explain};
use mconn_zookeeper::{ErrorKind, Session, Settings};

use crate::node::{Connected, connect_marathon, connect_marathons, look_at_zookeeper, store_left_behind};
use crate::report::Report;
use crate::run::load;

/// What a check found.
enum Finding {
    Good(String),
    Warning(String),
    Bad(String),
}

/// Prints the settings with their origin, then one line per check. Fails if any is bad.
pub(crate) async fn run(args: &CheckArgs) -> Result<(), Report> {
    let config = load(&args.settings)?;
    println!("{}", explain(&config));
    let mut findings: Vec<Finding> = config.warnings.iter().cloned().map(Finding::Warning).collect();
    findings.push(port(&config));
    findings.push(store(&config, args.offline).await);
    findings.extend(modules(&config));
    if !args.offline {
        findings.extend(marathons(&config).await);
    }
    let mut bad = 0;
    for finding in findings {
        match finding {
            Finding::Good(text) => println!("ok       {text}"),
            Finding::Warning(text) => println!("warning  {text}"),
            Finding::Bad(text) => {
                bad += 1;
                println!("BAD      {text}");
            }
        }
    }
    if bad > 0 {
        return Err(Report::failed(format!("{bad} check(s) failed, see above")));
    }
    Ok(())
}

fn port(config: &Config) -> Finding {
    let addr = std::net::SocketAddr::new(config.node.bind, config.node.port);
    match TcpListener::bind(addr) {
        Ok(_) => Finding::Good(format!("port: {addr} is free")),
        Err(error) => Finding::Bad(format!("port: {addr} cannot be used: {error}")),
    }
}

async fn store(config: &Config, offline: bool) -> Finding {
    if let Some(report) = store_left_behind(config) {
        return Finding::Bad(format!("store: {}", report.line()));
    }
    let data_dir = match &config.store {
        config::Store::Embedded { data_dir } => data_dir,
        config::Store::Memory => {
            return Finding::Warning("store: memory, everything is gone when the node ends".to_owned());
        }
        config::Store::ZooKeeper { settings, .. } if offline => {
            return Finding::Good(format!("store: ZooKeeper {}, which was not asked", settings.place()));
        }
        config::Store::ZooKeeper { settings, .. } => return zookeeper(settings).await,
    };
    if !data_dir.join(FILE_NAME).exists() {
        return writable(data_dir);
    }
    match mconn_store_embedded::check(data_dir) {
        Ok(report) if report.problems.is_empty() => {
            Finding::Good(format!("store: {} is sound ({})", report.file.display(), report.counts))
        }
        Ok(report) => Finding::Bad(format!(
            "store: {} has {} problem(s), the first: {}; see \"mconn store check --data-dir {}\"",
            report.file.display(),
            report.problems.len(),
            report.problems[0],
            data_dir.display()
        )),
        Err(error) => Finding::Bad(format!("store: {error}")),
    }
}

/// Whether it can be reached and lets us in. Creates nothing.
async fn zookeeper(settings: &Settings) -> Finding {
    let place = settings.place();
    let session = match Session::visit(settings.clone()).await {
        Ok(session) => session,
        Err(error) if error.kind == ErrorKind::NoNode => {
            return Finding::Good(format!("store: ZooKeeper {place} answers; the path will be created"));
        }
        Err(error) => return Finding::Bad(format!("store: {error}")),
    };
    let looked = look_at_zookeeper(&session).await;
    let granted = session.timeout();
    session.close(settings.call_deadline).await;
    match looked {
        Ok(members) => Finding::Good(format!(
            "store: ZooKeeper {place} answers, {members} node(s) take part, sessions time out after {granted:?}"
        )),
        Err(error) => Finding::Bad(format!("store: {error} (MCONN_ZK_AUTH)")),
    }
}

/// Whether the directory, or the nearest one above it that exists, can be written to.
fn writable(dir: &Path) -> Finding {
    let Some(existing) = dir.ancestors().find(|ancestor| ancestor.exists() && *ancestor != Path::new(""))
    else {
        return Finding::Good(format!("store: {} will be created", dir.display()));
    };
    let probe = existing.join(format!(".mconn-check-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => Finding::Good(format!("store: {} will be created", dir.display())),
        Err(error) => Finding::Bad(format!("store: {} cannot be written to: {error}", existing.display())),
    }
}

fn modules(config: &Config) -> Vec<Finding> {
    let delays = mconn_modules::Delays::default();
    let (found, errors) = mconn_modules::find(&config.modules.start, &config.modules.path, delays);
    let mut findings: Vec<_> = found
        .iter()
        .map(|found| Finding::Good(format!("module: {} from \"{}\"", found.module.name(), found.folder)))
        .collect();
    findings.extend(errors.iter().map(|error| Finding::Bad(format!("module: {error}"))));
    if findings.is_empty() {
        findings.push(Finding::Warning("modules: none are started (MCONN_MODULE_START is empty)".to_owned()));
    }
    findings
}

/// Findings of every Marathon.
async fn marathons(config: &Config) -> Vec<Finding> {
    let marathons = match connect_marathons(config) {
        Ok(marathons) => marathons,
        Err(report) => return vec![Finding::Bad(format!("marathon: {}", report.line()))],
    };
    if marathons.is_empty() {
        return vec![Finding::Warning(
            "marathon: none is followed (MCONN_MARATHON_HOSTS is empty)".to_owned(),
        )];
    }
    let several = marathons.len() > 1;
    join_all(marathons.iter().map(|one| marathon(config, one, several))).await.into_iter().flatten().collect()
}

/// One finding per host, then one for what the Marathon as a whole says.
async fn marathon(
    config: &Config,
    Connected { cluster, client, .. }: &Connected,
    several: bool,
) -> Vec<Finding> {
    // The only one needs no name.
    let who = if several { format!("marathon {}", cluster.name) } else { "marathon".to_owned() };
    let mut findings = Vec::new();
    for host in &cluster.hosts {
        let alone = Cluster { hosts: vec![host.clone()], ..cluster.clone() };
        let pinged = match connect_marathon(config, alone) {
            Ok(alone) => alone.client.ping().await.map_err(|error| error.to_string()),
            Err(report) => Err(report.line()),
        };
        findings.push(match pinged {
            Ok(()) => Finding::Good(format!("{who} host {}: answers", host.authority())),
            // The others may do; that none does is found out next.
            Err(error) => Finding::Warning(format!("{who} host {}: {error}", host.authority())),
        });
    }
    findings.push(match (client.info().await, client.listing().await) {
        (Ok(info), Ok(listing)) => Finding::Good(format!(
            "{who}: version {}, led by {}, {} apps and {}",
            info.version.as_deref().unwrap_or("unknown"),
            info.leader.as_deref().unwrap_or("nobody"),
            listing.apps.len(),
            if listing.pods_unknown {
                "no word about pods".to_owned()
            } else {
                format!("{} pods", listing.pods.len())
            }
        )),
        (Err(error), _) | (Ok(_), Err(error)) => Finding::Bad(format!("{who}: {error}")),
    });
    findings.push(match client.events(&EventFilter::default()).await {
        Ok(_) => Finding::Good(format!("{who}: the event stream can be attached")),
        Err(error) => {
            Finding::Warning(format!("{who}: no event stream, changes are found by polling: {error}"))
        }
    });
    findings
}
