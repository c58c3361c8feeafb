//! Backlinks: records, accounts and counts, under both generations of names.

use std::collections::BTreeMap;

use orrery_query::Filter;
use orrery_query::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, PAGE_ITEMS_MIN};

use super::{Ask, Content, Job, Reply, coverage};
use crate::html::{self, Items};
use crate::hydrate::{self, Wanted};
use crate::index::{Answer, Index, Paging};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::{self, Coverage, Hydrated, NextCursor, Record};

/// The two generations of routes: how they name the target, and how they say that a list ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    Links,
    Xrpc,
}

impl Generation {
    pub(crate) fn next_cursor(self, cursor: Option<String>) -> NextCursor {
        match (cursor, self) {
            (Some(cursor), _) => NextCursor::More(cursor),
            (None, Self::Links) => NextCursor::Null,
            (None, Self::Xrpc) => NextCursor::Absent,
        }
    }
}

/// Reads which links are meant.
pub(crate) fn filter(params: &Params, generation: Generation) -> Result<Filter, Problem> {
    let mut filter = match generation {
        Generation::Links => Filter::new(
            params.required_text("target")?,
            params.required("collection")?,
            params.required("path")?,
        ),
        Generation::Xrpc => {
            let subject = params.required_text("subject")?;
            of_source(subject, params.required("source")?)?
        }
    };
    filter.dids = params.list(&["did", "linkDid"]);
    if generation == Generation::Links
        && let Some(from) = params.scalar("from_dids")?.filter(|from| !from.is_empty())
    {
        if filter.dids.is_some() {
            return Err(Problem::invalid(
                "parameters did and from_dids cannot be given together",
            ));
        }
        filter.dids = Some(from.split(',').map(str::to_owned).collect());
    }
    filter.since_us = params.time_us("since")?;
    filter.until_us = params.time_us("until")?;
    Ok(filter)
}

/// All links to a subject from a source.
pub(crate) fn of_source(subject: &str, source: &str) -> Result<Filter, Problem> {
    let (collection, path) = source.split_once(':').ok_or_else(|| {
        Problem::invalid(
            "parameter source must be a collection, a colon and a path, \
             such as app.bsky.feed.like:subject.uri",
        )
    })?;
    Ok(Filter::new(subject, collection, format!(".{path}")))
}

/// Reads which page of a list is meant.
pub(crate) fn paging(params: &Params) -> Result<Paging, Problem> {
    Ok(Paging {
        limit: params.number("limit", PAGE_ITEMS_MIN..=PAGE_ITEMS_MAX, PAGE_ITEMS_DEFAULT)?,
        cursor: params
            .scalar("cursor")?
            .filter(|cursor| !cursor.is_empty())
            .map(str::to_owned),
        reverse: params.flag("reverse")?,
    })
}

pub(crate) fn get_backlinks(params: &Params) -> Result<Job, Problem> {
    records(params, Generation::Xrpc)
}

pub(crate) fn links(params: &Params) -> Result<Job, Problem> {
    records(params, Generation::Links)
}

fn records(params: &Params, generation: Generation) -> Result<Job, Problem> {
    let filter = filter(params, generation)?;
    let paging = paging(params)?;
    let wanted = hydrate(params, &paging)?;
    Ok(Box::new(move |index, ask| {
        let answer = index.records(&filter, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let page = RecordsPage {
            generation,
            is_reverse: paging.reverse,
            filter,
            total: page.total.unwrap_or_default(),
            records: page.items.into_iter().map(Record::from).collect(),
            cursor: generation.next_cursor(page.cursor),
            coverage: coverage.clone(),
        };
        let content = match wanted {
            None => Content::Whole(page.body(ask)?),
            Some(wanted) => Content::Hydrated {
                records: page.records.clone(),
                wanted,
                render: Box::new(|ask, hydrated| page.with(hydrated).body(ask)),
            },
        };
        Ok(Reply { content, coverage })
    }))
}

/// Reads whether the records of a page are wanted too.
pub(crate) fn hydrate(params: &Params, paging: &Paging) -> Result<Option<Wanted>, Problem> {
    let wanted = Wanted::read(params)?;
    if wanted.is_some() && paging.limit as usize > hydrate::RECORDS_MAX {
        return Err(Problem::invalid(format!(
            "parameter limit must be at most {} with hydrate",
            hydrate::RECORDS_MAX
        )));
    }
    Ok(wanted)
}

/// A page of records.
struct RecordsPage {
    generation: Generation,
    filter: Filter,
    is_reverse: bool,
    total: u64,
    records: Vec<Record>,
    cursor: NextCursor,
    coverage: Coverage,
}

impl RecordsPage {
    /// The same page with what its records are like.
    fn with(mut self, hydrated: Vec<Hydrated>) -> Self {
        for (record, hydrated) in self.records.iter_mut().zip(hydrated) {
            record.hydrated = Some(hydrated);
        }
        self
    }

    fn body(self, ask: &Ask) -> Result<String, Problem> {
        let view = html::Answer {
            target: &self.filter.target,
            source: Some(&self.filter),
            facts: &[("records", self.total)],
            order: if self.is_reverse {
                "Oldest first."
            } else {
                "Newest first."
            },
            items: Items::Records(&self.records),
            cursor: &self.cursor,
            coverage: &self.coverage,
        };
        let (records, cursor) = (self.records.clone(), self.cursor.clone());
        let (total, coverage) = (self.total, self.coverage.clone());
        match self.generation {
            Generation::Xrpc => {
                let json = wire::Backlinks {
                    total,
                    records,
                    cursor,
                    coverage,
                };
                html::body(ask, &view, &json)
            }
            Generation::Links => {
                let json = wire::LinkingRecords {
                    total,
                    linking_records: records,
                    cursor,
                    coverage,
                };
                html::body(ask, &view, &json)
            }
        }
    }
}

pub(crate) fn get_backlink_dids(params: &Params) -> Result<Job, Problem> {
    dids(params, Generation::Xrpc)
}

pub(crate) fn distinct_dids(params: &Params) -> Result<Job, Problem> {
    dids(params, Generation::Links)
}

fn dids(params: &Params, generation: Generation) -> Result<Job, Problem> {
    let filter = filter(params, generation)?;
    let paging = paging(params)?;
    Ok(Box::new(move |index, ask| {
        let answer = index.distinct_dids(&filter, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let json = wire::LinkingDids {
            total: page.total.unwrap_or_default(),
            linking_dids: page.items,
            cursor: generation.next_cursor(page.cursor),
            coverage,
        };
        let view = html::Answer {
            target: &filter.target,
            source: Some(&filter),
            facts: &[("accounts", json.total)],
            order: if paging.reverse {
                "By each account's first link, oldest first."
            } else {
                "By each account's first link, newest first."
            },
            items: Items::Dids(&json.linking_dids),
            cursor: &json.cursor,
            coverage: &json.coverage,
        };
        let body = html::body(ask, &view, &json)?;
        Ok(Reply::new(body, json.coverage))
    }))
}

pub(crate) fn get_backlinks_count(params: &Params) -> Result<Job, Problem> {
    total(params, Generation::Xrpc, false)
}

pub(crate) fn count(params: &Params) -> Result<Job, Problem> {
    total(params, Generation::Links, false)
}

pub(crate) fn count_distinct_dids(params: &Params) -> Result<Job, Problem> {
    total(params, Generation::Links, true)
}

/// The routes that count records.
const COUNTS: &[(&str, Generation)] = &[
    (
        "/xrpc/blue.microcosm.links.getBacklinksCount",
        Generation::Xrpc,
    ),
    ("/links/count", Generation::Links),
];

/// How a route names what it counts, if it counts records.
pub(crate) fn counts_by(path: &str) -> Option<Generation> {
    COUNTS
        .iter()
        .find(|(counts, _)| *counts == path)
        .map(|(_, generation)| *generation)
}

fn total(params: &Params, generation: Generation, distinct: bool) -> Result<Job, Problem> {
    let filter = filter(params, generation)?;
    // No order to reverse, but what is wrong on a list is wrong here.
    params.flag("reverse")?;
    Ok(Box::new(move |index, ask| {
        let (what, answer) = if distinct {
            ("accounts", index.count_distinct(&filter)?)
        } else {
            ("records", index.count(&filter)?)
        };
        told(index, ask, &filter, what, &answer)
    }))
}

/// The answer that tells a total.
fn told(
    index: &dyn Index,
    ask: &Ask,
    filter: &Filter,
    what: &'static str,
    answer: &Answer<u64>,
) -> Result<Reply, Problem> {
    let coverage = coverage(index, ask, answer);
    let view = html::Answer {
        target: &filter.target,
        source: Some(filter),
        facts: &[(what, answer.value)],
        order: "",
        items: Items::None,
        cursor: &NextCursor::Absent,
        coverage: &coverage,
    };
    let total = wire::Total {
        total: answer.value,
    };
    let body = html::body(ask, &view, &total)?;
    Ok(Reply::new(body, coverage))
}

pub(crate) fn all(params: &Params) -> Result<Job, Problem> {
    let target = params.required_text("target")?.to_owned();
    Ok(Box::new(move |index, ask| {
        let answer = index.all(&target)?;
        let coverage = coverage(index, ask, &answer);
        let mut links: BTreeMap<String, BTreeMap<String, wire::SourceCounts>> = BTreeMap::new();
        for source in answer.value.into_iter().filter(|source| source.records > 0) {
            let counts = wire::SourceCounts {
                records: source.records,
                distinct_dids: source.distinct_dids,
            };
            links
                .entry(source.collection)
                .or_default()
                .insert(source.path, counts);
        }
        let json = wire::All { links };
        let view = html::Answer {
            target: &target,
            source: None,
            facts: &[(
                "sources",
                json.links.values().map(|paths| paths.len() as u64).sum(),
            )],
            order: "",
            items: Items::Sources(&json.links),
            cursor: &NextCursor::Absent,
            coverage: &coverage,
        };
        let body = html::body(ask, &view, &json)?;
        Ok(Reply::new(body, coverage))
    }))
}

pub(crate) fn all_count(params: &Params) -> Result<Job, Problem> {
    let target = params.required_text("target")?.to_owned();
    Ok(Box::new(move |index, ask| {
        let answer = index.all_counts(&target)?;
        let coverage = coverage(index, ask, &answer);
        let mut links: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (collection, path, records) in answer.value.into_iter().filter(|(.., n)| *n > 0) {
            links.entry(collection).or_default().insert(path, records);
        }
        let json = wire::All { links };
        let view = html::Answer {
            target: &target,
            source: None,
            facts: &[(
                "sources",
                json.links.values().map(|paths| paths.len() as u64).sum(),
            )],
            order: "",
            items: Items::SourceRecords(&json.links),
            cursor: &NextCursor::Absent,
            coverage: &coverage,
        };
        let body = html::body(ask, &view, &json)?;
        Ok(Reply::new(body, coverage))
    }))
}
