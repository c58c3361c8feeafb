//! Answers with the records that they name: pages of backlinks, batches, and queries of other services.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::edge::{CID, OTHER_CID};
use crate::common::{POST, Server};
use orrery_server::Config;
use serde_json::{Value, json};

const LIKES: &str = "source=app.bsky.feed.like:subject.uri";

fn backlinks() -> String {
    format!("/xrpc/blue.microcosm.links.getBacklinks?subject={POST}&{LIKES}")
}

fn old() -> String {
    format!("/links?target={POST}&collection=app.bsky.feed.like&path=.subject.uri")
}

fn many() -> String {
    "/xrpc/blue.microcosm.links.getManyToMany?subject=did:plc:m&source=app.bsky.graph.listitem:subject&pathToOther=list"
        .to_owned()
}

#[tokio::test]
async fn a_page_is_the_same_with_its_records_beside_each_link() {
    let server = Server::start().await;
    for (target, pointer) in [
        (backlinks(), "/records"),
        (old(), "/linking_records"),
        (many(), "/items"),
    ] {
        let bare = server.get(&target).await;
        assert!(!bare.body.contains("status"), "{}", bare.body);
        for nothing in ["hydrate=", "hydrate=false"] {
            assert_eq!(
                server.get(&format!("{target}&{nothing}")).await.body,
                bare.body
            );
        }
        let hydrated = server.get(&format!("{target}&hydrate=true")).await;
        // Nobody may tell its records after they were deleted.
        assert_eq!(hydrated.header("cache-control"), Some("no-store"));
        let exact = r#""status":"found","cid":"bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy","value":{"$type":"#;
        assert!(hydrated.body.contains(exact), "{}", hydrated.body);
        assert!(hydrated.body.contains(r#""n":1.50"#), "byte for byte");
        let mut without = hydrated.json();
        for item in without
            .pointer_mut(pointer)
            .unwrap()
            .as_array_mut()
            .unwrap()
        {
            let record = match item.get("linkRecord") {
                Some(_) => &mut item["linkRecord"],
                None => item,
            };
            let members = record.as_object_mut().unwrap();
            for name in ["status", "cid", "value"] {
                assert!(members.remove(name).is_some(), "{name}");
            }
        }
        assert_eq!(without, bare.json(), "{target}");
    }
    assert!(server.edge.fetched.load(Ordering::Relaxed) >= 15);
}

#[tokio::test]
async fn paths_choose_values() {
    let server = Server::start().await;
    let query = "hydrate=text,list[].v&hydrate=list[x.y%23z].v&hydrate=nothing&limit=1";
    let page = server.get(&format!("{}&{query}", backlinks())).await.json();
    assert_eq!(
        page["records"][0],
        json!({"did": "did:plc:b", "collection": "app.bsky.feed.like", "rkey": "like4",
               "status": "found", "cid": CID,
               "values": {"text": ["hi"], "list[].v": ["<i>", 2], "list[x.y#z].v": ["<i>"], "nothing": []}})
    );
    for bad in [
        "hydrate=true,text",
        "hydrate=true&limit=101",
        "hydrate=text&limit=1000",
    ] {
        for target in [backlinks(), old(), many()] {
            let answer = server.get(&format!("{target}&{bad}")).await;
            assert!(
                answer.error(400, "InvalidRequest").contains("hydrate"),
                "{bad}"
            );
        }
    }
    let bare = server.get(&format!("{}&limit=1000", backlinks())).await;
    assert_eq!(bare.status, 200);
}

#[tokio::test]
async fn a_page_shows_the_records_and_escapes_them() {
    let server = Server::start().await;
    let page = server.page(&format!("{}&hydrate=true", backlinks())).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("&lt;i&gt;") && !page.body.contains("<i>"));
    let page = server.page(&format!("{}&hydrate=text", many())).await;
    assert!(
        page.body.contains("<code>text</code> &quot;hi&quot;"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn a_batch_tells_each_record_in_its_order() {
    let server = Server::with(Config {
        hydrate_timeout: Duration::from_millis(400),
        hydrate_concurrent: 3,
        ..Config::default()
    })
    .await;
    let uri = |rkey: &str| format!("at://did:plc:a/app.bsky.feed.post/{rkey}");
    let uris = [
        uri("1"),
        uri("gone"),
        uri("hidden"),
        uri("none"),
        uri("down"),
        uri("origin"),
        "nonsense".to_owned(),
        uri("slow"),
        uri("late"),
        uri("warm"),
        "at://Alice.example/app.bsky.feed.post/1".to_owned(),
        uri("1"),
        "at://unnamed.example/app.bsky.feed.post/1".to_owned(),
    ];
    let started = Instant::now();
    let answer = server
        .post(
            "/xrpc/blue.orrery.repo.getRecords",
            &json!({ "uris": uris }).to_string(),
        )
        .await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.json();
    let told: Vec<(&str, Option<&str>)> = answer["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["status"].as_str().unwrap(), record["error"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("found", None),
            ("deleted", Some("RecordNotFound")),
            ("hidden", Some("RecordNotFound")),
            ("unavailable", Some("RecordNotFound")),
            ("unavailable", Some("ServerError")),
            ("unavailable", Some("RepoDeactivated")),
            ("invalid", Some("InvalidRequest")),
            ("unavailable", Some("Timeout")),
            ("found", None),
            ("found", None),
            ("found", None),
            ("found", None),
            ("unavailable", Some("InvalidRequest")),
        ]
    );
    for (record, uri) in answer["records"].as_array().unwrap().iter().zip(&uris) {
        assert_eq!(record["uri"], **uri);
        let is_found = record["status"] == "found";
        assert_eq!(record["value"].is_object(), is_found);
        assert_eq!(record["reason"].is_string(), !is_found);
    }
    // One record is fetched once, and no more than three at the same time.
    assert_eq!(server.edge.fetched.load(Ordering::Relaxed), 9);
    assert!(server.edge.running_most.load(Ordering::Relaxed) <= 3);
}

#[tokio::test]
async fn counts_and_first_pages_come_in_their_order_whatever_one_item_is() {
    let server = Server::start().await;
    let items = json!([
        {"subject": POST, "source": "app.bsky.feed.like:subject.uri"},
        {"subject": POST, "source": "no colon"},
        {"subject": "did:plc:nobody", "source": "app.bsky.feed.like:subject.uri"},
        {"subject": "", "source": "a:b"},
        {"source": "a:b"},
        {"subject": "did:plc:m", "source": "app.bsky.graph.listitem:subject"},
    ]);
    let body = json!({"items": items, "distinct": true}).to_string();
    let answer = server
        .post("/xrpc/blue.orrery.links.getCounts", &body)
        .await;
    assert_eq!(
        answer.header("orrery-indexed-through"),
        Some("1700000004000000")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.json();
    let counts = answer["counts"].as_array().unwrap();
    assert_eq!(counts.len(), 6);
    assert_eq!(counts[0], json!({"total": 5, "distinct": 3}));
    assert_eq!(counts[2], json!({"total": 0, "distinct": 0}));
    assert_eq!(counts[5], json!({"total": 5, "distinct": 3}));
    for (bad, why) in [(1, "source"), (3, "subject"), (4, "subject")] {
        assert_eq!(counts[bad]["error"], "InvalidRequest");
        assert!(counts[bad]["reason"].as_str().unwrap().contains(why));
    }
    assert_eq!(answer["coverage"]["through"], 1_700_000_004_000_000_u64);
    let body = json!({"items": items}).to_string();
    let bare = server
        .post("/xrpc/blue.orrery.links.getCounts", &body)
        .await
        .json();
    assert_eq!(bare["counts"][0], json!({"total": 5}));

    let body = json!({"items": items, "limit": 2}).to_string();
    let answer = server
        .post("/xrpc/blue.orrery.links.getBacklinksPages", &body)
        .await
        .json();
    let pages = answer["pages"].as_array().unwrap();
    let alone = server.get(&format!("{}&limit=2", backlinks())).await.json();
    for name in ["total", "records", "cursor"] {
        assert_eq!(pages[0][name], alone[name], "{name}");
    }
    assert_eq!(pages[1]["error"], "InvalidRequest");
    assert_eq!(pages[2], json!({"total": 0, "records": []}));
    for bad in [json!(0), json!(101), json!("5"), json!(1.5)] {
        let body = json!({"items": items, "limit": bad}).to_string();
        let answer = server
            .post("/xrpc/blue.orrery.links.getBacklinksPages", &body)
            .await;
        answer.error(400, "InvalidRequest");
    }
}

#[tokio::test]
async fn damage_is_told_with_a_batch_and_refused_where_nothing_incomplete_is_given() {
    let body = json!({"items": [{"subject": POST, "source": "a:b"}]}).to_string();
    for strict in [false, true] {
        let server = Server::with(Config {
            strict,
            ..Config::default()
        })
        .await;
        server.model.degraded.lock().push((3, 9));
        let answer = server
            .post("/xrpc/blue.orrery.links.getCounts", &body)
            .await;
        if strict {
            answer.error(503, "IndexDegraded");
        } else {
            assert_eq!(answer.header("orrery-degraded"), Some("3-9"));
            assert_eq!(answer.json()["coverage"]["degraded"], json!(["3-9"]));
        }
    }
}

#[tokio::test]
async fn bodies_are_bounded_in_depth_and_in_time() {
    let server = Server::with(Config {
        request_deadline: Duration::from_millis(400),
        ..Config::default()
    })
    .await;
    let deep = format!("{{\"params\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for path in [
        "blue.orrery.repo.getRecords",
        "com.bad-example.proxy.hydrateQueryResponse",
    ] {
        let answer = server.post(&format!("/xrpc/{path}"), &deep).await;
        answer.error(400, "InvalidRequest");
    }
    let head = "POST /xrpc/blue.orrery.repo.getRecords HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = crate::common::exchange(server.address, head.as_bytes()).await;
    answer.error(408, "RequestTimeout");
}

const PROXY: &str = "/xrpc/com.bad-example.proxy.hydrateQueryResponse";

fn query(service: &str, xrpc: &str) -> Value {
    json!({
        "xrpc": xrpc, "atproto_proxy": service, "params": {"feed": "x y", "limit": 3},
        "hydration_sources": [
            {"path": "records[]", "shape": "at-uri-parts"},
            {"path": "post", "shape": "strong-ref"},
            {"path": "by", "shape": "at-uri-parts"},
        ],
        "authorization": "Bearer secret", "atproto_accept_labelers": "did:plc:l",
    })
}

#[tokio::test]
async fn a_query_of_another_service_comes_with_what_it_names() {
    let server = Server::with(Config {
        hydrate_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let body = query("did:web:feeds.example#svc", "app.example.getFeed").to_string();
    let answer = server.post(PROXY, &body).await.json();
    let asked = server.edge.calls.lock().pop().unwrap();
    assert_eq!(
        (
            asked.service.as_str(),
            asked.method.as_str(),
            asked.query.as_str()
        ),
        (
            "did:web:feeds.example#svc",
            "app.example.getFeed",
            "feed=x%20y&limit=3"
        )
    );
    assert_eq!(asked.authorization.as_deref(), Some("Bearer secret"));
    assert_eq!(asked.accept_labelers.as_deref(), Some("did:plc:l"));
    assert_eq!(answer["output"]["post"]["cid"], OTHER_CID);
    let records = answer["records"].as_object().unwrap();
    assert_eq!(records.len(), 4);
    let found = &records["at://did:plc:a/a.b.c/1"];
    assert_eq!(
        (&found["status"], &found["cid"]),
        (&json!("found"), &json!(CID))
    );
    assert_eq!(found["value"]["text"], "hi");
    assert_eq!(found["reason"], Value::Null);
    let gone = &records["at://did:plc:a/a.b.c/gone"];
    assert_eq!(
        (&gone["status"], &gone["shouldRetry"]),
        (&json!("error"), &json!(false))
    );
    assert!(gone["reason"].is_string() && gone["followUp"].is_null());
    let slow = &records["at://did:plc:a/a.b.c/slow"];
    assert_eq!(
        (&slow["status"], &slow["shouldRetry"]),
        (&json!("pending"), &json!(true))
    );
    assert_eq!(
        slow["followUp"],
        "/xrpc/com.atproto.repo.getRecord?repo=did:plc:a&collection=a.b.c&rkey=slow"
    );
    let other = &records["at://bob.example/a.b.c/2"];
    assert_eq!(other["uri"], "at://did:plc:alice/a.b.c/2");
    assert!(
        other["reason"].as_str().unwrap().contains(OTHER_CID),
        "{other}"
    );
    let identifiers = answer["identifiers"].as_object().unwrap();
    assert_eq!(identifiers.len(), 3);
    assert_eq!(identifiers["bob.example"]["did"], "did:plc:alice");
    assert_eq!(identifiers["did:plc:a"]["handle"], "alice.example");
    assert_eq!(identifiers["did:plc:nobody"]["status"], "error");
    assert!(!answer.to_string().contains("secret"));
    for (method, status, name) in [
        ("app.example.origin", 400, "RepoDeactivated"),
        ("app.example.down", 502, "UpstreamFailure"),
        ("app.example.busy", 503, "ServerOverloaded"),
        ("app.example.nobody", 400, "InvalidRequest"),
    ] {
        let body = query("did:web:feeds.example#svc", method).to_string();
        let message = server.post(PROXY, &body).await.error(status, name);
        assert!(!message.contains("secret"));
    }
}

#[tokio::test]
async fn a_query_of_the_own_service_is_answered_without_asking_anyone() {
    let server = Server::with(Config {
        did_web_domain: Some("links.example".into()),
        ..Config::default()
    })
    .await;
    let ask = |service: &str, xrpc: &str, params: Value| {
        let sources = json!([{"path": "records[]", "shape": "at-uri-parts"}]);
        json!({"xrpc": xrpc, "atproto_proxy": service, "params": params, "hydration_sources": sources})
            .to_string()
    };
    let own = "did:web:links.example#constellation";
    let likes = json!({"subject": POST, "source": "app.bsky.feed.like:subject.uri", "limit": 2});
    let body = ask(own, "blue.microcosm.links.getBacklinks", likes);
    let answer = server.post(PROXY, &body).await.json();
    assert_eq!(
        answer["output"],
        server.get(&format!("{}&limit=2", backlinks())).await.json()
    );
    let like = &answer["records"]["at://did:plc:b/app.bsky.feed.like/like4"];
    assert_eq!(like["status"], "found", "{answer}");
    for (service, method, status, name) in [
        (
            own,
            "blue.microcosm.links.getBacklinks",
            400,
            "InvalidRequest",
        ),
        (
            own,
            "com.bad-example.proxy.hydrateQueryResponse",
            405,
            "MethodNotAllowed",
        ),
        (own, "app.example.nothing", 404, "NotFound"),
        (
            "did:web:links.example#other",
            "blue.microcosm.links.getBacklinks",
            400,
            "InvalidRequest",
        ),
    ] {
        let answer = server.post(PROXY, &ask(service, method, json!({}))).await;
        answer.error(status, name);
    }
    let car = json!({"did": "did:plc:a", "collection": "a.b.c", "rkey": "1"});
    let body = ask(
        "did:web:links.example#slingshot",
        "com.atproto.sync.getRecord",
        car,
    );
    server.post(PROXY, &body).await.error(400, "InvalidRequest");
    assert!(server.edge.calls.lock().is_empty());
}

#[tokio::test]
async fn no_more_records_are_held_for_an_answer_than_it_has_room_for() {
    let server = Server::start().await;
    let uris: Vec<String> = (0..100)
        .map(|i| format!("at://did:plc:a/a.b.c/big{i}"))
        .collect();
    let body = json!({ "uris": uris }).to_string();
    let answer = server
        .post("/xrpc/blue.orrery.repo.getRecords", &body)
        .await;
    let json = answer.json();
    let records = json["records"].as_array().unwrap();
    assert_eq!(records.len(), 100);
    let found = records.iter().filter(|r| r["status"] == "found").count();
    assert_eq!(found, 15);
    for record in records.iter().filter(|r| r["status"] != "found") {
        assert_eq!(record["error"], "ResponseTooLarge", "{record}");
    }
    // Those of the answer, and those on their way.
    let held = server.edge.big_most.load(Ordering::Relaxed);
    assert!(held <= 15 + 2 * 16, "{held}");
}
