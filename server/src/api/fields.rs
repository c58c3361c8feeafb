//! Parameters as the table of endpoints declares them: what the forms offer and what the OpenAPI document says. The
//! parsers of the endpoints read the same names; a test of the document sends each parameter's bad values.

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
    /// A whole number.
    Number { min: u32, max: u32, default: u32 },
    /// `true` or `false`; false when absent.
    Flag,
    /// A point in time: microseconds since 1970, or RFC 3339.
    Time,
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

use FieldKind::{Cursor, Flag, Number, Pattern, Repeated, Text, Time};

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
