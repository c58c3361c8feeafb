//! Collections: what was counted in them, over all time or over hours. What is common to these routes: spans of
//! time, orders, names, and what their answers rest on.

mod collections;
mod meta;
mod prefix;
mod records;
mod search;
mod timeseries;

use orrery_links::syntax::Nsid;
use orrery_query::stats::ALL_TIME;

use super::{Ask, Reply};
use crate::html::{self, StatsPage};
use crate::index::{Answer, Hours, Index, Order, Paging};
use crate::params::Params;
use crate::problem::Problem;
use crate::time::{HOUR_US, format_hour, now_us, rfc3339_us};
use crate::wire::Coverage;
use crate::wire::stats::StatsCoverage;

pub(super) use collections::{collection_counts, list};
pub(super) use meta::meta;
pub(super) use prefix::prefix;
pub(super) use records::{NAMED_DEFAULT, SAMPLES_MAX, records};
pub(super) use search::{MATCHES_DEFAULT, search};
pub(super) use timeseries::{STEP_DEFAULT_S, STEP_MIN_S, timeseries};

/// Hours since 1970.
type Hour = u32;

/// Which events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// All that were ever applied.
    AllTime,
    /// Those of the hours from `since`, or from the first one, up to `until`, which is not among them.
    Hours { since: Option<Hour>, until: Hour },
}

impl Span {
    fn hours(self) -> Hours {
        match self {
            Self::AllTime => ALL_TIME,
            Self::Hours { since, until } => since.unwrap_or_default()..until,
        }
    }
}

/// How far ahead of the clock a time may lie: it takes an `until` of up to two hours ahead to count the current hour.
const AHEAD_MAX_US: u64 = 2 * HOUR_US;
/// Where counting begins that needs a beginning.
const SINCE_DEFAULT_HOURS: Hour = 7 * 24;
/// The most items on a page.
pub(super) const PAGE_MAX: u32 = 200;
/// Items on a page of a list by name, and on one in another order.
pub(super) const PAGE_DEFAULT: u32 = 100;
pub(super) const ORDERED_PAGE_DEFAULT: u32 = 32;
/// The most names in one request.
const NAMES_MAX: usize = 1000;

/// The names of orders.
pub(super) const ORDERS: &[&str] = &["records-created", "dids-estimate", "did-estimate"];

/// `since` and `until` as given, cut to hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    since: Option<Hour>,
    until: Option<Hour>,
    now: Hour,
}

impl Window {
    fn read(params: &Params) -> Result<Self, Problem> {
        Self::read_at(params, now_us())
    }

    fn read_at(params: &Params, now_us: u64) -> Result<Self, Problem> {
        let hour = |us: u64| Hour::try_from(us / HOUR_US).unwrap_or(Hour::MAX);
        let time = |name: &str| -> Result<Option<Hour>, Problem> {
            let Some(text) = params.scalar(name)?.filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let us = rfc3339_us(text).ok_or_else(|| {
                Problem::invalid(format!(
                    "parameter {name} must be a time by RFC 3339, such as 2026-01-31T00:00:00Z, not before 1970"
                ))
            })?;
            if us > now_us.saturating_add(AHEAD_MAX_US) {
                return Err(Problem::invalid(format!(
                    "parameter {name} is more than two hours ahead"
                )));
            }
            Ok(Some(hour(us)))
        };
        Ok(Self {
            since: time("since")?,
            until: time("until")?,
            now: hour(now_us),
        })
    }

    /// All time where nothing is given; else up to the current hour, which is not among the hours.
    fn or_all_time(self) -> Span {
        if self.since.is_none() && self.until.is_none() {
            return Span::AllTime;
        }
        Span::Hours {
            since: self.since,
            until: self.until.unwrap_or(self.now),
        }
    }

    /// The first hour and the one after the last; the last seven days where nothing is given.
    fn or_last_week(self) -> (Hour, Hour) {
        let since = self.now.saturating_sub(SINCE_DEFAULT_HOURS);
        (self.since.unwrap_or(since), self.until.unwrap_or(self.now))
    }
}

/// In which order a list is wanted; none: by name.
fn order(params: &Params) -> Result<Option<Order>, Problem> {
    if params.scalar("sort")?.is_some() {
        return Err(Problem::invalid(
            "there is no parameter sort; parameter order takes records-created or dids-estimate",
        ));
    }
    match params.scalar("order")? {
        None | Some("") => Ok(None),
        Some("records-created") => Ok(Some(Order::RecordsCreated)),
        // The second spelling stands in the prose of a service in use, which refuses it.
        Some("dids-estimate" | "did-estimate") => Ok(Some(Order::DidsEstimate)),
        Some(_) => Err(Problem::invalid(
            "parameter order must be records-created or dids-estimate",
        )),
    }
}

fn paging(params: &Params, limit_default: u32) -> Result<Paging, Problem> {
    Ok(Paging {
        limit: params.number("limit", 1..=PAGE_MAX, limit_default)?,
        cursor: params
            .scalar("cursor")?
            .filter(|cursor| !cursor.is_empty())
            .map(str::to_owned),
        reverse: false,
    })
}

/// How many items a page holds where nothing is said.
fn limit_default(order: Option<Order>) -> u32 {
    match order {
        None => PAGE_DEFAULT,
        Some(_) => ORDERED_PAGE_DEFAULT,
    }
}

/// The collections that are named, each once, in their order. `None`: the parameter is not there at all.
fn nsids(params: &Params) -> Result<Option<Vec<String>>, Problem> {
    const NAMES: [&str; 2] = ["collection", "collection[]"];
    if !params.pairs().any(|(name, _)| NAMES.contains(&name)) {
        return Ok(None);
    }
    let mut nsids: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for nsid in params.list(&NAMES).unwrap_or_default() {
        self::nsid(&nsid)?;
        if known.insert(nsid.clone()) {
            nsids.push(nsid);
        }
    }
    if nsids.len() > NAMES_MAX {
        return Err(Problem::invalid(format!(
            "parameter collection takes at most {NAMES_MAX} values"
        )));
    }
    Ok(Some(nsids))
}

/// Checks the name of a collection.
fn nsid(name: &str) -> Result<(), Problem> {
    if Nsid::parse(name).is_ok() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "parameter collection must be an NSID, such as app.bsky.feed.like, and {} is none",
        shown(name)
    )))
}

/// Checks a prefix of NSIDs: two segments or more, without a dot at the end.
fn check_prefix(prefix: &str) -> Result<(), Problem> {
    if Nsid::parse(&format!("{prefix}.name")).is_ok() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "parameter prefix must be two or more segments of an NSID, such as app.bsky, and {} is none",
        shown(prefix)
    )))
}

/// A text for a message, not too long.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

/// What an answer over these hours rests on.
fn coverage<T>(index: &dyn Index, ask: &Ask, answer: &Answer<T>, span: Span) -> StatsCoverage {
    let coverage = super::coverage(index, ask, answer);
    rests_on(coverage, span)
}

fn rests_on(mut coverage: Coverage, span: Span) -> StatsCoverage {
    let current = coverage
        .through
        .and_then(|us| Hour::try_from(us / HOUR_US).ok());
    let (since, until) = match span {
        Span::AllTime => (None, None),
        Span::Hours { since, until } => (since, Some(until)),
    };
    if let Some(current) = current.filter(|current| until == Some(*current))
        && coverage.hint.is_none()
    {
        // The default end: whoever looks at a new index sees nothing else than zeros.
        coverage.hint = Some(format!(
            "the unfinished hour is left out; until={} counts it too",
            format_hour(current.saturating_add(1))
        ));
    }
    StatsCoverage {
        since: since.map(format_hour),
        until: until.map(format_hour),
        current_hour: current.map(format_hour),
        includes_current_hour: current.is_some_and(|current| {
            since.is_none_or(|since| since <= current) && until.is_none_or(|until| current < until)
        }),
        coverage,
    }
}

/// The answer in the form that was asked for.
fn reply(ask: &Ask, page: &StatsPage<'_>, json: &impl serde::Serialize) -> Result<Reply, Problem> {
    Ok(Reply::new(
        html::stats_body(ask, page, json)?,
        page.coverage.coverage.clone(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25T08:25:22Z.
    const NOW_US: u64 = 1_795_595_122_000_000;

    fn window(query: &str) -> Result<Window, Problem> {
        Window::read_at(&Params::parse(query).unwrap(), NOW_US)
    }

    fn hour(text: &str) -> Hour {
        (rfc3339_us(text).unwrap() / HOUR_US) as Hour
    }

    #[test]
    fn times_are_cut_to_hours_and_the_current_hour_is_left_out() {
        let now = hour("2026-11-25T08:00:00Z");
        assert_eq!(window("").unwrap().or_all_time(), Span::AllTime);
        assert_eq!(
            window("since=&until=").unwrap().or_all_time(),
            Span::AllTime
        );
        assert_eq!(window("").unwrap().or_last_week(), (now - 168, now));
        let since = hour("2026-11-01T00:00:00Z");
        assert_eq!(
            window("since=2026-11-01T02:59:59.9%2B02:00")
                .unwrap()
                .or_all_time(),
            Span::Hours {
                since: Some(since),
                until: now
            }
        );
        assert_eq!(
            window("until=2026-11-25T10:25:22Z").unwrap().or_all_time(),
            Span::Hours {
                since: None,
                until: now + 2
            }
        );
    }

    #[test]
    fn times_of_another_form_or_out_of_range_are_refused_by_name() {
        for (query, name) in [
            ("since=2026", "since"),
            ("since=2026-01-01", "since"),
            ("until=1795595122000000", "until"),
            ("since=1960-01-01T00:00:00Z", "since"),
            ("until=2026-11-25T10:25:23Z", "until"),
            ("since=2026-11-25T10:25:23Z", "since"),
            ("since=2026-01-01T00:00:00+01:00", "since"),
            (
                "since=2026-01-01T00:00:00Z&since=2026-01-02T00:00:00Z",
                "since",
            ),
        ] {
            let problem = window(query).unwrap_err();
            assert!(problem.message().contains(name), "{query}: {problem:?}");
        }
    }

    #[test]
    fn names_are_checked_and_told_apart_from_none() {
        let read = |query: &str| nsids(&Params::parse(query).unwrap());
        assert_eq!(read("x=1").unwrap(), None);
        assert_eq!(read("collection=").unwrap(), Some(vec![]));
        assert_eq!(
            read("collection=a.b.c&collection[]=a.b.d&collection=a.b.c").unwrap(),
            Some(vec!["a.b.c".to_owned(), "a.b.d".to_owned()])
        );
        for bad in ["x", "a.b", "a.b.c,a.b.d", "a..c", "a.b.c-d"] {
            let problem = read(&format!("collection={bad}")).unwrap_err();
            assert!(problem.message().contains("collection"), "{bad}");
        }
        let many: String = (0..=NAMES_MAX)
            .map(|i| format!("collection=a.b.c{i}&"))
            .collect();
        assert!(read(&many).is_err());
        for good in ["app.bsky", "sh.tangled.feed"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "app",
            "app.",
            "app.bsky.",
            ".app.bsky",
            "app..bsky",
            "1app.bsky",
        ] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn orders_have_two_names_and_an_alias() {
        let read = |query: &str| order(&Params::parse(query).unwrap());
        assert_eq!(read("").unwrap(), None);
        assert_eq!(
            read("order=records-created").unwrap(),
            Some(Order::RecordsCreated)
        );
        for name in ["dids-estimate", "did-estimate"] {
            assert_eq!(
                read(&format!("order={name}")).unwrap(),
                Some(Order::DidsEstimate)
            );
        }
        assert!(read("order=x").unwrap_err().message().contains("order"));
        assert!(
            read("sort=records-created")
                .unwrap_err()
                .message()
                .contains("parameter order")
        );
    }

    #[test]
    fn the_current_hour_is_told() {
        let through = Some(NOW_US);
        let coverage = Coverage::new(None, through, &crate::index::Selection::default());
        let current = hour("2026-11-25T08:00:00Z");
        for (span, includes) in [
            (Span::AllTime, true),
            (
                Span::Hours {
                    since: None,
                    until: current,
                },
                false,
            ),
            (
                Span::Hours {
                    since: None,
                    until: current + 1,
                },
                true,
            ),
            (
                Span::Hours {
                    since: Some(current),
                    until: current + 1,
                },
                true,
            ),
            (
                Span::Hours {
                    since: Some(current + 1),
                    until: current + 2,
                },
                false,
            ),
        ] {
            let told = rests_on(coverage.clone(), span);
            assert_eq!(told.current_hour.as_deref(), Some("2026-11-25T08:00:00Z"));
            assert_eq!(told.includes_current_hour, includes, "{span:?}");
            let hint = told.coverage.hint;
            let is_cut = matches!(span, Span::Hours { until, .. } if until == current);
            assert_eq!(hint.is_some(), is_cut, "{hint:?}");
            assert!(hint.is_none_or(|hint| hint.contains("until=2026-11-25T09:00:00Z")));
        }
    }
}
