//! An account with many rows all over the index: hidden, shown again, and deleted. Each is one walk over its own rows.

use std::time::{Duration, Instant};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_links::syntax::Tid;

use super::directory::of_status;
use crate::harness::arguments::Arguments;
use crate::harness::figures::Figures;
use crate::harness::percentile::{Times, median};
use crate::harness::process::Process;
use crate::random::Random;
use crate::{Outcome, Result};

const EVENTS: u64 = 1_000_000;
/// Every so many-th record is of the account.
const SHARE: u64 = 10;
const SEGMENTS: u64 = 16;
const ACCOUNT: &str = "did:plc:accountaccountaccountacc";
const START_US: u64 = 1_767_225_600_000_000;
const ROUNDS: usize = 3;

fn follow(writer: &mut Writer, number: u64, did: &str, target: u64) -> Outcome {
    let time_us = START_US + number * 1_000;
    let body = format!(
        r#"{{"$type":"app.bsky.graph.follow","createdAt":"2026-01-01T00:00:00Z","subject":"did:plc:{target:0>24}"}}"#
    );
    let rkey = Tid::from_u64(time_us << 10)?.to_string();
    writer.apply(&Event {
        time_us,
        did,
        body: Body::Commit {
            rev: time_us << 10,
            collection: "app.bsky.graph.follow",
            rkey: &rkey,
            operation: Operation::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }),
        },
    })?;
    Ok(())
}

fn set(writer: &mut Writer, seq: u64, active: bool, status: Option<&str>) -> Result<Duration> {
    let start = Instant::now();
    writer.apply(&Event {
        time_us: START_US + (1 << 40) + seq,
        did: ACCOUNT,
        body: Body::Account {
            seq,
            active,
            status,
        },
    })?;
    Ok(start.elapsed())
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let events = arguments.events.unwrap_or(EVENTS).max(1_000);
    let dir = tempfile::tempdir()?;
    let mut options = Options::default();
    options.seal_events = u32::try_from(events / SEGMENTS + 1)?;
    options.compact = false;
    let store = Store::open(dir.path(), options)?;
    let mut writer = store.writer()?;
    let mut random = Random::new(arguments.seed());
    for number in 0..events {
        let other = format!("did:plc:{:0>24}", random.below(200_000));
        let did = if number % SHARE == 0 { ACCOUNT } else { &other };
        follow(&mut writer, number, did, random.below(100_000))?;
        if number.is_multiple_of(4_096) {
            writer.tick()?;
        }
    }
    writer.seal()?;
    let rows = events.div_ceil(SHARE);
    println!(
        "  an account with {rows} of {events} records in {} segments",
        store.status().segments
    );
    let live = |store: &Store| store.snapshot().totals().live_links;
    let before = live(&store);
    let usage = Process::Own.usage().unwrap_or_default();
    let (mut hidden, mut shown) = (Vec::new(), Vec::new());
    let mut seq = 0;
    for _ in 0..ROUNDS {
        seq += 2;
        let took = set(&mut writer, seq, false, Some("deactivated"))?;
        hidden.push(took.as_secs_f64() * 1e3);
        if live(&store) + rows != before {
            return Err("a hidden account's links are counted".into());
        }
        let took = set(&mut writer, seq + 1, true, None)?;
        shown.push(took.as_secs_f64() * 1e3);
        if live(&store) != before {
            return Err("an account did not come back whole".into());
        }
    }
    figures.add("hidden", median(&hidden), "ms");
    figures.add("shown again", median(&shown), "ms");
    // Others' events go on meanwhile: how long the one behind the deletion waits is what they see.
    let took = set(&mut writer, seq + 2, false, Some("deleted"))?;
    if live(&store) + rows != before {
        return Err("a deleted account's links are counted".into());
    }
    figures.add("deleted", took.as_secs_f64() * 1e3, "ms");
    figures.add(
        "deleted, a row",
        took.as_secs_f64() * 1e9 / rows as f64,
        "ns",
    );
    let mut times = Times::default();
    for number in events..events + 10_000 {
        let start = Instant::now();
        follow(
            &mut writer,
            number + (1 << 32),
            "did:plc:someoneelsesomeoneelses",
            number,
        )?;
        times.add(start.elapsed());
    }
    println!("  events behind it: {}", times.text());
    let start = Instant::now();
    writer.seal()?;
    figures.add(
        "the seal behind it",
        start.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    let after = Process::Own.usage().unwrap_or_default();
    figures.add(
        "peak RssAnon seen",
        after.rss_anon_kib as f64 / 1_024.0,
        "MiB",
    );
    let written = after.write_bytes - usage.write_bytes;
    figures.add(
        "bytes written, a row of it",
        written as f64 / rows as f64,
        "B",
    );
    of_status(figures, &store.status());
    Ok(())
}
