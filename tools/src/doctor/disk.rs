//! The data directory, its file system, its disk, and how long that will do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use orrery_engine::offline::Directory;
use orrery_engine::{Options, Store, probe};
use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use super::{Finding, State};
use crate::cli::ServeArguments;
use crate::config::check;
use crate::failure::Result;
use crate::units::bytes_text;

/// Events a second of the whole network.
const EVENTS_PER_SECOND: u64 = 350;
/// About what an event of the network adds to the index for good, in bytes: README, "Measured".
const EVENT_BYTES: u64 = 20;
const DAY_US: u64 = 86_400_000_000;
/// Fewer days than this of room are worth a word.
const DAYS_MIN: u64 = 30;

/// A sync is waited for every five seconds and after each seal and merge. Beyond a tenth of a second it is a slow disk,
/// beyond one it holds up those who ask.
const SYNC_SLOW: Duration = Duration::from_millis(100);
const SYNC_TOO_SLOW: Duration = Duration::from_secs(1);
/// The live network takes some 0.4 MB/s of log and index with its merges; coming back after a night takes ten times that.
const WRITE_SLOW: f64 = 10e6;
const WRITE_TOO_SLOW: f64 = 2e6;
/// A page of answers reads a dozen places.
const READ_SLOW: Duration = Duration::from_millis(5);

pub(super) fn examine(
    arguments: &ServeArguments,
    follows: bool,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    let data = &arguments.data;
    tell(directory(data, follows))?;
    let Some(there) = nearest(data) else {
        return tell(Finding::new(
            "disk",
            State::Fail,
            format!("nothing above {} is there", data.display()),
            "name a directory on a disk that is mounted",
        ));
    };
    tell(file_system(&there))?;
    tell(speed(&there))?;
    tell(space(arguments, &there))
}

/// The directory itself, or what is there of the way to it.
fn nearest(data: &Path) -> Option<PathBuf> {
    let above = data.ancestors().map(|above| match above {
        above if above.as_os_str().is_empty() => Path::new("."),
        above => above,
    });
    above.map(Path::to_owned).find(|above| above.is_dir())
}

fn directory(data: &Path, follows: bool) -> Finding {
    let what = "data directory";
    let shown = data.display();
    if !data.is_dir() {
        if let Some((wrong, right)) = check::directory(data) {
            return Finding::new(what, State::Fail, wrong, right);
        }
        return Finding::ok(what, format!("{shown} is not there yet; `serve` makes it"));
    }
    let is_used = match probe::is_in_use(data) {
        Ok(is_used) => is_used,
        Err(error) => {
            return Finding::new(
                what,
                State::Warn,
                format!("whether another process has {shown} cannot be told: {error}"),
                "run this as the user that runs the server",
            );
        }
    };
    match (Store::is_at(data), is_used) {
        (Ok(_), true) => Finding::ok(
            what,
            format!("{shown} is in use by a server or another command"),
        ),
        (Ok(true), false) => Finding::ok(what, format!("{shown} has an index, and nobody uses it")),
        (Ok(false), false) => match check::contents(data, follows) {
            Some((wrong, right)) => Finding::new(what, State::Fail, wrong, right),
            None => Finding::ok(what, format!("{shown} has no index yet")),
        },
        (Err(error), _) => Finding::new(
            what,
            State::Fail,
            format!("{shown}: {error}"),
            "`orrery verify` and `orrery repair` tell more",
        ),
    }
}

/// What is known of a kind of file system: its name, and what to know of it.
fn kind(magic: u32) -> (String, Option<&'static str>) {
    const MEMORY: &str =
        "it is gone with the next start of the machine: name a directory on a disk";
    const NETWORK: &str = "locks, syncs and mapped files are not to be relied on over a network: name a directory on a disk of this machine";
    const LAYER: &str = "it is gone with the container, and slow: mount a volume there";
    const SIMPLE: &str = "it does not survive a power cut: make it ext4";
    let known = match magic {
        0xef53 => ("ext4", None),
        0x5846_5342 => ("xfs", None),
        0x9123_683e => ("btrfs", None),
        0xf2f5_2010 => ("f2fs", None),
        0x2fc1_2fc1 => ("zfs", None),
        0x0102_1994 => ("tmpfs", Some(MEMORY)),
        0x8584_58f6 => ("ramfs", Some(MEMORY)),
        0x794c_7630 => ("overlay", Some(LAYER)),
        0x6969 => ("nfs", Some(NETWORK)),
        0xff53_4d42 | 0xfe53_4d42 => ("smb", Some(NETWORK)),
        0x0102_1997 => ("9p", Some(NETWORK)),
        0x00c3_6400 => ("ceph", Some(NETWORK)),
        0x6573_5546 => (
            "fuse",
            Some("it depends on the program behind it: name a directory on a disk of this machine"),
        ),
        0x4d44 => ("fat", Some(SIMPLE)),
        0x2011_bab0 => ("exfat", Some(SIMPLE)),
        other => {
            return (
                format!("of a kind that is not known here ({other:#x})"),
                None,
            );
        }
    };
    (known.0.to_owned(), known.1)
}

fn file_system(there: &Path) -> Finding {
    let what = "file system";
    let (Ok(system), Ok(mounted)) = (statfs(there), statvfs(there)) else {
        let found = format!("{} cannot be looked at", there.display());
        return Finding::new(what, State::Warn, found, "name another directory");
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::unnecessary_cast,
        reason = "a number of 32 bits, in a type that differs from system to system"
    )]
    let (name, advice) = kind(system.f_type as u32);
    if mounted.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let found = format!("{name}, mounted to be read only");
        return Finding::new(what, State::Fail, found, "mount it to be written");
    }
    match advice {
        Some(advice) => Finding::new(what, State::Warn, name, advice),
        None => Finding::ok(what, name),
    }
}

fn speed(there: &Path) -> Finding {
    let what = "disk speed";
    let speed = match probe::disk_speed(there) {
        Ok(speed) => speed,
        Err(error) => {
            return Finding::new(
                what,
                State::Fail,
                error.to_string(),
                "make room there, and let the user that runs this write",
            );
        }
    };
    judge(&speed)
}

fn judge(speed: &probe::DiskSpeed) -> Finding {
    let found = format!(
        "a sync takes {} ({} at most), writes {:.0} MB/s, reads {:.0} MB/s, one place {}",
        millis(speed.sync),
        millis(speed.sync_slowest),
        speed.write_per_second / 1e6,
        speed.read_per_second / 1e6,
        millis(speed.read),
    );
    let (state, advice) = if speed.sync > SYNC_TOO_SLOW || speed.write_per_second < WRITE_TOO_SLOW {
        (
            State::Fail,
            "this disk cannot follow the network; put the data directory on an SSD",
        )
    } else if speed.sync > SYNC_SLOW || speed.write_per_second < WRITE_SLOW {
        (
            State::Warn,
            "it will do for the live stream, and takes long to catch up after a downtime; an SSD is better",
        )
    } else if speed.read > READ_SLOW {
        (
            State::Warn,
            "answers that are not in memory will be slow; an SSD is better",
        )
    } else {
        (State::Ok, "")
    };
    Finding::new("disk speed", state, found, advice)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// What is known of a directory's growth.
struct Growth {
    index: u64,
    log: u64,
    cache: u64,
    /// Time between its first and its last event, in microseconds.
    span_us: u64,
}

fn growth(data: &Path) -> Option<Growth> {
    let directory = Directory::open(data).ok()?;
    let sizes = directory.sizes();
    let first = directory
        .segments()
        .first()
        .map(|file| file.entry.first_time_us);
    let last = directory
        .segments()
        .last()
        .map(|file| file.entry.last_time_us);
    Some(Growth {
        index: sizes.segments + sizes.masks,
        log: sizes.log + sizes.key_indexes,
        cache: sizes.cache,
        span_us: last
            .zip(first)
            .map_or(0, |(last, first)| last.saturating_sub(first)),
    })
}

fn space(arguments: &ServeArguments, there: &Path) -> Finding {
    let Ok(system) = statvfs(there) else {
        let found = "the free space is not known";
        return Finding::new("free space", State::Warn, found, "name another directory");
    };
    let space = Space {
        free: system.f_bavail.saturating_mul(system.f_frsize),
        used: probe::used_bytes(&arguments.data),
        limit: arguments.disk.disk_limit,
        reserve: arguments.disk.disk_reserve,
        log_size: arguments
            .log_window
            .log_size
            .unwrap_or(Options::default().log_bytes_max),
        cache_size: arguments.edge.edge_disk,
        growth: growth(&arguments.data),
    };
    space.judge()
}

/// What there is, and what there may be.
struct Space {
    free: u64,
    used: u64,
    limit: Option<u64>,
    reserve: u64,
    log_size: u64,
    cache_size: u64,
    growth: Option<Growth>,
}

impl Space {
    fn judge(&self) -> Finding {
        let what = "free space";
        let room = self.free.saturating_sub(self.reserve);
        let (room, bound) = match self.limit.map(|limit| limit.saturating_sub(self.used)) {
            Some(left) if left < room => (left, "--disk-limit"),
            _ => (room, "--disk-reserve"),
        };
        let mut found = format!("{} free", bytes_text(self.free));
        if let Some(limit) = self.limit {
            found += &format!(", {} of {} used", bytes_text(self.used), bytes_text(limit));
        }
        let least = Options::default().disk_limit_min();
        if room < least {
            found += &format!("; {bound} leaves {}", bytes_text(room));
            let advice = format!(
                "events would wait at once: free {}, or change {bound}",
                bytes_text(least - room)
            );
            return Finding::new(what, State::Fail, found, advice);
        }
        let (log, cache) = self
            .growth
            .as_ref()
            .map_or((0, 0), |growth| (growth.log, growth.cache));
        // Both are kept up to their limits, and give way to the index below the directory's own.
        let kept = self.log_size.saturating_sub(log) + self.cache_size.saturating_sub(cache);
        let index_room = match self.limit {
            Some(_) => room,
            None => room.saturating_sub(kept),
        };
        let a_day = self
            .growth
            .as_ref()
            .filter(|growth| growth.span_us >= DAY_US);
        let (a_day, by) = match a_day {
            Some(growth) => {
                let days = growth.span_us as f64 / DAY_US as f64;
                ((growth.index as f64 / days) as u64, "as until now")
            }
            None => (
                EVENTS_PER_SECOND * EVENT_BYTES * 86_400,
                "for all of the network",
            ),
        };
        let days = index_room / a_day.max(1);
        found += &format!(", {} a day {by}: full in {days} days", bytes_text(a_day));
        let advice = "select fewer collections, shorten the log window by --log-size, or take a larger disk; when it is full, \
            events wait and queries go on";
        let state = if days < DAYS_MIN {
            State::Warn
        } else {
            State::Ok
        };
        Finding::new(what, state, found, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(free: u64, limit: Option<u64>, used: u64) -> Space {
        Space {
            free,
            used,
            limit,
            reserve: 256 << 20,
            log_size: 2 * GIB,
            cache_size: GIB,
            growth: None,
        }
    }

    #[test]
    fn room_is_judged_by_what_bounds_it() {
        for (space, state, said) in [
            (space(500 * GIB, None, 0), State::Ok, "full in"),
            (space(10 * GIB, None, 0), State::Warn, "full in"),
            (space(2 * GIB, None, 0), State::Warn, "full in 0 days"),
            (
                space(260 << 20, None, 0),
                State::Fail,
                "--disk-reserve leaves 4.0 MiB",
            ),
            (
                space(500 * GIB, Some(GIB), GIB),
                State::Fail,
                "--disk-limit leaves 0 B",
            ),
            (
                space(500 * GIB, Some(4 * GIB), GIB),
                State::Warn,
                "1.0 GiB of 4.0 GiB used",
            ),
        ] {
            let finding = space.judge();
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(said), "{finding:?}");
        }
        let mut growing = space(500 * GIB, None, 20 * GIB);
        growing.growth = Some(Growth {
            index: 20 * GIB,
            log: 2 * GIB,
            cache: GIB,
            span_us: 10 * DAY_US,
        });
        let finding = growing.judge();
        assert!(
            finding
                .found
                .contains("2.0 GiB a day as until now: full in 249 days"),
            "{finding:?}"
        );
    }

    #[test]
    fn a_disk_is_judged_by_what_following_the_network_needs() {
        let good = probe::DiskSpeed {
            bytes: 32 << 20,
            write_per_second: 200e6,
            sync: Duration::from_millis(2),
            sync_slowest: Duration::from_millis(9),
            read_per_second: 300e6,
            read: Duration::from_micros(90),
        };
        let with = |change: fn(&mut probe::DiskSpeed)| {
            let mut speed = good;
            change(&mut speed);
            judge(&speed).state
        };
        assert_eq!(with(|_| {}), State::Ok);
        assert_eq!(
            with(|speed| speed.sync = Duration::from_millis(300)),
            State::Warn
        );
        assert_eq!(with(|speed| speed.write_per_second = 5e6), State::Warn);
        assert_eq!(
            with(|speed| speed.read = Duration::from_millis(12)),
            State::Warn
        );
        assert_eq!(
            with(|speed| speed.sync = Duration::from_secs(2)),
            State::Fail
        );
        assert_eq!(with(|speed| speed.write_per_second = 1e6), State::Fail);
        assert!(
            judge(&good)
                .found
                .starts_with("a sync takes 2.0 ms (9.0 ms at most), writes 200 MB/s")
        );
    }

    #[test]
    fn file_systems_that_lose_data_are_warned_of() {
        for (magic, name, is_warned) in [
            (0xef53, "ext4", false),
            (0x0102_1994, "tmpfs", true),
            (0x6969, "nfs", true),
            (0x794c_7630, "overlay", true),
            (0x4d44, "fat", true),
            (0x1234, "0x1234", false),
        ] {
            let (said, advice) = kind(magic);
            assert!(said.contains(name), "{said}");
            assert_eq!(advice.is_some(), is_warned, "{said}");
        }
    }
}
