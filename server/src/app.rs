//! The router and what wraps every request: limits first, then the route, and on every answer the headers that
//! browsers on other origins need.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::answer::{answer, answer_at_once};
use crate::api::calls::{self, Call, Takes};
use crate::api::plain::{Form, PLAIN, Plain};
use crate::api::{self, Group};
use crate::config::Config;
use crate::edge::{Edge, Gate};
use crate::hydrate::{self, Limits};
use crate::index::{Fact, FactKind, Index};
use crate::metrics::Metrics;
use crate::params::Params;
use crate::pool::Pool;
use crate::problem::{Methods, Problem};
use crate::rate::{Limiter, client_address};
use crate::request_id::RequestIds;
use crate::stream::Hub;
use crate::tls::Tls;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What all requests share.
pub(crate) struct App {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) config: Config,
    pub(crate) edge: Gate,
    pub(crate) pool: Pool,
    limiter: Option<Limiter>,
    metrics: Metrics,
    request_ids: RequestIds,
    hub: Arc<Hub>,
}

impl App {
    pub(crate) fn new(
        index: Arc<dyn Index>,
        hub: Arc<Hub>,
        edge: Option<Arc<dyn Edge>>,
        config: Config,
    ) -> Self {
        Self {
            index,
            hub,
            edge: Gate::new(edge, config.edge_requests_max, config.request_deadline),
            pool: Pool::new(
                config.queries_max,
                config.queries_waiting_max,
                config.request_deadline,
            ),
            limiter: config
                .rate_limit
                .map(|limit| Limiter::new(limit, Instant::now())),
            metrics: Metrics::default(),
            request_ids: RequestIds::default(),
            config,
        }
    }

    /// How long the records of an answer may be fetched whose request came at `started`: some time is left to give it.
    pub(crate) fn hydrate_limits(&self, started: tokio::time::Instant) -> Limits {
        let last = started + self.config.request_deadline * 4 / 5;
        let deadline = tokio::time::Instant::now() + self.config.hydrate_timeout;
        Limits {
            deadline: deadline.min(last),
            concurrent: self.config.hydrate_concurrent,
        }
    }
}

/// The plain route at a path.
fn plain(path: &str) -> Option<&'static Plain> {
    PLAIN.iter().find(|plain| plain.path == path)
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for plain in PLAIN {
        let handler = async move |State(app): State<Arc<App>>, headers: HeaderMap| {
            (plain.handler)(&app, &headers)
        };
        router = router.route(plain.path, get(handler));
    }
    for endpoint in api::ENDPOINTS {
        let handler = async move |State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap| {
            answer(&app, endpoint, &uri, &headers)
                .await
                .unwrap_or_else(Response::from)
        };
        router = router.route(endpoint.path, get(handler));
    }
    for call in calls::CALLS {
        router = router.route(call.path, route(call));
    }
    let subscribe = async |State(app): State<Arc<App>>, request: Request| {
        let client = client_of(&app, &request);
        app.hub
            .subscribe(request, client)
            .unwrap_or_else(Response::from)
    };
    router
        .route(api::stream::SUBSCRIBE, get(subscribe))
        .fallback(async |uri: Uri| Response::from(Problem::not_found(uri.path())))
        .method_not_allowed_fallback(async || {
            Response::from(Problem::method_not_allowed(Methods::Get))
        })
        .layer(from_fn_with_state(Arc::clone(&app), wrap))
        .with_state(app)
}

/// A route that waits for other servers or takes a body.
fn route(call: &'static Call) -> MethodRouter<Arc<App>> {
    match &call.takes {
        Takes::Query { answer, .. } => get(async move |State(app): State<Arc<App>>, uri: Uri| {
            let answer = match Params::parse(uri.query().unwrap_or_default()) {
                Ok(params) => answer(app, params).await,
                Err(problem) => Err(problem),
            };
            answer.unwrap_or_else(Response::from)
        }),
        Takes::Body { answer, .. } => {
            let handler = async move |State(app): State<Arc<App>>, request: Request| {
                let client = client_of(&app, &request);
                let (most, deadline) = (app.config.body_bytes_max, app.config.request_deadline);
                let answer = match calls::read_body(request, most, deadline).await {
                    Ok(body) => answer(app, client, body).await,
                    Err(problem) => Err(problem),
                };
                answer.unwrap_or_else(Response::from)
            };
            post(handler)
                .fallback(async || Response::from(Problem::method_not_allowed(Methods::Post)))
        }
    }
}

/// Asks this server itself, as the client would, without a network.
pub(crate) async fn ask_self(
    app: &Arc<App>,
    client: IpAddr,
    target: &str,
) -> Result<Bytes, Problem> {
    let refused = |_| Problem::invalid("what is asked makes no address");
    let uri: Uri = target
        .parse()
        .map_err(|error: axum::http::uri::InvalidUri| refused(error.to_string()))?;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    request.extensions_mut().insert(Peer(client));
    let router = TowerToHyperService::new(router(Arc::clone(app)));
    let Ok(mut response) = router.call(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Err(problem);
    }
    axum::body::to_bytes(response.into_body(), hydrate::BYTES_MAX)
        .await
        .map_err(|_| Problem::invalid("the answer is too long to be passed on"))
}

/// The metrics page, on whatever path.
pub(crate) fn metrics_router(app: Arc<App>) -> Router {
    Router::new().fallback(async move || {
        let mut facts = app.index.facts();
        facts.extend(app.hub.facts());
        facts.extend(app.edge.facts());
        facts.extend(app.config.tls.iter().flat_map(Tls::facts));
        let status = app.index.status();
        let mut gauge = |name: &str, help, value| {
            let name = name.to_owned();
            facts.push(Fact {
                name,
                help,
                kind: FactKind::Gauge,
                value,
            });
        };
        gauge(
            "orrery_http_pool_waiting",
            "Requests waiting for the pool.",
            app.pool.waiting() as f64,
        );
        gauge(
            "orrery_http_pool_free",
            "Free places of the pool.",
            app.pool.free() as f64,
        );
        gauge(
            "orrery_http_edge_free",
            "Free places for requests that wait for other servers.",
            app.edge.free() as f64,
        );
        if let Some(us) = status.indexed_through_us {
            gauge(
                "orrery_indexed_through_seconds",
                "Time of the last applied event, seconds since 1970.",
                us as f64 / 1e6,
            );
        }
        if let Some(us) = status.lag_us {
            gauge(
                "orrery_lag_seconds",
                "Seconds behind the source.",
                us as f64 / 1e6,
            );
        }
        let mut response = Response::new(Body::from(app.metrics.render(&facts)));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    })
}

/// Wraps every request of the public port.
async fn wrap(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let path = request.uri().path();
    let endpoint = api::ENDPOINTS.iter().find(|endpoint| endpoint.path == path);
    let call = match endpoint {
        Some(_) => None,
        None => calls::CALLS.iter().find(|call| call.path == path),
    };
    let plain = match (endpoint, call) {
        (None, None) => plain(path),
        _ => None,
    };
    let route = match (endpoint, call, plain) {
        (Some(endpoint), ..) => endpoint.path,
        (None, Some(call), _) => call.path,
        (None, None, Some(plain)) => plain.path,
        (None, None, None) if path == api::stream::SUBSCRIBE => api::stream::SUBSCRIBE,
        (None, None, None) => "other",
    };
    let methods = call.map_or(Methods::Get, Call::methods);
    let is_unlimited = plain.is_some_and(|plain| plain.is_unlimited);
    let has_page = match plain {
        Some(plain) => matches!(plain.form, Form::JsonOrPage(_)),
        None => endpoint.is_some(),
    };
    let mut response = match admit(&app, &request, is_unlimited) {
        Err(problem) => problem.into(),
        Ok(()) if request.method() == Method::OPTIONS => preflight(methods),
        Ok(()) => caught(next.run(request)).await,
    };
    if endpoint.is_some_and(|endpoint| endpoint.group == Group::Stats) {
        name(&mut response, &app.request_ids.next());
    }
    everywhere(&mut response, has_page);
    let took = started.elapsed();
    let status = response.status().as_u16();
    app.metrics.answered(route, status, took);
    tracing::debug!(route, status, ?took, "answered");
    response
}

/// Adds the headers that are on every answer.
fn everywhere(response: &mut Response<Body>, has_page: bool) {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::VARY,
        HeaderValue::from_static(if has_page {
            "accept, origin, access-control-request-method, access-control-request-headers"
        } else {
            "origin, access-control-request-method, access-control-request-headers"
        }),
    );
}

/// The whole answer to a request whose route has it at once, before any other part of the way that requests go: most of what such an
/// answer costs would be that way. `None` where it has to be gone.
pub(crate) fn at_once<B>(
    app: &App,
    peer: Peer,
    request: &axum::http::Request<B>,
) -> Option<Response<Body>> {
    let started = Instant::now();
    if request.method() != Method::GET || request.uri().query()?.len() > app.config.query_bytes_max
    {
        return None;
    }
    let work = || ready(app, request);
    // Of a panic the other way tells, if it meets it too.
    let (mut response, route, has_page) = catch_unwind(AssertUnwindSafe(work)).unwrap_or(None)?;
    if let Some(limiter) = &app.limiter {
        let client = client_address(peer.0, request.headers(), &app.config.trusted_proxies);
        limiter.take(client, started).ok()?;
    }
    everywhere(&mut response, has_page);
    let took = started.elapsed();
    let status = response.status().as_u16();
    app.metrics.answered(route, status, took);
    tracing::debug!(route, status, ?took, "answered");
    Some(response)
}

/// The answer that a route has at once, if it has one, the route, and whether that has a page for people too.
fn ready<B>(
    app: &App,
    request: &axum::http::Request<B>,
) -> Option<(Response<Body>, &'static str, bool)> {
    let (uri, headers) = (request.uri(), request.headers());
    let path = uri.path();
    if let Some(endpoint) = api::ENDPOINTS.iter().find(|endpoint| endpoint.path == path) {
        let response = answer_at_once(app, endpoint, uri, headers)?;
        return Some((response, endpoint.path, true));
    }
    let call = calls::CALLS
        .iter()
        .find(|call| call.at_once().is_some() && call.path == path)?;
    let at_once = call.at_once()?;
    Some((at_once(app, uri)?, call.path, false))
}

/// Names the request in its answer: in a header, and in the body of an error.
fn name(response: &mut Response<Body>, request_id: &str) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response = problem.with_request_id(request_id);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        let header = HeaderName::from_static("x-request-id");
        response.headers_mut().insert(header, value);
    }
}

/// The address of the client that asks.
fn client_of(app: &App, request: &Request) -> IpAddr {
    let peer = request
        .extensions()
        .get::<Peer>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    client_address(peer, request.headers(), &app.config.trusted_proxies)
}

/// Turns away what is over a limit.
fn admit(app: &App, request: &Request, is_unlimited: bool) -> Result<(), Problem> {
    if let Some(limiter) = &app.limiter
        && !is_unlimited
    {
        let client = client_of(app, request);
        limiter
            .take(client, Instant::now())
            .map_err(Problem::rate_limited)?;
    }
    let limit = app.config.query_bytes_max;
    if request
        .uri()
        .query()
        .is_some_and(|query| query.len() > limit)
    {
        return Err(Problem::query_too_long(limit));
    }
    Ok(())
}

fn preflight(methods: Methods) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ALLOW, HeaderValue::from_static(methods.allow()));
    response
}

/// A panic outside the pool becomes an answer too; without this it would cut the connection.
async fn caught(work: impl Future<Output = Response<Body>>) -> Response<Body> {
    let mut work = pin!(work);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!("a request handler panicked");
            Poll::Ready(Problem::internal().into())
        })
    })
    .await
}
