//! All ways to read the links of a row agree, of sound segments and of damaged ones under sound checksums: where two of
//! them answer, they answer the same, and what the full check finds sound answers everywhere.

use proptest::strategy::ValueTree;

use super::*;
use crate::segment::rows::{BLOCK, RowBlock};

/// Rows that are asked of a damaged segment.
const ROWS_MAX: u32 = 300;

/// Sections that say which links a row has, and which lists these are in.
const OF_LINKS: [&str; 9] = [
    "row directory",
    "rows",
    "shapes",
    "links",
    "link directory",
    "hot targets",
    "sources",
    "list starts",
    "lists",
];

type Read<T> = crate::Result<T>;

/// Rows, each with one of its links.
type Links = Vec<(u32, LinkRef)>;

fn one_by_one(segment: &Segment, row: u32) -> Read<Vec<LinkRef>> {
    segment.links(row)?.collect()
}

/// Each link with its list.
fn with_lists(segment: &Segment, row: u32) -> Read<Vec<(LinkRef, u32)>> {
    let mut found = Vec::new();
    segment.each_list(row, &mut |link, list, _| found.push((link, list)))?;
    Ok(found)
}

/// How many links of each row are in each list, by list and row.
type InLists = BTreeMap<(u32, u32), u32>;

/// The links, and the lists that they are in, by the reader of many rows.
fn in_lists(segment: &Segment, rows: &[u32]) -> Read<(Links, InLists)> {
    let (mut links, mut found) = (Vec::new(), BTreeMap::new());
    let each = &mut |list, row| *found.entry((list, row)).or_insert(0) += 1;
    // Lists of no rows stand nowhere.
    let count = segment.long_lists_of(rows, 0, each, &mut |row, link| links.push((row, link)))?;
    assert_eq!(count, links.len() as u64);
    Ok((links, found))
}

/// Compares what readers of many rows say with what the reader of one does.
fn check_many(segment: &Segment, what: &str) {
    let rows: Vec<u32> = (0..segment.info().rows.min(ROWS_MAX)).collect();
    for some in rows.chunks(70) {
        let mut links = Links::new();
        let read = segment.links_of_rows(some, &mut |row, link| links.push((row, link)));
        let one_by_one: Read<Vec<_>> = some
            .iter()
            .map(|row| Ok((*row, one_by_one(segment, *row)?)))
            .collect();
        assert_eq!(read.is_ok(), one_by_one.is_ok(), "{what}: {read:?}");
        if let Ok(one_by_one) = one_by_one {
            let expected = one_by_one.into_iter();
            let expected =
                expected.flat_map(|(row, links)| links.into_iter().map(move |link| (row, link)));
            assert_eq!(links, expected.collect::<Links>(), "{what}");
        }
        let targets: Vec<u32> = links.iter().map(|(_, link)| link.target).collect();
        segment.fetch_targets(&targets, &mut |actor| segment.fetch_did(actor));
    }
}

/// Compares what all readers say of each row.
fn check_readers(segment: &Segment, what: &str) {
    check_many(segment, what);
    let info = *segment.info();
    let is_sound = segment.verify().is_ok();
    let paths: Vec<(u32, String)> = (0..64)
        .filter_map(|path| Some((path, segment.path(path).ok()?.to_owned())))
        .collect();
    let mut at_paths: Vec<_> = paths
        .iter()
        .filter_map(|(path, text)| Some((*path, segment.targets_at(text).ok()?)))
        .collect();
    let mut names = segment.row_names();
    let mut decoded = (u32::MAX, RowBlock::default(), false);
    let (mut targets, mut all) = (Vec::new(), Vec::new());
    for row in 0..info.rows.min(ROWS_MAX) {
        let what = format!("{what}, row {row}");
        let links = one_by_one(segment, row);
        let listed = with_lists(segment, row);
        let counted = in_lists(segment, &[row]);
        if is_sound {
            assert!(links.is_ok() && listed.is_ok() && counted.is_ok(), "{what}");
        }
        assert_eq!(
            listed.is_ok(),
            counted.is_ok(),
            "{what}: {listed:?}, {counted:?}"
        );
        if let (Ok(listed), Ok((read, counted))) = (&listed, &counted) {
            let of_lists = listed.iter().map(|(link, _)| *link);
            assert_eq!(links, Ok(of_lists.collect()), "{what}");
            let of_row: Links = listed.iter().map(|(link, _)| (row, *link)).collect();
            assert_eq!(*read, of_row, "{what}");
            let mut lists = BTreeMap::new();
            for (_, list) in listed {
                *lists.entry((*list, row)).or_insert(0) += 1;
            }
            assert_eq!(*counted, lists, "{what}");
            all.push((row, lists));
        }
        for (path, reader) in &mut at_paths {
            let read = reader.get(row, &mut targets);
            if is_sound {
                read.clone().unwrap();
            }
            let Ok(links) = &links else { continue };
            let at_path = links.iter().filter(|link| link.path == *path);
            let at_path: Vec<u32> = at_path.map(|link| link.target).collect();
            // It may refuse more: it reads whole blocks of links, and compares what it finds with the count of targets.
            if read.is_ok() {
                assert_eq!(targets, at_path, "{what}, path {path}");
            }
        }
        if decoded.0 != row / BLOCK {
            decoded.0 = row / BLOCK;
            let read = segment
                .rows()
                .and_then(|rows| rows.decode(decoded.0, &mut decoded.1));
            decoded.2 = read.is_ok();
            assert!(decoded.2 || !is_sound, "{what}: {read:?}");
        }
        if decoded.2 {
            let packed = decoded.1.rows[(row % BLOCK) as usize];
            let rows = segment.rows().unwrap();
            assert_eq!(
                rows.links_of(row),
                Ok((packed.shape, packed.first_link)),
                "{what}"
            );
            assert_eq!(rows.seq(row), Ok(packed.seq), "{what}");
            assert_eq!(rows.time_ms(row), Ok(packed.time_ms), "{what}");
            assert_eq!(rows.actor(row), Ok(packed.actor), "{what}");
            assert_eq!(rows.key(row), Ok(packed.key), "{what}");
        }
        if let Ok(names) = &mut names
            && let Ok(name) = names.get(row)
        {
            assert_eq!(segment.collection(row), Ok(name.collection), "{what}");
            assert_eq!(segment.actor(row), Ok(name.actor), "{what}");
            assert_eq!(segment.rkey(row), Ok(name.rkey), "{what}");
        }
    }
    if all.is_empty() {
        return;
    }
    let rows: Vec<u32> = all.iter().map(|(row, _)| *row).collect();
    let mut expected = BTreeMap::new();
    for (list, links) in all.iter().flat_map(|(_, lists)| lists) {
        *expected.entry(*list).or_insert(0) += links;
    }
    let found = in_lists(segment, &rows).map(|(_, lists)| lists);
    assert_eq!(found, Ok(expected), "{what}, all rows at once");
}

/// Changes bits, each in a copy of its own, and compares what is read of it.
fn check_damaged(bytes: &[u8], changes: &[(prop::sample::Index, u64)]) {
    let sound = open(bytes.to_vec()).unwrap();
    check_readers(&sound, "sound");
    for (section, bit) in changes {
        let section = section.get(&OF_LINKS);
        let sizes = sound.section_sizes();
        let len = sizes.iter().find(|size| size.0 == *section).unwrap().1;
        let Some(bit) = bit.checked_rem(len * 8) else {
            continue;
        };
        let damaged = damage::with_changed_bit(&sound, section, bit);
        if let Ok(segment) = open(damaged) {
            check_readers(&segment, &format!("bit {bit} of {section}"));
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u64)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn readers_of_links_agree_of_sound_and_damaged_segments(owned in owned(), changes in changes()) {
        check_damaged(&build(&owned.input()).unwrap(), &changes);
    }
}

#[test]
fn readers_of_hot_links_agree_of_sound_and_damaged_segments() {
    let bytes = build(&hot::crowded(200)).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..2 {
        let changes = changes().new_tree(&mut runner).unwrap().current();
        check_damaged(&bytes, &changes);
    }
}
