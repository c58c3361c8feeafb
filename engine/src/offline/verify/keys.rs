//! The key indexes: each by itself, then against the log file that it is about. A missing one is no damage:
//! it is derived, and the next start makes it anew.

use std::collections::HashMap;

use orrery_formats::Error as FormatError;
use orrery_formats::envelope::FileKind;
use orrery_formats::event::Body;
use orrery_formats::frame::FileHeader;
use orrery_formats::keys::{self, FRAME_UNIT, KeyEntry, KeysFile, fingerprint};
use orrery_formats::manifest::State;
use xxhash_rust::xxh3::xxh3_64;

use super::Check;
use super::log::ReadLog;
use crate::actors::is_deletion;
use crate::log::keys::KeyHasher;
use crate::log::{FrameBuffer, LogReader, parse_name};
use crate::offline::Directory;
use crate::offline::directory::{found, is_not_found};
use crate::store::LOG;
use crate::{ActorId, Error, Result};

/// Told of the DID, the hash of the key, the rev, and the frame and ordinal of an event.
type EachKey<'a> = dyn FnMut(&str, u64, u64, (u64, u32)) + 'a;

fn section_name(id: u16) -> &'static str {
    match id {
        1 => "header",
        2 => "directory",
        3 => "entries",
        4 => "frames",
        5 => "far revs",
        _ => "unknown section",
    }
}

impl Check<'_> {
    pub(super) fn key_indexes(&mut self, state: Option<&State>, logs: &[ReadLog]) -> Result<()> {
        let mut opened = Vec::new();
        for file in found(&*self.fs, &self.path.join(LOG), |name| {
            parse_name(name, "keys")
        })? {
            let name = format!("{LOG}/{}", file.name);
            let versions = 1..=keys::VERSION;
            let checked = self.sealed(&name, FileKind::KeyIndex, versions, &section_name);
            let is_sound = checked.is_some_and(|checked| checked.sound.is_some());
            let Some(log) = logs.iter().find(|log| log.file.first_seq == file.first_seq) else {
                self.note(format!("{name}: its log file is not there"));
                continue;
            };
            if !is_sound || self.quick {
                continue;
            }
            let path = self.path.join(&name);
            let index = self
                .fs
                .map(&path)
                .map_err(Error::io("map", &path))
                .and_then(|mapped| Ok(KeysFile::open(file.name.clone(), mapped)?));
            let index = match index.and_then(|index| Ok(index.verify().map(|()| index)?)) {
                Ok(index) => index,
                // Removed by a running store meanwhile.
                Err(error) if is_not_found(&error) => continue,
                Err(Error::Format(FormatError::Version { .. })) => {
                    self.note(format!(
                        "{name}: of an older version, which the next start makes anew"
                    ));
                    continue;
                }
                Err(error) => {
                    self.error(&name, error);
                    continue;
                }
            };
            if log.is_sound && self.is_about(&name, &index, log) {
                opened.push((name, index, log));
            }
        }
        let (Some(state), false) = (state, opened.is_empty()) else {
            return Ok(());
        };
        let hasher = KeyHasher::new(&state.directory.secret);
        let directory = Directory::open_with_fs(self.fs.clone(), &self.path);
        let sound = directory.as_ref().ok().filter(|directory| {
            let mut segments = directory.segments().iter();
            segments.all(|file| file.segment().is_ok())
        });
        let Some(directory) = sound else {
            self.note(
                "key indexes are not compared with their log: a segment is damaged".to_owned(),
            );
            return Ok(());
        };
        for (name, index, log) in &opened {
            self.against_log(name, index, log, hasher, directory)?;
        }
        Ok(())
    }

    /// Whether the index says that it is about the log file of its name as it is.
    fn is_about(&mut self, name: &str, index: &KeysFile, log: &ReadLog) -> bool {
        let header = index.header();
        let seed = FileHeader {
            first_seq: log.file.first_seq,
            directory_id: log.directory_id,
        }
        .seed();
        let says = (
            header.first_seq,
            header.last_seq,
            header.log_bytes,
            header.log_seed,
        );
        let is = (log.file.first_seq, log.last_seq, log.file.bytes, seed);
        let path = self.path.join(LOG).join(&log.file.name);
        let length = self.fs.open(&path).and_then(|file| file.len());
        if length.is_ok_and(|length| length != log.file.bytes) {
            // A running store has written to it since, and closed it.
            return false;
        }
        if says != is {
            let expected = format!("first seq, last seq, bytes and seed of its log file {is:?}");
            self.damage(name, "header", 0, expected, format!("{says:?}"));
        }
        says == is
    }

    /// Compares an index with the events of its log file. Accounts that no segment knows yet have no id to
    /// make a fingerprint of: of their keys only the number is compared.
    fn against_log(
        &mut self,
        name: &str,
        index: &KeysFile,
        log: &ReadLog,
        hasher: KeyHasher,
        directory: &Directory,
    ) -> Result<()> {
        let mut actors: HashMap<u64, Option<ActorId>> = HashMap::new();
        let mut unreadable = false;
        let mut newest: HashMap<u64, KeyEntry> = HashMap::new();
        let mut unknown = std::collections::HashSet::new();
        let is_there = self.each_key(log, hasher, &mut |did, hash, rev, at: (u64, u32)| {
            let did_hash = xxh3_64(did.as_bytes());
            // A segment damaged there was told by its own check.
            let actor = actors.entry(did_hash).or_insert_with(|| {
                let found = directory.find_actor(did);
                unreadable |= found.is_err();
                found.ok().flatten()
            });
            let Some(actor) = actor else {
                unknown.insert((did_hash, hash));
                return;
            };
            let entry = KeyEntry {
                fingerprint: fingerprint(*actor, hash),
                rev,
                frame: u32::try_from(at.0 / FRAME_UNIT).unwrap_or(u32::MAX),
                ordinal: at.1,
            };
            newest
                .entry(entry.fingerprint)
                .and_modify(|known| {
                    *known = KeyEntry {
                        rev: known.rev.max(rev),
                        ..entry
                    };
                })
                .or_insert(entry);
        })?;
        if !is_there {
            return Ok(());
        }
        if unreadable {
            self.note(format!(
                "{name} is not compared with its log: a segment is damaged"
            ));
            return Ok(());
        }
        let keys = (newest.len() + unknown.len()) as u64;
        let mut count = 0u64;
        let mut strange = 0u64;
        for entry in index.entries() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.format_error(name, 0, error);
                    return Ok(());
                }
            };
            count += 1;
            match newest.get(&entry.fingerprint) {
                Some(known) if *known == entry => {}
                Some(known) => {
                    let expected = format!("{known:?}");
                    self.damage(name, "entries", 0, expected, format!("{entry:?}"));
                    return Ok(());
                }
                None => strange += 1,
            }
        }
        if count != keys || strange != unknown.len() as u64 {
            let expected = format!("the {keys} keys of its log file");
            self.damage(
                name,
                "entries",
                0,
                expected,
                format!("{count} keys, {strange} of others"),
            );
        }
        Ok(())
    }

    /// Calls `each` with DID, hash of the key, rev and (frame, ordinal) of the events with a key of a log file
    /// that is known to be sound. False where a running store has trimmed it since it was read.
    fn each_key(&self, log: &ReadLog, hasher: KeyHasher, each: &mut EachKey<'_>) -> Result<bool> {
        let path = self
            .path
            .join(LOG)
            .join(crate::log::log_name(log.file.first_seq));
        let mut reader = match LogReader::open(&*self.fs, &path, log.directory_id) {
            Ok(reader) => reader,
            Err(error) if is_not_found(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut buffer = FrameBuffer::new();
        while let Some(frame) = reader.next_frame(&mut buffer)? {
            for (ordinal, event) in (0..).zip(buffer.events().into_iter().flatten()) {
                let (_, event) = event?;
                let (hash, rev) = match event.body {
                    Body::Commit {
                        rev,
                        collection,
                        rkey,
                        ..
                    } => (hasher.hash(collection, rkey), rev),
                    Body::Account {
                        seq,
                        active,
                        status,
                    } => (hasher.account_hash(is_deletion(active, status)), seq),
                    Body::Identity { .. } | Body::Exclusion { .. } => continue,
                };
                each(event.did, hash, rev, (frame, ordinal));
            }
        }
        Ok(true)
    }
}
