//! Measures [`Event::parse`] and [`Position::of`] over a file of events, one per line.
//!
//! `cargo run --release --example parse_speed -- events.jsonl`
#![allow(clippy::print_stdout, reason = "the figures are the purpose")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use orrery_jetstream::{Event, Position};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: parse_speed <events.jsonl>")?;
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    println!(
        "{} events, {} bytes on average",
        lines.len(),
        bytes / lines.len().max(1)
    );
    time("Event::parse", &lines, |line| {
        black_box(Event::parse(line)).is_ok()
    });
    time("Position::of", &lines, |line| {
        black_box(Position::of(line)).time_us.is_some()
    });
    Ok(())
}

fn time(name: &str, lines: &[&str], run: impl Fn(&str) -> bool) {
    let (mut events, mut good) = (0u64, 0u64);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for line in lines {
            events += 1;
            good += u64::from(run(black_box(line)));
        }
    }
    let nanos = start.elapsed().as_nanos() / u128::from(events.max(1));
    println!("{name}: {nanos} ns per event, {good} of {events} good");
}
