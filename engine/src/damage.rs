//! Finding the damaged file after the process died by a read error in a mapped file. The marker that the
//! signal handler left (see [`crate::io::mmap::catch_faults`]) names a file; that file, and where it is
//! sound all others, are read from end to end by plain reads, which fail with an error instead of a signal.

use std::path::Path;

use orrery_formats::fault::{self, Fault};
use orrery_formats::manifest::{SegmentEntry, State, WrittenOff};
use xxhash_rust::xxh3::Xxh3;

use crate::io::Fs;
use crate::mask::files::MASKS;
use crate::recovery::open_entry;
use crate::store::{CACHE, LOG, SEGMENTS, segment_name};
use crate::{Error, Result};

/// Bytes of one read.
const BLOCK_BYTES: usize = 1 << 20;
/// Directories and suffixes of files that are made of segments and the log, and made anew where they are not there.
const DERIVED: [(&str, &str); 2] = [(LOG, ".keys"), (MASKS, ".mask")];
/// The same of all mapped files that are made anew.
const MADE_ANEW: [(&str, &str); 3] = [(LOG, ".keys"), (MASKS, ".mask"), (CACHE, ".index")];

/// A segment that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) id: u64,
    pub(crate) why: String,
}

/// What a fault marker says.
#[derive(Debug)]
pub(crate) struct Marker(Option<Fault>);

impl Marker {
    /// The marker of a data directory, if the last process left one.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(fault::FILE_NAME);
        let file = match fs.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io("open", &path))?,
        };
        let mut bytes = [0; fault::BYTES_MAX + 1];
        // A marker that cannot be read says as much as one that is torn.
        let read = file.read_at(0, &mut bytes).unwrap_or(0);
        Ok(Some(Self(fault::decode(
            bytes.get(..read).unwrap_or_default(),
        ))))
    }

    /// The name of the segment's file that it names, if it names one.
    pub(crate) fn segment(&self) -> Option<&str> {
        let name = self.0.as_ref()?.name.strip_prefix(SEGMENTS)?;
        name.strip_prefix('/')
    }

    /// Removes it. What it led to must be durable before.
    pub(crate) fn remove(fs: &dyn Fs, dir: &Path) -> Result<()> {
        let path = dir.join(fault::FILE_NAME);
        fs.unlink(&path).map_err(Error::io("remove", &path))?;
        fs.sync_dir(dir).map_err(Error::io("sync directory", dir))
    }

    /// Reads the named file, and all others where that does not explain the fault, and gives the damaged
    /// segments. A derived file that cannot be read is removed: it is made anew. Reads up to the whole index.
    pub(crate) fn find_damage(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        state: &State,
    ) -> Result<Vec<Damaged>> {
        let is_read = |entry: &&SegmentEntry| {
            let mut quarantined = state.quarantined.iter();
            quarantined.all(|known| known.id != entry.id)
        };
        let named = |entry: &SegmentEntry| segment_name(entry.first_seq, entry.last_seq, entry.id);
        let mut set_aside = state.segments.iter().filter(|entry| !is_read(entry));
        if set_aside.any(|entry| self.segment() == Some(&*named(entry))) {
            // It was read for its accounts, and is known to be damaged.
            tracing::warn!(
                "the last run died by a read error in a segment that is set aside, of which it read the accounts; \
                 this one does not. The system's log may name the drive"
            );
            return Ok(Vec::new());
        }
        let entries: Vec<(String, &SegmentEntry)> = state
            .segments
            .iter()
            .filter(is_read)
            .map(|entry| (named(entry), entry))
            .collect();
        match &self.0 {
            Some(Fault { name, offset }) => tracing::warn!(
                "the last run died by a read error in {name}, at byte {offset}; reading that file whole to \
                 see whether it is damaged. The system's log may name the drive"
            ),
            None => tracing::warn!(
                "the last run died by a read error in a mapped file that is not known; reading all \
                 segments. The system's log may name the drive"
            ),
        }
        if let Some(Fault { name, .. }) = &self.0 {
            let segment = entries
                .iter()
                .find(|(known, _)| Some(known.as_str()) == self.segment());
            if let Some((known, entry)) = segment
                && let Some(damaged) = check(fs, dir, known, entry)
            {
                return Ok(vec![damaged]);
            }
            if let Some((kind, file)) = name.split_once('/')
                && MADE_ANEW
                    .iter()
                    .any(|(dir, suffix)| kind == *dir && file.ends_with(suffix))
                && drop_unreadable(fs, &dir.join(kind).join(file))?
            {
                return Ok(Vec::new());
            }
            tracing::warn!("{name} can be read now; reading all other files that are mapped");
        }
        for (kind, suffix) in MADE_ANEW {
            let dir = dir.join(kind);
            let listed = match fs.list(&dir) {
                // Not every directory has a cache.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                listed => listed.map_err(Error::io("list", &dir))?,
            };
            for file in listed {
                if file.name.ends_with(suffix) {
                    drop_unreadable(fs, &dir.join(&file.name))?;
                }
            }
        }
        let all = entries.iter();
        Ok(all
            .filter_map(|(name, entry)| check(fs, dir, name, entry))
            .collect())
    }
}

/// The ids of segments that are set aside and whose files are whole again, of those that nothing was sealed without:
/// events that were applied without a segment need a repair, and so does what was written off: the unsealed log may have
/// its events again as new ones. Reads the files of all others that are set aside.
pub(crate) fn sound_again(fs: &dyn Fs, dir: &Path, state: &State) -> Vec<u64> {
    let mut first_actor = 0;
    let mut sound = Vec::new();
    for entry in &state.segments {
        let mut quarantined = state.quarantined.iter();
        let known = quarantined.find(|known| known.id == entry.id);
        if known.is_some_and(|known| {
            known.applied_through >= state.sealed_through && known.written_off == WrittenOff::No
        }) {
            let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
            // The checksum first: by plain reads, which no bad block answers with a signal.
            let is_whole = check(fs, dir, &name, entry).is_none()
                && open_entry(fs, dir, entry, first_actor)
                    .is_ok_and(|sealed| sealed.segment.verify().is_ok());
            if is_whole {
                tracing::warn!(file = %name, "a segment that was set aside is whole again, and is read again");
                sound.push(entry.id);
            }
        }
        first_actor = entry.actors_end;
    }
    sound
}

/// Removes all masks and key indexes, durably: what was derived without a segment is wrong once it is back.
pub(crate) fn remove_derived(fs: &dyn Fs, dir: &Path) -> Result<()> {
    for (within, suffix) in DERIVED {
        let within = dir.join(within);
        fs.create_dir_all(&within)
            .map_err(Error::io("create", &within))?;
        for file in fs.list(&within).map_err(Error::io("list", &within))? {
            if file.name.ends_with(suffix) {
                let path = within.join(&file.name);
                fs.unlink(&path).map_err(Error::io("remove", &path))?;
            }
        }
        // Also where none was there: an attempt before may have removed them and failed here.
        fs.sync_dir(&within)
            .map_err(Error::io("sync directory", &within))?;
    }
    Ok(())
}

/// Reads a segment and compares it with what the manifest knows of it.
fn check(fs: &dyn Fs, dir: &Path, name: &str, entry: &SegmentEntry) -> Option<Damaged> {
    let why = match read_whole(fs, &dir.join(SEGMENTS).join(name)) {
        Err(error) => error.to_string(),
        Ok((bytes, _)) if bytes != entry.bytes => {
            format!("it has {bytes} bytes instead of {}", entry.bytes)
        }
        Ok((_, checksum)) if checksum != entry.checksum => format!(
            "its checksum is {checksum:016x} instead of {:016x}",
            entry.checksum
        ),
        Ok(_) => return None,
    };
    Some(Damaged {
        id: entry.id,
        why: format!("{name}: {why}"),
    })
}

/// Removes a derived file that cannot be read, and tells whether it did.
fn drop_unreadable(fs: &dyn Fs, path: &Path) -> Result<bool> {
    let Err(error) = read_whole(fs, path) else {
        return Ok(false);
    };
    tracing::warn!(%error, "a derived file cannot be read and is made anew");
    match fs.unlink(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(true),
    }
}

/// The length and the XXH3-64 of a file, by plain reads.
fn read_whole(fs: &dyn Fs, path: &Path) -> Result<(u64, u64)> {
    let file = fs.open(path).map_err(Error::io("open", path))?;
    let mut hash = Xxh3::new();
    let mut offset = 0;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = file
            .read_at(offset, &mut block)
            .map_err(Error::io("read", path))?;
        hash.update(block.get(..read).unwrap_or_default());
        offset += read as u64;
        if read < block.len() {
            return Ok((offset, hash.digest()));
        }
    }
}
