//! The model: what the system means, over plain maps.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::event::{Body, Event, Key, Operation, Outcome};
use super::extract;
use super::view::{Listing, Other, Question, SourceCounts, System, View};

/// One indexed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the order of indexing.
    pub place: u64,
    pub time_us: u64,
    /// Distinct (path, target) in the record's order.
    pub links: Vec<(String, String)>,
}

/// Everything that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    rows: BTreeMap<Key, Row>,
    /// The rev last applied to a key; kept for deleted keys too.
    revs: BTreeMap<Key, u64>,
    account_seqs: BTreeMap<String, u64>,
    hidden: BTreeSet<String>,
    /// What the operator takes out, whatever events say.
    pub excluded: BTreeSet<String>,
    pub excluded_targets: BTreeSet<String>,
    /// Up to which event time an account's records were deleted with it.
    purged_us: BTreeMap<String, u64>,
    /// The newest event time of what was applied.
    newest_us: u64,
    places: u64,
}

impl World {
    /// Applies one event.
    pub fn apply(&mut self, event: &Event) -> Outcome {
        let outcome = self.apply_event(event);
        if outcome != Outcome::Repeat {
            self.newest_us = self.newest_us.max(event.time_us);
        }
        outcome
    }

    fn apply_event(&mut self, event: &Event) -> Outcome {
        match &event.body {
            Body::Identity { .. } => Outcome::New { links: 0 },
            Body::Account {
                seq,
                active,
                status,
            } => {
                if self
                    .account_seqs
                    .get(&event.did)
                    .is_some_and(|last| seq <= last)
                {
                    return Outcome::Repeat;
                }
                self.account_seqs.insert(event.did.clone(), *seq);
                if *active {
                    self.hidden.remove(&event.did);
                } else if status.as_deref() == Some("deleted") {
                    self.rows.retain(|key, _| key.0 != event.did);
                    // Times may be out of order by up to ten minutes.
                    let through_us = event.time_us + 600_000_000;
                    let through_us = self.newest_us.clamp(event.time_us, through_us);
                    let purged_us = self.purged_us.entry(event.did.clone()).or_default();
                    *purged_us = through_us.max(*purged_us);
                    self.hidden.remove(&event.did);
                } else {
                    self.hidden.insert(event.did.clone());
                }
                Outcome::New { links: 0 }
            }
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            } => {
                let key = (event.did.clone(), collection.clone(), rkey.clone());
                let purged_us = self.purged_us.get(&event.did).copied();
                if purged_us.is_some_and(|purged_us| event.time_us <= purged_us) {
                    return Outcome::Repeat;
                }
                if self.revs.get(&key).is_some_and(|last| rev <= last) {
                    return Outcome::Repeat;
                }
                self.revs.insert(key.clone(), *rev);
                let links = match operation {
                    Operation::Create(record) | Operation::Update(record) => extract::links(record),
                    Operation::Delete => Vec::new(),
                };
                self.write(key, event.time_us, links)
            }
        }
    }

    fn write(&mut self, key: Key, time_us: u64, links: Vec<(String, String)>) -> Outcome {
        if links.is_empty() {
            self.rows.remove(&key);
            return Outcome::New { links: 0 };
        }
        if let Some(row) = self.rows.get(&key) {
            let before: BTreeSet<_> = row.links.iter().collect();
            let after: BTreeSet<_> = links.iter().collect();
            if before == after {
                return Outcome::Unchanged;
            }
        }
        let count = u32::try_from(links.len()).unwrap();
        self.places += 1;
        let place = self.places;
        self.rows.insert(
            key,
            Row {
                place,
                time_us,
                links,
            },
        );
        Outcome::New { links: count }
    }

    /// How many rows were ever written: the place of the newest.
    pub fn places(&self) -> u64 {
        self.places
    }

    /// Visible rows, oldest first.
    pub fn visible(&self) -> Vec<(&Key, &Row)> {
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter(|(key, _)| !self.hidden.contains(&key.0) && !self.excluded.contains(&key.0))
            .collect();
        rows.sort_by_key(|(_, row)| row.place);
        rows
    }

    /// Whether a target is excluded, by itself or as the account that it is an at-uri of.
    fn is_out(&self, target: &str) -> bool {
        let did = target.strip_prefix("at://").unwrap_or_default();
        self.excluded_targets.contains(target) || self.excluded_targets.contains(did)
    }

    fn has_links(&self, target: &str, source: Option<(&str, &str)>) -> bool {
        !self.is_out(target)
            && self.visible().iter().any(|(key, row)| {
                row.links.iter().any(|(path, linked)| {
                    linked == target
                        && source.is_none_or(|(collection, at)| key.1 == collection && path == at)
                })
            })
    }

    /// The stored target that a question's string stands for: its normalised form; for the at-uri of an account
    /// without links of its own (from the source, where one is asked about), the account's DID.
    pub fn resolve(&self, asked: &str, source: Option<(&str, &str)>) -> String {
        let stored = extract::normalise(asked).unwrap_or_else(|| asked.to_owned());
        if let Some(did) = stored.strip_prefix("at://") {
            let is_account = did.starts_with("did:") && !did.contains(['/', '?', '#']);
            if is_account && !self.has_links(&stored, source) {
                return did.to_owned();
            }
        }
        stored
    }

    /// Rows that match a question, oldest first.
    pub fn matching(&self, question: &Question) -> Vec<(Key, Row)> {
        let target = self.resolve(
            &question.target,
            Some((&question.collection, &question.path)),
        );
        if self.is_out(&target) {
            return Vec::new();
        }
        let link = (question.path.clone(), target);
        let dids: Option<BTreeSet<&str>> = question
            .dids
            .as_ref()
            .map(|dids| dids.iter().map(String::as_str).collect());
        self.visible()
            .into_iter()
            .filter(|(key, row)| {
                key.1 == question.collection
                    && row.links.contains(&link)
                    && dids
                        .as_ref()
                        .is_none_or(|dids| dids.contains(key.0.as_str()))
                    && question.since_us.is_none_or(|since| row.time_us >= since)
                    && question.until_us.is_none_or(|until| row.time_us < until)
            })
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect()
    }

    /// The authors of matching rows, each at the place of its oldest, oldest first.
    pub fn authors(&self, question: &Question) -> Vec<(String, u64)> {
        let mut authors: Vec<(String, u64)> = Vec::new();
        for (key, row) in self.matching(question) {
            if !authors.iter().any(|(did, _)| *did == key.0) {
                authors.push((key.0, row.place));
            }
        }
        authors
    }

    /// Every (record, other subject) pair, oldest record first, then in the record's order.
    pub fn pairs(&self, question: &Question, other: &Other) -> Vec<(Key, u64, String)> {
        let wanted: Option<BTreeSet<String>> = other.subjects.as_ref().map(|subjects| {
            subjects
                .iter()
                .filter_map(|subject| extract::normalise(subject))
                .collect()
        });
        let mut pairs = Vec::new();
        for (key, row) in self.matching(question) {
            for (path, target) in &row.links {
                if *path == other.path
                    && wanted.as_ref().is_none_or(|wanted| wanted.contains(target))
                    && !self.is_out(target)
                {
                    pairs.push((key.clone(), row.place, target.clone()));
                }
            }
        }
        pairs
    }

    /// Records and distinct authors for each other subject, in the order of the oldest pair of each.
    pub fn pair_counts(&self, question: &Question, other: &Other) -> Vec<(String, u64, u64)> {
        let mut groups: Vec<(String, BTreeSet<Key>, BTreeSet<String>)> = Vec::new();
        for (key, _, subject) in self.pairs(question, other) {
            let at = groups
                .iter()
                .position(|group| group.0 == subject)
                .unwrap_or_else(|| {
                    groups.push((subject, BTreeSet::new(), BTreeSet::new()));
                    groups.len() - 1
                });
            groups[at].2.insert(key.0.clone());
            groups[at].1.insert(key);
        }
        groups
            .into_iter()
            .map(|(subject, records, dids)| (subject, records.len() as u64, dids.len() as u64))
            .collect()
    }

    /// Records and distinct authors for each source of a target, by source.
    pub fn sources(&self, target: &str) -> BTreeMap<(String, String), (u64, u64)> {
        let target = self.resolve(target, None);
        if self.is_out(&target) {
            return BTreeMap::new();
        }
        let mut sources: BTreeMap<(String, String), (u64, BTreeSet<String>)> = BTreeMap::new();
        for (key, row) in self.visible() {
            for (path, linked) in &row.links {
                if *linked == target {
                    let source = sources.entry((key.1.clone(), path.clone())).or_default();
                    source.0 += 1;
                    source.1.insert(key.0.clone());
                }
            }
        }
        sources
            .into_iter()
            .map(|(source, (records, dids))| (source, (records, dids.len() as u64)))
            .collect()
    }
}

fn reversed<T>(mut items: Vec<T>, reverse: bool) -> Vec<T> {
    if reverse {
        items.reverse();
    }
    items
}

impl View for World {
    fn count(&self, question: &Question) -> u64 {
        self.matching(question).len() as u64
    }

    fn count_distinct(&self, question: &Question) -> u64 {
        self.authors(question).len() as u64
    }

    fn records(&self, question: &Question, reverse: bool, limit: u32) -> Listing<Key> {
        let keys: Vec<Key> = self
            .matching(question)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        Listing::of(keys.len() as u64, &reversed(keys, !reverse), limit)
    }

    fn distinct_dids(&self, question: &Question, reverse: bool, limit: u32) -> Listing<String> {
        let dids: Vec<String> = self
            .authors(question)
            .into_iter()
            .map(|(did, _)| did)
            .collect();
        Listing::of(dids.len() as u64, &reversed(dids, !reverse), limit)
    }

    fn all(&self, target: &str) -> Vec<SourceCounts> {
        self.sources(target)
            .into_iter()
            .map(|((collection, path), (records, dids))| (collection, path, records, dids))
            .collect()
    }

    fn all_counts(&self, target: &str) -> Vec<(String, String, u64)> {
        self.all(target)
            .into_iter()
            .map(|(collection, path, records, _)| (collection, path, records))
            .collect()
    }

    fn many(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(Key, String)> {
        let pairs: Vec<_> = self
            .pairs(question, other)
            .into_iter()
            .map(|(key, _, subject)| (key, subject))
            .collect();
        Listing::untold(&reversed(pairs, reverse), limit)
    }

    fn many_counts(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(String, u64, u64)> {
        let counts = self.pair_counts(question, other);
        Listing::untold(&reversed(counts, reverse), limit)
    }

    fn totals(&self) -> (u64, u64) {
        let visible = self.visible();
        let links = visible.iter().map(|(_, row)| row.links.len() as u64).sum();
        (visible.len() as u64, links)
    }
}

/// The model as a system.
#[derive(Debug, Clone, Default)]
pub struct ModelSystem {
    pub world: Rc<World>,
}

impl System for ModelSystem {
    fn apply(&mut self, event: &Event) -> Outcome {
        Rc::make_mut(&mut self.world).apply(event)
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(World::clone(&self.world))
    }
}
