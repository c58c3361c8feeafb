//! Buckets: names rise, hours lie in the segment's range, sketches are in their shortest form, and days, weeks and
//! all time are the unions of their hours: the bytes are those that the writer makes of the hours.

use super::{Segment, region, wrong};
use crate::Result;
use crate::segment::buckets::{BucketsWriter, hour_of};
use crate::segment::layout::Section;
use crate::sketch::Sketch;

/// Bytes of made buckets that are compared at once.
const PIECE: usize = 64 << 10;

pub(super) fn check(segment: &Segment) -> Result<()> {
    let count = segment.bucket_collections()?;
    let directory = region(segment, Section::BucketDirectory)?;
    if directory.len() != u64::from(count) * 8 {
        let expected = format!("{count} ends of 8 bytes");
        return wrong(segment, Section::BucketDirectory, expected, directory.len());
    }
    let end = match directory.len().checked_sub(8) {
        Some(last) => directory.u64_at(last)?,
        None => 0,
    };
    let bytes = region(segment, Section::Buckets)?.len();
    if bytes != end {
        return wrong(segment, Section::Buckets, format!("{end} bytes"), bytes);
    }
    let mut before: Option<&str> = None;
    for index in 0..count {
        let name = segment.bucket_collection(index)?;
        if before.is_some_and(|before| before >= name) {
            let expected = "strings in rising order";
            return wrong(
                segment,
                Section::BucketCollections,
                expected,
                format!("{name:?}"),
            );
        }
        before = Some(name);
        collection(segment, index, name)?;
    }
    Ok(())
}

fn collection(segment: &Segment, index: u32, name: &str) -> Result<()> {
    let info = segment.info();
    let hours = hour_of(info.first_time_us)..=hour_of(info.last_time_us);
    let buckets = segment.buckets(index)?;
    let block = buckets.block();
    let mut writer = BucketsWriter::default();
    let (mut sketch, mut encoded) = (Sketch::new(), Vec::new());
    let mut at = 0u64;
    let compare = |at: &mut u64, made: &mut Vec<u8>| -> Result<()> {
        let rest = block.len().saturating_sub(*at).min(made.len() as u64);
        if block.get(*at, rest as usize)? != made.as_slice() {
            let expected = format!("what unites the hours of {name}");
            return Err(block.corrupt(*at, expected, "other buckets"));
        }
        *at += rest;
        made.clear();
        Ok(())
    };
    for place in 0..buckets.hours() {
        let hour = buckets.hour(place)?;
        if !hours.contains(&hour) {
            let expected = format!("hours of {name} from {} to {}", hours.start(), hours.end());
            return Err(block.corrupt(0, expected, hour));
        }
        let bucket = buckets.hour_bucket(place)?;
        sketch.clear();
        bucket.unite_into(&mut sketch)?;
        encoded.clear();
        sketch.encode(&mut encoded);
        if encoded != bucket.sketch() || sketch.is_empty() {
            let expected = format!("the sketch of {name} in its shortest form");
            return Err(block.corrupt(0, expected, format!("{} bytes", bucket.sketch().len())));
        }
        writer.push(hour, &bucket.counts, &encoded)?;
        if writer.out.len() >= PIECE {
            compare(&mut at, &mut writer.out)?;
        }
    }
    writer.end_collection()?;
    compare(&mut at, &mut writer.out)?;
    if at != block.len() {
        return Err(block.corrupt(at, "the end of the buckets", block.len()));
    }
    Ok(())
}
