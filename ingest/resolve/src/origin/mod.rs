//! Calls to the server that holds an account's records.
//!
//! Owns the requests and the checks of what comes back: a server may say anything of its own accounts, but what it is
//! made to say is what was asked for. Whether a record is what its CID says is not checked here: that takes the proof.

mod answer;
mod error;

use bytes::Bytes;
use orrery_links::syntax::{Cid, Did, Nsid, RecordKey};
use serde_json::value::RawValue;

pub use error::OriginError;

use crate::base::{base_of, push_query};
use crate::network::{Answer, Network, Request};

/// Largest record that is fetched, with what stands around it. The protocol's limit is 1 MiB of CBOR.
pub const RECORD_BYTES_MAX: usize = 2 << 20;
/// Largest proof that is fetched: the record and the nodes of the tree above it.
pub const PROOF_BYTES_MAX: usize = 4 << 20;
/// Largest page of records that is fetched.
pub const PAGE_BYTES_MAX: usize = 16 << 20;
/// Most records in a page.
pub const PAGE_RECORDS_MAX: u32 = 100;
/// Longest cursor that is given on.
const CURSOR_BYTES_MAX: usize = 4096;

/// A record, as its origin gives it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OriginRecord {
    /// The at-uri, with the DID.
    pub uri: String,
    /// The CID, where the origin says it.
    pub cid: Option<String>,
    /// The record, byte for byte: a JSON object.
    pub value: Box<RawValue>,
}

/// A page of records.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OriginPage {
    /// The records, in the origin's order.
    pub records: Vec<OriginRecord>,
    /// What to ask for the next page with, if there is one.
    pub cursor: Option<String>,
}

/// The newest version of a record (`com.atproto.repo.getRecord`). With a `cid` that version is asked for first, and if
/// there is none, the newest: **which one came is for the caller to see**.
///
/// # Errors
/// See [`OriginError`].
pub async fn get_record(
    network: &dyn Network,
    pds: &str,
    did: &str,
    collection: &str,
    rkey: &str,
    cid: Option<&str>,
) -> Result<OriginRecord, OriginError> {
    let key = Key::new(did, collection, rkey)?;
    let url = key.url(pds, "com.atproto.repo.getRecord", "repo")?;
    let Some(cid) = cid else {
        return get_version(network, url, &key).await;
    };
    Cid::parse(cid).map_err(OriginError::argument)?;
    let mut with_cid = url.clone();
    push_query(&mut with_cid, "cid", cid);
    match get_version(network, with_cid, &key).await {
        Err(OriginError::NoRecord { .. }) => get_version(network, url, &key).await,
        result => result,
    }
}

async fn get_version(
    network: &dyn Network,
    url: String,
    key: &Key<'_>,
) -> Result<OriginRecord, OriginError> {
    let answer = get(network, url, RECORD_BYTES_MAX, "application/json").await?;
    let record = answer::record(&answer.body)?;
    answer::is_of(&record.uri, key.did, key.collection, Some(key.rkey))?;
    Ok(OriginRecord {
        uri: key.uri(),
        ..record
    })
}

/// A record with its proof (`com.atproto.sync.getRecord`): a CAR with the signed commit, the nodes of the tree from
/// there to the key, and the record, if there is one. Nothing of it is checked.
///
/// # Errors
/// See [`OriginError`].
pub async fn get_record_proof(
    network: &dyn Network,
    pds: &str,
    did: &str,
    collection: &str,
    rkey: &str,
) -> Result<Bytes, OriginError> {
    let key = Key::new(did, collection, rkey)?;
    let url = key.url(pds, "com.atproto.sync.getRecord", "did")?;
    let answer = get(network, url, PROOF_BYTES_MAX, "application/vnd.ipld.car").await?;
    Ok(answer.body)
}

/// A page of the records of a collection (`com.atproto.repo.listRecords`), at most [`PAGE_RECORDS_MAX`] of them.
///
/// # Errors
/// See [`OriginError`].
pub async fn list_records(
    network: &dyn Network,
    pds: &str,
    did: &str,
    collection: &str,
    limit: u32,
    cursor: Option<&str>,
    reverse: bool,
) -> Result<OriginPage, OriginError> {
    Did::parse(did).map_err(OriginError::argument)?;
    Nsid::parse(collection).map_err(OriginError::argument)?;
    let limit = limit.clamp(1, PAGE_RECORDS_MAX);
    let mut url = xrpc(pds, "com.atproto.repo.listRecords")?;
    push_query(&mut url, "repo", did);
    push_query(&mut url, "collection", collection);
    push_query(&mut url, "limit", &limit.to_string());
    if let Some(cursor) = cursor {
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(OriginError::Argument {
                problem: format!("the cursor is longer than {CURSOR_BYTES_MAX} bytes"),
            });
        }
        push_query(&mut url, "cursor", cursor);
    }
    if reverse {
        push_query(&mut url, "reverse", "true");
    }
    let answer = get(network, url, PAGE_BYTES_MAX, "application/json").await?;
    let mut page = answer::page(&answer.body)?;
    if page.records.len() > limit as usize {
        return Err(OriginError::garbage(format!(
            "{} records where {limit} were asked for",
            page.records.len()
        )));
    }
    if page
        .cursor
        .as_ref()
        .is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX)
    {
        return Err(OriginError::garbage("the cursor is too long"));
    }
    for record in &mut page.records {
        let rkey = answer::is_of(&record.uri, did, collection, None)?;
        record.uri = format!("at://{did}/{collection}/{rkey}");
    }
    Ok(page)
}

/// Which record, with its parts checked.
struct Key<'a> {
    did: &'a str,
    collection: &'a str,
    rkey: &'a str,
}

impl<'a> Key<'a> {
    fn new(did: &'a str, collection: &'a str, rkey: &'a str) -> Result<Self, OriginError> {
        Did::parse(did).map_err(OriginError::argument)?;
        Nsid::parse(collection).map_err(OriginError::argument)?;
        RecordKey::parse(rkey).map_err(OriginError::argument)?;
        Ok(Self {
            did,
            collection,
            rkey,
        })
    }

    fn uri(&self) -> String {
        format!("at://{}/{}/{}", self.did, self.collection, self.rkey)
    }

    fn url(&self, pds: &str, method: &str, account: &str) -> Result<String, OriginError> {
        let mut url = xrpc(pds, method)?;
        push_query(&mut url, account, self.did);
        push_query(&mut url, "collection", self.collection);
        push_query(&mut url, "rkey", self.rkey);
        Ok(url)
    }
}

/// The URL of a method, of which the endpoint gives scheme, host and port only.
fn xrpc(pds: &str, method: &str) -> Result<String, OriginError> {
    let base = base_of(pds).map_err(|problem| OriginError::BadPds {
        pds: pds.to_owned(),
        problem,
    })?;
    Ok(format!("{base}/xrpc/{method}"))
}

/// An answer of status 200; any other is an error.
async fn get(
    network: &dyn Network,
    url: String,
    most_bytes: usize,
    accept: &str,
) -> Result<Answer, OriginError> {
    let mut request = Request::new(url, most_bytes);
    request.accept = Some(accept.to_owned());
    let answer = network.get(request).await.map_err(OriginError::of_fetch)?;
    match answer.status {
        200 => Ok(answer),
        status => Err(answer::error(status, &answer.body)),
    }
}
