use std::sync::Arc;

use super::*;
use crate::envelope::{FileBuilder, HEADER_BYTES};

const CHUNK: u64 = CHUNK_BYTES as u64;

fn contents(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn sealed(len: usize) -> Vec<u8> {
    let mut builder = FileBuilder::new(FileKind::Mask, 1);
    builder.section(1, b"small").section(2, &contents(len));
    builder.finish()
}

fn open(bytes: Vec<u8>) -> SealedFile {
    SealedFile::open("m-1".to_owned(), bytes, FileKind::Mask, 1..=1).unwrap()
}

#[test]
fn every_range_is_read_as_it_was_written() {
    let len = 200 * CHUNK_BYTES + 17;
    let expected = contents(len);
    let file = open(sealed(len));
    let region = file.section(2).unwrap();
    assert_eq!(region.len(), len as u64);
    let near = |edge: u64| [edge.saturating_sub(45), edge.saturating_sub(8), edge];
    for start in [0, CHUNK, 2 * CHUNK, 64 * CHUNK, 199 * CHUNK]
        .into_iter()
        .flat_map(near)
    {
        for length in [0, 1, 7, 8, 100, CHUNK_BYTES, 3 * CHUNK_BYTES] {
            let end = start as usize + length;
            let found = region.get(start, length);
            match expected.get(start as usize..end) {
                Some(bytes) => assert_eq!(found.unwrap(), bytes),
                None => assert!(found.is_err()),
            }
        }
    }
    let sub = region.sub(1000, 50).unwrap().sub(10, 20).unwrap();
    assert_eq!(sub.all().unwrap(), &expected[1010..1030]);
    assert_eq!(sub.u32_at(3).unwrap().to_le_bytes(), expected[1013..1017]);
    assert_eq!(sub.u16_at(18).unwrap().to_le_bytes(), expected[1028..1030]);
    assert!(sub.u32_at(17).is_err());
    assert!(sub.sub(0, 21).is_err() && sub.sub(21, 0).is_err() && sub.from(21).is_err());
    assert_eq!(sub.from(20).unwrap().len(), 0);
    assert!(sub.get(u64::MAX, 1).is_err() && sub.get(1, usize::MAX).is_err());
    assert_eq!(region.get(region.len(), 0).unwrap(), b"");
}

#[test]
fn what_is_fetched_need_not_be_there_nor_sound() {
    let mut bytes = sealed(CHUNK_BYTES);
    bytes[1000] ^= 4;
    let file = open(bytes);
    let region = file.section(2).unwrap();
    for offset in [0, 63, CHUNK - 1, CHUNK, u64::MAX - 1, u64::MAX] {
        for len in [0, 1, 512, u64::MAX] {
            region.fetch(offset, len);
        }
    }
    assert!(region.get(0, 1).is_err(), "it was not checked for that");
}

#[test]
fn damage_is_confined_to_its_chunk_and_named() {
    let mut bytes = sealed(5 * CHUNK_BYTES);
    // In the third chunk of the file, in a section that begins 40 bytes into it.
    bytes[2 * CHUNK_BYTES + 1000] ^= 4;
    let file = open(bytes);
    let region = file.section(2).unwrap();
    let start = (HEADER_BYTES + 8) as u64;
    let third = 2 * CHUNK - start;
    assert!(region.get(0, 100).is_ok());
    assert!(region.get(third - 1, 1).is_ok());
    for _ in 0..2 {
        let error = region.get(third + 5, 1).unwrap_err().to_string();
        assert!(
            error.starts_with("m-1: section chunks, offset 131072: expected"),
            "{error}"
        );
    }
    assert!(region.get(third - 1, 2).is_err());
    assert!(region.get(0, 4 * CHUNK_BYTES).is_err());
    assert!(region.get(third + CHUNK, 1).is_ok());
    assert!(file.verify_all().is_err());
}

#[test]
fn errors_count_from_the_start_of_the_section() {
    let file = open(sealed(100));
    let region = file.section(2).unwrap().named("rows").sub(10, 20).unwrap();
    assert_eq!(
        region.corrupt(3, "a", "b").to_string(),
        "m-1: section rows, offset 13: expected a, found b"
    );
    assert_eq!(
        region.u64_at(15).unwrap_err().to_string(),
        "m-1: section rows, offset 25: expected 8 bytes inside a region of 20, found its end"
    );
    assert!(
        file.section(3)
            .unwrap_err()
            .to_string()
            .contains("a section 3")
    );
    assert!(file.has_section(1) && !file.has_section(3) && !file.has_section(999));
}

#[test]
fn threads_that_touch_the_same_chunks_all_see_the_bytes() {
    let len = 70 * CHUNK_BYTES;
    let expected = contents(len);
    let file = Arc::new(open(sealed(len)));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (file, expected) = (Arc::clone(&file), &expected);
            scope.spawn(move || {
                let region = file.section(2).unwrap();
                for step in 0..70 {
                    let at = (step + thread * 17) % 70 * CHUNK_BYTES;
                    assert_eq!(region.get(at as u64, 500).unwrap(), &expected[at..at + 500]);
                }
            });
        }
    });
    file.verify_all().unwrap();
}

/// A writer that left something between sections: the checksums hold, so only the padding tells.
#[test]
fn bytes_between_sections_are_told_under_sound_checksums_too() {
    let mut bytes = sealed(100);
    // Behind "small", the first section.
    bytes[HEADER_BYTES + 6] = 1;
    let body = bytes.len() - crate::envelope::TRAILER_BYTES - 2 * 24 - 8;
    let sum = xxh3_64(&bytes[..body]).to_le_bytes();
    bytes[body + 2 * 24..][..8].copy_from_slice(&sum);
    let footer_sum = {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(&bytes[..HEADER_BYTES]);
        hash.update(&bytes[body..bytes.len() - 16]);
        hash.digest().to_le_bytes()
    };
    let at = bytes.len() - 16;
    bytes[at..at + 8].copy_from_slice(&footer_sum);
    let file = open(bytes);
    assert!(file.verify_all().is_err());
    let mut told = Vec::new();
    file.each_damage(&|_| "any", &mut |error| told.push(error.to_string()));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("padding"), "{told:?}");
}

#[test]
fn sections_are_checked_by_the_bytes_of_their_chunks_and_no_others() {
    let long = 3 * CHUNK_BYTES;
    let mut builder = FileBuilder::new(FileKind::Mask, 1);
    builder.section(1, &contents(long));
    builder.section(2, &contents(long));
    builder.section(3, b"").section(4, &contents(long));
    let sound = builder.finish();
    // Opened over bytes none of which may be looked at.
    let mut other = sound.clone();
    other[HEADER_BYTES..3 * long].fill(0xaa);
    let file = open(other);
    let places = |ids: &[u16], bytes: &[u8]| {
        let mut places = Vec::new();
        let checked = file.check_sections::<Error>(ids, &mut |at, buffer| {
            places.push(at / CHUNK);
            let at = at as usize;
            buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
            Ok(())
        });
        checked.map(|()| places)
    };
    assert_eq!(places(&[2], &sound).unwrap(), [3, 4, 5, 6]);
    assert_eq!(places(&[4, 1], &sound).unwrap(), [0, 1, 2, 3, 6, 7, 8, 9]);
    assert_eq!(places(&[3], &sound).unwrap(), []);
    assert_eq!(places(&[1, 2, 3, 4], &sound).unwrap().len(), 10);
    for at in (HEADER_BYTES..3 * long).step_by(10_007) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        let is_within = (3..7).contains(&(at / CHUNK_BYTES));
        assert_eq!(places(&[2, 3], &bytes).is_err(), is_within, "byte {at}");
    }
    let text = places(&[2, 9], &sound).unwrap_err().to_string();
    assert!(text.contains("a section 9"), "{text}");
    let failed = file.check_sections::<Error>(&[1], &mut |at, _| {
        Err(Error::corrupt("drive", at, "a read", "an error"))
    });
    assert!(failed.unwrap_err().to_string().contains("drive"));
    // Nothing of it is believed at a later touch.
    assert!(file.section(2).unwrap().all().is_err());
}
