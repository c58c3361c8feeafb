//! Many-to-many: the records that link to a subject, and what else those records link to.

use orrery_query::{Filter, ManyToMany};

use super::links::{Generation, filter, hydrate, paging};
use super::{Ask, Content, Job, Reply, coverage};
use crate::html::{self, Items};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::{self, Hydrated, Record};

fn many(params: &Params) -> Result<ManyToMany, Problem> {
    Ok(ManyToMany {
        path_to_other: format!(".{}", params.required("pathToOther")?),
        other_subjects: params.list(&["otherSubject"]),
    })
}

pub(crate) fn get_many_to_many(params: &Params) -> Result<Job, Problem> {
    let (filter, many) = (filter(params, Generation::Xrpc)?, many(params)?);
    let paging = paging(params)?;
    let wanted = hydrate(params, &paging)?;
    Ok(Box::new(move |index, ask| {
        let answer = index.many_to_many(&filter, &many, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let items = page.items.into_iter().map(|item| wire::ManyItem {
            link_record: item.record.into(),
            other_subject: item.other_subject,
        });
        let page = ItemsPage {
            is_reverse: paging.reverse,
            filter,
            json: wire::ManyToMany {
                items: items.collect(),
                cursor: Generation::Xrpc.next_cursor(page.cursor),
                coverage: coverage.clone(),
            },
        };
        let content = match wanted {
            None => Content::Whole(page.body(ask)?),
            Some(wanted) => Content::Hydrated {
                records: page.records(),
                wanted,
                render: Box::new(|ask, hydrated| page.with(hydrated).body(ask)),
            },
        };
        Ok(Reply { content, coverage })
    }))
}

/// A page of records and their other subjects.
struct ItemsPage {
    filter: Filter,
    is_reverse: bool,
    json: wire::ManyToMany,
}

impl ItemsPage {
    fn records(&self) -> Vec<Record> {
        let items = self.json.items.iter();
        items.map(|item| item.link_record.clone()).collect()
    }

    /// The same page with what its records are like.
    fn with(mut self, hydrated: Vec<Hydrated>) -> Self {
        for (item, hydrated) in self.json.items.iter_mut().zip(hydrated) {
            item.link_record.hydrated = Some(hydrated);
        }
        self
    }

    fn body(&self, ask: &Ask) -> Result<String, Problem> {
        let view = html::Answer {
            target: &self.filter.target,
            source: Some(&self.filter),
            facts: &[],
            order: if self.is_reverse {
                "Newest first."
            } else {
                "Oldest first."
            },
            items: Items::Many(&self.json.items),
            cursor: &self.json.cursor,
            coverage: &self.json.coverage,
        };
        html::body(ask, &view, &self.json)
    }
}

pub(crate) fn get_many_to_many_counts(params: &Params) -> Result<Job, Problem> {
    let (filter, many) = (filter(params, Generation::Xrpc)?, many(params)?);
    let paging = paging(params)?;
    Ok(Box::new(move |index, ask| {
        let answer = index.many_to_many_counts(&filter, &many, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let counts = page.items.into_iter().map(|item| wire::OtherCount {
            subject: item.subject,
            total: item.total,
            distinct: item.distinct,
        });
        let json = wire::ManyToManyCounts {
            counts_by_other_subject: counts.collect(),
            cursor: Generation::Xrpc.next_cursor(page.cursor),
            coverage,
        };
        let view = html::Answer {
            target: &filter.target,
            source: Some(&filter),
            facts: &[],
            order: "",
            items: Items::Others(&json.counts_by_other_subject),
            cursor: &json.cursor,
            coverage: &json.coverage,
        };
        let body = html::body(ask, &view, &json)?;
        Ok(Reply::new(body, json.coverage))
    }))
}
