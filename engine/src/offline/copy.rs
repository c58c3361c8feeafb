//! Copies of files, hashed as they are read, durable under their name or not there at all.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::io::fs::TEMPORARY_SUFFIX;
use crate::io::{File, Fs};
use crate::{Error, Result};

/// Bytes read at a time.
const BLOCK_BYTES: u64 = 1 << 20;

/// Hashes the bytes `from .. to` of a file and hands each block on.
///
/// # Errors
/// [`Error::Inconsistent`] where the file ends before `to`; [`Error::Io`]; as `block` does.
pub(super) fn read_range(
    file: &dyn File,
    path: &Path,
    (from, to): (u64, u64),
    hasher: &mut Xxh3,
    block: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; BLOCK_BYTES.min(to.saturating_sub(from)) as usize];
    let mut at = from;
    while at < to {
        let wanted = BLOCK_BYTES.min(to - at) as usize;
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let read = file.read_at(at, room).map_err(Error::io("read", path))?;
        if read == 0 {
            return Err(Error::Inconsistent {
                path: path.to_owned(),
                what: format!("it ends at {at}, before {to}"),
            });
        }
        let bytes = room.get(..read).unwrap_or_default();
        hasher.update(bytes);
        block(at, bytes)?;
        at += read as u64;
    }
    Ok(())
}

/// The XXH3-64 of the first `bytes` bytes of a file.
///
/// # Errors
/// As [`read_range`].
pub(super) fn checksum_of(fs: &dyn Fs, path: &Path, bytes: u64) -> Result<u64> {
    let file = fs.open(path).map_err(Error::io("open", path))?;
    let mut hasher = Xxh3::new();
    read_range(file.as_ref(), path, (0, bytes), &mut hasher, &mut |_, _| {
        Ok(())
    })?;
    Ok(hasher.digest())
}

/// Copies the first `bytes` bytes of an open file to `dir/name`, in place of what has that name, and gives their
/// XXH3-64. With `expected`, a copy with another checksum is removed again and is an error. The
/// directory is not synced.
///
/// # Errors
/// As [`read_range`], and where the copy cannot be written.
pub(super) fn copy_sealed(
    fs: &dyn Fs,
    (file, path): (&dyn File, &Path),
    bytes: u64,
    expected: Option<u64>,
    (dir, name): (&Path, &str),
) -> Result<u64> {
    let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    remove_if_there(fs, &temporary)?;
    let copy = fs
        .create(&temporary)
        .map_err(Error::io("create", &temporary))?;
    let mut hasher = Xxh3::new();
    read_range(file, path, (0, bytes), &mut hasher, &mut |at, block| {
        copy.write_at(at, block)
            .map_err(Error::io("write", &temporary))
    })?;
    let found = hasher.digest();
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        drop(copy);
        remove_if_there(fs, &temporary)?;
        return Err(Error::Inconsistent {
            path: path.to_owned(),
            what: format!(
                "damaged: its checksum should be {expected:#018x} and is {found:#018x}; \
                 `orrery verify` of that directory or backup tells all that is damaged"
            ),
        });
    }
    copy.sync_all().map_err(Error::io("sync", &temporary))?;
    drop(copy);
    let target = dir.join(name);
    fs.rename(&temporary, &target)
        .map_err(Error::io("rename into place", &target))?;
    Ok(found)
}

/// Removes a file that may not be there.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.unlink(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
