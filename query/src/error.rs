//! The errors of this crate. Bad requests name what is wrong with them; everything the index itself
//! reports is kept as the source of one variant.

use crate::limits::{PAGE_ITEMS_MAX, PAGE_ITEMS_MIN};

/// The result of a query.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The index could not be read.
    #[error("the index could not be read: {0}")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A name cannot be told, since it stood in a damaged part of the index that is set aside. Lists leave out
    /// what cannot be named.
    #[error("the index could not be read: {0}")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cursor is no cursor, or belongs to another list.
    #[error("bad cursor: {0}")]
    Cursor(#[from] CursorError),
    /// The page size is out of range.
    #[error("bad limit: {found} is not between {PAGE_ITEMS_MIN} and {PAGE_ITEMS_MAX}")]
    Limit {
        /// The limit that was asked for.
        found: u32,
    },
    /// A subscriber's request cannot be met.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The answer needs more memory than one query may take.
    #[error("the query matches more than {limit} {what}: narrow it down")]
    TooLarge {
        /// What there are too many of.
        what: &'static str,
        /// The most that are allowed.
        limit: usize,
    },
}

impl Error {
    /// Wraps an error of the index.
    pub fn index(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Index(Box::new(error))
    }

    /// Whether the caller can mend the request; everything else is a matter of the index.
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        !matches!(self, Self::Index(_) | Self::Lost(_))
    }
}

/// A name, or `None` where it is [`Error::Lost`].
pub(crate) fn known<T>(name: Result<T>) -> Result<Option<T>> {
    match name {
        Err(Error::Lost(_)) => Ok(None),
        name => name.map(Some),
    }
}

/// Why a string is no cursor of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// Not an even number of lower-case hexadecimal digits, or none, or too many.
    #[error("not a cursor: expected lower-case hexadecimal digits, two a byte")]
    NotHex,
    /// The digits are no cursor that was ever given out.
    #[error("not a cursor that an answer gave")]
    Damaged,
    /// A cursor, but of another kind of list.
    #[error("it belongs to a list of {found}, this is a list of {expected}")]
    OtherList {
        /// The kind of list it belongs to.
        found: &'static str,
        /// The kind of list it was given for.
        expected: &'static str,
    },
    /// A cursor of this kind of list walked in the other direction.
    #[error("it was made with reverse={found}, this request has reverse={expected}")]
    OtherDirection {
        /// Direction in the cursor.
        found: bool,
        /// Direction of the request.
        expected: bool,
    },
}

/// Why a subscriber cannot have what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A list of a filter is too long.
    #[error("{list} has {found} values: at most {limit} are allowed")]
    TooMany {
        /// The list's name, as parameters and messages have it.
        list: &'static str,
        /// How many values it has.
        found: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// A value of a list of a filter is too long.
    #[error("{list} has a value of {found} bytes: at most {limit} are allowed")]
    TooLong {
        /// The list's name, as parameters and messages have it.
        list: &'static str,
        /// How many bytes the value has.
        found: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// The filters of all subscribers together are too large. No fault of this one.
    #[error("the filters of all subscribers need {found} places: there are {limit}")]
    FiltersFull {
        /// The places that they would take with this one.
        found: usize,
        /// The most that there are.
        limit: usize,
    },
    /// A number of the cursor is missing.
    #[error("{what} is missing")]
    CursorMissing {
        /// Which number.
        what: &'static str,
    },
    /// A number of the cursor is none.
    #[error("{what} has {found:?} where a digit belongs, at byte {at}")]
    CursorDigit {
        /// Which number.
        what: &'static str,
        /// Where in it.
        at: usize,
        /// What stands there.
        found: char,
    },
    /// A number of the cursor is too large.
    #[error("{what} is more than {limit}")]
    CursorRange {
        /// Which number.
        what: &'static str,
        /// The largest it may be.
        limit: u64,
    },
}

impl From<orrery_engine::Error> for Error {
    fn from(error: orrery_engine::Error) -> Self {
        match error {
            orrery_engine::Error::LostDid { .. } => Self::Lost(Box::new(error)),
            error => Self::index(error),
        }
    }
}
