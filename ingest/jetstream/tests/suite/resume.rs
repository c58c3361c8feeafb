//! No event is lost between connections, whatever ends them.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::*;
use orrery_jetstream::{Cursor, Delivery};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const CUTS: usize = 200;

/// Serves events 0..`count` from the cursor on, and ends each of the first [`CUTS`] connections after a few of them in
/// one of five ways.
async fn cutting_server(count: u64, has_seq: bool) -> Server {
    Server::start(move |number, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        let cursor = query.cursor().unwrap();
        let start = if has_seq {
            cursor
        } else {
            cursor.saturating_sub(T0).div_ceil(1000)
        };
        // Spread without a pattern that the five ways could fall in step with.
        let budget = (number as u64 * 37) % 61;
        for n in start..count {
            if number < CUTS && n - start >= budget {
                break;
            }
            if !send(&mut ws, event(n, has_seq.then_some(n))).await {
                return;
            }
        }
        if number >= CUTS {
            return idle(ws).await;
        }
        match number % 5 {
            0 => {}
            1 => ws
                .get_mut()
                .write_all(&[0x81, 0x7e, 0x01, 0x00, b'{'])
                .await
                .unwrap(),
            2 => ws.get_mut().write_all(&[0xff; 20]).await.unwrap(),
            3 => ws
                .close(Some(CloseFrame {
                    code: 1001.into(),
                    reason: "".into(),
                }))
                .await
                .unwrap(),
            _ => {
                let half = event(start + budget, None);
                let half = half.as_bytes();
                let length = half.len() as u8;
                let mut frame = vec![0x01, 0x7e, 0x00, length];
                frame.extend_from_slice(half);
                ws.get_mut().write_all(&frame).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn two_hundred_disconnects_lose_nothing() {
    for has_seq in [true, false] {
        let count = 6000;
        let server = cutting_server(count, has_seq).await;
        let mut config = server.config();
        config.cursor = Some(if has_seq {
            Cursor::Seq(0)
        } else {
            Cursor::TimeUs(T0)
        });
        config.rewind_time = Duration::from_millis(100);
        config.rewind_seq = 100;
        let mut subscription = subscribe(config);
        let seen = collect_until(&mut subscription, count - 1).await;
        let all: BTreeSet<u64> = seen.iter().copied().collect();
        assert_eq!(all, (0..count).collect::<BTreeSet<_>>(), "seq {has_seq}");
        assert!(server.connections() > CUTS, "{}", server.connections());
        let stats = subscription.handle().stats();
        assert_eq!((stats.disconnects, stats.skips), (CUTS as u64, 0));
    }
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

#[tokio::test]
async fn live_that_dies_before_its_first_event_resumes_at_its_opening() {
    let cursors = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&cursors);
    let server = Server::start(move |number, tcp| {
        let log = Arc::clone(&log);
        async move {
            let (mut ws, query) = accept(tcp).await;
            log.lock().unwrap().push(query.cursor());
            if number == 2 {
                send(&mut ws, event(1, None)).await;
                idle(ws).await;
            }
        }
    })
    .await;
    let before = now_us();
    let mut subscription = subscribe(server.config());
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
    let cursors = cursors.lock().unwrap().clone();
    assert_eq!(cursors[0], None);
    let margin = 5_000_000;
    let second = cursors[1].unwrap();
    assert!(
        (before - margin..=now_us() - margin).contains(&second),
        "{second}"
    );
    assert_eq!(cursors[2], cursors[1]);
}

/// A stream that really is live: events happen whether or not anybody is connected.
#[tokio::test]
async fn live_without_a_cursor_misses_nothing_while_disconnected() {
    let start = (now_us() - T0) / 1000;
    let tip = Arc::new(AtomicU64::new(start));
    let clock = Arc::clone(&tip);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            // The number of an event is its time in milliseconds, so it must not run ahead of the clock.
            let now = (now_us() - T0) / 1000;
            clock.store(now, Ordering::SeqCst);
        }
    });
    let source = Arc::clone(&tip);
    let server = Server::start(move |number, tcp| {
        let tip = Arc::clone(&source);
        async move {
            let (mut ws, query) = accept(tcp).await;
            let now = tip.load(Ordering::SeqCst);
            let mut n = query
                .cursor()
                .map_or(now, |cursor| (cursor - T0).div_ceil(1000).min(now));
            let end = now + 20;
            while number >= 20 || n < end {
                if n <= tip.load(Ordering::SeqCst) {
                    if !send(&mut ws, event(n, None)).await {
                        return;
                    }
                    n += 1;
                } else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    })
    .await;
    let mut config = server.config();
    config.rewind_time = Duration::from_millis(3);
    config.backoff.base = Duration::from_millis(30);
    config.backoff.max = Duration::from_millis(30);
    let mut subscription = subscribe(config);
    let mut seen = BTreeSet::new();
    while server.connections() < 22 && seen.len() < 2000 {
        if let Some(Delivery::Batch(batch)) = next(&mut subscription).await {
            seen.extend(numbers(&batch));
        }
    }
    let (first, last) = (*seen.first().unwrap(), *seen.last().unwrap());
    assert_eq!(
        seen.len() as u64,
        last - first + 1,
        "a gap between {first} and {last}"
    );
    assert!(server.connections() > 20);
}

#[tokio::test]
async fn a_sequence_goes_back_only_to_the_server_that_gave_it() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let server = |name: &'static str| {
        let log = Arc::clone(&log);
        Server::start(move |number, tcp| {
            let log = Arc::clone(&log);
            async move {
                if name == "first" && number > 0 {
                    log.lock().unwrap().push((name, None));
                    return refuse(tcp, "HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
                }
                let (mut ws, query) = accept(tcp).await;
                log.lock().unwrap().push((name, query.cursor()));
                let (from, base) = if name == "first" { (0, 100) } else { (0, 9000) };
                for n in from..50 {
                    send(&mut ws, event(n, Some(base + n))).await;
                }
                if name == "first" {
                    ws.close(None).await.unwrap();
                } else {
                    send(&mut ws, event(50, Some(base + 50))).await;
                }
                idle(ws).await;
            }
        })
    };
    let (first, second) = (server("first").await, server("second").await);
    let mut config = first.config();
    config.endpoints.push(format!("ws://{}", second.address));
    config.cursor = Some(Cursor::Seq(100));
    config.rewind_time = Duration::from_millis(10);
    config.failures_before_switch = 3;
    let mut subscription = subscribe(config);
    collect_until(&mut subscription, 50).await;
    let log = log.lock().unwrap().clone();
    assert_eq!(
        log,
        [
            ("first", Some(100)),
            ("first", None),
            ("first", None),
            // The last event came at 49 ms, and the margin is 10 ms.
            ("second", Some(T0 + 39_000)),
        ]
    );
}

#[tokio::test]
async fn a_stalled_consumer_loses_nothing_when_the_server_gives_up_on_it() {
    let server = Server::start(|number, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        let start = query.cursor().unwrap();
        for n in start..1000 {
            if !send(&mut ws, event(n, Some(n)) + &" ".repeat(2000)).await {
                return;
            }
            if number == 0 && n == 500 {
                return;
            }
        }
        idle(ws).await;
    })
    .await;
    let mut config = server.config();
    config.cursor = Some(Cursor::Seq(0));
    config.queue_frames_max = 10;
    config.batch_frames_max = 10;
    let mut subscription = subscribe(config);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // While the queue is full nothing new is begun.
    assert_eq!(server.connections(), 1);
    let seen: BTreeSet<u64> = collect_until(&mut subscription, 999)
        .await
        .into_iter()
        .collect();
    assert_eq!(seen, (0..1000).collect::<BTreeSet<_>>());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn no_connection_is_opened_while_the_queue_is_full() {
    let server = Server::start(|_, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        let start = query.cursor().unwrap();
        for n in start..start + 10 {
            send(&mut ws, event(n, Some(n))).await;
        }
        let _ = ws.close(None).await;
    })
    .await;
    let mut config = server.config();
    config.cursor = Some(Cursor::Seq(0));
    config.queue_frames_max = 10;
    let mut subscription = subscribe(config);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.connections(), 1);
    let seen: BTreeSet<u64> = collect_until(&mut subscription, 18)
        .await
        .into_iter()
        .collect();
    assert_eq!(seen, (0..=18).collect::<BTreeSet<_>>());
}
