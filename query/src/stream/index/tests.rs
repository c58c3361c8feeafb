use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Few letters, so that prefixes nest and values repeat.
fn subject() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,4}",
        "did:plc:[ab]",
        "at://did:plc:[ab](/[ab]{1,2}|#x|\\?y)?",
        "é[ab]{0,2}",
    ]
}

fn source() -> impl Strategy<Value = String> {
    "[cd]:[ab]"
}

fn filters() -> impl Strategy<Value = Filters> {
    (
        vec(subject(), 0..3),
        vec(subject(), 0..4),
        vec("(did:plc:[ab]|a)", 0..3),
        vec(source(), 0..3),
        0..40_usize,
    )
        .prop_map(|(subjects, prefixes, dids, mut sources, many)| {
            // Now and then so many sources that pairs would be too many.
            if many == 0 && !sources.is_empty() {
                sources.extend((0..900).map(|i| format!("x:{i}")));
            }
            Filters {
                subjects,
                prefixes,
                dids,
                sources,
            }
        })
}

fn found(index: &mut FilterIndex, subject: &str, source: &str) -> Vec<u64> {
    let mut found = Vec::new();
    index.lookup(subject, source, |id| found.push(id));
    found.sort_unstable();
    found
}

#[derive(Debug, Clone)]
enum Op {
    Set(u64, Filters),
    Remove(u64),
    Lookup(String, String),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..12_u64, filters()).prop_map(|(id, filters)| Op::Set(id, filters)),
        1 => (0..12_u64).prop_map(Op::Remove),
        4 => (subject(), source()).prop_map(|(subject, source)| Op::Lookup(subject, source)),
    ]
}

proptest! {
    #[test]
    fn a_lookup_finds_exactly_those_whose_filters_match(ops in vec(op(), 1..80)) {
        let mut index = FilterIndex::default();
        let mut model: BTreeMap<u64, Filters> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Set(id, filters) => {
                    index.set(id, &filters).unwrap();
                    model.insert(id, filters);
                }
                Op::Remove(id) => {
                    prop_assert_eq!(index.remove(id), model.remove(&id).is_some());
                }
                Op::Lookup(subject, source) => {
                    let expected: Vec<u64> = model
                        .iter()
                        .filter(|(_, filters)| filters.matches(&subject, &source))
                        .map(|(id, _)| *id)
                        .collect();
                    prop_assert_eq!(found(&mut index, &subject, &source), expected);
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        for id in 0..12 {
            index.remove(id);
        }
        prop_assert_eq!(index.entries(), 0);
        prop_assert!(index.hashes.is_empty() && index.prefix_lengths.is_empty());
        prop_assert_eq!(index.kinds, [0; KINDS]);
        prop_assert!(index.everything.as_slice().is_empty());
    }
}

fn subjects(count: usize, from: usize) -> Filters {
    Filters {
        subjects: (from..from + count)
            .map(|i| format!("did:plc:{i}"))
            .collect(),
        ..Filters::default()
    }
}

#[test]
fn what_has_no_room_is_refused_and_changes_nothing() {
    let mut index = FilterIndex::new(10);
    index.set(1, &subjects(4, 0)).unwrap();
    index.set(2, &subjects(2, 10)).unwrap();
    assert_eq!(index.entries(), 8);
    let full = StreamError::FiltersFull {
        found: 11,
        limit: 10,
    };
    assert_eq!(index.set(3, &subjects(2, 20)), Err(full));
    assert_eq!(index.set(2, &subjects(5, 20)), Err(full));
    assert_eq!(found(&mut index, "did:plc:11", "c:a"), [2]);
    assert_eq!(found(&mut index, "did:plc:20", "c:a"), [0_u64; 0]);
    // What a subscriber gives up itself makes room for what it asks for.
    index.set(2, &subjects(4, 20)).unwrap();
    assert_eq!(found(&mut index, "did:plc:11", "c:a"), [0_u64; 0]);
    assert_eq!(found(&mut index, "did:plc:23", "c:a"), [2]);
    index.remove(1);
    index.set(3, &subjects(4, 0)).unwrap();
}

#[test]
fn a_list_that_is_too_long_is_refused_and_changes_nothing() {
    let mut index = FilterIndex::default();
    index.set(1, &subjects(1, 0)).unwrap();
    assert!(matches!(
        index.set(1, &subjects(50_001, 0)),
        Err(StreamError::TooMany {
            list: "wantedSubjects",
            ..
        })
    ));
    assert_eq!(found(&mut index, "did:plc:0", "c:a"), [1]);
}

#[test]
fn a_prefix_that_is_too_long_is_refused_and_changes_nothing() {
    let mut index = FilterIndex::default();
    let of = |bytes: usize| Filters {
        prefixes: vec!["p".to_owned(), "x".repeat(bytes)],
        ..Filters::default()
    };
    index.set(1, &of(512)).unwrap();
    let long = StreamError::TooLong {
        list: "wantedSubjectPrefixes",
        found: 513,
        limit: 512,
    };
    assert_eq!(index.set(1, &of(513)), Err(long));
    assert_eq!(found(&mut index, &"x".repeat(600), "c:a"), [1]);
}

#[test]
fn filters_prepared_elsewhere_are_those_that_are_set() {
    let mut filters = subjects(3, 0);
    filters.prefixes.push("https:".to_owned());
    let prepared = [&filters, &subjects(3, 10)].map(|filters| Prepared::new(filters).unwrap());
    let mut index = FilterIndex::new(10);
    for (id, prepared) in (1..).zip(prepared) {
        index.set_prepared(id, prepared).unwrap();
    }
    let full = index.set_prepared(3, Prepared::new(&subjects(1, 20)).unwrap());
    assert!(matches!(full, Err(StreamError::FiltersFull { .. })));
    assert_eq!(found(&mut index, "did:plc:2", "c:a"), [1]);
    assert_eq!(found(&mut index, "https://a.example", "c:a"), [1]);
    assert_eq!(found(&mut index, "did:plc:12", "c:a"), [2]);
    assert_eq!(found(&mut index, "did:plc:20", "c:a"), [0_u64; 0]);
}

/// The least time of a look-up among some runs of many.
fn least_ns(index: &mut FilterIndex, subjects: &[String]) -> u128 {
    let mut least = u128::MAX;
    for _ in 0..15 {
        let begun = std::time::Instant::now();
        let mut found = 0;
        for subject in subjects {
            index.lookup(subject, "c:a", |_| found += 1);
        }
        least = least.min(begun.elapsed().as_nanos() / subjects.len() as u128);
        assert_eq!(found, 0);
    }
    least
}

#[test]
fn prefixes_made_to_be_nearly_met_do_not_make_lookups_slow() {
    let mut index = FilterIndex::default();
    // As many as there may be, each of which goes along with the subject for a while.
    for id in 0..1_000_usize {
        let prefix = |i: usize| format!("{}{id}", "x".repeat((id * 97 + i * 5) % 500));
        let filters = Filters {
            prefixes: (0..100).map(prefix).collect(),
            ..Filters::default()
        };
        index.set(id as u64, &filters).unwrap();
    }
    let subjects: Vec<String> = (0..10)
        .map(|i| format!("{}~{i}", "x".repeat(900)))
        .collect();
    let ns = least_ns(&mut index, &subjects);
    // About a seventh in an optimized build; a walk along the prefixes in order takes more than twice as long.
    assert!(ns < 250_000, "{ns} ns a look-up");
}

#[test]
fn nested_prefixes_that_miss_hide_none_that_match() {
    let mut index = FilterIndex::default();
    for (id, prefix) in ["", "b", "ba", "bb", "bbb", "bbba", "bbbc", "bbb~"]
        .into_iter()
        .enumerate()
    {
        let filters = Filters {
            prefixes: vec![prefix.to_owned()],
            ..Filters::default()
        };
        index.set(id as u64, &filters).unwrap();
    }
    assert_eq!(found(&mut index, "bbbb", "c:a"), [0, 1, 3, 4]);
    assert_eq!(found(&mut index, "bbb~~", "c:a"), [0, 1, 3, 4, 7]);
    assert_eq!(found(&mut index, "a", "c:a"), [0]);
}

/// What a look-up costs with few and many subscribers who want other things. Run it with `--release` and `--nocapture`.
#[test]
#[ignore = "it measures"]
fn lookups_cost_as_much_with_ten_as_with_ten_thousand_others() {
    for (subjects_each, sources) in [(1, 0), (10, 0), (90, 0), (10, 4), (0, 10)] {
        let cost = |subscribers: usize| {
            let mut index = FilterIndex::default();
            for id in 0..subscribers {
                let filters = Filters {
                    sources: (0..sources).map(|i| format!("s:{id}x{i}")).collect(),
                    ..subjects(subjects_each, id * subjects_each)
                };
                index.set(id as u64, &filters).unwrap();
            }
            let others: Vec<String> = (0..100_000)
                .map(|i| format!("at://did:plc:other{i}/app.bsky.feed.post/3k{i}"))
                .collect();
            (least_ns(&mut index, &others), index.entries())
        };
        let (few, many) = (cost(10), cost(10_000));
        println!(
            "{subjects_each} subjects, {sources} sources each: {few:?}, {many:?} (ns, entries)"
        );
    }
}

/// How long the index is busy when somebody with very large filters comes, and how long the preparation takes.
#[test]
#[ignore = "it measures"]
fn large_filters_are_set_quickly_once_they_are_prepared() {
    let mut index = FilterIndex::default();
    for id in 0..16 {
        let mut filters = subjects(50_000, id * 50_000);
        filters.dids = (0..10_000).map(|i| format!("did:plc:{id}x{i}")).collect();
        let begun = std::time::Instant::now();
        let prepared = Prepared::new(&filters).unwrap();
        let prepared_in = begun.elapsed();
        let begun = std::time::Instant::now();
        index.set_prepared(id as u64, prepared).unwrap();
        println!("prepared in {prepared_in:?}, set in {:?}", begun.elapsed());
    }
}
