//! Sketches: how many distinct accounts, from sets that unite. Up to [`EXACT_MAX`] elements a sketch is the
//! set itself; beyond, it is a HyperLogLog (Flajolet et al., AofA 2007) of [`REGISTERS`] registers, with a
//! standard error of 0.81 %.
//!
//! Whether a sketch is exact depends on its elements alone, not on the order in which they came or on how often
//! sketches were united: so are its bytes ([`encode`]), and what it estimates.

mod bits;
mod decode;
mod encode;
mod estimate;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::Result;

pub use decode::estimate_of;

/// Registers of a sketch that is not exact.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// The most elements that a sketch holds as they are.
pub const EXACT_MAX: usize = 128;
/// The highest rank of an element; a register of this rank says "at least".
pub const RANK_MAX: u8 = (ELEMENT_BITS - INDEX_BITS) as u8 + 1;
/// The most bytes of an encoded sketch.
pub const ENCODED_MAX: usize = 1 + crate::bytes::VARINT_BYTES_MAX + REGISTERS * 6 / 8;

const INDEX_BITS: u32 = 14;
/// The lowest bits of a hash that a sketch looks at: 128 elements are told apart with a chance of 3 in 10^11 to
/// fail, and 34 bits are left for the rank, which suffices for 10^13 elements.
const ELEMENT_BITS: u32 = 48;
const ELEMENT_MASK: u64 = (1 << ELEMENT_BITS) - 1;

/// What a directory hashes accounts with, so that nobody can choose DIDs that raise an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Of the given bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// That of a directory, from the secret in its manifest: the first half of the SHA-256 of `orrery sketch` and
    /// the secret.
    #[must_use]
    pub fn of_directory(secret: &[u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"orrery sketch")
            .chain_update(secret)
            .finalize();
        let mut bytes = [0; 16];
        for (byte, value) in bytes.iter_mut().zip(digest) {
            *byte = value;
        }
        Self(bytes)
    }

    /// The hash of a DID: the first 8 bytes, little-endian, of the SHA-256 of the secret and the DID.
    ///
    /// ```
    /// let secret = orrery_formats::sketch::Secret::new([0; 16]);
    /// let element = secret.element("did:plc:abc");
    /// assert_eq!(element.hash(), 0x358b_bdda_c8e2_0d3e);
    /// assert_eq!((element.register(), element.rank()), (3390, 1));
    /// ```
    #[must_use]
    pub fn element(&self, did: &str) -> Element {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(did.as_bytes())
            .finalize();
        let mut bytes = [0; 8];
        for (byte, value) in bytes.iter_mut().zip(digest) {
            *byte = value;
        }
        Element(u64::from_le_bytes(bytes))
    }
}

/// One element of a sketch: the hash of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element(u64);

impl Element {
    /// The element of a hash, of which only the lowest 48 bits count.
    #[must_use]
    pub const fn of_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.0
    }

    /// What an exact sketch keeps of it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0 & ELEMENT_MASK
    }

    /// The register that it belongs to: the lowest 14 bits.
    #[must_use]
    pub const fn register(self) -> u16 {
        (self.0 & (REGISTERS as u64 - 1)) as u16
    }

    /// 1 + the trailing ones of the 34 bits above, so at most [`RANK_MAX`].
    #[must_use]
    pub const fn rank(self) -> u8 {
        (self.bits() >> INDEX_BITS).trailing_ones() as u8 + 1
    }
}

/// A set of accounts, in at most 16 KiB. Emptied and used again it allocates nothing.
#[derive(Clone, Default)]
pub struct Sketch {
    /// The elements, rising, while it is exact.
    exact: Vec<u64>,
    /// The registers, once it is not.
    registers: Box<[u8]>,
    is_exact: Exactness,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Exactness {
    #[default]
    Exact,
    Registers,
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch")
            .field("is_exact", &self.is_exact())
            .field("estimate", &self.estimate())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        match (self.is_exact, other.is_exact) {
            (Exactness::Exact, Exactness::Exact) => self.exact == other.exact,
            (Exactness::Registers, Exactness::Registers) => self.registers == other.registers,
            _ => false,
        }
    }
}

impl Sketch {
    /// No elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all elements out, and keeps the memory.
    pub fn clear(&mut self) {
        self.exact.clear();
        if self.is_exact == Exactness::Registers {
            self.registers.fill(0);
        }
        self.is_exact = Exactness::Exact;
    }

    /// Whether it holds the elements themselves.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_exact == Exactness::Exact
    }

    /// Whether it holds no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_exact() && self.exact.is_empty()
    }

    /// Adds an element. O(log 128), then O(1).
    pub fn add(&mut self, element: Element) {
        match self.is_exact {
            Exactness::Registers => raise(&mut self.registers, element),
            Exactness::Exact => {
                let bits = element.bits();
                if let Err(place) = self.exact.binary_search(&bits) {
                    if self.exact.len() < EXACT_MAX {
                        self.exact.insert(place, bits);
                    } else {
                        raise(self.registers_mut(), element);
                    }
                }
            }
        }
    }

    /// Raises a register to `rank`, which makes the sketch inexact.
    pub fn raise(&mut self, register: u16, rank: u8) {
        if let Some(value) = self.registers_mut().get_mut(usize::from(register)) {
            *value = (*value).max(rank.min(RANK_MAX));
        }
    }

    /// Adds all elements of another sketch.
    pub fn unite(&mut self, other: &Self) {
        match other.is_exact {
            Exactness::Exact => {
                for bits in &other.exact {
                    self.add(Element(*bits));
                }
            }
            Exactness::Registers => {
                for (value, other) in self.registers_mut().iter_mut().zip(&other.registers) {
                    *value = (*value).max(*other);
                }
            }
        }
    }

    /// Adds all elements of an encoded sketch. Allocates nothing but, once, the registers.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where the bytes are no sketch; what it holds then is unspecified.
    pub fn unite_encoded(&mut self, bytes: &[u8]) -> Result<()> {
        decode::unite(self, bytes)
    }

    /// How many elements it holds: exact up to [`EXACT_MAX`], rounded beyond. O(registers).
    #[must_use]
    pub fn estimate(&self) -> u64 {
        match self.is_exact {
            Exactness::Exact => self.exact.len() as u64,
            Exactness::Registers => estimate::of_registers(&self.registers),
        }
    }

    /// Appends its bytes (`SPEC.md`, Sketch): the shortest of the forms that it can have. Equal sketches have equal
    /// bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.is_exact {
            Exactness::Exact => encode::exact(&self.exact, out),
            Exactness::Registers => encode::registers(&self.registers, out),
        }
    }

    /// The registers, those of the elements where it was exact so far.
    fn registers_mut(&mut self) -> &mut [u8] {
        if self.is_exact == Exactness::Exact {
            if self.registers.is_empty() {
                self.registers = vec![0; REGISTERS].into_boxed_slice();
            }
            for bits in self.exact.drain(..) {
                raise(&mut self.registers, Element(bits));
            }
            self.is_exact = Exactness::Registers;
        }
        &mut self.registers
    }
}

fn raise(registers: &mut [u8], element: Element) {
    if let Some(value) = registers.get_mut(usize::from(element.register())) {
        *value = (*value).max(element.rank());
    }
}
