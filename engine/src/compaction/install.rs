//! Installing a merged segment: the writer's part of a compaction, between two memtables.

use std::sync::Arc;

use super::merge::{Merged, candidates, merge, move_row};
use super::policy::{Candidate, Policy, plan_full};
use super::worker::Worker;
use super::workspace::{Pace, Stopped};
use crate::mask::Mask;
use crate::memtable::{Expected, Memtable};
use crate::part::FoundLists;
use crate::samples::has_dead_samples;
use crate::snapshot::{Generation, Sealed};
use crate::store::SEGMENTS;
use crate::writer::Writer;
use crate::{Error, Result};

/// What a full compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompactReport {
    /// Merges and rewrites.
    pub merges: u64,
    /// Segments before and after.
    pub segments: (usize, usize),
    /// Bytes of segments before and after.
    pub bytes: (u64, u64),
}

impl Writer {
    /// Puts the segment that waits, if one does, in the place of its inputs among `segments`, whose masks are those
    /// of the last seal. Gives the names of the files that are not needed any more once the new generation is published.
    /// No other merge begins before whoever calls this has published it, and notified.
    ///
    /// # Errors
    /// When the manifest cannot be written; the writer is then to be poisoned. When a segment cannot be read, nothing
    /// is changed, and the merged segment is given up.
    pub(crate) fn install_waiting(&mut self, segments: &mut Vec<Sealed>) -> Result<Vec<Arc<str>>> {
        match self.shared.compaction.take_to_install() {
            Some(merged) => {
                self.shared.compaction.want().forget();
                self.install(merged, segments)
            }
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn install(
        &mut self,
        merged: Merged,
        segments: &mut Vec<Sealed>,
    ) -> Result<Vec<Arc<str>>> {
        let path = merged.path(&self.shared);
        let found = match place(&merged, segments) {
            Some(place) => mask_of(&merged, segments, place).map(|mask| (place, mask)),
            None => Err(Error::Internal(
                "the segments of a merge are not there any more".to_owned(),
            )),
        };
        let (place, mask) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "a merged segment is given up");
                // What was read is what was merged, which nothing else reads, and masks: the inputs stay, and are merged once more.
                drop(self.shared.fs.unlink(&path));
                return Ok(Vec::new());
            }
        };
        self.journal.record_compaction(
            merged.inputs.iter().map(|input| input.id).collect(),
            merged.entry,
        )?;
        self.note_merge(merged.sealed.id, merged.renumbering);
        let sealed = Sealed {
            mask: Arc::new(mask),
            ..merged.sealed
        };
        let removed = segments.splice(place..place + merged.inputs.len(), [sealed]);
        Ok(removed.map(|sealed| sealed.name).collect())
    }

    /// Removes files of segments that no new snapshot stands on. One that cannot be removed stays until the next start.
    pub(crate) fn unlink_segments(&self, names: &[Arc<str>]) {
        for name in names {
            let path = self.shared.dir.join(SEGMENTS).join(&**name);
            if let Err(error) = self.shared.fs.unlink(&path) {
                tracing::warn!(path = %path.display(), %error, "a segment that was merged cannot be removed");
            }
        }
    }

    /// Installs a segment that waits, when nothing came since the last seal.
    pub(crate) fn install_between_seals(&mut self) -> Result<()> {
        self.find_room_to_commit()?;
        let mut segments = copies(&self.generation);
        let removed = self.install_waiting(&mut segments)?;
        if !removed.is_empty() {
            self.publish_segments(segments);
            self.unlink_segments(&removed);
            let bounds = self.shared.options.mask_bounds;
            self.write_masks(&bounds)?;
        } else {
            self.shared.compaction.notify();
        }
        Ok(())
    }

    /// Publishes `segments` with an empty memtable, in place of one that nothing was put into.
    pub(super) fn publish_segments(&mut self, segments: Vec<Sealed>) {
        let old = Arc::clone(&self.generation);
        // Never the old memtable: it knows older segments by their places.
        let memtable = Memtable::new(
            old.memtable.first_seq,
            old.memtable.first_actor,
            Expected::after(&old.memtable, self.shared.options.seal_events),
            old.counters.live(),
            old.dids.seed(),
        );
        let generation = Arc::new(Generation {
            number: old.number + 1,
            segments,
            memtable: Arc::new(memtable),
            dids: Arc::clone(&old.dids),
            counters: Arc::clone(&old.counters),
            hasher: old.hasher,
            found: FoundLists::default(),
        });
        self.shared.publish(Arc::clone(&generation));
        self.renew(generation);
        self.shared.compaction.notify();
    }

    /// What the policy asks about for a full compaction. Reads all samples.
    fn candidates_of_all(&self) -> Result<Vec<Candidate>> {
        let segments = &self.generation.segments;
        let mut all = candidates(segments);
        for (place, candidate) in all.iter_mut().enumerate() {
            candidate.has_dead_samples = has_dead_samples(segments, place, self.generation.hasher)?;
        }
        Ok(all)
    }

    /// Starts merging in the background.
    pub(crate) fn start_compaction(&mut self) -> Result<()> {
        self.compaction = Some(Worker::start(&self.shared)?);
        Ok(())
    }

    /// Runs the merge that is due, if one is, in this thread. What it makes is installed by the next seal, or by the next
    /// [`tick`](Self::tick) before which nothing came since the last seal. Gives whether there was one. For stores whose
    /// [`Options::compact`](crate::Options::compact) is off.
    ///
    /// # Errors
    /// [`Error::Config`] while merges run in the background; when a merge fails, which loses nothing.
    pub fn merge_due(&mut self) -> Result<bool> {
        if self.compaction.is_some() {
            return Err(Error::Config(
                "merges run in the background already; open the store with them off to run them by hand".to_owned(),
            ));
        }
        match self.shared.compaction.run_once(&self.shared) {
            Ok(merged) => Ok(merged),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Cancelled) => Ok(false),
        }
    }

    /// Seals, and merges until the directory has as few segments as it can have and no dead row. `progress` hears of
    /// each merge before it begins: its segments and their bytes.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); and when a merge fails, which loses nothing.
    pub fn compact_full(&mut self, progress: &mut dyn FnMut(usize, u64)) -> Result<CompactReport> {
        self.seal()?;
        // What the background thread made counts too; what it makes meanwhile is given up.
        let had_worker = self.compaction.take().is_some();
        let report = self.merge_all(progress);
        // Whether or not all was merged. One that has stopped for good installs nothing any more.
        let restarted = match had_worker && self.check().is_ok() {
            true => self.start_compaction(),
            false => Ok(()),
        };
        let report = report?;
        restarted.map(|()| report)
    }

    /// Merges until nothing is left to, in this thread, while no other does.
    fn merge_all(&mut self, progress: &mut dyn FnMut(usize, u64)) -> Result<CompactReport> {
        let installed = self.install_between_seals();
        self.poison_on_error(installed)?;
        let sizes = |writer: &Self| {
            let segments = &writer.generation.segments;
            let bytes = segments.iter().map(|sealed| sealed.bytes).sum::<u64>();
            (segments.len(), bytes)
        };
        let mut report = CompactReport::default();
        (report.segments.0, report.bytes.0) = sizes(self);
        let policy = Policy::of(&self.shared.options);
        while let Some(plan) = plan_full(&self.candidates_of_all()?, &policy) {
            let sources = self.generation.segments.get(plan.places.clone());
            let sources = sources.unwrap_or_default();
            progress(
                sources.len(),
                sources.iter().map(|sealed| sealed.bytes).sum(),
            );
            let never = std::sync::atomic::AtomicBool::new(false);
            let pace = Pace::new(1.0, &|| true, &never);
            let began = std::time::Instant::now();
            let merged = match merge(&self.shared, &self.generation.segments, &plan, pace) {
                Ok(merged) => merged,
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Cancelled) => break,
            };
            self.shared.compaction.count(&merged, began);
            let mut segments = copies(&self.generation);
            let removed = self.install(merged, &mut segments);
            let removed = self.poison_on_error(removed)?;
            if removed.is_empty() {
                return Err(Error::Internal("a merged segment was given up".to_owned()));
            }
            self.publish_segments(segments);
            self.unlink_segments(&removed);
            report.merges += 1;
        }
        let bounds = self.shared.options.mask_bounds;
        let written = self.write_masks(&bounds);
        self.poison_on_error(written)?;
        self.note_durable();
        (report.segments.1, report.bytes.1) = sizes(self);
        Ok(report)
    }
}

fn copies(generation: &Generation) -> Vec<Sealed> {
    generation.segments.clone()
}

/// Where the inputs stand, one behind the other.
fn place(merged: &Merged, segments: &[Sealed]) -> Option<usize> {
    let first = merged.inputs.first()?.id;
    let place = segments.iter().position(|sealed| sealed.id == first)?;
    let found = segments.get(place..place + merged.inputs.len())?;
    let same = found
        .iter()
        .zip(&merged.inputs)
        .all(|(sealed, input)| sealed.id == input.id && sealed.degraded.is_none());
    same.then_some(place)
}

/// The mask as of the last seal: that of the merge, and what changed in the inputs since.
fn mask_of(merged: &Merged, segments: &[Sealed], place: usize) -> Result<Mask> {
    let mut mask = Mask::clone(&merged.sealed.mask);
    let inputs = merged.inputs.iter().zip(merged.renumbering.inputs());
    for (source, (input, numbers)) in segments.iter().skip(place).zip(inputs) {
        for change in Mask::changed_rows(&input.mask, &source.mask) {
            let (row, state) = change?;
            move_row(&mut mask, &merged.sealed, numbers, row, state)?;
        }
    }
    Ok(mask)
}
