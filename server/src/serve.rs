//! Listening: a bounded number of HTTP/1.1 connections, time limits on each, and a shutdown that lets requests in
//! flight finish.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::future::{Either, ready};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::addresses::{Addresses, Entered};
use crate::app::{self, App, Peer};
use crate::config::Config;
use crate::edge::Edge;
use crate::error::{Error, Result};
use crate::head_timer::HeadTimer;
use crate::index::Index;
use crate::operator;
use crate::stall::StallGuard;
use crate::stream::{Feed, Hub};
use crate::tls::{Tls, redirect};

/// How long to wait after a failed `accept`: it fails when descriptors run out, and trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Open connections to the address of metrics, and to the operator's.
const PRIVATE_CONNECTIONS_MAX: usize = 64;
/// Open connections to the address that leads to https: each has one short question.
const REDIRECT_CONNECTIONS_MAX: usize = 256;

/// Serves the index, the link stream of the feed and, where there is one, the edge cache, on `listener` until `shutdown` completes, then stops accepting, lets
/// requests in flight and subscriptions finish within [`Config::shutdown_grace`], and returns. Must run on a Tokio runtime with its time and I/O drivers on.
///
/// # Errors
/// A setting under which nothing could be served, or an address for metrics or the operator that cannot be bound. Nothing that happens
/// after that ends the server.
pub async fn serve(
    listener: TcpListener,
    index: Arc<dyn Index>,
    feed: Arc<dyn Feed>,
    edge: Option<Arc<dyn Edge>>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    config.check()?;
    let metrics_listener = match config.metrics {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|source| Error::MetricsBind { address, source })?,
        ),
    };
    let operator_listener = match config.operator {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|source| Error::OperatorBind { address, source })?,
        ),
    };
    let redirect_listener = match config.redirect {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|source| Error::RedirectBind { address, source })?,
        ),
    };
    let port = listener.local_addr().map_or(443, |address| address.port());
    let tls = config.tls.clone();
    let (stop, stopped) = watch::channel(false);
    let hub = Hub::start(feed, config.stream.clone(), stopped.clone())?;
    let app = Arc::new(App::new(index, Arc::clone(&hub), edge, config.clone()));
    let signal = async {
        shutdown.await;
        stop.send_replace(true);
    };
    let watch = app.watch.run(&app.index, stopped.clone());
    let answers = listen(
        listener,
        app::router(Arc::clone(&app)),
        Some(Arc::clone(&app)),
        tls.clone(),
        &config,
        stopped.clone(),
    );
    let certificates = async {
        if let Some(tls) = &tls {
            tls.keep(stopped.clone()).await;
        }
    };
    // Routers of their own, on sockets of their own: no path of the public port leads there. Their connections are few, so that all
    // listeners together leave the index the files that it opens.
    let beside = async |listener: Option<TcpListener>, router: Router, most: usize| {
        if let Some(listener) = listener {
            let config = Config {
                connections_max: config.connections_max.min(most),
                connections_per_address: config.connections_per_address.min(most / 4),
                ..config.clone()
            };
            listen(listener, router, None, None, &config, stopped.clone()).await;
        }
    };
    let is_of_this_machine = config
        .metrics
        .is_some_and(|address| address.ip().to_canonical().is_loopback());
    let metrics = app::metrics_router(Arc::clone(&app), is_of_this_machine);
    let metrics = beside(metrics_listener, metrics, PRIVATE_CONNECTIONS_MAX);
    let operator = operator::router(Arc::clone(&app));
    let operator = beside(operator_listener, operator, PRIVATE_CONNECTIONS_MAX);
    let redirects = async {
        if let Some(tls) = &tls {
            let router = redirect::router(tls, port);
            beside(redirect_listener, router, REDIRECT_CONNECTIONS_MAX).await;
        }
    };
    let streams = async {
        let mut stopped = stopped.clone();
        drop(stopped.wait_for(|stop| *stop).await);
        hub.finish(config.shutdown_grace).await;
    };
    tokio::join!(
        signal,
        answers,
        metrics,
        operator,
        redirects,
        streams,
        certificates,
        watch
    );
    Ok(())
}

async fn listen(
    listener: TcpListener,
    router: Router,
    app: Option<Arc<App>>,
    tls: Option<Tls>,
    config: &Config,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(
        config.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let addresses = Arc::<Addresses>::default();
    let mut was_told = false;
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accept = async {
            // Without a place the connection stays in the kernel's backlog.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = accept => accepted,
        };
        match accepted {
            None => break,
            Some((_, Err(error))) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
            Some((place, Ok((stream, peer)))) => {
                let peer = Peer(peer.ip());
                let Some(place_of_address) = place_of(&addresses, peer.0, config) else {
                    if let Some(app) = &app {
                        app.connections.refuse();
                    }
                    if !std::mem::replace(&mut was_told, true) {
                        tracing::warn!(
                            "{} has more than {} connections open, and further ones are closed; name it by --trusted-proxy if it is a \
                             proxy, or by --rate-allow (told once)",
                            peer.0,
                            config.connections_per_address
                        );
                    }
                    continue;
                };
                let serving = connection(
                    stream,
                    tls.clone(),
                    peer,
                    router.clone(),
                    app.clone(),
                    config.clone(),
                    stopped.clone(),
                );
                connections.spawn(async move {
                    serving.await;
                    drop((place, place_of_address));
                });
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if timeout(config.shutdown_grace, finish).await.is_err() {
        tracing::warn!(open = connections.len(), "connections cut at shutdown");
    }
}

/// One of the connections that an address may have; `None` if it has all of them. Nothing is counted of those that may have any number.
fn place_of(addresses: &Arc<Addresses>, peer: IpAddr, config: &Config) -> Option<Option<Entered>> {
    let mut known = config.trusted_proxies.iter().chain(&config.rate_allow);
    if known.any(|network| network.contains(peer)) {
        return Some(None);
    }
    addresses.enter(peer, config.connections_per_address)
}

async fn connection(
    stream: TcpStream,
    tls: Option<Tls>,
    peer: Peer,
    router: Router,
    app: Option<Arc<App>>,
    config: Config,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill packets only delays them. A failure costs speed alone.
    let _ = stream.set_nodelay(true);
    let stream = StallGuard::new(stream, config.write_timeout);
    let Some(tls) = tls else {
        return talk(stream, peer, router, app, config, stopped).await;
    };
    let limit = config.handshake_timeout;
    // On the heap, so that connections without TLS take no room for it.
    let stream = Box::pin(tls.accept(stream, limit, &mut stopped)).await;
    if let Some(stream) = stream {
        Box::pin(talk(stream, peer, router, app, config, stopped)).await;
    }
}

/// Answers the requests that come on a stream.
async fn talk<S>(
    stream: S,
    peer: Peer,
    router: Router,
    app: Option<Arc<App>>,
    config: Config,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let router = TowerToHyperService::new(router);
    let app = app.as_deref();
    let _open = app.map(|app| app.connections.enter());
    let service = service_fn(move |request: Request<Incoming>| {
        let admission = match app.map(|app| app::at_once(app, peer, &request)) {
            Some(Ok(response)) => return Either::Left(ready(Ok(response))),
            Some(Err(admission)) => admission,
            None => None,
        };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        if let Some(admission) = admission {
            request.extensions_mut().insert(admission);
        }
        Either::Right(router.call(request))
    });
    let connection = http1::Builder::new()
        .timer(HeadTimer::default())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes_max)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // The value of the watch borrows its lock and must not be held while the connection goes on.
    let stop = async { drop(stopped.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
