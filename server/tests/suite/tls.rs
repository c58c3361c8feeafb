//! TLS with a certificate out of files, over real sockets.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::common::tls::{
    Pair, WAIT, ask, connect, connect_from, fact, first, presented, text, trusting, until,
};
use crate::common::{DAY, POST, Server, exchange};
use orrery_server::{CertificateFiles, Config, Error, RateLimit, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NAME: &str = "links.example";

fn files(certificate: PathBuf, key: PathBuf) -> Tls {
    let mut files = CertificateFiles::new(certificate, key);
    files.check_every = Duration::from_millis(20);
    Tls::from_files(files).unwrap()
}

/// A server with a certificate of its own making, a client's settings that trust it, and the directory with its files.
async fn start(
    more: Config,
) -> (
    Server,
    std::sync::Arc<rustls::ClientConfig>,
    tempfile::TempDir,
) {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::new(NAME);
    let (certificate, key) = pair.write(dir.path(), "own");
    let tls = Some(files(certificate, key));
    let server = Server::with(Config { tls, ..more }).await;
    (server, trusting(&[&pair.chain], &["http/1.1"]), dir)
}

#[tokio::test]
async fn answers_limits_and_subscriptions_come_over_tls_as_without() {
    let rate_limit = Some(RateLimit {
        per_second: 0.01,
        burst: 2,
        loopback: true,
    });
    let (server, client, _dir) = start(Config {
        rate_limit,
        ..Config::default()
    })
    .await;
    let path =
        format!("/links/count?target={POST}&collection=app.bsky.feed.like&path=.subject.uri");
    // Each client address has a limit of its own, so the server sees it.
    for from in ["127.0.0.2", "127.0.0.3"] {
        let mut stream = connect_from(from, server.address, NAME, &client)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = ask(&mut stream, &path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"total":5}"#),
            "{answer}"
        );
        assert!(ask(&mut stream, &path).await.starts_with("HTTP/1.1 200"));
        assert!(ask(&mut stream, &path).await.starts_with("HTTP/1.1 429"));
    }
    // A client that speaks only other protocols is turned away, one that names none is not.
    let mut other = std::sync::Arc::unwrap_or_clone(client.clone());
    for (protocol, is_spoken) in [
        (Some("h2"), false),
        (Some("acme-tls/1"), false),
        (None, true),
    ] {
        other.alpn_protocols = protocol
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let connected = connect(server.address, NAME, &other.clone().into()).await;
        assert_eq!(connected.is_ok(), is_spoken, "{protocol:?}: {connected:?}");
    }

    let stream = connect(server.address, NAME, &client).await.unwrap();
    let url = format!("wss://{NAME}/subscribe?instant=true");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let link = [("com.ex.like:subject.uri", "did:plc:c")];
    server.events.create("at://did:plc:a/com.ex.like/3k", &link);
    let told = text(&mut socket).await;
    assert!(told.contains(r#""subject":"did:plc:c""#), "{told}");
    // Plain HTTP on the same port is no handshake.
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut told = Vec::new();
    let _ = timeout(WAIT, plain.read_to_end(&mut told)).await.unwrap();
    assert!(!told.starts_with(b"HTTP"), "{told:?}");
}

#[tokio::test]
async fn new_files_are_presented_and_bad_ones_are_not_while_connections_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = [Pair::new(NAME), Pair::new(NAME), Pair::new(NAME)];
    let roots: Vec<&str> = pairs.iter().map(|pair| pair.chain.as_str()).collect();
    let client = trusting(&roots, &["http/1.1"]);
    let (certificate, key) = pairs[0].write(dir.path(), "own");
    let tls = files(certificate.clone(), key.clone());
    let metrics = free_address();
    let server = Server::with(Config {
        tls: Some(tls.clone()),
        metrics: Some(metrics),
        ..Config::default()
    })
    .await;
    let now = async || presented(server.address, NAME, &client).await;
    let mut open = connect(server.address, NAME, &client).await.unwrap();
    assert!(ask(&mut open, "/_health").await.starts_with("HTTP/1.1 200"));
    assert_eq!(now().await, first(&pairs[0].chain));
    assert_eq!(failures(metrics).await, 0);
    let end = tls.certificate_end().unwrap();
    let told = fact(metrics, "orrery_tls_certificate_end_timestamp_seconds")
        .await
        .unwrap();
    let since = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    };
    assert!((told - since(end)).abs() < 1.0 && end > SystemTime::now() + DAY * 89);

    pairs[1].write(dir.path(), "own");
    until(async || now().await == first(&pairs[1].chain)).await;
    // A key of another certificate, and a file that is gone: told once, and nothing else.
    std::fs::write(&key, &pairs[2].key).unwrap();
    until(async || failures(metrics).await == 1).await;
    std::fs::remove_file(&certificate).unwrap();
    until(async || failures(metrics).await == 2).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(failures(metrics).await, 2);
    assert_eq!(now().await, first(&pairs[1].chain));
    std::fs::write(&certificate, &pairs[2].chain).unwrap();
    until(async || now().await == first(&pairs[2].chain)).await;
    assert!(ask(&mut open, "/_health").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn files_are_read_when_told_to_without_waiting_for_the_next_look() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = [Pair::new(NAME), Pair::new(NAME)];
    let client = trusting(&[&pairs[0].chain, &pairs[1].chain], &[]);
    let (certificate, key) = pairs[0].write(dir.path(), "own");
    let mut files = CertificateFiles::new(certificate, key);
    files.check_every = DAY;
    let tls = Tls::from_files(files).unwrap();
    let server = Server::with(Config {
        tls: Some(tls.clone()),
        ..Config::default()
    })
    .await;
    let now = async || presented(server.address, NAME, &client).await;
    assert_eq!(now().await, first(&pairs[0].chain));
    pairs[1].write(dir.path(), "own");
    tls.reload();
    until(async || now().await == first(&pairs[1].chain)).await;
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Pair::new(NAME), Pair::new(NAME));
    let (good, good_key) = one.write(dir.path(), "good");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cut = &one.chain[..one.chain.len() - 40];
    let scrambled = one.chain.replacen("MII", "AAA", 1);
    let encrypted = one.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let behind = format!("{}{}", two.chain, one.chain);
    // Certificate, key, which of them is named, and what is said.
    let cases = [
        (
            dir.path().join("none"),
            good_key.clone(),
            "none",
            "cannot be read: No such file",
        ),
        (
            dir.path().to_owned(),
            good_key.clone(),
            "",
            "no file of at most 1 MiB",
        ),
        (
            write("empty", ""),
            good_key.clone(),
            "empty",
            "holds no certificate in PEM",
        ),
        (
            good_key.clone(),
            good_key.clone(),
            "good.key",
            "a private key and no certificate",
        ),
        (
            write("cut", cut),
            good_key.clone(),
            "cut",
            "PEM cannot be read",
        ),
        (
            write("scrambled", &scrambled),
            good_key.clone(),
            "scrambled",
            "certificate 1 of it cannot be read",
        ),
        (
            good.clone(),
            good.clone(),
            "good.pem",
            "a certificate and no private key",
        ),
        (
            good.clone(),
            write("nothing", "x"),
            "nothing",
            "no private key in PEM",
        ),
        (
            good.clone(),
            write("encrypted", &encrypted),
            "encrypted",
            "is encrypted",
        ),
        (
            good.clone(),
            write("other", &two.key),
            "good.pem",
            "is not that of the key",
        ),
        (
            write("behind", &behind),
            good_key.clone(),
            "behind",
            "own certificate must be its first",
        ),
    ];
    for (certificate, key, named, wanted) in cases {
        let error = Tls::from_files(CertificateFiles::new(certificate, key)).unwrap_err();
        let Error::TlsFile { path, problem } = error else {
            panic!("{wanted}: {error}");
        };
        assert_eq!(path, dir.path().join(named), "{problem}");
        assert!(problem.contains(wanted), "{problem}, not {wanted}");
    }
    // One file for both will do, and so does a certificate that has ended: the clock may be wrong.
    let old = Pair::until(NAME, SystemTime::now() - DAY / 2);
    let both = write("both", &(old.key + &old.chain));
    let tls = Tls::from_files(CertificateFiles::new(both.clone(), both)).unwrap();
    assert!(tls.certificate_end().unwrap() < SystemTime::now());
}

#[tokio::test]
async fn a_slow_handshake_has_a_place_for_its_time_and_no_longer() {
    let (server, client, _dir) = start(Config {
        connections_max: 1,
        handshake_timeout: Duration::from_millis(400),
        ..Config::default()
    })
    .await;
    let begin = Instant::now();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a handshake, and then a byte at a time.
    slow.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let (mut reading, mut writing) = slow.into_split();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"\x00").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut next = connect(server.address, NAME, &client).await.unwrap();
    assert!(ask(&mut next, "/_health").await.starts_with("HTTP/1.1 200"));
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(400),
        "two were served at once, after {took:?}"
    );
    let _ = timeout(WAIT, reading.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    timeout(WAIT, trickle).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let (server, client, _dir) = start(Config {
        write_timeout: Duration::from_millis(200),
        connections_max: 1,
        ..Config::default()
    })
    .await;
    let mut stuck = connect(server.address, NAME, &client).await.unwrap();
    // Far more answers than buffers hold, none of them read; the requests stop once the server has stopped reading too.
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(50);
    let asking = async { while stuck.write_all(&request).await.is_ok() {} };
    let _ = timeout(Duration::from_millis(500), asking).await;
    let mut next = timeout(WAIT, connect(server.address, NAME, &client))
        .await
        .unwrap()
        .unwrap();
    assert!(ask(&mut next, "/_health").await.starts_with("HTTP/1.1 200"));
    drop(stuck);
}

#[tokio::test]
async fn a_stop_waits_for_requests_and_not_for_handshakes() {
    let (mut server, client, _dir) = start(Config {
        handshake_timeout: Duration::from_secs(60),
        ..Config::default()
    })
    .await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut stream = connect(server.address, NAME, &client).await.unwrap();
    let path = "/links/count?target=test:slow&collection=app.bsky.feed.like&path=.subject.uri";
    let asked = tokio::spawn(async move { ask(&mut stream, path).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.stop();
    assert!(asked.await.unwrap().starts_with("HTTP/1.1 200"));
    let begin = Instant::now();
    server.ended().await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn the_plain_port_leads_to_https() {
    let plain = free_address();
    let (server, ..) = start(Config {
        redirect: Some(plain),
        ..Config::default()
    })
    .await;
    let path = "/links/count?target=a%20b";
    let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}:80\r\nconnection: close\r\n\r\n");
    until(async || TcpStream::connect(plain).await.is_ok()).await;
    let told = exchange(plain, request.as_bytes()).await;
    let wanted = format!("https://{NAME}:{}{path}", server.address.port());
    assert_eq!(
        (told.status, told.header("location")),
        (308, Some(wanted.as_str()))
    );
}

/// An address that was free a moment ago.
fn free_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

async fn failures(metrics: std::net::SocketAddr) -> u64 {
    fact(metrics, "orrery_tls_certificate_failures_total")
        .await
        .unwrap() as u64
}
