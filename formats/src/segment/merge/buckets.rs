//! Buckets: those of one collection and hour in several segments become one. Rows that are left out change none.

use super::columns::StringColumn;
use super::output::Output;
use super::spill::Spool;
use super::{MergeInput, bad};
use crate::Result;
use crate::segment::buckets::{BucketsWriter, CollectionBuckets, EventCounts};
use crate::segment::layout::Section;
use crate::segment::reader::Segment;
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;
use crate::sketch::Sketch;

pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut column = StringColumn::new("collections of buckets");
    let mut names = Names::open(inputs)?;
    while let Some(name) = names.next(&mut |_, _| Ok(()))? {
        column.push(env, name)?;
        env.stepped(1)?;
    }
    column.section(env, Section::BucketCollections, out)?;
    out.begin(Section::Buckets)?;
    let mut writer = BucketsWriter::default();
    let mut directory = Spool::new();
    let mut sketch = Sketch::new();
    let mut parts = Vec::with_capacity(inputs.len());
    let mut names = Names::open(inputs)?;
    loop {
        parts.clear();
        let found = names.next(&mut |segment, index| {
            parts.push(Hours {
                buckets: segment.buckets(index)?,
                next: 0,
            });
            Ok(())
        })?;
        if found.is_none() {
            break;
        }
        merge_collection(env, &mut parts, &mut sketch, &mut writer, out)?;
        writer.end_collection()?;
        out.settle(env, &mut writer.out)?;
        directory.write(env, &writer.directory)?;
        writer.directory.clear();
    }
    out.drain(env, &mut writer.out)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::BucketDirectory, directory.bytes())
}

/// The collections of several segments in byte order, each once. Nothing here grows with them.
struct Names<'a> {
    /// For each segment the index of its next collection, and the name.
    cursors: Vec<(&'a Segment, u32, Option<&'a str>)>,
}

impl<'a> Names<'a> {
    fn open(inputs: &[MergeInput<'a>]) -> Result<Self> {
        let cursors = inputs
            .iter()
            .map(|input| Ok((input.segment, 0, name(input.segment, 0)?)));
        Ok(Self {
            cursors: cursors.collect::<Result<_>>()?,
        })
    }

    /// The next name; `each` gets the segments with it, and its index there.
    fn next(
        &mut self,
        each: &mut dyn FnMut(&'a Segment, u32) -> Result<()>,
    ) -> Result<Option<&'a str>> {
        let Some(least) = self.cursors.iter().filter_map(|cursor| cursor.2).min() else {
            return Ok(None);
        };
        for (number, (segment, index, head)) in self.cursors.iter_mut().enumerate() {
            if *head != Some(least) {
                continue;
            }
            each(segment, *index)?;
            *index += 1;
            *head = name(segment, *index)?;
            if head.is_some_and(|next| next <= least) {
                return Err(bad(number, "rising collections of buckets", least));
            }
        }
        Ok(Some(least))
    }
}

fn name(segment: &Segment, index: u32) -> Result<Option<&str>> {
    let is_there = index < segment.bucket_collections()?;
    is_there
        .then(|| segment.bucket_collection(index))
        .transpose()
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
