//! Writing a block of keys: which classes make it shortest.

use super::{
    COMPACT, COMPACT_US, PackedKey, REST, REST_HAS_TIDS, WIDE, WIDE_SHORT, inside, split,
    wide_number,
};
use crate::bits::{BitWriter, width_for};

/// Whether some `count` of the numbers, at least one, lie within `span`.
#[inline]
fn is_within(sorted: &[u64], count: usize, span: u64) -> bool {
    let ends = sorted.get(count.saturating_sub(1)..).unwrap_or_default();
    sorted
        .iter()
        .zip(ends)
        .any(|(start, end)| end - start <= span)
}

/// The most numbers that lie within `span`, and the first of the first such ones.
fn most_within(sorted: &[u64], span: u64) -> (u64, u64) {
    let (mut most, mut base) = (0, 0);
    // The window never gets smaller: it grows where one number more fits than ever before.
    let mut starts = sorted.iter();
    for end in sorted {
        let Some(start) = starts.as_slice().first() else {
            break;
        };
        if end - start <= span {
            most += 1;
            base = *start;
        } else {
            starts.next();
        }
    }
    (most, base)
}

/// The window of numbers, as a base and a width in bits, that makes the entries inside it and
/// `outside_bits` for each number outside shortest in all, with a bit for each number where there are such
/// numbers; of equally short ones the narrowest. `sorted` is not empty, and no entry inside the widest window takes more
/// than `outside_bits`.
fn best_window(sorted: &[u64], extra_bits: u64, outside_bits: u64) -> (u64, u32) {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return (0, 0);
    };
    let all = sorted.len() as u64;
    let widest = width_for(last - first).min(63);
    let span = |width: u32| (1u64 << width) - 1;
    let (most, mut base) = match last - first <= span(widest) {
        true => (all, *first),
        false => most_within(sorted, span(widest)),
    };
    let bits_of = |most: u64, width: u32| {
        let map = if most < all { all } else { 0 };
        most * (u64::from(width) + extra_bits) + (all - most) * outside_bits + map
    };
    let (mut bits, mut best) = (bits_of(most, widest), widest);
    // A narrower window has fewer inside, and is as short as the best if it has so many of them, for all that one
    // inside saves.
    let enough = |bits: u64, saved: u64| {
        let over = (all * outside_bits + all).saturating_sub(bits);
        over.div_ceil(saved.max(1)).clamp(1, all) as usize
    };
    for width in (0..widest).rev() {
        let saved = outside_bits.saturating_sub(u64::from(width) + extra_bits);
        if !is_within(sorted, enough(bits, saved), span(width)) {
            // So no narrower one either, where even entries of no width would be too few.
            let saved = outside_bits.saturating_sub(extra_bits);
            if !is_within(sorted, enough(bits, saved), span(width)) {
                break;
            }
            continue;
        }
        let (most, start) = most_within(sorted, span(width));
        let found = bits_of(most, width);
        if found <= bits {
            (bits, best, base) = (found, width, start);
        }
    }
    (base, best)
}

/// Most keys of a block.
const KEYS: usize = 128;
/// No time of a TID, which has 53 bits.
const NO_TIME: u64 = u64::MAX;

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
    let mut times = [NO_TIME; KEYS];
    scratch.clear();
    for (time_of, &key) in times.iter_mut().zip(keys) {
        if let PackedKey::Tid(tid) = key
            && let Some((time, _)) = split(tid, head_flags)
        {
            *time_of = time;
            scratch.push(time);
        }
    }
    scratch.sort_unstable();
    let compact = match (scratch.first(), scratch.last()) {
        (Some(first), Some(last)) => {
            // Outside of the window a key is most likely wide, at the distance of all of them.
            let outside = u64::from(width_for(last - first)) + 5 + unit_bits;
            Some(best_window(scratch, 5, outside.min(64)))
        }
        _ => None,
    };
    let mut flags = 0;
    // The class of each key, and its entry.
    let mut classes = [(0u8, 0u64); KEYS];
    scratch.clear();
    for ((class, &time), &key) in classes.iter_mut().zip(&times).zip(keys) {
        let PackedKey::Tid(tid) = key else {
            continue;
        };
        match compact {
            Some((base, width)) if time != NO_TIME && inside(time, base, width) => {
                *class = (COMPACT, (time - base) << 5 | (tid & 31));
                flags |= COMPACT | head_flags;
            }
            _ => scratch.push(tid),
        }
    }
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
    let mut string_max = 0;
    for (class, &key) in classes.iter_mut().zip(keys) {
        if class.0 == COMPACT {
            continue;
        }
        *class = match key {
            PackedKey::Tid(tid) => match as_wide(tid) {
                Some(entry) => (WIDE, entry),
                None => (REST | REST_HAS_TIDS, key.to_u64()),
            },
            PackedKey::Str(id) => {
                string_max = string_max.max(id);
                (REST, key.to_u64())
            }
        };
        flags |= class.0;
    }
    let classes = classes.get(..keys.len()).unwrap_or_default();
    let rest_width = if flags & REST_HAS_TIDS != 0 {
        64
    } else {
        width_for(u64::from(string_max))
    };
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
    let mut bits = BitWriter::behind(std::mem::take(out));
    if flags & COMPACT != 0 && flags & (WIDE | REST) != 0 {
        for (class, _) in classes {
            bits.write(u64::from(*class != COMPACT), 1);
        }
    }
    if flags & WIDE != 0 && flags & REST != 0 {
        for (class, _) in classes {
            bits.write(u64::from(class & REST != 0), 1);
        }
    }
    let compact_width = compact.map_or(0, |(_, width)| width + 5);
    let wide_width = wide.map_or(0, |(_, width)| width);
    // Below 64 bits the flag of a string is left out.
    for (wanted, width) in [
        (COMPACT, compact_width),
        (WIDE, wide_width),
        (REST, rest_width),
    ] {
        if flags & wanted == 0 {
            continue;
        }
        for (_, entry) in classes.iter().filter(|(class, _)| class & wanted != 0) {
            bits.write(*entry, width);
        }
    }
    *out = bits.finish();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by trying every width and every number as the base.
    fn best_of_all(sorted: &[u64], extra_bits: u64, outside_bits: u64) -> (u64, u32) {
        let all = sorted.len() as u64;
        let mut best = (u64::MAX, 0, 0);
        let widest = width_for(sorted[sorted.len() - 1] - sorted[0]).min(63);
        for width in (0..=widest).rev() {
            let (mut most, mut base) = (0, 0);
            for &start in sorted {
                let inside = sorted.iter().filter(|&&n| inside(n, start, width)).count() as u64;
                if inside > most {
                    (most, base) = (inside, start);
                }
            }
            let map = if most < all { all } else { 0 };
            let bits = most * (u64::from(width) + extra_bits) + (all - most) * outside_bits + map;
            if bits <= best.0 {
                best = (bits, base, width);
            }
        }
        (best.1, best.2)
    }

    proptest! {
        #[test]
        fn the_window_is_the_shortest_of_all(
            clusters in prop::collection::vec((0u64..1 << 53, 0u32..50, 1usize..50), 1..5),
            noise in prop::collection::vec(any::<u64>(), 50),
            unit in prop::sample::select(vec![0u64, 10]),
        ) {
            let mut sorted = Vec::new();
            for (base, width, count) in clusters {
                sorted.extend(noise.iter().take(count).map(|n| base + (n & ((1 << width) - 1))));
            }
            sorted.sort_unstable();
            sorted.truncate(128);
            let outside = u64::from(width_for(sorted[sorted.len() - 1] - sorted[0])) + 5 + unit;
            for (extra, outside) in [(5, outside.min(64)), (0, 64)] {
                prop_assert_eq!(
                    best_window(&sorted, extra, outside),
                    best_of_all(&sorted, extra, outside)
                );
            }
        }
    }
}
