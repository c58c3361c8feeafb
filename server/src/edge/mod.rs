//! The seam to the edge cache: records and identities of the whole network, from wherever they are. The routes check
//! what is asked and give the answers their form; what is fresh, where it is fetched and what is believed is decided
//! behind the seam. Calls may take as long as the network takes, and never block a worker.

mod gate;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::index::Fact;
use crate::wire::status::StatusRecords;

pub(crate) use gate::Gate;

/// A call under way.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, EdgeError>> + Send + 'a>>;

/// What the server needs of an edge cache. Identifiers have been checked for their syntax.
pub trait Edge: Send + Sync + 'static {
    /// The answer of `com.atproto.repo.getRecord` for the newest version of a record, when it is in memory and nothing can have
    /// changed it since. Must not block.
    fn at_once(&self, did: &str, collection: &str, rkey: &str) -> Option<Arc<EdgeRecord>>;
    /// The newest version of a record. No request that starts after the event of its deletion was accepted gets it.
    fn record<'a>(
        &'a self,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    ) -> Work<'a, Arc<EdgeRecord>>;
    /// The DID that a handle names, where the DID names the handle too.
    fn resolve_handle<'a>(&'a self, handle: &'a str) -> Work<'a, String>;
    /// Handle, data server and key of an account, by its DID or its handle.
    fn mini_doc<'a>(&'a self, identifier: &'a str) -> Work<'a, MiniDoc>;
    /// An account's document, by its DID or its handle, with its confirmed handle.
    fn identity<'a>(&'a self, identifier: &'a str) -> Work<'a, EdgeIdentity>;
    /// The document of a DID, as its source has it.
    fn did_document<'a>(&'a self, did: &'a str) -> Work<'a, Arc<RawValue>>;
    /// Where a service of a DID is: `id` as `#atproto_pds`, `kind` its type if that matters.
    fn service<'a>(&'a self, did: &'a str, id: &'a str, kind: Option<&'a str>) -> Work<'a, String>;
    /// The record with its proof, a CAR, checked against the account's signing key.
    fn proof<'a>(&'a self, did: &'a str, collection: &'a str, rkey: &'a str) -> Work<'a, Bytes>;
    /// A page of an account's records, from its data server.
    fn list(&self, ask: ListAsk) -> Work<'_, EdgePage>;
    /// Asks a query of another service, for a caller.
    fn call(&self, ask: CallAsk) -> Work<'_, CallAnswer>;
    /// What the status page tells of records. Must not block.
    fn figures(&self) -> Option<StatusRecords> {
        None
    }
    /// Numbers for the metrics page. Must not block.
    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }
}

/// A record.
#[derive(Debug)]
pub struct EdgeRecord {
    /// Its at-uri, with the DID as authority.
    pub uri: String,
    /// Its content id; none where nobody told one and none can be made.
    pub cid: Option<String>,
    /// The whole answer, `{"cid","uri","value"}`.
    pub answer: Bytes,
    /// Where the record's own JSON lies in `answer`; within it.
    pub value: std::ops::Range<usize>,
}

impl EdgeRecord {
    /// The record's own JSON.
    #[must_use]
    pub fn value_json(&self) -> &[u8] {
        self.answer.get(self.value.clone()).unwrap_or_default()
    }
}

/// What many clients need to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MiniDoc {
    /// The DID.
    pub did: String,
    /// The handle, confirmed both ways, or `handle.invalid`.
    pub handle: String,
    /// The data server.
    pub pds: String,
    /// The multibase key.
    pub signing_key: String,
}

/// An account's identity.
#[derive(Debug, Clone)]
pub struct EdgeIdentity {
    /// The DID.
    pub did: String,
    /// The handle, confirmed both ways, or `handle.invalid`.
    pub handle: String,
    /// The document, as its source has it.
    pub document: Arc<RawValue>,
}

/// Which page of an account's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAsk {
    /// The account.
    pub did: String,
    /// The collection.
    pub collection: String,
    /// 1 to 100.
    pub limit: u32,
    /// The data server's cursor.
    pub cursor: Option<String>,
    /// Oldest keys first.
    pub reverse: bool,
}

/// A page of an account's records.
#[derive(Debug, Clone)]
pub struct EdgePage {
    /// The records.
    pub records: Vec<Arc<EdgeRecord>>,
    /// The data server's cursor of the next page.
    pub cursor: Option<String>,
}

/// A query for another service.
#[derive(Clone, PartialEq, Eq)]
pub struct CallAsk {
    /// The service, `did:web:…#id`.
    pub service: String,
    /// The method, an NSID.
    pub method: String,
    /// The query string, encoded, without `?`.
    pub query: String,
    /// What the caller proves itself with, for the service alone.
    pub authorization: Option<String>,
    /// The `atproto-accept-labelers` of the caller.
    pub accept_labelers: Option<String>,
}

/// Without what the caller proves itself with: that belongs in no log.
impl fmt::Debug for CallAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAsk")
            .field("service", &self.service)
            .field("method", &self.method)
            .field("query", &self.query)
            .field("accept_labelers", &self.accept_labelers)
            .finish_non_exhaustive()
    }
}

/// What the service answered: JSON, with a status of 200.
#[derive(Debug, Clone)]
pub struct CallAnswer {
    /// The JSON.
    pub body: Box<RawValue>,
}

/// Why there is no answer. The texts tell the caller what was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// What was asked has no meaning.
    #[error("{0}")]
    Invalid(String),
    /// The handle names no DID, or the DID does not name the handle.
    #[error("{0}")]
    HandleNotFound(String),
    /// Nobody knows the DID.
    #[error("{0}")]
    DidNotFound(String),
    /// The DID was given up by who had it.
    #[error("{0}")]
    DidDeactivated(String),
    /// The document has no such service.
    #[error("{0}")]
    ServiceNotFound(String),
    /// The record was deleted.
    #[error("{0}")]
    Deleted(String),
    /// The account of the record is hidden.
    #[error("{0}")]
    Hidden(String),
    /// There is no such record.
    #[error("{0}")]
    RecordNotFound(String),
    /// The origin's own error.
    #[error("{message}")]
    Origin {
        /// The origin's name of it.
        name: String,
        /// What it says.
        message: String,
    },
    /// The origin's answer is not what it says it is: another content id, a proof that proves nothing.
    #[error("{0}")]
    Unproven(String),
    /// The origin could not be asked, or gave no answer that can be used.
    #[error("{0}")]
    Unavailable(String),
    /// Who the account is could not be found out.
    #[error("{0}")]
    ResolutionFailed(String),
    /// Too much is asked at the moment.
    #[error("{message}")]
    Busy {
        /// What is too much.
        message: String,
        /// When to try again.
        retry_after_s: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_proves_itself_with_is_in_no_debug_text() {
        let ask = CallAsk {
            service: "did:web:feeds.example#svc".into(),
            method: "app.example.getFeed".into(),
            query: "a=1".into(),
            authorization: Some("Bearer secret".into()),
            accept_labelers: None,
        };
        let text = format!("{ask:?}");
        assert!(text.contains("app.example.getFeed"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
