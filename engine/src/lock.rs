//! One writer per data directory: an exclusive lock on the file `LOCK`, held for as long as the store
//! is open and released by the system when the process ends, however it ends. The file itself stays.

use crate::error::{Error, Result};
use crate::io::{Fs, LockGuard};
use std::path::Path;
use std::time::Duration;

/// The name of the lock file.
pub const LOCK_NAME: &str = "LOCK";

const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// The held lock of a data directory.
#[derive(Debug)]
pub struct DirLock {
    _guard: Box<dyn LockGuard>,
}

impl DirLock {
    /// Takes the lock. One that is held is tried for a tenth of a second more: a process that this one or the
    /// last holder starts has its files open, and with them the lock, until its program begins.
    ///
    /// # Errors
    /// [`Error::Locked`] if another holder has it; [`Error::Io`] if the file cannot be made or locked.
    pub fn acquire(fs: &dyn Fs, dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK_NAME);
        for _ in 0..TRIES {
            if let Some(guard) = fs.lock(&path).map_err(Error::io("lock", &path))? {
                return Ok(Self { _guard: guard });
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Err(Error::Locked { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::OsFs;

    #[test]
    fn a_second_writer_is_refused_by_name_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(&OsFs, dir.path()).unwrap();
        let refused = DirLock::acquire(&OsFs, dir.path()).unwrap_err();
        assert!(matches!(refused, Error::Locked { .. }));
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(first);
        DirLock::acquire(&OsFs, dir.path()).unwrap();
    }
}
