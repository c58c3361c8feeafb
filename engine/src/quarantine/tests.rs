use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{Answers, LIKE, TARGETS, apply, model, script, target};
use crate::{Error, Options, Result, Store};

pub(crate) const DIR: &str = "data";

fn options() -> Options {
    Options {
        compact: false,
        ..Options::default()
    }
}

pub(crate) fn open(fs: &SimFs) -> Result<Store> {
    Store::open_with_fs(fs.shared(), Path::new(DIR), options())
}

/// A store of three segments and some events in the log, and how many steps are in it.
pub(crate) fn three_segments(seed: u64) -> (SimFs, Vec<crate::power_cut_tests::Step>) {
    let fs = SimFs::new();
    let steps = script(&mut SplitMix::new(seed));
    let mut writer = open(&fs).unwrap().writer().unwrap();
    for (place, step) in (1..).zip(&steps) {
        apply(&mut writer, place, *step).unwrap();
        if place % 25 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    (fs, steps)
}

pub(crate) fn segments(fs: &SimFs) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join("segments");
    let entries = fs.list(&dir).unwrap();
    entries.iter().map(|entry| dir.join(&entry.name)).collect()
}

/// The shown (author, key) of each target; what cannot be named is left out.
pub(crate) fn ask(store: &Store) -> Result<BTreeMap<u64, Vec<(String, String)>>> {
    let snapshot = store.snapshot();
    let mut found = BTreeMap::new();
    for to in 0..TARGETS {
        let Some(key) = snapshot.target_key(&target(to))? else {
            continue;
        };
        for part in snapshot.parts() {
            let Some(list) = part.list(&key, LIKE, ".subject")? else {
                continue;
            };
            list.masked()?;
            for row in list.iter_from(0) {
                let row = row?;
                if part.is_masked(row)? {
                    continue;
                }
                let author = match snapshot.did(part.actor(row)?) {
                    Err(Error::LostDid { .. }) => continue,
                    author => author?,
                };
                let record = part.with_key(row, |_, rkey| (author, rkey.to_owned()))?;
                found.entry(to).or_insert_with(Vec::new).push(record);
            }
        }
    }
    Ok(found)
}

pub(crate) fn named(answers: Answers) -> BTreeMap<u64, Vec<(String, String)>> {
    use crate::power_cut_tests::{did, rkey};
    let name = |rows: Vec<(u64, u64)>| rows.into_iter().map(|(a, k)| (did(a), rkey(k))).collect();
    answers
        .into_iter()
        .map(|(to, rows)| (to, name(rows)))
        .collect()
}

/// Asks, as a server does: an error that is about damage is reported, and the question asked again.
fn ask_as_a_server(store: &Store) -> Result<BTreeMap<u64, Vec<(String, String)>>> {
    loop {
        match ask(store) {
            Err(error) if store.report_damage(&error) => {}
            answer => return answer,
        }
    }
}

/// The answer is right, or marked, or an error that names the file.
fn check(fs: &SimFs, right: &BTreeMap<u64, Vec<(String, String)>>, what: &str) -> &'static str {
    let store = match open(fs) {
        Ok(store) => store,
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains(".seg") || text.contains("segments"),
                "{what}: {text}"
            );
            return "refused";
        }
    };
    let found = ask_as_a_server(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
    if store.snapshot().degraded().count() == 0 {
        assert_eq!(found, *right, "{what}");
        return "right";
    }
    let status = store.status();
    assert!(!status.degraded.is_empty(), "{what}");
    // It is remembered, and the file is kept.
    drop(store);
    let store = open(fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.status().degraded, status.degraded, "{what}");
    ask(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
    "degraded"
}

#[test]
fn whatever_byte_of_a_segment_is_changed_answers_are_right_or_marked() {
    let (fs, steps) = three_segments(3);
    let right = named(model(&steps, steps.len() as u64));
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for path in segments(&fs) {
        let sound = fs.contents(&path).unwrap();
        for place in (0..sound.len()).step_by(13) {
            let fs = fs.crash(1);
            let mut bytes = sound.clone();
            bytes[place] ^= 1 << (place % 8);
            fs.put(&path, &bytes);
            let what = format!("{} byte {place}", path.display());
            *seen.entry(check(&fs, &right, &what)).or_default() += 1;
        }
    }
    assert!(seen["degraded"] > 100, "{seen:?}");
    assert!(!seen.contains_key("refused"), "{seen:?}");
}

#[test]
fn a_segment_cut_at_any_length_or_gone_is_set_aside() {
    let (fs, steps) = three_segments(4);
    let right = named(model(&steps, steps.len() as u64));
    for path in segments(&fs) {
        let sound = fs.contents(&path).unwrap();
        for length in (0..sound.len()).step_by(101) {
            let fs = fs.crash(1);
            fs.put(&path, &sound[..length]);
            let what = format!("{} cut to {length}", path.display());
            assert_eq!(check(&fs, &right, &what), "degraded", "{what}");
        }
        let fs = fs.crash(1);
        fs.unlink(&path).unwrap();
        assert_eq!(check(&fs, &right, "gone"), "degraded");
    }
}

#[test]
fn a_directory_without_any_of_its_segments_is_refused_and_not_written_off() {
    let (fs, _) = three_segments(4);
    let all: Vec<_> = segments(&fs)
        .into_iter()
        .map(|path| (fs.contents(&path).unwrap(), path))
        .collect();
    for (_, path) in &all {
        fs.unlink(path).unwrap();
    }
    let text = open(&fs).map(drop).unwrap_err().to_string();
    assert!(text.contains("none of the 3 segments"), "{text}");
    for (bytes, path) in &all {
        fs.put(path, bytes);
    }
    assert!(open(&fs).unwrap().status().degraded.is_empty());
}

#[test]
fn a_newer_version_of_a_segment_is_refused_and_not_set_aside() {
    let (fs, _) = three_segments(4);
    let path = segments(&fs).remove(1);
    let sound = fs.contents(&path).unwrap();
    // The version stands behind the kind; the footer's checksum covers it.
    let mut newer = sound.clone();
    newer[10] = 99;
    let length = newer.len();
    let footer_len = u64::from_le_bytes(newer[length - 24..length - 16].try_into().unwrap());
    let mut checked = newer[..32].to_vec();
    checked.extend_from_slice(&newer[length - footer_len as usize..length - 16]);
    let checksum = xxhash_rust::xxh3::xxh3_64(&checked);
    newer[length - 16..length - 8].copy_from_slice(&checksum.to_le_bytes());
    fs.put(&path, &newer);
    let text = open(&fs).map(drop).unwrap_err().to_string();
    assert!(text.contains("version 99"), "{text}");
    fs.put(&path, &sound);
    assert!(open(&fs).unwrap().status().degraded.is_empty());
}

#[test]
fn the_status_names_file_seqs_times_and_reason() {
    let (fs, _) = three_segments(5);
    let path = segments(&fs).remove(1);
    let sound = fs.contents(&path).unwrap();
    fs.put(&path, &sound[..100]);
    let store = open(&fs).unwrap();
    let [degraded] = &store.status().degraded[..] else {
        panic!("{:?}", store.status().degraded);
    };
    assert!(path.ends_with(&degraded.file));
    assert_eq!((degraded.first_seq, degraded.last_seq), (26, 50));
    assert!(degraded.first_time_us > 0 && degraded.last_time_us > degraded.first_time_us);
    assert!(!degraded.why.is_empty());
    assert_eq!(fs.contents(&path).unwrap().len(), 100, "the file is kept");
    let error = store.verify().unwrap_err().to_string();
    assert!(error.contains(&degraded.file), "{error}");
}

/// The first bytes that a query touches are damaged while the store is open: the query fails once, and from then
/// on answers go without the segment, are marked, and writing goes on.
#[test]
fn damage_met_by_a_query_is_set_aside_while_the_writer_goes_on() {
    for seed in 0..30 {
        let (fs, steps) = three_segments(seed);
        for path in segments(&fs) {
            let mut bytes = fs.contents(&path).unwrap();
            // All of the body, so that whatever is touched first is damaged; opening looks at the envelope and
            // at meta alone.
            let start = bytes.len() / 3;
            let end = bytes.len() * 2 / 3;
            bytes[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            let fs = fs.crash(1);
            fs.put(&path, &bytes);
            let Ok(store) = open(&fs) else {
                panic!("seed {seed}: {}", path.display());
            };
            let before = store.snapshot();
            let mut writer = store.writer().unwrap();
            ask_as_a_server(&store).unwrap();
            assert_eq!(store.status().degraded.len(), 1, "seed {seed}");
            let after = store.snapshot();
            assert_eq!(after.degraded().count(), 1);
            if before.degraded().count() == 0 {
                assert_ne!(before.id(), after.id(), "caches tell the two apart");
            }

            // More events of the same accounts, seals and merges.
            let mut place = steps.len() as u64;
            for _ in 0..2 {
                for step in script(&mut SplitMix::new(seed + 1)) {
                    place += 1;
                    match apply(&mut writer, place, step) {
                        Ok(()) | Err(Error::LostAccounts { .. }) => {}
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
                match writer.seal() {
                    Ok(()) | Err(Error::LostAccounts { .. }) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                while writer.merge_due().unwrap() {
                    writer.tick().unwrap();
                }
                ask(&store).unwrap();
            }
            writer.tick().unwrap();
            assert_eq!(store.status().poisoned, None, "seed {seed}");
            let status = store.status();
            let answers = ask(&store).unwrap();
            drop((store, writer));
            let store = open(&fs).unwrap();
            assert_eq!(store.status().degraded, status.degraded, "seed {seed}");
            assert_eq!(ask(&store).unwrap(), answers, "seed {seed}");
        }
    }
}
