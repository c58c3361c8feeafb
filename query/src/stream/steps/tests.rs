use orrery_engine::effect::{AccountBuf, LinksBuf, Row};
use orrery_engine::event::Event;

use super::*;

const REV: u64 = 1_793_491_200_000_000 << 10 | 17;

/// Rows by seq, each with a link to `s:<seq>`, those from 10,000 on with another before it; those not there are
/// forgotten.
struct Index(Vec<u64>);

impl Lookup for Index {
    fn row(&mut self, seq: u64, found: EachRow<'_>) -> bool {
        let is_there = self.0.contains(&seq);
        if is_there {
            let target = format!("s:{seq}");
            let rkey = format!("k{seq}");
            // The target of every tenth is lost.
            let target = (!seq.is_multiple_of(10)).then_some(&*target);
            let links = [(".cid", Some("s:cid")), (".subject", target)];
            found(
                "c.d.e",
                &rkey,
                &mut links.into_iter().skip(usize::from(seq < 10_000)),
            );
        }
        is_there
    }
}

fn make(accepted: &Accepted<'_>, tells_all: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut index = Index((1..20_000).filter(|seq| seq % 100 != 0).collect());
    let mut maker = StepMaker::new(Forms::ALL);
    let telling = Telling {
        tells_all,
        ..TELLING
    };
    let made = maker.make(accepted, telling, &mut index, &mut |step| {
        steps.push(step);
        ControlFlow::Continue(())
    });
    assert!(matches!(made, Made::All));
    steps
}

const TELLING: Telling = Telling {
    origin: Origin::Live,
    tells_all: false,
    after: None,
    mark: None,
};

fn commit<'a>(operation: Written<'a>, effect: Effect<'a>) -> Accepted<'a> {
    Accepted {
        seq: 7,
        event: Event {
            time_us: 99,
            did: "did:plc:a",
            body: Body::Commit {
                rev: REV,
                collection: "c.d.e",
                rkey: "k",
                operation,
            },
        },
        effect,
    }
}

fn json(body: &str) -> Record<'_> {
    Record {
        cid: "",
        encoding: Encoding::Json,
        body: body.as_bytes(),
    }
}

fn links(of: &[(&str, &str)]) -> LinksBuf {
    let mut links = LinksBuf::default();
    for (path, target) in of {
        links.push(path, target);
    }
    links
}

fn before(links: &LinksBuf) -> Effect<'_> {
    Effect::Commit {
        hidden: false,
        before: Before::Links(links.links()),
    }
}

const NOTHING: Effect<'_> = Effect::Commit {
    hidden: false,
    before: Before::Nothing,
};

/// Index, position, what became of it, source and subject.
fn told(changes: &[Change]) -> Vec<(u32, u32, Operation, &str, &str)> {
    changes
        .iter()
        .map(|c| (c.index, c.position, c.operation, &*c.source, &*c.subject))
        .collect()
}

use Operation::{Create, Delete};

const RECORD: &str = r#"{"z":"s:1","a":["s:2","s:3","s:2"]}"#;

#[test]
fn plain_is_in_the_records_order_and_changes_in_the_rows() {
    let steps = make(&commit(Written::Create(json(RECORD)), NOTHING), false);
    assert_eq!(steps.len(), 1);
    let step = &steps[0];
    assert_eq!((step.seq, step.time_us, step.is_last), (7, 99, true));
    assert_eq!(
        told(&step.plain),
        [
            (0, 0, Create, "c.d.e:z", "s:1"),
            (1, 1, Create, "c.d.e:a[]", "s:2"),
            (2, 2, Create, "c.d.e:a[]", "s:3"),
            (3, 3, Create, "c.d.e:a[]", "s:2"),
        ]
    );
    assert_eq!(
        told(&step.changes),
        [
            (0, 0, Create, "c.d.e:a[]", "s:2"),
            (1, 1, Create, "c.d.e:a[]", "s:3"),
            (2, 2, Create, "c.d.e:z", "s:1"),
        ]
    );
    for change in step.plain.iter().chain(&step.changes) {
        assert_eq!(&*change.source_record, "at://did:plc:a/c.d.e/k");
        assert_eq!(change.source_rev.as_deref(), Some("3mz7iuy6k222l"));
        assert_eq!((change.origin, change.cause), (Origin::Live, None));
    }
}

#[test]
fn an_update_tells_what_vanished_then_what_came() {
    let old = links(&[
        (".a[]", "s:2"),
        (".a[]", "s:9"),
        (".b", "s:1"),
        (".z", "s:1"),
    ]);
    let update = commit(Written::Update(json(RECORD)), before(&old));
    let steps = make(&update, false);
    let expected = [
        (1, 1, Delete, "c.d.e:a[]", "s:9"),
        (2, 2, Delete, "c.d.e:b", "s:1"),
        (5, 1, Create, "c.d.e:a[]", "s:3"),
    ];
    assert_eq!(told(&steps[0].changes), expected);
    let causes: Vec<_> = steps[0].changes.iter().map(|change| change.cause).collect();
    assert_eq!(causes, [Some(Cause::Update), Some(Cause::Update), None]);
    assert!(!steps[0].repeats);
    assert_eq!(steps[0].plain.len(), 4);
}

#[test]
fn who_may_lack_the_row_before_is_told_all_links_of_the_new_one() {
    let old = links(&[(".a[]", "s:2"), (".b", "s:1")]);
    let update = commit(Written::Update(json(RECORD)), before(&old));
    let steps = make(&update, true);
    assert_eq!(
        told(&steps[0].changes),
        [
            (INDEX_ALL + 1, 1, Delete, "c.d.e:b", "s:1"),
            (INDEX_ALL + 2, 0, Create, "c.d.e:a[]", "s:2"),
            (INDEX_ALL + 3, 1, Create, "c.d.e:a[]", "s:3"),
            (INDEX_ALL + 4, 2, Create, "c.d.e:z", "s:1"),
        ]
    );
    assert!(steps[0].repeats);
    let create = make(&commit(Written::Create(json(RECORD)), NOTHING), true);
    assert!(!create[0].repeats);
}

#[test]
fn a_delete_tells_each_link_of_the_record_with_its_own_revision() {
    let old = links(&[(".a", "s:1"), (".a", "s:2")]);
    let steps = make(&commit(Written::Delete, before(&old)), false);
    assert!(steps[0].plain.is_empty());
    assert_eq!(
        told(&steps[0].changes),
        [
            (0, 0, Delete, "c.d.e:a", "s:1"),
            (1, 1, Delete, "c.d.e:a", "s:2")
        ]
    );
    for change in &steps[0].changes {
        assert_eq!(change.cause, Some(Cause::Record));
        assert_eq!(change.source_rev.as_deref(), Some("3mz7iuy6k222l"));
    }
}

#[test]
fn unchanged_records_and_hidden_accounts_change_nothing() {
    for (hidden, before) in [
        (false, Before::Same),
        (true, Before::Nothing),
        (true, Before::Same),
    ] {
        let effect = Effect::Commit { hidden, before };
        let steps = make(&commit(Written::Update(json(RECORD)), effect), true);
        assert_eq!(steps[0].plain.len(), 4);
        assert!(steps[0].changes.is_empty());
    }
    let old = links(&[(".a", "s:1")]);
    let effect = Effect::Commit {
        hidden: true,
        before: Before::Links(old.links()),
    };
    assert!(make(&commit(Written::Delete, effect), false)[0].is_empty());
}

#[test]
fn what_an_older_build_logged_may_repeat_links_and_tells_no_deletes() {
    let steps = make(
        &commit(Written::Update(json(RECORD)), Effect::Unknown),
        false,
    );
    assert_eq!(steps[0].changes.len(), 3);
    assert!(steps[0].repeats);
    assert!(make(&commit(Written::Delete, Effect::Unknown), false)[0].is_empty());
}

#[test]
fn many_links_are_all_told_as_changes_and_the_first_hundred_as_plain() {
    let new: Vec<String> = (0..300).map(|i| format!("\"s:{}\"", i % 250)).collect();
    let record = format!(r#"{{"a":[{}]}}"#, new.join(","));
    let targets: Vec<String> = (200..450).map(|i| format!("s:{i}")).collect();
    let old: Vec<(&str, &str)> = targets.iter().map(|target| (".a[]", &**target)).collect();
    let old = links(&old);
    let steps = make(&commit(Written::Update(json(&record)), before(&old)), false);
    assert_eq!(steps[0].plain.len(), 100);
    let deletes: Vec<&str> = (steps[0].changes.iter())
        .filter(|change| change.operation == Delete)
        .map(|change| &*change.subject)
        .collect();
    let creates: Vec<&str> = (steps[0].changes.iter())
        .filter(|change| change.operation == Create)
        .map(|change| &*change.subject)
        .collect();
    assert_eq!(deletes, targets[50..]);
    assert_eq!(
        creates,
        (0..200).map(|i| format!("s:{i}")).collect::<Vec<_>>()
    );
    let within = steps[0]
        .changes
        .iter()
        .filter(|change| change.is_within_cap());
    assert_eq!(within.count(), 200 + 100);
}

fn account<'a>(active: bool, effect: Effect<'a>) -> Accepted<'a> {
    Accepted {
        seq: 30_000,
        event: Event {
            time_us: 99,
            did: "did:plc:a",
            body: Body::Account {
                seq: 1,
                active,
                status: None,
            },
        },
        effect,
    }
}

#[test]
fn an_accounts_rows_go_and_come_back_in_steps_of_bounded_size() {
    let mut rows = AccountBuf::default();
    let row = links(&[(".a", "s:x"), (".b", "s:y")]);
    for i in 0..1_500 {
        let rkey = format!("r{i}");
        let is_in = rows.push_row(&Row {
            collection: "c.d.e",
            rkey: &rkey,
            links: row.links(),
        });
        assert!(is_in);
    }
    for seq in (1..=110).filter(|seq| seq % 10 != 0) {
        rows.push_seq(seq);
    }
    for active in [false, true] {
        let steps = make(&account(active, rows.effect()), false);
        let lengths: Vec<usize> = steps.iter().map(|step| step.changes.len()).collect();
        assert_eq!(lengths, [1_024, 1_024, 1_024, 27]);
        let last: Vec<bool> = steps.iter().map(|step| step.is_last).collect();
        assert_eq!(last, [false, false, false, true]);
        assert!(
            steps
                .iter()
                .all(|step| step.seq == 30_000 && step.key == 0 && !step.is_cut)
        );
        let changes: Vec<&Change> = steps.iter().flat_map(|step| &step.changes).collect();
        for (index, change) in (0..).zip(&changes) {
            assert_eq!(change.index, index);
            assert_eq!(change.source_rev, None);
            let expected = if active {
                (Create, Origin::Replay, None)
            } else {
                (Delete, Origin::Live, Some(Cause::Account))
            };
            assert_eq!((change.operation, change.origin, change.cause), expected);
        }
        assert_eq!(&*changes[2_999].source_record, "at://did:plc:a/c.d.e/r1499");
        assert_eq!(changes[2_999].position, 1);
        assert_eq!(&*changes[3_000].source_record, "at://did:plc:a/c.d.e/k1");
        assert_eq!(&*changes[3_098].subject, "s:109");
    }
}

#[test]
fn rows_that_the_index_forgot_are_missing_and_the_step_says_so() {
    let mut rows = AccountBuf::default();
    for seq in [99, 100, 101] {
        rows.push_seq(seq);
    }
    let steps = make(&account(false, rows.effect()), false);
    assert_eq!(steps.len(), 1);
    assert!(steps[0].is_cut);
    let subjects: Vec<&str> = steps[0].changes.iter().map(|c| &*c.subject).collect();
    assert_eq!(subjects, ["s:99", "s:101"]);
}

#[test]
fn a_link_whose_target_is_lost_is_missing_and_keeps_its_number() {
    let mut rows = AccountBuf::default();
    for seq in [10_009, 10_010, 10_011] {
        rows.push_seq(seq);
    }
    let steps = make(&account(false, rows.effect()), false);
    assert_eq!(steps.len(), 1);
    assert!(steps[0].is_cut);
    let told: Vec<(u32, u32, &str)> = (steps[0].changes.iter())
        .map(|change| (change.index, change.position, &*change.subject))
        .collect();
    assert_eq!(
        told,
        [
            (0, 0, "s:cid"),
            (1, 1, "s:10009"),
            (2, 0, "s:cid"),
            (4, 0, "s:cid"),
            (5, 1, "s:10011")
        ]
    );
}

/// What is told of an event behind that change.
fn make_after(accepted: &Accepted<'_>, index: u32, tells_all: bool, has: Vec<u64>) -> Vec<Step> {
    let mut steps = Vec::new();
    let telling = Telling {
        after: Some(After::new(index)),
        tells_all,
        ..TELLING
    };
    let mut maker = StepMaker::new(Forms::ALL);
    maker.make(accepted, telling, &mut Index(has), &mut |step| {
        steps.push(step);
        ControlFlow::Continue(())
    });
    steps
}

#[test]
fn a_change_has_one_number_whatever_else_is_told_of_its_event() {
    let old = links(&[(".a[]", "s:2"), (".b", "s:1")]);
    let update = commit(Written::Update(json(RECORD)), before(&old));
    let all = make(&update, true);
    let some = make(&update, false);
    let numbers = |step: &Step| -> Vec<(u32, String)> {
        let changes = step.changes.iter();
        changes
            .map(|change| (change.index & !INDEX_ALL, change.subject.to_string()))
            .collect()
    };
    let all = numbers(&all[0]);
    assert!(numbers(&some[0]).iter().all(|told| all.contains(told)));
    // Behind each of them the rest follows, told in either way.
    for (place, (number, _)) in all.iter().enumerate() {
        for index in [*number, number | INDEX_ALL] {
            let rest = make_after(&update, index, true, Vec::new());
            assert_eq!(numbers(&rest[0]), all[place + 1..]);
            assert!(rest[0].plain.is_empty());
            let rest = make_after(&update, index, false, Vec::new());
            let expected: Vec<_> = numbers(&some[0])
                .into_iter()
                .filter(|(of, _)| of > number)
                .collect();
            assert_eq!(numbers(&rest[0]), expected);
        }
    }
}

#[test]
fn behind_a_row_that_is_forgotten_since_all_is_told_again() {
    let mut rows = AccountBuf::default();
    for seq in 11..=16 {
        rows.push_seq(seq);
    }
    let event = account(false, rows.effect());
    let subjects = |steps: &[Step]| -> Vec<String> {
        let changes = steps.iter().flat_map(|step| &step.changes);
        changes.map(|change| change.subject.to_string()).collect()
    };
    let whole = make_after(&event, 3, false, (11..=16).collect());
    assert_eq!(subjects(&whole), ["s:15", "s:16"]);
    // The numbers of what is behind it are one less than they were.
    let merged = make_after(&event, 3, false, vec![11, 13, 14, 15, 16]);
    assert_eq!(subjects(&merged), ["s:13", "s:14", "s:15", "s:16"]);
    assert!(merged[0].is_cut);
}

#[test]
fn an_accounts_event_that_is_broken_off_goes_on_behind_the_step_that_was_given_last() {
    let mut rows = AccountBuf::default();
    let row = links(&[(".a", "s:x"), (".b", "s:y"), (".c", "s:z")]);
    for i in 0..700 {
        let rkey = format!("r{i}");
        rows.push_row(&Row {
            collection: "c.d.e",
            rkey: &rkey,
            links: row.links(),
        });
    }
    for seq in 10_000..12_000 {
        rows.push_seq(seq);
    }
    let event = account(true, rows.effect());
    let all = make(&event, false);
    assert!(all.len() > 5 && all[all.len() - 1].is_cut);
    let mut index = Index((1..20_000).filter(|seq| seq % 100 != 0).collect());
    let mut maker = StepMaker::new(Forms::ALL);
    let (mut steps, mut telling) = (Vec::new(), TELLING);
    loop {
        let made = maker.make(&event, telling, &mut index, &mut |step| {
            steps.push(step);
            ControlFlow::Break(())
        });
        match made {
            Made::Within(mark) => telling.mark = Some(mark),
            Made::Stopped => break,
            Made::All => panic!("it was broken off"),
        }
    }
    assert_eq!(steps, all);
}

#[test]
fn keys_tell_records_apart() {
    let mut maker = StepMaker::new(Forms::ALL);
    let mut key = |did: &str, rkey: &str| {
        let mut accepted = commit(Written::Delete, NOTHING);
        accepted.event.did = did;
        accepted.event.body = Body::Commit {
            rev: REV,
            collection: "c.d.e",
            rkey,
            operation: Written::Delete,
        };
        let mut found = 0;
        maker.make(&accepted, TELLING, &mut Index(Vec::new()), &mut |step| {
            found = step.key;
            ControlFlow::Continue(())
        });
        found
    };
    let one = key("did:plc:a", "k");
    assert_eq!(one, key("did:plc:a", "k"));
    assert_ne!(one, key("did:plc:a", "l"));
    assert_ne!(one, key("did:plc:b", "k"));
    assert_ne!(one, 0);
}
