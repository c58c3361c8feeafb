//! What the system says of this process, as Linux tells it under `/proc`; nothing of what it does not tell.

use std::fs;

/// Ticks of `/proc/self/stat` in a second: the same on every architecture that this runs on.
const TICKS: f64 = 100.0;

/// What this process takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Process {
    /// Memory in use, mapped files that were read among it.
    pub(crate) resident_bytes: Option<u64>,
    /// Of that what is no file: what the process cannot do without.
    pub(crate) anonymous_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
}

impl Process {
    /// As it is now. Takes some tenths of a millisecond, and more with many connections.
    pub(crate) fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        let status = read("status").unwrap_or_default();
        let bytes = |name: &str| status_field(&status, name)?.checked_mul(1024);
        Self {
            resident_bytes: bytes("VmRSS:"),
            anonymous_bytes: bytes("RssAnon:"),
            virtual_bytes: bytes("VmSize:"),
            threads: status_field(&status, "Threads:"),
            cpu_seconds: read("stat").as_deref().and_then(cpu_seconds),
            // Without the one by which they are counted.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
            max_fds: read("limits").as_deref().and_then(max_fds),
        }
    }
}

/// The number behind a name of `/proc/self/status`.
fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time of `/proc/self/stat`. The name in parentheses may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((user + system) as f64 / TICKS)
}

/// The limit that holds now, of `/proc/self/limits`; none where there is none.
fn max_fds(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        let status = "Name:\tVmRSS: 1\nVmSize:\t  300 kB\nVmRSS:\t     128 kB\nThreads:\t7\n";
        assert_eq!(status_field(status, "VmRSS:"), Some(128));
        assert_eq!(status_field(status, "Threads:"), Some(7));
        assert_eq!(status_field(status, "RssAnon:"), None);
        let stat = "1 (a) b) S 2 3 4 5 6 7 8 9 10 11 250 150 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("1 (a) S 2"), None);
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files    1024   4096   files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds(&limits.replace("1024", "unlimited")), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_takes_something_of_each() {
        let process = Process::now();
        let numbers = [
            process.resident_bytes,
            process.anonymous_bytes,
            process.virtual_bytes,
            process.threads,
            process.open_fds,
        ];
        assert!(
            numbers.iter().all(|n| n.is_some_and(|n| n > 0)),
            "{process:?}"
        );
        assert!(process.anonymous_bytes <= process.resident_bytes);
        assert!(process.cpu_seconds.is_some_and(|seconds| seconds >= 0.0));
    }
}
