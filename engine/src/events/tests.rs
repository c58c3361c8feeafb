//! What readers give, against what was applied.

mod crash;
mod damage;
mod model;
mod seams;
mod seek;

use std::path::{Path, PathBuf};

use orrery_formats::effect::{Before, Effect, Links};
use orrery_formats::event::Body;

use super::{Accepted, EventReader, Progress};
use crate::io::fault::{SimFs, SplitMix};
use crate::store::LOG;
use crate::{Options, Store};

/// Links of a row: path and target.
type OwnedLinks = Vec<(String, String)>;

/// An effect with its own strings.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Undone {
    Unknown,
    Commit {
        hidden: bool,
        before: Stood,
    },
    Account {
        rows: Vec<(String, String, OwnedLinks)>,
        seqs: Vec<u64>,
        is_cut: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stood {
    Nothing,
    Same,
    Links(OwnedLinks),
    Unknown,
}

fn owned_links(links: Links<'_>) -> OwnedLinks {
    let own = |(path, target): (&str, &str)| (path.to_owned(), target.to_owned());
    links.iter().map(own).collect()
}

fn undone(effect: &Effect<'_>) -> Undone {
    match effect {
        Effect::Unknown => Undone::Unknown,
        Effect::Commit { hidden, before } => Undone::Commit {
            hidden: *hidden,
            before: match before {
                Before::Nothing => Stood::Nothing,
                Before::Same => Stood::Same,
                Before::Links(links) => Stood::Links(owned_links(*links)),
                Before::Unknown => Stood::Unknown,
            },
        },
        Effect::Account { rows, seqs, is_cut } => Undone::Account {
            rows: rows
                .iter()
                .map(|row| {
                    let (collection, rkey) = (row.collection.to_owned(), row.rkey.to_owned());
                    (collection, rkey, owned_links(row.links))
                })
                .collect(),
            seqs: seqs.iter().collect(),
            is_cut: *is_cut,
        },
    }
}

/// An accepted event with its own strings: its seq, the event as it prints, and what it undid.
type Owned = (u64, String, Undone);

fn owned(accepted: &Accepted<'_>) -> Owned {
    let (seq, event) = (accepted.seq, accepted.event);
    (seq, format!("{event:?}"), undone(&accepted.effect))
}

/// Reads on to the end, some events at a time. Nothing may be missing.
fn read_all(reader: &mut EventReader, random: &mut SplitMix) -> Vec<Owned> {
    let mut found = Vec::new();
    loop {
        let most = 1 + (random.next_u64() % 9) as usize;
        let before = found.len();
        let progress = reader
            .read(most, &mut |accepted| found.push(owned(&accepted)))
            .unwrap();
        assert!(found.len() - before <= most);
        match progress {
            Progress::Read => assert_eq!(found.len() - before, most),
            Progress::CaughtUp => return found,
            missing => panic!("{missing:?}"),
        }
    }
}

fn dir() -> &'static Path {
    Path::new("data")
}

/// A store that keeps some hundred bytes of durable events in memory.
fn options() -> Options {
    Options {
        tail_bytes: 4 << 10,
        ..Options::default()
    }
}

fn open(fs: &SimFs) -> Store {
    Store::open_with_fs(fs.shared(), dir(), options()).unwrap()
}

/// The paths of the log files, oldest first.
fn log_files(fs: &SimFs) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| {
        path.parent().is_some_and(|parent| parent.ends_with(LOG))
            && path.extension().is_some_and(|extension| extension == "log")
    };
    let mut paths: Vec<PathBuf> = fs.paths().into_iter().filter(is_log).collect();
    paths.sort();
    paths
}

/// The collection and key of a commit.
fn key_of<'a>(accepted: &Accepted<'a>) -> Option<(&'a str, &'a str)> {
    match accepted.event.body {
        Body::Commit {
            collection, rkey, ..
        } => Some((collection, rkey)),
        _ => None,
    }
}
