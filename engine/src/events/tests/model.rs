//! Effects against a plain model of accounts and records.

use std::collections::BTreeMap;

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use proptest::prelude::*;

use super::{Owned, OwnedLinks, Stood, Undone, log_files, open, owned, read_all};
use crate::io::fault::{SimFs, SplitMix};
use crate::log::{FrameBuffer, LogOptions, LogReader, LogWriter};
use crate::power_cut_tests::{did, target, time_us};
use crate::{Applied, Store, Writer};

const ACTORS: u64 = 3;
const COLLECTIONS: [&str; 2] = ["app.bsky.feed.like", "org.example.thing"];

#[derive(Debug, Clone)]
enum Step {
    /// A create or an update with these targets in an array and at one more path.
    Write {
        actor: u64,
        key: u64,
        is_create: bool,
        list: Vec<u64>,
        one: Option<u64>,
    },
    Delete {
        actor: u64,
        key: u64,
    },
    Account {
        actor: u64,
        status: Option<&'static str>,
    },
    Identity {
        actor: u64,
    },
    /// An earlier step once more.
    Repeat(prop::sample::Index),
    Seal,
    Commit,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let targets = proptest::collection::vec(0..5_u64, 0..4);
    let write = (
        0..ACTORS,
        0..4_u64,
        any::<bool>(),
        targets,
        proptest::option::of(0..5_u64),
    );
    let status = prop::sample::select(vec![None, Some("suspended"), Some("deleted")]);
    let step = prop_oneof![
        12 => write.prop_map(|(actor, key, is_create, list, one)| Step::Write { actor, key, is_create, list, one }),
        4 => (0..ACTORS, 0..4_u64).prop_map(|(actor, key)| Step::Delete { actor, key }),
        4 => (0..ACTORS, status).prop_map(|(actor, status)| Step::Account { actor, status }),
        1 => (0..ACTORS).prop_map(|actor| Step::Identity { actor }),
        3 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        2 => Just(Step::Seal),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

fn key_parts(key: u64) -> (&'static str, String) {
    let collection = COLLECTIONS[key as usize % 2];
    match key / 2 {
        0 => (collection, "self".to_owned()),
        _ => (collection, "3mabc2222222a".to_owned()),
    }
}

fn target_of(to: u64) -> String {
    match to {
        0..=2 => target(to),
        3 => did(0),
        _ => format!("at://{}/org.example.thing/self", did(1)),
    }
}

/// The body of a record and its links in the order of rows.
fn record(list: &[u64], one: Option<u64>) -> (String, OwnedLinks) {
    let list: Vec<String> = list.iter().map(|to| target_of(*to)).collect();
    let one = one.map(target_of);
    let mut members = vec![];
    // Paths do not come in their order.
    if let Some(one) = &one {
        members.push(format!("\"one\":{one:?}"));
    }
    members.push(format!("\"list\":{list:?}"));
    let mut links = OwnedLinks::new();
    for to in list {
        let link = (".list[]".to_owned(), to);
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links.extend(one.map(|to| (".one".to_owned(), to)));
    (format!("{{{}}}", members.join(",")), links)
}

/// What the index holds, and what was accepted.
#[derive(Default)]
struct Model {
    /// Seq of the row and its links, by account and key.
    rows: BTreeMap<(u64, u64), (u64, OwnedLinks)>,
    hidden: [bool; ACTORS as usize],
    accepted: Vec<Owned>,
}

impl Model {
    fn before(&self, actor: u64, key: u64, new: &OwnedLinks) -> Stood {
        let same = |a: &OwnedLinks, b: &OwnedLinks| {
            let (mut a, mut b) = (a.clone(), b.clone());
            a.sort();
            b.sort();
            a == b
        };
        match self.rows.get(&(actor, key)) {
            None => Stood::Nothing,
            Some((_, old)) if same(old, new) => Stood::Same,
            Some((_, old)) => Stood::Links(old.clone()),
        }
    }

    fn commit(&mut self, seq: u64, actor: u64, key: u64, new: OwnedLinks) -> Undone {
        let before = self.before(actor, key, &new);
        if new.is_empty() {
            self.rows.remove(&(actor, key));
        } else if before != Stood::Same {
            self.rows.insert((actor, key), (seq, new));
        }
        Undone::Commit {
            hidden: self.hidden[actor as usize],
            before,
        }
    }

    fn account(&mut self, actor: u64, status: Option<&str>) -> Undone {
        let was_hidden = std::mem::take(&mut self.hidden[actor as usize]);
        let is_deleted = status == Some("deleted");
        let is_hidden = status.is_some() && !is_deleted;
        self.hidden[actor as usize] = is_hidden;
        let mut own: Vec<_> = self
            .rows
            .iter()
            .filter(|((author, _), _)| *author == actor)
            .map(|((_, key), (seq, links))| (*seq, *key, links.clone()))
            .collect();
        own.sort();
        if is_deleted {
            self.rows.retain(|(author, _), _| *author != actor);
        }
        let changes = if is_deleted {
            !was_hidden
        } else {
            was_hidden != is_hidden
        };
        if !changes {
            own.clear();
        }
        let row = |(_, key, links)| {
            let (collection, rkey) = key_parts(key);
            (collection.to_owned(), rkey, links)
        };
        Undone::Account {
            rows: own.into_iter().map(row).collect(),
            seqs: Vec::new(),
            is_cut: false,
        }
    }
}

/// Applies a step of that place, and gives what became of it with the event as it prints.
fn apply(writer: &mut Writer, place: u64, step: &Step) -> (Applied, String, OwnedLinks) {
    let (json, mut links) = match step {
        Step::Write { list, one, .. } => record(list, *one),
        _ => (String::new(), OwnedLinks::new()),
    };
    let record = Record {
        cid: "cid",
        encoding: Encoding::Json,
        body: json.as_bytes(),
    };
    let (actor, key, operation) = match step {
        Step::Write {
            actor,
            key,
            is_create,
            ..
        } => {
            let operation = if *is_create {
                Operation::Create(record)
            } else {
                Operation::Update(record)
            };
            (*actor, *key, Some(operation))
        }
        Step::Delete { actor, key } => (*actor, *key, Some(Operation::Delete)),
        Step::Account { actor, .. } | Step::Identity { actor } => (*actor, 0, None),
        _ => unreachable!("{step:?} is no event"),
    };
    let (collection, rkey) = key_parts(key);
    let body = match (operation, step) {
        (Some(operation), _) => Body::Commit {
            rev: time_us(place) << 10,
            collection,
            rkey: &rkey,
            operation,
        },
        (None, Step::Account { status, .. }) => Body::Account {
            seq: place,
            active: status.is_none(),
            status: *status,
        },
        (None, _) => Body::Identity {
            seq: place,
            handle: Some("a.example"),
        },
    };
    let did = did(actor);
    let event = Event {
        time_us: time_us(place),
        did: &did,
        body,
    };
    let applied = writer.apply(&event).unwrap();
    if matches!(step, Step::Delete { .. }) {
        links.clear();
    }
    (applied, format!("{event:?}"), links)
}

/// Plays steps and checks each answer of the writer against the model.
fn play(fs: &SimFs, steps: &[Step], random: &mut SplitMix) -> (Store, Writer, Model) {
    let mut store = open(fs);
    let mut writer = store.writer().unwrap();
    let mut model = Model::default();
    let mut reader = store.events_from(1);
    let mut followed = Vec::new();
    // The steps that were events, by the place they first came at.
    let mut events: Vec<(u64, Step)> = Vec::new();
    for (place, step) in (1..).zip(steps) {
        let (place, step) = match step {
            Step::Seal => {
                writer.seal().unwrap();
                continue;
            }
            Step::Commit => {
                writer.commit().unwrap();
                continue;
            }
            Step::Reopen => {
                writer.commit().unwrap();
                drop((store, writer, reader));
                store = open(fs);
                writer = store.writer().unwrap();
                reader = store.events_from(followed.len() as u64 + 1);
                continue;
            }
            Step::Repeat(index) if events.is_empty() => {
                let _ = index;
                continue;
            }
            Step::Repeat(index) => index.get(&events).clone(),
            step => {
                events.push((place, step.clone()));
                (place, step.clone())
            }
        };
        let (applied, event, links) = apply(&mut writer, place, &step);
        let seq = match applied {
            Applied::New { seq, .. } | Applied::Unchanged { seq, .. } => seq,
            Applied::Repeat => continue,
            Applied::BadRecord(why) => panic!("{why}"),
        };
        let undone = match step {
            Step::Write { actor, key, .. } | Step::Delete { actor, key } => {
                model.commit(seq, actor, key, links)
            }
            Step::Account { actor, status } => model.account(actor, status),
            _ => Undone::Unknown,
        };
        let keeps = matches!(
            undone,
            Undone::Commit {
                before: Stood::Same,
                ..
            }
        );
        assert_eq!(keeps, matches!(applied, Applied::Unchanged { .. }));
        model.accepted.push((seq, event, undone));
        assert_eq!(store.next_seq(), seq + 1);
        if random.next_u64().is_multiple_of(3) {
            followed.extend(read_all(&mut reader, random));
            assert_eq!(followed, model.accepted);
        }
    }
    followed.extend(read_all(&mut reader, random));
    assert_eq!(followed, model.accepted);
    (store, writer, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn effects_read_back_from_memory_and_from_the_log_are_those_of_a_plain_model(steps in steps(), seed in any::<u64>()) {
        let fs = SimFs::new();
        let mut random = SplitMix::new(seed);
        let (store, mut writer, model) = play(&fs, &steps, &mut random);
        let from = |seq: u64| model.accepted.get(seq as usize - 1..).unwrap_or_default();
        for _ in 0..4 {
            let seq = 1 + random.next_u64() % (model.accepted.len() as u64 + 1);
            prop_assert_eq!(read_all(&mut store.events_from(seq), &mut random), from(seq));
        }
        writer.commit().unwrap();
        drop((writer, store));
        let store = open(&fs);
        prop_assert_eq!(store.next_seq(), model.accepted.len() as u64 + 1);
        prop_assert_eq!(store.log_floor(), 1);
        let mut reader = store.events_from(1);
        prop_assert_eq!(read_all(&mut reader, &mut random), from(1));
        for _ in 0..4 {
            let seq = 1 + random.next_u64() % (model.accepted.len() as u64 + 1);
            reader.skip_to(seq);
            prop_assert_eq!(reader.next_seq(), seq);
            prop_assert_eq!(read_all(&mut reader, &mut random), from(seq));
        }
        rows_are_found(&store, &model);
    }
}

/// Each row of the model stands in a snapshot under its seq, with its links in order.
fn rows_are_found(store: &Store, model: &Model) {
    let snapshot = store.snapshot();
    for ((actor, key), (seq, links)) in &model.rows {
        let (part, row) = snapshot.find_row(*seq).unwrap().expect("a row");
        assert_eq!(part.seq(row).unwrap(), *seq);
        assert_eq!(
            part.is_masked(row).unwrap(),
            model.hidden[*actor as usize],
            "{actor} {key}"
        );
        let mut found = OwnedLinks::new();
        part.links::<crate::Error>(row, &mut |path, target| {
            found.push((path.to_owned(), part.target_string(target)?));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, *links);
    }
    assert!(snapshot.find_row(0).unwrap().is_none());
    assert!(snapshot.find_row(store.next_seq()).unwrap().is_none());
}

fn some_steps() -> Vec<Step> {
    let write = |actor, key, list: &[u64]| Step::Write {
        actor,
        key,
        is_create: true,
        list: list.to_vec(),
        one: Some(1),
    };
    vec![
        write(0, 0, &[1, 0, 1]),
        write(0, 1, &[2]),
        write(1, 0, &[3, 4]),
        write(0, 0, &[0, 1]),
        Step::Delete { actor: 0, key: 1 },
        Step::Account {
            actor: 1,
            status: Some("suspended"),
        },
        write(0, 2, &[4]),
        Step::Account {
            actor: 0,
            status: Some("deleted"),
        },
    ]
}

/// As a build from before effects wrote it.
#[test]
fn a_log_without_effects_is_read_and_what_events_undid_is_unknown() {
    let fs = SimFs::new();
    let mut random = SplitMix::new(1);
    let (store, mut writer, model) = play(&fs, &some_steps(), &mut random);
    writer.commit().unwrap();
    let directory_id = writer.journal.state().directory.id;
    drop((writer, store));
    let [path] = &log_files(&fs)[..] else {
        panic!("one log file")
    };
    let mut reader = LogReader::open(&fs, path, directory_id).unwrap();
    let mut buffer = FrameBuffer::new();
    reader.next_frame(&mut buffer).unwrap().expect("a frame");
    assert_eq!(reader.offset(), reader.file_bytes(), "one frame");
    crate::io::Fs::unlink(&fs, path).unwrap();
    let dir = path.parent().unwrap();
    let options = LogOptions::default();
    let mut log = LogWriter::new(fs.shared(), dir, directory_id, 1, options).unwrap();
    for event in buffer.events().unwrap() {
        log.append(&event.unwrap().1).unwrap();
    }
    log.commit(None).unwrap();
    drop(log);
    let store = open(&fs);
    let expected: Vec<Owned> = model
        .accepted
        .iter()
        .map(|(seq, event, _)| (*seq, event.clone(), Undone::Unknown))
        .collect();
    assert_eq!(read_all(&mut store.events_from(1), &mut random), expected);
    rows_are_found(&store, &model);
    // What comes from now on has its effect.
    let mut writer = store.writer().unwrap();
    let step = Step::Delete { actor: 1, key: 0 };
    apply(&mut writer, 50, &step);
    let last = read_all(&mut store.events_from(store.next_seq() - 1), &mut random);
    let Undone::Commit {
        hidden: true,
        before: Stood::Links(links),
    } = &last[0].2
    else {
        panic!("{last:?}")
    };
    assert_eq!(links.len(), 3);
    writer.commit().unwrap();
    drop((writer, store));
    // A log that is made anew out of it has them all.
    let (from, to) = (super::dir(), std::path::Path::new("other"));
    crate::offline::replay_log_with_fs(&fs.shared(), from, to, super::options()).unwrap();
    let other = Store::open_with_fs(fs.shared(), to, super::options()).unwrap();
    let mut found = read_all(&mut other.events_from(1), &mut random);
    assert_eq!(found.pop(), last.first().cloned());
    assert_eq!(found, model.accepted);
}

#[test]
fn rows_of_an_account_beyond_the_limit_are_told_by_their_seqs() {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    let targets: Vec<String> = (0..300)
        .map(|n| format!("\"https://example.org/{n}\""))
        .collect();
    let json = |links: usize| format!("{{\"list\":[{}]}}", targets[..links].join(","));
    let (short, long) = (json(10), json(300));
    let account = did(0);
    let rkeys: Vec<String> = (0..40).map(|n| format!("key{n}")).collect();
    for (place, rkey) in (1..).zip(&rkeys) {
        let json = if place <= 3 { &short } else { &long };
        let record = Record {
            cid: "",
            encoding: Encoding::Json,
            body: json.as_bytes(),
        };
        let body = Body::Commit {
            rev: time_us(place) << 10,
            collection: COLLECTIONS[0],
            rkey,
            operation: Operation::Create(record),
        };
        let event = Event {
            time_us: time_us(place),
            did: &account,
            body,
        };
        writer.apply(&event).unwrap();
        if place == 2 {
            writer.seal().unwrap();
        }
    }
    // Of a deleted account more are told with their links: merges drop its rows.
    for (place, status, inline) in [
        (41, Some("suspended"), 3),
        (42, None, 3),
        (43, Some("deleted"), 36),
    ] {
        apply(&mut writer, place, &Step::Account { actor: 0, status });
        let mut effect = None;
        store
            .events_from(place)
            .read(9, &mut |accepted| effect = Some(owned(&accepted).2))
            .unwrap();
        let Some(Undone::Account { rows, seqs, is_cut }) = effect else {
            panic!("{effect:?}")
        };
        let found = rows.iter().map(|(_, rkey, _)| rkey);
        assert!(found.eq(rkeys.iter().take(inline)), "{status:?}");
        let links = rows.iter().map(|(_, _, links)| links.len());
        assert!(links.eq((0..inline).map(|place| if place < 3 { 10 } else { 300 })));
        let rest: Vec<u64> = (inline as u64 + 1..=40).collect();
        assert_eq!((seqs, is_cut), (rest, false));
    }
    let snapshot = store.snapshot();
    let (part, row) = snapshot.find_row(5).unwrap().unwrap();
    let rkey = part.with_key(row, |_, rkey| rkey.to_owned()).unwrap();
    assert_eq!(rkey, "key4");
}
