//! Where and of what the figures were taken.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::disk::{self, SyncTime};

/// A machine, a day and a commit.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Logical processors.
    pub(crate) cores: usize,
    /// Their name.
    pub(crate) processor: String,
    /// In MiB.
    pub(crate) memory: u64,
    /// Kernel.
    pub(crate) kernel: String,
    /// The disk.
    pub(crate) sync: SyncTime,
    /// Today, in UTC.
    pub(crate) date: String,
    /// What was checked out, and whether something was changed.
    pub(crate) commit: String,
}

impl Machine {
    /// Looks around. `dir` lies on the disk that is used.
    pub(crate) fn look(dir: &Path) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let processor = value(&processors, "model name").unwrap_or("unknown").to_owned();
        let memory = read("/proc/meminfo");
        let memory = value(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Ok(Self {
            cores,
            processor,
            memory: memory.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            sync: disk::sync_time(dir)?,
            date: said_by("date", &["-u", "+%Y-%m-%d"]),
            commit: commit(),
        })
    }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn commit() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let id = said_by("git", &["-C", root, "rev-parse", "--short=12", "HEAD"]);
    let changed = said_by("git", &["-C", root, "status", "--porcelain", "--untracked-files=no", "crates"]);
    let note = if changed.is_empty() { "" } else { " with changes" };
    format!("{id}{note}")
}

/// What a command says; nothing if it cannot be run.
fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
