//! Queries of other services, asked for a caller.

use orrery_resolve::{Network, Request, Resolver};
use orrery_server::{CallAnswer, CallAsk, EdgeError};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problems;

/// The longest answer that is passed on.
const ANSWER_BYTES_MAX: usize = 5 << 20;

/// The longest error that is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// An error as services tell it.
#[derive(Deserialize)]
struct Problem {
    error: Option<String>,
    message: Option<String>,
}

/// Scheme, host and port: a service's endpoint is no more than that, whatever its document says.
fn origin_of(endpoint: &str) -> Option<&str> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    (end > 0)
        .then_some(())
        .and_then(|()| endpoint.get(..scheme.len() + 3 + end))
}

/// Asks the service. What the caller proves itself with goes to it and to nobody else: no redirect is followed.
pub(crate) async fn call(
    resolver: &Resolver,
    network: &dyn Network,
    ask: CallAsk,
) -> Result<CallAnswer, EdgeError> {
    let Some((did, id)) = ask.service.split_once('#') else {
        return Err(EdgeError::Invalid(format!(
            "{} names no service: it must be a DID, # and the id of a service",
            ask.service
        )));
    };
    let endpoint = resolver
        .service(did, &format!("#{id}"), None)
        .await
        .map_err(problems::of_did)?;
    let base = origin_of(&endpoint).ok_or_else(|| {
        EdgeError::Unavailable(format!("{endpoint}, the service's endpoint, names no host"))
    })?;
    let mut url = format!("{base}/xrpc/{}", ask.method);
    if !ask.query.is_empty() {
        url.push('?');
        url.push_str(&ask.query);
    }
    let mut request = Request::new(url, ANSWER_BYTES_MAX);
    request.accept = Some("application/json".to_owned());
    let headers = [
        ("authorization", ask.authorization),
        ("atproto-accept-labelers", ask.accept_labelers),
    ];
    for (name, value) in headers {
        if let Some(value) = value {
            request.headers.push((name.to_owned(), value));
        }
    }
    let answer = network.get(request).await.map_err(problems::of_fetch)?;
    if answer.status == 200 {
        let text = String::from_utf8(answer.body.to_vec()).ok();
        let body = text.and_then(|text| RawValue::from_string(text).ok());
        return body.map(|body| CallAnswer { body }).ok_or_else(|| {
            EdgeError::Unavailable(format!("{did} answered with something that is no JSON"))
        });
    }
    let told = match answer.body.len() {
        ..=ERROR_BYTES_MAX => serde_json::from_slice::<Problem>(&answer.body).ok(),
        _ => None,
    };
    let short = |text: String| text.chars().take(500).collect::<String>();
    let error = told.as_ref().and_then(|told| told.error.clone()).map(short);
    let message = told.and_then(|told| told.message).map(short);
    match (answer.status, error) {
        (400..=499, Some(name)) => Err(EdgeError::Origin {
            name,
            message: format!(
                "{did} says: {}",
                message.unwrap_or_else(|| "no more than that".to_owned())
            ),
        }),
        (status, _) => Err(EdgeError::Unavailable(format!(
            "{did} answered with status {status}"
        ))),
    }
}
