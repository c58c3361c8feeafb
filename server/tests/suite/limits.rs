//! What bounds a request, a client and the server: rates, places, heads, deadlines, connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use std::sync::atomic::Ordering;

use crate::common::{POST, Server, exchange};
use crate::service::count;
use orrery_server::{Config, RateLimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

#[tokio::test]
async fn counts_that_are_known_at_once_are_limited_by_rate() {
    let server = Server::with(Config {
        rate_limit: Some(RateLimit {
            per_second: 0.1,
            burst: 3,
            loopback: true,
        }),
        ..Config::default()
    })
    .await;
    server.model.is_quick.store(true, Ordering::Relaxed);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(server.get(&count(POST)).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    // What is refused is not looked up.
    assert_eq!(server.model.at_once.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_turns_requests_away() {
    let config = Config {
        queries_max: 1,
        queries_waiting_max: 1,
        ..Config::default()
    };
    let server = std::sync::Arc::new(Server::with(config).await);
    let slow = |server: &std::sync::Arc<Server>| {
        let server = server.clone();
        tokio::spawn(async move { server.get(&count("test:slow")).await })
    };
    let running = slow(&server);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let waiting = slow(&server);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let refused = server.get(&count(POST)).await;
    refused.error(503, "ServerOverloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        server.get("/_health").await.status,
        200,
        "health needs no place"
    );
    assert_eq!(running.await.unwrap().status, 200);
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(server.get(&count(POST)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_query_ends_at_the_deadline_and_keeps_its_place_until_it_ends() {
    let config = Config {
        queries_max: 1,
        request_deadline: Duration::from_millis(200),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let start = Instant::now();
    server.get(&count("test:slow")).await.error(504, "Timeout");
    assert!(
        start.elapsed() < Duration::from_millis(1200),
        "{:?}",
        start.elapsed()
    );
    server
        .get(&count(POST))
        .await
        .error(503, "ServerOverloaded");
    tokio::time::sleep_until((start + Duration::from_millis(1500)).into()).await;
    while server.get(&count(POST)).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_address_that_asks_too_much_is_told_when_to_come_back() {
    let limit = RateLimit {
        per_second: 0.1,
        burst: 3,
        loopback: true,
    };
    let config = Config {
        rate_limit: Some(limit),
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        ..Config::default()
    };
    let server = Server::with(config).await;
    for _ in 0..3 {
        assert_eq!(server.get(&count(POST)).await.status, 200);
    }
    let refused = server.get(&count(POST)).await;
    refused.error(429, "RateLimitExceeded");
    assert_eq!(refused.header("ratelimit-limit"), Some("3"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    assert_eq!(refused.header("ratelimit-policy"), Some("3;w=30"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    let other = [("x-forwarded-for", "198.51.100.1, 192.0.2.7")];
    let answer = server.ask("GET", &count(POST), &other).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit-remaining"), Some("2"));
    // What costs more than is left is refused, and takes nothing.
    let all = format!("/links/all?target={POST}");
    server
        .ask("GET", &all, &other)
        .await
        .error(429, "RateLimitExceeded");
    assert_eq!(server.ask("GET", &count(POST), &other).await.status, 200);
    assert_eq!(server.get("/_health").await.status, 200);

    let limit = RateLimit {
        loopback: false,
        ..limit
    };
    let exempt = Server::with(Config {
        rate_limit: Some(limit),
        ..Config::default()
    })
    .await;
    for _ in 0..6 {
        let answer = exempt.get(&count(POST)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
    let allowing = Server::with(Config {
        rate_limit: Some(RateLimit {
            loopback: true,
            ..limit
        }),
        rate_allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..Config::default()
    })
    .await;
    for _ in 0..6 {
        assert_eq!(allowing.get(&count(POST)).await.status, 200);
    }
}

#[tokio::test]
async fn heads_and_queries_are_bounded() {
    let server = Server::start().await;
    let long = format!("{}&x={}", count(POST), "a".repeat(61_440));
    server.get(&long).await.error(414, "InvalidRequest");
    let longer = format!("{}&x={}", count(POST), "a".repeat(70_000));
    // Without content, as the document says; so are the two below.
    let refused = server.get(&longer).await;
    assert_eq!((refused.status, &*refused.body), (414, ""));
    let wide = "a".repeat(200_000);
    let refused = server.ask("GET", "/", &[("x", &wide)]).await;
    assert_eq!((refused.status, &*refused.body), (431, ""));
    let fits = format!("{}&did={}", count(POST), "did:plc:a&did=".repeat(3000));
    assert_eq!(server.get(&fits).await.json(), json!({"total": 2}));
    let refused = exchange(server.address, b"nonsense\r\n\r\n").await;
    assert_eq!((refused.status, &*refused.body), (400, ""));
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_dropped_and_gives_its_place_to_others() {
    let config = Config {
        connections_max: 1,
        header_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET / HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    assert_eq!(server.get(&count(POST)).await.status, 200);
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "had to wait for the only place"
    );
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut rest))
        .await
        .expect("the silent connection is closed")
        .unwrap();

    // A connection that stays idle after an answer ends too.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /_health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut rest))
        .await
        .expect("the idle connection is closed")
        .unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("200 OK"));
}

/// One timer stands for all heads of a connection, and fires while the second is awaited.
#[tokio::test]
async fn a_slow_head_behind_others_has_the_whole_limit_and_no_more() {
    let limit = Duration::from_secs(1);
    let config = Config {
        header_timeout: limit,
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let (mut began, mut answer) = (Instant::now(), [0; 4096]);
    for _ in 0..2 {
        began = Instant::now();
        slow.write_all(b"GET /_health HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(slow.read(&mut answer).await.unwrap() > 0);
        tokio::time::sleep(limit * 3 / 5).await;
    }
    slow.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(limit * 5, slow.read_to_end(&mut rest))
        .await
        .expect("a head that does not end is given up")
        .unwrap();
    assert!(began.elapsed() >= limit, "{:?}", began.elapsed());
}

/// A server on all addresses, and another address of this machine than loopback's; none where there is none.
async fn on_all_addresses(config: Config) -> Option<(Server, SocketAddr)> {
    let route = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    route.connect("192.0.2.99:9").await.ok()?;
    let own = route.local_addr().unwrap().ip();
    if own.is_loopback() || own.is_unspecified() {
        return None;
    }
    let server = Server::on("0.0.0.0:0", config).await;
    let outside = SocketAddr::new(own, server.address.port());
    Some((server, outside))
}

/// What an open connection brings: an answer, or nothing where it was closed.
async fn brings(stream: &mut TcpStream) -> usize {
    let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
    if stream.write_all(request).await.is_err() {
        return 0;
    }
    stream.read(&mut [0; 1024]).await.unwrap_or(0)
}

#[tokio::test]
async fn one_address_does_not_take_the_connections_of_all() {
    let config = Config {
        connections_max: 4,
        connections_per_address: 2,
        ..Config::default()
    };
    let Some((server, outside)) = on_all_addresses(config.clone()).await else {
        eprintln!("skipped: this machine has no address but loopback's");
        return;
    };
    let mut open = Vec::new();
    for place in 0..4 {
        let mut stream = TcpStream::connect(outside).await.unwrap();
        assert_eq!(brings(&mut stream).await > 0, place < 2, "{place}");
        open.push(stream);
    }
    assert_eq!(server.get("/readyz").await.status, 200);
    // Whoever has closed one may open another.
    open.remove(0);
    let again = async {
        let mut stream = TcpStream::connect(outside).await.unwrap();
        while brings(&mut stream).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream = TcpStream::connect(outside).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again)
        .await
        .unwrap();
    // A proxy brings many clients.
    let network = format!("{}", outside.ip()).parse().unwrap();
    let trusting = Config {
        trusted_proxies: vec![network],
        ..config
    };
    let (_server, outside) = on_all_addresses(trusting).await.unwrap();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(outside).await.unwrap();
        assert!(brings(&mut stream).await > 0);
        open.push(stream);
    }
}
