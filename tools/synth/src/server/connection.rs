//! One client: the handshake, then events from its position until it goes, is
//! dropped on purpose, or the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as HttpRequest, Response as HttpResponse,
};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, WebSocketConfig, frame::coding::CloseCode,
};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage, Utf8Bytes};

use super::config::{Config, Faults};
use super::feed::{Entry, Feed, Found, Replay};
use super::request::{Filter, Message, Request, client_message};
use crate::rng::{Rng, mix};

/// A client has this long for its handshake, and for its half of a close.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The protocol's limit of a client message.
const CLIENT_MESSAGE_BYTES_MAX: usize = 10_000_000;

/// zstd level: the fastest of the regular ones, events are small.
const ZSTD_LEVEL: i32 = 1;

/// The beginning of a frame that never ends: a text frame of 512 bytes, and its first byte.
const TORN_FRAME: [u8; 5] = [0x81, 0x7e, 0x02, 0x00, b'{'];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) drops: AtomicU64,
    pub(crate) events_sent: AtomicU64,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) feed: Feed,
    pub(crate) counters: Counters,
}

/// What a connection is fated to.
#[derive(Debug, Clone, Copy)]
struct Fate {
    refused: bool,
    /// Events until the drop, and whether it leaves a torn frame.
    drop_after: Option<(u64, bool)>,
}

impl Fate {
    fn draw(faults: &Faults, connection: u64) -> Self {
        let mut rng = Rng::new(faults.seed ^ mix(connection));
        let refused = rng.chance(faults.refuse_share);
        let drop_after = faults
            .drop_after_events
            .as_ref()
            .map(|range| (rng.between(*range.start(), *range.end()), rng.percent(50)));
        Self {
            refused,
            drop_after,
        }
    }
}

/// Counts one more of something that may happen `max` times; false when it may not any more.
fn claim(counter: &AtomicU64, max: Option<u64>) -> bool {
    let more = |count: u64| max.is_none_or(|max| count < max).then_some(count + 1);
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

/// Waits until the server is to stop. A vanished handle stops it as a call to stop does.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves one accepted socket.
pub(crate) async fn run(socket: TcpStream, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    // Small writes must not wait for the acknowledgement of earlier ones.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let number = shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    let faults = &shared.config.faults;
    let mut fate = Fate::draw(faults, number);
    fate.refused = fate.refused && claim(&shared.counters.refusals, faults.refusals_max);
    let handshake = timeout(
        HANDSHAKE_TIMEOUT,
        accept(socket, fate.refused, shared.config.dictionary.is_some()),
    );
    let (ws, request) = tokio::select! {
        done = handshake => match done {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => return tracing::debug!(number, %error, "handshake failed"),
            Err(_) => return tracing::debug!(number, "handshake timed out"),
        },
        () = stopped(&mut stop) => return,
    };
    tracing::debug!(number, ?request.cursor, request.compress, "client connected");
    let compressor = match (&shared.config.dictionary, request.compress) {
        (Some(dictionary), true) => {
            match zstd::bulk::Compressor::with_dictionary(ZSTD_LEVEL, dictionary) {
                Ok(compressor) => Some(compressor),
                Err(error) => return tracing::warn!(%error, "no zstd compressor"),
            }
        }
        _ => None,
    };
    let now = Instant::now();
    let mut client = Client {
        ws,
        filter: request.filter,
        compressor,
        sent: 0,
        drop_after: fate.drop_after,
        pinged: now,
    };
    let end = client
        .serve(&shared, request.cursor, request.require_hello, &mut stop)
        .await;
    tracing::debug!(number, ?end, "client done");
    client.finish(end).await;
}

async fn accept(
    socket: TcpStream,
    refused: bool,
    has_dictionary: bool,
) -> Result<(WebSocketStream<TcpStream>, Request), WsError> {
    let mut parsed = Request::default();
    #[allow(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let callback =
        |http: &HttpRequest, response: HttpResponse| -> Result<HttpResponse, ErrorResponse> {
            if refused {
                return Err(refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "warming up".to_owned(),
                ));
            }
            if http.uri().path() != "/subscribe" {
                return Err(refusal(
                    StatusCode::NOT_FOUND,
                    format!("no such path: {}", http.uri().path()),
                ));
            }
            let encoding = http
                .headers()
                .get("socket-encoding")
                .and_then(|value| value.to_str().ok());
            match Request::parse(http.uri().query().unwrap_or_default(), encoding) {
                Ok(request) if request.compress && !has_dictionary => Err(refusal(
                    StatusCode::BAD_REQUEST,
                    "compress: this server has no dictionary".to_owned(),
                )),
                Ok(request) => {
                    parsed = request;
                    Ok(response)
                }
                Err(reason) => Err(refusal(StatusCode::BAD_REQUEST, reason)),
            }
        };
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX));
    let ws =
        tokio_tungstenite::accept_hdr_async_with_config(socket, callback, Some(config)).await?;
    Ok((ws, parsed))
}

fn refusal(status: StatusCode, reason: String) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(reason));
    *response.status_mut() = status;
    response
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client went, or the socket failed.
    Lost,
    /// A planned break, perhaps with a torn frame.
    Dropped { torn: bool },
    /// Close with this code and reason.
    Close(CloseCode, String),
}

impl From<WsError> for End {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Capacity(_) => Self::Close(CloseCode::Size, "message too large".to_owned()),
            _ => Self::Lost,
        }
    }
}

struct Client {
    ws: WebSocketStream<TcpStream>,
    filter: Filter,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    sent: u64,
    drop_after: Option<(u64, bool)>,
    pinged: Instant,
}

impl Client {
    /// Runs until there is a reason to end.
    async fn serve(
        &mut self,
        shared: &Shared,
        cursor: Option<u64>,
        mut awaits_hello: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        tokio::select! {
            end = async {
                match self.serve_events(shared, cursor, &mut awaits_hello).await {
                    Ok(never) => match never {},
                    Err(end) => end,
                }
            } => end,
            () = stopped(stop) => End::Close(CloseCode::Away, "shutting down".to_owned()),
        }
    }

    async fn serve_events(
        &mut self,
        shared: &Shared,
        cursor: Option<u64>,
        awaits_hello: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let mut tip = shared.feed.watch();
        while *awaits_hello {
            if self.idle(None, shared.config.ping_interval).await? {
                *awaits_hello = false;
            }
        }
        let mut replay = Replay::default();
        let mut position = shared.feed.position(cursor, &mut replay).await;
        loop {
            // What the client said meanwhile is heard before more is sent.
            while let Some(message) = self.ws.next().now_or_never() {
                self.hear(message)?;
            }
            tip.mark_unchanged();
            match shared.feed.read(position, &mut replay).await {
                Found::Events(events) => {
                    position += events.len() as u64;
                    self.send(&events, shared).await?;
                }
                Found::End if shared.config.close_at_end => {
                    return Err(End::Close(CloseCode::Normal, "end of stream".to_owned()));
                }
                Found::Tip | Found::End => {
                    self.idle(Some(&mut tip), shared.config.ping_interval)
                        .await?;
                }
                // As Jetstream treats a client that is too slow: the socket just ends.
                Found::Gone => return Err(End::Lost),
            }
        }
    }

    /// Sends those events that the filter admits, and pings when it is time.
    async fn send(&mut self, events: &[Entry], shared: &Shared) -> Result<(), End> {
        for entry in events {
            if !self.filter.admits(&entry.line) {
                continue;
            }
            if let Some((after, torn)) = self.drop_after
                && self.sent >= after
                && claim(&shared.counters.drops, shared.config.faults.drops_max)
            {
                self.ws.flush().await?;
                return Err(End::Dropped { torn });
            }
            let message = self.message(&entry.line)?;
            self.ws.feed(message).await?;
            self.sent += 1;
            shared.counters.events_sent.fetch_add(1, Ordering::Relaxed);
        }
        self.ws.flush().await?;
        if self.pinged.elapsed() >= shared.config.ping_interval {
            self.ping().await?;
        }
        Ok(())
    }

    fn message(&mut self, line: &Bytes) -> Result<WsMessage, End> {
        let internal =
            |error: &dyn std::fmt::Display| End::Close(CloseCode::Error, error.to_string());
        match &mut self.compressor {
            Some(compressor) => {
                let frame = compressor
                    .compress(line)
                    .map_err(|error| internal(&error))?;
                Ok(WsMessage::Binary(frame.into()))
            }
            None => Utf8Bytes::try_from(line.clone())
                .map(WsMessage::Text)
                .map_err(|error| internal(&error)),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        self.pinged = Instant::now();
        Ok(self.ws.send(WsMessage::Ping(Bytes::new())).await?)
    }

    /// Waits for a new tip or a message of the client, pinging when it is time.
    /// True when the client sent new options.
    async fn idle(
        &mut self,
        tip: Option<&mut watch::Receiver<u64>>,
        interval: Duration,
    ) -> Result<bool, End> {
        let ping_at = self.pinged + interval;
        let moved = async {
            match tip {
                // The feed lives as long as the connection, so its sender does not vanish.
                Some(tip) => drop(tip.changed().await),
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            message = self.ws.next() => message,
            () = moved => return Ok(false),
            () = tokio::time::sleep_until(ping_at) => {
                self.ping().await?;
                return Ok(false);
            }
        };
        self.hear(message)
    }

    /// Acts on what the client sent. True when it was new options.
    fn hear(&mut self, message: Option<Result<WsMessage, WsError>>) -> Result<bool, End> {
        let text = match message {
            None => return Err(End::Lost),
            Some(Ok(WsMessage::Text(text))) => text,
            // Pongs, answered pings, and the client's close, after which the next read ends.
            Some(Ok(_)) => return Ok(false),
            Some(Err(error)) => return Err(error.into()),
        };
        match client_message(&text) {
            Message::Options(filter) => {
                self.filter = filter;
                Ok(true)
            }
            Message::Unknown => Ok(false),
            Message::Malformed(reason) => Err(End::Close(CloseCode::Invalid, reason)),
            Message::Invalid(reason) => Err(End::Close(CloseCode::Policy, reason)),
        }
    }

    async fn finish(mut self, end: End) {
        match end {
            End::Lost => {}
            End::Dropped { torn } => {
                if torn && self.ws.get_mut().write_all(&TORN_FRAME).await.is_err() {
                    tracing::debug!("the client went before it was dropped");
                }
            }
            End::Close(code, reason) => {
                // A control frame holds 125 bytes, two of them the code.
                let reason: String = reason.chars().take(30).collect();
                let frame = CloseFrame {
                    code,
                    reason: reason.into(),
                };
                let closing = async {
                    if self.ws.close(Some(frame)).await.is_ok() {
                        while let Some(Ok(_)) = self.ws.next().await {}
                    }
                };
                if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
                    tracing::debug!("the client did not answer the close");
                }
            }
        }
    }
}
