//! A finding of a review: the thread spins while a merge waits to be installed and another one's wait is over.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Options;
use crate::Store;
use crate::io::fault::SimFs;
use crate::io::{Entry, File, Fs, LockGuard, Mapped};
use crate::power_cut_tests::{Step, apply};
use crate::store::SEGMENTS;

const DIR: &str = "data";

/// Fails the first creation of a segment's file.
#[derive(Debug)]
struct FailsOnce {
    inner: Arc<dyn Fs>,
    is_over: AtomicBool,
}

impl Fs for FailsOnce {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let is_segment = path.starts_with(Path::new(DIR).join(SEGMENTS));
        if is_segment && !self.is_over.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("once"));
        }
        self.inner.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open(path)
    }
    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open_rw(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.inner.unlink(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.inner.lock(path)
    }
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.inner.map(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}

/// Ticks of CPU time of the thread that merges; the test runs alone.
fn ticks() -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        if stat.contains("(compaction)") {
            let fields: Vec<&str> = stat.split_whitespace().collect();
            sum += fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
        }
    }
    sum
}

#[test]
fn a_thread_whose_merge_waits_to_be_installed_rests() {
    let fs = SimFs::new();
    let options = Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        disk_reserve: 0,
        ..Options::default()
    };
    let write = |writer: &mut crate::Writer, place: u64| {
        let step = Step::Write {
            actor: place % 4,
            key: place,
            target: 2,
        };
        apply(writer, place, step).unwrap();
    };
    {
        let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options.clone()).unwrap();
        let mut writer = store.writer().unwrap();
        for place in 1..=400 {
            write(&mut writer, place);
            if place % 100 == 0 {
                writer.seal().unwrap();
            }
        }
        writer.close().unwrap();
    }
    let failing = FailsOnce {
        inner: fs.shared(),
        is_over: AtomicBool::new(false),
    };
    let background = Options {
        compact: true,
        ..options
    };
    let store = Store::open_with_fs(Arc::new(failing), Path::new(DIR), background).unwrap();
    let mut writer = store.writer().unwrap();
    // So that what is merged waits for a seal.
    write(&mut writer, 401);
    let until = Instant::now() + Duration::from_secs(30);
    while writer.shared.compaction.waiting().is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(super::holds::FIRST + Duration::from_secs(1));
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    let spent = ticks() - before;
    assert!(spent < 30, "{spent} ticks of CPU time in 3 s of waiting");
}
