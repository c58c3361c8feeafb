//! The edge cache as the server asks it.

use std::sync::Arc;

use bytes::Bytes;
use orrery_engine::Store;
use orrery_resolve::{Keep, KeepNothing, Network, Resolver, ResolverOptions};
use orrery_server::wire::status::StatusRecords;
use orrery_server::{
    CallAnswer, CallAsk, Edge, EdgeIdentity, EdgePage, EdgeRecord, Fact, ListAsk, MiniDoc, Work,
};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::follow::Following;
use crate::followed::Followed;
use crate::keep::KeepInCache;
use crate::lookups::Lookups;
use crate::options::EdgeOptions;
use crate::proof::Proofs;
use crate::records::{Key, Records};
use crate::{call, facts, identities, list};

/// Records and identities of the network, kept fresh by the stream that feeds a store.
pub struct EdgeCache {
    records: Arc<Records>,
    proofs: Proofs,
    resolver: Resolver,
    network: Arc<dyn Network>,
    _following: Following,
}

impl std::fmt::Debug for EdgeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeCache").finish_non_exhaustive()
    }
}

impl EdgeCache {
    /// Begins to follow the store's events, on a thread of its own. `network` asks the rest of the network, `followed` knows of the
    /// stream that feeds the store. What is fetched is kept in [`Store::cache`], if there is one. Must be called on a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Resolver`] where the options name no usable directory of DIDs, [`Error::Thread`].
    pub fn start(
        store: Store,
        network: Arc<dyn Network>,
        followed: Arc<dyn Followed>,
        resolving: ResolverOptions,
        options: EdgeOptions,
    ) -> Result<Self> {
        let keep: Arc<dyn Keep> = match store.cache() {
            Some(cache) => Arc::new(KeepInCache(cache)),
            None => Arc::new(KeepNothing),
        };
        let resolver =
            Resolver::new(Arc::clone(&network), resolving, keep).map_err(Error::Resolver)?;
        let lookups = Arc::new(Lookups::new(
            options.lookups_max,
            options.lookups_waiting_max,
        ));
        let fetches_max = options.fetches_max;
        let records = Arc::new(Records::new(
            store,
            followed,
            resolver.clone(),
            Arc::clone(&network),
            lookups,
            options,
        ));
        let following = Following::start(Arc::clone(&records)).map_err(Error::Thread)?;
        Ok(Self {
            proofs: Proofs::new(Arc::clone(&records), fetches_max),
            records,
            resolver,
            network,
            _following: following,
        })
    }
}

impl Edge for EdgeCache {
    fn at_once(&self, did: &str, collection: &str, rkey: &str) -> Option<Arc<EdgeRecord>> {
        self.records.at_once(did, collection, rkey)
    }

    fn record<'a>(
        &'a self,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    ) -> Work<'a, Arc<EdgeRecord>> {
        Box::pin(self.records.find(Key::new(did, collection, rkey)))
    }

    fn resolve_handle<'a>(&'a self, handle: &'a str) -> Work<'a, String> {
        Box::pin(identities::resolve_handle(&self.resolver, handle))
    }

    fn mini_doc<'a>(&'a self, identifier: &'a str) -> Work<'a, MiniDoc> {
        Box::pin(identities::mini_doc(&self.resolver, identifier))
    }

    fn identity<'a>(&'a self, identifier: &'a str) -> Work<'a, EdgeIdentity> {
        Box::pin(identities::identity(&self.resolver, identifier))
    }

    fn did_document<'a>(&'a self, did: &'a str) -> Work<'a, Arc<RawValue>> {
        Box::pin(identities::did_document(&self.resolver, did))
    }

    fn service<'a>(&'a self, did: &'a str, id: &'a str, kind: Option<&'a str>) -> Work<'a, String> {
        Box::pin(identities::service(&self.resolver, did, id, kind))
    }

    fn proof<'a>(&'a self, did: &'a str, collection: &'a str, rkey: &'a str) -> Work<'a, Bytes> {
        Box::pin(self.proofs.find(Key::new(did, collection, rkey)))
    }

    fn list(&self, ask: ListAsk) -> Work<'_, EdgePage> {
        Box::pin(list::find(&self.records, ask))
    }

    fn call(&self, ask: CallAsk) -> Work<'_, CallAnswer> {
        Box::pin(call::call(&self.resolver, &*self.network, ask))
    }

    fn figures(&self) -> Option<StatusRecords> {
        Some(facts::figures(&self.records))
    }

    fn facts(&self) -> Vec<Fact> {
        facts::of(&self.records)
    }
}
