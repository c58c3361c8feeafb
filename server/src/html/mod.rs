//! The pages: the facts of the JSON for people. Made on the server, without script but for that of the link stream; everything that comes from
//! outside goes through [`Markup::text`], which is the only way to add a string that is not a literal of this
//! crate.

mod forms;
mod home;
mod markup;
mod plot;
mod reference;
mod stats;
mod status;
mod stream;

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, header};
use orrery_query::Filter;
use serde::Serialize;

use crate::api::Ask;
use crate::negotiate::View;
use crate::problem::Problem;
use crate::time::format_time;
use crate::wire::{Coverage, Hydrated, ManyItem, NextCursor, OtherCount, Record, SourceCounts};

pub(crate) use home::{Example, OFFICIAL_DID, home_json, home_page};
use markup::{Href, Markup, grouped};
pub(crate) use reference::reference;
pub(crate) use stats::{StatsItems, StatsPage, stats_body};
pub(crate) use status::status_body;
pub(crate) use stream::{stream_page, stream_script};

/// Nothing may run, load or frame; only the own style sheet and forms back to the own origin.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The headers of every page.
pub(crate) fn headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The items of an answer.
pub(crate) enum Items<'a> {
    None,
    Records(&'a [Record]),
    Dids(&'a [String]),
    Many(&'a [ManyItem]),
    Others(&'a [OtherCount]),
    Sources(&'a BTreeMap<String, BTreeMap<String, SourceCounts>>),
    SourceRecords(&'a BTreeMap<String, BTreeMap<String, u64>>),
}

/// What the page of an answer shows.
pub(crate) struct Answer<'a> {
    pub(crate) target: &'a str,
    pub(crate) source: Option<&'a Filter>,
    pub(crate) facts: &'a [(&'static str, u64)],
    pub(crate) order: &'static str,
    pub(crate) items: Items<'a>,
    pub(crate) cursor: &'a NextCursor,
    pub(crate) coverage: &'a Coverage,
}

/// The body in the form that was asked for.
pub(crate) fn body(
    ask: &Ask,
    answer: &Answer<'_>,
    json: &impl Serialize,
) -> Result<String, Problem> {
    match ask.view {
        View::Json => encode(json, false),
        View::Html => Ok(page(ask, answer, &encode(json, true)?)),
    }
}

pub(crate) fn encode(json: &impl Serialize, pretty: bool) -> Result<String, Problem> {
    let text = if pretty {
        serde_json::to_string_pretty(json)
    } else {
        serde_json::to_string(json)
    };
    text.map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        Problem::internal()
    })
}

fn begin(title: &str, about: &str) -> Markup {
    let mut m = Markup::default();
    m.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
    m.text(title);
    m.raw("</title>\n<meta name=\"description\" content=\"")
        .text(about);
    m.raw("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    m.raw("<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n");
    m.raw("<header><a href=\"/\">orrery</a> <span>who links to what</span></header>\n<main>\n");
    m
}

fn end(mut m: Markup, json: &str, coverage: &Coverage) -> String {
    m.raw("<details><summary>Raw JSON</summary><pre>")
        .text(json)
        .raw("</pre></details>\n</main>\n");
    m.raw("<footer><p>");
    match coverage.through {
        Some(us) => m.raw("Indexed through ").text(&format_time(us)),
        None => m.raw("Nothing indexed yet"),
    };
    if let Some(us) = coverage.from {
        m.raw(", from ").text(&format_time(us)).raw(" on");
    }
    if !coverage.collections.is_empty() {
        m.raw("; whole are only ")
            .text(&coverage.collections.join(", "));
    }
    if !coverage.exclude.is_empty() {
        m.raw("; not ").text(&coverage.exclude.join(", "));
    }
    if !coverage.degraded.is_empty() {
        m.raw("; incomplete: damaged are seq ")
            .text(&coverage.degraded.join(", "));
    }
    m.raw(".</p><p>For this answer as JSON, ask with the header <code>Accept: application/json</code>.");
    m.raw("</p></footer>\n</body>\n</html>\n");
    m.finish()
}

/// What a reader has to know before the figures.
fn notes(m: &mut Markup, coverage: &Coverage) {
    if !coverage.degraded.is_empty() {
        m.raw("<p class=\"note\">Incomplete: a part of the index is damaged and left out, events of seq ");
        m.text(&coverage.degraded.join(", ")).raw(".</p>\n");
    }
    if let Some(hint) = &coverage.hint {
        let end = if hint.ends_with('?') { "" } else { "." };
        m.raw("<p class=\"note\">Hint: ")
            .text(hint)
            .raw(end)
            .raw("</p>\n");
    }
}

/// How an empty list is told.
fn none(coverage: &Coverage) -> &'static str {
    if coverage.degraded.is_empty() {
        "<p>None.</p>\n"
    } else {
        "<p>None in what can be read.</p>\n"
    }
}

fn page(ask: &Ask, answer: &Answer<'_>, json: &str) -> String {
    let endpoint = ask.endpoint;
    let mut m = begin(
        &format!("{}: {}", endpoint.title, answer.target),
        endpoint.about,
    );
    m.raw("<h1>")
        .text(endpoint.title)
        .raw("</h1>\n<p class=\"target\"><code>");
    m.text(answer.target).raw("</code>");
    if let Some(href) = Href::browse(answer.target) {
        let is_record = answer.target.starts_with("at://");
        m.raw(" ")
            .link(&href, if is_record { "browse record" } else { "browse" });
    }
    m.raw("</p>\n");
    if let Some(source) = answer.source {
        m.raw("<p>from <code>")
            .text(&source.collection)
            .raw("</code> at <code>");
        m.text(&source.path).raw("</code></p>\n");
    }
    notes(&mut m, answer.coverage);
    for (what, count) in answer.facts {
        m.raw("<p class=\"fact\"><strong>")
            .text(&grouped(*count))
            .raw("</strong> ");
        m.text(what).raw("</p>\n");
    }
    related(&mut m, answer);
    items(&mut m, answer);
    if !matches!(
        answer.items,
        Items::None | Items::Sources(_) | Items::SourceRecords(_)
    ) {
        forms::next(&mut m, ask, answer.cursor);
    }
    m.raw("<h2>Try it</h2>\n");
    forms::ask(&mut m, endpoint.path, endpoint.fields, Some(&ask.params));
    end(m, json, answer.coverage)
}

/// The same target and source, asked in the other ways.
fn related(m: &mut Markup, answer: &Answer<'_>) {
    m.raw("<nav>");
    if let Some(filter) = answer.source {
        let path = filter.path.strip_prefix('.').unwrap_or(&filter.path);
        let source = format!("{}:{path}", filter.collection);
        let xrpc = [("subject", answer.target), ("source", source.as_str())];
        let links = [
            ("target", answer.target),
            ("collection", &filter.collection),
            ("path", &filter.path),
        ];
        for (path, query, name) in [
            (
                "/xrpc/blue.microcosm.links.getBacklinks",
                &xrpc[..],
                "records",
            ),
            (
                "/xrpc/blue.microcosm.links.getBacklinkDids",
                &xrpc[..],
                "accounts",
            ),
            (
                "/xrpc/blue.microcosm.links.getBacklinksCount",
                &xrpc[..],
                "count",
            ),
            (
                "/links/count/distinct-dids",
                &links[..],
                "count of accounts",
            ),
        ] {
            m.link(&Href::local(path, query), name).raw(" ");
        }
    }
    m.link(
        &Href::local("/links/all", &[("target", answer.target)]),
        "all links to it",
    );
    m.raw("</nav>\n");
}

fn items(m: &mut Markup, answer: &Answer<'_>) {
    if !answer.order.is_empty() {
        m.raw("<p class=\"order\">")
            .text(answer.order)
            .raw("</p>\n");
    }
    let list = |m: &mut Markup, count: usize| {
        m.raw(if count == 0 {
            none(answer.coverage)
        } else {
            "<ol>\n"
        });
    };
    match answer.items {
        Items::None => {}
        Items::Records(records) => {
            list(m, records.len());
            for item in records {
                m.raw("<li>");
                record(m, item);
                m.raw("</li>\n");
            }
        }
        Items::Dids(dids) => {
            list(m, dids.len());
            for did in dids {
                m.raw("<li>");
                subject(m, did);
                m.raw("</li>\n");
            }
        }
        Items::Many(items) => {
            list(m, items.len());
            for item in items {
                m.raw("<li>");
                subject(m, &item.other_subject);
                m.raw("<br>by ");
                record(m, &item.link_record);
                m.raw("</li>\n");
            }
        }
        Items::Others(items) => {
            list(m, items.len());
            for item in items {
                m.raw("<li>");
                subject(m, &item.subject);
                m.raw("<br><strong>")
                    .text(&grouped(item.total))
                    .raw("</strong> records by <strong>");
                m.text(&grouped(item.distinct))
                    .raw("</strong> accounts</li>\n");
            }
        }
        Items::Sources(sources) => {
            let count = |counts: &SourceCounts| (counts.records, Some(counts.distinct_dids));
            table(m, answer, sources, count);
        }
        Items::SourceRecords(sources) => table(m, answer, sources, |n| (*n, None)),
    }
    let ordered = match answer.items {
        Items::Records(items) => items.len(),
        Items::Dids(items) => items.len(),
        Items::Many(items) => items.len(),
        Items::Others(items) => items.len(),
        Items::None | Items::Sources(_) | Items::SourceRecords(_) => 0,
    };
    if ordered > 0 {
        m.raw("</ol>\n");
    }
}

/// A subject with what links to it.
fn subject(m: &mut Markup, target: &str) {
    m.link(&Href::local("/links/all", &[("target", target)]), target);
    if let Some(href) = Href::browse(target) {
        m.raw(" <small>").link(&href, "browse").raw("</small>");
    }
}

/// A record as DID, collection and key.
fn record(m: &mut Markup, record: &Record) {
    m.link(
        &Href::local("/links/all", &[("target", &record.did)]),
        &record.did,
    );
    m.raw(" <code>").text(&record.collection).raw("</code> ");
    let uri = format!("at://{}/{}/{}", record.did, record.collection, record.rkey);
    match Href::browse(&uri) {
        Some(href) => m.link(&href, &record.rkey),
        None => m.text(&record.rkey),
    };
    if let Some(hydrated) = &record.hydrated {
        content(m, hydrated);
    }
}

/// What a record says, or why that is not known.
fn content(m: &mut Markup, hydrated: &Hydrated) {
    if let Some(reason) = &hydrated.reason {
        m.raw("<br><small>").text(hydrated.status).raw(": ");
        m.text(reason).raw("</small>");
    }
    if let Some(value) = &hydrated.value {
        m.raw("<pre>").text(value.get()).raw("</pre>");
    }
    for (path, values) in hydrated.values.iter().flatten() {
        for value in values {
            m.raw("<br><code>").text(path).raw("</code> ");
            m.text(value.get());
        }
    }
}

/// Counts by source. `count` gives records and, where they are known, accounts.
fn table<T>(
    m: &mut Markup,
    answer: &Answer<'_>,
    sources: &BTreeMap<String, BTreeMap<String, T>>,
    count: impl Fn(&T) -> (u64, Option<u64>),
) {
    let target = answer.target;
    if sources.is_empty() {
        m.raw(if answer.coverage.degraded.is_empty() {
            "<p>Nothing links to it.</p>\n"
        } else {
            "<p>Nothing that can be read links to it.</p>\n"
        });
    }
    for (collection, paths) in sources {
        m.raw("<h2><code>")
            .text(collection)
            .raw("</code></h2>\n<ul>\n");
        for (path, counts) in paths {
            let (records, accounts) = count(counts);
            let source = format!("{collection}:{}", path.strip_prefix('.').unwrap_or(path));
            let query = [("subject", target), ("source", source.as_str())];
            m.raw("<li><code>").text(path).raw("</code> ");
            m.link(
                &Href::local("/xrpc/blue.microcosm.links.getBacklinks", &query),
                &format!("{} records", grouped(records)),
            );
            if let Some(accounts) = accounts {
                m.raw(" by ").link(
                    &Href::local("/xrpc/blue.microcosm.links.getBacklinkDids", &query),
                    &format!("{} accounts", grouped(accounts)),
                );
            }
            m.raw("</li>\n");
        }
        m.raw("</ul>\n");
    }
}
