//! One event on its way into the index, and what became of it.
//!
//! An event is accepted in this order: it is told from a repeat, its record is read, and so is all of the segments
//! that it will need (no effect so far: damage that is met up to here costs no more than its segment); it goes into
//! the log's open batch and gets its seq, the memtable changes, and last the seq is published. A crash loses what the
//! log has not synced, and with it the source's cursor: the source sends those events again.

use orrery_formats::event::{Body, Event, Operation};

use super::Writer;
use crate::Result;

/// The most bytes of an event; more does not fit into a frame of the log. Records of the network have at
/// most 1 MB.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// It was new.
    New {
        /// Its number.
        seq: u64,
        /// Distinct (path, target) pairs of the record; 0 for events without a record.
        links: u32,
        /// Whether the record went beyond a limit of extraction and is indexed up to there.
        truncated: bool,
    },
    /// It was new, but its record links to just what the indexed one does, which keeps its place.
    Unchanged {
        /// Its number.
        seq: u64,
        /// As in [`Applied::New`].
        links: u32,
    },
    /// It was applied before; nothing changed.
    Repeat,
    /// Its record cannot be read; nothing changed.
    BadRecord(String),
}

impl Writer {
    /// Applies one event. When this returns, new snapshots see all of it. It is durable after the next
    /// commit ([`tick`](Self::tick), [`commit`](Self::commit)).
    ///
    /// # Errors
    /// [`DiskFull`](crate::Error::DiskFull) when there is too little room for the event and the seal after it,
    /// [`LostAccounts`](crate::Error::LostAccounts) when it names an account that may be one of a damaged segment, and
    /// [`LostEvents`](crate::Error::LostEvents) when such a segment may have that event: nothing has changed, and the
    /// same event can be tried again. Otherwise when the index cannot be read or the log cannot be written; the event
    /// is then not applied. After a failed write the writer refuses everything ([`Poisoned`](crate::Error::Poisoned)).
    pub fn apply(&mut self, event: &Event<'_>) -> Result<Applied> {
        self.check()?;
        let bytes = event_bytes(event);
        if bytes > EVENT_BYTES_MAX {
            return Ok(Applied::BadRecord(format!(
                "an event of {bytes} bytes, more than {EVENT_BYTES_MAX}"
            )));
        }
        self.prepare(bytes)?;
        let next_seq = self.journal.next_seq()?;
        let mut applied = self.apply_as(event, None);
        while let Err(error) = &applied
            && self.journal.next_seq()? == next_seq
            && self.leave_out(error)?
        {
            // Damage met before the event had any effect: it is applied to what is left.
            applied = self.apply_as(event, None);
        }
        // An event that failed half way may be in the log and not in the memtable; what is published
        // stays right, and the next start applies the log.
        let applied = self.poison_on_error(applied)?;
        self.unblock();
        if self.is_full() {
            self.must_seal = true;
            self.seal_if_there_is_room()?;
        }
        Ok(applied)
    }

    /// Applies an event of the log again, under the seq it has there.
    pub(crate) fn replay(&mut self, event: &Event<'_>, seq: u64) -> Result<()> {
        self.apply_as(event, Some(seq)).map(drop)
    }

    /// Whether an event is to be logged: one that comes from the log has its place there already.
    pub(super) const fn logs(&self, replayed: Option<u64>) -> bool {
        replayed.is_none() || self.relogs
    }

    pub(super) fn apply_as(&mut self, event: &Event<'_>, replayed: Option<u64>) -> Result<Applied> {
        self.next_effect.forget();
        self.old_row.forget();
        match event.body {
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            } => self.apply_commit(event, replayed, rev, collection, rkey, &operation),
            // Nothing of it stands in the index, where most accounts of such events have no id either; so one that
            // comes again is not known, and is logged under one more seq. No answer depends on it.
            Body::Identity { .. } => {
                let seq = self.accept(event, replayed)?;
                self.publish(seq, event.time_us);
                Ok(Applied::New {
                    seq,
                    links: 0,
                    truncated: false,
                })
            }
            Body::Account {
                seq: account_seq,
                active,
                status,
            } => self.apply_account(event, replayed, account_seq, active, status),
            Body::Exclusion { excluded } => self.apply_exclusion(event, replayed, excluded),
        }
    }

    /// Gives the event its seq, in the log unless it comes from there.
    pub(super) fn accept(&mut self, event: &Event<'_>, replayed: Option<u64>) -> Result<u64> {
        let seq = match replayed.filter(|_| !self.relogs) {
            Some(seq) => {
                self.journal.note_time(event.time_us);
                seq
            }
            None => {
                let effect = self.next_effect.effect().encoded_len();
                if replayed.is_none() && !self.has_room_for_effect(event_bytes(event), effect)? {
                    self.next_effect.leave_out();
                }
                self.journal.append(event, &self.next_effect.effect())?
            }
        };
        self.is_logged = self.logs(replayed);
        // Before anything leads to it: who is told of the event finds its bytes.
        if self.is_logged
            && let Some((bytes, previous_us)) = self.journal.last_event()
        {
            let tail = &self.shared.tail;
            tail.push(seq, event.time_us, previous_us, bytes);
        }
        self.events = self.events.saturating_add(1);
        self.unmeasured_bytes += 64;
        Ok(seq)
    }

    pub(super) fn publish(&self, seq: u64, time_us: u64) {
        let live = self.generation.counters.live();
        self.generation.memtable.publish(seq, time_us, live);
        // Behind the publication, so that whoever reads the event finds its effects.
        if self.is_logged {
            self.shared.tail.reveal(seq);
        }
    }
}

/// What an event takes in the log, about.
fn event_bytes(event: &Event<'_>) -> usize {
    let body = match event.body {
        Body::Commit {
            collection,
            rkey,
            operation,
            ..
        } => {
            let record = match operation {
                Operation::Create(record) | Operation::Update(record) => {
                    record.body.len() + record.cid.len()
                }
                Operation::Delete => 0,
            };
            collection.len() + rkey.len() + record
        }
        Body::Identity { handle, .. } => handle.map_or(0, str::len),
        Body::Account { status, .. } => status.map_or(0, str::len),
        Body::Exclusion { .. } => 0,
    };
    event.did.len() + body
}
