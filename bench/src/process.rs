//! The real binary as a child process, ended by its id whatever happens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Result;

/// Bytes of a log's end that an error shows.
const SHOWN: usize = 2_000;

/// A running binary. Killed and waited for when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with these arguments and, beside `PATH`, only these variables. What it says goes into `log`.
    pub(crate) fn start(binary: &Path, args: &[&str], env: &[(&str, &str)], log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(binary);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
        command.stderr(file.try_clone()?).stdout(file);
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// kill -9, and the end of it.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it stand still as a whole: its sockets stay open and nothing answers.
    pub(crate) fn stop(&self) -> Result<()> {
        let sent = Command::new("kill").args(["-s", "STOP", &self.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err("STOP cannot be sent".into()) }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The end of what it has said, for errors.
    pub(crate) fn last_words(&self) -> String {
        let said = self.said();
        let from = said.char_indices().rev().take(SHOWN).last().map_or(0, |(at, _)| at);
        format!("--- the end of {} ---\n{}", self.log.display(), &said[from..])
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
