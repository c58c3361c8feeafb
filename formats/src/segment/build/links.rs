//! The order of targets, and links grouped by them.

use super::tables::{Ranker, Tables};
use super::{bad, count};
use crate::Result;
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::ROWS_MAX;
use crate::segment::links::{HotSet, HotTargets};
use crate::segment::lists::{self, ListsWriter};
use crate::segment::targets::PackedRecord;
use crate::segment::workspace::{Env, InMemory};
use crate::segment::{SegmentInput, TargetKey};

/// The order of targets in the segment.
pub(super) struct TargetOrder<'a> {
    pub(super) dids: Vec<u32>,
    pub(super) records: Vec<(u128, u32)>,
    pub(super) others: Vec<&'a str>,
    /// For each target of the input, its place.
    pub(super) ordinals: Vec<u32>,
}

impl<'a> TargetOrder<'a> {
    pub(super) fn sort(input: &SegmentInput<'a>, tables: &Tables<'a>) -> Self {
        let mut collections = Ranker {
            strings: &tables.collections,
            last: None,
        };
        let mut keys = tables.target_keys.iter();
        let (mut dids, mut records, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (i, target) in (0u32..).zip(&input.targets) {
            match *target {
                TargetKey::Did(actor) => dids.push(u64::from(actor) << 32 | u64::from(i)),
                TargetKey::Other(other) => others.push((other, i)),
                TargetKey::Record {
                    actor, collection, ..
                } => {
                    let record = PackedRecord {
                        actor,
                        collection: collections.rank(collection),
                        key: keys.next().copied().unwrap_or(PackedKey::Tid(0)),
                    };
                    records.push((record.to_u128(), i));
                }
            }
        }
        dids.sort_unstable();
        records.sort_unstable();
        others.sort_unstable();
        let mut ordinals = vec![0; input.targets.len()];
        let indexes = dids.iter().map(|did| *did as u32);
        let indexes = indexes.chain(records.iter().map(|record| record.1));
        let indexes = indexes.chain(others.iter().map(|other| other.1));
        for (ordinal, index) in (0u32..).zip(indexes) {
            if let Some(slot) = ordinals.get_mut(index as usize) {
                *slot = ordinal;
            }
        }
        Self {
            dids: dids.iter().map(|did| (did >> 32) as u32).collect(),
            records,
            others: others.iter().map(|other| other.0).collect(),
            ordinals,
        }
    }
}

/// Links in the order of the input.
pub(super) struct Links {
    /// For each row.
    pub(super) first_links: Vec<u32>,
    /// For each link, source << 32 | row.
    pub(super) postings: Vec<u64>,
}

/// Posting lists and where those of each target begin.
pub(super) struct Grouped {
    pub(super) starts: Vec<u32>,
    pub(super) blocks: Vec<u8>,
    pub(super) written: lists::Written<InMemory>,
    pub(super) hot: HotSet,
}

impl Links {
    pub(super) fn collect(input: &SegmentInput<'_>, tables: &Tables<'_>) -> Result<Self> {
        let mut first_links = Vec::with_capacity(input.rows.len());
        let mut postings = Vec::with_capacity(input.link_targets.len());
        count("links of a segment", input.link_targets.len(), ROWS_MAX)?;
        let mut before = None;
        for (index, (number, row)) in (0u32..).zip(&input.rows).enumerate() {
            if before >= Some(row.seq) || !(input.first_seq..=input.last_seq).contains(&row.seq) {
                return Err(bad(
                    index,
                    "rising seqs in the range of the segment",
                    row.seq,
                ));
            }
            before = Some(row.seq);
            let Some((total, runs)) = tables.shapes.get(row.shape as usize) else {
                return Err(bad(index, "the index of a shape", row.shape));
            };
            first_links.push(postings.len() as u32);
            if postings.len() + *total as usize > input.link_targets.len() {
                return Err(bad(index, "a target for each link", "too few"));
            }
            for &(source, links) in runs {
                let posting = u64::from(source) << 32 | u64::from(number);
                postings.extend(std::iter::repeat_n(posting, links as usize));
            }
        }
        if postings.len() != input.link_targets.len() {
            return Err(bad(
                input.rows.len(),
                "as many targets as the rows have links",
                input.link_targets.len(),
            ));
        }
        Ok(Self {
            first_links,
            postings,
        })
    }

    /// Groups the links by target with a counting sort, which leaves the rows of each target in order,
    /// and those of each target by source.
    pub(super) fn group(
        self,
        input: &SegmentInput<'_>,
        order: &TargetOrder<'_>,
        targets: u32,
        sources: u32,
        rows: u32,
    ) -> Result<Grouped> {
        let links = input.link_targets.len();
        let mut ends = vec![0u32; targets as usize];
        for (i, &target) in input.link_targets.iter().enumerate() {
            let ordinal = order.ordinals.get(target as usize);
            match ordinal.and_then(|&ordinal| ends.get_mut(ordinal as usize)) {
                Some(end) => *end += 1,
                None => return Err(bad(i, "the index of a target", target)),
            }
        }
        let mut start = 0;
        for end in &mut ends {
            // At first each holds where its target's links begin; filling moves it to where they end.
            start += std::mem::replace(end, start);
        }
        let mut grouped = vec![0u64; links];
        for (&target, posting) in input.link_targets.iter().zip(self.postings) {
            let ordinal = order.ordinals.get(target as usize);
            if let Some(end) = ordinal.and_then(|&ordinal| ends.get_mut(ordinal as usize)) {
                if let Some(slot) = grouped.get_mut(*end as usize) {
                    *slot = posting;
                }
                *end += 1;
            }
        }
        let mut workspace = InMemory;
        let env = &mut Env::new(&mut workspace);
        let mut writer = ListsWriter::new(rows, sources);
        let mut starts = Vec::with_capacity(ends.len() + 1);
        let mut hot = HotTargets::default();
        let mut rest = grouped.as_mut_slice();
        let mut before = 0;
        for &end in &ends {
            let (links, tail) = rest.split_at_mut((end - before) as usize);
            (before, rest) = (end, tail);
            if links.len() > 1 && !links.is_sorted() {
                links.sort_unstable();
            }
            starts.push(writer.count());
            let rows_before = writer.rows_written();
            for list in links.chunk_by(same_source) {
                let (mut source, mut last) = (0, None);
                for posting in list {
                    // A row may have several links to one target from one source.
                    if last != Some(posting) {
                        writer.row(env, *posting as u32)?;
                        source = (posting >> 32) as u32;
                    }
                    last = Some(posting);
                }
                writer.end(env, source)?;
            }
            hot.push(starts.len() as u32 - 1, writer.rows_written() - rows_before);
        }
        writer.flush_last(env)?;
        starts.push(writer.count());
        Ok(Grouped {
            starts,
            hot: hot.finish(targets),
            blocks: std::mem::take(&mut writer.blocks),
            written: writer.finish(env)?,
        })
    }
}

fn same_source(a: &u64, b: &u64) -> bool {
    a >> 32 == b >> 32
}
