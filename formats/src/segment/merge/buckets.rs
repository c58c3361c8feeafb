//! Buckets: those of one collection and hour in several segments become one. Rows that are left out change none.

use super::MergeInput;
use super::output::Output;
use crate::Result;
use crate::segment::buckets::{BucketsWriter, CollectionBuckets, EventCounts};
use crate::segment::layout::Section;
use crate::segment::strings;
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;
use crate::sketch::Sketch;

pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    // (name, segment, its index there), so that all of one name stand together.
    let mut names: Vec<(&str, usize, u32)> = Vec::new();
    for (place, input) in inputs.iter().enumerate() {
        for index in 0..input.segment.bucket_collections()? {
            names.push((input.segment.bucket_collection(index)?, place, index));
        }
    }
    names.sort_unstable();
    let mut distinct: Vec<&str> = names.iter().map(|(name, ..)| *name).collect();
    distinct.dedup();
    let section = strings::encode(&distinct, "collections of buckets")?;
    out.section(env, Section::BucketCollections, &section)?;
    drop((distinct, section));
    out.begin(Section::Buckets)?;
    let mut writer = BucketsWriter::default();
    let mut sketch = Sketch::new();
    for same in names.chunk_by(|a, b| a.0 == b.0) {
        let mut parts = Vec::with_capacity(same.len());
        for (_, place, index) in same {
            if let Some(input) = inputs.get(*place) {
                parts.push(Hours {
                    buckets: input.segment.buckets(*index)?,
                    next: 0,
                });
            }
        }
        merge_collection(env, &mut parts, &mut sketch, &mut writer, out)?;
        writer.end_collection()?;
        out.settle(env, &mut writer.out)?;
    }
    out.drain(env, &mut writer.out)?;
    out.section(env, Section::BucketDirectory, &writer.directory)
}

/// A collection's hours in one segment, and how many of them are done.
struct Hours<'a> {
    buckets: CollectionBuckets<'a>,
    next: u32,
}

impl Hours<'_> {
    fn hour(&self) -> Result<Option<u32>> {
        let is_left = self.next < self.buckets.hours();
        is_left.then(|| self.buckets.hour(self.next)).transpose()
    }
}

fn merge_collection<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &mut [Hours<'_>],
    sketch: &mut Sketch,
    writer: &mut BucketsWriter,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut encoded = Vec::new();
    loop {
        let mut first = None;
        for part in parts.iter() {
            if let Some(hour) = part.hour()?
                && first.is_none_or(|first| hour < first)
            {
                first = Some(hour);
            }
        }
        let Some(hour) = first else {
            return Ok(());
        };
        let mut counts = EventCounts::default();
        let mut alone: Option<&[u8]> = None;
        let mut found = 0u32;
        sketch.clear();
        for part in parts.iter_mut() {
            if part.hour()? != Some(hour) {
                continue;
            }
            let bucket = part.buckets.hour_bucket(part.next)?;
            part.next += 1;
            counts.add(&bucket.counts);
            found += 1;
            match alone.replace(bucket.sketch()) {
                None => {}
                Some(before) if found == 2 => {
                    sketch.unite_encoded(before)?;
                    bucket.unite_into(sketch)?;
                }
                Some(_) => bucket.unite_into(sketch)?,
            }
        }
        match alone {
            Some(bytes) if found == 1 => writer.push(hour, &counts, bytes)?,
            _ => {
                encoded.clear();
                sketch.encode(&mut encoded);
                writer.push(hour, &counts, &encoded)?;
            }
        }
        out.settle(env, &mut writer.out)?;
        // A bucket costs as much as dozens of rows.
        env.stepped(64)?;
    }
}
