//! Follows the events that the index takes: identities that changed are asked for again, and records that are linked to often are
//! kept for longer than the log window has them.
//!
//! Records need no word of this thread to be right. For identities there is none before it has read the event, some
//! milliseconds behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use orrery_engine::{CacheSpace, EventReader, Progress, Recorded};
use orrery_formats::event::{Body, Encoding, Event, Operation};
use orrery_links::syntax::AtUri;
use orrery_links::{Extractor, Limits};

use crate::freshness::Checked;
use crate::often::OftenLinked;
use crate::records::{Key, Records, value_of};

/// How long it rests where there is nothing new.
const REST: Duration = Duration::from_millis(20);
/// How long it rests after a failure to read.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Events between two looks at whether to stop.
const EVENTS_AT_ONCE: usize = 512;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Follows what came since the store was opened.
    pub(crate) fn start(records: Arc<Records>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let first = records.store.changed_floor().saturating_add(1);
        let reader = records.store.events_from(first);
        let thread = thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || follow(&records, reader, &until))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows identities panicked");
        }
    }
}

fn follow(records: &Records, mut reader: EventReader, stop: &AtomicBool) {
    let mut watch = Watch::new(records);
    while !stop.load(Ordering::Relaxed) {
        let read = reader.read(EVENTS_AT_ONCE, &mut |accepted| {
            watch.see(&accepted.event);
        });
        watch.promote();
        match read {
            Ok(Progress::Read | Progress::Lost { .. }) => {}
            Ok(Progress::CaughtUp) => thread::sleep(REST),
            // Identities that changed in between are found out by their age.
            Ok(Progress::Trimmed { first_kept }) => reader.skip_to(first_kept),
            Err(error) => {
                tracing::warn!(%error, "events cannot be read; identities may be old");
                thread::sleep(REST_AFTER_FAILURE);
            }
        }
    }
}

struct Watch<'a> {
    records: &'a Records,
    extractor: Extractor,
    often: Option<OftenLinked>,
    /// Records that came to be linked to often, to be looked for when no event is being read.
    worth: Vec<Key>,
}

impl<'a> Watch<'a> {
    fn new(records: &'a Records) -> Self {
        let threshold = records.options.often_linked;
        Self {
            records,
            extractor: Extractor::new(Limits::default()),
            often: (threshold > 0 && records.cache.is_some()).then(|| OftenLinked::new(threshold)),
            worth: Vec::new(),
        }
    }

    fn see(&mut self, event: &Event<'_>) {
        match event.body {
            Body::Identity { handle, .. } => self.records.resolver.invalidate(event.did, handle),
            // An account that moves to another data server says so here at the latest.
            Body::Account { .. } => self.records.resolver.invalidate(event.did, None),
            Body::Commit {
                collection,
                operation: Operation::Create(record),
                ..
            } if record.encoding == Encoding::Json => self.count(collection, record.body),
            Body::Commit { .. } | Body::Exclusion { .. } => {}
        }
    }

    /// Counts the links of a new record. While the index catches up it has better things to do.
    fn count(&mut self, collection: &str, body: &[u8]) {
        let Some(often) = &mut self.often else {
            return;
        };
        if self.records.followed.whole_since_us(collection).is_none() {
            return;
        }
        let Ok(links) = self.extractor.extract_json(body) else {
            return;
        };
        for link in links.links() {
            if link.target.starts_with("at://")
                && often.count(link.target)
                && let Ok(uri) = AtUri::parse(link.target)
                && let (Some(collection), Some(rkey)) = (uri.collection(), uri.record_key())
            {
                let key = Key::new(uri.authority().as_str(), collection.as_str(), rkey.as_str());
                if key.did.starts_with("did:") {
                    self.worth.push(key);
                }
            }
        }
    }

    /// Keeps what the window has of the records that are worth it.
    fn promote(&mut self) {
        let Some(cache) = &self.records.cache else {
            return;
        };
        for key in self.worth.drain(..) {
            let records = self.records;
            let stream = records.stream(&key.collection);
            let as_of = records.visible();
            let found = records.store.record(&key.did, &key.collection, &key.rkey);
            // What the window does not have is not fetched unasked.
            if let Ok(recorded @ Recorded::Found { time_us, .. }) = found
                && stream.vouches_since(time_us)
                && let Ok(record) = records.of_event(&key.uri(), recorded)
            {
                let checked = Checked {
                    as_of,
                    at_us: time_us,
                };
                cache.put(CacheSpace::Record, &record.uri, &value_of(&record, checked));
            }
        }
    }
}
