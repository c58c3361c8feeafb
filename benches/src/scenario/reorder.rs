//! The order of a backfill: events grouped by repository, repositories in no order, each event told years after the time that its record key names.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use orrery_synth::Options;
use xxhash_rust::xxh3::xxh3_64;

use crate::Result;
use crate::events::Feed;

/// Passes over the stream, so that only a part of it is in memory at once.
const PASSES: u64 = 8;
/// How much later than the stream the backfill is: four years.
const LATER_US: u64 = 4 * 365 * 86_400 * 1_000_000;
/// Time between two events of a backfill.
const STEP_US: u64 = 100;

/// The value of a member of the outermost object, whose name comes there first.
fn member<'a>(line: &'a [u8], name: &str) -> Option<(usize, &'a [u8])> {
    let text = std::str::from_utf8(line).ok()?;
    let at = text.find(name)? + name.len();
    let end = text.get(at..)?.find(['"', ',', '}'])?;
    Some((at, line.get(at..at + end)?))
}

/// `line` with another time.
fn retimed(line: &[u8], time_us: u64) -> Option<Vec<u8>> {
    let (at, digits) = member(line, "\"time_us\":")?;
    let mut out = line.get(..at)?.to_vec();
    out.extend_from_slice(time_us.to_string().as_bytes());
    out.extend_from_slice(line.get(at + digits.len()..)?);
    Some(out)
}

/// Writes the events of a seed grouped by account into a file, one a line. Tells its bytes.
pub(super) fn write_by_account(path: &Path, seed: u64, events: u64) -> Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let (mut bytes, mut time_us) = (0, 0);
    for pass in 0..PASSES {
        let mut feed = Feed::new(Options::finite(seed, events))?;
        let mut kept: Vec<(u64, Vec<u8>)> = Vec::new();
        while feed.advance() {
            time_us = time_us.max(feed.generator().options().start_us + LATER_US);
            let (_, did) = member(feed.line(), "\"did\":\"").ok_or("an event without a DID")?;
            let hash = xxh3_64(did);
            if hash % PASSES == pass {
                kept.push((hash, feed.line().to_vec()));
            }
        }
        // Events of one account keep their order.
        kept.sort_by_key(|(hash, _)| *hash);
        for (_, line) in kept {
            time_us += STEP_US;
            let line = retimed(&line, time_us).ok_or("an event without a time")?;
            file.write_all(&line)?;
            file.write_all(b"\n")?;
            bytes += line.len() as u64 + 1;
        }
    }
    file.flush()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_event_comes_once_by_account_and_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        let bytes = write_by_account(&path, 4, 2_000).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len() as u64, bytes);
        assert_eq!(text.lines().count(), 2_000);
        let (mut last_did, mut done, mut last_time) = (String::new(), HashSet::new(), 0);
        for line in text.lines() {
            let wire = orrery_jetstream::Event::parse(line).unwrap();
            let event = orrery_ingest::decode(&wire).unwrap();
            assert!(event.time_us > last_time);
            last_time = event.time_us;
            if event.did != last_did {
                assert!(
                    done.insert(event.did.to_owned()),
                    "{} comes twice",
                    event.did
                );
                last_did = event.did.to_owned();
            }
        }
        let plain = crate::events::lines(4, 2_000).unwrap();
        let later = orrery_synth::START_US_DEFAULT + LATER_US;
        assert!(last_time > later);
        // The bodies are those of the stream.
        let ends = |line: &[u8]| line[line.len() - 40..].to_vec();
        let mut expected: Vec<_> = plain.iter().map(|line| ends(line)).collect();
        let mut found: Vec<_> = text.lines().map(|line| ends(line.as_bytes())).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}
