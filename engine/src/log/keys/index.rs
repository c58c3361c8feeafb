//! The index of one closed log file: read, written, made anew out of its log file, and removed.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::io::ErrorKind;

use orrery_formats::frame::FileHeader;
use orrery_formats::keys::{KeyEntry, KeysFile, KeysHeader, build, fingerprint};

use super::active::ActivePlace;
use super::{Fingerprints, KeyOf, KeyWindow, Meaning, behind, frame_unit};
use crate::error::{Error, Result};
use crate::io::Mapped;
use crate::io::fs::{TEMPORARY_SUFFIX, write_sealed};
use crate::log::closed::read_closed;
use crate::log::{LogFile, keys_name, log_name, parse_name};

type Map = HashMap<u64, KeyEntry, BuildHasherDefault<Fingerprints>>;

/// The keys of a log file that were read from it.
pub(super) struct ReadKeys {
    pub(super) keys: KeysFile,
    /// From which seq on all keys are there, 0 for all.
    pub(super) known_from: u64,
    /// The same, also of accounts whose ids are lost.
    pub(super) whole_from: u64,
}

impl KeyWindow {
    pub(super) fn load(&self, log: &LogFile) -> Result<KeysFile> {
        let name = keys_name(log.first_seq);
        let path = self.dir.join(&name);
        let mapped = self.fs.map(&path).map_err(Error::io("map", &path))?;
        mapped.advise_random();
        let keys = KeysFile::open(name, mapped)?;
        let found = keys.header();
        let expected = self.header_for(log);
        let matches = found.first_seq == expected.first_seq
            && found.last_seq == expected.last_seq
            && found.log_bytes == expected.log_bytes
            && found.log_seed == expected.log_seed;
        if !matches {
            return Err(Error::Inconsistent {
                path,
                what: "it is about another log file".to_owned(),
            });
        }
        Ok(keys)
    }

    fn header_for(&self, log: &LogFile) -> KeysHeader {
        let header = FileHeader {
            first_seq: log.first_seq,
            directory_id: self.directory_id,
        };
        KeysHeader {
            first_seq: log.first_seq,
            last_seq: log.last_seq,
            log_bytes: log.bytes,
            log_seed: header.seed(),
            min_rev: 0,
            max_rev: 0,
            count: 0,
            bucket_bits: 0,
        }
    }

    /// The keys of the file being written, as its index has them.
    pub(super) fn active_entries(&self) -> Vec<KeyEntry> {
        let frames = &self.active_frames;
        let entries = self.active.all().map(|(fingerprint, rev, place)| {
            let ActivePlace { frame, seq } = place;
            // Each frame with a key is there.
            let at = frames.partition_point(|(known, _)| *known < frame);
            let first = frames.get(at).map_or(0, |(_, first)| *first);
            KeyEntry {
                fingerprint,
                rev,
                frame,
                ordinal: seq.saturating_sub(first),
            }
        });
        entries.collect()
    }

    fn keys_of(&self, log: &LogFile, entries: Vec<KeyEntry>) -> Result<Vec<u8>> {
        Ok(build(self.header_for(log), entries)?)
    }

    pub(super) fn write(&self, log: &LogFile, entries: Vec<KeyEntry>) -> Result<KeysFile> {
        let bytes = self.keys_of(log, entries)?;
        let name = keys_name(log.first_seq);
        match write_sealed(self.fs.as_ref(), &self.dir, &name, &bytes) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {
                // It is derived, and the disk may be full when the directory is opened only to be read: it
                // stays in memory, and the next open makes it anew.
                tracing::warn!(file = %name, "the disk is full; a key index is kept in memory");
                let temporary = self.dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
                drop(self.fs.unlink(&temporary));
                Ok(KeysFile::open(name, Mapped::heap(bytes))?)
            }
            written => {
                written?;
                self.load(log)
            }
        }
    }

    /// The keys of a log file. Frames that are damaged are left out. An index that lacks some stays in memory: who opens
    /// the directory next is to know of the damage too.
    pub(super) fn rebuild_one(&self, log: &LogFile, key_of: &mut KeyOf<'_>) -> Result<ReadKeys> {
        let mut map = Map::default();
        let mut lost_through = 0;
        let missing_through = read_closed(
            self.fs.as_ref(),
            &self.dir,
            self.directory_id,
            log,
            0..=u64::MAX,
            &self.losses,
            &mut |replayed| {
                match key_of(replayed)? {
                    Meaning::Nothing => {}
                    Meaning::Write(key) => {
                        let entry = KeyEntry {
                            fingerprint: fingerprint(key.actor, key.hash),
                            rev: key.rev,
                            frame: frame_unit(replayed.position)?,
                            ordinal: replayed.position.ordinal,
                        };
                        keep_newest(&mut map, entry);
                    }
                    Meaning::Lost => lost_through = replayed.seq,
                }
                Ok(())
            },
        )?;
        let known_from = behind(missing_through);
        let whole_from = known_from.max(behind(lost_through));
        let entries = map.into_values().collect();
        if missing_through > 0 {
            tracing::error!(
                file = %log_name(log.first_seq),
                "a log file has lost events up to seq {missing_through}: events up to there are no longer told from \
                 repeats by the log"
            );
        }
        let keys = if whole_from == 0 {
            self.write(log, entries)?
        } else {
            let bytes = self.keys_of(log, entries)?;
            let name = keys_name(log.first_seq);
            self.unlink(&name)?;
            KeysFile::open(name, Mapped::heap(bytes))?
        };
        Ok(ReadKeys {
            keys,
            known_from,
            whole_from,
        })
    }

    pub(super) fn remove(&self, first_seq: u64) -> Result<()> {
        for name in [log_name(first_seq), keys_name(first_seq)] {
            self.unlink(&name)?;
        }
        Ok(())
    }

    fn unlink(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        match self.fs.unlink(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn remove_orphans(&self, files: &[LogFile]) -> Result<()> {
        for entry in self
            .fs
            .list(&self.dir)
            .map_err(Error::io("list", &self.dir))?
        {
            let is_orphan = entry.name.ends_with(TEMPORARY_SUFFIX)
                || parse_name(&entry.name, "keys")
                    .is_some_and(|first| !files.iter().any(|log| log.first_seq == first));
            if is_orphan {
                self.unlink(&entry.name)?;
            }
        }
        Ok(())
    }
}

/// Takes the event of `entry`, which is newer than all before, for the newest of its key; what was applied under
/// a higher rev stays applied.
fn keep_newest(map: &mut Map, entry: KeyEntry) {
    map.entry(entry.fingerprint)
        .and_modify(|known| {
            *known = KeyEntry {
                rev: known.rev.max(entry.rev),
                ..entry
            };
        })
        .or_insert(entry);
}
