//! The events of closed log files, and which seqs none of their sound frames has.

use super::reader::{FrameBuffer, LogReader};
use super::recovery::Replayed;
use super::{LogFile, Position, log_name};
use crate::error::{Error, Result};
use crate::io::Fs;
use orrery_formats::manifest::GapEntry;
use std::ops::RangeInclusive;
use std::path::Path;

/// Whether the manifest says that the seqs from `first` up to `next` are lost, by one of `gaps` or several.
pub(crate) fn is_known_loss<'a>(
    gaps: impl IntoIterator<Item = &'a GapEntry> + Clone,
    first: u64,
    next: u64,
) -> bool {
    let mut from = first;
    while from < next {
        let mut gaps = gaps.clone().into_iter();
        let last = gaps.find_map(|gap| {
            let last = gap.last_seq.unwrap_or(u64::MAX);
            (gap.first_seq <= from && from <= last).then_some(last)
        });
        match last {
            Some(last) => from = last.saturating_add(1),
            None => return false,
        }
        if from == u64::MAX {
            break;
        }
    }
    first < next
}

/// Finds seqs that are missing among ranges that come in order. What was lost before it was sealed is not
/// missing: the index does not have it either.
pub(super) struct Missing<'a> {
    losses: &'a [GapEntry],
    next: u64,
    through: u64,
}

impl<'a> Missing<'a> {
    /// Looks from the seq `first` on.
    pub(super) const fn new(losses: &'a [GapEntry], first: u64) -> Self {
        Self {
            losses,
            next: first,
            through: 0,
        }
    }

    /// Takes note of a range that is there.
    pub(super) fn meet(&mut self, first_seq: u64, last_seq: u64) {
        self.arrive(first_seq);
        self.next = self.next.max(last_seq.saturating_add(1));
    }

    /// Takes note that what comes before `seq` and was not met is not there.
    pub(super) fn arrive(&mut self, seq: u64) {
        if seq > self.next && !is_known_loss(self.losses, self.next, seq) {
            self.through = seq - 1;
        }
    }

    /// The highest seq that is missing, 0 where none is.
    pub(super) const fn through(&self) -> u64 {
        self.through
    }
}

/// Gives the events of a closed file that are within `seqs` to `each`, in order, and tells the highest seq among
/// those that no sound frame has, 0 where none is missing. Holds one frame in memory.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file of a version not read here or a checksummed frame that does not
/// decode, and what `each` fails with.
pub(crate) fn read_closed(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    log: &LogFile,
    seqs: RangeInclusive<u64>,
    losses: &[GapEntry],
    each: &mut dyn FnMut(&Replayed<'_>) -> Result<()>,
) -> Result<u64> {
    let path = dir.join(log_name(log.first_seq));
    let (mut reader, _) = LogReader::open_damaged(fs, &path, directory_id)?;
    let mut missing = Missing::new(losses, log.first_seq.max(*seqs.start()));
    let mut buffer = FrameBuffer::new();
    loop {
        let frame = match reader.next_frame(&mut buffer) {
            Ok(None) => break,
            Ok(Some(frame)) => frame,
            Err(Error::Format(error)) => {
                tracing::warn!(%error, "a damaged log frame is left out");
                match reader.next_sound(reader.offset(), &mut buffer)? {
                    Some(next) => reader.seek(next),
                    None => break,
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(header) = buffer.header() else { break };
        if header.first_seq > *seqs.end() {
            break;
        }
        if header.last_seq() < *seqs.start() {
            continue;
        }
        missing.meet(header.first_seq, header.last_seq());
        for (ordinal, event) in (0..).zip(buffer.events().into_iter().flatten()) {
            let (seq, event) = event.map_err(|error| error.in_file(reader.name()))?;
            if seqs.contains(&seq) {
                let position = Position {
                    file: log.first_seq,
                    frame,
                    ordinal,
                };
                each(&Replayed {
                    seq,
                    position,
                    event,
                })?;
            }
        }
    }
    missing.arrive(log.last_seq.min(*seqs.end()).saturating_add(1));
    Ok(missing.through())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_known_by_one_entry_or_by_several_that_adjoin() {
        let gap = |first_seq, last_seq| GapEntry {
            first_seq,
            last_seq,
            file: String::new(),
            offset: 0,
        };
        let gaps = [
            gap(30, Some(40)),
            gap(10, Some(19)),
            gap(20, Some(25)),
            gap(90, None),
        ];
        for (first, next, is_known) in [
            (10, 20, true),
            (10, 26, true),
            (15, 22, true),
            (10, 27, false),
            (26, 30, false),
            (29, 41, false),
            (30, 41, true),
            (30, 42, false),
            (95, u64::MAX, true),
            (12, 12, false),
        ] {
            assert_eq!(
                is_known_loss(&gaps, first, next),
                is_known,
                "{first} {next}"
            );
        }
    }
}
