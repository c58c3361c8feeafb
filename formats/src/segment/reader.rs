//! An opened segment: every question is answered in place, from the pages it needs.

mod actors;
mod by_actor;
mod did_names;
mod heads;
mod many_rows;
mod row_lists;
mod targets;
mod walks;

pub use actors::WantedDid;
pub use by_actor::KeyProbe;
pub use did_names::DidNames;
pub use walks::{ActorRows, Kills, LinkRef, ListInfo, Lists, RowLinks};

use std::fmt;

use self::heads::Heads;
use super::hash;
use super::keyblock::PackedKey;
use super::layout::{Section, SegmentInfo};
use super::links::LinkTargets;
use super::list::List;
use super::lists::{Postings, width_below};
use super::passed::{PassedBlocks, PassedKey, PassedKeys};
use super::rows::{ActorColumn, RowNames, Rows, SHAPE_ENTRY, SeqColumn, ShapeTable, TargetsAt};
use super::strings::Strings;
use super::targets::{PackedRecord, Records};
use super::value::tid;
use super::{RecordKey, TargetKey, TargetRef};
use crate::bytes::Reader;
use crate::chunks::{Region, SealedFile};
use crate::filter::Filter;
use crate::monotone::Monotone;
use crate::{Error, Result};

/// A segment. Holds the file and a few counts; nothing in memory grows with the file.
///
/// Every method that returns a `Result` fails with [`Error::Corrupt`](crate::Error::Corrupt) where the
/// bytes it reads are damaged, or where a row, list, target or path is not one of this segment's.
pub struct Segment {
    file: SealedFile,
    info: SegmentInfo,
    heads: Heads,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("file", &self.file)
            .field("info", &self.info)
            .finish()
    }
}

impl Segment {
    /// Opens a file of kind [`KIND`](super::KIND). Reads the section of counts and no other.
    ///
    /// # Errors
    /// A section is missing, or the counts are damaged.
    pub fn open(file: SealedFile) -> Result<Self> {
        for &section in Section::ALL {
            section.of(&file)?;
        }
        let info = SegmentInfo::read(Section::Meta.of(&file)?)?;
        Ok(Self {
            file,
            info,
            heads: Heads::default(),
        })
    }

    /// What the segment covers and holds.
    #[must_use]
    pub const fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &SealedFile {
        &self.file
    }

    #[inline]
    pub(super) fn section(&self, section: Section) -> Result<Region<'_>> {
        section.of(&self.file)
    }

    #[inline]
    pub(super) fn rows(&self) -> Result<Rows<'_>> {
        Ok(Rows {
            directory: self.section(Section::RowDirectory)?,
            data: self.section(Section::Rows)?,
            count: self.info.rows,
            links: self.info.links,
            shapes: ShapeTable {
                region: self.section(Section::Shapes)?,
                count: self.info.shapes,
                width: width_below(self.info.shapes),
            },
        })
    }

    pub(super) fn strings(&self, section: Section) -> Result<Strings<'_>> {
        Strings::open(self.section(section)?)
    }

    /// The seq of the event that wrote the row. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn seq(&self, row: u32) -> Result<u64> {
        self.rows()?.seq(row)
    }

    /// The seqs of many rows, read faster than one by one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn seq_column(&self) -> Result<SeqColumn<'_>> {
        Ok(SeqColumn::new(self.rows()?))
    }

    /// The event's time in microseconds since 1970, rounded down to the millisecond. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn time_us(&self, row: u32) -> Result<u64> {
        Ok(self.rows()?.time_ms(row)?.saturating_mul(1000))
    }

    /// The author. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn actor(&self, row: u32) -> Result<u32> {
        self.rows()?.actor(row)
    }

    /// The authors of many rows, read faster than one by one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn actor_column(&self) -> Result<ActorColumn<'_>> {
        Ok(ActorColumn::new(self.rows()?))
    }

    /// The names of the records of many rows, read faster than one by one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn row_names(&self) -> Result<RowNames<'_>> {
        Ok(RowNames::new(self, self.rows()?))
    }

    /// The record's collection. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn collection(&self, row: u32) -> Result<&str> {
        let id = self.collection_id(row)?;
        self.strings(Section::Collections)?.get(id)
    }

    /// The record's key. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn rkey(&self, row: u32) -> Result<RecordKey<'_>> {
        let key = self.rows()?.key(row)?;
        self.record_key(key)
    }

    pub(super) fn record_key(&self, key: PackedKey) -> Result<RecordKey<'_>> {
        Ok(match key {
            PackedKey::Tid(tid) => RecordKey::Tid(tid),
            PackedKey::Str(id) => RecordKey::Str(self.strings(Section::Keys)?.get(id)?),
        })
    }

    /// The first row with a seq of at least `seq`; the count of rows when there is none. O(log rows).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn lower_bound_seq(&self, seq: u64) -> Result<u32> {
        self.rows()?.lower_bound_seq(seq)
    }

    /// What is known of a shape: its collection, and a reader that stands at its paths.
    pub(super) fn shape(&self, shape: u32) -> Result<(u32, u64, Reader<'_>)> {
        let region = self.section(Section::Shapes)?;
        if shape >= self.info.shapes {
            let expected = format!("a shape below {}", self.info.shapes);
            return Err(region.corrupt(0, expected, shape));
        }
        let at = u64::from(shape) * SHAPE_ENTRY;
        let (start, end) = (region.u32_at(at)?, region.u32_at(at + SHAPE_ENTRY)?);
        let Some(len) = end.checked_sub(start) else {
            return Err(region.corrupt(at, "rising offsets", end));
        };
        let bytes = region.get(start.into(), len as usize)?;
        let mut reader = Reader::at(Section::Shapes.name(), bytes, start.into());
        let head = reader
            .varint_u32()
            .and_then(|collection| Ok((collection, reader.varint()?)));
        let (collection, runs) = head.map_err(|error| region.in_file(error))?;
        Ok((collection, runs, reader))
    }

    pub(super) fn collection_id(&self, row: u32) -> Result<u32> {
        Ok(self.shape(self.rows()?.shape(row)?)?.0)
    }

    /// The key as the segment holds it, unless it is a string that no row and no target has.
    pub(super) fn packed_key(&self, rkey: &str) -> Result<Option<PackedKey>> {
        if let Some(tid) = tid(rkey) {
            return Ok(Some(PackedKey::Tid(tid)));
        }
        let id = self.strings(Section::Keys)?.find(rkey)?;
        Ok(id.map(PackedKey::Str))
    }

    /// The links of a row, in the order of its shape: by path, then as the builder was given them.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn links(&self, row: u32) -> Result<RowLinks<'_>> {
        Ok(self.links_of(row)?.1)
    }

    /// The collection of a row, and its links.
    fn links_of(&self, row: u32) -> Result<(u32, RowLinks<'_>)> {
        let (shape, next) = self.rows()?.links_of(row)?;
        self.links_from(shape, next)
    }

    /// The collection of a shape, and the links of a row of that shape whose first link is `next`.
    fn links_from(&self, shape: u32, next: u32) -> Result<(u32, RowLinks<'_>)> {
        let (collection, runs, shape) = self.shape(shape)?;
        let links = RowLinks {
            targets: self.link_targets()?.from(next),
            shapes: self.section(Section::Shapes)?,
            shape,
            runs,
            path: 0,
            left: 0,
        };
        Ok((collection, links))
    }

    pub(super) fn link_targets(&self) -> Result<LinkTargets<'_>> {
        Ok(LinkTargets {
            data: self.section(Section::Links)?,
            directory: self.section(Section::LinkDirectory)?,
            hot: self.section(Section::HotTargets)?,
            links: self.info.links,
            targets: self.info.targets,
            hot_targets: self.info.hot_targets,
            hot_widths: self.info.hot_widths,
        })
    }

    /// The targets of the links of many rows at one path, read faster than one by one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn targets_at(&self, path: &str) -> Result<TargetsAt<'_>> {
        let path = self.strings(Section::Paths)?.find(path)?;
        TargetsAt::new(self, self.rows()?, path)
    }

    /// The path with that id.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn path(&self, path: u32) -> Result<&str> {
        self.strings(Section::Paths)?.get(path)
    }

    pub(super) fn records(&self) -> Result<Records<'_>> {
        Ok(Records {
            directory: self.section(Section::RecordDirectory)?,
            data: self.section(Section::RecordTargets)?,
            count: self.info.record_targets,
            collection_width: width_below(self.info.collections),
        })
    }

    /// The target with that ordinal. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn target(&self, target: u32) -> Result<TargetRef<'_>> {
        if target >= self.info.targets {
            let expected = format!("a target below {}", self.info.targets);
            return Err(self.section(Section::Meta)?.corrupt(0, expected, target));
        }
        let Some(index) = target.checked_sub(self.info.did_targets) else {
            let dids = Monotone::open(self.section(Section::DidTargets)?)?;
            return Ok(TargetRef::Did(dids.get(target)?));
        };
        let Some(index) = index.checked_sub(self.info.record_targets) else {
            let record = self.records()?.get(index)?;
            return Ok(TargetRef::Record {
                actor: record.actor,
                collection: self.strings(Section::Collections)?.get(record.collection)?,
                rkey: self.record_key(record.key)?,
            });
        };
        Ok(TargetRef::Other(
            self.strings(Section::OtherTargets)?.get(index)?,
        ))
    }

    /// The ordinal of a target. O(1) for most targets that the segment does not have, O(log targets)
    /// otherwise.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_target(&self, key: &TargetKey<'_>) -> Result<Option<u32>> {
        let filter = Filter::open(self.section(Section::TargetFilter)?)?;
        if !filter.contains(hash::target(key))? {
            return Ok(None);
        }
        match *key {
            TargetKey::Did(actor) => {
                let dids = Monotone::open(self.section(Section::DidTargets)?)?;
                dids.find(actor)
            }
            TargetKey::Record {
                actor,
                collection,
                rkey,
            } => {
                let Some(collection) = self.strings(Section::Collections)?.find(collection)? else {
                    return Ok(None);
                };
                let Some(key) = self.packed_key(rkey)? else {
                    return Ok(None);
                };
                let record = PackedRecord {
                    actor,
                    collection,
                    key,
                };
                let index = self.records()?.find(record)?;
                Ok(index.map(|index| self.info.did_targets + index))
            }
            TargetKey::Other(other) => {
                let index = self.strings(Section::OtherTargets)?.find(other)?;
                // The sum is at most the count of targets.
                let before = self.info.did_targets + self.info.record_targets;
                let target = index.map(|index| before.saturating_add(index));
                Ok(target.filter(|&target| target < self.info.targets))
            }
        }
    }

    /// The segment's id of a source. O(log).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_source(&self, collection: &str, path: &str) -> Result<Option<u32>> {
        let Some(collection) = self.strings(Section::Collections)?.find(collection)? else {
            return Ok(None);
        };
        match self.strings(Section::Paths)?.find(path)? {
            Some(path) => self.find_source_ids(collection, path),
            None => Ok(None),
        }
    }

    /// Collection and path of a source.
    pub(super) fn source(&self, source: u32) -> Result<(u32, u32)> {
        let sources = self.section(Section::Sources)?;
        let at = u64::from(source) * 8;
        Ok((sources.u32_at(at)?, sources.u32_at(at + 4)?))
    }

    pub(super) fn find_source_ids(&self, collection: u32, path: u32) -> Result<Option<u32>> {
        let sources = self.section(Section::Sources)?;
        let (mut low, mut high) = (0, self.info.sources);
        while low < high {
            let middle = low + (high - low) / 2;
            let both = sources.u64_at(u64::from(middle) * 8)?;
            match (both as u32, (both >> 32) as u32).cmp(&(collection, path)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }

    pub(super) fn postings(&self) -> Result<Postings<'_>> {
        Ok(Postings {
            directory: self.section(Section::ListDirectory)?,
            blocks: self.section(Section::Lists)?,
            long_directory: self.section(Section::LongDirectory)?,
            long: self.section(Section::LongLists)?,
            count: self.info.lists,
            rows: self.info.rows,
            sources: self.info.sources,
        })
    }

    /// Ids of the first list of a target, and of the first after its lists.
    fn lists_range(&self, target: u32) -> Result<(u32, u32)> {
        let (start, end) = self.list_starts()?.pair(target)?;
        Ok((start, end.min(self.info.lists)))
    }

    /// The lists of a target, by (collection, path).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn lists_of(&self, target: u32) -> Result<Lists<'_>> {
        let (next, end) = self.lists_range(target)?;
        Ok(Lists {
            segment: self,
            postings: self.postings()?,
            next,
            end,
        })
    }

    fn find_list_id(&self, target: u32, source: u32) -> Result<Option<u32>> {
        let (start, end) = self.lists_range(target)?;
        let found = self.postings()?.find(start..end, source)?;
        Ok(found.map(|(list, _)| list))
    }

    /// The list of (target, source), if there is one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_list(&self, target: u32, source: u32) -> Result<Option<List<'_>>> {
        match self.find_list_id(target, source)? {
            Some(id) => self.list(id).map(Some),
            None => Ok(None),
        }
    }

    /// The list with that id.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn list(&self, id: u32) -> Result<List<'_>> {
        self.postings()?.get(id)
    }

    /// The id of the list that a link belongs to: `row` links to `target` at `path`.
    ///
    /// # Errors
    /// There is no such list; see [`Segment`].
    pub fn list_id(&self, row: u32, path: u32, target: u32) -> Result<u32> {
        self.list_of(row, self.collection_id(row)?, path, target)
    }

    fn list_of(&self, row: u32, collection: u32, path: u32, target: u32) -> Result<u32> {
        let id = match self.find_source_ids(collection, path)? {
            Some(source) => self.find_list_id(target, source)?,
            None => None,
        };
        id.ok_or_else(|| self.no_list(row, path, target))
    }

    #[cold]
    fn no_list(&self, row: u32, path: u32, target: u32) -> Error {
        let expected = format!("a list for row {row}, path {path} and target {target}");
        match self.section(Section::Lists) {
            Ok(region) => region.corrupt(0, expected, "none"),
            Err(error) => error,
        }
    }

    /// The seqs of the rows that events of the range made dead, rising.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn kills(&self) -> Result<Kills<'_>> {
        let region = self.section(Section::Kills)?;
        Ok(Kills {
            region,
            reader: Reader::new(Section::Kills.name(), region.all()?),
            left: self.info.kills,
            before: 0,
        })
    }

    pub(super) fn passed(&self) -> Result<PassedBlocks<'_>> {
        Ok(PassedBlocks {
            directory: self.section(Section::PassedDirectory)?,
            data: self.section(Section::PassedKeys)?,
            count: self.info.passed,
        })
    }

    /// Whether an event of the range left that key without a row. O(log keys). True of a key that is none with
    /// the probability that [`PASSED_HASH_BITS`](super::PASSED_HASH_BITS) tells.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn holds_passed_key(&self, key: PassedKey) -> Result<bool> {
        self.passed()?.contains(key)
    }

    /// Whether events of the range left any key of an actor without a row. O(log keys).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn holds_passed_keys_of(&self, actor: u32) -> Result<bool> {
        let first = PassedKey { actor, hash: 0 };
        let found = self.passed()?.at_or_behind(first)?;
        Ok(found.is_some_and(|key| key.actor == actor))
    }

    /// The keys that events of the range left without a row, rising.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn passed_keys(&self) -> Result<PassedKeys<'_>> {
        Ok(self.passed()?.iter())
    }

    /// The bytes of each section, by name.
    #[must_use]
    pub fn section_sizes(&self) -> Vec<(&'static str, u64)> {
        let sections = Section::ALL.iter();
        sections
            .map(|section| {
                let len = section.of(&self.file).map_or(0, |region| region.len());
                (section.name(), len)
            })
            .collect()
    }

    /// Where the section of that name begins in the file.
    #[must_use]
    pub fn section_start(&self, name: &str) -> Option<u64> {
        let section = Section::ALL.iter().find(|section| section.name() == name)?;
        Some(self.file.section_range(section.id())?.start)
    }

    /// Tells of what the parts of the segment contradict, the first of each kind of contradiction; where the shapes of rows
    /// are damaged, or the links that these have, lists are not compared with links. Offsets are those in the named section. Of a segment with damaged checksums it tells once more where the
    /// reading ends.
    pub fn each_contradiction(&self, each: &mut dyn FnMut(Error)) {
        super::verify::each(self, each);
    }

    /// Reads everything: all checksums, then every row, link, target, list, DID, state and kill, that
    /// what must rise does, and that links, lists, indexes and filters agree.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<()> {
        self.file.verify_all()?;
        super::verify::verify(self)
    }
}
