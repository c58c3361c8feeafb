//! Cursors of pages, as text and with their checksum mended.

use std::fmt::Write as _;

use orrery_query::Cursor;
use orrery_query::stats::Place;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Outcome, Target, heap};

/// The seed of the checksum of a cursor, part of what a cursor is.
const CHECK_SEED: u64 = 0x6f72_7265_7279_0001;
const HEAP_MAX: usize = 1024;

pub(super) const CURSOR: Target = Target {
    name: "cursor",
    about: "cursors of pages: the input as text, and as the bytes of one under a sound checksum",
    seeds: || {
        let mut long = vec![7, 200, 1];
        long.extend_from_slice(&[0xff; 9]);
        long.extend_from_slice(&[1, 0x80, 1]);
        vec![vec![2, 0, 5], vec![5, 1, 0x80, 1], long, b"0200".to_vec()]
    },
    words: &[],
    check: |input| {
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = read(text);
        }
        Outcome::of(&read(&sealed(input)))
    },
};

pub(super) const PLACE: Target = Target {
    name: "place",
    about: "cursors of lists of collections",
    seeds: || {
        [
            "c~app.bsky.feed.like",
            "g18446744073709551615~app.bsky",
            "c7~x",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &["~", "c", "g", "0", "18446744073709551616", "app.bsky"],
    check: |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Outcome::counts(&[]);
        };
        let heap_max = HEAP_MAX + 3 * text.len();
        Outcome::of(&match heap::at_most(heap_max, || text.parse::<Place>()) {
            Ok(place) => {
                assert_eq!(place.to_string(), text, "a place of two spellings");
                Ok(place.value.is_some())
            }
            Err(error) => Err(error.to_string()),
        })
    },
};

/// The text of a cursor of those bytes.
fn sealed(bytes: &[u8]) -> String {
    let check = xxh3_64_with_seed(bytes, CHECK_SEED).to_le_bytes();
    let mut text = String::new();
    for byte in bytes.iter().chain(&check[..3]) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn read(text: &str) -> Result<(), String> {
    match heap::at_most(HEAP_MAX, || text.parse::<Cursor>()) {
        Ok(cursor) => {
            assert_eq!(cursor.to_string(), text, "a cursor of two spellings");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_cursor_is_read() {
        assert_eq!(read(&sealed(&[2, 0, 5])), Ok(()));
    }
}
