//! The synthetic network stretched over 40 days: every bucket counts what plain maps count, and estimates of accounts
//! are as good as the method promises. `ORRERY_BUCKET_EVENTS=5000000` (with `--release`) takes more events than the
//! 60,000 by default; from 1,000,000 on, the spread of the errors is checked too.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use orrery_engine::{BucketSum, Options, Store};
use orrery_ingest::decode;
use orrery_query::stats::{Align, Counts, SeriesOf, Steps, timeseries};
use orrery_synth::{Generator, Tempo};
use serde_json::Value;

const HOUR_US: u64 = 3_600_000_000;
const DAYS: u64 = 40;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Events and the accounts of each.
#[derive(Default)]
struct Bucket {
    events: [u64; 3],
    accounts: Vec<u32>,
}

/// Buckets of each collection by hour.
#[derive(Default)]
struct Model {
    collections: BTreeMap<String, BTreeMap<u32, Bucket>>,
    accounts: HashMap<String, u32>,
}

impl Model {
    fn count(&mut self, line: &[u8]) {
        let event: Value = serde_json::from_slice(line).unwrap();
        let Some(commit) = event.get("commit") else {
            return;
        };
        let kind = ["create", "update", "delete"]
            .iter()
            .position(|kind| commit["operation"] == *kind);
        let next = self.accounts.len() as u32;
        let did = event["did"].as_str().unwrap().to_owned();
        let account = *self.accounts.entry(did).or_insert(next);
        let hour = (event["time_us"].as_u64().unwrap() / HOUR_US) as u32;
        let name = commit["collection"].as_str().unwrap().to_owned();
        let hours = self.collections.entry(name).or_default();
        let bucket = hours.entry(hour).or_default();
        bucket.events[kind.unwrap()] += 1;
        bucket.accounts.push(account);
    }

    /// Counts of some collections in a span; `seen` marks the accounts and is left empty.
    fn sum(&self, names: &[&str], hours: &Range<u32>, seen: &mut [bool]) -> Counts {
        let mut sum = Counts::default();
        let mut marked = Vec::new();
        for name in names {
            for (_, bucket) in self.collections[*name].range(hours.clone()) {
                let [creates, updates, deletes] = bucket.events;
                sum.creates += creates;
                sum.updates += updates;
                sum.deletes += deletes;
                for account in &bucket.accounts {
                    if !std::mem::replace(&mut seen[*account as usize], true) {
                        marked.push(*account);
                    }
                }
            }
        }
        sum.dids_estimate = marked.len() as u64;
        marked
            .iter()
            .for_each(|account| seen[*account as usize] = false);
        sum
    }
}

fn events(counts: &Counts) -> [u64; 3] {
    [counts.creates, counts.updates, counts.deletes]
}

#[test]
fn buckets_of_forty_days_are_exact_and_accounts_are_estimated_within_the_error_of_the_method() {
    let number = std::env::var("ORRERY_BUCKET_EVENTS").map_or(60_000, |n| n.parse().unwrap());
    let mut synth = orrery_synth::Options::finite(40, number);
    synth.tempo = Tempo::SpanUs(DAYS * 24 * HOUR_US);
    synth.actors = if number < 1_000_000 {
        10_000
    } else {
        synth.actors
    };
    let first = (synth.start_us / HOUR_US) as u32;
    let mut generator = Generator::new(synth).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut model = Model::default();
    let mut line = Vec::new();
    let mut applied = 0u64;
    while generator.next_into(&mut line).is_some() {
        let wire = orrery_jetstream::Event::parse(std::str::from_utf8(&line).unwrap()).unwrap();
        writer.apply(&decode(&wire).unwrap()).unwrap();
        model.count(&line);
        line.clear();
        applied += 1;
        if applied.is_multiple_of(1_000) {
            writer.tick().unwrap();
        }
        if applied.is_multiple_of(number / 5) {
            writer.seal().unwrap();
        }
    }
    assert_eq!(applied, number);

    let view = store.snapshot();
    let mut seen = vec![false; model.accounts.len()];
    let names: Vec<&str> = model.collections.keys().map(String::as_str).collect();
    assert!(names.len() > 12, "{names:?}");
    let all_hours = first..first + DAYS as u32 * 24 + 1;
    let hourly = Steps::new(&all_hours, 1, Align::Since).unwrap();
    let (mut buckets, mut exact) = (0u64, 0u64);
    for name in &names {
        let series = timeseries(&view, &[SeriesOf::Collection(name)], &hourly).unwrap();
        for (hour, found) in hourly.starts().iter().zip(&series[0]) {
            let expected = model.sum(&[name], &(*hour..*hour + 1), &mut seen);
            assert_eq!(events(found), events(&expected), "{name} in hour {hour}");
            if expected.dids_estimate <= 128 {
                assert_eq!(found.dids_estimate, expected.dids_estimate, "{name}");
                exact += 1;
            }
            buckets += u64::from(!expected.is_zero());
        }
    }

    let mut random = Random(number);
    let unions = if number < 1_000_000 { 300 } else { 12_000 };
    let (mut estimates, mut squares, mut beyond_3) = (0u64, 0.0, 0u64);
    let mut sum = BucketSum::default();
    while estimates < unions {
        let set: Vec<&str> = names
            .iter()
            .copied()
            .filter(|_| random.below(3) == 0)
            .collect();
        // Each length as likely as its double.
        let most = 1 << (1 + random.below(10));
        let start = first + random.below(DAYS * 24) as u32;
        let hours = start..start + 1 + random.below(most) as u32;
        sum.clear();
        for name in &set {
            view.collection(name)
                .unwrap()
                .add_to(&hours, &mut sum)
                .unwrap();
        }
        let expected = model.sum(&set, &hours, &mut seen);
        let found = sum.dids_estimate().unwrap();
        let counts = sum.counts;
        assert_eq!(
            [counts.creates, counts.updates, counts.deletes],
            events(&expected)
        );
        if expected.dids_estimate <= 128 {
            assert_eq!(found, expected.dids_estimate, "{set:?} in {hours:?}");
            exact += 1;
            continue;
        }
        let error = found as f64 / expected.dids_estimate as f64 - 1.0;
        assert!(error.abs() < 5.0 * 0.0081, "{error}: {set:?} in {hours:?}");
        estimates += 1;
        squares += error * error;
        beyond_3 += u64::from(error.abs() > 3.0 * 0.0081);
    }
    let rms = (squares / estimates as f64).sqrt();
    eprintln!(
        "{number} events, {} accounts, {buckets} buckets exact, {exact} counts of up to 128 accounts exact; \
         {estimates} estimates of more: rms {rms:.5}, {beyond_3} beyond 3 standard errors, none beyond 5",
        model.accounts.len()
    );
    // Fewer are too few to say: they share accounts.
    if number >= 1_000_000 {
        assert!(rms <= 0.009, "{rms}");
        assert!(
            beyond_3 * 100 <= estimates,
            "{beyond_3} of {estimates} beyond 3"
        );
    }
}
