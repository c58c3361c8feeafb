//! Buckets to bytes, hour by hour: days, weeks and all time are made on the way.

use super::{EventCounts, HOUR_MAX, LEVEL_HOURS, LEVELS, SINGLE, TABLES};
use crate::bytes::{put_u32, put_u64, put_varint};
use crate::sketch::Sketch;
use crate::{Error, Result};

/// What was gathered of one day, one week or all time.
#[derive(Default)]
struct Gathered {
    time: u32,
    /// Buckets of the level below.
    children: u32,
    counts: EventCounts,
    sketch: Sketch,
}

impl Gathered {
    fn clear(&mut self) {
        self.children = 0;
        self.counts = EventCounts::default();
        self.sketch.clear();
    }
}

/// Writes the sections of buckets. Memory: a sketch for each level, 8 bytes a collection as long as nobody takes the
/// directory out, and 12 for each hour of
/// the collection at hand.
#[derive(Default)]
pub(in crate::segment) struct BucketsWriter {
    /// Bytes of section "buckets" that were not handed on.
    pub(in crate::segment) out: Vec<u8>,
    /// Section "bucket directory".
    pub(in crate::segment) directory: Vec<u8>,
    /// Bytes of blocks that are complete.
    before: u64,
    /// Bytes of the block so far.
    block: u64,
    /// Entries of each level.
    tables: [Vec<u8>; LEVELS],
    /// Days, weeks, all time.
    gathered: [Gathered; LEVELS - 1],
    last_hour: Option<u32>,
}

#[cold]
fn bad(expected: &str, found: impl ToString) -> Error {
    Error::corrupt("buckets of a segment", 0, expected, found)
}

impl BucketsWriter {
    /// Adds the next hour of a collection, with an encoded sketch. Hours rise.
    pub(in crate::segment) fn push(
        &mut self,
        hour: u32,
        counts: &EventCounts,
        sketch: &[u8],
    ) -> Result<()> {
        if self.last_hour >= Some(hour) || hour > HOUR_MAX {
            return Err(bad("rising hours below 2^24", hour));
        }
        if counts.is_zero() {
            return Err(bad("an hour with events", "none"));
        }
        let [_, day, week] = LEVEL_HOURS;
        if let Some(last) = self.last_hour {
            if last / day != hour / day {
                self.gather(0)?;
            }
            if last / week != hour / week {
                self.gather(1)?;
            }
        }
        self.last_hour = Some(hour);
        self.append(0, hour, counts, sketch)?;
        let [of_day, ..] = &mut self.gathered;
        of_day.time = hour / day;
        of_day.children += 1;
        of_day.counts.add(counts);
        of_day.sketch.unite_encoded(sketch)
    }

    /// A day (0), a week (1) or all time (2) is over: it becomes part of the level above, and a bucket of its own if
    /// it unites several.
    fn gather(&mut self, index: usize) -> Result<()> {
        let Some((ended, above)) = self
            .gathered
            .get_mut(index..)
            .and_then(<[_]>::split_first_mut)
        else {
            return Ok(());
        };
        let mut ended = std::mem::take(ended);
        if let Some(above) = above.first_mut() {
            above.time = if index == 0 { ended.time / 7 } else { 0 };
            above.children += 1;
            above.counts.add(&ended.counts);
            above.sketch.unite(&ended.sketch);
        }
        if ended.children > 1 {
            let mut sketch = Vec::new();
            ended.sketch.encode(&mut sketch);
            self.append(index + 1, ended.time, &ended.counts, &sketch)?;
        }
        ended.clear();
        if let Some(place) = self.gathered.get_mut(index) {
            *place = ended;
        }
        Ok(())
    }

    fn append(
        &mut self,
        level: usize,
        time: u32,
        counts: &EventCounts,
        sketch: &[u8],
    ) -> Result<()> {
        let start = self.out.len();
        for count in [counts.creates, counts.updates, counts.deletes] {
            put_varint(&mut self.out, count);
        }
        self.out.extend_from_slice(sketch);
        let bytes = self.out.len() - start;
        let len = u16::try_from(bytes).map_err(|_| bad("a bucket below 64 KiB", bytes))?;
        if self.block >> 40 != 0 {
            return Err(bad("buckets of a collection below 1 TiB", self.block));
        }
        if let Some(table) = self.tables.get_mut(level) {
            table.extend(time.to_le_bytes().iter().take(3));
            table.extend_from_slice(&len.to_le_bytes());
            table.extend(self.block.to_le_bytes().iter().take(5));
        }
        self.block += u64::from(len);
        Ok(())
    }

    /// Ends the collection, which has at least one hour.
    pub(in crate::segment) fn end_collection(&mut self) -> Result<()> {
        if self.last_hour.take().is_none() {
            return Err(bad("a collection with buckets", "none"));
        }
        for index in 0..LEVELS - 1 {
            self.gather(index)?;
        }
        let start = self.out.len();
        let counts = self
            .tables
            .each_ref()
            .map(|table| table.len() as u64 / super::ENTRY);
        for table in &mut self.tables {
            self.out.append(table);
        }
        if counts == [1, 0, 0, 0] {
            self.out.push(SINGLE);
        } else {
            let [hours, days, weeks, all] = counts;
            for count in [hours, days, weeks] {
                put_u32(&mut self.out, count as u32);
            }
            self.out.push(all as u8);
            self.out.push(TABLES);
        }
        self.before += self.block + (self.out.len() - start) as u64;
        self.block = 0;
        put_u64(&mut self.directory, self.before);
        Ok(())
    }
}
