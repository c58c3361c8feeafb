//! Counts step by step.

use std::collections::BTreeMap;

use super::{Window, check_prefix, coverage, nsids, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::index::{Hour, Series, Span};
use crate::params::Params;
use crate::problem::Problem;
use crate::time::format_hour;
use crate::wire::stats::{Counts, Timeseries};

/// The most steps of a series.
const STEPS_MAX: u32 = 10_000;
/// The most counts in one answer, over all its series: about 4 MiB of JSON.
const COUNTS_MAX: u64 = 50_000;
/// The most series of one answer.
const SERIES_MAX: usize = 100;
/// Seconds.
const HOUR_S: u32 = 3600;
pub(crate) const STEP_MIN_S: u32 = HOUR_S;
pub(crate) const STEP_DEFAULT_S: u32 = 24 * HOUR_S;
const WEEK_HOURS: Hour = 7 * 24;
/// The first Monday: 1970-01-05.
const MONDAY: Hour = 4 * 24;

/// `/timeseries`.
pub(crate) fn timeseries(params: &Params) -> Result<Job, Problem> {
    let series = series(params)?;
    let edges = edges(params, Window::read(params)?, series.len())?;
    Ok(Box::new(move |index, ask| {
        let answer = index.timeseries(&series, &edges)?;
        let span = Span::Hours {
            since: edges.first().copied(),
            until: edges.last().copied().unwrap_or_default(),
        };
        let coverage = coverage(index, &answer, span);
        let names = series.into_iter().map(|series| match series {
            Series::Collection(nsid) => nsid,
            Series::Prefix(prefix) => format!("{prefix}.*"),
        });
        let counts = answer.value.into_iter();
        let counts = counts.map(|steps| steps.into_iter().map(Counts::from).collect());
        let starts = edges.len().saturating_sub(1);
        let json = Timeseries {
            range: edges.into_iter().take(starts).map(format_hour).collect(),
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

/// Where steps begin, and where the last one ends.
fn edges(params: &Params, window: Window, series: usize) -> Result<Vec<Hour>, Problem> {
    let step = params.number("step", STEP_MIN_S..=u32::MAX, STEP_DEFAULT_S)? / HOUR_S;
    let (mut since, until) = window.or_last_week();
    match params.scalar("align")? {
        None | Some("") => {}
        Some("utc") => since = aligned(since, step),
        Some(_) => return Err(Problem::invalid("parameter align must be utc")),
    }
    let hours = until.saturating_sub(since);
    let steps = hours.div_ceil(step);
    if steps > STEPS_MAX {
        return Err(Problem::invalid(format!(
            "parameter step is too short for this time: there would be {steps} steps, and at most {STEPS_MAX} are given"
        )));
    }
    if u64::from(steps).saturating_mul(series as u64) > COUNTS_MAX {
        return Err(Problem::invalid(format!(
            "parameter step is too short for so many series: at most {COUNTS_MAX} steps are given over all series"
        )));
    }
    let starts = (since..until).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let end = (since < until).then_some(until);
    Ok(starts.chain(end).collect())
}

/// The start of the step that holds an hour, where weeks begin on Monday, and all other steps are counted from
/// 1970, so that days begin at midnight.
fn aligned(hour: Hour, step: Hour) -> Hour {
    let first = if step.is_multiple_of(WEEK_HOURS) {
        MONDAY
    } else {
        0
    };
    match hour.checked_sub(first) {
        Some(passed) => hour - passed % step,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR_US, rfc3339_us};

    const SPAN: &str = "since=2026-09-22T14:30:00Z&until=2026-09-24T19:00:00Z";

    fn steps(query: &str, series: usize) -> Result<Vec<String>, Problem> {
        let params = Params::parse(query).unwrap();
        let window = Window::read_at(&params, 1_795_595_122_000_000)?;
        let edges = edges(&params, window, series)?;
        Ok(edges.into_iter().map(format_hour).collect())
    }

    #[test]
    fn steps_begin_at_since_and_the_last_may_be_shorter() {
        assert_eq!(
            steps(SPAN, 1).unwrap(),
            [
                "2026-09-22T14:00:00Z",
                "2026-09-23T14:00:00Z",
                "2026-09-24T14:00:00Z",
                "2026-09-24T19:00:00Z"
            ]
        );
        assert_eq!(steps(&format!("{SPAN}&step=3600"), 1).unwrap().len(), 54);
        // Rounded down to whole hours.
        let odd = steps(&format!("{SPAN}&step=7300"), 1).unwrap();
        assert_eq!(odd[1], "2026-09-22T16:00:00Z");
        let backwards = "since=2026-09-24T00:00:00Z&until=2026-09-24T00:59:00Z";
        assert!(steps(backwards, 1).unwrap().is_empty());
        let long = steps(&format!("{SPAN}&step=4294967295"), 1).unwrap();
        assert_eq!(long.len(), 2);
    }

    #[test]
    fn aligned_days_begin_at_midnight_and_weeks_on_monday() {
        let day = steps(&format!("{SPAN}&align=utc"), 1).unwrap();
        assert_eq!(
            day,
            [
                "2026-09-22T00:00:00Z",
                "2026-09-23T00:00:00Z",
                "2026-09-24T00:00:00Z",
                "2026-09-24T19:00:00Z"
            ]
        );
        let week = steps(&format!("{SPAN}&align=utc&step=604800"), 1).unwrap();
        assert_eq!(week[0], "2026-09-21T00:00:00Z");
        let monday = (rfc3339_us("2026-09-21T00:00:00Z").unwrap() / HOUR_US) as Hour;
        for step in [WEEK_HOURS, 24, 1] {
            assert_eq!(aligned(monday, step), monday);
            assert_eq!(aligned(0, step), 0);
        }
        assert!(
            steps(&format!("{SPAN}&align=local"), 1)
                .unwrap_err()
                .message()
                .contains("align")
        );
    }

    #[test]
    fn steps_are_bounded() {
        for bad in ["10", "3599", "0", "x", "4294967296"] {
            let problem = steps(&format!("{SPAN}&step={bad}"), 1).unwrap_err();
            assert!(problem.message().contains("step"), "{bad}");
        }
        let years = "since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z";
        assert!(
            steps(&format!("{years}&step=3600"), 1)
                .unwrap_err()
                .message()
                .contains("step")
        );
        assert_eq!(steps(years, 1).unwrap().len(), 2193);
        assert!(steps(years, 22).is_ok());
        assert!(steps(years, 23).unwrap_err().message().contains("series"));
        let exact = "since=2025-01-01T00:00:00Z&until=2026-02-21T16:00:00Z&step=3600";
        assert_eq!(steps(exact, 1).unwrap().len(), 10_001);
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
