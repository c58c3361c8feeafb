//! Builds a segment of made-up events and prints how long that took and where the bytes went:
//! `cargo run --release -p orrery-formats --example segment_size [rows]`.
//!
//! The events resemble those of the network: most are likes of recent posts, then reposts, follows and
//! replies; authors and targets are skewed; keys are TIDs of the authors' clocks.

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use orrery_formats::chunks::SealedFile;
use orrery_formats::segment::{
    ActorState, ActorsInput, KIND, RecordKey, RowInput, Segment, SegmentInput, ShapeInput,
    TargetKey, VERSION, build,
};

/// A linear congruential generator (Knuth's MMIX constants): the same events each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(limit.max(1))) >> 64) as u64
    }

    /// Small numbers are likelier: the density falls as the inverse of the number.
    fn skewed(&mut self, limit: u64) -> u64 {
        let power = self.below(10_000) as f64 / 10_000.0;
        ((limit as f64).powf(power) as u64 - 1).min(limit.saturating_sub(1))
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Target {
    Did(u32),
    Post(u32, String),
    Page(u64),
}

const POST: &str = "app.bsky.feed.post";

fn key(random: &mut Random, time_ms: u64) -> String {
    // Four of five clocks count milliseconds and draw the clock id below 32.
    let tid = if random.below(5) < 4 {
        (time_ms * 1000) << 10 | random.below(32)
    } else {
        (time_ms * 1000 + random.below(1000)) << 10 | random.below(1024)
    };
    RecordKey::Tid(tid).to_string()
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = match std::env::args().nth(1) {
        Some(rows) => rows.parse()?,
        None => 230_000,
    };
    let mut random = Random(1);
    let start_ms = 1_780_000_000_000u64;
    let actors = 20_000 + count;
    let mut keys = Vec::new();
    let mut rows = Vec::new();
    let mut targets = Vec::new();
    let mut index: HashMap<Target, u32> = HashMap::new();
    let mut link_targets = Vec::new();
    let (mut seq, mut time_us) = (1_000u64, start_ms * 1000);
    let mut posts: Vec<Target> = Vec::new();
    for _ in 0..count {
        seq += 1 + u64::from(random.below(8) == 0);
        time_us += random.below(5_100);
        let latency_ms = 300 + random.skewed(4_000);
        keys.push(key(&mut random, time_us / 1000 - latency_ms));
        if posts.is_empty() || random.below(4) == 0 {
            let age_ms = random.skewed(40_000_000_000);
            let rkey = key(&mut random, time_us / 1000 - age_ms);
            posts.push(Target::Post(random.below(actors) as u32, rkey));
        }
        let newest = posts.len() as u64 - 1;
        let mut post = || {
            let at = newest - random.skewed(newest + 1);
            posts.get(at as usize).cloned().unwrap_or(Target::Did(0))
        };
        let (a, b) = (post(), post());
        let (shape, links) = match random.below(100) {
            0..62 => (0, vec![a]),
            62..74 => (1, vec![a]),
            74..87 => (2, vec![Target::Did(random.skewed(actors) as u32)]),
            87..96 => (3, vec![a, b]),
            96..98 => (4, vec![a]),
            _ => (5, vec![Target::Page(random.below(1 << 20))]),
        };
        for link in links {
            let next = targets.len() as u32;
            let target = *index.entry(link.clone()).or_insert_with(|| {
                targets.push(link);
                next
            });
            link_targets.push(target);
        }
        let actor = random.skewed(actors) as u32;
        rows.push((seq, time_us, actor, shape));
    }
    let shape = |collection, runs: &[(&'static str, u32)]| ShapeInput {
        collection,
        runs: runs.to_vec(),
    };
    let pages: Vec<String> = targets
        .iter()
        .map(|target| match target {
            Target::Page(page) => format!("https://example.com/articles/{page:x}"),
            _ => String::new(),
        })
        .collect();
    let states = (0..(count / 4) as u32).map(|i| ActorState {
        id: i * 4,
        last_rev: ((start_ms + random.below(600_000)) * 1000) << 10 | random.below(32),
        account_seq: 0,
        status: 0,
    });
    let states: Vec<ActorState> = states.collect();
    let input = SegmentInput {
        first_seq: 1,
        last_seq: seq,
        first_time_us: start_ms * 1000,
        last_time_us: time_us,
        did_seed: 1,
        rows: rows
            .iter()
            .zip(&keys)
            .map(|(&(seq, time_us, actor, shape), rkey)| RowInput {
                seq,
                time_us,
                actor,
                shape,
                rkey,
            })
            .collect(),
        shapes: vec![
            shape("app.bsky.feed.like", &[(".subject.uri", 1)]),
            shape("app.bsky.feed.repost", &[(".subject.uri", 1)]),
            shape("app.bsky.graph.follow", &[(".subject", 1)]),
            shape(POST, &[(".reply.parent.uri", 1), (".reply.root.uri", 1)]),
            shape(POST, &[(".embed.record.uri", 1)]),
            shape(POST, &[(".embed.external.uri", 1)]),
        ],
        targets: targets
            .iter()
            .zip(&pages)
            .map(|(target, page)| match target {
                Target::Did(actor) => TargetKey::Did(*actor),
                Target::Post(actor, rkey) => TargetKey::Record {
                    actor: *actor,
                    collection: POST,
                    rkey,
                },
                Target::Page(_) => TargetKey::Other(page),
            })
            .collect(),
        link_targets,
        actors: ActorsInput {
            first_id: 0,
            dids: Vec::new(),
            states,
        },
        kills: (0..count / 20).map(|i| i * 17).collect(),
    };
    let links = input.link_targets.len() as f64;
    let mut best = f64::MAX;
    let mut bytes = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        bytes = build(&input)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{} rows, {links} links, {} targets: {:.1} ms, {:.3} us a link; {} bytes, {:.2} a link",
        input.rows.len(),
        input.targets.len(),
        best * 1e3,
        best * 1e6 / links,
        bytes.len(),
        bytes.len() as f64 / links,
    );
    let name = "example.segment".to_owned();
    let segment = Segment::open(SealedFile::open(name, bytes, KIND, VERSION..=VERSION)?)?;
    for (name, len) in segment.section_sizes() {
        println!("{name:>26} {len:>10} {:>7.3}", len as f64 / links);
    }
    segment.verify()?;
    let timed = |name: &str, count: u32, f: &mut dyn FnMut(u32) -> Result<u64, Box<dyn Error>>| {
        let start = Instant::now();
        let mut sum = 0u64;
        for i in 0..count {
            sum = sum.wrapping_add(f(i)?);
        }
        let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(count.max(1));
        println!("{name:>26} {each:>10.1} ns ({sum:x})");
        Ok::<(), Box<dyn Error>>(())
    };
    let info = *segment.info();
    timed("actor(row)", info.rows, &mut |row| {
        Ok(segment.actor(row)?.into())
    })?;
    timed("seq(row)", info.rows, &mut |row| Ok(segment.seq(row)?))?;
    timed("time_us(row)", info.rows, &mut |row| {
        Ok(segment.time_us(row)?)
    })?;
    timed(
        "rkey(row)",
        info.rows,
        &mut |row| match segment.rkey(row)? {
            RecordKey::Tid(tid) => Ok(tid),
            RecordKey::Str(text) => Ok(text.len() as u64),
        },
    )?;
    timed("collection(row)", info.rows, &mut |row| {
        Ok(segment.collection(row)?.len() as u64)
    })?;
    timed("links(row)", info.rows, &mut |row| {
        let mut sum = 0;
        for link in segment.links(row)? {
            sum += u64::from(link?.target);
        }
        Ok(sum)
    })?;
    timed("list(id)", info.lists, &mut |id| {
        Ok(segment.list(id)?.get(0)?.into())
    })?;
    timed("find_target", 100_000, &mut |i| {
        let target = input.targets.get(i as usize * 7 % input.targets.len());
        let target = target.ok_or("no target")?;
        Ok(segment.find_target(target)?.map_or(0, u64::from))
    })?;
    timed("find_rows", 5_000, &mut |i| {
        let row = input.rows.get(i as usize * 41 % input.rows.len());
        let row = row.ok_or("no row")?;
        let mut found = 0;
        segment.find_rows(row.actor, "app.bsky.feed.like", row.rkey, &mut |row| {
            found += u64::from(row);
        })?;
        Ok(found)
    })?;
    Ok(())
}
