//! The server, talked to by a real websocket client over a loopback socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic; clippy sees no test in helpers of an integration test"
)]

use std::path::PathBuf;
use std::time::Duration;

use orrery_synth::{Config, Error, Faults, Generator, Handle, Options, Pace, Source, Stamp, serve};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use futures_util::{SinkExt, StreamExt};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn start(config: Config) -> Handle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, config).unwrap()
}

fn finite(events: u64) -> Config {
    Config {
        close_at_end: true,
        ..Config::new(Source::Generator(Options::finite(1, events)))
    }
}

fn expected(events: u64) -> Vec<String> {
    Generator::new(Options::finite(1, events))
        .unwrap()
        .map(|line| String::from_utf8(line).unwrap())
        .collect()
}

async fn connect(server: &Handle, query: &str) -> Client {
    connect_async(format!("{}?{query}", server.url()))
        .await
        .unwrap()
        .0
}

/// The HTTP status and body of a refused handshake.
async fn refused(server: &Handle, query: &str) -> (u16, String) {
    match connect_async(format!("{}{query}", server.url())).await {
        Err(WsError::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("a refusal was expected: {other:?}"),
    }
}

/// Text events until the connection ends, and the close code if there was one.
async fn drain(client: &mut Client) -> (Vec<String>, Option<CloseCode>) {
    let mut lines = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), client.next())
            .await
            .expect("the server went silent")
        {
            Some(Ok(Message::Text(text))) => lines.push(text.to_string()),
            Some(Ok(Message::Close(frame))) => return (lines, frame.map(|frame| frame.code)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (lines, None),
        }
    }
}

async fn next_text(client: &mut Client) -> String {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), client.next())
            .await
            .expect("the server went silent")
        {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(_)) => {}
            other => panic!("an event was expected: {other:?}"),
        }
    }
}

/// Equality that names the first difference instead of printing thousands of lines.
#[track_caller]
fn assert_lines(found: &[String], expected: &[String]) {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(
        at.map(|at| (&found[at], &expected[at])),
        None,
        "at line {at:?}"
    );
    assert_eq!(found.len(), expected.len());
}

fn time_us(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["time_us"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn a_stream_is_served_whole_and_closed_at_its_end() {
    let server = start(finite(3000)).await;
    let (lines, code) = drain(&mut connect(&server, "").await).await;
    assert_lines(&lines, &expected(3000));
    assert_eq!(code, Some(CloseCode::Normal));
    assert_eq!(server.stats().events_sent, 3000);
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_is_inclusive_and_one_in_the_future_is_the_tip() {
    let lines = expected(2000);
    for kept in [usize::MAX, 100_000] {
        // With little history most positions must be made again from the seed.
        let server = start(Config {
            history_bytes_max: kept,
            ..finite(2000)
        })
        .await;
        for at in [0, 1, 700, 1999] {
            let at_us = time_us(&lines[at]);
            let from = lines
                .iter()
                .position(|line| time_us(line) >= at_us)
                .unwrap();
            let (found, _) = drain(&mut connect(&server, &format!("cursor={at_us}")).await).await;
            assert_eq!(found.len(), 2000 - from, "from {at}, {kept} bytes kept");
            assert_lines(&found, &lines[from..]);
            let (found, _) =
                drain(&mut connect(&server, &format!("cursor={}", at_us + 1)).await).await;
            let after = lines.iter().filter(|line| time_us(line) > at_us).count();
            assert_eq!(found.len(), after);
        }
        let (found, code) = drain(&mut connect(&server, "cursor=4000000000000000").await).await;
        assert_eq!((found.len(), code), (0, Some(CloseCode::Normal)));
        let (found, _) = drain(&mut connect(&server, "cursor=1000000000000000").await).await;
        assert_eq!(
            found.len(),
            2000,
            "a cursor before the stream gives all of it"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn drops_and_refusals_lose_nothing_for_a_client_that_resumes() {
    let faults = Faults {
        seed: 11,
        drop_after_events: Some(1..=400),
        drops_max: Some(20),
        refuse_share: 0.3,
        refusals_max: Some(10),
    };
    let server = start(Config {
        faults,
        history_bytes_max: 200_000,
        ..finite(5000)
    })
    .await;
    let mut lines: Vec<String> = Vec::new();
    let mut refusals = 0;
    loop {
        let cursor = lines
            .last()
            .map_or(1_000_000_000_000_000, |line| time_us(line));
        let mut client = match connect_async(format!("{}?cursor={cursor}", server.url())).await {
            Ok((client, _)) => client,
            Err(WsError::Http(response)) => {
                assert_eq!(response.status().as_u16(), 503);
                refusals += 1;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let (more, code) = drain(&mut client).await;
        // Inclusive: what shares the cursor's instant comes again.
        let known: Vec<String> = lines
            .iter()
            .rev()
            .take_while(|line| time_us(line) == cursor)
            .cloned()
            .collect();
        lines.extend(more.into_iter().filter(|line| !known.contains(line)));
        if code == Some(CloseCode::Normal) {
            break;
        }
    }
    assert_lines(&lines, &expected(5000));
    let stats = server.stats();
    assert_eq!(stats.refusals, refusals);
    assert!(stats.drops >= 10 && refusals >= 2, "{stats:?}");
    assert_eq!(stats.connections, stats.drops + refusals + 1);
    server.stop().await;
}

/// The Jetstream v1 dictionary, from the shared reference data.
fn dictionary() -> Option<Vec<u8>> {
    let root = std::env::var_os("ORRERY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("data/zstd-dict/jetstream-v1.zdict");
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    bytes
}

#[tokio::test]
async fn compressed_messages_are_frames_of_the_dictionary() {
    let Some(dictionary) = dictionary() else {
        return;
    };
    let server = start(Config {
        dictionary: Some(dictionary.clone().into()),
        ..finite(500)
    })
    .await;
    let mut client = connect(&server, "compress=true").await;
    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(&dictionary).unwrap();
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while let Some(Ok(message)) = client.next().await {
        if let Message::Binary(frame) = message {
            // Magic, then a descriptor that says: dictionary id of four bytes.
            assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
            assert_eq!(frame[4] & 3, 3, "a dictionary id is in the header");
            bytes += frame.len();
            let line = decompressor.decompress(&frame, 1 << 20).unwrap();
            lines.push(String::from_utf8(line).unwrap());
        }
    }
    assert_lines(&lines, &expected(500));
    let plain: usize = lines.iter().map(String::len).sum();
    assert!(bytes * 2 < plain, "{bytes} of {plain}");
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_are_named() {
    let server = start(finite(10)).await;
    for (query, status, name) in [
        ("?cursor=abc", 400, "cursor"),
        ("?wantedCollections=nope", 400, "wantedCollections"),
        ("?wantedDids=nope", 400, "wantedDids"),
        ("?compress=true", 400, "compress"),
        ("/elsewhere", 404, "/subscribe/elsewhere"),
    ] {
        let (found, body) = refused(&server, query).await;
        assert_eq!(found, status, "{query}");
        assert!(body.contains(name), "{query}: {body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn filters_choose_and_can_be_replaced() {
    let server = start(finite(5000)).await;
    let lines = expected(5000);
    let wanted = |collection: &str| {
        let is_wanted = |line: &&String| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["commit"]["collection"].as_str().is_none_or(|found| {
                found == collection || collection.ends_with('.') && found.starts_with(collection)
            })
        };
        lines.iter().filter(is_wanted).cloned().collect::<Vec<_>>()
    };
    let oldest = "cursor=1000000000000000";
    let (found, _) = drain(
        &mut connect(
            &server,
            &format!("{oldest}&wantedCollections=app.bsky.graph.*"),
        )
        .await,
    )
    .await;
    assert_lines(&found, &wanted("app.bsky.graph."));
    let did = serde_json::from_str::<Value>(&lines[42]).unwrap()["did"]
        .as_str()
        .unwrap()
        .to_owned();
    let (found, _) =
        drain(&mut connect(&server, &format!("{oldest}&wantedDids={did}")).await).await;
    assert!(found.contains(&lines[42]));
    assert!(
        found
            .iter()
            .all(|line| line.starts_with(&format!("{{\"did\":\"{did}\"")))
    );

    let mut client = connect(&server, &format!("{oldest}&requireHello=true")).await;
    let early = tokio::time::timeout(Duration::from_millis(100), client.next()).await;
    assert!(early.is_err(), "nothing before the hello: {early:?}");
    let hello =
        r#"{"type":"options_update","payload":{"wantedCollections":["app.bsky.feed.post"]}}"#;
    client.send(Message::text(hello)).await.unwrap();
    assert_lines(&drain(&mut client).await.0, &wanted("app.bsky.feed.post"));

    for (text, code) in [
        ("{", CloseCode::Invalid),
        (
            r#"{"type":"options_update","payload":{"wantedDids":["x"]}}"#,
            CloseCode::Policy,
        ),
    ] {
        let mut client = connect(&server, "requireHello=true").await;
        client.send(Message::text(text)).await.unwrap();
        assert_eq!(drain(&mut client).await.1, Some(code));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_paced_feed_stamped_by_the_wall_clock_is_live() {
    let now_us = || std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    let server = start(Config {
        pace: Pace::EventsPerSecond(2000.0),
        stamp: Stamp::WallClock,
        ping_interval: Duration::from_millis(50),
        ..Config::new(Source::Generator(Options {
            actors: 1000,
            ..Options::default()
        }))
    })
    .await;
    let begin_us = now_us();
    let mut client = connect(&server, "").await;
    let mut lines = Vec::new();
    for _ in 0..600 {
        lines.push(next_text(&mut client).await);
    }
    let elapsed_us = now_us() - begin_us;
    assert!(
        elapsed_us > 200_000,
        "600 events at 2,000 a second came in {elapsed_us} us"
    );
    assert!(lines.is_sorted_by_key(|line| time_us(line)));
    assert!(time_us(&lines[0]) >= begin_us - 1_000_000 && time_us(&lines[599]) <= now_us());
    // Replay of what is kept, by the new stamps.
    let cursor = time_us(&lines[300]);
    let first = next_text(&mut connect(&server, &format!("cursor={cursor}")).await).await;
    assert_eq!(time_us(&first), cursor);
    assert_eq!(
        first,
        *lines.iter().find(|line| time_us(line) == cursor).unwrap()
    );
    let mut late = connect(&server, "cursor=4000000000000000").await;
    assert!(
        time_us(&next_text(&mut late).await) > time_us(&lines[599]),
        "a cursor in the future is live"
    );
    // All but the stamp is the generator's.
    let plain: Vec<Vec<u8>> = Generator::new(Options {
        actors: 1000,
        ..Options::default()
    })
    .unwrap()
    .take(5000)
    .collect();
    let unstamped = |text: &str| {
        let mut event: Value = serde_json::from_str(text).unwrap();
        event["time_us"] = 0.into();
        event
    };
    let mut source = plain
        .iter()
        .map(|line| unstamped(std::str::from_utf8(line).unwrap()));
    let begins = unstamped(&lines[0]);
    assert!(source.any(|event| event == begins));
    assert!(
        lines[1..]
            .iter()
            .all(|line| source.next().unwrap() == unstamped(line))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_quiet_connection_is_pinged_and_stop_closes_it_with_1001() {
    let server = start(Config {
        ping_interval: Duration::from_millis(30),
        ..Config::new(Source::Generator(Options::finite(1, 5)))
    })
    .await;
    let mut client = connect(&server, "").await;
    let (mut events, mut pings) = (0, 0);
    while pings < 3 {
        match client.next().await.unwrap().unwrap() {
            Message::Text(_) => events += 1,
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events, 5, "the stream ended and the connection stayed");
    let (stopped, closed) = tokio::join!(server.stop(), drain(&mut client));
    assert_eq!((stopped, closed.1), ((), Some(CloseCode::Away)));
}

#[tokio::test]
async fn lines_of_a_capture_are_served_as_they_are() {
    let text = expected(100).join("\n") + "\n\r\n";
    let server = start(Config {
        close_at_end: true,
        ..Config::new(Source::from_text(text.as_bytes()))
    })
    .await;
    assert_eq!(drain(&mut connect(&server, "").await).await.0.len(), 100);
    let address = server.address();
    server.stop().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "a stopped server does not listen"
    );

    let error = |text: &[u8]| {
        let config = Config::new(Source::from_text(text));
        async move { serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap_err() }
    };
    let found = error(b"{\"time_us\":5}\n{\"time_us\":\"x\"}").await;
    assert!(
        matches!(found, Error::Line { line_number: 2, .. }),
        "{found}"
    );
    let found = error(b"{\"time_us\":5}\n{\"time_us\":4}").await;
    assert!(
        found.to_string().contains("line 2") && found.to_string().contains("time_us"),
        "{found}"
    );
}

#[tokio::test]
async fn a_bad_dictionary_or_option_is_refused_at_the_start() {
    let bad = |config: Config| async move {
        serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap_err()
    };
    let found = bad(Config {
        dictionary: Some("words".into()),
        ..finite(1)
    })
    .await;
    assert!(matches!(found, Error::Dictionary(_)), "{found}");
    let found = bad(Config {
        pace: Pace::EventsPerSecond(f64::NAN),
        ..finite(1)
    })
    .await;
    assert!(found.to_string().contains("pace"), "{found}");
    let faults = Faults {
        refuse_share: 2.0,
        ..Faults::default()
    };
    let found = bad(Config {
        faults,
        ..finite(1)
    })
    .await;
    assert!(found.to_string().contains("refuse_share"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_clients_of_one_feed_each_get_everything() {
    let server = start(Config {
        history_bytes_max: 300_000,
        ..finite(8000)
    })
    .await;
    let lines = expected(8000);
    let mut clients = Vec::new();
    for delay_ms in [0, 5, 30] {
        let url = format!("{}?cursor=1000000000000000", server.url());
        clients.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            drain(&mut connect_async(url).await.unwrap().0).await.0
        }));
    }
    for client in clients {
        assert_lines(&client.await.unwrap(), &lines);
    }
    server.stop().await;
}
