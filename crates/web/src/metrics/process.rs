//! The process itself, from `/proc`. Numbers that cannot be had are left out.

use prometheus_client::registry::Registry;

use super::{gauge, level};

pub(super) fn show(registry: &mut Registry) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kilobytes) = resident_kilobytes(&status) {
        let help = "Memory of the process that is in use";
        gauge(registry, "process_resident_memory_bytes", help, kilobytes.saturating_mul(1024));
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge(registry, "process_open_fds", "Open files and sockets", level(files.count()));
    }
}

fn resident_kilobytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::resident_kilobytes;

    #[test]
    fn reads_the_line_of_the_kernel() {
        assert_eq!(resident_kilobytes("VmHWM:\t  99 kB\nVmRSS:\t  1234 kB\n"), Some(1234));
        assert_eq!(resident_kilobytes(""), None);
    }
}
