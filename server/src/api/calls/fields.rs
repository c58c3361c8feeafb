//! Parameters of records and identities, as the OpenAPI document tells them, and how they are read.

use orrery_links::syntax::{Cid, Did, Handle, Nsid, RecordKey};

use super::super::FieldKind::{Cursor, Flag, Number, Pattern, Text};
use super::super::fields::{NSID, field};
use super::Field;
use crate::hydrate::identifier;
use crate::params::Params;
use crate::problem::Problem;

macro_rules! did {
    () => {
        "did:[a-z]+:([A-Za-z0-9._:-]|%[0-9A-Fa-f]{2})*[A-Za-z0-9._-]"
    };
}
macro_rules! handle {
    () => {
        "([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    };
}
const DID_PATTERN: &str = concat!("^", did!(), "$");
pub(super) const SERVICE_PATTERN: &str = concat!("^", did!(), "#[A-Za-z0-9._:%-]{1,256}$");
const HANDLE_PATTERN: &str = concat!("^", handle!(), "$");
const IDENTIFIER_PATTERN: &str = concat!("^(", did!(), "|", handle!(), ")$");
const AT_URI_PATTERN: &str = concat!(
    "^at://(",
    did!(),
    "|",
    handle!(),
    ")/[a-z]+(\\.[a-z]+)+\\.[a-zA-Z]+/([A-Za-z0-9_~-][A-Za-z0-9._:~-]{0,400})$"
);

pub(super) const LIST_MAX: u32 = 100;
pub(super) const LIST_DEFAULT: u32 = 50;

pub(super) const REPO: Field = field(
    "repo",
    Pattern(IDENTIFIER_PATTERN),
    "did or handle",
    "The account: a DID or a handle.",
)
.required();
pub(super) const DID: Field = field(
    "did",
    Pattern(DID_PATTERN),
    "did:plc:z72i7hdynmk6r22z27h6tvur",
    "The account: a DID.",
)
.required();
pub(super) const ANY_DID: Field = Field {
    kind: Pattern(IDENTIFIER_PATTERN),
    about: "The account: a DID or a handle.",
    ..DID
};
pub(super) const HANDLE: Field = field(
    "handle",
    Pattern(HANDLE_PATTERN),
    "bsky.app",
    "The handle, in whatever case.",
)
.required();
pub(super) const IDENTIFIER: Field = Field {
    name: "identifier",
    ..REPO
};
pub(super) const COLLECTION: Field = field(
    "collection",
    Pattern(NSID),
    "app.bsky.feed.post",
    "The collection: an NSID.",
)
.required();
pub(super) const RKEY: Field = field(
    "rkey",
    Pattern("^[A-Za-z0-9_~-][A-Za-z0-9._:~-]{0,511}$"),
    "3jzfcijpj2z2a",
    "The record's key.",
)
.required();
pub(super) const CID: Field = field(
    "cid",
    Pattern("^b[a-z2-7]{7,255}$"),
    "any version",
    "The content id that the newest version must have.",
);
pub(super) const AT_URI: Field = field(
    "at_uri",
    Pattern(AT_URI_PATTERN),
    "at://did/collection/rkey",
    "The record's at-uri. Its normal form counts, without its query.",
)
.required();
pub(super) const ID: Field = field(
    "id",
    Pattern("#."),
    "#atproto_pds",
    "The service's id in the account's document: what begins with #, with or without the DID before it.",
)
.required();
pub(super) const TYPE: Field = field(
    "type",
    Text { length_min: 1 },
    "any type",
    "The type that the service must have.",
);
pub(super) const LIMIT: Field = field(
    "limit",
    Number {
        min: 1,
        max: LIST_MAX,
        default: LIST_DEFAULT,
    },
    "1 to 100, default 50",
    "Records per page.",
);
pub(super) const CURSOR: Field = field(
    "cursor",
    Cursor,
    "",
    "The cursor of the page before, with the same query. Its meaning is the data server's. Empty means none.",
)
.unlisted();
pub(super) const REVERSE: Field = field(
    "reverse",
    Flag,
    "the opposite order",
    "Whether the keys come in rising order.",
);

fn wrong(name: &str, what: &str, error: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("parameter {name} must be {what}: {error}"))
}

/// A DID or a handle, the latter in lower case.
pub(super) fn read_identifier(params: &Params, name: &str) -> Result<String, Problem> {
    let text = params.required(name)?;
    identifier(text).map_err(|error| wrong(name, "a DID or a handle", error))
}

pub(super) fn read_did<'p>(params: &'p Params, name: &str) -> Result<&'p str, Problem> {
    let text = params.required(name)?;
    Did::parse(text).map_err(|error| wrong(name, "a DID", error))?;
    Ok(text)
}

pub(super) fn read_handle(params: &Params, name: &str) -> Result<String, Problem> {
    let text = params.required(name)?;
    Handle::parse(text).map_err(|error| wrong(name, "a handle", error))?;
    Ok(text.to_ascii_lowercase())
}

pub(super) fn read_collection(params: &Params) -> Result<&str, Problem> {
    let text = params.required("collection")?;
    Nsid::parse(text).map_err(|error| wrong("collection", "an NSID", error))?;
    Ok(text)
}

pub(super) fn read_rkey(params: &Params) -> Result<&str, Problem> {
    let text = params.required("rkey")?;
    RecordKey::parse(text).map_err(|error| wrong("rkey", "a record key", error))?;
    Ok(text)
}

pub(super) fn read_cid(params: &Params) -> Result<Option<&str>, Problem> {
    let Some(text) = params.scalar("cid")? else {
        return Ok(None);
    };
    Cid::parse(text).map_err(|error| wrong("cid", "a CID", error))?;
    Ok(Some(text))
}
