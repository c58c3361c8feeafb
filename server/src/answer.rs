//! Answers from the index: the question to the pool, records to it where they are wanted, and the headers that say what the
//! answer rests on.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header};
use tokio::time::Instant;

use crate::api::{Ask, Content, Endpoint, links};
use crate::app::App;
use crate::hydrate::{self, Lack, RecordName, Teller};
use crate::negotiate::{View, negotiate};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::Coverage;

/// Answers from the index: everything that can be refused without it is refused before a place in the pool is
/// taken.
pub(crate) async fn answer(
    app: &Arc<App>,
    endpoint: &'static Endpoint,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let started = Instant::now();
    let view = negotiate(headers)?;
    let params = Params::parse(uri.query().unwrap_or_default())?;
    let job = (endpoint.parse)(&params)?;
    let ask = Ask {
        view,
        endpoint,
        params,
        has_status: app.config.status,
    };
    let index = Arc::clone(&app.index);
    let work = move || job(&*index, &ask).map(|reply| (reply, ask));
    let (reply, ask) = app.pool.run(work).await?;
    let is_hydrated = matches!(reply.content, Content::Hydrated { .. });
    let body = match reply.content {
        Content::Whole(body) => body,
        Content::Hydrated {
            records,
            wanted,
            render,
        } => {
            let edge = app.edge.edge()?;
            let names = records.iter().map(|record| {
                RecordName::new(&record.did, &record.collection, &record.rkey)
                    .map_err(|why| Lack::invalid("unavailable", why))
            });
            let fetching = hydrate::fetch(edge, names.collect(), app.hydrate_limits(started));
            let fetched = app.edge.run(async { Ok(fetching.await) }).await?;
            let work = move || {
                let mut teller = Teller::new(wanted);
                let told = fetched.iter().map(|fetched| teller.tell(fetched));
                render(&ask, told.collect())
            };
            app.pool.run(work).await?
        }
    };
    let mut response = of_the_index(app, body, &reply.coverage, view)?;
    if is_hydrated {
        // As records by themselves: a delete counts at once.
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// The answer of an endpoint that counts records, where that takes no waiting: JSON alone.
pub(crate) fn answer_at_once(
    app: &App,
    endpoint: &'static Endpoint,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let generation = links::counts_by(endpoint.path)?;
    let view = negotiate(headers).ok().filter(|view| *view == View::Json)?;
    let params = Params::parse(uri.query()?).ok()?;
    let ask = Ask {
        view,
        endpoint,
        params,
        has_status: app.config.status,
    };
    let reply = links::total_at_once(&*app.index, &ask, generation)?;
    let Content::Whole(body) = reply.content else {
        return None;
    };
    of_the_index(app, body, &reply.coverage, view).ok()
}

/// An answer from the index around its body.
pub(crate) fn of_the_index(
    app: &App,
    body: String,
    coverage: &Coverage,
    view: View,
) -> Result<Response<Body>, Problem> {
    let degraded = coverage.degraded.join(", ");
    if app.config.strict && !degraded.is_empty() {
        return Err(Problem::degraded(&degraded));
    }
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if degraded.is_empty() {
            "public, max-age=10"
        } else {
            "no-store"
        }),
    );
    if let Some(hint) = &coverage.hint
        && let Ok(value) = HeaderValue::from_str(hint)
    {
        headers.insert(HeaderName::from_static("orrery-hint"), value);
    }
    if !degraded.is_empty()
        && let Ok(value) = HeaderValue::from_str(&degraded)
    {
        headers.insert(HeaderName::from_static("orrery-degraded"), value);
    }
    let mut time = |name, us: Option<u64>| {
        if let Some(us) = us {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(us));
        }
    };
    time("orrery-indexed-through", coverage.through);
    time("orrery-coverage-from", coverage.from);
    for (name, values) in [
        ("orrery-coverage-collections", &coverage.collections),
        ("orrery-coverage-exclude", &coverage.exclude),
    ] {
        if !values.is_empty()
            && let Ok(value) = HeaderValue::from_str(&values.join(","))
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    match view {
        View::Json => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        View::Html => crate::html::headers(headers),
    }
    Ok(response)
}
