//! Sets of `u32`, read in place in the portable Roaring format
//! (<https://github.com/RoaringBitmap/RoaringFormatSpec>): the numbers of each range of 65,536 stand in
//! a container of their own, as an array, as a bitmap of 8 KiB or as runs. Crate `roaring` reads and
//! writes the same bytes; [`Encoder`] writes those of a set that is too large for memory.

mod container;
mod cursor;
mod encode;

pub use cursor::{Iter, IterBack};
pub use encode::Encoder;

use crate::chunks::Region;
use crate::{Error, Result};
use container::Container;

/// First 16 bits of a bitmap that may have run containers; the number of containers less one follows.
const COOKIE_WITH_RUNS: u16 = 12347;
/// First 32 bits of a bitmap without run containers; the number of containers follows.
const COOKIE_WITHOUT_RUNS: u32 = 12346;
/// Below this many containers, a bitmap that may have run containers has no table of offsets.
const CONTAINERS_FOR_OFFSETS: u32 = 4;
/// There is one container for each value of the upper 16 bits at most.
const CONTAINERS_MAX: u32 = 1 << 16;
/// Values of an array container at most; a container without runs and with more is a bitmap.
const ARRAY_LEN_MAX: u32 = 4096;
/// Bytes of a descriptor: the upper 16 bits, and the number of values less one.
const DESCRIPTOR_BYTES: u32 = 4;
const _: () = assert!(2 * ARRAY_LEN_MAX as usize == container::BITS_BYTES);

/// A bitmap in its encoded form.
#[derive(Debug, Clone, Copy)]
pub struct Bitmap<'a> {
    region: Region<'a>,
    containers: u32,
    /// Which containers have runs, a bit each; empty when none has.
    run_flags: &'a [u8],
    /// The upper 16 bits and the number of values less one of each container.
    descriptors: &'a [u8],
    /// Where each container begins in the region; empty with few containers, whose places follow from
    /// one another.
    offsets: &'a [u8],
    /// Where the first container begins in the region.
    first_container: u64,
    /// The number of values that the descriptors add up to.
    len: u64,
}

impl<'a> Bitmap<'a> {
    /// Opens the bitmap that begins where `region` does; the region may be longer. O(containers), of
    /// which there are at most 65,536, and 4 bytes each are read; no container is touched.
    ///
    /// # Errors
    /// The bytes are not the beginning of a bitmap, or end inside its tables, or are damaged.
    pub fn open(region: Region<'a>) -> Result<Self> {
        let cookie = region.u32_at(0)?;
        // The halves of the cookie.
        let (low, high) = (cookie as u16, cookie >> 16);
        let (containers, has_runs, mut place) = if cookie == COOKIE_WITHOUT_RUNS {
            (region.u32_at(4)?, false, 8)
        } else if low == COOKIE_WITH_RUNS {
            (high + 1, true, 4)
        } else {
            return Err(region.corrupt(
                0,
                format!("the cookie {COOKIE_WITHOUT_RUNS} or {COOKIE_WITH_RUNS}"),
                cookie,
            ));
        };
        if containers > CONTAINERS_MAX {
            return Err(region.corrupt(
                4,
                format!("at most {CONTAINERS_MAX} containers"),
                containers,
            ));
        }
        let mut take = |len: u32| {
            let bytes = region.get(place, len as usize);
            place += u64::from(len);
            bytes
        };
        let run_flags = take(if has_runs { containers.div_ceil(8) } else { 0 })?;
        let descriptors = take(containers * DESCRIPTOR_BYTES)?;
        let has_offsets = !has_runs || containers >= CONTAINERS_FOR_OFFSETS;
        let offsets = take(if has_offsets { containers * 4 } else { 0 })?;
        let mut bitmap = Self {
            region,
            containers,
            run_flags,
            descriptors,
            offsets,
            first_container: place,
            len: 0,
        };
        // Keys that do not rise would make the searches below meaningless.
        let mut next_key = 0;
        for index in 0..containers {
            let (key, len) = bitmap.descriptor(index)?;
            if u32::from(key) < next_key {
                return Err(bitmap.damage("keys that rise from container to container", key));
            }
            next_key = u32::from(key) + 1;
            bitmap.len += u64::from(len);
        }
        Ok(bitmap)
    }

    /// How many values the set has. O(1).
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the set has no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `x` is in the set. O(log containers), and one search in one container.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn contains(&self, x: u32) -> Result<bool> {
        let (key, low) = split(x);
        let index = self.first_of_key(key)?;
        match self.key(index)? {
            Some(found) if found == key => {}
            _ => return Ok(false),
        }
        let container = self.container(index)?;
        container.contains(low).ok_or_else(|| self.bad(index))
    }

    /// How many values are at most `x`, as crate `roaring` counts. O(containers), and a search or count
    /// in one container.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn rank(&self, x: u32) -> Result<u64> {
        let (key, low) = split(x);
        let mut before = 0;
        for index in 0..self.containers {
            let (found, len) = self.descriptor(index)?;
            if found < key {
                before += u64::from(len);
                continue;
            }
            if found == key {
                let container = self.container(index)?;
                before += u64::from(container.rank(low).ok_or_else(|| self.bad(index))?);
            }
            break;
        }
        Ok(before)
    }

    /// The value with `index` smaller ones, or `None` when the set has no more than `index` values.
    /// O(containers), and a search or count in one container.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn select(&self, index: u64) -> Result<Option<u32>> {
        let mut before = 0;
        for container in 0..self.containers {
            let (key, len) = self.descriptor(container)?;
            if index - before >= u64::from(len) {
                before += u64::from(len);
                continue;
            }
            // Below the container's number of values, which is at most 65,536.
            let rank = (index - before) as u32;
            let low = self.container(container)?.select(rank);
            return match low {
                Some(low) => Ok(Some(join(key, low))),
                None => Err(self.bad(container)),
            };
        }
        Ok(None)
    }

    /// The smallest value of at least `x`. O(log containers), and one search in at most two containers.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn lower_bound(&self, x: u32) -> Result<Option<u32>> {
        self.iter_from(x).next().transpose()
    }

    /// The smallest value. Cost and errors as [`Bitmap::lower_bound`].
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn first(&self) -> Result<Option<u32>> {
        self.lower_bound(0)
    }

    /// The largest value. Cost and errors as [`Bitmap::lower_bound`].
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn last(&self) -> Result<Option<u32>> {
        self.iter_back_from(u32::MAX).next().transpose()
    }

    /// The values of at least `x`, ascending.
    pub fn iter_from(&self, x: u32) -> Iter<'a> {
        Iter::new(*self, x)
    }

    /// The values of at most `x`, descending.
    pub fn iter_back_from(&self, x: u32) -> IterBack<'a> {
        IterBack::new(*self, x)
    }

    /// Checks what opening and access do not: that each container holds as many values as its descriptor
    /// says, in rising order, and that containers stand back to back, where readers without the offset table
    /// find them. Costs a pass over the bitmap.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<()> {
        let mut place = self.first_container;
        for index in 0..self.containers {
            if self.place(index)? != place || !self.container(index)?.is_sound() {
                return Err(self.bad(index));
            }
            place += self.container_len(index, place)?;
        }
        Ok(())
    }

    /// Key and number of values of a container.
    #[inline]
    fn descriptor(&self, index: u32) -> Result<(u16, u32)> {
        let at = index as usize * DESCRIPTOR_BYTES as usize;
        match self
            .descriptors
            .get(at..)
            .and_then(<[u8]>::first_chunk::<4>)
        {
            Some([a, b, c, d]) => Ok((
                u16::from_le_bytes([*a, *b]),
                u32::from(u16::from_le_bytes([*c, *d])) + 1,
            )),
            None => Err(self.bad(index)),
        }
    }

    /// Key of a container, `None` behind the last.
    #[inline]
    fn key(&self, index: u32) -> Result<Option<u16>> {
        if index >= self.containers {
            return Ok(None);
        }
        Ok(Some(self.descriptor(index)?.0))
    }

    /// The first container whose key is at least `key`; their number when there is none.
    fn first_of_key(&self, key: u16) -> Result<u32> {
        let (mut low, mut high) = (0, self.containers);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.descriptor(middle)?.0 < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Where a container begins.
    fn place(&self, index: u32) -> Result<u64> {
        if !self.offsets.is_empty() {
            let offset = self.offsets.get(4 * index as usize..);
            return match offset.and_then(<[u8]>::first_chunk::<4>) {
                Some(offset) => Ok(u64::from(u32::from_le_bytes(*offset))),
                None => Err(self.bad(index)),
            };
        }
        // Fewer than four containers: add up those before.
        let mut place = self.first_container;
        for before in 0..index {
            place += self.container_len(before, place)?;
        }
        Ok(place)
    }

    /// A container, its bytes checked to be there.
    fn container(&self, index: u32) -> Result<Container<'a>> {
        let place = self.place(index)?;
        let (_, len) = self.descriptor(index)?;
        let bytes_len = self.container_len(index, place)?;
        let bytes = self.region.get(place, bytes_len as usize)?;
        Ok(if self.has_runs(index) {
            Container::runs(len, bytes)
        } else if len <= ARRAY_LEN_MAX {
            Container::array(len, bytes)
        } else {
            Container::bits(len, bytes)
        })
    }

    /// Bytes of the container that begins at `place`.
    fn container_len(&self, index: u32, place: u64) -> Result<u64> {
        let (_, len) = self.descriptor(index)?;
        Ok(if self.has_runs(index) {
            2 + 4 * u64::from(self.region.u16_at(place)?)
        } else if len <= ARRAY_LEN_MAX {
            2 * u64::from(len)
        } else {
            container::BITS_BYTES as u64
        })
    }

    #[inline]
    fn has_runs(&self, index: u32) -> bool {
        let flags = self.run_flags.get(index as usize / 8);
        flags.is_some_and(|flags| flags >> (index % 8) & 1 == 1)
    }

    #[cold]
    fn bad(&self, container: u32) -> Error {
        self.damage(
            "a container that holds what its descriptor says",
            format!("another in container {container}"),
        )
    }

    #[cold]
    fn damage(&self, expected: &str, found: impl ToString) -> Error {
        self.region.corrupt(0, expected, found)
    }
}

/// Upper and lower 16 bits.
#[inline]
const fn split(x: u32) -> (u16, u16) {
    ((x >> 16) as u16, x as u16)
}

#[inline]
const fn join(key: u16, low: u16) -> u32 {
    (key as u32) << 16 | low as u32
}

#[cfg(test)]
mod tests;
