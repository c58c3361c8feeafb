//! Time buckets of a snapshot: what its segments and its memtable hold together. A bucket in several of them is
//! one: counts add up, accounts unite.

use std::ops::Range;

use orrery_formats::segment::{CollectionBuckets, Segment, hour_of};
use orrery_formats::sketch::{self, Sketch};

pub use orrery_formats::segment::{EventCounts, HOUR_MAX};

use crate::memtable::Memtable;
use crate::quarantine::Degraded;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

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

/// The buckets of one collection in a snapshot.
#[derive(Debug, Clone)]
pub struct CollectionStats<'a> {
    /// The collection.
    pub name: &'a str,
    sealed: Vec<(Range<u32>, CollectionBuckets<'a>)>,
    memtable: Option<InMemtable<'a>>,
}

#[derive(Clone, Copy)]
struct InMemtable<'a> {
    memtable: &'a Memtable,
    collection: u32,
}

impl std::fmt::Debug for InMemtable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InMemtable").field(&self.collection).finish()
    }
}

impl<'a> CollectionStats<'a> {
    fn push(&mut self, segment: &'a Segment, index: u32) -> Result<()> {
        let buckets = segment.buckets(index)?;
        self.sealed.push((buckets.span()?, buckets));
        Ok(())
    }

    /// Adds the buckets of `hours` (since 1970) to `sum`: of whole days and weeks one each. O(parts) and some
    /// microseconds for each bucket with many accounts.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn add_to(&self, hours: &Range<u32>, sum: &mut BucketSum<'a>) -> Result<()> {
        for (span, buckets) in &self.sealed {
            if span.start >= hours.end || hours.start >= span.end {
                continue;
            }
            buckets.each_in::<Error>(hours.clone(), &mut |bucket| {
                sum.counts.add(&bucket.counts);
                if sum.found {
                    sum.settle()?;
                    bucket.unite_into(&mut sum.sketch)?;
                    Ok(())
                } else {
                    sum.unite_encoded(bucket.sketch())
                }
            })?;
        }
        if let Some(InMemtable {
            memtable,
            collection,
        }) = self.memtable
        {
            for cell in memtable.buckets.of(collection) {
                if hours.contains(&cell.hour()) {
                    sum.settle()?;
                    sum.counts.add(&cell.counts());
                    cell.unite_into(&mut sum.sketch);
                    sum.found = true;
                }
            }
        }
        Ok(())
    }

    /// The counts of `hours` without the accounts.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn counts(&self, hours: &Range<u32>) -> Result<EventCounts> {
        let mut counts = EventCounts::default();
        for (_, buckets) in &self.sealed {
            buckets.each_in::<Error>(hours.clone(), &mut |bucket| {
                counts.add(&bucket.counts);
                Ok(())
            })?;
        }
        if let Some(found) = self.memtable {
            let cells = found.memtable.buckets.of(found.collection);
            for cell in cells.filter(|cell| hours.contains(&cell.hour())) {
                counts.add(&cell.counts());
            }
        }
        Ok(counts)
    }
}

/// The collections of a snapshot that have buckets, in byte order.
#[derive(Debug)]
pub struct Collections<'a> {
    /// Segments with the index of their next collection, its name, and how many they have.
    sealed: Vec<Cursor<'a>>,
    /// Names and ids, the next one last.
    memtable: Vec<(&'a str, InMemtable<'a>)>,
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

impl<'a> Collections<'a> {
    /// The next collection.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn next_collection(&mut self) -> Result<Option<CollectionStats<'a>>> {
        let sealed = self.sealed.iter().filter_map(|cursor| cursor.name);
        let memtable = self.memtable.last().map(|(name, _)| *name);
        let Some(name) = sealed.chain(memtable).min() else {
            return Ok(None);
        };
        let mut found = CollectionStats {
            name,
            sealed: Vec::new(),
            memtable: None,
        };
        for cursor in &mut self.sealed {
            if cursor.name == Some(name) {
                found.push(cursor.segment, cursor.next)?;
                cursor.next += 1;
                cursor.read()?;
            }
        }
        if let Some((_, cell)) = self.memtable.pop_if(|(next, _)| *next == name) {
            found.memtable = Some(cell);
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
        let mut names: Vec<(&str, InMemtable<'_>)> = (0..memtable.collections.len())
            .filter(|id| memtable.buckets.of(*id).next().is_some())
            .map(|collection| {
                let cell = InMemtable {
                    memtable,
                    collection,
                };
                (memtable.collections.get(collection), cell)
            })
            .filter(|(name, _)| *name >= from)
            .collect();
        names.sort_unstable_by_key(|(name, _)| std::cmp::Reverse(*name));
        Ok(Collections {
            sealed,
            memtable: names,
        })
    }

    /// The buckets of one collection; without any it has no events. O(segments).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn collection<'a>(&'a self, name: &'a str) -> Result<CollectionStats<'a>> {
        let mut found = CollectionStats {
            name,
            sealed: Vec::new(),
            memtable: None,
        };
        for part in &self.generation.segments {
            let segment = &*part.segment;
            let index = segment.bucket_lower_bound(name)?;
            if index < segment.bucket_collections()? && segment.bucket_collection(index)? == name {
                found.push(segment, index)?;
            }
        }
        let memtable = &*self.generation.memtable;
        found.memtable = memtable
            .collections
            .find(name)
            .map(|collection| InMemtable {
                memtable,
                collection,
            });
        Ok(found)
    }

    /// The ranges of events that are left out of what this view's buckets say of `hours`.
    pub fn degraded_in(&self, hours: Range<u32>) -> impl Iterator<Item = &Degraded> {
        self.degraded().filter(move |lost| {
            hour_of(lost.first_time_us) < hours.end && hours.start <= hour_of(lost.last_time_us)
        })
    }
}
