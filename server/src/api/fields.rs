//! Parameters as the table of endpoints declares them: what the forms offer and what the OpenAPI document says. The
//! parsers of the endpoints read the same names; a test of the document sends each parameter's bad values.

use super::stats::{MATCHES_DEFAULT, ORDERS, PAGE_DEFAULT, PAGE_MAX, STEP_DEFAULT_S, STEP_MIN_S};
use orrery_query::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, PAGE_ITEMS_MIN};

/// A parameter.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: FieldKind,
    pub(crate) is_required: bool,
    /// Whether forms offer it. What only programs need, and second names, are told in the document alone.
    pub(crate) is_in_forms: bool,
    /// What an empty place in a form shows: an example, or the bounds.
    pub(crate) hint: &'static str,
    /// What it means.
    pub(crate) about: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// Any text, with at least so many bytes.
    Text { length_min: u32 },
    /// Text of the form that a regular expression (ECMA-262, as JSON Schema has them) describes.
    Pattern(&'static str),
    /// Any number of texts, each as a parameter of its own.
    Repeated,
    /// Any number of names, each as a parameter of its own, empty or of the form that a regular expression describes.
    Names { pattern: &'static str },
    /// A whole number.
    Number { min: u32, max: u32, default: u32 },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// `true` or `false`; false when absent.
    Flag,
    /// A point in time: microseconds since 1970, or RFC 3339.
    Time,
    /// A point in time by RFC 3339 alone.
    Rfc3339,
    /// A cursor of the page before.
    Cursor,
}

const fn field(
    name: &'static str,
    kind: FieldKind,
    hint: &'static str,
    about: &'static str,
) -> Field {
    Field {
        name,
        kind,
        is_required: false,
        is_in_forms: true,
        hint,
        about,
    }
}

impl Field {
    const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    const fn unlisted(self) -> Self {
        Self {
            is_in_forms: false,
            ..self
        }
    }
}

use FieldKind::{Choice, Cursor, Flag, Names, Number, Pattern, Repeated, Rfc3339, Text, Time};

const TEXT: FieldKind = Text { length_min: 1 };
/// A source, a collection and a path may hold nothing between their marks; such a name matches no link.
const ANY: FieldKind = Text { length_min: 0 };

pub(super) const SUBJECT: Field = field(
    "subject",
    TEXT,
    "did, at-uri or URL",
    "The target of the links: a DID, an at-uri or a URI. Tried as given, then normalised.",
)
.required();
pub(super) const SOURCE: Field = field(
    "source",
    Pattern(":"),
    "app.bsky.feed.like:subject.uri",
    "Where the links come from: a collection, a colon, and a path in its records without its first dot.",
)
.required();
pub(super) const PATH_TO_OTHER: Field = field(
    "pathToOther",
    ANY,
    "list",
    "Path to the other subject in the linking record, without its first dot.",
)
.required();
pub(super) const TARGET: Field = Field {
    name: "target",
    ..SUBJECT
};
pub(super) const COLLECTION: Field = field(
    "collection",
    ANY,
    "app.bsky.feed.like",
    "The collection of the linking records.",
)
.required();
pub(super) const PATH: Field = field(
    "path",
    ANY,
    ".subject.uri",
    "Path of the links in those records, with its first dot.",
)
.required();
pub(super) const DID: Field = field(
    "did",
    Repeated,
    "only links by this account",
    "Only links by these accounts. Trimmed; empty values are dropped; unknown accounts match nothing.",
);
pub(super) const LINK_DID: Field = Field {
    name: "linkDid",
    ..DID
};
/// Both names are read wherever one is; each route offers the one it is known by.
pub(super) const ALSO_DID: Field = DID.unlisted();
pub(super) const ALSO_LINK_DID: Field = LINK_DID.unlisted();
pub(super) const FROM_DIDS: Field = field(
    "from_dids",
    ANY,
    "",
    "As did, comma-separated; not together with it. Empty means no filter.",
)
.unlisted();
pub(super) const OTHER: Field = field(
    "otherSubject",
    Repeated,
    "only this other subject",
    "Only these other subjects. Trimmed; empty values are dropped.",
);
pub(super) const SINCE: Field = field(
    "since",
    Time,
    "microseconds or RFC 3339",
    "Only links of events from this time on. Empty means none.",
);
pub(super) const UNTIL: Field = field(
    "until",
    Time,
    "microseconds or RFC 3339",
    "Only links of events before this time. Empty means none.",
);
pub(super) const LIMIT: Field = field(
    "limit",
    Number {
        min: PAGE_ITEMS_MIN,
        max: PAGE_ITEMS_MAX,
        default: PAGE_ITEMS_DEFAULT,
    },
    "1 to 1000, default 100",
    "Items per page.",
);
pub(super) const CURSOR: Field = field(
    "cursor",
    Cursor,
    "",
    "The cursor of the page before, with the same query. Opaque. Empty means none.",
)
.unlisted();
pub(super) const REVERSE: Field = field(
    "reverse",
    Flag,
    "the opposite order",
    "Whether the list is given in the opposite order. Counts take it and stay the same.",
);
/// Counts have no order to reverse.
pub(super) const REVERSE_UNLISTED: Field = REVERSE.unlisted();

/// An NSID, but for its length.
const NSID: &str = "^([a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(\\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+\\.[a-zA-Z][a-zA-Z0-9]{0,62}$";
/// What an NSID has before its name, at least two segments.
const NSID_PREFIX: &str =
    "^([a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(\\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+$";

pub(super) const NSIDS: Field = field(
    "collection",
    Names { pattern: NSID },
    "app.bsky.feed.like",
    "The collections that are meant, each as a parameter of its own; collection[] is the same. Empty values are dropped.",
);
pub(super) const NSIDS_REQUIRED: Field = NSIDS.required();
pub(super) const PREFIX: Field = field(
    "prefix",
    Pattern(NSID_PREFIX),
    "app.bsky.feed",
    "Two or more segments of an NSID, without a dot at the end.",
)
.required();
pub(super) const PREFIXES: Field = field(
    "prefix",
    Names {
        pattern: NSID_PREFIX,
    },
    "app.bsky.feed",
    "Everything below a prefix as one series; accounts are those of the union.",
);
pub(super) const HOURS_SINCE: Field = field(
    "since",
    Rfc3339,
    "2026-01-31T00:00:00Z",
    "Only events of the hour of this time and later ones; at most two hours ahead. Empty means none. Without since \
     and until, all time is counted.",
);
pub(super) const HOURS_UNTIL: Field = field(
    "until",
    Rfc3339,
    "2026-02-28T00:00:00Z",
    "Only events before the hour of this time; at most two hours ahead. Empty means none. With since alone, up to the \
     current hour, which is left out.",
);
pub(super) const WEEK_SINCE: Field = Field {
    about: "From the hour of this time on; at most two hours ahead. Empty, or none, means seven days ago.",
    ..HOURS_SINCE
};
pub(super) const WEEK_UNTIL: Field = Field {
    about: "Up to the hour of this time, which is left out; at most two hours ahead. Empty, or none, means now.",
    ..HOURS_UNTIL
};
pub(super) const ORDER: Field = field(
    "order",
    Choice(ORDERS),
    "records-created or dids-estimate",
    "The order, most first; else by name. By records-created, what has no creates is left out. did-estimate is the \
     same as dids-estimate.",
);
pub(super) const PAGE: Field = field(
    "limit",
    Number {
        min: 1,
        max: PAGE_MAX,
        default: PAGE_DEFAULT,
    },
    "1 to 200",
    "Items per page. With order the default is 32.",
);
pub(super) const MATCHES: Field = field(
    "limit",
    Number {
        min: 1,
        max: PAGE_MAX,
        default: MATCHES_DEFAULT,
    },
    "1 to 200",
    "Matches per page.",
);
pub(super) const STEP: Field = field(
    "step",
    Number {
        min: STEP_MIN_S,
        max: u32::MAX,
        default: STEP_DEFAULT_S,
    },
    "seconds: 3600, 86400, 604800",
    "Length of a step in seconds, rounded down to whole hours. At most 10,000 steps, and 50,000 over all series.",
);
pub(super) const ALIGN: Field = field(
    "align",
    Choice(&["utc"]),
    "utc",
    "utc: days begin at midnight and weeks on Monday, in UTC; the first step may be shorter.",
);
pub(super) const Q: Field = field(
    "q",
    ANY,
    "feed like",
    "Terms, split at spaces: at most 16. A collection matches when its NSID holds any of them, upper and lower case \
     told apart. Without any, every collection matches.",
)
.required();
