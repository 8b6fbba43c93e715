//! From the command line to the command, and from its end to the exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cli::{Cli, Command, SettingsArgs};
use crate::config::{Config, Raw};
use crate::node::Node;
use crate::report::{Exit, Report};
use crate::{client, commands, demo, logging};

/// How long a thread for blocking work waits for more. A listing of 38 MB is decoded on one, and the allocator gives back
/// what was freed there when the thread ends: after 3 s instead of tokio's 10. Must be above the allocator's own pause
/// (1 s), or there is nothing to give back yet.
const ASIDE_THREADS: Duration = Duration::from_secs(3);

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; they go to standard output and end well.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { Report::new(Exit::Usage, "").exit_code() };
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprint!("{}", report.text());
            report.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<(), Report> {
    match command {
        Command::Store(command) => return commands::store::run(&command),
        Command::Completions { shell } => {
            commands::completions::print(shell);
            return Ok(());
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(ASIDE_THREADS)
        .build()
        .map_err(|error| Report::could_not_run("cannot start the runtime").because(&error))?;
    let done = runtime.block_on(run(command));
    // Parts have ended or were cut off by then; nothing may hold the process.
    runtime.shutdown_background();
    done
}

async fn run(command: Command) -> Result<(), Report> {
    match command {
        Command::Serve(settings) => serve(&settings).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Sim(args) => commands::sim::run(&args).await,
        Command::Check(args) => commands::check::run(&args).await,
        Command::Explain(args) => client::explain(&args).await,
        Command::Watch(args) => client::watch(&args).await,
        Command::Preset(command) => client::preset(&command).await,
        Command::Queue(command) => client::queue(&command).await,
        Command::Module(command) => client::module(&command).await,
        Command::Inventory(args) => client::inventory(&args).await,
        Command::Sync(args) => client::sync(&args).await,
        // Done without a runtime.
        Command::Store(_) | Command::Completions { .. } => Ok(()),
    }
}

/// `mconn serve`
async fn serve(settings: &SettingsArgs) -> Result<(), Report> {
    let config = load(settings)?;
    let logging = start_logging(&config)?;
    let cancel = CancellationToken::new();
    // Listening for signals begins before anything is started, so that none is missed.
    let signals = tokio::spawn(end_on_signal(cancel.clone()));
    let levels = tokio::spawn(debug_on_signal(logging.control.clone()));
    let node = Node::start(&config, cancel).await.inspect_err(|report| {
        error!(context = "App", "{}", report.line());
    })?;
    let ended = node.join(config.node.shutdown_timeout).await;
    signals.abort();
    levels.abort();
    if ended.is_ok() {
        info!(context = "App", "Ended");
    }
    ended
}

/// Reads file and environment, and resolves them with the flags.
pub(crate) fn load(settings: &SettingsArgs) -> Result<Config, Report> {
    let mut raw = Raw::new();
    if let Some(file) = &settings.file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Report::usage(format!("cannot read the configuration file {}", file.display())).because(&error)
        })?;
        raw = raw.with_file(&file.display().to_string(), &text);
    }
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        // A name or value that is no text cannot be one of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let raw = raw.with_environment(environment).with_flags(settings.flags.iter().cloned());
    raw.resolve()
        .map_err(|errors| Report::usage(errors.to_string()).hint("docs/configuration.md has all settings"))
}

/// Starts logging as configured. What it returns flushes when it is dropped.
pub(crate) fn start_logging(config: &Config) -> Result<logging::Logging, Report> {
    let options = logging::Options {
        level: config.log.level,
        format: config.log.format,
        muted: config.log.muted,
        development: config.node.development,
        colours: false,
        filter: std::env::var("RUST_LOG").ok(),
    };
    let options = options.for_terminal(std::env::var("NO_COLOR").ok().as_deref());
    logging::start(&options).map_err(|error| Report::could_not_run("cannot start logging").because(&error))
}

/// The first SIGINT or SIGTERM ends the node in order, the second one at once.
pub(crate) async fn end_on_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        warn!(context = "App", "Signals cannot be caught: end this node with POST /v1/exit/node");
        return;
    };
    // A node shows debug lines on this one; by default it would end the others.
    let _handled = signal(SignalKind::user_defined1());
    for times in 1.. {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        if times > 1 {
            // The log's queue would not be written any more.
            eprintln!("{name} again: ending at once");
            std::process::exit(130);
        }
        info!(context = "App", "{name}: ending (once more ends at once)");
        cancel.cancel();
    }
}

/// SIGUSR1 shows debug lines, and once more hides them again.
async fn debug_on_signal(control: logging::LevelControl) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut user) = signal(SignalKind::user_defined1()) else { return };
    let configured = control.get();
    while user.recv().await.is_some() {
        let debug = control.get() == logging::Level::Debug;
        control.set(if debug { configured } else { logging::Level::Debug });
        info!(context = "App", "SIGUSR1: the log level is now {:?}", control.get());
    }
}
