//! Samples against a model of plain maps: at every moment, the newest live records of each collection, across
//! updates, deletes, account events, seals, merges and restarts.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is to end the test"
)]

mod limit;
mod world;

use world::{Random, SECOND, START_US, World, did};

fn body(random: &mut Random, n: u64) -> String {
    let filler = "x".repeat(random.next(200) as usize);
    match random.next(3) {
        0 => format!(r#"{{"text":"{n}{filler}"}}"#),
        1 => format!(r#"{{"subject":"https://example.com/{}","n":{n}}}"#, n % 3),
        _ => format!(r#"{{"subject":"{}","text":"{filler}"}}"#, did(n)),
    }
}

#[test]
fn the_newest_live_records_are_there_whatever_happens() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut world = World::new();
        // Many keys, or few that are written again and again.
        let keys = [12, 400][seed as usize % 2];
        for step in 0..1500 {
            let collection = match random.next(10) {
                0 => "app.test.quiet",
                1..4 => "app.test.some",
                _ => "app.test.busy",
            };
            let author = did(random.next(12));
            let rkey = match random.next(2) {
                0 => format!("key-{}", random.next(keys)),
                _ => orrery_links::syntax::Tid::from_u64((START_US + random.next(keys)) << 10)
                    .unwrap()
                    .to_string(),
            };
            match random.next(100) {
                0..3 => {
                    let (active, status) = match random.next(4) {
                        0 => (false, Some("deleted")),
                        1 | 2 => (false, Some("suspended")),
                        _ => (true, None),
                    };
                    world.account(&author, active, status);
                }
                3..30 => world.commit(&author, collection, &rkey, None),
                _ => {
                    let body = body(&mut random, step);
                    world.commit(&author, collection, &rkey, Some(&body));
                }
            }
            match random.next(300) {
                0..3 => world.writer().seal().unwrap(),
                3..5 => world.merge(),
                5 => world.restart(),
                6 if random.next(3) == 0 => {
                    world.writer().compact_full(&mut |_, _| {}).unwrap();
                }
                _ => {}
            }
            if step % 25 == 0 {
                world.check();
            }
        }
        world.check();
        world.restart();
        world.check();
        world.writer().compact_full(&mut |_, _| {}).unwrap();
        world.check();
        world.store().verify().unwrap();
    }
}

#[test]
fn an_event_is_seen_whole_or_not_at_all() {
    let mut world = World::new();
    for record in [
        Some(r#"{"n":1}"#),
        Some(r#"{"n":2}"#),
        None,
        Some(r#"{"n":3}"#),
        None,
    ] {
        // What the next event ends is still there for whoever looks as of the one before.
        let (model, snapshot) = (world.model.clone(), world.snapshot());
        world.commit(&did(1), "app.test.a", "one", record);
        model.check(&snapshot);
        world.check();
    }
    world.writer().seal().unwrap();
    world.commit(&did(2), "app.test.a", "two", Some(r#"{"n":3}"#));
    world.writer().seal().unwrap();
    let sealed = (world.model.clone(), world.snapshot());
    world.account(&did(2), false, Some("suspended"));
    let hidden = (world.model.clone(), world.snapshot());
    world.account(&did(2), false, Some("deleted"));
    let deleted = (world.model.clone(), world.snapshot());
    for (model, snapshot) in [sealed, hidden, deleted] {
        model.check(&snapshot);
    }
}

#[test]
fn a_collection_seen_once_long_ago_still_shows_its_record() {
    let mut world = World::new();
    world.commit(&did(3), "app.test.quiet", "self", Some(r#"{"n":0}"#));
    for n in 0..2000 {
        let record = format!(r#"{{"subject":"https://example.com/{n}"}}"#);
        world.commit(&did(n), "app.test.busy", &format!("k{n}"), Some(&record));
        if n % 100 == 0 {
            world.writer().seal().unwrap();
            world.merge();
        }
    }
    let quiet = |world: &World| {
        world
            .snapshot()
            .sample_records("app.test.quiet", 42)
            .unwrap()
    };
    assert_eq!(quiet(&world).len(), 1);
    world.restart();
    world.writer().compact_full(&mut |_, _| {}).unwrap();
    assert_eq!(quiet(&world)[0].body, br#"{"n":0}"#);
    world.check();
    let since = START_US + 1000 * SECOND;
    let active = world.snapshot().sample_collections(since, 100_000).unwrap();
    assert_eq!(active, ["app.test.busy"]);
    for (most, expected) in [
        (0, &[][..]),
        (1, &["app.test.busy"]),
        (9, &["app.test.busy", "app.test.quiet"]),
    ] {
        let first = world.snapshot().sample_collections(0, most).unwrap();
        assert_eq!(first, expected);
    }
}

#[test]
fn a_very_long_record_is_no_sample_but_ends_the_one_before() {
    let mut world = World::new();
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    world.commit(&did(1), "app.test.a", "one", Some("{}"));
    world.commit(&did(1), "app.test.a", "two", Some("{}"));
    world.writer().seal().unwrap();
    world.commit(&did(1), "app.test.a", "one", Some(&long));
    let rkeys = |world: &World| -> Vec<String> {
        let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
        records.into_iter().map(|record| record.rkey).collect()
    };
    assert_eq!(rkeys(&world), ["two"]);
    world.writer().seal().unwrap();
    assert_eq!(rkeys(&world), ["two"]);
}

#[test]
fn a_merge_keeps_a_live_sample_beside_dead_ones() {
    let mut world = World::new();
    world.commit(&did(1), "app.test.a", "quiet", Some(r#"{"n":0}"#));
    for n in 0..3 {
        world.commit(&did(2), "app.test.other", &format!("k{n}"), Some("{}"));
        world.writer().seal().unwrap();
    }
    for n in 0..64 {
        world.commit(
            &did(3),
            "app.test.a",
            &format!("spam{n}"),
            Some(r#"{"n":1}"#),
        );
    }
    world.writer().seal().unwrap();
    for n in 0..64 {
        world.commit(&did(3), "app.test.a", &format!("spam{n}"), None);
    }
    world.writer().seal().unwrap();
    let rkeys = |world: &World| -> Vec<String> {
        let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
        records.into_iter().map(|record| record.rkey).collect()
    };
    assert_eq!(rkeys(&world), ["quiet"]);
    world.merge();
    assert_eq!(rkeys(&world), ["quiet"]);
}

#[test]
fn a_second_create_ends_the_sample_of_a_record_without_links() {
    let mut world = World::new();
    world.commit(&did(1), "app.test.a", "one", Some(r#"{"n":0}"#));
    world.writer().seal().unwrap();
    // As after a gap: the delete between the two was never seen.
    world.model.live.clear();
    let long = format!(
        r#"{{"subject":"https://example.com/","text":"{}"}}"#,
        "x".repeat(300_000)
    );
    world.commit(&did(1), "app.test.a", "one", Some(&long));
    let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
    assert!(records.is_empty(), "{}", records.len());
}
