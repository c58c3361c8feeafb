//! Why an origin gave no record.
//!
//! Owns [`OriginError`]. It tells apart what the origin says, what it gets wrong, and why it could not be asked.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::network::FetchError;

/// Why an origin gave no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OriginError {
    /// What was asked for can be nobody's record.
    #[error("{problem}")]
    Argument {
        /// What is wrong with it.
        problem: String,
    },
    /// The document's endpoint is not a URL that can be asked.
    #[error("the endpoint {pds:?} cannot be asked: {problem}")]
    BadPds {
        /// The endpoint.
        pds: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The origin says that there is no such record.
    #[error("the origin has no such record: {message}")]
    NoRecord {
        /// Its name for the error.
        error: String,
        /// Its explanation.
        message: String,
    },
    /// The origin's error object, of another kind.
    #[error("the origin says {error} (HTTP {status}): {message}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// Its name for the error.
        error: String,
        /// Its explanation.
        message: String,
    },
    /// A status without an error object that could be read.
    #[error("the origin answers HTTP {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the method answers.
    #[error("unusable answer of the origin: {problem}")]
    Garbage {
        /// What is wrong with it.
        problem: String,
    },
    /// The answer is about something else.
    #[error("the origin gives {got:?} in place of {asked}")]
    WrongUri {
        /// What was asked for.
        asked: String,
        /// What came.
        got: String,
    },
    /// The answer is larger than the limit.
    #[error("the origin's answer is larger than {most} bytes")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// The origin did not answer in time.
    #[error("the origin did not answer within {after:?}")]
    Timeout {
        /// The time it had.
        after: Duration,
    },
    /// The origin is at an address or port that must not be connected to.
    #[error("the origin is not asked: {problem}")]
    Refused {
        /// Which one, and why not.
        problem: String,
    },
    /// The origin wants to be left alone for a while.
    #[error("the origin is not to be asked for now")]
    RetryLater {
        /// How much longer, if it said so.
        after: Option<Duration>,
    },
    /// Too many requests to the origin are waiting here.
    #[error("too many requests to the origin are waiting")]
    Busy,
    /// The origin could not be asked.
    #[error("the origin cannot be reached: {problem}")]
    Unreachable {
        /// What went wrong.
        problem: String,
    },
}

impl OriginError {
    pub(super) fn argument(error: impl fmt::Display) -> Self {
        Self::Argument {
            problem: error.to_string(),
        }
    }

    pub(super) fn garbage(problem: impl Into<String>) -> Self {
        Self::Garbage {
            problem: problem.into(),
        }
    }

    pub(super) fn of_fetch(error: FetchError) -> Self {
        match error {
            FetchError::TooLarge { most, .. } => Self::TooLarge { most },
            FetchError::Timeout { after, .. } => Self::Timeout { after },
            FetchError::RefusedAddress { .. } | FetchError::BadUrl { .. } => Self::Refused {
                problem: error.to_string(),
            },
            FetchError::RetryLater { after, .. } => Self::RetryLater { after: Some(after) },
            FetchError::Busy { .. } => Self::Busy,
            FetchError::Protocol { .. } => Self::Garbage {
                problem: error.to_string(),
            },
            _ => Self::Unreachable {
                problem: error.to_string(),
            },
        }
    }
}
