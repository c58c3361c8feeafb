//! The model: the input, from which every answer is computed by looking at all of it.

mod check;

use std::ops::{ControlFlow, Range};

use super::*;
use crate::sketch::{Element, Sketch};
pub(super) use check::check;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Did(u32),
    Record(u32, String, String),
    Other(String),
}

#[derive(Debug, Clone)]
pub(super) struct Owned {
    shapes: Vec<(&'static str, BTreeMap<&'static str, u32>)>,
    targets: Vec<Target>,
    rows: Vec<(u64, u64, u32, u32, String)>,
    link_targets: Vec<u32>,
    dids: Vec<String>,
    states: Vec<ActorState>,
    kills: Vec<u64>,
    passed: Vec<PassedKey>,
    buckets: Vec<(String, u32, EventCounts, Range<u64>)>,
    samples: Vec<OwnedSample>,
}

/// The hour of the first row.
const FIRST_HOUR: u32 = 1_700_000_000 / 3600;

/// (collection, hours after the first row) to creates, updates, first account and count of accounts.
pub(super) type Buckets = BTreeMap<(String, u32), (u64, u64, u64, u64)>;

pub(super) fn sketch_of(accounts: Range<u64>) -> Vec<u8> {
    let mut sketch = Sketch::new();
    for account in accounts {
        sketch.add(Element::of_hash(crate::filter::mix(account)));
    }
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    bytes
}

/// What the buckets of a span hold, by looking at all hours.
fn in_span(
    input: &SegmentInput<'_>,
    collection: &str,
    hours: &Range<u32>,
) -> (EventCounts, Sketch) {
    let (mut counts, mut sketch) = (EventCounts::default(), Sketch::new());
    for bucket in &input.buckets {
        if bucket.collection == collection && hours.contains(&bucket.hour) {
            counts.add(&bucket.counts);
            sketch.unite_encoded(&bucket.sketch).unwrap();
        }
    }
    (counts, sketch)
}

fn check_buckets(input: &SegmentInput<'_>, segment: &Segment) {
    let names: BTreeSet<&str> = input
        .buckets
        .iter()
        .map(|bucket| bucket.collection)
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    assert_eq!(segment.bucket_collections().unwrap() as usize, names.len());
    for (index, name) in (0u32..).zip(&names) {
        assert_eq!(segment.bucket_collection(index).unwrap(), *name);
        assert_eq!(segment.bucket_lower_bound(name).unwrap(), index);
        assert_eq!(
            segment.bucket_lower_bound(&format!("{name}\0")).unwrap(),
            index + 1
        );
        let buckets = segment.buckets(index).unwrap();
        let of_name = input
            .buckets
            .iter()
            .filter(|bucket| bucket.collection == *name);
        let hours: BTreeSet<u32> = of_name.map(|bucket| bucket.hour).collect();
        let (first, last) = (*hours.first().unwrap(), *hours.last().unwrap());
        assert_eq!(buckets.span().unwrap(), first..last + 1);
        assert_eq!(buckets.hours() as usize, hours.len());
        for from in [
            0,
            first,
            first + 1,
            first.next_multiple_of(24),
            first.next_multiple_of(168),
        ] {
            for until in [
                first,
                first + 23,
                last - last % 24,
                last - last % 168,
                last,
                last + 1,
                u32::MAX,
            ] {
                let (mut counts, mut sketch) = (EventCounts::default(), Sketch::new());
                let mut read = 0;
                buckets
                    .each_in::<crate::Error>(from..until, &mut |bucket| {
                        read += 1;
                        counts.add(&bucket.counts);
                        let mut alone = Sketch::new();
                        bucket.unite_into(&mut alone)?;
                        assert_eq!(bucket.estimate()?, alone.estimate());
                        sketch.unite(&alone);
                        Ok(())
                    })
                    .unwrap();
                let expected = in_span(input, name, &(from..until));
                assert_eq!(
                    (counts, &sketch),
                    (expected.0, &expected.1),
                    "{name} {from}..{until}"
                );
                let weeks = (last - first) / 168 + 2;
                assert!(
                    read <= 2 * (23 + 6) + weeks,
                    "{read} buckets for {from}..{until}"
                );
                if from == 0 && until > last {
                    assert!(read <= 1, "all time is one bucket");
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct OwnedSample {
    seq: u64,
    time_us: u64,
    actor: u32,
    flags: u8,
    collection: &'static str,
    rkey: String,
    body: Vec<u8>,
}

/// Gap of seqs, actor, flags, collection, record key, body.
pub(super) type SampleParts = (u64, u32, u8, &'static str, String, Vec<u8>);

type RowParts = (u64, i64, u32, prop::sample::Index, String);

impl Owned {
    pub(super) fn new(
        shapes: Vec<(&'static str, BTreeMap<&'static str, u32>)>,
        targets: BTreeSet<Target>,
        rows: Vec<RowParts>,
        seed: u64,
        dids: Vec<String>,
        states: Vec<(u32, u64, u64, u8, u64)>,
        kills: Vec<u64>,
    ) -> Self {
        let mut targets: Vec<Target> = targets.into_iter().collect();
        let mut random = seed;
        let mut next = |below: usize| {
            // Any spread will do here: a linear congruential step (Knuth's MMIX constants).
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((random >> 33) as usize % below) as u32
        };
        for i in 1..targets.len() {
            let other = next(i + 1) as usize;
            targets.swap(i, other);
        }
        let (mut seq, mut time_ms) = (100u64, 1_700_000_000_000i64);
        let mut link_targets = Vec::new();
        let rows = rows
            .into_iter()
            .map(|(seq_gap, time_gap, actor, shape, rkey)| {
                seq += seq_gap;
                time_ms += time_gap;
                let shape = shape.index(shapes.len());
                for _ in 0..shapes[shape].1.values().sum::<u32>() {
                    // Half of the links go to the first few targets, so that lists are long too.
                    let among = if next(2) == 0 {
                        targets.len().min(3)
                    } else {
                        targets.len()
                    };
                    link_targets.push(next(among));
                }
                (seq, time_ms as u64 * 1000 + 7, actor, shape as u32, rkey)
            })
            .collect();
        let states: BTreeMap<u32, ActorState> = states
            .into_iter()
            .map(|(id, last_rev, account_seq, status, purged_us)| {
                let state = ActorState {
                    id,
                    last_rev: rev_bound(last_rev),
                    account_seq,
                    status,
                    purged_us,
                };
                (id, state)
            })
            .collect();
        Self {
            shapes,
            targets,
            rows,
            link_targets,
            dids,
            states: states.into_values().collect(),
            kills,
            passed: Vec::new(),
            buckets: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// With samples.
    pub(super) fn with_samples(mut self, samples: Vec<SampleParts>) -> Self {
        let mut seq = 99;
        self.samples = samples
            .into_iter()
            .map(|(gap, actor, flags, collection, rkey, body)| {
                seq += gap;
                OwnedSample {
                    seq,
                    time_us: 1_700_000_000_000_000 + seq % 1000 * 17,
                    actor,
                    flags,
                    collection,
                    rkey,
                    body,
                }
            })
            .collect();
        self
    }

    /// The newest samples of each collection, in order.
    fn samples(&self) -> Vec<Sample<'_>> {
        let samples = self.samples.iter().map(|sample| Sample {
            collection: sample.collection,
            seq: sample.seq,
            time_us: sample.time_us,
            rev: sample.seq << 3,
            actor: sample.actor,
            is_update: sample.flags & 1 != 0,
            encoding: if sample.flags & 2 == 0 {
                crate::event::Encoding::Json
            } else {
                crate::event::Encoding::DagCbor
            },
            rkey: &sample.rkey,
            body: &sample.body,
        });
        super::merge::newest(samples.collect(), &|_| SAMPLES_MAX)
    }

    /// With passed keys: numbers of states, modulo their count, and hashes.
    pub(super) fn with_passed(mut self, passed: Vec<(u32, u32)>) -> Self {
        let ids: Vec<u32> = self.states.iter().map(|state| state.id).collect();
        let passed: BTreeSet<PassedKey> = passed
            .into_iter()
            .filter_map(|(number, hash)| {
                let actor = *ids.get(number as usize % ids.len().max(1))?;
                Some(PassedKey { actor, hash })
            })
            .collect();
        self.passed = passed.into_iter().collect();
        self
    }

    /// Buckets by (collection, hours after the first row), with the range of numbers whose hashes are the accounts.
    pub(super) fn with_buckets(mut self, buckets: Buckets) -> Self {
        let buckets = buckets.into_iter();
        self.buckets = buckets
            .map(|((collection, hour), (creates, updates, first, len))| {
                let counts = EventCounts {
                    creates,
                    updates,
                    deletes: 1,
                };
                (collection, FIRST_HOUR + hour, counts, first..first + len)
            })
            .collect();
        self
    }

    pub(super) fn input(&self) -> SegmentInput<'_> {
        SegmentInput {
            first_seq: 100,
            last_seq: u64::MAX,
            first_time_us: self.times().min().unwrap_or(0),
            last_time_us: self.times().max().unwrap_or(0),
            did_seed: 0x5eed,
            rows: self
                .rows
                .iter()
                .map(|(seq, time_us, actor, shape, rkey)| RowInput {
                    seq: *seq,
                    time_us: *time_us,
                    actor: *actor,
                    shape: *shape,
                    rkey,
                })
                .collect(),
            shapes: self
                .shapes
                .iter()
                .map(|(collection, runs)| ShapeInput {
                    collection,
                    runs: runs.iter().map(|(path, count)| (*path, *count)).collect(),
                })
                .collect(),
            targets: self
                .targets
                .iter()
                .map(|target| match target {
                    Target::Did(actor) => TargetKey::Did(*actor),
                    Target::Record(actor, collection, rkey) => TargetKey::Record {
                        actor: *actor,
                        collection,
                        rkey,
                    },
                    Target::Other(other) => TargetKey::Other(other),
                })
                .collect(),
            link_targets: self.link_targets.clone(),
            actors: ActorsInput {
                first_id: 17,
                dids: self.dids.iter().map(String::as_str).collect(),
                states: self.states.clone(),
            },
            kills: self.kills.clone(),
            passed: self.passed.clone(),
            buckets: self
                .buckets
                .iter()
                .map(|(collection, hour, counts, accounts)| BucketInput {
                    collection,
                    hour: *hour,
                    counts: *counts,
                    sketch: sketch_of(accounts.clone()),
                })
                .collect(),
            samples: self.samples(),
        }
    }

    fn times(&self) -> impl Iterator<Item = u64> {
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|(_, hour, ..)| u64::from(*hour) * 3_600_000_000);
        self.rows.iter().map(|row| row.1).chain(buckets)
    }
}

fn unwrap_all<T>(items: impl Iterator<Item = crate::Result<T>>) -> Vec<T> {
    items.map(Result::unwrap).collect()
}
