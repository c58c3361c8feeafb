//! What was known before the stream lost something is not told as if it had been seen whole.
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{DID, POST, Place, now_us, options, post};
use orrery_edge::EdgeOptions;
use orrery_engine::{CacheSpace, CachedValue};

const HANDLE: &str = "alice.test";
const KEY: &str = "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";
/// For how long what was asked for is told again without the stream.
const UNVOUCHED: Duration = Duration::from_millis(300);

fn short() -> EdgeOptions {
    EdgeOptions {
        unvouched: UNVOUCHED,
        ..EdgeOptions::default()
    }
}

fn place() -> Place {
    let place = Place::with(options(), short());
    place.network.account(DID, HANDLE, KEY);
    place
}

/// The stream is back, and has all from now on.
fn gap_ends(place: &Place) {
    place.tap.since_us.store(now_us(), Ordering::SeqCst);
    place.tap.is_live.store(true, Ordering::SeqCst);
}

async fn a_while() {
    tokio::time::sleep(UNVOUCHED + Duration::from_millis(100)).await;
}

#[tokio::test]
async fn what_was_fetched_before_a_gap_is_asked_for_again_after_it() {
    let place = place();
    place.tap.is_live.store(false, Ordering::SeqCst);
    place.network.record(DID, "a", &post("one"));
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    place.network.record(DID, "a", &post("two"));
    let place = place.again(short());
    gap_ends(&place);
    // Told since it was asked for just now, or not: looked at, it is no newer.
    let _ = place.value(DID, "a").await;
    a_while().await;
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
}

#[tokio::test]
async fn an_event_from_before_a_gap_is_not_told_after_it() {
    let mut place = place();
    place.source.write(DID, "a", &post("one"));
    place.network.record(DID, "a", &post("two"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    gap_ends(&place);
    let _ = place.value(DID, "a").await;
    a_while().await;
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
}

#[tokio::test]
async fn a_record_that_was_deleted_before_a_gap_may_be_there_again() {
    let mut place = place();
    place.source.write(DID, "a", &post("one"));
    place.source.delete(DID, "a");
    place.network.record(DID, "a", &post("two"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    gap_ends(&place);
    a_while().await;
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
}

#[tokio::test]
async fn what_another_version_kept_is_asked_for() {
    let place = place();
    place.network.record(DID, "a", &post("two"));
    let value = CachedValue {
        as_of_seq: 0,
        checked_us: now_us(),
        bytes: vec![2, 0, b'{', b'}'],
    };
    let uri = format!("at://{DID}/{POST}/a");
    let cache = place.source.store.cache().unwrap();
    assert!(cache.put(CacheSpace::Record, &uri, &value));
    drop(cache);
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
}
