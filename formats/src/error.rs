//! The errors of this crate. Damage to bytes is one family and always says where it stands, what was
//! expected there and what was found; the file's name is added by whoever opened it.

/// The result of reading or writing a format.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with bytes given to this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what a writer of this format leaves behind.
    #[error("{0}")]
    Corrupt(Box<Corruption>),
    /// The file was written by a newer (or unsupported) version of the format; its bytes may be sound.
    #[error(
        "{file}: {kind} format version {found} is not supported (this build reads {oldest} to {newest})"
    )]
    Version {
        /// The file's name.
        file: String,
        /// The kind of file.
        kind: &'static str,
        /// The version in the file.
        found: u16,
        /// The oldest version this build reads.
        oldest: u16,
        /// The newest version this build reads.
        newest: u16,
    },
    /// A value does not fit into the format.
    #[error("{what} is {found}, more than the format holds ({limit})")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The most that fits.
        limit: u64,
    },
}

/// One place where bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: section {section}, offset {offset}: expected {expected}, found {found}")]
pub struct Corruption {
    /// The file's name, empty where only bytes were given.
    pub file: String,
    /// The part of the file.
    pub section: &'static str,
    /// Byte offset in that section.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Error {
    /// Damage at `offset` of `section`.
    #[cold]
    pub fn corrupt(
        section: &'static str,
        offset: u64,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Corrupt(Box::new(Corruption {
            file: String::new(),
            section,
            offset,
            expected: expected.into(),
            found: found.to_string(),
        }))
    }

    /// The same error, naming `name` as the file if none is named yet.
    #[must_use]
    pub fn in_file(mut self, name: &str) -> Self {
        match &mut self {
            Self::Corrupt(corruption) if corruption.file.is_empty() => {
                corruption.file = name.to_owned();
            }
            Self::Version { file, .. } if file.is_empty() => *file = name.to_owned(),
            _ => {}
        }
        self
    }
}
