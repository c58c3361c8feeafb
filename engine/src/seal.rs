//! Sealing: the memtable becomes a segment, in steps that a crash can part anywhere.
//!
//! 1. The log is synced, up to the seq S that the segment will end with. At a start it is so already.
//! 2. The segment is written under a temporary name and synced.
//! 3. It is renamed, and the directory synced. A crash up to here leaves a file that the manifest does
//!    not name: the next start removes it, and replays the log.
//!    What the memtable changed in older segments is put into their masks now, which reads none of them: what their rows
//!    link to was read when these changed.
//! 4. The manifest gets {segment, sealed through S, cursor, losses found at recovery} and is synced. From here on the segment is
//!    the truth, and the log up to S is only a window.
//! 5. The new generation is published: the segment in place of the memtable's rows, a new memtable.
//! 6. The log goes on in a new file, and files older than the window are removed; more of them where a merge waits
//!    for room (`compaction/want.rs`).
//! 7. Files of masks are written where due (`writer/masks.rs`). They are derived: a crash before costs the
//!    next start some time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use orrery_formats::frame::FILE_HEADER_BYTES;
use orrery_formats::manifest::SegmentEntry;
use orrery_formats::segment::{
    self, ActorsInput, BucketInput, PassedKey, RowInput, Segment, SegmentInput, ShapeInput,
    TargetKey,
};

use orrery_formats::sketch::Sketch;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::log_need;
use crate::log::{Gap, Position, Recovery, Replayed};
use crate::mask::Mask;
use crate::memtable::{Expected, Memtable};
use crate::part::FoundLists;
use crate::samples::{RecentSample, room_of_seal};
use crate::snapshot::{Generation, Sealed};
use crate::store::segment_name;
use crate::writer::Writer;
use crate::{Error, Result};

impl Writer {
    /// Seals the memtable into a segment now. Does nothing when nothing came since the last seal.
    ///
    /// # Errors
    /// [`Error::DiskFull`] when there is too little room, [`Error::LostAccounts`] where the log gave accounts that may
    /// be those of a damaged segment: nothing has changed. Otherwise when a file cannot be written or synced. The writer then refuses everything
    /// ([`Error::Poisoned`]) until the directory is opened anew; nothing durable is lost, and snapshots
    /// go on.
    pub fn seal(&mut self) -> Result<()> {
        self.adopt_damage()?;
        self.check_sure()?;
        if self.events > 0 {
            let batch = log_need(self.journal.batch_bytes());
            self.find_room(batch + self.seal_need())?;
            if self.journal.is_open() {
                self.commit()?;
            }
            let result = self.seal_committed();
            debug_assert!(
                !result.as_ref().is_err_and(Error::is_pause),
                "the writer does not go on with a memtable whose keys it has forgotten"
            );
            self.poison_on_error(result)?;
        }
        self.must_seal = false;
        if self.journal.has_new_gaps() {
            self.find_room_to_commit()?;
            let result = self.journal.record_gaps();
            self.poison_on_error(result)?;
            self.note_durable();
        }
        Ok(())
    }

    /// Seals what a start has replayed before `next`, once that fills a memtable: `found` before it. A log that holds more
    /// than a memtable does, as behind a manifest that was made anew, is then taken in as many steps as it has.
    ///
    /// It is done between two frames of one file and not just behind a loss, so that the next start finds a frame that is
    /// sealed before those that are not, and in it whether the source was to be asked again ([`Journal::take_over`]).
    /// By where files begin it tells what is left of this from segments that a manifest has lost
    /// ([`Orphans`](crate::recovery::Orphans)).
    ///
    /// [`Journal::take_over`]: crate::journal::Journal::take_over
    ///
    /// # Errors
    /// As [`seal`](Self::seal), but that it goes on where there is no room.
    pub(crate) fn seal_replayed(&mut self, next: &Replayed<'_>, found: &Recovery) -> Result<()> {
        let Position { frame, ordinal, .. } = next.position;
        let is_amid_file = ordinal == 0 && frame > FILE_HEADER_BYTES as u64;
        let is_behind_loss = |gap: &Gap| gap.last_seq.saturating_add(1) == next.seq;
        if !is_amid_file || found.gaps.last().is_some_and(is_behind_loss) || !self.is_full() {
            return Ok(());
        }
        self.journal.take_over(found);
        self.seal_if_there_is_room()
    }

    fn seal_committed(&mut self) -> Result<()> {
        let began = Instant::now();
        let shared = Arc::clone(&self.shared);
        let (entry, sealed) = self.write_memtable()?;
        let name = Arc::clone(&sealed.name);
        let mut segments = match with_sealed(&self.generation, sealed) {
            Ok(segments) => segments,
            Err(error) => {
                // Nothing names the file.
                self.unlink_segments(&[name]);
                return Err(error);
            }
        };
        let bytes = entry.bytes;
        let old = Arc::clone(&self.generation);
        self.journal.record_seal(entry, old.counters.counts())?;

        let merged_away = self.install_waiting(&mut segments)?;
        let generation = Arc::new(after(&old, segments, shared.options.seal_events));
        shared.publish(Arc::clone(&generation));
        self.renew(generation);
        // Its memtable goes before what the next steps put on the heap comes.
        drop(old);
        self.unlink_segments(&merged_away);
        shared.compaction.notify();
        self.journal.rotate(&shared.options)?;
        self.give_window_to_merge()?;
        self.note_durable();
        self.write_masks(&shared.options.mask_bounds)?;
        shared.seals.done(began, bytes);
        Ok(())
    }

    /// Makes the memtable a durable segment that nothing names yet, and goes on behind it: for whoever makes
    /// several and names them in one step. Nothing is published.
    pub(crate) fn seal_unnamed(&mut self) -> Result<SegmentEntry> {
        let old = Arc::clone(&self.generation);
        let (entry, sealed) = self.write_memtable()?;
        let segments = with_sealed(&old, sealed)?;
        let seal_events = self.shared.options.seal_events;
        self.renew(Arc::new(after(&old, segments, seal_events)));
        Ok(entry)
    }

    /// Writes the memtable as a segment, and gives what the manifest is to say of it.
    fn write_memtable(&mut self) -> Result<(SegmentEntry, Sealed)> {
        let passed = self.passed_keys()?;
        self.forget_keys();
        let old = &*self.generation;
        let (first_seq, last_seq) = (old.memtable.first_seq, old.memtable.visible_seq());
        let limit = self.shared.options.samples_limit;
        let used = old.segments.iter();
        let used = used.map(|sealed| sealed.segment.samples_bytes()).sum();
        let name_len = |collection| old.memtable.collections.get(collection).len();
        let samples = &old.memtable.samples;
        let samples = samples.for_segment(room_of_seal(used, limit), name_len);
        let states = self.states.touched();
        let bytes = build(old, last_seq, states, &self.kills, passed, &samples)?;
        let id = self.shared.next_segment_id();
        let name = segment_name(first_seq, last_seq, id);
        let checksum = xxh3_64(&bytes);
        let sealed = self.shared.write_segment(&name, id, &bytes)?;
        let info = *sealed.segment.info();
        let entry = SegmentEntry {
            id,
            first_seq,
            last_seq,
            bytes: sealed.bytes,
            checksum,
            first_time_us: info.first_time_us,
            last_time_us: info.last_time_us,
            actors_end: old.actors_end(),
            level: 0,
        };
        Ok((entry, sealed))
    }
}

/// The segments of `old` and the one that its memtable became, with the masks as of now.
fn with_sealed(old: &Generation, sealed: Sealed) -> Result<Vec<Sealed>> {
    let mut segments = fold(old)?;
    let mask = mask_of_memtable(&old.memtable, &sealed.segment)?;
    segments.push(Sealed {
        mask: Arc::new(mask),
        ..sealed
    });
    Ok(segments)
}

/// What follows `old`, whose memtable is sealed into the last of `segments`.
fn after(old: &Generation, segments: Vec<Sealed>, seal_events: u32) -> Generation {
    Generation {
        number: old.number + 1,
        segments,
        memtable: Arc::new(Memtable::new(
            old.memtable.visible_seq() + 1,
            old.actors_end(),
            Expected::after(&old.memtable, seal_events),
            old.counters.live(),
            old.dids.seed(),
        )),
        dids: Arc::clone(&old.dids),
        counters: Arc::clone(&old.counters),
        hasher: old.hasher,
        found: FoundLists::default(),
    }
}

/// The older segments with what this memtable changed in them folded into their masks.
fn fold(old: &Generation) -> Result<Vec<Sealed>> {
    let memtable = &*old.memtable;
    let mut masks: Vec<Option<Mask>> = Vec::new();
    masks.resize_with(old.segments.len(), || None);
    // Of a segment that is set aside what changed before is lost with it.
    let mut change = |part: u32, apply: &dyn Fn(&mut Mask) -> Result<()>| {
        let mask = masks.get_mut(part as usize);
        let (Some(mask), Some(sealed)) = (mask, old.segments.get(part as usize)) else {
            return Err(Error::Internal(format!("a change names segment {part}")));
        };
        if sealed.degraded.is_some() {
            return Ok(());
        }
        apply(mask.get_or_insert_with(|| {
            let mut mask = Mask::clone(&sealed.mask);
            mask.add_links(memtable.segment_links(part));
            mask
        }))
    };
    let (rows, lists) = memtable.segment_changes();
    for (part, row, state) in rows {
        change(part, &|mask| mask.set_row(row, state))?;
    }
    for (part, list, by) in lists {
        change(part, &|mask| mask.add_to_list(list, by))?;
    }
    let sealed = old.segments.iter().zip(masks);
    Ok(sealed
        .map(|(sealed, mask)| {
            sealed.with_mask(mask.map_or_else(|| Arc::clone(&sealed.mask), Arc::new))
        })
        .collect())
}

/// The mask of the segment that the memtable became: rows keep their ordinals.
fn mask_of_memtable(memtable: &Memtable, segment: &Segment) -> Result<Mask> {
    let mut mask = Mask::default();
    for row in 0..memtable.row_count() {
        let state = memtable.state(row, u64::MAX);
        if state != 0 {
            mask.move_row(segment, row, state)?;
        }
    }
    Ok(mask)
}

/// The bytes of the segment for the events of the generation's memtable.
fn build(
    generation: &Generation,
    last_seq: u64,
    states: Vec<segment::ActorState>,
    kills: &[u64],
    passed: Vec<PassedKey>,
    samples: &[(u32, Vec<Arc<RecentSample>>)],
) -> Result<Vec<u8>> {
    let memtable = &*generation.memtable;
    let rows = memtable.row_count();
    let targets = memtable.target_count();
    // TIDs are numbers in the memtable; their texts stand here, 13 bytes each, in the order asked for, with the place
    // where each ends.
    let texts_most = rows as usize + targets as usize;
    let mut texts = String::with_capacity(texts_most * 13);
    let mut ends: Vec<u32> = Vec::with_capacity(texts_most);
    let mut add = |text: &str| {
        texts.push_str(text);
        ends.push(texts.len() as u32);
    };
    for row in 0..rows {
        add(&memtable.rkey(row).text());
    }
    // Targets that no row of this memtable links to were only looked up; they stay out.
    let mut places = vec![u32::MAX; targets as usize];
    let mut used = 0_u32;
    for (target, place) in (0..targets).zip(places.iter_mut()) {
        if memtable.is_linked(target) {
            *place = used;
            used += 1;
            memtable.with_target(target, |key| match key {
                TargetKey::Record { rkey, .. } => add(rkey),
                TargetKey::Did(_) | TargetKey::Other(_) => add(""),
            });
        }
    }
    let text = |index: u32| {
        let end_of = |index: u32| ends.get(index as usize).copied();
        let start = index.checked_sub(1).and_then(end_of).unwrap_or(0) as usize;
        let end = end_of(index).unwrap_or(0) as usize;
        texts.get(start..end).unwrap_or_default()
    };

    let mut input = SegmentInput {
        first_seq: memtable.first_seq,
        last_seq,
        kills: kills.to_vec(),
        passed,
        did_seed: generation.dids.seed(),
        rows: Vec::with_capacity(rows as usize),
        link_targets: Vec::with_capacity(memtable.links_of_first(rows) as usize),
        targets: Vec::with_capacity(used as usize),
        ..SegmentInput::default()
    };
    (input.first_time_us, input.last_time_us) = memtable.times_us().unwrap_or((0, 0));
    for (collection, samples) in samples {
        let collection = memtable.collections.get(*collection);
        let samples = samples.iter().map(|sample| sample.sample(collection));
        input.samples.extend(samples);
    }
    input
        .samples
        .sort_unstable_by(|a, b| (a.collection, a.seq).cmp(&(b.collection, b.seq)));
    let linked = (0..targets).filter(|target| memtable.is_linked(*target));
    let linked = linked.zip(rows..);
    let linked = linked.map(|(target, index)| memtable.linked_target(target, text(index)));
    input.targets.extend(linked);

    let mut shapes: HashMap<Box<[u32]>, u32> = HashMap::new();
    let mut shape = Vec::new();
    for row in 0..rows {
        shape.clear();
        shape.push(memtable.collection_id(row));
        for (source, target, _) in memtable.row_links(row) {
            let (_, path) = memtable.source_ids(source);
            match shape.as_mut_slice() {
                [_, .., last_path, count] if *last_path == path => *count += 1,
                _ => shape.extend([path, 1]),
            }
            let place = places.get(target as usize).copied().unwrap_or(u32::MAX);
            input.link_targets.push(place);
        }
        let id = match shapes.get(shape.as_slice()) {
            Some(id) => *id,
            None => {
                let id = input.shapes.len() as u32;
                shapes.insert(shape.as_slice().into(), id);
                input.shapes.push(shape_input(memtable, &shape));
                id
            }
        };
        input.rows.push(RowInput {
            seq: memtable.seq(row),
            time_us: memtable.time_us(row),
            actor: memtable.actor(row),
            shape: id,
            rkey: text(row),
        });
    }
    input.actors = ActorsInput {
        first_id: memtable.first_actor,
        dids: (0..memtable.dids.len())
            .map(|index| memtable.dids.get(index))
            .collect(),
        states,
    };
    let mut sketch = Sketch::new();
    for (collection, cell) in memtable.buckets.all() {
        sketch.clear();
        cell.unite_into(&mut sketch);
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        input.buckets.push(BucketInput {
            collection: memtable.collections.get(collection),
            hour: cell.hour(),
            counts: cell.counts(),
            sketch: bytes,
        });
    }
    Ok(segment::build(&input)?)
}

/// `shape`: the collection, then path and count by turns, as ids of `memtable`.
fn shape_input<'a>(memtable: &'a Memtable, shape: &[u32]) -> ShapeInput<'a> {
    let (collection, runs) = shape.split_first().unwrap_or((&0, &[]));
    ShapeInput {
        collection: memtable.collections.get(*collection),
        runs: runs
            .chunks_exact(2)
            .filter_map(|run| match run {
                [path, count] => Some((memtable.paths().get(*path), *count)),
                _ => None,
            })
            .collect(),
    }
}
