//! Cases that chance seldom makes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and its helper module is shared by two files"
)]

use crate::support::Index;
use orrery_query::{Error, Filter, ManyToMany, Paging, Queries};

const LIKE: &str = "a.b.like";

/// Masks that change while their number does not: one account comes back, one goes.
#[test]
fn a_kept_table_notices_that_other_rows_are_masked_than_before() {
    let mut index = Index::default();
    for actor in [1, 2, 3] {
        let other = format!("did:plc:{actor}0");
        index.create(
            actor,
            0,
            LIKE,
            &[(".subject", "did:plc:9"), (".other", &other)],
        );
    }
    index.seal();
    index.hide(1);
    let queries = Queries::with_links_min(1 << 20, 1);
    let filter = Filter::new("did:plc:9", LIKE, ".subject");
    let many = ManyToMany {
        path_to_other: ".other".to_owned(),
        other_subjects: None,
    };
    let paging = Paging::default();
    for _ in 0..2 {
        let view = index.view();
        let dids = queries.distinct_dids(&view, &filter, &paging).unwrap();
        assert_eq!(dids.items, index.expect_dids(&filter));
        let counts = queries.many_to_many_counts(&view, &filter, &many, &paging);
        assert_eq!(counts.unwrap().items, index.expect_counts(&filter, &many));
        index.show(1);
        index.hide(2);
    }
}

/// The walk over `at://DID` fell back to `DID`; then `at://DID` gets a link of its own.
#[test]
fn a_walk_stays_with_the_form_of_the_target_that_it_began_with() {
    let mut index = Index::default();
    for actor in 0..5 {
        index.create(actor, 0, LIKE, &[(".subject", "did:plc:9")]);
    }
    let queries = Queries::default();
    let filter = Filter::new("at://did:plc:9", LIKE, ".subject");
    let expected = index.expect_records(&filter);
    let mut paging = Paging {
        limit: 2,
        ..Paging::default()
    };
    let first = queries.records(&index.view(), &filter, &paging).unwrap();
    index.create(7, 0, LIKE, &[(".subject", "at://did:plc:9")]);
    paging.cursor = first.cursor;
    paging.limit = 100;
    let rest = queries.records(&index.view(), &filter, &paging).unwrap();
    assert_eq!([first.items, rest.items].concat(), expected);
    assert_eq!(rest.total, 5);
    paging.cursor = None;
    let again = queries.records(&index.view(), &filter, &paging).unwrap();
    assert_eq!(again.total, 1, "a new walk prefers the form that has links");
}

/// A long list narrowed to two rare other subjects, whose lists are walked in its stead.
#[test]
fn rare_other_subjects_are_found_in_order_across_their_lists() {
    let mut index = Index::default();
    for i in 0..2_000u32 {
        let other = match i % 500 {
            100 => "did:plc:a",
            50 => "did:plc:b",
            _ => "did:plc:c",
        };
        index.create(
            i % 50,
            0,
            LIKE,
            &[(".subject", "did:plc:9"), (".other", other)],
        );
    }
    let queries = Queries::default();
    let filter = Filter::new("did:plc:9", LIKE, ".subject");
    let many = ManyToMany {
        path_to_other: ".other".to_owned(),
        other_subjects: Some(vec!["did:plc:a".to_owned(), "did:plc:b".to_owned()]),
    };
    let expected = index.expect_items(&filter, &many);
    assert_eq!(expected.len(), 8);
    let view = index.view();
    let counts = queries.many_to_many_counts(&view, &filter, &many, &Paging::default());
    assert_eq!(counts.unwrap().items, index.expect_counts(&filter, &many));
    for reverse in [false, true] {
        let mut walked = Vec::new();
        let mut cursor = None;
        loop {
            let paging = Paging {
                limit: 3,
                cursor,
                reverse,
            };
            let page = queries
                .many_to_many(&view, &filter, &many, &paging)
                .unwrap();
            walked.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if reverse {
            walked.reverse();
        }
        assert_eq!(walked, expected);
    }
}

#[test]
fn cursors_of_other_lists_and_limits_out_of_range_are_refused() {
    let mut index = Index::default();
    for actor in 0..3 {
        index.create(actor, 0, LIKE, &[(".subject", "did:plc:9")]);
    }
    let view = index.view();
    let queries = Queries::default();
    let filter = Filter::new("did:plc:9", LIKE, ".subject");
    let mut paging = Paging {
        limit: 1,
        ..Paging::default()
    };
    paging.cursor = queries.records(&view, &filter, &paging).unwrap().cursor;
    assert!(paging.cursor.is_some());
    let refused = queries.distinct_dids(&view, &filter, &paging).unwrap_err();
    assert!(matches!(refused, Error::Cursor(_)), "{refused}");
    assert!(refused.to_string().contains("linking records"), "{refused}");
    paging.reverse = true;
    let refused = queries.records(&view, &filter, &paging).unwrap_err();
    assert!(refused.to_string().contains("reverse=false"), "{refused}");
    for limit in [0, 1_001, u32::MAX] {
        let paging = Paging {
            limit,
            ..Paging::default()
        };
        let refused = queries.records(&view, &filter, &paging).unwrap_err();
        assert!(matches!(refused, Error::Limit { found } if found == limit));
    }
}
