//! Why an event is dropped. The set is closed and its names are stable, so that they can label a metric:
//! no text from outside ever becomes part of a name.

use std::fmt;

use orrery_jetstream::Malformed;

/// Why an event, or a line that should be one, was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It is not an event of the wire format.
    Malformed(Malformed),
    /// `did` is not a DID.
    InvalidDid,
    /// The account named inside is another than the one outside.
    DidMismatch,
    /// `collection` is not an NSID.
    InvalidCollection,
    /// `rkey` is not a record key.
    InvalidRkey,
    /// `rev` is not a TID.
    InvalidRev,
    /// `cid` is present and not a CID.
    InvalidCid,
    /// `time_us` is before 2001-09-09 or after the year 2255.
    TimeOutOfRange,
    /// The record is no readable value of its encoding.
    UnreadableRecord,
    /// The line is longer than [`LINE_BYTES_MAX`](crate::LINE_BYTES_MAX).
    LineTooLong,
}

/// The reasons of this crate, after those of the wire format.
const OWN: [Reason; 9] = [
    Reason::InvalidDid,
    Reason::DidMismatch,
    Reason::InvalidCollection,
    Reason::InvalidRkey,
    Reason::InvalidRev,
    Reason::InvalidCid,
    Reason::TimeOutOfRange,
    Reason::UnreadableRecord,
    Reason::LineTooLong,
];

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Malformed::ALL.len() + OWN.len();

    /// Every reason; [`index`](Self::index) is the place in this order.
    pub fn all() -> impl Iterator<Item = Self> {
        Malformed::ALL
            .iter()
            .map(|&malformed| Self::Malformed(malformed))
            .chain(OWN)
    }

    /// The place among [`all`](Self::all), below [`COUNT`](Self::COUNT).
    pub fn index(self) -> usize {
        match self {
            Self::Malformed(malformed) => malformed.index(),
            own => {
                let place = OWN.iter().position(|&reason| reason == own);
                Malformed::ALL.len() + place.unwrap_or_default()
            }
        }
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.reason(),
            Self::InvalidDid => "invalid_did",
            Self::DidMismatch => "did_mismatch",
            Self::InvalidCollection => "invalid_collection",
            Self::InvalidRkey => "invalid_rkey",
            Self::InvalidRev => "invalid_rev",
            Self::InvalidCid => "invalid_cid",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::UnreadableRecord => "unreadable_record",
            Self::LineTooLong => "line_too_long",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(malformed) => return malformed.fmt(f),
            Self::InvalidDid => "`did` is not a DID",
            Self::DidMismatch => "the inner `did` is not the outer one",
            Self::InvalidCollection => "`commit.collection` is not an NSID",
            Self::InvalidRkey => "`commit.rkey` is not a record key",
            Self::InvalidRev => "`commit.rev` is not a TID",
            Self::InvalidCid => "`commit.cid` is not a CID",
            Self::TimeOutOfRange => "`time_us` is before 2001-09-09 or after the year 2255",
            Self::UnreadableRecord => "the record cannot be read",
            Self::LineTooLong => "the line is too long",
        })
    }
}

/// How many events were dropped, by reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; Reason::COUNT],
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            counts: [0; Reason::COUNT],
        }
    }
}

impl Drops {
    /// Counts one; true when it is the first of its reason.
    pub fn add(&mut self, reason: Reason) -> bool {
        let Some(count) = self.counts.get_mut(reason.index()) else {
            return false;
        };
        *count += 1;
        *count == 1
    }

    /// How many were dropped for `reason`.
    pub fn get(&self, reason: Reason) -> u64 {
        self.counts.get(reason.index()).copied().unwrap_or_default()
    }

    /// How many were dropped.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The reasons that occurred, with their counts, in the order of [`Reason::all`].
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::all()
            .zip(self.counts.iter().copied())
            .filter(|&(_, count)| count > 0)
    }

    /// Adds the counts of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// Sets the count at a place, for reading counters back.
    pub(crate) fn set(&mut self, index: usize, value: u64) {
        if let Some(count) = self.counts.get_mut(index) {
            *count = value;
        }
    }

    /// The counts in the order of [`Reason::all`].
    pub(crate) fn counts(&self) -> &[u64; Reason::COUNT] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        let names: HashSet<_> = Reason::all().map(Reason::name).collect();
        assert_eq!(names.len(), Reason::COUNT);
        for (index, reason) in Reason::all().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
    }

    #[test]
    fn drops_tell_what_occurred_and_when_it_did_first() {
        let mut drops = Drops::default();
        assert!(drops.add(Reason::LineTooLong));
        assert!(!drops.add(Reason::LineTooLong));
        assert!(drops.add(Reason::Malformed(Malformed::BadJson)));
        assert_eq!(drops.total(), 3);
        assert_eq!(drops.get(Reason::LineTooLong), 2);
        let listed: Vec<_> = drops.iter().collect();
        assert_eq!(
            listed,
            [
                (Reason::Malformed(Malformed::BadJson), 1),
                (Reason::LineTooLong, 2)
            ]
        );
    }
}
