//! What is left of events that the log no longer has: the rows of the index, in the order in which they were written,
//! without those that are dead or hidden.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_engine::{Part, Snapshot};

use super::steps::{Names, record_uri};
use super::types::{Change, INDEX_FIRST, Operation, Origin, Step};
use crate::error::{Error, Result, known};

/// How far out of order events may stand by their times, when a place is looked for by time.
const DISORDER_US: u64 = 600_000_000;

/// A walk along the rows of a range of seqs, which may use another snapshot for each stretch.
#[derive(Debug)]
pub(crate) struct Survivors {
    /// All before it were given.
    next: u64,
    /// The first seq that is not part of the walk.
    end: u64,
    names: Names,
}

impl Survivors {
    pub(crate) fn new(first: u64, end: u64) -> Self {
        Self {
            next: first,
            end: end.max(first),
            names: Names::default(),
        }
    }

    /// All steps of events below were given.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next
    }

    /// Looks at up to `most` rows and gives those that live, until `each` breaks it off. Tells whether the walk is at
    /// its end.
    pub(crate) fn read(
        &mut self,
        snapshot: &Snapshot,
        most: usize,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<bool> {
        let mut left = most;
        for part in snapshot.parts() {
            if part.last_seq() < self.next {
                continue;
            }
            let mut is_masked = part.mask_reader();
            for row in part.lower_bound_seq(self.next)?..part.rows() {
                let seq = part.seq(row)?;
                if seq >= self.end {
                    break;
                }
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
                let flow = if is_masked(row)? {
                    ControlFlow::Continue(())
                } else {
                    each(self.step(snapshot, &part, row, seq)?)
                };
                self.next = seq.saturating_add(1);
                if flow.is_break() {
                    return Ok(false);
                }
            }
            if part.last_seq().saturating_add(1) >= self.end {
                break;
            }
        }
        self.next = self.end;
        Ok(true)
    }

    fn step(&mut self, snapshot: &Snapshot, part: &Part<'_>, row: u32, seq: u64) -> Result<Step> {
        let mut step = Step::empty(seq, part.time_us(row)?);
        // What cannot be named any more, since a segment is set aside, is left out.
        let Some(did) = known(snapshot.did(part.actor(row)?).map_err(Error::from))? else {
            step.is_cut = true;
            return Ok(step);
        };
        let (collection, record) = part.with_key(row, |collection, rkey| {
            (collection.to_owned(), record_uri(&did, collection, rkey))
        })?;
        let mut position = 0;
        part.links(row, &mut |path, target| -> Result<()> {
            let place = position;
            position += 1;
            let Some(subject) = known(part.target_string(target).map_err(Error::from))? else {
                step.is_cut = true;
                return Ok(());
            };
            step.changes.push(Change {
                index: INDEX_FIRST.saturating_add(place),
                position: place,
                operation: Operation::Create,
                origin: Origin::Replay,
                source: self.names.source(&collection, path),
                source_record: Arc::clone(&record),
                source_rev: None,
                subject: subject.into(),
                cause: None,
            });
            Ok(())
        })?;
        Ok(step)
    }
}

/// The seq of the first row that is not older than `time_us`; the seq behind the newest event where all are.
pub(crate) fn seq_at(snapshot: &Snapshot, time_us: u64) -> Result<u64> {
    for part in snapshot.parts() {
        let (_, last_us) = part.time_range_us();
        if part.rows() == 0 || last_us < time_us {
            continue;
        }
        // Rows stand in the order of their times but for a little: near the place all are looked at.
        let (mut low, mut high) = (0, part.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            if part.time_us(middle)?.saturating_add(DISORDER_US) < time_us {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for row in low..part.rows() {
            // Rows tell whole milliseconds.
            if part.time_us(row)?.saturating_add(999) >= time_us {
                return Ok(part.seq(row)?);
            }
        }
    }
    Ok(snapshot.last_seq().saturating_add(1))
}
