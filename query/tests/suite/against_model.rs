//! Every answer, on an index whatever happened to it, is the one that looking at every record gives; and
//! a walk over pages gives what stood throughout exactly once, whatever happens between its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::support::{Index, TestView, did};
use orrery_query::{Cursor, Filter, ManyToMany, Paging, Queries};
use proptest::prelude::*;
use proptest::sample::select;

const COLLECTIONS: [&str; 2] = ["a.b.like", "a.b.list"];
const PATHS: [&str; 3] = [".subject", ".other", ".tags[]"];
const TARGETS: [&str; 6] = [
    "did:plc:1",
    "at://did:plc:1",
    "https://ex.example/b",
    "at://did:plc:1/a.b.c/k",
    "did:plc:2",
    "at://did:plc:3/a.b.c/k",
];
const ACTORS: u32 = 40;

#[derive(Debug, Clone)]
enum Op {
    Create {
        actor: u32,
        times: u32,
        step: u32,
        jitter_us: i64,
        collection: &'static str,
        links: Vec<(&'static str, &'static str)>,
    },
    Delete(usize, usize),
    Hide(u32),
    Show(u32),
    Seal,
    Compact(usize),
}

fn apply(index: &mut Index, op: &Op) {
    match op {
        Op::Create {
            actor,
            times,
            step,
            jitter_us,
            collection,
            links,
        } => {
            for i in 0..*times {
                let jitter_us = if i % 3 == 0 { *jitter_us } else { 0 };
                index.create((actor + i * step) % ACTORS, jitter_us, collection, links);
            }
        }
        Op::Delete(nth, count) => (0..*count).for_each(|i| index.delete(nth + 7 * i)),
        Op::Hide(actor) => index.hide(*actor),
        Op::Show(actor) => index.show(*actor),
        Op::Seal => index.seal(),
        Op::Compact(nth) => index.compact(*nth),
    }
}

fn op(times_max: u32) -> impl Strategy<Value = Op> {
    let link = (select(&PATHS[..]), select(&TARGETS[..]));
    prop_oneof![
        6 => (
            0..ACTORS,
            prop_oneof![1..=3u32, 1..=times_max],
            0..4u32,
            -20_000..20_000i64,
            select(&COLLECTIONS[..]),
            prop::collection::vec(link, 1..6),
        )
            .prop_map(|(actor, times, step, jitter_us, collection, links)| Op::Create {
                actor, times, step, jitter_us, collection, links,
            }),
        2 => (any::<u16>(), 1..30usize).prop_map(|(nth, n)| Op::Delete(nth.into(), n)),
        1 => (0..ACTORS).prop_map(Op::Hide),
        1 => (0..ACTORS).prop_map(Op::Show),
        2 => Just(Op::Seal),
        1 => any::<u8>().prop_map(|nth| Op::Compact(nth.into())),
    ]
}

fn ops(times_max: u32, n: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(times_max), 0..n)
}

fn filter() -> impl Strategy<Value = Filter> {
    let target = prop_oneof![
        8 => select(&TARGETS[..]),
        1 => select(&["at://did:plc:1/", "HTTPS://Ex.Example/a/../b", "at://did:plc:2", "none", ""][..]),
    ];
    // Unknown accounts among them.
    let dids = prop::option::weighted(0.4, prop::collection::vec(0..ACTORS + 5, 0..4));
    let time = || prop::option::weighted(0.2, 990_000..1_400_000u64);
    (
        target,
        select(&COLLECTIONS[..]),
        select(&PATHS[..]),
        dids,
        time(),
        time(),
    )
        .prop_map(
            |(target, collection, path, dids, since_us, until_us)| Filter {
                dids: dids.map(|dids| dids.into_iter().map(did).collect()),
                since_us,
                until_us,
                ..Filter::new(target, collection, path)
            },
        )
}

fn many() -> impl Strategy<Value = ManyToMany> {
    let others = prop::collection::vec(
        select(&["did:plc:2", "https://ex.example/b", "did:plc:9"][..]),
        0..3,
    );
    (select(&PATHS[..]), prop::option::weighted(0.4, others)).prop_map(|(path, others)| {
        ManyToMany {
            path_to_other: path.to_owned(),
            other_subjects: others.map(|others| others.into_iter().map(str::to_owned).collect()),
        }
    })
}

/// What is asked for, so that one walk serves all lists.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Records,
    Dids,
    Items,
    Counts,
}

/// A page as lines, and the total where it has one.
fn page(
    queries: &Queries,
    view: &TestView,
    kind: Kind,
    filter: &Filter,
    many: &ManyToMany,
    paging: &Paging,
) -> (Vec<String>, Option<Cursor>, Option<u64>) {
    fn lines(items: Vec<impl Debug>) -> Vec<String> {
        items.iter().map(|item| format!("{item:?}")).collect()
    }
    match kind {
        Kind::Records => {
            let page = queries.records(view, filter, paging).unwrap();
            (lines(page.items), page.cursor, Some(page.total))
        }
        Kind::Dids => {
            let page = queries.distinct_dids(view, filter, paging).unwrap();
            (lines(page.items), page.cursor, Some(page.total))
        }
        Kind::Items => {
            let page = queries.many_to_many(view, filter, many, paging).unwrap();
            (lines(page.items), page.cursor, None)
        }
        Kind::Counts => {
            let page = queries
                .many_to_many_counts(view, filter, many, paging)
                .unwrap();
            (lines(page.items), page.cursor, None)
        }
    }
}

/// What the whole list must be.
fn expected(
    index: &Index,
    kind: Kind,
    filter: &Filter,
    many: &ManyToMany,
    reverse: bool,
) -> Vec<String> {
    fn lines(items: Vec<impl Debug>) -> Vec<String> {
        items.iter().map(|item| format!("{item:?}")).collect()
    }
    let mut lines = match kind {
        Kind::Records => lines(index.expect_records(filter)),
        Kind::Dids => lines(index.expect_dids(filter)),
        Kind::Items => lines(index.expect_items(filter, many)),
        Kind::Counts => lines(index.expect_counts(filter, many)),
    };
    if reverse {
        lines.reverse();
    }
    lines
}

fn check_all(queries: &Queries, index: &Index, filter: &Filter, many: &ManyToMany, limit: u32) {
    let view = index.view();
    assert_eq!(
        queries.count(&view, filter).unwrap(),
        index.expect_records(filter).len() as u64
    );
    assert_eq!(
        queries.count_distinct(&view, filter).unwrap(),
        index.expect_dids(filter).len() as u64
    );
    for kind in [Kind::Records, Kind::Dids, Kind::Items, Kind::Counts] {
        for reverse in [false, true] {
            let expected = expected(index, kind, filter, many, reverse);
            let mut walked = Vec::new();
            let mut cursor = None;
            loop {
                let paging = Paging {
                    limit,
                    cursor,
                    reverse,
                };
                let (items, next, total) = page(queries, &view, kind, filter, many, &paging);
                assert!(
                    total.is_none_or(|total| total == expected.len() as u64),
                    "{kind:?}"
                );
                assert!(
                    !items.is_empty() || walked.is_empty(),
                    "{kind:?}: an empty last page"
                );
                assert!(items.len() <= limit as usize);
                walked.extend(items.iter().cloned());
                let Some(next) = next else { break };
                assert_eq!(
                    items.len(),
                    limit as usize,
                    "{kind:?}: a short page that is not the last"
                );
                cursor = Some(next.to_string().parse().unwrap());
            }
            assert_eq!(walked, expected, "{kind:?} reverse={reverse}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn answers_equal_those_of_looking_at_everything(
        ops in ops(150, 30),
        asked in prop::collection::vec((filter(), many(), 1..40u32), 1..4),
        every in 1..8usize,
    ) {
        // One cache all the way, that keeps the tables of the shortest lists too.
        let queries = Queries::with_links_min(1 << 20, 1);
        let uncached = Queries::with_links_min(0, u64::MAX);
        let mut index = Index::default();
        for (i, op) in ops.iter().enumerate() {
            apply(&mut index, op);
            if i % every == 0 || i + 1 == ops.len() {
                for (filter, many, limit) in &asked {
                    check_all(&queries, &index, filter, many, *limit);
                    let open = Filter::new(&*filter.target, &*filter.collection, &*filter.path);
                    check_all(&queries, &index, &open, many, *limit);
                }
            }
        }
        for (filter, many, limit) in &asked {
            check_all(&uncached, &index, filter, many, *limit);
        }
    }

    #[test]
    fn all_lists_exactly_the_sources_with_live_links(ops in ops(40, 30)) {
        let queries = Queries::with_links_min(1 << 20, 1);
        let mut index = Index::default();
        for op in &ops {
            apply(&mut index, op);
        }
        let view = index.view();
        for target in TARGETS {
            let expected = match index.expect_all(target) {
                none if none.is_empty() && target == "at://did:plc:1" => index.expect_all("did:plc:1"),
                some => some,
            };
            let found: Vec<_> = queries.all(&view, target).unwrap().into_iter()
                .map(|s| (s.collection, s.path, s.records, s.distinct_dids)).collect();
            prop_assert_eq!(&found, &expected);
            let counts: Vec<_> = expected.into_iter().map(|(c, p, n, _)| (c, p, n)).collect();
            prop_assert_eq!(queries.all_counts(&view, target).unwrap(), counts);
        }
    }

    #[test]
    fn a_walk_gives_what_stood_throughout_exactly_once(
        before in ops(60, 20),
        between in prop::collection::vec(ops(4, 4), 0..40),
        filter in filter(),
        many in many(),
        limit in 1..12u32,
        reverse: bool,
        kind in select(&[Kind::Records, Kind::Items][..]),
    ) {
        let queries = Queries::with_links_min(1 << 20, 1);
        let mut index = Index::default();
        for op in &before {
            apply(&mut index, op);
        }
        let mut stood: Option<BTreeSet<String>> = None;
        let mut given: BTreeMap<String, u32> = BTreeMap::new();
        let mut cursor: Option<Cursor> = None;
        let mut between = between.iter();
        // The walk stays with the form of the target that it began with.
        let meant = Filter { target: index.meant(&filter), ..filter.clone() };
        if meant.target.starts_with("at://did:plc:") && meant.target.matches('/').count() == 2 {
            return Ok(());
        }
        loop {
            let now: BTreeSet<_> = expected(&index, kind, &meant, &many, reverse).into_iter().collect();
            stood = Some(match stood {
                None => now,
                Some(stood) => &stood & &now,
            });
            let view = index.view();
            let paging = Paging { limit, cursor, reverse };
            let (items, next, _) = page(&queries, &view, kind, &filter, &many, &paging);
            if next.is_some() {
                prop_assert_eq!(items.len(), limit as usize);
            }
            for item in items {
                *given.entry(item).or_default() += 1;
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
            for op in between.next().into_iter().flatten() {
                apply(&mut index, op);
            }
        }
        prop_assert!(given.values().all(|&times| times == 1), "given twice: {:?}", given);
        for item in stood.unwrap_or_default() {
            prop_assert!(given.contains_key(&item), "left out: {}", item);
        }
    }

    #[test]
    fn a_walk_of_accounts_newest_first_is_not_shifted_by_new_links(
        before in ops(60, 20),
        between in prop::collection::vec((0..ACTORS, 1..20u32), 1..10),
        filter in filter(),
        limit in 1..12u32,
    ) {
        let queries = Queries::with_links_min(1 << 20, 1);
        let mut index = Index::default();
        for op in &before {
            apply(&mut index, op);
        }
        let many = ManyToMany::default();
        let expected = expected(&index, Kind::Dids, &filter, &many, false);
        prop_assume!(index.meant(&filter) == filter.target);
        let mut walked = Vec::new();
        let mut cursor = None;
        let mut between = between.iter().cycle();
        loop {
            let view = index.view();
            let paging = Paging { limit, cursor, reverse: false };
            let (items, next, _) = page(&queries, &view, Kind::Dids, &filter, &many, &paging);
            walked.extend(items);
            cursor = next;
            if cursor.is_none() {
                break;
            }
            let (actor, times) = between.next().unwrap();
            for i in 0..*times {
                let links = [(PATHS[i as usize % 3], TARGETS[i as usize % 6])];
                index.create((actor + i) % ACTORS, 0, &filter.collection, &links);
                index.create((actor + i) % ACTORS, 0, &filter.collection, &[(&filter.path, &filter.target)]);
            }
            index.seal();
        }
        prop_assert_eq!(walked, expected);
    }
}
