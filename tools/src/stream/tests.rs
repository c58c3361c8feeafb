//! Followers of a served store whose log keeps next to nothing, told at once or after a delay, cut at random moments, and
//! resumed at their cursors.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use orrery_engine::Options;
use orrery_engine::event::{Body, Encoding, Event, Operation as Written, Record};
use orrery_server::{Config, StreamConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::index::StoreIndex;

/// A source, a record and a subject.
type Link = (String, String, String);

const LAST: &str = "did:plc:last";

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit
    }
}

/// Writes events at random, and knows what is visible.
struct World {
    writer: orrery_engine::Writer,
    records: BTreeMap<(u64, u64), BTreeSet<Link>>,
    hidden: BTreeSet<u64>,
    random: Random,
    rev: u64,
}

impl World {
    fn visible(&self) -> BTreeSet<Link> {
        let records = self.records.iter();
        let seen = records.filter(|((account, _), _)| !self.hidden.contains(account));
        seen.flat_map(|(_, links)| links.iter().cloned()).collect()
    }

    fn apply(&mut self, did: &str, body: Body<'_>) {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let time_us = u64::try_from(since.as_micros()).unwrap();
        self.writer.apply(&Event { time_us, did, body }).unwrap();
    }

    fn write(&mut self, did: &str, rkey: &str, record: Option<&Value>) {
        self.rev += 1 << 10;
        let body = record.map(Value::to_string).unwrap_or_default();
        let operation = match record {
            Some(_) => Written::Update(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }),
            None => Written::Delete,
        };
        let rev = self.rev;
        let collection = "c.d.e";
        self.apply(
            did,
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            },
        );
    }

    fn step(&mut self) {
        let account = self.random.below(20);
        let did = format!("did:plc:account{account}");
        if self.random.below(50) == 0 {
            let active = !self.hidden.insert(account);
            if active {
                self.hidden.remove(&account);
            }
            self.rev += 1 << 10;
            let status = (!active).then_some("deactivated");
            let seq = self.rev;
            self.apply(
                &did,
                Body::Account {
                    seq,
                    active,
                    status,
                },
            );
            return;
        }
        let key = (account, self.random.below(20));
        let rkey = format!("r{}", key.1);
        if self.random.below(4) == 0 {
            self.write(&did, &rkey, None);
            self.records.remove(&key);
            return;
        }
        let mut record = json!({"pad": "x".repeat(2_000)});
        let mut links = BTreeSet::new();
        for path in ["a", "b", "c"] {
            if self.random.below(3) > 0 {
                let subject = format!("did:plc:subject{}", self.random.below(3));
                record[path] = json!(subject);
                let uri = format!("at://{did}/c.d.e/{rkey}");
                links.insert((format!("c.d.e:{path}"), uri, subject));
            }
        }
        self.write(&did, &rkey, Some(&record));
        self.records.insert(key, links);
    }
}

/// What one follower knows in the end.
struct Told {
    links: BTreeSet<Link>,
    /// Whether it was told, when it knew something, that deletes are lost.
    is_outdated: bool,
}

async fn follow(
    address: SocketAddr,
    instant: bool,
    (first, mut links): (u64, BTreeSet<Link>),
    seed: u64,
) -> Told {
    let mut random = Random(seed);
    let mut cursor = first.to_string();
    let mut is_outdated = false;
    loop {
        let url = format!(
            "ws://{address}/subscribe?instant={instant}&cursor={cursor}&wantedOperations=create&wantedOperations=delete"
        );
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let until = tokio::time::Instant::now() + Duration::from_millis(random.below(1_000));
        while let Ok(message) = tokio::time::timeout_at(until, socket.next()).await {
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_))) => continue,
                other => panic!("{other:?}"),
            };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            if frame["kind"] == "info" {
                assert_eq!(frame["info"]["name"], "OutdatedCursor", "{frame}");
                is_outdated |= !links.is_empty();
                continue;
            }
            cursor = frame["cursor"].as_str().unwrap().to_owned();
            let text = |member: &str| frame["link"][member].as_str().unwrap().to_owned();
            if text("subject") == LAST {
                return Told { links, is_outdated };
            }
            let link = (text("source"), text("source_record"), text("subject"));
            match &*text("operation") {
                "create" => _ = links.insert(link),
                _ => _ = links.remove(&link),
            }
        }
        drop(socket);
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_a_log_that_keeps_little_know_the_truth_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.log_bytes_max = 0;
    options.seal_events = 300;
    let store = Store::open(directory.path(), options).unwrap();
    let mut world = World {
        writer: store.writer().unwrap(),
        records: BTreeMap::new(),
        hidden: BTreeSet::new(),
        random: Random(3),
        rev: 1_700_000_000_000_000 << 10,
    };
    // More than is kept in memory for those who follow.
    for _ in 0..7_000 {
        world.step();
    }
    while store.log_floor() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        stream: StreamConfig {
            delay: Duration::from_millis(300),
            ..StreamConfig::default()
        },
        ..Config::default()
    };
    let index = Arc::new(StoreIndex::new(store.clone()));
    let feed = Arc::new(StoreFeed::new(store.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let shutdown = async { _ = stopped.await };
        orrery_server::serve(listener, index, feed, None, config, shutdown).await
    });
    let now = (store.next_seq(), world.visible());
    let followers: Vec<_> = (0..8)
        .map(|seed| {
            let from = match seed % 4 {
                0 | 1 => now.clone(),
                _ => (1, BTreeSet::new()),
            };
            let follower = follow(address, seed % 2 == 0, from, seed);
            (seed, tokio::spawn(follower))
        })
        .collect();
    let feeding = std::thread::spawn(move || {
        for n in 0..8_000 {
            world.step();
            if n % 20 == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let truth = world.visible();
        world.write("did:plc:other", "last", Some(&json!({"a": LAST})));
        world.writer.commit().unwrap();
        (truth, world)
    });
    let (truth, _world) = tokio::task::spawn_blocking(move || feeding.join().unwrap())
        .await
        .unwrap();
    assert!(truth.len() > 100);
    for (seed, follower) in followers {
        let told = tokio::time::timeout(Duration::from_secs(240), follower).await;
        let told = told.expect("the end").unwrap();
        let missing: Vec<_> = truth.difference(&told.links).take(3).collect();
        assert!(missing.is_empty(), "{seed} was not told {missing:?}");
        if !told.is_outdated {
            let more: Vec<_> = told.links.difference(&truth).take(3).collect();
            assert!(more.is_empty(), "{seed} was told too much: {more:?}");
        }
    }
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
