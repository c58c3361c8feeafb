//! What can still be read of a file that is set aside. Damage is mostly one chunk, and each chunk has a checksum: where
//! header, footer and every chunk with a byte of the accounts are sound, DIDs, ids and states are read from the
//! damaged file, and events go on. Kills and passed keys are read too where their own chunks are sound. Rows, links
//! and all else stay those of the empty segment in its place.
//!
//! All of that is read once by plain reads before any of it is touched in the mapping: a bad block is an error then,
//! and no signal. A chunk is checked once more at its first touch. Damage that is met there names the file with
//! [`ACCOUNTS`] behind it, and the accounts are lost from then on.

use std::path::Path;

use orrery_formats::chunks::{ReadAt, SealedFile};
use orrery_formats::envelope::{CHUNK_BYTES, HEADER_BYTES, TRAILER_BYTES, footer_range};
use orrery_formats::manifest::SegmentEntry;
use orrery_formats::segment::{self, Segment};

use crate::io::File;
use crate::io::Fs;
use crate::io::fs::read_exact_at;
use crate::recovery::check_entry;
use crate::snapshot::Sealed;
use crate::store::{SEGMENTS, segment_name};
use crate::{Error, Result};

/// Stands behind the name of a file in errors of what is read here, and tells them from those of whoever still reads
/// all of it.
const ACCOUNTS: &str = " (accounts)";

/// The name of the file whose accounts an error is about, by what the error calls it.
pub(super) fn file_of_accounts(named: &str) -> Option<&str> {
    named.strip_suffix(ACCOUNTS)
}

/// See the module's description.
pub(crate) struct Remains {
    accounts: Segment,
    has_kills: bool,
    has_passed_keys: bool,
}

impl Remains {
    /// Of the segment that the manifest has as `entry`; `None`, with the reason in the log, where its accounts cannot
    /// be read. Actors from `first_actor` on were first seen in it.
    pub(crate) fn of_entry(
        fs: &dyn Fs,
        dir: &Path,
        entry: &SegmentEntry,
        first_actor: u32,
    ) -> Option<Self> {
        let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
        let opened = Self::open(fs, dir, &name).and_then(|remains| {
            let segment = &remains.accounts;
            check_entry(dir, &name, segment, entry, first_actor).map(|()| remains)
        });
        told(&name, opened)
    }

    /// As [`of_entry`](Self::of_entry), of a segment that was read until now.
    pub(super) fn of_sealed(fs: &dyn Fs, dir: &Path, sealed: &Sealed) -> Option<Self> {
        let opened = Self::open(fs, dir, &sealed.name).and_then(|remains| {
            if remains.accounts.info() == sealed.segment.info() {
                return Ok(remains);
            }
            Err(Error::Inconsistent {
                path: dir.join(SEGMENTS).join(&*sealed.name),
                what: "it is not the file any more that was read".to_owned(),
            })
        });
        told(&sealed.name, opened)
    }

    fn open(fs: &dyn Fs, dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(SEGMENTS).join(name);
        let file = fs.open(&path).map_err(Error::io("open", &path))?;
        let mut read = |offset: u64, buffer: &mut [u8]| read_plainly(&*file, &path, offset, buffer);
        read_ends(&*file, &path, &mut read)?;
        let mapped = fs.map(&path).map_err(Error::io("map", &path))?;
        let versions = segment::VERSION..=segment::VERSION;
        let sealed =
            SealedFile::open(format!("{name}{ACCOUNTS}"), mapped, segment::KIND, versions)?;
        sealed.check_sections(segment::ACCOUNT_SECTIONS, &mut read)?;
        let has_kills = sealed.check_sections(segment::KILL_SECTIONS, &mut read);
        let has_passed_keys = sealed.check_sections(segment::PASSED_SECTIONS, &mut read);
        Ok(Self {
            has_kills: has_kills.is_ok(),
            has_passed_keys: has_passed_keys.is_ok(),
            accounts: Segment::open(sealed)?,
        })
    }

    /// Where DIDs and states are read, and nothing else.
    pub(crate) const fn accounts(&self) -> &Segment {
        &self.accounts
    }

    /// Where kills are read, and nothing else, if they can be.
    pub(crate) fn kills(&self) -> Option<&Segment> {
        self.has_kills.then_some(&self.accounts)
    }

    /// Where passed keys are read, and nothing else, if they can be.
    pub(crate) fn passed_keys(&self) -> Option<&Segment> {
        self.has_passed_keys.then_some(&self.accounts)
    }
}

fn told(name: &str, opened: Result<Remains>) -> Option<Remains> {
    opened
        .inspect_err(|error| tracing::warn!(file = name, %error, "the accounts of a segment that is set aside cannot be read"))
        .ok()
}

fn read_plainly(file: &dyn File, path: &Path, offset: u64, buffer: &mut [u8]) -> Result<()> {
    if read_exact_at(file, offset, buffer).map_err(Error::io("read", path))? {
        return Ok(());
    }
    Err(Error::Inconsistent {
        path: path.to_owned(),
        what: format!("it ends before byte {}", offset + buffer.len() as u64),
    })
}

/// Reads header and footer, and keeps nothing of them.
fn read_ends(file: &dyn File, path: &Path, read: ReadAt<'_, Error>) -> Result<()> {
    let len = file.len().map_err(Error::io("look at", path))?;
    read(0, &mut [0; HEADER_BYTES])?;
    let mut trailer = [0; TRAILER_BYTES];
    read(len.saturating_sub(TRAILER_BYTES as u64), &mut trailer)?;
    let mut footer = footer_range(len, &trailer);
    let mut block = vec![0; CHUNK_BYTES];
    while !footer.is_empty() {
        // No more than a block.
        let bytes = (footer.end - footer.start).min(CHUNK_BYTES as u64) as usize;
        read(footer.start, block.get_mut(..bytes).unwrap_or_default())?;
        footer.start += bytes as u64;
    }
    Ok(())
}
