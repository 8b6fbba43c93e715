//! Clocks that jump and disks that are slow, of one process at a time.
//!
//! A library of ours stands between the process and the C library (`LD_PRELOAD`): so it works for nodes and for Java, without
//! root, and nothing else on the machine is touched. The kernel's own means do less: a time namespace shifts only the clocks
//! that nobody sets, and a slow disk of the device mapper needs root and a kernel that has it. A disk is slow where slowness
//! hurts: when a server syncs its log, which is what every answer to a write waits for.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

const SOURCE: &str = include_str!("trouble.c");

/// In the directory where the process starts.
const FILE: &str = "trouble";

/// What a process must be started with.
///
/// # Panics
/// If the library cannot be built.
#[must_use]
pub(super) fn env() -> [(&'static str, &'static str); 2] {
    [("LD_PRELOAD", library()), ("MCONN_TROUBLE", FILE)]
}

/// Built once.
fn library() -> &'static str {
    static LIBRARY: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let dir = TempDir::with_prefix("mconn-trouble-").expect("a directory");
        let (source, library) = (dir.path().join("trouble.c"), dir.path().join("trouble.so"));
        fs::write(&source, SOURCE).expect("its source is written");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        let built = command.output().unwrap_or_else(|error| {
            panic!("cc is missing: apt-get install gcc libc6-dev (tools/packages does it): {error}")
        });
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let path = library.to_str().expect("a path of text").to_owned();
        (dir, path)
    });
    path
}

/// The trouble of whatever is started in one directory.
#[derive(Debug)]
pub struct Trouble {
    file: File,
}

impl Trouble {
    /// None yet.
    ///
    /// # Panics
    /// If the directory cannot be written.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        let path: PathBuf = dir.join(FILE);
        let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file");
        let trouble = Self { file };
        trouble.write(0, 0);
        trouble.write(8, 0);
        trouble
    }

    /// Its clock is so many seconds ahead, or behind.
    pub fn clock(&self, seconds: i64) {
        self.write(0, seconds * 1_000_000_000);
    }

    /// Every sync of its files takes so much longer.
    pub fn disk(&self, sync: Duration) {
        self.write(8, i64::try_from(sync.as_nanos()).unwrap_or(i64::MAX));
    }

    fn write(&self, at: u64, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), at).expect("the file is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    fn run(dir: &TempDir, program: &str, args: &[&str]) -> String {
        let done = Command::new(program).args(args).current_dir(dir.path()).envs(env()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    #[test]
    fn a_clock_jumps_and_a_disk_is_slow() {
        let dir = TempDir::new().unwrap();
        let trouble = Trouble::at(dir.path());
        let ahead = || {
            let told: i64 = run(&dir, "date", &["+%s"]).trim().parse().unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            told - i64::try_from(now).unwrap()
        };
        let sync = || {
            let began = Instant::now();
            run(&dir, "dd", &["if=/dev/zero", "of=written", "bs=1", "count=1", "conv=fsync"]);
            began.elapsed()
        };
        let slow = Duration::from_secs(2);
        assert!((-1..=1).contains(&ahead()));
        assert!(sync() < slow);
        trouble.clock(7200);
        assert!((7199..=7201).contains(&ahead()));
        trouble.clock(-3600);
        assert!((-3601..=-3599).contains(&ahead()));
        trouble.disk(slow);
        assert!(sync() >= slow);
        trouble.disk(Duration::ZERO);
        assert!(sync() < slow);
    }
}
