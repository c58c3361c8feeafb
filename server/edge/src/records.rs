//! Records: from memory, from the log window, from the store of fetched values, from their data server, in this order and each
//! only while it may be believed.
//!
//! What makes it right: every answer carries `as_of`, a seq that was visible before it was looked for. The engine tells, for any key and
//! with two loads, a seq that no newer event of the key is above. An answer is given only while that is not above its `as_of`: else
//! it is looked for again. So no request that starts behind an event is answered by what was known before it, whoever fetched it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_engine::{
    AccountState, CacheSpace, CachedValue, RecordHash, Recorded, Store, ValueCache,
};
use orrery_formats::cached_record::CachedRecord;
use orrery_formats::event::Encoding;
use orrery_repo::{Cid, Rules};
use orrery_resolve::origin::get_record;
use orrery_resolve::{Flights, Network, Resolver};
use orrery_server::{EdgeError, EdgeRecord};

use crate::clock::now_us;
use crate::followed::Followed;
use crate::freshness::{Checked, InWindow, Stale, Stream, Tell, decide};
use crate::lookups::Lookups;
use crate::memory::Memory;
use crate::options::EdgeOptions;
use crate::{problems, render};

/// How often an answer that was overtaken by an event is looked for together with others. The look after that is one's own.
const SHARED_ROUNDS: usize = 3;

/// The key of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) did: String,
    pub(crate) collection: String,
    pub(crate) rkey: String,
}

impl Key {
    pub(crate) fn new(did: &str, collection: &str, rkey: &str) -> Self {
        Self {
            did: did.to_owned(),
            collection: collection.to_owned(),
            rkey: rkey.to_owned(),
        }
    }

    pub(crate) fn uri(&self) -> String {
        render::uri(&self.did, &self.collection, &self.rkey)
    }
}

/// What was found, and the seq that was visible before.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) as_of: u64,
    pub(crate) result: Result<Arc<EdgeRecord>, EdgeError>,
}

/// What a look on this machine gave.
enum Looked {
    Told(Outcome),
    /// The data server is to be asked; `stale` is what there is.
    Ask {
        stale: Result<Option<Arc<EdgeRecord>>, EdgeError>,
    },
}

/// Where records came from, for the metrics page.
#[derive(Debug, Default)]
pub(crate) struct RecordCounters {
    pub(crate) memory: AtomicU64,
    pub(crate) window: AtomicU64,
    pub(crate) kept: AtomicU64,
    pub(crate) fetched: AtomicU64,
    pub(crate) absent: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Finds records.
pub(crate) struct Records {
    pub(crate) store: Store,
    pub(crate) cache: Option<Arc<ValueCache>>,
    pub(crate) memory: Memory,
    pub(crate) followed: Arc<dyn Followed>,
    pub(crate) resolver: Resolver,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) counters: RecordCounters,
    pub(crate) options: EdgeOptions,
    flights: Flights<Key, Outcome>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Records {
    pub(crate) fn new(
        store: Store,
        followed: Arc<dyn Followed>,
        resolver: Resolver,
        network: Arc<dyn Network>,
        lookups: Arc<Lookups>,
        options: EdgeOptions,
    ) -> Self {
        Self {
            cache: store.cache(),
            store,
            memory: Memory::new(options.memory_bytes),
            followed,
            resolver,
            network,
            lookups,
            counters: RecordCounters::default(),
            flights: Flights::new(options.fetches_max),
            options,
        }
    }

    /// The record, when it is in memory and still is what it is.
    pub(crate) fn at_once(
        &self,
        did: &str,
        collection: &str,
        rkey: &str,
    ) -> Option<Arc<EdgeRecord>> {
        let hash = self.store.record_hash(did, collection, rkey);
        let found = self.in_memory(hash, did, collection, rkey)?;
        count(&self.counters.memory);
        Some(found)
    }

    fn in_memory(
        &self,
        hash: RecordHash,
        did: &str,
        collection: &str,
        rkey: &str,
    ) -> Option<Arc<EdgeRecord>> {
        let held = self.memory.get(hash)?;
        if self.store.changed_through(hash) > held.as_of()
            || !is_of(&held.record.uri, did, collection, rkey)
            || self.options.fetches && !self.stream(collection).vouches_since(held.since_us)
        {
            return None;
        }
        Some(Arc::clone(&held.record))
    }

    /// What the stream vouches for now.
    pub(crate) fn stream(&self, collection: &str) -> Stream {
        Stream {
            whole_since_us: self.followed.whole_since_us(collection),
            now_us: now_us(),
            unvouched_us: u64::try_from(self.options.unvouched.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The seq up to which every event is visible: what is looked up from here on is at least as new.
    pub(crate) fn visible(&self) -> u64 {
        self.store.next_seq().saturating_sub(1)
    }

    /// The record, from wherever it is.
    pub(crate) async fn find(self: &Arc<Self>, key: Key) -> Result<Arc<EdgeRecord>, EdgeError> {
        let hash = self.store.record_hash(&key.did, &key.collection, &key.rkey);
        for _ in 0..SHARED_ROUNDS {
            if let Some(found) = self.in_memory(hash, &key.did, &key.collection, &key.rkey) {
                count(&self.counters.memory);
                return Ok(found);
            }
            let shared = Arc::clone(self);
            let work = key.clone();
            let outcome = self
                .flights
                .run(key.clone(), move || async move { shared.seek(&work).await })
                .await
                .map_err(problems::of_flight)?;
            // What has failed stands: whether it would fail again is not for this request to try.
            if has_failed(&outcome.result) || self.store.changed_through(hash) <= outcome.as_of {
                return outcome.result;
            }
        }
        self.seek(&key).await.result
    }

    /// Looks for it here, and where that is not enough, at its data server.
    async fn seek(self: &Arc<Self>, key: &Key) -> Outcome {
        let as_of = self.visible();
        let shared = Arc::clone(self);
        let work = key.clone();
        let looked = self.lookups.run(move || shared.look(&work)).await;
        let looked = match looked.and_then(|looked| looked) {
            Ok(looked) => looked,
            Err(error) => return self.failed(as_of, error),
        };
        match looked {
            Looked::Told(outcome) => outcome,
            Looked::Ask { stale } if !self.options.fetches => Outcome {
                as_of,
                result: stale.and_then(|record| {
                    record.ok_or_else(|| {
                        EdgeError::Unavailable(
                            "nothing is known of this record here, and this server asks no data servers"
                                .to_owned(),
                        )
                    })
                }),
            },
            Looked::Ask { stale } => {
                let was_deleted = matches!(stale, Err(EdgeError::Deleted(_)));
                match self.fetch(key).await {
                    Err(EdgeError::RecordNotFound(message)) if was_deleted => {
                        self.absent(as_of, EdgeError::Deleted(message))
                    }
                    Err(error @ (EdgeError::RecordNotFound(_) | EdgeError::Origin { .. })) => {
                        self.absent(as_of, error)
                    }
                    Err(error) => self.failed(as_of, error),
                    Ok(outcome) => outcome,
                }
            }
        }
    }

    fn absent(&self, as_of: u64, error: EdgeError) -> Outcome {
        count(&self.counters.absent);
        Outcome {
            as_of,
            result: Err(error),
        }
    }

    fn failed(&self, as_of: u64, error: EdgeError) -> Outcome {
        count(&self.counters.failed);
        tracing::debug!(%error, "a record cannot be told");
        Outcome {
            as_of,
            result: Err(error),
        }
    }

    /// What this machine knows of the record. Blocks.
    fn look(&self, key: &Key) -> Result<Looked, EdgeError> {
        let as_of = self.visible();
        let account = self
            .store
            .account(&key.did)
            .map_err(|error| problems::of_engine(&self.store, &error))?;
        if let AccountState::Hidden { status } = account.state {
            let error = EdgeError::Hidden(hidden(status.as_deref()));
            return Ok(Looked::Told(self.absent(as_of, error)));
        }
        let recorded = self
            .store
            .record(&key.did, &key.collection, &key.rkey)
            .map_err(|error| problems::of_engine(&self.store, &error))?;
        let uri = key.uri();
        // What another version wrote is nothing to this one.
        let value = self.kept(&uri);
        let value = value.filter(|value| CachedRecord::decode(&value.bytes).is_ok());
        let checked = value.as_ref().map(|value| Checked {
            as_of: value.as_of_seq,
            at_us: value.checked_us,
        });
        let stream = self.stream(&key.collection);
        let window = InWindow::of(&recorded);
        let told = |result| Looked::Told(Outcome { as_of, result });
        Ok(
            match decide(window, account.purged_through, checked, &stream) {
                Tell::Event => {
                    count(&self.counters.window);
                    let record = self.of_event(&uri, recorded)?;
                    // It has been so since the event; that nothing came later is the stream's word, and not kept as another's.
                    let since = Checked {
                        as_of,
                        at_us: time_of(window),
                    };
                    self.keep(key, &record, since, checked);
                    told(Ok(record))
                }
                Tell::Fetched => {
                    count(&self.counters.kept);
                    let record = of_value(&uri, value)?;
                    let checked = checked.unwrap_or(Checked {
                        as_of,
                        at_us: stream.now_us,
                    });
                    self.confirm(key, &record, as_of, checked, window);
                    told(Ok(record))
                }
                Tell::Deleted => {
                    self.forget(key, &uri, value.is_some());
                    told(self.absent(as_of, deleted()).result)
                }
                Tell::Ask { stale } => Looked::Ask {
                    stale: match stale {
                        Stale::Event => self.of_event(&uri, recorded).map(Some),
                        Stale::Fetched => of_value(&uri, value).map(Some),
                        Stale::Deleted => Err(deleted()),
                        Stale::Nothing => Ok(None),
                    },
                },
            },
        )
    }

    /// Asks the data server.
    async fn fetch(self: &Arc<Self>, key: &Key) -> Result<Outcome, EdgeError> {
        let checked = Checked {
            as_of: self.visible(),
            at_us: now_us(),
        };
        let document = self
            .resolver
            .document(&key.did)
            .await
            .map_err(problems::of_owner)?;
        let pds = document.pds.as_deref().ok_or_else(|| {
            EdgeError::Unavailable(format!("the document of {} names no data server", key.did))
        })?;
        let fetched = get_record(
            &*self.network,
            pds,
            &key.did,
            &key.collection,
            &key.rkey,
            None,
        )
        .await
        .map_err(problems::of_origin)?;
        count(&self.counters.fetched);
        let shared = Arc::clone(self);
        let key = key.clone();
        let result = self
            .lookups
            .run(move || {
                let json = fetched.value.get().as_bytes();
                let cid = proven_cid(fetched.cid.as_deref(), json)?;
                let record = Arc::new(render::record(key.uri(), Some(cid), json));
                shared.keep(&key, &record, checked, None);
                Ok(record)
            })
            .await?;
        Ok(Outcome {
            as_of: checked.as_of,
            result,
        })
    }

    /// What the store of fetched values has.
    fn kept(&self, uri: &str) -> Option<CachedValue> {
        self.cache.as_ref()?.get(CacheSpace::Record, uri)
    }

    /// Keeps a record for those who ask later. `before` is what the store of fetched values has already.
    pub(crate) fn keep(
        &self,
        key: &Key,
        record: &Arc<EdgeRecord>,
        checked: Checked,
        before: Option<Checked>,
    ) {
        let hash = self.store.record_hash(&key.did, &key.collection, &key.rkey);
        self.memory.put(hash, record, checked);
        let is_newer = before.is_none_or(|before| before.as_of < checked.as_of);
        if is_newer && let Some(cache) = &self.cache {
            cache.put(CacheSpace::Record, &record.uri, &value_of(record, checked));
        }
    }

    /// Moves on the seq up to which a value is known to be the present one: in memory always, on disk before the window leaves it
    /// behind. When it was checked stays: only its data server can make that newer.
    fn confirm(
        &self,
        key: &Key,
        record: &Arc<EdgeRecord>,
        as_of: u64,
        before: Checked,
        window: InWindow,
    ) {
        let first = match window {
            InWindow::Unknown { window_from } => window_from,
            InWindow::Found { seq, .. } | InWindow::Deleted { seq, .. } => seq,
        };
        if before.as_of.saturating_add(1) < first {
            // Nobody knows of what lies between; it is told since that was just now, and not for longer.
            return;
        }
        let checked = Checked { as_of, ..before };
        let hash = self.store.record_hash(&key.did, &key.collection, &key.rkey);
        self.memory.put(hash, record, checked);
        let middle = self.store.log_floor().midpoint(as_of);
        if before.as_of < middle
            && let Some(cache) = &self.cache
        {
            cache.put(CacheSpace::Record, &record.uri, &value_of(record, checked));
        }
    }

    fn forget(&self, key: &Key, uri: &str, is_kept: bool) {
        let hash = self.store.record_hash(&key.did, &key.collection, &key.rkey);
        self.memory.forget(hash);
        if is_kept && let Some(cache) = &self.cache {
            cache.remove(CacheSpace::Record, uri);
        }
    }

    /// The record of an event of the window.
    pub(crate) fn of_event(
        &self,
        uri: &str,
        recorded: Recorded,
    ) -> Result<Arc<EdgeRecord>, EdgeError> {
        let Recorded::Found {
            cid,
            encoding,
            body,
            ..
        } = recorded
        else {
            return Err(EdgeError::Unavailable("the event has no record".to_owned()));
        };
        event_record(uri, &cid, encoding, &body).map(Arc::new)
    }
}

/// The record that an event wrote.
pub(crate) fn event_record(
    uri: &str,
    cid: &str,
    encoding: Encoding,
    body: &[u8],
) -> Result<EdgeRecord, EdgeError> {
    let unreadable = |error: orrery_repo::RepoError| {
        EdgeError::Unavailable(format!(
            "the record came in a form that is unreadable: {error}"
        ))
    };
    let json;
    let json = match encoding {
        Encoding::Json => body,
        Encoding::DagCbor => {
            json = orrery_repo::cbor_to_json(body, &Rules::STORED).map_err(unreadable)?;
            json.as_bytes()
        }
    };
    let cid = match (cid, encoding) {
        ("", Encoding::Json) => orrery_repo::record_cid(json)
            .ok()
            .map(|cid| cid.to_string()),
        ("", Encoding::DagCbor) => Some(Cid::of(orrery_repo::Codec::DagCbor, body).to_string()),
        (told, _) => Some(told.to_owned()),
    };
    Ok(render::record(uri.to_owned(), cid, json))
}

/// The content id that the record really has. A data server that says another is not believed.
pub(crate) fn proven_cid(told: Option<&str>, json: &[u8]) -> Result<String, EdgeError> {
    let real = orrery_repo::record_cid(json)
        .map_err(|error| EdgeError::Unproven(format!("the data server's record is none: {error}")))?
        .to_string();
    match told {
        Some(told) if told != real => Err(EdgeError::Unproven(format!(
            "the data server says that the record's cid is {told}, but it is {real}"
        ))),
        _ => Ok(real),
    }
}

fn of_value(uri: &str, value: Option<CachedValue>) -> Result<Arc<EdgeRecord>, EdgeError> {
    let lost = || EdgeError::Unavailable("what was kept of the record is unreadable".to_owned());
    let value = value.ok_or_else(lost)?;
    let record = CachedRecord::decode(&value.bytes).map_err(|_| lost())?;
    let cid = (!record.cid.is_empty()).then(|| record.cid.to_owned());
    Ok(Arc::new(render::record(uri.to_owned(), cid, record.json)))
}

pub(crate) fn value_of(record: &EdgeRecord, checked: Checked) -> CachedValue {
    let mut bytes = Vec::new();
    let cached = CachedRecord {
        cid: record.cid.as_deref().unwrap_or_default(),
        json: record.value_json(),
    };
    cached.encode(&mut bytes);
    CachedValue {
        as_of_seq: checked.as_of,
        checked_us: checked.at_us,
        bytes,
    }
}

/// When the event was that the window has.
fn time_of(window: InWindow) -> u64 {
    match window {
        InWindow::Found { time_us, .. } | InWindow::Deleted { time_us, .. } => time_us,
        InWindow::Unknown { .. } => 0,
    }
}

/// Whether it is not known what the record is, or whether there is one.
pub(crate) fn has_failed<T>(result: &Result<T, EdgeError>) -> bool {
    result.as_ref().is_err_and(|error| {
        !matches!(
            error,
            EdgeError::Deleted(_)
                | EdgeError::Hidden(_)
                | EdgeError::RecordNotFound(_)
                | EdgeError::Origin { .. }
        )
    })
}

/// Whether the at-uri is that of the record.
fn is_of(uri: &str, did: &str, collection: &str, rkey: &str) -> bool {
    let mut parts = uri.strip_prefix("at://").unwrap_or_default().splitn(3, '/');
    parts.next() == Some(did) && parts.next() == Some(collection) && parts.next() == Some(rkey)
}

pub(crate) fn hidden(status: Option<&str>) -> String {
    match status {
        Some(status) => format!("the account is not shown: it is {status}"),
        None => "the account is not shown".to_owned(),
    }
}

fn deleted() -> EdgeError {
    EdgeError::Deleted("the record was deleted".to_owned())
}
