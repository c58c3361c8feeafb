//! The manifest (`SPEC.md`, section 6): a file of edits, each checksummed, that together say which files
//! make up the data directory and how far they reach. [`State`] is what the edits add up to.
//!
//! The bodies of edits are bincode 1.3.3 in its fixed-width encoding, with a limit and without trailing
//! bytes; this is the only module that uses it.

use crate::bytes::{Reader, put_u32, put_u64};
use crate::file_header::Form;
use crate::frame::SourceCursor;
use crate::{Error, Result};
use bincode::Options;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version of manifests that this code writes.
pub const VERSION: u16 = 2;
/// The oldest version that it reads.
pub const OLDEST_SUPPORTED: u16 = 1;
/// The first bytes of a manifest.
pub const MAGIC: [u8; 8] = *b"\x89ORM\r\n\x1a\n";
/// Bytes of the file's header.
pub const FILE_HEADER_BYTES: usize = 32;
/// Bytes before the body of an edit.
pub const EDIT_HEADER_BYTES: usize = 16;
/// Edits begin at multiples of this.
pub const ALIGNMENT: usize = 8;
/// The most bytes of an edit's body: room for 500,000 segments.
pub const EDIT_BYTES_MAX: usize = 32 << 20;
/// The most selections that are remembered.
pub const SELECTIONS_MAX: usize = 256;
/// What the body of an edit of version 2 has behind one of version 1, where it has nothing new: an empty list.
const NO_SELECTIONS: [u8; 8] = [0; 8];

/// What makes a data directory itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Random, different in every directory: files of another directory are recognised by it.
    pub id: [u8; 16],
    /// Random and secret: seeds the hashes that outsiders must not be able to predict.
    pub secret: [u8; 32],
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Names the file; never used twice.
    pub id: u64,
    /// The first seq of its range.
    pub first_seq: u64,
    /// The last seq of its range.
    pub last_seq: u64,
    /// The length of the file.
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    /// Earliest event time of its range, microseconds; 0 when there is none. With the next, it says what is
    /// missing when the file is damaged.
    pub first_time_us: u64,
    /// Latest event time of its range, microseconds.
    pub last_time_us: u64,
    /// The first actor id that is not of this range or one before: ids of later actors stay the same when the
    /// file is damaged.
    pub actors_end: u32,
    /// How often its rows were merged: 0 for a sealed memtable, one more for what segments of a level become.
    pub level: u8,
}

/// A segment that is not read: its file is damaged, or was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// The segment.
    pub id: u64,
    /// The damage, for a person.
    pub why: String,
    /// Events up to here were applied while it was read; later ones without what it says.
    pub applied_through: u64,
    /// What a repair gave up of it.
    pub written_off: WrittenOff,
}

/// What was given up of a segment that is not read, as a repair found no way to bring it back. A byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum WrittenOff {
    /// Nothing: it may come back. No event of an account that only it may know is applied, unless its file gives it.
    #[default]
    No,
    /// All of it: accounts that only it knew get other ids.
    Whole,
    /// All but its accounts, which its file gives: what else it held counts as new where it comes again.
    ButAccounts,
}

impl From<WrittenOff> for u8 {
    fn from(written_off: WrittenOff) -> Self {
        match written_off {
            WrittenOff::No => 0,
            WrittenOff::Whole => 1,
            WrittenOff::ButAccounts => 2,
        }
    }
}

impl TryFrom<u8> for WrittenOff {
    type Error = &'static str;

    fn try_from(byte: u8) -> std::result::Result<Self, Self::Error> {
        match byte {
            0 => Ok(Self::No),
            1 => Ok(Self::Whole),
            2 => Ok(Self::ButAccounts),
            _ => Err("what is written off of a segment is 0, 1 or 2"),
        }
    }
}

/// From some event on, only these collections were taken into the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionEntry {
    /// The first seq that an event could get under this selection.
    pub first_seq: u64,
    /// Events of the source before this time, microseconds, may have been taken by the selection before; 0 where
    /// there was none.
    pub since_us: u64,
    /// Patterns of collections that are taken; empty for all.
    pub only: Vec<String>,
    /// Patterns of collections that are left out of those.
    pub except: Vec<String>,
}

impl SelectionEntry {
    /// An entry of which nothing can be said: what was taken before it is not known to be whole.
    #[must_use]
    pub fn unknown(first_seq: u64) -> Self {
        Self {
            first_seq,
            since_us: 0,
            only: Vec::new(),
            except: vec![UNKNOWN.to_owned()],
        }
    }

    /// Whether it says nothing of what was taken.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.except.iter().any(|pattern| pattern == UNKNOWN)
    }
}

/// What is in place of a pattern, and is none, where it is not known what was taken.
const UNKNOWN: &str = "*";

/// What the index holds as of `sealed_through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that are neither dead nor hidden.
    pub live_rows: u64,
    /// Links of those rows.
    pub live_links: u64,
    /// Actors with at least one commit.
    pub authors: u64,
}

/// Events that were in the log and are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapEntry {
    /// The first seq that is missing.
    pub first_seq: u64,
    /// The last seq that is missing, where something follows.
    pub last_seq: Option<u64>,
    /// The file in which they stood; empty where the loss was accepted.
    pub file: String,
    /// The offset of the damage.
    pub offset: u64,
}

impl GapEntry {
    /// Whether the loss was accepted by an operator: it is known, and answers do not tell of it.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.file.is_empty()
    }

    /// The same loss, accepted.
    #[must_use]
    pub fn accepted(self) -> Self {
        Self {
            file: String::new(),
            ..self
        }
    }

    /// Whether both are of the same events.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.first_seq, self.last_seq) == (other.first_seq, other.last_seq)
    }
}

/// One step from a state of the directory to the next. What is `None` or empty stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Edit {
    /// Set by the first edit of each manifest, and by no other.
    pub directory: Option<Directory>,
    /// Segments that join.
    pub add: Vec<SegmentEntry>,
    /// Ids of segments that leave.
    pub remove: Vec<u64>,
    /// All events up to here are in segments.
    pub sealed_through: Option<u64>,
    /// The place in the source behind the event `sealed_through`.
    pub source_cursor: Option<SourceCursor>,
    /// Log files with only seqs below this are not needed any more.
    pub log_floor: Option<u64>,
    /// Whether the log still holds every event there ever was.
    pub window_complete: Option<bool>,
    /// The time of the newest sealed event, microseconds.
    pub last_time_us: Option<u64>,
    /// Losses that came to light.
    pub gaps: Vec<GapEntry>,
    /// What the index holds as of `sealed_through`.
    pub counts: Option<Counts>,
    /// Segments that are not read from here on.
    pub quarantine: Vec<QuarantineEntry>,
    /// Ids of segments that are read again.
    pub release: Vec<u64>,
    /// Selections that follow each other from here on.
    pub selections: Vec<SelectionEntry>,
}

/// What a manifest's edits add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The directory's identity.
    pub directory: Directory,
    /// The segments, by range; ranges do not overlap.
    pub segments: Vec<SegmentEntry>,
    /// All events up to here are in segments; 0 before the first.
    pub sealed_through: u64,
    /// The place in the source behind the event `sealed_through`.
    pub source_cursor: Option<SourceCursor>,
    /// Log files with only seqs below this are not needed any more.
    pub log_floor: u64,
    /// Whether the log still holds every event there ever was.
    pub window_complete: bool,
    /// The time of the newest sealed event, microseconds; 0 before the first.
    pub last_time_us: u64,
    /// Every loss so far.
    pub gaps: Vec<GapEntry>,
    /// What the index holds as of `sealed_through`.
    pub counts: Counts,
    /// Segments that are not read, each once; all are among `segments`.
    pub quarantined: Vec<QuarantineEntry>,
    /// What was taken into the directory, oldest first; the last holds now. Empty where nobody said, and then it is
    /// not known what was left out. At most [`SELECTIONS_MAX`]: the oldest go.
    pub selections: Vec<SelectionEntry>,
}

impl State {
    /// The state of an empty directory.
    #[must_use]
    pub const fn new(directory: Directory) -> Self {
        Self {
            directory,
            segments: Vec::new(),
            sealed_through: 0,
            source_cursor: None,
            log_floor: 0,
            window_complete: true,
            last_time_us: 0,
            gaps: Vec::new(),
            counts: Counts {
                live_rows: 0,
                live_links: 0,
                authors: 0,
            },
            quarantined: Vec::new(),
            selections: Vec::new(),
        }
    }

    /// The state that `first`, the first edit of a manifest, describes.
    ///
    /// # Errors
    /// As [`State::apply`], or if it names no directory.
    pub fn from_first(mut first: Edit) -> Result<Self> {
        let Some(directory) = first.directory.take() else {
            return Err(Error::corrupt(
                SECTION,
                0,
                "a first edit that names the directory",
                "none",
            ));
        };
        let mut state = Self::new(directory);
        state.apply(first)?;
        Ok(state)
    }

    /// Applies an edit, wholly or, on an error, not at all.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the edit contradicts the state: a segment that is not there leaves, one
    /// that is there or overlaps joins, one that is not there is quarantined, or a watermark falls.
    pub fn apply(&mut self, edit: Edit) -> Result<()> {
        let refuse =
            |expected: &str, found: String| Err(Error::corrupt(SECTION, 0, expected, found));
        if edit.directory.is_some() {
            return refuse(
                "a directory in the first edit only",
                "a second one".to_owned(),
            );
        }
        if let Some(through) = edit
            .sealed_through
            .filter(|through| *through < self.sealed_through)
        {
            return refuse(
                &format!("sealed through {} or more", self.sealed_through),
                through.to_string(),
            );
        }
        if let Some(floor) = edit.log_floor.filter(|floor| *floor < self.log_floor) {
            return refuse(
                &format!("a log floor of {} or more", self.log_floor),
                floor.to_string(),
            );
        }
        let mut segments = self.segments.clone();
        for id in &edit.remove {
            let Some(index) = segments.iter().position(|segment| segment.id == *id) else {
                return refuse("a known segment to remove", id.to_string());
            };
            segments.remove(index);
        }
        segments.extend(edit.add);
        segments.sort_unstable_by_key(|segment| segment.first_seq);
        let mut through = 0;
        for segment in &segments {
            if segment.first_seq <= through || segment.last_seq < segment.first_seq {
                return refuse(
                    "segments of separate ranges",
                    format!(
                        "{}: {} to {}",
                        segment.id, segment.first_seq, segment.last_seq
                    ),
                );
            }
            through = segment.last_seq;
        }
        let mut ids: Vec<u64> = segments.iter().map(|segment| segment.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != segments.len() {
            return refuse("each segment once", "an id twice".to_owned());
        }
        let mut quarantined = self.quarantined.clone();
        quarantined.retain(|entry| !edit.release.contains(&entry.id));
        for entry in edit.quarantine {
            quarantined.retain(|known| known.id != entry.id);
            quarantined.push(entry);
        }
        // A segment that leaves is not quarantined any more.
        quarantined.retain(|entry| !edit.remove.contains(&entry.id));
        if let Some(unknown) = quarantined
            .iter()
            .find(|entry| ids.binary_search(&entry.id).is_err())
        {
            return refuse("a known segment to quarantine", unknown.id.to_string());
        }
        let sealed_through = edit.sealed_through.unwrap_or(self.sealed_through);
        if through > sealed_through {
            return refuse(
                &format!("segments up to {sealed_through}"),
                format!("one up to {through}"),
            );
        }
        self.segments = segments;
        self.sealed_through = sealed_through;
        self.source_cursor = edit.source_cursor.or(self.source_cursor.take());
        self.log_floor = edit.log_floor.unwrap_or(self.log_floor);
        self.window_complete = edit.window_complete.unwrap_or(self.window_complete);
        self.last_time_us = edit.last_time_us.unwrap_or(self.last_time_us);
        self.gaps.extend(edit.gaps);
        self.counts = edit.counts.unwrap_or(self.counts);
        self.quarantined = quarantined;
        self.selections.extend(edit.selections);
        let surplus = self.selections.len().saturating_sub(SELECTIONS_MAX);
        self.selections.drain(..surplus);
        Ok(())
    }

    /// The edit that describes this state by itself, as the first of a new manifest.
    #[must_use]
    pub fn as_first(&self) -> Edit {
        Edit {
            directory: Some(self.directory.clone()),
            add: self.segments.clone(),
            remove: Vec::new(),
            sealed_through: Some(self.sealed_through),
            source_cursor: self.source_cursor.clone(),
            log_floor: Some(self.log_floor),
            window_complete: Some(self.window_complete),
            last_time_us: Some(self.last_time_us),
            gaps: self.gaps.clone(),
            counts: Some(self.counts),
            quarantine: self.quarantined.clone(),
            release: Vec::new(),
            selections: self.selections.clone(),
        }
    }
}

const SECTION: &str = "manifest edit";

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit((EDIT_BYTES_MAX + NO_SELECTIONS.len()) as u64)
        .reject_trailing_bytes()
}

const HEADER: Form = Form {
    magic: MAGIC,
    section: "manifest header",
    kind: "manifest",
    oldest: OLDEST_SUPPORTED,
    version: VERSION,
};

/// The header of the manifest with that number.
#[must_use]
pub fn encode_header(number: u64) -> Vec<u8> {
    HEADER.encode(number, &[])
}

/// Checks the header of the manifest with that number, and gives its version.
///
/// # Errors
/// [`Error::Corrupt`], or [`Error::Version`] for a sound header of a version not read here.
pub fn decode_header(bytes: &[u8], number: u64) -> Result<u16> {
    let read = HEADER.decode::<0>(bytes)?;
    if read.number != number {
        return Err(Error::corrupt(
            HEADER.section,
            16,
            format!("number {number}"),
            read.number,
        ));
    }
    Ok(read.version)
}

/// Appends an edit as it stands at `offset` of the manifest with that number.
///
/// # Errors
/// [`Error::TooLarge`] over [`EDIT_BYTES_MAX`].
pub fn encode_edit(edit: &Edit, number: u64, offset: u64, out: &mut Vec<u8>) -> Result<()> {
    let too_large = || Error::TooLarge {
        what: "the size of a manifest edit",
        found: bincode::serialized_size(edit).unwrap_or(u64::MAX),
        limit: EDIT_BYTES_MAX as u64,
    };
    let body = options().serialize(edit).map_err(|_| too_large())?;
    if body.len() > EDIT_BYTES_MAX {
        return Err(too_large());
    }
    let start = out.len();
    put_u32(out, body.len() as u32);
    put_u32(out, 0);
    put_u64(out, checksum(&body, number, offset));
    out.extend_from_slice(&body);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

/// Reads the edit at `offset` of `file`, the bytes of the manifest of that version and number, and tells where the
/// next one begins.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode_edit(file: &[u8], version: u16, number: u64, offset: u64) -> Result<(Edit, u64)> {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut reader = Reader::at(SECTION, file.get(at..).unwrap_or(&[]), offset);
    let length = reader.u32()? as usize;
    reader.zeros(4)?;
    let found = reader.u64()?;
    if length > EDIT_BYTES_MAX {
        return Err(Error::corrupt(
            SECTION,
            offset,
            format!("at most {EDIT_BYTES_MAX} bytes"),
            length,
        ));
    }
    let body = reader.bytes(length)?;
    let expected = checksum(body, number, offset);
    if found != expected {
        let (expected, found) = (format!("checksum {expected:#x}"), format!("{found:#x}"));
        return Err(Error::corrupt(SECTION, offset + 8, expected, found));
    }
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    reader.zeros(padding)?;
    let edit = if version < 2 {
        options().deserialize(&[body, &NO_SELECTIONS].concat())
    } else {
        options().deserialize(body)
    };
    let edit = edit.map_err(|error| Error::corrupt(SECTION, offset + 16, "an edit", error))?;
    Ok((edit, reader.position()))
}

/// Covers the body; the seed ties it to its file and place, and to its length.
fn checksum(body: &[u8], number: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(body, number.rotate_left(32) ^ offset)
}

#[cfg(test)]
mod tests;
