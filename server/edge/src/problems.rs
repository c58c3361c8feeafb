//! What those who were asked say, as what callers are told.

use std::time::Duration;

use orrery_engine::Store;
use orrery_resolve::origin::OriginError;
use orrery_resolve::{FetchError, FlightError, ResolveError};
use orrery_server::EdgeError;

/// About a handle.
pub(crate) fn of_handle(error: ResolveError) -> EdgeError {
    let message = error.to_string();
    match error {
        ResolveError::NotFound { .. }
        | ResolveError::Conflict { .. }
        | ResolveError::Unconfirmed { .. } => EdgeError::HandleNotFound(message),
        error => of_did(error),
    }
}

/// About a DID.
pub(crate) fn of_did(error: ResolveError) -> EdgeError {
    let message = error.to_string();
    match error {
        ResolveError::Syntax { .. }
        | ResolveError::Reserved { .. }
        | ResolveError::Unsupported { .. } => EdgeError::Invalid(message),
        ResolveError::NotFound { .. }
        | ResolveError::Conflict { .. }
        | ResolveError::Unconfirmed { .. } => EdgeError::DidNotFound(message),
        ResolveError::NoService { .. } => EdgeError::ServiceNotFound(message),
        ResolveError::RetryLater { after, .. } => busy(message, Some(after)),
        ResolveError::Busy { .. } => busy(message, None),
        _ => EdgeError::ResolutionFailed(message),
    }
}

/// About the account of a record: that nobody knows it is told as it is, and of all else, that the record cannot be had.
pub(crate) fn of_owner(error: ResolveError) -> EdgeError {
    match of_did(error) {
        EdgeError::ResolutionFailed(message) | EdgeError::ServiceNotFound(message) => {
            EdgeError::Unavailable(message)
        }
        error => error,
    }
}

/// Of a data server.
pub(crate) fn of_origin(error: OriginError) -> EdgeError {
    match error {
        OriginError::NoRecord { message, .. } => {
            EdgeError::RecordNotFound(format!("the data server has no such record: {message}"))
        }
        OriginError::Answered {
            status: 400,
            error,
            message,
        } => EdgeError::Origin {
            name: error,
            message: format!("the data server says: {message}"),
        },
        OriginError::RetryLater { after, .. } => {
            let message = "the data server asks to be left alone for a while".to_owned();
            busy(message, after)
        }
        OriginError::Busy => busy(
            "too many requests wait for the data server".to_owned(),
            None,
        ),
        OriginError::WrongUri { .. } => EdgeError::Unproven(error.to_string()),
        error => EdgeError::Unavailable(error.to_string()),
    }
}

/// Of any other host.
pub(crate) fn of_fetch(error: FetchError) -> EdgeError {
    match error {
        FetchError::RetryLater { after, .. } => busy(error.to_string(), Some(after)),
        FetchError::Busy { .. } => busy(error.to_string(), None),
        error => EdgeError::Unavailable(error.to_string()),
    }
}

/// Of shared work.
pub(crate) fn of_flight(error: FlightError) -> EdgeError {
    match error {
        FlightError::Full { .. } => busy(error.to_string(), None),
        error => EdgeError::Unavailable(error.to_string()),
    }
}

/// Of the index or the disk. What it was is for the log; damage is set aside, so that the next look goes on without it.
pub(crate) fn of_engine(store: &Store, error: &orrery_engine::Error) -> EdgeError {
    store.report_damage(error);
    tracing::error!(%error, "a record cannot be looked up");
    EdgeError::Unavailable("the server cannot read what it has; its log says why".to_owned())
}

fn busy(message: String, after: Option<Duration>) -> EdgeError {
    EdgeError::Busy {
        message,
        retry_after_s: after.map_or(1, |after| after.as_secs().max(1)),
    }
}
