//! Records of collections by example: the newest live ones, whole, of collections that are asked for or of all that
//! are active. What a snapshot keeps of a collection is bounded, and so is every answer, in records and in bytes: where
//! all that is asked for takes more than [`SAMPLE_BYTES_MAX`], the newest record of each collection comes first, then the
//! second of each, and so on, in each round the shortest first; what does not fit in any more is left out.

use std::collections::HashSet;

use orrery_engine as engine;
use orrery_engine::Choice;

use crate::error::Result;
use crate::limits::{SAMPLE_BYTES_MAX, SAMPLE_COLLECTIONS_LOOKED_AT_MAX, SAMPLE_COLLECTIONS_MAX};

/// Bytes of a collection that are looked at, at most, once there is more than an answer takes: beside its share of
/// the answer some times over.
const LOOKED_AT_BYTES: usize = 256 << 10;

/// The newest records of each of `collections`, at most `limit` of each, newest first over all, and as many as an
/// answer takes. A collection that is named twice counts once.
///
/// # Errors
/// When the index cannot be read.
pub fn records(
    snapshot: &engine::Snapshot,
    collections: &[impl AsRef<str>],
    limit: usize,
) -> Result<Vec<engine::SampleRecord>> {
    let mut names: Vec<&str> = collections.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names.dedup();
    let mut gathering = Gathering::new(snapshot, limit, names.len());
    for name in names {
        gathering.add(name)?;
    }
    gathering.finish()
}

/// The newest records of each of the first [`SAMPLE_COLLECTIONS_MAX`] collections, by byte order of their names, in
/// which records were written at `since_us` (microseconds since 1970) or later and that have one to show; at most `limit`
/// of each, newest first over all, and as many as an answer takes. Looks no further than
/// [`SAMPLE_COLLECTIONS_LOOKED_AT_MAX`] names.
///
/// # Errors
/// When the index cannot be read.
pub fn all_records(
    snapshot: &engine::Snapshot,
    since_us: u64,
    limit: usize,
) -> Result<Vec<engine::SampleRecord>> {
    let names = snapshot.sample_collections(since_us, SAMPLE_COLLECTIONS_LOOKED_AT_MAX)?;
    let most = names.len().min(SAMPLE_COLLECTIONS_MAX);
    let mut gathering = Gathering::new(snapshot, limit, most);
    for name in &names {
        if gathering.collections.len() == SAMPLE_COLLECTIONS_MAX {
            break;
        }
        gathering.add(name)?;
    }
    gathering.finish()
}

/// The event of a record and the bytes of its body.
type Size = (u64, usize);

/// The records of one answer: all, as long as they are no more than it takes; then only what they would take.
struct Gathering<'a> {
    snapshot: &'a engine::Snapshot,
    limit: usize,
    look_at: usize,
    /// Those with records to show, with what these take, newest first.
    collections: Vec<(&'a str, Vec<Size>)>,
    bytes: usize,
    records: Vec<engine::SampleRecord>,
}

impl<'a> Gathering<'a> {
    /// Of so many collections.
    fn new(snapshot: &'a engine::Snapshot, limit: usize, collections: usize) -> Self {
        Self {
            snapshot,
            limit,
            look_at: LOOKED_AT_BYTES + 4 * SAMPLE_BYTES_MAX / collections.max(1),
            collections: Vec::new(),
            bytes: 0,
            records: Vec::new(),
        }
    }

    fn add(&mut self, collection: &'a str) -> Result<()> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut sizes: Vec<Size> = Vec::new();
        let (mut looked_at, all) = (0, &mut self.bytes);
        let taken = self
            .snapshot
            .choose_sample_records(collection, &mut |seq, bytes| {
                sizes.push((seq, bytes));
                *all += bytes;
                looked_at += bytes;
                let is_in = *all <= SAMPLE_BYTES_MAX;
                let is_last = sizes.len() == self.limit || (!is_in && looked_at > self.look_at);
                match (is_in, is_last) {
                    (true, false) => Choice::Take,
                    (true, true) => Choice::Last,
                    (false, false) => Choice::Pass,
                    (false, true) => Choice::End,
                }
            })?;
        if self.bytes > SAMPLE_BYTES_MAX {
            self.records = Vec::new();
        } else {
            self.records.extend(taken);
        }
        if !sizes.is_empty() {
            self.collections.push((collection, sizes));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<engine::SampleRecord>> {
        if self.bytes > SAMPLE_BYTES_MAX {
            let chosen = chosen(&self.collections, SAMPLE_BYTES_MAX);
            for (collection, sizes) in &self.collections {
                let is_chosen = |(seq, _): &&Size| chosen.contains(seq);
                let Some((last, _)) = sizes.iter().rev().find(is_chosen) else {
                    continue;
                };
                let mut choose = |seq: u64, _| match chosen.contains(&seq) {
                    // What was the last may be pushed out by newer records meanwhile.
                    _ if seq < *last => Choice::End,
                    true if seq == *last => Choice::Last,
                    true => Choice::Take,
                    false => Choice::Pass,
                };
                let records = self
                    .snapshot
                    .choose_sample_records(collection, &mut choose)?;
                self.records.extend(records);
            }
        }
        // By event time, as the answer shows it; at one time by the order of indexing.
        self.records
            .sort_unstable_by_key(|record| std::cmp::Reverse((record.time_us, record.seq)));
        Ok(self.records)
    }
}

/// The events of the records that an answer of so many bytes gives.
fn chosen(collections: &[(&str, Vec<Size>)], mut left: usize) -> HashSet<u64> {
    let mut chosen = HashSet::new();
    let rounds = collections.iter().map(|(_, sizes)| sizes.len()).max();
    for round in 0..rounds.unwrap_or(0) {
        let of_round = collections.iter().filter_map(|(_, sizes)| sizes.get(round));
        let mut of_round: Vec<Size> = of_round.copied().collect();
        of_round.sort_unstable_by_key(|(seq, bytes)| (*bytes, *seq));
        for (seq, bytes) in of_round {
            let Some(rest) = left.checked_sub(bytes) else {
                break;
            };
            left = rest;
            chosen.insert(seq);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_collection_come_first_and_the_shortest_of_these() {
        let collections = [
            ("long", vec![(90, 60), (80, 10)]),
            ("many", vec![(70, 10), (69, 10), (68, 10), (67, 10)]),
            ("one", vec![(5, 20)]),
        ];
        let of = |left| {
            let mut seqs: Vec<u64> = chosen(&collections, left).into_iter().collect();
            seqs.sort_unstable();
            seqs
        };
        assert_eq!(of(1000), [5, 67, 68, 69, 70, 80, 90]);
        assert_eq!(of(100), [5, 69, 70, 90]);
        assert_eq!(of(70), [5, 67, 68, 69, 70, 80]);
        assert_eq!(of(30), [5, 70]);
        assert_eq!(of(9), [] as [u64; 0]);
    }
}
