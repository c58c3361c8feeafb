use proptest::prelude::*;

use super::*;

const CREATE: &str = r#"{"did":"did:plc:a","time_us":1786000000000001,"cursor":2,"kind":"commit","commit":{"rev":"3m","operation":"create","collection":"c.d.e","rkey":"k","record":{"$type":"c.d.e"},"cid":"bafy"}}"#;

fn reason(text: &str) -> &'static str {
    Event::parse(text).map(|_| ()).expect_err(text).reason()
}

#[expect(clippy::ptr_arg, reason = "which kind of `Cow` it is, is the question")]
fn borrowed(text: &Cow<'_, str>) -> bool {
    matches!(text, Cow::Borrowed(_))
}

#[test]
fn a_create_is_read_without_copying() {
    let event = Event::parse(CREATE).unwrap();
    assert_eq!(
        (event.did.as_ref(), event.time_us, event.cursor),
        ("did:plc:a", 1_786_000_000_000_001, Some(2))
    );
    assert_eq!(event.position(), Cursor::Seq(2));
    let Kind::Commit(commit) = event.kind else {
        panic!("kind")
    };
    assert_eq!(
        (
            commit.rev.as_ref(),
            commit.collection.as_ref(),
            commit.rkey.as_ref()
        ),
        ("3m", "c.d.e", "k")
    );
    let Operation::Create { record, cid } = commit.operation else {
        panic!("operation")
    };
    assert_eq!(
        (record, cid.as_deref()),
        (r#"{"$type":"c.d.e"}"#, Some("bafy"))
    );
    assert!(
        borrowed(&event.did)
            && borrowed(&commit.rev)
            && borrowed(&commit.rkey)
            && borrowed(&cid.unwrap())
    );
}

#[test]
fn member_order_and_unknown_members_do_not_matter() {
    let text = r#" { "new":[{}], "commit":{"cid":"b","extra":null,"record":{},"rkey":"k","collection":"c.d.e","operation":"update","rev":"r"},
        "kind":"commit","time_us":18446744073709551615,"did":"d" } "#;
    let event = Event::parse(text).unwrap();
    assert_eq!((event.time_us, event.cursor), (u64::MAX, None));
    assert_eq!(event.position(), Cursor::TimeUs(u64::MAX));
    assert!(matches!(
        event.kind,
        Kind::Commit(Commit {
            operation: Operation::Update { .. },
            ..
        })
    ));
}

#[test]
fn a_delete_needs_no_record_and_ignores_one() {
    for tail in ["", r#","record":{"a":1},"cid":"b""#] {
        let text = format!(
            r#"{{"did":"d","time_us":1,"kind":"commit","commit":{{"rev":"r","operation":"delete","collection":"c","rkey":"k"{tail}}}}}"#
        );
        let event = Event::parse(&text).unwrap();
        assert!(matches!(
            event.kind,
            Kind::Commit(Commit {
                operation: Operation::Delete,
                ..
            })
        ));
    }
}

#[test]
fn escapes_are_resolved() {
    let text = CREATE
        .replace("did:plc:a", "did:plc:\\u0061")
        .replace("\"kind\"", "\"\\u006bind\"");
    assert_eq!(Event::parse(&text).unwrap().did, "did:plc:a");
}

#[test]
fn identity_and_account_are_read() {
    let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"did":"d","seq":9007199254740993,"time":"t","handle":null}}"#;
    let Kind::Identity(identity) = Event::parse(text).unwrap().kind else {
        panic!("kind")
    };
    assert_eq!(
        (identity.seq, identity.handle),
        (9_007_199_254_740_993, None)
    );

    let text = r#"{"did":"d","time_us":1,"kind":"account","account":{"active":false,"did":"d","seq":3,"status":"deleted","time":"t"}}"#;
    let Kind::Account(account) = Event::parse(text).unwrap().kind else {
        panic!("kind")
    };
    assert_eq!(
        (
            account.active,
            account.status.as_deref(),
            account.time.as_ref()
        ),
        (false, Some("deleted"), "t")
    );
}

#[test]
fn every_defect_has_its_own_reason() {
    let with = |from: &str, to: &str| {
        assert!(CREATE.contains(from), "{from}");
        CREATE.replace(from, to)
    };
    let cases = [
        ("".to_owned(), "bad_json"),
        ("{".to_owned(), "bad_json"),
        (format!("{CREATE}x"), "bad_json"),
        (with("did:plc:a", "\\ud800"), "bad_json"),
        ("[1]".to_owned(), "not_object"),
        (" null".to_owned(), "not_object"),
        ("{}".to_owned(), "missing_did"),
        (with("\"did:plc:a\"", "7"), "bad_did"),
        (with("\"did\"", "\"dad\""), "missing_did"),
        (with("\"time_us\"", "\"time\""), "missing_time_us"),
        (with("1786000000000001", "-1"), "bad_time_us"),
        (with("1786000000000001", "1.5"), "bad_time_us"),
        (with("1786000000000001", "\"1786000000000001\""), "bad_time_us"),
        (with("1786000000000001", "18446744073709551616"), "bad_time_us"),
        (with("\"cursor\":2", "\"cursor\":\"2\""), "bad_cursor"),
        (with("\"kind\":\"commit\",", ""), "missing_kind"),
        (with("\"kind\":\"commit\"", "\"kind\":{}"), "bad_kind"),
        (with("\"kind\":\"commit\"", "\"kind\":\"sync\""), "unknown_kind"),
        (with("\"commit\":{", "\"commet\":{"), "missing_commit"),
        (with("\"kind\":\"commit\"", "\"kind\":\"identity\""), "missing_identity"),
        (with("\"kind\":\"commit\"", "\"kind\":\"account\""), "missing_account"),
        (with("\"rev\":\"3m\",", ""), "incomplete_commit"),
        (with("\"rkey\":\"k\",", ""), "incomplete_commit"),
        (with("\"rkey\":\"k\"", "\"rkey\":1"), "bad_commit"),
        (with("\"rev\":\"3m\"", "\"rev\":null"), "incomplete_commit"),
        (with("\"cid\":\"bafy\"", "\"cid\":[]"), "bad_commit"),
        (with("\"operation\":\"create\",", ""), "missing_operation"),
        (with("\"operation\":\"create\"", "\"operation\":1"), "bad_operation"),
        (with("\"operation\":\"create\"", "\"operation\":\"upsert\""), "bad_operation"),
        (with("\"record\":{\"$type\":\"c.d.e\"},", ""), "missing_record"),
        (with("{\"$type\":\"c.d.e\"}", "null"), "missing_record"),
        (with("{\"$type\":\"c.d.e\"}", "[]"), "bad_record"),
        (with("\"time_us\"", "\"did\":\"d\",\"time_us\""), "duplicate_member"),
        (with("\"rkey\"", "\"rev\":\"d\",\"rkey\""), "duplicate_member"),
        (r#"{"did":"d","time_us":1,"kind":"commit","commit":[]}"#.to_owned(), "bad_commit"),
        (r#"{"did":"d","time_us":1,"kind":"identity","identity":{"did":"d","time":"t"}}"#.to_owned(), "bad_identity"),
        (
            r#"{"did":"d","time_us":1,"kind":"account","account":{"did":"d","seq":1,"time":"t","active":"yes"}}"#
                .to_owned(),
            "bad_account",
        ),
    ];
    for (text, expected) in &cases {
        assert_eq!(reason(text), *expected, "{text}");
    }
    assert_eq!(
        Event::parse_bytes(b"{\"did\":\"\xff\"}")
            .map(|_| ())
            .unwrap_err(),
        Malformed::BadUtf8
    );
}

#[test]
fn deep_nesting_in_a_record_is_passed_over() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let text = CREATE.replace("{\"$type\":\"c.d.e\"}", &deep);
    assert!(Event::parse(&text).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::parse_bytes(&bytes);
    }

    #[test]
    fn damaged_events_never_panic(at in 0..CREATE.len(), byte: u8) {
        let mut bytes = CREATE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = Event::parse_bytes(&bytes);
    }
}
