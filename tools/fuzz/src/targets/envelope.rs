//! The envelope of sealed files, with its checksums as they are and mended, since no change of bytes would
//! otherwise get past them.

use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::{
    CHUNK_BYTES, FileBuilder, FileKind, HEADER_BYTES, SECTION_ENTRY_BYTES, TRAILER_BYTES,
    section_checksum,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::samples;
use crate::{Outcome, Target, heap};

const KINDS: [FileKind; 4] = [
    FileKind::Segment,
    FileKind::KeyIndex,
    FileKind::Mask,
    FileKind::ActorTable,
];
/// Bytes from the end at which the footer's checksum stands.
const CHECKSUM_FROM_END: usize = 16;

pub(super) const ENVELOPE: Target = Target {
    name: "envelope",
    about: "the header, section table and checksums of sealed files",
    seeds: || {
        let mut odd = FileBuilder::new(FileKind::ActorTable, 7);
        odd.section(255, b"").section(0, b"1").section(9, &[0; 9]);
        let long = {
            let mut file = FileBuilder::new(FileKind::Mask, 1);
            file.section(3, &[1; CHUNK_BYTES - 40])
                .section(4, &[2; 100]);
            file.finish()
        };
        let empty = FileBuilder::new(FileKind::Segment, 1).finish();
        vec![empty, odd.finish(), long, samples::keys(3)]
    },
    words: &["\u{89}ORR\r\n\x1a\n"],
    check: |input| {
        let as_is = read(input);
        let mut mended = input.to_vec();
        mend(&mut mended);
        Outcome::of(&(as_is, read(&mended)))
    },
};

/// Writes all checksums of a sealed file anew, where its trailer tells where they stand.
fn mend(file: &mut [u8]) -> Option<()> {
    let trailer = file.len().checked_sub(TRAILER_BYTES)?;
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let tables = word(trailer)? as usize * SECTION_ENTRY_BYTES;
    let chunks = word(trailer + 4)? as usize * 8;
    let body = trailer.checked_sub(tables.checked_add(chunks)?)?;
    if body < HEADER_BYTES {
        return None;
    }
    for entry in 0..tables / SECTION_ENTRY_BYTES {
        let at = body + entry * SECTION_ENTRY_BYTES;
        let field = |from: usize| {
            usize::try_from(u64::from_le_bytes(file[at + from..][..8].try_into().ok()?)).ok()
        };
        let (start, len) = (field(8)?, field(16)?);
        let contents = start
            .checked_add(len)
            .and_then(|end| file[..body].get(start..end));
        if let Some(sum) = contents.map(section_checksum) {
            file[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sums: Vec<u64> = file[..body].chunks(CHUNK_BYTES).map(xxh3_64).collect();
    for (slot, sum) in file[body + tables..trailer].chunks_exact_mut(8).zip(sums) {
        slot.copy_from_slice(&sum.to_le_bytes());
    }
    let place = file.len() - CHECKSUM_FROM_END;
    let mut hash = Xxh3::new();
    hash.update(&file[..HEADER_BYTES]);
    hash.update(&file[body..place]);
    file[place..place + 8].copy_from_slice(&hash.digest().to_le_bytes());
    Some(())
}

/// The first error, or the number of sections of a sound file.
fn read(bytes: &[u8]) -> Result<usize, String> {
    let mut first = None;
    for kind in KINDS {
        let data = bytes.to_vec();
        // The tables in memory grow with those in the file, and the sections have up to 256 ids.
        let file = heap::at_most(32_768 + 4 * bytes.len(), || {
            SealedFile::open("a file".to_owned(), data, kind, 0..=u16::MAX)
        });
        match file {
            Err(error) => {
                assert!(
                    error.to_string().contains("a file"),
                    "{error} names no file"
                );
                first.get_or_insert(error);
            }
            Ok(file) => return Ok(sections(&file, kind, bytes)),
        }
    }
    Err(format!("{first:?}"))
}

fn sections(file: &SealedFile, kind: FileKind, bytes: &[u8]) -> usize {
    let verified = file.verify_all();
    let mut damages = 0;
    file.each_damage(&|_| "a section", &mut |_| damages += 1);
    assert!(verified.is_ok() || damages > 0, "{verified:?} is not told");
    let mut found = Vec::new();
    for (id, len) in file.sections() {
        let region = file.section(id).unwrap();
        assert_eq!(region.len(), len);
        let all = region.all();
        assert!(all.is_ok() || verified.is_err(), "{all:?} of a sound file");
        assert!(region.get(len, 1).is_err() && region.sub(len + 1, 0).is_err());
        assert!(region.get(u64::MAX, usize::MAX).is_err() && region.sub(1, u64::MAX).is_err());
        found.extend(all.map(|contents| (contents.as_ptr(), contents.len(), id, contents)));
    }
    if verified.is_ok() && damages == 0 {
        // In the file's order, which ids do not tell; an empty section stands before what follows it.
        found.sort();
        let mut again = FileBuilder::new(kind, file.version());
        for (_, _, id, contents) in &found {
            again.section(*id, contents);
        }
        let empty = found.iter().filter(|section| section.1 == 0).count();
        if empty < 2 {
            assert!(again.finish() == bytes, "a sound file is written otherwise");
        }
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mended_checksums_hold() {
        let sound = samples::keys(30);
        let mut changed = sound.clone();
        changed[HEADER_BYTES + 3] ^= 1;
        assert!(read(&sound).is_ok());
        mend(&mut changed).unwrap();
        assert_eq!(read(&changed), read(&sound));
        assert_ne!(changed, sound);
    }
}
