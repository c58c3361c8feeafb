//! Lists that are long in several segments at once, asked again and again while they change: what was found of them for
//! an earlier question decides no later one.

use crate::model::event::{Body, Event, Operation};
use crate::model::real::{Real, options};
use crate::model::view::{Other, Question, System, View};
use crate::model::world::ModelSystem;

const TARGET: &str = "at://did:plc:hothothothothothothothot/app.test.post/3mbd3542k2222";
/// In every segment its list is long: more than 64 rows.
const SEAL_EVENTS: u32 = 150;
const LINKS: u64 = 500;

/// The author of the n-th record.
fn did(n: u64) -> String {
    let digit = char::from(b'a' + (n * 7 % 20) as u8);
    format!("did:plc:{}", String::from(digit).repeat(24))
}

fn event(number: u64, did: String, body: Body) -> Event {
    Event {
        time_us: 1_793_491_200_000_000 + number * 2_000,
        did,
        body,
    }
}

fn commit(number: u64, n: u64, operation: Operation) -> Event {
    let body = Body::Commit {
        rev: number,
        collection: "app.test.item".to_owned(),
        rkey: format!("k{n}"),
        operation,
    };
    event(number, did(n), body)
}

/// The n-th record: it links to the target, and to one of some others of every kind.
fn link(number: u64, n: u64) -> Event {
    let other = match n % 5 {
        0 => did(n / 5),
        1 => format!("https://other.example/{}", n % 7),
        2 => format!("at://{}/app.test.post/self", did(n)),
        _ => format!(
            "at://{}/app.test.post/3mbd3542k222{}",
            did(n / 9),
            2 + n % 3
        ),
    };
    let body = format!(r#"{{"list":"{TARGET}","subject":"{other}"}}"#);
    commit(number, n, Operation::Create(body))
}

fn account(number: u64, n: u64, active: bool) -> Event {
    let status = (!active).then(|| "takendown".to_owned());
    let body = Body::Account {
        seq: number,
        active,
        status,
    };
    event(number, did(n), body)
}

fn compare(real: &dyn View, model: &dyn View, at: &str) {
    let question = Question {
        target: TARGET.to_owned(),
        collection: "app.test.item".to_owned(),
        path: ".list".to_owned(),
        dids: None,
        since_us: None,
        until_us: None,
    };
    let some = Question {
        dids: Some(vec![did(3), did(4)]),
        ..question.clone()
    };
    let other = Other {
        path: ".subject".to_owned(),
        subjects: None,
    };
    for question in [&question, &some] {
        assert_eq!(real.count(question), model.count(question), "{at}");
        for reverse in [false, true] {
            assert_eq!(
                real.records(question, reverse, 61),
                model.records(question, reverse, 61),
                "{at}"
            );
        }
        assert_eq!(
            real.count_distinct(question),
            model.count_distinct(question),
            "{at}"
        );
        assert_eq!(
            real.many_counts(question, &other, false, 9),
            model.many_counts(question, &other, false, 9),
            "{at}"
        );
    }
}

#[test]
fn long_lists_of_several_segments_answer_as_the_model_after_every_change_of_them() {
    let mut real = Real::new(options(SEAL_EVENTS, false));
    let mut model = ModelSystem::default();
    let mut number = 0;
    let mut apply = |real: &mut Real, make: &dyn Fn(u64) -> Event| {
        number += 1;
        let event = make(number);
        assert_eq!(real.apply(&event), model.apply(&event));
        (number, model.view())
    };
    let mut view = ModelSystem::default().view();
    for n in 0..LINKS {
        (_, view) = apply(&mut real, &|number| link(number, n));
    }
    assert!(real.segments() >= 3);
    compare(&*real.view(), &*view, "all links");
    for round in 0..12_u64 {
        // Deletes, and a link again, in each of the segments; then an account that goes or comes back.
        for step in 0..8 {
            let n = (round * 97 + step * 61) % LINKS;
            let again = step == 5;
            (_, view) = apply(&mut real, &|number| match again {
                true => link(number, n),
                false => commit(number, n, Operation::Delete),
            });
        }
        compare(&*real.view(), &*view, &format!("deletes of round {round}"));
        (_, view) = apply(&mut real, &|number| {
            account(number, round / 2, round % 2 == 1)
        });
        compare(&*real.view(), &*view, &format!("account of round {round}"));
        match round {
            3 => real.seal(),
            6 => real.restart(),
            8 => real.merge(),
            10 => real.compact(),
            _ => continue,
        }
        compare(&*real.view(), &*view, &format!("kept in round {round}"));
    }
}
