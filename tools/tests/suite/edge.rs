//! The edge cache of a running server and the hosts that it asks: those that behave badly are an error in time and nobody
//! else's trouble, and those that it must not ask are not asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::Server;
use crate::common::hosts::{Host, Manner, document};
use crate::common::jetstream::Jetstream;
use parking_lot::Mutex;
use serde_json::Value;

type Pages = Arc<Mutex<HashMap<String, (u16, String)>>>;

/// The time limit of a request, with some room for a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(15);

fn did(number: usize) -> String {
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = "did:plc:".to_owned();
    for place in 0..24 {
        text.push(char::from(digits[(number >> (5 * place.min(10))) & 31]));
    }
    text
}

fn path(did: &str) -> String {
    format!("/xrpc/com.atproto.repo.getRecord?repo={did}&collection=com.ex.like&rkey=a")
}

async fn directory() -> (Host, Pages) {
    let pages = Pages::default();
    (Host::start(Manner::Pages(Arc::clone(&pages))).await, pages)
}

fn serve(jetstream: &Jetstream, plc: &Host, directory: &Path, more: &[&str]) -> Server {
    let url = jetstream.url();
    let data = directory.join("data");
    let plc = format!("http://{}", plc.address);
    let mut arguments = vec!["serve", "--jetstream", &url, "--plc", &plc];
    arguments.extend(["--data", data.to_str().unwrap()]);
    arguments.extend(more);
    Server::start(&arguments, &directory.join("log"))
}

/// Asks off the workers: the hosts of the test run on them.
async fn get(server: &Arc<Server>, path: String) -> (u16, Value, Duration) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let (status, _, body) = server.get(&path).expect("no answer");
        let body = serde_json::from_str(&body).unwrap_or(Value::Null);
        (status, body, started.elapsed())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_behave_badly_are_errors_in_time_and_others_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let (plc, documents) = directory().await;
    let server = Arc::new(serve(
        &jetstream,
        &plc,
        dir.path(),
        &["--allow-private-network"],
    ));

    let good_pages = Pages::default();
    let good = Host::start(Manner::Pages(Arc::clone(&good_pages))).await;
    let wrong_pages = Pages::default();
    let inner = Host::start(Manner::Pages(Pages::default())).await;
    let bad = [
        ("hangs", Manner::Hangs),
        ("hangs midway", Manner::HangsMidway),
        ("garbage", Manner::Garbage),
        ("huge and says so", Manner::Huge { says_so: true }),
        ("huge", Manner::Huge { says_so: false }),
        ("trickles", Manner::Trickles),
        ("wrong", Manner::Pages(Arc::clone(&wrong_pages))),
        (
            "redirects",
            Manner::Redirects(format!("http://{}/", inner.address)),
        ),
        (
            "redirects to metadata",
            Manner::Redirects("http://169.254.169.254/latest".to_owned()),
        ),
    ];
    let mut hosts = Vec::new();
    let mut asks = Vec::new();
    for (number, (what, manner)) in bad.into_iter().enumerate() {
        let did = did(number + 1);
        let host = Host::start(manner).await;
        let page = document(&did, &format!("http://{}", host.address));
        documents.lock().insert(format!("/{did}"), (200, page));
        if what == "wrong" {
            // The cid of another record.
            let record = format!(
                r#"{{"uri":"at://{did}/com.ex.like/a","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","value":{{"$type":"com.ex.like"}}}}"#
            );
            wrong_pages.lock().insert(path(&did), (200, record));
        }
        hosts.push(host);
        let server = Arc::clone(&server);
        asks.push((
            what,
            tokio::spawn(async move { get(&server, path(&did)).await }),
        ));
    }
    let value = r#"{"$type":"com.ex.like","n":1}"#;
    for number in 100..120 {
        let did = did(number);
        let page = document(&did, &format!("http://{}", good.address));
        documents.lock().insert(format!("/{did}"), (200, page));
        // Without a cid: the server makes it.
        let record = format!(r#"{{"uri":"at://{did}/com.ex.like/a","value":{value}}}"#);
        good_pages.lock().insert(path(&did), (200, record));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 100..120 {
        let (status, body, took) = get(&server, path(&did(number))).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["value"]["n"], 1);
        assert!(
            body["cid"].as_str().unwrap().starts_with("bafyrei"),
            "{body}"
        );
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    for (what, ask) in asks {
        let (status, body, took) = ask.await.unwrap();
        assert!(matches!(status, 500 | 504), "{what}: {status} {body}");
        let error = body["error"].as_str().unwrap();
        assert!(matches!(error, "ServerError" | "Timeout"), "{what}: {body}");
        assert!(took < TIME_LIMIT, "{what}: {took:?}");
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_must_not_be_asked_are_not_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let (plc, documents) = directory().await;
    let server = Arc::new(serve(&jetstream, &plc, dir.path(), &[]));
    // Whatever leads to this machine, by either version of IP, leads here.
    let trap = Host::start_on("0.0.0.0:0", Manner::Garbage).await;
    let port = trap.address.port();
    let trap_of_six = Host::start_on(&format!("[::1]:{port}"), Manner::Garbage).await;

    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0x7f.0x0.0x0.0x1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "0.1.2.3",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "localhost.localdomain",
        "printer.local",
        "metadata.google.internal",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[100::1]",
        "%31%32%37.0.0.1",
        "１２７.０.０.１",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
        "127.0.0.1#.example.com",
        "127.0.0.1\\\\.example.com",
    ];
    assert!(hosts.len() >= 60);
    let mut asks = Vec::new();
    for (number, host) in hosts.into_iter().enumerate() {
        for (scheme, did) in [("http", did(number)), ("https", did(number + 1_000))] {
            let page = document(&did, &format!("{scheme}://{host}:{port}"));
            documents.lock().insert(format!("/{did}"), (200, page));
            let server = Arc::clone(&server);
            asks.push((
                host,
                tokio::spawn(async move { get(&server, path(&did)).await }),
            ));
        }
    }
    for (host, ask) in asks {
        let (status, body, took) = ask.await.unwrap();
        assert_eq!(status, 500, "{host}: {body}");
        assert_eq!(body["error"], "ServerError", "{host}");
        assert!(took < TIME_LIMIT, "{host}: {took:?}");
    }
    assert_eq!(trap.connections() + trap_of_six.connections(), 0);
    // The directory itself is where the operator said, and is asked.
    assert!(plc.connections() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_the_stream_is_told_and_its_delete_is_heeded() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let (plc, _) = directory().await;
    let server = Arc::new(serve(&jetstream, &plc, dir.path(), &["--no-fetch"]));
    let did = did(1);
    let get = || get(&server, path(&did));
    jetstream.commit(&did, "a", "create", Some(serde_json::json!({"n": 1})));
    let deadline = Instant::now() + Duration::from_secs(20);
    while get().await.0 != 200 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, body, _) = get().await;
    assert_eq!(body["uri"], format!("at://{did}/com.ex.like/a"));
    assert_eq!(body["value"]["n"], 1);
    jetstream.commit(&did, "a", "delete", None);
    while get().await.0 == 200 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..20 {
        let (status, body, _) = get().await;
        assert_eq!(
            (status, &body["error"]),
            (400, &"RecordNotFound".into()),
            "{body}"
        );
    }
}
