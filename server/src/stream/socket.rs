//! One subscriber's task: what it sends is read and what it is to know is written, both at once, until either side ends.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use orrery_query::stream::{Filters, Prepared, Start};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::closing::Closing;
use super::dispatcher::Dispatcher;
use super::intake::{Intake, Meter, Stopped};
use super::options::{Form, parse_message};
use super::queue::{Frame, Memory};
use super::replay::{PAUSE_LONG, Piece, Replay, Then, place_of};
use super::subscriber::{Subscriber, Wants};
use super::{Hub, Subscription};
use crate::api::hint;

/// Buffers of a socket: many are idle.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;
/// Frames taken out of the queue at once.
const BATCH: usize = 256;
/// A longer message is not taken up among the tasks of others.
const TAKEN_HERE: usize = 16 << 10;
/// The pause after such a message is as long as it took, but not longer than this.
const UPDATE_PAUSE_MAX: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<Intake<TokioIo<Upgraded>>>;
type Reader = SplitStream<Socket>;
type Writer = SplitSink<Socket, Message>;

/// How a subscription ends.
enum Gone {
    /// By us, with a reason.
    Closing(Closing),
    /// The other side closed, or is not there.
    Peer(&'static str),
}

impl From<Closing> for Gone {
    fn from(closing: Closing) -> Self {
        Self::Closing(closing)
    }
}

/// The last ping, and whether it was answered.
#[derive(Default)]
struct Pings(Mutex<Option<[u8; 8]>>);

/// Serves one subscriber to its end.
pub(super) async fn serve(hub: Arc<Hub>, mut subscription: Subscription, upgraded: Upgraded) {
    let meter = Arc::<Meter>::default();
    let intake = Intake::new(
        TokioIo::new(upgraded),
        Arc::clone(&meter),
        Arc::clone(&hub.intake),
        hub.config.message_bytes_max,
        hub.config.message_timeout,
    );
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(hub.config.message_bytes_max))
        .max_frame_size(Some(hub.config.message_bytes_max));
    let socket = Socket::from_raw_socket(intake, Role::Server, Some(config)).await;
    let (writer, reader) = socket.split();
    let pings = Pings::default();
    let subscriber = Arc::clone(&subscription.subscriber);
    let mut stopped = hub.stopped.clone();
    let mut writing = Writing {
        hub: &hub,
        writer,
        pings: &pings,
        ticks: ticks(hub.config.ping_interval),
    };
    let mut reading = Reading {
        hub: &hub,
        reader,
        meter: &meter,
        pings: &pings,
        subscription: &subscription,
        joins: subscription.requires_hello && subscription.replay_from.is_none(),
    };
    let start = subscription.replay_from;
    let gone = tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => Closing::shutdown().into(),
        closing = subscriber.queue.closed() => closing.into(),
        gone = reading.run() => gone,
        gone = writing.run(&subscription, start) => gone,
    };
    let (writer, reader) = (writing.writer, reading.reader);
    subscription.leave();
    match gone {
        Gone::Peer(kind) => hub.ended(kind),
        Gone::Closing(closing) => {
            hub.ended(closing.kind());
            tracing::debug!(?closing, "a subscription is closed");
            if let Ok(socket) = writer.reunite(reader) {
                // Whoever does not even read this is cut.
                let _ = timeout(hub.config.close_timeout, close(socket, closing, &meter)).await;
            }
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Says why, and waits for the other side to close: what it has sent meanwhile, unread, would have the system reset the
/// connection, and the close frame be lost.
async fn close(mut socket: Socket, closing: Closing, meter: &Meter) {
    let frame = CloseFrame {
        code: closing.code().into(),
        reason: closing.reason().into(),
    };
    // What is thrown away takes no room of others.
    meter.reset();
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {
            meter.reset();
        }
    }
    meter.reset();
    // A socket that broke the protocol is not read as a websocket any more.
    let mut stream = socket.into_inner();
    let mut rest = [0; 512];
    if stream.shutdown().await.is_ok() {
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {
            meter.reset();
        }
    }
}

struct Reading<'a> {
    hub: &'a Arc<Hub>,
    reader: Reader,
    meter: &'a Meter,
    pings: &'a Pings,
    subscription: &'a Subscription,
    /// Whether the first message of options has it told what comes: done before the next message is read, so that the answer to a
    /// ping behind the options says that it is.
    joins: bool,
}

impl Reading<'_> {
    async fn run(&mut self) -> Gone {
        let mut last = None;
        loop {
            let message = {
                let next = self.reader.next();
                let mut next = std::pin::pin!(next);
                poll_fn(|context| {
                    let poll = next.as_mut().poll(context);
                    // Kept until the reader has looked for the next one: a buffer that nobody shares is used again, and a
                    // subscriber that sent much once would hold as much for good.
                    last = None;
                    poll
                })
                .await
            };
            let message = match message {
                None => return Gone::Peer("peer"),
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.broken(error),
            };
            match &message {
                Message::Text(text) => {
                    if let Err(closing) = self.options(text.as_str()).await {
                        return closing.into();
                    }
                    self.meter.reset();
                }
                Message::Binary(_) | Message::Frame(_) => self.meter.reset(),
                // Pings of clients are answered by the websocket itself.
                Message::Ping(bytes) => self.meter.leave_out(bytes.len()),
                Message::Pong(bytes) => {
                    self.pings.answer(bytes);
                    self.meter.leave_out(bytes.len());
                }
                Message::Close(_) => {
                    // The answer is sent while the next message is looked for.
                    let _ = self.reader.next().await;
                    return Gone::Peer("peer");
                }
            }
            last = Some(message);
        }
    }

    fn broken(&self, error: Error) -> Gone {
        let limit = self.hub.config.message_bytes_max;
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Closing::too_large(limit).into()
            }
            Error::Utf8(_) => Closing::not_text().into(),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Gone::Peer("gone"),
            Error::Protocol(error) => Closing::protocol(error).into(),
            Error::Io(error) => match Stopped::of(&error) {
                Some(Stopped::Unfinished) => {
                    Closing::message_unfinished(self.hub.config.message_timeout).into()
                }
                Some(Stopped::Busy) => Closing::intake_busy().into(),
                Some(Stopped::TooLong) => Closing::too_large(limit).into(),
                None => gone(Error::Io(error)),
            },
            error => gone(error),
        }
    }

    /// Takes up what a message says. Large filters are made ready and put into the index one after the other, with pauses: the
    /// index is locked meanwhile, and the dispatcher waits for it.
    async fn options(&mut self, text: &str) -> Result<(), Closing> {
        let Subscription {
            dispatcher,
            subscriber,
            ..
        } = self.subscription;
        let unlisted = &self.hub.unlisted;
        let joins = self.joins;
        if text.len() <= TAKEN_HERE {
            let filters = parse_message(text)?;
            let wants = Wants::new(prepared(&filters)?, unlisted)?;
            hint(subscriber, &filters, &self.hub.memory);
            take_up(dispatcher, subscriber, wants, joins)?;
        } else {
            let _turn = self.hub.updates.acquire().await;
            let text = text.to_owned();
            let (dispatcher, subscriber) = (Arc::clone(dispatcher), Arc::clone(subscriber));
            let unlisted = Arc::clone(unlisted);
            let memory = Arc::clone(&self.hub.memory);
            let took = blocking(move || {
                let begun = Instant::now();
                let filters = parse_message(&text)?;
                let wants = Wants::new(prepared(&filters)?, &unlisted)?;
                hint(&subscriber, &filters, &memory);
                take_up(&dispatcher, &subscriber, wants, joins)?;
                Ok(begun.elapsed())
            });
            sleep(took.await?.min(UPDATE_PAUSE_MAX)).await;
        }
        self.joins = false;
        subscriber.hello.notify_one();
        Ok(())
    }
}

/// Tells a subscriber what of its new lists most likely matches nothing, before anything that comes by them. Clients that use no new
/// parameter know no frame but links.
fn hint(subscriber: &Subscriber, filters: &Filters, memory: &Arc<Memory>) {
    let Some(hint) = hint::of_subscription(filters) else {
        return;
    };
    tracing::debug!(hint, "a subscription wants what cannot be");
    if subscriber.form == Form::Plain {
        return;
    }
    let frame = json!({"kind": "info", "info": {"name": "Hint", "message": hint}});
    let frame = Frame::new(frame.to_string(), Instant::now(), memory);
    subscriber.queue.push(&frame);
    subscriber.queue.wake();
}

/// Has a subscriber told what it wants now; `joins`: from now on.
fn take_up(
    dispatcher: &Dispatcher,
    subscriber: &Arc<Subscriber>,
    wants: Wants,
    joins: bool,
) -> Result<(), Closing> {
    dispatcher.change(subscriber, wants)?;
    if joins {
        dispatcher.join(subscriber, (0, None))?;
    }
    Ok(())
}

/// What filters want, ready for an index.
pub(super) fn prepared(filters: &Filters) -> Result<Prepared, Closing> {
    Prepared::new(filters).map_err(Closing::bad_options)
}

/// Runs what takes long, or waits for a lock that is held long, where it holds up nobody else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Closing> + Send + 'static,
) -> Result<T, Closing> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a thread of a subscriber panicked");
            Err(Closing::failed())
        }
    }
}

struct Writing<'a> {
    hub: &'a Arc<Hub>,
    writer: Writer,
    pings: &'a Pings,
    ticks: Interval,
}

impl Writing<'_> {
    async fn run(&mut self, subscription: &Subscription, start: Option<Start>) -> Gone {
        match self.tell(subscription, start).await {
            Ok(never) => match never {},
            Err(gone) => gone,
        }
    }

    async fn tell(
        &mut self,
        subscription: &Subscription,
        start: Option<Start>,
    ) -> Result<std::convert::Infallible, Gone> {
        let subscriber = &subscription.subscriber;
        if subscription.requires_hello {
            self.ping_until(subscriber.hello.notified()).await?;
        }
        if let Some(start) = start {
            self.replay(subscription, start).await?;
        }
        let mut taken = Vec::new();
        loop {
            self.ping_until(subscriber.queue.take(BATCH, &mut taken))
                .await?;
            let frames = taken.iter().map(|frame: &Arc<Frame>| frame.text());
            self.send(frames.map(Message::Text)).await?;
            taken.clear();
            if taken.capacity() > BATCH / 4 && subscriber.queue.len() == 0 {
                taken = Vec::new();
            }
        }
    }

    /// What the subscriber missed, piece by piece.
    async fn replay(&mut self, subscription: &Subscription, start: Start) -> Result<(), Gone> {
        let hub = Arc::clone(self.hub);
        let _counted = hub.counters.replaying();
        let Subscription {
            dispatcher,
            subscriber,
            live_from,
            ..
        } = subscription;
        let (dispatcher, subscriber) = (Arc::clone(dispatcher), Arc::clone(subscriber));
        let live_from = *live_from;
        let feed = Arc::clone(&hub.feed);
        let (start, needed) = place_of(start, live_from);
        while feed.next_seq() < needed {
            self.ping_until(sleep(PAUSE_LONG)).await?;
        }
        let place_at = Arc::clone(&dispatcher);
        let _place = self.ping_until(place_at.replays.acquire()).await?;
        let begin = on_a_thread(&hub, move || {
            let replay = Replay::new(&*feed, &subscriber, &dispatcher, start, live_from)?;
            Ok((replay, Piece::default()))
        });
        let (mut replay, _) = self.ping_until(begin).await??;
        loop {
            let next = on_a_thread(&hub, move || {
                let piece = replay.piece()?;
                Ok((replay, piece))
            });
            let (back, piece) = self.ping_until(next).await??;
            replay = back;
            let texts = piece.frames.into_iter();
            let sent = self.send(texts.map(|text| Message::Text(text.into())));
            // As a frame may wait in a queue: others wait for the place.
            let limit = hub.config.queue_age;
            match timeout(limit, sent).await {
                Ok(sent) => sent?,
                Err(_) => return Err(Closing::slow_replay(limit).into()),
            }
            match piece.then {
                Then::More => {}
                Then::Wait(pause) => self.ping_until(sleep(pause)).await?,
                Then::Joined => return Ok(()),
            }
        }
    }

    /// Sends all, and then what the socket still has of it.
    async fn send(&mut self, messages: impl Iterator<Item = Message>) -> Result<(), Gone> {
        let mut sent = 0;
        for message in messages {
            self.writer.feed(message).await.map_err(gone)?;
            sent += 1;
        }
        self.hub.counters.sent.fetch_add(sent, Ordering::Relaxed);
        self.writer.flush().await.map_err(gone)
    }

    /// Waits for something, and pings meanwhile.
    async fn ping_until<T>(&mut self, waited_for: impl Future<Output = T>) -> Result<T, Gone> {
        let mut waited_for = std::pin::pin!(waited_for);
        loop {
            tokio::select! {
                biased;
                _ = self.ticks.tick() => {}
                value = &mut waited_for => return Ok(value),
            }
            let ping = self.pings.next().ok_or_else(Closing::no_pong)?;
            let ping = Message::Ping(Bytes::copy_from_slice(&ping));
            self.writer.send(ping).await.map_err(gone)?;
        }
    }
}

fn gone(error: Error) -> Gone {
    tracing::debug!(%error, "a subscriber is gone");
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Gone::Peer("stalled"),
        _ => Gone::Peer("gone"),
    }
}

/// Runs a step of a replay on one of the threads for those, once one is free.
async fn on_a_thread<T: Send + 'static>(
    hub: &Hub,
    work: impl FnOnce() -> Result<T, Closing> + Send + 'static,
) -> Result<T, Closing> {
    let _place = hub.replays.acquire().await;
    blocking(work).await
}

impl Pings {
    /// The bytes of the next ping; none where the last one was not answered.
    fn next(&self) -> Option<[u8; 8]> {
        let mut last = self.0.lock();
        if last.is_some() {
            return None;
        }
        let bytes = RandomState::new().hash_one(0_u8).to_be_bytes();
        *last = Some(bytes);
        Some(bytes)
    }

    /// A pong that answers no ping of ours is none of our business.
    fn answer(&self, pong: &[u8]) {
        let mut last = self.0.lock();
        if last.is_some_and(|ping| ping == pong) {
            *last = None;
        }
    }
}
