//! Limits, hostile shapes, errors, and the order of links.

use orrery_links::{ExtractError, Extractor, Found, Limits, Source, SyntaxError, Truncation};

fn paths(extractor: &mut Extractor, record: &str) -> (Vec<String>, Option<Truncation>) {
    let extraction = extractor
        .extract_json(record.as_bytes())
        .expect("a good record");
    (
        extraction
            .links()
            .map(|link| link.path.to_owned())
            .collect(),
        extraction.truncated(),
    )
}

#[test]
fn containers_below_the_depth_limit_are_passed_over() {
    let nested = |depth: usize| {
        format!(
            "{{\"n\":{}\"did:plc:in\"{},\"z\":\"did:plc:after\"}}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let mut extractor = Extractor::default();
    let (found, truncated) = paths(&mut extractor, &nested(63));
    assert_eq!(found, [format!(".n{}", "[]".repeat(63)), ".z".to_owned()]);
    assert_eq!(truncated, None);
    let (found, truncated) = paths(&mut extractor, &nested(64));
    assert_eq!(found, [".z"]);
    assert_eq!(truncated, Some(Truncation::Depth));
}

#[test]
fn a_hundred_thousand_levels_do_no_harm() {
    for (open, close) in [
        ("[", "]"),
        ("{\"a\":", "}"),
        ("[{\"$type\":\"x\",\"a\":", "}]"),
    ] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let record = format!("{{\"d\":{deep},\"z\":\"did:plc:a\"}}");
        for limits in [
            Limits::default(),
            Limits {
                depth: usize::MAX,
                ..Limits::default()
            },
        ] {
            let mut extractor = Extractor::new(limits);
            assert_eq!(
                paths(&mut extractor, &record),
                (vec![".z".to_owned()], Some(Truncation::Depth))
            );
            let unclosed = format!("{{\"d\":{}", open.repeat(100_000));
            assert!(matches!(
                extractor.extract_json(unclosed.as_bytes()),
                Err(ExtractError::Json {
                    found: Found::End,
                    ..
                })
            ));
        }
    }
}

#[test]
fn a_superseded_deep_value_truncates_nothing() {
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let record = format!("{{\"d\":{deep},\"d\":\"did:plc:a\"}}");
    assert_eq!(
        paths(&mut Extractor::default(), &record),
        (vec![".d".to_owned()], None)
    );
}

#[test]
fn links_beyond_the_limit_are_left_out() {
    let record = |links: usize| format!("{{\"l\":[{}]}}", vec!["\"did:plc:a\""; links].join(","));
    let mut extractor = Extractor::default();
    let (found, truncated) = paths(&mut extractor, &record(10_000));
    assert_eq!((found.len(), truncated), (10_000, None));
    let (found, truncated) = paths(&mut extractor, &record(10_001));
    assert_eq!((found.len(), truncated), (10_000, Some(Truncation::Links)));
    let (found, truncated) = paths(&mut extractor, "{\"a\":\"did:plc:a\"}");
    assert_eq!(
        (found.len(), truncated),
        (1, None),
        "a limit met by one record says nothing of the next"
    );
}

#[test]
fn one_huge_key_above_many_links_is_bounded() {
    let key = "k".repeat(500_000);
    let members: Vec<_> = (0..1000)
        .map(|i| format!("\"{i}\":\"did:plc:a\""))
        .collect();
    let record = format!(
        "{{\"{key}\":{{{}}},\"z\":\"did:plc:b\"}}",
        members.join(",")
    );
    let (found, truncated) = paths(&mut Extractor::default(), &record);
    assert_eq!((found.len(), truncated), (8, Some(Truncation::PathBytes)));
    let repeated = format!("{{\"{key}\":[{}]}}", vec!["\"did:plc:a\""; 1000].join(","));
    let extraction_len = paths(&mut Extractor::default(), &repeated).0.len();
    assert_eq!(extraction_len, 1000, "a path that repeats counts once");
}

#[test]
fn members_come_in_the_order_of_the_document() {
    let record = r#"{"z":"a:1","b":{"y":"a:2","x":["a:3","a:4"]},"a":"a:5"}"#;
    let mut extractor = Extractor::default();
    let extraction = extractor
        .extract_json(record.as_bytes())
        .expect("a good record");
    let targets: Vec<_> = extraction.links().map(|link| link.target).collect();
    assert_eq!(targets, ["a:1", "a:2", "a:3", "a:4", "a:5"]);
}

#[test]
fn the_last_of_repeated_members_counts() {
    let mut extractor = Extractor::default();
    let mut check = |record: &str, expected: &[(&str, &str)]| {
        let extraction = extractor.extract_json(record.as_bytes()).expect(record);
        let found: Vec<_> = extraction
            .links()
            .map(|link| (link.path, link.target))
            .collect();
        assert_eq!(found, expected, "{record}");
    };
    check(
        r#"{"a":"a:1","b":"a:2","a":"a:3"}"#,
        &[(".b", "a:2"), (".a", "a:3")],
    );
    check(r#"{"a":"a:1","\u0061":"no"}"#, &[]);
    check(r#"{"a":{"x":"a:1"},"a":{"y":"a:2"}}"#, &[(".a.y", "a:2")]);
    check(
        r#"{"e":[{"$type":"one","u":"a:1","$type":"two"}]}"#,
        &[(".e[two].u", "a:1")],
    );
    check(
        r#"{"e":[{"$type":"one","u":"a:1","\u0024type":7}]}"#,
        &[(".e[].u", "a:1")],
    );
    check(
        r#"{"e":[{"u":"a:1","\u0024type":"t\u0077o"}]}"#,
        &[(".e[two].u", "a:1")],
    );
}

#[test]
fn errors_say_what_and_where() {
    let mut extractor = Extractor::default();
    let mut message = |record: &[u8]| match extractor.extract_json(record) {
        Ok(_) => panic!("{record:?} passes"),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        message(b"{\"a\" 1}"),
        "the record is not JSON: expected `:` after the member name at byte 5, found '1'"
    );
    assert_eq!(
        message(b"{\"a\":"),
        "the record is not JSON: expected a value at byte 5, found the end of the record"
    );
    assert_eq!(
        message(b"{} x"),
        "the record is not JSON: expected nothing after the record at byte 3, found 'x'"
    );
    assert_eq!(
        message(b"{\"a\":\"\xff\"}"),
        "the record is not UTF-8: bad byte sequence at byte 6"
    );
    assert_eq!(message(b"[]"), "the record is an array, not an object");
    assert_eq!(message(b"\"x\""), "the record is a string, not an object");
    assert_eq!(
        message(b"5"),
        "the record is a number, a boolean or null, not an object"
    );
    assert_eq!(
        message(b""),
        "the record is not JSON: expected a value at byte 0, found the end of the record"
    );
}

#[test]
fn sources_need_a_colon() {
    assert!(matches!(
        Source::parse("app.bsky.feed.like"),
        Err(SyntaxError::Rule { .. })
    ));
    assert_eq!(
        Source::parse("c.d.e:.subject").expect("legal").path(),
        "..subject"
    );
    assert_eq!(
        Source::parse("c.d.e:a[x:y].z").expect("legal").path(),
        ".a[x:y].z"
    );
    assert!(Source::from_parts("c:d", ".x").is_err());
    assert!(Source::from_parts("c.d.e", "x").is_err());
}

#[test]
fn json_below_the_depth_limit_must_be_right_too() {
    let mut extractor = Extractor::default();
    let wrong = [
        "[}",
        "[1}",
        "{\"a\":1]",
        "[[]}",
        "{]",
        "{\"a\":[}}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[01]",
        "[1.]",
        "[-]",
        "[1e]",
        "[tru]",
        "[\"\t\"]",
        "[\"\\x\"]",
        "[\"\\ud800\"]",
        "[\"\\u12g4\"]",
        "[\"",
        "[",
        "{",
    ];
    let right = [
        "[]",
        "{}",
        "[ ]",
        "{ \"a\" : [ { } , -0.1E-5 ] , \"b\\n\" : \"\\ud83d\\ude00\" }",
        "[[],{},null]",
    ];
    for depth in [1, 70] {
        let mut check = |inner: &str| {
            let record = format!(
                "{{\"d\":{}{inner}{}}}",
                "[".repeat(depth),
                "]".repeat(depth)
            );
            extractor.extract_json(record.as_bytes()).map(|_| ())
        };
        for inner in wrong {
            assert!(
                matches!(check(inner), Err(ExtractError::Json { .. })),
                "{inner} at depth {depth}"
            );
        }
        for inner in right {
            assert_eq!(check(inner), Ok(()), "{inner} at depth {depth}");
        }
    }
}

#[test]
fn surrogates_must_come_in_pairs() {
    let mut extractor = Extractor::default();
    for escapes in [
        "\\ud800",
        "\\udc00",
        "\\udc00\\udc00",
        "\\ud800\\ud800",
        "\\ud800x",
        "\\ud800\\n",
        "\\udfff\\udc00",
    ] {
        let record = format!("{{\"a\":\"a:{escapes}\"}}");
        assert!(
            extractor.extract_json(record.as_bytes()).is_err(),
            "{record}"
        );
    }
    let record = r#"{"\ud83d\ude00\u00e9\"\\\/":"a:\u0062"}"#;
    let extraction = extractor
        .extract_json(record.as_bytes())
        .expect("a good record");
    let found: Vec<_> = extraction
        .links()
        .map(|link| (link.path, link.target))
        .collect();
    assert_eq!(found, [(".\u{1f600}é\"\\/", "a:b")]);
}
