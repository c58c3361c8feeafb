//! What the system knows of this process: CPU time and anonymous memory.

use std::fs;

/// CPU seconds of this process, user and system, all threads. The kernel counts in ticks of 10 ms.
pub(crate) fn cpu_seconds() -> f64 {
    // proc(5): fields 14 and 15, counted behind the command's closing parenthesis.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// Anonymous resident memory now, in KiB.
pub(crate) fn rss_anon_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
