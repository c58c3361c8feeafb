//! The event of an account that hides or shows its rows, as steps of bounded size.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_engine::effect::{Rows, Seqs};

use super::super::types::{Cause, Change, Operation, Origin, Step};
use super::{FoundLink, Lookup, Made, NUMBER_MAX, Names, Telling, record_uri};

/// The most changes of a step of an account event.
const CHANGES_PER_STEP: usize = 1_024;
/// A place within the event of an account.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    /// Rows that were given, and links of the next.
    rows: usize,
    links: u32,
    /// The number of the next change.
    number: u32,
    is_cut: bool,
    /// Whether a row was missing: changes behind it may have had greater numbers before.
    is_shifted: bool,
}

/// The rows of an account on their way into steps.
pub(super) struct Account<'a> {
    step: Step,
    names: &'a mut Names,
    /// How far it is.
    mark: Mark,
    /// Links of the first row that were given before.
    skip_links: u32,
    did: &'a str,
    shows: bool,
    telling: Telling,
    each: &'a mut dyn FnMut(Step) -> ControlFlow<()>,
}

impl<'a> Account<'a> {
    /// Begins with `step`, or where the event was broken off.
    pub(super) fn new(
        mut step: Step,
        did: &'a str,
        shows: bool,
        telling: Telling,
        names: &'a mut Names,
        each: &'a mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Self {
        let mark = telling.mark.unwrap_or_default();
        step.is_cut |= mark.is_cut;
        Self {
            step,
            names,
            mark,
            skip_links: mark.links,
            did,
            shows,
            telling,
            each,
        }
    }

    pub(super) fn give(
        mut self,
        rows: &Rows<'_>,
        seqs: &Seqs<'_>,
        lookup: &mut dyn Lookup,
    ) -> Made {
        let skip = self.mark.rows;
        let mut inline = 0;
        for row in rows.iter() {
            inline += 1;
            if inline > skip {
                let mut links = row.links.iter().map(|(path, target)| (path, Some(target)));
                if self.add(row.collection, row.rkey, &mut links).is_break() {
                    return Made::Within(self.mark);
                }
            }
        }
        for seq in seqs.iter().skip(skip.saturating_sub(inline)) {
            let mut flow = ControlFlow::Continue(());
            let is_there = lookup.row(seq, &mut |collection, rkey, links| {
                flow = self.add(collection, rkey, links);
            });
            if flow.is_break() {
                return Made::Within(self.mark);
            }
            if !is_there {
                self.miss();
                self.mark.is_shifted = true;
                self.next_row();
            }
        }
        (self.each)(self.step).into()
    }

    fn next_row(&mut self) {
        self.skip_links = 0;
        self.mark.rows += 1;
        self.mark.links = 0;
    }

    /// Something of the event is not told.
    fn miss(&mut self) {
        self.mark.is_cut = true;
        self.step.is_cut = true;
    }

    fn add(
        &mut self,
        collection: &str,
        rkey: &str,
        links: &mut dyn Iterator<Item = FoundLink<'_>>,
    ) -> ControlFlow<()> {
        let record = record_uri(self.did, collection, rkey);
        for (position, (path, target)) in (0..).zip(links) {
            if position < self.skip_links {
                continue;
            }
            if self.step.changes.len() >= CHANGES_PER_STEP {
                let following = Step::empty(self.step.seq, self.step.time_us);
                let mut full = std::mem::replace(&mut self.step, following);
                full.is_last = false;
                self.step.is_cut = full.is_cut;
                (self.each)(full)?;
            }
            let number = self.mark.number;
            self.mark.number = number.saturating_add(1).min(NUMBER_MAX);
            self.mark.links = position + 1;
            let Some(target) = target else {
                self.miss();
                continue;
            };
            // Behind a missing row a number may be that of a link that was not told.
            if self.telling.is_known(number) && !self.mark.is_shifted {
                continue;
            }
            let (operation, origin, cause) = if self.shows {
                (Operation::Create, Origin::Replay, None)
            } else {
                (Operation::Delete, self.telling.origin, Some(Cause::Account))
            };
            self.step.repeats |= self.shows && self.telling.is_known(number);
            self.step.changes.push(Change {
                index: self.telling.index(number),
                position,
                operation,
                origin,
                source: self.names.source(collection, path),
                source_record: Arc::clone(&record),
                source_rev: None,
                subject: target.into(),
                cause,
            });
        }
        self.next_row();
        ControlFlow::Continue(())
    }
}
