//! Review: what answers may take.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::{Duration, Instant};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::samples::all_records;
use orrery_query::stats::{self, Align, SeriesOf, Steps};

const START_US: u64 = 1_793_491_200_000_000;

fn write(writer: &mut Writer, time_us: u64, did: &str, collection: &str, rkey: &str, body: &str) {
    let body = Body::Commit {
        rev: time_us << 10,
        collection,
        rkey,
        operation: Operation::Create(Record {
            cid: "",
            encoding: Encoding::Json,
            body: body.as_bytes(),
        }),
    };
    writer.apply(&Event { time_us, did, body }).unwrap();
}

fn open(dir: &std::path::Path) -> (Store, Writer) {
    let mut options = Options::default();
    options.disk_reserve = 0;
    options.compact = false;
    let store = Store::open(dir, options).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

const DID: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn an_answer_of_sample_records_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(dir.path());
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    let mut n = 0;
    for collection in 0..20 {
        for _ in 0..64 {
            n += 1;
            write(
                &mut writer,
                START_US + n,
                DID,
                &format!("a.b.c{collection}"),
                &format!("k{n}"),
                &body,
            );
        }
        writer.seal().unwrap();
    }
    let disk: u64 = store
        .section_sizes()
        .into_iter()
        .filter(|(name, _)| name.contains("sample"))
        .map(|(_, bytes)| bytes)
        .sum();
    let found = all_records(&store.snapshot(), 0, 64).unwrap();
    let bytes: usize = found.iter().map(|record| record.body.len()).sum();
    assert!(
        bytes <= 64 << 20,
        "{} records of {} MiB, out of {disk} bytes on disk",
        found.len(),
        bytes >> 20
    );
}

#[test]
fn a_series_of_many_one_off_collections_is_quick() {
    let mut slowest = Duration::ZERO;
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writer) = open(dir.path());
        for n in 0..5_000 {
            write(
                &mut writer,
                START_US + n,
                DID,
                &format!("zzz.junk.a.b.n{n}"),
                "self",
                "{}",
            );
        }
        if sealed {
            writer.seal().unwrap();
        }
        let first = (START_US / 3_600_000_000) as u32;
        let steps = Steps::new(&(first - 9_000..first + 1_000), 1, Align::Since).unwrap();
        let view = store.snapshot();
        let begun = Instant::now();
        let of = ["zzz.junk", "zzz.junk.a", "zzz.junk.a.b"].map(SeriesOf::Prefix);
        stats::timeseries(&view, &of, &steps).unwrap();
        let took = begun.elapsed();
        eprintln!("sealed {sealed}: 3 series of 5,000 collections, 10,000 steps: {took:?}");
        let begun = Instant::now();
        let names: Vec<String> = (0..100).map(|n| format!("zzz.junk.a.b.n{n}")).collect();
        let of: Vec<_> = names
            .iter()
            .map(|name| SeriesOf::Collection(name))
            .collect();
        let one = Steps::new(&(first..first + 1), 1, Align::Since).unwrap();
        stats::timeseries(&view, &of, &one).unwrap();
        let single = begun.elapsed();
        eprintln!("sealed {sealed}: 100 series of one collection, one step: {single:?}");
        let begun = Instant::now();
        stats::of_collections(
            &view,
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
            &(first..first + 1),
        )
        .unwrap();
        eprintln!(
            "sealed {sealed}: the same by of_collections: {:?}",
            begun.elapsed()
        );
        let begun = Instant::now();
        view.sample_collections(0).unwrap();
        eprintln!("sealed {sealed}: sample_collections: {:?}", begun.elapsed());
        slowest = slowest.max(took);
    }
    let most = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 300 });
    assert!(slowest < most, "{slowest:?}");
}
