//! Lists of collections, and the counts of some.

use std::collections::BTreeMap;

use super::{Span, Window, coverage, limit_default, nsids, order, paging, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::index::Order;
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::NextCursor;
use crate::wire::stats::{Collection, Collections, CollectionsStats, Counts};

/// What a page says of its order.
pub(super) fn order_told(order: Option<Order>) -> &'static str {
    match order {
        None => "By name.",
        Some(Order::RecordsCreated) => "Most records created first.",
        Some(Order::DidsEstimate) => "Most accounts first.",
    }
}

/// What a page knows of the next one.
pub(super) fn next(cursor: Option<&String>) -> NextCursor {
    cursor.map_or(NextCursor::Null, |cursor| NextCursor::More(cursor.clone()))
}

/// `/collections`.
pub(crate) fn list(params: &Params) -> Result<Job, Problem> {
    let span = Window::read(params)?.or_all_time();
    let order = order(params)?;
    let paging = paging(params, limit_default(order))?;
    Ok(Box::new(move |index, ask| {
        let answer = index.collections(&span.hours(), order, &paging)?;
        let coverage = coverage(index, ask, &answer, span);
        let page = answer.value;
        let json = Collections {
            collections: page.items.into_iter().map(Collection::from).collect(),
            cursor: page.cursor,
            coverage,
        };
        let page = StatsPage {
            about: None,
            order: order_told(order),
            items: StatsItems::Collections(&json.collections),
            cursor: Some(next(json.cursor.as_ref())),
            coverage: &json.coverage,
        };
        reply(ask, &page, &json)
    }))
}

/// `/collections/stats`. The answer has no room for a `coverage`: its members are collections.
pub(crate) fn collection_counts(params: &Params) -> Result<Job, Problem> {
    let nsids =
        nsids(params)?.ok_or_else(|| Problem::invalid("parameter collection is required"))?;
    let (since, until) = Window::read(params)?.or_last_week();
    let span = Span::Hours {
        since: Some(since),
        until,
    };
    Ok(Box::new(move |index, ask| {
        let names: Vec<&str> = nsids.iter().map(String::as_str).collect();
        let answer = index.collection_counts(&names, &span.hours())?;
        let coverage = coverage(index, ask, &answer, span);
        let counts = answer.value.into_iter().map(Counts::from);
        let json: CollectionsStats = nsids.into_iter().zip(counts).collect::<BTreeMap<_, _>>();
        let page = StatsPage {
            about: None,
            order: "",
            items: StatsItems::Stats(&json),
            cursor: None,
            coverage: &coverage,
        };
        reply(ask, &page, &json)
    }))
}
