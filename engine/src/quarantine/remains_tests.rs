//! Accounts that are read from a damaged file: events go on, under the ids that the accounts have.

mod written_off;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_formats::envelope::CHUNK_BYTES;
use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use orrery_formats::fault;
use orrery_formats::segment::{ACCOUNT_SECTIONS, section_name};

use super::tests::{DIR, ask, open, segments};
use crate::io::fault::SimFs;
use crate::io::{Entry, File, Fs, LockGuard, Mapped};
use crate::offline::{Outcome, RepairOptions, RepairReport, repair_with_fs};
use crate::power_cut_tests::{LIKE, TARGETS, rkey, target};
use crate::{Applied, Error, Options, Result, SourceCursor, Store, Writer};

/// Accounts of the large segment.
const ACCOUNTS: u64 = 6_000;

fn did(actor: u64) -> String {
    if actor.is_multiple_of(50) {
        return format!("did:web:user{actor}.example.org");
    }
    let mixed = actor.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4;
    let digit = |at: u64| {
        let bits = if at < 12 {
            mixed >> (at * 5)
        } else {
            actor >> ((at - 12) * 5)
        };
        char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits & 31) as usize])
    };
    format!("did:plc:{}", (0..24).map(digit).collect::<String>())
}

fn options() -> Options {
    Options {
        compact: false,
        ..Options::default()
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Write(u64, u64, u64),
    /// With a long record.
    Long(u64, u64, u64),
    Delete(u64, u64),
    Account(u64, Option<&'static str>),
}
use Step::{Account, Delete, Long, Write};

/// Applies a step as the event number `place` of the source.
fn apply(writer: &mut Writer, place: u64, step: Step) -> Result<Applied> {
    let time_us = 1_767_225_600_000_000 + place * 1_000;
    let (Write(actor, ..) | Long(actor, ..) | Delete(actor, _) | Account(actor, _)) = step;
    let (did, body, key);
    did = self::did(actor);
    let commit = match step {
        Write(_, of, to) | Long(_, of, to) => {
            let mut noise = String::new();
            if matches!(step, Long(..)) {
                for at in 0..400_u64 {
                    let mixed = (place << 20 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    noise.push_str(&format!("{:x}", mixed ^ mixed >> 29));
                }
            }
            let to = match to {
                0..TARGETS => target(to),
                _ => format!(
                    "https://example.org/{:x}",
                    to.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ),
            };
            body = format!(r#"{{"subject":{to:?},"text":"{noise}"}}"#);
            key = rkey(of);
            Some(Operation::Update(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }))
        }
        Delete(_, of) => {
            key = rkey(of);
            Some(Operation::Delete)
        }
        Account(..) => {
            key = String::new();
            None
        }
    };
    let body = match (commit, step) {
        (Some(operation), _) => Body::Commit {
            rev: time_us << 10,
            collection: LIKE,
            rkey: &key,
            operation,
        },
        (None, Account(_, status)) => Body::Account {
            seq: place,
            active: status.is_none(),
            status,
        },
        (None, _) => unreachable!(),
    };
    let event = Event {
        time_us,
        did: &did,
        body,
    };
    let applied = writer.apply(&event)?;
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: "steps".to_owned(),
        value: place,
    });
    Ok(applied)
}

/// The steps of the large segment: all accounts, some of them suspended or deleted, many keys without a row.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..ACCOUNTS)
        .flat_map(|actor| {
            let own = 1_000 + 4 * actor;
            let writes = [actor % TARGETS, own, own + 1, own + 2]
                .into_iter()
                .zip(own..);
            writes.map(move |(to, key)| Write(actor, key, to))
        })
        .collect();
    steps.extend((0..24_000).map(|at| Delete(at % ACCOUNTS, 20_000 + at)));
    steps.extend(
        (0..ACCOUNTS)
            .step_by(97)
            .map(|actor| Account(actor, Some("suspended"))),
    );
    steps.extend(
        (0..ACCOUNTS)
            .step_by(101)
            .map(|actor| Account(actor, Some("deleted"))),
    );
    steps.extend((0..70).map(|at| Long(at, 60_000 + at, 0)));
    steps
}

/// A large segment behind `older` ones, if any, and a small one of events of the same accounts. Gives where the large one is
/// among them, and how many events there were.
fn directory(older: &[Step], options: Options) -> (SimFs, u64) {
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    let newer: Vec<Step> = (0..300)
        .map(|actor| Write(actor, 70_000 + actor, actor % TARGETS))
        .chain((0..20).map(|new| Write(ACCOUNTS + new, 1, 1)))
        .collect();
    for steps in [older, &steps(), &newer] {
        for step in steps {
            place += 1;
            apply(&mut writer, place, *step).unwrap();
        }
        writer.seal().unwrap();
    }
    writer.close().unwrap();
    (fs, place)
}

/// What comes while the large segment is set aside; nothing of it is about a row of that segment.
fn more() -> Vec<Step> {
    let mut steps: Vec<Step> = (100..300)
        .map(|actor| Write(actor, 80_000 + actor, actor % 2))
        .collect();
    steps.extend((100..140).map(|actor| Delete(actor, 70_000 + actor)));
    steps.extend((150..160).map(|actor| Account(actor, Some("deleted"))));
    steps.extend((160..170).map(|actor| Account(actor, Some("suspended"))));
    // It was suspended by an event of the large segment, and this one stays so: 97.
    steps.push(Account(194, None));
    steps.extend([97, 194, 291].map(|actor| Write(actor, 90_000, 1)));
    // New accounts among the known ones.
    steps.extend((0..50).map(|new| Write(ACCOUNTS + 15 + new, 2, new % TARGETS)));
    steps
}

/// Applies steps behind `place`, and gives what became of each.
fn go_on(writer: &mut Writer, place: u64, steps: &[Step]) -> Result<Vec<Applied>> {
    let steps = (place + 1..).zip(steps);
    steps
        .map(|(place, step)| apply(writer, place, *step))
        .collect()
}

/// The shown (author, key) of events behind `seq`, for each target.
fn ask_behind(store: &Store, seq: u64) -> Vec<(u64, String, String)> {
    ask_in(store, seq + 1..u64::MAX)
}

fn ask_in(store: &Store, seqs: std::ops::Range<u64>) -> Vec<(u64, String, String)> {
    let snapshot = store.snapshot();
    let mut found = Vec::new();
    for to in 0..TARGETS {
        let key = snapshot.target_key(&target(to)).unwrap();
        for part in snapshot.parts() {
            let list = key
                .as_ref()
                .and_then(|key| part.list(key, LIKE, ".subject").unwrap());
            for row in list.iter().flat_map(|list| list.iter_from(0)) {
                let row = row.unwrap();
                if seqs.contains(&part.seq(row).unwrap()) && !part.is_masked(row).unwrap() {
                    let author = snapshot.did(part.actor(row).unwrap()).unwrap();
                    found.push((
                        to,
                        author,
                        part.with_key(row, |_, rkey| rkey.to_owned()).unwrap(),
                    ));
                }
            }
        }
    }
    found
}

/// The id of each account, where each has one.
fn ids(store: &Store) -> BTreeMap<u32, String> {
    let snapshot = store.snapshot();
    let end = snapshot.generation.actors_end();
    let dids: BTreeMap<u32, String> = (0..end).map(|id| (id, snapshot.did(id).unwrap())).collect();
    for (id, did) in &dids {
        assert_eq!(snapshot.actor(did).unwrap(), Some(*id), "{did} has one id");
    }
    dids
}

/// Changes a byte in the middle of a section, and tells whether a chunk of the accounts has it.
fn flip(fs: &SimFs, path: &Path, id: u16) -> Option<bool> {
    let sound = fs.contents(path).unwrap();
    let file = orrery_formats::chunks::SealedFile::open(
        "sound".to_owned(),
        sound.clone(),
        orrery_formats::segment::KIND,
        0..=u16::MAX,
    );
    let file = file.unwrap();
    let range = file.section_range(id)?;
    let place = (range.start + range.end) / 2;
    if range.is_empty() {
        return None;
    }
    let mut bytes = sound;
    bytes[place as usize] ^= 0x10;
    fs.put(path, &bytes);
    let chunk = |at: u64| at / CHUNK_BYTES as u64;
    let mut accounts = ACCOUNT_SECTIONS
        .iter()
        .filter_map(|id| file.section_range(*id));
    Some(accounts.any(|range| {
        !range.is_empty() && (chunk(range.start)..=chunk(range.end - 1)).contains(&chunk(place))
    }))
}

fn section(name: &str) -> u16 {
    (0..64).find(|id| section_name(*id) == name).unwrap()
}

/// An error of a query that met damage of a file.
fn met(path: &Path) -> Error {
    let name = path.file_name().unwrap().to_str().unwrap();
    let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
    error.in_file(name).into()
}

fn is_lost<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::LostAccounts { .. }))
}

/// Events of accounts that only the large segment knows go on, or wait.
fn check(store: &Store, place: u64, has_accounts: bool, what: &str) {
    let [degraded] = &store.status().degraded[..] else {
        panic!("{what}: {:?}", store.status().degraded);
    };
    assert_eq!(degraded.has_accounts, has_accounts, "{what}");
    assert_eq!(store.snapshot().degraded().count(), 1, "{what}");
    let mut writer = store.writer().unwrap();
    for step in [
        Write(4_000, 99_000 + place, 0),
        Account(4_001, Some("deleted")),
        Delete(4_002, 3),
    ] {
        let applied = apply(&mut writer, place, step);
        if has_accounts {
            assert!(
                matches!(applied, Ok(Applied::New { .. })),
                "{what}: {applied:?}"
            );
        } else {
            assert!(is_lost(&applied), "{what}: {applied:?}");
        }
    }
    writer.tick().unwrap();
    let paused = store.status().paused;
    assert_eq!(paused.is_none(), has_accounts, "{what}: {paused:?}");
    assert_eq!(store.status().poisoned, None, "{what}");
    ask(store).unwrap();
    writer.close().unwrap();
}

#[test]
fn events_go_on_where_no_chunk_of_the_accounts_is_damaged_and_wait_otherwise() {
    let (sound, place) = directory(&[], options());
    let path = segments(&sound).remove(0);
    let mut seen = [0, 0];
    for id in 0..64 {
        let fs = sound.crash(1);
        let Some(is_hit) = flip(&fs, &path, id) else {
            continue;
        };
        let what = section_name(id);
        assert!(is_hit || !ACCOUNT_SECTIONS.contains(&id), "{what}");
        seen[usize::from(is_hit)] += 1;
        if let Ok(store) = open(&fs) {
            // Found while the store is open.
            assert!(store.report_damage(&met(&path)), "{what}");
            check(&store, place + 1, !is_hit, what);
        }
        // Set aside before, or found by opening.
        check(&open(&fs).unwrap(), place + 2, !is_hit, what);
    }
    assert!(seen[0] > 10 && seen[1] > 8, "{seen:?}");
}

/// What is asked of a degraded store beside a sound one to which the same events came.
fn compare(store: &Store, twin: &Store, behind: u64, what: &str) {
    assert_eq!(
        ask_behind(store, behind),
        ask_behind(twin, behind),
        "{what}"
    );
    assert_eq!(ids(store), ids(twin), "{what}");
}

#[test]
fn accounts_keep_their_ids_and_states_while_the_segment_is_set_aside_and_once_it_is_back() {
    let (sound, place) = directory(&[], options());
    let path = segments(&sound).remove(0);
    let bytes = sound.contents(&path).unwrap();
    let twin_fs = sound.crash(1);
    let twin = open(&twin_fs).unwrap();
    let behind = twin.snapshot().generation.segments[0]
        .segment
        .info()
        .last_seq;
    let mut writer = twin.writer().unwrap();
    let expected = go_on(&mut writer, place, &more()).unwrap();
    writer.seal().unwrap();
    let right = ask(&twin).unwrap();
    for (name, at_open) in [("rows", true), ("rows", false), ("samples", true)] {
        for is_sealed in [false, true] {
            let fs = sound.crash(1);
            assert_eq!(flip(&fs, &path, section(name)), Some(false));
            let what = format!("{name}, sealed {is_sealed}");
            let mut store = open(&fs).unwrap();
            store.report_damage(&met(&path));
            if at_open {
                drop(store);
                store = open(&fs).unwrap();
            }
            let mut writer = store.writer().unwrap();
            assert_eq!(
                go_on(&mut writer, place, &more()).unwrap(),
                expected,
                "{what}"
            );
            compare(&store, &twin, behind, &what);
            if is_sealed {
                writer.seal().unwrap();
                compare(&store, &twin, behind, &what);
            }
            writer.close().unwrap();
            drop(store);
            // Masks and the key window are made anew, or the log is applied again.
            let store = open(&fs).unwrap();
            compare(&store, &twin, behind, &what);
            assert_eq!(store.snapshot().degraded().count(), 1, "{what}");
            drop(store);

            let from_log = fs.crash(1);
            assert_eq!(repair(&from_log), [Outcome::FromLog], "{what}");
            fs.put(&path, &bytes);
            if is_sealed {
                assert_eq!(repair(&fs), [Outcome::Sound], "{what}");
            }
            for fs in [&fs, &from_log] {
                let store = open(fs).unwrap();
                assert_eq!(store.status().degraded, [], "{what}");
                assert_eq!(ask(&store).unwrap(), right, "{what}");
                assert_eq!(ids(&store), ids(&twin), "{what}");
                store.verify().unwrap();
            }
        }
    }
}

#[test]
fn a_repeat_is_told_by_the_passed_keys_and_states_of_a_damaged_segment() {
    let without_window = || Options {
        log_bytes_max: 0,
        ..options()
    };
    let (sound, place) = directory(&[], without_window());
    let path = segments(&sound).remove(0);
    let first_delete = 4 * ACCOUNTS + 1;
    for (name, is_known) in [("rows", true), ("passed keys", false)] {
        let fs = sound.crash(1);
        assert_eq!(flip(&fs, &path, section(name)), Some(false));
        let store = Store::open_with_fs(fs.shared(), Path::new(DIR), without_window()).unwrap();
        store.report_damage(&met(&path));
        let mut writer = store.writer().unwrap();
        let applied = apply(&mut writer, first_delete + 500, Delete(500, 20_500));
        if is_known {
            assert_eq!(applied.unwrap(), Applied::Repeat, "{name}");
        } else {
            // Its passed keys would tell, once the segment is back.
            assert!(
                matches!(applied, Err(Error::LostEvents { .. })),
                "{applied:?}"
            );
        }
        // From before the account's deletion.
        let applied = apply(&mut writer, 405, Write(101, 1_404, 2)).unwrap();
        assert_eq!(applied, Applied::Repeat, "{name}");
        // From before the newest event of the account.
        let applied = apply(&mut writer, 50, Account(97, None)).unwrap();
        assert_eq!(applied, Applied::Repeat, "{name}");
        let applied = apply(&mut writer, place + 1, Delete(500, 20_500)).unwrap();
        assert!(matches!(applied, Applied::New { .. }), "{applied:?}");
    }
}

#[test]
fn rows_of_older_segments_stay_deleted_and_hidden_by_a_damaged_segment() {
    let older: Vec<Step> = (0..300)
        .map(|actor| Write(actor, 1_000 + 4 * actor, (actor + 1) % TARGETS))
        .collect();
    let (sound, _) = directory(&older, options());
    let twin = open(&sound).unwrap();
    let right = ask_in(&twin, 1..301);
    assert!(right.is_empty(), "all were written anew: {right:?}");
    drop(twin);
    let path = segments(&sound).remove(1);
    assert_eq!(flip(&sound, &path, section("rows")), Some(false));
    open(&sound).unwrap().report_damage(&met(&path));
    forget_masks(&sound);
    let store = open(&sound).unwrap();
    assert!(store.status().degraded[0].has_accounts);
    assert_eq!(ask_in(&store, 1..301), right);
}

#[test]
fn accounts_of_a_file_that_killed_the_last_run_are_not_read_by_the_next() {
    let (fs, place) = directory(&[], options());
    let path = segments(&fs).remove(0);
    flip(&fs, &path, section("rows"));
    open(&fs).unwrap().report_damage(&met(&path));
    let name = format!("segments/{}", path.file_name().unwrap().to_str().unwrap());
    let mut marker = [0; fault::BYTES_MAX];
    let len = fault::encode(name.as_bytes(), 7, &mut marker);
    fs.put(&Path::new(DIR).join(fault::FILE_NAME), &marker[..len]);
    for has_accounts in [false, true] {
        check(
            &open(&fs).unwrap(),
            place + 1,
            has_accounts,
            "after a read error",
        );
    }
}

/// Maps one file with other bytes than plain reads give.
#[derive(Debug)]
struct MapsOther {
    fs: SimFs,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Fs for MapsOther {
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        self.fs.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.fs.create(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.fs.open(path)
    }
    fn open_rw(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.fs.open_rw(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.fs.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> std::io::Result<()> {
        self.fs.unlink(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<Entry>> {
        self.fs.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.fs.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Option<Box<dyn LockGuard>>> {
        self.fs.lock(path)
    }
    fn map(&self, path: &Path) -> std::io::Result<Mapped> {
        if path == self.path {
            return Ok(Mapped::heap(self.bytes.clone()));
        }
        self.fs.map(path)
    }
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        self.fs.free_bytes(dir)
    }
}

#[test]
fn accounts_that_cannot_be_read_any_more_are_lost_and_nothing_else() {
    let (sound, place) = directory(&[], options());
    let path = segments(&sound).remove(0);
    flip(&sound, &path, section("rows"));
    open(&sound).unwrap().report_damage(&met(&path));
    let mut seen = [0, 0];
    for name in ["did:plc", "DID index", "states", "ids of states"] {
        let fs = sound.crash(1);
        forget_masks(&fs);
        let before = fs.contents(&path).unwrap();
        assert_eq!(flip(&fs, &path, section(name)), Some(true));
        let bytes = fs.contents(&path).unwrap();
        fs.put(&path, &before);
        let other: Arc<dyn Fs> = Arc::new(MapsOther {
            fs: fs.clone(),
            path: path.clone(),
            bytes,
        });
        let store = Store::open_with_fs(other, Path::new(DIR), options()).unwrap();
        let before = store.snapshot();
        let had_accounts = store.status().degraded[0].has_accounts;
        seen[usize::from(had_accounts)] += 1;
        let mut writer = store.writer().unwrap();
        let mut lost = 0;
        for actor in 4_000..4_200 {
            match apply(&mut writer, place + 1, Write(actor, 99_000, 0)) {
                Ok(_) => assert_eq!(lost, 0, "{name}: once lost, always lost"),
                Err(Error::LostAccounts { .. }) => lost += 1,
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert!(lost > 0, "{name}");
        assert_eq!(store.status().poisoned, None, "{name}");
        let after = store.snapshot();
        assert!(!store.status().degraded[0].has_accounts, "{name}");
        assert_eq!(after.degraded().count(), 1);
        if had_accounts {
            assert_ne!(before.id().generation, after.id().generation, "{name}");
        }
        ask(&store).unwrap();
        writer.tick().unwrap();
        writer.close().unwrap();
        drop((store, before, after));
        check(&open(&fs).unwrap(), place + 1, true, name);
    }
    assert!(
        seen[0] > 0 && seen[1] > 0,
        "met by opening and later: {seen:?}"
    );
}

fn repair(fs: &SimFs) -> Vec<Outcome> {
    let report = run(fs, false);
    report
        .segments
        .iter()
        .map(|segment| segment.outcome)
        .collect()
}

fn run(fs: &SimFs, write_off: bool) -> RepairReport {
    let options = RepairOptions {
        write_off,
        store: options(),
        ..RepairOptions::default()
    };
    repair_with_fs(&fs.shared(), Path::new(DIR), &options).unwrap()
}

/// Removes the files of masks, so that opening makes them from kills and account states.
fn forget_masks(fs: &SimFs) {
    let masks = Path::new(DIR).join("masks");
    for file in fs.list(&masks).unwrap() {
        fs.unlink(&masks.join(file.name)).unwrap();
    }
}

/// Removes the oldest log files, so that nothing has the events of the large segment but its file.
fn forget_log(fs: &SimFs, files: usize) {
    let log = Path::new(DIR).join("log");
    let listed = fs.list(&log).unwrap();
    let listed = listed.iter().filter(|file| file.name.ends_with(".log"));
    for file in listed.take(files) {
        fs.unlink(&log.join(&file.name)).unwrap();
    }
}
