//! The JSON of records and identities. Where the services in use give members in alphabetical order, so do these.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Coverage, Record};
use crate::hydrate::Lack;

/// Values by the paths that were asked for.
pub(crate) type Values = Option<BTreeMap<String, Vec<Box<RawValue>>>>;

/// `com.atproto.repo.getRecord`. The server passes such answers on as they are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GotRecord {
    /// The record's content id; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// The at-uri, with a DID as authority.
    pub uri: String,
    /// The record.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub value: Box<RawValue>,
}

/// `com.atproto.repo.listRecords`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GotRecords {
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// This page.
    pub records: Vec<GotRecord>,
}

/// `com.atproto.identity.resolveHandle`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResolvedHandle {
    /// The account.
    pub did: String,
}

/// `resolveMiniDoc`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MiniDoc {
    /// The account.
    pub did: String,
    /// Its handle, confirmed both ways, or `handle.invalid`.
    pub handle: String,
    /// Its data server.
    pub pds: String,
    /// Its key, as multibase.
    pub signing_key: String,
}

impl From<crate::edge::MiniDoc> for MiniDoc {
    fn from(doc: crate::edge::MiniDoc) -> Self {
        Self {
            did: doc.did,
            handle: doc.handle,
            pds: doc.pds,
            signing_key: doc.signing_key,
        }
    }
}

/// `com.atproto.identity.resolveDid`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedDid<'a> {
    /// The document.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub did_doc: &'a RawValue,
}

/// `com.atproto.identity.resolveIdentity`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedIdentity<'a> {
    /// The account.
    pub did: &'a str,
    /// Its document.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub did_doc: &'a RawValue,
    /// Its handle, confirmed both ways, or `handle.invalid`.
    pub handle: &'a str,
}

/// `resolveService`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResolvedService {
    /// Where the service is.
    pub endpoint: String,
}

/// A record's content, or why it is not there.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Hydrated {
    /// `found`, `deleted`, `hidden` (its account is) or `unavailable`; where the request itself names the record, also `invalid`.
    pub status: &'static str,
    /// The content id of the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// The record, where it was found and the whole was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub value: Option<Box<RawValue>>,
    /// For each path that was asked for, the values there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Vec<serde_json::Value>>>")]
    pub values: Option<BTreeMap<String, Vec<Box<RawValue>>>>,
    /// Where it was not found: the name of the error that getRecord answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where it was not found: why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Hydrated {
    pub(crate) fn lacking(lack: Lack) -> Self {
        Self {
            status: lack.status,
            cid: None,
            value: None,
            values: None,
            error: Some(lack.error.into_owned()),
            reason: Some(lack.reason),
        }
    }
}

/// `blue.orrery.repo.getRecords`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchRecords {
    /// One for each at-uri, in their order.
    pub records: Vec<BatchRecord>,
}

/// One record of a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchRecord {
    /// The at-uri, as it was asked for.
    pub uri: String,
    /// What came of it.
    #[serde(flatten)]
    pub hydrated: Hydrated,
}

/// `blue.orrery.links.getCounts`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchCounts {
    /// One for each item, in their order.
    pub counts: Vec<BatchCount>,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// The counts of one item, or what is wrong with it.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct BatchCount {
    /// Records that link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Their accounts, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
    /// Where the item cannot be answered: a name for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the item cannot be answered: why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `blue.orrery.links.getBacklinksPages`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchPages {
    /// One for each item, in their order.
    pub pages: Vec<BatchPage>,
    /// What the answer rests on.
    pub coverage: Coverage,
}

/// The first page of one item, or what is wrong with it.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct BatchPage {
    /// Records on all pages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The first page, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<Record>>,
    /// Where the next page begins, for getBacklinks with the same subject and source; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Where the item cannot be answered: a name for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the item cannot be answered: why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `hydrateQueryResponse`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HydratedQuery {
    /// What the service answered.
    #[schemars(with = "serde_json::Value")]
    pub output: Box<RawValue>,
    /// The records that it names, by their at-uris as it names them.
    pub records: BTreeMap<String, NamedRecord>,
    /// The accounts that it names: those of the records, and DIDs and handles by themselves.
    pub identifiers: BTreeMap<String, NamedAccount>,
    /// Whether the answer names more than 1,000 records or 100 accounts; only the first were looked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(with = "Option<bool>")]
    pub truncated: bool,
}

/// A record that another answer names.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedRecord {
    /// `found`, `pending` (it was not there in time) or `error`.
    pub status: &'static str,
    /// Its at-uri, with a DID as authority where that is known.
    pub uri: String,
    /// The content id of the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// The newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub value: Option<Box<RawValue>>,
    /// Where it is not here: what to ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<String>,
    /// Why it is not here; or that it was referred to by another content id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it may be there another time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_retry: Option<bool>,
}

/// An account that another answer names.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct NamedAccount {
    /// `found`, `pending` (it was not there in time) or `error`.
    pub status: &'static str,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// Its handle, confirmed both ways, or `handle.invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// Its data server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pds: Option<String>,
    /// Its key, as multibase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// Where it is not here: what to ask for it.
    #[serde(skip_serializing_if = "Option::is_none", rename = "followUp")]
    pub follow_up: Option<String>,
    /// Why it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it may be there another time.
    #[serde(skip_serializing_if = "Option::is_none", rename = "shouldRetry")]
    pub should_retry: Option<bool>,
}
