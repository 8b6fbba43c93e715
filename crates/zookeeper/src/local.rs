//! ZooKeeper servers and other processes on this machine, for tests and for demonstrations: Debian's package, on free ports of
//! loopback (or of another address of it), with fsync. A process ends with the value that started it, and with this one whatever happens to that.

mod process;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use process::{Process, tied};

const JAR: &str = "/usr/share/java/zookeeper.jar";

/// The Debian packages that everything here needs.
pub const PACKAGES: &str = "zookeeper default-jre-headless util-linux procps";

/// What an ensemble is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many servers: 1 or 3.
    pub servers: usize,
    /// ZooKeeper's tickTime. The shortest session is two ticks, the longest twenty.
    pub tick: Duration,
    /// Lines for every server's configuration.
    pub settings: Vec<String>,
    /// Arguments for every Java.
    pub java: Vec<String>,
    /// Variables of every server's environment. Each runs in its directory, `server-1` and so on.
    pub env: Vec<(String, String)>,
    /// Where clients find the servers.
    pub listen: Ipv4Addr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: 1,
            tick: Duration::from_secs(2),
            settings: Vec::new(),
            java: Vec::new(),
            env: Vec::new(),
            listen: Ipv4Addr::LOCALHOST,
        }
    }
}

/// Why there is no ensemble.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Something has to be installed first.
    #[error("{0} is missing: apt-get install --no-install-recommends {PACKAGES}")]
    Missing(&'static str),
    /// A file, a port or a process could not be had.
    #[error("{what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// The system's word on it.
        why: io::Error,
    },
    /// A server has ended by itself.
    #[error("the ZooKeeper server at {address} has ended, its log:\n{log}")]
    Ended {
        /// Where it was to serve.
        address: SocketAddr,
        /// What it has logged.
        log: String,
    },
}

/// Puts into words what was tried.
fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> LocalError {
    let what = what.into();
    move |why| LocalError::Failed { what, why }
}

/// Whether everything is installed that servers here need.
///
/// # Errors
/// `Missing`, with what to install.
pub fn look() -> Result<(), LocalError> {
    if !Path::new(JAR).is_file() {
        return Err(LocalError::Missing(JAR));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = ["java", "setpriv", "kill"]
        .into_iter()
        .find(|name| !std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    missing.map_or(Ok(()), |name| Err(LocalError::Missing(name)))
}

/// Servers that were started together.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    home: PathBuf,
    java: Vec<String>,
    env: Vec<(String, String)>,
    process: Option<Process>,
}

impl Ensemble {
    /// Starts an ensemble with its files below `dir`, and does not wait until it serves: [`Ensemble::serves`] tells.
    ///
    /// # Errors
    /// If anything is missing or cannot be had.
    pub fn start(dir: &Path, options: &Options) -> Result<Self, LocalError> {
        look()?;
        let ports = free_ports(options.servers * 3).map_err(failed("no free port on loopback"))?;
        let mut members = String::new();
        if options.servers > 1 {
            for (at, ports) in ports.chunks(3).enumerate() {
                let _ = writeln!(members, "server.{}=127.0.0.1:{}:{}", at + 1, ports[1], ports[2]);
            }
        }
        let servers = ports.chunks(3).enumerate();
        let servers = servers.map(|(at, ports)| Server::prepare(dir, options, at + 1, ports[0], &members));
        let mut ensemble = Self { servers: servers.collect::<Result<_, _>>()? };
        for server in &mut ensemble.servers {
            server.launch()?;
        }
        Ok(ensemble)
    }

    /// `host:port,host:port`.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Address of one server, counted from 0.
    #[must_use]
    pub fn address(&self, server: usize) -> SocketAddr {
        self.servers[server].address
    }

    /// The process of a server that was started and not killed.
    #[must_use]
    pub fn process(&self, server: usize) -> Option<&Process> {
        self.servers[server].process.as_ref()
    }

    /// kill -9, and waits for its end. Nothing happens if it is dead.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].process = None;
    }

    /// Starts a killed server again, on its data and ports. Does not wait until it serves.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn restart(&mut self, server: usize) -> Result<(), LocalError> {
        self.kill(server);
        self.servers[server].launch()
    }

    /// Whether all servers that were not killed serve.
    ///
    /// # Errors
    /// `Ended` if one never will.
    pub fn serves(&self) -> Result<bool, LocalError> {
        for server in &self.servers {
            let Some(process) = &server.process else { continue };
            if server.mode().is_some() {
                continue;
            }
            if !process.runs() {
                return Err(LocalError::Ended { address: server.address, log: server.log() });
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Which server leads the ensemble, if any does; of one server alone, that one.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| matches!(server.mode().as_deref(), Some("leader" | "standalone"));
        self.servers.iter().position(|server| server.process.is_some() && leads(server))
    }

    /// What a server has logged.
    #[must_use]
    pub fn log(&self, server: usize) -> String {
        self.servers[server].log()
    }
}

impl Server {
    fn prepare(
        dir: &Path,
        options: &Options,
        id: usize,
        port: u16,
        members: &str,
    ) -> Result<Self, LocalError> {
        let home = dir.join(format!("server-{id}"));
        let what = || format!("cannot prepare {}", home.display());
        fs::create_dir_all(home.join("data")).map_err(failed(what()))?;
        fs::write(home.join("data/myid"), id.to_string()).map_err(failed(what()))?;
        // Relative to where it runs: a path of any characters is fine then.
        let config = format!(
            "tickTime={}\ninitLimit=20\nsyncLimit=5\ndataDir=data\nclientPort={port}\nclientPortAddress={}\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr,ruok,mntr\nmaxClientCnxns=0\n{}{members}",
            options.tick.as_millis(),
            options.listen,
            options.settings.iter().map(|line| format!("{line}\n")).collect::<String>(),
        );
        fs::write(home.join("zoo.cfg"), config).map_err(failed(what()))?;
        let (address, env) = ((options.listen, port).into(), options.env.clone());
        Ok(Self { address, home, java: options.java.clone(), env, process: None })
    }

    fn launch(&mut self) -> Result<(), LocalError> {
        let mut command = tied("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"]);
        command.arg("-Djava.net.preferIPv4Stack=true").args(&self.java);
        command.args(["-cp", &format!("{JAR}:/usr/share/java/slf4j-simple.jar")]);
        command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg("zoo.cfg");
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (output, errors) = log.map_err(failed("cannot write ZooKeeper's log"))?;
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.home).stdin(Stdio::null()).stdout(output).stderr(errors);
        self.process = Some(Process::start(command).map_err(failed("cannot start ZooKeeper"))?);
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What it says of itself, once it serves: standalone, leader or follower.
    fn mode(&self) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }
}

/// Ports of loopback that are free now. All are held until the last one is known, so that they differ.
///
/// # Errors
/// The system's.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
