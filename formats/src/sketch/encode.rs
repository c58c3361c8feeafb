//! Sketches to bytes: of the forms of `SPEC.md` the shortest.

use super::{ELEMENT_BITS, RANK_MAX, REGISTERS, estimate};
use crate::bits::BitWriter;
use crate::bytes::put_varint;

/// Forms of sketches that are not exact: the first byte.
pub(super) const SPARSE: u8 = 129;
pub(super) const PACKED: u8 = 130;
pub(super) const PLAIN: u8 = 131;

/// Bytes of the windows of all registers in a packed sketch.
pub(super) const PACKED_BYTES: usize = REGISTERS * 3 / 8;
/// The code of a register of a packed sketch that stands in the list.
pub(super) const OUTSIDE: u8 = 7;
/// Bytes of all registers in a plain sketch.
pub(super) const PLAIN_BYTES: usize = REGISTERS * 6 / 8;

pub(super) fn exact(elements: &[u64], out: &mut Vec<u8>) {
    out.push(elements.len() as u8);
    for element in elements {
        let bytes = element.to_le_bytes();
        out.extend(bytes.iter().take(ELEMENT_BITS as usize / 8));
    }
}

pub(super) fn registers(registers: &[u8], out: &mut Vec<u8>) {
    let mut counts = [0usize; 64];
    for value in registers {
        if let Some(count) = counts.get_mut(usize::from(*value & 63)) {
            *count += 1;
        }
    }
    let used = REGISTERS - counts.first().copied().unwrap_or(0).min(REGISTERS);
    let sparse = Sparse::choose(used);
    let sparse_bytes = sparse.bytes(registers);
    let (base, listed) = window(&counts);
    // A place in the list takes at least a byte, and its rank another.
    let packed_min = 3 + PACKED_BYTES + 2 * listed;
    let start = out.len();
    out.push(SPARSE);
    put_varint(out, estimate::of_registers(registers));
    let head = out.len();
    let mut form = SPARSE;
    if sparse_bytes > packed_min.min(PLAIN_BYTES) {
        packed(registers, base, listed, out);
        form = match out.len() - head {
            bytes if sparse_bytes <= bytes.min(PLAIN_BYTES) => SPARSE,
            bytes if bytes <= PLAIN_BYTES => PACKED,
            _ => PLAIN,
        };
    }
    if form != PACKED {
        out.truncate(head);
    }
    match form {
        SPARSE => sparse.write(registers, out),
        PLAIN => {
            let mut bits = BitWriter::new();
            for value in registers {
                bits.write(u64::from(*value), 6);
            }
            out.append(&mut bits.finish());
        }
        _ => {}
    }
    if let Some(first) = out.get_mut(start) {
        *first = form;
    }
}

/// The registers that are not 0: of each the distance to the one before in Golomb-Rice code (Rice, 1979), then its
/// rank in unary, which is what half of them being 1, a quarter 2 and so on costs least in.
struct Sparse {
    used: usize,
    /// Low bits of a distance that stand plainly.
    low: u32,
}

impl Sparse {
    fn choose(used: usize) -> Self {
        let mean = REGISTERS / used.max(1);
        Self {
            used,
            low: mean.max(1).ilog2(),
        }
    }

    fn each(registers: &[u8], mut each: impl FnMut(u64, u64)) {
        let mut before = 0u64;
        for (place, value) in (1u64..).zip(registers) {
            if *value > 0 {
                each(place - before - 1, u64::from(*value) - 1);
                before = place;
            }
        }
    }

    fn bytes(&self, registers: &[u8]) -> usize {
        let mut bits = 0u64;
        Self::each(registers, |gap, rank| {
            bits += u64::from(self.low) + (gap >> self.low) + rank + 2;
        });
        3 + bits.div_ceil(8) as usize
    }

    fn write(&self, registers: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.used as u16).to_le_bytes());
        out.push(self.low as u8);
        let mut bits = BitWriter::new();
        let unary = |bits: &mut BitWriter, mut count: u64| {
            while count >= 32 {
                bits.write(u64::from(u32::MAX), 32);
                count -= 32;
            }
            bits.write((1 << count) - 1, count as u32 + 1);
        };
        Self::each(registers, |gap, rank| {
            bits.write(gap, self.low);
            unary(&mut bits, gap >> self.low);
            unary(&mut bits, rank);
        });
        out.append(&mut bits.finish());
    }
}

/// The first of the seven neighbouring ranks that most registers have, and how many have none of them.
fn window(counts: &[usize; 64]) -> (u8, usize) {
    let windows = counts.windows(usize::from(OUTSIDE));
    let inside = windows.map(|window| window.iter().sum::<usize>());
    // Of equally good ones the first.
    let (base, inside) = (0..=RANK_MAX + 1 - OUTSIDE)
        .zip(inside)
        .fold(
            (0, 0),
            |best, next| {
                if next.1 > best.1 { next } else { best }
            },
        );
    (base, REGISTERS - inside.min(REGISTERS))
}

fn packed(registers: &[u8], base: u8, listed: usize, out: &mut Vec<u8>) {
    out.push(base);
    out.extend_from_slice(&(listed as u16).to_le_bytes());
    let code = |value: u8| match value.checked_sub(base) {
        Some(code) if code < OUTSIDE => code,
        _ => OUTSIDE,
    };
    for eight in registers.chunks_exact(8) {
        let codes = eight.iter().rev();
        let codes = codes.fold(0u32, |codes, value| codes << 3 | u32::from(code(*value)));
        out.extend(codes.to_le_bytes().iter().take(3));
    }
    let mut before = 0u64;
    for (place, value) in (0u64..).zip(registers) {
        if code(*value) == OUTSIDE {
            put_varint(out, place - before);
            out.push(*value);
            before = place;
        }
    }
}
