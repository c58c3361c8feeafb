//! Keys found across many blocks of rows, whatever their order.

use super::*;

/// Some spread: a linear congruential step (Knuth's MMIX constants).
fn next(random: &mut u64, below: u64) -> u64 {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*random >> 33) % below
}

const START_MS: u64 = 1_700_000_000_000;

/// Actors and keys of `count` rows. The key of the i-th is of the time that `time_ms` gives; one in fifty
/// is no TID, and one in a hundred is that of a row before.
fn keys(count: u64, time_ms: &dyn Fn(u64, &mut u64) -> u64) -> Vec<(u32, String)> {
    let mut random = 7;
    let mut keys: Vec<(u32, String)> = Vec::new();
    for i in 0..count {
        // One actor in two blocks of three, a few in many, and many in one each.
        let actor = match next(&mut random, 100) {
            0 => 0,
            1..50 => 1 + next(&mut random, 20) as u32,
            _ => 100 + next(&mut random, count) as u32,
        };
        let key = match next(&mut random, 100) {
            0 | 1 => (actor, format!("key-{}", next(&mut random, 1000))),
            2 if i > 0 => keys[next(&mut random, i) as usize].clone(),
            _ => {
                let ms = time_ms(i, &mut random);
                (actor, tid_text((ms * 1000) << 10 | next(&mut random, 32)))
            }
        };
        keys.push(key);
    }
    keys
}

fn input(keys: &[(u32, String)]) -> SegmentInput<'_> {
    let rows = (0u64..).zip(keys).map(|(i, (actor, rkey))| RowInput {
        seq: i + 1,
        time_us: (START_MS + i * 3) * 1000,
        actor: *actor,
        shape: (i % 3 == 0).into(),
        rkey,
    });
    let shape = |collection| ShapeInput {
        collection,
        runs: vec![(".p", 1)],
    };
    SegmentInput {
        first_seq: 1,
        last_seq: keys.len() as u64,
        first_time_us: START_MS * 1000,
        last_time_us: (START_MS + keys.len() as u64 * 3) * 1000,
        rows: rows.collect(),
        shapes: vec![shape("app.like"), shape("app.post")],
        targets: vec![TargetKey::Did(0)],
        link_targets: vec![0; keys.len()],
        ..SegmentInput::default()
    }
}

/// Asks for each `step`-th key, and for keys that nobody has.
fn check_keys(input: &SegmentInput<'_>, step: usize) {
    let segment = open(build(input).unwrap()).unwrap();
    segment.verify().unwrap();
    let mut by_key: BTreeMap<(u32, &str, &str), Vec<u32>> = BTreeMap::new();
    for (number, row) in (0u32..).zip(&input.rows) {
        let collection = input.shapes[row.shape as usize].collection;
        let key = (row.actor, collection, row.rkey);
        by_key.entry(key).or_default().push(number);
    }
    for row in input.rows.iter().step_by(step) {
        for (actor, collection) in [
            (row.actor, "app.like"),
            (row.actor, "app.post"),
            (row.actor ^ 1, "app.like"),
        ] {
            let mut found = Vec::new();
            segment
                .find_rows(actor, collection, row.rkey, &mut |row| found.push(row))
                .unwrap();
            let expected = by_key.get(&(actor, collection, row.rkey));
            assert_eq!(
                &found,
                expected.unwrap_or(&Vec::new()),
                "{actor} {}",
                row.rkey
            );
        }
    }
}

fn live(i: u64, random: &mut u64) -> u64 {
    let now = START_MS + i * 3;
    match next(random, 100) {
        0 => now - next(random, 10_000_000_000),
        1 => now + next(random, 100_000_000),
        _ => now - next(random, 1000),
    }
}

#[test]
fn keys_of_many_groups_of_blocks_are_found_beside_wrong_clocks() {
    let keys = keys(140_000, &live);
    check_keys(&input(&keys), 37);
}

#[test]
fn keys_in_no_order_are_found() {
    // Repositories read backwards, and by several readers side by side.
    let keys = keys(30_000, &|i, random| match i / 10_000 {
        0 => START_MS - i * 100_000,
        1 => START_MS - next(random, 100_000_000_000),
        _ => START_MS - (i % 4) * 20_000_000_000 + i,
    });
    check_keys(&input(&keys), 17);
}

#[test]
fn strings_are_found_where_they_are_few_and_where_they_are_many() {
    let mut keys = keys(9000, &live);
    for (i, (_, key)) in keys.iter_mut().enumerate() {
        if (i / 1024).is_multiple_of(2) && !i.is_multiple_of(3) {
            *key = format!("key-{}", i % 500);
        }
    }
    check_keys(&input(&keys), 3);
}

#[test]
fn a_merge_makes_the_ranges_of_its_rows_anew() {
    let keys = keys(80_000, &live);
    let whole = input(&keys);
    merge::check_merges(&whole, 3, 2, 5);
    merge::check_merges(&whole, 2, 0, 0);
}

/// What lies far from the middle of its block does not widen the range, and is listed.
#[test]
fn a_few_wrong_clocks_leave_ranges_narrow() {
    let keys = keys(20_480, &live);
    let segment = open(build(&input(&keys)).unwrap()).unwrap();
    let (ranges, far) = (segment.key_ranges().unwrap(), segment.far_keys().unwrap());
    for block in 0..ranges.blocks() {
        let range = ranges.block(block).unwrap();
        // Three seconds of rows and up to one of delay, three times at most.
        assert!(range.last_ms - range.first_ms < 12_000, "{range:?}");
    }
    // Five rows of a hundred: wrong clocks, strings, and keys of rows before.
    assert!((400..1800).contains(&far.len()), "{}", far.len());
}

/// Blocks of an actor of each kind: one, few, every n-th, all; across words and directory entries.
#[test]
fn blocks_of_actors_are_walked_and_skipped_to() {
    for blocks in [1u32, 2, 70, 1000] {
        let rows = blocks * actors::ACTOR_BLOCK - 5;
        let of_actor = |actor: u32| -> Vec<u32> {
            let step = 1 + actor as usize;
            let all = (actor / 3 % blocks..blocks).step_by(step);
            // Every other actor has a few that stand together.
            all.take(if actor.is_multiple_of(2) {
                3
            } else {
                usize::MAX
            })
            .collect()
        };
        let mut writer = actors::ActorIndexWriter::new(rows);
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for actor in 0..200 {
            for block in of_actor(actor) {
                let pair = actors::ActorIndexWriter::pair(actor, block * actors::ACTOR_BLOCK);
                if let Some((actor, start)) = writer.push(pair) {
                    ids.push(actor);
                    starts.push(start);
                }
            }
        }
        starts.push(writer.pairs());
        let encode = |values: &[u32]| {
            let mut bytes = Vec::new();
            crate::monotone::encode(values, &mut bytes);
            bytes
        };
        let (ids, starts) = (encode(&ids), encode(&starts));
        let directory = std::mem::take(&mut writer.directory);
        let mut numbers = Vec::new();
        writer.finish(&mut numbers);
        let index = actors::ActorIndex {
            actors: crate::monotone::Monotone::open(Region::over("actors", &ids)).unwrap(),
            starts: crate::monotone::Monotone::open(Region::over("starts", &starts)).unwrap(),
            directory: Region::over("directory", &directory),
            numbers: Region::over("numbers", &numbers),
            rows,
        };
        let rest = |mut walk: actors::BlockNumbers<'_>| {
            let mut found = Vec::new();
            while let Some(block) = walk.next().unwrap() {
                found.push(block);
            }
            found
        };
        for actor in 0..201 {
            let expected = match actor {
                200 => Vec::new(),
                actor => of_actor(actor),
            };
            let walk = index.blocks_of(actor).unwrap();
            assert_eq!(rest(walk), expected, "{actor} of {blocks}");
            for target in [0, 1, blocks / 3, blocks / 2, blocks - 1, blocks, u32::MAX] {
                for taken in [0, 1, 40] {
                    let mut walk = walk;
                    for _ in 0..taken {
                        walk.next().unwrap();
                    }
                    walk.skip_to(target).unwrap();
                    let left: Vec<u32> = expected.iter().copied().skip(taken).collect();
                    let left: Vec<u32> = left.into_iter().filter(|&b| b >= target).collect();
                    assert_eq!(rest(walk), left, "{actor} of {blocks} from {target}");
                }
            }
        }
        index.each(&mut |_, _| Ok(())).unwrap();
    }
}
