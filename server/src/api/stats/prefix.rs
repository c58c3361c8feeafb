//! What stands below a prefix of NSIDs.

use orrery_links::syntax::Nsid;

use super::collections::{next, order_told};
use super::{Window, check_prefix, coverage, limit_default, order, paging, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::stats::{Child, Prefix};

/// `/prefix`.
pub(crate) fn prefix(params: &Params) -> Result<Job, Problem> {
    let prefix = params.required("prefix")?.to_owned();
    check_prefix(&prefix)?;
    let span = Window::read(params)?.or_all_time();
    let order = order(params)?;
    let paging = paging(params, limit_default(order))?;
    Ok(Box::new(move |index, ask| {
        let answer = index.prefix(&prefix, &span.hours(), order, &paging)?;
        let mut coverage = coverage(index, ask, &answer, span);
        let page = answer.value;
        let total = &page.total;
        if total.creates + total.updates + total.deletes == 0 && Nsid::parse(&prefix).is_ok() {
            coverage.coverage.hint = Some(format!(
                "what is below {prefix} is counted, not the collection of that name: /collections/stats?collection={prefix}"
            ));
        }
        let json = Prefix {
            total: page.total.into(),
            children: page.children.items.into_iter().map(Child::from).collect(),
            cursor: page.children.cursor,
            coverage,
        };
        let page = StatsPage {
            about: Some(&prefix),
            order: order_told(order),
            items: StatsItems::Children(&json.total, &json.children),
            cursor: Some(next(json.cursor.as_ref())),
            coverage: &json.coverage,
        };
        reply(ask, &page, &json)
    }))
}
