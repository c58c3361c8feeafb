//! Counts step by step.

use std::collections::BTreeMap;

use orrery_query::stats::{Align, STEPS_MAX};

use super::{Hour, Span, Window, check_prefix, coverage, nsids, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::index::{SeriesOf, Steps};
use crate::params::Params;
use crate::problem::Problem;
use crate::time::format_hour;
use crate::wire::stats::{Counts, Timeseries};

/// The most counts in one answer, over all its series: about 4 MiB of JSON.
const COUNTS_MAX: usize = 50_000;
/// The most series of one answer.
const SERIES_MAX: usize = 100;
/// Seconds.
const HOUR_S: u32 = 3600;
pub(crate) const STEP_MIN_S: u32 = HOUR_S;
pub(crate) const STEP_DEFAULT_S: u32 = 24 * HOUR_S;

/// What one series counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Series {
    Collection(String),
    Prefix(String),
}

/// `/timeseries`.
pub(crate) fn timeseries(params: &Params) -> Result<Job, Problem> {
    let series = series(params)?;
    let (since, until) = Window::read(params)?.or_last_week();
    let steps = steps(params, since, until, series.len())?;
    let span = Span::Hours {
        since: Some(since),
        until,
    };
    Ok(Box::new(move |index, ask| {
        let of: Vec<SeriesOf<'_>> = series
            .iter()
            .map(|series| match series {
                Series::Collection(nsid) => SeriesOf::Collection(nsid),
                Series::Prefix(prefix) => SeriesOf::Prefix(prefix),
            })
            .collect();
        let answer = index.timeseries(&of, &steps)?;
        let coverage = coverage(index, ask, &answer, span);
        let names = series.into_iter().map(|series| match series {
            Series::Collection(nsid) => nsid,
            Series::Prefix(prefix) => format!("{prefix}.*"),
        });
        let counts = answer.value.into_iter();
        let counts = counts.map(|steps| steps.into_iter().map(Counts::from).collect());
        let json = Timeseries {
            range: steps.starts().iter().copied().map(format_hour).collect(),
            series: names.zip(counts).collect::<BTreeMap<_, _>>(),
            coverage,
        };
        let page = StatsPage {
            about: None,
            order: "",
            items: StatsItems::Series(&json),
            cursor: None,
            coverage: &json.coverage,
        };
        reply(ask, &page, &json)
    }))
}

/// What is counted: collections and prefixes.
fn series(params: &Params) -> Result<Vec<Series>, Problem> {
    let nsids = nsids(params)?.unwrap_or_default();
    let mut series: Vec<Series> = nsids.into_iter().map(Series::Collection).collect();
    for prefix in params.list(&["prefix"]).unwrap_or_default() {
        check_prefix(&prefix)?;
        let prefix = Series::Prefix(prefix);
        if !series.contains(&prefix) {
            series.push(prefix);
        }
        if series.len() > SERIES_MAX {
            break;
        }
    }
    if series.is_empty() {
        return Err(Problem::invalid(
            "parameter collection or prefix is required",
        ));
    }
    if series.len() > SERIES_MAX {
        return Err(Problem::invalid(format!(
            "parameters collection and prefix take at most {SERIES_MAX} values together"
        )));
    }
    Ok(series)
}

/// The steps of a span.
fn steps(params: &Params, since: Hour, until: Hour, series: usize) -> Result<Steps, Problem> {
    let step = params.number("step", STEP_MIN_S..=u32::MAX, STEP_DEFAULT_S)? / HOUR_S;
    let align = match params.scalar("align")? {
        None | Some("") => Align::Since,
        Some("utc") => Align::Utc,
        Some(_) => return Err(Problem::invalid("parameter align must be utc")),
    };
    let steps = Steps::new(&(since..until), step, align).map_err(|_| {
        Problem::invalid(format!(
            "parameter step is too short for this time: at most {STEPS_MAX} steps are given"
        ))
    })?;
    if steps.starts().len().saturating_mul(series) > COUNTS_MAX {
        return Err(Problem::invalid(format!(
            "parameter step is too short for so many series: at most {COUNTS_MAX} steps are given over all series"
        )));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str = "since=2026-09-22T14:30:00Z&until=2026-09-24T19:00:00Z";

    fn starts(query: &str, series: usize) -> Result<Vec<String>, Problem> {
        let params = Params::parse(query).unwrap();
        let window = Window::read_at(&params, 1_795_595_122_000_000)?;
        let (since, until) = window.or_last_week();
        let steps = steps(&params, since, until, series)?;
        Ok(steps.starts().iter().copied().map(format_hour).collect())
    }

    #[test]
    fn steps_begin_at_since() {
        assert_eq!(
            starts(SPAN, 1).unwrap(),
            [
                "2026-09-22T14:00:00Z",
                "2026-09-23T14:00:00Z",
                "2026-09-24T14:00:00Z"
            ]
        );
        assert_eq!(starts(&format!("{SPAN}&step=3600"), 1).unwrap().len(), 53);
        // Rounded down to whole hours.
        let odd = starts(&format!("{SPAN}&step=7300"), 1).unwrap();
        assert_eq!(odd[1], "2026-09-22T16:00:00Z");
        let backwards = "since=2026-09-24T00:00:00Z&until=2026-09-24T00:59:00Z";
        assert!(starts(backwards, 1).unwrap().is_empty());
        let long = starts(&format!("{SPAN}&step=4294967295"), 1).unwrap();
        assert_eq!(long.len(), 1);
    }

    #[test]
    fn aligned_days_begin_at_midnight_and_weeks_on_monday() {
        let day = starts(&format!("{SPAN}&align=utc"), 1).unwrap();
        assert_eq!(
            day,
            [
                "2026-09-22T14:00:00Z",
                "2026-09-23T00:00:00Z",
                "2026-09-24T00:00:00Z"
            ]
        );
        let weeks = "since=2026-09-18T00:00:00Z&until=2026-09-30T00:00:00Z&align=utc&step=604800";
        assert_eq!(
            starts(weeks, 1).unwrap(),
            [
                "2026-09-18T00:00:00Z",
                "2026-09-21T00:00:00Z",
                "2026-09-28T00:00:00Z"
            ]
        );
        let refused = starts(&format!("{SPAN}&align=local"), 1).unwrap_err();
        assert!(refused.message().contains("align"));
    }

    #[test]
    fn steps_are_bounded() {
        for bad in ["10", "3599", "0", "x", "4294967296"] {
            let problem = starts(&format!("{SPAN}&step={bad}"), 1).unwrap_err();
            assert!(problem.message().contains("step"), "{bad}");
        }
        let years = "since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z";
        let hourly = starts(&format!("{years}&step=3600"), 1).unwrap_err();
        assert!(hourly.message().contains("step"));
        assert_eq!(starts(years, 1).unwrap().len(), 2192);
        assert!(starts(years, 22).is_ok());
        assert!(starts(years, 23).unwrap_err().message().contains("series"));
        let exact = "since=2025-01-01T00:00:00Z&until=2026-02-21T16:00:00Z&step=3600";
        assert_eq!(starts(exact, 1).unwrap().len(), 10_000);
    }

    #[test]
    fn collections_and_prefixes_are_series() {
        let read = |query: &str| series(&Params::parse(query).unwrap());
        assert_eq!(
            read("collection=a.b.c&prefix=a.b&collection[]=a.b.d&prefix=a.b").unwrap(),
            [
                Series::Collection("a.b.c".into()),
                Series::Collection("a.b.d".into()),
                Series::Prefix("a.b".into())
            ]
        );
        for (bad, name) in [
            ("", "collection"),
            ("collection=", "collection"),
            ("collection=nodots", "collection"),
            ("prefix=app", "prefix"),
        ] {
            assert!(read(bad).unwrap_err().message().contains(name), "{bad}");
        }
        let many: String = (0..101).map(|i| format!("prefix=a.b{i}&")).collect();
        assert!(read(&many).is_err());
    }
}
