//! The forms of the pages: one to ask again, one to turn the page.

use super::markup::Markup;
use crate::api::calls::{Call, Takes};
use crate::api::{Field, FieldKind};
use crate::params::Params;
use crate::wire::NextCursor;

/// A form for the parameters of a path, filled with what was asked. A repeatable parameter always gets one more, empty, place.
pub(super) fn ask(
    m: &mut Markup,
    path: &'static str,
    fields: &'static [Field],
    params: Option<&Params>,
) {
    m.raw("<form method=\"get\" action=\"")
        .raw(path)
        .raw("\">\n");
    for field in fields.iter().filter(|field| field.is_in_forms) {
        let given = || {
            params
                .into_iter()
                .flat_map(Params::pairs)
                .filter(|(name, value)| *name == field.name && !value.is_empty())
                .map(|(_, value)| value)
        };
        m.raw("<label><span>").raw(field.name).raw("</span>");
        let input = |m: &mut Markup, kind: &'static str, value: &str| {
            m.raw("<input name=\"").raw(field.name).raw("\" ").raw(kind);
            m.raw(" placeholder=\"")
                .raw(field.hint)
                .raw("\" value=\"")
                .text(value)
                .raw("\">");
        };
        let first = || given().next().unwrap_or_default();
        match field.kind {
            FieldKind::Text { .. } | FieldKind::Pattern(_) if field.is_required => {
                input(m, "required", first());
            }
            FieldKind::Text { .. }
            | FieldKind::Pattern(_)
            | FieldKind::Rfc3339
            | FieldKind::Time
            | FieldKind::Cursor => input(m, "", first()),
            FieldKind::Repeated | FieldKind::Names { .. } | FieldKind::Choices(_) => {
                for value in given() {
                    input(m, "", value);
                }
                input(m, "", "");
            }
            FieldKind::Number { min, max, default } => {
                m.raw("<input type=\"number\" required min=\"")
                    .text(&min.to_string());
                m.raw("\" max=\"").text(&max.to_string());
                m.raw("\" name=\"").raw(field.name).raw("\" value=\"");
                match given().next() {
                    Some(value) => m.text(value),
                    None => m.text(&default.to_string()),
                };
                m.raw("\">");
            }
            FieldKind::Choice(words) => {
                m.raw("<select name=\"")
                    .raw(field.name)
                    .raw("\"><option></option>");
                for word in words {
                    m.raw(if first() == *word {
                        "<option selected>"
                    } else {
                        "<option>"
                    });
                    m.raw(word).raw("</option>");
                }
                m.raw("</select>");
            }
            FieldKind::Flag => {
                m.raw("<input type=\"checkbox\" value=\"true\" name=\"")
                    .raw(field.name);
                m.raw(if given().any(|value| value == "true") {
                    "\" checked> "
                } else {
                    "\"> "
                });
                m.raw(field.hint);
            }
        }
        m.raw("</label>\n");
    }
    m.raw("<button>Ask</button>\n</form>\n");
}

/// What to ask a route that waits for other servers or takes a body: by a form, or by a body such as this.
pub(super) fn call(m: &mut Markup, call: &'static Call) {
    match call.takes {
        Takes::Query { fields, .. } => ask(m, call.path, fields, None),
        Takes::Body { example, .. } => {
            m.raw("<p><code>POST</code> JSON, such as</p>\n<pre>")
                .text(example)
                .raw("</pre>\n");
        }
    }
}

/// The way to the next page, with every parameter as it was.
pub(super) fn next(m: &mut Markup, ask: &super::Ask, cursor: &NextCursor) {
    let NextCursor::More(cursor) = cursor else {
        m.raw("<p><button disabled>End of results</button></p>\n");
        return;
    };
    m.raw("<form method=\"get\" class=\"next\" action=\"")
        .raw(ask.endpoint.path)
        .raw("\">\n");
    let kept = ask.params.pairs().filter(|(name, _)| *name != "cursor");
    for (name, value) in kept.chain([("cursor", cursor.as_str())]) {
        m.raw("<input type=\"hidden\" name=\"")
            .text(name)
            .raw("\" value=\"");
        m.text(value).raw("\">\n");
    }
    m.raw("<button>Next page</button>\n</form>\n");
}
