//! The router and what wraps every request: limits first, then the route, and on every answer the headers that
//! browsers on other origins need.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::agents::{Agents, Tally, product};
use crate::answer::{UsualHeaders, answer, answer_at_once};
use crate::api::calls::{self, AtOnce, Call, Takes};
use crate::api::plain::{Form, PLAIN};
use crate::api::{self, Endpoint, Group, links};
use crate::config::Config;
use crate::edge::{Edge, Gate};
use crate::hydrate::{self, Limits};
use crate::index::Index;
use crate::metrics::{self, Known, Requests, Route};
use crate::operator::names_an_address;
use crate::params::Params;
use crate::pool::Pool;
use crate::problem::{Methods, Problem};
use crate::process::Process;
use crate::rate::{Left, Limiter, Short, client_address, cost};
use crate::request_id::RequestIds;
use crate::stream::Hub;
use crate::tls::Tls;
use crate::watch::Watch;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What all requests share.
pub(crate) struct App {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) config: Config,
    pub(crate) edge: Gate,
    pub(crate) pool: Pool,
    pub(crate) requests: Requests,
    pub(crate) connections: Connections,
    pub(crate) watch: Arc<Watch>,
    pub(crate) hub: Arc<Hub>,
    limiter: Option<Limiter>,
    pub(crate) agents: Agents,
    request_ids: RequestIds,
    pub(crate) usual_headers: UsualHeaders,
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
                .map(|limit| Limiter::new(limit, config.rate_allow.clone(), Instant::now())),
            requests: Requests::default(),
            connections: Connections::default(),
            watch: Arc::default(),
            agents: Agents::default(),
            request_ids: RequestIds::default(),
            usual_headers: UsualHeaders::default(),
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

/// What the limiter said of a request, once for all of its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission(Result<Option<Left>, Short>);

/// How many connections are open, and how many were refused.
#[derive(Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    refused: AtomicU64,
}

/// One of them; leaves the count however it ends.
pub(crate) struct Connected<'a>(&'a AtomicUsize);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    pub(crate) fn enter(&self) -> Connected<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(&self.open)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// One was closed at once, since its address had too many.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
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

/// The metrics page, on whatever path. On an address that only this machine reaches, pages of the web that a browser here shows are kept
/// out by the name that they know the address by; elsewhere programs may know it by any.
pub(crate) fn metrics_router(app: Arc<App>, is_of_this_machine: bool) -> Router {
    Router::new().fallback(async move |method: Method, headers: HeaderMap| {
        if method != Method::GET && method != Method::HEAD {
            let why = "metrics are asked for by GET; what changes the exclude list goes to the address of --operator";
            return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", why).into();
        }
        if is_of_this_machine && !names_an_address(&headers) {
            let why = "metrics on a loopback address are told to an address or localhost, and to no other name";
            return Problem::new(StatusCode::FORBIDDEN, "Forbidden", why).into();
        }
        metrics_page(&app).await
    })
}

/// The metrics page.
pub(crate) async fn metrics_page(app: &App) -> Response<Body> {
    // What cannot be read of the process is left out.
    let process = tokio::task::spawn_blocking(Process::now).await;
    let mut facts = metrics::of_the_server(app, &process.unwrap_or_default());
    facts.extend(app.index.facts());
    facts.extend(app.hub.facts());
    facts.extend(app.edge.facts());
    facts.extend(app.config.tls.iter().flat_map(Tls::facts));
    let mut page = metrics::render(&app.requests, &facts);
    app.agents.render(&mut page);
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Wraps every request of the public port.
async fn wrap(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let (route, known) = Route::of(request.uri().path());
    let methods = match &known {
        Known::Call(call) => call.methods(),
        _ => Methods::Get,
    };
    let is_unlimited = matches!(&known, Known::Plain(plain) if plain.is_unlimited);
    let has_page = match &known {
        Known::Plain(plain) => matches!(plain.form, Form::JsonOrPage(_)),
        Known::Endpoint(_) => true,
        Known::Call(_) | Known::Subscribe | Known::Nothing => false,
    };
    let agent = request.headers().get(header::USER_AGENT).cloned();
    let (admitted, left) = admit(&app, &request, is_unlimited);
    let mut response = match admitted {
        Err(problem) => problem.into(),
        Ok(()) if request.method() == Method::OPTIONS => preflight(methods),
        Ok(()) => caught(next.run(request)).await,
    };
    if matches!(&known, Known::Endpoint(endpoint) if endpoint.group == Group::Stats) {
        name(&mut response, &app.request_ids.next());
    }
    everywhere(&mut response, has_page);
    tell_left(&mut response, left);
    answered(&app, route, agent.as_ref(), &response, started);
    response
}

/// Counts an answer.
fn answered(
    app: &App,
    route: Route,
    agent: Option<&HeaderValue>,
    response: &Response<Body>,
    started: Instant,
) {
    let took = started.elapsed();
    let status = response.status().as_u16();
    app.requests.answered(route, status, took);
    let tally = Tally {
        requests: 1,
        errors: u64::from(status >= 400),
        bytes: response.body().size_hint().exact().unwrap_or(0),
    };
    let product = product(agent.map(HeaderValue::as_bytes));
    app.agents.answered(product, route.name(), tally);
    tracing::debug!(route = route.name(), status, ?took, "answered");
}

/// Adds what is left of the client's bucket, where it has one.
fn tell_left(response: &mut Response<Body>, left: Option<Left>) {
    if let Some(left) = left {
        left.tell(response.headers_mut());
    }
}

/// Adds the headers that are on every answer.
pub(crate) fn everywhere(response: &mut Response<Body>, has_page: bool) {
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
/// answer costs would be that way.
///
/// # Errors
/// What the limiter said, if it was asked, for the other way.
pub(crate) fn at_once<B>(
    app: &App,
    peer: Peer,
    request: &axum::http::Request<B>,
) -> Result<Response<Body>, Option<Admission>> {
    let started = Instant::now();
    let limit = app.config.query_bytes_max;
    let Some(query) = request.uri().query().filter(|query| query.len() <= limit) else {
        return Err(None);
    };
    let quick = Quick::of(request.uri().path()).filter(|_| request.method() == Method::GET);
    let Some((route, quick)) = quick else {
        return Err(None);
    };
    // Before anything is looked up: what is refused costs next to nothing.
    let admission = app.limiter.as_ref().map(|limiter| {
        let client = client_address(peer.0, request.headers(), &app.config.trusted_proxies);
        Admission(limiter.take(client, cost(route.name(), Some(query)), started))
    });
    let left = match admission {
        None => None,
        Some(Admission(Ok(left))) => left,
        Some(Admission(Err(_))) => return Err(admission),
    };
    let work = || quick.answer(app, request);
    // Of a panic the other way tells, if it meets it too.
    let Some(mut response) = catch_unwind(AssertUnwindSafe(work)).unwrap_or(None) else {
        return Err(admission);
    };
    tell_left(&mut response, left);
    let agent = request.headers().get(header::USER_AGENT);
    answered(app, route, agent, &response, started);
    Ok(response)
}

/// A route that has some of its answers at once.
enum Quick {
    Count(&'static Endpoint),
    Call(AtOnce),
}

impl Quick {
    /// What is at a path, if it is such a route.
    fn of(path: &str) -> Option<(Route, Self)> {
        let mut endpoints = api::ENDPOINTS.iter().enumerate();
        if let Some((at, endpoint)) = endpoints.find(|(_, endpoint)| endpoint.path == path) {
            links::counts_by(path)?;
            return Some((Route::endpoint(at), Self::Count(endpoint)));
        }
        let mut calls = calls::CALLS.iter().enumerate();
        let (at, call) = calls.find(|(_, call)| call.path == path)?;
        Some((Route::call(at), Self::Call(call.at_once()?)))
    }

    /// The answer, if it is there, with the headers that are on every answer.
    fn answer<B>(&self, app: &App, request: &axum::http::Request<B>) -> Option<Response<Body>> {
        let uri = request.uri();
        match self {
            Self::Count(endpoint) => answer_at_once(app, endpoint, uri, request.headers()),
            Self::Call(at_once) => {
                let mut response = at_once(app, uri)?;
                everywhere(&mut response, false);
                Some(response)
            }
        }
    }
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

/// Turns away what is over a limit. Gives what is left of the client's bucket, either way.
fn admit(app: &App, request: &Request, is_unlimited: bool) -> (Result<(), Problem>, Option<Left>) {
    let taken = match (request.extensions().get::<Admission>(), &app.limiter) {
        (Some(Admission(taken)), _) => *taken,
        (None, Some(limiter)) if !is_unlimited => {
            // What a browser asks before it asks costs as little as it is.
            let cost = match *request.method() {
                Method::OPTIONS => 1,
                _ => cost(request.uri().path(), request.uri().query()),
            };
            limiter.take(client_of(app, request), cost, Instant::now())
        }
        (None, _) => Ok(None),
    };
    let left = match taken {
        Ok(left) => left,
        Err(short) => {
            let refused = Problem::rate_limited(short.retry_after_s);
            return (Err(refused), Some(short.left));
        }
    };
    let limit = app.config.query_bytes_max;
    let query = request.uri().query();
    if query.is_some_and(|query| query.len() > limit) {
        return (Err(Problem::query_too_long(limit)), left);
    }
    (Ok(()), left)
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
