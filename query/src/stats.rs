//! How much each collection is used: creates, updates, deletes and distinct accounts, for any span of time. All
//! accounts of an answer are united, never added up.
//!
//! - [`collections`], [`prefix`], [`search`]: lists, by name or in an order, page by page
//! - [`of_collections`], [`timeseries`]: collections that are named
//!
//! Events count in the hour of their time. What was deleted or hidden counts on.

mod lists;
mod place;
mod series;

use std::ops::Range;

use orrery_engine::{BucketSum, Snapshot};

use crate::error::Result;

pub use lists::{
    Child, ChildPage, CollectionCounts, CollectionPage, SearchPage, collections, prefix, search,
};
pub use place::Place;
pub use series::{Align, STEPS_MAX, SUMMANDS_MAX, SeriesOf, Steps, timeseries};

/// Hours since 1970, the end exclusive.
pub type Hours = Range<u32>;

/// All time.
pub const ALL_TIME: Hours = 0..u32::MAX;

/// Events and accounts of a collection, or of several, in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Counts {
    /// Records created.
    pub creates: u64,
    /// Records updated.
    pub updates: u64,
    /// Records deleted.
    pub deletes: u64,
    /// Distinct accounts that did any of it: exact up to 128, with a standard error of 0.81 % beyond.
    pub dids_estimate: u64,
}

impl Counts {
    /// Whether nothing happened.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.creates == 0 && self.updates == 0 && self.deletes == 0
    }

    fn of(sum: &BucketSum<'_>) -> Result<Self> {
        Ok(Self {
            creates: sum.counts.creates,
            updates: sum.counts.updates,
            deletes: sum.counts.deletes,
            dids_estimate: sum.dids_estimate()?,
        })
    }

    fn by(&self, order: Order) -> u64 {
        match order {
            Order::RecordsCreated => self.creates,
            Order::DidsEstimate => self.dids_estimate,
        }
    }
}

/// What a list falls by. Ties rise by name. What has none of it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Creates.
    RecordsCreated,
    /// Distinct accounts.
    DidsEstimate,
}

/// The counts of collections that are named, in the order of the names; zeros for those without events.
///
/// # Errors
/// When the index cannot be read.
pub fn of_collections(view: &Snapshot, names: &[&str], hours: &Hours) -> Result<Vec<Counts>> {
    let mut sum = BucketSum::default();
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        sum.clear();
        view.collection(name)?.add_to(hours, &mut sum)?;
        all.push(Counts::of(&sum)?);
    }
    Ok(all)
}
