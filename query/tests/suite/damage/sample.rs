//! A small store with a file of every kind in every state, and a fixed set of questions.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Snapshot, SourceCursor, Store, Writer};
use orrery_query::{Error, Filter, ManyToMany, Paging, Queries};

pub(crate) const LIKE: &str = "app.test.like";
pub(crate) const LIST: &str = "app.test.list";
/// Events of the history.
pub(crate) const EVENTS: u64 = 420;
/// A seal after each of these; the first three are merged.
const SEALS: [u64; 5] = [100, 200, 300, 340, 380];
/// Events of a frame of the log behind the last seal.
const FRAME_EVENTS: u64 = 8;
const ACTORS: u64 = 14;

/// All files of a directory, by paths within it.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.compact = false;
    options.compact_fan_in = 3;
    options.commit_interval = Duration::from_secs(3_600);
    options.disk_reserve = 0;
    options
}

fn did(actor: u64) -> String {
    let letter = char::from(b'a' + actor as u8);
    format!("did:plc:{}", letter.to_string().repeat(24))
}

fn target(n: u64) -> String {
    match n {
        0..3 => format!("at://{}/app.test.post/3mabc2222222{n}", did(20)).replace('0', "z"),
        3..5 => did(20 + n % 2),
        5 => "at://did:plc:uuuuuuuuuuuuuuuuuuuuuuuu/app.test.post/a-key-of-its-own".to_owned(),
        n => format!("https://example.org/page/{n}"),
    }
}

/// A target that nothing else links to, so long that a few hundred fill several chunks of a segment.
fn long_target(place: u64) -> String {
    let mut text = "https://example.org/long/".to_owned();
    let mut word = place;
    for _ in 0..120 {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word >> 29;
        write!(text, "{word:016x}").unwrap();
    }
    text
}

fn time_us(place: u64) -> u64 {
    1_793_491_200_000_000 + place * 1_000_000
}

/// The event at a place of the history; mostly links, some deletions and account states.
pub(crate) fn apply(writer: &mut Writer, place: u64) -> orrery_engine::Result<Applied> {
    let mix = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let actor = did(mix % ACTORS);
    let is_delete = matches!(place % 29, 7 | 19);
    // What is replayed at a start looks at few old records, so that not all damage is met there.
    let is_replayed = place > SEALS[SEALS.len() - 1] && !is_delete;
    let key = mix / 64 % 24 + if is_replayed { 200 } else { 0 };
    let rkey = if key.is_multiple_of(3) {
        format!("key-{key}")
    } else {
        format!("3mabc22222{key:03}").replace(['0', '1', '8', '9'], "z")
    };
    let other = target(mix / 4096 % 9);
    // Half of all links go to one target, so that it has long lists.
    let subject = if (mix / 128).is_multiple_of(2) {
        target(0)
    } else {
        other.clone()
    };
    let is_list = mix.is_multiple_of(5);
    let record = if is_list {
        format!(r#"{{"list":"{other}","subject":"{subject}"}}"#)
    } else {
        let long = if place < 240 {
            long_target(place)
        } else {
            String::new()
        };
        format!(r#"{{"long":"{long}","subject":"{subject}"}}"#)
    };
    let body = match place % 29 {
        7 | 19 => None,
        13 if place.is_multiple_of(2) => Some((false, Some("suspended"))),
        13 => Some((true, None)),
        23 if place > 250 && place < 320 => Some((false, Some("deleted"))),
        _ => None,
    };
    let body = match body {
        Some((active, status)) => Body::Account {
            seq: place,
            active,
            status,
        },
        None => Body::Commit {
            rev: time_us(place) << 10,
            collection: if is_list { LIST } else { LIKE },
            rkey: &rkey,
            operation: if is_delete {
                Operation::Delete
            } else {
                Operation::Update(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: record.as_bytes(),
                })
            },
        },
    };
    writer.apply(&Event {
        time_us: time_us(place),
        did: &actor,
        body,
    })
}

/// Applies an event and tells its place as the source's.
pub(crate) fn step(writer: &mut Writer, place: u64) -> orrery_engine::Result<()> {
    apply(writer, place)?;
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: "history".to_owned(),
        value: place,
    });
    Ok(())
}

/// The answer to each question: its items, or why there is none.
pub(crate) type Answers = Vec<Result<Vec<String>, Error>>;
/// The same without any error.
pub(crate) type Sound = Vec<Vec<String>>;

/// Asks everything of a snapshot: counts, whole lists by pages, accounts, sources of a target, and both sides of
/// many-to-many relations.
pub(crate) fn ask(snapshot: &Snapshot) -> Answers {
    let queries = Queries::with_links_min(1 << 20, 1);
    let mut answers = Answers::new();
    for n in 0..19 {
        let target = if n < 9 {
            target(n)
        } else {
            long_target((n - 8) * 23)
        };
        answers.push(queries.all(snapshot, &target).map(|found| {
            let items = found.iter();
            items.map(|totals| format!("{totals:?}")).collect()
        }));
        for (collection, path) in [(LIKE, ".subject"), (LIST, ".subject"), (LIST, ".list")] {
            let filter = Filter::new(&target, collection, path);
            answers.push(
                queries
                    .count(snapshot, &filter)
                    .map(|n| vec![n.to_string()]),
            );
            answers.push(
                queries
                    .count_distinct(snapshot, &filter)
                    .map(|n| vec![n.to_string()]),
            );
            answers.push(walk(|paging| {
                let page = queries.records(snapshot, &filter, paging)?;
                let items = page.items.iter();
                let items = items.map(|item| format!("{item:?} of {}", page.total));
                Ok((items.collect(), page.cursor))
            }));
            answers.push(walk(|paging| {
                let page = queries.distinct_dids(snapshot, &filter, paging)?;
                Ok((page.items, page.cursor))
            }));
        }
        let filter = Filter::new(&target, LIST, ".subject");
        let many = ManyToMany {
            path_to_other: ".list".to_owned(),
            other_subjects: None,
        };
        let paging = Paging::default();
        answers.push(
            queries
                .many_to_many(snapshot, &filter, &many, &paging)
                .map(|page| page.items.iter().map(|item| format!("{item:?}")).collect()),
        );
        answers.push(
            queries
                .many_to_many_counts(snapshot, &filter, &many, &paging)
                .map(|page| page.items.iter().map(|item| format!("{item:?}")).collect()),
        );
    }
    answers
}

type Walked = (Vec<String>, Option<orrery_query::Cursor>);

fn walk(mut page: impl FnMut(&Paging) -> Result<Walked, Error>) -> Result<Vec<String>, Error> {
    let mut paging = Paging {
        limit: 40,
        ..Paging::default()
    };
    let mut items = Vec::new();
    loop {
        let (more, cursor) = page(&paging)?;
        items.extend(more);
        match cursor {
            Some(cursor) => paging.cursor = Some(cursor),
            None => return Ok(items),
        }
    }
}

fn sound(answers: Answers) -> Sound {
    answers.into_iter().map(Result::unwrap).collect()
}

/// A directory as a crash leaves it, and the answers where its history may be found to end.
pub(crate) struct Sample {
    pub(crate) files: Files,
    pub(crate) answers: Vec<Sound>,
}

pub(crate) fn sample() -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut store = Store::open(dir, options()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut answers = vec![Sound::new(); EVENTS as usize + 1];
    for place in 1..=EVENTS {
        step(&mut writer, place).unwrap();
        let is_committed = place % FRAME_EVENTS == EVENTS % FRAME_EVENTS;
        if is_committed || SEALS.contains(&place) {
            answers[place as usize] = sound(ask(&store.snapshot()));
        }
        if SEALS.contains(&place) {
            writer.seal().unwrap();
            if writer.merge_due().unwrap() {
                writer.tick().unwrap();
            }
        }
        if place == 360 {
            // Masks are written anew, with what is masked by now.
            writer.close().unwrap();
            drop(store);
            for mask in read(dir).keys().filter(|path| path.starts_with("masks")) {
                fs::remove_file(dir.join(mask)).unwrap();
            }
            store = Store::open(dir, options()).unwrap();
            writer = store.writer().unwrap();
        }
        if is_committed {
            writer.commit().unwrap();
        }
    }
    assert_eq!(store.status().segments, 3, "one merged, two not");
    drop((writer, store));
    let files = read(dir);
    let sizes: Vec<usize> = files.values().map(Vec::len).collect();
    assert!(
        sizes.iter().any(|bytes| *bytes > 150 << 10),
        "several chunks: {sizes:?}"
    );
    let count = |start: &str| files.keys().filter(|path| path.starts_with(start)).count();
    assert_eq!(count("masks"), 3);
    assert!(count("log") > 8, "logs and indexes of keys");
    Sample { files, answers }
}

/// All files of a directory.
pub(crate) fn read(dir: &Path) -> Files {
    let mut files = Files::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(within) = dirs.pop() {
        for entry in fs::read_dir(within).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Makes `dir` hold exactly `files`.
pub(crate) fn write(dir: &Path, files: &Files) {
    drop(fs::remove_dir_all(dir));
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
