//! The catalog of a backup (`SPEC.md`, section 9): which files make it up, and the manifest that a restored
//! directory begins with. It is written last, so a backup without one is no backup, and the one before still
//! counts.

use crate::bytes::{Reader, put_str, put_u64, put_varint};
use crate::chunks::SealedFile;
use crate::envelope::{FileBuilder, FileKind};
use crate::exclusions;
use crate::manifest::{
    FILE_HEADER_BYTES, State, decode_edit, decode_header, encode_edit, encode_header,
};
use crate::{Error, Result};
use std::ops::Deref;

/// The newest version of catalogs: with an exclude list. One without is written as [`OLDEST_SUPPORTED`].
pub const VERSION: u16 = 2;
/// The oldest version that this code reads.
pub const OLDEST_SUPPORTED: u16 = 1;
/// The number of the manifest in a catalog.
pub const MANIFEST_NUMBER: u64 = 1;

mod section {
    pub(super) const MANIFEST: u16 = 1;
    pub(super) const FILES: u16 = 2;
    pub(super) const EXCLUSIONS: u16 = 3;
}

/// The name of a section, for messages.
#[must_use]
pub const fn section_name(id: u16) -> &'static str {
    match id {
        section::MANIFEST => "manifest",
        section::FILES => "files",
        section::EXCLUSIONS => "exclude list",
        _ => "unknown section",
    }
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Its path in the backup and in a restored directory: a directory, a slash, and a name.
    pub name: String,
    /// How many of its bytes belong to the backup; a log file may have grown since.
    pub bytes: u64,
    /// XXH3-64 (seed 0) of those bytes.
    pub checksum: u64,
}

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// What the manifest of a restored directory says.
    pub state: State,
    /// The files, by name.
    pub files: Vec<CatalogFile>,
    /// The whole file of the exclude list; `None` where there is none.
    pub exclusions: Option<Vec<u8>>,
}

impl Catalog {
    /// The bytes of the catalog.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a state that fits into no manifest.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut files = Vec::new();
        put_varint(&mut files, self.files.len() as u64);
        for file in &self.files {
            put_str(&mut files, &file.name);
            put_u64(&mut files, file.bytes);
            put_u64(&mut files, file.checksum);
        }
        let version = match self.exclusions {
            Some(_) => VERSION,
            None => OLDEST_SUPPORTED,
        };
        let mut builder = FileBuilder::new(FileKind::Backup, version);
        builder.section(section::MANIFEST, &self.manifest()?);
        builder.section(section::FILES, &files);
        if let Some(exclusions) = &self.exclusions {
            builder.section(section::EXCLUSIONS, exclusions);
        }
        Ok(builder.finish())
    }

    /// The bytes of the manifest, number [`MANIFEST_NUMBER`], of a restored directory.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn manifest(&self) -> Result<Vec<u8>> {
        let mut manifest = encode_header(MANIFEST_NUMBER);
        let at = FILE_HEADER_BYTES as u64;
        encode_edit(&self.state.as_first(), MANIFEST_NUMBER, at, &mut manifest)?;
        Ok(manifest)
    }

    /// Reads a catalog, of which every byte is checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`], naming `name`.
    pub fn decode(
        name: &str,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let versions = OLDEST_SUPPORTED..=VERSION;
        let file = SealedFile::open(name.to_owned(), data, FileKind::Backup, versions)?;
        file.verify_all()?;
        read(&file).map_err(|error| error.in_file(name))
    }
}

fn read(file: &SealedFile) -> Result<Catalog> {
    let manifest = file.section(section::MANIFEST)?.named("manifest").all()?;
    let version = decode_header(manifest, MANIFEST_NUMBER)?;
    let at = FILE_HEADER_BYTES as u64;
    let (first, end) = decode_edit(manifest, version, MANIFEST_NUMBER, at)?;
    if end != manifest.len() as u64 {
        return Err(Error::corrupt("manifest", end, "one edit", "more bytes"));
    }
    let state = State::from_first(first)?;
    let mut reader = Reader::new("files", file.section(section::FILES)?.named("files").all()?);
    let count = reader.varint()?;
    let mut files: Vec<CatalogFile> = Vec::new();
    for _ in 0..count {
        let name = reader.str()?;
        if !is_safe(name)
            || files
                .last()
                .is_some_and(|before| before.name.as_str() >= name)
        {
            return Err(reader.corrupt("rising names of files in segments/ and log/", name));
        }
        files.push(CatalogFile {
            name: name.to_owned(),
            bytes: reader.u64()?,
            checksum: reader.u64()?,
        });
    }
    reader.finish()?;
    let exclusions = match file.version() {
        OLDEST_SUPPORTED => None,
        _ => {
            let section = file.section(section::EXCLUSIONS)?.named("exclude list");
            let bytes = section.all()?.to_vec();
            // What could not be read would keep the restored directory from being opened.
            exclusions::decode("exclude list", bytes.clone())?;
            Some(bytes)
        }
    };
    Ok(Catalog {
        state,
        files,
        exclusions,
    })
}

/// Whether a name leads to a file in one of the two directories and nowhere else.
fn is_safe(name: &str) -> bool {
    let Some((dir, file)) = name.split_once('/') else {
        return false;
    };
    matches!(dir, "segments" | "log")
        && !file.is_empty()
        && !file.starts_with('.')
        && file
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::SourceCursor;
    use crate::manifest::{Directory, SegmentEntry};

    fn sample() -> Catalog {
        let mut state = State::new(Directory {
            id: *b"0123456789abcdef",
            secret: [7; 32],
        });
        state.segments.push(SegmentEntry {
            id: 1,
            first_seq: 1,
            last_seq: 100,
            bytes: 4096,
            checksum: 0x0123_4567_89ab_cdef,
            first_time_us: 1_000,
            last_time_us: 2_000,
            actors_end: 12,
            level: 0,
        });
        state.sealed_through = 100;
        state.source_cursor = Some(SourceCursor {
            kind: 1,
            endpoint: "wss://example.org".to_owned(),
            value: 99,
        });
        let file = |name: &str, bytes| CatalogFile {
            name: name.to_owned(),
            bytes,
            checksum: bytes ^ 0xff,
        };
        Catalog {
            state,
            files: vec![
                file("log/0000000000000001.log", 1_000),
                file("segments/0000000000000001-0000000000000064-1.seg", 4_096),
            ],
            exclusions: None,
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = sample().encode().unwrap();
        crate::testing::assert_golden("backup-v1", &bytes);
        assert_eq!(Catalog::decode("b", bytes).unwrap(), sample());
    }

    #[test]
    fn golden_bytes_with_an_exclude_list() {
        let entry = exclusions::ExclusionEntry {
            kind: exclusions::ExclusionKind::Account,
            value: "did:plc:aaaa".to_owned(),
            time_us: 1_000,
            reason: "asked".to_owned(),
            is_leaving: false,
        };
        let mut catalog = Catalog {
            exclusions: Some(exclusions::encode(&[entry]).unwrap()),
            ..sample()
        };
        let bytes = catalog.encode().unwrap();
        crate::testing::assert_golden("backup-v2", &bytes);
        assert_eq!(Catalog::decode("b", bytes).unwrap(), catalog);
        catalog.exclusions = Some(b"none".to_vec());
        assert!(Catalog::decode("b", catalog.encode().unwrap()).is_err());
    }

    /// The file is as it was written with a manifest of version 1, and is not made anew.
    #[test]
    fn a_catalog_with_a_manifest_of_version_1_is_read() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path.join("testdata/backup-v1-manifest-v1")).unwrap();
        assert_eq!(Catalog::decode("b", bytes).unwrap(), sample());
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let bytes = sample().encode().unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(Catalog::decode("b", bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "../x", "log/../x", "log/a/b", "/etc/x", "log/", "log/.x", "other/x", "x",
        ] {
            let mut catalog = sample();
            catalog.files[0].name = name.to_owned();
            catalog.files.truncate(1);
            assert!(
                Catalog::decode("b", catalog.encode().unwrap()).is_err(),
                "{name}"
            );
        }
    }
}
