//! Answers without a segment that is set aside: records whose account stood in it cannot be named and are left
//! out, and every other one is given, page by page.
use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::{Filter, ManyToMany, Paging, Queries};

const LIKE: &str = "app.test.like";
const T: &str = "https://t.example/";

/// The account of a letter.
fn did(letter: char) -> String {
    format!("did:plc:{}", letter.to_string().repeat(24))
}

fn write(writer: &mut Writer, clock: u64, author: char, rkey: &str, body: &str) {
    let time_us = 1_767_225_600_000_000 + clock * 1_000;
    let event = Event {
        time_us,
        did: &did(author),
        body: Body::Commit {
            rev: time_us << 10,
            collection: LIKE,
            rkey,
            operation: Operation::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }),
        },
    };
    writer.apply(&event).unwrap();
}

#[test]
fn what_cannot_be_named_is_left_out_and_all_else_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.compact = false;
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let mut writer = store.writer().unwrap();
    // The first segment knows a and b; the second c, and has records of all three, to subjects of all three.
    let mut clock = 0;
    for author in ['a', 'b'] {
        clock += 1;
        write(
            &mut writer,
            clock,
            author,
            "first",
            &format!(r#"{{"subject":"{T}"}}"#),
        );
    }
    writer.seal().unwrap();
    for round in 0..4 {
        for author in ['a', 'c', 'b'] {
            clock += 1;
            let other = did(if round % 2 == 0 { author } else { 'c' });
            let body = format!(r#"{{"subject":"{T}","other":"{other}"}}"#);
            write(&mut writer, clock, author, &format!("r{round}"), &body);
        }
    }
    writer.seal().unwrap();
    writer.close().unwrap();
    drop(store);

    let mut segments: Vec<_> = std::fs::read_dir(dir.path().join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    std::fs::remove_file(&segments[0]).unwrap();
    let store = Store::open(dir.path(), options).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.degraded().count(), 1);

    let queries = Queries::default();
    let filter = Filter::new(T, LIKE, ".subject");
    for reverse in [false, true] {
        for limit in [1, 2, 3, 100] {
            let mut paging = Paging {
                limit,
                reverse,
                ..Paging::default()
            };
            let mut found = Vec::new();
            loop {
                let page = queries.records(&snapshot, &filter, &paging).unwrap();
                found.extend(
                    page.items
                        .into_iter()
                        .map(|record| (record.did().to_owned(), record.rkey().to_owned())),
                );
                paging.cursor = page.cursor;
                if paging.cursor.is_none() {
                    break;
                }
            }
            let mut expected: Vec<_> = (0..4).map(|n| (did('c'), format!("r{n}"))).collect();
            if !reverse {
                expected.reverse();
            }
            assert_eq!(found, expected, "limit {limit}, reverse {reverse}");
        }
    }

    let dids = queries
        .distinct_dids(&snapshot, &filter, &Paging::default())
        .unwrap();
    assert_eq!(dids.items, [did('c')]);
    let many = ManyToMany {
        path_to_other: ".other".to_owned(),
        other_subjects: None,
    };
    let items = queries
        .many_to_many(&snapshot, &filter, &many, &Paging::default())
        .unwrap();
    let named: Vec<_> = items
        .items
        .iter()
        .map(|item| &*item.other_subject)
        .collect();
    assert_eq!(named, [did('c'), did('c'), did('c'), did('c')]);
    let counts = queries
        .many_to_many_counts(&snapshot, &filter, &many, &Paging::default())
        .unwrap();
    assert_eq!(counts.items.len(), 1);
    assert_eq!(counts.items[0].subject, did('c'));
    assert!(!queries.all(&snapshot, T).unwrap().is_empty());
    // An account that is not known any more.
    assert_eq!(snapshot.actor(&did('a')).unwrap(), None);
}
