//! What the edge could not answer, as the routes tell it: by the contract with clients of the services in use or, for
//! routes that those lack, by the lexicons of the network.

use axum::http::StatusCode;

use crate::edge::EdgeError;
use crate::problem::Problem;

/// An error that a route tells.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

const fn told(status: u16, name: &'static str, about: &'static str) -> Told {
    Told {
        status,
        name,
        about,
    }
}

const INVALID: Told = told(
    400,
    "InvalidRequest",
    "a parameter is wrong, or names an account that nobody knows",
);
const NO_RECORD: Told = told(
    400,
    "RecordNotFound",
    "no such record: never there, deleted, of a hidden account, or newer than the cid",
);
const OF_ORIGIN: Told = told(
    400,
    "(another name)",
    "what the account's data server answered",
);
const NO_HANDLE: Told = told(
    400,
    "HandleNotFound",
    "the handle names no account, or the account does not name the handle",
);
const NO_DID: Told = told(400, "DidNotFound", "nobody knows the DID");
const GONE_DID: Told = told(400, "DidDeactivated", "the DID was given up");
const SERVER: Told = told(
    500,
    "ServerError",
    "the account's data server gives no answer that can be used",
);
const RESOLUTION: Told = told(
    500,
    "ResolutionFailed",
    "who the account is could not be found out",
);
const UPSTREAM: Told = told(
    502,
    "UpstreamFailure",
    "another server gives no answer that can be used",
);

pub(super) const OF_RECORD: &[Told] = &[INVALID, NO_RECORD, OF_ORIGIN, SERVER, RESOLUTION];
pub(super) const OF_HANDLE: &[Told] = &[
    told(400, "InvalidRequest", "it is no handle"),
    NO_HANDLE,
    told(500, "Failed", "the handle could not be looked up"),
];
pub(super) const OF_MINI_DOC: &[Told] = &[
    told(
        400,
        "InvalidRequest",
        "it is no identifier, or names no account",
    ),
    SERVER,
    RESOLUTION,
];
pub(super) const OF_SERVICE: &[Told] = &[
    INVALID,
    told(
        400,
        "ServiceNotFound",
        "the account's document has no such service",
    ),
    UPSTREAM,
];
pub(super) const OF_DID: &[Told] = &[
    told(400, "InvalidRequest", "it is no DID"),
    NO_DID,
    GONE_DID,
    UPSTREAM,
];
pub(super) const OF_IDENTITY: &[Told] = &[
    told(400, "InvalidRequest", "it is no identifier"),
    NO_HANDLE,
    NO_DID,
    GONE_DID,
    UPSTREAM,
];
pub(super) const OF_PROOF: &[Told] = &[
    told(400, "InvalidRequest", "a parameter is wrong"),
    NO_RECORD,
    told(
        400,
        "RepoNotFound",
        "nobody knows the DID, or its document names no data server",
    ),
    OF_ORIGIN,
    told(
        502,
        "InvalidProof",
        "what the account's data server sent proves nothing",
    ),
    UPSTREAM,
];
pub(super) const OF_LIST: &[Told] = &[INVALID, OF_ORIGIN, UPSTREAM];
pub(super) const OF_PROXY: &[Told] = &[
    told(400, "InvalidRequest", "the body is not as it should be"),
    told(400, "(another name)", "what the other service answered"),
    UPSTREAM,
];
pub(super) const OF_BATCH: &[Told] = &[told(
    400,
    "InvalidRequest",
    "the body is not as it should be; what is wrong with one item is told with it",
)];

/// Which of these lists a route tells errors by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Record,
    Handle,
    MiniDoc,
    Service,
    Identity,
    Proof,
    List,
    Proxy,
}

/// The most characters of what another server says.
const MESSAGE_MAX: usize = 1000;

/// The problem of `com.atproto.repo.getRecord`.
pub(crate) fn record_problem(error: EdgeError) -> Problem {
    problem(error, By::Record)
}

pub(super) fn problem(error: EdgeError, by: By) -> Problem {
    use EdgeError as E;
    let message: String = error.to_string().chars().take(MESSAGE_MAX).collect();
    let (status, name) = match (&error, by) {
        (E::Busy { retry_after_s, .. }, _) => {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ServerOverloaded", message)
                .with_retry_after((*retry_after_s).max(1));
        }
        (E::Origin { name, .. }, _) => {
            return Problem::new(
                StatusCode::BAD_REQUEST,
                origin_name(name),
                format!("the other server says: {message}"),
            );
        }
        (E::Invalid(_), _) => (400, "InvalidRequest"),
        (E::Deleted(_) | E::Hidden(_) | E::RecordNotFound(_), _) => (400, "RecordNotFound"),
        (E::HandleNotFound(_), By::Handle | By::Identity)
        | (E::DidNotFound(_) | E::DidDeactivated(_), By::Handle) => (400, "HandleNotFound"),
        (E::DidNotFound(_), By::Identity) => (400, "DidNotFound"),
        (E::DidDeactivated(_), By::Identity) => (400, "DidDeactivated"),
        (E::DidNotFound(_) | E::DidDeactivated(_) | E::ServiceNotFound(_), By::Proof) => {
            (400, "RepoNotFound")
        }
        (E::HandleNotFound(_) | E::DidNotFound(_) | E::DidDeactivated(_), _) => {
            (400, "InvalidRequest")
        }
        (E::ServiceNotFound(_), By::Service) => (400, "ServiceNotFound"),
        (E::ServiceNotFound(_), By::MiniDoc | By::List | By::Proxy) => (400, "InvalidRequest"),
        (E::ResolutionFailed(_), By::Record | By::MiniDoc) => (500, "ResolutionFailed"),
        (_, By::Handle) => (500, "Failed"),
        (_, By::Record | By::MiniDoc) => (500, "ServerError"),
        (E::Unproven(_), By::Proof) => (502, "InvalidProof"),
        (_, By::Service | By::Identity | By::Proof | By::List | By::Proxy) => {
            (502, "UpstreamFailure")
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(status, name, message)
}

/// Another server's name of its error, where it is one that programs can have.
fn origin_name(name: &str) -> String {
    let is_name = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_name { name } else { "InvalidRequest" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_servers_are_passed_on_where_they_are_names() {
        for (name, told) in [
            ("RepoDeactivated", "RepoDeactivated"),
            ("a.b-c_d", "a.b-c_d"),
            ("", "InvalidRequest"),
            ("<b>", "InvalidRequest"),
            (&"x".repeat(65), "InvalidRequest"),
        ] {
            let error = EdgeError::Origin {
                name: name.to_owned(),
                message: "m".repeat(5000),
            };
            let (name, message) = record_problem(error).into_parts();
            assert_eq!(name, told);
            assert!(message.len() < 1100);
        }
    }
}
