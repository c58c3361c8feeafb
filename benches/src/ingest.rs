//! From the text of Jetstream events to a sealed index: events per CPU second, memory, bytes by section.

use std::time::Instant;

use orrery_engine::{Applied, Options, Store};
use orrery_ingest::decode;
use orrery_synth::Generator;

use crate::Outcome;
use crate::process::{cpu_seconds, rss_anon_kib};

pub(crate) fn run(events: u64, seed: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut generator = Generator::new(orrery_synth::Options::finite(seed, events))?;
    let store = Store::open(dir.path(), Options::default())?;
    let mut writer = store.writer()?;
    let mut line = Vec::new();
    let (mut bytes, mut repeats, mut bad) = (0_u64, 0_u64, 0_u64);
    let mut peak_kib = 0;
    // The generator's own time is measured by itself and taken off.
    let before = cpu_seconds();
    let mut scratch = Generator::new(orrery_synth::Options::finite(seed, events))?;
    while scratch.next_into(&mut line).is_some() {}
    let generating = cpu_seconds() - before;
    let start = Instant::now();
    let before = cpu_seconds();
    let mut count = 0_u64;
    while generator.next_into(&mut line).is_some() {
        bytes += line.len() as u64;
        count += 1;
        let event = orrery_jetstream::Event::parse_bytes(&line);
        let event = match &event {
            Ok(event) => decode(event),
            Err(reason) => return Err(format!("event {count}: {}", reason.reason()).into()),
        };
        match event {
            Ok(event) => match writer.apply(&event)? {
                Applied::Repeat => repeats += 1,
                Applied::BadRecord(_) => bad += 1,
                _ => {}
            },
            Err(_) => bad += 1,
        }
        if count.is_multiple_of(4_096) {
            writer.tick()?;
            peak_kib = peak_kib.max(rss_anon_kib());
        }
    }
    writer.seal()?;
    let cpu = cpu_seconds() - before - generating;
    let wall = start.elapsed().as_secs_f64();
    let totals = store.snapshot().totals();
    let status = store.status();
    println!("events {count}, bytes of JSON {bytes}, repeats {repeats}, bad {bad}");
    println!(
        "cpu {cpu:.2} s (generator's {generating:.2} s taken off), wall {wall:.2} s, {:.0} events per CPU second",
        count as f64 / cpu
    );
    println!("peak RssAnon {} MiB (generator included)", peak_kib / 1_024);
    println!("{totals:?}");
    println!("segments {}, bytes {:?}", status.segments, status.bytes);
    let links = totals.live_links.max(1) as f64;
    let mut sum = 0;
    for (section, bytes) in store.section_sizes() {
        println!(
            "  {section:24} {bytes:>12} {:6.2} B/live link",
            bytes as f64 / links
        );
        sum += bytes;
    }
    println!(
        "  {:24} {sum:>12} {:6.2} B/live link",
        "all sections",
        sum as f64 / links
    );
    Ok(())
}
