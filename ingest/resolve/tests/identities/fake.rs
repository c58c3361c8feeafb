//! A network in memory that counts, delays, hangs and fails as told, and a store that can be looked into.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orrery_resolve::{
    Answer, Boxed, DnsError, FetchError, Keep, KeepNothing, Network, Request, ResolveError,
    Resolver, ResolverOptions, Space,
};

pub(crate) const PLC: &str = "https://plc.example.com";
pub(crate) const ALICE: &str = "did:plc:aliceaaaaaaaaaaaaaaaaaaa";
pub(crate) const BOB: &str = "did:plc:bobbbbbbbbbbbbbbbbbbbbbb";
pub(crate) const HANDLE: &str = "alice.example.com";

/// What is said to a GET.
#[derive(Clone)]
pub(crate) enum Reply {
    Status(u16, Bytes),
    Fail(FetchError),
    Hang,
    Panic,
}

#[derive(Default)]
struct State {
    replies: HashMap<String, (Duration, Reply)>,
    txt: HashMap<String, (Duration, Result<Vec<String>, DnsError>)>,
    asked: HashMap<String, usize>,
    requests: Vec<Request>,
    under_way: usize,
    most_under_way: usize,
}

/// The network. What is said is settled when the question comes, and said after the delay.
#[derive(Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

struct UnderWay(Arc<Mutex<State>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().unwrap().under_way -= 1;
    }
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn reply_after(&self, delay: Duration, url: impl Into<String>, reply: Reply) {
        let mut state = self.0.lock().unwrap();
        state.replies.insert(url.into(), (delay, reply));
    }

    pub(crate) fn reply(&self, url: impl Into<String>, reply: Reply) {
        self.reply_after(Duration::ZERO, url, reply);
    }

    pub(crate) fn body(&self, url: impl Into<String>, status: u16, body: impl AsRef<[u8]>) {
        self.reply(
            url,
            Reply::Status(status, Bytes::copy_from_slice(body.as_ref())),
        );
    }

    pub(crate) fn document(&self, did: &str, body: impl AsRef<[u8]>) {
        self.body(plc(did), 200, body);
    }

    pub(crate) fn txt_after(
        &self,
        delay: Duration,
        handle: &str,
        values: Result<Vec<String>, DnsError>,
    ) {
        let mut state = self.0.lock().unwrap();
        state
            .txt
            .insert(format!("_atproto.{handle}"), (delay, values));
    }

    pub(crate) fn txt(&self, handle: &str, values: &[&str]) {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        self.txt_after(Duration::ZERO, handle, Ok(values));
    }

    pub(crate) fn txt_fails(&self, handle: &str, error: DnsError) {
        self.txt_after(Duration::ZERO, handle, Err(error));
    }

    /// How often the URL was asked for, or the name for TXT.
    pub(crate) fn asked(&self, what: impl AsRef<str>) -> usize {
        let state = self.0.lock().unwrap();
        state.asked.get(what.as_ref()).copied().unwrap_or(0)
    }

    pub(crate) fn asked_in_all(&self) -> usize {
        self.0.lock().unwrap().asked.values().sum()
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.0.lock().unwrap().most_under_way
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap().requests.clone()
    }

    pub(crate) fn resolver(self: &Arc<Self>) -> Resolver {
        self.resolver_with(options(), Arc::new(KeepNothing))
    }

    pub(crate) fn resolver_with(
        self: &Arc<Self>,
        options: ResolverOptions,
        keep: Arc<dyn Keep>,
    ) -> Resolver {
        let network: Arc<dyn Network> = Arc::<Self>::clone(self);
        Resolver::new(network, options, keep).expect("options")
    }
}

impl Network for Fake {
    fn get(&self, request: Request) -> Boxed<'_, Result<Answer, FetchError>> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let (delay, reply) = {
                let mut state = state.lock().unwrap();
                *state.asked.entry(request.url.clone()).or_default() += 1;
                state.under_way += 1;
                state.most_under_way = state.most_under_way.max(state.under_way);
                let reply = state.replies.get(&request.url).cloned();
                state.requests.push(request.clone());
                reply.unwrap_or_else(|| {
                    let host = request.url.split('/').nth(2).unwrap_or_default().to_owned();
                    (Duration::ZERO, Reply::Fail(FetchError::NoSuchHost { host }))
                })
            };
            let _under_way = UnderWay(state);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match reply {
                Reply::Status(_, body) if body.len() > request.most_bytes => {
                    Err(FetchError::TooLarge {
                        host: "host".to_owned(),
                        most: request.most_bytes,
                    })
                }
                Reply::Status(status, body) => Ok(Answer {
                    status,
                    content_type: None,
                    body,
                }),
                Reply::Fail(error) => Err(error),
                Reply::Hang => std::future::pending().await,
                Reply::Panic => panic!("as told"),
            }
        })
    }

    fn txt<'a>(&'a self, name: &'a str) -> Boxed<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let (delay, values) = {
                let mut state = self.0.lock().unwrap();
                *state.asked.entry(name.to_owned()).or_default() += 1;
                let values = state.txt.get(name).cloned();
                values.unwrap_or((Duration::ZERO, Err(DnsError::NoRecords)))
            };
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            values
        })
    }
}

/// A store in memory.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<HashMap<(Space, String), Vec<u8>>>);

impl Shelf {
    pub(crate) fn bytes(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        self.0
            .lock()
            .unwrap()
            .get(&(space, key.to_owned()))
            .cloned()
    }

    pub(crate) fn put(&self, space: Space, key: &str, bytes: Vec<u8>) {
        self.0
            .lock()
            .unwrap()
            .insert((space, key.to_owned()), bytes);
    }

    /// Waits in real time until the store has something under the key that `test` likes.
    pub(crate) async fn until(
        &self,
        space: Space,
        key: &str,
        test: impl Fn(Option<&[u8]>) -> bool,
    ) {
        for _ in 0..2000 {
            if test(self.bytes(space, key).as_deref()) {
                return;
            }
            // Savers are threads outside of tokio's time.
            std::thread::sleep(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
        panic!("{space:?} {key}: {:?}", self.bytes(space, key));
    }
}

impl Keep for Shelf {
    fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        self.bytes(space, key)
    }

    fn save(&self, space: Space, key: &str, bytes: &[u8]) {
        self.put(space, key, bytes.to_vec());
    }

    fn forget(&self, space: Space, key: &str) {
        self.0.lock().unwrap().remove(&(space, key.to_owned()));
    }
}

pub(crate) fn options() -> ResolverOptions {
    ResolverOptions {
        plc: PLC.to_owned(),
        memory_bytes: 8 << 20,
        ..ResolverOptions::default()
    }
}

pub(crate) fn plc(did: &str) -> String {
    format!("{PLC}/{did}")
}

pub(crate) fn well_known(handle: &str) -> String {
    format!("https://{handle}/.well-known/atproto-did")
}

pub(crate) fn txt_name(handle: &str) -> String {
    format!("_atproto.{handle}")
}

/// A document that names the handle, and the PDS `https://<pds>`.
pub(crate) fn document(did: &str, handle: &str, pds: &str) -> String {
    format!(
        r##"{{"@context":["https://www.w3.org/ns/did/v1"],"id":"{did}","alsoKnownAs":["at://{handle}"],
        "verificationMethod":[{{"id":"{did}#atproto","type":"Multikey","controller":"{did}","publicKeyMultibase":"zQ3shXvCK2RyPrSLYQjBEw5CExZkUhJH3n1K2Mb9sC7JbvRMF"}}],
        "service":[{{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://{pds}"}}]}}"##
    )
}

pub(crate) fn down() -> Reply {
    Reply::Fail(FetchError::Connect {
        host: "host".to_owned(),
        problem: "refused".to_owned(),
    })
}

pub(crate) fn is_technical(error: &ResolveError) -> bool {
    matches!(error, ResolveError::Technical { .. })
}

/// Lets everything that can go on do so, without time passing.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
