//! A backup while the store goes on: between any two calls of the backup, the store seals, merges, removes what it
//! merged and trims its log. The backup restores to a position that its cursor names.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::check::restores;
use super::play::{BACKUP, DATA, Script, durable, play_until};
use super::{extent, points};
use crate::io::fault::{SimFs, SplitMix};
use crate::io::{Entry, File, Fs, LockGuard, Mapped};
use crate::offline::backup_with_fs;

type Hook = Box<dyn FnOnce() + Send>;

/// Calls of one view of the file system, at one of which something else happens first.
#[derive(Clone)]
struct Calls {
    count: Arc<AtomicU64>,
    at: u64,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl Calls {
    fn call(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == self.at
            && let Some(hook) = self.hook.lock().take()
        {
            hook();
        }
    }
}

/// A view of a file system, or of a file in it.
struct View<F> {
    calls: Calls,
    inner: F,
}

impl<F> std::fmt::Debug for View<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

impl View<SimFs> {
    fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(View {
            calls: self.calls.clone(),
            inner: file,
        })
    }
}

impl Fs for View<SimFs> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.calls.call();
        self.inner.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.calls.call();
        Ok(self.file(self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.calls.call();
        Ok(self.file(self.inner.open(path)?))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.calls.call();
        Ok(self.file(self.inner.open_rw(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.calls.call();
        self.inner.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.calls.call();
        self.inner.unlink(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.calls.call();
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.calls.call();
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.calls.call();
        self.inner.lock(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.calls.call();
        self.inner.map(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}

impl File for View<Box<dyn File>> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.calls.call();
        self.inner.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.call();
        self.inner.read_at(offset, buffer)
    }

    fn len(&self) -> io::Result<u64> {
        self.calls.call();
        self.inner.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.calls.call();
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.calls.call();
        self.inner.sync_all()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.calls.call();
        self.inner.truncate(bytes)
    }
}

/// Backs up while, at call `at`, the store goes on with the script up to `until`. Gives the calls of the backup.
fn back_up(fs: &SimFs, script: &Arc<Script>, at: u64, until: u64, what: &str) -> u64 {
    let calls = Calls {
        count: Arc::default(),
        at,
        hook: Arc::default(),
    };
    let (beside, played) = (fs.clone(), Arc::clone(script));
    *calls.hook.lock() = Some(Box::new(move || play_until(&beside, &played, until)));
    let view: Arc<dyn Fs> = Arc::new(View {
        calls: calls.clone(),
        inner: fs.clone(),
    });
    let begun = durable(&script.open(&fs.killed()).unwrap());
    let report = backup_with_fs(&view, Path::new(DATA), Path::new(BACKUP), false)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = report.cursor.map_or(0, |cursor| cursor.value);
    assert!(found >= begun, "{what}: {found} of {begun}");
    restores(&fs.crash(at), script, found, what);
    calls.count.load(Ordering::Relaxed)
}

#[test]
fn a_backup_restores_whatever_the_store_does_between_two_of_its_calls() {
    let (seeds, all) = extent();
    let mut count = 0;
    for seed in 0..seeds {
        let script = Arc::new(Script::new(seed));
        let mut random = SplitMix::new(seed + 99);
        // A first backup, and one onto it; the store goes on by little and by much.
        for (from, until) in [(15, 22), (28, 44), (35, 37), (41, 80), (61, 70)] {
            let fs = SimFs::new();
            play_until(&fs, &script, from);
            let calls = back_up(&fs.killed(), &script, u64::MAX, 0, "alone");
            for at in points(calls, all, &mut random) {
                let what = format!("script {seed}, from {from} to {until} at {at} of {calls}");
                let fs = fs.killed();
                back_up(&fs, &script, at, until, &what);
                back_up(&fs, &script, u64::MAX, 0, &what);
                count += 1;
            }
        }
    }
    println!("backups beside: {count} points, 0 wrong answers");
}
