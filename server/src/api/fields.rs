//! Parameters as the table of endpoints declares them: what the forms offer and what the OpenAPI document says. The
//! parsers of the endpoints read the same names; a test of the document sends each parameter's bad values.

use super::stats::{
    MATCHES_DEFAULT, NAMED_DEFAULT, ORDERS, PAGE_DEFAULT, PAGE_MAX, SAMPLES_MAX, STEP_DEFAULT_S,
    STEP_MIN_S,
};
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
    /// Any of some words, each as a parameter of its own.
    Choices(&'static [&'static str]),
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

pub(super) const fn field(
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
    pub(super) const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    pub(super) const fn unlisted(self) -> Self {
        Self {
            is_in_forms: false,
            ..self
        }
    }
}

use FieldKind::{
    Choice, Choices, Cursor, Flag, Names, Number, Pattern, Repeated, Rfc3339, Text, Time,
};

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
pub(super) const HYDRATE: Field = field(
    "hydrate",
    Repeated,
    "true, or paths such as text",
    "true: each record comes with its content. Paths, repeated or with commas between: with the values there alone. A path is \
     written as in a source, without its first dot; [] stands for every element of an array, [type] for those of one $type. \
     At most 16 paths of 512 bytes. A page has at most 100 records then.",
);
pub(super) const REVERSE: Field = field(
    "reverse",
    Flag,
    "the opposite order",
    "Whether the list is given in the opposite order. Counts take it and stay the same.",
);
/// Counts have no order to reverse.
pub(super) const REVERSE_UNLISTED: Field = REVERSE.unlisted();

/// What an NSID has before its name, at least two segments, but for its length.
macro_rules! nsid_prefix {
    () => {
        "([a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(\\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
    };
}
macro_rules! nsid {
    () => {
        concat!(nsid_prefix!(), "\\.[a-zA-Z][a-zA-Z0-9]{0,62}")
    };
}
const NSID_PREFIX: &str = concat!("^", nsid_prefix!(), "$");
pub(super) const NSID: &str = concat!("^", nsid!(), "$");
const NSIDS_WITH_COMMAS: &str = concat!("^(", nsid!(), "(,", nsid!(), ")*)?$");

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
pub(super) const NSID_LIST: Field = field(
    "collection",
    Pattern(NSIDS_WITH_COMMAS),
    "app.bsky.feed.like,app.bsky.feed.post",
    "The collections that are meant: NSIDs with commas between. Without any, those that were active of late.",
);
pub(super) const SAMPLES: Field = field(
    "limit",
    Number {
        min: 1,
        max: SAMPLES_MAX,
        default: NAMED_DEFAULT,
    },
    "1 to 64",
    "Records of each collection. Without collections the default is 12.",
);
pub(super) const WANTED_SUBJECTS: Field = field(
    "wantedSubjects",
    Repeated,
    "did, at-uri or URL",
    "Links whose subject is one of these, byte for byte. At most 50,000. Empty values add nothing.",
);
pub(super) const WANTED_PREFIXES: Field = field(
    "wantedSubjectPrefixes",
    Repeated,
    "https://example.com/",
    "Links whose subject begins with one of these. At most 100.",
);
pub(super) const WANTED_DIDS: Field = field(
    "wantedSubjectDids",
    Repeated,
    "did:plc:z72i7hdynmk6r22z27h6tvur",
    "Links to one of these accounts or to a record of one. At most 10,000.",
);
pub(super) const WANTED_SOURCES: Field = field(
    "wantedSources",
    Repeated,
    "app.bsky.feed.like:subject.uri",
    "Links from one of these: a collection, a colon, and a path without its first dot. At most 1,000.",
);
pub(super) const INSTANT: Field = field(
    "instant",
    Flag,
    "at once",
    "Links at once, and not 21 s after they came.",
);
pub(super) const STREAM_CURSOR: Field = field(
    "cursor",
    Pattern("^([0-9]{1,19}(\\.[0-9]{1,10})?)?$"),
    "",
    "Where to begin: the cursor of a frame, to go on behind it; or a time in microseconds since 1970, inclusive, or the seq of an \
     event (a smaller number). What is older than the log of events comes from the index: links that are still there. Empty: now.",
)
.unlisted();
pub(super) const WANTED_OPERATIONS: Field = field(
    "wantedOperations",
    Choices(&["create", "delete"]),
    "create, delete",
    "Links that are made, or undone: by default those that are made. An empty value alone wants neither.",
);
pub(super) const WANTED_ORIGINS: Field = field(
    "wantedOrigins",
    Choices(&["live", "replay", "backfill"]),
    "live, replay",
    "Links that just came, that came before, or that were found in a repository: by default the first two.",
);
pub(super) const ALL_LINKS: Field = field(
    "allLinks",
    Flag,
    "more than 100 of a record",
    "All links of a record, and not the first 100 alone.",
);
pub(super) const INCLUDE_TIME: Field = field(
    "includeTime",
    Flag,
    "with time_us and cursor",
    "Frames with time_us and cursor, which any other of the newer parameters brings too.",
);
pub(super) const REQUIRE_HELLO: Field = field(
    "requireHello",
    Flag,
    "wait for options",
    "Nothing is sent before the first options_update.",
);
