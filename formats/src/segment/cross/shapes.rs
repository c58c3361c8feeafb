//! The table of shapes.

use std::cmp::Ordering;

use super::wrong;
use crate::bytes::Reader;
use crate::chunks::Region;
use crate::segment::Segment;
use crate::segment::layout::Section;
use crate::segment::rows::SHAPE_ENTRY;
use crate::{Error, Result};

/// Shapes stand one behind the other, each once, in rising order; each has links, at rising paths, and as many as its entry
/// says.
pub(in crate::segment) fn check(segment: &Segment) -> Result<()> {
    let table = segment.rows()?.shapes;
    let region = table.region;
    let shapes = segment.info().shapes;
    let mut begins = u64::from(shapes) * SHAPE_ENTRY + 4;
    for shape in 0..shapes {
        let at = u64::from(shape) * SHAPE_ENTRY;
        let start = region.u32_at(at)?;
        if u64::from(start) != begins {
            return Err(region.corrupt(at, format!("offset {begins}"), start));
        }
        begins = region.u32_at(at + SHAPE_ENTRY)?.into();
        let links = links_of(segment, shape)?;
        let found = table.links(shape)?;
        if links != u64::from(found) {
            let expected = format!("{links} links of shape {shape}");
            return wrong(segment, Section::Shapes, expected, found);
        }
        if let Some(before) = shape.checked_sub(1)
            && order(segment, before, shape)? == Ordering::Greater
        {
            return wrong(segment, Section::Shapes, "rising shapes", shape);
        }
    }
    let end = u64::from(region.u32_at(u64::from(shapes) * SHAPE_ENTRY)?);
    if (begins, end) != (region.len(), region.len()) {
        return wrong(
            segment,
            Section::Shapes,
            format!("{end} bytes"),
            region.len(),
        );
    }
    Ok(())
}

/// The links of a shape in all.
fn links_of(segment: &Segment, shape: u32) -> Result<u64> {
    let mut runs = Runs::of(segment, shape)?;
    let (mut before, mut links) = (None, 0u64);
    while let Some((path, count)) = runs.next()? {
        segment.path(path)?;
        if before >= Some(path) {
            let expected = format!("rising paths of shape {shape}");
            return wrong(segment, Section::Shapes, expected, path);
        }
        if count == 0 {
            let expected = format!("links of shape {shape} at path {path}");
            return wrong(segment, Section::Shapes, expected, count);
        }
        if segment.find_source_ids(runs.collection, path)?.is_none() {
            let expected = format!("a source for path {path} of shape {shape}");
            return wrong(segment, Section::Sources, expected, "none");
        }
        before = Some(path);
        links = links.saturating_add(count.into());
    }
    let end = runs.reader.clone().finish();
    end.map_err(|error| runs.damaged(error))?;
    if links == 0 {
        let expected = format!("links of shape {shape}");
        return wrong(segment, Section::Shapes, expected, links);
    }
    Ok(links)
}

/// By collection, then by paths and links.
fn order(segment: &Segment, one: u32, other: u32) -> Result<Ordering> {
    let (mut one, mut other) = (Runs::of(segment, one)?, Runs::of(segment, other)?);
    let mut order = one.collection.cmp(&other.collection);
    while order.is_eq() {
        let (a, b) = (one.next()?, other.next()?);
        if a.is_none() && b.is_none() {
            break;
        }
        order = a.cmp(&b);
    }
    Ok(order)
}

/// Paths and links of a shape.
struct Runs<'s> {
    region: Region<'s>,
    collection: u32,
    left: u64,
    reader: Reader<'s>,
}

impl<'s> Runs<'s> {
    fn of(segment: &'s Segment, shape: u32) -> Result<Self> {
        let region = segment.rows()?.shapes.region;
        let (collection, left, reader) = segment.shape(shape)?;
        Ok(Self {
            region,
            collection,
            left,
            reader,
        })
    }

    fn next(&mut self) -> Result<Option<(u32, u32)>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let path = self.reader.varint_u32();
        let run = path.and_then(|path| Ok((path, self.reader.varint_u32()?)));
        run.map(Some).map_err(|error| self.damaged(error))
    }

    fn damaged(&self, error: Error) -> Error {
        self.region.in_file(error)
    }
}
