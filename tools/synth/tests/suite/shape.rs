//! The stream's shape, checked on its bytes alone: every test reads lines as any
//! consumer would and knows nothing of how they were made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic; clippy sees no test in helpers of an integration test"
)]

use std::collections::{HashMap, HashSet};

use orrery_synth::{EventClass, Generator, Options, Tempo};
use serde_json::Value;

const EVENTS: u64 = 300_000;

/// What one pass over the stream counts.
#[derive(Default)]
struct Census {
    bytes: usize,
    classes: HashMap<String, u64>,
    meta_classes: HashMap<EventClass, u64>,
    records: u64,
    links: u64,
    likes_via: u64,
    reposts_via: u64,
    deletes_unseen: u64,
    grouped: u64,
    dids: HashSet<String>,
    statuses: HashMap<String, u64>,
    profile_updates: u64,
    post_updates: u64,
    others: HashSet<String>,
}

fn class(event: &Value) -> String {
    let kind = event["kind"].as_str().unwrap();
    if kind != "commit" {
        return kind.to_owned();
    }
    match (
        event["commit"]["operation"].as_str().unwrap(),
        event["commit"]["collection"].as_str().unwrap(),
    ) {
        ("delete", _) => "delete".to_owned(),
        (_, c) => match c {
            "app.bsky.feed.like" => "like",
            "app.bsky.feed.post" => "post",
            "app.bsky.feed.repost" => "repost",
            "app.bsky.graph.follow" => "follow",
            "app.bsky.graph.block" => "block",
            "app.bsky.graph.listitem" => "listitem",
            "app.bsky.actor.profile" => "profile",
            "app.bsky.feed.threadgate" => "threadgate",
            _ => "other",
        }
        .to_owned(),
    }
}

/// Strings anywhere in the record that begin like a link.
fn links(value: &Value) -> u64 {
    match value {
        Value::String(s) => {
            u64::from(s.starts_with("at://") || s.starts_with("did:") || s.starts_with("http"))
        }
        Value::Array(items) => items.iter().map(links).sum(),
        Value::Object(members) => members.values().map(links).sum(),
        _ => 0,
    }
}

fn tid(text: &str) -> u64 {
    assert_eq!(text.len(), 13, "{text}");
    text.bytes().fold(0, |n, c| {
        let v = b"234567abcdefghijklmnopqrstuvwxyz"
            .iter()
            .position(|&x| x == c)
            .unwrap();
        n << 5 | v as u64
    })
}

fn assert_did(did: &str) {
    if let Some(id) = did.strip_prefix("did:plc:") {
        assert_eq!(id.len(), 24, "{did}");
        assert!(
            id.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')),
            "{did}"
        );
    } else {
        assert!(did.starts_with("did:web:"), "{did}");
    }
}

/// Reads a stream and checks all that must hold of every single event.
fn census(options: Options) -> Census {
    let mut generator = Generator::new(options).unwrap();
    let mut census = Census::default();
    let mut line = Vec::new();
    let (mut last_time, mut last_seq) = (0, 0);
    let mut created = HashSet::new();
    let mut deleted = HashSet::new();
    let mut last_rev: HashMap<String, String> = HashMap::new();
    let mut inactive = HashSet::new();
    let mut gone = HashSet::new();
    let mut run: (String, String, u64) = Default::default();
    while let Some(meta) = generator.next_into(&mut line) {
        assert!(!line.contains(&b'\n'), "a line has no line end inside");
        let event: Value = serde_json::from_slice(&line).unwrap();
        let did = event["did"].as_str().unwrap().to_owned();
        assert_did(&did);
        let time = event["time_us"].as_u64().unwrap();
        assert_eq!(time, meta.time_us);
        assert!(time >= last_time, "time never falls");
        last_time = time;
        census.bytes += line.len();
        let class = class(&event);
        *census.classes.entry(class.clone()).or_default() += 1;
        *census.meta_classes.entry(meta.class).or_default() += 1;
        census.dids.insert(did.clone());
        let kind = event["kind"].as_str().unwrap();
        if kind != "commit" {
            let body = &event[kind];
            assert_eq!(body["did"], event["did"]);
            let seq = body["seq"].as_u64().unwrap();
            assert!(seq > last_seq, "relay seq rises");
            last_seq = seq;
            assert_eq!(body["time"].as_str().unwrap().len(), 24);
            assert!(!gone.contains(&did), "a deleted account stays gone");
            if kind == "identity" {
                assert!(body["handle"].as_str().unwrap().contains('.'));
                continue;
            }
            let status = body["status"].as_str().unwrap_or("active").to_owned();
            match status.as_str() {
                "active" => {
                    assert_eq!(body["active"], true);
                    assert!(inactive.remove(&did), "only inactive accounts come back");
                }
                "deleted" => assert!(gone.insert(did)),
                "deactivated" | "takendown" | "suspended" => assert!(inactive.insert(did)),
                other => panic!("status {other}"),
            }
            assert_eq!(body["active"] == true, status == "active");
            *census.statuses.entry(status).or_default() += 1;
            continue;
        }
        assert!(
            !inactive.contains(&did) && !gone.contains(&did),
            "no commit of an inactive account"
        );
        let commit = &event["commit"];
        let rev = commit["rev"].as_str().unwrap().to_owned();
        assert!(tid(&rev) & 0x3ff < 32, "clock id of {rev}");
        let collection = commit["collection"].as_str().unwrap().to_owned();
        let rkey = commit["rkey"].as_str().unwrap().to_owned();
        if rkey == "self" {
            assert_eq!(collection, "app.bsky.actor.profile");
        } else {
            assert!(tid(&rkey) & 0x3ff < 32, "clock id of {rkey}");
            assert!(rkey <= rev, "key {rkey} is not newer than rev {rev}");
        }
        if run.0 == did && run.1 == rev {
            run.2 += 1;
            census.grouped += if run.2 == 2 { 2 } else { 1 };
        } else {
            if let Some(last) = last_rev.get(&did) {
                assert!(rev > *last, "revs of a repo rise from commit to commit");
            }
            run = (did.clone(), rev.clone(), 1);
        }
        last_rev.insert(did.clone(), rev);
        let key = (did, collection.clone(), rkey.clone());
        let operation = commit["operation"].as_str().unwrap();
        if operation == "delete" {
            assert!(commit.get("record").is_none() && commit.get("cid").is_none());
            assert!(
                deleted.insert(key.clone()),
                "no key is deleted twice: {key:?}"
            );
            census.deletes_unseen += u64::from(!created.contains(&key));
            continue;
        }
        assert!(!deleted.contains(&key), "no deleted key is written again");
        if rkey != "self" {
            assert_eq!(
                operation == "create",
                created.insert(key),
                "a key is created once, then updated"
            );
        }
        let cid = commit["cid"].as_str().unwrap();
        assert!(cid.len() == 59 && cid.starts_with("bafyrei"), "{cid}");
        let record = &commit["record"];
        assert_eq!(record["$type"].as_str().unwrap(), collection);
        census.records += 1;
        census.links += links(record);
        match (class.as_str(), operation) {
            ("like", _) => census.likes_via += u64::from(record.get("via").is_some()),
            ("repost", _) => census.reposts_via += u64::from(record.get("via").is_some()),
            ("profile", "update") => census.profile_updates += 1,
            ("post", "update") => census.post_updates += 1,
            ("other", _) => {
                census.others.insert(collection);
            }
            _ => {}
        }
        if class == "post" {
            assert_facets(record);
        }
    }
    census
}

/// Facets mark what they say they mark.
fn assert_facets(record: &Value) {
    let text = record["text"].as_str().unwrap().as_bytes();
    for facet in record["facets"].as_array().into_iter().flatten() {
        let at = |name: &str| facet["index"][name].as_u64().unwrap() as usize;
        let marked = std::str::from_utf8(&text[at("byteStart")..at("byteEnd")]).unwrap();
        let feature = &facet["features"][0];
        match feature["$type"].as_str().unwrap() {
            "app.bsky.richtext.facet#mention" => assert!(marked.starts_with('@'), "{marked}"),
            "app.bsky.richtext.facet#tag" => {
                assert_eq!(marked[1..], *feature["tag"].as_str().unwrap())
            }
            "app.bsky.richtext.facet#link" => assert!(marked.contains('.'), "{marked}"),
            other => panic!("{other}"),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

#[test]
fn shares_sizes_links_and_groups_are_those_of_the_network() {
    let census = census(Options::finite(1, EVENTS));
    let expected = [
        ("like", 62.0),
        ("post", 11.0),
        ("repost", 9.0),
        ("follow", 6.0),
        ("block", 1.6),
        ("listitem", 1.0),
        ("profile", 0.8),
        ("threadgate", 0.4),
        ("other", 1.7),
        ("delete", 5.5),
        ("account", 0.4),
        ("identity", 0.6),
    ];
    assert_eq!(census.classes.values().sum::<u64>(), EVENTS);
    for (name, share) in expected {
        let count = census.classes[name];
        println!("{name:10} {:7.3} %", percent(count, EVENTS));
        // Five standard deviations of a binomial count.
        let tolerance = 500.0 * (share / 100.0 * (1.0 - share / 100.0) / EVENTS as f64).sqrt();
        let found = percent(count, EVENTS);
        assert!(
            (found - share).abs() < tolerance,
            "{name}: {found} % is not {share} % within {tolerance}"
        );
    }
    for (class, share) in EventClass::PERCENT {
        assert!(
            (percent(census.meta_classes[&class], EVENTS) - share).abs() < 0.5,
            "{class:?}"
        );
    }
    let mean = census.bytes as f64 / EVENTS as f64;
    let links = census.links as f64 / census.records as f64;
    let grouped = percent(census.grouped, EVENTS);
    let unseen = percent(census.deletes_unseen, census.classes["delete"]);
    let via = (
        percent(census.likes_via, census.classes["like"]),
        percent(census.reposts_via, census.classes["repost"]),
    );
    println!(
        "{mean:.1} bytes, {links:.3} links a record, {grouped:.2} % grouped, {unseen:.1} % of deletes unseen, via {via:?}"
    );
    println!(
        "{} dids, statuses {:?}, others {:?}",
        census.dids.len(),
        census.statuses,
        census.others.len()
    );
    assert!((530.0..570.0).contains(&mean), "{mean} bytes an event");
    assert!((1.15..1.25).contains(&links), "{links} links a record");
    assert!((3.7..4.3).contains(&grouped), "{grouped} % grouped");
    assert!(
        (18.5..21.5).contains(&unseen),
        "{unseen} % of deletes unseen"
    );
    assert!(
        (16.5..17.5).contains(&via.0) && (39.0..41.0).contains(&via.1),
        "via {via:?}"
    );
    assert!(census.others.len() >= 12, "{:?}", census.others);
    assert!(percent(census.profile_updates, census.classes["profile"]) > 60.0);
    assert!((0.5..1.5).contains(&percent(census.post_updates, census.classes["post"])));
    let back = census.statuses["active"];
    let left: u64 = ["deactivated", "takendown", "suspended"]
        .iter()
        .map(|s| census.statuses[*s])
        .sum();
    assert!(
        back * 100 > left * 85,
        "most accounts come back: {:?}",
        census.statuses
    );
    assert!(
        census.statuses["deleted"] * 8 > left,
        "some are deleted: {:?}",
        census.statuses
    );
}

#[test]
fn invariants_hold_for_a_small_busy_population_at_a_high_rate() {
    // 200 accounts at a million events a second: revs must be pushed apart, accounts
    // go and come all the time, and ranks change hands.
    let options = Options {
        actors: 200,
        tempo: Tempo::EventsPerSecond(1_000_000.0),
        delete_percent: 20.0,
        account_percent: 5.0,
        ..Options::finite(5, 100_000)
    };
    let census = census(options);
    let deletes = percent(census.classes["delete"], 100_000);
    assert!((19.0..21.0).contains(&deletes), "{deletes}");
    assert!((4.5..5.5).contains(&percent(census.classes["account"], 100_000)));
    assert!(
        census.dids.len() > 400,
        "deleted accounts have successors: {}",
        census.dids.len()
    );
}

#[test]
fn the_hot_target_gets_its_share_and_nothing_by_default() {
    for (share, expected) in [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)] {
        let mut generator = Generator::new(Options {
            hot_like_share: share,
            ..Options::finite(3, 20_000)
        })
        .unwrap();
        let needle = format!(
            "\"subject\":{{\"cid\":\"{{}}\",\"uri\":\"{}\"}}",
            generator.hot_target()
        );
        let uri = needle.rsplit('"').nth(1).unwrap().to_owned();
        let (mut likes, mut hot, mut elsewhere) = (0_u32, 0_u32, 0_u32);
        let mut line = Vec::new();
        while let Some(meta) = generator.next_into(&mut line) {
            let text = std::str::from_utf8(&line).unwrap();
            let hit = u32::from(text.contains(&uri));
            if meta.class == EventClass::Like {
                likes += 1;
                hot += hit;
            } else {
                elsewhere += hit;
            }
        }
        let found = f64::from(hot) / f64::from(likes);
        assert!((found - expected).abs() < 0.02, "{found}");
        assert_eq!(elsewhere, 0);
    }
}

#[test]
fn popular_targets_are_linked_to_most() {
    let mut generator = Generator::new(Options::finite(1, 50_000)).unwrap();
    let popular = generator.popular_targets(3);
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut line = Vec::new();
    while let Some(meta) = generator.next_into(&mut line) {
        if matches!(meta.class, EventClass::Like | EventClass::Follow) {
            let event: Value = serde_json::from_slice(&line).unwrap();
            let subject = &event["commit"]["record"]["subject"];
            let target = subject
                .as_str()
                .or_else(|| subject["uri"].as_str())
                .unwrap();
            *counts.entry(target.to_owned()).or_default() += 1;
        }
    }
    let top = |prefix: &str| {
        let found = counts
            .iter()
            .filter(|(target, _)| target.starts_with(prefix));
        found.max_by_key(|(_, count)| **count).unwrap().0.clone()
    };
    assert_eq!(top("at://"), popular.posts[0]);
    assert_eq!(top("did:"), popular.accounts[0]);
    assert!(popular.pages.iter().all(|page| page.starts_with("http")));
}

#[test]
fn a_span_of_event_time_is_kept_and_the_stream_ends() {
    let options = Options {
        tempo: Tempo::SpanUs(3_600_000_000),
        ..Options::finite(2, 50_000)
    };
    let start = options.start_us;
    let mut generator = Generator::new(options).unwrap();
    let mut line = Vec::new();
    let mut last = 0;
    let mut count = 0;
    while let Some(meta) = generator.next_into(&mut line) {
        assert_eq!(meta.index, count);
        count += 1;
        last = meta.time_us - start;
    }
    assert_eq!(count, 50_000);
    assert!(
        line.is_empty() && generator.next_into(&mut line).is_none() && generator.next().is_none()
    );
    assert!((3_540_000_000..3_660_000_000).contains(&last), "{last}");
}
