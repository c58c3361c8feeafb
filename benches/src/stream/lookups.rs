//! What one link costs in the index of filters, with few subscribers and with many of which no two want the same.

use std::time::Instant;

use orrery_query::stream::{FilterIndex, Filters};

/// Subjects of each subscriber.
const SUBJECTS: u64 = 10;
/// Links looked up in a round; every second one is wanted by somebody.
const LINKS: u64 = 200_000;
/// The least of so many rounds counts.
const ROUNDS: usize = 7;

fn subject(number: u64) -> String {
    format!("at://did:plc:{number:024}/app.bsky.feed.post/3l{number:011}")
}

/// Nanoseconds a link with `subscribers`, and how many of the links were wanted.
fn with(subscribers: u64) -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let mut index = FilterIndex::default();
    for id in 0..subscribers {
        let first = id * SUBJECTS;
        let filters = Filters {
            subjects: (first..first + SUBJECTS).map(subject).collect(),
            ..Filters::default()
        };
        index.set(id, &filters)?;
    }
    let wanted = subscribers * SUBJECTS;
    let links: Vec<String> = (0..LINKS)
        .map(|link| {
            let number = link.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
            let offset = if link % 2 == 0 { 0 } else { wanted };
            subject(offset + number % wanted)
        })
        .collect();
    let mut best = f64::INFINITY;
    let mut found = 0;
    for _ in 0..ROUNDS {
        found = 0;
        let start = Instant::now();
        for link in &links {
            index.lookup(link, "app.bsky.feed.like:subject.uri", |_| found += 1);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / LINKS as f64);
    }
    Ok((best, found))
}

pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (few, found_few) = with(10)?;
    let (many, found_many) = with(10_000)?;
    if found_few != LINKS / 2 || found_many != LINKS / 2 {
        return Err(format!("{found_few} and {found_many} of {LINKS} links were found").into());
    }
    println!(
        "a link in the index of filters: {few:.0} ns with 10 subscribers of {SUBJECTS} subjects, {many:.0} ns with 10,000: {:.1} x",
        many / few
    );
    Ok(())
}
