//! The store end to end: what is applied is seen, at once, after a seal, and after a restart.
use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Snapshot, SourceCursor, Store, Writer};

const LIKE: &str = "app.bsky.feed.like";
const ALICE: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const BOB: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const POST: &str = "at://did:plc:cccccccccccccccccccccccc/app.bsky.feed.post/3mabc2222222a";

/// A TID `n` milliseconds into 2026.
fn tid(n: u64) -> u64 {
    (1_767_225_600_000_000 + n * 1_000) << 10
}

fn text(tid: u64) -> String {
    orrery_links::syntax::Tid::from_u64(tid)
        .unwrap()
        .to_string()
}

struct Script {
    clock: u64,
}

impl Script {
    fn commit(
        &mut self,
        writer: &mut Writer,
        did: &str,
        rkey: &str,
        record: Option<&str>,
    ) -> Applied {
        self.clock += 1;
        commit_at(writer, did, rkey, record, self.clock)
    }
}

fn commit_at(
    writer: &mut Writer,
    did: &str,
    rkey: &str,
    record: Option<&str>,
    clock: u64,
) -> Applied {
    let operation = match record {
        None => Operation::Delete,
        Some(body) => Operation::Create(Record {
            cid: "",
            encoding: Encoding::Json,
            body: body.as_bytes(),
        }),
    };
    let event = Event {
        time_us: tid(clock) >> 10,
        did,
        body: Body::Commit {
            rev: tid(clock),
            collection: LIKE,
            rkey,
            operation,
        },
    };
    writer.apply(&event).unwrap()
}

fn like(target: &str) -> String {
    format!(r#"{{"$type":"{LIKE}","subject":{{"uri":"{target}","cid":"x"}}}}"#)
}

fn live(snapshot: &Snapshot, target: &str) -> Vec<String> {
    let Some(key) = snapshot.target_key(target).unwrap() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut counted = 0;
    for part in snapshot.parts() {
        let Some(list) = part.list(&key, LIKE, ".subject.uri").unwrap() else {
            continue;
        };
        counted += list.len() - list.masked().unwrap();
        for row in list.iter_from(0) {
            let row = row.unwrap();
            if !part.is_masked(row).unwrap() {
                let did = snapshot.did(part.actor(row).unwrap()).unwrap();
                found.push(
                    part.with_key(row, |_, rkey| format!("{did}/{rkey}"))
                        .unwrap(),
                );
            }
        }
    }
    assert_eq!(counted as usize, found.len(), "totals agree with lists");
    found
}

fn everything_still_holds(store: &Store, expected: &[String]) {
    let live = live(&store.snapshot(), POST);
    let extra: Vec<_> = live.iter().filter(|row| !expected.contains(row)).collect();
    let lost: Vec<_> = expected.iter().filter(|row| !live.contains(row)).collect();
    assert!(
        extra.is_empty() && lost.is_empty(),
        "extra {extra:?}, lost {lost:?}"
    );
    assert_eq!(live.len(), expected.len());
}

#[test]
fn links_survive_seal_and_restart_and_deletes_take_them_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut script = Script { clock: 0 };
    let keys: Vec<String> = (0..200).map(|n| text(tid(n))).collect();
    for key in &keys {
        let did = if key < &keys[100] { ALICE } else { BOB };
        let applied = script.commit(&mut writer, did, key, Some(&like(POST)));
        assert!(
            matches!(applied, Applied::New { links: 1, .. }),
            "{applied:?}"
        );
    }
    let mut expected: Vec<String> = keys
        .iter()
        .map(|key| {
            let did = if key < &keys[100] { ALICE } else { BOB };
            format!("{did}/{key}")
        })
        .collect();
    everything_still_holds(&store, &expected);
    let before = store.snapshot();

    // A delete, first within the memtable, then of a sealed row.
    script.commit(&mut writer, ALICE, &keys[5], None);
    expected.remove(5);
    everything_still_holds(&store, &expected);
    assert_eq!(
        live(&before, POST).len(),
        200,
        "an older snapshot stays as it was"
    );
    writer.seal().unwrap();
    everything_still_holds(&store, &expected);
    script.commit(&mut writer, BOB, &keys[150], None);
    expected.retain(|row| !row.ends_with(&keys[150]));
    everything_still_holds(&store, &expected);
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: "test".to_owned(),
        value: 42,
    });
    writer.commit().unwrap();
    drop((writer, store, before));

    let store = Store::open(dir.path(), Options::default()).unwrap();
    everything_still_holds(&store, &expected);
    assert_eq!(store.status().durable_cursor.unwrap().value, 42);
    let mut writer = store.writer().unwrap();
    // What was deleted before the restart stays deleted when it comes again.
    let again = commit_at(&mut writer, ALICE, &keys[5], Some(&like(POST)), 6);
    assert_eq!(again, Applied::Repeat);
    everything_still_holds(&store, &expected);
    writer.seal().unwrap();
    everything_still_holds(&store, &expected);
    let totals = store.snapshot().totals();
    assert_eq!((totals.live_rows, totals.live_links), (198, 198));
    drop((writer, store));
    let store = Store::open(dir.path(), Options::default()).unwrap();
    everything_still_holds(&store, &expected);
    let totals = store.snapshot().totals();
    assert_eq!((totals.live_rows, totals.live_links), (198, 198));
    store.verify().unwrap();
}

#[test]
fn accounts_hide_come_back_and_are_deleted_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut script = Script { clock: 0 };
    let account = |writer: &mut Writer, seq, active, status| {
        let event = Event {
            time_us: tid(seq) >> 10,
            did: ALICE,
            body: Body::Account {
                seq,
                active,
                status,
            },
        };
        writer.apply(&event).unwrap()
    };
    for n in 0..100 {
        script.commit(&mut writer, ALICE, &text(tid(n)), Some(&like(POST)));
        script.commit(&mut writer, BOB, &text(tid(n)), Some(&like(POST)));
        if n == 50 {
            writer.seal().unwrap();
        }
    }
    let count = || live(&store.snapshot(), POST).len();
    assert_eq!(count(), 200);
    account(&mut writer, 10, false, Some("suspended"));
    assert_eq!(count(), 100);
    // New records of a hidden account are hidden.
    script.commit(&mut writer, ALICE, &text(tid(500)), Some(&like(POST)));
    assert_eq!(count(), 100);
    assert_eq!(account(&mut writer, 9, true, None), Applied::Repeat);
    assert_eq!(count(), 100);
    writer.seal().unwrap();
    assert_eq!(count(), 100);
    account(&mut writer, 11, true, None);
    assert_eq!(count(), 201);
    account(&mut writer, 12, false, Some("deleted"));
    assert_eq!(count(), 100);
    script.commit(&mut writer, ALICE, &text(tid(600)), Some(&like(POST)));
    assert_eq!(count(), 101);
    assert_eq!(
        account(&mut writer, 12, false, Some("deleted")),
        Applied::Repeat
    );
    writer.commit().unwrap();
    drop(writer);
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(live(&store.snapshot(), POST).len(), 101);
}
