//! Counts step by step.

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

/// The counts of each step, for each series.
///
/// # Errors
/// When the index cannot be read.
pub fn timeseries(view: &Snapshot, of: &[SeriesOf<'_>], steps: &Steps) -> Result<Vec<Vec<Counts>>> {
    of.iter().map(|of| one(view, *of, steps)).collect()
}

fn one(view: &Snapshot, of: SeriesOf<'_>, steps: &Steps) -> Result<Vec<Counts>> {
    let mut members: Vec<CollectionStats<'_>> = Vec::new();
    let below;
    match of {
        SeriesOf::Collection(name) => {
            below = name.to_owned();
            let mut all = view.collections_from(&below)?;
            members.extend(all.next_collection()?.filter(|next| next.name == below));
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
    for hours in steps.hours() {
        sum.clear();
        for member in &members {
            member.add_to(&hours, &mut sum)?;
        }
        series.push(Counts::of(&sum)?);
    }
    Ok(series)
}
