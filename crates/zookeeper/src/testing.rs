//! Real ZooKeeper ensembles on loopback, for tests: [`crate::local`] in a temporary directory, waited for, and with a panic where
//! a test cannot go on. And links to them that can be troubled.

mod link;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use crate::local::Options;
use crate::local::{self, LocalError, Process};
pub use link::{Link, Proxy};

/// How long a server may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// How often other free ports are tried when somebody else took one in between.
const ATTEMPTS: usize = 5;

/// The tree of an original MConn below its namespace, each node's path and data: three presets, of which two lie under the names that
/// its defects gave them, an item and one that cannot be read, two waiting events, a module with nothing.
pub const ORIGINAL: &[(&str, &str)] = &[
    ("/leader", ""),
    ("/queue", ""),
    ("/modules", ""),
    ("/modules/HelloWorld", ""),
    ("/modules/HelloWorld/presets", ""),
    (
        "/modules/HelloWorld/presets/bridged-webapp",
        r#"{"appId":"/bridged-webapp","moduleName":"HelloWorld","status":"enabled","options":{"actions":{"add":"Moin, Moin","remove":"Tschues"}},"lastEdit":false,"note":"kept"}"#,
    ),
    // The original took the text between the first and the second slash.
    (
        "/modules/HelloWorld/presets/group",
        r#"{"appId":"/group/app","moduleName":"HelloWorld","status":"disabled","options":{},"lastEdit":1435909578085}"#,
    ),
    (
        "/modules/HelloWorld/presets/undefined",
        r#"{"appId":"web","moduleName":"HelloWorld","status":"enabled"}"#,
    ),
    ("/modules/HelloWorld/queue", ""),
    ("/modules/HelloWorld/queue/web.1_TASK_RUNNING", r#"{"state":"new"}"#),
    ("/modules/HelloWorld/queue/web.2_TASK_KILLED", r#"{"state":"finished"}"#),
    ("/modules/HelloWorld/inventory", ""),
    (
        "/modules/HelloWorld/inventory/bridged-webapp.8c1b",
        r#"{"customData":"Moin, Moin","taskData":{"taskId":"bridged-webapp.8c1b","taskStatus":"TASK_RUNNING","appId":"/bridged-webapp","host":"slave1","ports":[31000,31001],"eventType":"status_update_event","timestamp":"2015-05-25T15:12:24.140Z"}}"#,
    ),
    ("/modules/HelloWorld/inventory/broken", "{"),
    ("/modules/Empty", ""),
];

/// A running ensemble.
#[derive(Debug)]
pub struct Ensemble {
    // Before its directory: servers end before their files go.
    servers: local::Ensemble,
    dir: TempDir,
}

impl Ensemble {
    /// Starts an ensemble and waits until every server serves.
    ///
    /// # Panics
    /// If Java or ZooKeeper is missing, or the servers do not serve within a minute. The message says what is missing, or ends
    /// with the servers' logs.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let dir = TempDir::with_prefix("mconn-zookeeper-").expect("a temporary directory");
            let servers = local::Ensemble::start(dir.path(), options);
            let servers =
                servers.unwrap_or_else(|error| panic!("no ZooKeeper: {error} (tools/packages does it)"));
            let ensemble = Self { servers, dir };
            match ensemble.wait(PATIENCE) {
                Ok(()) => return ensemble,
                Err(error) if error.to_string().contains("Address already in use") => {
                    last = error.to_string();
                }
                Err(error) => panic!("ZooKeeper does not serve: {error}"),
            }
        }
        panic!("no free ports for ZooKeeper in {ATTEMPTS} attempts: {last}");
    }

    /// `host:port,host:port`.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.servers.hosts()
    }

    /// Address of one server, counted from 0.
    #[must_use]
    pub fn address(&self, server: usize) -> SocketAddr {
        self.servers.address(server)
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
        self.process(server).id()
    }

    fn process(&self, server: usize) -> &Process {
        self.servers.process(server).expect("the server runs")
    }

    /// kill -9, and waits for its end. Nothing happens if it is dead.
    pub fn kill(&mut self, server: usize) {
        self.servers.kill(server);
    }

    /// Stops a server's process as a whole (SIGSTOP): its links stay open and nothing answers.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop(&self, server: usize) {
        assert!(self.process(server).signal("STOP"), "STOP cannot be sent");
    }

    /// Lets a stopped server go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn cont(&self, server: usize) {
        assert!(self.process(server).signal("CONT"), "CONT cannot be sent");
    }

    /// Starts a killed server again, on its data and ports. Does not wait until it serves.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn restart(&mut self, server: usize) {
        self.servers.restart(server).expect("the server starts again");
    }

    /// Waits until all servers that run serve.
    ///
    /// # Panics
    /// If they do not within a minute.
    pub fn serve(&mut self) {
        if let Err(error) = self.wait(PATIENCE) {
            panic!("ZooKeeper does not serve: {error}");
        }
    }

    fn wait(&self, patience: Duration) -> Result<(), LocalError> {
        let end = Instant::now() + patience;
        while !self.servers.serves()? {
            assert!(Instant::now() < end, "ZooKeeper does not serve within {patience:?}:\n{}", self.log(0));
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Which server leads the ensemble, if any does; of one server alone, that one.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.servers.leader()
    }

    /// What a server has logged.
    #[must_use]
    pub fn log(&self, server: usize) -> String {
        self.servers.log(server)
    }
}
