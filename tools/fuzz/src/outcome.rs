//! What an input came to. Digits, hexadecimal ones too, are left out of texts, so that an error at another offset
//! or with another checksum is no news.

use std::fmt::{self, Debug, Write};

use xxhash_rust::xxh3::Xxh3;

/// A fingerprint of how an input was read: inputs with one of their own are worth keeping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Outcome(u64);

impl Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Most characters of a text that count.
const TEXT_BYTES: usize = 400;

struct Shape {
    hash: Xxh3,
    left: usize,
}

impl Write for Shape {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes().filter(|byte| !byte.is_ascii_hexdigit()) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            self.hash.update(&[byte]);
        }
        Ok(())
    }
}

impl Outcome {
    /// The outcome that prints as `value`.
    pub(crate) fn of(value: &dyn Debug) -> Self {
        let mut shape = Shape {
            hash: Xxh3::new(),
            left: TEXT_BYTES,
        };
        let _ = write!(shape, "{value:?}");
        Self(shape.hash.digest())
    }

    /// An outcome of counts, of which only the order of magnitude counts.
    pub(crate) fn counts(counts: &[u64]) -> Self {
        let mut hash = Xxh3::new();
        for count in counts {
            hash.update(&[count.checked_ilog2().map_or(0, |log| log as u8 + 1)]);
        }
        Self(hash.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_elsewhere_is_no_news() {
        assert_eq!(Outcome::of(&"offset 17"), Outcome::of(&"offset 9"));
        assert_eq!(Outcome::of(&"sum 0xab"), Outcome::of(&"sum 0x9"));
        assert_ne!(Outcome::of(&"offset 17"), Outcome::of(&"length 17"));
        assert_eq!(Outcome::counts(&[9, 0]), Outcome::counts(&[15, 0]));
        assert_ne!(Outcome::counts(&[9, 0]), Outcome::counts(&[9, 1]));
    }
}
