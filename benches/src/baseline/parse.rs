//! The least that reading events as JSON costs, with nothing done with them: once into a tree, once into borrowed pieces.

use serde::Deserialize;
use serde_json::value::RawValue;

/// An event, cut where an index has to cut it.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    did: &'a RawValue,
    time_us: u64,
    #[serde(borrow)]
    commit: Option<RawCommit<'a>>,
}

#[derive(Deserialize)]
struct RawCommit<'a> {
    #[serde(borrow)]
    rev: &'a RawValue,
    #[serde(borrow)]
    collection: &'a RawValue,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

/// Reads an event into borrowed pieces; a number that depends on all of them.
pub(crate) fn raw(line: &[u8]) -> Result<u64, serde_json::Error> {
    let raw: Raw<'_> = serde_json::from_slice(line)?;
    let commit = raw.commit.map_or(0, |commit| {
        let record = commit.record.map_or(0, |record| record.get().len());
        commit.rev.get().len() + commit.collection.get().len() + record
    });
    Ok(raw.time_us + (raw.did.get().len() + commit) as u64)
}

/// Reads an event into a tree.
pub(crate) fn value(line: &[u8]) -> Result<u64, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_slice(line)?;
    Ok(value.as_object().map_or(0, serde_json::Map::len) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_passes_read_every_event_of_the_stream() {
        let mut records = 0;
        for line in crate::events::lines(9, 500).unwrap() {
            let raw: Raw<'_> = serde_json::from_slice(&line).unwrap();
            records += u32::from(raw.commit.is_some_and(|commit| commit.record.is_some()));
            assert!(super::raw(&line).unwrap() > 0);
            assert!(value(&line).unwrap() >= 3);
        }
        assert!(records > 400, "{records}");
    }
}
