//! How much the cache may take, and of what.

use std::time::Duration;

use orrery_formats::cache::{ENTRY_BYTES_MAX, VALUE_BYTES_MAX};

use crate::{Error, Result};

/// Files that the cache is divided into, where their sizes are within the bounds.
const FILES: u64 = 16;
const FILE_BYTES_MIN: u64 = 1 << 20;
/// The places of entries are counted in units of eight bytes by 32 bits.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// What the map of the file that is written may hold: seven eighths of a power of two, at which it would be doubled.
const ENTRIES_MAX: usize = (1 << 18) / 8 * 7;
/// Each file is open, and has its marks of what was read.
const FILES_MAX: usize = 256;
/// How long nothing is kept after there was no room for anything.
const PAUSE: Duration = Duration::from_secs(60);

/// How much the cache may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// The most bytes on disk; at least [`LEAST`](Self::LEAST), or 0 for no cache, which removes the files of one that
    /// was there before.
    pub most_bytes: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            most_bytes: 1 << 30,
        }
    }
}

impl CacheOptions {
    /// The least bytes of a cache.
    pub const LEAST: u64 = 4 * FILE_BYTES_MIN;

    /// That a cache fits in.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn check(self) -> Result<()> {
        if self.most_bytes == 0 || self.most_bytes >= Self::LEAST {
            return Ok(());
        }
        Err(Error::Config(format!(
            "a cache of {} is too small; the least is {}, and 0 for none",
            crate::disk::Size(self.most_bytes),
            crate::disk::Size(Self::LEAST)
        )))
    }
}

/// What follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most bytes of all files.
    pub(super) most_bytes: u64,
    /// The most bytes of a file with its index.
    pub(super) file_bytes: u64,
    /// The most keys of a file.
    pub(super) entries_max: usize,
    pub(super) files_max: usize,
    /// The longest value that is kept: an entry takes at most a quarter of a file.
    pub(super) value_bytes_max: usize,
    pub(super) pause: Duration,
}

impl Limits {
    pub(super) fn new(options: CacheOptions) -> Self {
        let file_bytes = (options.most_bytes / FILES).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
        Self::with_files(options.most_bytes, file_bytes)
    }

    pub(super) fn with_files(most_bytes: u64, file_bytes: u64) -> Self {
        let beside = ENTRY_BYTES_MAX - VALUE_BYTES_MAX;
        let quarter = usize::try_from(file_bytes / 4).unwrap_or(usize::MAX);
        Self {
            most_bytes,
            file_bytes,
            entries_max: ENTRIES_MAX,
            files_max: FILES_MAX,
            value_bytes_max: quarter.saturating_sub(beside).min(VALUE_BYTES_MAX),
            pause: PAUSE,
        }
    }

    /// What may move out of a file of `bytes` before it goes.
    pub(super) const fn moved_max(bytes: u64) -> u64 {
        bytes / 4
    }

    /// Bytes of the closed files that leave room for a whole new one, and for what then moves into it.
    pub(super) const fn closed_max(&self) -> u64 {
        self.most_bytes
            .saturating_sub(self.file_bytes + Self::moved_max(self.file_bytes))
    }

    /// Room on disk is asked for in pieces of so many bytes.
    pub(super) const fn grant(&self) -> u64 {
        self.file_bytes / 16
    }
}
