//! Lists in an order are those of all counts sorted, though not all are found; and what an answer may add up is
//! bounded.
use std::cmp::Reverse;
use std::time::Duration;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::Error;
use orrery_query::stats::{
    ALL_TIME, Align, Counts, Hours, Order, SeriesOf, Steps, collections, of_collections, timeseries,
};

const HOUR_US: u64 = 3_600_000_000;
/// A Thursday's midnight, the start of a week.
const FIRST_HOUR: u32 = 2_800 * 168;

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

fn options() -> Options {
    let mut options = Options::default();
    options.commit_interval = Duration::from_secs(3_600);
    options.compact = false;
    options
}

fn create(writer: &mut Writer, number: u64, hour: u32, account: u64, collection: &str) {
    let record = Record {
        cid: "",
        encoding: Encoding::Json,
        body: b"{}",
    };
    let event = Event {
        time_us: u64::from(hour) * HOUR_US,
        did: &format!("did:plc:{account:0>24}"),
        body: Body::Commit {
            rev: (u64::from(FIRST_HOUR) * HOUR_US + number) << 10,
            collection,
            rkey: &number.to_string(),
            operation: Operation::Create(record),
        },
    };
    writer.apply(&event).unwrap();
}

fn name(index: u64) -> String {
    format!("com.app{:02}.kind{index:03}", index % 7)
}

const KINDS: u64 = 250;

/// All pages of a list in an order.
fn walk(
    store: &Store,
    hours: &Hours,
    order: Order,
    limit: usize,
) -> Vec<(Reverse<u64>, String, Counts)> {
    let view = store.snapshot();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = collections(&view, hours, Some(order), after.as_ref(), limit).unwrap();
        assert!(page.collections.len() == limit || page.next.is_none());
        found.extend(page.collections.into_iter().map(|item| {
            let value = match order {
                Order::RecordsCreated => item.counts.creates,
                Order::DidsEstimate => item.counts.dids_estimate,
            };
            (Reverse(value), item.nsid, item.counts)
        }));
        after = page.next.map(|place| place.to_string().parse().unwrap());
        if after.is_none() {
            return found;
        }
    }
}

/// Many collections with few accounts, few with many; the same accounts come again in each segment, or others do, so
/// that a sum over segments says little of a union.
#[test]
fn a_list_in_an_order_is_that_of_all_counts_sorted_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut random = Random(5);
    let events = 40_000;
    for number in 0..events {
        let index = (KINDS as f64).powf(random.below(1_000) as f64 / 1_000.0) as u64 - 1;
        let hour = FIRST_HOUR + (number * 700 / events) as u32;
        let account = match index % 3 {
            0 => random.below(150 + index),
            1 => number,
            _ => number % (1 + index * index),
        };
        create(&mut writer, number, hour, account, &name(index));
        if number % 6_000 == 5_999 {
            writer.seal().unwrap();
        }
    }
    for is_merged in [false, true] {
        if is_merged {
            writer.compact_full(&mut |_, _| {}).unwrap();
        }
        let view = store.snapshot();
        let spans = [
            ALL_TIME,
            FIRST_HOUR + 5..FIRST_HOUR + 29 * 24 + 13,
            FIRST_HOUR + 100..FIRST_HOUR + 101,
            0..FIRST_HOUR,
        ];
        for hours in spans {
            let names: Vec<String> = (0..KINDS).map(name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let counts = of_collections(&view, &names, &hours).unwrap();
            for order in [Order::DidsEstimate, Order::RecordsCreated] {
                let mut expected: Vec<_> = names
                    .iter()
                    .zip(&counts)
                    .map(|(name, counts)| match order {
                        Order::RecordsCreated => (Reverse(counts.creates), *name, *counts),
                        Order::DidsEstimate => (Reverse(counts.dids_estimate), *name, *counts),
                    })
                    .filter(|(Reverse(value), ..)| *value > 0)
                    .map(|(value, name, counts)| (value, name.to_owned(), counts))
                    .collect();
                expected.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
                for limit in [5, 100] {
                    let found = walk(&store, &hours, order, limit);
                    assert_eq!(
                        found, expected,
                        "{order:?} of {hours:?} by {limit}, merged: {is_merged}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_an_answer_adds_up_is_bounded_by_its_collections_with_events() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    let mut writer = store.writer().unwrap();
    for number in 0..20_000 {
        let hour = FIRST_HOUR + (number / 20) as u32;
        create(&mut writer, number, hour, number % 5, &name(number % 20));
    }
    let hours = FIRST_HOUR..FIRST_HOUR + 1_000;
    for is_sealed in [false, true] {
        if is_sealed {
            writer.seal().unwrap();
        }
        let view = store.snapshot();
        let steps = Steps::new(&hours, 1, Align::Since).unwrap();
        let of = [
            "com.app00",
            "com.app01",
            "com.app02",
            "com.app03",
            "com.app04",
            "com.app05",
            "com.app06",
        ]
        .map(SeriesOf::Prefix);
        // Twenty collections a thousand hours each, 25 times.
        let allowed = of.repeat(25);
        let series = timeseries(&view, &allowed, &steps).unwrap();
        let creates: u64 = series.iter().flatten().map(|counts| counts.creates).sum();
        assert_eq!(creates, 25 * 20_000);
        let refused = timeseries(&view, &of.repeat(26), &steps).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
        assert!(refused.is_bad_request());
        // Steps without events cost nothing.
        let later = Steps::new(&(hours.end..hours.end + 10_000), 1, Align::Since).unwrap();
        let none = timeseries(&view, &of.repeat(26), &later).unwrap();
        assert!(none.iter().flatten().all(Counts::is_zero));
    }
}
