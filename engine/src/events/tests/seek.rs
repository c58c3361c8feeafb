//! Times in the log.

use orrery_formats::event::{Body, Event};

use super::{log_files, open};
use crate::TimePlace;
use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{below, seeds};
use crate::{Store, Writer};

const START_US: u64 = 1_767_225_600_000_000;

fn write(writer: &mut Writer, place: u64, time_us: u64) {
    let body = Body::Identity {
        seq: place,
        handle: None,
    };
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    writer.apply(&Event { time_us, did, body }).unwrap();
}

/// The first of the events not older than asked, seqs from 1.
fn first_at(times: &[u64], time_us: u64) -> Option<u64> {
    let place = times.iter().position(|time| *time >= time_us)?;
    Some(place as u64 + 1)
}

fn seek(store: &Store, time_us: u64) -> TimePlace {
    store.seek_time(time_us).unwrap()
}

#[test]
fn a_time_is_found_at_the_first_event_that_is_not_older_also_where_some_are_out_of_order() {
    for seed in 0..seeds(30) {
        let mut random = SplitMix::new(seed);
        let fs = SimFs::new();
        let store = open(&fs);
        let mut writer = store.writer().unwrap();
        let mut times = Vec::new();
        let mut now = START_US;
        for place in 1..=120 {
            now += below(&mut random, 20_000_000);
            // Up to half a minute behind.
            let time_us = now - below(&mut random, 30_000_000);
            write(&mut writer, place, time_us);
            times.push(time_us);
            match below(&mut random, 12) {
                0..3 => writer.commit().unwrap(),
                3 => writer.seal().unwrap(),
                _ => {}
            }
        }
        for _ in 0..60 {
            let time_us = START_US - 40_000_000 + below(&mut random, now + 80_000_000 - START_US);
            let expected = match first_at(&times, time_us) {
                Some(seq) => TimePlace::Log { seq },
                None => TimePlace::Future { seq: 121 },
            };
            assert_eq!(seek(&store, time_us), expected, "seed {seed}, {time_us}");
        }
        assert_eq!(
            seek(&store, times[70]),
            TimePlace::Log {
                seq: first_at(&times, times[70]).unwrap()
            }
        );
        // Without its first files the log begins later; events before are only in segments.
        writer.seal().unwrap();
        drop((writer, store));
        let files = log_files(&fs);
        for path in &files[..files.len() / 2] {
            fs.unlink(path).unwrap();
        }
        let store = open(&fs);
        let floor = store.log_floor();
        let time_of = |seq: u64| times[seq as usize - 1];
        for _ in 0..60 {
            let time_us = START_US - 40_000_000 + below(&mut random, now + 80_000_000 - START_US);
            let kept = first_at(&times[floor as usize - 1..], time_us).map(|seq| seq + floor - 1);
            let expected = match kept {
                Some(seq) if seq == floor && floor > 1 => TimePlace::Before {
                    first_seq: floor,
                    time_us: time_of(floor),
                },
                Some(seq) => TimePlace::Log { seq },
                None => TimePlace::Future { seq: 121 },
            };
            assert_eq!(seek(&store, time_us), expected, "seed {seed}, {time_us}");
        }
    }
}

#[test]
fn a_time_in_an_index_without_a_log_is_before_it() {
    let fs = SimFs::new();
    let store = open(&fs);
    assert_eq!(seek(&store, START_US), TimePlace::Future { seq: 1 });
    let mut writer = store.writer().unwrap();
    write(&mut writer, 1, START_US);
    write(&mut writer, 2, START_US + 5);
    assert_eq!(seek(&store, START_US + 1), TimePlace::Log { seq: 2 });
    assert_eq!(seek(&store, 0), TimePlace::Log { seq: 1 });
    writer.seal().unwrap();
    drop((writer, store));
    for path in log_files(&fs) {
        fs.unlink(&path).unwrap();
    }
    let store = open(&fs);
    assert_eq!(
        seek(&store, START_US),
        TimePlace::Before {
            first_seq: 3,
            time_us: START_US + 5
        }
    );
    assert_eq!(seek(&store, START_US + 6), TimePlace::Future { seq: 3 });
}
