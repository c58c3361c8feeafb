//! The front page: what the index holds, some questions to begin with, and every endpoint with a form.

use super::forms;
use super::markup::{Href, grouped};
use super::{begin, encode, end};
use crate::api::{Ask, ENDPOINTS, Group};
use crate::negotiate::View;
use crate::problem::Problem;
use crate::wire::{Coverage, Root};

/// The account of the network's own announcements: an example that every index of the network can answer.
const EXAMPLE_DID: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

/// `/` in the form that was asked for.
pub(crate) fn home_body(ask: &Ask, root: &Root, coverage: &Coverage) -> Result<String, Problem> {
    match ask.view {
        View::Json => encode(root, false),
        View::Html => Ok(page(root, &encode(root, true)?, coverage)),
    }
}

fn page(root: &Root, json: &str, coverage: &Coverage) -> String {
    let mut m = begin(
        "orrery: who links to what",
        "Backlinks of the AT Protocol network: who links to a record, an account or a page.",
    );
    m.raw("<h1>Who links to what</h1>\n");
    m.raw("<p>An index of every link between records of the AT Protocol network.</p>\n");
    m.raw("<dl class=\"stats\">\n");
    let stats = &root.stats;
    for (what, count) in [
        ("accounts that link", Some(stats.dids)),
        ("targets by source", Some(stats.targetables)),
        ("linking records", Some(stats.linking_records)),
        ("days indexed", root.days_indexed),
    ] {
        m.raw("<div><dt>").raw(what).raw("</dt><dd>");
        match count {
            Some(count) => m.text(&grouped(count)),
            None => m.raw("none yet"),
        };
        m.raw("</dd></div>\n");
    }
    m.raw("</dl>\n<h2>Questions to begin with</h2>\n<ul>\n");
    let source = |source| [("subject", EXAMPLE_DID), ("source", source)];
    for (question, href) in [
        (
            "Who follows the official account?",
            Href::local(
                "/xrpc/blue.microcosm.links.getBacklinkDids",
                &source("app.bsky.graph.follow:subject"),
            ),
        ),
        (
            "How many accounts block it?",
            Href::local(
                "/links/count/distinct-dids",
                &[
                    ("target", EXAMPLE_DID),
                    ("collection", "app.bsky.graph.block"),
                    ("path", ".subject"),
                ],
            ),
        ),
        (
            "Which posts mention it?",
            Href::local(
                "/xrpc/blue.microcosm.links.getBacklinks",
                &source(
                    "app.bsky.feed.post:facets[].features[app.bsky.richtext.facet#mention].did",
                ),
            ),
        ),
        (
            "On which lists is it?",
            Href::local(
                "/xrpc/blue.microcosm.links.getManyToManyCounts",
                &[
                    ("subject", EXAMPLE_DID),
                    ("source", "app.bsky.graph.listitem:subject"),
                    ("pathToOther", "list"),
                ],
            ),
        ),
        (
            "What links to it at all?",
            Href::local("/links/all", &[("target", EXAMPLE_DID)]),
        ),
    ] {
        m.raw("<li>").link(&href, question).raw("</li>\n");
    }
    m.raw("</ul>\n");
    for group in Group::ALL {
        let endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.group == group);
        let mut endpoints = endpoints.filter(|endpoint| endpoint.path != "/").peekable();
        if endpoints.peek().is_none() {
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
            Group::Stats | Group::Service => "",
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
            forms::ask(&mut m, endpoint, None);
            m.raw("</details>\n");
        }
    }
    m.raw("<h2>Service</h2>\n<ul><li><a href=\"/_health\">Health</a></li>");
    m.raw("<li><a href=\"/readyz\">Readiness</a></li>");
    m.raw("<li><a href=\"/openapi\">The API</a></li></ul>\n");
    end(m, json, coverage)
}
