//! Backlinks: records, accounts and counts, under both generations of names.

use std::collections::BTreeMap;

use orrery_query::Filter;
use orrery_query::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, PAGE_ITEMS_MIN};

use super::{Job, Reply, coverage};
use crate::html::{self, Items};
use crate::index::Paging;
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::{self, NextCursor, Record};

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
            let source = params.required("source")?;
            let (collection, path) = source.split_once(':').ok_or_else(|| {
                Problem::invalid(
                    "parameter source must be a collection, a colon and a path, \
                     such as app.bsky.feed.like:subject.uri",
                )
            })?;
            Filter::new(subject, collection, format!(".{path}"))
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
    Ok(Box::new(move |index, ask| {
        let answer = index.records(&filter, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let total = page.total.unwrap_or_default();
        let cursor = generation.next_cursor(page.cursor);
        let records: Vec<Record> = page.items.into_iter().map(Record::from).collect();
        let view = html::Answer {
            target: &filter.target,
            source: Some(&filter),
            facts: &[("records", total)],
            order: if paging.reverse {
                "Oldest first."
            } else {
                "Newest first."
            },
            items: Items::Records(&records),
            cursor: &cursor,
            coverage: &coverage,
        };
        let body = match generation {
            Generation::Xrpc => {
                let records = records.clone();
                let (cursor, coverage) = (cursor.clone(), coverage.clone());
                html::body(
                    ask,
                    &view,
                    &wire::Backlinks {
                        total,
                        records,
                        cursor,
                        coverage,
                    },
                )
            }
            Generation::Links => {
                let linking_records = records.clone();
                let (cursor, coverage) = (cursor.clone(), coverage.clone());
                let json = wire::LinkingRecords {
                    total,
                    linking_records,
                    cursor,
                    coverage,
                };
                html::body(ask, &view, &json)
            }
        }?;
        Ok(Reply { body, coverage })
    }))
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
        Ok(Reply {
            body,
            coverage: json.coverage,
        })
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

fn total(params: &Params, generation: Generation, distinct: bool) -> Result<Job, Problem> {
    let filter = filter(params, generation)?;
    // No order to reverse, but what is wrong on a list is wrong here.
    params.flag("reverse")?;
    Ok(Box::new(move |index, ask| {
        let answer = if distinct {
            index.count_distinct(&filter)?
        } else {
            index.count(&filter)?
        };
        let coverage = coverage(index, ask, &answer);
        let view = html::Answer {
            target: &filter.target,
            source: Some(&filter),
            facts: &[(if distinct { "accounts" } else { "records" }, answer.value)],
            order: "",
            items: Items::None,
            cursor: &NextCursor::Absent,
            coverage: &coverage,
        };
        let body = html::body(
            ask,
            &view,
            &wire::Total {
                total: answer.value,
            },
        )?;
        Ok(Reply { body, coverage })
    }))
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
        Ok(Reply { body, coverage })
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
        Ok(Reply { body, coverage })
    }))
}
