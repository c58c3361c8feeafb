//! Records with their proofs: fetched from the data server, checked against the account's key, kept while the record stands.

use std::sync::Arc;

use bytes::Bytes;
use orrery_engine::{AccountState, CacheSpace, CachedValue, Recorded};
use orrery_formats::cached_proof::CachedProof;
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

/// What a checked proof says, as of a revision of the repository.
struct Proven {
    rev: String,
    /// The record's content id; `None`: there is no such record.
    cid: Option<String>,
}

/// What there is here.
enum Looked {
    /// A proof that stands, if the account's key still is the one that it was checked against.
    Kept { key: String, car: Bytes },
    /// The data server is to be asked. What the newest event says, with the revision of the repository that it made.
    Ask { newest: Option<(u64, String)> },
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
    let newest = match records.lookups.run(move || look(&here, &work)).await?? {
        Looked::Ask { newest } => newest,
        Looked::Kept { key: checked, car } => {
            let now = records.resolver.document(&key.did).await;
            let key = now.as_ref().map(|now| now.signing_key.as_ref());
            match key {
                Ok(Some(key)) if key.multibase != checked => None,
                // Also where the source of documents is down: it was good, and may still be.
                _ => return Ok(car),
            }
        }
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
    let mut signing_key = multibase_of(&document);
    let proven = match check(records, key, &document, &car).await? {
        Err(error) if matches!(error.cause(), RepoError::SignatureWrong { .. }) => {
            // A key that was changed a moment ago; the document may be older than that.
            records.resolver.invalidate(&key.did, None);
            let newer = self::document(records, key).await?;
            if newer.signing_key == document.signing_key {
                return Err(unproven(&error));
            }
            signing_key = multibase_of(&newer);
            check(records, key, &newer, &car).await?
        }
        proven => proven,
    };
    let proven = proven.map_err(|error| unproven(&error))?;
    if let Some((newest, cid)) = newest {
        let rev = Tid::parse(&proven.rev).map_or(0, Tid::to_u64);
        let is_other = rev == newest && proven.cid.as_deref() != Some(&*cid) && !cid.is_empty();
        if rev < newest || is_other {
            return Err(EdgeError::Unproven(
                "the data server's proof is of what the record was before its last change"
                    .to_owned(),
            ));
        }
    }
    if proven.cid.is_none() {
        return Err(EdgeError::RecordNotFound(
            "the account's data server proves that there is no such record".to_owned(),
        ));
    }
    let here = Arc::clone(records);
    let uri = key.uri();
    let kept = car.clone();
    records
        .lookups
        .run(move || keep(&here, &uri, &signing_key, &kept, checked))
        .await?;
    Ok(car)
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
    let newest = match &recorded {
        Recorded::Found { rev, cid, .. } => Some((*rev, cid.clone())),
        Recorded::Deleted { .. } | Recorded::Unknown { .. } => None,
    };
    let kept = match decide(window, account.purged_through, checked, &stream) {
        Tell::Deleted => return Err(EdgeError::Deleted("the record was deleted".to_owned())),
        Tell::Fetched => value
            .as_ref()
            .and_then(|value| CachedProof::decode(&value.bytes).ok()),
        // An event has no proof.
        Tell::Event | Tell::Ask { .. } => None,
    };
    Ok(match kept {
        None => Looked::Ask { newest },
        Some(kept) => Looked::Kept {
            key: kept.key.to_owned(),
            car: Bytes::copy_from_slice(kept.car),
        },
    })
}

fn keep(records: &Records, uri: &str, key: &str, car: &[u8], checked: Checked) {
    let Some(cache) = &records.cache else {
        return;
    };
    let mut bytes = Vec::new();
    CachedProof { key, car }.encode(&mut bytes);
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
            Ok(Proven {
                rev: proof.rev.to_owned(),
                cid: proof.record.map(|(cid, _)| cid.to_string()),
            })
        })
        .await
}

fn multibase_of(document: &Document) -> String {
    let key = document.signing_key.as_ref();
    key.map(|key| key.multibase.clone()).unwrap_or_default()
}

fn unproven(error: &RepoError) -> EdgeError {
    EdgeError::Unproven(format!("the data server's proof proves nothing: {error}"))
}
