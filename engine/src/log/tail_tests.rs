//! The tail of the last log file: what is damage, and what a crash left.

use super::{LogOptions, LogWriter, SourceCursor, log_name, recover};
use crate::io::Fs;
use crate::io::fault::SimFs;
use orrery_formats::event::{Body, Event};
use orrery_formats::frame::FILE_HEADER_BYTES;
use std::path::Path;

const DIRECTORY: [u8; 16] = *b"orrery-directory";

/// Only the last frame of the last file can be torn: each is durable before the next is begun.
#[test]
fn a_damaged_frame_before_a_sound_one_is_no_torn_tail_in_the_last_file_either() {
    let dir = Path::new("/data/log");
    let fs = SimFs::new();
    fs.create_dir_all(dir).unwrap();
    let options = LogOptions::default();
    let mut writer = LogWriter::new(fs.shared(), dir, DIRECTORY, 1, options).unwrap();
    for n in 1..=6 {
        let event = Event {
            time_us: n,
            did: "did:web:a",
            body: Body::Identity {
                seq: n,
                handle: None,
            },
        };
        writer.append(&event).unwrap();
        if n % 2 == 0 {
            writer.commit(None::<&SourceCursor>).unwrap();
        }
    }
    drop(writer);
    let path = dir.join(log_name(1));
    let mut bytes = fs.contents(&path).unwrap();
    let frame_bytes = (bytes.len() - FILE_HEADER_BYTES) / 3;
    bytes[FILE_HEADER_BYTES + frame_bytes + 20] ^= 1;
    fs.put(&path, &bytes);
    let mut seqs = Vec::new();
    let found = recover(&fs, dir, DIRECTORY, 0, &mut |replayed| {
        seqs.push(replayed.seq);
        Ok(())
    })
    .unwrap();
    assert_eq!(seqs, [1, 2, 5, 6]);
    assert_eq!(found.cut_bytes, 0);
    assert_eq!(found.next_seq, 7);
    let [gap] = &found.gaps[..] else {
        panic!("{:?}", found.gaps)
    };
    assert_eq!((gap.first_seq, gap.last_seq), (3, 4));
}
