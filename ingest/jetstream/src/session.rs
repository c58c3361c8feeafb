//! One open connection, from the upgrade to its end.
//!
//! Owns reading, answering pings, testing silence, and handing batches to the queue. One task does all of it.
//!
//! While the consumer keeps up, the socket is read as soon as it has data, so a pong goes out right after its ping was
//! read. When the queue is full, reading goes on until one batch is in hand that cannot be handed over, and pings met
//! on the way are answered. Then reading pauses; writing does not: what was to be sent is sent, and a ping of our own
//! goes out at each interval of silence. A ping of the server that lies *behind* unread data cannot be seen, since
//! control frames are not expedited (RFC 6455 section 5.4 lets them pass between fragments, not overtake data), and
//! sending unasked pongs instead would not help, since they do not echo the payload the server waits for (section
//! 5.5.3). A server may therefore give up on a consumer that stalls longer than its patience; the subscription then
//! resumes without loss.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink as _, Stream as _};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::batch::Batch;
use crate::client::Shared;
use crate::connect::Socket;
use crate::decode::{Decoder, Undecodable};
use crate::error::Error;
use crate::position::Position;
use crate::resume::Resume;
use crate::stats::{add, now_us};

/// Longest wait for a parting close frame to go out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The consumer closed the subscription.
    Wanted,
    /// Something else ended it.
    Failed(Error),
}

pub(crate) struct Session<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) socket: Socket,
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) resume: &'a mut Resume,
    /// Which endpoint the sequence numbers belong to.
    pub(crate) endpoint: usize,
    /// Version of the filter that the server knows.
    pub(crate) options_version: u64,
    state: State,
}

/// What changes while the session runs.
struct State {
    batch: Batch,
    /// Messages not yet given to the socket.
    outgoing: VecDeque<Message>,
    /// Whether the socket may hold unsent bytes.
    unflushed: bool,
    /// This machine's time, read once per burst.
    now_us: u64,
    last_heard: Instant,
    /// When the ping was sent that nothing has answered yet.
    pinged_at: Option<Instant>,
}

/// What one look at the socket brought.
enum Step {
    Read,
    End(Error),
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        socket: Socket,
        decoder: &'a mut Decoder,
        resume: &'a mut Resume,
        endpoint: usize,
        options_version: u64,
    ) -> Self {
        let state = State {
            batch: Batch::default(),
            outgoing: VecDeque::new(),
            unflushed: false,
            now_us: now_us(),
            last_heard: Instant::now(),
            pinged_at: None,
        };
        Self {
            shared,
            socket,
            decoder,
            resume,
            endpoint,
            options_version,
            state,
        }
    }

    /// Queues a text message for the server.
    pub(crate) fn send_text(&mut self, text: String) {
        self.state.outgoing.push_back(Message::text(text));
    }

    /// Runs the connection to its end. What was read before is in the queue by then.
    pub(crate) async fn run(mut self) -> End {
        let end = self.pump().await;
        // What is in hand was noted as handed over, so it has to be.
        while !self.state.batch.is_empty() && !self.shared.queue.is_closed() && !self.hand_over() {
            self.shared.queue.room().await;
        }
        if matches!(end, End::Wanted) {
            self.part().await;
        }
        end
    }

    async fn pump(&mut self) -> End {
        let mut was_paused = false;
        loop {
            if !self.state.batch.is_empty() {
                self.hand_over();
            }
            let paused = self.is_batch_full();
            if paused != was_paused {
                was_paused = paused;
                if paused {
                    add(&self.shared.counters.stalls, 1);
                }
                // Nothing was read meanwhile, so silence is counted anew.
                self.heard();
            }
            let deadline = match self.state.pinged_at {
                None => self.state.last_heard + self.shared.config.ping_after,
                Some(at) => at + self.shared.config.pong_timeout,
            };
            let shared = self.shared;
            let has_batch = !self.state.batch.is_empty();
            let known = self.options_version;
            tokio::select! {
                biased;
                () = shared.queue.closed() => return End::Wanted,
                version = shared.options_newer_than(known) => {
                    self.options_version = version;
                    if let Ok(update) = shared.options().to_update() {
                        self.send_text(update);
                    }
                }
                () = shared.queue.room(), if has_batch => {}
                step = poll_fn(|context| self.poll_socket(context)) => match step {
                    Step::Read => self.heard(),
                    Step::End(error) => return End::Failed(error),
                },
                () = tokio::time::sleep_until(deadline) => {
                    if let Some(error) = self.on_silence(paused) {
                        return End::Failed(error);
                    }
                }
            }
        }
    }

    fn heard(&mut self) {
        self.state.last_heard = Instant::now();
        self.state.pinged_at = None;
    }

    /// Reacts to the end of a wait without a frame.
    fn on_silence(&mut self, paused: bool) -> Option<Error> {
        let now = Instant::now();
        if self.state.pinged_at.is_some() && !paused {
            return Some(Error::PingTimeout {
                after: self.shared.config.pong_timeout,
            });
        }
        self.state.outgoing.push_back(Message::Ping(Bytes::new()));
        self.state.last_heard = now;
        // While paused no pong can be read, so none is demanded.
        self.state.pinged_at = (!paused).then_some(now);
        None
    }

    fn is_batch_full(&self) -> bool {
        let config = &self.shared.config;
        self.state.batch.bytes() >= config.batch_bytes_max
            || self.state.batch.len() >= config.batch_frames_max
    }

    fn hand_over(&mut self) -> bool {
        let (frames, bytes) = (self.state.batch.len(), self.state.batch.bytes());
        let done = self.shared.queue.try_push(&mut self.state.batch);
        if done {
            self.shared
                .counters
                .delivered(frames, bytes, self.resume.newest());
        }
        done
    }

    /// Writes what there is to write and reads all that has arrived, up to a full batch.
    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Err(error) = self.poll_write(context) {
            return Poll::Ready(Step::End(session_error(error)));
        }
        let mut has_read = false;
        while !self.is_batch_full() {
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => {
                    if !has_read {
                        has_read = true;
                        self.state.now_us = now_us();
                    }
                    if let Some(error) = self.take(message) {
                        return Poll::Ready(Step::End(error));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = session_error(error);
                    match &error {
                        Error::Oversized { .. } => add(&self.shared.counters.oversized, 1),
                        Error::InvalidUtf8 => add(&self.shared.counters.bad_utf8, 1),
                        _ => {}
                    }
                    return Poll::Ready(Step::End(error));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Step::End(Error::Reset {
                        problem: "end of stream".to_owned(),
                    }));
                }
                Poll::Pending => break,
            }
        }
        if has_read {
            Poll::Ready(Step::Read)
        } else {
            Poll::Pending
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), WsError> {
        let state = &mut self.state;
        let mut socket = Pin::new(&mut self.socket);
        while !state.outgoing.is_empty() {
            match socket.as_mut().poll_ready(context)? {
                Poll::Ready(()) => {
                    if let Some(message) = state.outgoing.pop_front() {
                        state.unflushed = true;
                        socket.as_mut().start_send(message)?;
                    }
                }
                Poll::Pending => return Ok(()),
            }
        }
        if state.unflushed && socket.poll_flush(context)?.is_ready() {
            state.unflushed = false;
        }
        Ok(())
    }

    /// Takes in one message; an error ends the session.
    fn take(&mut self, message: Message) -> Option<Error> {
        add(&self.shared.counters.message_bytes, message.len() as u64);
        let state = &mut self.state;
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Binary(bytes) => match self.decoder.unpack(bytes) {
                Ok(text) => text,
                Err(reason) => {
                    self.shared.counters.undecodable(&reason);
                    tracing::debug!(%reason, bytes = bytes.len(), "dropped a message");
                    // One foreign dictionary means that all further messages use it.
                    return match reason {
                        Undecodable::UnknownDictionary { id } => {
                            Some(Error::UnknownDictionary { id })
                        }
                        _ => None,
                    };
                }
            },
            Message::Ping(_) => {
                // The pong is written by the socket itself; it only has to be flushed.
                state.unflushed = true;
                add(&self.shared.counters.pings, 1);
                return None;
            }
            Message::Close(frame) => {
                let (code, reason) = match frame {
                    Some(frame) => (
                        Some(u16::from(frame.code)),
                        frame.reason.as_str().to_owned(),
                    ),
                    None => (None, String::new()),
                };
                return Some(Error::Closed { code, reason });
            }
            Message::Pong(_) | Message::Frame(_) => return None,
        };
        self.resume
            .handed_over(self.endpoint, Position::of(text), state.now_us);
        state.batch.push(text);
        None
    }

    /// Says goodbye, as far as that is possible at once.
    async fn part(&mut self) {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.socket.close(Some(frame))).await;
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.shared
            .counters
            .connected
            .store(false, Ordering::Relaxed);
    }
}

fn session_error(error: WsError) -> Error {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => Error::Oversized {
            bytes: size,
            bytes_max: max_size,
        },
        WsError::Utf8(_) => Error::InvalidUtf8,
        WsError::Io(error) => Error::Reset {
            problem: error.to_string(),
        },
        WsError::ConnectionClosed | WsError::AlreadyClosed => Error::Reset {
            problem: "closed".to_owned(),
        },
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Error::Reset {
            problem: "end of stream without a close frame".to_owned(),
        },
        other => Error::Protocol {
            problem: other.to_string(),
        },
    }
}
