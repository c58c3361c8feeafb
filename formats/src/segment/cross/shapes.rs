//! The links of a shape in all, and at each of its paths.

use super::wrong;
use crate::Result;
use crate::segment::Segment;
use crate::segment::layout::Section;

/// The links that a shape has in all are those at its paths.
pub(super) fn check(segment: &Segment) -> Result<()> {
    let table = segment.rows()?.shapes;
    for shape in 0..segment.info().shapes {
        let (_, runs, mut reader) = segment.shape(shape)?;
        let mut links = 0u64;
        for _ in 0..runs {
            let run = reader.varint().and_then(|_| reader.varint());
            links = links.saturating_add(run.map_err(|error| table.region.in_file(error))?);
        }
        let found = table.links(shape)?;
        if links != u64::from(found) || links == 0 {
            let expected = format!("{links} links, at least one, of shape {shape}");
            return wrong(segment, Section::Shapes, expected, found);
        }
    }
    Ok(())
}
