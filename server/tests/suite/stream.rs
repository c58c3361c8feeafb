//! What subscribers of the link stream are told, over real websockets.

use std::time::Duration;

use crate::common::Server;
use crate::common::feed::{Client, LIKE, TIME_US};
use orrery_query::stream::Info;
use orrery_server::{Config, StreamConfig};
use serde_json::json;

const POST: &str = "at://did:plc:b/com.ex.post/3j";

/// A server whose delay is short.
async fn server() -> Server {
    let stream = StreamConfig {
        delay: Duration::from_millis(400),
        ..StreamConfig::default()
    };
    Server::with(Config {
        stream,
        ..Config::default()
    })
    .await
}

fn record(n: usize) -> String {
    format!("at://did:plc:a/com.ex.like/{n}")
}

#[tokio::test]
async fn a_plain_client_gets_the_frames_it_knows_byte_for_byte() {
    let server = server().await;
    let mut client = Client::open(server.address, "?instant=true").await;
    let links = [
        (LIKE, POST),
        ("com.ex.like:\"é\"[]", "https://x.example/\u{1}\\"),
    ];
    server
        .events
        .create("at://did:plc:a/com.ex.like/3k", &links);
    assert_eq!(
        client.text().await,
        r#"{"kind":"link","origin":"live","link":{"operation":"create","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/3k","source_rev":"3rev","subject":"at://did:plc:b/com.ex.post/3j"}}"#
    );
    assert_eq!(
        client.text().await,
        r#"{"kind":"link","origin":"live","link":{"operation":"create","source":"com.ex.like:\"é\"[]","source_record":"at://did:plc:a/com.ex.like/3k","source_rev":"3rev","subject":"https://x.example/\u0001\\"}}"#
    );
    // Deletes are nothing to it.
    server
        .events
        .delete("at://did:plc:a/com.ex.like/3k", &links);
    server.events.create(&record(1), &[(LIKE, "did:plc:c")]);
    assert_eq!(client.subjects(1).await, ["did:plc:c"]);
}

#[tokio::test]
async fn a_subscription_in_vain_is_let_in_with_a_hint() {
    let server = server().await;
    for (query, hint) in [
        ("?instant=true&wantedSources=com.ex.like:subject.uri", None),
        (
            "?instant=true&wantedSources=com.ex.like",
            Some("wantedSources: com.ex.like is not"),
        ),
        (
            "?wantedSubjects=alice.example.com",
            Some("alice.example.com is a handle"),
        ),
        (
            "?wantedSubjectPrefixes=at://alice.example.com/",
            Some("wantedSubjectPrefixes: alice.example.com stands in the place of a DID"),
        ),
        (
            "?wantedSubjectDids=bsky.app",
            Some("wantedSubjectDids: bsky.app is a handle"),
        ),
    ] {
        let url = format!("ws://{}/subscribe{query}", server.address);
        let (_socket, response) = tokio_tungstenite::connect_async(url).await.unwrap();
        let told = response.headers().get("orrery-hint");
        let told = told.map(|told| told.to_str().unwrap());
        assert_eq!(told.is_some(), hint.is_some(), "{query}");
        assert!(told.unwrap_or("").contains(hint.unwrap_or("")), "{told:?}");
    }
}

#[tokio::test]
async fn a_message_that_wants_in_vain_is_answered_by_a_hint_before_what_comes_by_it() {
    let server = server().await;
    let mut client = Client::open(server.address, "?instant=true&requireHello=true").await;
    let mut plain = Client::open(server.address, "?instant=true").await;
    let long: Vec<String> = (0..2000).map(|n| format!("did:plc:n{n}")).collect();
    for (wants, hint) in [
        (
            json!({"wantedSubjectDids": ["bsky.app", "did:plc:b"]}),
            "wantedSubjectDids: bsky.app is a handle",
        ),
        (
            json!({"wantedSources": [LIKE, "com.ex.like"]}),
            "wantedSources: com.ex.like is not",
        ),
        (
            json!({"wantedSubjects": long, "wantedSubjectDids": ["did:plc:b", "word"]}),
            "wantedSubjectDids: word is no DID",
        ),
    ] {
        client.wants(wants.clone()).await;
        plain.wants(wants.clone()).await;
        let frame = client.json().await;
        assert_eq!(frame["kind"], "info", "{frame}");
        assert_eq!(frame["info"]["name"], "Hint", "{frame}");
        let message = frame["info"]["message"].as_str().unwrap();
        assert!(message.contains(hint), "{message}");
    }
    // What can match is taken without a word, and clients that know no such frame get none.
    client
        .wants(json!({"wantedSubjectDids": ["did:plc:b"]}))
        .await;
    settle(&mut client).await;
    settle(&mut plain).await;
    server.events.create(&record(1), &[(LIKE, POST)]);
    assert_eq!(client.subjects(1).await, [POST]);
    assert_eq!(plain.subjects(1).await, [POST]);
}

#[tokio::test]
async fn an_extended_client_gets_times_cursors_and_what_it_wants() {
    let server = server().await;
    let address = server.address;
    let mut all = Client::open(
        address,
        "?instant=true&wantedOperations=create&wantedOperations=delete",
    )
    .await;
    let mut deletes = Client::open(address, "?instant=true&wantedOperations=delete").await;
    let mut timed = Client::open(address, "?instant=true&includeTime=true").await;
    let mut nothing = Client::open(address, "?instant=true&wantedOperations=").await;
    let mut replays = Client::open(address, "?instant=true&wantedOrigins=replay").await;
    server.events.create(&record(1), &[(LIKE, POST)]);
    server.events.delete(&record(1), &[(LIKE, POST)]);
    server.events.create(&record(2), &[(LIKE, "did:plc:c")]);
    let created = format!(
        r#"{{"kind":"link","origin":"live","link":{{"operation":"create","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/1","source_rev":"3rev","subject":"at://did:plc:b/com.ex.post/3j"}},"time_us":{},"cursor":"1.0"}}"#,
        TIME_US + 1000
    );
    let deleted = format!(
        r#"{{"kind":"link","origin":"live","link":{{"operation":"delete","source":"com.ex.like:subject.uri","source_record":"at://did:plc:a/com.ex.like/1","source_rev":"4rev","subject":"at://did:plc:b/com.ex.post/3j","cause":"record"}},"time_us":{},"cursor":"2.0"}}"#,
        TIME_US + 2000
    );
    assert_eq!(all.text().await, created);
    assert_eq!(all.text().await, deleted);
    assert_eq!(all.json().await["cursor"], "3.0");
    assert_eq!(deletes.text().await, deleted);
    assert_eq!(timed.text().await, created);
    assert_eq!(timed.json().await["cursor"], "3.0");
    for client in [&mut deletes, &mut nothing, &mut replays] {
        client.quiet(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn lists_select_and_a_message_replaces_them() {
    let server = server().await;
    let address = server.address;
    let prefix = "?instant=true&wantedSubjectPrefixes=https://x.example/";
    let mut by_prefix = Client::open(address, prefix).await;
    let mut by_did = Client::open(address, "?instant=true&wantedSubjectDids[]=did:plc:b").await;
    let both = format!("?instant=true&wantedSubjects={POST}&wantedSources=other:x");
    let mut by_both = Client::open(address, &both).await;
    let mut changing = Client::open(address, "?instant=true&wantedSubjects=nothing").await;
    let tell = |n: usize| {
        let links = [
            (LIKE, POST),
            ("other:x", POST),
            (LIKE, "https://x.example/a"),
            (LIKE, "did:plc:b"),
            (LIKE, "at://did:plc:b#f"),
        ];
        server.events.create(&record(n), &links);
    };
    tell(0);
    assert_eq!(by_prefix.subjects(1).await, ["https://x.example/a"]);
    assert_eq!(
        by_did.subjects(4).await,
        [POST, POST, "did:plc:b", "at://did:plc:b#f"]
    );
    assert_eq!(by_both.json().await["link"]["source"], "other:x");
    changing.quiet(Duration::from_millis(50)).await;
    changing
        .wants(json!({"wantedSubjects": ["did:plc:b"]}))
        .await;
    // The answer to a ping tells that what was sent before it was taken.
    settle(&mut changing).await;
    tell(1);
    assert_eq!(changing.subjects(1).await, ["did:plc:b"]);
    changing.wants(json!({"wantedSources": ["other:x"]})).await;
    settle(&mut changing).await;
    tell(2);
    assert_eq!(changing.subjects(1).await, [POST]);
    changing.wants(json!({})).await;
    settle(&mut changing).await;
    tell(3);
    assert_eq!(changing.subjects(5).await.len(), 5);
}

/// Waits until the server has taken what the client sent.
async fn settle(client: &mut Client) {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let ping = Message::Ping(b"settle"[..].to_vec().into());
    client.socket.send(ping).await.unwrap();
    loop {
        match client.socket.next().await.unwrap().unwrap() {
            Message::Pong(bytes) if &*bytes == b"settle" => return,
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_commit_tells_its_first_hundred_links_unless_all_are_wanted() {
    let server = server().await;
    let mut plain = Client::open(server.address, "?instant=true").await;
    let mut timed = Client::open(server.address, "?instant=true&includeTime=true").await;
    let mut all = Client::open(server.address, "?instant=true&allLinks=true").await;
    let subjects: Vec<String> = (0..120).map(|n| format!("did:plc:{n}")).collect();
    let links: Vec<(&str, &str)> = subjects.iter().map(|subject| (LIKE, &**subject)).collect();
    server.events.create(&record(1), &links);
    server.events.create(&record(2), &[(LIKE, "did:plc:end")]);
    for client in [&mut plain, &mut timed] {
        let told = client.subjects(101).await;
        assert_eq!(told[..100], subjects[..100]);
        assert_eq!(told[100], "did:plc:end");
    }
    assert_eq!(all.subjects(120).await, subjects);
}

#[tokio::test]
async fn without_instant_links_come_late_and_what_is_undone_meanwhile_never() {
    let server = server().await;
    let mut plain = Client::open(server.address, "").await;
    let every = "?wantedOperations=create&wantedOperations=delete";
    let mut every = Client::open(server.address, every).await;
    let started = std::time::Instant::now();
    server.events.create(&record(1), &[(LIKE, "did:plc:kept")]);
    server
        .events
        .create(&record(2), &[(LIKE, "did:plc:undone")]);
    server.events.create(&record(3), &[(LIKE, "did:plc:old")]);
    server
        .events
        .delete(&record(2), &[(LIKE, "did:plc:undone")]);
    server
        .events
        .delete(&record(9), &[(LIKE, "did:plc:before")]);
    server.events.create(&record(3), &[(LIKE, "did:plc:new")]);
    assert_eq!(plain.subjects(2).await, ["did:plc:kept", "did:plc:new"]);
    assert!(started.elapsed() >= Duration::from_millis(350));
    assert_eq!(
        every.subjects(4).await,
        [
            "did:plc:kept",
            "did:plc:old",
            "did:plc:before",
            "did:plc:new"
        ]
    );
    plain.quiet(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_client_may_wait_for_its_first_options() {
    let server = server().await;
    for start in ["", "&cursor=1"] {
        let query = format!("?instant=true&requireHello=true{start}");
        let mut client = Client::open(server.address, &query).await;
        server.events.create(&record(1), &[(LIKE, "did:plc:a")]);
        client.quiet(Duration::from_millis(100)).await;
        client.wants(json!({"wantedSubjects": ["did:plc:b"]})).await;
        if start.is_empty() {
            settle(&mut client).await;
        }
        server
            .events
            .create(&record(2), &[(LIKE, "did:plc:a"), (LIKE, "did:plc:b")]);
        assert_eq!(client.subjects(1).await, ["did:plc:b"]);
    }
}

#[tokio::test]
async fn what_is_lost_is_told_to_those_who_know_what_that_means() {
    let server = server().await;
    let lost = Info::EventsLost {
        first_seq: 1,
        last_seq: 2,
    };
    server.events.inform(2, lost);
    let mut plain = Client::open(server.address, "?instant=true").await;
    let mut timed = Client::open(server.address, "?instant=true&includeTime=true").await;
    server.events.create(&record(1), &[(LIKE, "did:plc:a")]);
    server.events.create(&record(2), &[(LIKE, "did:plc:b")]);
    assert_eq!(plain.subjects(2).await, ["did:plc:a", "did:plc:b"]);
    assert_eq!(timed.subjects(1).await, ["did:plc:a"]);
    assert_eq!(
        timed.text().await,
        r#"{"kind":"info","info":{"name":"EventsLost","first_seq":1,"last_seq":2}}"#
    );
    assert_eq!(timed.subjects(1).await, ["did:plc:b"]);
}

#[tokio::test]
async fn what_is_lost_is_told_behind_all_that_came_before_it() {
    let config = StreamConfig {
        delay: Duration::from_millis(300),
        ..StreamConfig::default()
    };
    let server = Server::with(Config {
        stream: config,
        ..Config::default()
    })
    .await;
    let mut clients = Vec::new();
    for query in ["?includeTime=true", "?cursor=1", "?instant=true&cursor=1"] {
        clients.push(Client::open(server.address, query).await);
    }
    let lost = Info::EventsLost {
        first_seq: 2,
        last_seq: 2,
    };
    server.events.inform(2, lost);
    for n in [1, 2] {
        let record = format!("at://did:plc:a/com.ex.like/{n}");
        server
            .events
            .create(&record, &[(LIKE, &format!("did:plc:{n}"))]);
    }
    for client in &mut clients {
        assert_eq!(client.subjects(1).await, ["did:plc:1"]);
        let info = client.json().await;
        assert_eq!(info["info"]["name"], "EventsLost", "{info}");
        assert_eq!(client.subjects(1).await, ["did:plc:2"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_read_is_tried_again_and_loses_nothing() {
    let server = server().await;
    let mut client = Client::open(server.address, "?instant=true").await;
    server.events.create(&record(1), &[(LIKE, "did:plc:a")]);
    assert_eq!(client.subjects(1).await, ["did:plc:a"]);
    server.events.fail(1);
    server.events.create(&record(2), &[(LIKE, "did:plc:b")]);
    assert_eq!(client.subjects(1).await, ["did:plc:b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deletion_of_a_large_account_overruns_nobody() {
    let stream = StreamConfig {
        queue_frames: 60_000,
        ..StreamConfig::default()
    };
    let server = Server::with(Config {
        stream,
        ..Config::default()
    })
    .await;
    let query = "?instant=true&wantedOperations=delete";
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::open(server.address, query).await);
    }
    let seq = server.events.delete_account("did:plc:a", 100_000);
    let reads = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            for index in 0..100_000 {
                let text = client.text().await;
                let cursor = format!("\"cursor\":\"{seq}.{index}\"}}");
                assert!(text.ends_with(&cursor), "{text} is not {cursor}");
            }
        })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_is_withheld_live_late_or_replayed() {
    let server = server().await;
    let address = server.address;
    let other = "at://did:plc:z/com.ex.like/1";
    let mut live = Client::open(address, "?instant=true").await;
    let mut extended = Client::open(address, "?instant=true&wantedOperations=create").await;
    let mut late = Client::open(address, "").await;
    server.events.create(other, &[(LIKE, "did:plc:first")]);
    assert_eq!(live.subjects(1).await, ["did:plc:first"]);
    // What waits for the delay when it is withheld is not told either.
    server.events.withhold(Some("did:plc:z"));
    server.events.create(other, &[(LIKE, "did:plc:second")]);
    let links = [(LIKE, "did:plc:third"), (LIKE, "did:plc:z")];
    server.events.create(&record(1), &links);
    assert_eq!(live.subjects(1).await, ["did:plc:third"]);
    assert_eq!(
        extended.subjects(2).await,
        ["did:plc:first", "did:plc:third"]
    );
    assert_eq!(late.subjects(1).await, ["did:plc:third"]);
    let mut replayed = Client::open(address, "?instant=true&cursor=1").await;
    assert_eq!(replayed.subjects(1).await, ["did:plc:third"]);
    server.events.withhold(None);
    let mut replayed = Client::open(address, "?instant=true&cursor=1").await;
    let all = [
        "did:plc:first",
        "did:plc:second",
        "did:plc:third",
        "did:plc:z",
    ];
    assert_eq!(replayed.subjects(4).await, all);
}
