//! What is not about links: the front page, health and readiness, and the small files that crawlers, browsers and
//! other servers look for.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use orrery_links::syntax::Did;
use serde::{Deserialize, Serialize};

use super::{Job, Reply, coverage};
use crate::app::App;
use crate::config::Config;
use crate::html;
use crate::index::{Index, IndexError, SamplesOf, Status};
use crate::negotiate::View;
use crate::params::Params;
use crate::problem::Problem;
use crate::source::public_host;
use crate::time::now_us;
use crate::wire::{self, Coverage};

const HELP: &str = "orrery answers who links to what in the AT Protocol network. \
    Open this address in a browser, or ask with `Accept: text/html`, for the list of endpoints.";

/// How many accounts are looked at to find an example.
const EXAMPLES: usize = 8;

const DAY_US: u64 = 86_400_000_000;

/// `/`.
pub(crate) fn root(_: &Params) -> Result<Job, Problem> {
    Ok(Box::new(|index, ask| {
        let answer = index.stats()?;
        let coverage = coverage(index, ask, &answer);
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
        let body = match ask.view {
            View::Json => html::home_json(&json),
            // The page is there without an example too.
            View::Html => {
                let example = example(index).ok().flatten();
                html::home_page(&json, &coverage, example.as_ref(), ask.has_status)
            }
        }?;
        Ok(Reply::new(body, coverage))
    }))
}

/// An account for the questions of the front page: the official one or, where nothing links to it, one that newest
/// records follow; of some of these the one that is linked to from most sources.
fn example(index: &dyn Index) -> Result<Option<html::Example>, IndexError> {
    let linked = |did: &str| -> Result<Option<html::Example>, IndexError> {
        let counts = index.all_counts(did)?.value;
        let sources: Vec<String> = counts
            .into_iter()
            .filter(|(.., records)| *records > 0)
            .map(|(collection, path, _)| format!("{collection}:{path}"))
            .collect();
        Ok((!sources.is_empty()).then(|| html::Example {
            did: did.to_owned(),
            sources,
        }))
    };
    if let Some(example) = linked(html::OFFICIAL_DID)? {
        return Ok(Some(example));
    }
    let follows = index.sample_records(
        SamplesOf::Collections(&["app.bsky.graph.follow".to_owned()]),
        EXAMPLES,
    )?;
    let mut best: Option<html::Example> = None;
    for follow in follows.value {
        let subject = serde_json::from_str::<Subject>(follow.record.get());
        let Some(did) = subject.ok().map(|subject| subject.subject) else {
            continue;
        };
        if Did::parse(&did).is_err() {
            continue;
        }
        let Some(example) = linked(&did)? else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|best| best.sources.len() < example.sources.len())
        {
            best = Some(example);
        }
    }
    Ok(best)
}

/// What a follow is about.
#[derive(Deserialize)]
struct Subject {
    subject: String,
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
pub(crate) fn did_document(app: &App) -> Response<Body> {
    let Some(domain) = &app.config.did_web_domain else {
        return Problem::not_found("/.well-known/did.json").into();
    };
    let service = |id, kind| wire::DidService {
        id,
        kind,
        endpoint: format!("https://{domain}"),
    };
    let mut services = vec![service("#constellation", "ConstellationGraphService")];
    if app.edge.is_open() {
        services.push(service("#slingshot", "SlingshotRecordProxy"));
    }
    let document = wire::DidDocument {
        id: format!("did:web:{domain}"),
        service: services,
    };
    json(&document, "public, max-age=300")
}

/// Whether the index is behind by more than the limit, or does not know how far.
pub(crate) fn is_behind(status: &Status, config: &Config) -> bool {
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
        source: status.source.as_deref().and_then(public_host),
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
