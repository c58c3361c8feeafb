//! Writing a bitmap, value by value.

use super::container::BITS_BYTES;
use super::{ARRAY_LEN_MAX, CONTAINERS_FOR_OFFSETS, COOKIE_WITH_RUNS, COOKIE_WITHOUT_RUNS, split};
use crate::bytes::{put_u16, put_u32};

/// Encodes a set from its values in rising order. The bytes of a bitmap are its head and its containers;
/// the containers grow while values come, the head is known at the end. Whoever keeps them may move out
/// what was appended at any time. The bytes are those of crate `roaring` for an optimised bitmap.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    key: u16,
    /// Lower halves of the values of the container being filled.
    lows: Vec<u16>,
    runs: u32,
    containers: Vec<Descriptor>,
    /// Bytes of the containers so far.
    bytes: u64,
    has_runs: bool,
}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    key: u16,
    len_less_one: u16,
    is_run: bool,
    bytes: u32,
}

impl Encoder {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value, larger than the one before.
    #[inline]
    pub fn push(&mut self, value: u32, containers: &mut Vec<u8>) {
        let (key, low) = split(value);
        if key != self.key {
            self.flush(containers);
            self.key = key;
        }
        debug_assert!(
            self.lows.last().is_none_or(|last| *last < low),
            "values that do not rise"
        );
        let follows = self
            .lows
            .last()
            .is_some_and(|last| u32::from(*last) + 1 == u32::from(low));
        self.runs += u32::from(!follows);
        self.lows.push(low);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let (Some(first), len) = (self.lows.first(), self.lows.len() as u32) else {
            return;
        };
        let before = out.len();
        let plain_bytes = if len <= ARRAY_LEN_MAX {
            2 * len
        } else {
            BITS_BYTES as u32
        };
        let is_run = 2 + 4 * self.runs < plain_bytes;
        if is_run {
            put_u16(out, self.runs as u16);
            let (mut start, mut last) = (*first, *first);
            for &low in self.lows.iter().skip(1) {
                if low != last.wrapping_add(1) {
                    put_u16(out, start);
                    put_u16(out, last - start);
                    start = low;
                }
                last = low;
            }
            put_u16(out, start);
            put_u16(out, last - start);
        } else if len <= ARRAY_LEN_MAX {
            for &low in &self.lows {
                put_u16(out, low);
            }
        } else {
            out.resize(before + BITS_BYTES, 0);
            for &low in &self.lows {
                if let Some(byte) = out.get_mut(before + usize::from(low / 8)) {
                    *byte |= 1 << (low % 8);
                }
            }
        }
        // A container has at most 65,536 values and 8 KiB.
        let bytes = (out.len() - before) as u32;
        self.containers.push(Descriptor {
            key: self.key,
            len_less_one: (len - 1) as u16,
            is_run,
            bytes,
        });
        self.bytes += u64::from(bytes);
        self.has_runs |= is_run;
        self.lows.clear();
        self.runs = 0;
    }

    /// Ends the set: appends what is left to `containers`, and to `head` what stands before all of them.
    pub fn finish(mut self, containers: &mut Vec<u8>, head: &mut Vec<u8>) {
        self.flush(containers);
        let start = head.len();
        // At most one container for each upper half: 65,536.
        let count = self.containers.len() as u32;
        if self.has_runs {
            put_u16(head, COOKIE_WITH_RUNS);
            put_u16(head, count.saturating_sub(1) as u16);
            for flags in self.containers.chunks(8) {
                let bits = flags.iter().zip(0..);
                head.push(bits.fold(0, |byte, (container, bit)| {
                    byte | u8::from(container.is_run) << bit
                }));
            }
        } else {
            put_u32(head, COOKIE_WITHOUT_RUNS);
            put_u32(head, count);
        }
        for container in &self.containers {
            put_u16(head, container.key);
            put_u16(head, container.len_less_one);
        }
        if !self.has_runs || count >= CONTAINERS_FOR_OFFSETS {
            let mut offset = (head.len() - start) as u32 + 4 * count;
            for container in &self.containers {
                put_u32(head, offset);
                offset += container.bytes;
            }
        }
    }
}
