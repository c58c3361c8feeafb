//! What a record looks like by the newest event of its key, or of its account's deletion.

use orrery_formats::event::{Body, Encoding, Event, Operation};
use orrery_formats::keys::fingerprint;

use super::knows_all_accounts;
use crate::Result;
use crate::log::keys::KeyView;
use crate::store::{Shared, Store};

/// What the log's window knows of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The record as its newest event wrote it.
    Found {
        /// The seq of that event.
        seq: u64,
        /// The revision of its repository.
        rev: u64,
        /// Its time, microseconds since 1970.
        time_us: u64,
        /// The record's content id; empty where the source gave none.
        cid: String,
        /// How `body` is encoded.
        encoding: Encoding,
        /// The record.
        body: Vec<u8>,
    },
    /// Its newest event deleted it, or its account.
    Deleted {
        /// The seq of that event.
        seq: u64,
        /// Its time, microseconds since 1970.
        time_us: u64,
    },
    /// The window tells nothing of it.
    Unknown {
        /// No event of the record that was accepted has this seq or a later one, nor has one that deleted its account.
        window_from: u64,
    },
}

impl Store {
    /// What the newest accepted event of a record says, as far as the log's window has it. Each event that is visible
    /// to a snapshot before the call is taken into account. Whether the account is hidden is not:
    /// see [`account`](Self::account).
    ///
    /// It blocks: pages of key indexes are read, and at most one frame of the log is read and decompressed.
    ///
    /// # Errors
    /// When the index or the log cannot be read. A damaged frame or key index is none: of the records in it nothing is known,
    /// up to the last event there.
    pub fn record(&self, did: &str, collection: &str, rkey: &str) -> Result<Recorded> {
        let shared = &*self.shared;
        let key = (did, collection, rkey);
        shared.window.look(|view| shared.recorded(view, key))
    }
}

impl Shared {
    pub(super) fn recorded(&self, view: &KeyView, key: (&str, &str, &str)) -> Result<Recorded> {
        let (did, collection, rkey) = key;
        let next_seq = self.tail.next_seq();
        // Behind the view: it knows the accounts of all events in that.
        let generation = self.generation();
        let unknown = || {
            let is_whole = knows_all_accounts(&generation);
            let window_from = if is_whole { view.whole_from } else { next_seq };
            Recorded::Unknown { window_from }
        };
        let nothing_before = |seq: u64| Recorded::Unknown {
            window_from: view.whole_from.max(seq),
        };
        let Some(actor) = generation.find_actor(did)? else {
            return Ok(unknown());
        };
        let hasher = &generation.hasher;
        let prints = [
            fingerprint(actor, hasher.hash(collection, rkey)),
            fingerprint(actor, hasher.account_hash(true)),
        ];
        for file in view.newest_first(prints) {
            let behind_file = file.last_seq.saturating_add(1);
            let newest = match file.places {
                Ok([None, None]) => continue,
                Ok([Some(record), Some(deletion)]) if record.is_behind(&deletion) => record,
                Ok([_, Some(deletion)]) => deletion,
                Ok([Some(record), None]) => record,
                Err(error) => {
                    self.window.report_damage(&error);
                    return Ok(nothing_before(behind_file));
                }
            };
            let read = self.window_event(&newest, |seq, event| {
                let recorded = recorded_by(seq, event, key);
                recorded.map(|recorded| (seq, recorded))
            })?;
            return Ok(match read.flatten() {
                Some((seq, recorded)) if seq >= view.whole_from => recorded,
                // A newer one may be lost.
                Some(_) => nothing_before(0),
                None => nothing_before(newest.last_seq.saturating_add(1)),
            });
        }
        Ok(unknown())
    }
}

/// What an event says of a record; `None` where it is of another one.
fn recorded_by(
    seq: u64,
    event: &Event<'_>,
    (did, collection, rkey): (&str, &str, &str),
) -> Option<Recorded> {
    if event.did != did {
        return None;
    }
    let Body::Commit {
        rev,
        collection: of_collection,
        rkey: of_rkey,
        operation,
    } = event.body
    else {
        return super::account::deletes(event).then_some(Recorded::Deleted {
            seq,
            time_us: event.time_us,
        });
    };
    if (of_collection, of_rkey) != (collection, rkey) {
        return None;
    }
    Some(match operation {
        Operation::Create(record) | Operation::Update(record) => Recorded::Found {
            seq,
            rev,
            time_us: event.time_us,
            cid: record.cid.to_owned(),
            encoding: record.encoding,
            body: record.body.to_owned(),
        },
        Operation::Delete => Recorded::Deleted {
            seq,
            time_us: event.time_us,
        },
    })
}
