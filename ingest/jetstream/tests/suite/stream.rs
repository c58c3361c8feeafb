//! Connections that work: encodings, filters, silence, back-pressure, closing.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;
use futures_util::{SinkExt as _, StreamExt as _};
use orrery_jetstream::{Cursor, Delivery, Options};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Message};

#[tokio::test]
async fn text_and_compressed_frames_mix_in_order() {
    let server = Server::start(|_, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        assert_eq!(query.get("compress"), Some("true"));
        assert_eq!(query.cursor(), Some(T0));
        assert_eq!(query.header("user-agent"), Some("test/1"));
        for n in 0..1000 {
            let text = event(n, None);
            if n % 3 == 0 {
                send(&mut ws, text).await;
            } else {
                ws.send(Message::binary(pack(text.as_bytes())))
                    .await
                    .unwrap();
            }
        }
        idle(ws).await;
    })
    .await;
    let mut config = server.config();
    config.compress = true;
    config.cursor = Some(Cursor::TimeUs(T0));
    config.user_agent = "test/1".to_owned();
    let mut subscription = subscribe(config);
    let connected = next(&mut subscription).await;
    let Some(Delivery::Connected { endpoint, cursor }) = connected else {
        panic!("{connected:?}")
    };
    assert_eq!(endpoint, format!("ws://{}/subscribe", server.address));
    assert_eq!(cursor, Some(Cursor::TimeUs(T0)));
    let seen = collect_until(&mut subscription, 999).await;
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());

    let stats = subscription.handle().stats();
    assert_eq!(
        (stats.frames, stats.connections, stats.disconnects),
        (1000, 1, 0)
    );
    assert!(stats.connected && stats.message_bytes < stats.frame_bytes);
    assert_eq!(
        (stats.newest_time_us, stats.newest_seq),
        (Some(T0 + 999_000), None)
    );
    assert_eq!((stats.queue_frames, stats.queue_bytes), (0, 0));
    assert!(stats.frames_per_second > 1.0 && stats.lag().unwrap() > Duration::from_secs(60));
}

#[tokio::test]
async fn a_silent_server_that_answers_pings_is_kept() {
    let pings = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&pings);
    let server = Server::start(move |_, tcp| {
        let seen = Arc::clone(&seen);
        async move {
            let (mut ws, _) = accept(tcp).await;
            while let Some(Ok(message)) = ws.next().await {
                if message.is_ping() && seen.fetch_add(1, Ordering::SeqCst) == 9 {
                    send(&mut ws, event(1, None)).await;
                }
            }
        }
    })
    .await;
    let mut config = server.config();
    config.ping_after = Duration::from_millis(30);
    config.pong_timeout = Duration::from_millis(500);
    let mut subscription = subscribe(config);
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
    assert_eq!(server.connections(), 1);
    assert_eq!(subscription.handle().stats().disconnects, 0);
    assert!(pings.load(Ordering::SeqCst) >= 10);
}

#[tokio::test]
async fn pings_of_the_server_are_answered_with_their_payload() {
    let (sender, mut pongs) = mpsc::unbounded_channel();
    let server = Server::start(move |_, tcp| {
        let sender = sender.clone();
        async move {
            let (mut ws, _) = accept(tcp).await;
            ws.send(Message::Ping(Bytes::from_static(b"12345678")))
                .await
                .unwrap();
            while let Some(Ok(message)) = ws.next().await {
                sender.send(message).unwrap();
            }
        }
    })
    .await;
    let subscription = subscribe(server.config());
    assert_eq!(
        pongs.recv().await,
        Some(Message::Pong(Bytes::from_static(b"12345678")))
    );
    assert_eq!(subscription.handle().stats().pings, 1);
}

/// The server interleaves pings with data while nobody takes anything. All pings up to the batch in hand are answered,
/// reading then pauses, our own pings still go out, and afterwards everything is there.
#[tokio::test]
async fn a_stalled_consumer_pauses_reading_but_not_writing() {
    const FRAMES: u64 = 30_000;
    let (sender, mut received) = mpsc::unbounded_channel();
    let server = Server::start(move |_, tcp| {
        let sender = sender.clone();
        async move {
            let (ws, _) = accept(tcp).await;
            let (mut sink, mut stream) = ws.split();
            tokio::spawn(async move {
                while let Some(Ok(message)) = stream.next().await {
                    let _ = sender.send(message);
                }
            });
            // The queue holds 10 frames and the batch in hand 5 more.
            for n in 0..10 {
                sink.send(Message::text(event(n, None) + &" ".repeat(5000)))
                    .await
                    .unwrap();
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            for n in 10..14 {
                sink.send(Message::text(event(n, None) + &" ".repeat(5000)))
                    .await
                    .unwrap();
            }
            sink.send(Message::Ping(Bytes::from_static(b"while full")))
                .await
                .unwrap();
            for n in 14..FRAMES {
                sink.send(Message::text(event(n, None) + &" ".repeat(5000)))
                    .await
                    .unwrap();
            }
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut config = server.config();
    config.queue_frames_max = 10;
    config.batch_frames_max = 5;
    config.ping_after = Duration::from_millis(400);
    config.pong_timeout = Duration::from_millis(400);
    let mut subscription = subscribe(config);
    let handle = subscription.handle();
    let pong = tokio::time::timeout(Duration::from_secs(5), received.recv())
        .await
        .unwrap();
    assert_eq!(pong, Some(Message::Pong(Bytes::from_static(b"while full"))));

    // Far longer than a ping and its time limit: nothing more is read, and the connection is not taken for dead.
    for _ in 0..3 {
        let ping = tokio::time::timeout(Duration::from_secs(5), received.recv())
            .await
            .unwrap();
        assert!(matches!(ping, Some(Message::Ping(_))), "{ping:?}");
    }
    let stats = handle.stats();
    assert!(stats.queue_frames <= 10 + 5, "{stats:?}");
    assert_eq!(
        (stats.stalls, stats.disconnects, stats.connected),
        (1, 0, true)
    );
    assert!(stats.message_bytes < 20 * 6000, "{stats:?}");

    let seen = collect_until(&mut subscription, FRAMES - 1).await;
    assert_eq!(seen, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_byte_bound_alone_pauses_reading() {
    let server = Server::start(|_, tcp| async move {
        let (mut ws, _) = accept(tcp).await;
        for n in 0..5000 {
            if !send(&mut ws, event(n, None) + &" ".repeat(10_000)).await {
                return;
            }
        }
        idle(ws).await;
    })
    .await;
    let mut config = server.config();
    config.queue_bytes_max = 100_000;
    config.batch_bytes_max = 50_000;
    let mut subscription = subscribe(config);
    let handle = subscription.handle();
    while handle.stats().stalls == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stats = handle.stats();
    assert!(stats.queue_bytes < 100_000 + 50_000 + 11_000, "{stats:?}");
    assert!(stats.message_bytes < 250_000, "{stats:?}");
    assert_eq!(collect_until(&mut subscription, 4999).await.len(), 5000);
}

#[tokio::test]
async fn filters_travel_in_the_url_and_can_be_replaced_live() {
    let (sender, mut updates) = mpsc::unbounded_channel();
    let server = Server::start(move |number, tcp| {
        let sender = sender.clone();
        async move {
            let (mut ws, query) = accept(tcp).await;
            if number == 1 {
                // After the reconnect the new filter is in the URL.
                assert_eq!(query.get("wantedCollections"), Some("g.h.*"));
                assert_eq!(query.get("wantedDids"), None);
                send(&mut ws, event(7, None)).await;
                return idle(ws).await;
            }
            assert_eq!(query.get("wantedCollections"), Some("c.d.e"));
            assert_eq!(query.get("wantedDids"), Some("did:plc:a"));
            assert_eq!(query.get("requireHello"), None);
            while let Some(Ok(message)) = ws.next().await {
                if let Message::Text(text) = message {
                    sender.send(text.to_string()).unwrap();
                    return;
                }
            }
        }
    })
    .await;
    let mut config = server.config();
    config.options.wanted_collections = vec!["c.d.e".to_owned()];
    config.options.wanted_dids = vec!["did:plc:a".to_owned()];
    let mut subscription = subscribe(config);
    let Some(Delivery::Connected { .. }) = next(&mut subscription).await else {
        panic!("connect")
    };
    let options = Options {
        wanted_collections: vec!["g.h.*".to_owned()],
        ..Options::default()
    };
    subscription.handle().update_options(options).unwrap();
    assert_eq!(
        updates.recv().await.unwrap(),
        r#"{"type":"options_update","payload":{"wantedCollections":["g.h.*"],"wantedDids":[],"maxMessageSizeBytes":0}}"#
    );
    assert_eq!(collect_until(&mut subscription, 7).await, [7]);
    let refused = Options {
        wanted_collections: vec![String::new()],
        ..Options::default()
    };
    assert!(subscription.handle().update_options(refused).is_err());
}

#[tokio::test]
async fn a_hello_carries_a_filter_of_the_largest_size() {
    let (sender, mut hellos) = mpsc::unbounded_channel();
    let server = Server::start(move |_, tcp| {
        let sender = sender.clone();
        async move {
            let (mut ws, query) = accept(tcp).await;
            assert_eq!(query.get("requireHello"), Some("true"));
            assert_eq!(query.get("wantedDids"), None);
            let Some(Ok(Message::Text(hello))) = ws.next().await else {
                panic!("no hello")
            };
            sender.send(hello.to_string()).unwrap();
            send(&mut ws, event(1, None)).await;
            idle(ws).await;
        }
    })
    .await;
    for dids in [0, 10_000] {
        let mut config = server.config();
        config.require_hello = dids == 0;
        config.options.wanted_dids = (0..dids).map(|n| format!("did:plc:{n:0>900}")).collect();
        let expected = config.options.clone();
        let mut subscription = subscribe(config);
        assert_eq!(collect_until(&mut subscription, 1).await, [1]);
        let hello: serde_json::Value = serde_json::from_str(&hellos.recv().await.unwrap()).unwrap();
        assert_eq!(hello["type"], "options_update");
        assert_eq!(
            hello["payload"]["wantedDids"],
            serde_json::json!(expected.wanted_dids)
        );
    }
}

#[tokio::test]
async fn closing_says_goodbye_and_leaves_what_was_read() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let server = Server::start(move |_, tcp| {
        let sender = sender.clone();
        async move {
            let (mut ws, _) = accept(tcp).await;
            send(&mut ws, event(1, None)).await;
            let last = ws.next().await;
            sender.send(last).unwrap();
        }
    })
    .await;
    // By the handle, then by dropping the subscription.
    for is_by_handle in [true, false] {
        let mut subscription = subscribe(server.config());
        let handle = subscription.handle();
        while handle.stats().frames == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if is_by_handle {
            handle.close();
            let connected = next(&mut subscription).await;
            assert!(matches!(connected, Some(Delivery::Connected { .. })));
            let batch = next(&mut subscription).await;
            assert!(matches!(batch, Some(Delivery::Batch(batch)) if numbers(&batch) == [1]));
            assert!(next(&mut subscription).await.is_none());
        } else {
            drop(subscription);
        }
        let end = ends.recv().await;
        assert!(matches!(end, Some(Some(Ok(Message::Close(_))))), "{end:?}");
        assert!(!handle.stats().connected || is_by_handle);
    }
}

#[test]
fn a_consumer_thread_can_block_for_deliveries() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (mut subscription, _server) = runtime.block_on(async {
        let server = Server::start(|_, tcp| async move {
            let (mut ws, _) = accept(tcp).await;
            for n in 0..100 {
                send(&mut ws, event(n, None)).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            idle(ws).await;
        })
        .await;
        (subscribe(server.config()), server)
    });
    let mut seen = Vec::new();
    while seen.len() < 100 {
        if let Some(Delivery::Batch(batch)) = subscription.next_blocking(runtime.handle()) {
            seen.extend(numbers(&batch));
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

#[test]
fn subscribing_outside_a_runtime_is_an_error() {
    let client = orrery_jetstream::Client::new(orrery_jetstream::Config::new("us-east-1")).unwrap();
    assert!(matches!(
        client.subscribe(),
        Err(orrery_jetstream::Error::NoRuntime)
    ));
}
