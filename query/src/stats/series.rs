//! Counts step by step.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use orrery_engine::{BucketSum, CollectionStats, Snapshot};

use super::{Counts, Hours};
use crate::error::{Error, Result};

/// The most steps of one answer.
pub const STEPS_MAX: usize = 10_000;
/// Hours of a week, which starts on a Monday when aligned: the first was hour 96.
const WEEK: u32 = 168;
const FIRST_MONDAY: u32 = 96;

/// Where steps begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// At the start of the span.
    #[default]
    Since,
    /// At multiples of the step in UTC: days at midnight, weeks on Monday. The first step is shorter where the span
    /// begins inside of one.
    Utc,
}

/// The steps of a span; the last one may be shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    starts: Vec<u32>,
    until: u32,
}

impl Steps {
    /// Steps of `step` hours (at least 1) through `hours`; none where these are empty.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more than [`STEPS_MAX`].
    pub fn new(hours: &Hours, step: u32, align: Align) -> Result<Self> {
        let step = step.max(1);
        let mut starts = Vec::new();
        let mut next = hours.start;
        while next < hours.end {
            if starts.len() == STEPS_MAX {
                return Err(Error::TooLarge {
                    what: "steps",
                    limit: STEPS_MAX,
                });
            }
            starts.push(next);
            let into_step = match align {
                Align::Since => 0,
                Align::Utc if step.is_multiple_of(WEEK) => {
                    // Some Monday before any time, so that the difference is not negative.
                    (next % step + step - FIRST_MONDAY % step) % step
                }
                Align::Utc => next % step,
            };
            match next.checked_add(step - into_step) {
                Some(after) => next = after,
                None => break,
            }
        }
        Ok(Self {
            starts,
            until: hours.end,
        })
    }

    /// The first hours of the steps.
    #[must_use]
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The hours of all of them.
    #[must_use]
    pub fn span(&self) -> Hours {
        self.starts.first().copied().unwrap_or(self.until)..self.until
    }

    fn hours(&self) -> impl Iterator<Item = Hours> {
        let ends = self.starts.iter().skip(1).copied().chain([self.until]);
        self.starts.iter().zip(ends).map(|(start, end)| *start..end)
    }
}

/// What a series is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOf<'a> {
    /// One collection.
    Collection(&'a str),
    /// All collections below a prefix (without a trailing dot), their accounts united.
    Prefix(&'a str),
}

/// The most buckets that one answer adds up: those of hours, days and weeks that a step is made of, of each
/// collection and each part of the index.
pub const SUMMANDS_MAX: usize = 500_000;

/// The counts of each step, for each series. Costs what the collections have in steps with events, and for each
/// step besides O(1).
///
/// # Errors
/// [`Error::TooLarge`] for more than [`SUMMANDS_MAX`]; otherwise when the index cannot be read.
pub fn timeseries(view: &Snapshot, of: &[SeriesOf<'_>], steps: &Steps) -> Result<Vec<Vec<Counts>>> {
    let mut left = SUMMANDS_MAX;
    of.iter()
        .map(|of| one(view, *of, steps, &mut left))
        .collect()
}

fn one(view: &Snapshot, of: SeriesOf<'_>, steps: &Steps, left: &mut usize) -> Result<Vec<Counts>> {
    let mut members: Vec<CollectionStats<'_>> = Vec::new();
    let below;
    match of {
        SeriesOf::Collection(name) => {
            below = name.to_owned();
            members.push(view.collection(&below)?);
        }
        SeriesOf::Prefix(prefix) => {
            below = format!("{prefix}.");
            let mut all = view.collections_from(&below)?;
            while let Some(next) = all.next_collection()? {
                if !next.name.starts_with(&below) {
                    break;
                }
                members.push(next);
            }
        }
    }
    let mut sum = BucketSum::default();
    let mut series = Vec::with_capacity(steps.starts.len());
    // The next hours with events, and whose.
    let mut next: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    let first = steps.span().start;
    for (index, member) in members.iter().enumerate() {
        if let Some(hour) = member.next_hour(first)? {
            next.push(Reverse((hour, index)));
        }
    }
    for hours in steps.hours() {
        sum.clear();
        while let Some(Reverse((hour, index))) = next.peek().copied()
            && hour < hours.end
        {
            next.pop();
            let Some(member) = members.get(index) else {
                continue;
            };
            let added = member.add_to(&hours, &mut sum)?;
            *left = left.checked_sub(added).ok_or(Error::TooLarge {
                what: "buckets (parameter step is too short for so long a time, or prefix too wide)",
                limit: SUMMANDS_MAX,
            })?;
            if let Some(hour) = member.next_hour(hours.end)? {
                next.push(Reverse((hour, index)));
            }
        }
        series.push(Counts::of(&sum)?);
    }
    Ok(series)
}
