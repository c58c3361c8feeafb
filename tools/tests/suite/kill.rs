//! A kill at any moment loses nothing and repeats nothing: the program is killed again and again while it
//! follows a server that drops connections, and in the end answers as an undisturbed one does. Six times by
//! default; `ORRERY_KILLS=50` for more.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Server, answers_of, assert_same, ingest, synthetic, targets};
use bytes::Bytes;
use orrery_engine::{BucketSum, Store};
use orrery_synth::{Config, Faults, Options, Pace, Source};
use rustix::process::Signal;

const SEED: u64 = 21;

/// Bytes of all files below a directory.
fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The time of the last event in the index of a running server.
fn indexed_through(server: &Server) -> Option<u64> {
    let (_, head, _) = server.get("/links/all?target=did:plc:nobody")?;
    head.lines()
        .find_map(|line| line.strip_prefix("orrery-indexed-through: "))?
        .trim()
        .parse()
        .ok()
}

/// Cursors of the first connection of a life, out of the log.
fn first_cursor(log: &Path) -> Option<u64> {
    let log = std::fs::read_to_string(log).unwrap();
    let connected = log.lines().find(|line| line.contains("cursor="))?;
    let (_, rest) = connected.split_once("TimeUs(")?;
    rest.split(')').next()?.parse().ok()
}

#[test]
fn kills_and_dropped_connections_change_no_answer() {
    let kills: u64 = std::env::var("ORRERY_KILLS").map_or(6, |text| text.parse().unwrap());
    let seconds_per_life = 1;
    let rate = 15_000;
    let events = 40_000 + kills * rate * seconds_per_life;
    let lines = synthetic(SEED, events);
    let last_time_us = {
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        last["time_us"].as_u64().unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(Source::Generator(Options::finite(SEED, events)));
        config.pace = Pace::AsRead;
        config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
        config.faults = Faults {
            seed: SEED,
            drop_after_events: Some(1000..=20_000),
            refuse_share: 0.1,
            ..Faults::default()
        };
        orrery_synth::serve(listener, config).unwrap()
    });
    let url = stream.url();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let start = |log: &Path| {
        let arguments = [
            "--log",
            "info",
            "serve",
            "--jetstream",
            &url,
            "--data",
            data.to_str().unwrap(),
        ];
        Server::start(&arguments, log)
    };

    let mut random = SEED;
    let mut newest_cursor = 0;
    for life in 0..kills {
        let log = dir.path().join(format!("{life}.log"));
        let mut server = start(&log);
        if life == 0 {
            // A directory without a durable cursor rightly begins live, so the first life lasts until it
            // has one.
            let deadline = Instant::now() + Duration::from_secs(60);
            while bytes_below(&data.join("log")) < 100_000 {
                assert!(Instant::now() < deadline, "nothing became durable");
                std::thread::sleep(Duration::from_millis(5));
            }
        } else {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            std::thread::sleep(Duration::from_millis((random >> 33) % 700));
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        if life > 0
            && let Some(cursor) = first_cursor(&log)
        {
            assert!(cursor >= newest_cursor, "life {life} went back to {cursor}");
            newest_cursor = cursor;
        }
    }
    assert!(
        newest_cursor > Options::default().start_us,
        "no restart went on from a cursor"
    );

    let mut server = start(&dir.path().join("last.log"));
    let deadline = Instant::now() + Duration::from_secs(240);
    while indexed_through(&server) != Some(last_time_us) {
        assert!(
            Instant::now() < deadline,
            "{:?} of {last_time_us}",
            indexed_through(&server)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(server.stop(Signal::INT), "no clean end");
    assert!(stream.stats().drops > 0);
    runtime.block_on(stream.stop());

    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let undisturbed = dir.path().join("undisturbed");
    ingest(&undisturbed, &[file.to_str().unwrap()]);
    let targets = targets(lines.lines());
    assert_same(
        "kills",
        &answers_of(&undisturbed, &targets),
        &answers_of(&data, &targets),
    );
    let buckets = buckets_of(&undisturbed);
    assert!(buckets.len() > 12, "{buckets:?}");
    assert_same("buckets", &buckets, &buckets_of(&data));
}

/// What every hour of every collection counts; of more accounts than are counted exactly only that they are many,
/// since each directory hashes them in its own way.
fn buckets_of(data: &Path) -> BTreeMap<String, String> {
    let store = Store::open(data, orrery_engine::Options::default()).unwrap();
    let view = store.snapshot();
    let mut buckets = BTreeMap::new();
    let mut collections = view.collections_from("").unwrap();
    let mut sum = BucketSum::default();
    while let Some(collection) = collections.next_collection().unwrap() {
        let mut next = 0;
        while let Some(hour) = collection.next_hour(next).unwrap() {
            next = hour + 1;
            sum.clear();
            collection.add_to(&(hour..next), &mut sum).unwrap();
            let accounts = match sum.dids_estimate().unwrap() {
                accounts @ ..=128 => accounts.to_string(),
                _ => "many".to_owned(),
            };
            let name = format!("{} in hour {hour}", collection.name);
            buckets.insert(name, format!("{:?} by {accounts}", sum.counts));
        }
    }
    buckets
}

#[test]
fn a_terminated_server_commits_and_another_source_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lines = synthetic(SEED, 3000);
    let stream = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(Source::from_text(lines.as_bytes()));
        config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
        orrery_synth::serve(listener, config).unwrap()
    });
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let log = dir.path().join("log");
    let mut server = Server::start(
        &[
            "--log",
            "info",
            "serve",
            "--jetstream",
            &stream.url(),
            "--data",
            data,
        ],
        &log,
    );
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while indexed_through(&server) != last["time_us"].as_u64() {
        assert!(
            Instant::now() < deadline,
            "{}",
            std::fs::read_to_string(&log).unwrap()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // Far sooner than a commit is due by time.
    assert!(server.stop(Signal::TERM), "no clean end");
    let server = Server::start(&["serve", "--data", data], &log);
    assert_eq!(indexed_through(&server), last["time_us"].as_u64());
    drop(server);
    let output = crate::common::orrery()
        .args([
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--jetstream",
            "ws://127.0.0.1:9/subscribe",
            "--data",
            data,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = crate::common::text(&output.stderr);
    assert!(
        error.contains("--force-source") && error.contains(&stream.url()),
        "{error}"
    );
}
