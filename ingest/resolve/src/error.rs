//! Why an identity could not be resolved.
//!
//! Owns [`ResolveError`]. Its cases are told apart by what a caller must do: tell the client that there is nothing,
//! that what there is does not fit together, or that nobody knows at the moment.

use std::time::Duration;

use thiserror::Error;

use crate::flight::FlightError;

/// Why an identity could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Neither a DID nor a handle.
    #[error("{problem}")]
    Syntax {
        /// What is wrong with it.
        problem: String,
    },
    /// A handle or did:web under a top-level domain that is never on the public network.
    #[error("{name} is not resolved: `.{tld}` is reserved")]
    Reserved {
        /// The handle or DID.
        name: String,
        /// The top-level domain.
        tld: String,
    },
    /// A DID of a method, or in a form, that is not in use here.
    #[error("{did} is not supported: {problem}")]
    Unsupported {
        /// The DID.
        did: String,
        /// What about it.
        problem: &'static str,
    },
    /// There is no such DID, or the handle leads to none. Somebody who must know has said so.
    #[error("{name}: {problem}")]
    NotFound {
        /// The handle or DID.
        name: String,
        /// Who said what.
        problem: String,
    },
    /// The handle has TXT records for several DIDs.
    #[error("{handle} has TXT records for several DIDs, {first} and {second} among them")]
    Conflict {
        /// The handle.
        handle: String,
        /// One of the DIDs.
        first: String,
        /// Another one.
        second: String,
    },
    /// The handle leads to a DID whose document names another handle, or none.
    #[error("{handle} leads to {did}, whose document does not name it")]
    Unconfirmed {
        /// The handle.
        handle: String,
        /// The DID it leads to.
        did: String,
    },
    /// What came is not a DID document, or not this DID's.
    #[error("the document of {did} is unusable: {problem}")]
    Unusable {
        /// The DID.
        did: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The document names no such service.
    #[error("the document of {did} names no service {id}")]
    NoService {
        /// The DID.
        did: String,
        /// The id asked for.
        id: String,
    },
    /// It would have been asked at an address that must not be connected to.
    #[error("{name} is not resolved: {problem}")]
    Refused {
        /// The handle or DID.
        name: String,
        /// Which address, and why not.
        problem: String,
    },
    /// Nobody who must know could be asked. Another try may succeed.
    #[error("{name} cannot be resolved at the moment: {problem}")]
    Technical {
        /// The handle or DID.
        name: String,
        /// What went wrong.
        problem: String,
    },
    /// The one who must know wants to be left alone for a while.
    #[error("{name} cannot be resolved for another {after:?}")]
    RetryLater {
        /// The handle or DID.
        name: String,
        /// How much longer.
        after: Duration,
    },
    /// Too many look-ups are under way.
    #[error("{most} look-ups are under way already")]
    Busy {
        /// The limit.
        most: usize,
    },
}

impl ResolveError {
    /// Whether this says something about the identity. If not, it says something about the moment: asking again may
    /// give another result without anything having changed.
    #[must_use]
    pub const fn is_definitive(&self) -> bool {
        match self {
            Self::Syntax { .. }
            | Self::Reserved { .. }
            | Self::Unsupported { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Unconfirmed { .. }
            | Self::Unusable { .. }
            | Self::NoService { .. }
            | Self::Refused { .. } => true,
            Self::Technical { .. } | Self::RetryLater { .. } | Self::Busy { .. } => false,
        }
    }

    /// Whether a value known from before is no longer good. An unusable document does not say so: a source that gives
    /// out garbage is taken for one that is down.
    pub(crate) const fn replaces_known(&self) -> bool {
        self.is_definitive() && !matches!(self, Self::Unusable { .. })
    }

    /// An error of [`Flights`](crate::Flights), about `name`.
    pub(crate) fn of_flight(error: FlightError, name: &str) -> Self {
        match error {
            FlightError::Full { most } => Self::Busy { most },
            FlightError::Lost => Self::Technical {
                name: name.to_owned(),
                problem: error.to_string(),
            },
        }
    }
}
