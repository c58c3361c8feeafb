//! For tests: a file layer that asks a hook before it creates a file.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::io::{Entry, File, Fs, LockGuard, Mapped};

/// Called with the path of a file that is to be created; an error is that of the creation.
type OnCreate = dyn Fn(&Path) -> io::Result<()> + Send + Sync;

pub(super) struct HookedFs {
    inner: Arc<dyn Fs>,
    on_create: Box<OnCreate>,
}

impl HookedFs {
    pub(super) fn shared(
        inner: Arc<dyn Fs>,
        on_create: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Fs> {
        let on_create = Box::new(on_create);
        Arc::new(Self { inner, on_create })
    }
}

impl fmt::Debug for HookedFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedFs")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Fs for HookedFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        (self.on_create)(path)?;
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
