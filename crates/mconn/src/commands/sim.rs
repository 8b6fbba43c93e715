//! `mconn sim`: the simulated Marathon on its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use mconn_sim::{DcosOptions, DcosScheme, Profile, Sim, SimError, SimOptions, TlsOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::scenario;
use crate::cli::SimArgs;
use crate::report::Report;
use crate::run::end_on_signal;

pub(crate) async fn run(args: &SimArgs) -> Result<(), Report> {
    if args.list_scenarios {
        print!("{}", scenario::list());
        return Ok(());
    }
    let scenario = scenario::wanted(args)?;
    let profile = args.profile.as_deref().map_or_else(|| Ok(Profile::default()), profile)?;
    let initial_apps = args.apps.as_deref().map(read_apps).transpose()?.unwrap_or_default();
    let defaults = SimOptions::default();
    let options = SimOptions {
        seed: args.seed.unwrap_or(defaults.seed),
        speed: args.speed.unwrap_or(defaults.speed),
        profile,
        nodes: args.nodes.get(),
        agents: args.agents.map_or(defaults.agents, std::num::NonZero::get),
        agent_attributes: args.agent_attribute.iter().cloned().collect(),
        task_sockets: args.task_sockets,
        credentials: args.credentials.clone().filter(|text| !text.is_empty()),
        dcos: args.dcos.then(|| read_dcos(args)).transpose()?,
        tls: read_tls(args)?,
        callbacks: !args.no_callbacks,
        initial_apps,
        ..defaults
    };
    let options = scenario.as_ref().map_or(options.clone(), |scenario| scenario.options(options));
    if let Some(scenario) = scenario.as_ref().filter(|_| args.rehearse) {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        return match scenario::rehearse(scenario, options, &mut out) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Report::failed("the events cannot be written").because(&error))
            }
            _ => Ok(()),
        };
    }
    let profile = options.profile.name;
    let sim = Sim::start(options, args.listen).await.map_err(|error| sim_report(&error))?;
    if args.fill_apps > 0 {
        sim.handle().fill(args.fill_apps, args.fill_tasks).await;
    }
    let ca = sim.ca_pem().map(|pem| CaFile::write(args.tls_ca.as_deref(), pem)).transpose()?;
    println!("simulated Marathon {profile} listens on {}", sim.url());
    println!("  apps      {}/v2/apps", sim.url());
    println!("  events    curl -N -H 'Accept: text/event-stream' {}/v2/events", sim.url());
    println!("  controls  {}/sim/state", sim.url());
    for address in &sim.addresses()[1..] {
        println!("  follower  {}://{address}", if args.is_https() { "https" } else { "http" });
    }
    if let Some(ca) = &ca {
        println!("  CA file   {}", ca.path.display());
    }
    if args.dcos {
        println!("  login     {}/acs/api/v1/auth/login", sim.url());
    }
    if let Some(scenario) = scenario {
        println!(
            "  scenario  {} ({} steps), {}/sim/scenario",
            scenario.name,
            scenario.steps.len(),
            sim.url()
        );
        sim.handle().play(scenario);
    }
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(end_on_signal(cancel.clone()));
    cancel.cancelled().await;
    sim.shutdown().await;
    signals.abort();
    Ok(())
}

fn profile(name: &str) -> Result<Profile, Report> {
    Profile::by_name(name).ok_or_else(|| {
        Report::usage(format!("there is no profile \"{name}\"")).hint(format!(
            "there are: {}",
            Profile::all().iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ")
        ))
    })
}

/// Why it does not start, and what to do.
pub(crate) fn sim_report(error: &SimError) -> Report {
    let report = Report::could_not_run("the simulated Marathon does not start").because(error);
    match error {
        SimError::Listen { .. } => report.hint("port 0 takes a free one"),
        SimError::InitialApps { .. } => {
            report.hint("see --apps: definitions are refused as Marathon would refuse them")
        }
        SimError::Tls { .. } => report
            .hint("--tls-cert takes the chain as PEM, --tls-key its private key; --tls alone makes both up"),
        SimError::Dcos { .. } => {
            report.hint("--dcos-key takes UID=FILE with an RSA public key: openssl pkey -in KEY -pubout")
        }
    }
}

/// Who can log in; the user that a fresh DC/OS has, unless somebody is named.
fn read_dcos(args: &SimArgs) -> Result<DcosOptions, Report> {
    let mut users: BTreeMap<String, String> = args.dcos_users.iter().cloned().collect();
    let mut accounts = BTreeMap::new();
    for (uid, file) in &args.dcos_keys {
        accounts.insert(uid.clone(), read_text(Path::new(file))?);
    }
    if users.is_empty() && accounts.is_empty() {
        users.insert("bootstrapuser".to_owned(), "deleteme".to_owned());
    }
    let scheme = if args.dcos_oauth { DcosScheme::Oauth } else { DcosScheme::Acs };
    let token_lifetime = args.token_lifetime.unwrap_or(DcosOptions::default().token_lifetime);
    Ok(DcosOptions { users, accounts, token_lifetime, scheme })
}

fn read_tls(args: &SimArgs) -> Result<Option<TlsOptions>, Report> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => {
            let (certificates, key) = (read_text(certificates)?, read_text(key)?);
            Ok(Some(TlsOptions::Pem { certificates, key }))
        }
        _ => Ok(args.tls.then_some(TlsOptions::Generated)),
    }
}

fn read_text(file: &Path) -> Result<String, Report> {
    std::fs::read_to_string(file)
        .map_err(|error| Report::usage(format!("cannot read {}", file.display())).because(&error))
}

/// The certificate of the authority that was made up, where clients can read it.
struct CaFile {
    path: PathBuf,
    /// Removed at the end; a file that was asked for by name stays.
    _dir: Option<TempDir>,
}

impl CaFile {
    fn write(wanted: Option<&Path>, pem: &str) -> Result<CaFile, Report> {
        let failed = |error: &std::io::Error| {
            Report::could_not_run("the CA file cannot be written")
                .because(error)
                .hint("--tls-ca names another one")
        };
        let (path, dir) = match wanted {
            Some(path) => (path.to_owned(), None),
            None => {
                let dir = tempfile::Builder::new().prefix("mconn-sim-").tempdir();
                let dir = dir.map_err(|error| failed(&error))?;
                (dir.path().join("ca.pem"), Some(dir))
            }
        };
        let mut file = std::fs::File::create(&path).map_err(|error| failed(&error))?;
        file.write_all(pem.as_bytes()).map_err(|error| failed(&error))?;
        Ok(CaFile { path, _dir: dir })
    }
}

/// One definition, an array of them, or what `GET /v2/apps` answers.
fn read_apps(file: &Path) -> Result<Vec<Value>, Report> {
    let text = std::fs::read(file)
        .map_err(|error| Report::usage(format!("cannot read {}", file.display())).because(&error))?;
    let json: Value = serde_json::from_slice(&text)
        .map_err(|error| Report::usage(format!("{} is no JSON", file.display())).because(&error))?;
    Ok(match json {
        Value::Array(apps) => apps,
        Value::Object(mut object) => match object.remove("apps") {
            Some(Value::Array(apps)) => apps,
            _ => vec![Value::Object(object)],
        },
        _ => {
            return Err(Report::usage(format!("{} holds no app definition", file.display()))
                .hint("give one definition, an array, or {\"apps\": [...]}"));
        }
    })
}
