//! Properties: the extractor and its scanner against `serde_json` and a naive walk, the target test
//! against a naive reading of its rules, and stability of everything that is stored.

use crate::support::{OwnedLink, naive_links, naive_target};
use orrery_links::syntax::{AtUri, Did, Tid};
use orrery_links::{
    ExtractError, Extractor, Limits, Source, TargetKind, normalise_target, parse_target,
};
use proptest::prelude::*;
use serde_json::Value;

/// The links of a record as owned, sorted values, or the error.
fn extracted(record: &[u8]) -> Result<Vec<OwnedLink>, ExtractError> {
    let mut extractor = Extractor::new(Limits {
        depth: 200,
        ..Limits::default()
    });
    let extraction = extractor.extract_json(record)?;
    assert_eq!(extraction.truncated(), None);
    assert_eq!(extraction.links().count(), extraction.len());
    let mut links: Vec<OwnedLink> = extraction
        .links()
        .map(|link| {
            (
                link.path.to_owned(),
                link.target.to_owned(),
                link.kind.as_str(),
            )
        })
        .collect();
    links.sort();
    Ok(links)
}

/// Checks one text: both sides refuse it, or both find the same links.
fn agrees_with_serde_json(record: &[u8]) -> Result<(), TestCaseError> {
    match serde_json::from_slice::<Value>(record) {
        Ok(value) if value.is_object() => {
            let mut expected = naive_links(&value);
            expected.sort();
            prop_assert_eq!(
                extracted(record),
                Ok(expected),
                "{}",
                String::from_utf8_lossy(record)
            );
        }
        Ok(_) => {
            let refused = matches!(extracted(record), Err(ExtractError::NotAnObject { .. }));
            prop_assert!(refused, "{}", String::from_utf8_lossy(record));
        }
        // Numbers that no f64 holds are good JSON all the same, and so is any depth.
        Err(error) if error.to_string().contains("number out of range") => {}
        Err(error) if error.to_string().contains("recursion limit") => {}
        Err(error) => prop_assert!(
            extracted(record).is_err(),
            "{:?} passes, but serde_json says {}",
            String::from_utf8_lossy(record),
            error
        ),
    }
    Ok(())
}

/// Pieces that make links and near misses when they are put together.
const PIECES: [&str; 52] = [
    "at://",
    "AT://",
    "did:",
    "plc:",
    "web:",
    "did:plc:abc",
    "DID:",
    "http://",
    "HTTPS://",
    "mailto:",
    "a:",
    ":",
    "/",
    "//",
    ".",
    "..",
    "/./",
    "/../",
    "%2e",
    "%2E",
    "%61",
    "%2f",
    "%3A",
    "%zz",
    "%4",
    "%",
    "?",
    "#",
    "@",
    "[",
    "]",
    "[::1]",
    "[v1.a]",
    "[FE80::A]",
    "[::1.2.3.4]",
    ":80",
    ":",
    "EX.example",
    "ex",
    "A",
    "-",
    "_",
    "~",
    " ",
    "é",
    "\"",
    "\\",
    "\n",
    "\u{7f}",
    "c.d.e",
    "3k",
    "{",
];

fn target_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..9).prop_map(|pieces| pieces.concat()),
        1 => "[a-zA-Z]{1,4}:[!-~]{0,30}",
        1 => ".{0,20}",
    ]
}

/// JSON text of a value, with repeated keys, escapes and white space where JSON allows them.
fn json_text() -> impl Strategy<Value = String> {
    let string = (target_text(), any::<u8>()).prop_map(|(text, style)| quoted(&text, style));
    let scalar = prop_oneof![
        4 => string,
        1 => proptest::sample::select(&["1", "-0", "0.5e-3", "1E+2", "true", "false", "null", "-12.75"][..])
            .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(5, 60, 6, |inner| {
        let key = (proptest::sample::select(&["$type", "a", "b", "u.v", "", "a[]", "é", "$link"][..]), any::<u8>())
            .prop_map(|(key, style)| quoted(key, style));
        let spaces = proptest::sample::select(&["", "", " ", "\n\t ", "\r"][..]);
        let members = proptest::collection::vec((key, inner.clone(), spaces), 0..6);
        prop_oneof![
            3 => members.prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, value, space)| format!("{space}{key}{space}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            2 => proptest::collection::vec(inner, 0..6).prop_map(|elements| format!("[{}]", elements.join(" , "))),
        ]
    })
}

/// The text as a JSON string: plain where it can be, or, by style, with escapes it does not need.
fn quoted(text: &str, style: u8) -> String {
    if style < 170 {
        return Value::from(text).to_string();
    }
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if (i + usize::from(style)) % 3 == 0 || c < ' ' || c == '"' || c == '\\' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_give_the_links_of_the_naive_walk(value in json_text()) {
        agrees_with_serde_json(format!("{{\"r\":{value}}}").as_bytes())?;
        agrees_with_serde_json(value.as_bytes())?;
    }

    #[test]
    fn damaged_json_is_refused_when_serde_json_refuses_it(
        value in json_text(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof![
            proptest::sample::select(&b"\"\\{}[]:, 0-+.eEu\x00\x1f\x7f\xff\xc3tfn"[..]).prop_map(|b| vec![b]),
            Just(Vec::new()),
            proptest::sample::select(&["\\ud800", "\\udc00", "\\ud83d\\ude00", "\\u12", "\\x", "nul", "01", "1.", "-"][..])
                .prop_map(|s| s.as_bytes().to_vec()),
        ],
        cut in 0..2usize,
    ) {
        let mut record = format!("{{\"r\":{value}}}").into_bytes();
        let at = at.index(record.len());
        record.splice(at..at + cut, with);
        agrees_with_serde_json(&record)?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(record in proptest::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_serde_json(&record)?;
    }

    #[test]
    fn large_objects_keep_the_last_of_each_key(keys in proptest::collection::vec(0..60u32, 20..120)) {
        let members: Vec<_> = keys.iter().enumerate().map(|(i, key)| match i % 5 {
            0 => format!("\"k{key}\":{{\"a\":[\"did:plc:x{i}\"],\"a\":1}}"),
            1 => format!("\"\\u006b{key}\":\"did:plc:y{i}\""),
            2 => format!("\"k{key}\":{i}"),
            _ => format!("\"k{key}\":\"did:plc:z{i}\""),
        }).collect();
        agrees_with_serde_json(format!("{{{}}}", members.join(",")).as_bytes())?;
    }

    #[test]
    fn targets_follow_the_naive_rules(text in target_text()) {
        let found = parse_target(&text);
        let found = found.map(|(target, kind)| (target.into_owned(), kind.as_str()));
        prop_assert_eq!(found, naive_target(&text));
    }

    #[test]
    fn a_stored_target_is_its_own_normal_form(text in target_text()) {
        if let Some((target, kind)) = parse_target(&text) {
            let again = parse_target(&target);
            prop_assert_eq!(again.as_ref().map(|(target, _)| &**target), Some(&*target));
            // Only the scheme `DID` in capitals, lower-cased, makes another kind of the same string.
            let same = again.is_some_and(|(_, again)| again == kind);
            prop_assert!(same || (kind == TargetKind::Uri && target.starts_with("did:")));
        }
    }

    #[test]
    fn what_the_strict_parsers_accept_is_a_link(text in target_text()) {
        if Did::parse(&text).is_ok() {
            prop_assert_eq!(parse_target(&text).map(|(_, kind)| kind), Some(TargetKind::Did));
        }
        // The strict DID parser leaves escapes unread, as the DID specification of the protocol has it.
        if AtUri::parse(&text).is_ok() && !text.contains('%') {
            prop_assert_eq!(parse_target(&text).map(|(_, kind)| kind), Some(TargetKind::AtUri));
        }
    }

    #[test]
    fn tids_are_numbers_and_strings_alike(number in 0..=Tid::U64_MAX, other in 0..=Tid::U64_MAX) {
        let tid = Tid::from_u64(number).unwrap();
        let text = tid.to_string();
        prop_assert_eq!(text.len(), 13);
        prop_assert_eq!(Tid::parse(&text), Ok(tid));
        prop_assert_eq!(Tid::from_parts(tid.timestamp_us(), tid.clock_id()), Ok(tid));
        let other = Tid::from_u64(other).unwrap();
        prop_assert_eq!(tid.cmp(&other), text.cmp(&other.to_string()));
    }

    #[test]
    fn strict_parsers_take_any_text_without_a_panic(text in ".{0,40}") {
        use orrery_links::syntax::{AtIdentifier, Cid, Handle, Nsid, RecordKey};
        let _ = (Did::parse(&text), Handle::parse(&text), Nsid::parse(&text), RecordKey::parse(&text));
        let _ = (Tid::parse(&text), AtUri::parse(&text), Cid::parse(&text), AtIdentifier::parse(&text));
    }

    #[test]
    fn sources_read_back(collection in "[a-z.]{0,9}", rest in ".{0,12}") {
        let text = format!("{collection}:{rest}");
        let source = Source::parse(&text).unwrap();
        prop_assert_eq!(source.collection(), &collection);
        prop_assert_eq!(source.path(), format!(".{rest}"));
        prop_assert_eq!(&source.to_string(), &text);
        prop_assert_eq!(Source::from_parts(source.collection(), source.path()), Ok(source.clone()));
    }
}

#[test]
fn a_long_at_uri_that_shrinks_is_stored_in_a_stable_form() {
    for tail in ["/", "/..", "//x", "/.", ""] {
        let text = format!("at://alice.example/{}{tail}", "%61".repeat(2725));
        assert!(text.len() > 8192);
        let target = normalise_target(&text).unwrap();
        assert_eq!(normalise_target(&target).unwrap(), target, "{tail}");
    }
}
