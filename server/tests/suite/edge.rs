//! Records and identities over real sockets: statuses, names of errors, and bodies, as clients of the services in use and the
//! lexicons of the network want them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::Server;
use crate::common::edge::{CID, OTHER_CID};
use orrery_server::Config;
use serde_json::json;

const GET: &str = "/xrpc/com.atproto.repo.getRecord";
const BY_URI: &str = "/xrpc/blue.microcosm.repo.getRecordByUri";
const LIKE: &str = "collection=app.bsky.feed.like";

fn get(repo: &str, rkey: &str) -> String {
    format!("{GET}?repo={repo}&{LIKE}&rkey={rkey}")
}

#[tokio::test]
async fn a_record_is_the_same_whichever_way_it_is_asked_for() {
    let server = Server::start().await;
    let answer = server.get(&get("did:plc:alice", "3k")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        format!(
            r#"{{"cid":"{CID}","uri":"at://did:plc:alice/app.bsky.feed.like/3k","value":{{"$type":"app.bsky.feed.like","n":1.50,"list":[{{"$type":"x.y#z","v":"<i>"}},{{"v":2}}],"text":"hi"}}}}"#
        )
    );
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(!answer.header("vary").unwrap().contains("accept,"));
    let uri = "at://did:plc:alice/app.bsky.feed.like/3k";
    for other in [
        get("did%3Aplc%3Aalice", "3k"),
        get("ALICE.example", "3k"),
        format!("{}&cid={CID}", get("did:plc:alice", "3k")),
        format!("{}&repo=did:plc:alice", get("did:plc:alice", "3k")),
        format!("{BY_URI}?at_uri={uri}"),
        format!("{BY_URI}?at_uri={uri}&cid={CID}"),
        format!("{BY_URI}?at_uri=AT://Alice.Example/app.bsky.feed.like/3k/"),
        format!("/xrpc/com.bad-example.repo.getUriRecord?at_uri={uri}?x=y"),
    ] {
        assert_eq!(server.get(&other).await.body, answer.body, "{other}");
    }
    let head = server.ask("HEAD", &get("did:plc:alice", "3k"), &[]).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, answer.header("content-length"))
    );
}

#[tokio::test]
async fn what_is_in_memory_waits_for_nothing() {
    let server = Server::with(Config {
        edge_requests_max: 1,
        ..Config::default()
    })
    .await;
    let slow = {
        let address = server.address;
        let target = get("did:plc:a", "slow");
        tokio::spawn(async move {
            let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            crate::common::exchange(address, head.as_bytes()).await
        })
    };
    while server.edge.fetched.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (target, status) in [
        (get("did:plc:a", "warm1"), 200),
        (format!("{}&cid={CID}", get("did:plc:a", "warm1")), 200),
        (get("did:plc:a", "3k"), 503),
        (
            format!("{}&cid={OTHER_CID}", get("did:plc:a", "warm1")),
            503,
        ),
    ] {
        let answer = server.get(&target).await;
        assert_eq!(answer.status, status, "{target}");
        if status == 503 {
            answer.error(503, "ServerOverloaded");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    assert_eq!(server.edge.fetched.load(Ordering::Relaxed), 1);
    slow.abort();
}

#[tokio::test]
async fn a_request_ends_at_its_deadline() {
    let server = Server::with(Config {
        request_deadline: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let started = Instant::now();
    for target in [
        get("did:plc:a", "slow"),
        get("slow.example", "3k"),
        "/xrpc/com.atproto.identity.resolveDid?did=did:plc:slow".to_owned(),
    ] {
        server.get(&target).await.error(504, "Timeout");
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    // A place that a late request had is free again.
    assert_eq!(server.get(&get("did:plc:a", "3k")).await.status, 200);
}

#[tokio::test]
async fn records_that_are_not_there_are_told_by_the_contract() {
    let server = Server::start().await;
    let cases = [
        ("gone", 400, "RecordNotFound"),
        ("hidden", 400, "RecordNotFound"),
        ("none", 400, "RecordNotFound"),
        ("origin", 400, "RepoDeactivated"),
        ("invalid", 400, "InvalidRequest"),
        ("nobody", 400, "InvalidRequest"),
        ("ended", 400, "InvalidRequest"),
        ("unnamed", 400, "InvalidRequest"),
        ("unproven", 500, "ServerError"),
        ("down", 500, "ServerError"),
        ("noservice", 500, "ServerError"),
        ("unresolved", 500, "ResolutionFailed"),
        ("busy", 503, "ServerOverloaded"),
        ("panic", 500, "InternalServerError"),
    ];
    for (rkey, status, name) in cases {
        let by_uri = format!("{BY_URI}?at_uri=at://did:plc:a/app.bsky.feed.like/{rkey}");
        for target in [get("did:plc:a", rkey), by_uri] {
            let answer = server.get(&target).await;
            let message = answer.error(status, name);
            assert!(
                name == "InternalServerError" || message.contains(rkey),
                "{message}"
            );
            if rkey == "busy" {
                assert_eq!(answer.header("retry-after"), Some("7"));
            }
        }
    }
    for (handle, status, name) in [
        ("unnamed.example", 400, "InvalidRequest"),
        ("unresolved.example", 500, "ResolutionFailed"),
    ] {
        server.get(&get(handle, "3k")).await.error(status, name);
    }
    for cid in [OTHER_CID, CID] {
        let rkey = if cid == CID { "nocid" } else { "warm1" };
        let target = format!("{}&cid={cid}", get("did:plc:a", rkey));
        server.get(&target).await.error(400, "RecordNotFound");
    }
}

#[tokio::test]
async fn what_names_no_record_is_refused_by_its_parameter() {
    let server = Server::start().await;
    for (target, name) in [
        (format!("{GET}?{LIKE}&rkey=3k"), "repo"),
        (format!("{GET}?repo=did:plc:a&rkey=3k"), "collection"),
        (format!("{GET}?repo=did:plc:a&{LIKE}"), "rkey"),
        (get("nobody", "3k"), "repo"),
        (get("did:plc", "3k"), "repo"),
        (get("did:plc:a", ".."), "rkey"),
        (get("did:plc:a", "a%20b"), "rkey"),
        (get("did:plc:a", ""), "rkey"),
        (get("did:plc:a", &"k".repeat(513)), "rkey"),
        (
            format!("{GET}?repo=did:plc:a&collection=like&rkey=3k"),
            "collection",
        ),
        (format!("{}&cid=", get("did:plc:a", "warm1")), "cid"),
        (
            format!("{}&cid=Qm12345678", get("did:plc:a", "warm1")),
            "cid",
        ),
        (format!("{}&rkey=other", get("did:plc:a", "warm1")), "rkey"),
        (BY_URI.to_owned(), "at_uri"),
        (format!("{BY_URI}?at_uri=https://x.example"), "at_uri"),
        (
            format!("{BY_URI}?at_uri=at://did:plc:a/app.bsky.feed.like"),
            "at_uri",
        ),
        (
            format!("{BY_URI}?at_uri=at://did:plc:a/app.bsky.feed.like/3k/x"),
            "at_uri",
        ),
        (
            format!("{BY_URI}?at_uri=at://did:plc:a/app.bsky.feed.like/3k%23x"),
            "at_uri",
        ),
    ] {
        let message = server.get(&target).await.error(400, "InvalidRequest");
        assert!(message.contains(name), "{target}: {message}");
    }
    assert_eq!(server.edge.fetched.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_proof_is_a_car_and_its_errors_are_those_of_the_lexicon() {
    let server = Server::start().await;
    let target = |did: &str, rkey: &str| {
        format!("/xrpc/com.atproto.sync.getRecord?did={did}&{LIKE}&rkey={rkey}")
    };
    let car = server.get(&target("did:plc:a", "3k")).await;
    assert_eq!(
        (car.status, car.header("content-type")),
        (200, Some("application/vnd.ipld.car"))
    );
    assert_eq!(car.body, "a CAR of did:plc:a app.bsky.feed.like 3k");
    let head = server.ask("HEAD", &target("did:plc:a", "3k"), &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), car.header("content-length"));
    assert_eq!(head.header("content-type"), car.header("content-type"));
    for (did, rkey, status, name) in [
        ("did:plc:a", "gone", 400, "RecordNotFound"),
        ("did:plc:a", "hidden", 400, "RecordNotFound"),
        ("did:plc:a", "none", 400, "RecordNotFound"),
        ("did:plc:nobody", "3k", 400, "RepoNotFound"),
        ("did:plc:ended", "3k", 400, "RepoNotFound"),
        ("did:plc:noservice", "3k", 400, "RepoNotFound"),
        ("did:plc:a", "origin", 400, "RepoDeactivated"),
        ("did:plc:a", "unproven", 502, "InvalidProof"),
        ("did:plc:a", "down", 502, "UpstreamFailure"),
        ("did:plc:a", "unresolved", 502, "UpstreamFailure"),
        ("did:plc:a", "busy", 503, "ServerOverloaded"),
        ("alice.example", "3k", 400, "InvalidRequest"),
    ] {
        server.get(&target(did, rkey)).await.error(status, name);
    }
}

#[tokio::test]
async fn a_list_is_a_page_of_records() {
    let server = Server::start().await;
    let list = |query: &str| format!("/xrpc/com.atproto.repo.listRecords?{LIKE}&{query}");
    let page = server.get(&list("repo=alice.example")).await.json();
    assert_eq!(page["cursor"], json!(null));
    let uris = page["records"].as_array().unwrap().iter();
    let uris: Vec<&str> = uris.map(|record| record["uri"].as_str().unwrap()).collect();
    assert_eq!(
        uris,
        [
            "at://did:plc:alice/app.bsky.feed.like/z0",
            "at://did:plc:alice/app.bsky.feed.like/z1"
        ]
    );
    let first = server
        .get(&list("repo=did:plc:a&limit=1&reverse=true&cursor="))
        .await;
    assert!(
        first.body.starts_with(&format!(
            r#"{{"cursor":"next \"page\"","records":[{{"cid":"{CID}","uri":"at://did:plc:a/app.bsky.feed.like/a0""#
        )),
        "{}",
        first.body
    );
    for (query, status, name) in [
        ("repo=did:plc:a&limit=0", 400, "InvalidRequest"),
        ("repo=did:plc:a&limit=101", 400, "InvalidRequest"),
        ("repo=x", 400, "InvalidRequest"),
        ("repo=unnamed.example", 400, "InvalidRequest"),
        ("repo=did:plc:nobody", 400, "InvalidRequest"),
        ("repo=did:plc:down", 502, "UpstreamFailure"),
        ("repo=unresolved.example", 502, "UpstreamFailure"),
    ] {
        server.get(&list(query)).await.error(status, name);
    }
}

#[tokio::test]
async fn identities_are_told_with_members_in_their_order() {
    let server = Server::start().await;
    let doc = r#"{"did":"did:plc:alice","handle":"alice.example","pds":"https://pds.example","signing_key":"zQ3sh"}"#;
    let document = r#"{"alsoKnownAs":["at://alice.example"],"id":"did:plc:alice"}"#;
    for (target, body) in [
        (
            "com.atproto.identity.resolveHandle?handle=Alice.EXAMPLE",
            r#"{"did":"did:plc:alice"}"#.to_owned(),
        ),
        (
            "blue.microcosm.identity.resolveMiniDoc?identifier=alice.example",
            doc.to_owned(),
        ),
        (
            "com.bad-example.identity.resolveMiniDoc?identifier=did:plc:alice",
            doc.to_owned(),
        ),
        (
            "com.atproto.identity.resolveDid?did=did:plc:alice",
            format!(r#"{{"didDoc":{document}}}"#),
        ),
        (
            "com.atproto.identity.resolveIdentity?identifier=alice.example",
            format!(r#"{{"did":"did:plc:alice","didDoc":{document},"handle":"alice.example"}}"#),
        ),
        (
            "com.bad-example.identity.resolveService?did=did:plc:alice&id=%23atproto_pds",
            r##"{"endpoint":"https://pds.example/#atproto_pds/any"}"##.to_owned(),
        ),
        (
            "com.bad-example.identity.resolveService?did=alice.example&id=did:plc:alice%23x&type=T",
            r##"{"endpoint":"https://pds.example/#x/T"}"##.to_owned(),
        ),
    ] {
        let answer = server.get(&format!("/xrpc/{target}")).await;
        assert_eq!((answer.status, &answer.body), (200, &body), "{target}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn identities_that_are_not_there_are_told_by_contract_and_lexicons() {
    let server = Server::start().await;
    let handle = "com.atproto.identity.resolveHandle?handle=";
    let mini = "blue.microcosm.identity.resolveMiniDoc?identifier=";
    let did = "com.atproto.identity.resolveDid?did=";
    let identity = "com.atproto.identity.resolveIdentity?identifier=";
    let service = "com.bad-example.identity.resolveService?id=%23x&did=";
    for (method, value, status, name) in [
        (handle, "x", 400, "InvalidRequest"),
        (handle, "did:plc:a", 400, "InvalidRequest"),
        (handle, "unnamed.example", 400, "HandleNotFound"),
        (handle, "nobody.example", 400, "HandleNotFound"),
        (handle, "ended.example", 400, "HandleNotFound"),
        (handle, "unresolved.example", 500, "Failed"),
        (handle, "down.example", 500, "Failed"),
        (mini, "x", 400, "InvalidRequest"),
        (mini, "unnamed.example", 400, "InvalidRequest"),
        (mini, "did:plc:nobody", 400, "InvalidRequest"),
        (mini, "did:plc:noservice", 400, "InvalidRequest"),
        (mini, "unresolved.example", 500, "ResolutionFailed"),
        (mini, "down.example", 500, "ServerError"),
        (did, "alice.example", 400, "InvalidRequest"),
        (did, "did:plc:nobody", 400, "DidNotFound"),
        (did, "did:plc:ended", 400, "DidDeactivated"),
        (did, "did:plc:unresolved", 502, "UpstreamFailure"),
        (did, "did:plc:busy", 503, "ServerOverloaded"),
        (identity, "unnamed.example", 400, "HandleNotFound"),
        (identity, "did:plc:nobody", 400, "DidNotFound"),
        (identity, "did:plc:ended", 400, "DidDeactivated"),
        (identity, "did:plc:down", 502, "UpstreamFailure"),
        (service, "did:plc:noservice", 400, "ServiceNotFound"),
        (service, "unnamed.example", 400, "InvalidRequest"),
        (service, "did:plc:down", 502, "UpstreamFailure"),
    ] {
        let answer = server.get(&format!("/xrpc/{method}{value}")).await;
        let message = answer.error(status, name);
        assert!(!message.is_empty());
    }
    for id in ["", "pds", "%23"] {
        let target = format!("/xrpc/com.bad-example.identity.resolveService?did=did:plc:a&id={id}");
        let message = server.get(&target).await.error(400, "InvalidRequest");
        assert!(message.contains("id"), "{message}");
    }
}

#[tokio::test]
async fn without_an_edge_its_routes_say_so() {
    let server = Server::without_edge().await;
    let body = r#"{"uris":[]}"#;
    let hydrated = format!(
        "/links?target={}&{LIKE}&path=.subject.uri&hydrate=true",
        crate::common::POST
    );
    let answers = [
        server.get(&get("did:plc:a", "warm1")).await,
        server
            .get("/xrpc/com.atproto.identity.resolveDid?did=did:plc:a")
            .await,
        server.post("/xrpc/blue.orrery.repo.getRecords", body).await,
        server.get(&hydrated).await,
    ];
    for answer in answers {
        let message = answer.error(501, "MethodNotImplemented");
        assert!(message.contains("edge cache"), "{message}");
    }
    // What is wrong with a request is said first.
    server
        .get(&get("x", "3k"))
        .await
        .error(400, "InvalidRequest");
    let counts = server
        .post("/xrpc/blue.orrery.links.getCounts", r#"{"items":[]}"#)
        .await;
    assert_eq!(counts.status, 200, "the index is there");
}
