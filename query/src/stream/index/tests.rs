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
        prop_assert!(index.hashes.is_empty() && index.prefixes.is_empty());
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
fn long_prefixes_take_room_by_their_length() {
    let mut index = FilterIndex::new(1_000);
    let long = Filters {
        prefixes: vec!["x".repeat(100_000)],
        ..Filters::default()
    };
    assert!(matches!(
        index.set(1, &long),
        Err(StreamError::FiltersFull { .. })
    ));
    assert!(index.is_empty());
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
