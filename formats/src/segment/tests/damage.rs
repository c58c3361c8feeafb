//! Damaged segments: an error that names the file, or the same answers; never a panic.

use std::ops::ControlFlow;

use super::*;
use crate::segment::cross::{distinct_of_long_row, scan_lists};

/// Everything that a segment answers, in one string.
fn answers(segment: &Segment) -> crate::Result<String> {
    use std::fmt::Write as _;

    let mut out = String::new();
    let info = *segment.info();
    // The text is only compared; writing to a string does not fail.
    let mut put = |value: &dyn std::fmt::Debug| {
        let _ = write!(out, "{value:?};");
    };
    put(&info);
    for row in 0..info.rows {
        put(&(
            segment.seq(row)?,
            segment.time_us(row)?,
            segment.actor(row)?,
        ));
        put(&(segment.collection(row)?, segment.rkey(row)?));
        for link in segment.links(row)? {
            let link = link?;
            put(&(segment.path(link.path)?, segment.target(link.target)?));
            put(&segment.list_id(row, link.path, link.target)?);
        }
    }
    for target in 0..info.targets {
        let mut text = Text::default();
        let read = segment.target(target)?;
        put(&segment.find_target(&read.key(&mut text))?);
        for list in segment.lists_of(target)? {
            let list = list?;
            put(&list);
            let list = segment.list(list.id)?;
            put(&list.iter_from(0).collect::<crate::Result<Vec<_>>>()?);
            put(&list
                .iter_back_from(u32::MAX)
                .collect::<crate::Result<Vec<_>>>()?);
            put(&(list.lower_bound(20)?, list.get(0)?));
        }
    }
    for actor in 0..12 {
        put(&segment
            .actor_rows(actor)?
            .collect::<crate::Result<Vec<_>>>()?);
        put(&segment.may_hold_key(actor, "app.bsky.feed.like", "self")?);
        segment.find_rows(actor, "app.bsky.feed.like", "self", &mut |row| put(&row))?;
    }
    for actor in info.actors_first_id..info.actors_first_id.saturating_add(info.actors_count) {
        let did = segment.did(actor)?;
        put(&did);
        if let Some(did) = did {
            put(&segment.find_did(&did.text())?);
        }
    }
    put(&segment.find_did("did:web:absent.example.com")?);
    for actor in 0..500 {
        put(&segment.state(actor)?);
    }
    put(&segment
        .account_states()?
        .collect::<crate::Result<Vec<_>>>()?);
    put(&segment.states()?.collect::<crate::Result<Vec<_>>>()?);
    put(&segment.kills()?.collect::<crate::Result<Vec<_>>>()?);
    for collection in segment.sample_collections()? {
        let collection = collection?;
        put(&collection);
        segment.samples(collection.name, &mut |sample| {
            put(&sample);
            ControlFlow::Continue(())
        })?;
    }
    put(&segment.lower_bound_seq(150)?);
    for index in 0..segment.bucket_collections()? {
        put(&segment.bucket_collection(index)?);
        let buckets = segment.buckets(index)?;
        put(&buckets.span()?);
        for hours in [0..u32::MAX, 472_223..472_400, 472_223..472_224] {
            let mut sketch = crate::sketch::Sketch::new();
            buckets.each_in::<crate::Error>(hours, &mut |bucket| {
                put(&(bucket.first_hour, bucket.counts, bucket.estimate()?));
                bucket.unite_into(&mut sketch)
            })?;
            put(&sketch.estimate());
        }
    }
    put(&segment.bucket_lower_bound("b")?);
    Ok(out)
}

#[test]
fn a_flipped_byte_is_named_or_harmless() {
    let sample = golden::sample();
    let bytes = build(&sample.input()).unwrap();
    let expected = answers(&open(bytes.clone()).unwrap()).unwrap();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match open(bytes).and_then(|segment| answers(&segment)) {
            Ok(found) => assert_eq!(found, expected, "byte {at}"),
            Err(error) => assert!(error.to_string().contains("test.segment"), "{at}: {error}"),
        }
    }
}

#[test]
fn a_segment_cut_short_is_refused() {
    let sample = golden::sample();
    let bytes = build(&sample.input()).unwrap();
    for len in 0..bytes.len() {
        let error = open(bytes[..len].to_vec()).unwrap_err();
        assert!(error.to_string().contains("test.segment"), "{len}: {error}");
    }
}

/// Rebuilds the file with `damage` done to its sections, and checksums that hold.
pub(super) fn resealed(bytes: &[u8], damage: impl Fn(u16, &mut Vec<u8>)) -> Vec<u8> {
    let file = SealedFile::open("t".to_owned(), bytes.to_vec(), KIND, VERSION..=VERSION).unwrap();
    let mut builder = crate::envelope::FileBuilder::new(KIND, VERSION);
    for (id, _) in file.sections() {
        let mut contents = file.section(id).unwrap().all().unwrap().to_vec();
        damage(id, &mut contents);
        builder.section(id, &contents);
    }
    builder.finish()
}

/// Damage under sound checksums (a hostile or buggy writer): decoders may answer wrongly, but end and
/// do not panic.
#[test]
fn damage_under_sound_checksums_ends_without_a_panic() {
    let sample = golden::sample();
    let bytes = build(&sample.input()).unwrap();
    let file = SealedFile::open("t".to_owned(), bytes.clone(), KIND, VERSION..=VERSION).unwrap();
    for (id, len) in file.sections() {
        // All of the small sections, a spread of the others.
        let step = (len / 60).max(1) as usize;
        for (turn, at) in (0..len as usize).step_by(step).enumerate() {
            let change = if turn % 2 == 0 { 0xff } else { 1 << (turn % 8) };
            let bytes = resealed(&bytes, |other, contents| {
                if other == id {
                    contents[at] ^= change;
                }
            });
            if let Ok(segment) = open(bytes) {
                let _ = segment.verify();
                // Counts in the meta section bound what is walked.
                if id != 1 {
                    let _ = answers(&segment);
                }
            }
        }
        let cut = resealed(&bytes, |other, contents| {
            if other == id {
                contents.truncate(contents.len() / 2);
            }
        });
        if let Ok(segment) = open(cut) {
            let _ = segment.verify();
        }
    }
}

#[test]
fn each_flipped_byte_is_placed_in_its_section() {
    let sample = golden::sample();
    let bytes = build(&sample.input()).unwrap();
    let sound = open(bytes.clone()).unwrap();
    let body_end = sound
        .section_sizes()
        .iter()
        .map(|(name, len)| sound.section_start(name).unwrap() + len)
        .max()
        .unwrap();
    for at in crate::envelope::HEADER_BYTES as u64..body_end.next_multiple_of(8) {
        let mut bytes = bytes.clone();
        bytes[at as usize] ^= 1 << (at % 8);
        let sizes = sound.section_sizes();
        let section = sizes.iter().find(|(name, len)| {
            let start = sound.section_start(name).unwrap();
            (start..start + len).contains(&at)
        });
        let expected = section.map_or("padding", |(name, _)| name);
        let file =
            SealedFile::open("test.segment".to_owned(), bytes, KIND, VERSION..=VERSION).unwrap();
        let mut found = Vec::new();
        file.each_damage(&section_name, &mut |error| found.push(error.to_string()));
        assert!(
            found.len() == 1 && found[0].contains(&format!("section {expected}, ")),
            "{at} in {expected}: {found:?}"
        );
    }
}

#[test]
fn a_sound_segment_contradicts_itself_nowhere() {
    let sample = golden::sample();
    let segment = open(build(&sample.input()).unwrap()).unwrap();
    let mut found = Vec::new();
    let file = segment.file();
    file.each_damage(&section_name, &mut |error| found.push(error));
    segment.each_contradiction(&mut |error| found.push(error));
    assert_eq!(found, []);
}

/// A segment of two rows with links to `targets`, as many as they have.
fn small(targets: u32, links: u32) -> SegmentInput<'static> {
    let row = |seq| RowInput {
        seq,
        time_us: 1_000_000,
        actor: 1,
        shape: 0,
        rkey: "self",
    };
    SegmentInput {
        first_seq: 1,
        last_seq: 2,
        first_time_us: 1_000_000,
        last_time_us: 1_000_000,
        rows: vec![row(1), row(2)],
        shapes: vec![ShapeInput {
            collection: "c",
            runs: vec![(".p", links)],
        }],
        targets: ["a", "b", "c"]
            .into_iter()
            .take(targets as usize)
            .map(TargetKey::Other)
            .collect(),
        link_targets: (0..2 * links).map(|link| link % targets).collect(),
        ..SegmentInput::default()
    }
}

#[test]
fn rows_of_more_links_than_are_kept_in_memory_are_checked_link_by_link() {
    let sound = open(build(&small(2, 70_000)).unwrap()).unwrap();
    sound.verify().unwrap();
    let mut found = 0;
    for bit in 0..sound
        .section_sizes()
        .iter()
        .find(|size| size.0 == "lists")
        .unwrap()
        .1
        * 8
    {
        if let Ok(segment) = open(with_changed_bit(&sound, "lists", bit)) {
            found += u32::from(segment.verify().is_err());
        }
    }
    assert!(found > 0);
}

/// Each of its lists is short, and to find its row's link in the row takes all links before it.
#[test]
fn a_row_of_many_different_links_is_read_so_often_and_no_more() {
    let links = 70_000;
    let names: Vec<String> = (0..links).map(|target| format!("t{target:06}")).collect();
    let input = SegmentInput {
        first_seq: 1,
        last_seq: 1,
        first_time_us: 1_000_000,
        last_time_us: 1_000_000,
        rows: vec![RowInput {
            seq: 1,
            time_us: 1_000_000,
            actor: 1,
            shape: 0,
            rkey: "self",
        }],
        shapes: vec![ShapeInput {
            collection: "c",
            runs: vec![(".p", links), (".q", 3)],
        }],
        targets: names.iter().map(|name| TargetKey::Other(name)).collect(),
        link_targets: (0..links).rev().chain([5, 5, 6]).collect(),
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    for for_each in [1, 8] {
        let mut read = 0;
        scan_lists(&segment, for_each, &mut read).unwrap();
        let most = (u64::from(links) + 3) * for_each;
        assert!(read <= most, "{read} links of {links}");
    }
    for at_once in [1 << 14, 1 << 22] {
        let distinct = distinct_of_long_row(&segment, 0, at_once).unwrap();
        assert_eq!(distinct, u64::from(links) + 2, "{at_once}");
    }
}

#[test]
fn a_target_beyond_the_count_is_refused_and_the_count_is_told() {
    let bytes = build(&small(3, 3)).unwrap();
    // The count of targets in the meta section: behind seven times of eight bytes and two counts.
    let bytes = resealed(&bytes, |id, contents| {
        if id == 1 {
            assert_eq!(contents[64], 3);
            contents[64] = 2;
        }
    });
    let segment = open(bytes).unwrap();
    assert!(matches!(segment.target(1), Ok(TargetRef::Other("b"))));
    assert!(segment.target(2).is_err());
    assert_eq!(segment.find_target(&TargetKey::Other("c")).unwrap(), None);
    let mut found = Vec::new();
    segment.each_contradiction(&mut |error| found.push(error.to_string()));
    assert!(
        found
            .iter()
            .any(|error| error.contains("2 targets of all kinds")),
        "{found:?}"
    );
}

/// The file with one bit of a section changed, and sound checksums over that.
pub(super) fn with_changed_bit(sound: &Segment, section: &str, bit: u64) -> Vec<u8> {
    let mut builder = crate::envelope::FileBuilder::new(KIND, VERSION);
    for (id, _) in sound.file().sections() {
        let mut contents = sound.file().section(id).unwrap().all().unwrap().to_vec();
        if section_name(id) == section {
            contents[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        builder.section(id, &contents);
    }
    builder.finish()
}

#[test]
fn links_lists_and_dictionaries_that_disagree_are_found_behind_sound_checksums() {
    let sample = golden::sample();
    let sound = open(build(&sample.input()).unwrap()).unwrap();
    let sizes = sound.section_sizes();
    for section in [
        "links",
        "lists",
        "sources",
        "shapes",
        "collections",
        "other targets",
        "DID index",
        "actors with rows",
        "starts of actors' blocks",
        "actors' blocks",
        "directory of actors' blocks",
        "key ranges",
        "far keys",
        "blocks of far keys",
    ] {
        let (_, len) = sizes.iter().find(|(name, _)| *name == section).unwrap();
        for bit in (0..len * 8).step_by(19) {
            let Ok(segment) = open(with_changed_bit(&sound, section, bit)) else {
                continue;
            };
            let mut found = 0;
            segment.each_contradiction(&mut |_| found += 1);
            assert!(found > 0, "bit {bit} of {section}");
        }
    }
}

/// The two readers of lists, by their number and in order, take the same for damage: a merge reads in order
/// what the full check has read by number.
#[test]
fn lists_that_no_builder_writes_are_refused_by_number_and_in_order() {
    use super::super::lists::{ListScan, Postings};

    // Two lists of rows below 4: of several rows, with that code, and of one.
    let lists = |sources_less_one: u8, code: u64| {
        let mut bits = BitWriter::new();
        // Several sources have an index of the commonest and a bit for each list; all of them are source 0.
        if sources_less_one > 0 {
            bits.write(0, width_for(sources_less_one.into()) + 2);
        }
        for (value, width) in [(0b01, 2), (code, 1), (1, 2), (2, 5), (1, 2), (3, 2)] {
            bits.write(value, width);
        }
        let mut bytes = vec![sources_less_one, 1];
        bytes.extend(bits.finish());
        // Behind the last list.
        bytes.extend([0; 8]);
        bytes
    };
    let read = |bytes: &[u8]| -> [crate::Result<Vec<u32>>; 2] {
        let postings = Postings {
            directory: Region::over("list directory", &[0; 4]),
            blocks: Region::over("lists", bytes),
            long_directory: Region::over("long list directory", &[]),
            long: Region::over("long lists", &[]),
            count: 2,
            rows: 4,
            sources: 1,
        };
        let by_number = (0..2)
            .map(|id| postings.get(id)?.iter_from(0).collect())
            .collect::<crate::Result<Vec<Vec<u32>>>>();
        let mut in_order = Vec::new();
        let mut scan = ListScan::new(postings);
        let scanned = (0..2).try_for_each(|_| scan.read(&mut in_order).map(drop));
        [
            by_number.map(|rows| rows.concat()),
            scanned.map(|()| in_order),
        ]
    };
    for found in read(&lists(0, 1)) {
        assert_eq!(found.unwrap(), [1, 2, 3]);
    }
    for found in read(&lists(0, 0)) {
        assert!(
            found.is_err(),
            "one row where several are promised: {found:?}"
        );
    }
    for found in read(&lists(2, 1)) {
        assert!(found.is_err(), "more sources than lists: {found:?}");
    }
}
