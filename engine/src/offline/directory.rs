//! Opening a data directory for reading.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orrery_formats::manifest::{QuarantineEntry, SegmentEntry, State};
use orrery_formats::segment::Segment;

use crate::io::{Fs, OsFs};
use crate::log::parse_name;
use crate::manifest::{Look, Manifest};
use crate::mask::files::MASKS;
use crate::recovery::{no_manifest, open_entry};
use crate::store::{CACHE, LOG, SEGMENTS, segment_name};
use crate::{Error, Result};

/// How often a directory is read anew when a file vanishes, which a running store replaced.
const ATTEMPTS: u32 = 8;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(25);

/// A data directory as it was when it was opened. Segments stay readable when a running store removes
/// their files; log files do not.
pub struct Directory {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) path: PathBuf,
    pub(crate) manifest: Look,
    pub(crate) segments: Vec<SegmentFile>,
    pub(crate) logs: Vec<FoundFile>,
    pub(crate) keys: Vec<FoundFile>,
    pub(crate) masks: Vec<FoundFile>,
    pub(crate) cache: Vec<FoundFile>,
}

/// A file of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its name, within its own directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The first seq of the log file that it is or belongs to; 0 for other files.
    pub first_seq: u64,
}

/// A segment that the manifest names.
#[derive(Debug)]
pub struct SegmentFile {
    /// What the manifest says of it.
    pub entry: SegmentEntry,
    /// The name of its file.
    pub name: String,
    opened: Result<Arc<Segment>>,
}

impl SegmentFile {
    /// The segment.
    ///
    /// # Errors
    /// Why it could not be opened, or is set aside: the store applied events without it, so that what it says is not
    /// what was so.
    pub fn segment(&self) -> Result<&Segment, &Error> {
        self.opened.as_deref()
    }
}

impl Directory {
    /// Opens the data directory at `path`. Costs the manifest and the footers of the segments.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] for a directory without a manifest; [`Error::Format`] for a damaged one;
    /// [`Error::Io`]. A segment that does not open is no error here.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_fs(OsFs::shared(), path)
    }

    /// As [`open`](Self::open), on another file layer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_fs(fs: Arc<dyn Fs>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut attempt = 1;
        loop {
            let is_last = attempt == ATTEMPTS;
            match Self::try_open(&fs, path) {
                Ok(directory) if is_last || !directory.misses_a_file() => return Ok(directory),
                Err(error) if is_last || !is_not_found(&error) || !path.is_dir() => {
                    return Err(error);
                }
                _ => {}
            }
            attempt += 1;
            std::thread::sleep(PAUSE);
        }
    }

    /// As [`open_with_fs`](Self::open_with_fs) of a directory whose lock is held: a file that is not there is gone.
    pub(super) fn open_locked(fs: &Arc<dyn Fs>, path: &Path) -> Result<Self> {
        Self::try_open(fs, path)
    }

    fn try_open(fs: &Arc<dyn Fs>, path: &Path) -> Result<Self> {
        let manifest = Manifest::look(&**fs, path)?.ok_or_else(|| no_manifest(&**fs, path))?;
        let mut first_actor = 0;
        let mut segments = Vec::new();
        for entry in &manifest.state.segments {
            let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
            let mut quarantined = manifest.state.quarantined.iter();
            let opened = match quarantined.find(|known| known.id == entry.id) {
                Some(known) => Err(Error::Inconsistent {
                    path: path.join(SEGMENTS).join(&name),
                    what: format!("set aside, and not read: {}", known.why),
                }),
                None => open_entry(&**fs, path, entry, first_actor).map(|sealed| sealed.segment),
            };
            segments.push(SegmentFile {
                entry: entry.clone(),
                name,
                opened,
            });
            first_actor = entry.actors_end;
        }
        let log_dir = path.join(LOG);
        Ok(Self {
            logs: found(&**fs, &log_dir, |name| parse_name(name, "log"))?,
            keys: found(&**fs, &log_dir, |name| parse_name(name, "keys"))?,
            masks: found(&**fs, &path.join(MASKS), |name| {
                (!name.ends_with(crate::io::fs::TEMPORARY_SUFFIX)).then_some(0)
            })?,
            cache: found(&**fs, &path.join(CACHE), |_| Some(0))?,
            fs: Arc::clone(fs),
            path: path.to_owned(),
            manifest,
            segments,
        })
    }

    fn misses_a_file(&self) -> bool {
        let mut failures = self
            .segments
            .iter()
            .filter_map(|file| file.opened.as_ref().err());
        failures.any(is_not_found)
    }

    /// The name of the manifest.
    #[must_use]
    pub fn manifest_name(&self) -> &str {
        &self.manifest.name
    }

    /// The bytes of the manifest.
    #[must_use]
    pub const fn manifest_bytes(&self) -> u64 {
        self.manifest.bytes
    }

    /// What the manifest says.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.manifest.state
    }

    /// The segments, by their range of seqs.
    #[must_use]
    pub fn segments(&self) -> &[SegmentFile] {
        &self.segments
    }

    /// The segments that could be opened and are not set aside.
    pub fn sound_segments(&self) -> impl DoubleEndedIterator<Item = (&SegmentFile, &Segment)> {
        let segments = self.segments.iter();
        segments.filter_map(|file| Some((file, file.segment().ok()?)))
    }

    /// The segments that are left out of what is told here of links, targets and accounts, with the reasons: they do not open,
    /// are of a version that this build does not read, or are set aside.
    pub fn left_out(&self) -> impl Iterator<Item = (&SegmentFile, &Error)> {
        let segments = self.segments.iter();
        segments.filter_map(|file| Some((file, file.segment().err()?)))
    }

    /// Segments that are set aside: the store does not read them, and neither does anything here.
    #[must_use]
    pub fn quarantined(&self) -> &[QuarantineEntry] {
        &self.manifest.state.quarantined
    }

    /// The log files, oldest first.
    #[must_use]
    pub fn log_files(&self) -> &[FoundFile] {
        &self.logs
    }

    /// The key indexes of log files.
    #[must_use]
    pub fn key_indexes(&self) -> &[FoundFile] {
        &self.keys
    }

    /// The mask files.
    #[must_use]
    pub fn mask_files(&self) -> &[FoundFile] {
        &self.masks
    }
}

/// Whether a file was not there.
pub(in crate::offline) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// The files of `dir` for whose names `first_seq_of` gives a seq; none where `dir` is not there.
pub(in crate::offline) fn found(
    fs: &dyn Fs,
    dir: &Path,
    first_seq_of: impl Fn(&str) -> Option<u64>,
) -> Result<Vec<FoundFile>> {
    let entries = match fs.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(Error::io("list", dir))?,
    };
    let files = entries.into_iter().filter_map(|entry| {
        Some(FoundFile {
            first_seq: first_seq_of(&entry.name)?,
            name: entry.name,
            bytes: entry.bytes,
        })
    });
    Ok(files.collect())
}
