//! Records with their proofs: fetched from the data server, checked against the account's key, kept while the record stands.

use std::sync::Arc;

use bytes::Bytes;
use orrery_engine::{AccountState, CacheSpace, CachedValue, Recorded};
use orrery_links::syntax::Tid;
use orrery_repo::{RepoError, verify_record_proof};
use orrery_resolve::origin::get_record_proof;
use orrery_resolve::{Document, Flights};
use orrery_server::EdgeError;

use crate::clock::now_us;
use crate::freshness::{Checked, InWindow, Tell, decide};
use crate::identities::public_key;
use crate::problems;
use crate::records::{Key, Records, has_failed, hidden};

/// The version of what is kept: this byte, then the CAR.
const VERSION: u8 = 1;
/// How often a proof that was overtaken by an event is asked for together with others.
const SHARED_ROUNDS: usize = 3;

#[derive(Debug, Clone)]
struct Outcome {
    as_of: u64,
    result: Result<Bytes, EdgeError>,
}

/// Finds proofs.
pub(crate) struct Proofs {
    records: Arc<Records>,
    flights: Flights<Key, Outcome>,
}

/// What a checked proof says.
enum Proven {
    /// The record, as of this revision of the repository.
    Record {
        rev: String,
    },
    Absent,
}

/// What there is here.
enum Looked {
    Kept(Bytes),
    /// The data server is to be asked; a proof of a repository before this revision is of what the record was.
    Ask {
        newest_rev: Option<u64>,
    },
}

impl Proofs {
    pub(crate) fn new(records: Arc<Records>, fetches_max: usize) -> Self {
        Self {
            records,
            flights: Flights::new(fetches_max),
        }
    }

    /// The proof, a CAR with the record.
    pub(crate) async fn find(&self, key: Key) -> Result<Bytes, EdgeError> {
        let store = &self.records.store;
        let hash = store.record_hash(&key.did, &key.collection, &key.rkey);
        for _ in 0..SHARED_ROUNDS {
            let records = Arc::clone(&self.records);
            let work = key.clone();
            let outcome = self
                .flights
                .run(
                    key.clone(),
                    move || async move { seek(&records, &work).await },
                )
                .await
                .map_err(problems::of_flight)?;
            if has_failed(&outcome.result) || store.changed_through(hash) <= outcome.as_of {
                return outcome.result;
            }
        }
        seek(&self.records, &key).await.result
    }
}

async fn seek(records: &Arc<Records>, key: &Key) -> Outcome {
    let as_of = records.visible();
    let result = find(records, key).await;
    Outcome { as_of, result }
}

async fn find(records: &Arc<Records>, key: &Key) -> Result<Bytes, EdgeError> {
    let here = Arc::clone(records);
    let work = key.clone();
    let newest_rev = match records.lookups.run(move || look(&here, &work)).await?? {
        Looked::Kept(car) => return Ok(car),
        Looked::Ask { newest_rev } => newest_rev,
    };
    if !records.options.fetches {
        return Err(EdgeError::Unavailable(
            "no proof of this record is kept here, and this server asks no data servers".to_owned(),
        ));
    }
    let checked = Checked {
        as_of: records.visible(),
        at_us: now_us(),
    };
    let document = document(records, key).await?;
    let pds = document.pds.as_deref().ok_or_else(|| {
        EdgeError::Unavailable(format!("the document of {} names no data server", key.did))
    })?;
    let car = get_record_proof(&*records.network, pds, &key.did, &key.collection, &key.rkey)
        .await
        .map_err(problems::of_origin)?;
    let proven = match check(records, key, &document, &car).await? {
        Err(error) if matches!(error.cause(), RepoError::SignatureWrong { .. }) => {
            // A key that was changed a moment ago; the document may be older than that.
            records.resolver.invalidate(&key.did, None);
            let newer = self::document(records, key).await?;
            if newer.signing_key == document.signing_key {
                return Err(unproven(&error));
            }
            check(records, key, &newer, &car).await?
        }
        proven => proven,
    };
    match proven.map_err(|error| unproven(&error))? {
        Proven::Absent => Err(EdgeError::RecordNotFound(
            "the account's data server proves that there is no such record".to_owned(),
        )),
        Proven::Record { rev } => {
            let is_old = newest_rev
                .is_some_and(|newest| Tid::parse(&rev).is_ok_and(|rev| rev.to_u64() < newest));
            if is_old {
                return Err(EdgeError::Unproven(
                    "the data server's proof is of what the record was before its last change"
                        .to_owned(),
                ));
            }
            let here = Arc::clone(records);
            let uri = key.uri();
            let kept = car.clone();
            records
                .lookups
                .run(move || keep(&here, &uri, &kept, checked))
                .await?;
            Ok(car)
        }
    }
}

/// What is kept and still stands. Blocks.
fn look(records: &Records, key: &Key) -> Result<Looked, EdgeError> {
    let engine = |error| problems::of_engine(&records.store, &error);
    let account = records.store.account(&key.did).map_err(engine)?;
    if let AccountState::Hidden { status } = account.state {
        return Err(EdgeError::Hidden(hidden(status.as_deref())));
    }
    let recorded = records
        .store
        .record(&key.did, &key.collection, &key.rkey)
        .map_err(engine)?;
    let uri = key.uri();
    let value = records
        .cache
        .as_ref()
        .and_then(|cache| cache.get(CacheSpace::Proof, &uri));
    let checked = value.as_ref().map(|value| Checked {
        as_of: value.as_of_seq,
        at_us: value.checked_us,
    });
    let stream = records.stream(&key.collection);
    let window = InWindow::of(&recorded);
    let newest_rev = match &recorded {
        Recorded::Found { rev, .. } => Some(*rev),
        Recorded::Deleted { .. } | Recorded::Unknown { .. } => None,
    };
    let kept = match decide(window, account.purged_through, checked, &stream) {
        Tell::Deleted => return Err(EdgeError::Deleted("the record was deleted".to_owned())),
        Tell::Fetched => value.and_then(|value| car_of(value.bytes)),
        // An event has no proof.
        Tell::Event | Tell::Ask { .. } => None,
    };
    Ok(kept.map_or(Looked::Ask { newest_rev }, Looked::Kept))
}

fn car_of(mut bytes: Vec<u8>) -> Option<Bytes> {
    if bytes.first() != Some(&VERSION) {
        return None;
    }
    bytes.remove(0);
    Some(Bytes::from(bytes))
}

fn keep(records: &Records, uri: &str, car: &[u8], checked: Checked) {
    let Some(cache) = &records.cache else {
        return;
    };
    let mut bytes = Vec::with_capacity(car.len() + 1);
    bytes.push(VERSION);
    bytes.extend_from_slice(car);
    let value = CachedValue {
        as_of_seq: checked.as_of,
        checked_us: checked.at_us,
        bytes,
    };
    cache.put(CacheSpace::Proof, uri, &value);
}

async fn document(records: &Records, key: &Key) -> Result<Arc<Document>, EdgeError> {
    let document = records.resolver.document(&key.did).await;
    document.map_err(problems::of_owner)
}

/// Checks the proof off the workers: it may be a megabyte, and a signature takes its time.
async fn check(
    records: &Records,
    key: &Key,
    document: &Document,
    car: &Bytes,
) -> Result<Result<Proven, RepoError>, EdgeError> {
    let Some(signing) = &document.signing_key else {
        return Err(EdgeError::Unproven(format!(
            "the document of {} has no signing key, so that nothing can be proven",
            key.did
        )));
    };
    let public = public_key(signing).map_err(|error| {
        EdgeError::Unproven(format!("the signing key of {} is none: {error}", key.did))
    })?;
    let key = key.clone();
    let car = car.clone();
    records
        .lookups
        .run(move || {
            let proof = verify_record_proof(&car, &key.did, &key.collection, &key.rkey, &public)?;
            Ok(match proof.record {
                Some(_) => Proven::Record {
                    rev: proof.rev.to_owned(),
                },
                None => Proven::Absent,
            })
        })
        .await
}

fn unproven(error: &RepoError) -> EdgeError {
    EdgeError::Unproven(format!("the data server's proof proves nothing: {error}"))
}
