//! The machine itself: page size, clock, open files, memory, cores.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use orrery_engine::probe;

use super::{Finding, State};
use crate::cli::ServeArguments;
use crate::descriptors;
use crate::failure::Result;
use crate::health::now_us;
use crate::units::bytes_text;

/// What a server that follows the whole network takes on the heap beside what can be set: the memtable, a merge, the source's queue and
/// the log's frames. A file of five million events took 229 MiB (README, "Measured").
const MEMORY: u64 = 300 << 20;
/// An idle subscriber of the link stream, of 14.4 KiB, with some to spare.
const SUBSCRIBER: u64 = 16 << 10;
/// The program is not older than this: 2026, in microseconds.
const YEAR_2026: u64 = 1_767_225_600_000_000;
/// 2100.
const YEAR_2100: u64 = 4_102_444_800_000_000;
/// What a clock may differ by from the source's newest event, which takes a while to come.
const DIFFERENCE_MAX: Duration = Duration::from_secs(30);
/// How long another program has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn examine(
    arguments: &ServeArguments,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    tell(page_size(rustix::param::page_size()))?;
    tell(cores(
        std::thread::available_parallelism().map_or(1, usize::from),
    ))?;
    let total = std::fs::read_to_string("/proc/meminfo").ok();
    let total = total.as_deref().and_then(memory_total);
    let index = match arguments.no_mmap {
        true => probe::used_bytes(&arguments.data),
        false => 0,
    };
    tell(memory(
        total,
        group_limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")),
        MEMORY + index + arguments.edge.edge_memory,
        u64::from(arguments.http.subscribers_max),
    ))?;
    let subscribers = usize::try_from(arguments.http.subscribers_max).unwrap_or(usize::MAX);
    tell(open_files(
        descriptors::most(),
        descriptors::wanted(subscribers),
    ))
}

fn page_size(bytes: usize) -> Finding {
    Finding::ok("page size", bytes_text(bytes as u64))
}

fn cores(cores: usize) -> Finding {
    let (state, found) = match cores {
        0 | 1 => (State::Warn, "one core".to_owned()),
        more => (State::Ok, format!("{more} cores")),
    };
    let advice = "two or more let queries go on beside merges; lower --compact-share here";
    Finding::new("cores", state, found, advice)
}

/// The memory of the machine, out of `/proc/meminfo`.
fn memory_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the memory groups that this process is in, of either version.
fn group_limit(own: &Path, root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(own).ok()?;
    let mut lowest = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, name) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path is often that of the machine outside, and the root is one's own.
        let path = PathBuf::from(path.trim_start_matches('/'));
        for above in path.ancestors() {
            let limit = std::fs::read_to_string(root.join(above).join(name)).ok();
            let limit: Option<u64> = limit.and_then(|limit| limit.trim().parse().ok());
            // Without a limit the first version tells the largest number of pages.
            let limit = limit.filter(|limit| *limit < 1 << 60);
            lowest = lowest.into_iter().chain(limit).min();
        }
    }
    lowest
}

fn memory(total: Option<u64>, group: Option<u64>, need: u64, subscribers: u64) -> Finding {
    let what = "memory";
    let (limit, of) = match (total, group) {
        (Some(total), Some(group)) if group < total => (group, "the limit of its group"),
        (Some(total), _) => (total, "this machine"),
        (None, Some(group)) => (group, "the limit of its group"),
        (None, None) => return Finding::new(what, State::Warn, "not known", ""),
    };
    let full = need.saturating_add(subscribers.saturating_mul(SUBSCRIBER));
    let found = format!(
        "{} ({of}); the settings take {}, and {} with {subscribers} subscribers",
        bytes_text(limit),
        bytes_text(need),
        bytes_text(full)
    );
    let state = match limit {
        limit if limit < need => State::Fail,
        limit if limit < full => State::Warn,
        _ => State::Ok,
    };
    let advice =
        "lower --edge-memory or --subscribers-max, leave out --no-mmap, or give it more memory";
    Finding::new(what, state, found, advice)
}

fn open_files(most: Option<u64>, wanted: u64) -> Finding {
    let what = "open files";
    match most {
        None => Finding::ok(what, format!("no limit; {wanted} are wanted")),
        Some(most) if most >= wanted => {
            Finding::ok(what, format!("{most} may be opened, {wanted} are wanted"))
        }
        Some(most) => {
            let found = format!("{most} may be opened, {wanted} are wanted for all subscribers");
            let advice = format!(
                "raise the limit to {wanted} (LimitNOFILE=, ulimit -n), or lower --subscribers-max"
            );
            Finding::new(what, State::Warn, found, advice)
        }
    }
}

/// Judges the clock, by the time of the source's newest event where that is known.
pub(super) fn clock(source_us: Option<u64>) -> Finding {
    let is_set_by_network = is_synchronized();
    judge_clock(now_us(), source_us, is_set_by_network)
}

fn judge_clock(now_us: u64, source_us: Option<u64>, is_synchronized: Option<bool>) -> Finding {
    let what = "clock";
    let advice =
        "let it be set by the network: timedatectl set-ntp true, or a daemon such as chrony";
    let mut found = orrery_server::format_time(now_us);
    if !(YEAR_2026..YEAR_2100).contains(&now_us) {
        found += ", which cannot be";
        return Finding::new(what, State::Fail, found, advice);
    }
    let difference = source_us.map(|source| Duration::from_micros(source.abs_diff(now_us)));
    if let Some(difference) = difference {
        found += &format!(
            ", {:.1} s from the source's newest event",
            difference.as_secs_f64()
        );
    }
    found += match is_synchronized {
        Some(true) => ", synchronized",
        Some(false) => ", not synchronized",
        None => ", whether it is synchronized is not known",
    };
    let is_off = difference.is_some_and(|difference| difference > DIFFERENCE_MAX);
    let state = match (is_off, is_synchronized) {
        (true, _) | (false, Some(false)) => State::Warn,
        // The source says as much.
        (false, None) if difference.is_none() => State::Warn,
        (false, _) => State::Ok,
    };
    Finding::new(what, state, found, advice)
}

/// Whether the clock is set by the network, as far as somebody tells.
fn is_synchronized() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let said = said_by(Command::new("timedatectl").args([
        "show",
        "--property=NTPSynchronized",
        "--value",
    ]))?;
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// What a program writes, if it ends well and soon.
fn said_by(command: &mut Command) -> Option<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let output = child.wait_with_output().ok()?;
                return status
                    .success()
                    .then(|| String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Ok(None) if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_lowest_limit_of_a_memory_group_counts_whatever_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let own = root.join("own");
        put("own", "0::/system.slice/orrery.service\n");
        assert_eq!(group_limit(&own, root), None);
        put("system.slice/orrery.service/memory.max", "max\n");
        assert_eq!(group_limit(&own, root), None);
        put("system.slice/memory.max", "536870912\n");
        put("system.slice/orrery.service/memory.max", "1073741824\n");
        assert_eq!(group_limit(&own, root), Some(512 * MIB));
        put("own", "9:name=systemd:/\n4:memory,cpu:/a/b\n0::/\n");
        put("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(group_limit(&own, root), None);
        put("memory/memory.limit_in_bytes", "1048576\n");
        assert_eq!(group_limit(&own, root), Some(MIB));
    }

    #[test]
    fn memory_is_judged_by_the_lower_of_machine_and_group() {
        for (total, group, state, said) in [
            (Some(4096), None, State::Ok, "this machine"),
            (Some(4096), Some(1024), State::Ok, "the limit of its group"),
            (Some(4096), Some(450), State::Warn, "450.0 MiB"),
            (
                Some(256),
                Some(1024),
                State::Fail,
                "256.0 MiB (this machine)",
            ),
            (None, None, State::Warn, "not known"),
        ] {
            let mib = |number: Option<u64>| number.map(|number| number * MIB);
            let finding = memory(mib(total), mib(group), 364 * MIB, 10_000);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(said), "{finding:?}");
        }
        assert_eq!(
            memory_total("MemFree: 1 kB\nMemTotal:  2048 kB\n"),
            Some(2 * MIB)
        );
    }

    #[test]
    fn a_clock_is_judged_by_its_year_and_the_source() {
        let now = YEAR_2026 + 1;
        let late = Some(now + 120_000_000);
        for (time, source, is_synchronized, state) in [
            (now, Some(now - 2_000_000), Some(true), State::Ok),
            (now, Some(now - 2_000_000), None, State::Ok),
            (now, None, Some(true), State::Ok),
            (now, None, None, State::Warn),
            (now, Some(now), Some(false), State::Warn),
            (now, late, Some(true), State::Warn),
            (1_000, None, Some(true), State::Fail),
            (YEAR_2100, None, Some(true), State::Fail),
        ] {
            let finding = judge_clock(time, source, is_synchronized);
            assert_eq!(finding.state, state, "{finding:?}");
        }
        assert!(judge_clock(now, late, None).found.contains("120.0 s from"));
    }

    #[test]
    fn few_cores_and_few_files_are_warned_of() {
        assert_eq!(cores(1).state, State::Warn);
        assert_eq!(cores(4).state, State::Ok);
        assert_eq!(open_files(None, 12_048).state, State::Ok);
        assert_eq!(open_files(Some(12_048), 12_048).state, State::Ok);
        let few = open_files(Some(1024), 12_048);
        assert_eq!(few.state, State::Warn);
        assert!(few.advice.contains("LimitNOFILE"), "{few:?}");
    }

    #[test]
    fn a_program_that_does_not_end_is_not_waited_for() {
        let said = said_by(Command::new("echo").arg("yes"));
        assert_eq!(said.as_deref(), Some("yes\n"));
        let started = Instant::now();
        assert_eq!(said_by(Command::new("sleep").arg("30")), None);
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(said_by(&mut Command::new("/nowhere/program")), None);
    }
}
