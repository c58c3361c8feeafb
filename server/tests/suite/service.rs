//! What every route shares: methods, headers, health, failures and shutdown, over real sockets.

use std::time::{Duration, Instant};

use std::sync::atomic::Ordering;

use crate::common::{POST, Response, Server, exchange};
use orrery_server::{Config, Selection};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TAIL: &str = "collection=app.bsky.feed.like&path=.subject.uri";

pub fn count(target: &str) -> String {
    format!("/links/count?target={target}&{TAIL}")
}

#[tokio::test]
async fn a_count_that_is_known_at_once_is_the_answer_of_the_long_way() {
    let server = Server::start().await;
    let xrpc = format!(
        "/xrpc/blue.microcosm.links.getBacklinksCount?subject={POST}&source=app.bsky.feed.like:subject.uri"
    );
    // What is asked, how it is accepted, and whether the short way has an answer.
    let html = "text/html";
    let cases = [
        (count(POST), "*/*", true),
        (xrpc.clone(), "*/*", true),
        (xrpc, html, false),
        (format!("{}&reverse=true", count(POST)), "*/*", true),
        (format!("{}&did=did:plc:a", count(POST)), "*/*", false),
        (count("did%3Aplc%3Anobody"), "*/*", true),
        // An answer with a hint.
        (count("alice.example"), "*/*", false),
        (count("test:panic"), "*/*", false),
        (count("test:fail"), "*/*", false),
        (count(POST), html, false),
        (count(POST), "nonsense", false),
        (format!("/links/count?target={POST}"), "*/*", false),
        (format!("{}&since=x", count(POST)), "*/*", false),
        (format!("{}&reverse=maybe", count(POST)), "*/*", false),
        (
            format!("/links/count/distinct-dids?target={POST}&{TAIL}"),
            "*/*",
            false,
        ),
        ("/links/count".to_owned(), "*/*", false),
    ];
    for degraded in [vec![], vec![(3, 7)]] {
        *server.model.degraded.lock() = degraded;
        for (path, accept, is_quick) in &cases {
            let headers = [("accept", *accept)];
            let (flag, told) = (&server.model.is_quick, &server.model.at_once);
            flag.store(false, Ordering::Relaxed);
            let long = server.ask("GET", path, &headers).await;
            flag.store(true, Ordering::Relaxed);
            let before = told.load(Ordering::Relaxed);
            let quick = server.ask("GET", path, &headers).await;
            let was_quick = told.load(Ordering::Relaxed) > before;
            assert_eq!(was_quick, *is_quick, "{path}");
            let without_date = |response: &Response| {
                let mut headers = response.headers.clone();
                headers.retain(|(name, _)| name != "date");
                headers.sort();
                headers
            };
            assert_eq!(quick.status, long.status, "{path}");
            assert_eq!(quick.body, long.body, "{path}");
            assert_eq!(without_date(&quick), without_date(&long), "{path}");
        }
    }
    let metrics = server.ask("HEAD", &count(POST), &[]).await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, ""));
}

#[tokio::test]
async fn every_path_answers_head_and_options_and_no_other_method() {
    let server = Server::start().await;
    for path in [
        &count(POST),
        "/",
        "/robots.txt",
        "/style.css",
        "/_health",
        "/xrpc/_health",
        "/readyz",
        "/links/all?target=x",
        "/nothing/here",
        "/links/",
        "/links/count",
    ] {
        let get = server.get(path).await;
        let head = server.ask("HEAD", path, &[]).await;
        assert_eq!(
            (head.status, head.body.as_str()),
            (get.status, ""),
            "{path}"
        );
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        assert_eq!(
            head.header("content-length"),
            get.header("content-length"),
            "{path}"
        );
        assert_eq!(
            get.header("content-length"),
            Some(get.body.len().to_string().as_str())
        );
        let headers = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "GET"),
        ];
        let options = server.ask("OPTIONS", path, &headers).await;
        assert_eq!((options.status, options.body.as_str()), (200, ""), "{path}");
        for name in ["origin", "methods", "headers"] {
            let name = format!("access-control-allow-{name}");
            assert_eq!(options.header(&name), Some("*"), "{path} {name}");
        }
        assert!(options.header("vary").unwrap().contains("origin"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = server
            .ask(method, "/links/count", &[("content-length", "0")])
            .await;
        refused.error(405, "MethodNotAllowed");
        assert_eq!(refused.header("allow"), Some("GET,HEAD,OPTIONS"));
    }
    for path in [
        "/nothing",
        "/links/",
        "/xrpc/blue.microcosm.links.getDistinct",
        "/LINKS",
        "//",
    ] {
        server.get(path).await.error(404, "NotFound");
    }
}

#[tokio::test]
async fn the_small_files_are_there() {
    let domain = Some("links.example".to_owned());
    let server = Server::with(Config {
        did_web_domain: domain,
        ..Config::default()
    })
    .await;
    let robots = server.get("/robots.txt").await;
    assert_eq!(
        robots.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        robots.body,
        "User-agent: *\nDisallow: /links\nDisallow: /links/\nDisallow: /xrpc/\n"
    );
    assert_eq!(
        server.get("/.well-known/did.json").await.json(),
        json!({"id": "did:web:links.example", "service": [{
            "id": "#constellation", "type": "ConstellationGraphService",
            "serviceEndpoint": "https://links.example"}, {
            "id": "#slingshot", "type": "SlingshotRecordProxy",
            "serviceEndpoint": "https://links.example"}]})
    );
    let style = server.get("/style.css").await;
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    Server::start()
        .await
        .get("/.well-known/did.json")
        .await
        .error(404, "NotFound");
}

#[tokio::test]
async fn health_and_readiness_follow_the_index() {
    let server = Server::start().await;
    for path in ["/_health", "/xrpc/_health"] {
        let health = server.get(path).await;
        assert_eq!(health.header("cache-control"), Some("no-store"));
        assert_eq!(
            health.json(),
            json!({"version": env!("CARGO_PKG_VERSION"), "status": "ok", "lag_seconds": 1.5,
                   "indexed_through": 1_700_000_004_000_000_u64,
                   "source": "jetstream.example",
                   "coverage": {"from": 1_700_000_000_000_000_u64, "through": 1_700_000_004_000_000_u64}})
        );
    }
    // Nobody is told of a source what /status does not tell.
    for (source, told) in [
        ("us-east-1", json!("us-east-1")),
        (
            "wss://jetstream.example:8443/subscribe?key=secret",
            json!("jetstream.example"),
        ),
        ("ws://10.1.2.3:6008/subscribe", json!(null)),
        ("ws://jetstream.internal/subscribe?key=secret", json!(null)),
    ] {
        server.model.status.lock().source = Some(source.to_owned());
        let health = server.get("/_health").await.json();
        assert_eq!(
            (&health["source"], &health["lag_seconds"]),
            (&told, &json!(1.5))
        );
        let meta = server.get("/meta").await.json();
        assert_eq!(meta["consumer"]["jetstream"]["endpoint"], told);
        let status = server.get("/status").await.json();
        assert_eq!(status["source"].get("host").unwrap_or(&json!(null)), &told);
    }
    server.model.status.lock().source = Some("wss://jetstream.example/subscribe".into());
    assert_eq!(server.get("/readyz").await.status, 200);
    for lag_us in [Some(61_000_000), None] {
        server.model.status.lock().lag_us = lag_us;
        assert_eq!(server.get("/_health").await.json()["status"], "catching-up");
        server.get("/readyz").await.error(503, "NotReady");
    }
    {
        let mut status = server.model.status.lock();
        status.source = None;
        status.degraded = Some("segment 7 is damaged".into());
        status.selection = Selection {
            collections: vec!["app.bsky.*".into()],
            exclude: vec!["app.bsky.feed.like".into(), "a.b.c".into()],
        };
    }
    let health = server.get("/_health").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["reason"], "segment 7 is damaged");
    assert_eq!(health["coverage"]["collections"], json!(["app.bsky.*"]));
    assert_eq!(
        server.get("/readyz").await.status,
        200,
        "nothing is followed"
    );
    let answer = server.get(&format!("/links?target={POST}&{TAIL}")).await;
    assert_eq!(
        answer.header("orrery-coverage-collections"),
        Some("app.bsky.*")
    );
    assert_eq!(
        answer.header("orrery-coverage-exclude"),
        Some("app.bsky.feed.like,a.b.c")
    );
    assert_eq!(
        answer.json()["coverage"]["exclude"],
        json!(["app.bsky.feed.like", "a.b.c"])
    );
}

#[tokio::test]
async fn failures_and_panics_are_answers_and_the_server_goes_on() {
    let server = Server::start().await;
    let panic = server.get(&count("test:panic")).await;
    panic.error(500, "InternalServerError");
    let failed = server.get(&count("test:fail")).await;
    assert!(!failed.error(500, "InternalServerError").contains("secret"));
    let unavailable = server.get(&count("test:unavailable")).await;
    assert_eq!(unavailable.error(503, "NotReady"), "still opening");
    server.model.status.lock().source = Some("test:panic".into());
    server
        .get("/_health")
        .await
        .error(500, "InternalServerError");
    server.model.status.lock().source = None;
    assert_eq!(server.get(&count(POST)).await.json(), json!({"total": 5}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_requests_finish_and_accepts_no_more() {
    let mut server = Server::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /_health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let address = server.address;
    let head = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", count("test:slow"));
    let running = tokio::spawn(async move { exchange(address, head.as_bytes()).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    server.stop();
    server.ended().await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "idle connections do not hold it up"
    );
    assert_eq!(running.await.unwrap().status, 200);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_cuts_what_outlives_the_grace() {
    let config = Config {
        shutdown_grace: Duration::from_millis(50),
        ..Config::default()
    };
    let mut server = Server::with(config).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", count("test:slow"));
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    server.stop();
    server.ended().await;
    assert!(
        start.elapsed() < Duration::from_millis(1200),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn metrics_are_served_on_their_own_address() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let server = Server::with(Config {
        metrics: Some(free),
        ..Config::default()
    })
    .await;
    server.get(&count(POST)).await;
    server.get("/links/count").await;
    server.get("/no/such/route").await;
    let record = "/xrpc/com.atproto.repo.getRecord?repo=did:plc:a&collection=a.b.c&rkey=3k";
    server.get(record).await;
    let ask = async |host: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        exchange(free, request.as_bytes()).await
    };
    // A page of the web whose name leads here.
    for host in ["rebound.example", "rebound.example:8765", "x"] {
        let refused = ask(host).await;
        assert_eq!(refused.status, 403, "{host}");
        assert!(!refused.body.contains("orrery_links"), "{host}");
    }
    let change = b"POST /exclude HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(free, change).await.status, 405);
    assert_eq!(ask("localhost:8765").await.status, 200);
    let page = ask("127.0.0.1:8765").await;
    assert_eq!(page.status, 200);
    for line in [
        "orrery_http_requests_total{route=\"/links/count\",status=\"200\"} 1",
        "orrery_http_requests_total{route=\"/links/count\",status=\"400\"} 1",
        "orrery_http_requests_total{route=\"other\",status=\"404\"} 1",
        "orrery_http_requests_total{route=\"/xrpc/com.atproto.repo.getRecord\",status=\"200\"} 1",
        "orrery_http_edge_free 512",
        "orrery_edge_fetched_total 1",
        "orrery_links 16",
        "orrery_lag_seconds 1.5",
        "orrery_lag_limit_seconds 60",
        "orrery_degraded 0",
        "orrery_http_request_duration_seconds_count{route=\"/links/count\",class=\"4xx\"} 1",
    ] {
        assert!(
            page.body.lines().any(|l| l == line),
            "{line} in {}",
            page.body
        );
    }
    assert!(!page.body.contains("/no/such/route"));
    server.get("/metrics").await.error(404, "NotFound");

    let taken = Config {
        metrics: Some(free),
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = orrery_server::serve(
        listener,
        server.model.clone(),
        server.feed(),
        None,
        taken,
        async {},
    )
    .await;
    assert!(error.unwrap_err().to_string().contains("metrics"));
}

#[tokio::test]
async fn settings_under_which_nothing_could_be_served_are_refused() {
    let server = Server::start().await;
    for (config, name) in [
        (
            Config {
                queries_max: 0,
                ..Config::default()
            },
            "queries_max",
        ),
        (
            Config {
                connections_max: 0,
                ..Config::default()
            },
            "connections_max",
        ),
        (
            Config {
                connections_per_address: 0,
                ..Config::default()
            },
            "connections_per_address",
        ),
        (
            Config {
                header_bytes_max: 100,
                ..Config::default()
            },
            "header_bytes_max",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ended = orrery_server::serve(
            listener,
            server.model.clone(),
            server.feed(),
            None,
            config,
            async {},
        )
        .await;
        assert!(ended.unwrap_err().to_string().contains(name));
    }
}

#[tokio::test]
async fn the_front_page_asks_about_accounts_only_and_is_there_without_an_example() {
    let server = Server::start().await;
    let page = server.page("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("did:plc:m"), "{}", page.body);
    server.model.status.lock().source = Some("test:no-counts".into());
    let page = server.page("/").await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("did:plc:m"), "{}", page.body);
}

#[tokio::test]
async fn answers_from_a_damaged_index_are_marked_and_not_cached() {
    let server = Server::start().await;
    let path = format!("/links?target={POST}&{TAIL}");
    let answer = server.get(&path).await;
    assert_eq!(answer.header("orrery-degraded"), None);
    *server.model.degraded.lock() = vec![(26, 50), (101, 200)];
    for path in [path.as_str(), "/", &format!("/links/all?target={POST}")] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("orrery-degraded"), Some("26-50, 101-200"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let answer = server.get(&path).await.json();
    assert_eq!(answer["coverage"]["degraded"], json!(["26-50", "101-200"]));
    // A page says so before its figures, and calls nothing none.
    for (path, said) in [
        (
            "/links/all?target=at://nobody",
            "Nothing that can be read links to it.",
        ),
        (
            "/links?target=at://nobody&collection=a.b.c&path=.x",
            "None in what can be read.",
        ),
        ("/", "Questions to begin with"),
        ("/collections", "app.bsky.feed.like"),
    ] {
        let page = server.page(path).await.body;
        let warned = page
            .find("Incomplete: a part of the index is damaged")
            .unwrap();
        assert!(page.contains("events of seq 26-50, 101-200"), "{path}");
        assert!(warned < page.find(said).unwrap(), "{path}");
    }
}

#[tokio::test]
async fn a_strict_server_refuses_what_damage_could_change() {
    let server = Server::with(Config {
        strict: true,
        ..Config::default()
    })
    .await;
    let path = format!("/links?target={POST}&{TAIL}");
    assert_eq!(server.get(&path).await.status, 200);
    *server.model.degraded.lock() = vec![(26, 50)];
    let refused = server.get(&path).await;
    refused.error(503, "IndexDegraded");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert!(refused.body.contains("26-50"), "{}", refused.body);
    assert_eq!(server.get("/_health").await.status, 200);
}
