//! Answers of the document: those with content, and the problems, each of which is a component.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::headers;
use crate::api::Group;
use crate::wire;

/// Problems that any answer from the index may be.
pub(super) const OF_THE_INDEX: [u16; 4] = [400, 500, 503, 504];

/// Problems that any route may answer with. What is answered before there is a request that has a route is none of
/// them, and has no JSON: 414 and 431 to a head that is too long, 400 to one that is no HTTP. The document says so in
/// words.
const OF_EVERY_ROUTE: [u16; 3] = [405, 414, 429];

struct Kind {
    status: u16,
    name: &'static str,
    about: &'static str,
    /// A header that says more.
    header: Option<&'static str>,
}

const KINDS: [Kind; 12] = [
    Kind {
        status: 400,
        name: "InvalidRequest",
        about: "A parameter or the Accept header is wrong; the message names it.",
        header: None,
    },
    Kind {
        status: 404,
        name: "NotFound",
        about: "Nothing is served here.",
        header: None,
    },
    Kind {
        status: 405,
        name: "MethodNotAllowed",
        about: "A method that is not served here: the header Allow names those that are.",
        header: Some("allow"),
    },
    Kind {
        status: 408,
        name: "RequestTimeout",
        about: "The body did not come in time.",
        header: None,
    },
    Kind {
        status: 413,
        name: "PayloadTooLarge",
        about: "The body is longer than the server takes.",
        header: None,
    },
    Kind {
        status: 414,
        name: "QueryTooLong",
        about: "The query string is longer than the server takes.",
        header: None,
    },
    Kind {
        status: 415,
        name: "UnsupportedMediaType",
        about: "The body is not said to be JSON.",
        header: None,
    },
    Kind {
        status: 429,
        name: "RateLimitExceeded",
        about: "Too many requests from one address.",
        header: Some("retry-after"),
    },
    Kind {
        status: 500,
        name: "InternalServerError",
        about: "The server failed; its log says why.",
        header: None,
    },
    Kind {
        status: 501,
        name: "MethodNotImplemented",
        about: "The server was started without the edge cache.",
        header: None,
    },
    Kind {
        status: 503,
        name: "Unavailable",
        about: "Too many queries, subscribers or waits for other servers (ServerOverloaded), the index cannot answer yet (NotReady), or a part of it is \
            damaged and this server gives no incomplete answers (IndexDegraded).",
        header: Some("retry-after"),
    },
    Kind {
        status: 504,
        name: "Timeout",
        about: "The query took too long; ask for less.",
        header: Some("retry-after"),
    },
];

/// A reference to the problem of this status.
pub(super) fn problem(status: u16, group: Group) -> Value {
    let kind = KINDS.iter().find(|kind| kind.status == status);
    let name = kind.map_or("InternalServerError", |kind| kind.name);
    let reference = format!("#/components/responses/{}{name}", prefix(group));
    json!({ "$ref": reference })
}

/// Problems of the routes that tell of collections name the request, and so are components of their own.
fn prefix(group: Group) -> &'static str {
    match group {
        Group::Stats => "Collections",
        Group::Links | Group::Edge | Group::Stream | Group::Service => "",
    }
}

/// The header that only answers of the group have.
fn own_header(group: Group) -> Option<&'static str> {
    (group == Group::Stats).then_some("x-request-id")
}

/// The problems that any route of the group may answer with, by status.
pub(super) fn of_every_route(group: Group) -> Map<String, Value> {
    OF_EVERY_ROUTE
        .map(|status| (status.to_string(), problem(status, group)))
        .into_iter()
        .collect()
}

/// A problem that this route tells in its own words.
pub(super) fn told(status: u16, about: &str) -> Value {
    let kind = KINDS.iter().find(|kind| kind.status == status);
    let names = headers::ALWAYS.into_iter();
    json!({
        "description": about,
        "headers": headers::refer(names.chain(kind.and_then(|kind| kind.header))),
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } },
    })
}

/// An answer from the index.
pub(super) fn from_index(schema: &Schema, group: Group) -> Value {
    let names = headers::ALWAYS.into_iter().chain(headers::OF_THE_INDEX);
    json!({
        "description": "The answer.",
        "headers": headers::refer(names.chain(own_header(group))),
        "content": json_or_page(schema, true),
    })
}

/// The answer that opens a websocket.
pub(super) fn upgraded() -> Value {
    json!({ "description": "The connection is a websocket from here on." })
}

/// Any other answer.
pub(super) fn plain(content: Value) -> Value {
    json!({
        "description": "The answer.",
        "headers": headers::refer(headers::ALWAYS),
        "content": content,
    })
}

/// JSON and, where there is one, the page with the same facts.
pub(super) fn json_or_page(schema: &Schema, has_page: bool) -> Value {
    let mut content = json!({ "application/json": { "schema": schema } });
    if has_page && let Some(members) = content.as_object_mut() {
        let page =
            json!({ "schema": { "type": "string", "description": "The same facts as a page." } });
        members.insert("text/html; charset=utf-8".into(), page);
    }
    content
}

/// All problems.
pub(super) fn components(generator: &mut SchemaGenerator) -> Value {
    let plain = generator.subschema_for::<wire::ErrorBody<'_>>();
    let named = generator.subschema_for::<wire::StatsErrorBody<'_>>();
    let groups = [(Group::Links, plain), (Group::Stats, named)];
    let mut responses = Map::new();
    for (group, schema) in groups {
        for kind in &KINDS {
            let names = headers::ALWAYS.into_iter().chain(kind.header);
            let response = json!({
                "description": kind.about,
                "headers": headers::refer(names.chain(own_header(group))),
                "content": { "application/json": { "schema": schema } },
            });
            responses.insert(format!("{}{}", prefix(group), kind.name), response);
        }
    }
    responses.into()
}
