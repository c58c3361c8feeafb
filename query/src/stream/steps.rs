//! What an accepted event says about links, from the event itself and from what it undid.

mod account;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_engine::Accepted;
use orrery_engine::effect::{Before, Effect};
use orrery_engine::event::{Body, Encoding, Operation as Written, Record};
use orrery_links::syntax::Tid;
use orrery_links::{Extractor, Link};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use account::Account;
pub(crate) use account::Mark;

use super::types::{
    Cause, Change, INDEX_ALL, INDEX_FIRST, LINKS_PER_COMMIT, Operation, Origin, Step,
};

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

/// A link of a row in the index, whose target may be lost.
pub(crate) type FoundLink<'a> = (&'a str, Option<&'a str>);

/// What is called with the collection, the record key and the links of a row.
pub(crate) type EachRow<'a> =
    &'a mut dyn FnMut(&str, &str, &mut dyn Iterator<Item = FoundLink<'_>>);

/// Rows of the index by the seqs at which they were written.
pub(crate) trait Lookup {
    /// Calls `found` with the row, dead or not. Tells whether the index still has it, and can be read.
    fn row(&mut self, seq: u64, found: EachRow<'_>) -> bool;
}

/// How the changes of an event are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    pub(crate) origin: Origin,
    /// Whether every link of a new version is told, also those that its record had before.
    pub(crate) tells_all: bool,
    /// Up to where they were told to the same subscriber before.
    pub(crate) after: Option<After>,
    /// Up to where they were given when the event was broken off.
    pub(crate) mark: Option<Mark>,
}

impl Telling {
    /// Whether the change with this number of its event was told before.
    fn is_known(&self, number: u32) -> bool {
        matches!(self.after, Some(After::Change(last)) if number <= last && number < NUMBER_MAX)
    }

    fn index(&self, number: u32) -> u32 {
        number | if self.tells_all { INDEX_ALL } else { 0 }
    }
}

/// The greatest number of a change. All behind it have it too, and none of these passes for known.
const NUMBER_MAX: u32 = INDEX_ALL - 1;

/// What a cursor within an event says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    /// The changes up to this number were told.
    Change(u32),
    /// Some of the rows that are left of it were told: which of its changes these are cannot be told.
    Survivor,
}

impl After {
    pub(crate) const fn new(index: u32) -> Self {
        if index >= INDEX_FIRST {
            Self::Survivor
        } else {
            Self::Change(index & NUMBER_MAX)
        }
    }
}

/// How far an event was given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Made {
    /// To its end, and more is wanted.
    All,
    /// To its end, where it was broken off.
    Stopped,
    /// Broken off there.
    Within(Mark),
}

impl From<ControlFlow<()>> for Made {
    fn from(flow: ControlFlow<()>) -> Self {
        match flow {
            ControlFlow::Continue(()) => Self::All,
            ControlFlow::Break(()) => Self::Stopped,
        }
    }
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

    /// Calls `each` with the steps of an event, in order, until it breaks that off; there is at least one.
    pub(crate) fn make(
        &mut self,
        accepted: &Accepted<'_>,
        telling: Telling,
        lookup: &mut dyn Lookup,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Made {
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
                    telling,
                    collection,
                    record: record_uri(event.did, collection, rkey),
                    rev: rev_text(rev),
                };
                step.key = xxh3_64_with_seed(names.record.as_bytes(), self.seed).max(1);
                self.commit(&mut step, &names, &operation, &accepted.effect);
                each(step).into()
            }
            Body::Account { active, .. } => {
                let Effect::Account { rows, seqs, is_cut } = accepted.effect else {
                    return each(step).into();
                };
                step.is_cut = is_cut;
                if !self.forms.changes {
                    return each(step).into();
                }
                let account = Account::new(step, event.did, active, telling, &mut self.names, each);
                account.give(&rows, &seqs, lookup)
            }
            // What is excluded is left out where it would be told, whatever the log says of it.
            Body::Identity { .. } | Body::Exclusion { .. } => each(step).into(),
        }
    }

    fn commit(
        &mut self,
        step: &mut Step,
        commit: &Commit<'_>,
        operation: &Written<'_>,
        effect: &Effect<'_>,
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
        let tells_all = commit.telling.tells_all;
        let differs = self.forms.changes && !is_hidden && !matches!(before, Some(Before::Same));
        let is_told_plain = self.forms.plain && record.is_some() && commit.telling.after.is_none();
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
        if is_told_plain {
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
        // The numbers say which link it is, whether or not others are told: who resumes may be told other ones.
        let (telling, first_new) = (&commit.telling, old.len() as u32);
        let is_new = Lacks::new(&new, old.len());
        for (place, (path, target)) in (0..).zip(&old) {
            if !telling.is_known(place) && is_new.lacks(&(*path, *target)) {
                let source = self.names.source(commit.collection, path);
                let mut gone = commit.change(place, Operation::Delete, source, Arc::from(*target));
                gone.index = telling.index(place);
                gone.cause = Some(cause);
                step.changes.push(gone);
            }
        }
        let is_old = Lacks::new(&old, new.len());
        // Both forms of a step share the subjects of a few links.
        let is_few = step.plain.len().saturating_mul(new.len()) <= COMPARISONS_MAX;
        for (place, (path, target)) in (0..).zip(&new) {
            let number = first_new.saturating_add(place).min(NUMBER_MAX);
            if !telling.is_known(number) && (tells_all || is_old.lacks(&(*path, *target))) {
                let source = self.names.source(commit.collection, path);
                let mut told = step.plain.iter().filter(|_| is_few);
                let told = told.find(|told| *told.subject == **target);
                let subject =
                    told.map_or_else(|| Arc::from(*target), |told| Arc::clone(&told.subject));
                let mut created = commit.change(place, Operation::Create, source, subject);
                created.index = telling.index(number);
                step.changes.push(created);
            }
        }
    }
}

/// What all changes of a commit share.
struct Commit<'a> {
    telling: Telling,
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
            origin: self.telling.origin,
            source,
            source_record: Arc::clone(&self.record),
            source_rev: self.rev.clone(),
            subject,
            cause: None,
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
