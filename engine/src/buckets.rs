//! Time buckets of a snapshot: what its segments and its memtable hold together. A bucket in several of them is
//! one: counts add up, accounts unite.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use orrery_formats::segment::{Bucket, CollectionBuckets, Segment, hour_of};
use orrery_formats::sketch::{self, EXACT_MAX, Sketch};

pub use orrery_formats::segment::{EventCounts, HOUR_MAX};

use crate::Result;
use crate::memtable::{BucketCell, Memtable};
use crate::quarantine::Degraded;
use crate::snapshot::Snapshot;

/// Counts and accounts gathered from any buckets. Emptied and used again it allocates nothing.
#[derive(Debug, Default)]
pub struct BucketSum<'a> {
    /// The events.
    pub counts: EventCounts,
    /// The encoded sketch, as long as there is only one.
    alone: Option<&'a [u8]>,
    sketch: Sketch,
    found: bool,
}

impl<'a> BucketSum<'a> {
    /// Takes everything out.
    pub fn clear(&mut self) {
        self.counts = EventCounts::default();
        self.alone = None;
        self.sketch.clear();
        self.found = false;
    }

    /// Whether there was no bucket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.found
    }

    /// The accounts: exact up to 128, with a standard error of 0.81 % beyond.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn dids_estimate(&self) -> Result<u64> {
        match self.alone {
            Some(bytes) => Ok(sketch::estimate_of(bytes)?),
            None => Ok(self.sketch.estimate()),
        }
    }

    /// Adds another sum.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn unite(&mut self, other: &BucketSum<'a>) -> Result<()> {
        if other.found {
            self.counts.add(&other.counts);
            match other.alone {
                Some(bytes) => self.unite_encoded(bytes)?,
                None => {
                    self.settle()?;
                    self.sketch.unite(&other.sketch);
                }
            }
            self.found = true;
        }
        Ok(())
    }

    fn unite_encoded(&mut self, bytes: &'a [u8]) -> Result<()> {
        if self.found {
            self.settle()?;
            self.sketch.unite_encoded(bytes)?;
        } else {
            self.alone = Some(bytes);
        }
        self.found = true;
        Ok(())
    }

    /// Decodes the sketch that was alone.
    fn settle(&mut self) -> Result<()> {
        if let Some(bytes) = self.alone.take() {
            self.sketch.unite_encoded(bytes)?;
        }
        Ok(())
    }
}

/// What an estimate of united buckets lies between, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DidsBounds {
    /// The largest estimate of a bucket, less what estimates may miss.
    pub low: u64,
    /// The sum of the estimates of all buckets, and what they may miss.
    pub high: u64,
    buckets: u32,
    sum: u64,
    largest: u64,
}

impl DidsBounds {
    /// What estimates may miss, as a part of them: 12 standard errors, so that a union estimated at more than the
    /// sum of its parts, or at less than one of them, stays inside.
    const MISSED: u64 = 10;

    /// Of a value that is known.
    #[must_use]
    pub const fn exactly(value: u64) -> Self {
        Self {
            low: value,
            high: value,
            buckets: 1,
            sum: value,
            largest: value,
        }
    }

    fn add(&mut self, low: u64, high: u64) {
        self.buckets += 1;
        self.sum = self.sum.saturating_add(high);
        self.largest = self.largest.max(low);
        (self.low, self.high) = (self.largest, self.sum);
        // What is exact, or the estimate itself, misses nothing.
        if (self.buckets > 1 || low < high) && self.sum > EXACT_MAX as u64 {
            self.high = self.sum.saturating_add(self.sum / Self::MISSED);
            self.low = self.largest - self.largest / Self::MISSED;
        }
    }
}

/// The buckets of one collection in a snapshot.
#[derive(Debug, Clone)]
pub struct CollectionStats<'a> {
    /// The collection.
    pub name: &'a str,
    /// For each segment with buckets of it the hours of all the segment's events.
    sealed: Vec<(Range<u32>, CollectionBuckets<'a>)>,
    /// By rising hour.
    memtable: Vec<Cell<'a>>,
}

/// A bucket of the memtable.
#[derive(Clone, Copy)]
struct Cell<'a>(&'a BucketCell);

impl std::fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.0.counts();
        f.debug_tuple("Cell")
            .field(&self.0.hour())
            .field(&counts)
            .finish()
    }
}

impl<'a> CollectionStats<'a> {
    const fn new(name: &'a str) -> Self {
        Self {
            name,
            sealed: Vec::new(),
            memtable: Vec::new(),
        }
    }

    fn push_memtable(&mut self, memtable: &'a Memtable, collection: u32) {
        self.memtable
            .extend(memtable.buckets.of(collection).map(Cell));
        self.memtable.sort_unstable_by_key(|cell| cell.0.hour());
    }

    /// The buckets of the memtable in `hours`.
    fn cells(&self, hours: &Range<u32>) -> impl Iterator<Item = &'a BucketCell> {
        let first = (self.memtable).partition_point(|cell| cell.0.hour() < hours.start);
        let cells = self.memtable.iter().skip(first).map(|cell| cell.0);
        cells.take_while(|cell| cell.hour() < hours.end)
    }

    /// The first hour from `hour` on with events. O(parts log hours).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn next_hour(&self, hour: u32) -> Result<Option<u32>> {
        let mut next = self.cells(&(hour..u32::MAX)).next().map(BucketCell::hour);
        for (span, buckets) in &self.sealed {
            if hour < span.end
                && next.is_none_or(|next| span.start < next)
                && let Some(found) = buckets.next_hour(hour)?
            {
                next = Some(next.map_or(found, |next| next.min(found)));
            }
        }
        Ok(next)
    }

    fn push(&mut self, segment: &'a Segment, index: u32) -> Result<()> {
        let info = segment.info();
        let hours = hour_of(info.first_time_us)..hour_of(info.last_time_us) + 1;
        self.sealed.push((hours, segment.buckets(index)?));
        Ok(())
    }

    /// Calls `each` with the buckets of segments that together hold just the events of `hours`.
    fn each_sealed(
        &self,
        hours: &Range<u32>,
        each: &mut dyn FnMut(Bucket<'a>) -> Result<()>,
    ) -> Result<()> {
        for (span, buckets) in &self.sealed {
            if hours.start <= span.start && span.end <= hours.end {
                buckets.each(each)?;
            } else if hours.start < span.end && span.start < hours.end {
                buckets.each_in(hours.clone(), each)?;
            }
        }
        Ok(())
    }

    /// Adds the buckets of `hours` (since 1970) to `sum`: of whole days and weeks one each. Gives how many there were.
    /// O(parts) and some microseconds for each bucket with many accounts.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn add_to(&self, hours: &Range<u32>, sum: &mut BucketSum<'a>) -> Result<usize> {
        let mut added = 0;
        self.each_sealed(hours, &mut |bucket| {
            added += 1;
            sum.counts.add(&bucket.counts);
            if sum.found {
                sum.settle()?;
                bucket.unite_into(&mut sum.sketch)?;
                Ok(())
            } else {
                sum.unite_encoded(bucket.sketch())
            }
        })?;
        for cell in self.cells(hours) {
            added += 1;
            sum.settle()?;
            sum.counts.add(&cell.counts());
            cell.unite_into(&mut sum.sketch);
            sum.found = true;
        }
        Ok(added)
    }

    /// Bounds of what [`BucketSum::dids_estimate`] gives for `hours`, without uniting any accounts. O(buckets).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn dids_bounds(&self, hours: &Range<u32>) -> Result<DidsBounds> {
        let mut bounds = DidsBounds::default();
        self.each_sealed(hours, &mut |bucket| {
            let estimate = bucket.estimate()?;
            bounds.add(estimate, estimate);
            Ok(())
        })?;
        for cell in self.cells(hours) {
            let EventCounts {
                creates,
                updates,
                deletes,
            } = cell.counts();
            // Each event has one account; the writer may be about to count one.
            bounds.add(1, creates + updates + deletes + 1);
        }
        Ok(bounds)
    }

    /// The counts of `hours` without the accounts.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn counts(&self, hours: &Range<u32>) -> Result<EventCounts> {
        let mut counts = EventCounts::default();
        self.each_sealed(hours, &mut |bucket| {
            counts.add(&bucket.counts);
            Ok(())
        })?;
        for cell in self.cells(hours) {
            counts.add(&cell.counts());
        }
        Ok(counts)
    }
}

/// The collections of a snapshot that have buckets, in byte order.
pub struct Collections<'a> {
    /// Segments with the index of their next collection, its name, and how many they have.
    sealed: Vec<Cursor<'a>>,
    memtable: &'a Memtable,
    /// Names in the memtable, and their ids there.
    names: BinaryHeap<Reverse<(&'a str, u32)>>,
}

#[derive(Debug)]
struct Cursor<'a> {
    segment: &'a Segment,
    next: u32,
    end: u32,
    name: Option<&'a str>,
}

impl Cursor<'_> {
    fn read(&mut self) -> Result<()> {
        self.name = if self.next < self.end {
            Some(self.segment.bucket_collection(self.next)?)
        } else {
            None
        };
        Ok(())
    }
}

impl std::fmt::Debug for Collections<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collections")
            .field("sealed", &self.sealed)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<'a> Collections<'a> {
    /// The next collection.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn next_collection(&mut self) -> Result<Option<CollectionStats<'a>>> {
        let sealed = self.sealed.iter().filter_map(|cursor| cursor.name);
        let memtable = self.names.peek().map(|Reverse((name, _))| *name);
        let Some(name) = sealed.chain(memtable).min() else {
            return Ok(None);
        };
        let mut found = CollectionStats::new(name);
        for cursor in &mut self.sealed {
            if cursor.name == Some(name) {
                found.push(cursor.segment, cursor.next)?;
                cursor.next += 1;
                cursor.read()?;
            }
        }
        if memtable == Some(name)
            && let Some(Reverse((_, collection))) = self.names.pop()
        {
            found.push_memtable(self.memtable, collection);
        }
        Ok(Some(found))
    }
}

impl Snapshot {
    /// The collections that have buckets, from the first on that is not below `from`. O(segments), and
    /// O(collections of the memtable).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn collections_from(&self, from: &str) -> Result<Collections<'_>> {
        let mut sealed = Vec::with_capacity(self.generation.segments.len());
        for part in &self.generation.segments {
            let segment = &*part.segment;
            let mut cursor = Cursor {
                segment,
                next: segment.bucket_lower_bound(from)?,
                end: segment.bucket_collections()?,
                name: None,
            };
            cursor.read()?;
            sealed.push(cursor);
        }
        let memtable = &*self.generation.memtable;
        let names = (0..memtable.collections.len())
            .filter(|id| memtable.buckets.of(*id).next().is_some())
            .map(|collection| (memtable.collections.get(collection), collection))
            .filter(|(name, _)| *name >= from)
            .map(Reverse)
            .collect();
        Ok(Collections {
            sealed,
            memtable,
            names,
        })
    }

    /// The buckets of one collection; without any it has no events. O(segments).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn collection<'a>(&'a self, name: &'a str) -> Result<CollectionStats<'a>> {
        let mut found = CollectionStats::new(name);
        for part in &self.generation.segments {
            let segment = &*part.segment;
            let index = segment.bucket_lower_bound(name)?;
            if index < segment.bucket_collections()? && segment.bucket_collection(index)? == name {
                found.push(segment, index)?;
            }
        }
        let memtable = &*self.generation.memtable;
        if let Some(collection) = memtable.collections.find(name) {
            found.push_memtable(memtable, collection);
        }
        Ok(found)
    }

    /// The ranges of events that are left out of what this view says of events of `hours`.
    pub fn degraded_in(&self, hours: Range<u32>) -> impl Iterator<Item = &Degraded> {
        self.degraded().filter(move |lost| {
            hour_of(lost.first_time_us) < hours.end && hours.start <= hour_of(lost.last_time_us)
        })
    }
}
