use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::assert_golden;

fn header(rows: u32) -> MaskHeader {
    MaskHeader {
        directory_id: *b"0123456789abcdef",
        segment_id: 7,
        segment_checksum: 0x1122_3344_5566_7788,
        through_seq: 900,
        masked_links: 5_000,
        rows,
        ..MaskHeader::default()
    }
}

fn encode(rows: u32, states: &BTreeMap<u32, u8>, lists: &[(u32, u32)]) -> Vec<u8> {
    let fill = &mut |number: u32, chunk: &mut Chunk| {
        let first = number * CHUNK_ROWS;
        for (row, state) in states.range(first..first + CHUNK_ROWS) {
            chunk.set(*row, *state);
        }
        Ok(())
    };
    build(header(rows), fill, lists).unwrap()
}

fn open(bytes: Vec<u8>) -> Result<MaskFile> {
    MaskFile::open("test.mask".to_owned(), bytes)
}

/// Reads everything there is; what damaged bytes give does not matter, as long as it ends.
fn read_all(file: &MaskFile) -> Result<()> {
    let mut column = file.column();
    for row in (0..file.header().rows).chain([u32::MAX]).step_by(97) {
        let (one, other) = (file.state(row), column.get(row));
        if let (Ok(one), Ok(other)) = (one, other) {
            assert_eq!(one, other);
        }
    }
    for chunk in (0..file.chunks()).chain([u32::MAX]) {
        let _ = file.chunk(chunk);
    }
    for list in [0, 5, 77, u32::MAX] {
        let _ = file.list(list);
    }
    for list in file.lists()? {
        list?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_row_and_list_reads_as_built(
        rows in 1_u32..6_000,
        states in proptest::collection::btree_map(0_u32..6_000, 1_u8..4, 0..400),
        lists in proptest::collection::btree_map(0_u32..500, 1_u32..5_000, 0..50),
    ) {
        let table: Vec<_> = lists.iter().map(|(list, masked)| (*list, *masked)).collect();
        let file = open(encode(rows, &states, &table)).unwrap();
        file.verify().unwrap();
        let mut column = file.column();
        let (mut dead, mut hidden, mut masked) = (0, 0, 0);
        for row in 0..rows {
            let expected = states.get(&row).copied().unwrap_or(0);
            prop_assert_eq!(file.state(row).unwrap(), expected);
            prop_assert_eq!(column.get(row).unwrap(), expected);
            prop_assert_eq!(file.chunk(row / CHUNK_ROWS).unwrap().state(row), expected);
            dead += u32::from(expected & DEAD != 0);
            hidden += u32::from(expected & HIDDEN != 0);
            masked += u32::from(expected != 0);
        }
        prop_assert!(file.state(rows).is_err());
        prop_assert!(column.get(rows).is_err());
        let found = file.header();
        prop_assert_eq!((found.dead_rows, found.hidden_rows, found.masked_rows), (dead, hidden, masked));
        for list in 0..501 {
            prop_assert_eq!(file.list(list).unwrap(), lists.get(&list).copied().unwrap_or(0));
        }
        let read: Vec<_> = file.lists().unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read, table);
    }

    #[test]
    fn sound_envelopes_of_any_bytes_are_read_without_panic(
        mut head in proptest::collection::vec(any::<u8>(), HEADER_BYTES),
        rows in 0_u32..5_000,
        directory in proptest::collection::vec(any::<u32>(), 0..12),
        small in any::<bool>(),
        bits in proptest::collection::vec(any::<u8>(), 0..1_100),
        lists in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        // Counts that pass, so that the contents are reached.
        head.truncate(48);
        for count in [rows, rows, rows, 0] {
            put_u32(&mut head, count);
        }
        let mut directory: Vec<u8> = directory
            .iter()
            .flat_map(|slot| if small { slot % 9 } else { *slot }.to_le_bytes())
            .collect();
        directory.resize(rows.div_ceil(CHUNK_ROWS) as usize * 8, 0);
        let mut file = FileBuilder::new(FileKind::Mask, VERSION);
        file.section(section::HEADER, &head);
        file.section(section::DIRECTORY, &directory);
        file.section(section::BITS, bits.get(..bits.len() / BITS_BYTES * BITS_BYTES).unwrap());
        file.section(section::LISTS, lists.get(..lists.len() / 8 * 8).unwrap());
        if let Ok(file) = open(file.finish()) {
            let _ = read_all(&file);
            let _ = file.verify();
        }
    }
}

fn sample() -> Vec<u8> {
    let states: BTreeMap<u32, u8> = [(0, DEAD), (1_023, HIDDEN), (1_024, DEAD | HIDDEN)]
        .into_iter()
        .chain((5_000..5_040).map(|row| (row, DEAD)))
        .chain([(6_999, HIDDEN)])
        .collect();
    encode(7_000, &states, &[(3, 40), (77, 4_096)])
}

#[test]
fn golden_bytes() {
    assert_golden("sample.mask", &sample());
    open(sample()).unwrap().verify().unwrap();
}

#[test]
fn an_empty_mask_has_no_bits() {
    let file = open(encode(100_000, &BTreeMap::new(), &[])).unwrap();
    file.verify().unwrap();
    assert_eq!(file.file_bytes(), 32 + 64 + 98 * 8 + 4 * 24 + 8 + 32);
    let file = open(encode(0, &BTreeMap::new(), &[])).unwrap();
    file.verify().unwrap();
    assert!(file.state(0).is_err());
}

#[test]
fn bits_behind_the_last_row_are_left_out() {
    let states = BTreeMap::from([(9, DEAD), (10, DEAD), (70, HIDDEN)]);
    let file = open(encode(10, &states, &[])).unwrap();
    file.verify().unwrap();
    assert_eq!(file.header().masked_rows, 1);
}

#[test]
fn each_flipped_bit_is_noticed_by_a_verification() {
    let bytes = sample();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(file) = open(damaged) {
            let _ = read_all(&file);
            assert!(file.verify().is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_file_that_is_cut_short_does_not_open() {
    let bytes = sample();
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "{len} bytes");
    }
}

#[test]
fn more_rows_than_a_segment_has_are_refused() {
    let fill = &mut |_: u32, _: &mut Chunk| Ok(());
    let error = build(header(ROWS_MAX + 1), fill, &[]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}
