//! The headers that answers carry, as components of the document.

use serde_json::{Value, json};

/// On every answer; the last four on those to clients that are limited.
pub(super) const ALWAYS: [&str; 8] = [
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "vary",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-policy",
];

/// On answers from the index, where there is something to tell.
pub(super) const OF_THE_INDEX: [&str; 6] = [
    "orrery-indexed-through",
    "orrery-coverage-from",
    "orrery-coverage-collections",
    "orrery-coverage-exclude",
    "orrery-degraded",
    "orrery-hint",
];

/// References to the headers of these names.
pub(super) fn refer(names: impl IntoIterator<Item = &'static str>) -> Value {
    names
        .into_iter()
        .map(|name| {
            let reference = format!("#/components/headers/{name}");
            (name.to_owned(), json!({ "$ref": reference }))
        })
        .collect()
}

/// All headers.
pub(super) fn components() -> Value {
    let text = json!({ "type": "string" });
    let time = json!({ "type": "integer", "minimum": 0 });
    let headers = [
        (
            "access-control-allow-origin",
            true,
            "Every origin may read the answer.",
            json!({ "const": "*" }),
        ),
        (
            "access-control-expose-headers",
            true,
            "Scripts may read every header.",
            json!({ "const": "*" }),
        ),
        (
            "cache-control",
            true,
            "How long the answer may be kept; errors are not.",
            text.clone(),
        ),
        (
            "vary",
            true,
            "Which headers of the request the answer depends on.",
            text.clone(),
        ),
        (
            "orrery-indexed-through",
            false,
            "Time of the last applied event, microseconds since 1970.",
            time.clone(),
        ),
        (
            "orrery-coverage-from",
            false,
            "Event time, microseconds since 1970, from which on everything selected is indexed; absent where that is not known.",
            time,
        ),
        (
            "orrery-coverage-collections",
            false,
            "Only these collections are whole; of others there may be some records.",
            text.clone(),
        ),
        (
            "orrery-coverage-exclude",
            false,
            "These collections are not selected; of them there may be some records.",
            text.clone(),
        ),
        (
            "orrery-degraded",
            false,
            "Ranges of events, first-last by seq, that are damaged and left out: the answer may be incomplete.",
            text.clone(),
        ),
        (
            "orrery-hint",
            false,
            "What the question most likely means, where as it stands it can match nothing or leaves something out.",
            text.clone(),
        ),
        (
            "x-request-id",
            true,
            "A name for this request.",
            text.clone(),
        ),
        (
            "ratelimit-limit",
            false,
            "Tokens of a full bucket; only on answers to clients that are limited.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        (
            "ratelimit-remaining",
            false,
            "Tokens that are left.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        (
            "ratelimit-reset",
            false,
            "Seconds until the bucket is full.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        (
            "ratelimit-policy",
            false,
            "Tokens of a full bucket, and the seconds in which an empty one fills: `50;w=5`.",
            text.clone(),
        ),
        (
            "retry-after",
            false,
            "Seconds after which to try again.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        ("allow", true, "The methods that are served.", text),
    ];
    headers
        .into_iter()
        .map(|(name, is_required, about, schema)| {
            let header = json!({ "description": about, "required": is_required, "schema": schema });
            (name.to_owned(), header)
        })
        .collect()
}
