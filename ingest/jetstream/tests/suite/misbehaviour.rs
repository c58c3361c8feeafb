//! Servers that misbehave, each in one way, and what the client makes of it.
use std::time::{Duration, Instant};

use crate::common::*;
use futures_util::SinkExt as _;
use orrery_jetstream::{Cursor, Delivery, Error, Malformed};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Starts a server that misbehaves on its first connection and works on the second; returns how the first ended.
async fn first_error<F, R>(script: F) -> Error
where
    F: Fn(Ws) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let script = std::sync::Arc::new(script);
    let server = Server::start(move |number, tcp| {
        let script = std::sync::Arc::clone(&script);
        async move {
            let (mut ws, _) = accept(tcp).await;
            if number == 0 {
                script(ws).await;
            } else {
                send(&mut ws, event(1, None)).await;
                idle(ws).await;
            }
        }
    })
    .await;
    let mut config = server.config();
    config.ping_after = Duration::from_millis(50);
    config.pong_timeout = Duration::from_millis(100);
    config.message_bytes_max = 10_000;
    let mut subscription = subscribe(config);
    let error = next_error(&mut subscription).await;
    assert_eq!(
        collect_until(&mut subscription, 1).await,
        [1],
        "no recovery from {error}"
    );
    error
}

#[tokio::test]
async fn close_codes_and_reasons_are_reported() {
    for (code, reason) in [
        (1001, "shutdown"),
        (1008, "bad options"),
        (1013, ""),
        (4000, "odd"),
    ] {
        let error = first_error(move |mut ws| async move {
            let frame = CloseFrame {
                code: code.into(),
                reason: reason.into(),
            };
            ws.close(Some(frame)).await.unwrap();
            idle(ws).await;
        })
        .await;
        let Error::Closed {
            code: Some(seen),
            reason: text,
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*seen, text.as_str()), (code, reason));
    }
    let error = first_error(|mut ws| async move { ws.close(None).await.unwrap() }).await;
    assert!(matches!(error, Error::Closed { code: None, .. }), "{error}");
}

#[tokio::test]
async fn cut_connections_are_resets() {
    let error = first_error(|ws| async move { drop(ws) }).await;
    assert!(matches!(error, Error::Reset { .. }), "{error}");
    // Half a frame: 4,096 bytes announced, five sent.
    let error = first_error(|mut ws| async move {
        ws.get_mut()
            .write_all(&[0x81, 0x7e, 0x10, 0x00, b'{', b'"', b'd', b'i', b'd'])
            .await
            .unwrap();
    })
    .await;
    assert!(matches!(error, Error::Reset { .. }), "{error}");
    // With data unread on the other side, closing sends a TCP reset.
    let error = first_error(|mut ws| async move {
        ws.send(Message::Ping("x".into())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    })
    .await;
    assert!(matches!(error, Error::Reset { .. }), "{error}");
}

#[tokio::test]
async fn broken_framing_is_a_protocol_error() {
    for bytes in [
        &[0xf1u8, 0x00][..],
        &[0x83, 0x00],
        &[0x81, 0x80, 1, 2, 3, 4],
        &[0x80, 0x01, b'x'],
    ] {
        let error = first_error(move |mut ws| async move {
            ws.get_mut().write_all(bytes).await.unwrap();
            idle(ws).await;
        })
        .await;
        assert!(
            matches!(error, Error::Protocol { .. }),
            "{bytes:?}: {error}"
        );
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_named() {
    let error = first_error(|mut ws| async move {
        ws.get_mut()
            .write_all(&[0x81, 0x02, 0xff, 0xfe])
            .await
            .unwrap();
        idle(ws).await;
    })
    .await;
    assert!(matches!(error, Error::InvalidUtf8), "{error}");
}

#[tokio::test]
async fn an_oversized_message_is_named() {
    let error = first_error(|mut ws| async move {
        send(&mut ws, " ".repeat(10_001)).await;
        idle(ws).await;
    })
    .await;
    let Error::Oversized { bytes, bytes_max } = error else {
        panic!("{error}")
    };
    assert_eq!((bytes, bytes_max), (10_001, 10_000));
}

#[tokio::test]
async fn a_server_that_never_pongs_is_given_up() {
    let error = first_error(|ws| async move {
        // The socket stays open and nobody reads it.
        let _open = ws;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(error, Error::PingTimeout { .. }), "{error}");
}

#[tokio::test]
async fn a_foreign_dictionary_falls_back_to_text() {
    let server = Server::start(|number, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        if number == 0 {
            assert_eq!(query.get("compress"), Some("true"));
            let mut message = pack(&[b' '; 300]);
            message[5..9].copy_from_slice(&20_260_811u32.to_le_bytes());
            ws.send(Message::binary(message)).await.unwrap();
        } else {
            assert_eq!(query.get("compress"), None);
            send(&mut ws, event(1, None)).await;
        }
        idle(ws).await;
    })
    .await;
    let mut config = server.config();
    config.compress = true;
    let mut subscription = subscribe(config);
    let error = next_error(&mut subscription).await;
    assert!(
        matches!(error, Error::UnknownDictionary { id: 20_260_811 }),
        "{error}"
    );
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
}

#[tokio::test]
async fn bombs_and_bad_zstd_are_dropped_without_a_reconnect() {
    let server = Server::start(|_, tcp| async move {
        let (mut ws, _) = accept(tcp).await;
        for n in 0..100 {
            send(&mut ws, event(n, None)).await;
            let message = match n % 4 {
                0 => pack(&vec![b' '; 50_000_000]),
                1 => b"\x28\xb5\x2f\xfd and then nonsense".to_vec(),
                2 => Vec::new(),
                _ => pack(&[0xff]),
            };
            ws.send(Message::binary(message)).await.unwrap();
        }
        send(&mut ws, event(100, None)).await;
        idle(ws).await;
    })
    .await;
    let mut config = server.config();
    config.message_bytes_max = 1 << 20;
    let mut subscription = subscribe(config);
    let seen = collect_until(&mut subscription, 100).await;
    assert_eq!(seen, (0..=100).collect::<Vec<_>>());
    let stats = subscription.handle().stats();
    assert_eq!(
        (
            stats.bombs,
            stats.bad_zstd,
            stats.bad_utf8,
            stats.disconnects
        ),
        (25, 50, 25, 0)
    );
}

#[tokio::test]
async fn malformed_events_are_delivered_for_counting_and_never_fatal() {
    let server = Server::start(|_, tcp| async move {
        let (mut ws, _) = accept(tcp).await;
        for text in [
            "",
            "{",
            "[]",
            r#"{"did":"d","time_us":1,"kind":"sync"}"#,
            "\u{0}",
        ] {
            send(&mut ws, text).await;
        }
        send(&mut ws, event(1, None)).await;
        idle(ws).await;
    })
    .await;
    let mut subscription = subscribe(server.config());
    let handle = subscription.handle();
    let mut good = 0;
    while good == 0 {
        if let Some(Delivery::Batch(batch)) = next(&mut subscription).await {
            for event in batch.events() {
                match event {
                    Ok(event) => good = number(&event),
                    Err(reason) => handle.count_malformed(reason),
                }
            }
        }
    }
    let stats = handle.stats();
    assert_eq!(stats.malformed(Malformed::BadJson), 3);
    assert_eq!(stats.malformed(Malformed::NotObject), 1);
    assert_eq!(stats.malformed(Malformed::UnknownKind), 1);
    assert_eq!(
        (stats.malformed.iter().sum::<u64>(), stats.disconnects),
        (5, 0)
    );
}

#[tokio::test]
async fn a_bad_request_is_fatal_and_carries_the_explanation() {
    let server = Server::start(|_, tcp| async move {
        refuse(
            tcp,
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\nwrong cursor",
        )
        .await;
    })
    .await;
    let mut subscription = subscribe(server.config());
    let failed = next(&mut subscription).await;
    let Some(Delivery::Failed(Error::BadRequest { body })) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(body, "wrong cursor");
    assert!(next(&mut subscription).await.is_none());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_wrong_address_is_fatal_only_before_the_first_success() {
    let not_found = "HTTP/1.1 404 Not Found\r\n\r\nno such page";
    let server = Server::start(move |_, tcp| refuse(tcp, not_found)).await;
    let mut subscription = subscribe(server.config());
    let failed = next(&mut subscription).await;
    assert!(matches!(
        failed,
        Some(Delivery::Failed(Error::Refused { status: 404, .. }))
    ));

    let server = Server::start(move |number, tcp| async move {
        match number {
            0 => drop(accept(tcp).await),
            1 | 2 => refuse(tcp, not_found).await,
            _ => {
                let (mut ws, _) = accept(tcp).await;
                send(&mut ws, event(1, None)).await;
                idle(ws).await;
            }
        }
    })
    .await;
    let mut subscription = subscribe(server.config());
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
}

#[tokio::test]
async fn busy_answers_are_retried_no_sooner_than_asked() {
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let server = Server::start(move |number, tcp| async move {
            if number == 0 {
                let response = format!("HTTP/1.1 {status}\r\nRetry-After: 1\r\n\r\nwarming up");
                refuse(tcp, &response).await;
            } else {
                let (mut ws, _) = accept(tcp).await;
                send(&mut ws, event(1, None)).await;
                idle(ws).await;
            }
        })
        .await;
        let start = Instant::now();
        let mut subscription = subscribe(server.config());
        let error = next_error(&mut subscription).await;
        let Error::Refused {
            retry_after, body, ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(
            (retry_after, body.as_str()),
            (Some(Duration::from_secs(1)), "warming up")
        );
        assert_eq!(collect_until(&mut subscription, 1).await, [1]);
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn answers_that_are_no_upgrade_are_retried_and_named() {
    let responses = [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    ];
    let server = Server::start(move |number, tcp| async move {
        match responses.get(number) {
            Some(response) => refuse(tcp, response).await,
            None => {
                let (mut ws, _) = accept(tcp).await;
                send(&mut ws, event(1, None)).await;
                idle(ws).await;
            }
        }
    })
    .await;
    let mut subscription = subscribe(server.config());
    for response in responses {
        let error = next_error(&mut subscription).await;
        assert!(
            matches!(error, Error::BadUpgrade { .. }),
            "{response:?}: {error}"
        );
    }
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_upgrade_times_out() {
    let server = Server::start(|_, tcp| async move {
        let _open = tcp;
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = server.config();
    config.connect_timeout = Duration::from_millis(100);
    let mut subscription = subscribe(config);
    let error = next_error(&mut subscription).await;
    assert!(matches!(error, Error::ConnectTimeout { .. }), "{error}");
}

#[tokio::test]
async fn no_tls_no_name_and_no_listener_are_told_apart() {
    let server = Server::start(|_, tcp| refuse(tcp, "HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let mut config = server.config();
    config.endpoints = vec![format!("wss://{}", server.address)];
    config.connect_timeout = Duration::from_millis(500);
    // The server reads up to an empty line, which a TLS hello lacks, so a cut or a timeout ends it.
    let error = next_error(&mut subscribe(config.clone())).await;
    assert!(
        matches!(error, Error::Tls { .. } | Error::ConnectTimeout { .. }),
        "{error}"
    );

    let plain = Server::start(|_, mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
    config.endpoints = vec![format!("wss://{}", plain.address)];
    let error = next_error(&mut subscribe(config.clone())).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");

    // RFC 6761 reserves the name to never resolve.
    config.endpoints = vec!["ws://nothing.invalid".to_owned()];
    config.connect_timeout = Duration::from_secs(9);
    let error = next_error(&mut subscribe(config.clone())).await;
    assert!(matches!(error, Error::Resolve { .. }), "{error}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    config.endpoints = vec![format!("ws://{address}")];
    let error = next_error(&mut subscribe(config)).await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[tokio::test]
async fn endless_immediate_closes_are_recognised_and_retried() {
    let server = Server::start(|number, tcp| async move {
        let (mut ws, _) = accept(tcp).await;
        if number >= 6 {
            send(&mut ws, event(1, None)).await;
            idle(ws).await;
        }
    })
    .await;
    let mut subscription = subscribe(server.config());
    let mut times = Vec::new();
    for _ in 0..6 {
        match next_error(&mut subscription).await {
            Error::EndedAtOnce { times: count, last } => {
                assert!(matches!(*last, Error::Reset { .. }));
                times.push(count);
            }
            Error::Reset { .. } => times.push(0),
            other => panic!("{other}"),
        }
    }
    assert_eq!(times, [0, 0, 3, 4, 5, 6]);
    assert_eq!(collect_until(&mut subscription, 1).await, [1]);
}

/// A server with one message over the limit, which leaves it out when asked to, or never does.
async fn poisoned_server(obeys: bool, has_seq: bool) -> Server {
    Server::start(move |_, tcp| async move {
        let (mut ws, query) = accept(tcp).await;
        let start = query.cursor().map_or(0, |cursor| {
            if has_seq {
                cursor
            } else {
                cursor.saturating_sub(T0).div_ceil(1000)
            }
        });
        let skips = obeys && query.get("maxMessageSizeBytes") == Some("10000");
        for n in start..200 {
            let seq = has_seq.then_some(n);
            let padding = if n == 57 { 20_000 } else { 0 };
            if padding > 0 && skips {
                continue;
            }
            if !send(&mut ws, event(n, seq) + &" ".repeat(padding)).await {
                return;
            }
        }
        idle(ws).await;
    })
    .await
}

#[tokio::test]
async fn a_message_over_the_limit_never_loops() {
    for (obeys, has_seq) in [(true, true), (true, false), (false, true), (false, false)] {
        let server = poisoned_server(obeys, has_seq).await;
        let mut config = server.config();
        config.message_bytes_max = 10_000;
        config.cursor = Some(if has_seq {
            Cursor::Seq(0)
        } else {
            Cursor::TimeUs(T0)
        });
        let mut subscription = subscribe(config);
        let mut seen = collect_until(&mut subscription, 199).await;
        seen.sort_unstable();
        seen.dedup();
        let missing: Vec<_> = (0..200).filter(|n| !seen.contains(n)).collect();
        assert_eq!(missing, [57], "obeys {obeys}, seq {has_seq}");
        let stats = subscription.handle().stats();
        assert!(
            stats.oversized >= 1 && server.connections() <= 5,
            "{stats:?}"
        );
        assert_eq!(stats.skips > 0, !obeys, "{stats:?}");
    }
}

/// Answers with the status that the path begins with, or closes with that reason, and says what was asked for.
async fn echo(mut tcp: TcpStream) {
    let mut asked = [0; 4096];
    let length = tcp.peek(&mut asked).await.unwrap();
    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
    let path = asked.split(' ').nth(1).unwrap();
    let said = format!("there is no {path}");
    let status = path.split('/').nth(1).unwrap();
    if status != "close" {
        let length = said.len();
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: {length}\r\n\r\n{said}");
        tcp.write_all(answer.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        return;
    }
    let mut ws = tokio_tungstenite::accept_async(tcp).await.unwrap();
    let frame = CloseFrame {
        code: 1008.into(),
        reason: said.into(),
    };
    let _ = ws.close(Some(frame)).await;
    idle(ws).await;
}

#[tokio::test]
async fn what_a_server_says_of_its_url_is_told_without_its_secrets() {
    let server = Server::start(|_, tcp| echo(tcp)).await;
    for asked in ["400", "401", "404", "429", "500", "200", "close"] {
        let mut config = server.config();
        let address = server.address;
        config.endpoints = vec![format!(
            "ws://{address}/{asked}/token/SECRET456?apikey=SECRET789&k=S%45CRET1"
        )];
        let mut subscription = subscribe(config);
        let error = loop {
            match next(&mut subscription).await.unwrap() {
                Delivery::Disconnected { error, .. } | Delivery::Failed(error) => break error,
                _ => {}
            }
        };
        for told in [error.to_string(), format!("{error:?}")] {
            assert!(
                told.contains(&format!("there is no /{asked}/token/(hidden)?(hidden)")),
                "{told}"
            );
            assert!(!told.contains("SECRET"), "{told}");
        }
    }
}
