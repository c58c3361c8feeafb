//! A store with a writer, a network of one data server and one directory of DIDs, and an edge cache over both.
pub mod network;
pub mod repo;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orrery_edge::{EdgeCache, EdgeOptions, Followed};
use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{CacheOptions, Options, Store, Writer};
use orrery_resolve::ResolverOptions;
use orrery_server::{Edge as _, EdgeError, EdgeRecord};

use network::Fake;

pub const DID: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
pub const OTHER: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
pub const POST: &str = "app.bsky.feed.post";

pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// A stream that can be switched off.
#[derive(Default)]
pub struct Tap {
    pub is_live: AtomicBool,
    pub since_us: AtomicU64,
}

impl Followed for Tap {
    fn whole_since_us(&self, _collection: &str) -> Option<u64> {
        self.is_live
            .load(Ordering::SeqCst)
            .then(|| self.since_us.load(Ordering::SeqCst))
    }
}

/// Writes events.
pub struct Source {
    pub store: Store,
    pub writer: Writer,
    rev: u64,
}

impl Source {
    pub fn open(directory: &Path, options: Options) -> Self {
        let store = Store::open(directory, options).unwrap();
        let writer = store.writer().unwrap();
        // Revs go on behind those of an earlier run.
        let rev = now_us();
        Self { store, writer, rev }
    }

    fn apply(&mut self, did: &str, body: Body<'_>) {
        let event = Event {
            time_us: now_us(),
            did,
            body,
        };
        self.writer.apply(&event).unwrap();
    }

    fn commit(&mut self, did: &str, rkey: &str, operation: Operation<'_>) {
        self.rev += 1;
        let rev = self.rev << 10;
        self.apply(
            did,
            Body::Commit {
                rev,
                collection: POST,
                rkey,
                operation,
            },
        );
    }

    pub fn write(&mut self, did: &str, rkey: &str, json: &str) {
        let cid = orrery_repo::record_cid(json.as_bytes())
            .unwrap()
            .to_string();
        let record = Record {
            cid: &cid,
            encoding: Encoding::Json,
            body: json.as_bytes(),
        };
        self.commit(did, rkey, Operation::Update(record));
    }

    pub fn delete(&mut self, did: &str, rkey: &str) {
        self.commit(did, rkey, Operation::Delete);
    }

    pub fn account(&mut self, did: &str, active: bool, status: Option<&str>) {
        self.rev += 1;
        let seq = self.rev;
        self.apply(
            did,
            Body::Account {
                seq,
                active,
                status,
            },
        );
    }

    pub fn identity(&mut self, did: &str, handle: Option<&str>) {
        self.rev += 1;
        let seq = self.rev;
        self.apply(did, Body::Identity { seq, handle });
    }
}

/// Everything.
pub struct Place {
    pub source: Source,
    pub network: Arc<Fake>,
    pub tap: Arc<Tap>,
    pub edge: Arc<EdgeCache>,
    directory: Arc<tempfile::TempDir>,
}

pub fn options() -> Options {
    let mut options = Options::default();
    options.cache = Some(CacheOptions {
        most_bytes: 16 << 20,
    });
    options.disk_reserve = 0;
    options.compact = false;
    options
}

impl Place {
    pub fn new() -> Self {
        Self::with(options(), EdgeOptions::default())
    }

    pub fn with(options: Options, edge: EdgeOptions) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let network = Arc::new(Fake::default());
        Self::open(directory, network, options, edge)
    }

    fn open(
        directory: Arc<tempfile::TempDir>,
        network: Arc<Fake>,
        options: Options,
        edge: EdgeOptions,
    ) -> Self {
        let source = Source::open(directory.path(), options);
        let tap = Arc::new(Tap::default());
        tap.is_live.store(true, Ordering::SeqCst);
        let resolving = ResolverOptions {
            plc: "https://plc.example".to_owned(),
            // The names of the tests are none of the public network.
            allow_test: true,
            ..ResolverOptions::default()
        };
        let cache = EdgeCache::start(
            source.store.clone(),
            network.clone(),
            tap.clone(),
            resolving,
            edge,
        )
        .unwrap();
        Self {
            source,
            network,
            tap,
            edge: Arc::new(cache),
            directory,
        }
    }

    /// The same directory and network in another run. The stream is not there at first.
    pub fn again(self, edge: EdgeOptions) -> Self {
        let Self {
            mut source,
            network,
            edge: before,
            directory,
            tap: _,
        } = self;
        source.writer.commit().unwrap();
        drop(before);
        drop(source);
        let place = Self::open(directory, network, options(), edge);
        place.tap.is_live.store(false, Ordering::SeqCst);
        place
    }

    pub async fn get(&self, did: &str, rkey: &str) -> Result<Arc<EdgeRecord>, EdgeError> {
        self.edge.record(did, POST, rkey).await
    }

    /// The record's own JSON.
    pub async fn value(&self, did: &str, rkey: &str) -> Result<String, EdgeError> {
        let record = self.get(did, rkey).await?;
        Ok(String::from_utf8(record.value_json().to_vec()).unwrap())
    }
}

/// An edge cache that trusts nothing that the stream does not vouch for.
pub fn strict() -> EdgeOptions {
    EdgeOptions {
        unvouched: Duration::ZERO,
        ..EdgeOptions::default()
    }
}

/// A record with a text.
pub fn post(text: &str) -> String {
    format!(r#"{{"$type":"{POST}","text":"{text}"}}"#)
}
