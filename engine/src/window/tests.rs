//! What the window tells, against what was applied.

mod costs;
mod damage;
mod model;
mod stress;

use std::path::{Path, PathBuf};

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};

use super::Recorded;
use crate::io::fault::SimFs;
use crate::power_cut_tests::{did, time_us};
use crate::store::LOG;
use crate::{Applied, Options, Store, Writer};

const COLLECTIONS: [&str; 2] = ["app.bsky.feed.like", "org.example.thing"];

fn dir() -> &'static Path {
    Path::new("data")
}

/// A store that keeps some hundred bytes of durable events in memory.
fn options() -> Options {
    Options {
        tail_bytes: 2 << 10,
        ..Options::default()
    }
}

fn open(fs: &SimFs) -> Store {
    Store::open_with_fs(fs.shared(), dir(), options()).unwrap()
}

fn key_parts(key: u64) -> (&'static str, String) {
    (COLLECTIONS[key as usize % 2], format!("key{}", key / 2))
}

fn record(store: &Store, actor: u64, key: u64) -> Recorded {
    let (collection, rkey) = key_parts(key);
    store.record(&did(actor), collection, &rkey).unwrap()
}

fn seq_of(recorded: &Recorded) -> Option<u64> {
    match recorded {
        Recorded::Found { seq, .. } | Recorded::Deleted { seq, .. } => Some(*seq),
        Recorded::Unknown { .. } => None,
    }
}

/// The seq at which it was deleted, if it was.
fn deleted_at(recorded: &Recorded) -> Option<u64> {
    match recorded {
        Recorded::Deleted { seq, .. } => Some(*seq),
        _ => None,
    }
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Creates or updates a record, with a link or without.
    Write {
        key: u64,
        is_create: bool,
        has_link: bool,
    },
    Delete {
        key: u64,
    },
    Account(Option<&'static str>),
    Identity,
}

/// The body of a record that was written at that place.
fn body_at(place: u64, has_link: bool) -> String {
    if has_link {
        format!(
            r#"{{"place":{place},"subject":"https://example.org/{}"}}"#,
            place % 3
        )
    } else {
        format!(r#"{{"place":{place}}}"#)
    }
}

/// Applies the deed of that place; the revision is so many microseconds ahead of its time.
fn apply(writer: &mut Writer, place: u64, actor: u64, deed: Deed, ahead_us: u64) -> Applied {
    let json = match deed {
        Deed::Write { has_link, .. } => body_at(place, has_link),
        _ => String::new(),
    };
    let cid = format!("cid{place}");
    let record = Record {
        cid: &cid,
        encoding: Encoding::Json,
        body: json.as_bytes(),
    };
    let (key, operation) = match deed {
        Deed::Write {
            key,
            is_create: true,
            ..
        } => (key, Operation::Create(record)),
        Deed::Write { key, .. } => (key, Operation::Update(record)),
        Deed::Delete { key } => (key, Operation::Delete),
        Deed::Account(_) | Deed::Identity => (0, Operation::Delete),
    };
    let (collection, rkey) = key_parts(key);
    let body = match deed {
        Deed::Account(status) => Body::Account {
            seq: place,
            active: status.is_none(),
            status,
        },
        Deed::Identity => Body::Identity {
            seq: place,
            handle: Some("a.example"),
        },
        _ => Body::Commit {
            rev: (time_us(place) + ahead_us) << 10,
            collection,
            rkey: &rkey,
            operation,
        },
    };
    let event = Event {
        time_us: time_us(place),
        did: &did(actor),
        body,
    };
    writer.apply(&event).unwrap()
}

fn write(key: u64) -> Deed {
    Deed::Write {
        key,
        is_create: true,
        has_link: key.is_multiple_of(2),
    }
}

/// The paths of the files of the log with that extension, oldest first.
fn files(fs: &SimFs, extension: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        path.parent().is_some_and(|parent| parent.ends_with(LOG))
            && path.extension().is_some_and(|found| found == extension)
    };
    let mut paths: Vec<PathBuf> = fs.paths().into_iter().filter(is_one).collect();
    paths.sort();
    paths
}
