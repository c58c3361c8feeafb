//! What samples may take, and what has to make room.

use crate::world::{Random, World, did};
use orrery_engine::Options;

#[test]
fn samples_take_no_more_than_their_limit_and_quiet_collections_keep_theirs_longest() {
    for limit in [0, 3_000, 30_000] {
        let mut options = Options::default();
        options.compact = false;
        options.compact_fan_in = 4;
        options.disk_reserve = 0;
        options.samples_limit = limit;
        let mut world = World::with(options);
        let mut random = Random(limit);
        for n in 0..3000_u64 {
            // Does not compress.
            let noise: String = (0..40)
                .map(|_| format!("{:x}", random.next(1 << 32)))
                .collect();
            let record = format!(r#"{{"noise":"{noise}"}}"#);
            let collection = if n % 100 < 4 {
                format!("app.test.quiet{}", n % 100)
            } else {
                format!("app.test.busy{}", n % 7)
            };
            world.commit(&did(n), &collection, &format!("k{n}"), Some(&record));
            if n % 150 == 149 {
                world.writer().seal().unwrap();
                assert!(
                    world.sample_bytes() <= limit.max(2_000),
                    "{}",
                    world.sample_bytes()
                );
                world.merge();
            }
        }
        assert!(
            world.sample_bytes() <= limit.max(2_000),
            "{}",
            world.sample_bytes()
        );
        if limit == 0 {
            assert_eq!(
                world.snapshot().sample_collections(0, 100_000).unwrap(),
                [""; 0]
            );
        }
        if limit > 10_000 {
            for n in 0..4 {
                let quiet = format!("app.test.quiet{n}");
                assert!(
                    !world
                        .snapshot()
                        .sample_records(&quiet, 1)
                        .unwrap()
                        .is_empty()
                );
            }
        }
    }
}

/// Text of hex digits, of which two take a byte at best.
fn noise(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(&format!("{:016x}", random.next(u64::MAX)));
    }
    text
}

fn shown(world: &World, collection: &str) -> usize {
    let records = world.snapshot().sample_records(collection, 64);
    records.unwrap().len()
}

#[test]
fn long_one_off_records_take_no_samples_from_other_collections_of_the_memtable() {
    let mut world = World::new();
    for n in 0..20 {
        let record = r#"{"n":0}"#;
        world.commit(&did(n), "app.test.good", &format!("k{n}"), Some(record));
    }
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    for n in 0..400 {
        world.commit(&did(n), &format!("zzz.junk.n{n}"), "self", Some(&long));
    }
    assert_eq!(shown(&world, "app.test.good"), 20);
    world.commit(&did(1), "app.test.good", "last", Some(r#"{"n":1}"#));
    assert_eq!(shown(&world, "app.test.good"), 21);
    world.writer().seal().unwrap();
    assert_eq!(shown(&world, "app.test.good"), 21);
}

#[test]
fn a_store_full_of_one_off_records_still_takes_new_samples() {
    const LIMIT: u64 = 1 << 20;
    let mut options = Options::default();
    options.compact = false;
    options.compact_share = 1.0;
    options.compact_fan_in = 3;
    options.disk_reserve = 0;
    options.samples_limit = LIMIT;
    let mut world = World::with(options);
    let mut random = Random(7);
    let seal = |world: &mut World| {
        world.writer().seal().unwrap();
        world.merge();
        let bytes = world.sample_bytes();
        assert!(bytes <= LIMIT, "{bytes}");
    };
    world.commit(&did(1), "app.test.month", "self", Some(r#"{"n":0}"#));
    let mut n = 0;
    for (count, bytes) in [(200, 60_000), (200, 6_000), (200, 1_000), (1_000, 60)] {
        for _ in 0..count {
            n += 1;
            let record = format!(r#"{{"text":"{}"}}"#, noise(&mut random, bytes));
            world.commit(&did(n), &format!("zzz.junk.n{n}"), "self", Some(&record));
            if n % 20 == 0 {
                seal(&mut world);
            }
        }
    }
    for round in 0..30 {
        let quiet = format!("app.test.quiet{round}");
        world.commit(&did(round), &quiet, "self", Some(r#"{"n":0}"#));
        for n in 0..50 {
            let record = format!(r#"{{"n":{n},"text":"{}"}}"#, noise(&mut random, 1000));
            let rkey = format!("k{round}-{n}");
            world.commit(&did(n), "app.test.busy", &rkey, Some(&record));
        }
        seal(&mut world);
        // The merge that makes room is installed by the seal after it.
        let busy = shown(&world, "app.test.busy");
        assert!(busy > 4 || round == 0, "{busy} in round {round}");
    }
    for round in 0..30 {
        let quiet = format!("app.test.quiet{round}");
        assert_eq!(shown(&world, &quiet), 1, "{quiet}");
    }
    assert_eq!(shown(&world, "app.test.month"), 1);
}
