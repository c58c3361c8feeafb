//! Short histories with answers written out by hand from the rules of links, events and answers, for the
//! model and the real engine alike: what the random comparison stands on.
use crate::model::event::{Body, Event, Operation, Outcome};
use crate::model::real::{Real, options};
use crate::model::view::{Other, Question, System};
use crate::model::world::ModelSystem;

const A: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbb2";
const T: &str = "https://t.example/";

fn commit(did: &str, rev: u64, rkey: &str, operation: Operation) -> Event {
    let (collection, rkey) = ("app.test.like".to_owned(), rkey.to_owned());
    let body = Body::Commit {
        rev,
        collection,
        rkey,
        operation,
    };
    Event {
        time_us: 1_793_491_200_000_000 + rev * 2_000,
        did: did.to_owned(),
        body,
    }
}

fn link(did: &str, rev: u64, rkey: &str, target: &str) -> Event {
    commit(
        did,
        rev,
        rkey,
        Operation::Create(format!(r#"{{"subject":"{target}"}}"#)),
    )
}

fn account(did: &str, seq: u64, active: bool, status: &str) -> Event {
    let status = (!status.is_empty()).then(|| status.to_owned());
    Event {
        time_us: 1_793_491_200_000_000 + seq * 2_000,
        did: did.to_owned(),
        body: Body::Account {
            seq,
            active,
            status,
        },
    }
}

fn ask(target: &str) -> Question {
    let (collection, path) = ("app.test.like".to_owned(), ".subject".to_owned());
    Question {
        target: target.to_owned(),
        collection,
        path,
        dids: None,
        since_us: None,
        until_us: None,
    }
}

/// Runs a history through the model, the engine in memory, and the engine with a segment for each event;
/// `expected` is the list of `T`, newest first, as `(DID, key)`.
fn gives(history: &[Event], expected: &[(&str, &str)]) {
    let systems: [Box<dyn System>; 3] = [
        Box::new(ModelSystem::default()),
        Box::new(Real::new(options(1_000, false))),
        Box::new(Real::new(options(1, true))),
    ];
    for (number, mut system) in systems.into_iter().enumerate() {
        for event in history {
            system.apply(event);
        }
        for restarted in [false, true] {
            if restarted {
                system.restart();
            }
            let view = system.view();
            let found = view.records(&ask(T), false, 2);
            let items = found.items();
            let names: Vec<_> = items
                .iter()
                .map(|(did, _, rkey)| (did.as_str(), rkey.as_str()))
                .collect();
            assert_eq!(names, expected, "system {number}, restarted: {restarted}");
            assert_eq!(found.totals, [expected.len() as u64], "system {number}");
            assert_eq!(
                view.count(&ask(T)),
                expected.len() as u64,
                "system {number}"
            );
        }
    }
}

#[test]
fn newest_comes_first() {
    gives(
        &[link(A, 1, "x", T), link(B, 2, "x", T), link(A, 3, "y", T)],
        &[(A, "y"), (B, "x"), (A, "x")],
    );
}

#[test]
fn a_repeat_changes_nothing_and_a_delete_is_remembered() {
    let (made, gone) = (link(A, 1, "x", T), commit(A, 2, "x", Operation::Delete));
    gives(&[made.clone(), made.clone()], &[(A, "x")]);
    gives(&[made.clone(), gone.clone(), made.clone()], &[]);
    gives(
        &[made.clone(), gone.clone(), link(A, 3, "x", T), made, gone],
        &[(A, "x")],
    );
}

#[test]
fn records_of_one_commit_share_its_rev() {
    gives(
        &[link(A, 1, "x", T), link(A, 1, "y", T), link(A, 1, "z", T)],
        &[(A, "z"), (A, "y"), (A, "x")],
    );
}

#[test]
fn an_update_with_the_same_links_keeps_its_place_and_another_moves() {
    let first = [link(A, 1, "x", T), link(B, 2, "x", T)];
    let same = commit(
        A,
        3,
        "x",
        Operation::Update(format!(r#"{{"text":"new","subject":"{T}"}}"#)),
    );
    let more = commit(
        A,
        3,
        "x",
        Operation::Update(format!(r#"{{"via":"{A}","subject":"{T}"}}"#)),
    );
    let none = commit(
        A,
        3,
        "x",
        Operation::Update(r#"{"text":"nothing"}"#.to_owned()),
    );
    let gone_by_create = commit(A, 3, "x", Operation::Create("{}".to_owned()));
    let with = |event| [first[0].clone(), first[1].clone(), event];
    gives(&with(same), &[(B, "x"), (A, "x")]);
    gives(&with(more), &[(A, "x"), (B, "x")]);
    gives(&with(none), &[(B, "x")]);
    gives(&with(gone_by_create), &[(B, "x")]);
}

#[test]
fn inactive_accounts_are_hidden_and_come_back() {
    for status in [
        "deactivated",
        "takendown",
        "suspended",
        "never-heard-of",
        "",
    ] {
        let hidden = [
            link(A, 1, "x", T),
            link(B, 2, "x", T),
            account(A, 5, false, status),
        ];
        gives(&hidden, &[(B, "x")]);
        let mut back = hidden.to_vec();
        back.push(account(A, 6, true, ""));
        back.push(hidden[2].clone());
        gives(&back, &[(B, "x"), (A, "x")]);
    }
}

#[test]
fn a_status_before_the_first_link_is_remembered() {
    gives(
        &[account(A, 5, false, "takendown"), link(A, 1, "x", T)],
        &[],
    );
}

#[test]
fn a_deleted_account_is_purged_once_and_leaves_no_status() {
    let deleted = account(A, 5, false, "deleted");
    gives(
        &[
            link(A, 1, "x", T),
            deleted.clone(),
            link(A, 7, "y", T),
            deleted.clone(),
        ],
        &[(A, "y")],
    );
    gives(
        &[
            link(A, 1, "x", T),
            deleted.clone(),
            account(A, 6, true, ""),
            link(A, 1, "x", T),
        ],
        &[],
    );
    gives(
        &[
            link(A, 1, "x", T),
            account(A, 4, false, "suspended"),
            deleted,
            link(A, 7, "x", T),
        ],
        &[(A, "x")],
    );
}

#[test]
fn targets_are_found_in_other_forms() {
    let systems: [Box<dyn System>; 2] = [
        Box::new(ModelSystem::default()),
        Box::new(Real::new(options(3, true))),
    ];
    for mut system in systems {
        system.apply(&link(A, 1, "x", B));
        system.apply(&link(A, 2, "y", "AT://Alice.Example/a.b.c/k/"));
        assert_eq!(system.view().count(&ask(&format!("at://{B}/"))), 1);
        assert_eq!(system.view().count(&ask("at://alice.example/a.b.c/k")), 1);
        assert_eq!(system.view().count(&ask("at://ALICE.example/a.b.c/k")), 1);
        system.apply(&link(B, 1, "x", &format!("at://{B}")));
        system.apply(&link(B, 1, "y", &format!("at://{B}")));
        assert_eq!(system.view().count(&ask(&format!("at://{B}"))), 2);
        assert_eq!(system.view().count(&ask(B)), 1);
    }
}

#[test]
fn other_links_are_paired_in_order_and_a_link_counts_once() {
    let systems: [Box<dyn System>; 2] = [
        Box::new(ModelSystem::default()),
        Box::new(Real::new(options(2, true))),
    ];
    for mut system in systems {
        let list = |did, rev, others: &str| {
            commit(
                did,
                rev,
                "x",
                Operation::Create(format!(r#"{{"subject":"{T}","items":[{others}]}}"#)),
            )
        };
        assert_eq!(
            system.apply(&list(A, 1, r#""did:plc:q","did:plc:p","did:plc:q""#)),
            Outcome::New { links: 3 }
        );
        system.apply(&list(B, 2, r#""did:plc:p""#));
        let view = system.view();
        let other = Other {
            path: ".items[]".to_owned(),
            subjects: None,
        };
        let pairs = view.many(&ask(T), &other, false, 2).items();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, subject)| (key.0.as_str(), subject.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [(A, "did:plc:q"), (A, "did:plc:p"), (B, "did:plc:p")]
        );
        let counts = view.many_counts(&ask(T), &other, false, 1).items();
        assert_eq!(
            counts,
            [
                ("did:plc:q".to_owned(), 1, 1),
                ("did:plc:p".to_owned(), 2, 2)
            ]
        );
        let source = |path: &str, records, dids| {
            ("app.test.like".to_owned(), path.to_owned(), records, dids)
        };
        assert_eq!(view.all("did:plc:p"), [source(".items[]", 2, 2)]);
        assert_eq!(view.totals(), (2, 5));
    }
}

#[test]
fn each_account_stands_at_its_oldest_surviving_link() {
    let systems: [Box<dyn System>; 2] = [
        Box::new(ModelSystem::default()),
        Box::new(Real::new(options(2, true))),
    ];
    for mut system in systems {
        for event in [link(A, 1, "x", T), link(B, 2, "x", T), link(A, 3, "y", T)] {
            system.apply(&event);
        }
        assert_eq!(
            system.view().distinct_dids(&ask(T), false, 1).items(),
            [B, A]
        );
        system.apply(&commit(A, 4, "x", Operation::Delete));
        assert_eq!(
            system.view().distinct_dids(&ask(T), false, 1).items(),
            [A, B]
        );
        assert_eq!(
            system.view().distinct_dids(&ask(T), true, 5).items(),
            [B, A]
        );
    }
}

#[test]
fn a_view_keeps_its_totals_while_events_go_on() {
    let systems: [Box<dyn System>; 2] = [
        Box::new(ModelSystem::default()),
        Box::new(Real::new(options(100, true))),
    ];
    for mut system in systems {
        system.apply(&link(A, 1, "x", T));
        let before = system.view();
        system.apply(&link(B, 2, "x", T));
        assert_eq!(before.count(&ask(T)), 1);
        assert_eq!(
            before.totals(),
            (1, 1),
            "what is counted is what is listed, in one view"
        );
        assert_eq!(system.view().totals(), (2, 2));
    }
}

#[test]
fn a_commit_makes_the_cursor_durable_when_nothing_else_is_waiting() {
    // Sealed of itself at the event, before its position can be told.
    let mut real = Real::new(options(1, false));
    real.apply(&link(A, 1, "x", T));
    real.at(1);
    real.restart();
    assert_eq!(real.durable(), 1);
    // Nothing but repeats since the last commit.
    let mut real = Real::new(options(100, false));
    real.apply(&link(A, 1, "x", T));
    real.at(1);
    real.commit();
    real.apply(&link(A, 1, "x", T));
    real.at(2);
    real.restart();
    assert_eq!(real.durable(), 2);
}
