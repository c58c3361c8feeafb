//! The API page: the OpenAPI document for people, made on the server like every page.

use serde_json::Value;

use super::markup::Markup;
use super::{begin, forms};
use crate::api::ENDPOINTS;
use crate::api::calls::CALLS;

/// The page of a document.
pub(crate) fn reference(document: &Value) -> String {
    let mut m = begin(
        "orrery: the API",
        "Every route of this server with its parameters and answers.",
    );
    m.raw("<h1>The API</h1>\n<p>")
        .text(text(document.pointer("/info/description")));
    m.raw("</p>\n<p>For programs: <a href=\"/openapi.json\">openapi.json</a>, version ");
    m.text(text(document.pointer("/info/version")))
        .raw(".</p>\n");
    for tag in items(document.get("tags")) {
        let name = text(tag.get("name"));
        m.raw("<h2>").text(name).raw("</h2>\n<p>");
        m.text(text(tag.get("description"))).raw("</p>\n");
        for (path, item) in members(document.get("paths")) {
            let Some(operation) = item.get("get").or_else(|| item.get("post")) else {
                continue;
            };
            if items(operation.get("tags")).any(|tag| tag == name) {
                route(&mut m, document, path, operation);
            }
        }
    }
    m.raw("<h2>Shapes</h2>\n");
    for (name, schema) in members(document.pointer("/components/schemas")) {
        m.raw("<h3 id=\"")
            .text(name)
            .raw("\"><code>")
            .text(name)
            .raw("</code></h3>\n<p>");
        m.text(text(schema.get("description"))).raw("</p>\n");
        shape(&mut m, schema);
    }
    m.raw("</main>\n</body>\n</html>\n");
    m.finish()
}

fn route(m: &mut Markup, document: &Value, path: &str, operation: &Value) {
    m.raw("<details class=\"endpoint\"><summary><code>")
        .text(path)
        .raw("</code> ");
    m.text(text(operation.get("summary")));
    if operation.get("deprecated").is_some() {
        m.raw(" (deprecated)");
    }
    m.raw("</summary>\n<p>")
        .text(text(operation.get("description")))
        .raw("</p>\n");
    let mut parameters = items(operation.get("parameters")).peekable();
    if parameters.peek().is_some() {
        m.raw("<table class=\"members\"><thead><tr><th>Parameter</th><th>Takes</th><th>Meaning</th></tr></thead>\n<tbody>\n");
        for parameter in parameters {
            m.raw("<tr><td><code>")
                .text(text(parameter.get("name")))
                .raw("</code>");
            if parameter.get("required") == Some(&Value::Bool(true)) {
                m.raw(" (required)");
            }
            m.raw("</td><td>");
            takes(m, parameter.get("schema"));
            m.raw("</td><td>")
                .text(text(parameter.get("description")))
                .raw("</td></tr>\n");
        }
        m.raw("</tbody></table>\n");
    }
    if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
        m.raw("<p>Takes <code>POST</code> with JSON:</p>\n");
        shape(m, body);
    }
    m.raw(
        "<table class=\"answers\"><thead><tr><th>Answer</th><th>Content</th><th>Meaning</th></tr></thead>\n<tbody>\n",
    );
    for (status, response) in members(operation.get("responses")) {
        let response = resolved(document, response);
        m.raw("<tr><td>").text(status).raw("</td><td>");
        for (i, (media, content)) in members(response.get("content")).enumerate() {
            m.raw(if i == 0 { "" } else { "<br>" }).text(media);
            if let Some(name) = referred(content.get("schema")) {
                m.raw(" <a href=\"#")
                    .text(name)
                    .raw("\">")
                    .text(name)
                    .raw("</a>");
            }
        }
        m.raw("</td><td>")
            .text(text(response.get("description")))
            .raw("</td></tr>\n");
    }
    m.raw("</tbody></table>\n");
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) {
        forms::ask(m, endpoint.path, endpoint.fields, None);
    }
    if let Some(call) = CALLS.iter().find(|call| call.path == path) {
        forms::call(m, call);
    }
    m.raw("</details>\n");
}

/// The members of a shape, in a table.
fn shape(m: &mut Markup, schema: &Value) {
    let required: Vec<&Value> = items(schema.get("required")).collect();
    let mut properties = members(schema.get("properties")).peekable();
    if properties.peek().is_none() {
        return;
    }
    m.raw("<table class=\"members\"><thead><tr><th>Member</th><th>Type</th><th>Meaning</th></tr></thead>\n<tbody>\n");
    for (name, property) in properties {
        m.raw("<tr><td><code>").text(name).raw("</code>");
        if !required.iter().any(|required| *required == name) {
            m.raw(" (may be absent)");
        }
        m.raw("</td><td>");
        takes(m, Some(property));
        m.raw("</td><td>")
            .text(text(property.get("description")))
            .raw("</td></tr>\n");
    }
    m.raw("</tbody></table>\n");
}

/// A schema in words.
fn takes(m: &mut Markup, schema: Option<&Value>) {
    let Some(schema) = schema else { return };
    if let Some(name) = referred(Some(schema)) {
        m.raw("<a href=\"#")
            .text(name)
            .raw("\">")
            .text(name)
            .raw("</a>");
        return;
    }
    for keyword in ["anyOf", "oneOf"] {
        let mut is_first = true;
        for choice in items(schema.get(keyword)) {
            m.raw(if is_first { "" } else { " or " });
            is_first = false;
            takes(m, Some(choice));
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => {
            m.text(kind);
        }
        Some(Value::Array(kinds)) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            m.text(&kinds.join(" or "));
        }
        _ => {}
    }
    for (keyword, before) in [
        ("format", ", as "),
        ("pattern", ", matching "),
        ("minLength", ", at least "),
        ("minimum", ", from "),
        ("maximum", " to "),
        ("default", ", default "),
        ("const", "exactly "),
    ] {
        if let Some(value) = schema.get(keyword) {
            m.raw(before);
            match value {
                Value::String(value) if value.is_empty() => m.raw("nothing"),
                Value::String(value) => m.text(value),
                value => m.text(&value.to_string()),
            };
            m.raw(if keyword == "minLength" {
                " character"
            } else {
                ""
            });
        }
    }
    for (i, value) in items(schema.get("enum")).enumerate() {
        m.raw(if i == 0 { ": " } else { ", " })
            .text(text(Some(value)));
    }
    for (keyword, before) in [
        ("items", " of "),
        ("additionalProperties", ", each member: "),
    ] {
        if let Some(inner @ Value::Object(_)) = schema.get(keyword) {
            m.raw(before);
            takes(m, Some(inner));
        }
    }
}

/// The name of the component that a schema refers to.
fn referred(schema: Option<&Value>) -> Option<&str> {
    schema?.get("$ref")?.as_str()?.rsplit('/').next()
}

/// What a reference stands for, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| document.pointer(reference.strip_prefix('#')?))
        .unwrap_or(value)
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}
