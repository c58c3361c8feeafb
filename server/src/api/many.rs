//! Many-to-many: the records that link to a subject, and what else those records link to.

use orrery_query::ManyToMany;

use super::links::{Generation, filter, paging};
use super::{Job, Reply, coverage};
use crate::html::{self, Items};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire;

fn many(params: &Params) -> Result<ManyToMany, Problem> {
    Ok(ManyToMany {
        path_to_other: format!(".{}", params.required("pathToOther")?),
        other_subjects: params.list(&["otherSubject"]),
    })
}

pub(crate) fn get_many_to_many(params: &Params) -> Result<Job, Problem> {
    let (filter, many) = (filter(params, Generation::Xrpc)?, many(params)?);
    let paging = paging(params)?;
    Ok(Box::new(move |index, ask| {
        let answer = index.many_to_many(&filter, &many, &paging)?;
        let coverage = coverage(index, ask, &answer);
        let page = answer.value;
        let items = page.items.into_iter().map(|item| wire::ManyItem {
            link_record: item.record.into(),
            other_subject: item.other_subject,
        });
        let json = wire::ManyToMany {
            items: items.collect(),
            cursor: Generation::Xrpc.next_cursor(page.cursor),
            coverage,
        };
        let view = html::Answer {
            target: &filter.target,
            source: Some(&filter),
            facts: &[],
            order: if paging.reverse {
                "Newest first."
            } else {
                "Oldest first."
            },
            items: Items::Many(&json.items),
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
        Ok(Reply {
            body,
            coverage: json.coverage,
        })
    }))
}
