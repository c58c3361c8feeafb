//! Writing the files of masks, after a seal and at the end. A mask that cannot be written stays as it is, on its
//! older file and the heap, and is tried again after the next seal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Writer;
use crate::mask::files::{entries_by_name, remove_unused, write_mask};
use crate::mask::policy::{Bounds, Load, plan};
use crate::part::FoundLists;
use crate::snapshot::{Generation, Sealed};
use crate::{Error, Result};

/// What speaks for writing each mask of a generation.
fn loads(segments: &[Sealed]) -> Vec<Load> {
    // Kills and account states of each segment and all newer ones.
    let mut since = vec![0_u64];
    for sealed in segments.iter().rev() {
        let info = sealed.segment.info();
        let newer = since.last().copied().unwrap_or(0);
        since.push(newer + u64::from(info.kills) + u64::from(info.states));
    }
    since.reverse();
    let load = |sealed: &Sealed| {
        let header = sealed.mask.file().map(|file| file.header());
        let through = header.map_or(0, |header| header.through_seq);
        let newer = segments.partition_point(|other| other.segment.info().last_seq <= through);
        if sealed.degraded.is_some() {
            // An empty segment in the place of one that is set aside needs no mask.
            return Load {
                file_rows: Some(0),
                changes: 0,
                behind: 0,
                through,
                bytes: 0,
            };
        }
        // Two bits a row at most, and a few bytes for each list that changed.
        let bits = u64::from(sealed.segment.info().rows) / 4;
        let file_bytes = sealed.mask.file().map_or(bits, |file| file.file_bytes());
        Load {
            file_rows: header.map(|header| header.masked_rows.into()),
            changes: sealed.mask.changes(),
            behind: since.get(newer).copied().unwrap_or(0),
            through,
            bytes: file_bytes.saturating_add(16 * sealed.mask.changes()),
        }
    };
    segments.iter().map(load).collect()
}

/// After a failed sync it is unknown what the disk holds, of any file.
fn is_failed_sync(error: &Error) -> bool {
    matches!(error, Error::Io { op, .. } if op.starts_with("sync"))
}

impl Writer {
    /// Ends writing: makes everything durable, and writes down of the masks what would cost the next start time.
    /// A writer that is only dropped loses nothing but that time.
    ///
    /// # Errors
    /// As [`commit`](Self::commit): after [`Error::DiskFull`] everything but the last batch is durable.
    pub fn close(mut self) -> Result<()> {
        self.commit()?;
        self.compaction = None;
        if self.events == 0 {
            let installed = self.install_between_seals();
            self.poison_on_error(installed)?;
        }
        let written = self.write_masks(&Bounds::CLOSING);
        self.poison_on_error(written)
    }

    /// Writes the files of the masks that are due by `bounds`, and publishes the masks that stand on them. Files
    /// that are then of no use, as those that were replaced and those of segments that were merged, are
    /// removed; snapshots keep them mapped.
    ///
    /// # Errors
    /// When a sync fails. Other failures are logged.
    pub(crate) fn write_masks(&mut self, bounds: &Bounds) -> Result<()> {
        let old = Arc::clone(&self.generation);
        let due = plan(&loads(&old.segments), bounds);
        if due.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let state = self.journal.state();
        let entries = entries_by_name(state);
        // The masks are as of the last seal, whatever came since.
        let through = old.memtable.first_seq.saturating_sub(1);
        let mut segments: Vec<Sealed> = old
            .segments
            .iter()
            .map(|sealed| sealed.with_mask(Arc::clone(&sealed.mask)))
            .collect();
        for place in due {
            let Some(sealed) = segments.get_mut(place) else {
                continue;
            };
            let Some(entry) = entries.get(&*sealed.name) else {
                continue;
            };
            let written = write_mask(
                &*shared.fs,
                &shared.dir,
                state.directory.id,
                entry,
                through,
                sealed.segment.info().rows,
                &sealed.mask,
            );
            match written {
                Ok((mask, bytes)) => {
                    shared.masks_written.fetch_add(bytes, Ordering::Relaxed);
                    *sealed = sealed.with_mask(Arc::new(mask));
                }
                Err(error) if is_failed_sync(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(segment = %sealed.name, %error, "cannot write the mask of a segment");
                    // What the disk refuses it refuses the others; what is wrong with one mask is not with them.
                    if matches!(error, Error::Io { .. }) {
                        break;
                    }
                }
            }
        }
        // The same state of the index under the same number, on other files.
        let generation = Arc::new(Generation {
            number: old.number,
            segments,
            memtable: Arc::clone(&old.memtable),
            dids: Arc::clone(&old.dids),
            counters: Arc::clone(&old.counters),
            hasher: old.hasher,
            found: FoundLists::default(),
        });
        shared.publish(Arc::clone(&generation));
        self.generation = generation;
        remove_unused(&*shared.fs, &shared.dir, &self.generation.segments);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orrery_formats::mask::{Chunk, MaskFile, MaskHeader, build};

    use super::*;
    use crate::io::Fs;
    use crate::io::fault::SimFs;
    use crate::mask::Mask;
    use crate::mask::files::MASKS;
    use crate::power_cut_tests::{Step, apply};
    use crate::{Options, Store};

    /// A mask whose file cannot be read at its end, where the lists are.
    fn unreadable() -> Mask {
        let header = MaskHeader {
            rows: 600_000,
            ..MaskHeader::default()
        };
        let every = &mut |_, chunk: &mut Chunk| {
            chunk.dead = [u64::MAX; 16];
            Ok(())
        };
        let lists: Vec<(u32, u32)> = (0..1_000).map(|list| (list, 1)).collect();
        let mut bytes = build(header, every, &lists).unwrap();
        let sound = MaskFile::open("mask".to_owned(), bytes.clone()).unwrap();
        assert_eq!(sound.lists().unwrap().count(), 1_000);
        let at = bytes.len() - 5_000;
        bytes[at] ^= 1;
        Mask::of_file(MaskFile::open("mask".to_owned(), bytes).unwrap().into())
    }

    #[test]
    fn a_mask_that_cannot_be_encoded_does_not_keep_others_from_their_files() {
        let (fs, dir) = (SimFs::new(), Path::new("data"));
        let options = Options {
            compact: false,
            ..Options::default()
        };
        let store = Store::open_with_fs(fs.shared(), dir, options).unwrap();
        let mut writer = store.writer().unwrap();
        for place in 1..=20 {
            let (actor, key, target) = (0, place % 10, place % 2);
            apply(&mut writer, place, Step::Write { actor, key, target }).unwrap();
            if place % 10 == 0 {
                writer.seal().unwrap();
            }
        }
        let masks = dir.join(MASKS);
        for entry in fs.list(&masks).unwrap() {
            fs.unlink(&masks.join(entry.name)).unwrap();
        }
        let old = Arc::clone(&writer.generation);
        let with = |place: usize, mask: Mask| old.segments[place].with_mask(Arc::new(mask));
        writer.generation = Arc::new(Generation {
            number: old.number,
            segments: vec![with(0, unreadable()), with(1, Mask::default())],
            memtable: Arc::clone(&old.memtable),
            dids: Arc::clone(&old.dids),
            counters: Arc::clone(&old.counters),
            hasher: old.hasher,
            found: FoundLists::default(),
        });
        let all = Bounds {
            behind_max: 0,
            ..Bounds::RUNNING
        };
        assert_eq!(plan(&loads(&writer.generation.segments), &all), [0, 1]);
        writer.write_masks(&all).unwrap();
        let names: Vec<String> = fs
            .list(&masks)
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        let second = format!("{:x}-", old.segments[1].id);
        assert!(
            matches!(names.as_slice(), [name] if name.starts_with(&second)),
            "{names:?}"
        );
    }
}
