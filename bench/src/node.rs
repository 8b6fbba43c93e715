//! A node as a user starts it: `mconn serve`, configured by variables, with its data on a real disk.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::api::Api;
use crate::args::Args;
use crate::process::Process;
use crate::{Result, until};

/// How long anything may take that takes a second. Only a failure waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// A port may be taken between finding it and using it.
const ATTEMPTS: usize = 3;

/// The counter of finished runs of the module Test.
pub(crate) const FINISHED: &str = "mconn_outcomes_total{module=\"Test\",state=\"finished\"}";

/// What is measured, and where.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Data directories are made below.
    pub(crate) disk: PathBuf,
    keep: bool,
}

impl Place {
    /// As the arguments say. The program lies beside this one, and so does the disk's directory.
    pub(crate) fn find(args: &Args) -> Result<Self> {
        let own = std::env::current_exe()?;
        let binary = args.binary.clone().unwrap_or_else(|| own.with_file_name("mconn"));
        if !binary.is_file() {
            let hint = "build it with \"cargo build --release -p mconn\", or name one with --binary";
            return Err(format!("there is no {}: {hint}", binary.display()).into());
        }
        let disk = args.data_dir.clone().or_else(|| own.parent().map(Path::to_path_buf));
        let disk = disk.ok_or("this program's directory is not known: give --data-dir")?;
        Ok(Self { binary, disk, keep: args.keep })
    }

    /// A new data directory.
    pub(crate) fn directory(&self) -> Result<TempDir> {
        let mut dir = tempfile::Builder::new().prefix("mconn-bench-").tempdir_in(&self.disk)?;
        if self.keep {
            dir.disable_cleanup(true);
            eprintln!("kept: {}", dir.path().display());
        }
        Ok(dir)
    }
}

/// A running node with the module Test that does no pretended work.
#[derive(Debug)]
pub(crate) struct Node {
    /// The process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// Its API.
    pub(crate) api: Api,
}

impl Node {
    /// Starts it with its data and its log in `dir`, and waits until it answers.
    pub(crate) async fn start(place: &Place, dir: &Path, env: &[(&str, &str)]) -> Result<Self> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut node = Self::spawn(place, dir, env)?;
            match node.answers().await {
                Ok(()) => return Ok(node),
                Err(error) => last = format!("{error}\n{}", node.process.last_words()),
            }
        }
        Err(last.into())
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(place: &Place, dir: &Path, env: &[(&str, &str)]) -> Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = addr.port().to_string();
        let data = dir.join("data");
        let mut all = vec![
            ("MCONN_HOST", "127.0.0.1"),
            ("MCONN_BIND", "127.0.0.1"),
            ("MCONN_PORT", &port),
            ("MCONN_MARATHON_HOSTS", ""),
            ("MCONN_MODULE_START", "Test"),
            ("MCONN_MODULE_TEST_DELAY", "0"),
            ("MCONN_LOGGER_LEVEL", "2"),
            ("MCONN_DATA_DIR", data.to_str().ok_or("a data directory whose name is no text")?),
        ];
        all.extend(env);
        let process = Process::start(&place.binary, &["serve"], &all, &dir.join("mconn.log"))?;
        Ok(Self { process, addr, api: Api::new(&format!("http://{addr}"))? })
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&mut self) -> Result<()> {
        until(PATIENCE, LOOK, "the node answers", async || {
            if self.process.has_ended()? {
                return Err("the node has ended".into());
            }
            Ok(self.api.send("GET", "/v1/ping", None).await.ok().map(drop))
        })
        .await
    }

    /// Enables Test for an app. `nothing` makes it a module that does nothing.
    pub(crate) async fn preset(&self, app: &str, nothing: bool) -> Result<()> {
        let preset = json!({
            "moduleName": "Test", "appId": app, "status": "enabled",
            "options": {"actions": {"add": "Moin, Moin", "remove": "Tschues"}, "test": {"nothing": nothing}},
        });
        self.api.send("POST", "/v1/module/preset", Some(&preset)).await.map(drop)
    }

    /// How many runs have finished.
    pub(crate) async fn finished(&self) -> Result<f64> {
        let [finished] = self.api.metrics([FINISHED]).await?;
        Ok(finished)
    }

    /// Waits until so many runs have finished.
    pub(crate) async fn wait_for_finished(&self, count: f64, limit: Duration) -> Result<()> {
        let what = format!("{count} finished runs");
        let done = until(limit, LOOK, &what, async || Ok((self.finished().await? >= count).then_some(())));
        match done.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let has = self.finished().await.unwrap_or(-1.0);
                Err(format!("{error} ({has} have)\n{}", self.process.last_words()).into())
            }
        }
    }
}
