//! The OpenAPI 3.1 document of every route, made from the tables of [`crate::api`] and the types of
//! [`crate::wire`]: a route, a parameter or a member that is not in the code cannot be in the document. Schemas
//! are JSON Schema 2020-12, the dialect of OpenAPI 3.1.

mod calls;
mod headers;
mod parameters;
mod responses;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::api::calls::CALLS;
use crate::api::plain::{Form, PLAIN, Plain};
use crate::api::{ENDPOINTS, Endpoint, Group, stream};
use crate::html;
use crate::negotiate::{View, negotiate};

const ABOUT: &str = "Who links to what in the AT Protocol network. Every path answers OPTIONS and either GET and HEAD or POST, and \
    allows every origin. Unknown parameters are ignored; one that takes a single value may be repeated only with the \
    same value. Errors are JSON whatever is accepted, but for those of what cannot be read as a request, which have no \
    content: 414 where path and query take more than 65,534 bytes, 431 where the whole head is longer than the server \
    takes, 400 where it is no HTTP.";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| html::reference(&DOCUMENT));

/// `/openapi`: the document, or the page made from it.
pub(crate) fn answer(headers: &HeaderMap) -> Response<Body> {
    match negotiate(headers) {
        Ok(View::Json) => json(),
        Ok(View::Html) => {
            let mut response = Response::new(Body::from(PAGE.as_str()));
            html::headers(response.headers_mut());
            response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
            response
        }
        Err(problem) => problem.into(),
    }
}

/// `/openapi.json`.
pub(crate) fn json() -> Response<Body> {
    let mut response = Response::new(Body::from(TEXT.as_str()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, CACHE);
    response
}

/// The document changes with the version of the server only.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The schema of a type, with what it refers to among the components.
pub(crate) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of this document: what a reader can rely on without knowing OpenAPI.
pub(crate) fn own_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": {
            "openapi": { "type": "string" },
            "info": { "type": "object" },
            "tags": { "type": "array" },
            "paths": { "type": "object" },
            "components": { "type": "object" },
        },
    })
}

fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let operation = of_endpoint(endpoint, &mut generator);
        paths.insert(endpoint.path.to_owned(), json!({ "get": operation }));
    }
    for call in CALLS {
        paths.insert(call.path.to_owned(), calls::path_item(call, &mut generator));
    }
    paths.insert(stream::SUBSCRIBE.to_owned(), json!({ "get": of_stream() }));
    for plain in PLAIN {
        let operation = of_plain(plain, &mut generator);
        paths.insert(plain.path.to_owned(), json!({ "get": operation }));
    }
    let responses = responses::components(&mut generator);
    let tags =
        Group::ALL.map(|group| json!({ "name": group.name(), "description": group.about() }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "orrery",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": responses,
            "headers": headers::components(),
        },
    })
}

fn of_endpoint(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let schema = (endpoint.answer)(generator);
    let mut responses = responses::of_every_route(endpoint.group);
    responses.insert("200".into(), responses::from_index(&schema, endpoint.group));
    let is_hydrated = endpoint.fields.iter().any(|field| field.name == "hydrate");
    let without_edge = is_hydrated.then_some(501);
    for status in responses::OF_THE_INDEX.into_iter().chain(without_edge) {
        responses.insert(
            status.to_string(),
            responses::problem(status, endpoint.group),
        );
    }
    operation(
        endpoint.path,
        endpoint.title,
        endpoint.about,
        endpoint.group,
        endpoint.deprecated,
        endpoint.fields.iter().map(parameters::parameter).collect(),
        responses,
    )
}

/// The websocket: every answer but the one that opens it is a problem.
fn of_stream() -> Value {
    let mut responses = responses::of_every_route(Group::Stream);
    responses.insert("101".into(), responses::upgraded());
    for status in [400, 503] {
        let problem = responses::problem(status, Group::Stream);
        responses.insert(status.to_string(), problem);
    }
    operation(
        stream::SUBSCRIBE,
        stream::TITLE,
        stream::ABOUT,
        Group::Stream,
        false,
        stream::FIELDS.iter().map(parameters::parameter).collect(),
        responses,
    )
}

fn of_plain(plain: &Plain, generator: &mut SchemaGenerator) -> Value {
    let mut responses = responses::of_every_route(Group::Service);
    if plain.is_unlimited {
        responses.remove("429");
    }
    let content = match plain.form {
        Form::Json(schema) => responses::json_or_page(&schema(generator), false),
        Form::JsonOrPage(schema) => {
            let problem = responses::problem(400, Group::Service);
            responses.insert("400".into(), problem);
            responses::json_or_page(&schema(generator), true)
        }
        Form::Text(media) => json!({ media: { "schema": { "type": "string" } } }),
    };
    responses.insert("200".into(), responses::plain(content));
    for status in plain.problems {
        responses.insert(
            status.to_string(),
            responses::problem(*status, Group::Service),
        );
    }
    operation(
        plain.path,
        plain.title,
        plain.about,
        Group::Service,
        false,
        Vec::new(),
        responses,
    )
}

fn operation(
    path: &str,
    title: &str,
    about: &str,
    group: Group,
    deprecated: bool,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
) -> Value {
    let mut operation = json!({
        "operationId": operation_id(path),
        "tags": [group.name()],
        "summary": title,
        "description": about,
        "parameters": parameters,
        "responses": responses,
    });
    if deprecated && let Some(members) = operation.as_object_mut() {
        members.insert("deprecated".into(), true.into());
    }
    operation
}

/// A name that generators of clients can use: the method of an XRPC route, with what is before it where others have the same, else the
/// words of the path.
fn operation_id(path: &str) -> String {
    let Some((before, method)) = method_of(path) else {
        return words(path);
    };
    let paths = CALLS.iter().map(|call| call.path);
    let mut others = paths.chain(ENDPOINTS.iter().map(|endpoint| endpoint.path));
    let is_taken = others.any(|other| match method_of(other) {
        Some((_, name)) => name == method && other != path,
        None => words(other) == method,
    });
    if !is_taken {
        return method.to_owned();
    }
    let before = before.split(|c: char| !c.is_ascii_alphanumeric());
    before.chain([method]).collect::<Vec<_>>().join("_")
}

/// The method of an XRPC route, and what is before it.
fn method_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/xrpc/")?.rsplit_once('.')
}

/// The words of a path as one name.
fn words(path: &str) -> String {
    let mut id = String::from("get");
    for word in path.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = word.chars();
        id.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(chars.as_str());
    }
    if id == "get" { "getRoot".into() } else { id }
}
