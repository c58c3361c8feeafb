//! What is told of records: the newest that is known, never what an event has undone, and not what may have changed unseen.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::network::Says;
use crate::common::{DID, OTHER, POST, Place, now_us, options, post, strict};
use orrery_edge::EdgeOptions;
use orrery_resolve::FetchError;
use orrery_server::{Edge as _, EdgeError};
use tokio::task::JoinSet;

const HANDLE: &str = "alice.test";
const KEY: &str = "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";

#[tokio::test]
async fn a_record_of_the_window_is_told_without_asking_anyone() {
    let mut place = Place::new();
    place.source.write(DID, "a", &post("one"));
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    assert!(place.edge.at_once(DID, POST, "a").is_some());
    place.source.write(DID, "a", &post("two"));
    assert!(place.edge.at_once(DID, POST, "a").is_none());
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
    let record = place.get(DID, "a").await.unwrap();
    let cid = orrery_repo::record_cid(post("two").as_bytes()).unwrap();
    assert_eq!(record.cid.as_deref(), Some(&*cid.to_string()));
    assert_eq!(place.network.asked(DID, "a"), 0);
    // Another key of the account is its own.
    assert!(place.edge.at_once(DID, POST, "b").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_for_an_unknown_record_ask_once() {
    let place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "a", &post("one"));
    place.network.hold();
    let mut requests = JoinSet::new();
    for _ in 0..1_000 {
        let edge = Arc::clone(&place.edge);
        requests.spawn(async move {
            edge.record(DID, POST, "a")
                .await
                .map(|record| record.answer.len())
        });
    }
    place.network.until_waiting(1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    place.network.let_go();
    while let Some(answer) = requests.join_next().await {
        answer.unwrap().unwrap();
    }
    assert_eq!(place.network.asked(DID, "a"), 1);
    // Now it is known.
    assert!(place.edge.at_once(DID, POST, "a").is_some());
}

#[tokio::test]
async fn a_delete_that_comes_while_a_record_is_fetched_is_heeded() {
    let mut place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "a", &post("one"));
    place.network.hold();
    let edge = Arc::clone(&place.edge);
    let early = tokio::spawn(async move { edge.record(DID, POST, "a").await.is_ok() });
    place.network.until_waiting(1).await;
    place.source.delete(DID, "a");
    // This one starts behind the event, and joins the fetch that is under way.
    let edge = Arc::clone(&place.edge);
    let late = tokio::spawn(async move { edge.record(DID, POST, "a").await });
    tokio::task::yield_now().await;
    place.network.let_go();
    assert!(matches!(late.await.unwrap(), Err(EdgeError::Deleted(_))));
    early.await.unwrap();
    assert!(matches!(
        place.get(DID, "a").await,
        Err(EdgeError::Deleted(_))
    ));
    assert_eq!(place.network.asked(DID, "a"), 1);
}

#[tokio::test]
async fn an_update_that_comes_while_a_record_is_fetched_is_told() {
    let mut place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "a", &post("old"));
    place.network.hold();
    let edge = Arc::clone(&place.edge);
    let early = tokio::spawn(async move { edge.record(DID, POST, "a").await });
    place.network.until_waiting(1).await;
    place.source.write(DID, "a", &post("new"));
    place.network.let_go();
    let record = early.await.unwrap().unwrap();
    assert_eq!(record.value_json(), post("new").as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_starts_behind_a_delete_gets_the_record() {
    let Place {
        mut source,
        edge,
        network: _network,
        tap: _tap,
        ..
    } = {
        let place = Place::new();
        place.network.account(DID, HANDLE, KEY);
        place.network.no_record(DID, "a");
        place
    };
    // Odd while the record is there. Written before an event, and after it.
    let began = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (edge, began, ended) = (Arc::clone(&edge), Arc::clone(&began), Arc::clone(&ended));
        let is_over = Arc::clone(&is_over);
        readers.spawn(async move {
            let mut checked = [0_u32; 2];
            while !is_over.load(Ordering::SeqCst) {
                let before = ended.load(Ordering::SeqCst);
                let found = match edge.at_once(DID, POST, "a") {
                    Some(record) => Ok(record),
                    None => edge.record(DID, POST, "a").await,
                };
                let after = began.load(Ordering::SeqCst);
                if before != after {
                    // An event came meanwhile.
                    tokio::task::yield_now().await;
                    continue;
                }
                let is_there = before % 2 == 1;
                assert_eq!(found.is_ok(), is_there, "after {before} events: {found:?}");
                checked[usize::from(is_there)] += 1;
                tokio::task::yield_now().await;
            }
            checked
        });
    }
    let writing = tokio::task::spawn_blocking(move || {
        for number in 1..=600_u64 {
            began.store(number, Ordering::SeqCst);
            if number % 2 == 1 {
                source.write(DID, "a", &post(&number.to_string()));
            } else {
                source.delete(DID, "a");
            }
            ended.store(number, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        source
    });
    let _source = writing.await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    let mut checked = [0, 0];
    while let Some(reader) = readers.join_next().await {
        let [absent, present] = reader.unwrap();
        checked[0] += absent;
        checked[1] += present;
    }
    assert!(checked[0] > 50 && checked[1] > 50, "{checked:?}");
}

#[tokio::test]
async fn records_of_hidden_accounts_are_not_told_until_they_are_back() {
    let mut place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "fetched", &post("far"));
    place.source.write(DID, "a", &post("one"));
    place.get(DID, "a").await.unwrap();
    place.get(DID, "fetched").await.unwrap();
    place.source.account(DID, false, Some("takendown"));
    for rkey in ["a", "fetched", "never-seen"] {
        assert!(place.edge.at_once(DID, POST, rkey).is_none());
        let Err(EdgeError::Hidden(message)) = place.get(DID, rkey).await else {
            unreachable!("{rkey}");
        };
        assert!(message.contains("takendown"), "{message}");
    }
    place.source.account(DID, true, None);
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    assert_eq!(place.value(DID, "fetched").await.unwrap(), post("far"));
    assert_eq!(place.network.asked(DID, "fetched"), 1);
}

#[tokio::test]
async fn a_deleted_account_takes_its_records_along() {
    let mut place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "fetched", &post("far"));
    place.source.write(DID, "a", &post("one"));
    place.get(DID, "a").await.unwrap();
    place.get(DID, "fetched").await.unwrap();
    place.source.account(DID, false, Some("deleted"));
    place.network.no_record(DID, "fetched");
    for rkey in ["a", "fetched"] {
        let error = place.get(DID, rkey).await.unwrap_err();
        assert!(
            matches!(error, EdgeError::Deleted(_) | EdgeError::Hidden(_)),
            "{rkey}: {error:?}"
        );
    }
    // Whoever comes back begins anew.
    place.source.account(DID, true, None);
    place.source.write(DID, "b", &post("again"));
    assert_eq!(place.value(DID, "b").await.unwrap(), post("again"));
    assert!(place.get(DID, "a").await.is_err());
}

#[tokio::test]
async fn what_a_data_server_says_wrongly_is_an_error_and_is_not_kept() {
    let place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    let other = orrery_repo::record_cid(post("other").as_bytes()).unwrap();
    let other = other.to_string();
    place
        .network
        .record_with_cid(DID, "cid", &post("one"), Some(&other));
    place
        .network
        .record_with_cid(DID, "no-cid", &post("one"), None);
    place
        .network
        .record_says(DID, "garbage", Says::Json(200, "<html>".to_owned()));
    place.network.record_says(
        DID,
        "slow",
        Says::Fails(FetchError::Timeout {
            host: "pds.example".to_owned(),
            after: Duration::from_secs(10),
        }),
    );
    let origin = r#"{"error":"RepoTakendown","message":"gone"}"#;
    place
        .network
        .record_says(DID, "origin", Says::Json(400, origin.to_owned()));
    let error = place.get(DID, "cid").await.unwrap_err();
    assert!(
        matches!(&error, EdgeError::Unproven(text) if text.contains(&other)),
        "{error:?}"
    );
    assert!(matches!(
        place.get(DID, "garbage").await,
        Err(EdgeError::Unavailable(_))
    ));
    assert!(matches!(
        place.get(DID, "slow").await,
        Err(EdgeError::Unavailable(_))
    ));
    let error = place.get(DID, "origin").await.unwrap_err();
    assert!(
        matches!(&error, EdgeError::Origin { name, .. } if name == "RepoTakendown"),
        "{error:?}"
    );
    let record = place.get(DID, "no-cid").await.unwrap();
    assert!(record.cid.is_some());
    // Mended, it is told.
    place.network.record(DID, "cid", &post("one"));
    assert_eq!(place.value(DID, "cid").await.unwrap(), post("one"));
    assert!(matches!(
        place.get(OTHER, "a").await,
        Err(EdgeError::DidNotFound(_))
    ));
}

#[tokio::test]
async fn after_a_restart_what_was_fetched_is_checked_unless_the_stream_vouches_for_it() {
    let place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "a", &post("one"));
    place.get(DID, "a").await.unwrap();
    // Asked for a moment ago: told as it was, though the stream is away.
    let place = place.again(EdgeOptions::default());
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    assert_eq!(place.network.asked(DID, "a"), 1);
    // The stream is there, and saw all that happened since.
    let place = place.again(strict());
    place.tap.is_live.store(true, Ordering::SeqCst);
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    assert_eq!(place.network.asked(DID, "a"), 1);
    // It is away, and nobody knows what happened since.
    let place = place.again(strict());
    place.network.record(DID, "a", &post("two"));
    assert_eq!(place.value(DID, "a").await.unwrap(), post("two"));
    assert_eq!(place.network.asked(DID, "a"), 2);
    // It is back and has lost what was in between.
    let place = place.again(strict());
    place.tap.is_live.store(true, Ordering::SeqCst);
    place.tap.since_us.store(now_us(), Ordering::SeqCst);
    place.network.record(DID, "a", &post("three"));
    assert_eq!(place.value(DID, "a").await.unwrap(), post("three"));
}

#[tokio::test]
async fn an_event_that_was_missed_while_down_undoes_what_was_fetched_before() {
    let place = Place::new();
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "a", &post("one"));
    place.network.record(DID, "b", &post("one"));
    place.get(DID, "a").await.unwrap();
    place.get(DID, "b").await.unwrap();
    let mut place = place.again(strict());
    place.source.delete(DID, "a");
    place.source.write(DID, "b", &post("two"));
    place.tap.is_live.store(true, Ordering::SeqCst);
    assert!(matches!(
        place.get(DID, "a").await,
        Err(EdgeError::Deleted(_))
    ));
    assert_eq!(place.value(DID, "b").await.unwrap(), post("two"));
    assert_eq!(place.network.asked(DID, "b"), 1);
}

#[tokio::test]
async fn while_the_stream_is_away_records_are_checked_and_its_return_brings_them_back() {
    let mut place = Place::with(options(), strict());
    place.network.account(DID, HANDLE, KEY);
    place.network.record(DID, "far", &post("one"));
    place.source.write(DID, "near", &post("one"));
    place.get(DID, "far").await.unwrap();
    place.get(DID, "near").await.unwrap();
    place.tap.is_live.store(false, Ordering::SeqCst);
    place.network.record(DID, "far", &post("two"));
    place.network.record(DID, "near", &post("two"));
    assert!(place.edge.at_once(DID, POST, "near").is_none());
    assert_eq!(place.value(DID, "far").await.unwrap(), post("two"));
    assert_eq!(place.value(DID, "near").await.unwrap(), post("two"));
    // Where it cannot be checked it is not told.
    place
        .network
        .record_says(DID, "near", Says::Json(500, "{}".to_owned()));
    assert!(matches!(
        place.get(DID, "near").await,
        Err(EdgeError::Unavailable(_))
    ));
    // The stream brings what it missed, and vouches for the time since.
    place.source.write(DID, "near", &post("two"));
    place.tap.is_live.store(true, Ordering::SeqCst);
    assert_eq!(place.value(DID, "near").await.unwrap(), post("two"));
    assert_eq!(place.value(DID, "far").await.unwrap(), post("two"));
    // It lost what was before: all from then is checked.
    place.tap.since_us.store(now_us() + 1, Ordering::SeqCst);
    place.network.record(DID, "far", &post("three"));
    assert_eq!(place.value(DID, "far").await.unwrap(), post("three"));
}

#[tokio::test]
async fn without_a_network_what_is_there_is_told_however_old() {
    let edge = EdgeOptions {
        fetches: false,
        ..EdgeOptions::default()
    };
    let mut place = Place::with(options(), edge);
    place.tap.is_live.store(false, Ordering::SeqCst);
    place.source.write(DID, "a", &post("one"));
    assert_eq!(place.value(DID, "a").await.unwrap(), post("one"));
    assert!(place.edge.at_once(DID, POST, "a").is_some());
    place.source.delete(DID, "a");
    assert!(matches!(
        place.get(DID, "a").await,
        Err(EdgeError::Deleted(_))
    ));
    assert!(matches!(
        place.get(DID, "b").await,
        Err(EdgeError::Unavailable(_))
    ));
}
