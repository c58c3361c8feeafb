use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orrery_resolve::{FlightError, Flights};
use tokio::sync::{Notify, oneshot};

use crate::fake::settle;

#[tokio::test]
async fn a_thousand_callers_share_one_piece_of_work() {
    let flights: Flights<u8, usize> = Flights::new(1);
    let (made, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (flights, made, gate) = (flights.clone(), Arc::clone(&made), Arc::clone(&gate));
            tokio::spawn(async move {
                let make = || {
                    let number = made.fetch_add(1, Ordering::SeqCst);
                    async move {
                        gate.notified().await;
                        number
                    }
                };
                flights.run(7, make).await
            })
        })
        .collect();
    settle().await;
    assert_eq!(flights.under_way(), 1);
    gate.notify_one();
    for caller in callers {
        assert_eq!(caller.await.expect("caller"), Ok(0));
    }
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert!(!flights.is_under_way(&7));
    assert_eq!(flights.run(7, || async { 9 }).await, Ok(9), "later is anew");
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nobody() {
    let flights: Flights<u8, u8> = Flights::new(4);
    let (sender, receiver) = oneshot::channel();
    let first = {
        let flights = flights.clone();
        tokio::spawn(async move {
            flights
                .run(1, || async { receiver.await.expect("sender") })
                .await
        })
    };
    settle().await;
    let second = {
        let flights = flights.clone();
        tokio::spawn(async move { flights.run(1, || async { 99 }).await })
    };
    settle().await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    sender.send(5).expect("the work goes on");
    assert_eq!(second.await.expect("second"), Ok(5));
}

#[tokio::test]
async fn work_that_panics_is_an_error_and_not_a_hang() {
    let flights: Flights<u8, u8> = Flights::new(1);
    let run = flights.run(1, || async { panic!("as told") });
    assert_eq!(run.await, Err(FlightError::Lost));
    assert_eq!(flights.under_way(), 0);
    assert_eq!(flights.run(1, || async { 2 }).await, Ok(2));
}

#[tokio::test]
async fn making_that_panics_leaves_the_key_free() {
    let flights: Flights<u8, u8> = Flights::new(1);
    let panicking = {
        let flights = flights.clone();
        tokio::spawn(async move {
            flights
                .run(1, || -> std::future::Ready<u8> { panic!("as told") })
                .await
        })
    };
    assert!(panicking.await.expect_err("panic").is_panic());
    assert_eq!(flights.run(1, || async { 2 }).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_limit_is_refused_by_name_and_joining_is_not() {
    let flights: Flights<u8, u8> = Flights::new(2);
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        1
    };
    assert_eq!(flights.start(1, slow), Ok(true));
    assert_eq!(flights.start(2, slow), Ok(true));
    assert_eq!(flights.start(2, slow), Ok(false));
    assert_eq!(flights.start(3, slow), Err(FlightError::Full { most: 2 }));
    assert_eq!(
        flights.run(3, slow).await,
        Err(FlightError::Full { most: 2 })
    );
    // What is forgotten still runs, and still counts.
    flights.forget(&1);
    assert_eq!(
        flights.run(1, slow).await,
        Err(FlightError::Full { most: 2 })
    );
    assert_eq!(flights.run(2, || async { 9 }).await, Ok(1));
    assert_eq!(flights.run(3, || async { 9 }).await, Ok(9));
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_forgetting_does_not_get_the_old_result() {
    let flights: Flights<u8, u8> = Flights::new(4);
    let after = |seconds, value| {
        move || async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            value
        }
    };
    let old = flights.run(1, after(10, 1));
    let others = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        flights.forget(&1);
        assert!(!flights.is_under_way(&1));
        let new = flights.run(1, after(20, 2)).await;
        assert_eq!(new, Ok(2));
    };
    let joined = async {
        // The old one has ended by now, which must not free the key of the new one.
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert!(flights.is_under_way(&1));
        assert_eq!(flights.run(1, after(0, 3)).await, Ok(2));
    };
    let (old, (), ()) = tokio::join!(old, others, joined);
    assert_eq!(old, Ok(1));
    assert_eq!(flights.under_way(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_a_value_and_asks_again_gets_another() {
    let flights: Flights<u8, u32> = Flights::new(64);
    let mut callers = tokio::task::JoinSet::new();
    let made = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    for _ in 0..4 {
        let (flights, made) = (flights.clone(), std::sync::Arc::clone(&made));
        callers.spawn(async move {
            let mut last = None;
            for _ in 0..2_000 {
                let made = std::sync::Arc::clone(&made);
                let make = move || async move {
                    tokio::task::yield_now().await;
                    made.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
                };
                let value = flights.run(1, make).await.unwrap();
                assert!(last < Some(value), "{value} again");
                last = Some(value);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}
