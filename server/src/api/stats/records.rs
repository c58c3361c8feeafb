//! Sample records of collections.

use super::{NAMES_MAX, Span, coverage, nsid, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::index::SamplesOf;
use crate::params::Params;
use crate::problem::Problem;
use crate::time::{HOUR_US, now_us};
use crate::wire::stats::Sample;

/// Samples that are kept of each collection.
pub(crate) const SAMPLES_MAX: u32 = 64;
/// Records of each collection where collections are named, and where none is.
pub(crate) const NAMED_DEFAULT: u32 = 42;
const UNNAMED_DEFAULT: u32 = 12;
/// A collection counts as active that was written to since the start of the week, from Thursday as 1970 began, which
/// holds the time so long ago.
const ACTIVE_US: u64 = 3 * 24 * HOUR_US;
const WEEK_US: u64 = 7 * 24 * HOUR_US;

/// `/records`. The answer is a list, without room for a `coverage`, or for a word where it ends at its most bytes.
pub(crate) fn records(params: &Params) -> Result<Job, Problem> {
    let wanted = Wanted::read(params)?;
    Ok(Box::new(move |index, ask| {
        let of = match &wanted.collections {
            Some(collections) => SamplesOf::Collections(collections),
            None => SamplesOf::ActiveSince(active_since_us(now_us())),
        };
        let answer = index.sample_records(of, wanted.limit as usize)?;
        let coverage = coverage(index, ask, &answer, Span::AllTime);
        let json: Vec<Sample> = answer.value.into_iter().map(Sample::from).collect();
        let page = StatsPage {
            about: None,
            order: "Newest first.",
            items: StatsItems::Samples(&json),
            cursor: None,
            coverage: &coverage,
        };
        reply(ask, &page, &json)
    }))
}

fn active_since_us(now_us: u64) -> u64 {
    now_us.saturating_sub(ACTIVE_US) / WEEK_US * WEEK_US
}

/// Which samples are meant.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Only these collections, each once; none: all that were active of late.
    collections: Option<Vec<String>>,
    /// The most records of each collection.
    limit: u32,
}

impl Wanted {
    /// Reads `collection`, NSIDs with commas between, and `limit`.
    fn read(params: &Params) -> Result<Self, Problem> {
        let mut collections: Option<Vec<String>> = None;
        let mut known = std::collections::HashSet::new();
        let text = params.scalar("collection")?.unwrap_or_default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            nsid(name)?;
            if known.insert(name) {
                collections.get_or_insert_default().push(name.to_owned());
            }
        }
        if known.len() > NAMES_MAX {
            return Err(Problem::invalid(format!(
                "parameter collection takes at most {NAMES_MAX} names"
            )));
        }
        let default = match collections {
            Some(_) => NAMED_DEFAULT,
            None => UNNAMED_DEFAULT,
        };
        Ok(Self {
            limit: params.number("limit", 1..=SAMPLES_MAX, default)?,
            collections,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, Problem> {
        Wanted::read(&Params::parse(query).unwrap())
    }

    #[test]
    fn a_week_of_activity_begins_on_a_thursday() {
        let thursday = crate::time::rfc3339_us("2026-11-19T00:00:00Z").unwrap();
        for days in [3, 9] {
            assert_eq!(active_since_us(thursday + days * 24 * HOUR_US), thursday);
        }
        assert_eq!(
            active_since_us(thursday + 10 * 24 * HOUR_US),
            thursday + WEEK_US
        );
        assert_eq!(active_since_us(0), 0);
    }

    #[test]
    fn names_are_parted_by_commas_and_the_limit_is_for_each() {
        for query in ["", "collection=", "collection=,+,"] {
            let wanted = read(query).unwrap();
            assert_eq!((wanted.collections, wanted.limit), (None, 12), "{query}");
        }
        let wanted = read("collection=a.b.c,+a.b.d,a.b.c&limit=64").unwrap();
        let names = vec!["a.b.c".to_owned(), "a.b.d".to_owned()];
        assert_eq!((wanted.collections, wanted.limit), (Some(names), 64));
        assert_eq!(read("collection=a.b.c").unwrap().limit, 42);
        for (bad, name) in [
            ("collection=x", "collection"),
            ("collection=a.b.c&collection=a.b.d", "collection"),
            ("limit=0", "limit"),
            ("limit=65", "limit"),
        ] {
            assert!(read(bad).unwrap_err().message().contains(name), "{bad}");
        }
        let many: Vec<String> = (0..=NAMES_MAX).map(|i| format!("a.b.c{i}")).collect();
        assert!(read(&format!("collection={}", many.join(","))).is_err());
    }
}
