//! Bodies of requests: JSON, bounded in length, in time and, by the parser, in depth.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::problem::Problem;

/// Reads the body of a request that must be JSON.
pub(crate) async fn read(
    request: Request,
    most: usize,
    deadline: Duration,
) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::not_json());
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(Problem::body_too_large(most));
    }
    timeout(deadline, collect(request.into_body(), most))
        .await
        .unwrap_or_else(|_| Err(Problem::body_too_slow()))
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Problem> {
    let mut pieces = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::invalid("the body ends before its end"))?;
        if piece.len() > most - whole.len() {
            return Err(Problem::body_too_large(most));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok());
    kind.and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What a body says. The parser goes no deeper than 128 levels.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("the body is not as it should be: {error}")))
}

/// The answer to a list that is too long.
pub(super) fn too_many(name: &str, most: usize) -> Problem {
    Problem::invalid(format!("{name} takes at most {most} values"))
}
