//! Saved events: lines out of text, gzip or zstd.

use std::io::Cursor;
use std::time::Duration;

use orrery_ingest::{FileSource, Item, LINE_BYTES_MAX, Next, Source as _};

use super::jetstream::{ACCOUNT, COMMIT, DELETE};
use crate::{Outcome, Target, heap};

/// Longer inputs are passed over: a short one unpacks to enough.
const INPUT_BYTES_MAX: usize = 4096;
/// Two buffers of 256 KiB, and a line that grows by doubling while it is copied.
const HEAP_MAX: usize = (1 << 20) + 3 * LINE_BYTES_MAX;

pub(super) const LINES: Target = Target {
    name: "lines",
    about: "saved events, one a line, plain or compressed",
    seeds: || {
        let text = format!("{COMMIT}\n\n{DELETE}\r\nno event\n{ACCOUNT}");
        // One line of 64 KiB.
        let long = vec![b' '; 1 << 16];
        vec![
            text.as_bytes().to_vec(),
            zstd::encode_all(text.as_bytes(), 1).unwrap(),
            zstd::encode_all(&long[..], 1).unwrap(),
            gzip_stored(text.as_bytes()),
        ]
    },
    words: &["\n", "{}", "\u{1f}\u{8b}"],
    check: |input| {
        if input.len() > INPUT_BYTES_MAX {
            return Outcome::counts(&[]);
        }
        let data = Cursor::new(input.to_vec());
        let (mut events, mut dropped, mut last) = (0, 0, 0);
        let end = heap::at_most(HEAP_MAX, || -> orrery_ingest::Result<()> {
            let mut source = FileSource::from_reader("a file", data, None)?;
            loop {
                let next = source.next(Duration::ZERO, &mut |place, item| {
                    assert!(place > last, "line {place} behind line {last}");
                    last = place;
                    match item {
                        Item::Event(_) => events += 1,
                        Item::Dropped(_) => dropped += 1,
                        Item::Missing { .. } => {}
                    }
                    Ok(())
                })?;
                if next == Next::End {
                    return Ok(());
                }
            }
        });
        let is_plain =
            !input.starts_with(&[0x1f, 0x8b]) && !input.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        if is_plain {
            let lines = input.split(|byte| *byte == b'\n');
            let full = lines
                .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
                .count();
            assert_eq!(end.as_ref().map_err(ToString::to_string), Ok(&()));
            assert_eq!(events + dropped, full as u64);
        }
        Outcome::of(&(end.is_ok(), "x".repeat(events.min(4) as usize), dropped > 0))
    },
};

/// A gzip file of one stored block, so that no compressor is needed; its checksum is wrong, which shows
/// only at its end.
fn gzip_stored(text: &[u8]) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u32::from(len).to_le_bytes());
    out
}
