//! Damage to sound files, as drives and file systems do it: an opened file gives the answers of the sound one,
//! or an error that names the file. Never another answer.
//!
//! An input is a script of damage, eight bytes a step: what is done, a value, a length, and where.

use std::sync::OnceLock;

use orrery_formats::chunks::SealedFile;
use orrery_formats::keys::{KeyEntry, KeysFile};
use orrery_formats::mask::MaskFile;
use orrery_formats::segment::{self, Segment};
use orrery_formats::{Error, Result};

use super::segment_answers::{Answers, Extent, ask};
use super::{samples, take};
use crate::{Outcome, Target};

const NAME: &str = "a damaged file";
/// What a file system loses at a time.
const SECTOR_BYTES: usize = 512;
/// Steps of a script, at most.
const STEPS_MAX: usize = 8;

/// A change at each of `count` places all over the file, and the other kinds of damage in the middle.
fn scripts(count: u32) -> Vec<Vec<u8>> {
    let step = |what: u8, value: u8, len: u16, at: u32| {
        let mut step = vec![what, value];
        step.extend_from_slice(&len.to_le_bytes());
        step.extend_from_slice(&at.to_le_bytes());
        step
    };
    let places = (0..count).map(|i| u32::MAX / count * i);
    let mut scripts: Vec<_> = places.map(|at| step(0, 1 << (at % 8), 0, at)).collect();
    scripts.extend((1..6).map(|what| step(what, 0xff, 900, u32::MAX / 2)));
    scripts.push(Vec::new());
    scripts
}

/// Does to `file` what the script says. Places are parts of 2^32 of the file, so that they mean the same in a
/// file of another length.
fn damaged(file: &[u8], mut script: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..STEPS_MAX {
        if script.is_empty() || file.is_empty() {
            break;
        }
        let [what, value] = take(&mut script);
        let len = usize::from(u16::from_le_bytes(take(&mut script)));
        let at = u64::from(u32::from_le_bytes(take(&mut script)));
        let at = ((at * file.len() as u64) >> 32) as usize;
        match what % 6 {
            0 => file[at] ^= value,
            1 => file[at] = value,
            // A sector that was never written, or of another file.
            2 => {
                let start = at / SECTOR_BYTES * SECTOR_BYTES;
                let sectors = (len / SECTOR_BYTES + 1) * SECTOR_BYTES;
                let end = (start + sectors).min(file.len());
                file[start..end].fill(value);
            }
            3 => file.truncate(at),
            // A block that was written to the wrong place.
            4 => {
                let from = usize::from(value) * file.len() / 256;
                let end = (from + len).min(file.len());
                let block = file[from..end].to_vec();
                for (slot, byte) in file[at..].iter_mut().zip(block) {
                    *slot = byte;
                }
            }
            _ => drop(file.splice(at..at, std::iter::repeat_n(value, len))),
        }
    }
    file
}

/// Checks that the error tells where the damage is.
fn check_error(error: &Error) {
    assert!(
        error.to_string().contains(NAME),
        "{error} does not name the file"
    );
}

pub(super) const SEGMENT_DAMAGE: Target = Target {
    name: "segment-damage",
    about: "a segment of several chunks, damaged: the answers of the sound one, or errors",
    seeds: || scripts(64),
    words: &[],
    check: |script| {
        static SOUND: OnceLock<(Extent, Answers)> = OnceLock::new();
        let open = |bytes: Vec<u8>| -> Result<Segment> {
            let versions = segment::VERSION..=segment::VERSION;
            Segment::open(SealedFile::open(
                NAME.to_owned(),
                bytes,
                segment::KIND,
                versions,
            )?)
        };
        let sound = samples::large_segment();
        let (extent, answers) = SOUND.get_or_init(|| {
            let segment = open(sound.to_vec()).unwrap();
            segment.verify().unwrap();
            let extent = Extent::spread(segment.info());
            let answers = ask(&segment, &extent, usize::MAX);
            assert_eq!(answers.errors().next(), None);
            (extent, answers)
        });
        let bytes = damaged(sound, script);
        let is_same = bytes == sound;
        let segment = match open(bytes) {
            Ok(segment) => segment,
            Err(error) => {
                check_error(&error);
                return Outcome::of(&error);
            }
        };
        let found = ask(&segment, extent, usize::MAX);
        found.check_against(answers);
        found.errors().for_each(check_error);
        // The rest of `verify` compares what these checksums vouch for, and takes as long as a hundred inputs.
        let verified = segment.file().verify_all();
        let mut damages = 0;
        let name_of = segment::section_name;
        segment.file().each_damage(&name_of, &mut |_| damages += 1);
        assert_eq!(verified.is_ok(), is_same, "{verified:?}");
        assert_eq!(damages == 0, is_same, "{damages} damages are told");
        Outcome::counts(&[found.errors().count() as u64])
    },
};

pub(super) const KEYS_DAMAGE: Target = Target {
    name: "keys-damage",
    about: "a key index, damaged",
    seeds: || scripts(16),
    words: &[],
    check: |script| {
        const COUNT: u32 = 4000;
        static SOUND: OnceLock<(Vec<u8>, Vec<Option<KeyEntry>>)> = OnceLock::new();
        let keys = || (0..COUNT + 100).map(samples::key);
        let (sound, entries) = SOUND.get_or_init(|| {
            let bytes = samples::keys(COUNT);
            let file = KeysFile::open(NAME.to_owned(), bytes.clone()).unwrap();
            (bytes, keys().map(|key| file.find(key).unwrap()).collect())
        });
        let bytes = damaged(sound, script);
        let is_same = bytes == *sound;
        let file = match KeysFile::open(NAME.to_owned(), bytes) {
            Ok(file) => file,
            Err(error) => {
                check_error(&error);
                return Outcome::of(&error);
            }
        };
        let mut errors = 0;
        for (key, wanted) in keys().zip(entries) {
            match file.find(key) {
                Ok(found) => assert_eq!(found, *wanted),
                Err(error) => {
                    check_error(&error);
                    errors += 1;
                }
            }
        }
        let walked = file.entries().filter(Result::is_ok).count();
        assert!(walked <= COUNT as usize);
        assert_eq!(file.verify().is_ok(), is_same);
        Outcome::counts(&[errors])
    },
};

pub(super) const MASK_DAMAGE: Target = Target {
    name: "mask-damage",
    about: "a mask file, damaged",
    seeds: || scripts(16),
    words: &[],
    check: |script| {
        const ROWS: u32 = 600_000;
        static SOUND: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
        let rows = || (0..ROWS).step_by(97);
        let (sound, states) = SOUND.get_or_init(|| {
            let bytes = samples::mask(ROWS);
            let file = MaskFile::open(NAME.to_owned(), bytes.clone()).unwrap();
            (bytes, rows().map(|row| file.state(row).unwrap()).collect())
        });
        let bytes = damaged(sound, script);
        let is_same = bytes == *sound;
        let file = match MaskFile::open(NAME.to_owned(), bytes) {
            Ok(file) => file,
            Err(error) => {
                check_error(&error);
                return Outcome::of(&error);
            }
        };
        let mut errors = 0;
        let mut column = file.column();
        for (row, wanted) in rows().zip(states) {
            for found in [file.state(row), column.get(row)] {
                match found {
                    Ok(found) => assert_eq!(found, *wanted, "row {row}"),
                    Err(error) => {
                        check_error(&error);
                        errors += 1;
                    }
                }
            }
        }
        for (list, wanted) in [(1, 3), (7, 1), (900, 20), (2, 0)] {
            assert!(file.list(list).is_ok_and(|masked| masked == wanted) || !is_same);
            assert!(file.list(list).is_err() || file.list(list) == Ok(wanted));
        }
        assert_eq!(file.verify().is_ok(), is_same);
        Outcome::counts(&[errors])
    },
};
