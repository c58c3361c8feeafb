//! Routes that wait for other servers, or that take a body: records, identities, and many questions in one request. As a
//! table, like the endpoints that ask the index alone.

mod backlinks;
mod batch;
mod body;
mod errors;
mod fields;
mod identity;
mod list;
mod proxy;
mod record;
mod schemas;
mod sources;
mod table;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, Uri, header};
use bytes::Bytes;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;

use super::{Field, Group};
use crate::app::App;
use crate::params::Params;
use crate::problem::{Methods, Problem};

pub(crate) use body::read as read_body;
pub(crate) use errors::{Told, record_problem};
pub(crate) use table::CALLS;

/// One such route.
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) group: Group,
    /// What it answers, for people.
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
    /// What it answers where there is no answer, beside what every route may.
    pub(crate) errors: &'static [Told],
    /// Whether it answers from the index, with the headers of such answers, and not from the edge.
    pub(crate) is_of_the_index: bool,
}

/// A request as the route takes it, and what answers it.
pub(crate) enum Takes {
    /// Parameters.
    Query {
        fields: &'static [Field],
        /// Answers what is in memory, without waiting and without reading more than it must; none: the other way.
        at_once: Option<AtOnce>,
        answer: fn(Arc<App>, Params) -> Answering,
    },
    /// JSON.
    Body {
        schema: fn(&mut SchemaGenerator) -> Schema,
        example: &'static str,
        answer: fn(Arc<App>, IpAddr, Bytes) -> Answering,
    },
}

/// What is in the body of the answer.
pub(crate) enum Gives {
    /// JSON of a schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Something else of a media type.
    Media(&'static str, &'static str),
}

impl Call {
    pub(crate) fn methods(&self) -> Methods {
        match self.takes {
            Takes::Query { .. } => Methods::Get,
            Takes::Body { .. } => Methods::Post,
        }
    }

    pub(crate) fn at_once(&self) -> Option<AtOnce> {
        match self.takes {
            Takes::Query { at_once, .. } => at_once,
            Takes::Body { .. } => None,
        }
    }

    pub(crate) fn fields(&self) -> &'static [Field] {
        match self.takes {
            Takes::Query { fields, .. } => fields,
            Takes::Body { .. } => &[],
        }
    }
}

/// Answers a request that takes no time; `None` for any other.
pub(crate) type AtOnce = fn(&App, &Uri) -> Option<Response<Body>>;

/// An answer under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + Send>>;

/// The media type of JSON from the edge, as clients of the services in use get it.
pub(crate) const JSON: &str = "application/json; charset=utf-8";

/// Others may keep records, and have to ask before they tell them: a delete counts at once.
const RECORD_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// How long identities may be kept by others.
const IDENTITY_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer of JSON that is there already.
fn ready(body: impl Into<Body>, cache: HeaderValue) -> Response<Body> {
    const TYPE: HeaderValue = HeaderValue::from_static(JSON);
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TYPE);
    headers.insert(header::CACHE_CONTROL, cache);
    response
}

fn json(value: &impl Serialize, cache: HeaderValue) -> Result<Response<Body>, Problem> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(ready(text, cache)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be encoded");
            Err(Problem::internal())
        }
    }
}
