//! What is not about links: the front page, health and readiness, and the small files that crawlers, browsers and
//! other servers look for.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde::Serialize;

use super::{Job, Reply, coverage};
use crate::app::App;
use crate::config::Config;
use crate::html;
use crate::index::{IndexError, Status};
use crate::params::Params;
use crate::problem::Problem;
use crate::time::now_us;
use crate::wire::{self, Coverage};

const HELP: &str = "orrery answers who links to what in the AT Protocol network. \
    Open this address in a browser, or ask with `Accept: text/html`, for the list of endpoints.";

const DAY_US: u64 = 86_400_000_000;

/// `/`.
pub(crate) fn root(_: &Params) -> Result<Job, Problem> {
    Ok(Box::new(|index, ask| {
        let answer = index.stats()?;
        let coverage = coverage(index, &answer);
        let json = wire::Root {
            help: HELP,
            days_indexed: coverage
                .from
                .map(|from| now_us().saturating_sub(from) / DAY_US),
            stats: wire::RootStats {
                dids: answer.value.dids,
                targetables: answer.value.targetables,
                linking_records: answer.value.linking_records,
                started_at: coverage.from,
                other_data: BTreeMap::from([("links", answer.value.links)]),
            },
        };
        let body = html::home_body(ask, &json, &coverage)?;
        Ok(Reply { body, coverage })
    }))
}

pub(crate) fn robots() -> Response<Body> {
    fixed(
        "text/plain; charset=utf-8",
        "User-agent: *\nDisallow: /links\nDisallow: /links/\nDisallow: /xrpc/\n",
    )
}

pub(crate) fn style() -> Response<Body> {
    fixed("text/css; charset=utf-8", include_str!("../html/style.css"))
}

/// `/.well-known/did.json`. Only what this server answers is offered.
pub(crate) fn did_document(config: &Config) -> Response<Body> {
    let Some(domain) = &config.did_web_domain else {
        return Problem::not_found("/.well-known/did.json").into();
    };
    let document = wire::DidDocument {
        id: format!("did:web:{domain}"),
        service: vec![wire::DidService {
            id: "#constellation",
            kind: "ConstellationGraphService",
            endpoint: format!("https://{domain}"),
        }],
    };
    json(&document, "public, max-age=300")
}

/// Whether the index is behind by more than the limit, or does not know how far.
fn is_behind(status: &Status, config: &Config) -> bool {
    status.source.is_some()
        && status
            .lag_us
            .is_none_or(|lag| u128::from(lag) > config.lag_limit.as_micros())
}

/// `/_health`: 200 as long as the process answers.
pub(crate) fn health(app: &App) -> Response<Body> {
    let status = app.index.status();
    let word = if status.degraded.is_some() {
        "degraded"
    } else if is_behind(&status, &app.config) {
        "catching-up"
    } else {
        "ok"
    };
    let health = wire::Health {
        version: env!("CARGO_PKG_VERSION"),
        status: word,
        lag_seconds: status.lag_us.map(|us| us as f64 / 1e6),
        indexed_through: status.indexed_through_us,
        coverage: Coverage::new(
            status.coverage_from_us,
            status.indexed_through_us,
            &status.selection,
        ),
        reason: status.degraded,
        source: status.source,
    };
    json(&health, "no-store")
}

/// `/readyz`: whether traffic should come here.
pub(crate) fn ready(app: &App) -> Response<Body> {
    let status = app.index.status();
    let limit = app.config.lag_limit.as_secs_f64();
    if !is_behind(&status, &app.config) {
        return json(&wire::Ready { ready: true }, "no-store");
    }
    let message = match status.lag_us {
        None => "no event was applied from the source yet".to_owned(),
        Some(us) => format!(
            "{:.1} s behind the source; the limit is {limit} s",
            us as f64 / 1e6
        ),
    };
    Problem::from(IndexError::Unavailable(message)).into()
}

pub(crate) fn fixed(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    response
}

fn json(value: &impl Serialize, cache: &'static str) -> Response<Body> {
    let Ok(text) = serde_json::to_string(value) else {
        return Problem::internal().into();
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
