//! Pages of the routes that tell of collections.

use std::collections::BTreeMap;

use serde::Serialize;

use super::markup::{Href, Markup, grouped};
use super::{begin, encode, end, forms, notes};
use crate::api::Ask;
use crate::negotiate::View;
use crate::problem::Problem;
use crate::time::format_time;
use crate::wire::NextCursor;
use crate::wire::stats::{Child, Collection, Counts, Meta, Sample, StatsCoverage, Timeseries};

/// What the page of an answer shows.
pub(crate) struct StatsPage<'a> {
    /// What was asked for, where it is one thing.
    pub(crate) about: Option<&'a str>,
    pub(crate) order: &'static str,
    pub(crate) items: StatsItems<'a>,
    /// None: there are no pages.
    pub(crate) cursor: Option<NextCursor>,
    pub(crate) coverage: &'a StatsCoverage,
}

/// The items of an answer.
pub(crate) enum StatsItems<'a> {
    Collections(&'a [Collection]),
    Stats(&'a BTreeMap<String, Counts>),
    Children(&'a Counts, &'a [Child]),
    Series(&'a Timeseries),
    Samples(&'a [Sample]),
    Meta(&'a Meta),
}

/// The body in the form that was asked for.
pub(crate) fn stats_body(
    ask: &Ask,
    page: &StatsPage<'_>,
    json: &impl Serialize,
) -> Result<String, Problem> {
    match ask.view {
        View::Json => encode(json, false),
        View::Html => Ok(show(ask, page, &encode(json, true)?)),
    }
}

fn show(ask: &Ask, page: &StatsPage<'_>, json: &str) -> String {
    let endpoint = ask.endpoint;
    let title = match page.about {
        Some(about) => format!("{}: {about}", endpoint.title),
        None => endpoint.title.to_owned(),
    };
    let mut m = begin(&title, endpoint.about);
    m.raw("<h1>").text(endpoint.title).raw("</h1>\n");
    if let Some(about) = page.about {
        m.raw("<p class=\"target\"><code>")
            .text(about)
            .raw("</code></p>\n");
    }
    span(&mut m, page.coverage);
    notes(&mut m, &page.coverage.coverage);
    if !page.order.is_empty() {
        m.raw("<p class=\"order\">").text(page.order).raw("</p>\n");
    }
    items(&mut m, &page.items);
    if let Some(cursor) = &page.cursor {
        forms::next(&mut m, ask, cursor);
    }
    m.raw("<h2>Try it</h2>\n");
    forms::ask(&mut m, endpoint.path, endpoint.fields, Some(&ask.params));
    end(m, json, &page.coverage.coverage)
}

/// Which hours are counted.
fn span(m: &mut Markup, coverage: &StatsCoverage) {
    m.raw("<p class=\"order\">");
    match (&coverage.since, &coverage.until) {
        (None, None) => {
            m.raw("All time");
        }
        (since, until) => {
            m.raw("From ")
                .text(since.as_deref().unwrap_or("the first event"));
            m.raw(" until ")
                .text(until.as_deref().unwrap_or("the last"));
        }
    }
    if let Some(current) = &coverage.current_hour {
        m.raw(if coverage.includes_current_hour {
            ", with the unfinished hour of "
        } else {
            ", without the unfinished hour of "
        });
        m.text(current);
    }
    m.raw(".</p>\n");
}

fn items(m: &mut Markup, items: &StatsItems<'_>) {
    match items {
        StatsItems::Collections(collections) => {
            table(m, "Collection", collections.is_empty());
            for collection in *collections {
                row(m, &collection.counts, |m| nsid(m, &collection.nsid));
            }
            end_table(m, collections.is_empty());
        }
        StatsItems::Stats(collections) => {
            table(m, "Collection", collections.is_empty());
            for (name, counts) in *collections {
                row(m, counts, |m| nsid(m, name));
            }
            end_table(m, collections.is_empty());
        }
        StatsItems::Children(total, children) => {
            table(m, "Below", false);
            row(m, total, |m| {
                m.raw("all together");
            });
            for child in *children {
                match child {
                    Child::Collection { nsid: name, counts } => {
                        row(m, counts, |m| nsid(m, name));
                    }
                    Child::Prefix { prefix, counts } => row(m, counts, |m| {
                        let href = Href::local("/prefix", &[("prefix", prefix)]);
                        m.link(&href, &format!("{prefix}.*"));
                    }),
                }
            }
            end_table(m, false);
        }
        StatsItems::Series(series) => {
            for (name, steps) in &series.series {
                m.raw("<h2><code>").text(name).raw("</code></h2>\n");
                table(m, "From", steps.is_empty());
                for (start, counts) in series.range.iter().zip(steps) {
                    row(m, counts, |m| {
                        m.text(start);
                    });
                }
                end_table(m, steps.is_empty());
            }
        }
        StatsItems::Samples(samples) => {
            m.raw(if samples.is_empty() {
                "<p>None.</p>\n"
            } else {
                ""
            });
            for sample in *samples {
                let uri = format!("at://{}/{}/{}", sample.did, sample.collection, sample.rkey);
                m.raw("<h2><code>")
                    .text(&sample.collection)
                    .raw("</code></h2>\n<p>");
                match Href::browse(&uri) {
                    Some(href) => m.link(&href, &uri),
                    None => m.text(&uri),
                };
                m.raw(" ").text(&format_time(sample.time_us));
                m.raw("</p>\n<pre>")
                    .text(sample.record.get())
                    .raw("</pre>\n");
            }
        }
        StatsItems::Meta(meta) => {
            m.raw("<dl class=\"stats\">\n");
            for (kind, bytes) in &meta.storage {
                m.raw("<div><dt>").text(kind).raw(", bytes</dt><dd>");
                m.text(&grouped(*bytes)).raw("</dd></div>\n");
            }
            m.raw("</dl>\n<p>Followed: <code>");
            m.text(
                meta.consumer
                    .jetstream
                    .endpoint
                    .as_deref()
                    .unwrap_or("nothing"),
            );
            m.raw("</code>.</p>\n");
        }
    }
}

fn nsid(m: &mut Markup, nsid: &str) {
    m.link(&Href::local("/timeseries", &[("collection", nsid)]), nsid);
}

fn table(m: &mut Markup, what: &'static str, is_empty: bool) {
    if is_empty {
        m.raw("<p>None.</p>\n");
        return;
    }
    m.raw("<table class=\"numbers named\"><thead><tr><th>")
        .raw(what);
    m.raw("</th><th>Creates</th><th>Updates</th><th>Deletes</th><th>Accounts</th></tr></thead>\n<tbody>\n");
}

fn end_table(m: &mut Markup, is_empty: bool) {
    if !is_empty {
        m.raw("</tbody></table>\n");
    }
}

fn row(m: &mut Markup, counts: &Counts, name: impl FnOnce(&mut Markup)) {
    m.raw("<tr><td>");
    name(m);
    m.raw("</td>");
    for count in [
        counts.creates,
        counts.updates,
        counts.deletes,
        counts.dids_estimate,
    ] {
        m.raw("<td>").text(&grouped(count)).raw("</td>");
    }
    m.raw("</tr>\n");
}
