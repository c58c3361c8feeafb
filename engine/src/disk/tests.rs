use std::path::Path;

use orrery_formats::effect::Effect;
use orrery_formats::event::{Body, Encoding, Event, Operation, Record};

use super::*;
use crate::Store;
use crate::io::fault::SimFs;

fn write(writer: &mut Writer, place: u64, did: &str, rkey: &str, body: &str) {
    let time_us = 1_767_225_600_000_000 + place * 1_000;
    let event = Event {
        time_us,
        did,
        body: Body::Commit {
            rev: time_us << 10,
            collection: "app.bsky.feed.like",
            rkey,
            operation: Operation::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }),
        },
    };
    writer.apply(&event).unwrap();
}

/// What a seal writes after `n` events of each kind, against what it was thought to need.
fn seal_takes_less_than_its_need(fill: impl Fn(&mut Writer)) {
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    for round in 0..2 {
        fill(&mut writer);
        writer.commit().unwrap();
        let (before, need) = (fs.used(), writer.seal_need());
        writer.seal().unwrap();
        let took = fs.used() - before;
        assert!(took <= need, "round {round}: {took} of {need}");
    }
}

#[test]
fn a_seal_never_takes_more_than_was_reckoned() {
    for count in [1, 100, 3_000] {
        // New accounts, targets and lists with every event.
        seal_takes_less_than_its_need(|writer| {
            for n in 0..count {
                let body = format!(r#"{{"subject":"https://example.org/{n}"}}"#);
                write(writer, n, &format!("did:web:a{n}.example"), "self", &body);
            }
        });
        // Long keys, which a segment holds as often as they are used.
        let key = "k".repeat(500);
        seal_takes_less_than_its_need(|writer| {
            for n in 0..count {
                let did = format!("did:plc:{n:a>24}");
                write(
                    writer,
                    n,
                    &did,
                    &key,
                    r#"{"subject":"did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"}"#,
                );
            }
        });
        // A record of many links, each at a path of its own.
        seal_takes_less_than_its_need(|writer| {
            let links: Vec<_> = (0..count.min(1_000))
                .map(|n| format!(r#""p{n}":"https://b.c/{n}""#))
                .collect();
            let body = format!("{{{}}}", links.join(","));
            write(writer, 1, "did:web:a.b", "self", &body);
        });
        // Every record of a shape of its own.
        seal_takes_less_than_its_need(|writer| {
            for n in 0..count {
                let body = format!(r#"{{"p{n}":"did:web:a.b"}}"#);
                write(writer, n, "did:web:a.b", &format!("k{n}"), &body);
            }
        });
        // Writes and rewrites: dead rows and kills.
        seal_takes_less_than_its_need(|writer| {
            for n in 0..count {
                let body = format!(r#"{{"subject":"https://example.org/{n}"}}"#);
                write(writer, n, "did:web:a.b", "self", &body);
            }
        });
    }
}

/// As much is kept free for a seal as it takes at worst: without an early one, a small limit would stop at a small
/// part of itself, and nothing could give way.
#[test]
fn below_a_small_limit_events_are_sealed_early_and_go_on() {
    let fs = SimFs::new();
    let options = Options {
        commit_bytes: 32 << 10,
        compact: false,
        disk_limit: Some(2 << 20),
        ..Options::default()
    };
    let dir = Path::new("data");
    let store = Store::open_with_fs(fs.shared(), dir, options).unwrap();
    let mut writer = store.writer().unwrap();
    let mut noise = 1_u64;
    let mut segments = 0;
    for place in 0..8_000 {
        // As many bytes as the limit every thousand events, of a few records that are written again and again.
        let mut text = String::new();
        while text.len() < 2_000 {
            noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            text.push_str(&format!("{noise:x}"));
        }
        let body = format!(r#"{{"subject":"did:web:a.b","text":"{text}"}}"#);
        write(
            &mut writer,
            place,
            "did:web:a.b",
            &format!("k{}", place % 5),
            &body,
        );
        if place % 50 == 0 {
            writer.tick().unwrap();
            assert!(fs.used() <= 2 << 20, "{place}: {} bytes", fs.used());
            segments = segments.max(store.status().segments);
        }
    }
    assert_eq!(store.status().paused, None);
    assert!(segments > 3, "{segments} segments");
}

/// Below a reserve nothing of the directory gives way: a seal would only take room that others keep free.
#[test]
fn below_a_reserve_no_event_is_sealed_early() {
    let fs = SimFs::new();
    let options = Options {
        commit_bytes: 32 << 10,
        compact: false,
        disk_reserve: 1 << 20,
        ..Options::default()
    };
    let dir = Path::new("data");
    let store = Store::open_with_fs(fs.shared(), dir, options).unwrap();
    let mut writer = store.writer().unwrap();
    let body = r#"{"subject":"did:web:a.b"}"#;
    for place in 0..100 {
        write(
            &mut writer,
            place,
            "did:web:a.b",
            &format!("k{place}"),
            body,
        );
    }
    writer.commit().unwrap();
    // Less is left beside the reserve than more events may take, and enough for a seal.
    let left = writer.seal_need() + (2 << 20);
    fs.set_capacity(Some(fs.used() + (1 << 20) + left));
    let refused = writer.prepare(8 << 20);
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    assert_eq!(store.status().segments, 0);
}

#[test]
fn the_message_says_how_much_and_what_to_do() {
    let (need, free) = (3 << 20, 512);
    let error = |limit| {
        let text = Error::DiskFull { need, free, limit }.to_string();
        assert!(
            text.contains("3.0 MiB") && text.contains("0.5 KiB"),
            "{text}"
        );
        text
    };
    assert!(error(DiskLimit::Directory(1 << 30)).contains("raise the disk limit"));
    assert!(error(DiskLimit::Reserve(1 << 28)).contains("free some space"));
}

#[test]
fn the_room_that_is_told_is_the_least_that_anything_leaves() {
    let fs = SimFs::new();
    let options = Options {
        compact: false,
        disk_reserve: 1 << 20,
        disk_limit: Some(64 << 20),
        ..Options::default()
    };
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), options).unwrap();
    let limited = store.disk_room();
    assert!(limited.used_bytes > 0);
    assert_eq!(limited.limit_bytes, Some(64 << 20));
    assert_eq!(limited.left_bytes, Some((64 << 20) - limited.used_bytes));
    fs.set_capacity(Some(fs.used() + (3 << 20)));
    let reserved = store.disk_room();
    assert_eq!(reserved.free_bytes, Some(3 << 20));
    assert_eq!(reserved.left_bytes, Some(2 << 20));
    fs.set_capacity(Some(fs.used()));
    assert_eq!(store.disk_room().left_bytes, Some(0));
}

fn delete_account(place: u64) -> Event<'static> {
    Event {
        time_us: 1_767_225_600_000_000 + place * 1_000,
        did: "did:web:a.b",
        body: Body::Account {
            seq: place,
            active: false,
            status: Some("deleted"),
        },
    }
}

/// What an event undid may take a hundred times what the event takes.
#[test]
fn what_an_event_undid_stays_below_the_limit_of_the_directory_or_is_left_out() {
    const ROWS: u64 = 600;
    let dir = Path::new("data");
    let mut kept = [0, 0];
    // With the records still in the log, which can give way, and without.
    for log_bytes_max in [0, 1 << 30] {
        let options = Options {
            commit_bytes: 32 << 10,
            compact: false,
            log_bytes_max,
            ..Options::default()
        };
        let full = SimFs::new();
        let store = Store::open_with_fs(full.shared(), dir, options.clone()).unwrap();
        let mut writer = store.writer().unwrap();
        let mut noise = 1_u64;
        for place in 0..ROWS {
            let mut text = String::new();
            while text.len() < 1_500 {
                noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
                text.push(char::from(letters[(noise >> 58) as usize]));
            }
            let body = format!(r#"{{"subject":"https://example.org/{text}"}}"#);
            let key = format!("k{place}");
            write(&mut writer, place, "did:web:a.b", &key, &body);
            writer.tick().unwrap();
        }
        writer.seal().unwrap();
        writer.close().unwrap();
        drop(store);
        for step in 0..20 {
            let limit = full.used() + (200 << 10) + step * (50 << 10);
            let limited = Options {
                disk_limit: Some(limit),
                ..options.clone()
            };
            let fs = full.killed();
            let store = Store::open_with_fs(fs.shared(), dir, limited).unwrap();
            let mut writer = store.writer().unwrap();
            let what = format!("window {log_bytes_max}, {step}");
            match writer.apply(&delete_account(ROWS + 1)) {
                Ok(_) => {}
                Err(Error::DiskFull { .. }) => continue,
                Err(error) => panic!("{what}: {error}"),
            }
            assert_eq!(store.status().paused, None, "{what}");
            let mut rows = None;
            let mut reader = store.events_from(ROWS + 1);
            reader
                .read(1, &mut |accepted| match accepted.effect {
                    Effect::Account {
                        rows: told, is_cut, ..
                    } => {
                        assert_eq!(is_cut, told.is_empty(), "{what}");
                        rows = Some(told.len());
                    }
                    other => panic!("{what}: {other:?}"),
                })
                .unwrap();
            match rows {
                Some(0) => kept[0] += 1,
                Some(told) if u64::from(told) == ROWS => kept[1] += 1,
                other => panic!("{what}: {other:?}"),
            }
            writer.commit().unwrap();
            assert!(fs.used() <= limit, "{what}: {} of {limit}", fs.used());
        }
    }
    assert!(kept.iter().all(|times| *times > 0), "{kept:?}");
}
