//! One request and its answer on an open connection.
//!
//! Owns every bound on what a server can make this process hold: the size of the head, of the body, and that the body
//! is not unpacked.

use std::error::Error as _;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::connect::Stream;

/// Status line and headers together, and the trailers.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Headers in an answer.
const HEADERS_MAX: usize = 100;

/// What is set aside for a body before any of it is there. A length that was announced costs nothing to write.
const BODY_RESERVE_MAX: usize = 64 << 10;

/// A request has no body.
type NoBody = String;

/// An HTTP/1.1 connection. Dropping it closes the socket, also in the middle of an answer.
pub(crate) struct Connection {
    sender: SendRequest<NoBody>,
    driver: JoinHandle<()>,
    /// Where it leads to.
    pub(crate) address: IpAddr,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why an exchange brought nothing.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The body is over the limit.
    TooLarge,
    /// The connection ended before an answer came.
    NoAnswer(String),
    /// Everything else.
    Other(String),
}

impl Connection {
    pub(crate) async fn new(stream: Box<dyn Stream>, address: IpAddr) -> Result<Self, String> {
        let (sender, connection) = Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| chain(&error))?;
        // Errors of the connection reach whoever waits for an answer on it; on an idle one they only mean its end.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            driver,
            address,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends `request`, whose URI is path and query, and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<NoBody>,
    ) -> Result<Response<Incoming>, Broken> {
        self.sender
            .ready()
            .await
            .map_err(|error| Broken::NoAnswer(chain(&error)))?;
        self.sender.send_request(request).await.map_err(|error| {
            if error.is_parse() {
                Broken::Other(chain(&error))
            } else {
                Broken::NoAnswer(chain(&error))
            }
        })
    }
}

/// Reads a body of at most `most` bytes.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    mut body: Incoming,
    most: usize,
) -> Result<Bytes, Broken> {
    // Asked for without; and what is not unpacked cannot turn out a thousand times larger.
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Broken::Other(format!(
            "the body is encoded as {encoding:?}, which was not asked for"
        )));
    }
    let announced = body.size_hint().lower();
    let announced = match usize::try_from(announced) {
        Ok(announced) if announced <= most => announced,
        _ => return Err(Broken::TooLarge),
    };
    let mut whole = BytesMut::with_capacity(announced.min(BODY_RESERVE_MAX));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Broken::Other(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue; // Trailers.
        };
        if data.len() > most - whole.len() {
            return Err(Broken::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The error with what caused it; the outermost one of hyper says little.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}
