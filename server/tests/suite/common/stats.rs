//! Counts of the model's events, by going through all of them.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use orrery_server::{Child, CollectionCounts, Counts, Hours, Order, SampleRecord};

/// The hour of the first event: 2023-11-14T22:00:00Z, the hour of the model's first link.
pub const HOUR: u32 = 472_222;

/// An event: its hour, account, collection, and what it did: `c`, `u` or `d`.
pub struct Event(pub u32, pub &'static str, pub &'static str, pub char);

/// Five collections over three hours.
pub fn sample() -> Vec<Event> {
    vec![
        Event(HOUR, "a", "app.bsky.feed.like", 'c'),
        Event(HOUR, "b", "app.bsky.feed.like", 'c'),
        Event(HOUR, "b", "app.bsky.feed.post", 'c'),
        Event(HOUR, "c", "app.bsky.graph.follow", 'c'),
        Event(HOUR + 1, "a", "app.bsky.feed.like", 'd'),
        Event(HOUR + 1, "b", "app.bsky.feed.post", 'u'),
        Event(HOUR + 1, "d", "app.bsky.feed", 'c'),
        Event(HOUR + 2, "a", "app.bsky.feed.like", 'c'),
        Event(HOUR + 2, "e", "sh.tangled.feed.star", 'd'),
        Event(HOUR + 2, "f", "sh.feedback.inbox.note", 'c'),
    ]
}

pub fn count(events: &[Event], hours: &Hours, is: impl Fn(&str) -> bool) -> Counts {
    let mut counts = Counts::default();
    let mut dids = BTreeSet::new();
    for Event(hour, did, nsid, what) in events {
        if hours.contains(hour) && is(nsid) {
            match what {
                'c' => counts.creates += 1,
                'u' => counts.updates += 1,
                _ => counts.deletes += 1,
            }
            dids.insert(did);
        }
    }
    counts.dids_estimate = dids.len() as u64;
    counts
}

fn sort<T>(all: &mut Vec<T>, order: Option<Order>, counts: impl Fn(&T) -> Counts) {
    match order {
        None => {}
        Some(Order::RecordsCreated) => {
            all.retain(|item| counts(item).creates > 0);
            all.sort_by_key(|item| Reverse(counts(item).creates));
        }
        Some(Order::DidsEstimate) => all.sort_by_key(|item| Reverse(counts(item).dids_estimate)),
    }
}

pub fn collections(events: &[Event], hours: &Hours, order: Option<Order>) -> Vec<CollectionCounts> {
    let names: BTreeSet<&str> = events.iter().map(|event| event.2).collect();
    let all = names.into_iter().map(|nsid| CollectionCounts {
        nsid: nsid.into(),
        counts: count(events, hours, |name| name == nsid),
    });
    let mut all: Vec<_> = all.filter(|c| c.counts.dids_estimate > 0).collect();
    sort(&mut all, order, |c| c.counts);
    all
}

pub fn prefix(
    events: &[Event],
    prefix: &str,
    hours: &Hours,
    order: Option<Order>,
) -> (Counts, Vec<Child>) {
    let below = format!("{prefix}.");
    let mut children = Vec::new();
    let firsts: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event.2.strip_prefix(&below))
        .map(|rest| rest.split('.').next().unwrap())
        .collect();
    for first in firsts {
        let name = format!("{below}{first}");
        let counts = count(events, hours, |nsid| nsid == name);
        let below = format!("{name}.");
        let group = count(events, hours, |nsid| nsid.starts_with(&below));
        for (is_group, counts) in [(false, counts), (true, group)] {
            if counts.dids_estimate > 0 {
                let name = name.clone();
                children.push(Child {
                    is_group,
                    name,
                    counts,
                });
            }
        }
    }
    sort(&mut children, order, |child| child.counts);
    (
        count(events, hours, |nsid| nsid.starts_with(&below)),
        children,
    )
}

pub fn search(events: &[Event], terms: &[&str]) -> Vec<CollectionCounts> {
    let mut all = collections(events, &(0..u32::MAX), None);
    all.retain(|c| terms.iter().any(|term| c.nsid.contains(term)));
    let of = |nsid: &str, is: fn(&str, &str) -> bool| {
        nsid.split('.')
            .any(|segment| terms.iter().any(|term| is(segment, term)))
    };
    all.sort_by_key(|c| {
        let whole = of(&c.nsid, |segment, term| segment == term);
        let begins = of(&c.nsid, |segment, term| segment.starts_with(term));
        Reverse((whole, begins))
    });
    all
}

/// A hundred records of any collection.
pub fn samples(collection: &str, limit: usize) -> Vec<SampleRecord> {
    let one = |i: u64| {
        let text = format!("{{ \"$type\":\"{collection}\", \"n\":1e3, \"text\":\"<script>\" }}");
        // The front page looks for an account that is followed.
        let text = if collection == "app.bsky.graph.follow" {
            let subject = if i == 0 { "no account" } else { "did:plc:m" };
            format!("{{\"subject\":\"{subject}\"}}")
        } else {
            text
        };
        SampleRecord {
            did: "did:plc:a".into(),
            collection: collection.into(),
            rkey: format!("3k{i}"),
            record: serde_json::value::RawValue::from_string(text).unwrap(),
            time_us: 1_700_000_000_000_000 - i,
        }
    };
    (0..100).map(one).take(limit).collect()
}
