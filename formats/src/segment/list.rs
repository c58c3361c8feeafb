//! One posting list of an opened segment, and walks over it in both directions.

use std::ops::Range;

use crate::Result;
use crate::bitmap::{self, Bitmap};
use crate::bits::read_bits;
use crate::chunks::Region;
use crate::monotone::{self, Monotone};

use super::lists::SHORT_MAX;

/// Rows of a block of a walk.
pub const LIST_BLOCK: usize = monotone::BLOCK_LEN;

/// The rows that link to one target from one source: rising, each once. Reads in place.
#[derive(Clone, Copy)]
pub struct List<'s> {
    id: u32,
    len: u32,
    /// Rows of the segment, which bound every row of the list.
    rows: u32,
    kind: Kind<'s>,
    region: Region<'s>,
}

#[derive(Clone, Copy)]
pub(super) enum Kind<'s> {
    Single(u32),
    Short {
        first: u32,
        width: u32,
        /// Bit where the rows after the first begin.
        rest: u64,
    },
    Monotone(Monotone<'s>),
    Bitmap(Bitmap<'s>),
}

impl<'s> List<'s> {
    pub(super) const fn new(
        id: u32,
        len: u32,
        rows: u32,
        kind: Kind<'s>,
        region: Region<'s>,
    ) -> Self {
        Self {
            id,
            len,
            rows,
            kind,
            region,
        }
    }

    /// The list's id in its segment.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// How many rows it has: at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no list is empty")]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether it is longer than 64 rows, so that a count of its masked rows is kept outside.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.len > SHORT_MAX
    }

    fn checked(&self, row: u32) -> Result<u32> {
        if row < self.rows {
            return Ok(row);
        }
        Err(self
            .region
            .corrupt(0, format!("a row below {}", self.rows), row))
    }

    fn selected(&self, bitmap: Bitmap<'s>, i: u32) -> Result<u32> {
        match bitmap.select(i.into())? {
            Some(row) => Ok(row),
            None => Err(self
                .region
                .corrupt(0, format!("{} rows in a bitmap", self.len), i)),
        }
    }

    /// The row at index `i`.
    ///
    /// # Errors
    /// `i` is not below [`len`](Self::len), or the bytes are damaged.
    pub fn get(&self, i: u32) -> Result<u32> {
        if i >= self.len {
            return Err(self
                .region
                .corrupt(0, format!("an index below {}", self.len), i));
        }
        let row = match self.kind {
            Kind::Single(row) => row,
            Kind::Short { first, width, rest } => match i.checked_sub(1) {
                None => first,
                Some(i) => {
                    let at = rest + u64::from(i) * u64::from(width);
                    // Both are below 2^31: the widths are at most 28 and 5 bits' worth.
                    first.saturating_add(read_bits(self.region, at, width)? as u32)
                }
            },
            Kind::Monotone(list) => list.get(i)?,
            Kind::Bitmap(bitmap) => self.selected(bitmap, i)?,
        };
        self.checked(row)
    }

    /// The index of the first row that is at least `row`; [`len`](Self::len) when there is none.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn lower_bound(&self, row: u32) -> Result<u32> {
        match self.kind {
            Kind::Single(first) => Ok(u32::from(first < row)),
            Kind::Short { .. } => {
                let (mut low, mut high) = (0, self.len);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if self.get(middle)? < row {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                Ok(low)
            }
            Kind::Monotone(list) => list.lower_bound(row),
            // The rank counts the rows up to its argument.
            Kind::Bitmap(bitmap) => match row.checked_sub(1) {
                Some(before) => Ok(bitmap.rank(before)? as u32),
                None => Ok(0),
            },
        }
    }

    /// The rows at `i`, `i + 1`, and so on.
    #[must_use]
    pub fn iter_from(&self, i: u32) -> ListIter<'s> {
        self.walk(i.min(self.len), true)
    }

    /// The rows at `i - 1`, `i - 2`, and so on.
    #[must_use]
    pub fn iter_back_from(&self, i: u32) -> ListIter<'s> {
        self.walk(i.min(self.len), false)
    }

    /// The rows at the indexes of `range`, in blocks.
    #[must_use]
    pub fn blocks(&self, range: Range<u32>) -> ListBlocks<'s> {
        ListBlocks {
            list: *self,
            next: range.start,
            end: range.end.min(self.len),
            bitmap: None,
        }
    }

    fn walk(&self, at: u32, forward: bool) -> ListIter<'s> {
        let left = if forward { self.len - at } else { at };
        ListIter {
            list: *self,
            at,
            left,
            forward,
            cursor: Cursor::None,
        }
    }
}

/// A walk over a list upwards, many rows at a time.
pub struct ListBlocks<'s> {
    list: List<'s>,
    next: u32,
    end: u32,
    /// Where the walk stands in a bitmap, once it was found.
    bitmap: Option<bitmap::Iter<'s>>,
}

impl ListBlocks<'_> {
    /// Writes the next rows into `rows` and says how many they are: up to an index that is a multiple of
    /// [`LIST_BLOCK`], or the end; none at the end.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn fill(&mut self, rows: &mut [u32; LIST_BLOCK]) -> Result<usize> {
        if self.next >= self.end {
            return Ok(0);
        }
        let within = self.next as usize % LIST_BLOCK;
        let count = (LIST_BLOCK - within).min((self.end - self.next) as usize);
        let some = rows.get_mut(..count).unwrap_or_default();
        match self.list.kind {
            Kind::Single(_) | Kind::Short { .. } => {
                for (row, i) in some.iter_mut().zip(self.next..) {
                    *row = self.list.get(i)?;
                }
            }
            Kind::Monotone(list) => {
                let number = self.next / LIST_BLOCK as u32;
                list.decode(number, rows)?;
                // The first block of a walk may begin inside one of the list.
                rows.copy_within(within..within + count, 0);
            }
            Kind::Bitmap(bitmap) => {
                let walk = match &mut self.bitmap {
                    Some(walk) => walk,
                    none => none.insert(bitmap.iter_from(self.list.selected(bitmap, self.next)?)),
                };
                let filled = walk.fill(some)?;
                if filled < count {
                    let expected = format!("{} rows more", count - filled);
                    let region = self.list.region;
                    return Err(region.corrupt(0, expected, "the end of the list"));
                }
            }
        }
        let largest = rows.iter().take(count).fold(0, |a, b| a.max(*b));
        self.list.checked(largest)?;
        // At most 128 more, and not beyond the end.
        self.next += count as u32;
        Ok(count)
    }
}

/// A walk over a list, in either direction.
pub struct ListIter<'s> {
    list: List<'s>,
    /// Index of the next row going up, one more than it going down.
    at: u32,
    left: u32,
    forward: bool,
    cursor: Cursor<'s>,
}

enum Cursor<'s> {
    /// Not begun, or by index.
    None,
    Monotone(monotone::Iter<'s>),
    MonotoneBack(monotone::IterBack<'s>),
    Bitmap(bitmap::Iter<'s>),
    BitmapBack(bitmap::IterBack<'s>),
}

impl<'s> ListIter<'s> {
    fn begin(&self) -> Result<Cursor<'s>> {
        Ok(match (self.list.kind, self.forward) {
            (Kind::Single(_) | Kind::Short { .. }, _) => Cursor::None,
            (Kind::Monotone(list), true) => Cursor::Monotone(list.iter_from(self.at)),
            (Kind::Monotone(list), false) => Cursor::MonotoneBack(list.iter_back_from(self.at)),
            (Kind::Bitmap(bitmap), true) => {
                Cursor::Bitmap(bitmap.iter_from(self.list.selected(bitmap, self.at)?))
            }
            (Kind::Bitmap(bitmap), false) => {
                Cursor::BitmapBack(bitmap.iter_back_from(self.list.selected(bitmap, self.at - 1)?))
            }
        })
    }

    fn step(&mut self) -> Result<u32> {
        if matches!(self.cursor, Cursor::None) {
            self.cursor = self.begin()?;
        }
        let row = match &mut self.cursor {
            Cursor::None => {
                let i = if self.forward { self.at } else { self.at - 1 };
                return self.list.get(i);
            }
            Cursor::Monotone(rows) => rows.next(),
            Cursor::MonotoneBack(rows) => rows.next(),
            Cursor::Bitmap(rows) => rows.next(),
            Cursor::BitmapBack(rows) => rows.next(),
        };
        match row {
            Some(row) => self.list.checked(row?),
            None => Err(self.list.region.corrupt(
                0,
                format!("{} rows more", self.left),
                "the end of the list",
            )),
        }
    }
}

impl Iterator for ListIter<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let row = self.step();
        if row.is_err() {
            self.left = 0;
        }
        if self.forward {
            self.at += 1;
        } else {
            self.at = self.at.saturating_sub(1);
        }
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left as usize;
        (left, Some(left))
    }
}
