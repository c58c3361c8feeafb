//! Builds a segment of made-up events and prints how long that took and where the bytes went:
//! `cargo run --release -p orrery-formats --example segment_size [rows]`. With `parts DIR ROWS COUNT` it
//! writes as many segments to a directory, with `merge DIR` it merges those.

mod events;
mod merging;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use orrery_formats::chunks::SealedFile;
use orrery_formats::segment::{KIND, RecordKey, Segment, VERSION, build};

/// Sections of actors, which have a budget of their own.
const ACTORS: [&str; 7] = [
    "did:plc",
    "indexes of other DIDs",
    "other DIDs",
    "DID index",
    "states",
    "state directory",
    "ids of states",
];

/// Prints the bytes of each section, and sums by link and by actor.
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn sizes(segment: &Segment) {
    let info = segment.info();
    let (links, actors) = (f64::from(info.links), f64::from(info.actors_count));
    let (mut of_links, mut of_actors) = (0, 0);
    for (name, len) in segment.section_sizes() {
        if ACTORS.contains(&name) {
            of_actors += len;
            println!("{name:>26} {len:>10} {:>7.3} an actor", len as f64 / actors);
        } else {
            of_links += len;
            println!("{name:>26} {len:>10} {:>7.3} a link", len as f64 / links);
        }
    }
    println!(
        "{:.3} bytes a link; {} actors, {} states, {:.3} bytes an actor",
        of_links as f64 / links,
        info.actors_count,
        info.states,
        of_actors as f64 / actors,
    );
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let count: u64 = match args.as_slice() {
        [] => 230_000,
        [rows] => rows.parse()?,
        ["merge", dir] => return merging::merge_all(Path::new(dir)),
        ["parts", dir, rows, count] => {
            return merging::parts(Path::new(dir), rows.parse()?, count.parse()?);
        }
        _ => return Err("[ROWS], or parts DIR ROWS COUNT, or merge DIR".into()),
    };
    let piece = events::Events::new(count).next(count);
    let input = piece.input();
    let links = input.link_targets.len() as f64;
    let mut best = f64::MAX;
    let mut bytes = Vec::new();
    let turns = if count > 1_000_000 { 1 } else { 5 };
    for _ in 0..turns {
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
    sizes(&segment);
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
    timed("find_did", info.actors_count, &mut |index| {
        let did = input.actors.dids.get(index as usize).ok_or("no DID")?;
        Ok(segment.find_did(did)?.map_or(0, u64::from))
    })?;
    timed("find_did of strangers", info.actors_count, &mut |index| {
        let did = input.actors.dids.get(index as usize).ok_or("no DID")?;
        // One byte less: a string that is no actor's DID.
        let stranger = did.get(1..).ok_or("no DID")?;
        Ok(u64::from(segment.find_did(stranger)?.is_some()))
    })?;
    timed("state", info.actors_count, &mut |actor| {
        Ok(segment.state(actor)?.map_or(0, |state| state.last_rev))
    })?;
    let mut rows_of: HashMap<u32, usize> = HashMap::new();
    for row in &input.rows {
        *rows_of.entry(row.actor).or_default() += 1;
    }
    // A few authors together have a large part of all rows.
    let is_prolific = |actor: u32| {
        rows_of
            .get(&actor)
            .is_some_and(|rows| rows * 1000 > count as usize)
    };
    for (name, wanted) in [
        ("find_rows of the prolific", true),
        ("find_rows of others", false),
    ] {
        let rows = input.rows.iter().step_by(41);
        let rows: Vec<_> = rows
            .filter(|row| is_prolific(row.actor) == wanted)
            .take(5_000)
            .collect();
        timed(name, rows.len() as u32, &mut |i| {
            let row = rows.get(i as usize).ok_or("no row")?;
            let shape = input.shapes.get(row.shape as usize).ok_or("no shape")?;
            let mut found = 0;
            segment.find_rows(row.actor, shape.collection, row.rkey, &mut |row| {
                found += u64::from(row) + 1;
            })?;
            Ok(found)
        })?;
    }
    let mut actors: Vec<u32> = rows_of.into_keys().collect();
    actors.sort_unstable();
    timed("actor_rows, first", actors.len() as u32, &mut |i| {
        let actor = *actors.get(i as usize).ok_or("no actor")?;
        let first = segment.actor_rows(actor)?.next().transpose()?;
        Ok(first.map_or(0, u64::from))
    })?;
    timed(
        "actor_rows, all",
        actors.len().min(1_000) as u32,
        &mut |i| {
            let actor = *actors.get(i as usize).ok_or("no actor")?;
            let mut sum = 0;
            for row in segment.actor_rows(actor)? {
                sum += u64::from(row?);
            }
            Ok(sum)
        },
    )?;
    Ok(())
}
