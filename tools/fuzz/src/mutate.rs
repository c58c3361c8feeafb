//! Changes of inputs that know nothing of their structure: bits, bytes, integers, pieces cut, doubled, moved
//! and taken from other inputs, and words of the target.

use crate::rng::Rng;

/// Integers at which code tends to break.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Most changes of one input.
const CHANGES: usize = 6;

/// Changes `input` a few times; it stays within `len_max` bytes.
pub(crate) fn mutate(
    input: &mut Vec<u8>,
    pool: &[Vec<u8>],
    words: &[&str],
    len_max: usize,
    rng: &mut Rng,
) {
    for _ in 0..=rng.below(CHANGES) {
        change(input, pool, words, rng);
        input.truncate(len_max);
    }
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str], rng: &mut Rng) {
    let len = input.len();
    let at = rng.below(len);
    // A piece that begins at `at`, mostly short.
    let max = if rng.below(4) == 0 { len - at } else { 16 };
    let end = (at + rng.below(max + 1)).min(len);
    match rng.below(if words.is_empty() { 11 } else { 14 }) {
        0 | 1 if len > 0 => input[at] ^= 1 << rng.below(8),
        2 if len > 0 => input[at] = rng.next() as u8,
        3 | 4 if len > 0 => integer(input, at, rng),
        5 => drop(input.drain(at..end)),
        6 => {
            let piece = input[at..end].to_vec();
            let to = rng.below(len + 1);
            input.splice(to..to, piece);
        }
        7 if len > 0 => {
            let piece = input[at..end].to_vec();
            let to = rng.below(len);
            for (slot, byte) in input[to..].iter_mut().zip(piece) {
                *slot = byte;
            }
        }
        8 => input.truncate(at),
        9 => {
            // A piece of another input, put in or over.
            let other = rng.one(pool);
            let from = rng.below(other.len());
            let max = if rng.below(2) == 0 { other.len() } else { 32 };
            let piece = &other[from..(from + rng.below(max + 1)).min(other.len())];
            let until = if rng.below(2) == 0 {
                at
            } else {
                (at + piece.len()).min(len)
            };
            input.splice(at..until, piece.iter().copied());
        }
        10 => {
            let bytes: Vec<u8> = (0..=rng.below(8)).map(|_| rng.next() as u8).collect();
            input.splice(at..at, bytes);
        }
        11.. => {
            let word = rng.one(words).as_bytes();
            let until = if rng.below(2) == 0 {
                at
            } else {
                (at + word.len()).min(len)
            };
            input.splice(at..until, word.iter().copied());
        }
        _ => input.push(rng.next() as u8),
    }
}

/// Edits the little-endian integer of 1, 2, 4 or 8 bytes at `at`.
fn integer(input: &mut [u8], at: usize, rng: &mut Rng) {
    let width = (1 << rng.below(4)).min(input.len() - at);
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(&input[at..at + width]);
    let value = u64::from_le_bytes(bytes);
    let value = match rng.below(4) {
        0 => *rng.one(&EDGES),
        1 => value.wrapping_add(1 + rng.below(16) as u64),
        2 => value.wrapping_sub(1 + rng.below(16) as u64),
        _ => value.wrapping_shl(1 + rng.below(8) as u32),
    };
    input[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_changes_within_the_length() {
        let pool = [b"0123456789".to_vec(), Vec::new()];
        let changed = |seed| {
            let (mut rng, mut input) = (Rng::new(seed), b"an input".to_vec());
            mutate(&mut input, &pool, &["word"], 12, &mut rng);
            assert!(input.len() <= 12);
            input
        };
        let all: std::collections::BTreeSet<_> = (0..1000).map(changed).collect();
        assert!(all.len() > 800, "{}", all.len());
        assert_eq!(changed(7), changed(7));
    }
}
