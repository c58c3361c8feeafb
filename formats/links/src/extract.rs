//! The extractor: owns every buffer a record needs, so that a run over many records allocates only
//! while the buffers grow, and gives out the links of one record at a time.

use crate::error::ExtractError;
use crate::json::JsonScratch;
use crate::node::{Node, View};
use crate::target::TargetKind;
use crate::walk;

/// Buffers larger than this are given back before the next record, so that one huge record does not
/// hold its memory for ever. Far above any usual record; a record in a repo is at most about 1 MB.
const RETAINED_BYTES_MAX: usize = 4 << 20;

/// One reference inside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link<'a> {
    /// Where in the record it stands; begins with `.`.
    pub path: &'a str,
    /// What it points at, normalised.
    pub target: &'a str,
    /// What sort of thing the target is.
    pub kind: TargetKind,
}

/// How much of a record is looked at. Beyond a limit the record counts as truncated, not as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest object or array that is walked; the record itself is at depth 1. Values above
    /// [`Limits::DEPTH_MAX`] count as that.
    pub depth: usize,
    /// Most links given for a record.
    pub links: usize,
    /// Most bytes of path text kept for a record. Bounds what a record with one huge key above many
    /// links can cost; paths that repeat in a row are kept once.
    pub path_bytes: usize,
}

impl Limits {
    /// The walk recurses, so its depth is bounded whatever is asked for.
    pub const DEPTH_MAX: usize = 512;
}

impl Default for Limits {
    /// Depth 64, 10,000 links, 4 MiB of path text.
    fn default() -> Self {
        Self {
            depth: 64,
            links: 10_000,
            path_bytes: 4 << 20,
        }
    }
}

/// The limit that kept links out of an [`Extraction`]; the first one met, where there were several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Truncation {
    /// Objects or arrays nested deeper than [`Limits::depth`] were passed over.
    Depth,
    /// There are more links than [`Limits::links`]; those after were left out.
    Links,
    /// The paths are longer than [`Limits::path_bytes`] in sum; links after were left out.
    PathBytes,
}

/// A link as ranges of `Found::text`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    path_start: usize,
    path_end: usize,
    target_end: usize,
    target_start: usize,
    kind: TargetKind,
}

/// The links found so far: one text buffer, and ranges of it.
#[derive(Debug, Default)]
pub(crate) struct LinkBuffer {
    text: String,
    entries: Vec<Entry>,
    path_bytes: usize,
    truncation: Option<Truncation>,
}

impl LinkBuffer {
    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.path_bytes = 0;
        self.truncation = None;
        self.text.shrink_to(RETAINED_BYTES_MAX);
    }

    /// Notes that a limit was met.
    pub(crate) fn truncate(&mut self, cause: Truncation) {
        self.truncation.get_or_insert(cause);
    }

    /// Adds a link; false when a limit forbids this one and all after it.
    pub(crate) fn push(
        &mut self,
        path: &str,
        target: &str,
        kind: TargetKind,
        limits: &Limits,
    ) -> bool {
        if self.entries.len() >= limits.links {
            self.truncate(Truncation::Links);
            return false;
        }
        let last = self
            .entries
            .last()
            .map(|entry| (entry.path_start, entry.path_end));
        let repeated = last.filter(|&(start, end)| self.text.get(start..end) == Some(path));
        let (path_start, path_end) = match repeated {
            Some(range) => range,
            None => {
                self.path_bytes = self.path_bytes.saturating_add(path.len());
                if self.path_bytes > limits.path_bytes {
                    self.truncate(Truncation::PathBytes);
                    return false;
                }
                let start = self.text.len();
                self.text.push_str(path);
                (start, self.text.len())
            }
        };
        let target_start = self.text.len();
        self.text.push_str(target);
        self.entries.push(Entry {
            path_start,
            path_end,
            target_start,
            target_end: self.text.len(),
            kind,
        });
        true
    }
}

/// Finds the links of records, one record at a time, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Extractor {
    limits: Limits,
    json: JsonScratch,
    path: String,
    found: LinkBuffer,
}

impl Extractor {
    /// An extractor with these limits. Allocates nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let depth = limits.depth.min(Limits::DEPTH_MAX);
        Self {
            limits: Limits { depth, ..limits },
            ..Self::default()
        }
    }

    /// The links of one record, given as JSON bytes.
    ///
    /// Time and memory are linear in the record's length, whatever it holds, apart from sorting the
    /// keys of objects with more than 32 members.
    ///
    /// # Errors
    /// When the bytes are not UTF-8, not JSON (RFC 8259; an escaped lone surrogate counts as an error
    /// too), longer than 4 GiB, or when the outermost value is no object.
    pub fn extract_json(&mut self, record: &[u8]) -> Result<Extraction<'_>, ExtractError> {
        let text = std::str::from_utf8(record).map_err(|error| ExtractError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        self.extract_json_str(text)
    }

    /// Like [`Extractor::extract_json`], for JSON already known to be UTF-8.
    ///
    /// # Errors
    /// As [`Extractor::extract_json`].
    pub fn extract_json_str(&mut self, record: &str) -> Result<Extraction<'_>, ExtractError> {
        self.found.clear();
        let root = self.json.scan(record, self.limits.depth)?;
        walk_root(root, &mut self.path, &mut self.found, &self.limits)
    }

    /// The links of one record in another format.
    ///
    /// # Errors
    /// When `record` is no object.
    pub fn extract_node<'v, N: Node<'v>>(
        &mut self,
        record: N,
    ) -> Result<Extraction<'_>, ExtractError> {
        self.found.clear();
        walk_root(record, &mut self.path, &mut self.found, &self.limits)
    }
}

fn walk_root<'v, 'f, N: Node<'v>>(
    root: N,
    path: &mut String,
    found: &'f mut LinkBuffer,
    limits: &Limits,
) -> Result<Extraction<'f>, ExtractError> {
    let name = match root.view() {
        View::Object(members) => {
            path.clear();
            path.shrink_to(RETAINED_BYTES_MAX);
            walk::record(members, path, found, limits);
            return Ok(Extraction { found });
        }
        View::Array(_) => "an array",
        View::Text(_) | View::PlainText(_) => "a string",
        View::Other => "a number, a boolean or null",
    };
    Err(ExtractError::NotAnObject { found: name })
}

/// The links of one record. Borrows the extractor: the next record needs this one to be done with.
#[derive(Debug, Clone, Copy)]
pub struct Extraction<'a> {
    found: &'a LinkBuffer,
}

impl<'a> Extraction<'a> {
    /// The links in the order of the document, every occurrence on its own.
    ///
    /// Of a key that an object repeats, the last value counts and stands at its own place.
    #[must_use]
    pub fn links(&self) -> Links<'a> {
        Links {
            text: &self.found.text,
            entries: self.found.entries.iter(),
        }
    }

    /// Number of links.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.entries.len()
    }

    /// Whether the record holds no link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.entries.is_empty()
    }

    /// The limit that cut the record short, if one did.
    #[must_use]
    pub fn truncated(&self) -> Option<Truncation> {
        self.found.truncation
    }
}

/// Iterator over the links of a record.
#[derive(Debug, Clone)]
pub struct Links<'a> {
    text: &'a str,
    entries: std::slice::Iter<'a, Entry>,
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        let entry = self.entries.next()?;
        Some(Link {
            path: self.text.get(entry.path_start..entry.path_end)?,
            target: self.text.get(entry.target_start..entry.target_end)?,
            kind: entry.kind,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Links<'_> {}
