//! Power cuts and failing calls under a whole store: whatever the disk holds afterwards, the store opens,
//! its cursor says exactly which events its answers contain, and nothing that was durable is lost.

use std::collections::BTreeMap;
use std::path::Path;

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};

use crate::io::fault::{SimFs, SplitMix};
use crate::mask::policy::Bounds;
use crate::{Options, SourceCursor, Store, Writer};

pub(crate) const LIKE: &str = "app.bsky.feed.like";
const ACTORS: u64 = 4;
pub(crate) const TARGETS: u64 = 3;

/// The shown (author, key) of each target, in order.
pub(crate) type Answers = BTreeMap<u64, Vec<(u64, u64)>>;

/// One step of a script; the place in the script is its time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Write {
        actor: u64,
        key: u64,
        target: u64,
    },
    Delete {
        actor: u64,
        key: u64,
    },
    Account {
        actor: u64,
        status: Option<&'static str>,
    },
}

pub(crate) fn did(actor: u64) -> String {
    format!(
        "did:plc:{}",
        char::from(b'a' + actor as u8).to_string().repeat(24)
    )
}

pub(crate) fn target(target: u64) -> String {
    match target {
        0 => did(9),
        1 => format!("at://{}/app.bsky.feed.post/3mabc2222222a", did(9)),
        _ => "https://example.org/page".to_owned(),
    }
}

pub(crate) fn time_us(place: u64) -> u64 {
    1_767_225_600_000_000 + place * 1_000
}

pub(crate) fn rkey(key: u64) -> String {
    if key == 0 {
        return "self".to_owned();
    }
    let tid = orrery_links::syntax::Tid::from_u64(time_us(key) << 10);
    tid.unwrap().to_string()
}

pub(crate) fn below(random: &mut SplitMix, limit: u64) -> u64 {
    random.next_u64() % limit
}

pub(crate) fn script(random: &mut SplitMix) -> Vec<Step> {
    let statuses = [None, Some("suspended"), Some("deleted")];
    (0..80)
        .map(|_| {
            let (actor, key) = (below(random, ACTORS), below(random, 12));
            match below(random, 20) {
                0 | 1 => Step::Account {
                    actor,
                    status: statuses[below(random, 3) as usize],
                },
                2..6 => Step::Delete { actor, key },
                _ => Step::Write {
                    actor,
                    key,
                    target: below(random, TARGETS),
                },
            }
        })
        .collect()
}

pub(crate) fn apply(writer: &mut Writer, place: u64, step: Step) -> crate::Result<()> {
    let body;
    let (actor, commit) = match step {
        Step::Write {
            actor,
            key,
            target: to,
        } => {
            body = format!(r#"{{"subject":{:?}}}"#, target(to));
            let record = Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            };
            (actor, Some((key, Operation::Update(record))))
        }
        Step::Delete { actor, key } => (actor, Some((key, Operation::Delete))),
        Step::Account { actor, .. } => (actor, None),
    };
    let (did, rkey) = (
        did(actor),
        commit.map(|(key, _)| rkey(key)).unwrap_or_default(),
    );
    let body = match (commit, step) {
        (Some((_, operation)), _) => Body::Commit {
            rev: time_us(place) << 10,
            collection: LIKE,
            rkey: &rkey,
            operation,
        },
        (None, Step::Account { status, .. }) => Body::Account {
            seq: place,
            active: status.is_none(),
            status,
        },
        (None, _) => unreachable!(),
    };
    writer.apply(&Event {
        time_us: time_us(place),
        did: &did,
        body,
    })?;
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: "script".to_owned(),
        value: place,
    });
    Ok(())
}

/// What the answers must be after the first `len` steps: the shown (author, key) of each target.
pub(crate) fn model(steps: &[Step], len: u64) -> Answers {
    let mut records: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    let mut hidden = [false; ACTORS as usize];
    for (place, step) in (1..=len).zip(steps) {
        match *step {
            Step::Write { actor, key, target } => {
                let old = records.get(&(actor, key));
                if old.is_none_or(|(_, known)| *known != target) {
                    records.insert((actor, key), (place, target));
                }
            }
            Step::Delete { actor, key } => {
                records.remove(&(actor, key));
            }
            Step::Account { actor, status } => {
                hidden[actor as usize] = status.is_some_and(|status| status != "deleted");
                if status == Some("deleted") {
                    records.retain(|(author, _), _| *author != actor);
                }
            }
        }
    }
    let mut rows: Vec<_> = records.into_iter().collect();
    rows.sort_unstable_by_key(|(_, (place, _))| *place);
    let mut shown = Answers::new();
    for ((actor, key), (_, target)) in rows {
        if !hidden[actor as usize] {
            shown.entry(target).or_default().push((actor, key));
        }
    }
    shown
}

pub(crate) fn answers(store: &Store) -> Answers {
    let snapshot = store.snapshot();
    let mut found = Answers::new();
    let keys: Vec<String> = (0..12).map(rkey).collect();
    for to in 0..TARGETS {
        let Some(key) = snapshot.target_key(&target(to)).unwrap() else {
            continue;
        };
        for part in snapshot.parts() {
            let Some(list) = part.list(&key, LIKE, ".subject").unwrap() else {
                continue;
            };
            let mut shown = 0;
            for row in list.iter_from(0) {
                let row = row.unwrap();
                if part.is_masked(row).unwrap() {
                    continue;
                }
                shown += 1;
                let author = snapshot.did(part.actor(row).unwrap()).unwrap();
                let actor = (0..ACTORS).find(|actor| did(*actor) == author).unwrap();
                let place = part
                    .with_key(row, |_, rkey| keys.iter().position(|key| key == rkey))
                    .unwrap();
                found
                    .entry(to)
                    .or_default()
                    .push((actor, place.unwrap() as u64));
            }
            assert_eq!(
                shown,
                list.len() - list.masked().unwrap(),
                "totals agree with lists"
            );
        }
    }
    found
}

/// Runs the script from behind the durable cursor, some steps of it again, until the end or a failure;
/// gives how many steps are durable for certain.
pub(crate) fn run(store: &Store, steps: &[Step], random: &mut SplitMix) -> u64 {
    let mut writer = store.writer().unwrap();
    let durable = writer.durable_cursor().map_or(0, |cursor| cursor.value);
    let mut acknowledged = durable;
    let start = durable.saturating_sub(below(random, 10));
    for place in start + 1..=steps.len() as u64 {
        let outcome =
            apply(&mut writer, place, steps[place as usize - 1]).and_then(|()| {
                match below(random, 12) {
                    0 => writer.seal(),
                    1..4 => writer.commit(),
                    _ => Ok(()),
                }
            });
        if outcome.is_err() {
            return acknowledged;
        }
        if let Some(cursor) = writer.durable_cursor() {
            acknowledged = acknowledged.max(cursor.value);
        }
    }
    let end = match below(random, 2) {
        0 => writer.close(),
        _ => writer.commit(),
    };
    if end.is_ok() {
        acknowledged = steps.len() as u64;
    }
    acknowledged
}

pub(crate) fn seeds(default: u64) -> u64 {
    std::env::var("ORRERY_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(default)
}

/// Opens the directory; with `often`, files of masks are written for nearly every change.
pub(crate) fn open(fs: &SimFs, often: bool) -> crate::Result<Store> {
    let mut options = Options::default();
    if often {
        options.mask_bounds = Bounds {
            changes_min: 2,
            rows_per_change: 1,
            changes_sum: 5,
            behind_max: 30,
            ..Bounds::RUNNING
        };
    }
    Store::open_with_fs(fs.shared(), Path::new("data"), options)
}

/// Cuts the power at a random call, again and again, and checks what is left each time.
#[test]
fn a_power_cut_at_any_call_leaves_a_prefix_that_the_cursor_names() {
    for seed in 0..seeds(150) {
        let mut random = SplitMix::new(seed);
        let steps = script(&mut random);
        let mut fs = SimFs::new();
        let mut acknowledged = 0;
        for cut in 0..4 {
            fs.stop_at(fs.calls() + 1 + below(&mut random, 120));
            if let Ok(store) = open(&fs, seed % 2 == 1) {
                acknowledged = run(&store, &steps, &mut random).max(acknowledged);
            }
            fs = fs.crash(seed * 31 + cut);
            let store = open(&fs, seed % 2 == 1)
                .unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            let durable = store
                .status()
                .durable_cursor
                .map_or(0, |cursor| cursor.value);
            assert!(
                durable >= acknowledged,
                "seed {seed}, cut {cut}: {acknowledged} steps were durable, {durable} are left"
            );
            assert_eq!(
                answers(&store),
                model(&steps, durable),
                "seed {seed}, cut {cut}, after {durable} steps"
            );
        }
        let store = open(&fs, seed % 2 == 1).unwrap();
        run(&store, &steps, &mut random);
        assert_eq!(
            answers(&store),
            model(&steps, steps.len() as u64),
            "seed {seed}, at the end"
        );
        store.verify().unwrap();
    }
}

/// Fails each call of a run in turn: the store stops writing, and opens again with what was durable.
#[test]
fn a_failure_of_any_call_loses_nothing_that_was_durable() {
    let steps = script(&mut SplitMix::new(7));
    for call in 1..seeds(400) {
        let fs = SimFs::new();
        fs.fail_call(call);
        let mut random = SplitMix::new(7);
        let acknowledged = match open(&fs, call % 2 == 1) {
            Ok(store) => run(&store, &steps, &mut random),
            Err(_) => 0,
        };
        let fs = fs.crash(call);
        let store = open(&fs, call % 2 == 1).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let durable = store
            .status()
            .durable_cursor
            .map_or(0, |cursor| cursor.value);
        assert!(
            durable >= acknowledged,
            "call {call}: {durable} of {acknowledged}"
        );
        assert_eq!(answers(&store), model(&steps, durable), "call {call}");
        run(&store, &steps, &mut random);
        assert_eq!(
            answers(&store),
            model(&steps, steps.len() as u64),
            "call {call}, at the end"
        );
    }
}
