//! From the text of Jetstream events to a sealed index within this process: events per CPU second, memory, bytes by section.

use std::time::Instant;

use orrery_engine::{Options, Store};

use crate::Outcome;
use crate::events::Feed;
use crate::harness::process::Process;

pub(crate) fn run(events: u64, seed: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), Options::default())?;
    let mut writer = store.writer()?;
    let mut peak_kib = 0;
    // The generator's own time is measured by itself and taken off.
    let before = Process::Own.cpu_seconds();
    let mut scratch = Feed::new(orrery_synth::Options::finite(seed, events))?;
    while scratch.advance() {}
    let generating = Process::Own.cpu_seconds() - before;
    let mut feed = Feed::new(orrery_synth::Options::finite(seed, events))?;
    let start = Instant::now();
    let before = Process::Own.cpu_seconds();
    while feed.apply_next(&mut writer)? {
        if feed.count.is_multiple_of(4_096) {
            writer.tick()?;
            peak_kib = peak_kib.max(Process::Own.rss_anon_kib());
        }
    }
    writer.seal()?;
    let cpu = Process::Own.cpu_seconds() - before - generating;
    let wall = start.elapsed().as_secs_f64();
    let totals = store.snapshot().totals();
    let status = store.status();
    println!(
        "events {}, bytes of JSON {}, repeats {}, bad {}",
        feed.count, feed.bytes, feed.repeats, feed.bad
    );
    println!(
        "cpu {cpu:.2} s (generator's {generating:.2} s taken off), wall {wall:.2} s, {:.0} events per CPU second",
        feed.count as f64 / cpu
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
