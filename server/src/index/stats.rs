//! Questions about collections over spans of hours, as they cross the seam.

pub use orrery_query::stats::{Child, CollectionCounts, Counts, Hours, Order, SeriesOf, Steps};

use serde_json::value::RawValue;

use super::Listing;

/// A prefix with what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixCounts {
    /// Everything below, whatever page is asked for.
    pub total: Counts,
    /// One page of children. Of a name that is both, the collection comes first.
    pub children: Listing<Child>,
}

/// Whose sample records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplesOf<'a> {
    /// Of these collections.
    Collections(&'a [String]),
    /// Of the first collections by name, up to a bound, that have records to show and in which some were written at that
    /// time or later, in microseconds since 1970.
    ActiveSince(u64),
}

/// A live record as it was written.
#[derive(Debug, Clone)]
pub struct SampleRecord {
    /// The account.
    pub did: String,
    /// The collection.
    pub collection: String,
    /// The key.
    pub rkey: String,
    /// The record, byte for byte.
    pub record: Box<RawValue>,
    /// The time of the event that wrote it, microseconds since 1970.
    pub time_us: u64,
}
