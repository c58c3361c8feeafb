//! The links of many rows, read together: rows and links lie far apart in memory, and what several of them are read of is fetched at once.

use super::{LinkRef, RowLinks, Segment};
use crate::Result;

/// Rows that are fetched together: what each of them is read of takes some ten lines of the processor's first cache.
const AHEAD: usize = 32;

/// What is done with a row, its collection and its links.
type EachRow<'f, 's> = &'f mut dyn FnMut(u32, u32, RowLinks<'s>) -> Result<()>;

impl Segment {
    /// Calls `each` with every one of `rows`, in order.
    pub(super) fn each_row<'s>(&'s self, rows: &[u32], each: EachRow<'_, 's>) -> Result<()> {
        let (all, links) = (self.rows()?, self.link_targets()?);
        let mut found = Vec::with_capacity(AHEAD.min(rows.len()));
        for some in rows.chunks(AHEAD) {
            all.fetch_heads(some);
            all.fetch_shapes(some);
            found.clear();
            for &row in some {
                let (shape, first) = all.links_of(row)?;
                links.fetch(first);
                found.push((row, shape, first));
            }
            for &(row, shape, first) in &found {
                let (collection, links) = self.links_from(shape, first)?;
                each(row, collection, links)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with every link of each of `rows`, in order: as [`links`](Self::links) of each of them, but faster.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn links_of_rows(&self, rows: &[u32], each: &mut dyn FnMut(u32, LinkRef)) -> Result<()> {
        self.each_row(rows, &mut |row, _, links| {
            for link in links {
                each(row, link?);
            }
            Ok(())
        })
    }
}
