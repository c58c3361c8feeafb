//! Merging: neighbouring segments become one, without the rows that are dead.
//!
//! Everything streams, so memory does not grow with rows, links, targets, lists or actors, except for:
//! a bit for each target, each key that is no TID and each row, with an eighth more for rows; the tables
//! of collections (those of buckets too), paths, sources and shapes; the samples of one collection; the directory of the index of
//! DIDs, half a bit an actor. What
//! else grows goes through the [`Workspace`]. The bytes are those that [`build`](super::build) makes of
//! the same rows.
//!
//! The order of the work is that of the sections in the file:
//!
//! 1. [`part`]: which rows live, and which shapes, keys and targets they use.
//! 2. [`tables`]: collections, paths, sources, shapes and keys, and old ids to new ones.
//! 3. [`targets`]: record by record in order, and old ordinals to new ones, which rise with them.
//! 4. [`rows`]: rows and links, in the order of the segments.
//! 5. [`lists`]: target by target; rows of an earlier segment stand before those of a later one.
//! 6. [`actors`]: DIDs, one segment's behind the other's; the newest state of each actor; kills. [`passed`]: the
//!    keys left without a row, which a deletion of their account takes away.
//! 7. [`buckets`]: collection by collection and hour by hour.
//! 8. [`samples`]: of each collection the newest that live.

mod actors;
mod buckets;
mod columns;
mod lists;
mod output;
mod part;
mod passed;
mod rows;
mod samples;
mod tables;
mod targets;

use super::build::count;
use super::layout::{KIND, ROWS_MAX, Section, SegmentInfo, VERSION};
use super::workspace::{Env, Workspace};
use super::{Segment, spill};
use crate::envelope::FileWriter;
use crate::sink::Sink;
use crate::{Error, Result};
use output::Output;
use part::Part;
pub use samples::SampleRules;

/// A segment to be merged.
#[derive(Clone, Copy)]
pub struct MergeInput<'a> {
    /// The segment.
    pub segment: &'a Segment,
    /// Whether a row is to be left out: a dead one, which all rows are that a kill of an input names.
    /// Called once for each row.
    pub is_dropped: &'a dyn Fn(u32) -> bool,
}

impl std::fmt::Debug for MergeInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MergeInput")
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

/// What became of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// What the new segment covers and holds.
    pub info: SegmentInfo,
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-64 (seed 0) of all its bytes.
    pub checksum: u64,
}

/// Merges `inputs`, whose ranges of seqs follow each other without a gap, and so do their actors, and
/// writes the segment to `out`. Rows keep seq, time, author, key, shape and links, and are numbered anew.
/// A kill stays if its row lies outside of the inputs and `keep_kill` says that the row still exists; that
/// is asked once for each such kill. Of several states of an actor the last segment's stays, with the newest time of
/// deletion. A passed key stays unless its account was deleted behind it: where its segment's state of the actor has an
/// older time of deletion than another segment's. Of samples those stay that `samples` says.
///
/// Costs a few passes over the inputs; what it writes to scratch space is about half of what it writes
/// to `out`.
///
/// ```
/// use orrery_formats::chunks::SealedFile;
/// use orrery_formats::segment::{
///     InMemory, KIND, MergeInput, SampleRules, Segment, SegmentInput, VERSION, build, merge,
/// };
///
/// let segment = |first_seq, last_seq| {
///     let input = SegmentInput { first_seq, last_seq, ..SegmentInput::default() };
///     let file = SealedFile::open("a.seg".to_owned(), build(&input)?, KIND, VERSION..=VERSION)?;
///     Segment::open(file)
/// };
/// let (older, newer) = (segment(1, 5)?, segment(6, 9)?);
/// let inputs = [&older, &newer].map(|segment| MergeInput { segment, is_dropped: &|_row| false });
/// let mut bytes = Vec::new();
/// let merged = merge(&inputs, &|_seq| true, &SampleRules::ALL, &mut bytes, &mut InMemory)?;
/// assert_eq!((merged.info.first_seq, merged.info.last_seq), (1, 9));
/// assert_eq!(merged.bytes, bytes.len() as u64);
/// # Ok::<(), orrery_formats::Error>(())
/// ```
///
/// # Errors
/// An input is damaged; the inputs are no neighbours ([`Error::Corrupt`] naming "merge input"); together
/// they are too large for a segment ([`Error::TooLarge`]); `out` or `workspace` fails.
pub fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    inputs: &[MergeInput<'_>],
    keep_kill: &dyn Fn(u64) -> bool,
    samples: &SampleRules<'_>,
    out: O,
    workspace: &mut W,
) -> Result<Merged, W::Error> {
    let env = &mut Env::new(workspace);
    let mut info = covered(inputs)?;
    let mut parts = Vec::with_capacity(inputs.len());
    for input in inputs {
        parts.push(Part::scan(env, input, &mut info)?);
    }
    let mut out = Output::new(FileWriter::new(out, KIND, VERSION));
    let tables = tables::merge(env, &mut parts, &mut info, &mut out)?;
    targets::merge(env, &mut parts, &tables, &mut info, &mut out)?;
    rows::merge(env, &parts, &tables, &info, &mut out)?;
    let hot = lists::merge(env, &parts, &mut info, &mut out)?;
    rows::links(env, &parts, &hot, &mut out)?;
    drop(hot);
    drop(parts);
    actors::merge(env, inputs, keep_kill, &mut info, &mut out)?;
    buckets::merge(env, inputs, &mut out)?;
    samples::merge(env, inputs, samples, &mut out)?;
    out.section(env, Section::Meta, &info.encode())?;
    let written = out.finish(env)?;
    Ok(Merged {
        info,
        bytes: written.bytes,
        checksum: written.checksum,
    })
}

/// The ranges that the inputs cover together.
fn covered(inputs: &[MergeInput<'_>]) -> Result<SegmentInfo> {
    let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else {
        return Err(bad(0, "a segment to merge", "none"));
    };
    let first = first.segment.info();
    let mut info = SegmentInfo {
        first_seq: first.first_seq,
        last_seq: last.segment.info().last_seq,
        did_seed: first.did_seed,
        actors_first_id: first.actors_first_id,
        // No TID, until one is found.
        key_first_us: 1,
        key_last_us: 0,
        ..SegmentInfo::default()
    };
    let mut seq = Some(first.first_seq);
    let mut actors = 0usize;
    let mut times: Option<(u64, u64)> = None;
    for (index, input) in inputs.iter().enumerate() {
        let part = input.segment.info();
        if seq != Some(part.first_seq) || part.last_seq < part.first_seq {
            return Err(bad(
                index,
                "seqs that follow the segment before",
                part.first_seq,
            ));
        }
        seq = part.last_seq.checked_add(1);
        let actor = u64::from(info.actors_first_id) + actors as u64;
        if u64::from(part.actors_first_id) != actor {
            let expected = format!("actors from {actor} on");
            return Err(bad(index, &expected, part.actors_first_id));
        }
        actors += part.actors_count as usize;
        // Both are 0 where the range has no time.
        if (part.first_time_us, part.last_time_us) != (0, 0) {
            let (first, last) = times.unwrap_or((part.first_time_us, part.last_time_us));
            times = Some((first.min(part.first_time_us), last.max(part.last_time_us)));
        }
    }
    (info.first_time_us, info.last_time_us) = times.unwrap_or((0, 0));
    info.actors_count = count("actors of a segment", actors, ROWS_MAX)?;
    Ok(info)
}

#[cold]
fn bad(index: usize, expected: &str, found: impl ToString) -> Error {
    Error::corrupt("merge input", index as u64, expected, found)
}
