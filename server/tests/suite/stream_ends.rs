//! How subscriptions are refused and how they end, and that nobody else notices.

use std::time::{Duration, Instant};

use crate::common::Server;
use crate::common::feed::{Client, LIKE};
use futures_util::{SinkExt, StreamExt};
use orrery_server::{Config, StreamConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

async fn server(stream: StreamConfig) -> Server {
    Server::with(Config {
        stream,
        ..Config::default()
    })
    .await
}

fn tell(server: &Server, count: usize) {
    for _ in 0..count {
        let seq = server.events.len() + 1;
        let record = format!("at://did:plc:a/com.ex.like/{seq}");
        server
            .events
            .create(&record, &[(LIKE, &format!("did:plc:{seq}"))]);
    }
}

/// Checks that a subscriber is told what comes, as if nothing were.
async fn is_well(server: &Server, client: &mut Client) {
    tell(server, 1);
    let last = format!("did:plc:{}", server.events.len());
    while client.subjects(1).await != [&*last] {}
}

#[tokio::test]
async fn what_is_no_subscription_is_refused_by_its_name_before_the_upgrade() {
    let server = server(StreamConfig::default()).await;
    for (query, name) in [
        ("?instant=1", "instant"),
        ("?cursor=yesterday", "cursor"),
        ("?cursor=-1", "cursor"),
        ("?wantedOperations=update", "wantedOperations"),
        ("?wantedOrigins=x", "wantedOrigins"),
        ("?allLinks=1", "allLinks"),
        ("?requireHello=1", "requireHello"),
        ("?wantedSubjects=%ff", "wantedSubjects"),
        (
            &format!("?{}", "wantedSources=a&".repeat(1001)),
            "wantedSources",
        ),
    ] {
        let (status, body) = Client::refused(server.address, query).await;
        assert_eq!((status, &body["error"]), (400, &json!("InvalidRequest")));
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(name), "{query}: {message}");
        let plain = server.get(&format!("/subscribe{query}")).await;
        assert_eq!(plain.error(400, "InvalidRequest"), message);
    }
    let message = server.get("/subscribe").await.error(400, "InvalidRequest");
    assert!(message.contains("websocket"), "{message}");
    let head = server.ask("HEAD", "/subscribe", &[]).await;
    assert_eq!((head.status, &*head.body), (400, ""));
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for left_out in 1..4 {
        let mut headers = upgrade.to_vec();
        headers.remove(left_out);
        let refused = server.ask("GET", "/subscribe", &headers).await;
        refused.error(400, "InvalidRequest");
    }
    let post = server.ask("POST", "/subscribe", &[("content-length", "0")]);
    post.await.error(405, "MethodNotAllowed");
    // The example of RFC 6455, section 1.3.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "GET /subscribe HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2000];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert!(answer.contains("access-control-allow-origin: *"));
}

#[tokio::test]
async fn bad_messages_end_with_a_reason_and_binary_ones_are_passed_over() {
    let server = server(StreamConfig::default()).await;
    let mut witness = Client::open(server.address, "?instant=true").await;
    let update = |list: &str, count: usize| {
        let values = vec!["x"; count];
        json!({"type": "options_update", "payload": {list: values}}).to_string()
    };
    for (text, reason) in [
        ("hello".to_owned(), "options_update"),
        ("{}".into(), "type"),
        (r#"{"type":"x","payload":{}}"#.into(), "unknown variant"),
        (
            r#"{"type":"options_update","payload":{"wantedSubjects":null}}"#.into(),
            "null",
        ),
        (update("wantedSources", 1_001), "wantedSources"),
        (update("wantedSubjectDids", 10_001), "wantedSubjectDids"),
        (
            update("wantedSubjectPrefixes", 101),
            "wantedSubjectPrefixes",
        ),
        (update("wantedSubjects", 50_001), "wantedSubjects"),
    ] {
        let mut client = Client::open(server.address, "?instant=true").await;
        client.send(&text).await;
        let (code, said) = client.end().await.expect("a close frame");
        assert_eq!(code, 1008, "{said}");
        assert!(said.contains(reason) && said.len() <= 123, "{said}");
    }
    let mut full = Client::open(server.address, "?instant=true").await;
    for (list, most) in [
        ("wantedSources", 1_000),
        ("wantedSubjectDids", 10_000),
        ("wantedSubjectPrefixes", 100),
        ("wantedSubjects", 50_000),
    ] {
        full.send(&update(list, most)).await;
    }
    full.wants(json!({})).await;
    let binary = Message::Binary(vec![0; 100].into());
    full.socket.send(binary).await.unwrap();
    let ping = Message::Ping(Bytes::from_static(b"there?"));
    full.socket.send(ping).await.unwrap();
    let pong = Message::Pong(Bytes::from_static(b"there?"));
    while full.socket.next().await.unwrap().unwrap() != pong {}
    is_well(&server, &mut full).await;
    is_well(&server, &mut witness).await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_with_its_code() {
    let config = StreamConfig {
        message_bytes_max: 1 << 20,
        ..StreamConfig::default()
    };
    let server = server(config).await;
    let mut witness = Client::open(server.address, "?instant=true").await;
    // Too large, said at once and in pieces.
    for pieces in [1, 4] {
        let mut client = Client::open(server.address, "").await;
        let piece = Bytes::from(vec![b' '; (1 << 20) / pieces + 1]);
        for n in 0..pieces {
            let kind = if n == 0 { Data::Text } else { Data::Continue };
            let is_last = n + 1 == pieces;
            let frame = Frame::message(piece.clone(), OpCode::Data(kind), is_last);
            // The server may be gone by then.
            let _ = client.socket.send(Message::Frame(frame)).await;
        }
        let (code, said) = client.end().await.expect("a close frame");
        assert_eq!(code, 1009, "{said}");
    }
    let mut client = Client::open(server.address, "").await;
    let bad = Bytes::from_static(b"\xff\xfe");
    let frame = Frame::message(bad, OpCode::Data(Data::Text), true);
    client.socket.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(client.end().await.expect("a close frame").0, 1007);
    // No frames at all: not masked, or with bits that mean nothing.
    for garbage in [&b"\x81\x01x"[..], b"\xf1\x80masked", &[b'G'; 200]] {
        let mut client = Client::open(server.address, "").await;
        let stream = client.socket.get_mut();
        stream.write_all(garbage).await.unwrap();
        assert_eq!(client.end().await.expect("a close frame").0, 1002);
    }
    is_well(&server, &mut witness).await;
}

#[tokio::test]
async fn a_large_message_that_never_ends_is_not_waited_for() {
    let config = StreamConfig {
        message_timeout: Duration::from_millis(300),
        ..StreamConfig::default()
    };
    let server = server(config).await;
    let mut client = Client::open(server.address, "").await;
    let frame = Frame::message(vec![b' '; 100 << 10], OpCode::Data(Data::Text), false);
    client.socket.send(Message::Frame(frame)).await.unwrap();
    let (code, said) = client.end().await.expect("a close frame");
    assert_eq!(
        (code, said.contains("longer than 0.3 s")),
        (1008, true),
        "{said}"
    );
    // Nor one of parts without anything in them.
    let config = StreamConfig {
        message_bytes_max: 64 << 10,
        ..StreamConfig::default()
    };
    let server = self::server(config).await;
    let mut client = Client::open(server.address, "").await;
    for n in 0..100_000 {
        let kind = if n == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(Bytes::new(), OpCode::Data(kind), false);
        if client.socket.feed(Message::Frame(frame)).await.is_err() {
            break;
        }
    }
    let _ = client.socket.flush().await;
    let (code, said) = client.end().await.expect("a close frame");
    assert_eq!(code, 1009, "{said}");
}

#[tokio::test]
async fn a_ping_comes_at_once_and_who_does_not_answer_the_last_one_is_gone() {
    let server = server(StreamConfig::default()).await;
    let mut client = Client::open(server.address, "?instant=true").await;
    // The next one would come after 30 s.
    let first = tokio::time::timeout(Duration::from_secs(25), client.socket.next());
    match first.await.expect("a ping at once").unwrap().unwrap() {
        Message::Ping(bytes) => assert_eq!(bytes.len(), 8),
        other => panic!("{other:?}"),
    }
    let config = StreamConfig {
        ping_interval: Duration::from_secs(2),
        ..StreamConfig::default()
    };
    let server = self::server(config).await;
    let mut silent = Client::open(server.address, "?instant=true").await;
    // One that answers what nobody asked, and what was asked.
    let mut odd = Client::open(server.address, "?instant=true").await;
    let pong = Message::Pong(Bytes::from_static(b"unasked"));
    odd.socket.send(pong).await.unwrap();
    // Not polled, the client answers nothing.
    odd.quiet(Duration::from_secs(5)).await;
    let (code, said) = silent.end().await.expect("a close frame");
    assert_eq!((code, said.contains("ping")), (1008, true), "{said}");
    is_well(&server, &mut odd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_dropped_with_a_reason_and_nobody_else_notices() {
    let config = StreamConfig {
        queue_frames: 1000,
        ..StreamConfig::default()
    };
    let server = server(config).await;
    let mut slow = Client::open(server.address, "?instant=true").await;
    let mut witness = Client::open(server.address, "?instant=true").await;
    let mut slowest = Duration::ZERO;
    // The system's own buffers take some millions of bytes before the queue fills.
    for _ in 0..400 {
        let started = Instant::now();
        tell(&server, 100);
        let last = server.events.len();
        let told = witness.subjects(100).await;
        assert_eq!(told[99], format!("did:plc:{last}"));
        slowest = slowest.max(started.elapsed());
    }
    // Waiting for the slow one would take as long as it may be slow.
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");
    let mut expected = 1;
    let end = loop {
        match slow.next().await {
            Ok(text) => {
                assert!(text.contains(&format!("\"did:plc:{expected}\"")), "{text}");
                expected += 1;
            }
            Err(end) => break end,
        }
    };
    let (code, said) = end.expect("a close frame");
    assert_eq!((code, said.contains("too slow")), (1013, true), "{said}");
    assert!(expected < server.events.len());
}

#[tokio::test]
async fn places_are_bounded_are_none_of_http_and_are_given_back() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = free.local_addr().unwrap();
    drop(free);
    let config = Config {
        connections_max: 2,
        metrics: Some(metrics),
        stream: StreamConfig {
            subscribers_max: 20,
            ..StreamConfig::default()
        },
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(server.address, "?instant=true").await);
    }
    let (status, body) = Client::refused(server.address, "").await;
    assert_eq!((status, &body["error"]), (503, &json!("ServerOverloaded")));
    assert_eq!(server.get("/_health").await.status, 200);
    let ask = async || {
        let head = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        crate::common::exchange(metrics, head).await.body
    };
    tell(&server, 1);
    for client in &mut clients {
        client.subjects(1).await;
    }
    let page = ask().await;
    for line in [
        "orrery_stream_subscribers{stream=\"instant\"} 20",
        "orrery_stream_subscribers{stream=\"delayed\"} 0",
        "orrery_stream_behind_events{stream=\"instant\"} 0",
        "orrery_stream_frames_total 20",
        "orrery_stream_filter_entries 20",
        "orrery_http_requests_total{route=\"/subscribe\",status=\"101\"} 20",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} in {page}");
    }
    for (n, mut client) in clients.into_iter().enumerate() {
        match n % 2 {
            0 => drop(client),
            _ => _ = client.socket.close(None).await,
        }
    }
    let until = Instant::now() + Duration::from_secs(30);
    let page = loop {
        let page = ask().await;
        if page.contains("orrery_stream_subscribers{stream=\"instant\"} 0")
            && page.contains("orrery_stream_filter_entries 0")
        {
            break page;
        }
        assert!(Instant::now() < until, "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        page.contains("orrery_stream_ended_total{reason=\"peer\"} 10"),
        "{page}"
    );
    assert!(
        page.contains("orrery_stream_ended_total{reason=\"gone\"} 10"),
        "{page}"
    );
    Client::open(server.address, "").await;
}

#[tokio::test]
async fn filters_of_all_subscribers_are_bounded() {
    let server = server(StreamConfig::default()).await;
    let mut clients = Vec::new();
    let end = loop {
        let mut client = Client::open(server.address, "?instant=true").await;
        let subjects: Vec<String> = (0..50_000)
            .map(|n| format!("{}.{n}", clients.len()))
            .collect();
        client.wants(json!({"wantedSubjects": subjects})).await;
        let ping = Message::Ping(Bytes::from_static(b"there?"));
        let _ = client.socket.send(ping).await;
        let end = loop {
            match client.socket.next().await {
                Some(Ok(Message::Pong(_))) => break None,
                Some(Ok(Message::Close(frame))) => break frame,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        clients.push(client);
        if let Some(frame) = end {
            break frame;
        }
        assert!(clients.len() < 30);
    };
    assert_eq!(u16::from(end.code), 1013, "{end:?}");
    assert!(clients.len() > 15);
    // Those who were there before are told what they want.
    let record = "at://did:plc:a/com.ex.like/1";
    server.events.create(record, &[(LIKE, "3.49999")]);
    assert_eq!(clients[3].subjects(1).await, ["3.49999"]);
}

#[tokio::test]
async fn a_panic_closes_those_who_listen_and_others_are_told_again() {
    let server = server(StreamConfig::default()).await;
    let mut client = Client::open(server.address, "?instant=true").await;
    is_well(&server, &mut client).await;
    server.events.panic_at(server.events.len() + 1);
    tell(&server, 1);
    let (code, said) = client.end().await.expect("a close frame");
    assert_eq!(code, 1011, "{said}");
    let mut client = Client::open(server.address, "?instant=true").await;
    is_well(&server, &mut client).await;
}

#[tokio::test]
async fn a_client_address_behind_a_proxy_has_so_many_places() {
    let config = Config {
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        stream: StreamConfig {
            subscribers_per_address: 2,
            ..StreamConfig::default()
        },
        ..Config::default()
    };
    let server = Server::with(config).await;
    let open = async |client: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "GET /subscribe HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-forwarded-for: {client}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        (stream, String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let mut streams = Vec::new();
    for (client, expected) in [
        ("192.0.2.1", "101"),
        ("192.0.2.1", "101"),
        ("192.0.2.1", "503"),
        ("192.0.2.2", "101"),
        ("127.0.0.1", "101"),
        ("127.0.0.1", "101"),
        ("127.0.0.1", "101"),
    ] {
        let (stream, status) = open(client).await;
        assert_eq!(status, expected, "{client}");
        streams.push(stream);
    }
    streams.clear();
    let until = Instant::now() + Duration::from_secs(30);
    while open("192.0.2.1").await.1 != "101" {
        assert!(Instant::now() < until, "no place");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn shutdown_tells_everybody() {
    let mut server = server(StreamConfig::default()).await;
    let mut clients = Vec::new();
    for query in ["?instant=true", "", "?requireHello=true", "?cursor=70000"] {
        clients.push(Client::open(server.address, query).await);
    }
    // One that reads nothing does not hold it up for long.
    let _silent = Client::open(server.address, "").await;
    let started = Instant::now();
    server.stop();
    for mut client in clients {
        let (code, said) = client.end().await.expect("a close frame");
        assert_eq!((code, said.is_empty()), (1001, false));
    }
    server.ended().await;
    assert!(started.elapsed() < Duration::from_secs(8));
}
