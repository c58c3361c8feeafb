//! Servers that answer badly, slowly, too much or not at all: a plain error each, and in time.
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::dns::{DnsServer, Reply};
use crate::common::{Server, client, get, head, ok, trusting};
use orrery_resolve::{Client, FetchError, Request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// The time limit of the tests that run into it.
const LIMIT: Duration = Duration::from_millis(400);

fn impatient(server: &Server) -> Client {
    let mut options = trusting(&[server]);
    options.total_timeout = LIMIT;
    Client::new(options).unwrap()
}

/// Asks, and checks that the answer is an error of the time limit, and comes then.
async fn times_out(server: &Server) {
    let client = impatient(server);
    let begin = Instant::now();
    let error = get(&client, &server.url("/")).await.unwrap_err();
    let took = begin.elapsed();
    assert_eq!(
        error,
        FetchError::Timeout {
            host: "127.0.0.1".to_owned(),
            after: LIMIT
        }
    );
    assert!(took >= LIMIT && took < LIMIT * 20, "{took:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_at_the_time_limit() {
    times_out(
        &Server::start(|_, _tcp| async move {
            let _tcp = _tcp;
            pending::<()>().await;
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_stops_inside_the_head_is_left_at_the_time_limit() {
    times_out(
        &Server::start(|_, mut tcp| async move {
            head(&mut tcp).await;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-le")
                .await
                .unwrap();
            pending::<()>().await;
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_stops_inside_the_body_is_left_at_the_time_limit() {
    times_out(
        &Server::start(|_, mut tcp| async move {
            head(&mut tcp).await;
            let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
            tcp.write_all(part).await.unwrap();
            pending::<()>().await;
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_cut_at_the_time_limit() {
    let cut = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&cut);
    let server = Server::start(move |_, mut tcp| {
        let seen = Arc::clone(&seen);
        async move {
            head(&mut tcp).await;
            let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            tcp.write_all(begin).await.unwrap();
            while tcp.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            seen.store(1, Ordering::SeqCst);
        }
    })
    .await;
    times_out(&server).await;
    // The connection goes with the request: the server notices at one of its next bytes.
    for _ in 0..100 {
        if cut.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the connection is still open");
}

#[tokio::test]
async fn heads_without_end_of_interim_answers_are_cut_at_the_time_limit() {
    times_out(
        &Server::start(|_, mut tcp| async move {
            head(&mut tcp).await;
            let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
            while tcp.write_all(interim).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_left_at_the_connect_limit() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue, until a connection is not taken any more.
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let mut options = trusting(&[]);
    options.trusted = vec![address];
    options.connect_timeout = Duration::from_millis(300);
    let client = Client::new(options).unwrap();
    let begin = Instant::now();
    let error = get(&client, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error_at_once() {
    let server = Server::saying("").await;
    let mut closed = server.address;
    // Taken and given back, so that nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    closed.set_port(listener.local_addr().unwrap().port());
    drop(listener);
    let mut options = trusting(&[]);
    options.trusted = vec![closed];
    let error = get(&Client::new(options).unwrap(), &format!("http://{closed}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_port_of_a_private_network_is_told_by_the_name_that_leads_there() {
    let dns = DnsServer::start(|_, kind, _| Reply::addresses(kind, &["127.0.0.1"])).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let mut options = trusting(&[]);
    options.trusted = vec![closed];
    options.dns = Some(dns.address);
    let client = Client::new(options).unwrap();
    let url = |host: &str| format!("http://{host}:{}/", closed.port());
    for (host, told) in [
        ("plc.example", "cannot connect to plc.example: "),
        (
            "127.0.0.1",
            "cannot connect to an address of a private network: ",
        ),
    ] {
        let error = get(&client, &url(host)).await.unwrap_err().to_string();
        assert!(
            error.starts_with(told) && !error.contains("127.0"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_unusable_answer() {
    for answer in [
        "",
        "\r\n\r\n",
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\u{0}\u{1}\u{2}\u{3}\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 9999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let server = Server::start(move |_, mut tcp| async move {
            head(&mut tcp).await;
            let _ = tcp.write_all(answer.as_bytes()).await;
        })
        .await;
        let error = get(&client(&[&server]), &server.url("/"))
            .await
            .unwrap_err();
        let FetchError::Protocol { host, problem } = &error else {
            panic!("{answer:?}: {error}")
        };
        assert_eq!(host, "127.0.0.1");
        assert!(!problem.is_empty());
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read_to_its_end() {
    let sent = Arc::new(AtomicUsize::new(0));
    for begin in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        let counter = Arc::clone(&sent);
        counter.store(0, Ordering::SeqCst);
        let chunked = begin.contains("chunked");
        let server = Server::start(move |_, mut tcp| {
            let counter = Arc::clone(&counter);
            async move {
                head(&mut tcp).await;
                tcp.write_all(begin.as_bytes()).await.unwrap();
                let mut part = Vec::new();
                if chunked {
                    part.extend_from_slice(b"2000\r\n");
                }
                part.extend_from_slice(&[b'x'; 0x2000]);
                if chunked {
                    part.extend_from_slice(b"\r\n");
                }
                while tcp.write_all(&part).await.is_ok() {
                    counter.fetch_add(part.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let error = client(&[&server])
            .get(Request::new(server.url("/"), 100_000))
            .await
            .unwrap_err();
        assert_eq!(
            error,
            FetchError::TooLarge {
                host: "127.0.0.1".to_owned(),
                most: 100_000
            }
        );
        // Besides the limit only what fits into the buffers of two sockets has been sent; it stops growing.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let first = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(first, sent.load(Ordering::SeqCst));
        assert!(first < 32 << 20, "{first}");
    }
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_before_the_body() {
    for length in ["1048577", "5368709120", "18446744073709551615"] {
        let server = Server::start(move |_, mut tcp| async move {
            head(&mut tcp).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = tcp.write_all(head.as_bytes()).await;
            pending::<()>().await;
        })
        .await;
        let begin = Instant::now();
        let error = get(&client(&[&server]), &server.url("/"))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::TooLarge { .. } | FetchError::Protocol { .. }
            ),
            "{length}: {error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let server = Server::saying(ok(&"x".repeat(1000))).await;
    let client = client(&[&server]);
    let exact = client.get(Request::new(server.url("/"), 1000)).await;
    assert_eq!(exact.unwrap().body.len(), 1000);
    let over = client.get(Request::new(server.url("/"), 999)).await;
    assert!(matches!(over, Err(FetchError::TooLarge { most: 999, .. })));
}

#[tokio::test]
async fn a_head_without_end_or_measure_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500));
    for answer in [long, many] {
        let server = Server::saying(answer).await;
        let error = get(&client(&[&server]), &server.url("/"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Protocol { .. }), "{error}");
    }
    let server = Server::start(|_, mut tcp| async move {
        head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while tcp
            .write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyy\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let begin = Instant::now();
    let error = get(&client(&[&server]), &server.url("/"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn any_status_is_an_answer_with_its_body() {
    for status in [200, 204, 400, 404, 429, 500, 503] {
        let body = if status == 204 {
            ""
        } else {
            r#"{"error":"X"}"#
        };
        let length = body.len();
        let server = Server::saying(format!(
            "HTTP/1.1 {status} Y\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
        let answer = get(&client(&[&server]), &server.url("/")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
        assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    }
}
