//! How much samples may take, on disk and on the heap.
//!
//! On disk, all segments together take no more than the limit. While they take less than three quarters of it, nothing
//! has to go. Beyond, a seal adds a sixteenth of what is left, so that new samples always get in and the limit is never
//! met; and a merge, which makes no segment larger than its inputs were together, leaves no more than brings all
//! segments back to three quarters, or than a sixteenth of what the segments before it leave. So the segments up to the
//! n-th always leave a quarter of the limit times (15/16)^n, whatever was written. Where the limit was lowered, seals
//! and merges still may write a 1,024th of it, each beyond the limit until merges have rewritten what is older.
//!
//! What has to go is told by a [`Cut`]: first of all, each collection gets the same bytes, of which a sample takes no
//! more than a quarter, so that long records and collections with many give way to those with few and short ones.
//! When a KiB for each is too much, those that were written to longest ago get nothing. Bytes are counted before
//! compression: what has to make room makes some more than it had to.

/// The least share of a collection, in bytes; the longest sample that never gives way to shorter ones.
const LEAST: u64 = 1 << 10;
/// Shares, each half of the one before. No collection takes more than the first.
const SHARES: usize = 16;
/// What a sample takes before compression beside key and body, at most.
const SAMPLE_BYTES: u64 = 48;
/// What a collection takes beside its name and its samples, at most.
const COLLECTION_BYTES: u64 = 48;

/// The bytes that a seal may add to samples that take `used`.
pub(crate) fn room_of_seal(used: u64, limit: u64) -> u64 {
    room(used, used, limit)
}

/// The bytes that a merge may leave of its inputs, beside the samples of all other segments, of which those of the
/// older ones take `older`.
pub(crate) fn room_of_merge(beside: u64, older: u64, limit: u64) -> u64 {
    room(beside, older, limit)
}

fn room(beside: u64, older: u64, limit: u64) -> u64 {
    let to_target = (limit - limit / 4).saturating_sub(beside);
    let of_rest = limit.saturating_sub(older) / 16;
    to_target.max(of_rest).max(limit / 1024)
}

/// What a sample counts.
pub(crate) fn bytes_of(rkey: &str, body: &[u8]) -> u64 {
    rkey.len() as u64 + body.len() as u64 + SAMPLE_BYTES
}

/// What a collection may take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share(u64);

impl Share {
    /// As much as any collection takes.
    pub(crate) const MOST: Self = Self(LEAST << (SHARES - 1));

    /// The next smaller one.
    pub(crate) fn halved(self) -> Option<Self> {
        (self.0 > LEAST).then_some(Self(self.0 / 2))
    }

    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// The longest sample that is let in. Some short ones always fit beside it.
    pub(crate) fn longest(self) -> u64 {
        (self.0 / 4).max(LEAST)
    }
}

/// Which samples stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Of each collection.
    share: Share,
    /// The oldest event whose record stays.
    since_seq: u64,
}

/// What a collection has taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    bytes: u64,
    is_full: bool,
}

impl Cut {
    /// All stay.
    pub(crate) const NONE: Self = Self {
        share: Share::MOST,
        since_seq: 0,
    };

    /// Whether the next sample of a collection, from the newest on, may be taken.
    pub(crate) fn admits(&self, taken: &Taken, seq: u64, bytes: u64) -> bool {
        !taken.is_full && seq >= self.since_seq && bytes <= self.share.longest()
    }

    /// Takes a sample that may be, if it fits in. Behind the first that does not, none is taken.
    pub(crate) fn take(&self, taken: &mut Taken, seq: u64, bytes: u64) -> bool {
        if !self.admits(taken, seq, bytes) {
            return false;
        }
        taken.is_full = taken.bytes + bytes > self.share.bytes();
        taken.bytes += if taken.is_full { 0 } else { bytes };
        !taken.is_full
    }
}

/// What collections need at each share. Takes 16 bytes for each collection.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    totals: [u64; SHARES],
    /// The newest event of each collection, and what it takes of the least share.
    least: Vec<(u64, u64)>,
}

impl Needs {
    /// Counts a collection whose name is that long, with the events and bytes of its samples, newest first, of which no
    /// more than `most` stay.
    pub(crate) fn add(&mut self, name_len: usize, most: usize, samples: &[(u64, u64)]) {
        let mut share = Some(Share::MOST);
        for total in &mut self.totals {
            let Some(now) = share else { break };
            let cut = Cut {
                share: now,
                since_seq: 0,
            };
            let mut taken = Taken::default();
            let of = samples.iter();
            let fitting = of.filter(|(seq, bytes)| cut.take(&mut taken, *seq, *bytes));
            let newest = fitting.take(most).map(|(seq, _)| *seq).max();
            share = now.halved();
            if let Some(newest) = newest {
                let bytes = taken.bytes + name_len as u64 + COLLECTION_BYTES;
                *total += bytes;
                if share.is_none() {
                    self.least.push((newest, bytes));
                }
            }
        }
    }

    /// The cut that leaves no more than `room` bytes.
    pub(crate) fn cut(mut self, room: u64) -> Cut {
        let mut share = Share::MOST;
        for total in self.totals {
            if total <= room {
                return Cut {
                    share,
                    since_seq: 0,
                };
            }
            share = share.halved().unwrap_or(share);
        }
        self.least.sort_unstable_by(|a, b| b.cmp(a));
        let (mut left, mut since_seq) = (room, u64::MAX);
        for (seq, bytes) in self.least {
            match left.checked_sub(bytes) {
                Some(rest) => (left, since_seq) = (rest, seq),
                None => break,
            }
        }
        Cut { share, since_seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::SplitMix;

    const KIB: u64 = 1 << 10;

    fn taken(cut: Cut, samples: &[(u64, u64)]) -> Vec<u64> {
        let mut taken = Taken::default();
        let of = samples.iter();
        of.filter(|(seq, bytes)| cut.take(&mut taken, *seq, *bytes))
            .map(|(seq, _)| *seq)
            .collect()
    }

    #[test]
    fn long_records_give_way_first_and_then_those_of_collections_with_many() {
        let long = [(100, 200 * KIB)];
        let many: Vec<_> = (0..64).map(|n| (90 - n, KIB)).collect();
        let few = [(9, KIB), (8, KIB)];
        let cut = |room: u64| {
            let mut needs = Needs::default();
            for samples in [&long[..], &many, &few] {
                needs.add(20, 64, samples);
            }
            let cut = needs.cut(room);
            [&long[..], &many, &few].map(|samples| taken(cut, samples).len())
        };
        assert_eq!(cut(300 * KIB), [1, 64, 2]);
        assert_eq!(cut(200 * KIB), [0, 64, 2]);
        assert_eq!(cut(40 * KIB), [0, 32, 2]);
        assert_eq!(cut(8 * KIB), [0, 4, 2]);
        assert_eq!(cut(3 * KIB), [0, 1, 1]);
        assert_eq!(cut(2 * KIB), [0, 1, 0]);
        assert_eq!(cut(0), [0, 0, 0]);
    }

    #[test]
    fn a_long_record_takes_no_place_from_the_short_ones_of_its_collection() {
        let samples = [(9, 100 * KIB), (8, KIB), (7, KIB)];
        let mut needs = Needs::default();
        needs.add(20, 64, &samples);
        assert_eq!(taken(needs.cut(50 * KIB), &samples), [8, 7]);
    }

    #[test]
    fn what_is_taken_fits_in_whatever_there_is() {
        for seed in 0..300 {
            let mut random = SplitMix::new(seed);
            let mut below = |limit: u64| random.next_u64() % limit;
            let mut collections: Vec<Vec<(u64, u64)>> = Vec::new();
            let mut needs = Needs::default();
            for n in 0..1 + below(200) {
                let first = below(1 << 20) * 1000 + n;
                let longest = 100 << below(11);
                let samples: Vec<_> = (0..1 + below(64))
                    .map(|n| ((1 << 40) + first - n, 50 + below(longest)))
                    .collect();
                needs.add(300, 64, &samples);
                collections.push(samples);
            }
            let most = below(28);
            let room = below(1 << most);
            let cut = needs.cut(room);
            let total: u64 = collections
                .iter()
                .map(|samples| {
                    let mut taken = Taken::default();
                    for (seq, bytes) in samples {
                        cut.take(&mut taken, *seq, *bytes);
                    }
                    taken.bytes
                })
                .sum();
            assert!(total <= room, "seed {seed}: {total} of {room}");
        }
    }

    /// Seals that take all they may, and merges of `fan_in` segments of one level that leave all they may.
    #[test]
    fn segments_stay_below_the_limit_and_leave_room_for_the_next() {
        const LIMIT: u64 = 256 << 20;
        for fan_in in [2, 3, 10, 12] {
            let mut random = SplitMix::new(fan_in as u64);
            // Level and bytes, oldest first.
            let mut segments: Vec<(u32, u64)> = Vec::new();
            for seal in 0..20_000 {
                let used: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
                let room = room_of_seal(used, LIMIT);
                assert!(room >= 100 << 10, "{room} at {seal} of {fan_in}");
                // As much as a memtable has, or nearly nothing.
                let has = [32 << 20, 2000][usize::from(random.next_u64().is_multiple_of(9))];
                segments.push((0, room.min(has)));
                loop {
                    let level = segments.last().map_or(0, |(level, _)| *level);
                    let run = segments.iter().rev().take_while(|(l, _)| *l == level);
                    if run.count() < fan_in {
                        break;
                    }
                    let inputs = segments.split_off(segments.len() - fan_in);
                    let older: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
                    let all: u64 = inputs.iter().map(|(_, bytes)| bytes).sum();
                    segments.push((level + 1, all.min(room_of_merge(older, older, LIMIT))));
                }
                let used: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
                let left = 0.25 * (15.0_f64 / 16.0).powi(segments.len() as i32);
                assert!(
                    (LIMIT - used) as f64 >= left * LIMIT as f64,
                    "{used} in {} segments",
                    segments.len()
                );
            }
        }
    }

    #[test]
    fn a_limit_that_was_lowered_still_lets_some_in_and_none_lets_nothing_in() {
        assert_eq!(room_of_seal(5 << 20, 1 << 20), 1 << 10);
        assert_eq!(room_of_merge(5 << 20, 5 << 20, 1 << 20), 1 << 10);
        assert_eq!(room_of_merge(5 << 20, 0, 1 << 20), 1 << 16);
        assert_eq!(room_of_seal(0, 1 << 20), 3 << 18);
        assert_eq!((room_of_seal(0, 0), room_of_merge(0, 0, 0)), (0, 0));
        assert_eq!(room_of_seal(u64::MAX, u64::MAX), u64::MAX / 1024);
    }
}
