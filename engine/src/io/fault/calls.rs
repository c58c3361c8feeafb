//! What programs call: the simulated file system as the file trait has it.

use super::*;
use crate::io::fs::{Entry, File, LockGuard};
use crate::io::mmap::Mapped;

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: usize,
    writable: bool,
}

#[derive(Debug)]
struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

impl SimFs {
    fn file(&self, inode: usize, writable: bool) -> Box<dyn File> {
        Box::new(SimFile {
            state: Arc::clone(&self.state),
            inode,
            writable,
        })
    }
}

impl Fs for SimFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole_call()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.whole_call()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change_name(NameChange::Link(path.to_owned(), inode));
        drop(state);
        Ok(self.file(inode, true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.whole_call()?;
        let inode = state.inode(path)?;
        drop(state);
        Ok(self.file(inode, false))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.whole_call()?;
        let inode = state.inode(path)?;
        drop(state);
        Ok(self.file(inode, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole_call()?;
        state.inode(from)?;
        if from.parent() != to.parent() {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole_call()?;
        state.inode(path)?;
        state.change_name(NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.whole_call()?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut entries = Vec::new();
        for (path, inode) in &state.names {
            if path.parent() == Some(dir)
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                let bytes = state.get(*inode)?.data.len() as u64;
                entries.push(Entry {
                    name: name.to_owned(),
                    bytes,
                });
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let verdict = state.call(true)?;
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            if change.dir() != Some(dir) {
                state.pending.push(change);
            } else if matches!(verdict, Verdict::Go) {
                change.apply(&mut state.disk_names);
            } else {
                state.pending.push(change);
            }
        }
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Fail => Err(failure()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut state = self.state.lock();
        state.whole_call()?;
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(Box::new(SimLock {
            state: Arc::clone(&self.state),
            path: path.to_owned(),
        })))
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let mut state = self.state.lock();
        state.whole_call()?;
        Ok(Mapped::heap(state.get(state.inode(path)?)?.data.clone()))
    }

    /// Counts no call: nothing changes, and nobody depends on it.
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(if state.hides_free_space {
            u64::MAX
        } else {
            state.free()
        })
    }
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let verdict = state.call(false)?;
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let free = usize::try_from(state.free()).unwrap_or(usize::MAX);
        let inode = state.get_mut(self.inode)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        match verdict {
            Verdict::Go => {
                let end = inode.data.len().saturating_add(free);
                let fits = bytes.len().min(end.saturating_sub(offset));
                inode.write(offset, bytes.get(..fits).unwrap_or_default());
                if fits < bytes.len() {
                    Err(full())
                } else {
                    Ok(())
                }
            }
            Verdict::Fail => {
                inode.write(offset, bytes.get(..bytes.len() / 2).unwrap_or(&[]));
                Err(failure())
            }
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.whole_call()?;
        let data = &state.get(self.inode)?.data;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let rest = data.get(offset..).unwrap_or(&[]);
        let read = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) {
            to.copy_from_slice(from);
        }
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.whole_call()?;
        Ok(state.get(self.inode)?.data.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let verdict = state.call(true)?;
        let inode = state.get_mut(self.inode)?;
        match verdict {
            Verdict::Go => {
                inode.sync();
                Ok(())
            }
            Verdict::Fail => {
                inode.dirty.clear();
                Err(failure())
            }
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        self.state.lock().whole_call()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole_call()?;
        let inode = state.get_mut(self.inode)?;
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let changed = bytes.min(inode.data.len());
        inode.data.resize(bytes, 0);
        inode
            .dirty
            .extend(changed / SECTOR_BYTES..bytes.div_ceil(SECTOR_BYTES));
        inode.dirty.retain(|sector| sector * SECTOR_BYTES < bytes);
        Ok(())
    }
}
