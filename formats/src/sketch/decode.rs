//! Bytes to sketches. No byte is believed: places, ranks and lengths are checked, and nothing is allocated but the
//! registers themselves.

use super::bits::Bits;
use super::encode::{OUTSIDE, PACKED, PACKED_BYTES, PLAIN, PLAIN_BYTES, SPARSE};
use super::{ELEMENT_BITS, EXACT_MAX, Element, RANK_MAX, REGISTERS, Sketch};
use crate::bytes::Reader;
use crate::{Error, Result};

const WHAT: &str = "sketch";

#[cold]
fn bad<T>(expected: &str, found: impl ToString) -> Result<T> {
    Err(Error::corrupt(WHAT, 0, expected, found))
}

/// What an encoded sketch estimates, without decoding it. O(1).
///
/// # Errors
/// [`Error::Corrupt`] where the bytes don't begin as a sketch does.
pub fn estimate_of(bytes: &[u8]) -> Result<u64> {
    let mut reader = Reader::new(WHAT, bytes);
    match reader.u8()? {
        count if usize::from(count) <= EXACT_MAX => Ok(count.into()),
        SPARSE | PACKED | PLAIN => reader.varint(),
        form => bad("a form of sketches", form),
    }
}

pub(super) fn unite(sketch: &mut Sketch, bytes: &[u8]) -> Result<()> {
    let mut reader = Reader::new(WHAT, bytes);
    let form = reader.u8()?;
    if usize::from(form) <= EXACT_MAX {
        let elements = reader.bytes(reader.remaining())?;
        return exact(sketch, usize::from(form), elements);
    }
    reader.varint()?;
    let bytes = reader.bytes(reader.remaining())?;
    match form {
        SPARSE => sparse(sketch.registers_mut(), bytes),
        PACKED => packed(sketch.registers_mut(), bytes),
        PLAIN => plain(sketch.registers_mut(), bytes),
        form => bad("a form of sketches", form),
    }
}

fn exact(sketch: &mut Sketch, count: usize, bytes: &[u8]) -> Result<()> {
    const BYTES: usize = ELEMENT_BITS as usize / 8;
    let (elements, []) = bytes.as_chunks::<BYTES>() else {
        return bad("whole elements", bytes.len());
    };
    if elements.len() != count {
        return bad(&format!("{count} elements"), elements.len());
    }
    let mut before = None;
    for element in elements {
        let mut whole = [0; 8];
        for (to, from) in whole.iter_mut().zip(element) {
            *to = *from;
        }
        let bits = u64::from_le_bytes(whole);
        if before >= Some(bits) {
            return bad("rising elements", bits);
        }
        before = Some(bits);
        sketch.add(Element(bits));
    }
    Ok(())
}

#[inline]
fn raise(registers: &mut [u8], place: usize, rank: u8) -> Result<()> {
    match registers.get_mut(place) {
        Some(value) if rank <= RANK_MAX => {
            *value = (*value).max(rank);
            Ok(())
        }
        Some(_) => bad("a rank of at most 35", rank),
        None => bad("a register below 16,384", place),
    }
}

fn sparse(registers: &mut [u8], bytes: &[u8]) -> Result<()> {
    let Some(([a, b, low], bytes)) = bytes.split_first_chunk::<3>() else {
        return bad("a head of 3 bytes", bytes.len());
    };
    let (used, low) = (u16::from_le_bytes([*a, *b]), u32::from(*low));
    if usize::from(used) > REGISTERS || low > 14 {
        return bad(
            "at most 16,384 registers and 14 low bits",
            format!("{used}, {low}"),
        );
    }
    let mut bits = Bits::new(bytes);
    let mut next = 0usize;
    for _ in 0..used {
        let (lowest, high, rank) = match bits.read_and_ones_twice(low) {
            Some(read) => read,
            None => {
                let lowest = bits.read(low);
                let high = bits.ones(REGISTERS as u32);
                (lowest, high, bits.ones(u32::from(RANK_MAX)))
            }
        };
        // Below 2^14 ones or few at hand, 14 low bits and 2^14 gaps: far from 2^64.
        let place = next + lowest as usize + ((high as usize) << low);
        raise(registers, place, rank as u8 + 1)?;
        next = place + 1;
    }
    if !bits.is_at_end() {
        return bad("as many bits as registers need", bytes.len());
    }
    Ok(())
}

fn packed(registers: &mut [u8], bytes: &[u8]) -> Result<()> {
    let mut reader = Reader::new(WHAT, bytes);
    let (base, listed) = (reader.u8()?, reader.u16()?);
    if base > RANK_MAX + 1 - OUTSIDE {
        return bad("a window of ranks up to 35", base);
    }
    let windows = reader.bytes(PACKED_BYTES)?;
    let mut values = [0u8; REGISTERS];
    let (windows, _) = windows.as_chunks::<3>();
    let (eights, _) = values.as_chunks_mut::<8>();
    let mut found = 0;
    let bases = u64::from(base) * 0x0101_0101_0101_0101;
    for (eight, [a, b, c]) in eights.iter_mut().zip(windows) {
        // Eight codes of three bits each move to the bytes of a word: first halves, then quarters, then eighths.
        let codes = u64::from(u32::from_le_bytes([*a, *b, *c, 0]));
        let codes = (codes & 0xfff) | (codes & 0xff_f000) << 20;
        let codes = (codes & 0x0000_003f_0000_003f) | (codes & 0x0000_0fc0_0000_0fc0) << 10;
        let codes = (codes & 0x0007_0007_0007_0007) | (codes & 0x0038_0038_0038_0038) << 5;
        *eight = (codes + bases).to_le_bytes();
        found += (codes & codes >> 1 & codes >> 2 & 0x0101_0101_0101_0101).count_ones();
    }
    if found != u32::from(listed) {
        return bad(&format!("{listed} registers outside of the window"), found);
    }
    let outside = base + OUTSIDE;
    let mut place = 0usize;
    for number in 0..listed {
        let gap = reader.varint_u32()? as usize;
        if number > 0 && gap == 0 {
            return bad("rising registers", gap);
        }
        place = place.saturating_add(gap);
        let value = reader.u8()?;
        match values.get_mut(place) {
            // A value inside of the window has a code.
            Some(code)
                if *code == outside && !(base..outside).contains(&value) && value <= RANK_MAX =>
            {
                *code = value;
            }
            _ => {
                return bad(
                    "a register outside of the window",
                    format!("{place}: {value}"),
                );
            }
        }
    }
    reader.finish()?;
    let mut top = 0;
    for (register, value) in registers.iter_mut().zip(&values) {
        top = top.max(*value);
        *register = (*register).max(*value);
    }
    if top > RANK_MAX {
        return bad("a rank of at most 35", top);
    }
    Ok(())
}

fn plain(registers: &mut [u8], bytes: &[u8]) -> Result<()> {
    if bytes.len() != PLAIN_BYTES {
        return bad("12,288 bytes", bytes.len());
    }
    let (threes, _) = bytes.as_chunks::<3>();
    let fours = registers.chunks_exact_mut(4);
    for (four, [a, b, c]) in fours.zip(threes) {
        let word = u32::from_le_bytes([*a, *b, *c, 0]);
        for (shift, register) in [0, 6, 12, 18].into_iter().zip(four) {
            let value = (word >> shift & 63) as u8;
            if value > RANK_MAX {
                return bad("a rank of at most 35", value);
            }
            *register = (*register).max(value);
        }
    }
    Ok(())
}
