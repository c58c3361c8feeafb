//! A segment whose bytes are kept in `testdata`, so that the format does not change unseen.

use std::path::Path;

use super::*;

/// A small input that uses every section.
pub(super) fn sample() -> Owned {
    let keys = [
        "3jzfcijpj2z2a",
        "self",
        "3kabcdefghijk",
        "2222222222222",
        "7zzzzzzzzzzzz",
    ];
    let collections = ["app.bsky.feed.like", "app.bsky.feed.post"];
    let shapes = vec![
        (collections[0], BTreeMap::from([(".subject.uri", 1)])),
        (
            collections[1],
            BTreeMap::from([(".embed.record.uri", 1), (".facets[].did", 2)]),
        ),
    ];
    let mut targets = BTreeSet::new();
    for (actor, key) in (0u32..).zip(keys) {
        targets.insert(model::Target::Did(actor * 3));
        targets.insert(model::Target::Record(
            actor,
            collections[1].to_owned(),
            key.to_owned(),
        ));
        targets.insert(model::Target::Other(format!("https://example.com/{key}")));
    }
    let mut rows = Vec::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for i in 0..300u64 {
        let index = any::<prop::sample::Index>();
        let index = proptest::strategy::ValueTree::current(&index.new_tree(&mut runner).unwrap());
        let key = keys[i as usize % 5].to_owned();
        rows.push((
            1 + i % 3,
            1 + (i % 7) as i64 - (i % 2) as i64,
            (i % 11) as u32,
            index,
            key,
        ));
    }
    let mut dids = vec![
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz".to_owned(),
        "did:web:example.com".to_owned(),
    ];
    // More than one group of the index of DIDs.
    dids.extend((0..150).map(|i| format!("did:web:{i}.example.com")));
    let states = (0..200u32)
        .map(|id| {
            (
                id * 2,
                u64::from(id) << 40,
                u64::from(id % 3) * u64::from(id > 128),
                u8::from(id % 5 == 0),
                u64::from(id % 64 == 3) * (1_700_000_000_000_000 + u64::from(id)),
            )
        })
        .collect();
    // More than one block, some keys of one actor.
    let passed = (0..200u32)
        .map(|i| {
            (
                i % 17 * i,
                i.wrapping_mul(0x9e37_79b9) >> (32 - PASSED_HASH_BITS),
            )
        })
        .collect();
    // Hours of one day, of two in a week, of two weeks; one name alone; each form of sketches but the plain one.
    let hours = [
        ("app.bsky.feed.like", 0, 3),
        ("app.bsky.feed.like", 1, 40_000),
        ("app.bsky.feed.like", 30, 128),
        ("app.bsky.feed.like", 200, 600),
        ("app.bsky.feed.post", 2, 2),
        ("app.bsky.feed.post", 3, 4),
        ("com.example.once", 5, 1),
    ];
    let buckets = hours.into_iter().map(|(collection, hour, accounts)| {
        let key = (collection.to_owned(), hour);
        (key, (accounts + 1, u64::from(hour), 50, accounts))
    });
    // More of one collection than are kept, bodies in more than one block, one in a block of its own.
    let samples = (0..100u32)
        .map(|i| {
            let collection = collections[usize::from(i % 4 == 0)];
            let text = format!(r#"{{"text":"{i}"}}"#).repeat(1 + (i as usize % 9) * 60);
            let text = if i == 96 { "x".repeat(40_000) } else { text };
            (
                1 + u64::from(i % 3),
                i % 11,
                (i % 4) as u8,
                collection,
                format!("key{i}"),
                text.into_bytes(),
            )
        })
        .chain([(5, 7, 0, "app.quiet", "self".to_owned(), b"{}".to_vec())])
        .collect();
    Owned::new(shapes, targets, rows, 9, dids, states, vec![3, 1, 70_000])
        .with_passed(passed)
        .with_buckets(buckets.collect())
        .with_samples(samples)
}

/// Builds a segment, compares it with the file of that name, and reads that.
fn compare(name: &str, input: &SegmentInput<'_>) -> Segment {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    let bytes = build(input).unwrap();
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(
        bytes == golden,
        "the bytes differ; ORRERY_REGENERATE=1 writes them anew"
    );
    let segment = open(golden).unwrap();
    segment.verify().unwrap();
    segment
}

#[test]
fn the_golden_segment_is_built_and_read() {
    let sample = sample();
    let input = sample.input();
    check(&input, &compare("sample.segment", &input));
}

#[test]
fn the_golden_segment_with_hot_targets_is_built_and_read() {
    let input = hot::crowded(400);
    let segment = compare("hot.segment", &input);
    assert!(segment.info().hot_targets > 0);
    let mut links = Vec::new();
    for row in 0..segment.info().rows {
        links.extend(segment.links(row).unwrap().map(|link| link.unwrap().target));
    }
    // Targets are DIDs, so each has its actor's number.
    assert_eq!(links, input.link_targets);
}
