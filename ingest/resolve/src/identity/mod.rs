//! Identities: which handle and which document belong together.
//!
//! Owns [`Resolver`]. A handle counts only where it leads to a DID whose document names it first. The two directions
//! are known and refreshed apart; whether they agree is looked at each time and never kept, so that a passing failure of
//! one of them is forgotten with it.

mod did;
mod handle;
mod options;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use orrery_links::syntax::AtIdentifier;

pub use options::ResolverOptions;

use crate::base::base_of;
use crate::document::Document;
use crate::error::ResolveError;
use crate::keep::{Keep, Space};
use crate::network::{FetchError, Network};
use crate::shelf::{Ask, Shelf, Value};

/// The handle of accounts that have none which counts.
pub const HANDLE_INVALID: &str = "handle.invalid";

/// An account: its document and its handle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The document.
    pub document: Arc<Document>,
    /// The handle, in lower case, or [`HANDLE_INVALID`].
    pub handle: String,
    /// Why that handle.
    pub handle_state: HandleState,
}

/// What is known of the handle that a document names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleState {
    /// It leads back to the DID.
    Confirmed,
    /// The document names no handle.
    Unnamed,
    /// It leads to another DID, to none, or to several.
    Refuted,
    /// Where it leads to could not be found out. An answer made from this is not to be kept.
    Unchecked,
}

/// Counts since the start, and sizes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolverStatus {
    /// How often a source was asked.
    pub asked: u64,
    /// How often that gave an error, "not found" included.
    pub failed: u64,
    /// Results that were not kept because of an invalidation.
    pub outdated: u64,
    /// Refreshes put off because too many were under way.
    pub refreshes_skipped: u64,
    /// Look-ups under way.
    pub under_way: usize,
    /// Entries in memory, about.
    pub entries: u64,
    /// Bytes they take, about.
    pub bytes: u64,
}

/// Resolves identities, and remembers them. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Resolver {
    documents: Shelf<Arc<Document>>,
    handles: Shelf<Arc<str>>,
    options: Arc<ResolverOptions>,
}

impl Resolver {
    /// Knows nothing yet but what `keep` has. Its other methods, except [`Resolver::invalidate`], need a tokio runtime.
    ///
    /// # Errors
    /// [`ResolveError::Syntax`] when `options.plc` is not an http(s) URL. It does not have the URL, in which there may be secrets.
    pub fn new(
        network: Arc<dyn Network>,
        options: ResolverOptions,
        keep: Arc<dyn Keep>,
    ) -> Result<Self, ResolveError> {
        let plc = &options.plc;
        base_of(plc)
            .and_then(|_| match plc.find(['?', '#']) {
                Some(_) => Err("it has a query or fragment"),
                None => Ok(()),
            })
            .map_err(|problem| ResolveError::Syntax {
                problem: format!("the URL of the PLC directory is of no use: {problem}"),
            })?;
        let options = Arc::new(options);
        // Documents are some twenty times the size of handles, and as many.
        let handles_bytes = options.memory_bytes / 4;
        let documents_bytes = options.memory_bytes - handles_bytes;
        let ask_document: Ask<Arc<Document>> = {
            let (network, options) = (Arc::clone(&network), Arc::clone(&options));
            Box::new(move |did| {
                let (network, options) = (Arc::clone(&network), Arc::clone(&options));
                Box::pin(async move { did::ask(&*network, &options, &did).await.map(Arc::new) })
            })
        };
        let ask_handle: Ask<Arc<str>> = Box::new(move |handle| {
            let network = Arc::clone(&network);
            Box::pin(async move { handle::ask(&*network, &handle).await.map(Arc::from) })
        });
        Ok(Self {
            documents: Shelf::new(
                Space::Document,
                documents_bytes,
                &options,
                Arc::clone(&keep),
                ask_document,
            ),
            handles: Shelf::new(Space::Handle, handles_bytes, &options, keep, ask_handle),
            options,
        })
    }

    /// The document of a DID. That it may lack a PDS, a handle or a key is for the caller to see.
    ///
    /// # Errors
    /// Any but [`ResolveError::Conflict`] and [`ResolveError::Unconfirmed`], which are about handles.
    pub async fn document(&self, did: &str) -> Result<Arc<Document>, ResolveError> {
        // What can be said without asking takes no memory.
        did::document_url(&self.options, did)?;
        self.documents.get(did).await
    }

    /// The DID that a handle leads to and whose document names the handle.
    ///
    /// # Errors
    /// Any; where it is about the DID, the handle leads to one that does not resolve.
    pub async fn resolve_handle(&self, handle: &str) -> Result<String, ResolveError> {
        Ok(self.by_handle(handle).await?.document.did.clone())
    }

    /// The account with this DID or handle. By DID, [`HANDLE_INVALID`] stands for a handle that does not count or
    /// could not be checked; by handle, those are errors.
    ///
    /// # Errors
    /// As [`Resolver::document`] and [`Resolver::resolve_handle`].
    pub async fn identity(&self, identifier: &str) -> Result<Identity, ResolveError> {
        match AtIdentifier::parse(identifier) {
            Ok(AtIdentifier::Did(did)) => self.by_did(did.as_str()).await,
            Ok(AtIdentifier::Handle(handle)) => self.by_handle(handle.as_str()).await,
            Err(error) => Err(ResolveError::Syntax {
                problem: error.to_string(),
            }),
        }
    }

    /// The endpoint of a service of the account with this DID or handle; see [`Document::service`]. Strangers write
    /// endpoints: this one is any string.
    ///
    /// # Errors
    /// [`ResolveError::NoService`], and as [`Resolver::identity`].
    pub async fn service(
        &self,
        identifier: &str,
        id: &str,
        kind: Option<&str>,
    ) -> Result<String, ResolveError> {
        let document = if identifier.starts_with("did:") {
            self.document(identifier).await?
        } else {
            self.by_handle(identifier).await?.document
        };
        match document.service(id, kind) {
            Some(service) => Ok(service.endpoint.clone()),
            None => Err(ResolveError::NoService {
                did: document.did.clone(),
                id: id.to_owned(),
            }),
        }
    }

    /// To be called for an identity event: the next use of the DID's document, of the handle, and of the handle that
    /// the document named so far, asks again. What is known is served only while the source is down, and what is
    /// being fetched at this moment is not kept. Takes any strings. Needs no runtime, but may block for as long as
    /// [`Keep`] needs to read and write three values.
    pub fn invalidate(&self, did: &str, handle: Option<&str>) {
        let named = self.documents.peek(did);
        let named = named.as_ref().and_then(|known| known.handle.as_deref());
        if did::document_url(&self.options, did).is_ok() {
            self.documents.invalidate(did);
        }
        let given = handle.and_then(|given| handle::normalise(given, true).ok());
        if let Some(named) = named.filter(|&named| Some(named) != given.as_deref()) {
            self.handles.invalidate(named);
        }
        if let Some(given) = given {
            self.handles.invalidate(&given);
        }
    }

    /// How it has been doing.
    #[must_use]
    pub fn status(&self) -> ResolverStatus {
        let mut status = ResolverStatus::default();
        for (counts, size, under_way) in [
            (
                self.documents.counts(),
                self.documents.size(),
                self.documents.under_way(),
            ),
            (
                self.handles.counts(),
                self.handles.size(),
                self.handles.under_way(),
            ),
        ] {
            status.asked += counts.asked.load(Ordering::Relaxed);
            status.failed += counts.failed.load(Ordering::Relaxed);
            status.outdated += counts.outdated.load(Ordering::Relaxed);
            status.refreshes_skipped += counts.refreshes_skipped.load(Ordering::Relaxed);
            status.under_way += under_way;
            status.entries += size.0;
            status.bytes += size.1;
        }
        status
    }

    async fn by_handle(&self, handle: &str) -> Result<Identity, ResolveError> {
        let handle = handle::normalise(handle, self.options.allow_test)?;
        let did = self.handles.get(&handle).await?;
        let document = self.document(&did).await?;
        if document.handle.as_deref() != Some(&handle) {
            return Err(ResolveError::Unconfirmed {
                handle,
                did: did.to_string(),
            });
        }
        Ok(Identity {
            document,
            handle,
            handle_state: HandleState::Confirmed,
        })
    }

    async fn by_did(&self, did: &str) -> Result<Identity, ResolveError> {
        let document = self.document(did).await?;
        let handle_state = self.handle_state(&document).await;
        let handle = match (&document.handle, handle_state) {
            (Some(handle), HandleState::Confirmed) => handle.clone(),
            _ => HANDLE_INVALID.to_owned(),
        };
        Ok(Identity {
            document,
            handle,
            handle_state,
        })
    }

    async fn handle_state(&self, document: &Document) -> HandleState {
        let Some(named) = &document.handle else {
            return HandleState::Unnamed;
        };
        let Ok(handle) = handle::normalise(named, self.options.allow_test) else {
            return HandleState::Refuted;
        };
        match self.handles.get(&handle).await {
            Ok(did) if *did == *document.did => HandleState::Confirmed,
            Ok(_) => HandleState::Refuted,
            Err(error) if error.is_definitive() => HandleState::Refuted,
            Err(_) => HandleState::Unchecked,
        }
    }
}

impl Value for Arc<Document> {
    fn weight(&self) -> usize {
        Document::weight(self)
    }

    fn bytes(&self) -> &[u8] {
        self.raw.as_bytes()
    }

    fn from_bytes(key: &str, bytes: &[u8]) -> Option<Self> {
        Document::parse(key, bytes).ok().map(Self::new)
    }
}

impl Value for Arc<str> {
    fn weight(&self) -> usize {
        self.len()
    }

    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn from_bytes(_: &str, bytes: &[u8]) -> Option<Self> {
        let did = std::str::from_utf8(bytes).ok()?;
        orrery_links::syntax::Did::parse(did).ok()?;
        Some(did.into())
    }
}

/// What it means for `name` that there was no answer.
fn of_fetch(name: &str, error: FetchError) -> ResolveError {
    let name = name.to_owned();
    match error {
        // A URL made of a checked name is only refused for where it would lead.
        FetchError::RefusedAddress { .. } => ResolveError::Refused {
            name,
            problem: error.to_string(),
        },
        // That of the operator's own directory may have a key in it, and clients are told this.
        FetchError::BadUrl { problem, .. } => ResolveError::Refused {
            name,
            problem: format!("its URL is not asked for: {problem}"),
        },
        FetchError::RetryLater { after, .. } => ResolveError::RetryLater { name, after },
        _ => ResolveError::Technical {
            name,
            problem: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_asked_for_is_told_without_itself() {
        let url = "http://plc.example/token/SECRET1/did:plc:x?key=SECRET2".to_owned();
        let problem = "the scheme is no https".to_owned();
        let told = of_fetch("did:plc:x", FetchError::BadUrl { url, problem }).to_string();
        assert!(told.contains("the scheme is no https"), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
}
