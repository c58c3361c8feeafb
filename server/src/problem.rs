//! Errors as answers: one JSON object, `{"error","message"}`, whatever the client accepts, so that a program
//! can always read them. Names are those that XRPC clients know.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::index::IndexError;
use crate::wire;

/// The methods that a route serves, OPTIONS beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Methods {
    /// GET and HEAD.
    Get,
    /// POST.
    Post,
}

impl Methods {
    /// As the header `Allow` has them.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET,HEAD,OPTIONS",
            Self::Post => "POST,OPTIONS",
        }
    }
}

/// A request that ends without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    name: Cow<'static, str>,
    message: String,
    retry_after_s: Option<u64>,
    /// The methods that are served where this one is not.
    allow: Option<&'static str>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            name: name.into(),
            message: message.into(),
            retry_after_s: None,
            allow: None,
        }
    }

    pub(crate) fn with_retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// Its name and its message.
    pub(crate) fn into_parts(self) -> (Cow<'static, str>, String) {
        (self.name, self.message)
    }

    /// The request itself is wrong; the message names the parameter.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    pub(crate) fn not_found(path: &str) -> Self {
        // Long paths are cut: an error need not echo kilobytes.
        let shown: String = path.chars().take(200).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("nothing is served at {shown}"),
        )
    }

    pub(crate) fn method_not_allowed(methods: Methods) -> Self {
        Self {
            allow: Some(methods.allow()),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                match methods {
                    Methods::Get => "only GET, HEAD and OPTIONS are served here",
                    Methods::Post => "only POST and OPTIONS are served here",
                },
            )
        }
    }

    /// The route needs what this server was started without.
    pub(crate) fn no_edge() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "MethodNotImplemented",
            "this server answers from its index alone: it was started without the edge cache, which records and identities come from",
        )
    }

    /// Too many requests wait for the rest of the network.
    pub(crate) fn edge_overloaded() -> Self {
        Self {
            message: "too many requests wait for other servers; try again in a moment".to_owned(),
            ..Self::overloaded()
        }
    }

    pub(crate) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "the body must be JSON, and the header Content-Type say so: application/json",
        )
    }

    pub(crate) fn body_too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLarge",
            format!("the body is longer than {most} bytes"),
        )
    }

    pub(crate) fn body_too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "the body did not come in time",
        )
    }

    pub(crate) fn query_too_long(limit: usize) -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            "InvalidRequest",
            format!("the query string is longer than {limit} bytes"),
        )
    }

    pub(crate) fn overloaded() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerOverloaded",
            "too many queries are running; try again in a moment",
        );
        problem.retry_after_s = Some(1);
        problem
    }

    pub(crate) fn too_many_subscribers() -> Self {
        Self {
            message: "no place for another subscriber; try again later".to_owned(),
            retry_after_s: Some(5),
            ..Self::overloaded()
        }
    }

    pub(crate) fn too_many_subscribers_of_one() -> Self {
        Self {
            message: "this address has as many subscribers as one may have; close some first"
                .to_owned(),
            ..Self::too_many_subscribers()
        }
    }

    pub(crate) fn too_many_filters() -> Self {
        Self {
            message: "the filters of all subscribers are full; try fewer values, or later"
                .to_owned(),
            retry_after_s: Some(5),
            ..Self::overloaded()
        }
    }

    pub(crate) fn timeout(seconds: f64) -> Self {
        let mut problem = Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Timeout",
            format!("the query took longer than {seconds} s"),
        );
        problem.retry_after_s = Some(5);
        problem
    }

    pub(crate) fn rate_limited(retry_after_s: u64) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RateLimitExceeded",
            format!("too many requests from this address; try again in {retry_after_s} s"),
        );
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// The answer would leave out events that are damaged.
    pub(crate) fn degraded(ranges: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "IndexDegraded",
            format!(
                "a part of the index is damaged and set aside (seq {ranges}), and this server gives no incomplete answers"
            ),
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "the server failed to answer; its log says why",
        )
    }

    /// The answer, with the request's id among its members.
    pub(crate) fn with_request_id(self, request_id: &str) -> Response<Body> {
        let body = wire::StatsErrorBody {
            error: &self.name,
            message: &self.message,
            request_id,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        self.response(text)
    }

    /// The answer around its body. It carries the problem itself along, for those who know more of the request.
    fn response(self, text: String) -> Response<Body> {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response.extensions_mut().insert(self);
        response
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::BadRequest(message) => Self::invalid(message),
            IndexError::Unavailable(message) => {
                let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "NotReady", message);
                problem.retry_after_s = Some(5);
                problem
            }
            failed @ IndexError::Failed(_) => {
                tracing::error!(error = %failed, "query failed");
                Self::internal()
            }
        }
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        let body = wire::ErrorBody {
            error: &problem.name,
            message: &problem.message,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        problem.response(text)
    }
}
