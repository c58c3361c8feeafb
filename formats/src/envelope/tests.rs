use proptest::prelude::*;

use super::*;
use crate::chunks::SealedFile;

fn build(sections: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut builder = FileBuilder::new(FileKind::Segment, 3);
    for (id, contents) in sections {
        builder.section(*id, contents);
    }
    builder.finish()
}

fn open(bytes: Vec<u8>) -> Result<SealedFile> {
    SealedFile::open("seg-1".to_owned(), bytes, FileKind::Segment, 2..=4)
}

/// Everything that the file answers, or the first error.
fn contents(bytes: Vec<u8>) -> Result<Vec<(u16, Vec<u8>)>> {
    let file = open(bytes)?;
    let ids: Vec<u16> = file.sections().map(|(id, _)| id).collect();
    let mut sections = Vec::new();
    for id in ids {
        sections.push((id, file.section(id)?.all()?.to_vec()));
    }
    Ok(sections)
}

fn small() -> Vec<(u16, Vec<u8>)> {
    vec![
        (1, b"first".to_vec()),
        (2, Vec::new()),
        (9, vec![7; 40]),
        (255, vec![1]),
    ]
}

proptest! {
    #[test]
    fn what_is_sealed_is_read(sections in prop::collection::btree_map(0..SECTION_IDS, prop::collection::vec(any::<u8>(), 0..200), 0..12)) {
        let sections: Vec<_> = sections.into_iter().collect();
        let bytes = build(&sections);
        let file = open(bytes.clone()).unwrap();
        file.verify_all().unwrap();
        prop_assert_eq!(file.version(), 3);
        prop_assert_eq!(file.file_len(), bytes.len() as u64);
        prop_assert_eq!(contents(bytes).unwrap(), sections);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), framed in any::<bool>()) {
        if framed && bytes.len() >= HEADER_BYTES + TRAILER_BYTES {
            let len = bytes.len();
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[len - 8..].copy_from_slice(&END_MAGIC);
        }
        prop_assert!(open(bytes).is_err());
    }
}

#[test]
fn a_file_written_piece_by_piece_has_the_same_bytes() {
    let mut sections = small();
    // Ends of chunks inside, before and behind a section.
    sections.push((10, vec![3; CHUNK_BYTES * 2 + 17]));
    sections.push((11, vec![4; CHUNK_BYTES - 17 - 32]));
    let expected = build(&sections);
    for piece in [1, 7, CHUNK_BYTES, 3 * CHUNK_BYTES] {
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes, FileKind::Segment, 3);
        for (id, contents) in &sections {
            writer.begin(*id).unwrap();
            for piece in contents.chunks(piece) {
                writer.write(piece).unwrap();
            }
            assert_eq!(writer.section_len(), contents.len() as u64);
        }
        let written = writer.finish().unwrap();
        assert!(bytes == expected, "pieces of {piece}");
        assert_eq!(written.bytes, bytes.len() as u64);
        assert_eq!(written.checksum, xxh3_64(&bytes));
    }
    let mut empty = Vec::new();
    let writer = FileWriter::new(&mut empty, FileKind::Segment, 3);
    writer.finish().unwrap();
    assert_eq!(empty, build(&[]));
}

#[test]
fn any_flipped_byte_is_an_error_or_changes_no_answer() {
    let sections = small();
    let bytes = build(&sections);
    let mut unnoticed = 0;
    for index in 0..bytes.len() {
        for xor in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[index] ^= xor;
            match contents(damaged.clone()) {
                Ok(found) => {
                    assert_eq!(found, sections, "byte {index}");
                    unnoticed += 1;
                }
                Err(error) => assert!(error.to_string().starts_with("seg-1: "), "{error}"),
            }
            let verified = open(damaged).and_then(|file| file.verify_all());
            assert!(verified.is_err(), "byte {index}");
        }
    }
    // One chunk holds the whole file, and reading it checks all of it.
    assert_eq!(unnoticed, 0);
}

#[test]
fn a_file_cut_at_any_length_does_not_open() {
    let bytes = build(&small());
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "cut at {len}");
    }
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    let mut bytes = build(&small());
    bytes.push(0);
    assert!(open(bytes).is_err());
}

#[test]
fn another_kind_or_version_is_refused_by_name() {
    let bytes = build(&small());
    let other = SealedFile::open("x".to_owned(), bytes.clone(), FileKind::Mask, 3..=3);
    assert_eq!(
        other.unwrap_err().to_string(),
        "x: section header, offset 8: expected kind 3 (mask), found kind 1"
    );
    let newer = SealedFile::open("x".to_owned(), bytes, FileKind::Segment, 1..=2);
    assert_eq!(
        newer.unwrap_err().to_string(),
        "x: segment format version 3 is not supported (this build reads 1 to 2)"
    );
}

#[test]
fn damage_by_a_text_mode_transfer_is_seen() {
    let bytes = build(&small());
    let unix: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\r')
        .collect();
    assert!(open(unix).is_err());
    let seven_bit = bytes.iter().map(|byte| byte & 0x7f).collect();
    assert!(open(seven_bit).is_err());
}

/// A file whose checksums hold, and whose body or table was changed by `change` before they were made.
fn resealed(change: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut bytes = build(&small());
    let len = bytes.len();
    let footer_len = u64::from_le_bytes(bytes[len - 24..len - 16].try_into().unwrap()) as usize;
    let body_len = len - footer_len;
    change(&mut bytes, body_len);
    let chunk = xxh3_64(&bytes[..body_len]);
    bytes[len - 40..len - 32].copy_from_slice(&chunk.to_le_bytes());
    let footer = footer_checksum(&bytes[..HEADER_BYTES], &bytes[body_len..len - 16]);
    bytes[len - 16..len - 8].copy_from_slice(&footer.to_le_bytes());
    bytes
}

#[test]
fn tables_that_contradict_themselves_do_not_open() {
    assert!(open(resealed(|_, _| {})).is_ok());
    // Reserved bytes of the header and of a table entry.
    assert!(open(resealed(|bytes, _| bytes[12] = 1)).is_err());
    assert!(open(resealed(|bytes, footer| bytes[footer + 2] = 1)).is_err());
    // An id twice, an id out of range.
    assert!(open(resealed(|bytes, footer| bytes[footer + 24] = 1)).is_err());
    assert!(open(resealed(|bytes, footer| bytes[footer + 1] = 1)).is_err());
    // A section that begins elsewhere; one that ends behind the body, or beyond any number.
    assert!(open(resealed(|bytes, footer| bytes[footer + 8] ^= 8)).is_err());
    assert!(open(resealed(|bytes, footer| bytes[footer + 16] = 200)).is_err());
    assert!(
        open(resealed(
            |bytes, footer| bytes[footer + 16..footer + 24].fill(0xff)
        ))
        .is_err()
    );
}

#[test]
fn padding_that_is_not_zero_does_not_verify() {
    // The byte behind "first", which ends 5 bytes behind the header.
    let file = open(resealed(|bytes, _| bytes[HEADER_BYTES + 5] = 1)).unwrap();
    assert!(file.verify_all().is_err());
}

#[test]
fn bytes_are_as_they_were() {
    crate::testing::assert_golden("envelope.bin", &build(&small()));
}

#[test]
fn the_specification_names_the_constants() {
    let spec = include_str!("../../SPEC.md");
    for (name, value) in [
        ("HEADER_BYTES", HEADER_BYTES),
        ("SECTION_ENTRY_BYTES", SECTION_ENTRY_BYTES),
        ("TRAILER_BYTES", TRAILER_BYTES),
        ("CHUNK_BYTES", CHUNK_BYTES),
        ("SECTION_IDS", SECTION_IDS.into()),
    ] {
        assert!(
            spec.contains(&format!("`{name}` = {value}")),
            "{name} = {value}"
        );
    }
    for kind in [
        FileKind::Segment,
        FileKind::KeyIndex,
        FileKind::Mask,
        FileKind::ActorTable,
        FileKind::Backup,
        FileKind::CacheIndex,
        FileKind::Exclusions,
    ] {
        assert!(
            spec.contains(&format!("| {} | {} |", kind.id(), kind.name())),
            "{kind:?}"
        );
    }
}

#[test]
fn the_footer_lies_where_the_trailer_says() {
    let mut builder = FileBuilder::new(FileKind::Mask, 1);
    builder.section(1, &[7; 3 * CHUNK_BYTES]);
    let bytes = builder.finish();
    let len = bytes.len() as u64;
    let trailer = *bytes.last_chunk::<TRAILER_BYTES>().unwrap();
    let body = Layout::read(&bytes).unwrap().body_len as u64;
    assert_eq!(footer_range(len, &trailer), body..len);
    // What cannot be believed stays inside the file.
    assert_eq!(footer_range(len, &[0xff; TRAILER_BYTES]), 0..len);
    assert_eq!(footer_range(len, &[0; TRAILER_BYTES]), len - 32..len);
    assert_eq!(footer_range(9, &[0; TRAILER_BYTES]), 0..9);
}
