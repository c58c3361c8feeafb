//! Record keys of one block of rows or targets (at most 128), random access.
//!
//! Most keys are TIDs, and most TIDs come from clocks of milliseconds with a clock id below 32. So a
//! key has one of three classes: *compact*, such a TID as milliseconds above a base and 5 bits of clock
//! id; *wide*, any TID near a second base, as a number; and *rest*, which takes the TIDs that lie far
//! from both bases and the keys that are strings (by their id in the table of keys).
//!
//! ```text
//! u8        flags: 1 compact, 2 wide, 4 rest present; 8 the rest has TIDs
//! u48 u8    base in ms, width            if compact
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
use crate::bits::{BitReader, read_bits};
use crate::bytes::Reader;
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

/// Milliseconds and clock id of a TID that can be compact.
fn split(tid: u64) -> Option<(u64, u64)> {
    let (time_us, clock) = (tid >> 10, tid & 0x3ff);
    (clock < 32 && time_us.is_multiple_of(1000)).then_some((time_us / 1000, clock))
}

fn inside(value: u64, base: u64, width: u32) -> bool {
    value >= base && value - base < 1u64 << width
}

/// A block of keys whose head was read: where its entries are.
pub(super) struct KeyBlock<'a> {
    region: Region<'a>,
    offset: u64,
    count: u64,
    /// Base and width of an entry.
    compact: (u64, u32),
    wide: (u64, u32),
    rest_width: u32,
    rest_has_tids: bool,
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
        let flags = region.u8_at(offset)?;
        if flags & (COMPACT | WIDE | REST) == 0 || flags > 15 || count > 128 {
            return Err(damaged("flags of a block of keys", u64::from(flags)));
        }
        let mut at = offset + 1;
        let (mut compact, mut wide, mut rest_width) = ((0, 0), (0, 0), 0);
        if flags & COMPACT != 0 {
            let base = u64::from(region.u32_at(at)?) | u64::from(region.u16_at(at + 4)?) << 32;
            compact = (base, u32::from(region.u8_at(at + 6)?));
            at += 7;
        }
        if flags & WIDE != 0 {
            wide = (region.u64_at(at)?, u32::from(region.u8_at(at + 8)?));
            at += 9;
        }
        if flags & REST != 0 {
            rest_width = u32::from(region.u8_at(at)?);
            at += 1;
        }
        if compact.1 > 44 || wide.1 > 63 || rest_width > 64 {
            return Err(damaged(
                "widths of keys",
                u64::from(compact.1.max(wide.1).max(rest_width)),
            ));
        }
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
            _ => (count - ones(others)) * u64::from(compact.1 + 5),
        };
        let wide_bit = bit + compact_bits;
        Ok(Self {
            region,
            offset,
            count,
            compact,
            wide,
            rest_width,
            rest_has_tids: flags & REST_HAS_TIDS != 0,
            others,
            rest,
            compact_bit: bit,
            wide_bit,
            rest_bit: wide_bit + (ones(others) - ones(rest)) * u64::from(wide.1),
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
        if self.others >> index & 1 == 0 {
            let entry = entry(self.compact_bit, index - others, self.compact.1 + 5)?;
            let time_us = (self.compact.0 + (entry >> 5)) * 1000;
            if time_us >= 1 << 53 {
                return Err(damaged("a time below 2^53", time_us));
            }
            return Ok(PackedKey::Tid(time_us << 10 | (entry & 31)));
        }
        if self.rest >> index & 1 == 0 {
            let entry = entry(self.wide_bit, others - rest, self.wide.1)?;
            return match self.wide.0.checked_add(entry) {
                Some(tid) if tid < STRING => Ok(PackedKey::Tid(tid)),
                _ => Err(damaged("a TID", entry)),
            };
        }
        let entry = entry(self.rest_bit, rest, self.rest_width)?;
        if self.rest_has_tids {
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

/// The lowest `count` bits of at most 128.
const fn below(count: u64) -> u128 {
    match count {
        0..128 => (1 << count) - 1,
        _ => u128::MAX,
    }
}

/// The `count` (at most 128) bits from `start`.
fn bitmap(region: Region<'_>, start: u64, count: u64) -> Result<u128> {
    let low = read_bits(region, start, count.min(64) as u32)?;
    let high = match count {
        0..=64 => 0,
        _ => read_bits(region, start + 64, (count - 64).min(64) as u32)?,
    };
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// All keys of the block that starts where `bytes` does, appended to `out`. `None` for damage.
pub(super) fn decode(bytes: &[u8], count: usize, out: &mut Vec<PackedKey>) -> Option<()> {
    let mut head = Reader::new("keys", bytes);
    let flags = head.u8().ok()?;
    if flags & (COMPACT | WIDE | REST) == 0 || flags > 15 {
        return None;
    }
    let (mut compact, mut wide, mut rest_width) = ((0, 0), (0, 0), 0);
    if flags & COMPACT != 0 {
        let low = u64::from(head.u32().ok()?);
        compact = (
            low | u64::from(head.u16().ok()?) << 32,
            u32::from(head.u8().ok()?),
        );
    }
    if flags & WIDE != 0 {
        wide = (head.u64().ok()?, u32::from(head.u8().ok()?));
    }
    if flags & REST != 0 {
        rest_width = u32::from(head.u8().ok()?);
    }
    if compact.1 > 44 || wide.1 > 63 || rest_width > 64 {
        return None;
    }
    let mut bits = BitReader::new(bytes, head.position() as usize * 8);
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
            let entry = compacts.read(compact_width)?;
            let time_us = (compact.0 + (entry >> 5)) * 1000;
            if time_us >= 1 << 53 {
                return None;
            }
            PackedKey::Tid(time_us << 10 | (entry & 31))
        } else if rest >> i & 1 == 0 {
            let tid = wide.0.checked_add(wides.read(wide.1)?)?;
            if tid >= STRING {
                return None;
            }
            PackedKey::Tid(tid)
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
    let PackedKey::Tid(tid) = key else {
        return Ok(flags & REST != 0);
    };
    if flags & REST_HAS_TIDS != 0 {
        return Ok(true);
    }
    let mut at = offset + 1;
    if flags & COMPACT != 0 {
        let base = u64::from(region.u32_at(at)?) | u64::from(region.u16_at(at + 4)?) << 32;
        let width = u32::from(region.u8_at(at + 6)?).min(63);
        if split(tid).is_some_and(|(ms, _)| inside(ms, base, width)) {
            return Ok(true);
        }
        at += 7;
    }
    if flags & WIDE == 0 {
        return Ok(false);
    }
    let width = u32::from(region.u8_at(at + 8)?).min(63);
    Ok(inside(tid, region.u64_at(at)?, width))
}
