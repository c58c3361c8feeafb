//! Many questions for backlinks in one request, answered from one snapshot of the index.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header;
use bytes::Bytes;
use orrery_query::Filter;
use serde::{Deserialize, Serialize};

use super::body::{parse, too_many};
use super::{Answering, NO_CACHE};
use crate::answer::of_the_index;
use crate::api::hint;
use crate::api::links::of_source;
use crate::api::rests_on;
use crate::app::App;
use crate::index::Index;
use crate::negotiate::View;
use crate::problem::Problem;
use crate::wire::edge::{BatchCount, BatchCounts, BatchPage, BatchPages};
use crate::wire::{Coverage, Record};

/// The most items of a request.
pub(super) const ITEMS_MAX: usize = 100;
/// Records on each first page.
pub(super) const PAGE_MAX: u32 = 100;
pub(super) const PAGE_DEFAULT: u32 = 16;

#[derive(Deserialize)]
struct Item {
    subject: Option<String>,
    source: Option<String>,
}

impl Item {
    fn filter(&self) -> Result<Filter, Problem> {
        let missing = |name| Problem::invalid(format!("the item has no {name}"));
        let subject = self
            .subject
            .as_deref()
            .filter(|subject| !subject.is_empty());
        of_source(
            subject.ok_or_else(|| missing("subject"))?,
            self.source.as_deref().ok_or_else(|| missing("source"))?,
        )
    }
}

#[derive(Deserialize)]
struct CountsInput {
    items: Vec<Item>,
    #[serde(default)]
    distinct: bool,
}

#[derive(Deserialize)]
struct PagesInput {
    items: Vec<Item>,
    #[serde(default = "page_default")]
    limit: u32,
}

fn page_default() -> u32 {
    PAGE_DEFAULT
}

/// The items that can be asked, and for each item whether it is one of those or what is wrong with it.
struct Asked {
    filters: Vec<Filter>,
    items: Vec<Result<(), Problem>>,
    /// About the first item that can match nothing as it stands.
    hint: Option<String>,
}

impl Asked {
    fn read(items: &[Item]) -> Result<Self, Problem> {
        if items.len() > ITEMS_MAX {
            return Err(too_many("items", ITEMS_MAX));
        }
        let mut filters = Vec::new();
        let hints = items.iter().enumerate().filter_map(|(place, item)| {
            let hint = hint::of_item(item.subject.as_deref()?, item.source.as_deref()?)?;
            Some(format!("items[{place}]: {hint}"))
        });
        let hint = hints.into_iter().next();
        let items = items
            .iter()
            .map(|item| item.filter().map(|filter| filters.push(filter)))
            .collect();
        Ok(Self {
            filters,
            items,
            hint,
        })
    }

    /// The answers at the places of their items.
    fn placed<A, T>(
        self,
        answers: Vec<A>,
        good: impl Fn(A) -> T,
        bad: impl Fn(String, String) -> T,
    ) -> Vec<T> {
        let mut answers = answers.into_iter();
        let placed = self.items.into_iter().filter_map(|item| match item {
            Ok(()) => answers.next().map(&good),
            Err(problem) => {
                let (name, reason) = problem.into_parts();
                Some(bad(name.into_owned(), reason))
            }
        });
        placed.collect()
    }
}

/// `blue.orrery.links.getCounts`.
pub(super) fn get_counts(app: Arc<App>, _: IpAddr, body: Bytes) -> Answering {
    Box::pin(async move {
        let input: CountsInput = parse(&body)?;
        let asked = Asked::read(&input.items)?;
        ask(&app, move |index| {
            let answer = index.counts(&asked.filters, input.distinct)?;
            let coverage = rests_on(index, &answer, asked.hint.clone());
            let counts = asked.placed(
                answer.value,
                |(total, distinct)| BatchCount {
                    total: Some(total),
                    distinct,
                    ..BatchCount::default()
                },
                |error, reason| BatchCount {
                    error: Some(error),
                    reason: Some(reason),
                    ..BatchCount::default()
                },
            );
            let json = BatchCounts {
                counts,
                coverage: coverage.clone(),
            };
            Ok((encode(&json)?, coverage))
        })
        .await
    })
}

/// `blue.orrery.links.getBacklinksPages`.
pub(super) fn get_pages(app: Arc<App>, _: IpAddr, body: Bytes) -> Answering {
    Box::pin(async move {
        let input: PagesInput = parse(&body)?;
        if !(1..=PAGE_MAX).contains(&input.limit) {
            return Err(Problem::invalid(format!(
                "limit must be a whole number from 1 to {PAGE_MAX}"
            )));
        }
        let asked = Asked::read(&input.items)?;
        ask(&app, move |index| {
            let answer = index.first_pages(&asked.filters, input.limit)?;
            let coverage = rests_on(index, &answer, asked.hint.clone());
            let pages = asked.placed(
                answer.value,
                |page| BatchPage {
                    total: page.total,
                    records: Some(page.items.into_iter().map(Record::from).collect()),
                    cursor: page.cursor,
                    ..BatchPage::default()
                },
                |error, reason| BatchPage {
                    error: Some(error),
                    reason: Some(reason),
                    ..BatchPage::default()
                },
            );
            let json = BatchPages {
                pages,
                coverage: coverage.clone(),
            };
            Ok((encode(&json)?, coverage))
        })
        .await
    })
}

async fn ask(
    app: &App,
    work: impl FnOnce(&dyn Index) -> Result<(String, Coverage), Problem> + Send + 'static,
) -> Result<axum::http::Response<axum::body::Body>, Problem> {
    let index = Arc::clone(&app.index);
    let (body, coverage) = app.pool.run(move || work(&*index)).await?;
    let mut response = of_the_index(app.config.strict, body, &coverage, View::Json)?;
    // What answers a POST is kept by nobody.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_CACHE);
    Ok(response)
}

fn encode(json: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(json).map_err(|_| Problem::internal())
}
