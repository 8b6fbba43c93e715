//! Real ZooKeeper ensembles on loopback, for tests and demonstrations: Debian's package, in a temporary directory, on free
//! ports, with fsync. Everything ends with the value that started it, and with the process whatever happens to that. And
//! links to them that can be troubled.

mod link;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use link::{Link, Proxy};

/// How long a server may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// How often other free ports are tried when somebody else took one in between.
const ATTEMPTS: usize = 5;

const JAR: &str = "/usr/share/java/zookeeper.jar";

const NEEDED: &str = "real ZooKeeper tests need Java and ZooKeeper: apt-get install --no-install-recommends \
                      zookeeper default-jre-headless util-linux procps (tools/packages does it)";

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
}

impl Default for Options {
    fn default() -> Self {
        Self { servers: 1, tick: Duration::from_secs(2), settings: Vec::new(), java: Vec::new() }
    }
}

/// A running ensemble.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    dir: TempDir,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    home: PathBuf,
    java: Vec<String>,
    keeper: Option<Keeper>,
}

/// A thread that owns the process. Its life is what `setpriv --pdeathsig` ties the process to: that signal is sent when the
/// *thread* that started the process ends, and the threads of tests end early.
#[derive(Debug)]
struct Keeper {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
    id: u32,
}

#[derive(Debug)]
enum Order {
    /// Send a signal.
    Signal(&'static str, SyncSender<()>),
    /// Kill and reap.
    Kill,
    /// Tell whether it still runs.
    Running(SyncSender<bool>),
}

impl Ensemble {
    /// Starts an ensemble and waits until every server serves.
    ///
    /// # Panics
    /// If Java or ZooKeeper is missing, or the servers do not serve within a minute. The message says what is missing, or ends
    /// with the servers' logs.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        assert!(Path::new(JAR).is_file(), "{JAR} is missing: {NEEDED}");
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut ensemble = Self::prepare(options);
            for server in &mut ensemble.servers {
                server.launch();
            }
            match ensemble.wait(PATIENCE) {
                Ok(()) => return ensemble,
                Err(why) if why.contains("Address already in use") => last = why,
                Err(why) => panic!("ZooKeeper does not serve: {why}"),
            }
        }
        panic!("no free ports for ZooKeeper in {ATTEMPTS} attempts: {last}");
    }

    fn prepare(options: &Options) -> Self {
        let dir = TempDir::with_prefix("mconn-zookeeper-").expect("a temporary directory");
        let count = options.servers;
        let ports = free_ports(count * 3);
        let mut members = String::new();
        if count > 1 {
            for (at, ports) in ports.chunks(3).enumerate() {
                let _ = writeln!(members, "server.{}=127.0.0.1:{}:{}", at + 1, ports[1], ports[2]);
            }
        }
        let servers = ports.chunks(3).enumerate().map(|(at, ports)| {
            let home = dir.path().join(format!("server-{}", at + 1));
            fs::create_dir_all(home.join("data")).expect("a data directory");
            fs::write(home.join("data/myid"), (at + 1).to_string()).expect("myid");
            let config = format!(
                "tickTime={}\ninitLimit=20\nsyncLimit=5\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
                 admin.enableServer=false\n4lw.commands.whitelist=srvr,ruok,mntr\nmaxClientCnxns=0\n{}{members}",
                options.tick.as_millis(),
                home.join("data").display(),
                ports[0],
                options.settings.iter().map(|line| format!("{line}\n")).collect::<String>(),
            );
            fs::write(home.join("zoo.cfg"), config).expect("zoo.cfg");
            Server {
                address: (Ipv4Addr::LOCALHOST, ports[0]).into(),
                home,
                java: options.java.clone(),
                keeper: None,
            }
        });
        Self { servers: servers.collect(), dir }
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

    /// Where everything lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Process id of a server that was started and not killed.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn id(&self, server: usize) -> u32 {
        self.servers[server].keeper.as_ref().expect("the server runs").id
    }

    /// kill -9, and waits for its end. Nothing happens if it is dead.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Stops a server's process as a whole (SIGSTOP): its links stay open and nothing answers.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop(&self, server: usize) {
        self.signal(server, "STOP");
    }

    /// Lets a stopped server go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn cont(&self, server: usize) {
        self.signal(server, "CONT");
    }

    fn signal(&self, server: usize, name: &'static str) {
        let keeper = self.servers[server].keeper.as_ref().expect("the server runs");
        let (done, sent) = sync_channel(1);
        keeper.orders.send(Order::Signal(name, done)).expect("the keeper listens");
        sent.recv().expect("the signal is sent");
    }

    /// Starts a killed server again, on its data and ports. Does not wait until it serves.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn restart(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.kill();
        server.launch();
    }

    /// Waits until all servers that run serve.
    ///
    /// # Panics
    /// If they do not within a minute.
    pub fn serve(&mut self) {
        if let Err(why) = self.wait(PATIENCE) {
            panic!("ZooKeeper does not serve: {why}");
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        for server in self.servers.iter().filter(|server| server.keeper.is_some()) {
            while server.mode().is_none() {
                if !server.runs() || Instant::now() > end {
                    let log = server.log();
                    let hint = if log.contains("failed to execute") { NEEDED } else { "its log" };
                    return Err(format!("server at {}: {hint}\n{log}", server.address));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Which server leads the ensemble, if any does; of one server alone, that one.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| matches!(server.mode().as_deref(), Some("leader" | "standalone"));
        self.servers.iter().position(|server| server.keeper.is_some() && leads(server))
    }

    /// What a server has logged.
    #[must_use]
    pub fn log(&self, server: usize) -> String {
        self.servers[server].log()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
    }
}

impl Server {
    fn launch(&mut self) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"]);
        command.arg("-Djava.net.preferIPv4Stack=true").args(&self.java);
        command.args(["-cp", &format!("{JAR}:/usr/share/java/slf4j-simple.jar")]);
        command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg("zoo.cfg");
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        command.current_dir(&self.home).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        self.keeper = Some(Keeper::start(command));
    }

    fn kill(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // It may have ended by itself, and its keeper with it.
            let _ = keeper.orders.send(Order::Kill);
            let _ = keeper.thread.join();
        }
    }

    fn runs(&self) -> bool {
        let Some(keeper) = &self.keeper else { return false };
        let (answer, runs) = sync_channel(1);
        keeper.orders.send(Order::Running(answer)).is_ok() && runs.recv().unwrap_or(false)
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

impl Keeper {
    fn start(mut command: Command) -> Self {
        let (orders, inbox) = sync_channel(16);
        let (started, id) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let child = command.spawn().unwrap_or_else(|error| panic!("setpriv: {error}: {NEEDED}"));
            // Whoever started this thread waits for it.
            let _ = started.send(child.id());
            keep(child, &inbox);
        });
        let id = id.recv().unwrap_or_else(|_| panic!("no process: {NEEDED}"));
        Self { orders, thread, id }
    }
}

/// Signals go only to a process that is not reaped yet, so never to another one that has got its id.
fn keep(mut child: Child, inbox: &Receiver<Order>) {
    let mut running = true;
    loop {
        match inbox.recv_timeout(LOOK) {
            Ok(Order::Signal(name, done)) => {
                if running {
                    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
                    assert!(sent.is_ok_and(|status| status.success()), "{name} cannot be sent");
                }
                let _ = done.send(());
            }
            Ok(Order::Running(answer)) => drop(answer.send(running)),
            Ok(Order::Kill) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        running = running && matches!(child.try_wait(), Ok(None));
    }
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Ports that are free now. All are held until the last one is known, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback"))
        .collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").port()).collect()
}
