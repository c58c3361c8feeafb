//! What look-ups cost on this machine; run with `--release -- --ignored --nocapture window::tests::costs`.

use std::time::Duration;

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};

use crate::io::fault::SplitMix;
use crate::power_cut_tests::time_us;
use crate::{Options, Recorded, Store};

const LIKE: &str = "app.bsky.feed.like";
const EVENTS: u64 = 300_000;

fn did(place: u64) -> String {
    let mixed = (place % 50_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("did:plc:{mixed:024x}").replace(['0', '1', '8', '9'], "z")
}

fn rkey(place: u64) -> String {
    format!("3l3qo2{place:07}")
}

/// How long this thread has run on a processor, which others do not lengthen.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = stat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

fn each(times: u64, mut look: impl FnMut(u64)) -> Duration {
    let start = busy();
    for at in 0..times {
        look(at);
    }
    (busy() - start) / times as u32
}

#[test]
#[ignore = "prints costs, asserts nothing of them"]
fn costs() {
    let directory = tempfile::tempdir().unwrap();
    for (frames, frame_cache_bytes) in [("cold", 0), ("of 16 MiB", 16 << 20)] {
        let options = Options {
            frame_cache_bytes,
            compact: false,
            ..Options::default()
        };
        let store = Store::open(directory.path(), options).unwrap();
        if store.next_seq() == 1 {
            let mut writer = store.writer().unwrap();
            for place in 1..=EVENTS {
                let json = format!(
                    r#"{{"$type":"{LIKE}","createdAt":"2024-09-09T19:46:02.102Z","subject":{{"cid":"bafyreidc6sydkkbchcyg62v77wbhzvb2mvytlmsychqgwf2xojjtirmzj4","uri":"at://{}/app.bsky.feed.post/3l3pte{:07}"}}}}"#,
                    did(place * 7),
                    place % 90_000
                );
                let record = Record {
                    cid: "bafyreidc6sydkkbchcyg62v77wbhzvb2mvytlmsychqgwf2xojjtirmzj4",
                    encoding: Encoding::Json,
                    body: json.as_bytes(),
                };
                let event = Event {
                    time_us: time_us(place),
                    did: &did(place),
                    body: Body::Commit {
                        rev: time_us(place) << 10,
                        collection: LIKE,
                        rkey: &rkey(place),
                        operation: Operation::Create(record),
                    },
                };
                writer.apply(&event).unwrap();
                writer.tick().unwrap();
            }
            let newest = each(20_000, |at| {
                let place = EVENTS - at % 1_000;
                let found = store.record(&did(place), LIKE, &rkey(place)).unwrap();
                assert!(matches!(found, Recorded::Found { seq, .. } if seq == place));
            });
            println!("an event in the tail: {newest:?}");
            writer.commit().unwrap();
        }
        let mut random = SplitMix::new(1);
        let anywhere = each(200, |_| {
            let place = 1 + random.next_u64() % EVENTS;
            let found = store.record(&did(place), LIKE, &rkey(place)).unwrap();
            assert!(matches!(found, Recorded::Found { seq, .. } if seq == place));
        });
        println!("an event anywhere in the window, frames {frames}: {anywhere:?}");
        let times = if frame_cache_bytes == 0 { 50 } else { 20_000 };
        let near = each(times, |at| {
            let place = 100 + at % 500;
            let found = store.record(&did(place), LIKE, &rkey(place)).unwrap();
            assert!(matches!(found, Recorded::Found { seq, .. } if seq == place));
        });
        println!("an event of one frame, frames {frames}: {near:?}");
        let unknown = each(20_000, |at| {
            store.record(&did(at), LIKE, "none").unwrap();
        });
        let account = each(20_000, |at| {
            store.account(&did(at)).unwrap();
        });
        let hash = store.record_hash(&did(1), LIKE, &rkey(1));
        let changed = each(1_000_000, |_| {
            std::hint::black_box(store.changed_through(std::hint::black_box(hash)));
        });
        println!(
            "no event: {unknown:?}; an account without events: {account:?}; changed_through: {changed:?}"
        );
    }
}
