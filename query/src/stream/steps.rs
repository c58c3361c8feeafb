//! What an accepted event says about links, from the event itself and from what it undid.

use std::collections::HashSet;
use std::sync::Arc;

use orrery_engine::Accepted;
use orrery_engine::effect::{Before, Effect};
use orrery_engine::event::{Body, Encoding, Operation as Written, Record};
use orrery_links::syntax::Tid;
use orrery_links::{Extractor, Link};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::types::{Cause, Change, LINKS_PER_COMMIT, Operation, Origin, Step};

/// The most changes of a step of an account event.
const CHANGES_PER_STEP: usize = 1_024;
/// Up to so many comparisons of links are made one by one; beyond, a set is made first.
const COMPARISONS_MAX: usize = 256;
/// How many names of sources are kept at most.
const SOURCES_KEPT: usize = 16_384;

/// Which of the two forms of a step are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forms {
    /// [`Step::plain`].
    pub plain: bool,
    /// [`Step::changes`].
    pub changes: bool,
}

impl Forms {
    /// Both.
    pub const ALL: Self = Self {
        plain: true,
        changes: true,
    };
    /// What subscribers get who resume.
    pub const CHANGES: Self = Self {
        plain: false,
        changes: true,
    };
}

/// The link of a row: path with its first dot, and target.
pub(crate) type RowLink<'a> = (&'a str, &'a str);

/// What is called with the collection, the record key and the links of a row.
pub(crate) type EachRow<'a> = &'a mut dyn FnMut(&str, &str, &mut dyn Iterator<Item = RowLink<'_>>);

/// Rows of the index by the seqs at which they were written.
pub(crate) trait Lookup {
    /// Calls `found` with the row, dead or not. Tells whether the index still has it, and can be read.
    fn row(&mut self, seq: u64, found: EachRow<'_>) -> bool;
}

/// Makes steps out of events. Its buffers are kept from event to event.
#[derive(Debug)]
pub(crate) struct StepMaker {
    forms: Forms,
    seed: u64,
    extractor: Extractor,
    names: Names,
}

impl StepMaker {
    pub(crate) fn new(forms: Forms) -> Self {
        Self {
            forms,
            seed: super::secret_seed(),
            extractor: Extractor::default(),
            names: Names::default(),
        }
    }

    /// Calls `each` with the steps of an event, in order; there is at least one. `tells_all` has every link of a new
    /// version told, also those that its record had before.
    pub(crate) fn make(
        &mut self,
        accepted: &Accepted<'_>,
        origin: Origin,
        tells_all: bool,
        lookup: &mut dyn Lookup,
        each: &mut dyn FnMut(Step),
    ) {
        let event = &accepted.event;
        let mut step = Step::empty(accepted.seq, event.time_us);
        match event.body {
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            } => {
                let names = Commit {
                    origin,
                    collection,
                    record: record_uri(event.did, collection, rkey),
                    rev: rev_text(rev),
                };
                step.key = xxh3_64_with_seed(names.record.as_bytes(), self.seed).max(1);
                self.commit(&mut step, &names, &operation, &accepted.effect, tells_all);
                each(step);
            }
            Body::Account { active, .. } => {
                let Effect::Account { rows, seqs, is_cut } = accepted.effect else {
                    each(step);
                    return;
                };
                step.is_cut = is_cut;
                let mut account = Account {
                    step,
                    names: &mut self.names,
                    next: 0,
                    did: event.did,
                    shows: active,
                    origin,
                    each,
                };
                if self.forms.changes {
                    for row in rows.iter() {
                        account.add(row.collection, row.rkey, &mut row.links.iter());
                    }
                    for seq in seqs.iter() {
                        let is_there = lookup.row(seq, &mut |collection, rkey, links| {
                            account.add(collection, rkey, links);
                        });
                        account.step.is_cut |= !is_there;
                    }
                }
                let step = account.step;
                each(step);
            }
            Body::Identity { .. } => each(step),
        }
    }

    fn commit(
        &mut self,
        step: &mut Step,
        commit: &Commit<'_>,
        operation: &Written<'_>,
        effect: &Effect<'_>,
        tells_all: bool,
    ) {
        let (record, cause) = match operation {
            Written::Create(record) | Written::Update(record) => (Some(record), Cause::Update),
            Written::Delete => (None, Cause::Record),
        };
        let (is_hidden, before) = match effect {
            Effect::Commit {
                hidden,
                before: Before::Unknown,
            } => (*hidden, None),
            Effect::Commit { hidden, before } => (*hidden, Some(before)),
            _ => (false, None),
        };
        let differs = self.forms.changes && !is_hidden && !matches!(before, Some(Before::Same));
        let is_told_plain = self.forms.plain && record.is_some();
        if !differs && !is_told_plain {
            return;
        }
        // What was accepted was read once. Where it is not now, nothing is known of its links.
        let links: Vec<Link<'_>> = match record {
            Some(Record {
                encoding: Encoding::Json,
                body,
                ..
            }) => match self.extractor.extract_json(body) {
                Ok(found) => found.links().collect(),
                Err(_) => Vec::new(),
            },
            _ => Vec::new(),
        };
        if self.forms.plain {
            for (place, link) in (0..LINKS_PER_COMMIT).zip(&links) {
                let source = self.names.source(commit.collection, link.path);
                let created = commit.change(place, Operation::Create, source, link.target.into());
                step.plain.push(created);
            }
        }
        if !differs {
            return;
        }
        let new = row_order(&links);
        let old: Vec<RowLink<'_>> = match before {
            Some(Before::Links(links)) => links.iter().collect(),
            _ => Vec::new(),
        };
        step.repeats = before.is_none() || (tells_all && !old.is_empty());
        let is_new = Lacks::new(&new, old.len());
        for (place, (path, target)) in (0..).zip(&old) {
            if is_new.lacks(&(*path, *target)) {
                let source = self.names.source(commit.collection, path);
                let mut gone = commit.change(place, Operation::Delete, source, Arc::from(*target));
                gone.cause = Some(cause);
                step.push(gone);
            }
        }
        let is_old = Lacks::new(&old, new.len());
        for (place, (path, target)) in (0..).zip(&new) {
            if tells_all || is_old.lacks(&(*path, *target)) {
                let source = self.names.source(commit.collection, path);
                let told = step.plain.iter();
                let mut told = told.filter(|told| *told.subject == **target).take(1);
                let subject = told.next().map(|told| Arc::clone(&told.subject));
                let subject = subject.unwrap_or_else(|| Arc::from(*target));
                step.push(commit.change(place, Operation::Create, source, subject));
            }
        }
    }
}

/// What all changes of a commit share.
struct Commit<'a> {
    origin: Origin,
    collection: &'a str,
    record: Arc<str>,
    rev: Option<Arc<str>>,
}

impl Commit<'_> {
    fn change(
        &self,
        place: u32,
        operation: Operation,
        source: Arc<str>,
        subject: Arc<str>,
    ) -> Change {
        Change {
            index: place,
            position: place,
            operation,
            origin: self.origin,
            source,
            source_record: Arc::clone(&self.record),
            source_rev: self.rev.clone(),
            subject,
            cause: None,
        }
    }
}

impl Step {
    /// Adds a change under the next number.
    fn push(&mut self, mut change: Change) {
        change.index = self.changes.len() as u32;
        self.changes.push(change);
    }
}

/// The rows of an account on their way into steps.
struct Account<'a> {
    step: Step,
    names: &'a mut Names,
    next: u32,
    did: &'a str,
    shows: bool,
    origin: Origin,
    each: &'a mut dyn FnMut(Step),
}

impl Account<'_> {
    fn add(&mut self, collection: &str, rkey: &str, links: &mut dyn Iterator<Item = RowLink<'_>>) {
        let record = record_uri(self.did, collection, rkey);
        for (position, (path, target)) in (0..).zip(links) {
            if self.step.changes.len() >= CHANGES_PER_STEP {
                let following = Step::empty(self.step.seq, self.step.time_us);
                let mut full = std::mem::replace(&mut self.step, following);
                full.is_last = false;
                self.step.is_cut = full.is_cut;
                (self.each)(full);
            }
            let (operation, origin, cause) = if self.shows {
                (Operation::Create, Origin::Replay, None)
            } else {
                (Operation::Delete, self.origin, Some(Cause::Account))
            };
            self.step.changes.push(Change {
                index: self.next,
                position,
                operation,
                origin,
                source: self.names.source(collection, path),
                source_record: Arc::clone(&record),
                source_rev: None,
                subject: target.into(),
                cause,
            });
            self.next = self.next.saturating_add(1);
        }
    }
}

/// The names of sources met lately, so that each is made once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashSet<Arc<str>>,
    scratch: String,
}

impl Names {
    /// `collection:path`, without the path's first dot.
    pub(crate) fn source(&mut self, collection: &str, path: &str) -> Arc<str> {
        self.scratch.clear();
        self.scratch.push_str(collection);
        self.scratch.push(':');
        self.scratch
            .push_str(path.strip_prefix('.').unwrap_or(path));
        if let Some(known) = self.known.get(&*self.scratch) {
            return Arc::clone(known);
        }
        let name: Arc<str> = self.scratch.as_str().into();
        // A path may be of any length: few are, and those are not worth keeping.
        if name.len() <= 256 {
            if self.known.len() >= SOURCES_KEPT {
                self.known.clear();
            }
            self.known.insert(Arc::clone(&name));
        } else {
            self.scratch.shrink_to(256);
        }
        name
    }
}

/// The at-uri of a record.
pub(crate) fn record_uri(did: &str, collection: &str, rkey: &str) -> Arc<str> {
    ["at://", did, "/", collection, "/", rkey].concat().into()
}

/// A revision as the protocol writes it.
fn rev_text(rev: u64) -> Option<Arc<str>> {
    let digits = Tid::from_u64(rev).ok()?.to_digits();
    std::str::from_utf8(&digits).ok().map(Arc::from)
}

/// The links of a record as its row has them: by path, at one path as in the record, each once.
fn row_order<'a>(links: &[Link<'a>]) -> Vec<RowLink<'a>> {
    let mut row: Vec<RowLink<'a>> = links.iter().map(|link| (link.path, link.target)).collect();
    row.sort_by_key(|(path, _)| *path);
    if row.len() * row.len() <= COMPARISONS_MAX {
        let mut kept: Vec<RowLink<'a>> = Vec::with_capacity(row.len());
        for link in row {
            if !kept.contains(&link) {
                kept.push(link);
            }
        }
        kept
    } else {
        let mut seen = HashSet::with_capacity(row.len());
        row.retain(|link| seen.insert(*link));
        row
    }
}

/// Links to look others up in.
enum Lacks<'a, 'b> {
    Few(&'b [RowLink<'a>]),
    Many(HashSet<RowLink<'a>>),
}

impl<'a, 'b> Lacks<'a, 'b> {
    /// `lookups` is how many others there are.
    fn new(links: &'b [RowLink<'a>], lookups: usize) -> Self {
        if links.len().saturating_mul(lookups) <= COMPARISONS_MAX {
            Self::Few(links)
        } else {
            Self::Many(links.iter().copied().collect())
        }
    }

    fn lacks(&self, link: &RowLink<'_>) -> bool {
        !match self {
            Self::Few(links) => links.contains(link),
            Self::Many(links) => links.contains(link),
        }
    }
}

#[cfg(test)]
mod tests;
