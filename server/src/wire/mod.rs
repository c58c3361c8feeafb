//! The JSON of requests and answers. Member names and their presence are the contract with clients; the order of
//! members follows the order of fields.

pub mod edge;
pub mod stats;
pub mod status;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::index::Selection;
pub use edge::Hydrated;
pub(crate) use edge::Values;

/// Every error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorBody<'a> {
    /// A name for programs.
    pub error: &'a str,
    /// A sentence for people.
    pub message: &'a str,
}

/// Every error of the routes that tell of collections.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatsErrorBody<'a> {
    /// A name for programs.
    pub error: &'a str,
    /// A sentence for people.
    pub message: &'a str,
    /// The request, as its header `x-request-id` names it.
    pub request_id: &'a str,
}

/// What part of the network's history an answer rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Coverage {
    /// Events are covered from this time on, microseconds since 1970.
    pub from: Option<u64>,
    /// The last applied event's time, microseconds since 1970.
    pub through: Option<u64>,
    /// Where not all collections are selected, only these are whole from then on; of others there may be some records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
    /// These collections are left out of those; of them too there may be some records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Ranges of events, `first-last` by seq, that are damaged and left out: the answer may be incomplete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// What the question most likely means, where as it stands it can match nothing or leaves something out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Coverage {
    pub(crate) fn new(from: Option<u64>, through: Option<u64>, selection: &Selection) -> Self {
        Self {
            from,
            through,
            collections: selection.collections.clone(),
            exclude: selection.exclude.clone(),
            degraded: Vec::new(),
            hint: None,
        }
    }
}

/// The end of a list: `null` in the older generation of routes, no member at all under `/xrpc/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NextCursor {
    /// More follows.
    More(String),
    /// The list ends, said as `null`.
    Null,
    /// The list ends, said by silence.
    Absent,
}

impl NextCursor {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl JsonSchema for NextCursor {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("NextCursor")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "description": "Where the next page begins. At the end of the list: null, or no such member under /xrpc/.",
        })
    }
}

/// A record's name and, where that was asked for, its content.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Record {
    /// The account.
    pub did: String,
    /// The collection.
    pub collection: String,
    /// The key.
    pub rkey: String,
    /// The content, where it was asked for.
    #[serde(flatten)]
    pub hydrated: Option<Hydrated>,
}

impl From<orrery_query::RecordId> for Record {
    fn from(id: orrery_query::RecordId) -> Self {
        let (did, collection, rkey) = id.into_parts();
        Self {
            did,
            collection,
            rkey,
            hydrated: None,
        }
    }
}

/// Any count.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Total {
    /// The count.
    pub total: u64,
}

/// `getBacklinks`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Backlinks {
    /// Records on all pages together.
    pub total: u64,
    /// This page.
    pub records: Vec<Record>,
    /// The next page.
    #[serde(skip_serializing_if = "NextCursor::is_absent")]
    pub cursor: NextCursor,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// `/links`: as `Backlinks`, under the older name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LinkingRecords {
    /// Records on all pages together.
    pub total: u64,
    /// This page.
    pub linking_records: Vec<Record>,
    /// The next page.
    #[serde(skip_serializing_if = "NextCursor::is_absent")]
    pub cursor: NextCursor,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// The lists of accounts, of both generations.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LinkingDids {
    /// Accounts on all pages together.
    pub total: u64,
    /// This page.
    pub linking_dids: Vec<String>,
    /// The next page.
    #[serde(skip_serializing_if = "NextCursor::is_absent")]
    pub cursor: NextCursor,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// One item of `getManyToMany`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManyItem {
    /// The record that links both.
    pub link_record: Record,
    /// The other subject.
    pub other_subject: String,
}

/// `getManyToMany`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ManyToMany {
    /// This page.
    pub items: Vec<ManyItem>,
    /// The next page.
    #[serde(skip_serializing_if = "NextCursor::is_absent")]
    pub cursor: NextCursor,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// One item of `getManyToManyCounts`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OtherCount {
    /// The other subject.
    pub subject: String,
    /// Records that link to it.
    pub total: u64,
    /// Their accounts.
    pub distinct: u64,
}

/// `getManyToManyCounts`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ManyToManyCounts {
    /// This page.
    pub counts_by_other_subject: Vec<OtherCount>,
    /// The next page.
    #[serde(skip_serializing_if = "NextCursor::is_absent")]
    pub cursor: NextCursor,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// Counts of one source.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct SourceCounts {
    /// Linking records.
    pub records: u64,
    /// Their accounts.
    pub distinct_dids: u64,
}

/// What links to a target, by collection, then by path.
///
/// `/links/all` has [`SourceCounts`] for `T`, `/links/all/count` has `u64`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(
    rename = "All_{T}",
    description = "What links to a target, by collection, then by path."
)]
pub struct All<T> {
    /// The counts.
    pub links: BTreeMap<String, BTreeMap<String, T>>,
}

/// `/`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Root {
    /// How to use this.
    pub help: &'static str,
    /// Whole days since indexing began.
    pub days_indexed: Option<u64>,
    /// What the index holds.
    pub stats: RootStats,
}

/// What the index holds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RootStats {
    /// Accounts that ever made links.
    pub dids: u64,
    /// Pairs of target and source.
    pub targetables: u64,
    /// Live records with links.
    pub linking_records: u64,
    /// When indexing began, microseconds since 1970.
    pub started_at: Option<u64>,
    /// Further numbers.
    pub other_data: BTreeMap<&'static str, u64>,
}

/// Readiness.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    /// Whether traffic should come here; where not, the answer is an error.
    pub ready: bool,
}

/// Health.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// The server's version.
    pub version: &'static str,
    /// `ok`, `catching-up` or `degraded`.
    pub status: &'static str,
    /// What is wrong, when degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds behind the source, where one is followed.
    pub lag_seconds: Option<f64>,
    /// The last applied event's time, microseconds since 1970.
    pub indexed_through: Option<u64>,
    /// The host of the stream that is followed, or the short name of a public server; null where none is followed, or its name is
    /// not one of the public network.
    pub source: Option<String>,
    /// What is indexed.
    pub coverage: Coverage,
}

/// `/.well-known/did.json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DidDocument {
    /// The server's DID.
    pub id: String,
    /// What it offers.
    pub service: Vec<DidService>,
}

/// One service of a DID document.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DidService {
    /// Its name in the document.
    pub id: &'static str,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is.
    #[serde(rename = "serviceEndpoint")]
    pub endpoint: String,
}
