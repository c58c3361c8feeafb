//! One container: the lower 16 bits of the values that share their upper 16.

/// Bytes of a bitmap container.
pub(super) const BITS_BYTES: usize = 8192;

/// A container's bytes. They may contradict themselves; every question has some answer then, `None`
/// where there is nothing to answer with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Container<'a> {
    /// Values in rising order.
    Array(&'a [[u8; 2]]),
    /// Bit `n % 64` of word `n / 64` says whether `n` is there; the count is the descriptor's.
    Bits(&'a [[u8; 8]], u32),
    /// First value and number of further values of each run, in rising order; the count is the
    /// descriptor's.
    Runs(&'a [[u8; 4]], u32),
}

/// First and last value of a run.
#[inline]
pub(super) fn run_ends([a, b, c, d]: [u8; 4]) -> (u16, u32) {
    let start = u16::from_le_bytes([a, b]);
    // A sum above 65,535 is damage, which `is_sound` finds; iteration stops at the largest value.
    (
        start,
        u32::from(start) + u32::from(u16::from_le_bytes([c, d])),
    )
}

impl<'a> Container<'a> {
    pub(super) fn array(_len: u32, bytes: &'a [u8]) -> Self {
        Self::Array(bytes.as_chunks().0)
    }

    pub(super) fn bits(len: u32, bytes: &'a [u8]) -> Self {
        Self::Bits(bytes.as_chunks().0, len)
    }

    /// `bytes` begin with the number of runs, which whoever cut them out has read.
    pub(super) fn runs(len: u32, bytes: &'a [u8]) -> Self {
        Self::Runs(bytes.get(2..).unwrap_or_default().as_chunks().0, len)
    }

    pub(super) fn contains(&self, low: u16) -> Option<bool> {
        match self {
            Self::Array(values) => Some(
                values
                    .binary_search_by_key(&low, |v| u16::from_le_bytes(*v))
                    .is_ok(),
            ),
            Self::Bits(words, _) => {
                let word = u64::from_le_bytes(*words.get(usize::from(low >> 6))?);
                Some(word >> (low & 63) & 1 == 1)
            }
            Self::Runs(runs, _) => {
                let index = runs.partition_point(|run| run_ends(*run).0 <= low);
                let Some(run) = index.checked_sub(1).and_then(|index| runs.get(index)) else {
                    return Some(false);
                };
                Some(u32::from(low) <= run_ends(*run).1)
            }
        }
    }

    /// How many values are at most `low`.
    pub(super) fn rank(&self, low: u16) -> Option<u32> {
        match self {
            Self::Array(values) => {
                let count = values.partition_point(|v| u16::from_le_bytes(*v) <= low);
                Some(count as u32)
            }
            Self::Bits(words, _) => {
                let (before, rest) = words.split_at_checked(usize::from(low >> 6))?;
                let whole: u32 = before.iter().map(|word| ones(*word)).sum();
                let word = u64::from_le_bytes(*rest.first()?);
                // The bits up to and with `low`.
                Some(whole + (word << (63 - (low & 63))).count_ones())
            }
            Self::Runs(runs, _) => {
                let mut count = 0;
                for run in *runs {
                    let (start, end) = run_ends(*run);
                    if start > low {
                        break;
                    }
                    count += end.min(u32::from(low)) - u32::from(start) + 1;
                }
                Some(count)
            }
        }
    }

    /// The value with `rank` smaller ones in the container.
    pub(super) fn select(&self, mut rank: u32) -> Option<u16> {
        match self {
            Self::Array(values) => Some(u16::from_le_bytes(*values.get(rank as usize)?)),
            Self::Bits(words, _) => {
                for (index, word) in (0_u32..).zip(*words) {
                    let count = ones(*word);
                    if rank < count {
                        let mut word = u64::from_le_bytes(*word);
                        for _ in 0..rank {
                            word &= word - 1;
                        }
                        return u16::try_from(64 * index + word.trailing_zeros()).ok();
                    }
                    rank -= count;
                }
                None
            }
            Self::Runs(runs, _) => {
                for run in *runs {
                    let (start, end) = run_ends(*run);
                    let count = end - u32::from(start) + 1;
                    if rank < count {
                        return u16::try_from(u32::from(start) + rank).ok();
                    }
                    rank -= count;
                }
                None
            }
        }
    }

    /// Whether the values rise, and are as many as the descriptor says.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Array(values) => {
                values.is_sorted_by(|a, b| u16::from_le_bytes(*a) < u16::from_le_bytes(*b))
            }
            Self::Bits(words, len) => words.iter().map(|word| ones(*word)).sum::<u32>() == *len,
            Self::Runs(runs, len) => {
                let (mut count, mut free_from) = (0, 0);
                for run in *runs {
                    let (start, end) = run_ends(*run);
                    if u32::from(start) < free_from || end > u32::from(u16::MAX) {
                        return false;
                    }
                    count += end - u32::from(start) + 1;
                    free_from = end + 1;
                }
                count == *len
            }
        }
    }
}

#[inline]
fn ones(word: [u8; 8]) -> u32 {
    u64::from_le_bytes(word).count_ones()
}
