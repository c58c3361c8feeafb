//! Time buckets: what they cost on disk, and how long answers over weeks take.

use std::time::{Duration, Instant};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store};
use orrery_formats::sketch::{Element, Sketch};
use orrery_query::stats::{ALL_TIME, Align, Order, SeriesOf, Steps, collections, timeseries};

use crate::Outcome;
use crate::random::Random;

const HOUR_US: u64 = 3_600_000_000;
const DAYS: u64 = 40;
const ACCOUNTS: u64 = 200_000;
/// A Thursday.
const FIRST_HOUR: u32 = 2_800 * 168;

fn name(index: u64) -> String {
    format!("com.app{:03}.collection{index:04}", index % 97)
}

/// `events` over 40 days in that many collections (the number of events falls as the place) by 200,000 accounts,
/// sealed and merged.
pub(crate) fn run(events: u64, kinds: u64) -> Outcome {
    println!("a sketch of that many accounts takes:");
    let mut random = Random::new(1);
    for size in [1u64, 3, 10, 128, 129, 1_000, 10_000, 100_000] {
        let mut sketch = Sketch::new();
        while sketch.estimate() < size {
            // Estimates of large sets lag; their bytes change little.
            (0..size.div_ceil(64)).for_each(|_| sketch.add(Element::of_hash(random.next())));
        }
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        println!("  {size}: {} bytes", bytes.len());
    }
    let directory = tempfile::tempdir()?;
    let mut options = Options::default();
    options.compact = false;
    options.commit_interval = Duration::from_secs(3_600);
    let store = Store::open(directory.path(), options)?;
    let mut writer = store.writer()?;
    let start = Instant::now();
    for number in 0..events {
        let index = (kinds as f64).powf(random.unit()) as u64 - 1;
        let time_us = u64::from(FIRST_HOUR) * HOUR_US
            + (DAYS as f64 * 24.0 * HOUR_US as f64 * number as f64 / events as f64) as u64;
        let record = Record {
            cid: "",
            encoding: Encoding::Json,
            body: b"{}",
        };
        writer.apply(&Event {
            time_us,
            did: &format!("did:plc:{:0>24}", random.next() % ACCOUNTS),
            body: Body::Commit {
                rev: (time_us + number) << 10,
                collection: &name(index),
                rkey: &number.to_string(),
                operation: Operation::Create(record),
            },
        })?;
    }
    writer.seal()?;
    let took = start.elapsed();
    let each = took.as_secs_f64() * 1e6 / events as f64;
    println!(
        "{events} events in {kinds} collections, without links, in {took:.1?}, {each:.2} µs each"
    );
    report(&store, "sealed")?;
    let start = Instant::now();
    writer.compact_full(&mut |_, _| {})?;
    println!("merged in {:.1?}", start.elapsed());
    report(&store, "merged")
}

fn report(store: &Store, what: &str) -> Outcome {
    let sizes = store.section_sizes();
    let sizes = sizes
        .into_iter()
        .filter(|(name, _)| name.contains("bucket"));
    let bytes: u64 = sizes.map(|(_, bytes)| bytes).sum();
    let segments = store.status().segments;
    println!(
        "{what}: {segments} segments, {bytes} bytes of buckets, {} a day",
        bytes / DAYS
    );
    let view = store.snapshot();
    let month = FIRST_HOUR + 101..FIRST_HOUR + 101 + 720;
    let ragged = FIRST_HOUR + 5..FIRST_HOUR + 29 * 24 + 13;
    let steps = Steps::new(&month, 1, Align::Since)?;
    for index in [0, 10, 1_000] {
        let name = name(index);
        let (mut best, mut creates) = (Duration::MAX, 0);
        for _ in 0..20 {
            let start = Instant::now();
            let series = timeseries(&view, &[SeriesOf::Collection(&name)], &steps)?;
            best = best.min(start.elapsed());
            creates = series.iter().flatten().map(|counts| counts.creates).sum();
        }
        println!("  720 hourly steps of {name} ({creates} creates): {best:.2?}");
    }
    for (hours, text) in [(ALL_TIME, "all time"), (ragged, "29 days, ragged")] {
        for order in [Order::DidsEstimate, Order::RecordsCreated] {
            let mut best = Duration::MAX;
            for _ in 0..20 {
                let start = Instant::now();
                collections(&view, &hours, Some(order), None, 100)?;
                best = best.min(start.elapsed());
            }
            println!("  first 100 of all collections by {order:?}, {text}: {best:.2?}");
        }
    }
    Ok(())
}
