//! Record keys of one block of rows or targets (at most 128), random access.
//!
//! Most keys are TIDs, and most clock ids of TIDs are below 32: those of the usual libraries. So a key has
//! one of three classes: *compact*, a TID with such a clock id as time above a base and 5 bits of clock id,
//! the time being in milliseconds where most TIDs of the block are of whole ones, and in microseconds
//! elsewhere; *wide*, any TID near a second base, as a number, without the upper 5 bits of the clock id
//! where all of them are zero; and *rest*, which takes the TIDs that lie far from both bases and the keys
//! that are strings (by their id in the table of keys).
//!
//! ```text
//! u8        flags: 1 compact, 2 wide, 4 rest present; 8 the rest has TIDs; 16 compact entries are in
//!           microseconds; 32 wide entries are without the upper bits of the clock id
//! u56 u8    base in ms or us, width      if compact
//! u64 u8    base, width                  if wide
//! u8        width                        if rest
//! bits      one for each key that is not compact      if compact and (wide or rest)
//! bits      one for each key of the rest              if wide and rest
//! bits      compact entries (width + 5), wide entries, rest entries
//! ```
//!
//! An entry of the rest is the id of a string; where the rest has TIDs, it has 64 bits and the highest
//! tells strings (1) from TIDs (0).

mod write;

pub(super) use write::encode;

use crate::Result;
use crate::bits::{BitReader, below, bitmap, read_bits};
use crate::chunks::Region;

/// A key as the segment holds it. The order is that of targets: TIDs, then strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PackedKey {
    /// A TID.
    Tid(u64),
    /// Id of a string in the segment's table of keys.
    Str(u32),
}

const STRING: u64 = 1 << 63;

impl PackedKey {
    /// The key as one number, in the same order.
    pub(super) fn to_u64(self) -> u64 {
        match self {
            Self::Tid(tid) => tid & !STRING,
            Self::Str(id) => STRING | u64::from(id),
        }
    }

    /// The reverse of [`to_u64`](Self::to_u64).
    pub(super) fn from_u64(value: u64) -> Self {
        if value & STRING == 0 {
            Self::Tid(value)
        } else {
            Self::Str(value as u32)
        }
    }
}

const COMPACT: u8 = 1;
const WIDE: u8 = 2;
const REST: u8 = 4;
const REST_HAS_TIDS: u8 = 8;
const COMPACT_US: u8 = 16;
const WIDE_SHORT: u8 = 32;
const FLAGS: u8 = 63;

/// Time and clock id of a TID that can be compact: the time in microseconds with that flag, else in
/// milliseconds.
fn split(tid: u64, flags: u8) -> Option<(u64, u64)> {
    let (time_us, clock) = (tid >> 10, tid & 0x3ff);
    if clock >= 32 {
        None
    } else if flags & COMPACT_US != 0 {
        Some((time_us, clock))
    } else {
        time_us
            .is_multiple_of(1000)
            .then_some((time_us / 1000, clock))
    }
}

/// The TID of a compact entry; `None` for a time of 2^53 us or more.
fn compact_tid(base: u64, entry: u64, flags: u8) -> Option<u64> {
    let time = base + (entry >> 5);
    let time_us = if flags & COMPACT_US != 0 {
        time
    } else {
        time.checked_mul(1000)?
    };
    (time_us < 1 << 53).then_some(time_us << 10 | (entry & 31))
}

/// A TID as the number that wide entries count from; `None` where it has a clock id that they leave out.
fn wide_number(tid: u64, flags: u8) -> Option<u64> {
    if flags & WIDE_SHORT == 0 {
        return Some(tid);
    }
    (tid & 0x3e0 == 0).then_some(tid >> 10 << 5 | (tid & 31))
}

/// The TID of a wide entry; `None` where there is none.
fn wide_tid(base: u64, entry: u64, flags: u8) -> Option<u64> {
    let number = base.checked_add(entry)?;
    let tid = match flags & WIDE_SHORT {
        0 => number,
        _ if number >= 1 << 58 => return None,
        _ => number >> 5 << 10 | (number & 31),
    };
    (tid < STRING).then_some(tid)
}

/// What the head of a block says of its entries.
#[derive(Clone, Copy)]
struct Head {
    flags: u8,
    /// Base and width of an entry.
    compact: (u64, u32),
    wide: (u64, u32),
    rest_width: u32,
}

impl Head {
    /// The bytes of a head with those flags.
    const fn len(flags: u8) -> usize {
        let mut len = 1;
        if flags & COMPACT != 0 {
            len += 8;
        }
        if flags & WIDE != 0 {
            len += 9;
        }
        if flags & REST != 0 {
            len += 1;
        }
        len
    }

    /// The head that `bytes` begin with, and the bytes behind it. `None` for damage.
    #[inline]
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&flags, mut rest) = bytes.split_first()?;
        let mut head = Self {
            flags,
            compact: (0, 0),
            wide: (0, 0),
            rest_width: 0,
        };
        if flags & (COMPACT | WIDE | REST) == 0 || flags > FLAGS {
            return None;
        }
        if flags & COMPACT != 0 {
            let (field, behind) = rest.split_first_chunk::<8>()?;
            let field = u64::from_le_bytes(*field);
            head.compact = (field & (u64::MAX >> 8), (field >> 56) as u32);
            rest = behind;
        }
        if flags & WIDE != 0 {
            let (base, behind) = rest.split_first_chunk::<8>()?;
            let (&width, behind) = behind.split_first()?;
            head.wide = (u64::from_le_bytes(*base), width.into());
            rest = behind;
        }
        if flags & REST != 0 {
            let (&width, behind) = rest.split_first()?;
            head.rest_width = width.into();
            rest = behind;
        }
        let is_sound = head.compact.1 <= 53 && head.wide.1 <= 63 && head.rest_width <= 64;
        is_sound.then_some((head, rest))
    }

    /// The head at byte `offset` of `region`, and the byte behind it.
    fn at(region: Region<'_>, offset: u64) -> Result<(Self, u64)> {
        let len = Self::len(region.u8_at(offset)?);
        // No byte behind the head: that may lie in another chunk.
        match Self::read(region.get(offset, len)?) {
            Some((head, _)) => Ok((head, offset + len as u64)),
            None => Err(region.corrupt(offset, "the head of a block of keys", "another")),
        }
    }
}

fn inside(value: u64, base: u64, width: u32) -> bool {
    value >= base && value - base < 1u64 << width
}

/// A block of keys whose head was read: where its entries are.
pub(super) struct KeyBlock<'a> {
    region: Region<'a>,
    offset: u64,
    count: u64,
    head: Head,
    /// Keys that are not compact, and keys of the rest among them.
    others: u128,
    rest: u128,
    /// The bits where the entries of each class begin.
    compact_bit: u64,
    wide_bit: u64,
    rest_bit: u64,
}

impl<'a> KeyBlock<'a> {
    /// The block of `count` keys, at most 128, that starts at byte `offset`.
    pub(super) fn open(region: Region<'a>, offset: u64, count: u64) -> Result<Self> {
        let damaged = |expected: &str, found: u64| region.corrupt(offset, expected, found);
        let (head, at) = Head::at(region, offset)?;
        if count > 128 {
            return Err(damaged("at most 128 keys", count));
        }
        let flags = head.flags;
        let mut bit = at * 8;
        let all = below(count);
        let others = if flags & COMPACT == 0 {
            all
        } else if flags & (WIDE | REST) != 0 {
            let map = bitmap(region, bit, count)?;
            bit += count;
            map
        } else {
            0
        };
        let rest = if flags & REST == 0 {
            0
        } else if flags & WIDE == 0 {
            others
        } else {
            let map = bitmap(region, bit, count)?;
            bit += count;
            map
        };
        if rest & !others != 0 {
            return Err(damaged(
                "classes of keys that agree",
                u64::from(rest.count_ones()),
            ));
        }
        let ones = |map: u128| u64::from(map.count_ones());
        let compact_bits = match flags & COMPACT {
            0 => 0,
            _ => (count - ones(others)) * u64::from(head.compact.1 + 5),
        };
        let wide_bit = bit + compact_bits;
        Ok(Self {
            region,
            offset,
            count,
            head,
            others,
            rest,
            compact_bit: bit,
            wide_bit,
            rest_bit: wide_bit + (ones(others) - ones(rest)) * u64::from(head.wide.1),
        })
    }

    /// The key at `index`.
    #[inline]
    pub(super) fn get(&self, index: u64) -> Result<PackedKey> {
        let damaged =
            |expected: &str, found: u64| self.region.corrupt(self.offset, expected, found);
        if index >= self.count {
            return Err(damaged("the index of a key", index));
        }
        let before = below(index);
        let others = u64::from((self.others & before).count_ones());
        let rest = u64::from((self.rest & before).count_ones());
        let entry = |start: u64, place: u64, width: u32| {
            read_bits(self.region, start + place * u64::from(width), width)
        };
        let Head {
            flags,
            compact,
            wide,
            rest_width,
        } = self.head;
        if self.others >> index & 1 == 0 {
            let entry = entry(self.compact_bit, index - others, compact.1 + 5)?;
            return match compact_tid(compact.0, entry, flags) {
                Some(tid) => Ok(PackedKey::Tid(tid)),
                None => Err(damaged("a time below 2^53", entry)),
            };
        }
        if self.rest >> index & 1 == 0 {
            let entry = entry(self.wide_bit, others - rest, wide.1)?;
            return match wide_tid(wide.0, entry, flags) {
                Some(tid) => Ok(PackedKey::Tid(tid)),
                None => Err(damaged("a TID", entry)),
            };
        }
        let entry = entry(self.rest_bit, rest, rest_width)?;
        if flags & REST_HAS_TIDS != 0 {
            return Ok(PackedKey::from_u64(entry));
        }
        match u32::try_from(entry) {
            Ok(id) => Ok(PackedKey::Str(id)),
            Err(_) => Err(damaged("the id of a key", entry)),
        }
    }
}

/// The key at `index` of the block of `count` keys that starts at byte `offset`.
pub(super) fn read(region: Region<'_>, offset: u64, count: u64, index: u64) -> Result<PackedKey> {
    KeyBlock::open(region, offset, count)?.get(index)
}

/// All keys of the block that starts where `bytes` does, appended to `out`. `None` for damage.
pub(super) fn decode(bytes: &[u8], count: usize, out: &mut Vec<PackedKey>) -> Option<()> {
    let (head, behind) = Head::read(bytes)?;
    let Head {
        flags,
        compact,
        wide,
        rest_width,
    } = head;
    let mut bits = BitReader::new(behind, 0);
    let mut map = |has: bool| -> Option<u128> {
        if !has {
            return Some(0);
        }
        let low = bits.read(count.min(64) as u32)?;
        let high = bits.read(count.saturating_sub(64).min(64) as u32)?;
        Some(u128::from(high) << 64 | u128::from(low))
    };
    let all = u128::MAX >> (128 - count.clamp(1, 128));
    let others = match flags & COMPACT {
        0 => all,
        _ => map(flags & (WIDE | REST) != 0)?,
    };
    let rest = match (flags & WIDE, flags & REST) {
        (_, 0) => 0,
        (0, _) => others,
        _ => map(true)?,
    };
    if rest & !others != 0 {
        return None;
    }
    let compact_width = compact.1 + 5;
    if others == 0 {
        // As in most blocks: no entry but compact ones.
        out.reserve(count);
        for _ in 0..count {
            let entry = bits.read(compact_width)?;
            out.push(PackedKey::Tid(compact_tid(compact.0, entry, flags)?));
        }
        return Some(());
    }
    let compact_bits = (count as u32).checked_sub(others.count_ones())? * compact_width;
    let wide_bits = (others.count_ones() - rest.count_ones()) * wide.1;
    let mut compacts = bits;
    let mut wides = compacts;
    if flags & COMPACT != 0 {
        wides.skip(compact_bits.into());
    }
    let mut rests = wides;
    rests.skip(wide_bits.into());
    for i in 0..count {
        out.push(if others >> i & 1 == 0 {
            PackedKey::Tid(compact_tid(
                compact.0,
                compacts.read(compact_width)?,
                flags,
            )?)
        } else if rest >> i & 1 == 0 {
            PackedKey::Tid(wide_tid(wide.0, wides.read(wide.1)?, flags)?)
        } else {
            let entry = rests.read(rest_width)?;
            if flags & REST_HAS_TIDS != 0 {
                PackedKey::from_u64(entry)
            } else {
                PackedKey::Str(u32::try_from(entry).ok()?)
            }
        });
    }
    Some(())
}

/// Whether the block that starts at byte `offset` may hold `key`, by its head alone; `false` is certain.
pub(super) fn may_hold(region: Region<'_>, offset: u64, key: PackedKey) -> Result<bool> {
    let flags = region.u8_at(offset)?;
    if let (PackedKey::Tid(tid), COMPACT) = (key, flags & !COMPACT_US) {
        // As in most blocks: no entry but compact ones.
        let field = region.u64_at(offset + 1)?;
        let (base, width) = (field & (u64::MAX >> 8), (field >> 56) as u32);
        if width <= 53 {
            return Ok(split(tid, flags).is_some_and(|(time, _)| inside(time, base, width)));
        }
    }
    let (head, _) = Head::at(region, offset)?;
    let flags = head.flags;
    let PackedKey::Tid(tid) = key else {
        return Ok(flags & REST != 0);
    };
    if flags & REST_HAS_TIDS != 0 {
        return Ok(true);
    }
    let is_in = |number: Option<u64>, (base, width): (u64, u32)| {
        number.is_some_and(|number| inside(number, base, width))
    };
    let compact = split(tid, flags).map(|(time, _)| time);
    Ok((flags & COMPACT != 0 && is_in(compact, head.compact))
        || (flags & WIDE != 0 && is_in(wide_number(tid, flags), head.wide)))
}
