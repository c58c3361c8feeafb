//! The parsers of requests, open to `tools/fuzz`, which gives them hostile text. No part of the interface: it
//! may change with any version.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::api::ENDPOINTS;
use crate::negotiate::negotiate;
use crate::params::{Params, encode};
use crate::stream::{Options, parse_message};
use crate::time::{format_time, parse_time_us};

/// Parses a query string as every endpoint does, and writes it anew. Gives what each endpoint says of it.
///
/// # Panics
/// When the parameters do not survive being written and parsed again.
#[must_use]
#[expect(clippy::panic, reason = "a check of a fuzz target fails by panicking")]
pub fn query_string(query: &str) -> Vec<String> {
    let params = match Params::parse(query) {
        Ok(params) => params,
        Err(problem) => return vec![format!("{problem:?}")],
    };
    let mut again = String::new();
    for (name, value) in params.pairs() {
        again.push('&');
        encode(name, &mut again);
        again.push('=');
        encode(value, &mut again);
    }
    if Params::parse(&again).as_ref() != Ok(&params) {
        panic!("{params:?} does not come back from {again:?}");
    }
    let says = ENDPOINTS
        .iter()
        .map(|endpoint| match (endpoint.parse)(&params) {
            Ok(_) => endpoint.path.to_owned(),
            Err(problem) => format!("{problem:?}"),
        });
    let mut says: Vec<String> = says.collect();
    says.push(match Options::parse(&params) {
        Ok(options) => format!("{options:?}"),
        Err(problem) => format!("{problem:?}"),
    });
    says
}

/// Parses a message of a subscriber. Gives what it says.
///
/// # Errors
/// The code and the reason with which the subscription ends.
///
/// # Panics
/// When the reason does not fit into a close frame.
#[expect(clippy::panic, reason = "a check of a fuzz target fails by panicking")]
pub fn subscriber_message(text: &str) -> Result<String, (u16, String)> {
    match parse_message(text) {
        Ok(filters) => Ok(format!("{filters:?}")),
        Err(closing) if closing.reason().len() > 123 => panic!("{closing:?} is too long"),
        Err(closing) => Err((closing.code(), closing.reason().to_owned())),
    }
}

/// Parses an `Accept` header. Gives the form that it prefers; `None` where it is no value of a header.
#[must_use]
pub fn accept(value: &[u8]) -> Option<String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_bytes(value).ok()?);
    Some(format!("{:?}", negotiate(&headers)))
}

/// Parses a time and prints it, to the millisecond, and parses that again.
#[must_use]
pub fn time(text: &str) -> Option<(u64, Option<u64>)> {
    let time_us = parse_time_us(text)?;
    Some((time_us, parse_time_us(&format_time(time_us))))
}
