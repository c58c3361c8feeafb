//! Queries of other services, asked for a caller.

use orrery_resolve::{Network, Request, Resolver};
use orrery_server::{CallAnswer, CallAsk, EdgeError};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::problems;

/// The longest answer that is passed on.
const ANSWER_BYTES_MAX: usize = 5 << 20;

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
    let mut url = format!("{}/xrpc/{}", endpoint.trim_end_matches('/'), ask.method);
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
    let text = String::from_utf8(answer.body.to_vec()).ok();
    let body = text.and_then(|text| RawValue::from_string(text).ok());
    let Some(body) = body else {
        return Err(EdgeError::Unavailable(format!(
            "{did} answered with status {} and no JSON",
            answer.status
        )));
    };
    if answer.status == 200 {
        return Ok(CallAnswer { body });
    }
    let told: Option<Value> = serde_json::from_str(body.get()).ok();
    let member = |name: &str| {
        let value = told.as_ref()?.get(name)?.as_str()?;
        Some(value.chars().take(500).collect::<String>())
    };
    match (answer.status, member("error")) {
        (400..=499, Some(name)) => Err(EdgeError::Origin {
            name,
            message: format!(
                "{did} says: {}",
                member("message").unwrap_or_else(|| "no more than that".to_owned())
            ),
        }),
        (status, _) => Err(EdgeError::Unavailable(format!(
            "{did} answered with status {status}"
        ))),
    }
}
