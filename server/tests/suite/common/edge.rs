//! An edge without a network: what it answers is said by the names that are asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use orrery_server::{
    CallAnswer, CallAsk, Edge, EdgeError, EdgeIdentity, EdgePage, EdgeRecord, Fact, FactKind,
    ListAsk, MiniDoc, Work,
};
use parking_lot::Mutex;
use serde_json::json;
use serde_json::value::RawValue;

pub const CID: &str = "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
pub const OTHER_CID: &str = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";

#[derive(Default)]
pub struct Fake {
    /// Calls that had to wait.
    pub fetched: AtomicUsize,
    running: AtomicUsize,
    /// The most calls for records at the same time.
    pub running_most: AtomicUsize,
    /// Records of 1 MiB that were given, and the most of them that somebody held at a time.
    big: Mutex<Vec<Weak<EdgeRecord>>>,
    pub big_most: AtomicUsize,
    /// What other services were asked.
    pub calls: Mutex<Vec<CallAsk>>,
}

/// The answer for a record.
pub fn record(did: &str, collection: &str, rkey: &str) -> EdgeRecord {
    let value = format!(
        r#"{{"$type":"{collection}","n":1.50,"list":[{{"$type":"x.y#z","v":"<i>"}},{{"v":2}}],"text":"hi"}}"#
    );
    let uri = format!("at://{did}/{collection}/{rkey}");
    let cid = (rkey != "nocid").then(|| CID.to_owned());
    let head = match &cid {
        Some(cid) => format!(r#"{{"cid":"{cid}","uri":"{uri}","value":"#),
        None => format!(r#"{{"uri":"{uri}","value":"#),
    };
    let value = match rkey.starts_with("big") {
        true => format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20)),
        false => value,
    };
    EdgeRecord {
        uri,
        cid,
        value: head.len()..head.len() + value.len(),
        answer: format!("{head}{value}}}").into(),
    }
}

/// The error that a name stands for.
fn error(name: &str) -> Option<EdgeError> {
    let why = format!("told by the name {name}");
    let found = match name {
        "invalid" => EdgeError::Invalid(why),
        "gone" => EdgeError::Deleted(why),
        "hidden" => EdgeError::Hidden(why),
        "none" => EdgeError::RecordNotFound(why),
        "origin" => EdgeError::Origin {
            name: "RepoDeactivated".into(),
            message: why,
        },
        "unproven" => EdgeError::Unproven(why),
        "down" => EdgeError::Unavailable(why),
        "unresolved" => EdgeError::ResolutionFailed(why),
        "nobody" => EdgeError::DidNotFound(why),
        "ended" => EdgeError::DidDeactivated(why),
        "unnamed" => EdgeError::HandleNotFound(why),
        "noservice" => EdgeError::ServiceNotFound(why),
        "busy" => EdgeError::Busy {
            message: why,
            retry_after_s: 7,
        },
        _ => return None,
    };
    Some(found)
}

/// The last part of a DID, the first label of a handle, or a record key: what says how it goes.
fn word(name: &str) -> &str {
    match name.strip_prefix("did:") {
        Some(did) => did.rsplit(':').next().unwrap_or_default(),
        None => name.split('.').next().unwrap_or_default(),
    }
}

async fn answer<T>(name: &str, value: T) -> Result<T, EdgeError> {
    match word(name) {
        "slow" => tokio::time::sleep(Duration::from_secs(60)).await,
        "late" => tokio::time::sleep(Duration::from_millis(150)).await,
        "panic" => panic!("as the test asked"),
        _ => {}
    }
    error(word(name)).map_or(Ok(value), Err)
}

fn document(did: &str) -> Arc<RawValue> {
    let document = json!({"id": did, "alsoKnownAs": ["at://alice.example"]});
    RawValue::from_string(document.to_string()).unwrap().into()
}

fn did_of(identifier: &str) -> String {
    match identifier.strip_prefix("did:") {
        Some(_) => identifier.to_owned(),
        None => "did:plc:alice".to_owned(),
    }
}

impl Edge for Fake {
    fn at_once(&self, did: &str, collection: &str, rkey: &str) -> Option<Arc<EdgeRecord>> {
        rkey.starts_with("warm")
            .then(|| Arc::new(record(did, collection, rkey)))
    }
    fn record<'a>(
        &'a self,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    ) -> Work<'a, Arc<EdgeRecord>> {
        Box::pin(async move {
            assert!(did.starts_with("did:"), "{did}");
            self.fetched.fetch_add(1, Ordering::Relaxed);
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.running_most.fetch_max(running, Ordering::Relaxed);
            let name = if error(word(did)).is_some() {
                did
            } else {
                rkey
            };
            let record = Arc::new(record(did, collection, rkey));
            if rkey.starts_with("big") {
                let mut big = self.big.lock();
                big.retain(|record| record.strong_count() > 0);
                big.push(Arc::downgrade(&record));
                self.big_most.fetch_max(big.len(), Ordering::Relaxed);
            }
            let record = answer(name, record).await;
            self.running.fetch_sub(1, Ordering::Relaxed);
            record
        })
    }
    fn resolve_handle<'a>(&'a self, handle: &'a str) -> Work<'a, String> {
        Box::pin(answer(handle, did_of(handle)))
    }
    fn mini_doc<'a>(&'a self, identifier: &'a str) -> Work<'a, MiniDoc> {
        let doc = MiniDoc {
            did: did_of(identifier),
            handle: "alice.example".into(),
            pds: "https://pds.example".into(),
            signing_key: "zQ3sh".into(),
        };
        Box::pin(answer(identifier, doc))
    }
    fn identity<'a>(&'a self, identifier: &'a str) -> Work<'a, EdgeIdentity> {
        let did = did_of(identifier);
        let identity = EdgeIdentity {
            document: document(&did),
            did,
            handle: "alice.example".into(),
        };
        Box::pin(answer(identifier, identity))
    }
    fn did_document<'a>(&'a self, did: &'a str) -> Work<'a, Arc<RawValue>> {
        Box::pin(answer(did, document(did)))
    }
    fn service<'a>(&'a self, did: &'a str, id: &'a str, kind: Option<&'a str>) -> Work<'a, String> {
        let endpoint = format!("https://pds.example/{id}/{}", kind.unwrap_or("any"));
        let name = if id == "#none" { "noservice" } else { did };
        Box::pin(answer(name, endpoint))
    }
    fn proof<'a>(
        &'a self,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    ) -> Work<'a, bytes::Bytes> {
        let car = format!("a CAR of {did} {collection} {rkey}").into();
        let name = if error(word(did)).is_some() {
            did
        } else {
            rkey
        };
        Box::pin(answer(name, car))
    }
    fn list(&self, ask: ListAsk) -> Work<'_, EdgePage> {
        Box::pin(async move {
            if ask.cursor.as_deref() == Some(" ") {
                return Err(EdgeError::Origin {
                    name: "InvalidRequest".into(),
                    message: "bad cursor".into(),
                });
            }
            let first = if ask.reverse { "a" } else { "z" };
            let keys = (0..ask.limit.min(2)).map(|i| format!("{first}{i}"));
            let page = EdgePage {
                records: keys
                    .map(|key| Arc::new(record(&ask.did, &ask.collection, &key)))
                    .collect(),
                cursor: (ask.limit < 2).then(|| "next \"page\"".to_owned()),
            };
            answer(&ask.did, page).await
        })
    }
    fn call(&self, ask: CallAsk) -> Work<'_, CallAnswer> {
        self.calls.lock().push(ask.clone());
        Box::pin(async move {
            let body = json!({"records": [
                {"did": "did:plc:a", "collection": "a.b.c", "rkey": "1"},
                {"did": "did:plc:a", "collection": "a.b.c", "rkey": "gone"},
                {"did": "did:plc:a", "collection": "a.b.c", "rkey": "1"},
                {"did": "did:plc:a", "collection": "a.b.c", "rkey": "slow"},
            ], "post": {"uri": "at://bob.example/a.b.c/2", "cid": OTHER_CID}, "by": "did:plc:nobody"});
            let body = RawValue::from_string(body.to_string()).unwrap();
            answer(
                word(&ask.method.replace("app.example.", "")),
                CallAnswer { body },
            )
            .await
        })
    }
    fn facts(&self) -> Vec<Fact> {
        vec![Fact {
            name: "orrery_edge_fetched_total".into(),
            help: "Fetched records.",
            kind: FactKind::Counter,
            value: self.fetched.load(Ordering::Relaxed) as f64,
        }]
    }
}
