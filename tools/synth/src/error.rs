//! The errors of this crate.

/// What can go wrong in making or serving a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A generator option is out of range.
    #[error("option `{option}` is {value}: {reason}")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// The value given.
        value: String,
        /// What would be allowed.
        reason: &'static str,
    },
    /// A line given to the server is not a Jetstream v1 event.
    #[error("line {line_number} is not a Jetstream event: {reason}")]
    Line {
        /// The number of the line, counted from 1.
        line_number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The compression dictionary was refused by zstd.
    #[error("the zstd dictionary is unusable")]
    Dictionary(#[source] std::io::Error),
    /// The listening socket failed.
    #[error("the listening socket failed")]
    Listener(#[source] std::io::Error),
}
