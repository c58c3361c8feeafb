//! What the system knows of a process: CPU time, anonymous memory, bytes written. Read from `/proc`.

use std::fs;

/// Ticks of CPU time in a second: what `/proc` counts in on every Linux platform.
const TICKS: f64 = 100.0;

/// Whose figures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Process {
    /// This one.
    Own,
    /// That with this id.
    Id(u32),
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Anonymous resident memory.
    pub(crate) rss_anon_kib: u64,
    /// Bytes of pages made dirty in files that stand on a disk, less those whose file was removed before they were
    /// written. 0 on file systems in memory.
    pub(crate) write_bytes: u64,
    /// Whether it has ended and waits for its parent.
    pub(crate) has_ended: bool,
}

impl Process {
    fn read(self, file: &str) -> String {
        let path = match self {
            Self::Own => format!("/proc/self/{file}"),
            Self::Id(id) => format!("/proc/{id}/{file}"),
        };
        fs::read_to_string(path).unwrap_or_default()
    }

    /// The process now; of one that is gone, or where there is no `/proc`, nothing.
    pub(crate) fn usage(self) -> Option<Usage> {
        let (cpu_seconds, has_ended) = parse_stat(&self.read("stat"))?;
        let kib = parse_line(&self.read("status"), "RssAnon:");
        let io = self.read("io");
        let write_bytes = parse_line(&io, "write_bytes:").unwrap_or(0);
        let cancelled = parse_line(&io, "cancelled_write_bytes:").unwrap_or(0);
        Some(Usage {
            cpu_seconds,
            rss_anon_kib: kib.unwrap_or(0),
            write_bytes: write_bytes.saturating_sub(cancelled),
            has_ended,
        })
    }

    pub(crate) fn cpu_seconds(self) -> f64 {
        parse_stat(&self.read("stat")).map_or(0.0, |(seconds, _)| seconds)
    }

    /// Bytes that it has read from files and pipes, whether from a disk or not.
    pub(crate) fn read_bytes(self) -> u64 {
        parse_line(&self.read("io"), "rchar:").unwrap_or(0)
    }

    pub(crate) fn rss_anon_kib(self) -> u64 {
        parse_line(&self.read("status"), "RssAnon:").unwrap_or(0)
    }
}

/// CPU seconds and whether the process is a zombie, of the text of `/proc/PID/stat`.
fn parse_stat(text: &str) -> Option<(f64, bool)> {
    // proc(5): the name, in parentheses, may hold anything; the state follows, and user and system time are
    // the 11th and 12th behind that.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    let mut fields = fields.skip(10);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(((user + system) as f64 / TICKS, has_ended))
}

/// The number behind a name at the beginning of a line, whatever its unit.
fn parse_line(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_stands_behind_a_name_that_holds_anything() {
        let stat = "42 (a b) S 7 (x)) R 1 42 42 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 3 0 99 1 2";
        assert_eq!(parse_stat(stat), Some((3.0, false)));
        let ended = "42 (orrery) Z 1 42 42 0 -1 4194304 100 0 0 0 1 2 3 4 20 0 3 0 99 1 2";
        assert_eq!(parse_stat(ended), Some((0.03, true)));
    }

    #[test]
    fn a_text_that_is_cut_is_no_process() {
        for text in [
            "",
            "42 (a",
            "42 (a) S 1 2 3",
            "42 (a) S 1 2 3 4 5 6 7 8 9 10 x y",
        ] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let io =
            "rchar: 5\nwchar: 6\nread_bytes: 7\nwrite_bytes: 81920\ncancelled_write_bytes: 4096\n";
        assert_eq!(parse_line(io, "write_bytes:"), Some(81_920));
        assert_eq!(parse_line(io, "cancelled_write_bytes:"), Some(4_096));
        assert_eq!(parse_line(io, "absent:"), None);
        let status = "VmRSS:\t  900 kB\nRssAnon:\t     512 kB\nRssFile:\t 1 kB\n";
        assert_eq!(parse_line(status, "RssAnon:"), Some(512));
    }

    #[test]
    fn this_process_has_memory_and_has_not_ended() {
        let usage = Process::Own.usage().expect("this test runs on Linux");
        assert!(usage.rss_anon_kib > 0);
        assert!(!usage.has_ended);
        assert!(Process::Id(u32::MAX).usage().is_none());
    }
}
