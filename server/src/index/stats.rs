//! Questions about collections over spans of hours, as they cross the seam.

pub use orrery_query::stats::{Child, CollectionCounts, Counts, Hours, Order, SeriesOf, Steps};

use super::Listing;

/// A prefix with what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixCounts {
    /// Everything below, whatever page is asked for.
    pub total: Counts,
    /// One page of children. Of a name that is both, the collection comes first.
    pub children: Listing<Child>,
}
