//! The link stream of a running server that follows a Jetstream server: what subscribers are told from an event to a frame, that
//! cursors hold over kills at any moment, and that subscribers who behave badly are nobody else's trouble.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::Server;
use crate::common::directory::Random;
use crate::common::jetstream::{Jetstream, Subscriber, TIME_US};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

fn start(jetstream: &Jetstream, data: &Path, log: &Path, more: &[&str]) -> Server {
    let url = jetstream.url();
    let data = data.to_str().unwrap();
    let mut arguments = vec![
        "--log",
        "info",
        "serve",
        "--jetstream",
        &url,
        "--data",
        data,
    ];
    arguments.extend(more);
    Server::start(&arguments, log)
}

const EVERYTHING: &str =
    "instant=true&allLinks=true&wantedOperations=create&wantedOperations=delete";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_frames_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let server = start(
        &jetstream,
        &dir.path().join("data"),
        &dir.path().join("log"),
        &[],
    );
    let mut plain = Subscriber::open(server.address, "?instant=true").await;
    let mut extended = Subscriber::open(server.address, &format!("?{EVERYTHING}")).await;
    let post = "at://did:plc:bbbbbbbbbbbbbbbbbbbbbbbb/com.ex.post/3j";
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let revs: Vec<String> = (0..4).map(crate::common::jetstream::tid).collect();
    jetstream.commit(
        did,
        "3k",
        "create",
        Some(json!({"subject": {"uri": post}, "via": did})),
    );
    jetstream.commit(
        did,
        "3k",
        "update",
        Some(json!({"subject": {"uri": post}, "via": "https://x.example/a?b=c#d"})),
    );
    jetstream.commit(did, "3k", "delete", None);
    jetstream.commit(did, "3l", "create", Some(json!({"via": did})));
    jetstream.account(did, false, Some("deactivated"));
    jetstream.account(did, true, None);
    jetstream.account(did, false, Some("deleted"));

    let link = |origin: &str, operation: &str, path: &str, rkey: &str, rev: &str, subject: &str| {
        let rev = if rev.is_empty() {
            String::new()
        } else {
            format!(r#""source_rev":"{rev}","#)
        };
        format!(
            r#"{{"kind":"link","origin":"{origin}","link":{{"operation":"{operation}","source":"com.ex.like:{path}","source_record":"at://{did}/com.ex.like/{rkey}",{rev}"subject":{}"#,
            json!(subject)
        )
    };
    let url = "https://x.example/a?b=c#d";
    for (rkey, rev, path, subject) in [
        ("3k", 0, "subject.uri", post),
        ("3k", 0, "via", did),
        ("3k", 1, "subject.uri", post),
        ("3k", 1, "via", url),
        ("3l", 3, "via", did),
    ] {
        let expected = link("live", "create", path, rkey, &revs[rev], subject) + "}}";
        assert_eq!(plain.next().await, expected);
    }
    let mut expected = Vec::new();
    let mut expect = |seq: u64, index: u32, frame: String, cause: &str| {
        let cause = if cause.is_empty() {
            String::new()
        } else {
            format!(r#","cause":"{cause}""#)
        };
        let time_us = TIME_US + (seq - 1) * 1000;
        expected.push(format!(
            r#"{frame}{cause}}},"time_us":{time_us},"cursor":"{seq}.{index}"}}"#
        ));
    };
    expect(
        1,
        0,
        link("live", "create", "subject.uri", "3k", &revs[0], post),
        "",
    );
    expect(1, 1, link("live", "create", "via", "3k", &revs[0], did), "");
    expect(
        2,
        1,
        link("live", "delete", "via", "3k", &revs[1], did),
        "update",
    );
    // Those of the old version keep their numbers, and those of the new one come behind.
    expect(2, 3, link("live", "create", "via", "3k", &revs[1], url), "");
    expect(
        3,
        0,
        link("live", "delete", "subject.uri", "3k", &revs[2], post),
        "record",
    );
    expect(
        3,
        1,
        link("live", "delete", "via", "3k", &revs[2], url),
        "record",
    );
    expect(4, 0, link("live", "create", "via", "3l", &revs[3], did), "");
    expect(
        5,
        0,
        link("live", "delete", "via", "3l", "", did),
        "account",
    );
    expect(6, 0, link("replay", "create", "via", "3l", "", did), "");
    expect(
        7,
        0,
        link("live", "delete", "via", "3l", "", did),
        "account",
    );
    for frame in &expected {
        assert_eq!(&extended.next().await, frame);
    }
    // The same again from the log, also by another process.
    let replayed: Vec<String> = expected
        .iter()
        .map(|frame| frame.replace(r#""origin":"live""#, r#""origin":"replay""#))
        .collect();
    let check = async |address: SocketAddr| {
        for (from, skipped) in [("1", 0), ("1.0", 1), ("2", 2), ("3.1", 6), ("7", 9)] {
            let query = format!("?{EVERYTHING}&cursor={from}");
            let mut replay = Subscriber::open(address, &query).await;
            for frame in &replayed[skipped..] {
                assert_eq!(&replay.next().await, frame, "{from}");
            }
        }
    };
    check(server.address).await;
    let mut server = server;
    let stopped = tokio::task::spawn_blocking(move || server.stop(Signal::TERM));
    assert_eq!(extended.end().await.0, 1001);
    assert!(stopped.await.unwrap(), "no clean end");
    let server = start(
        &jetstream,
        &dir.path().join("data"),
        &dir.path().join("log"),
        &[],
    );
    check(server.address).await;
}

/// One frame of an extended subscriber who wants everything, without its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    cursor: String,
    operation: String,
    source: String,
    record: String,
    subject: String,
}

impl Told {
    fn of(frame: &Value) -> Self {
        let link = &frame["link"];
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("{frame}"))
                .to_owned()
        };
        Self {
            cursor: text(&frame["cursor"]),
            operation: text(&link["operation"]),
            source: text(&link["source"]),
            record: text(&link["source_record"]),
            subject: text(&link["subject"]),
        }
    }
}

/// Sends events at random and knows what each says: few records, so that most events undo something.
struct World {
    records: BTreeMap<(u64, u64), BTreeMap<&'static str, String>>,
    truth: Vec<Told>,
    seq: u64,
    random: Random,
}

impl World {
    fn step(&mut self, jetstream: &Jetstream) {
        let did_of = |n: u64| {
            format!(
                "did:plc:{}",
                char::from(b'a' + n as u8).to_string().repeat(24)
            )
        };
        self.seq += 1;
        let key = (self.random.below(20), self.random.below(10));
        let (did, rkey) = (did_of(key.0), format!("r{}", key.1));
        let record = format!("at://{did}/com.ex.like/{rkey}");
        let old = self.records.remove(&key).unwrap_or_default();
        let mut new = BTreeMap::new();
        if self.random.below(4) > 0 {
            for path in ["a", "b.c", "d"] {
                if self.random.below(3) > 0 {
                    new.insert(path, did_of(self.random.below(3)));
                }
            }
            let mut body = json!({});
            for (path, target) in &new {
                match path.split_once('.') {
                    Some((outer, inner)) => body[outer][inner] = json!(target),
                    None => body[*path] = json!(target),
                }
            }
            jetstream.commit(&did, &rkey, "update", Some(body));
        } else {
            jetstream.commit(&did, &rkey, "delete", None);
        }
        // Links of the old version have their places as numbers, and those of the new one come behind.
        let gone = (0..)
            .zip(&old)
            .filter(|(_, (path, target))| new.get(**path) != Some(target));
        let come = (old.len()..)
            .zip(&new)
            .filter(|(_, (path, target))| old.get(**path) != Some(target));
        let both = gone
            .map(|l| ("delete", l))
            .chain(come.map(|l| ("create", l)));
        for (operation, (index, (path, target))) in both {
            self.truth.push(Told {
                cursor: format!("{}.{index}", self.seq),
                operation: operation.to_owned(),
                source: format!("com.ex.like:{path}"),
                record: record.clone(),
                subject: target.clone(),
            });
        }
        self.records.insert(key, new);
    }
}

/// Where the server answers now; none while it is dead.
type Address = Arc<Mutex<Option<SocketAddr>>>;

/// Follows the stream from a seq on, over all that ends its connections, until it was told `last`.
async fn follow(
    address: Address,
    first: u64,
    seed: u64,
    last: Arc<Mutex<Option<String>>>,
) -> Vec<Told> {
    let mut random = Random(seed);
    let mut told: Vec<Told> = Vec::new();
    loop {
        let cursor = told
            .last()
            .map_or(first.to_string(), |told| told.cursor.clone());
        let now = *address.lock();
        let query = format!("?{EVERYTHING}&cursor={cursor}");
        let opened = match now {
            Some(now) => Subscriber::try_open(now, &query).await,
            None => None,
        };
        let Some(mut subscriber) = opened else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let until = tokio::time::Instant::now() + Duration::from_millis(random.below(800));
        while let Ok(Some(frame)) = tokio::time::timeout_at(until, subscriber.try_next()).await {
            let frame: Value = serde_json::from_str(&frame).unwrap();
            told.push(Told::of(&frame));
        }
        let is_done = *last.lock() == told.last().map(|told| told.cursor.clone());
        if is_done {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_hold_over_reconnects_and_kills_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let jetstream = Arc::new(Jetstream::start().await);
    let mut world = World {
        records: BTreeMap::new(),
        truth: Vec::new(),
        seq: 0,
        random: Random(5),
    };
    for _ in 0..500 {
        world.step(&jetstream);
    }
    let address: Address = Arc::default();
    let last = Arc::new(Mutex::new(Some("none yet".to_owned())));
    let mut random = Random(7);
    let followers: Vec<_> = (0..8)
        .map(|seed| {
            let first = 1 + random.below(500);
            let follower = follow(address.clone(), first, seed, last.clone());
            (first, tokio::spawn(follower))
        })
        .collect();
    let feeding = tokio::spawn({
        let (jetstream, last) = (jetstream.clone(), last.clone());
        async move {
            for _ in 0..700 {
                for _ in 0..10 {
                    world.step(&jetstream);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Whatever came last says something.
            while !world
                .truth
                .last()
                .unwrap()
                .cursor
                .starts_with(&format!("{}.", world.seq))
            {
                world.step(&jetstream);
            }
            *last.lock() = Some(world.truth.last().unwrap().cursor.clone());
            world.truth
        }
    });
    let mut lives = 0;
    let mut server = start(&jetstream, &data, &dir.path().join("0.log"), &[]);
    while !feeding.is_finished() {
        *address.lock() = Some(server.address);
        tokio::time::sleep(Duration::from_millis(500 + random.below(1500))).await;
        *address.lock() = None;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        lives += 1;
        server = start(
            &jetstream,
            &data,
            &dir.path().join(format!("{lives}.log")),
            &[],
        );
    }
    *address.lock() = Some(server.address);
    assert!(lives >= 3, "{lives}");
    let truth = feeding.await.unwrap();
    for (first, follower) in followers {
        let told = tokio::time::timeout(Duration::from_secs(120), follower);
        let told = told.await.expect("the end").unwrap();
        let seq = |told: &Told| {
            told.cursor
                .split_once('.')
                .unwrap()
                .0
                .parse::<u64>()
                .unwrap()
        };
        let from = truth.partition_point(|told| seq(told) < first);
        let differs = (0..)
            .zip(&told)
            .find(|(at, told)| truth.get(from + at) != Some(told));
        if let Some((at, told)) = differs {
            panic!("from {first}: {told:?} is not {:?}", truth.get(from + at));
        }
        assert_eq!(told.len(), truth.len() - from);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_who_behave_badly_are_nobody_elses_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let most = ["--subscribers-max", "300"];
    let server = start(
        &jetstream,
        &dir.path().join("data"),
        &dir.path().join("log"),
        &most,
    );
    let address = server.address;
    let mut witness = Subscriber::open(address, "?instant=true&includeTime=true").await;
    let mut idle = Vec::new();
    for _ in 0..250 {
        let query = "?instant=true&wantedSubjects=nobody";
        idle.push(Subscriber::open(address, query).await);
    }
    // One sends garbage, and one wants very much.
    let mut garbage = Subscriber::open(address, "?instant=true").await;
    garbage.0.send(Message::text("{")).await.unwrap();
    let mut greedy = Subscriber::open(address, "?instant=true").await;
    let subjects: Vec<String> = (0..50_000).map(|n| format!("did:plc:{n}")).collect();
    let update = json!({"type": "options_update", "payload": {"wantedSubjects": subjects}});
    greedy
        .0
        .send(Message::text(update.to_string()))
        .await
        .unwrap();
    let ping = Message::Ping(Bytes::from_static(b"there?"));
    greedy.0.send(ping).await.unwrap();
    let pong = Message::Pong(Bytes::from_static(b"there?"));
    while greedy.0.next().await.unwrap().unwrap() != pong {}

    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let mut slowest = Duration::ZERO;
    for n in 0..200_u64 {
        let started = Instant::now();
        for m in 0..50 {
            let subject = if m == 0 { "did:plc:49999" } else { did };
            let record = json!({"via": subject});
            jetstream.commit(did, &format!("r{n}-{m}"), "create", Some(record));
        }
        let mut last = Value::Null;
        for _ in 0..50 {
            last = witness.json().await;
        }
        assert_eq!(last["cursor"], format!("{}.0", (n + 1) * 50));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");
    for _ in 0..200 {
        assert_eq!(greedy.json().await["link"]["subject"], "did:plc:49999");
    }
    // One that reads nothing is given up, and says why to whoever reads on: after more than the system's own buffers take.
    let mut deaf = Subscriber::open(address, "?instant=true").await;
    let url = format!("https://x.example/{}", "x".repeat(1_500));
    for n in 0..70 {
        for m in 0..500 {
            let record = json!({"via": url});
            jetstream.commit(did, &format!("f{n}-{m}"), "create", Some(record));
        }
        for _ in 0..500 {
            assert_eq!(witness.json().await["link"]["subject"], url);
        }
    }
    let (code, reason) = deaf.end().await;
    assert_eq!(
        (code, reason.contains("too slow")),
        (1013, true),
        "{reason}"
    );
    let (code, reason) = garbage.end().await;
    assert_eq!(
        (code, reason.contains("options_update")),
        (1008, true),
        "{reason}"
    );
    // A place too many is refused, and one that was left is given again.
    let mut more = Vec::new();
    while let Some(subscriber) = Subscriber::try_open(address, "").await {
        more.push(subscriber);
        assert!(more.len() < 60);
    }
    drop(idle);
    let until = Instant::now() + Duration::from_secs(10);
    while Subscriber::try_open(address, "").await.is_none() {
        assert!(Instant::now() < until, "no place");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, _, _) = server.get("/_health").unwrap();
    assert_eq!(status, 200);
}
