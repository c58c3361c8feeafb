//! What the index is fed from, and how far it has come.

use super::{Span, coverage, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::params::Params;
use crate::problem::Problem;
use crate::source::public_host;
use crate::wire::stats::{Consumer, Meta, Stream};

/// `/meta`.
pub(crate) fn meta(_: &Params) -> Result<Job, Problem> {
    Ok(Box::new(|index, ask| {
        let answer = index.stats()?;
        let coverage = coverage(index, ask, &answer, Span::AllTime);
        let (from, through) = (coverage.coverage.from, coverage.coverage.through);
        let json = Meta {
            storage_name: "orrery",
            storage: index.storage().into_iter().collect(),
            consumer: Consumer {
                jetstream: Stream {
                    endpoint: index.status().source.as_deref().and_then(public_host),
                    started_at: from,
                    latest_cursor: through,
                    rollup_cursor: through,
                },
            },
            coverage,
        };
        let page = StatsPage {
            about: None,
            order: "",
            items: StatsItems::Meta(&json),
            cursor: None,
            coverage: &json.coverage,
        };
        reply(ask, &page, &json)
    }))
}
