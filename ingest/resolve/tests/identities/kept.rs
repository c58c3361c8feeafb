use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orrery_resolve::{Keep, ResolveError, Space};

use crate::fake::{ALICE, Fake, HANDLE, Reply, Shelf, document, down, options, plc, settle};

const HEADER: usize = 10;

fn reply(pds: &str) -> Reply {
    Reply::Status(200, document(ALICE, HANDLE, pds).into())
}

/// A kept value as an earlier process left it.
fn kept(age: Duration, doubtful: bool, value: &str) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let at = u64::try_from((now - age).as_micros()).expect("fits");
    let mut bytes = vec![1, u8::from(doubtful)];
    bytes.extend(at.to_le_bytes());
    bytes.extend(value.as_bytes());
    bytes
}

async fn pds(resolver: &orrery_resolve::Resolver) -> Result<String, ResolveError> {
    let document = resolver.document(ALICE).await?;
    Ok(document.pds.clone().expect("PDS"))
}

fn is_doubtful(bytes: &[u8]) -> bool {
    bytes[1] == 1
}

#[tokio::test(start_paused = true)]
async fn values_outlive_the_process_and_are_refreshed_behind() {
    let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
    fake.txt(HANDLE, &[&format!("did={ALICE}")]);
    fake.reply(plc(ALICE), reply("one.example.com"));
    let before = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    before.identity(ALICE).await.expect("identity");
    shelf
        .until(Space::Document, ALICE, |bytes| bytes.is_some())
        .await;
    shelf
        .until(Space::Handle, HANDLE, |bytes| bytes.is_some())
        .await;
    let bytes = shelf.bytes(Space::Handle, HANDLE).expect("handle");
    assert_eq!(&bytes[HEADER..], ALICE.as_bytes());
    drop(before);
    std::thread::sleep(Duration::from_millis(2));

    fake.reply(plc(ALICE), down());
    let after = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    let identity = after.identity(HANDLE).await.expect("identity");
    assert_eq!(identity.handle, HANDLE);
    settle().await;
    assert_eq!(fake.asked(plc(ALICE)), 2, "refreshed, in vain");
    fake.reply(plc(ALICE), reply("two.example.com"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(pds(&after).await.as_deref(), Ok("https://one.example.com"));
    settle().await;
    assert_eq!(pds(&after).await.as_deref(), Ok("https://two.example.com"));
    shelf
        .until(Space::Document, ALICE, |bytes| {
            bytes.is_some_and(|bytes| String::from_utf8_lossy(bytes).contains("two.example"))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_marks_what_is_kept_even_where_it_is_not_in_memory() {
    let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
    let hour = Duration::from_secs(3600);
    let old = document(ALICE, HANDLE, "old.example.com");
    shelf.put(Space::Document, ALICE, kept(hour, false, &old));
    shelf.put(Space::Handle, HANDLE, kept(hour, false, ALICE));
    let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    resolver.invalidate(ALICE, Some(HANDLE));
    for (space, key) in [(Space::Document, ALICE), (Space::Handle, HANDLE)] {
        let bytes = shelf.bytes(space, key).expect("still there");
        assert!(is_doubtful(&bytes));
    }
    // After a restart it is still doubtful: asked for first, and served only as the source is down.
    let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    fake.reply(plc(ALICE), down());
    assert_eq!(
        pds(&resolver).await.as_deref(),
        Ok("https://old.example.com")
    );
    assert_eq!(fake.asked(plc(ALICE)), 1);
    fake.reply(plc(ALICE), reply("new.example.com"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        pds(&resolver).await.as_deref(),
        Ok("https://new.example.com")
    );
    shelf
        .until(Space::Document, ALICE, |bytes| {
            bytes.is_some_and(|bytes| !is_doubtful(bytes))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_source_denies_is_no_longer_kept() {
    let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
    let old = document(ALICE, HANDLE, "old.example.com");
    shelf.put(
        Space::Document,
        ALICE,
        kept(Duration::from_secs(60), true, &old),
    );
    fake.body(plc(ALICE), 410, "{}");
    let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    let error = pds(&resolver).await.expect_err("gone");
    assert!(matches!(error, ResolveError::NotFound { .. }));
    assert_eq!(shelf.bytes(Space::Document, ALICE), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_but_no_good_is_asked_for() {
    let week = Duration::from_secs(7 * 24 * 3600);
    let old = document(ALICE, HANDLE, "old.example.com");
    let other = document(crate::fake::BOB, HANDLE, "old.example.com");
    let mut future = kept(Duration::ZERO, false, &old);
    future[9] = 1;
    for (what, bytes) in [
        ("too old", kept(week, false, &old)),
        ("of the future", future),
        ("another's", kept(Duration::ZERO, false, &other)),
        ("no document", kept(Duration::ZERO, false, "x")),
        ("of another version", vec![9; 400]),
        ("empty", vec![]),
    ] {
        let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
        shelf.put(Space::Document, ALICE, bytes);
        fake.reply(plc(ALICE), reply("new.example.com"));
        let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
        let found = pds(&resolver).await;
        assert_eq!(found.as_deref(), Ok("https://new.example.com"), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_before_an_event_does_not_get_kept_after_it() {
    let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
    let second = Duration::from_secs(1);
    fake.reply_after(10 * second, plc(ALICE), reply("old.example.com"));
    let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    let before = tokio::spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    tokio::time::sleep(second).await;
    resolver.invalidate(ALICE, None);
    let before = before.await.expect("before");
    assert_eq!(before.as_deref(), Ok("https://old.example.com"));
    settle().await;
    assert_eq!(shelf.bytes(Space::Document, ALICE), None);
}

/// A gate on a thread: those who wait at it go on once it is open.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().expect("gate") = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.lock().expect("gate");
        let limit = Duration::from_secs(20);
        let (open, _) = self
            .1
            .wait_timeout_while(open, limit, |open| !*open)
            .expect("gate");
        assert!(*open, "the gate stays shut");
    }
}

/// A store whose first load is slow: what it gives was read before the gate opened.
#[derive(Default)]
struct SlowLoad {
    shelf: Shelf,
    loads: Mutex<usize>,
    has_read: Gate,
    may_return: Gate,
}

impl Keep for SlowLoad {
    fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        let bytes = self.shelf.load(space, key);
        let is_first = {
            let mut loads = self.loads.lock().expect("loads");
            *loads += 1;
            *loads == 1
        };
        if is_first {
            self.has_read.open();
            self.may_return.wait();
        }
        bytes
    }

    fn save(&self, space: Space, key: &str, bytes: &[u8]) {
        self.shelf.save(space, key, bytes);
    }

    fn forget(&self, space: Space, key: &str) {
        self.shelf.forget(space, key);
    }
}

#[test]
fn what_was_loaded_before_an_event_is_doubtful_after_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("runtime");
    let (fake, keep) = (Fake::new(), Arc::new(SlowLoad::default()));
    let old = document(ALICE, HANDLE, "old.example.com");
    let an_hour = Duration::from_secs(3600);
    keep.shelf
        .put(Space::Document, ALICE, kept(an_hour, false, &old));
    fake.reply(plc(ALICE), reply("new.example.com"));
    let resolver = fake.resolver_with(options(), Arc::<SlowLoad>::clone(&keep));
    let before = runtime.spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    keep.has_read.wait();
    resolver.invalidate(ALICE, None);
    keep.may_return.open();
    runtime.block_on(before).expect("before").expect("PDS");
    let after = runtime.block_on(pds(&resolver));
    assert_eq!(after.as_deref(), Ok("https://new.example.com"));
}

#[test]
fn a_save_that_comes_after_an_event_is_not_made() {
    // One thread for everything that blocks, so that it can be kept busy.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_time()
        .build()
        .expect("runtime");
    let (fake, shelf) = (Fake::new(), Arc::new(Shelf::default()));
    let delay = Duration::from_millis(100);
    fake.reply_after(delay, plc(ALICE), reply("old.example.com"));
    let resolver = fake.resolver_with(options(), Arc::<Shelf>::clone(&shelf));
    let fetch = runtime.spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    while fake.asked(plc(ALICE)) == 0 {
        std::thread::yield_now();
    }
    let gate = Arc::new(Gate::default());
    runtime.spawn_blocking({
        let gate = Arc::clone(&gate);
        move || gate.wait()
    });
    let found = runtime.block_on(fetch).expect("fetch");
    assert_eq!(found.as_deref(), Ok("https://old.example.com"));
    assert_eq!(
        resolver.status().outdated,
        0,
        "it was there before the event"
    );
    resolver.invalidate(ALICE, None);
    gate.open();
    runtime
        .block_on(runtime.spawn_blocking(|| ()))
        .expect("behind the save");
    assert_eq!(shelf.bytes(Space::Document, ALICE), None);
}
