//! Merging against the builder: the bytes of a merge are those of a segment built from the rows that
//! live.

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::sink::Sink;
use crate::sketch::Sketch;

/// A workspace that keeps next to nothing in memory, so that a few rows already spill.
#[derive(Default)]
struct Tiny {
    scratches: usize,
    bytes: u64,
}

struct Failing;

impl Workspace for Tiny {
    type Error = crate::Error;
    type Scratch = Vec<u8>;

    fn scratch(&mut self) -> crate::Result<Vec<u8>> {
        self.scratches += 1;
        Ok(Vec::new())
    }

    fn progress(&mut self, bytes: u64) -> crate::Result<()> {
        self.bytes += bytes;
        Ok(())
    }

    fn sort_bytes(&self) -> usize {
        64
    }
}

impl Workspace for Failing {
    type Error = crate::Error;
    type Scratch = Vec<u8>;

    fn scratch(&mut self) -> crate::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn progress(&mut self, _bytes: u64) -> crate::Result<()> {
        Err(crate::Error::corrupt("workspace", 0, "time", "none"))
    }
}

/// The rows of `input` that `keep` names, with only the shapes and targets that they use.
fn only<'a>(input: &SegmentInput<'a>, keep: &dyn Fn(usize) -> bool) -> SegmentInput<'a> {
    let mut out = SegmentInput {
        rows: Vec::new(),
        shapes: Vec::new(),
        targets: Vec::new(),
        link_targets: Vec::new(),
        ..input.clone()
    };
    let mut shapes = BTreeMap::new();
    let mut targets = BTreeMap::new();
    let mut links = input.link_targets.iter();
    for (number, row) in input.rows.iter().enumerate() {
        let shape = &input.shapes[row.shape as usize];
        let count: u32 = shape.runs.iter().map(|run| run.1).sum();
        let row_links: Vec<u32> = links.by_ref().take(count as usize).copied().collect();
        if !keep(number) {
            continue;
        }
        let key = (shape.collection, shape.runs.clone());
        let shape_id = *shapes.entry(key).or_insert_with(|| {
            out.shapes.push(shape.clone());
            out.shapes.len() as u32 - 1
        });
        for target in row_links {
            let target = *targets.entry(target).or_insert_with(|| {
                out.targets.push(input.targets[target as usize]);
                out.targets.len() as u32 - 1
            });
            out.link_targets.push(target);
        }
        out.rows.push(RowInput {
            shape: shape_id,
            ..*row
        });
    }
    out
}

/// How many samples of a collection are kept.
fn samples_most(collection: &str) -> usize {
    if collection == "app.post" {
        5
    } else {
        SAMPLES_MAX
    }
}

/// The newest samples of each collection, in order.
pub(super) fn newest<'a>(
    mut samples: Vec<Sample<'a>>,
    most: &dyn Fn(&str) -> usize,
) -> Vec<Sample<'a>> {
    samples.sort_by_key(|sample| (sample.collection, std::cmp::Reverse(sample.seq)));
    let groups = samples.chunk_by(|a, b| a.collection == b.collection);
    let kept = groups.flat_map(|group| group.iter().take(most(group[0].collection)).rev());
    kept.copied().collect()
}

/// `whole` cut into `count` neighbours, each with states of its own.
fn cut<'a>(whole: &SegmentInput<'a>, count: usize) -> Vec<SegmentInput<'a>> {
    let rows = whole.rows.len();
    let count = count.min(rows).max(1);
    let dids = whole.actors.dids.len();
    (0..count)
        .map(|part| {
            let range = rows * part / count..rows * (part + 1) / count;
            let mut input = only(whole, &|row| range.contains(&row));
            if part > 0 {
                input.first_seq = whole.rows[range.start].seq;
            }
            if part + 1 < count {
                input.last_seq = whole.rows[range.end].seq - 1;
            }
            let times = input.rows.iter().map(|row| row.time_us);
            input.first_time_us = times.clone().min().unwrap_or(0);
            input.last_time_us = times.max().unwrap_or(0);
            let mut place = 0usize;
            input.buckets.retain(|_| {
                place += 1;
                // Some are in no part, some in all.
                (place * 7 + part * 3) % 5 < 3
            });
            for bucket in &mut input.buckets {
                let time_us = u64::from(bucket.hour) * 3_600_000_000;
                input.first_time_us = match input.first_time_us {
                    0 => time_us,
                    first => first.min(time_us),
                };
                input.last_time_us = input.last_time_us.max(time_us);
                bucket.counts.creates += part as u64;
                if part % 2 == 1 {
                    bucket.sketch = model::sketch_of(part as u64 * 1000..part as u64 * 1000 + 100);
                }
            }
            let range = dids * part / count..dids * (part + 1) / count;
            input.actors.first_id += range.start as u32;
            input.actors.dids = whole.actors.dids[range].to_vec();
            input
                .actors
                .states
                .retain(|state| !(state.id as usize + part).is_multiple_of(3));
            for state in &mut input.actors.states {
                state.last_rev = rev_bound(state.last_rev ^ (part as u64) << 30);
                state.account_seq &= !(part as u64);
                // Some accounts are deleted in this part or that.
                state.purged_us *= u64::from(part as u32 >= state.id % 4);
            }
            let states = &input.actors.states;
            input.passed.retain(|key| {
                !(key.hash as usize + part).is_multiple_of(3)
                    && states.iter().any(|state| state.id == key.actor)
            });
            input
                .kills
                .retain(|kill| (*kill as usize).wrapping_add(part) % 2 == 0);
            // Kills of rows of this merge, which are gone with the rows.
            input
                .kills
                .extend(whole.rows.iter().map(|row| row.seq).step_by(5 + part));
            let last_seq = input.last_seq;
            input.kills.retain(|kill| (1..=last_seq).contains(kill));
            let covered = input.first_seq..=input.last_seq;
            let samples = whole.samples.iter().copied();
            let samples = samples.filter(|sample| covered.contains(&sample.seq));
            input.samples = newest(samples.collect(), &|_| SAMPLES_MAX);
            input
        })
        .collect()
}

/// What the segments of `parts` are together, without the rows that `dropped` names.
fn together<'a>(
    whole: &SegmentInput<'a>,
    parts: &[SegmentInput<'a>],
    dropped: &dyn Fn(u64) -> bool,
    keep_kill: &dyn Fn(u64) -> bool,
) -> SegmentInput<'a> {
    let (first, last) = (parts.first().unwrap(), parts.last().unwrap());
    let covered = first.first_seq..=last.last_seq;
    let mut all = only(whole, &|row| {
        let seq = whole.rows[row].seq;
        covered.contains(&seq) && !dropped(seq)
    });
    (all.first_seq, all.last_seq) = (first.first_seq, last.last_seq);
    let timed = || parts.iter().filter(|part| part.last_time_us > 0);
    all.first_time_us = timed().map(|part| part.first_time_us).min().unwrap_or(0);
    all.last_time_us = timed().map(|part| part.last_time_us).max().unwrap_or(0);
    all.actors.first_id = first.actors.first_id;
    all.actors.dids = parts
        .iter()
        .flat_map(|part| part.actors.dids.iter().copied())
        .collect();
    let mut states: BTreeMap<u32, ActorState> = BTreeMap::new();
    for state in parts.iter().flat_map(|part| &part.actors.states) {
        let purged_us = states.get(&state.id).map_or(0, |known| known.purged_us);
        let purged_us = purged_us.max(state.purged_us);
        states.insert(
            state.id,
            ActorState {
                purged_us,
                ..*state
            },
        );
    }
    let mut passed = BTreeSet::new();
    for part in parts {
        let own = |actor| part.actors.states.iter().find(|state| state.id == actor);
        passed.extend(
            part.passed
                .iter()
                .filter(|key| own(key.actor).unwrap().purged_us == states[&key.actor].purged_us),
        );
    }
    all.passed = passed.into_iter().collect();
    all.actors.states = states.into_values().collect();
    let samples = parts.iter().flat_map(|part| part.samples.iter().copied());
    let samples = samples.filter(|sample| !dropped(sample.seq));
    all.samples = newest(samples.collect(), &samples_most);
    all.kills = parts
        .iter()
        .flat_map(|part| part.kills.iter().copied())
        .filter(|kill| !covered.contains(kill) && keep_kill(*kill))
        .collect();
    let mut buckets: BTreeMap<(&str, u32), (EventCounts, Sketch)> = BTreeMap::new();
    for bucket in parts.iter().flat_map(|part| &part.buckets) {
        let (counts, sketch) = buckets.entry((bucket.collection, bucket.hour)).or_default();
        counts.add(&bucket.counts);
        sketch.unite_encoded(&bucket.sketch).unwrap();
    }
    all.buckets = buckets
        .into_iter()
        .map(|((collection, hour), (counts, united))| {
            let mut sketch = Vec::new();
            united.encode(&mut sketch);
            BucketInput {
                collection,
                hour,
                counts,
                sketch,
            }
        })
        .collect();
    all
}

fn merged(
    segments: &[&Segment],
    dropped: &dyn Fn(u64) -> bool,
    keep_kill: &dyn Fn(u64) -> bool,
) -> Vec<u8> {
    let drops: Vec<_> = segments
        .iter()
        .map(|segment| move |row: u32| dropped(segment.seq(row).unwrap()))
        .collect();
    let inputs: Vec<MergeInput<'_>> = segments
        .iter()
        .zip(&drops)
        .map(|(segment, is_dropped)| MergeInput {
            segment,
            is_dropped,
        })
        .collect();
    let rules = SampleRules {
        most: &|collection| Ok(samples_most(collection)),
        keep: &|place, sample| {
            let covered = segments[place].info();
            assert!((covered.first_seq..=covered.last_seq).contains(&sample.seq));
            Ok(!dropped(sample.seq))
        },
    };
    let mut bytes = Vec::new();
    let result =
        super::super::merge(&inputs, keep_kill, &rules, &mut bytes, &mut InMemory).unwrap();
    assert_eq!(result.bytes, bytes.len() as u64);
    assert_eq!(result.checksum, xxh3_64(&bytes));
    let mut tiny = Tiny::default();
    let mut spilled = Vec::new();
    super::super::merge(&inputs, keep_kill, &rules, &mut spilled, &mut tiny).unwrap();
    assert!(spilled == bytes, "spilling changes nothing");
    assert!(tiny.bytes > 0 && (tiny.scratches > 0 || result.info.rows < 100));
    let segment = open(bytes.clone()).unwrap();
    assert_eq!(*segment.info(), result.info);
    segment.verify().unwrap();
    bytes
}

/// Names the first section that differs.
fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    if found == expected {
        return;
    }
    let (found, expected) = (
        open(found.to_vec()).unwrap(),
        open(expected.to_vec()).unwrap(),
    );
    assert_eq!(found.info(), expected.info(), "{what}");
    for &section in Section::ALL {
        let bytes = |segment: &Segment| section.of(segment.file()).unwrap().all().unwrap().to_vec();
        assert_eq!(
            bytes(&found),
            bytes(&expected),
            "{what}: section {}",
            section.name()
        );
    }
    panic!("{what}: the envelopes differ");
}

pub(super) fn check_merges(whole: &SegmentInput<'_>, count: usize, drop_of_ten: u64, salt: u64) {
    let dropped = |seq: u64| (seq ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10 < drop_of_ten;
    let keep_kill = |kill: u64| !kill.is_multiple_of(3);
    let parts = cut(whole, count);
    let segments: Vec<Segment> = parts
        .iter()
        .map(|part| open(build(part).unwrap()).unwrap())
        .collect();
    let expected_input = together(whole, &parts, &dropped, &keep_kill);
    let expected = build(&expected_input).unwrap();
    let all: Vec<&Segment> = segments.iter().collect();
    let found = merged(&all, &dropped, &keep_kill);
    assert_same(&found, &expected, "merge of all");
    // The model looks at all of it for each target.
    if whole.targets.len() < 1000 {
        check(&expected_input, &open(found).unwrap());
    }

    // A part alone: written anew.
    let alone = merged(&all[..1], &dropped, &keep_kill);
    let expected_alone = build(&together(whole, &parts[..1], &dropped, &keep_kill)).unwrap();
    assert_same(&alone, &expected_alone, "one segment");
    let same = merged(&all[..1], &|_| false, &|_| true);
    let kept = together(whole, &parts[..1], &|_| false, &|_| true);
    assert_same(&same, &build(&kept).unwrap(), "nothing dropped");

    // In two steps, the first of which drops nothing that a later one needs.
    if parts.len() > 2 {
        let within = |kill: u64| kill >= whole.first_seq || keep_kill(kill);
        let first = open(merged(&all[..2], &dropped, &within)).unwrap();
        let mut rest = vec![&first];
        rest.extend(&all[2..]);
        let found = merged(&rest, &dropped, &keep_kill);
        assert_same(&found, &expected, "merge of merges");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_merge_has_the_bytes_of_a_segment_built_from_the_rows_that_live(
        owned in owned(),
        count in 1usize..6,
        drop_of_ten in 0u64..11,
        salt in any::<u64>(),
    ) {
        check_merges(&owned.input(), count, drop_of_ten, salt);
    }
}

#[test]
fn long_lists_of_both_kinds_are_merged() {
    let shape = |count| ShapeInput {
        collection: "c",
        runs: vec![(".p", count)],
    };
    let rows: Vec<RowInput<'_>> = (0u32..140_000)
        .map(|i| RowInput {
            seq: u64::from(i) + 100,
            time_us: u64::from(i) * 1000 + 5000,
            actor: i % 1000,
            shape: u32::from(i % 700 == 0),
            rkey: "self",
        })
        .collect();
    let link_targets = rows
        .iter()
        .flat_map(|row| if row.shape == 1 { vec![0, 1] } else { vec![0] })
        .collect();
    let whole = SegmentInput {
        first_seq: 1,
        last_seq: 1_000_000,
        first_time_us: 5000,
        last_time_us: 200_000_000,
        did_seed: 3,
        rows,
        shapes: vec![shape(1), shape(2)],
        targets: vec![TargetKey::Did(1), TargetKey::Other("x")],
        link_targets,
        ..SegmentInput::default()
    };
    check_merges(&whole, 3, 0, 0);
    check_merges(&whole, 4, 3, 1);
    check_merges(&whole, 4, 9, 1);
}

/// What a merge keeps in memory is asked of the workspace, not of the allocator: all else are a bit or
/// so for each row, key and target. So the number of scratches must not grow with the rows either.
#[test]
fn a_merge_of_more_rows_needs_no_more_scratches_at_a_time() {
    use std::cell::Cell;
    use std::ops::Deref;
    use std::rc::Rc;

    #[derive(Default)]
    struct Open(Rc<(Cell<u32>, Cell<u32>)>);
    struct Counted(Vec<u8>, Rc<(Cell<u32>, Cell<u32>)>);
    impl Sink for Counted {
        type Error = crate::Error;
        fn write(&mut self, bytes: &[u8]) -> crate::Result<()> {
            self.0.write(bytes)
        }
    }
    impl Scratch for Counted {
        type Bytes = Self;
        fn finish(self) -> crate::Result<Self> {
            Ok(self)
        }
    }
    impl Deref for Counted {
        type Target = [u8];
        fn deref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.0.set(self.1.0.get() - 1);
        }
    }
    impl Workspace for Open {
        type Error = crate::Error;
        type Scratch = Counted;
        fn scratch(&mut self) -> crate::Result<Counted> {
            let (now, most) = &*self.0;
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            Ok(Counted(Vec::new(), Rc::clone(&self.0)))
        }
        fn progress(&mut self, _bytes: u64) -> crate::Result<()> {
            Ok(())
        }
        fn sort_bytes(&self) -> usize {
            64
        }
    }

    let sample = golden::sample();
    let whole = only(&sample.input(), &|_| true);
    let mut most = Vec::new();
    for rows in [150, 300] {
        let input = only(&whole, &|row| row < rows);
        let parts = cut(&input, 3);
        let segments: Vec<Segment> = parts
            .iter()
            .map(|part| open(build(part).unwrap()).unwrap())
            .collect();
        let inputs: Vec<MergeInput<'_>> = segments
            .iter()
            .map(|segment| MergeInput {
                segment,
                is_dropped: &|_| false,
            })
            .collect();
        let mut workspace = Open::default();
        super::super::merge(
            &inputs,
            &|_| true,
            &SampleRules::ALL,
            Vec::new(),
            &mut workspace,
        )
        .unwrap();
        assert_eq!(workspace.0.0.get(), 0, "all are given back");
        most.push(workspace.0.1.get());
    }
    // For each part the map of its targets (in two parts while it is made) and of its keys, and about a
    // dozen for columns and sorts.
    assert!(most.iter().all(|most| *most < 3 * 3 + 12), "{most:?}");
}

/// Tables beyond the count up to which offsets stand plainly, and an index of many groups.
#[test]
fn large_tables_are_merged() {
    let keys: Vec<String> = (0..9000u32)
        .map(|i| format!("key-{}", i * 7919 % 9001))
        .collect();
    let pages: Vec<String> = (0..6000u32)
        .map(|i| format!("https://e.com/{}", i * 7))
        .collect();
    let dids: Vec<String> = (0..5000u32)
        .map(|i| format!("did:web:{i}.example.com"))
        .collect();
    let rows: Vec<RowInput<'_>> = (0u64..)
        .zip(&keys)
        .map(|(i, rkey)| RowInput {
            seq: i + 10,
            time_us: i * 3000 + 1000,
            actor: (i % 777) as u32,
            shape: 0,
            rkey,
        })
        .collect();
    let records = keys.iter().take(5000).map(|rkey| TargetKey::Record {
        actor: rkey.len() as u32,
        collection: "c",
        rkey,
    });
    let pages = pages.iter().map(|page| TargetKey::Other(page));
    let targets: Vec<TargetKey<'_>> = records.chain(pages).collect();
    let whole = SegmentInput {
        first_seq: 1,
        last_seq: 100_000,
        link_targets: (0..18_000).map(|i| i * 613 % 11_000).collect(),
        rows,
        shapes: vec![ShapeInput {
            collection: "c",
            runs: vec![(".p", 2)],
        }],
        targets,
        actors: ActorsInput {
            first_id: 3,
            dids: dids.iter().map(String::as_str).collect(),
            states: Vec::new(),
        },
        ..SegmentInput::default()
    };
    check_merges(&whole, 3, 0, 0);
    check_merges(&whole, 4, 2, 5);
}

#[test]
fn segments_without_rows_are_merged() {
    let empty = |first_seq, last_seq| SegmentInput {
        first_seq,
        last_seq,
        ..SegmentInput::default()
    };
    let segments: Vec<Segment> = [empty(1, 5), empty(6, 9)]
        .iter()
        .map(|input| open(build(input).unwrap()).unwrap())
        .collect();
    let inputs: Vec<MergeInput<'_>> = segments
        .iter()
        .map(|segment| MergeInput {
            segment,
            is_dropped: &|_| false,
        })
        .collect();
    let mut bytes = Vec::new();
    super::super::merge(
        &inputs,
        &|_| true,
        &SampleRules::ALL,
        &mut bytes,
        &mut InMemory,
    )
    .unwrap();
    assert_same(&bytes, &build(&empty(1, 9)).unwrap(), "empty segments");
}

#[test]
fn segments_that_are_no_neighbours_are_refused() {
    let segment = |first_seq, last_seq, first_id| {
        let input = SegmentInput {
            first_seq,
            last_seq,
            actors: ActorsInput {
                first_id,
                dids: vec!["did:web:example.com"],
                states: Vec::new(),
            },
            ..SegmentInput::default()
        };
        open(build(&input).unwrap()).unwrap()
    };
    let (a, gap, backwards, other_actors) = (
        segment(5, 9, 0),
        segment(11, 12, 1),
        segment(1, 4, 1),
        segment(10, 12, 2),
    );
    let refused = |segments: &[&Segment]| {
        let inputs: Vec<MergeInput<'_>> = segments
            .iter()
            .map(|segment| MergeInput {
                segment,
                is_dropped: &|_| false,
            })
            .collect();
        let mut out = Vec::new();
        let result = super::super::merge(
            &inputs,
            &|_| true,
            &SampleRules::ALL,
            &mut out,
            &mut InMemory,
        );
        result.unwrap_err().to_string()
    };
    for segments in [
        &[&a, &gap][..],
        &[&a, &backwards],
        &[&a, &other_actors],
        &[],
    ] {
        assert!(refused(segments).contains("merge input"));
    }
}

#[test]
fn a_merge_ends_with_the_error_of_its_workspace_or_sink() {
    struct Full;
    impl Sink for Full {
        type Error = crate::Error;
        fn write(&mut self, _bytes: &[u8]) -> crate::Result<()> {
            Err(crate::Error::corrupt("sink", 0, "room", "none"))
        }
    }
    let sample = golden::sample();
    let segment = open(build(&sample.input()).unwrap()).unwrap();
    let input = MergeInput {
        segment: &segment,
        is_dropped: &|_| false,
    };
    let error = super::super::merge(
        &[input],
        &|_| true,
        &SampleRules::ALL,
        Vec::new(),
        &mut Failing,
    )
    .unwrap_err();
    assert!(error.to_string().contains("workspace"), "{error}");
    let error = super::super::merge(&[input], &|_| true, &SampleRules::ALL, Full, &mut InMemory)
        .unwrap_err();
    assert!(error.to_string().contains("sink"), "{error}");
}

/// Damage under sound checksums: a merge fails or makes a segment, and does not panic.
#[test]
fn a_merge_of_a_damaged_segment_ends_without_a_panic() {
    let sample = golden::sample();
    let bytes = build(&sample.input()).unwrap();
    let file = SealedFile::open("t".to_owned(), bytes.clone(), KIND, VERSION..=VERSION).unwrap();
    for (id, len) in file.sections() {
        let step = (len / 80).max(1) as usize;
        for (turn, at) in (0..len as usize).step_by(step).enumerate() {
            let change = if turn % 2 == 0 { 0xff } else { 1 << (turn % 8) };
            let bytes = damage::resealed(&bytes, |other, contents| {
                if other == id {
                    contents[at] ^= change;
                }
            });
            let Ok(segment) = open(bytes) else {
                continue;
            };
            let input = MergeInput {
                segment: &segment,
                is_dropped: &|row| row % 5 == 0,
            };
            let _ = super::super::merge(
                &[input],
                &|_| true,
                &SampleRules::ALL,
                Vec::new(),
                &mut Tiny::default(),
            );
        }
    }
}
