//! A network in memory: documents, data servers, TXT records; it counts what it is asked, and can be held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use orrery_resolve::{Answer, Boxed, DnsError, FetchError, Network, Request};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// What a URL answers.
#[derive(Clone)]
pub enum Says {
    Json(u16, String),
    Bytes(Vec<u8>),
    Fails(FetchError),
}

/// The network.
pub struct Fake {
    /// By URL without its scheme.
    answers: Mutex<HashMap<String, Says>>,
    txt: Mutex<HashMap<String, Vec<String>>>,
    /// How often each URL was asked for.
    asked: Mutex<HashMap<String, usize>>,
    /// While this has no permits, asks of data servers wait.
    gate: Semaphore,
    pub waiting: AtomicUsize,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            txt: Mutex::default(),
            asked: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Fake {
    pub fn says(&self, url: &str, says: Says) {
        self.answers.lock().insert(url.to_owned(), says);
    }

    /// An account on `pds.example` with a handle.
    pub fn account(&self, did: &str, handle: &str, key: &str) {
        let document = serde_json::json!({
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": did,
            "alsoKnownAs": [format!("at://{handle}")],
            "verificationMethod": [{
                "id": format!("{did}#atproto"), "type": "Multikey", "controller": did, "publicKeyMultibase": key,
            }],
            "service": [{
                "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example",
            }],
        });
        self.says(
            &format!("plc.example/{did}"),
            Says::Json(200, document.to_string()),
        );
        self.txt
            .lock()
            .insert(format!("_atproto.{handle}"), vec![format!("did={did}")]);
    }

    fn record_url(did: &str, rkey: &str) -> String {
        format!(
            "pds.example/xrpc/com.atproto.repo.getRecord?repo={did}&collection={}&rkey={rkey}",
            super::POST
        )
    }

    /// A record at the data server; `cid` as it tells it.
    pub fn record_with_cid(&self, did: &str, rkey: &str, json: &str, cid: Option<&str>) {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let mut answer = serde_json::json!({
            "uri": format!("at://{did}/{}/{rkey}", super::POST), "value": value,
        });
        if let Some(cid) = cid {
            answer["cid"] = cid.into();
        }
        self.says(
            &Self::record_url(did, rkey),
            Says::Json(200, answer.to_string()),
        );
    }

    pub fn record(&self, did: &str, rkey: &str, json: &str) {
        let cid = orrery_repo::record_cid(json.as_bytes())
            .unwrap()
            .to_string();
        self.record_with_cid(did, rkey, json, Some(&cid));
    }

    pub fn no_record(&self, did: &str, rkey: &str) {
        let answer = r#"{"error":"RecordNotFound","message":"Could not locate record"}"#;
        self.says(
            &Self::record_url(did, rkey),
            Says::Json(400, answer.to_owned()),
        );
    }

    pub fn record_says(&self, did: &str, rkey: &str, says: Says) {
        self.says(&Self::record_url(did, rkey), says);
    }

    /// How often the record was asked for.
    pub fn asked(&self, did: &str, rkey: &str) -> usize {
        self.asked_url(&Self::record_url(did, rkey))
    }

    pub fn asked_url(&self, url: &str) -> usize {
        self.asked.lock().get(url).copied().unwrap_or(0)
    }

    /// Makes data servers wait with their answers.
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn let_go(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until so many asks wait.
    pub async fn until_waiting(&self, wanted: usize) {
        while self.waiting.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl Network for Fake {
    fn get(&self, request: Request) -> Boxed<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            let (_, url) = request.url.split_once("://").unwrap();
            *self.asked.lock().entry(url.to_owned()).or_default() += 1;
            // What it says when it is asked, however late it answers.
            let says = self.answers.lock().get(url).cloned();
            if url.starts_with("pds.example/") {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                drop(self.gate.acquire().await.unwrap());
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            let json = Some("application/json".to_owned());
            match says {
                Some(Says::Fails(error)) => Err(error),
                Some(Says::Json(status, text)) => Ok(Answer {
                    status,
                    content_type: json,
                    body: Bytes::from(text),
                }),
                Some(Says::Bytes(bytes)) => Ok(Answer {
                    status: 200,
                    content_type: Some("application/vnd.ipld.car".to_owned()),
                    body: Bytes::from(bytes),
                }),
                None => Ok(Answer {
                    status: 404,
                    content_type: json,
                    body: Bytes::from_static(b"{}"),
                }),
            }
        })
    }

    fn txt<'a>(&'a self, name: &'a str) -> Boxed<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let values = self.txt.lock().get(name).cloned();
            values.ok_or(DnsError::NoRecords)
        })
    }
}
