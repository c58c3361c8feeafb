//! The envelope of a sealed file: header, footer, the checksum of each chunk, and padding.

use std::ops::RangeInclusive;

use orrery_formats::Error as FormatError;
use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::{FileKind, header};
use orrery_formats::segment;
use xxhash_rust::xxh3::Xxh3;

use super::Check;
use crate::Error;
use crate::offline::directory::is_not_found;
use crate::store::{SEGMENTS, segment_name};

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// What a sealed file turned out to be.
pub(super) struct Checked {
    /// The file, where its checksums all hold.
    pub(super) sound: Option<SealedFile>,
    pub(super) bytes: u64,
    /// XXH3-64 of the whole.
    pub(super) checksum: u64,
}

impl Check<'_> {
    /// Checks the sealed file `name`. `None` where it cannot be read.
    pub(super) fn sealed(
        &mut self,
        name: &str,
        kind: FileKind,
        versions: RangeInclusive<u16>,
        name_of: &dyn Fn(u16) -> &'static str,
    ) -> Option<Checked> {
        // First by plain reads, which tell of a bad disk what a mapping would die of.
        let (bytes, checksum) = match self.hash(name) {
            Ok(hashed) => hashed,
            Err(error) if is_not_found(&error) && self.is_replaced(name) => return None,
            Err(error) => {
                self.error(name, error);
                return None;
            }
        };
        self.read(bytes);
        let path = self.path.join(name);
        let mapped = match self.fs.map(&path) {
            Ok(mapped) => mapped,
            Err(error) => {
                let error = Error::io("map", &path)(error);
                if !(is_not_found(&error) && self.is_replaced(name)) {
                    self.error(name, error);
                }
                return None;
            }
        };
        let start = mapped.get(..orrery_formats::envelope::HEADER_BYTES);
        let start = start.unwrap_or_default().to_vec();
        let newest = *versions.end();
        let mut checked = Checked {
            sound: None,
            bytes,
            checksum,
        };
        let file = match SealedFile::open(String::new(), mapped, kind, versions) {
            Ok(file) => file,
            Err(error) => {
                self.envelope(name, kind, newest, &start, error);
                return Some(checked);
            }
        };
        let before = self.report.damages;
        file.each_damage(name_of, &mut |error| self.format_error(name, 0, error));
        if self.report.damages == before {
            checked.sound = Some(file);
        }
        Some(checked)
    }

    /// Whether a running store has removed a file that it does not need any more: masks and key indexes as it
    /// likes, a segment after the manifest has another in its place.
    fn is_replaced(&self, name: &str) -> bool {
        let Some(segment) = name.strip_prefix(SEGMENTS) else {
            return true;
        };
        self.state_now().is_some_and(|now| {
            let mut names = now
                .segments
                .iter()
                .map(|entry| segment_name(entry.first_seq, entry.last_seq, entry.id));
            names.all(|known| segment.trim_start_matches('/') != known)
        })
    }

    /// Tells of an envelope that does not open. The footer's checksum covers the header too; which of them is
    /// damaged is seen by what a header must be.
    fn envelope(
        &mut self,
        name: &str,
        kind: FileKind,
        version: u16,
        start: &[u8],
        error: FormatError,
    ) {
        let corruption = match &error {
            FormatError::Corrupt(corruption) => corruption,
            FormatError::Version { .. } if kind == segment::KIND => {
                let error = error.in_file(name);
                self.other_version.get_or_insert(error);
                return;
            }
            _ => return self.format_error(name, 0, error),
        };
        let sound = header(kind, version);
        let wrong = sound.iter().zip(start).position(|(a, b)| a != b);
        match wrong {
            Some(at) if corruption.section == "trailer" => self.damage(
                name,
                "header",
                at as u64,
                format!("the header of a {} of version {version}", kind.name()),
                start.escape_ascii(),
            ),
            _ => self.format_error(name, 0, error),
        }
    }

    /// Length and XXH3-64 of a file, by plain reads.
    fn hash(&self, name: &str) -> Result<(u64, u64), Error> {
        let path = self.path.join(name);
        let file = self.fs.open(&path).map_err(Error::io("open", &path))?;
        let mut hasher = Xxh3::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = 0u64;
        loop {
            let read = file
                .read_at(at, &mut block)
                .map_err(Error::io("read", &path))?;
            if read == 0 {
                return Ok((at, hasher.digest()));
            }
            hasher.update(block.get(..read).unwrap_or_default());
            at += read as u64;
        }
    }
}
