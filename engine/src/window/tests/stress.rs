//! Readers while the writer commits, seals and trims.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Deed, apply, body_at, dir, key_parts};
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{below, did};
use crate::{AccountState, Options, Recorded, Store};

const EVENTS: u64 = 40_000;
const ACTORS: u64 = 3;
const KEYS: u64 = 13;

/// What happens at a place: of whom, and what. Each event is accepted, so that its place is its seq.
fn deed(place: u64) -> (u64, Deed) {
    let mut random = SplitMix::new(place);
    let actor = below(&mut random, ACTORS);
    let key = below(&mut random, KEYS);
    let deed = match below(&mut random, 200) {
        0 => Deed::Account(Some("deleted")),
        1 => Deed::Account(Some("suspended")),
        2..5 => Deed::Account(None),
        5..20 => Deed::Delete { key },
        n => Deed::Write {
            key,
            is_create: true,
            has_link: n % 2 == 0,
        },
    };
    (actor, deed)
}

fn options() -> Options {
    Options {
        tail_bytes: 8 << 10,
        seal_events: 700,
        log_bytes_max: 200 << 10,
        commit_bytes: 8 << 10,
        frame_cache_bytes: 32 << 10,
        ..Options::default()
    }
}

/// Checks that what is told is what happened, and gives its seq: 0 where nothing is known.
fn true_seq(actor: u64, key: u64, recorded: &Recorded) -> u64 {
    match recorded {
        Recorded::Found { seq, body, .. } => {
            let (by, deed) = deed(*seq);
            let Deed::Write {
                key: of, has_link, ..
            } = deed
            else {
                panic!("{seq} is {deed:?}");
            };
            assert_eq!((by, of), (actor, key));
            assert_eq!(*body, body_at(*seq, has_link).into_bytes());
            *seq
        }
        Recorded::Deleted { seq, .. } => {
            let (by, deed) = deed(*seq);
            assert_eq!(by, actor);
            assert!(
                deed == Deed::Delete { key } || deed == Deed::Account(Some("deleted")),
                "{seq} is {deed:?}"
            );
            *seq
        }
        Recorded::Unknown { .. } => 0,
    }
}

#[derive(Debug, Default)]
struct Met {
    found: u64,
    newest: u64,
    unknown: u64,
}

/// Looks records up. What was visible before is found, or was trimmed; and nothing goes back.
fn look_up(store: &Store, seed: u64, is_written: &AtomicBool) -> Met {
    let mut random = SplitMix::new(seed);
    let mut seen = vec![0_u64; (ACTORS * KEYS) as usize];
    let mut met = Met::default();
    while !is_written.load(Ordering::Acquire) {
        let visible = store.snapshot().last_seq();
        let (newest_by, newest) = deed(visible.max(1));
        let (actor, key, at_least) = match newest {
            Deed::Write { key, .. } | Deed::Delete { key }
                if !random.next_u64().is_multiple_of(3) =>
            {
                met.newest += 1;
                (newest_by, key, visible)
            }
            _ => (below(&mut random, ACTORS), below(&mut random, KEYS), 0),
        };
        let (collection, rkey) = key_parts(key);
        let hash = store.record_hash(&did(actor), collection, &rkey);
        let changed = store.changed_through(hash);
        assert!(changed >= at_least, "{changed} {at_least}");
        let recorded = store.record(&did(actor), collection, &rkey).unwrap();
        let seq = true_seq(actor, key, &recorded);
        let place = (actor * KEYS + key) as usize;
        match recorded {
            Recorded::Unknown { window_from } => {
                met.unknown += 1;
                assert!(window_from > seen[place] && window_from > at_least);
            }
            _ => {
                met.found += 1;
                assert!(seq >= seen[place] && seq >= at_least, "{seq} {at_least}");
                seen[place] = seq;
            }
        }
        assert!(store.changed_through(hash) >= seen[place]);
        if newest_by == actor
            && let Deed::Account(status) = newest
        {
            let view = store.account(&did(actor)).unwrap();
            // A later event may be there by now.
            let now = store.next_seq();
            if !(visible + 1..=now)
                .any(|seq| matches!(deed(seq), (by, Deed::Account(_)) if by == actor))
            {
                let expected = match status {
                    None => AccountState::Active,
                    Some("deleted") => AccountState::Deleted,
                    Some(status) => AccountState::Hidden {
                        status: Some(status.to_owned()),
                    },
                };
                assert_eq!(view.state, expected, "at {visible}");
            }
        }
    }
    met
}

#[test]
fn what_is_visible_is_found_by_every_reader_while_the_log_is_written_sealed_and_trimmed() {
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), dir(), options()).unwrap();
    let is_written = AtomicBool::new(false);
    let met = std::thread::scope(|scope| {
        let readers = [1, 2, 3].map(|seed| {
            let (store, is_written) = (&store, &is_written);
            scope.spawn(move || look_up(store, seed, is_written))
        });
        let mut writer = store.writer().unwrap();
        let mut random = SplitMix::new(5);
        for place in 1..=EVENTS {
            let (actor, deed) = deed(place);
            let applied = apply(&mut writer, place, actor, deed, 0);
            assert!(!matches!(applied, crate::Applied::Repeat), "{place}");
            if below(&mut random, 40) == 0 {
                writer.commit().unwrap();
            }
            if below(&mut random, 300) == 0 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        is_written.store(true, Ordering::Release);
        readers.map(|reader| reader.join().unwrap())
    });
    println!("{met:?}");
    assert!(store.log_floor() > 1, "the log was trimmed");
    assert!(
        met.iter().all(|met| met.found > 100 && met.newest > 100),
        "{met:?}"
    );
    assert!(store.shared.window.frames.kept_bytes() <= 32 << 10);
}
