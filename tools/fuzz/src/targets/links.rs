//! Links in records, targets and identifiers, against the naive reading of the same rules that the tests of
//! `orrery-links` have.

use orrery_links::syntax::{AtIdentifier, AtUri, Cid, Did, Handle, Nsid, RecordKey, Tid};
use orrery_links::{
    ExtractError, Extractor, Limits, Source, TargetKind, normalise_target, parse_target,
};
use serde_json::Value;

use super::naive::{naive_links, naive_target};
use crate::{Outcome, Target, heap};

/// What errors and the extractor's buffers take.
const HEAP_MAX: usize = 16_384;
/// What a record may take for each of its bytes: its tape and the text of its paths and targets.
const HEAP_PER_BYTE: usize = 256;

const WORDS: &[&str] = &[
    "at://",
    "did:plc:",
    "did:web:",
    "https://",
    "%2E",
    "%61",
    "%",
    "/../",
    "/./",
    "..",
    "[::1]",
    "[v1.a]",
    ":80",
    "@",
    "?",
    "#",
    "AT://",
    "DID:",
    "app.bsky.feed.post",
    "3jzfcijpj2z2a",
    "\u{e9}",
    "xn--",
];

pub(super) const RECORD: Target = Target {
    name: "record",
    about: "links of a record as JSON, against serde_json and a naive walk",
    seeds: || {
        [
            r#"{"$type":"app.bsky.feed.like","subject":{"uri":"at://did:plc:abc/app.bsky.feed.post/3k","cid":"bafy"}}"#,
            r#"{"facets":[{"features":[{"$type":"app.bsky.richtext.facet#link","uri":"HTTPS://Ex.example/a/../b"}]},{"did":"did:plc:a"}],"n":[1,-0.5e3,true,null]}"#,
            r#"{"a":"\ud83d\ude00","a":"did:plc:\u0061","":{"":["x:y",["x:z"]]}, "b" : [ ] }"#,
            "[]",
            "\"did:plc:a\"",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "{\"a\":",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u0061",
        "\\ud83d",
        "\\ude00",
        "null",
        "1e5",
        "-0",
        "$type",
        "\"did:plc:a\"",
        "\"at://a.example/b\"",
        "{",
        " ",
        "\u{e9}",
    ],
    check: record,
};

fn record(input: &[u8]) -> Outcome {
    let mut extractor = Extractor::new(Limits {
        depth: 200,
        ..Limits::default()
    });
    let heap_max = HEAP_MAX + HEAP_PER_BYTE * input.len();
    let found = heap::at_most(heap_max, || {
        extractor.extract_json(input).map(|found| found.len())
    });
    let parsed = serde_json::from_slice::<Value>(input);
    let mut kinds = [0; 3];
    match (&found, parsed) {
        (Ok(_), Ok(value)) => {
            let extraction = extractor.extract_json(input).unwrap();
            let mut links: Vec<_> = extraction
                .links()
                .inspect(|link| kinds[link.kind as usize] += 1)
                .map(|link| {
                    (
                        link.path.to_owned(),
                        link.target.to_owned(),
                        link.kind.as_str(),
                    )
                })
                .collect();
            assert_eq!(links.len(), extraction.len());
            if extraction.truncated().is_none() {
                let mut expected = naive_links(&value);
                expected.sort();
                links.sort();
                assert_eq!(links, expected);
            }
        }
        (Ok(_), Err(error)) => {
            // Numbers that no f64 holds are good JSON all the same, and so is any depth.
            let text = error.to_string();
            let is_stricter = text.contains("out of range") || text.contains("recursion limit");
            assert!(is_stricter, "accepted, but serde_json says {text}");
        }
        (Err(ExtractError::NotAnObject { .. }), Ok(value)) => assert!(!value.is_object()),
        (Err(error), Ok(_)) => panic!("{error}, but serde_json accepts it"),
        (Err(_), Err(_)) => {}
    }
    // Low limits give the beginning of the same links.
    let (whole, truncated): (Vec<_>, _) = match extractor.extract_json(input) {
        Ok(all) => {
            let links = all.links();
            let links = links.map(|link| (link.path.to_owned(), link.target.to_owned()));
            (links.collect(), all.truncated())
        }
        Err(error) => return Outcome::of(&error),
    };
    let mut short = Extractor::new(Limits {
        links: 2,
        path_bytes: 20,
        depth: 200,
    });
    let cut = short.extract_json(input).unwrap();
    assert!(
        cut.links()
            .zip(&whole)
            .all(|(a, b)| (a.path, a.target) == (&b.0, &b.1))
    );
    let is_cut = cut.len() < whole.len() || truncated.is_some();
    assert_eq!(cut.truncated().is_some(), is_cut);
    assert!(cut.links().all(|link| link.path.starts_with(['.', '['])));
    Outcome::counts(&[kinds[0], kinds[1], kinds[2]])
}

pub(super) const NODE_TARGET: Target = Target {
    name: "link-target",
    about: "the test that decides whether a string is a link, and its normal form",
    seeds: || {
        [
            "at://did:plc:abc/app.bsky.feed.post/3k?q#f",
            "AT://Alice.Example//./a/../b/",
            "did:web:example.com%3A80",
            "https://u%61@EX.example:080/a/./b//../%7e?q=%zz",
            "mailto:a@b.example",
            "x://[::1]:7/..",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: WORDS,
    check: |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Outcome::counts(&[]);
        };
        let heap_max = HEAP_MAX + 8 * text.len();
        let found = heap::at_most(heap_max, || parse_target(text));
        let found = found.map(|(target, kind)| (target.into_owned(), kind.as_str()));
        assert_eq!(found, naive_target(text));
        let Some((target, kind)) = found else {
            return Outcome::counts(&[0]);
        };
        assert_eq!(
            normalise_target(&target).as_deref(),
            Some(&*target),
            "no normal form"
        );
        let shape: String = target
            .chars()
            .filter(|c| c.is_ascii_punctuation())
            .take(6)
            .collect();
        Outcome::of(&(kind, target == text, shape))
    },
};

pub(super) const SYNTAX: Target = Target {
    name: "syntax",
    about: "the strict parsers of identifiers",
    seeds: || {
        [
            "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
            "alice.example",
            "app.bsky.feed.like",
            "3jzfcijpj2z2a",
            "at://did:web:a.example/app.bsky.feed.post/self",
            "bafyreib4arprhlwsekkqkrs5u76hbtyv2mqgqn3bobzjck43o4obzu3dti",
            "app.bsky.feed.like:subject.uri",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: WORDS,
    check: syntax,
};

fn syntax(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else {
        return Outcome::counts(&[]);
    };
    let did = Did::parse(text);
    if let Ok(did) = did {
        assert_eq!(format!("did:{}:{}", did.method(), did.identifier()), text);
        assert_eq!(
            parse_target(text).map(|found| found.1),
            Some(TargetKind::Did)
        );
    }
    let nsid = Nsid::parse(text);
    if let Ok(nsid) = nsid {
        assert_eq!(format!("{}.{}", nsid.authority(), nsid.name()), text);
    }
    let tid = Tid::parse(text);
    if let Ok(tid) = tid {
        assert_eq!(tid.to_string(), text);
        assert_eq!(Tid::from_u64(tid.to_u64()), Ok(tid));
        assert_eq!(Tid::from_parts(tid.timestamp_us(), tid.clock_id()), Ok(tid));
        assert!(RecordKey::parse(text).is_ok());
    }
    let uri = AtUri::parse(text);
    if let Ok(uri) = uri {
        let mut again = format!("at://{}", uri.authority());
        let collection = uri.collection().map(Nsid::as_str);
        let record_key = uri.record_key().map(RecordKey::as_str);
        for part in collection.into_iter().chain(record_key) {
            again.push('/');
            again.push_str(part);
        }
        assert_eq!(again, text);
        if !text.contains('%') {
            assert_eq!(
                parse_target(text).map(|found| found.1),
                Some(TargetKind::AtUri)
            );
        }
    }
    let handle = Handle::parse(text);
    let identifier = AtIdentifier::parse(text);
    assert_eq!(identifier.is_ok(), did.is_ok() || handle.is_ok());
    let source = Source::parse(text);
    assert_eq!(source.is_ok(), text.contains(':'));
    if let Ok(source) = &source {
        assert_eq!(source.to_string(), text);
        let again = Source::from_parts(source.collection(), source.path());
        assert_eq!(again.as_ref(), Ok(source));
    }
    let (cid, key) = (Cid::parse(text), RecordKey::parse(text));
    Outcome::of(&(
        did.err(),
        nsid.err(),
        tid.err(),
        uri.err(),
        handle.err().map(|error| error.to_string().len() / 16),
        (cid.is_ok(), key.is_ok()),
    ))
}
