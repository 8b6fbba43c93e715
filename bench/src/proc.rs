//! What Linux knows about a process: CPU time and memory. Loads of the machine.

use std::time::Duration;

use crate::Result;

/// Clock ticks per second in `/proc`: 100 on every architecture that we run on.
const TICKS: u64 = 100;

/// CPU time so far, of all threads, in user and in system.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = ticks(&text).ok_or("/proc/<pid>/stat has another form than expected")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// User and system time in ticks. The name before it may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Memory in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: f64,
    /// Largest ever.
    pub(crate) peak: f64,
}

/// Memory of a process.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name| kib(&text, name).ok_or(format!("/proc/{process}/status has no {name}"));
    Ok(Memory { resident: field("VmRSS:")? / 1024.0, peak: field("VmHWM:")? / 1024.0 })
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The mean load of the last minute; others may be compiling.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "17 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.resident > 0.0 && memory.peak >= memory.resident);
        cpu(own).unwrap();
        assert_eq!(kib("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048.0));
    }
}
