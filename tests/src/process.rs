//! The real binary as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use tempfile::TempDir;

use crate::{Client, PATIENCE};

/// How much of a process's output a failure shows: its end.
const SHOWN: usize = 40_000;

/// The binary under test, built now if it is not up to date.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--package", "mconn", "--bin", "mconn"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the binary does not build");
        // Test binaries lie in <target>/<profile>/deps.
        let test = std::env::current_exe().expect("the path of this test");
        let profile = test.parent().and_then(Path::parent).expect("a target directory");
        let binary = profile.with_file_name("debug").join("mconn");
        assert!(binary.exists(), "{} is missing: run \"cargo build -p mconn\"", binary.display());
        binary
    })
}

/// Runs a command to its end with a clean environment.
///
/// # Panics
/// If it cannot be started.
pub fn run_to_end(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = clean(binary());
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    command.output().expect("the binary runs")
}

/// Nothing of the developer's own settings.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A running binary whose lines can be waited for. Killed, by its id, when it is dropped.
#[derive(Debug)]
pub struct Mconn {
    child: Child,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
}

impl Mconn {
    /// Starts it with these arguments and, beside `PATH`, only these variables, in `dir`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(args: &[&str], env: &[(&str, &str)], dir: &Path) -> Self {
        let mut command = clean(binary());
        command.args(args);
        Self::spawn(command, env, dir)
    }

    /// Starts it through a shell that prepares the process and then becomes it (`exec "$@"`).
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_through(shell: &str, args: &[&str], env: &[(&str, &str)], dir: &Path) -> Self {
        let mut command = clean(Path::new("/bin/bash"));
        command.args(["-c", shell, "bash"]).arg(binary()).args(args);
        Self::spawn(command, env, dir)
    }

    fn spawn(mut command: Command, env: &[(&str, &str)], dir: &Path) -> Self {
        command.envs(env.iter().copied()).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (sender, lines) = sync_channel(100_000);
        let seen = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("its output")),
            Box::new(child.stderr.take().expect("its errors")),
        ];
        for stream in streams {
            let (sender, seen) = (sender.clone(), seen.clone());
            // Ends with the child's stream.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    seen.lock().expect("no test panics in here").push_str(&format!("{line}\n"));
                    // Nobody may be waiting for lines any more.
                    let _ = sender.try_send(line);
                }
            });
        }
        Self { child, lines, seen }
    }

    /// Waits for a line that contains `text`, and gives it.
    ///
    /// # Panics
    /// If the process ends or nothing comes within [`PATIENCE`].
    pub fn wait_for(&self, text: &str) -> String {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let rest = end.saturating_duration_since(std::time::Instant::now());
            match self.lines.recv_timeout(rest) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with {text:?}; there was:\n{}", self.output()),
            }
        }
    }

    /// Everything it has said so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn output(&self) -> String {
        self.seen.lock().expect("no test panics in here").clone()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by name.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} cannot be sent");
    }

    /// kill -9, and waits for the end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Waits for the end and gives the exit code.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`], or ends by a signal.
    pub fn exit_code(&mut self) -> i32 {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code().unwrap_or_else(|| panic!("{status}\n{}", self.output()));
            }
            assert!(std::time::Instant::now() < end, "it does not end:\n{}", self.output());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Mconn {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let from = output.char_indices().rev().take(SHOWN).last().map_or(0, |(at, _)| at);
            eprintln!("--- output of process {} ---\n{}", self.id(), &output[from..]);
        }
    }
}

/// A node with its data in a temporary directory.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub process: Mconn,
    /// `http://host:port`.
    pub url: String,
    /// Its API.
    pub api: Client,
}

impl Node {
    /// Starts `mconn serve` on a free port, configured by the environment alone, with its data in `dir`, and waits until
    /// it is ready. Variables given here win over the defaults of the tests.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start(dir: &TempDir, env: &[(&str, &str)]) -> Self {
        Self::ready(Mconn::start(&["serve"], &Self::env(dir, env), dir.path()))
    }

    /// The environment of [`Node::start`].
    #[must_use]
    pub fn env<'a>(dir: &'a TempDir, env: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut all = vec![
            ("MCONN_HOST", "127.0.0.1"),
            ("MCONN_BIND", "127.0.0.1"),
            ("MCONN_PORT", "0"),
            ("MCONN_MARATHON_HOSTS", ""),
            ("MCONN_MODULE_START", "Test"),
            ("MCONN_MODULE_TEST_DELAY", "0"),
            ("MCONN_DATA_DIR", dir.path().to_str().expect("a path of text")),
        ];
        all.extend(env);
        all
    }

    /// A node whose process was started otherwise.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn ready(process: Mconn) -> Self {
        let line = process.wait_for("Webserver started on");
        let address = line.split('"').nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
        let url = format!("http://{address}");
        Self { process, api: Client::new(&url), url }
    }
}

/// A simulated Marathon in a process of its own.
#[derive(Debug)]
pub struct Sim {
    /// The process.
    pub process: Mconn,
    /// `host:port`.
    pub address: String,
    /// Its API.
    pub api: Client,
}

impl Sim {
    /// Starts `mconn sim` and waits until it listens. Its port is a free one and its time is fast unless told otherwise.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let mut all = vec!["sim"];
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        if !args.contains(&"--speed") {
            all.extend(["--speed", "50"]);
        }
        all.extend(args);
        let process = Mconn::start(&all, &[], Path::new("/"));
        let line = process.wait_for("listens on http://");
        let url = line.rsplit(' ').next().unwrap_or_default().to_owned();
        let address = url.trim_start_matches("http://").to_owned();
        Self { process, address, api: Client::new(&url) }
    }
}
