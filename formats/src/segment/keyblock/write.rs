//! Writing a block of keys: which classes make it shortest.

use super::{
    COMPACT, COMPACT_US, PackedKey, REST, REST_HAS_TIDS, WIDE, WIDE_SHORT, inside, split,
    wide_number,
};
use crate::bits::{BitWriter, width_for};

/// The window of numbers, as a base and a width in bits, that makes the entries inside it and
/// `outside_bits` for each number outside shortest in all, with a bit for each number where there are such
/// numbers. `sorted` is not empty.
fn best_window(sorted: &[u64], extra_bits: u64, outside_bits: u64) -> (u64, u32) {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return (0, 0);
    };
    let all = sorted.len() as u64;
    let mut best = (u64::MAX, 0, 0);
    // From the width that takes in all of them downwards; of equally short ones the narrowest is taken.
    for width in (0..=width_for(last - first).min(63)).rev() {
        let span = (1u64 << width) - 1;
        let (mut most, mut base) = (0u64, 0u64);
        let (mut ends, mut count) = (sorted.iter().peekable(), 0u64);
        for &start in sorted {
            while ends.next_if(|&&end| end - start <= span).is_some() {
                count += 1;
            }
            if count > most {
                (most, base) = (count, start);
            }
            if ends.peek().is_none() {
                break;
            }
            count -= 1;
        }
        let map = if most < all { all } else { 0 };
        let bits = most * (u64::from(width) + extra_bits) + (all - most) * outside_bits + map;
        if bits <= best.0 {
            best = (bits, base, width);
        }
        // A narrower window has no more inside, at no less than the extra bits each.
        if all * outside_bits - most * (outside_bits - extra_bits) > best.0 {
            break;
        }
    }
    (best.1, best.2)
}

/// Appends the block of at most 128 keys.
pub(in crate::segment) fn encode(keys: &[PackedKey], scratch: &mut Vec<u64>, out: &mut Vec<u8>) {
    // In milliseconds where that fits at least half of the TIDs that can be compact at all.
    let (mut short, mut whole) = (0usize, 0usize);
    for key in keys {
        if let PackedKey::Tid(tid) = *key
            && split(tid, COMPACT_US).is_some()
        {
            short += 1;
            whole += usize::from(split(tid, 0).is_some());
        }
    }
    let (mut head_flags, unit_bits) = if whole * 2 >= short {
        (0, 10)
    } else {
        (COMPACT_US, 0)
    };
    scratch.clear();
    scratch.extend(keys.iter().filter_map(|key| match key {
        PackedKey::Tid(tid) => split(*tid, head_flags).map(|(time, _)| time),
        PackedKey::Str(_) => None,
    }));
    scratch.sort_unstable();
    let compact = match (scratch.first(), scratch.last()) {
        (Some(first), Some(last)) => {
            // Outside of the window a key is most likely wide, at the distance of all of them.
            let outside = u64::from(width_for(last - first)) + 5 + unit_bits;
            Some(best_window(scratch, 5, outside.min(64)))
        }
        _ => None,
    };
    let compact_flags = head_flags;
    let as_compact = |tid: u64| {
        let ((base, width), (time, clock)) = (compact?, split(tid, compact_flags)?);
        inside(time, base, width).then(|| (time - base) << 5 | clock)
    };
    scratch.clear();
    scratch.extend(keys.iter().filter_map(|key| match key {
        PackedKey::Tid(tid) if as_compact(*tid).is_none() => Some(*tid),
        _ => None,
    }));
    if !scratch.is_empty()
        && scratch
            .iter()
            .all(|&tid| wide_number(tid, WIDE_SHORT).is_some())
    {
        head_flags |= WIDE_SHORT;
        for tid in scratch.iter_mut() {
            *tid = wide_number(*tid, WIDE_SHORT).unwrap_or_default();
        }
    }
    scratch.sort_unstable();
    let wide = (!scratch.is_empty())
        .then(|| best_window(scratch, 0, 64))
        // One entry is shorter in the rest than with a base of its own.
        .filter(|&(base, width)| {
            scratch
                .iter()
                .filter(|&&number| inside(number, base, width))
                .count()
                > 1
        });
    let wide_flags = head_flags;
    let as_wide = |tid: u64| {
        let ((base, width), number) = (wide?, wide_number(tid, wide_flags)?);
        inside(number, base, width).then(|| number - base)
    };
    let class = |key: PackedKey| match key {
        PackedKey::Tid(tid) if as_compact(tid).is_some() => COMPACT,
        PackedKey::Tid(tid) if as_wide(tid).is_some() => WIDE,
        PackedKey::Tid(_) => REST | REST_HAS_TIDS,
        PackedKey::Str(_) => REST,
    };
    let mut classes = [0u8; 128];
    let mut flags = 0;
    let mut string_max = 0;
    for (class_of, &key) in classes.iter_mut().zip(keys) {
        *class_of = class(key);
        flags |= *class_of;
        if let PackedKey::Str(id) = key {
            string_max = string_max.max(id);
        }
    }
    let classes = classes.get(..keys.len()).unwrap_or_default();
    let rest_width = if flags & REST_HAS_TIDS != 0 {
        64
    } else {
        width_for(u64::from(string_max))
    };

    if flags & COMPACT != 0 {
        flags |= compact_flags;
    }
    if flags & WIDE != 0 {
        flags |= wide_flags & WIDE_SHORT;
    }
    out.push(flags);
    if let Some((base, width)) = compact.filter(|_| flags & COMPACT != 0) {
        // A time has at most 53 bits.
        out.extend(base.to_le_bytes().iter().take(7));
        out.push(width as u8);
    }
    if let Some((base, width)) = wide.filter(|_| flags & WIDE != 0) {
        out.extend_from_slice(&base.to_le_bytes());
        out.push(width as u8);
    }
    if flags & REST != 0 {
        out.push(rest_width as u8);
    }
    let mut bits = BitWriter::new();
    if flags & COMPACT != 0 && flags & (WIDE | REST) != 0 {
        for &class in classes {
            bits.write(u64::from(class != COMPACT), 1);
        }
    }
    if flags & WIDE != 0 && flags & REST != 0 {
        for &class in classes {
            bits.write(u64::from(class & REST != 0), 1);
        }
    }
    if let Some((_, width)) = compact {
        for &key in keys {
            if let PackedKey::Tid(tid) = key
                && let Some(entry) = as_compact(tid)
            {
                bits.write(entry, width + 5);
            }
        }
    }
    if let Some((_, width)) = wide {
        for (&key, &class) in keys.iter().zip(classes) {
            if let PackedKey::Tid(tid) = key
                && class == WIDE
            {
                bits.write(as_wide(tid).unwrap_or(0), width);
            }
        }
    }
    for (&key, &class) in keys.iter().zip(classes) {
        if class & REST != 0 {
            let entry = match key {
                PackedKey::Str(id) if rest_width < 64 => u64::from(id),
                key => key.to_u64(),
            };
            bits.write(entry, rest_width);
        }
    }
    out.extend_from_slice(&bits.finish());
}
