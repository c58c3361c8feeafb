//! Everything that a segment can be asked, as one list of answers that can be compared.

use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::ops::ControlFlow;

use orrery_formats::Error;
use orrery_formats::Result;
use orrery_formats::segment::{
    LIST_BLOCK, PASSED_HASH_BITS, PassedKey, Segment, SegmentInfo, TargetKey, Text,
};
use xxhash_rust::xxh3::Xxh3Default;

/// The answers to a fixed list of questions: for each, hashes of what came, and the error that ended it.
#[derive(Debug, Default)]
pub(super) struct Answers {
    items: Vec<u64>,
    /// For each question, the end of its items, and the error behind them.
    ends: Vec<(usize, Option<Error>)>,
    text: String,
}

/// How many of each kind are asked about. Behind the last one of each kind stands one that is not there.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    rows: u32,
    targets: u32,
    lists: u32,
    actors: std::ops::Range<u32>,
    /// Only every such one is asked about, so that a large segment takes a few milliseconds.
    step: usize,
    /// Whether the counts are those of the segment that the builder made.
    is_sound: bool,
    is_whole: bool,
}

impl Answers {
    fn item(&mut self, value: &dyn std::fmt::Debug) {
        self.text.clear();
        let _ = write!(self.text, "{value:?}");
        let mut hash = Xxh3Default::new();
        hash.write(self.text.as_bytes());
        self.items.push(hash.finish());
    }

    /// One question.
    fn ask(&mut self, answer: impl FnOnce(&mut Self) -> Result<()>) {
        let error = answer(self).err();
        self.ends.push((self.items.len(), error));
    }

    fn one<T: std::fmt::Debug>(&mut self, answer: Result<T>) {
        self.ask(|out| {
            out.item(&answer?);
            Ok(())
        });
    }

    fn all<T: std::fmt::Debug>(
        &mut self,
        answers: Result<impl Iterator<Item = Result<T>>>,
        max: usize,
    ) {
        self.ask(|out| {
            for answer in answers?.take(max) {
                out.item(&answer?);
            }
            Ok(())
        });
    }

    /// A question about what is not there.
    fn absent<T>(&mut self, answer: &Result<T>) {
        assert!(answer.is_err(), "an answer about what is not there");
    }

    /// The errors.
    pub(super) fn errors(&self) -> impl Iterator<Item = &Error> {
        self.ends.iter().filter_map(|(_, error)| error.as_ref())
    }

    /// Checks that each question got the same answer, or the same beginning of one and then an error.
    pub(super) fn check_against(&self, original: &Self) {
        assert_eq!(self.ends.len(), original.ends.len());
        let (mut start, mut original_start) = (0, 0);
        for (question, (end, original_end)) in self.ends.iter().zip(&original.ends).enumerate() {
            let found = &self.items[start..end.0];
            let wanted = &original.items[original_start..original_end.0];
            let is_same = found == wanted && end.1.is_some() == original_end.1.is_some();
            let is_cut = end.1.is_some() && wanted.starts_with(found);
            assert!(
                is_same || is_cut,
                "question {question} is answered otherwise: {:?}",
                end.1
            );
            (start, original_start) = (end.0, original_end.0);
        }
    }
}

impl Extent {
    /// A part of everything in a sound segment.
    pub(super) fn spread(info: &SegmentInfo) -> Self {
        Self {
            step: 29,
            is_sound: true,
            ..Self::at_most(info, u32::MAX)
        }
    }

    /// No more than `max` of each kind, for counts that may be wrong.
    pub(super) fn at_most(info: &SegmentInfo, max: u32) -> Self {
        let first = info.actors_first_id;
        Self {
            rows: info.rows.min(max),
            targets: info.targets.min(max),
            lists: info.lists.min(max),
            actors: first..first.saturating_add(info.actors_count.min(max)),
            step: 1,
            is_sound: false,
            is_whole: [info.rows, info.targets, info.lists, info.actors_count]
                .iter()
                .all(|count| *count <= max),
        }
    }

    /// Whether nothing was left out.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// Asks. Each walk gives at most `max` items.
pub(super) fn ask(segment: &Segment, extent: &Extent, max: usize) -> Answers {
    let mut out = Answers::default();
    for row in (0..extent.rows).step_by(extent.step) {
        out.one(segment.seq(row));
        out.one(segment.time_us(row));
        out.one(segment.actor(row));
        out.one(segment.collection(row));
        out.one(segment.rkey(row));
        out.ask(|out| {
            for link in segment.links(row)?.take(max) {
                let link = link?;
                out.item(&link);
                out.item(&segment.path(link.path)?);
                if row < 200 {
                    out.item(&segment.list_id(row, link.path, link.target)?);
                }
            }
            Ok(())
        });
    }
    let rows: Vec<u32> = (0..extent.rows).step_by(extent.step).take(max).collect();
    out.ask(|out| segment.links_of_rows(&rows, &mut |row, link| out.item(&(row, link))));
    out.ask(|out| {
        let each = &mut |_, _| {};
        let count =
            segment.long_lists_of(&rows, 64, each, &mut |row, link| out.item(&(row, link)))?;
        out.item(&count);
        Ok(())
    });
    let targets: Vec<u32> = (0..extent.targets).step_by(extent.step).take(max).collect();
    // What cannot be read is left out, whatever that is.
    segment.fetch_targets(&targets, &mut |actor| segment.fetch_did(actor));
    out.ask(|out| {
        let mut column = segment.actor_column()?;
        for row in (0..extent.rows).rev().step_by(extent.step) {
            out.item(&column.get(row)?);
        }
        Ok(())
    });
    out.ask(|out| {
        let mut names = segment.row_names()?;
        for row in (0..extent.rows).rev().step_by(extent.step) {
            let name = names.get(row)?;
            out.item(&(name.actor, name.collection, name.rkey));
        }
        Ok(())
    });
    if extent.rows > 0 {
        out.ask(|out| {
            let mut reader = segment.targets_at(segment.path(0)?)?;
            let mut targets = Vec::new();
            for row in (0..extent.rows).rev().step_by(extent.step) {
                reader.get(row, &mut targets)?;
                // One row may say the same thousands of times.
                out.item(&(targets.len(), targets.get(..targets.len().min(8))));
            }
            Ok(())
        });
    }
    for target in (0..extent.targets).step_by(extent.step) {
        out.ask(|out| {
            let read = segment.target(target)?;
            out.item(&read);
            Ok(())
        });
        out.all(segment.lists_of(target), max);
    }
    for id in (0..extent.lists).step_by(extent.step) {
        out.ask(|out| {
            let list = segment.list(id)?;
            out.item(&(list.id(), list.len(), list.is_long()));
            out.item(&list.lower_bound(extent.rows / 2)?);
            out.item(&list.get(list.len() / 2)?);
            out.absent(&list.get(list.len()));
            Ok(())
        });
        out.ask(|out| {
            let mut blocks = segment.list(id)?.blocks(1..u32::MAX);
            let mut column = segment.actor_column()?;
            let (mut rows, mut actors) = ([0; LIST_BLOCK], [0; LIST_BLOCK]);
            for _ in 0..max.div_ceil(LIST_BLOCK) {
                let filled = blocks.fill(&mut rows)?;
                if filled == 0 {
                    break;
                }
                let rows = rows.get(..filled).unwrap_or_default();
                column.fill(rows, &mut actors)?;
                out.item(&(rows, actors.get(..filled)));
            }
            Ok(())
        });
        out.all(segment.list(id).map(|list| list.iter_from(0)), max);
        out.all(
            segment.list(id).map(|list| list.iter_back_from(u32::MAX)),
            max,
        );
    }
    for actor in extent.actors.clone().step_by(extent.step) {
        out.ask(|out| {
            let did = segment.did(actor)?;
            out.item(&did);
            if let Some(did) = did {
                out.item(&segment.find_did(&did.text())?);
            }
            Ok(())
        });
        if actor % 8 == 0 {
            out.all(segment.actor_rows(actor), max);
        }
    }
    for actor in [0, extent.actors.end, u32::MAX] {
        out.one(segment.did(actor));
        out.all(segment.actor_rows(actor), max);
        out.all(segment.actor_rows_from(actor, extent.rows / 2), max);
    }
    out.all(segment.states(), max);
    out.all(segment.account_states(), max);
    out.all(segment.kills(), max);
    out.all(segment.passed_keys(), max);
    for actor in [0, extent.actors.start, extent.actors.end, u32::MAX] {
        for hash in [0, 1 << 20, (1 << PASSED_HASH_BITS) - 1] {
            out.one(segment.holds_passed_key(PassedKey { actor, hash }));
        }
    }
    out.all(segment.sample_collections(), max);
    out.ask(|out| {
        for collection in segment.sample_collections()?.take(max) {
            let collection = collection?.name;
            out.item(&segment.samples_len(collection)?);
            segment.samples(collection, &mut |sample| {
                out.item(&sample);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    });
    by_name(segment, extent, max, &mut out);
    buckets(segment, &mut out);
    out
}

/// The buckets of the first collections.
fn buckets(segment: &Segment, out: &mut Answers) {
    out.one(segment.bucket_collections());
    let count = segment.bucket_collections().unwrap_or(0);
    for index in 0..count.min(3) {
        out.one(segment.bucket_collection(index));
        for hours in [0..u32::MAX, 472_223..472_400, 472_242..472_243] {
            out.ask(|out| {
                let buckets = segment.buckets(index)?;
                out.item(&(buckets.hours(), buckets.span()?));
                // Tables may say that there are many.
                let mut left = 64;
                buckets.each_in::<Error>(hours, &mut |bucket| {
                    left -= 1;
                    if left == 0 {
                        return Err(Error::corrupt("buckets", 0, "some", "many"));
                    }
                    out.item(&(bucket.first_hour, bucket.counts, bucket.estimate()?));
                    Ok(())
                })
            });
        }
    }
    out.one(segment.bucket_lower_bound("app.bsky.feed.like"));
}

/// What is asked by names and numbers that need not be there.
fn by_name(segment: &Segment, extent: &Extent, max: usize, out: &mut Answers) {
    for row in (0..extent.rows).step_by(extent.step * 4) {
        keys_of(segment, row, max, out);
    }
    for target in (0..extent.targets).step_by(extent.step) {
        out.ask(|out| {
            let read = segment.target(target)?;
            out.item(&segment.find_target(&read.key(&mut Text::default()))?);
            Ok(())
        });
        let list = segment.find_list(target, 1);
        out.one(list.map(|list| list.map(|list| (list.id(), list.len()))));
    }
    for key in [
        TargetKey::Did(u32::MAX),
        TargetKey::Other("nowhere"),
        TargetKey::Other(""),
    ] {
        out.one(segment.find_target(&key));
    }
    for did in [
        "",
        "did:web:absent.example.com",
        "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        out.one(segment.find_did(did));
    }
    for actor in (0..3000).step_by(7) {
        out.one(segment.state(actor));
    }
    out.one(segment.find_source("app.bsky.feed.like", ".subject.uri"));
    out.one(segment.find_source("app.bsky.feed.post", ".absent"));
    for seq in [0, 150, 1000, u64::MAX] {
        out.one(segment.lower_bound_seq(seq));
    }
    // Where counts and sections contradict each other, something may stand behind the last one.
    if !extent.is_sound {
        return;
    }
    let info = segment.info();
    out.absent(&segment.seq(info.rows));
    out.absent(&segment.actor(info.rows));
    out.absent(
        &segment
            .links(info.rows)
            .and_then(|mut links| links.next().transpose()),
    );
    out.absent(&segment.target(info.targets));
    out.absent(&segment.list(info.lists));
}

/// What is asked by the key of a row.
fn keys_of(segment: &Segment, row: u32, max: usize, out: &mut Answers) {
    for collection in ["app.bsky.feed.like", "absent"] {
        out.ask(|out| {
            let (actor, key) = (segment.actor(row)?, segment.rkey(row)?);
            out.item(&segment.may_hold_key(actor, collection, &key.text())?);
            let mut rows = Vec::new();
            let found =
                segment.find_rows(actor, collection, &key.text(), &mut |row| rows.push(row));
            for row in rows.iter().take(max) {
                out.item(row);
            }
            found
        });
    }
}
