//! Lists against sets of events: every list is what sorting all of it gives, whatever its pages.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Hour, account, collection, and what the event did: 0 creates, 1 updates, 2 deletes.
type Event = (Hour, u8, &'static str, u8);

const NAMES: [&str; 9] = [
    "app.bsky.feed",
    "app.bsky.feed.like",
    "app.bsky.feed.post",
    "app.bsky.feed-back.post",
    "app.bsky.graph.follow",
    "app.bskyx.feed.like",
    "sh.feedback.inbox.note",
    "sh.tangled.feed.star",
    "sh.tangled.feed.star.deep",
];

#[derive(Debug)]
struct Model(Vec<Event>);

impl Tally for Model {
    fn names(&self) -> Result<Vec<String>> {
        let names: BTreeSet<&str> = self.0.iter().map(|event| event.2).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
    fn events(&self, nsid: &str, span: Span) -> Result<Counts> {
        let counts = self.counts(&[nsid], span)?;
        Ok(Counts {
            dids_estimate: 0,
            ..counts
        })
    }
    fn counts(&self, nsids: &[&str], span: Span) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut dids = BTreeSet::new();
        for (hour, did, nsid, what) in &self.0 {
            let is_in = match span {
                Span::AllTime => true,
                Span::Hours { since, until } => {
                    since.is_none_or(|since| since <= *hour) && *hour < until
                }
            };
            if is_in && nsids.contains(nsid) {
                match what {
                    0 => counts.creates += 1,
                    1 => counts.updates += 1,
                    _ => counts.deletes += 1,
                }
                dids.insert(did);
            }
        }
        counts.dids_estimate = dids.len() as u64;
        Ok(counts)
    }
}

fn model() -> impl Strategy<Value = Model> {
    let event = (0..6u32, 0..8u8, prop::sample::select(&NAMES[..]), 0..3u8);
    prop::collection::vec(event, 0..60).prop_map(Model)
}

fn span() -> impl Strategy<Value = Span> {
    let hours = (prop::option::of(0..7u32), 0..8u32);
    prop_oneof![
        Just(Span::AllTime),
        hours.prop_map(|(since, until)| Span::Hours { since, until }),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop::sample::select(&[Order::Name, Order::RecordsCreated, Order::DidsEstimate][..])
}

/// Follows cursors to the end, through their text. Every page but the last is full, and the last holds something
/// where any does.
fn all<T>(limit: usize, mut ask: impl FnMut(&NamePaging) -> NamePage<T>) -> Vec<T> {
    let mut paging = NamePaging {
        limit,
        cursor: None,
    };
    let mut items = Vec::new();
    loop {
        let page = ask(&paging);
        let is_first = paging.cursor.is_none();
        assert!(page.items.len() <= limit && (is_first || !page.items.is_empty()));
        assert!(page.cursor.is_none() || page.items.len() == limit);
        items.extend(page.items);
        match page.cursor {
            None => return items,
            Some(cursor) => paging.cursor = Some(cursor.to_string().parse().unwrap()),
        }
    }
}

fn key(counts: &Counts, order: Order) -> u64 {
    match order {
        Order::Name => 0,
        Order::RecordsCreated => counts.creates,
        Order::DidsEstimate => counts.dids_estimate,
    }
}

fn is_listed(counts: &Counts, order: Order) -> bool {
    !counts.is_zero() && (order != Order::RecordsCreated || counts.creates > 0)
}

proptest! {
    #[test]
    fn collections_page_through_one_sorted_list(model in model(), span in span(), order in order(), limit in 1..12usize) {
        let found = all(limit, |paging| collections(&model, span, order, paging).unwrap());
        let mut wanted: Vec<CollectionCounts> = NAMES
            .iter()
            .map(|nsid| CollectionCounts {
                nsid: (*nsid).to_owned(),
                counts: model.counts(&[nsid], span).unwrap(),
            })
            .filter(|collection| is_listed(&collection.counts, order))
            .collect();
        wanted.sort_by(|a, b| a.nsid.cmp(&b.nsid));
        wanted.sort_by_key(|collection| std::cmp::Reverse(key(&collection.counts, order)));
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn children_page_and_their_total_does_not(model in model(), span in span(), order in order(), limit in 1..6usize) {
        for of in ["app.bsky", "sh.tangled.feed", "no.such"] {
            let below: Vec<&str> = NAMES
                .into_iter()
                .filter(|name| name.starts_with(&format!("{of}.")))
                .collect();
            let total = model.counts(&below, span).unwrap();
            let found = all(limit, |paging| {
                let (found, page) = prefix(&model, of, span, order, paging).unwrap();
                assert_eq!(found, total);
                page
            });
            let mut wanted = Vec::new();
            let segments = of.split('.').count() + 1;
            let heads: BTreeSet<String> = below
                .iter()
                .map(|name| name.split('.').take(segments).collect::<Vec<_>>().join("."))
                .collect();
            for head in heads {
                let own = model.counts(&[&head], span).unwrap();
                let deeper: Vec<&str> = below
                    .iter()
                    .copied()
                    .filter(|name| name.starts_with(&format!("{head}.")))
                    .collect();
                let group = model.counts(&deeper, span).unwrap();
                wanted.push((own, Child::Collection(CollectionCounts { nsid: head.clone(), counts: own })));
                wanted.push((group, Child::Prefix { prefix: head, counts: group }));
            }
            wanted.retain(|(counts, _)| is_listed(counts, order));
            wanted.sort_by_key(|(counts, _)| std::cmp::Reverse(key(counts, order)));
            let wanted: Vec<Child> = wanted.into_iter().map(|(_, child)| child).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn series_are_unions_of_their_steps(model in model(), edges in prop::collection::btree_set(0..8u32, 0..6)) {
        let edges: Vec<Hour> = edges.into_iter().collect();
        let series = [Series::Collection("app.bsky.feed.like".into()), Series::Prefix("app.bsky".into())];
        let found = timeseries(&model, &series, &edges).unwrap();
        let names = [&NAMES[1..2], &NAMES[0..5]];
        for (found, names) in found.iter().zip(names) {
            prop_assert_eq!(found.len(), edges.len().saturating_sub(1));
            for (step, counts) in edges.windows(2).zip(found) {
                let span = Span::Hours { since: Some(step[0]), until: step[1] };
                prop_assert_eq!(*counts, model.counts(names, span).unwrap());
            }
        }
    }
}

#[test]
fn searches_give_whole_segments_first_and_page() {
    let model = Model(NAMES.map(|name| (0, 0, name, 0)).to_vec());
    let terms = ["feed".to_owned(), "star".to_owned()];
    for limit in 1..9 {
        let found = all(limit, |paging| search(&model, &terms, paging).unwrap());
        let names: Vec<&str> = found.iter().map(|c| c.nsid.as_str()).collect();
        assert_eq!(
            names,
            [
                "sh.tangled.feed.star",
                "sh.tangled.feed.star.deep",
                "app.bsky.feed",
                "app.bsky.feed.like",
                "app.bsky.feed.post",
                "app.bskyx.feed.like",
                "app.bsky.feed-back.post",
                "sh.feedback.inbox.note",
            ]
        );
    }
    let all_of_them = all(100, |paging| search(&model, &[], paging).unwrap());
    assert_eq!(all_of_them.len(), NAMES.len());
    let none = all(5, |paging| {
        search(&model, &["Feed".to_owned()], paging).unwrap()
    });
    assert!(none.is_empty());
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let model = Model(NAMES.map(|name| (0, 0, name, 0)).to_vec());
    let first = NamePaging {
        limit: 1,
        cursor: None,
    };
    let page = collections(&model, Span::AllTime, Order::Name, &first).unwrap();
    let next = NamePaging {
        limit: 1,
        cursor: page.cursor,
    };
    assert!(collections(&model, Span::AllTime, Order::Name, &next).is_ok());
    for refused in [
        collections(&model, Span::AllTime, Order::DidsEstimate, &next).map(drop),
        prefix(&model, "app.bsky", Span::AllTime, Order::Name, &next).map(drop),
        search(&model, &[], &next).map(drop),
    ] {
        assert!(refused.unwrap_err().is_bad_request());
    }
}
