//! The processes: one ZooKeeper and the nodes. Each is ended by its id, and by the system if the demo itself is killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use mconn_zookeeper::local::{self, Ensemble, Options, Process, tied};
use tokio::time::Instant;

use super::{MODULE, SESSION, zookeeper_report};
use crate::cli::DemoArgs;
use crate::report::Report;

/// How long nodes have for an end in order; more than MCONN_SHUTDOWN_TIMEOUT.
const END: Duration = Duration::from_secs(8);
/// How often it is looked whether a process has done something.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a node's log that are told when it ends unasked.
const LAST_LINES: usize = 12;
/// What of the user's environment the nodes get: no setting of theirs.
const ENVIRONMENT: &[&str] = &["PATH", "TMPDIR", "TZ", "LANG", "LLVM_PROFILE_FILE"];

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    // After the nodes: it ends when they are gone.
    zookeeper: Option<Ensemble>,
    dir: PathBuf,
    binary: PathBuf,
    show_log: bool,
}

/// A node in a process of its own.
pub(super) struct Node {
    /// As the demo calls it.
    pub(super) name: String,
    /// `host:port`.
    pub(super) authority: String,
    port: u16,
    home: PathBuf,
    process: Option<Process>,
    /// Tells its log, with `--log`. Ends with the process.
    voice: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Everything is thought of, and nothing started.
    pub(super) fn new(dir: PathBuf, args: &DemoArgs, count: usize) -> Result<Self, Report> {
        let binary = std::env::current_exe()
            .map_err(|error| Report::could_not_run("cannot find this program's own file").because(&error))?;
        let ports = match args.port {
            0 => local::free_ports(count)
                .map_err(|error| Report::could_not_run("no free port on loopback").because(&error))?,
            first => (first..).take(count).collect(),
        };
        if ports.len() < count {
            return Err(Report::usage(format!("there are no {count} ports from {} on", args.port)));
        }
        let nodes = ports.iter().enumerate().map(|(at, port)| Node {
            name: format!("node {}", at + 1),
            authority: format!("127.0.0.1:{port}"),
            port: *port,
            home: dir.join(format!("node-{}", at + 1)),
            process: None,
            voice: None,
        });
        let nodes = nodes.collect();
        Ok(Self { nodes, zookeeper: None, dir, binary, show_log: args.log })
    }

    /// Starts ZooKeeper and waits until it serves; gives its `host:port`.
    pub(super) async fn start_zookeeper(&mut self) -> Result<String, Report> {
        // Sessions of two ticks at least.
        let options = Options { tick: SESSION / 2, ..Options::default() };
        let started = Ensemble::start(&self.dir.join("zookeeper"), &options);
        let zookeeper = self.zookeeper.insert(started.map_err(|error| zookeeper_report(&error))?);
        while !zookeeper.serves().map_err(|error| zookeeper_report(&error))? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(zookeeper.hosts())
    }

    /// Starts a node that was not started, or was killed; does not wait for it.
    pub(super) fn start_node(&mut self, at: usize) -> Result<u32, Report> {
        let hosts = self.zookeeper.as_ref().map(Ensemble::hosts).unwrap_or_default();
        self.nodes[at].start(&self.binary, &hosts, self.show_log)
    }

    /// kill -9.
    pub(super) fn kill(&mut self, at: usize) {
        self.nodes[at].kill();
    }

    /// The nodes that have not been killed.
    pub(super) fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].process.is_some())
    }

    /// The node with this `host:port`.
    pub(super) fn find(&self, authority: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.authority == authority)
    }

    /// Whether everything that was started and not killed still runs.
    pub(super) fn is_whole(&self) -> Result<(), Report> {
        for at in self.living() {
            let node = &self.nodes[at];
            if node.process.as_ref().is_some_and(|process| !process.runs()) {
                let log = node.last_lines();
                return Err(Report::failed(format!(
                    "{} has ended by itself; its last lines:\n{log}",
                    node.name
                )));
            }
        }
        if let Some(zookeeper) = &self.zookeeper
            && zookeeper.process(0).is_some_and(|process| !process.runs())
        {
            let last = tail(&zookeeper.log(0));
            return Err(Report::failed(format!("ZooKeeper has ended by itself; its last lines:\n{last}")));
        }
        Ok(())
    }

    /// Where all files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What has ended unasked since the last look, by name.
    pub(super) fn ended(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for node in &mut self.nodes {
            if node.process.as_ref().is_some_and(|process| !process.runs()) {
                node.kill();
                names.push(node.name.clone());
            }
        }
        if let Some(zookeeper) = &mut self.zookeeper
            && zookeeper.process(0).is_some_and(|process| !process.runs())
        {
            zookeeper.kill(0);
            names.push("ZooKeeper".to_owned());
        }
        names
    }

    /// Ends everything: the nodes in order, all at a time, then ZooKeeper.
    pub(super) async fn end(mut self) {
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            // It may have ended by itself.
            let _ = process.signal("TERM");
        }
        let end = Instant::now() + END;
        let runs = |node: &Node| node.process.as_ref().is_some_and(Process::runs);
        while self.nodes.iter().any(runs) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        self.nodes.iter_mut().for_each(Node::kill);
        self.zookeeper = None;
    }
}

impl Node {
    fn start(&mut self, binary: &Path, zookeeper: &str, show_log: bool) -> Result<u32, Report> {
        self.kill();
        let failed = |error: std::io::Error| {
            Report::could_not_run(format!("cannot start {}", self.name)).because(&error)
        };
        let mut command = tied(binary);
        let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(kept).arg("serve");
        let port = self.port.to_string();
        let session = SESSION.as_millis().to_string();
        let home = self.home.display().to_string();
        for (flag, value) in [
            ("--host", "127.0.0.1"),
            ("--bind", "127.0.0.1"),
            ("--port", &port),
            ("--store", "zookeeper"),
            ("--zk-hosts", zookeeper),
            ("--zk-path", "/mconn-demo"),
            ("--zk-session-timeout", &session),
            ("--marathon-hosts", ""),
            ("--module-start", MODULE),
            ("--module-helloworld-delay", "20"),
            ("--module-concurrency", "4"),
            ("--data-dir", &home),
        ] {
            command.args([flag, value]);
        }
        std::fs::create_dir_all(&self.home).map_err(failed)?;
        let log = File::options().create(true).append(true).open(self.log_file()).map_err(failed)?;
        command.current_dir(&self.home).stdin(Stdio::null());
        let mut lines = None;
        if show_log {
            let (reader, writer) = std::io::pipe().map_err(failed)?;
            command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
            lines = Some((reader, log));
        } else {
            command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        }
        let process = Process::start(command).map_err(failed)?;
        let id = process.id();
        self.process = Some(process);
        let name = self.name.clone();
        self.voice = lines.map(|(lines, log)| std::thread::spawn(move || tell(&name, lines, log)));
        Ok(id)
    }

    fn kill(&mut self) {
        self.process = None;
        // Its panic would say nothing about the node.
        let _ = self.voice.take().map(JoinHandle::join);
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("log")
    }

    fn last_lines(&self) -> String {
        tail(&std::fs::read_to_string(self.log_file()).unwrap_or_default())
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Tells the lines with the node's name, and keeps them.
fn tell(name: &str, lines: PipeReader, mut log: File) {
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        // A closed pipe or a full disk ends neither the node nor the demo.
        let _ = writeln!(log, "{line}");
        let _ = writeln!(std::io::stdout(), "{name} | {line}");
    }
}
