//! The manifest file of a data directory: which files make it up, and how far they reach. It is named
//! `MANIFEST-<number>` and grows by one checksummed edit at a time, synced before it counts.
//!
//! When the edits outweigh the state they describe, a new manifest with the next number is written under a
//! temporary name with the state as its first edit, synced, renamed, and the directory synced; only then is
//! the old one removed. The highest number wins, so a crash between any two of these steps leaves a
//! manifest that holds everything; the temporary and the older file are removed at the next open.

use crate::error::{Error, Result};
use crate::io::fs::{TEMPORARY_SUFFIX, write_sealed};
use crate::io::{File, Fs};
use orrery_formats::Error as FormatError;
use orrery_formats::manifest::{
    ALIGNMENT, FILE_HEADER_BYTES, VERSION, decode_edit, decode_header, encode_edit, encode_header,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use orrery_formats::manifest::{
    Counts, Directory, Edit, GapEntry, QuarantineEntry, SegmentEntry, SelectionEntry, State,
};

const PREFIX: &str = "MANIFEST-";
/// A manifest below this is not worth rewriting.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
/// It is rewritten when it is this many times as large as when it was made.
const COMPACT_GROWTH: u64 = 4;

/// The open manifest.
#[derive(Debug)]
pub struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    path: PathBuf,
    file: Box<dyn File>,
    number: u64,
    /// Where the next edit goes; what is before is durable.
    end: u64,
    compact_at: u64,
    state: State,
    poisoned: Option<String>,
}

impl Manifest {
    /// Begins the manifest of a new data directory.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if `dir` has a manifest; [`Error::Io`].
    pub fn create(fs: Arc<dyn Fs>, dir: &Path, directory: Directory) -> Result<Self> {
        if let Some(number) = newest(fs.as_ref(), dir)? {
            return Err(Error::Inconsistent {
                path: dir.join(name(number)),
                what: "it is there already".to_owned(),
            });
        }
        Self::write_new(fs, dir, 1, State::new(directory))
    }

    /// Opens the manifest of a data directory for writing; `None` if there is none. A torn tail is cut, and
    /// what is left is made durable once more (see `log::recovery` for why).
    ///
    /// # Errors
    /// [`Error::Format`] for a version this build does not read, before anything is written, and for
    /// damage; [`Error::Io`].
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Option<Self>> {
        let Some(number) = newest(fs.as_ref(), dir)? else {
            return Ok(None);
        };
        let path = dir.join(name(number));
        let file = fs.open_rw(&path).map_err(Error::io("open", &path))?;
        let Loaded {
            state,
            bytes,
            version,
            last_edit,
            end,
            ..
        } = load(file.as_ref(), &path, number)?;
        if end < bytes.len() as u64 {
            tracing::info!(path = %path.display(), bytes = bytes.len() as u64 - end, "a torn edit is cut off");
        }
        let last = bytes
            .get(last_edit as usize..end as usize)
            .unwrap_or_default();
        file.truncate(end)
            .map_err(Error::io("cut the torn tail of", &path))?;
        file.write_at(last_edit, last)
            .map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        fs.sync_dir(dir).map_err(Error::io("sync directory", dir))?;
        remove_others(fs.as_ref(), dir, number)?;
        let mut manifest = Self {
            compact_at: compact_at(end),
            fs,
            dir: dir.to_owned(),
            path,
            file,
            number,
            end,
            state,
            poisoned: None,
        };
        if version != VERSION {
            // Edits of two versions do not stand in one file.
            manifest.compact()?;
        }
        Ok(Some(manifest))
    }

    /// Reads the state of a data directory without writing; `None` if it has no manifest.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<State>> {
        let Some(number) = newest(fs, dir)? else {
            return Ok(None);
        };
        Self::read_number(fs, dir, number).map(Some)
    }

    /// As [`Manifest::read`], of the manifest with that number, which may not be the newest.
    pub(crate) fn read_number(fs: &dyn Fs, dir: &Path, number: u64) -> Result<State> {
        let path = dir.join(name(number));
        let file = fs.open(&path).map_err(Error::io("open", &path))?;
        Ok(load(file.as_ref(), &path, number)?.state)
    }

    /// As [`Manifest::read`], with what a look from outside wants to know of the file.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn look(fs: &dyn Fs, dir: &Path) -> Result<Option<Look>> {
        let Some(number) = newest(fs, dir)? else {
            return Ok(None);
        };
        let path = dir.join(name(number));
        let file = fs.open(&path).map_err(Error::io("open", &path))?;
        let loaded = load(file.as_ref(), &path, number)?;
        Ok(Some(Look {
            name: name(number),
            number,
            bytes: loaded.bytes.len() as u64,
            version: loaded.version,
            state: loaded.state,
            tail: loaded.tail,
        }))
    }

    /// The state after every durable edit.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The bytes of the file that are in use.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end
    }

    /// Makes an edit durable, then applies it.
    ///
    /// # Errors
    /// [`Error::Format`] for an edit that contradicts the state, which changes nothing. [`Error::Io`] if
    /// anything fails on disk: whether the edit counts is then decided when the directory is opened again,
    /// and every later call fails with [`Error::Poisoned`].
    pub fn append(&mut self, edit: &Edit) -> Result<()> {
        if let Some(why) = &self.poisoned {
            return Err(Error::Poisoned { why: why.clone() });
        }
        let mut after = self.state.clone();
        after
            .apply(edit.clone())
            .map_err(|error| error.in_file(&name(self.number)))?;
        let mut bytes = Vec::new();
        encode_edit(edit, self.number, self.end, &mut bytes)?;
        let written = self
            .file
            .write_at(self.end, &bytes)
            .map_err(Error::io("write", &self.path))
            .and_then(|()| self.file.sync_data().map_err(Error::io("sync", &self.path)));
        self.poison_on_error(written)?;
        self.end += bytes.len() as u64;
        self.state = after;
        if self.end >= self.compact_at {
            let compacted = self.compact();
            self.poison_on_error(compacted)?;
        }
        Ok(())
    }

    /// Writes down that every loss so far is accepted, in a new manifest: edits only add losses.
    ///
    /// # Errors
    /// As [`Manifest::append`].
    pub(crate) fn accept_gaps(&mut self) -> Result<()> {
        let gaps = std::mem::take(&mut self.state.gaps);
        self.state.gaps = gaps.into_iter().map(GapEntry::accepted).collect();
        let written = self.compact();
        self.poison_on_error(written)
    }

    /// Writes the state as a new manifest.
    fn compact(&mut self) -> Result<()> {
        let (fs, number) = (Arc::clone(&self.fs), self.number + 1);
        let next = Self::write_new(fs, &self.dir, number, self.state.clone())?;
        *self = next;
        remove_others(self.fs.as_ref(), &self.dir, self.number)
    }

    /// Writes `state` as the manifest with that number, which is not there yet.
    pub(crate) fn write_new(
        fs: Arc<dyn Fs>,
        dir: &Path,
        number: u64,
        state: State,
    ) -> Result<Self> {
        let mut bytes = encode_header(number);
        encode_edit(
            &state.as_first(),
            number,
            FILE_HEADER_BYTES as u64,
            &mut bytes,
        )?;
        let path = write_sealed(fs.as_ref(), dir, &name(number), &bytes)?;
        let file = fs.open_rw(&path).map_err(Error::io("open", &path))?;
        let end = bytes.len() as u64;
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            path,
            file,
            number,
            end,
            compact_at: compact_at(end),
            state,
            poisoned: None,
        })
    }

    fn poison_on_error(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            tracing::error!(%error, "the manifest cannot be written; the writer stops");
            self.poisoned = Some(error.to_string());
        }
        result
    }
}

const fn compact_at(end: u64) -> u64 {
    let grown = end.saturating_mul(COMPACT_GROWTH);
    if grown > COMPACT_BYTES_MIN {
        grown
    } else {
        COMPACT_BYTES_MIN
    }
}

/// A manifest as it was read, by someone who does not write it.
#[derive(Debug)]
pub struct Look {
    /// The file's name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// The version of its format. One of an older version is written anew when it is [opened](Manifest::open).
    pub version: u16,
    /// What its sound edits add up to.
    pub state: State,
    /// Why reading ended before the end of the file, if it did: a crash tears the last edit, and the next
    /// start of the store cuts it off.
    pub tail: Option<FormatError>,
}

struct Loaded {
    state: State,
    version: u16,
    bytes: Vec<u8>,
    last_edit: u64,
    end: u64,
    tail: Option<FormatError>,
}

fn load(file: &dyn File, path: &Path, number: u64) -> Result<Loaded> {
    let name = name(number);
    let in_file = |error: FormatError| Error::from(error.in_file(&name));
    let length = file.len().map_err(Error::io("read the length of", path))?;
    // A manifest is a few times its state; see `compact_at`.
    let mut bytes = Vec::new();
    let mut block = vec![0; 64 << 10];
    while (bytes.len() as u64) < length {
        let at = bytes.len() as u64;
        let read = file
            .read_at(at, &mut block)
            .map_err(Error::io("read", path))?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(block.get(..read).unwrap_or_default());
    }
    let version = decode_header(&bytes, number).map_err(in_file)?;
    let mut last_edit = FILE_HEADER_BYTES as u64;
    // A manifest gets its name with its first edit in it, durable: without a sound one it is damaged.
    let (first, mut end) = decode_edit(&bytes, version, number, last_edit).map_err(in_file)?;
    let mut state = State::from_first(first).map_err(in_file)?;
    let mut tail = None;
    while end < bytes.len() as u64 {
        let (edit, next) = match decode_edit(&bytes, version, number, end) {
            Ok(decoded) => decoded,
            Err(error) if follows(&bytes, version, number, end) => return Err(in_file(error)),
            Err(error) => {
                tail = Some(error.in_file(&name));
                break;
            }
        };
        state.apply(edit).map_err(in_file)?;
        last_edit = end;
        end = next;
    }
    Ok(Loaded {
        state,
        version,
        bytes,
        last_edit,
        end,
        tail,
    })
}

/// Whether a sound edit stands behind the bad one at `offset`, which is then damage and not a torn tail:
/// each edit is durable before the next is written.
fn follows(bytes: &[u8], version: u16, number: u64, offset: u64) -> bool {
    let end = bytes.len() as u64;
    (offset + ALIGNMENT as u64..end)
        .step_by(ALIGNMENT)
        .any(|offset| decode_edit(bytes, version, number, offset).is_ok())
}

pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

fn number_of(file: &str) -> Option<u64> {
    let number = file.strip_prefix(PREFIX)?.parse().ok()?;
    (name(number) == file).then_some(number)
}

fn newest(fs: &dyn Fs, dir: &Path) -> Result<Option<u64>> {
    Ok(numbers(fs, dir)?.last().copied())
}

/// Whether `dir` is there and has a manifest, sound or not.
pub(crate) fn is_there(fs: &dyn Fs, dir: &Path) -> Result<bool> {
    match newest(fs, dir) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The numbers of the manifests that are there, rising.
pub(crate) fn numbers(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>> {
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter_map(|entry| number_of(&entry.name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes older manifests and what a crash left of new ones.
fn remove_others(fs: &dyn Fs, dir: &Path, keep: u64) -> Result<()> {
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        let stem = entry
            .name
            .strip_suffix(TEMPORARY_SUFFIX)
            .unwrap_or(&entry.name);
        if number_of(stem).is_some() && entry.name != name(keep) {
            let path = dir.join(&entry.name);
            fs.unlink(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod tests;
