//! The opening handshake of a websocket (RFC 6455, section 4.2), on a request of the router.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::Problem;

/// Length of a key: 16 bytes as base64.
const KEY_LENGTH: usize = 24;

/// A request that may become a websocket.
pub(super) struct Upgrade {
    accept: HeaderValue,
    pub(super) upgraded: OnUpgrade,
}

impl Upgrade {
    /// Refuses what is no opening handshake, and says what is missing.
    pub(super) fn of(request: &mut Request) -> Result<Self, Problem> {
        let refuse = |why: &str| {
            Err(Problem::invalid(format!(
                "/subscribe is a websocket: {why}"
            )))
        };
        let headers = request.headers();
        if request.method() != Method::GET {
            return refuse("it is opened by GET");
        }
        if !has_token(headers, &header::CONNECTION, "upgrade")
            || !has_token(headers, &header::UPGRADE, "websocket")
        {
            return refuse("the request has no headers Connection: Upgrade and Upgrade: websocket");
        }
        if headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .map(HeaderValue::as_bytes)
            != Some(b"13")
        {
            return refuse("the header Sec-WebSocket-Version must be 13");
        }
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| key.len() == KEY_LENGTH) else {
            return refuse("the header Sec-WebSocket-Key must have 24 characters");
        };
        let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) else {
            return refuse("the header Sec-WebSocket-Key cannot be used");
        };
        let Some(upgraded) = request.extensions_mut().remove::<OnUpgrade>() else {
            return refuse("this connection cannot be upgraded; use HTTP/1.1");
        };
        Ok(Self { accept, upgraded })
    }

    /// The answer that opens it.
    pub(super) fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        response
    }
}

/// Whether a header lists a token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}
