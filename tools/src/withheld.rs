//! The edge cache less what the operator has excluded. It stands before all of it, what is in memory too, so that a
//! change of the list holds from the next answer on, and nothing that is kept depends on the list.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use orrery_engine::{Exclusions, Store};
use orrery_server::wire::status::StatusRecords;
use orrery_server::{
    CallAnswer, CallAsk, Edge, EdgeError, EdgeIdentity, EdgePage, EdgeRecord, Fact, ListAsk,
    MiniDoc, Work,
};
use serde_json::value::RawValue;

/// See the module's description.
pub(crate) struct Withholding {
    inner: Arc<dyn Edge>,
    store: Store,
}

/// What is told of an excluded record: as if it had never been.
fn no_record(did: &str, collection: &str, rkey: &str) -> EdgeError {
    EdgeError::RecordNotFound(format!("there is no record at://{did}/{collection}/{rkey}"))
}

/// What is told of who an excluded account is.
fn no_account(identifier: &str) -> EdgeError {
    let message = format!("{identifier} is not known here");
    match identifier.starts_with("did:") {
        true => EdgeError::DidNotFound(message),
        false => EdgeError::HandleNotFound(message),
    }
}

fn refused<'a, T: Send + 'a>(error: EdgeError) -> Work<'a, T> {
    Box::pin(ready(Err(error)))
}

impl Withholding {
    pub(crate) fn new(inner: Arc<dyn Edge>, store: Store) -> Self {
        Self { inner, store }
    }

    /// Whether the list says so of something, where there is a list.
    fn says(&self, of: impl FnOnce(&Exclusions) -> bool) -> bool {
        let list = self.store.exclusions_if_any();
        list.is_some_and(|list| of(&list))
    }

    fn hides_account(&self, did: &str) -> bool {
        self.says(|list| list.hides_account(did))
    }

    fn hides_record(&self, did: &str, collection: &str, rkey: &str) -> bool {
        self.says(|list| list.hides_record(did, collection, rkey))
    }

    /// What `work` finds out of an account, unless that is excluded under the DID that `did` reads in it.
    fn unless_excluded<'a, T: Send + 'a>(
        &'a self,
        identifier: &'a str,
        work: Work<'a, T>,
        did: impl Fn(&T) -> &str + Send + 'a,
    ) -> Work<'a, T> {
        if self.hides_account(identifier) {
            return refused(no_account(identifier));
        }
        Box::pin(async move {
            let found = work.await?;
            match self.hides_account(did(&found)) {
                true => Err(no_account(identifier)),
                false => Ok(found),
            }
        })
    }
}

impl Edge for Withholding {
    fn at_once(&self, did: &str, collection: &str, rkey: &str) -> Option<Arc<EdgeRecord>> {
        match self.hides_record(did, collection, rkey) {
            true => None,
            false => self.inner.at_once(did, collection, rkey),
        }
    }

    fn record<'a>(
        &'a self,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    ) -> Work<'a, Arc<EdgeRecord>> {
        match self.hides_record(did, collection, rkey) {
            true => refused(no_record(did, collection, rkey)),
            false => self.inner.record(did, collection, rkey),
        }
    }

    fn resolve_handle<'a>(&'a self, handle: &'a str) -> Work<'a, String> {
        self.unless_excluded(handle, self.inner.resolve_handle(handle), |did| did)
    }

    fn mini_doc<'a>(&'a self, identifier: &'a str) -> Work<'a, MiniDoc> {
        self.unless_excluded(identifier, self.inner.mini_doc(identifier), |doc| &doc.did)
    }

    fn identity<'a>(&'a self, identifier: &'a str) -> Work<'a, EdgeIdentity> {
        let work = self.inner.identity(identifier);
        self.unless_excluded(identifier, work, |identity| &identity.did)
    }

    fn did_document<'a>(&'a self, did: &'a str) -> Work<'a, Arc<RawValue>> {
        match self.hides_account(did) {
            true => refused(no_account(did)),
            false => self.inner.did_document(did),
        }
    }

    fn service<'a>(&'a self, did: &'a str, id: &'a str, kind: Option<&'a str>) -> Work<'a, String> {
        match self.hides_account(did) {
            true => refused(no_account(did)),
            false => self.inner.service(did, id, kind),
        }
    }

    fn proof<'a>(&'a self, did: &'a str, collection: &'a str, rkey: &'a str) -> Work<'a, Bytes> {
        match self.hides_record(did, collection, rkey) {
            true => refused(no_record(did, collection, rkey)),
            false => self.inner.proof(did, collection, rkey),
        }
    }

    fn list(&self, ask: ListAsk) -> Work<'_, EdgePage> {
        if self.hides_account(&ask.did) {
            return refused(EdgeError::Hidden(format!(
                "the records of {} are not shown here",
                ask.did
            )));
        }
        Box::pin(async move {
            let mut page = self.inner.list(ask).await?;
            if let Some(list) = self.store.exclusions_if_any() {
                page.records.retain(|record| !list.hides_uri(&record.uri));
            }
            Ok(page)
        })
    }

    fn call(&self, ask: CallAsk) -> Work<'_, CallAnswer> {
        self.inner.call(ask)
    }

    fn figures(&self) -> Option<StatusRecords> {
        self.inner.figures()
    }

    fn facts(&self) -> Vec<Fact> {
        self.inner.facts()
    }
}
