//! Writing the files of masks, after a seal and at the end. A mask that cannot be written stays as it is, on its
//! older file and the heap, and is tried again after the next seal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Writer;
use crate::mask::files::{entries_by_name, remove_unused, write_mask};
use crate::mask::policy::{Bounds, Load, plan};
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
                    break;
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
        });
        shared.publish(Arc::clone(&generation));
        self.generation = generation;
        remove_unused(&*shared.fs, &shared.dir, &self.generation.segments);
        Ok(())
    }
}
