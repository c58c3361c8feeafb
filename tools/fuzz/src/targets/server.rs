//! What the server reads of a request: the query string by every endpoint, `Accept`, times; and of subscribers.

use orrery_server::fuzz;

use crate::{Outcome, Target, heap};

const HEAP_MAX: usize = 65_536;
/// A growing list of the most steps that a series has, of four bytes each.
const STEPS_HEAP_MAX: usize = 3 * 65_536;
/// What a query string may take for each of its bytes: each endpoint copies values and errors.
const HEAP_PER_BYTE: usize = 160;

/// A list of empty strings takes three bytes of text for each, and twice their places while it grows.
const MESSAGE_HEAP_PER_BYTE: usize = 64;

pub(super) const QUERY_STRING: Target = Target {
    name: "query-string",
    about: "query strings, by every endpoint",
    seeds: || {
        [
            "subject=did:plc:a&source=app.bsky.graph.follow:subject&limit=10&reverse=true",
            "target=at%3A%2F%2Fdid%3Aplc%3Aa%2Fapp.bsky.feed.post%2F3k&collection=app.bsky.feed.like&path=.subject.uri",
            "subject=a&source=b:c&pathToOther=list&otherSubject=did:plc:b&linkDid=did:plc:c&since=2026-01-01T00:00:00Z&until=1786000000000001",
            "did=x&did=y&cursor=02000500&limit=",
            "collection=app.bsky.feed.like&collection[]=a.b.c&prefix=app.bsky&step=3600&align=utc&since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00%2B01:00",
            "prefix=app.bsky.feed&order=dids-estimate&limit=200&q=feed+like&sort=x",
            "wantedSubjects=did:plc:a&wantedSubjectPrefixes[]=at&wantedSubjectDids[0]=did:plc:b&wantedSources=app.bsky.feed.like:subject.uri&cursor=17.2147483648&wantedOperations=delete&wantedOrigins=&allLinks=true&requireHello=false",
            "&&=&%ff&a=%zz+%",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "&",
        "=",
        "%",
        "+",
        "%26",
        "subject=",
        "target=",
        "source=",
        "collection=",
        "path=",
        "pathToOther=",
        "did=",
        "linkDid=",
        "otherSubject=",
        "limit=",
        "cursor=",
        "reverse=",
        "since=",
        "until=",
        "from_dids=",
        "prefix=",
        "order=",
        "step=",
        "align=utc",
        "q=",
        "wantedSubjects",
        "wantedOperations=",
        "wantedOrigins=",
        "[0]=",
        "instant=",
        "3600",
        "2026-01-31T00:00:00Z",
        "did:plc:a",
        "true",
        "1000",
        "app.bsky.feed.like",
        "app.bsky.feed.like:subject.uri",
    ],
    check: |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Outcome::counts(&[]);
        };
        let heap_max = HEAP_MAX + STEPS_HEAP_MAX + HEAP_PER_BYTE * text.len();
        let says = heap::at_most(heap_max, || fuzz::query_string(text));
        // The values in messages are the client's own.
        let says = says
            .iter()
            .map(|text| text.split('"').nth(1).unwrap_or(text).to_owned());
        Outcome::of(&says.collect::<Vec<_>>())
    },
};

pub(super) const SUBSCRIBER: Target = Target {
    name: "subscriber",
    about: "messages of subscribers to the link stream",
    seeds: || {
        [
            r#"{"type":"options_update","payload":{"wantedSubjects":["did:plc:a","é\u0000"],"wantedSources":[]}}"#,
            r#"{"payload":{"wantedSubjectDids":["did:plc:a"],"wantedSubjectPrefixes":[""],"x":{}},"type":"options_update"}"#,
            r#"{"type":"ping","payload":null}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"type\"",
        "\"options_update\"",
        "\"payload\"",
        "\"wantedSubjects\"",
        "\"wantedSubjectPrefixes\"",
        "\"wantedSubjectDids\"",
        "\"wantedSources\"",
        "null",
        "\\u00e9",
    ],
    check: |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Outcome::counts(&[]);
        };
        let heap_max = HEAP_MAX + MESSAGE_HEAP_PER_BYTE * text.len();
        match heap::at_most(heap_max, || fuzz::subscriber_message(text)) {
            Ok(filters) => Outcome::counts(&[1, filters.len() as u64]),
            // What stands in quotes is the client's own.
            Err((code, reason)) => {
                let kind = reason.split(['`', '"']).next().unwrap_or_default();
                let kind: String = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
                Outcome::of(&(code, kind))
            }
        }
    },
};

pub(super) const ACCEPT: Target = Target {
    name: "accept",
    about: "the Accept header",
    seeds: || {
        [
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json",
            "*",
            "text/html;level=\"1\";q=0.001, application/*;q=.5",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "text/html",
        "application/json",
        "*/*",
        ";q=",
        "0.5",
        ",",
        ";",
        "=",
        "\"",
    ],
    check: |input| {
        Outcome::of(&heap::at_most(HEAP_MAX + 8 * input.len(), || {
            fuzz::accept(input)
        }))
    },
};

pub(super) const TIME: Target = Target {
    name: "time",
    about: "times, in microseconds and by RFC 3339",
    seeds: || {
        [
            "1786000000000001",
            "2026-02-28T23:59:60.1234567+23:59",
            "2000-02-29t00:00:00z",
            "1970-01-01 00:00:00-00:01",
            "9999-12-31T23:59:59.999999Z",
            "18446744073709551615",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &["-", ":", "T", "Z", "+", ".", "00", "59", "60", "29", "02"],
    check: |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Outcome::counts(&[]);
        };
        let found = heap::at_most(HEAP_MAX, || fuzz::time(text));
        let Some((time_us, again)) = found else {
            return Outcome::counts(&[0]);
        };
        // Four digits of a year are all that RFC 3339 has.
        const YEAR_10_000_US: u64 = 253_402_300_800_000_000;
        if time_us < YEAR_10_000_US {
            assert_eq!(again, Some(time_us / 1000 * 1000), "{text}");
        }
        Outcome::counts(&[time_us])
    },
};
