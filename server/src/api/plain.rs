//! Routes that answer without the index's pool: small files, health, and the API's own description.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use schemars::{Schema, SchemaGenerator};

use super::meta;
use crate::app::App;
use crate::html;
use crate::openapi::{self, schema};
use crate::status;
use crate::wire;

/// One plain route.
pub(crate) struct Plain {
    pub(crate) path: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) form: Form,
    /// Statuses of problems that it has beside those of every route.
    pub(crate) problems: &'static [u16],
    /// Whether a limited client may always ask: whoever watches the server must not be turned away.
    pub(crate) is_unlimited: bool,
    pub(crate) handler: fn(&App, &HeaderMap) -> Response<Body>,
}

/// What a plain route answers.
pub(crate) enum Form {
    /// JSON of a schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON of a schema or, by `Accept`, a page.
    JsonOrPage(fn(&mut SchemaGenerator) -> Schema),
    /// Text of a media type.
    Text(&'static str),
}

/// Every plain route.
pub(crate) static PLAIN: &[Plain] = &[
    Plain {
        path: "/_health",
        title: "Health",
        about: "Answers while the process does, and says how far behind its source the index is. Never limited.",
        form: Form::Json(schema::<wire::Health>),
        problems: &[],
        is_unlimited: true,
        handler: |app, _| meta::health(app),
    },
    Plain {
        path: "/xrpc/_health",
        title: "Health, where XRPC clients look for it",
        about: "As /_health.",
        form: Form::Json(schema::<wire::Health>),
        problems: &[],
        is_unlimited: true,
        handler: |app, _| meta::health(app),
    },
    Plain {
        path: "/readyz",
        title: "Readiness",
        about: "Whether traffic should come here: not while the index is far behind its source. Never limited.",
        form: Form::Json(schema::<wire::Ready>),
        problems: &[503],
        is_unlimited: true,
        handler: |app, _| meta::ready(app),
    },
    Plain {
        path: status::PATH,
        title: "Status",
        about: "How the server is doing: lag, rates, disk, segments, requests, memory, and what they were over the last hour and day. Not \
                found where it is turned off.",
        form: Form::JsonOrPage(schema::<wire::status::StatusReport>),
        problems: &[404],
        is_unlimited: false,
        handler: status::answer,
    },
    Plain {
        path: "/openapi",
        title: "This description",
        about: "The OpenAPI document of every route or, for a browser, the same as a page.",
        form: Form::JsonOrPage(openapi::own_schema),
        problems: &[],
        is_unlimited: false,
        handler: |_, headers| openapi::answer(headers),
    },
    Plain {
        path: "/openapi.json",
        title: "This description, as JSON whatever is accepted",
        about: "The OpenAPI document of every route.",
        form: Form::Json(openapi::own_schema),
        problems: &[],
        is_unlimited: false,
        handler: |_, _| openapi::json(),
    },
    Plain {
        path: "/.well-known/did.json",
        title: "The server's DID document",
        about: "What this server offers under its did:web; not found where it has none.",
        form: Form::Json(schema::<wire::DidDocument>),
        problems: &[404],
        is_unlimited: false,
        handler: |app, _| meta::did_document(app),
    },
    Plain {
        path: "/robots.txt",
        title: "Robots",
        about: "What crawlers are to leave alone.",
        form: Form::Text("text/plain; charset=utf-8"),
        problems: &[],
        is_unlimited: false,
        handler: |_, _| meta::robots(),
    },
    Plain {
        path: "/style.css",
        title: "Style sheet",
        about: "The style of the pages.",
        form: Form::Text("text/css; charset=utf-8"),
        problems: &[],
        is_unlimited: false,
        handler: |_, _| meta::style(),
    },
    Plain {
        path: "/stream",
        title: "The link stream as a page",
        about: "Shows what /subscribe tells; takes its lists, instant and deletes from its own query.",
        form: Form::Text("text/html; charset=utf-8"),
        problems: &[],
        is_unlimited: false,
        handler: |_, _| html::stream_page(),
    },
    Plain {
        path: "/stream.js",
        title: "Script of /stream",
        about: "The only script of this server.",
        form: Form::Text("text/javascript; charset=utf-8"),
        problems: &[],
        is_unlimited: false,
        handler: |_, _| html::stream_script(),
    },
];
