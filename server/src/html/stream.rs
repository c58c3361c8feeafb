//! The page of the link stream: a form and a list, which a script of this server fills.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use super::begin;
use super::markup::Markup;
use crate::api::meta::fixed;

/// As that of the other pages, but for the own script and the own websocket.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `/stream`.
pub(crate) fn stream_page() -> Response<Body> {
    let mut response = Response::new(Body::from(page()));
    super::headers(response.headers_mut());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    response
}

/// `/stream.js`.
pub(crate) fn stream_script() -> Response<Body> {
    fixed("text/javascript; charset=utf-8", include_str!("stream.js"))
}

fn page() -> String {
    let mut m = begin(
        "orrery: the link stream",
        "Links between records of the AT Protocol network, as they are made and undone.",
    );
    m.raw("<h1>The link stream</h1>\n<p>Links as they are made and undone. Programs get the same from the websocket ");
    m.raw("<code>/subscribe</code>: <a href=\"/openapi\">how</a>.</p>\n");
    m.raw("<noscript><p class=\"note\">This page needs its script; all others do without.</p></noscript>\n");
    m.raw("<form id=\"filters\">\n");
    area(
        &mut m,
        "wantedSources",
        "Only from these sources (collection:path)",
        "app.bsky.feed.like:subject.uri",
    );
    area(
        &mut m,
        "wantedSubjectDids",
        "Only to these accounts and their records",
        "did:plc:z72i7hdynmk6r22z27h6tvur",
    );
    m.raw("<details><summary>More filters</summary>\n");
    area(
        &mut m,
        "wantedSubjects",
        "To exactly these: DIDs, at-uris or URLs",
        "at://did:plc:…/app.bsky.feed.post/…",
    );
    area(
        &mut m,
        "wantedSubjectPrefixes",
        "To what begins with one of these",
        "https://example.com/",
    );
    m.raw("</details>\n<p class=\"choices\">");
    for (name, text) in [
        ("instant", "at once, not 21 s later"),
        ("deletes", "also links that are undone"),
    ] {
        m.raw("<label><input type=\"checkbox\" name=\"").raw(name);
        m.raw(if name == "instant" {
            "\" checked> "
        } else {
            "\"> "
        });
        m.raw(text).raw("</label> ");
    }
    m.raw("</p>\n<button>Watch</button>\n</form>\n");
    m.raw("<div class=\"bar\"><p><span id=\"state\" role=\"status\">Not connected</span> <span id=\"counted\"></span></p>\n<p class=\"buttons\">");
    m.raw("<button type=\"button\" id=\"pause\" aria-pressed=\"false\" aria-keyshortcuts=\"p\">Pause <kbd>p</kbd></button> ");
    m.raw("<button type=\"button\" id=\"clear\" aria-keyshortcuts=\"c\">Clear <kbd>c</kbd></button></p></div>\n");
    m.raw(
        "<ol id=\"rows\" class=\"rows\" tabindex=\"0\" aria-label=\"Links, newest first\"></ol>\n",
    );
    m.raw("<script src=\"/stream.js\"></script>\n</main>\n</body>\n</html>\n");
    m.finish()
}

/// A list of values, one a line.
fn area(m: &mut Markup, name: &'static str, label: &'static str, hint: &'static str) {
    m.raw("<label><span>")
        .raw(label)
        .raw(", one a line</span><textarea rows=\"2\" spellcheck=\"false\" name=\"");
    m.raw(name)
        .raw("\" placeholder=\"")
        .raw(hint)
        .raw("\"></textarea></label>\n");
}
