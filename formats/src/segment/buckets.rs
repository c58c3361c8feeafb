//! Time buckets: for each collection and hour of its events how many records were created, updated and deleted,
//! and a sketch of the accounts that did so. A day, a week (seven days from a Thursday on, as 1970 began) or all
//! time has a bucket of its own where it unites at least two buckets of the level below; otherwise the one below
//! stands for it, so that a short range of events doesn't hold the same sketch four times.

mod write;

use std::ops::Range;

use super::Section;
use super::reader::Segment;
use super::strings::Strings;
use crate::bytes::Reader;
use crate::chunks::Region;
use crate::sketch::{self, Sketch};
use crate::{Error, Result};

pub(super) use write::BucketsWriter;

/// Microseconds of an hour.
const HOUR_US: u64 = 3_600_000_000;
/// The last hour since 1970 that has buckets, in the year 3883: what is later counts there.
pub const HOUR_MAX: u32 = (1 << 24) - 1;
/// Hours of a bucket of each level but the last, which has all.
pub(super) const LEVEL_HOURS: [u32; 3] = [1, 24, 168];
/// Levels: hour, day, week, all.
pub(super) const LEVELS: usize = 4;
/// Bytes of a bucket's entry: `u24` time, `u16` bytes, `u40` offset in the block.
const ENTRY: u64 = 10;
/// The last byte of a block with one bucket, and of any other.
pub(super) const SINGLE: u8 = 0;
pub(super) const TABLES: u8 = 1;
/// Bytes behind the tables of a block: entries of hours, days, weeks and of all, and [`TABLES`].
pub(super) const TAIL: usize = 14;

/// The hour since 1970 in which an event of that time counts.
#[must_use]
pub const fn hour_of(time_us: u64) -> u32 {
    let hour = time_us / HOUR_US;
    if hour > HOUR_MAX as u64 {
        HOUR_MAX
    } else {
        hour as u32
    }
}

/// Events of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct EventCounts {
    /// Records created.
    pub creates: u64,
    /// Records updated.
    pub updates: u64,
    /// Records deleted.
    pub deletes: u64,
}

impl EventCounts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.creates = self.creates.saturating_add(other.creates);
        self.updates = self.updates.saturating_add(other.updates);
        self.deletes = self.deletes.saturating_add(other.deletes);
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.creates == 0 && self.updates == 0 && self.deletes == 0
    }
}

/// One collection in one hour, as a segment is built from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketInput<'a> {
    /// The collection.
    pub collection: &'a str,
    /// Hours since 1970, at most [`HOUR_MAX`].
    pub hour: u32,
    /// Its events.
    pub counts: EventCounts,
    /// The accounts, as [`Sketch::encode`] writes them.
    pub sketch: Vec<u8>,
}

/// A bucket in a segment.
#[derive(Debug, Clone, Copy)]
pub struct Bucket<'a> {
    /// The first hour since 1970 that it covers; 0 for the bucket of all time.
    pub first_hour: u32,
    /// Its events.
    pub counts: EventCounts,
    region: Region<'a>,
    sketch: &'a [u8],
}

impl<'a> Bucket<'a> {
    /// The encoded sketch of the accounts.
    #[must_use]
    pub const fn sketch(&self) -> &'a [u8] {
        self.sketch
    }

    /// How many accounts there are. O(1).
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn estimate(&self) -> Result<u64> {
        sketch::estimate_of(self.sketch).map_err(|error| self.damaged(error))
    }

    /// Adds the accounts to `sketch`.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn unite_into(&self, sketch: &mut Sketch) -> Result<()> {
        let united = sketch.unite_encoded(self.sketch);
        united.map_err(|error| self.damaged(error))
    }

    #[cold]
    fn damaged(&self, error: Error) -> Error {
        match error {
            Error::Corrupt(found) => self.region.corrupt(0, found.expected, found.found),
            other => other,
        }
    }
}

/// The buckets of one collection in a segment.
#[derive(Debug, Clone, Copy)]
pub struct CollectionBuckets<'a> {
    block: Region<'a>,
    /// Bytes of the block that are buckets.
    data: u64,
    tables: [Region<'a>; LEVELS],
}

impl<'a> CollectionBuckets<'a> {
    fn open(block: Region<'a>) -> Result<Self> {
        let Some(last) = block.len().checked_sub(1) else {
            return Err(block.corrupt(0, "buckets of a collection", "none"));
        };
        let (mut data, counts) = match block.u8_at(last)? {
            SINGLE => (last, [1, 0, 0, 0]),
            TABLES if block.len() >= TAIL as u64 => {
                let at = block.len() - TAIL as u64;
                let counts = [
                    block.u32_at(at)?,
                    block.u32_at(at + 4)?,
                    block.u32_at(at + 8)?,
                    u32::from(block.u8_at(at + 12)?),
                ];
                (at, counts)
            }
            form => return Err(block.corrupt(last, "a form of blocks", form)),
        };
        let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let [hours, .., all_time] = counts;
        data = match data.checked_sub(all * ENTRY) {
            Some(data) if hours > 0 && all_time <= 1 => data,
            _ => return Err(block.corrupt(0, "tables inside the block", all)),
        };
        let mut at = data;
        let mut table = |count: u32| -> Result<Region<'a>> {
            let len = u64::from(count) * ENTRY;
            let table = block.sub(at, len)?;
            at += len;
            Ok(table)
        };
        let [hours, days, weeks, all_time] = counts;
        let tables = [table(hours)?, table(days)?, table(weeks)?, table(all_time)?];
        Ok(Self {
            block,
            data,
            tables,
        })
    }

    #[inline]
    fn table(&self, level: usize) -> Region<'a> {
        // Levels are below the count of tables.
        self.tables.get(level).copied().unwrap_or(self.block)
    }

    /// How many hours have a bucket; at least one.
    #[must_use]
    pub fn hours(&self) -> u32 {
        (self.table(0).len() / ENTRY) as u32
    }

    #[inline]
    fn time(&self, level: usize, index: u32) -> Result<u32> {
        let [a, b, c] = self.table(level).array_at(u64::from(index) * ENTRY)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    /// The hour with that index.
    ///
    /// # Errors
    /// There are not so many, or the bytes are damaged.
    pub fn hour(&self, index: u32) -> Result<u32> {
        self.time(0, index)
    }

    /// The first hour with a bucket, and the one after the last.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn span(&self) -> Result<Range<u32>> {
        Ok(self.hour(0)?..self.hour(self.hours().saturating_sub(1))? + 1)
    }

    /// The first hour from `hour` on with a bucket. O(log).
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn next_hour(&self, hour: u32) -> Result<Option<u32>> {
        let index = self.lower_bound(0, 0, hour)?;
        (index < self.hours()).then(|| self.hour(index)).transpose()
    }

    fn lower_bound(&self, level: usize, mut low: u32, time: u32) -> Result<u32> {
        let mut high = (self.table(level).len() / ENTRY) as u32;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time(level, middle)? < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn find(&self, level: usize, time: u32) -> Result<Option<Bucket<'a>>> {
        let table = self.table(level);
        if table.is_empty() {
            return Ok(None);
        }
        let index = self.lower_bound(level, 0, time)?;
        let is_there = u64::from(index) * ENTRY < table.len() && self.time(level, index)? == time;
        is_there.then(|| self.bucket(level, index)).transpose()
    }

    /// The bucket of the hour with that index.
    ///
    /// # Errors
    /// There are not so many, or the bytes are damaged.
    pub fn hour_bucket(&self, index: u32) -> Result<Bucket<'a>> {
        self.bucket(0, index)
    }

    fn bucket(&self, level: usize, index: u32) -> Result<Bucket<'a>> {
        let at = u64::from(index) * ENTRY;
        let entry: [u8; ENTRY as usize] = self.table(level).array_at(at)?;
        let [a, b, c, len_a, len_b, offset @ ..] = entry;
        let [o0, o1, o2, o3, o4] = offset;
        let time = u32::from_le_bytes([a, b, c, 0]);
        let len = u16::from_le_bytes([len_a, len_b]);
        let offset = u64::from_le_bytes([o0, o1, o2, o3, o4, 0, 0, 0]);
        if offset + u64::from(len) > self.data {
            let expected = format!("a bucket inside of {} bytes", self.data);
            return Err(self.table(level).corrupt(at, expected, offset));
        }
        let region = self.block.sub(offset, len.into())?;
        let mut reader = Reader::new(Section::Buckets.name(), region.all()?);
        let mut parse = || -> Result<(EventCounts, &'a [u8])> {
            let counts = EventCounts {
                creates: reader.varint()?,
                updates: reader.varint()?,
                deletes: reader.varint()?,
            };
            Ok((counts, reader.bytes(reader.remaining())?))
        };
        let (counts, sketch) = parse().map_err(|error| region.in_file(error))?;
        Ok(Bucket {
            first_hour: time * LEVEL_HOURS.get(level).copied().unwrap_or(0),
            counts,
            region,
            sketch,
        })
    }

    /// Calls `each` with buckets that together hold just the events of `hours`, in order of time: the coarsest
    /// there are. O(log) and a call for each.
    ///
    /// # Errors
    /// The bytes are damaged, or as `each` does.
    pub fn each_in<E: From<Error>>(
        &self,
        hours: Range<u32>,
        each: &mut dyn FnMut(Bucket<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.lower_bound(0, 0, hours.start)?;
        let end = self.lower_bound(0, first, hours.end)?;
        if first == 0 && end == self.hours() {
            return self.each(each);
        }
        self.each_between(first, end, hours.end, each)
    }

    /// Calls `each` with buckets that together hold all events of the collection: mostly one. O(1) and a call for
    /// each.
    ///
    /// # Errors
    /// The bytes are damaged, or as `each` does.
    pub fn each<E: From<Error>>(
        &self,
        each: &mut dyn FnMut(Bucket<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.find(LEVELS - 1, 0)? {
            Some(all) => each(all),
            None => self.each_between(0, self.hours(), u32::MAX, each),
        }
    }

    /// The buckets for the hours with indexes from `next` to `end`, which are all of those before `until`.
    fn each_between<E: From<Error>>(
        &self,
        mut next: u32,
        end: u32,
        until: u32,
        each: &mut dyn FnMut(Bucket<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        'hours: while next < end {
            let hour = self.hour(next)?;
            for level in [2, 1] {
                let long = LEVEL_HOURS.get(level).copied().unwrap_or(1);
                let time = hour / long;
                // Its bucket stands for the hours from here on, if all of it is asked for and none before is of it.
                if (time + 1) * long > until
                    || self.table(level).is_empty()
                    || (next > 0 && self.hour(next - 1)? / long == time)
                {
                    continue;
                }
                if let Some(bucket) = self.find(level, time)? {
                    each(bucket)?;
                    next = self.lower_bound(0, next + 1, (time + 1) * long)?;
                    continue 'hours;
                }
            }
            each(self.bucket(0, next)?)?;
            next += 1;
        }
        Ok(())
    }

    /// All bytes of the collection.
    pub(super) const fn block(&self) -> Region<'a> {
        self.block
    }
}

impl Segment {
    fn bucket_names(&self) -> Result<Strings<'_>> {
        self.strings(Section::BucketCollections)
    }

    /// How many collections have buckets.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn bucket_collections(&self) -> Result<u32> {
        Ok(self.bucket_names()?.count())
    }

    /// The name of the collection with that index, by which they rise.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn bucket_collection(&self, index: u32) -> Result<&str> {
        self.bucket_names()?.get(index)
    }

    /// The index of the first collection whose name is not below `name`. O(log).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn bucket_lower_bound(&self, name: &str) -> Result<u32> {
        let names = self.bucket_names()?;
        let (mut low, mut high) = (0, names.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if names.get(middle)? < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The buckets of the collection with that index. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn buckets(&self, index: u32) -> Result<CollectionBuckets<'_>> {
        let directory = self.section(Section::BucketDirectory)?;
        let at = u64::from(index) * 8;
        let end = directory.u64_at(at)?;
        let start = match at.checked_sub(8) {
            Some(before) => directory.u64_at(before)?,
            None => 0,
        };
        let Some(len) = end.checked_sub(start) else {
            return Err(directory.corrupt(at, "rising ends", end));
        };
        CollectionBuckets::open(self.section(Section::Buckets)?.sub(start, len)?)
    }
}
