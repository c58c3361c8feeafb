//! Many-to-many: a target with many links, each of whose records links to something else too, counted by that.

use std::time::Instant;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store};
use orrery_links::syntax::Tid;
use orrery_query::{Filter, ManyToMany, Paging, Queries};

use crate::harness::figures::{Budget, Figures};
use crate::harness::percentile::median;
use crate::random::Random;
use crate::{Outcome, Result};

const ITEM: &str = "app.bsky.graph.listitem";
const TARGET: &str = "did:plc:manymanymanymanymanymany";
/// Other subjects that the records link to, where they share them.
const LISTS: u64 = 1_000;
/// Above all numbers of links, so that its multiples go through all of them.
const PRIME: u64 = 4_294_967_291;
const ACTORS: u64 = 50_000;
const START_US: u64 = 1_767_225_600_000_000;
const ROUNDS: usize = 5;

/// The list that the item `number` of `links` is of: one of [`LISTS`] of one account, or one that no other item is of.
fn list_of(number: u64, links: u64, others: u64, random: &mut Random) -> Result<String> {
    if others < links {
        let list = random.below(others);
        return Ok(format!(
            "at://did:plc:listslistslistslistslist/app.bsky.graph.list/{list}"
        ));
    }
    let list = (u128::from(number) * u128::from(PRIME) % u128::from(links)) as u64;
    let (account, key) = (
        list % ACTORS,
        Tid::from_u64((START_US + list * 1_000) << 10)?,
    );
    Ok(format!(
        "at://did:plc:{account:2>24}/app.bsky.graph.list/{key}"
    ))
}

/// `links` items of lists in 17 segments: of few lists, then each of another.
pub(crate) fn run(links: u64, figures: &mut Figures) -> Outcome {
    for others in [LISTS, links] {
        run_with(links, others, figures)?;
    }
    Ok(())
}

fn run_with(links: u64, others: u64, figures: &mut Figures) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut options = Options::default();
    options.seal_events = u32::try_from(links / 17 + 1)?;
    options.compact = false;
    let store = Store::open(dir.path(), options)?;
    let mut writer = store.writer()?;
    let mut random = Random::new(1);
    for number in 0..links {
        let time_us = START_US + number * 1_000;
        let list = list_of(number, links, others, &mut random)?;
        let body = format!(
            r#"{{"$type":"{ITEM}","createdAt":"2026-01-01T00:00:00Z","list":"{list}","subject":"{TARGET}"}}"#
        );
        writer.apply(&Event {
            time_us,
            did: &format!("did:plc:{:0>24}", random.below(ACTORS)),
            body: Body::Commit {
                rev: time_us << 10,
                collection: ITEM,
                rkey: &Tid::from_u64(time_us << 10)?.to_string(),
                operation: Operation::Create(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: body.as_bytes(),
                }),
            },
        })?;
        if number.is_multiple_of(4_096) {
            writer.tick()?;
        }
    }
    writer.seal()?;
    let snapshot = store.snapshot();
    let filter = Filter::new(TARGET, ITEM, ".subject");
    let many = ManyToMany {
        path_to_other: ".list".to_owned(),
        other_subjects: None,
    };
    let paging = Paging {
        limit: 100,
        ..Paging::default()
    };
    let timed = |queries: &Queries| -> Result<f64> {
        let start = Instant::now();
        let page = queries.many_to_many_counts(&snapshot, &filter, &many, &paging)?;
        if page.items.len() != 100 {
            return Err(format!("{} other subjects on a page", page.items.len()).into());
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    println!(
        "  {links} links in {} segments to {others} others",
        store.status().segments
    );
    let mut fresh = Vec::new();
    for _ in 0..ROUNDS {
        // Nothing is remembered from round to round but what the system has in memory.
        fresh.push(timed(&Queries::new(64 << 20))?);
    }
    let budget = Budget::AtMost {
        must: 100.0,
        aim: None,
    };
    figures.judged(
        format!("many-to-many counts, {others} others, a new snapshot"),
        median(&fresh),
        "ms",
        budget,
    );
    let queries = Queries::new(64 << 20);
    timed(&queries)?;
    let mut cached = Vec::new();
    for _ in 0..ROUNDS {
        cached.push(timed(&queries)?);
    }
    figures.add(
        format!("many-to-many counts, {others} others, the same snapshot again"),
        median(&cached),
        "ms",
    );
    Ok(())
}
