//! What a merge keeps of the samples of its inputs: those that live, as far as there is room.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use orrery_formats::Result;
use orrery_formats::segment::Sample;

use super::limit::{Cut, Needs, Taken, bytes_of, room_of_merge};
use super::live::{is_kept, most_in_merge};
use crate::log::keys::KeyHasher;
use crate::snapshot::Sealed;

/// The samples that one merge keeps.
pub(crate) struct Merging<'a> {
    segments: &'a [Sealed],
    places: Range<usize>,
    hasher: KeyHasher,
    cut: Cut,
    /// Of the collection that the merge is at.
    taken: Cell<Taken>,
}

impl<'a> Merging<'a> {
    /// Of the segments at `places`. Where they take more than there is room for, reads their samples, and asks
    /// `go_on` after each collection.
    pub(crate) fn new<E: From<orrery_formats::Error>>(
        segments: &'a [Sealed],
        places: &Range<usize>,
        hasher: KeyHasher,
        limit: u64,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut merging = Self {
            segments,
            places: places.clone(),
            hasher,
            cut: Cut::NONE,
            taken: Cell::default(),
        };
        let bytes = |range: Range<usize>| -> u64 {
            let of = segments.get(range).unwrap_or_default().iter();
            of.map(|sealed| sealed.segment.samples_bytes()).sum()
        };
        let older = bytes(0..places.start);
        let beside = older + bytes(places.end..segments.len());
        let room = room_of_merge(beside, older, limit);
        if bytes(places.clone()) > room {
            merging.cut = merging.needs(go_on)?.cut(room);
        }
        Ok(merging)
    }

    /// How many of a collection are kept at most. Asked before the samples of each collection.
    pub(crate) fn most(&self, collection: &str) -> Result<usize> {
        self.taken.take();
        most_in_merge(self.segments, &self.places, collection, self.hasher)
    }

    /// Whether the next sample of a collection, which is of the input with that number, is kept.
    pub(crate) fn keeps(&self, number: usize, sample: &Sample<'_>) -> Result<bool> {
        let mut taken = self.taken.get();
        let bytes = bytes_of(sample.rkey, sample.body);
        // What has no room need not be looked up.
        if !self.cut.admits(&taken, sample.seq, bytes) || !self.lives(number, sample)? {
            return Ok(false);
        }
        let is_kept = self.cut.take(&mut taken, sample.seq, bytes);
        self.taken.set(taken);
        Ok(is_kept)
    }

    fn lives(&self, number: usize, sample: &Sample<'_>) -> Result<bool> {
        is_kept(
            self.segments,
            self.places.start + number,
            sample,
            self.hasher,
        )
    }

    /// What the samples that live need.
    fn needs<E: From<orrery_formats::Error>>(
        &self,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Needs, E> {
        let inputs = self.segments.get(self.places.clone()).unwrap_or_default();
        let mut cursors = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut names = input.segment.sample_collections()?;
            let head = names.next().transpose()?.map(|collection| collection.name);
            cursors.push((names, head));
        }
        let mut needs = Needs::default();
        let mut found = Vec::new();
        while let Some(least) = cursors.iter().filter_map(|(_, head)| *head).min() {
            let most = self.most(least)?;
            found.clear();
            for (number, (names, head)) in cursors.iter_mut().enumerate().rev() {
                if *head == Some(least) {
                    self.sizes(number, least, &mut found)?;
                    *head = names.next().transpose()?.map(|collection| collection.name);
                }
            }
            needs.add(least.len(), most, &found);
            go_on()?;
        }
        Ok(needs)
    }

    /// Appends the event and the bytes of each sample of an input that lives.
    fn sizes(&self, number: usize, collection: &str, found: &mut Vec<(u64, u64)>) -> Result<()> {
        let Some(input) = self.segments.get(self.places.start + number) else {
            return Ok(());
        };
        let mut failed = None;
        input.segment.samples(collection, &mut |sample| {
            match self.lives(number, &sample) {
                Ok(true) => found.push((sample.seq, bytes_of(sample.rkey, sample.body))),
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}
