//! The sections of a segment and its meta section, which holds the counts that all widths derive from.

use crate::bytes::{Reader, put_u32, put_u64};
use crate::chunks::{Region, SealedFile};
use crate::envelope::FileKind;
use crate::{Error, Result};

/// The version of the layout that this build writes, and the only one it reads.
pub const VERSION: u16 = 3;
/// The kind of file in the envelope.
pub const KIND: FileKind = FileKind::Segment;
/// Most rows and most links of a segment.
pub const ROWS_MAX: u32 = 1 << 28;

macro_rules! sections {
    ($($name:ident = $id:literal, $text:literal;)*) => {
        /// Sections by id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub(super) enum Section { $($name = $id,)* }

        impl Section {
            /// Every section, in the order in the file.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

sections! {
    Collections = 2, "collections";
    Paths = 3, "paths";
    Sources = 4, "sources";
    Shapes = 5, "shapes";
    Keys = 6, "keys";
    RecordTargets = 12, "record targets";
    RecordDirectory = 11, "record target directory";
    DidTargets = 10, "DID targets";
    OtherTargets = 13, "other targets";
    TargetFilter = 28, "target filter";
    Rows = 8, "rows";
    RowDirectory = 7, "row directory";
    RowActorBlocks = 21, "actors' blocks";
    RowActorDirectory = 35, "directory of actors' blocks";
    RowActors = 19, "actors with rows";
    RowActorStarts = 20, "starts of actors' blocks";
    KeyRanges = 32, "key ranges";
    FarKeyBlocks = 34, "blocks of far keys";
    FarKeys = 33, "far keys";
    StrayFilter = 29, "stray key filter";
    Lists = 16, "lists";
    ListDirectory = 15, "list directory";
    ListStarts = 14, "list starts";
    LongDirectory = 17, "long list directory";
    LongLists = 18, "long lists";
    HotTargets = 38, "hot targets";
    Links = 9, "links";
    LinkDirectory = 39, "link directory";
    PlcDids = 22, "did:plc";
    OtherDidIndexes = 23, "indexes of other DIDs";
    OtherDids = 24, "other DIDs";
    DidIndex = 30, "DID index";
    States = 26, "states";
    StateDirectory = 31, "state directory";
    StateIds = 25, "ids of states";
    Kills = 27, "kills";
    PassedKeys = 36, "passed keys";
    PassedDirectory = 37, "directory of passed keys";
    BucketCollections = 40, "collections of buckets";
    Buckets = 42, "buckets";
    BucketDirectory = 41, "bucket directory";
    Samples = 50, "samples";
    SampleDirectory = 49, "sample directory";
    SampleCollections = 48, "sample collections";
    Meta = 1, "meta";
}

impl Section {
    pub(super) const fn id(self) -> u16 {
        self as u16
    }

    #[inline]
    pub(super) fn of(self, file: &SealedFile) -> Result<Region<'_>> {
        Ok(file.section(self.id())?.named(self.name()))
    }
}

/// The sections that the accounts of a segment are read from: what it says of itself, DIDs and states.
pub const ACCOUNT_SECTIONS: &[u16] = &[
    Section::Meta.id(),
    Section::PlcDids.id(),
    Section::OtherDidIndexes.id(),
    Section::OtherDids.id(),
    Section::DidIndex.id(),
    Section::States.id(),
    Section::StateDirectory.id(),
    Section::StateIds.id(),
];
/// The sections that passed keys are read from, besides what the segment says of itself.
pub const PASSED_SECTIONS: &[u16] = &[Section::PassedKeys.id(), Section::PassedDirectory.id()];
/// The section that kills are read from, besides what the segment says of itself.
pub const KILL_SECTIONS: &[u16] = &[Section::Kills.id()];

/// The name of the section with that id, for messages.
#[must_use]
pub fn section_name(id: u16) -> &'static str {
    let section = Section::ALL.iter().find(|section| section.id() == id);
    section.map_or("unknown section", |section| section.name())
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentInfo {
    /// First seq of the range that the segment covers.
    pub first_seq: u64,
    /// Last seq of that range.
    pub last_seq: u64,
    /// Earliest event time of the range in microseconds since 1970.
    pub first_time_us: u64,
    /// Latest event time of the range in microseconds since 1970.
    pub last_time_us: u64,
    /// A row whose key is a TID with a time from here ..
    pub key_first_us: u64,
    /// .. to here is found without the filter of stray keys. No TID is when this is below the first.
    pub key_last_us: u64,
    /// What the hashes of the DID index are seeded with.
    pub did_seed: u64,
    /// Rows.
    pub rows: u32,
    /// Links, those that a row has twice to one target from one path counted twice.
    pub links: u32,
    /// Distinct targets.
    pub targets: u32,
    /// Posting lists.
    pub lists: u32,
    /// Id of the first actor first seen in the range.
    pub actors_first_id: u32,
    /// How many actors were first seen in the range; their ids follow each other.
    pub actors_count: u32,
    /// States of actors.
    pub states: u32,
    /// Seqs that events of the range killed.
    pub kills: u32,
    /// Keys that events of the range left without a row.
    pub passed: u32,
    pub(super) did_targets: u32,
    pub(super) record_targets: u32,
    pub(super) collections: u32,
    pub(super) sources: u32,
    pub(super) shapes: u32,
    pub(super) long_lists: u32,
    pub(super) hot_targets: u32,
    /// The widths of the classes of hot targets.
    pub(super) hot_widths: [u8; 3],
}

impl SegmentInfo {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let [one, two, three] = self.hot_widths;
        for field in [
            self.first_seq,
            self.last_seq,
            self.first_time_us,
            self.last_time_us,
            self.key_first_us,
            self.key_last_us,
            self.did_seed,
        ] {
            put_u64(&mut out, field);
        }
        for field in [
            self.rows,
            self.links,
            self.targets,
            self.lists,
            self.actors_first_id,
            self.actors_count,
            self.states,
            self.kills,
            self.did_targets,
            self.record_targets,
            self.collections,
            self.sources,
            self.shapes,
            self.long_lists,
            self.passed,
            self.hot_targets,
            u32::from_le_bytes([one, two, three, 0]),
        ] {
            put_u32(&mut out, field);
        }
        out
    }

    pub(super) fn read(region: Region<'_>) -> Result<Self> {
        Self::parse(region).map_err(|error| region.in_file(error))
    }

    fn parse(region: Region<'_>) -> Result<Self> {
        let mut reader = Reader::new(Section::Meta.name(), region.all()?);
        let mut info = Self {
            first_seq: reader.u64()?,
            last_seq: reader.u64()?,
            first_time_us: reader.u64()?,
            last_time_us: reader.u64()?,
            key_first_us: reader.u64()?,
            key_last_us: reader.u64()?,
            did_seed: reader.u64()?,
            rows: reader.u32()?,
            links: reader.u32()?,
            targets: reader.u32()?,
            lists: reader.u32()?,
            actors_first_id: reader.u32()?,
            actors_count: reader.u32()?,
            states: reader.u32()?,
            kills: reader.u32()?,
            did_targets: reader.u32()?,
            record_targets: reader.u32()?,
            collections: reader.u32()?,
            sources: reader.u32()?,
            shapes: reader.u32()?,
            long_lists: reader.u32()?,
            passed: reader.u32()?,
            hot_targets: reader.u32()?,
            hot_widths: [0; 3],
        };
        let [one, two, three, zero] = reader.u32()?.to_le_bytes();
        info.hot_widths = [one, two, three];
        reader.finish()?;
        let wrong =
            |what: &str, found: u64| Err(Error::corrupt(Section::Meta.name(), 0, what, found));
        if info.rows > ROWS_MAX || info.links > ROWS_MAX {
            return wrong(
                "at most 2^28 rows and links",
                info.rows.max(info.links).into(),
            );
        }
        let others = [
            info.targets,
            info.actors_count,
            info.states,
            info.kills,
            info.passed,
        ];
        if let Some(count) = others.into_iter().find(|&count| count > ROWS_MAX) {
            return wrong(
                "at most 2^28 targets, actors, states, kills and passed keys",
                count.into(),
            );
        }
        if info.lists > info.links || info.rows > info.links {
            return wrong(
                "at most as many rows and lists as links",
                info.lists.max(info.rows).into(),
            );
        }
        if zero != 0 || info.hot_widths.iter().any(|&width| width > 16) {
            return wrong(
                "widths of hot targets up to 16",
                zero.max(one).max(two).max(three).into(),
            );
        }
        if info.hot_targets > info.targets {
            return wrong(
                "at most as many hot targets as targets",
                info.hot_targets.into(),
            );
        }
        let known = u64::from(info.did_targets) + u64::from(info.record_targets);
        if known > u64::from(info.targets) {
            return wrong("at most as many targets of a kind as targets", known);
        }
        Ok(info)
    }

    /// Whether the key window holds a TID.
    pub(super) const fn window_holds(&self, tid: u64) -> bool {
        let time_us = tid >> 10;
        self.key_first_us <= time_us && time_us <= self.key_last_us
    }
}
