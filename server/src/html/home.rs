//! The front page: what the index holds, some questions to begin with, and every endpoint with a form.

use super::forms;
use super::markup::{Href, Markup, grouped};
use super::{begin, encode, end, notes};
use crate::api::calls::CALLS;
use crate::api::{ENDPOINTS, Group};
use crate::problem::Problem;
use crate::wire::{Coverage, Root};

/// The account of the network's own announcements: an example that an index of the network can answer.
pub(crate) const OFFICIAL_DID: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

/// An account that the questions to begin with are about.
pub(crate) struct Example {
    pub(crate) did: String,
    /// From where records link to it, as `collection:path` with the path's first dot.
    pub(crate) sources: Vec<String>,
}

/// The front page.
pub(crate) fn home_page(
    root: &Root,
    coverage: &Coverage,
    example: Option<&Example>,
    has_status: bool,
) -> Result<String, Problem> {
    let json = encode(root, true)?;
    Ok(page(root, &json, coverage, example, has_status))
}

/// The front page's facts for programs.
pub(crate) fn home_json(root: &Root) -> Result<String, Problem> {
    encode(root, false)
}

fn page(
    root: &Root,
    json: &str,
    coverage: &Coverage,
    example: Option<&Example>,
    has_status: bool,
) -> String {
    let mut m = begin(
        "orrery: who links to what",
        "Backlinks of the AT Protocol network: who links to a record, an account or a page.",
    );
    m.raw("<h1>Who links to what</h1>\n");
    m.raw("<p>An index of every link between records of the AT Protocol network.</p>\n");
    notes(&mut m, coverage);
    m.raw("<dl class=\"stats\">\n");
    let stats = &root.stats;
    for (one, more, count) in [
        ("account that links", "accounts that link", Some(stats.dids)),
        (
            "target by source",
            "targets by source",
            Some(stats.targetables),
        ),
        (
            "linking record",
            "linking records",
            Some(stats.linking_records),
        ),
        ("day indexed", "days indexed", root.days_indexed),
    ] {
        let what = if count == Some(1) { one } else { more };
        m.raw("<div><dt>").raw(what).raw("</dt><dd>");
        match count {
            Some(count) => m.text(&grouped(count)),
            None => m.raw("none yet"),
        };
        m.raw("</dd></div>\n");
    }
    m.raw("</dl>\n");
    if let Some(example) = example {
        questions(&mut m, example);
    }
    for group in Group::ALL {
        let endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.group == group);
        let mut endpoints = endpoints.filter(|endpoint| endpoint.path != "/").peekable();
        let mut calls = CALLS.iter().filter(|call| call.group == group).peekable();
        if endpoints.peek().is_none() && calls.peek().is_none() {
            continue;
        }
        m.raw("<h2>")
            .raw(group.name())
            .raw("</h2>\n<p>")
            .raw(group.about());
        m.raw(match group {
            Group::Links => {
                " A source is a collection, a colon and the path of the link in its records."
            }
            Group::Edge | Group::Stats | Group::Stream | Group::Service => "",
        });
        m.raw("</p>\n");
        for endpoint in endpoints {
            m.raw("<details class=\"endpoint\"><summary><code>")
                .raw(endpoint.path)
                .raw("</code> ");
            m.raw(endpoint.title);
            m.raw(if endpoint.deprecated {
                " (deprecated)"
            } else {
                ""
            });
            m.raw("</summary>\n<p>").raw(endpoint.about).raw("</p>\n");
            forms::ask(&mut m, endpoint.path, endpoint.fields, None);
            m.raw("</details>\n");
        }
        for call in calls {
            m.raw("<details class=\"endpoint\"><summary><code>")
                .raw(call.path)
                .raw("</code> ");
            m.raw(call.title)
                .raw("</summary>\n<p>")
                .raw(call.about)
                .raw("</p>\n");
            forms::call(&mut m, call);
            m.raw("</details>\n");
        }
    }
    m.raw("<h2>").raw(Group::Stream.name()).raw("</h2>\n<p>");
    m.raw(Group::Stream.about());
    m.raw(" <a href=\"/stream\">Watch it</a>, or connect a program to the websocket <code>/subscribe</code>: ");
    m.raw("<a href=\"/openapi\">how</a>.</p>\n");
    m.raw("<h2>Service</h2>\n<ul><li><a href=\"/_health\">Health</a></li>");
    m.raw("<li><a href=\"/readyz\">Readiness</a></li>");
    m.raw(if has_status {
        "<li><a href=\"/status\">Status</a></li>"
    } else {
        ""
    });
    m.raw("<li><a href=\"/openapi\">The API</a></li></ul>\n");
    end(m, json, coverage)
}

/// Questions about the example that have an answer.
fn questions(m: &mut Markup, example: &Example) {
    const MENTIONS: &str =
        "app.bsky.feed.post:facets[].features[app.bsky.richtext.facet#mention].did";
    let did = example.did.as_str();
    let source = |source| [("subject", did), ("source", source)];
    m.raw("<h2>Questions to begin with</h2>\n<p>About <code>")
        .text(did)
        .raw("</code>");
    m.raw(if did == OFFICIAL_DID {
        ", the official account:</p>\n<ul>\n"
    } else {
        ":</p>\n<ul>\n"
    });
    for (needs, question, href) in [
        (
            "app.bsky.graph.follow:.subject",
            "Who follows it?",
            Href::local(
                "/xrpc/blue.microcosm.links.getBacklinkDids",
                &source("app.bsky.graph.follow:subject"),
            ),
        ),
        (
            "app.bsky.graph.block:.subject",
            "How many accounts block it?",
            Href::local(
                "/links/count/distinct-dids",
                &[
                    ("target", did),
                    ("collection", "app.bsky.graph.block"),
                    ("path", ".subject"),
                ],
            ),
        ),
        (
            "app.bsky.feed.post:.facets[].features[app.bsky.richtext.facet#mention].did",
            "Which posts mention it?",
            Href::local("/xrpc/blue.microcosm.links.getBacklinks", &source(MENTIONS)),
        ),
        (
            "app.bsky.graph.listitem:.subject",
            "On which lists is it?",
            Href::local(
                "/xrpc/blue.microcosm.links.getManyToManyCounts",
                &[
                    ("subject", did),
                    ("source", "app.bsky.graph.listitem:subject"),
                    ("pathToOther", "list"),
                ],
            ),
        ),
    ] {
        if example.sources.iter().any(|source| source == needs) {
            m.raw("<li>").link(&href, question).raw("</li>\n");
        }
    }
    let href = Href::local("/links/all", &[("target", did)]);
    m.raw("<li>")
        .link(&href, "What links to it at all?")
        .raw("</li>\n</ul>\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::index::Selection;
    use crate::wire::RootStats;

    #[test]
    fn one_of_a_thing_is_named_in_the_singular() {
        let page = |count: u64| {
            let root = Root {
                help: "",
                days_indexed: Some(count),
                stats: RootStats {
                    dids: count,
                    targetables: count,
                    linking_records: count,
                    started_at: None,
                    other_data: BTreeMap::new(),
                },
            };
            let coverage = Coverage::new(None, None, &Selection::default());
            super::page(&root, "", &coverage, None, false)
        };
        let labels = [
            ("account that links", "accounts that link"),
            ("target by source", "targets by source"),
            ("linking record", "linking records"),
            ("day indexed", "days indexed"),
        ];
        let (one, more) = (page(1), page(318));
        for (of_one, of_more) in labels {
            assert!(
                one.contains(&format!("<dt>{of_one}</dt><dd>1</dd>")),
                "{one}"
            );
            assert!(
                more.contains(&format!("<dt>{of_more}</dt><dd>318</dd>")),
                "{more}"
            );
        }
    }
}
