//! One merge: from segments and masks of a generation to a durable segment that nothing names yet.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use orrery_formats::manifest::SegmentEntry;
use orrery_formats::segment::{self, MergeInput, SampleRules, Workspace as _};

use super::policy::{Candidate, Plan};
use super::renumbering::{Renumbered, Renumbering};
use super::workspace::{FileWorkspace, Pace, ROOM_BYTES, RoomWatch, SegmentFile, Stopped};
use crate::Error;
use crate::disk::{Room, give_all_or_none};
use crate::mask::Mask;
use crate::memtable::{DEAD, HIDDEN};
use crate::recovery::open_segment;
use crate::samples::Merging;
use crate::snapshot::Sealed;
use crate::store::{SCRATCH, SEGMENTS, Shared, segment_name};

/// A segment that was merged and is not installed.
pub(crate) struct Merged {
    /// What the manifest will say of it.
    pub(crate) entry: SegmentEntry,
    /// With the mask that the inputs' masks came to when the merge began.
    pub(crate) sealed: Sealed,
    /// What it was made of.
    pub(crate) inputs: Vec<Input>,
    /// Where the rows of those are in it.
    pub(crate) renumbering: Renumbering,
}

/// A segment that was merged, as it was then.
pub(crate) struct Input {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) mask: Arc<Mask>,
}

impl Merged {
    /// The path of its file.
    pub(crate) fn path(&self, shared: &Shared) -> PathBuf {
        shared.dir.join(SEGMENTS).join(&*self.sealed.name)
    }
}

/// What the policy asks about.
pub(crate) fn candidates(segments: &[Sealed]) -> Vec<Candidate> {
    let candidate = |sealed: &Sealed| {
        let info = sealed.segment.info();
        Candidate {
            level: sealed.level,
            rows: info.rows.into(),
            links: info.links.into(),
            dead_rows: sealed.mask.dead_rows(),
            passed_keys: info.passed.into(),
            has_dead_samples: false,
            is_readable: sealed.degraded.is_none(),
        }
    };
    segments.iter().map(candidate).collect()
}

/// The most that a merge of segments of that many bytes takes in passing: at worst as many bytes as its inputs have,
/// and as many again of scratch files.
pub(super) fn need(inputs: impl Iterator<Item = u64>) -> u64 {
    inputs.sum::<u64>().saturating_mul(2)
}

/// Merges the segments of `plan`.
pub(crate) fn merge(
    shared: &Shared,
    segments: &[Sealed],
    plan: &Plan,
    pace: Pace<'_>,
) -> Result<Merged, Stopped> {
    let sources = segments.get(plan.places.clone());
    let sources = sources.unwrap_or_default();
    let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
        return Err(Error::Internal(format!("a merge of segments {:?}", plan.places)).into());
    };
    let need = need(sources.iter().map(|sealed| sealed.bytes));
    let compaction = &shared.compaction;
    let room = || Room::of(&*shared.fs, &shared.dir, &shared.options);
    let whole = need.saturating_add(compaction.left_by_merges());
    give_all_or_none(shared, room().bytes, whole);
    room().check(whole)?;
    let written = Cell::new(0);
    let look = || {
        let room = room();
        let left = need.saturating_sub(written.get());
        compaction.want().takes(left.max(need.min(ROOM_BYTES)));
        written.set(written.get() + ROOM_BYTES);
        if compaction.must_give_way().load(Ordering::Relaxed) {
            return Err(Error::DiskFull {
                need,
                free: room.bytes,
                limit: room.limit,
            });
        }
        room.check(
            need.min(ROOM_BYTES)
                .saturating_add(compaction.left_by_merges()),
        )
    };
    let watch = RoomWatch {
        look: &look,
        is_asked: compaction.must_give_way(),
    };
    let first_seq = first.segment.info().first_seq;
    let last_info = last.segment.info();
    let id = shared.next_segment_id();
    let name = segment_name(first_seq, last_info.last_seq, id);

    let renumbering = Renumbering::of(sources)?;
    let dropped: Vec<_> = renumbering
        .inputs()
        .iter()
        .map(|input| |row| input.is_dropped(row))
        .collect();
    let inputs: Vec<MergeInput<'_>> = sources
        .iter()
        .zip(&dropped)
        .map(|(sealed, is_dropped)| MergeInput {
            segment: &sealed.segment,
            is_dropped,
        })
        .collect();
    // A kill stays as long as its row stands in some other segment.
    let keep_kill = |seq: u64| row_exists(segments, seq);
    let scratch = shared.dir.join(SCRATCH);
    let mut workspace = FileWorkspace::new(Arc::clone(&shared.fs), &scratch, pace, watch);
    let segments_dir = shared.dir.join(SEGMENTS);
    let mut file = SegmentFile::create(Arc::clone(&shared.fs), &segments_dir, name.clone())?;
    let hasher = shared.generation().hasher;
    let limit = shared.options.samples_limit;
    let mut go_on = || workspace.progress(0);
    let kept = Merging::new(segments, &plan.places, hasher, limit, &mut go_on)?;
    let samples = SampleRules {
        most: &|collection| kept.most(collection),
        keep: &|number, sample| kept.keeps(number, sample),
    };
    let written = segment::merge(&inputs, &keep_kill, &samples, &mut file, &mut workspace)?;
    file.finish()?;

    let opened = open_segment(&*shared.fs, &shared.dir, &name, id, plan.level);
    let result = opened.and_then(|sealed| {
        check(&sealed, &renumbering)?;
        let entry = SegmentEntry {
            id,
            first_seq,
            last_seq: last_info.last_seq,
            bytes: written.bytes,
            checksum: written.checksum,
            first_time_us: sealed.segment.info().first_time_us,
            last_time_us: sealed.segment.info().last_time_us,
            actors_end: last_info
                .actors_first_id
                .saturating_add(last_info.actors_count),
            level: plan.level,
        };
        let mask = hidden_rows(&sealed, sources, &renumbering)?;
        let sealed = Sealed {
            mask: Arc::new(mask),
            ..sealed
        };
        let input = |source: &Sealed| Input {
            id: source.id,
            bytes: source.bytes,
            mask: Arc::clone(&source.mask),
        };
        Ok(Merged {
            entry,
            sealed,
            inputs: sources.iter().map(input).collect(),
            renumbering,
        })
    });
    if result.is_err() {
        // Best effort: the next start removes it too.
        drop(shared.fs.unlink(&segments_dir.join(&name)));
    }
    Ok(result?)
}

/// Whether a segment outside of any merge still has a row with that seq. When in doubt, it has.
fn row_exists(segments: &[Sealed], seq: u64) -> bool {
    let place = segments.partition_point(|sealed| sealed.segment.info().last_seq < seq);
    let Some(sealed) = segments.get(place) else {
        return true;
    };
    if sealed.degraded.is_some() {
        return true;
    }
    let segment = &sealed.segment;
    let found = segment
        .lower_bound_seq(seq)
        .and_then(|row| Ok(row < segment.info().rows && segment.seq(row)? == seq));
    found.unwrap_or(true)
}

/// That nothing was lost: a merge has the rows of its inputs less the dead ones.
fn check(merged: &Sealed, renumbering: &Renumbering) -> Result<(), Error> {
    let (found, expected) = (merged.segment.info().rows, renumbering.rows());
    if found == expected {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "{} was merged with {found} rows in place of {expected}",
        merged.name
    )))
}

/// The mask of the merged segment: the hidden rows of its inputs.
fn hidden_rows(
    merged: &Sealed,
    sources: &[Sealed],
    renumbering: &Renumbering,
) -> Result<Mask, Error> {
    let mut mask = Mask::default();
    for (source, input) in sources.iter().zip(renumbering.inputs()) {
        for row in source.mask.hidden_row_numbers() {
            move_row(&mut mask, merged, input, row?, HIDDEN)?;
        }
    }
    Ok(mask)
}

/// Sets the state that a row of an input has, if the row is in the merged segment.
pub(super) fn move_row(
    mask: &mut Mask,
    merged: &Sealed,
    input: &Renumbered,
    row: u32,
    state: u64,
) -> Result<(), Error> {
    debug_assert!(state & !(DEAD | HIDDEN) == 0, "an unknown state");
    if row >= input.rows {
        let (id, rows) = (input.id, input.rows);
        let what = format!("row {row} of segment {id} has a state, which has {rows} rows");
        return Err(Error::Internal(what));
    }
    match input.number(row) {
        Some(row) => mask.move_row(&merged.segment, row, state),
        None => Ok(()),
    }
}
