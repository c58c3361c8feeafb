//! Collections by the words in their names.

use super::collections::next;
use super::{Span, coverage, paging, reply};
use crate::api::Job;
use crate::html::{StatsItems, StatsPage};
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::stats::{Collection, Matches};

/// Items on a page where nothing is said.
pub(crate) const MATCHES_DEFAULT: u32 = 16;
/// The most terms.
const TERMS_MAX: usize = 16;

/// `/search`.
pub(crate) fn search(params: &Params) -> Result<Job, Problem> {
    let q = params.required("q")?.to_owned();
    let terms = terms(&q)?;
    let paging = paging(params, MATCHES_DEFAULT)?;
    Ok(Box::new(move |index, ask| {
        // An empty term is in every name.
        let all = [""];
        let given: Vec<&str> = terms.iter().map(String::as_str).collect();
        let terms = if given.is_empty() { &all[..] } else { &given };
        let answer = index.search(terms, &paging)?;
        let coverage = coverage(index, ask, &answer, Span::AllTime);
        let page = answer.value;
        let json = Matches {
            matches: page.items.into_iter().map(Collection::from).collect(),
            cursor: page.cursor,
            coverage,
        };
        let page = StatsPage {
            about: Some(&q),
            order: "Whole segments of names first.",
            items: StatsItems::Collections(&json.matches),
            cursor: Some(next(json.cursor.as_ref())),
            coverage: &json.coverage,
        };
        reply(ask, &page, &json)
    }))
}

/// The terms, each once. Without any, everything matches.
fn terms(q: &str) -> Result<Vec<String>, Problem> {
    let mut terms: Vec<String> = Vec::new();
    for term in q.split(' ').filter(|term| !term.is_empty()) {
        if terms.iter().any(|known| known == term) {
            continue;
        }
        if terms.len() == TERMS_MAX {
            return Err(Problem::invalid(format!(
                "parameter q takes at most {TERMS_MAX} terms"
            )));
        }
        terms.push(term.to_owned());
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_split_at_spaces_and_bounded() {
        assert_eq!(terms("graph  star graph ").unwrap(), ["graph", "star"]);
        assert!(terms("").unwrap().is_empty());
        let many: Vec<String> = (0..=TERMS_MAX).map(|i| format!("t{i}")).collect();
        assert!(terms(&many.join(" ")).unwrap_err().message().contains('q'));
    }
}
