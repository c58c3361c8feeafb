//! Answers from the index: the question to the pool, records to it where they are wanted, and the headers that say what the
//! answer rests on.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::open::{Open, total_json};
use crate::api::{Ask, Content, Endpoint, links, rests_on};
use crate::app::{App, everywhere};
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
    let mut response = of_the_index(app.config.strict, body, &reply.coverage, view)?;
    if is_hydrated {
        // As records by themselves: a delete counts at once.
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// The answer of an endpoint that counts records, where that takes no waiting: JSON alone, with the headers that are on every answer.
pub(crate) fn answer_at_once(
    app: &App,
    endpoint: &'static Endpoint,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let generation = links::counts_by(endpoint.path)?;
    let view = negotiate(headers).ok().filter(|view| *view == View::Json)?;
    let params = Params::parse(uri.query()?).ok()?;
    let Open {
        target,
        collection,
        path,
    } = Open::read(&params, generation)?;
    let answer = app.index.count_at_once(target, collection, &path)?;
    let body = total_json(answer.value)?;
    let coverage = rests_on(&*app.index, &answer, None);
    if let Some(headers) = app.usual_headers.of(&coverage) {
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = headers;
        return Some(response);
    }
    let mut response = of_the_index(app.config.strict, body, &coverage, view).ok()?;
    everywhere(&mut response, true);
    Some(response)
}

/// The headers of a JSON answer from an index that is whole and of all collections: a copy of those that were told last costs a fraction
/// of making them, and as long as nothing is indexed in between they are the same.
pub(crate) struct UsualHeaders(Mutex<Arc<Made>>);

struct Made {
    from: u64,
    through: u64,
    headers: HeaderMap,
}

impl Default for UsualHeaders {
    fn default() -> Self {
        let usual = Coverage {
            from: Some(0),
            through: Some(0),
            ..Coverage::default()
        };
        let usual = of_the_index(false, String::new(), &usual, View::Json);
        let mut response = usual.unwrap_or_default();
        everywhere(&mut response, true);
        // What differs from answer to answer comes first, where it is found without a search.
        let mut headers = HeaderMap::with_capacity(response.headers().len());
        for name in OF_AN_ANSWER {
            headers.insert(name, HeaderValue::from(0));
        }
        for (name, value) in response.headers() {
            if !OF_AN_ANSWER.contains(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Self(Mutex::new(Arc::new(Made {
            from: 0,
            through: 0,
            headers,
        })))
    }
}

impl UsualHeaders {
    /// The headers, if these are what an answer with that coverage has.
    fn of(&self, coverage: &Coverage) -> Option<HeaderMap> {
        let Coverage {
            from: Some(from),
            through: Some(through),
            collections,
            exclude,
            degraded,
            hint: None,
        } = coverage
        else {
            return None;
        };
        if !(collections.is_empty() && exclude.is_empty() && degraded.is_empty()) {
            return None;
        }
        let last = Arc::clone(&self.0.lock());
        let mut headers = last.headers.clone();
        if (last.from, last.through) == (*from, *through) {
            return Some(headers);
        }
        let own = headers.iter_mut().zip(OF_AN_ANSWER).zip([through, from]);
        for (((name, value), wanted), us) in own {
            // The order of a map's headers is theirs who made it.
            if *name != wanted {
                return None;
            }
            *value = HeaderValue::from(*us);
        }
        let made = Made {
            from: *from,
            through: *through,
            headers: headers.clone(),
        };
        *self.0.lock() = Arc::new(made);
        Some(headers)
    }
}

/// Time of the last applied event, and from which on events are covered, in microseconds since 1970.
const THROUGH: HeaderName = HeaderName::from_static("orrery-indexed-through");
const FROM: HeaderName = HeaderName::from_static("orrery-coverage-from");
const OF_AN_ANSWER: [HeaderName; 2] = [THROUGH, FROM];

/// What a question most likely means that as it stands can match nothing.
pub(crate) const HINT: HeaderName = HeaderName::from_static("orrery-hint");

/// An answer from the index around its body.
pub(crate) fn of_the_index(
    is_strict: bool,
    body: String,
    coverage: &Coverage,
    view: View,
) -> Result<Response<Body>, Problem> {
    let degraded = coverage.degraded.join(", ");
    if is_strict && !degraded.is_empty() {
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
        headers.insert(HINT, value);
    }
    if !degraded.is_empty()
        && let Ok(value) = HeaderValue::from_str(&degraded)
    {
        headers.insert(HeaderName::from_static("orrery-degraded"), value);
    }
    for (name, us) in [(THROUGH, coverage.through), (FROM, coverage.from)] {
        if let Some(us) = us {
            headers.insert(name, HeaderValue::from(us));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_copied_are_those_that_are_made() {
        let usual = UsualHeaders::default();
        // Each of the two times changes alone, then both, then neither.
        for (from, through) in [(1, 2), (1, 3), (4, 3), (5, 6), (5, 6), (6, 5)] {
            let coverage = Coverage {
                from: Some(from),
                through: Some(through),
                ..Coverage::default()
            };
            let mut made = of_the_index(false, String::new(), &coverage, View::Json).unwrap();
            everywhere(&mut made, true);
            let copied = usual.of(&coverage);
            assert_eq!(copied.as_ref(), Some(made.headers()), "{from} {through}");
        }
        let unusual = Coverage {
            from: Some(6),
            through: Some(5),
            hint: Some("hint".to_owned()),
            ..Coverage::default()
        };
        assert_eq!(usual.of(&unusual), None);
    }
}
