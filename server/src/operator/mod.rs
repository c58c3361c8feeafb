//! The operator's routes, on an address of their own: metrics, the exclude list, which programs ask. Nothing of it is
//! reachable on the public port.
//!
//! Who may ask: whoever can reach the address, which without a token is one of this machine, and with one whoever knows
//! that. Pages of the web that a browser on this machine shows could reach it too. They know no token; without one they
//! are kept out by their `Origin`, and by the name that they know the address by.

mod exclude;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::get;
use serde::Serialize;

use crate::app::{App, metrics_page};
use crate::problem::Problem;

pub use exclude::{ExcludeAsked, ExcludeError, ExcludeList, ExcludeReport, Excluded};
pub use token::OperatorToken;

/// The largest body of a request.
const BODY_BYTES_MAX: usize = 8 << 20;

#[derive(Serialize)]
struct Contents {
    routes: [&'static str; 5],
}

/// The operator's router.
pub(crate) fn router(app: Arc<App>) -> Router {
    let metrics = async |State(app): State<Arc<App>>| metrics_page(&app).await;
    let agents = async |State(app): State<Arc<App>>| json(&app.agents.json());
    let contents = async || {
        json(&Contents {
            routes: [
                "GET /metrics",
                "GET /user-agents",
                "GET /exclude",
                "POST /exclude",
                "DELETE /exclude",
            ],
        })
    };
    let exclude = get(exclude::list)
        .post(exclude::add)
        .delete(exclude::remove);
    Router::new()
        .route("/", get(contents))
        .route("/metrics", get(metrics))
        .route("/user-agents", get(agents))
        .route("/exclude", exclude)
        .fallback(async |uri: Uri| Response::from(Problem::not_found(uri.path())))
        .method_not_allowed_fallback(async || {
            let message = "this route has no such method; GET / tells which it has";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Response::from(Problem::new(status, "MethodNotAllowed", message))
        })
        .layer(from_fn_with_state(Arc::clone(&app), admit))
        .with_state(app)
}

/// Turns away who may not ask.
async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    if let Err(problem) = check(app.config.operator_token.as_ref(), request.headers()) {
        let mut response = Response::from(problem);
        if response.status() == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        return response;
    }
    next.run(request).await
}

fn check(token: Option<&OperatorToken>, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(token) = token {
        let given = headers
            .get(header::AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let given = given.and_then(|given| match given.split_at_checked(7) {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(given),
            _ => None,
        });
        return match given.is_some_and(|given| token.is(given)) {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "AuthenticationRequired",
                "the operator's routes want the operator's token: Authorization: Bearer TOKEN",
            )),
        };
    }
    let refuse = |message: &str| Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", message));
    if headers.contains_key(header::ORIGIN) {
        return refuse("pages of other origins may not ask the operator's routes");
    }
    if !names_an_address(headers) {
        return refuse(
            "without a token the operator's routes answer to an address or localhost, and to no other name",
        );
    }
    Ok(())
}

/// Whether the client knows this machine by an address, or says nothing of it.
pub(crate) fn names_an_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.all(|host| host.to_str().is_ok_and(is_address))
}

/// Whether a `Host` names this machine by an address, which nobody else can make lead here.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

/// JSON that nobody keeps.
fn json(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn only_addresses_and_localhost_name_this_machine() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8765",
            "[::1]:8765",
            "localhost:1",
            "10.0.0.1",
        ] {
            assert!(is_address(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8765",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_address(host), "{host}");
        }
    }
}
