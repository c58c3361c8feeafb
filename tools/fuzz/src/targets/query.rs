//! Cursors of pages, as text and with their checksum mended.

use std::fmt::Write as _;

use orrery_query::Cursor;
use orrery_query::collections::NameCursor;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Outcome, Target, heap};

/// The seed of the checksum of a cursor, part of what a cursor is.
const CHECK_SEED: u64 = 0x6f72_7265_7279_0001;
/// The same of a cursor of a list of collections.
const NAME_CHECK_SEED: u64 = 0x6f72_7265_7279_0002;
const HEAP_MAX: usize = 1024;
/// Twice the bytes that the longest cursor with a name has.
const NAME_HEAP_MAX: usize = 2048;

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
        Outcome::of(&read(&sealed(input, CHECK_SEED)))
    },
};

pub(super) const NAME_CURSOR: Target = Target {
    name: "name-cursor",
    about: "cursors of lists of collections, as text, and as bytes under a sound checksum",
    seeds: || {
        let head = [2, 0, 0, 0, 0, 0, 0, 0, 9, 1];
        vec![
            [&head[..], b"app.bsky.feed"].concat(),
            [&head[..], &[0xff; 4]].concat(),
            vec![7; 10],
            b"0200".to_vec(),
        ]
    },
    words: &["app.bsky.feed.like"],
    check: |input| {
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = read_name(text);
        }
        Outcome::of(&read_name(&sealed(input, NAME_CHECK_SEED)))
    },
};

fn read_name(text: &str) -> Result<(), String> {
    match heap::at_most(NAME_HEAP_MAX, || text.parse::<NameCursor>()) {
        Ok(cursor) => {
            assert_eq!(cursor.to_string(), text, "a cursor of two spellings");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The text of a cursor of those bytes.
fn sealed(bytes: &[u8], seed: u64) -> String {
    let check = xxh3_64_with_seed(bytes, seed).to_le_bytes();
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
        assert_eq!(read(&sealed(&[2, 0, 5], CHECK_SEED)), Ok(()));
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(b"a.b.c");
        assert_eq!(read_name(&sealed(&bytes, NAME_CHECK_SEED)), Ok(()));
    }
}
