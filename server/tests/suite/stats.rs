//! The routes that tell of collections, over a real socket: shapes, parameters, pages and errors.

use crate::common::{Response, Server};
use serde_json::{Value, json};

/// The three hours of the model's events.
const SPAN: &str = "since=2023-11-14T22:00:00Z&until=2023-11-15T01:00:00Z";

fn counts(creates: u32, updates: u32, deletes: u32, dids: u32) -> Value {
    json!({"creates": creates, "updates": updates, "deletes": deletes, "dids_estimate": dids})
}

fn named(member: &str, name: &str, mut counts: Value) -> Value {
    counts[member] = name.into();
    counts
}

fn child(kind: &str, name: &str, counts: Value) -> Value {
    let member = if kind == "prefix" { "prefix" } else { "nsid" };
    named("type", kind, named(member, name, counts))
}

/// Follows cursors to the end and joins the pages' lists. Gives them, and the first answer.
async fn all_pages(server: &Server, path: &str, list: &str) -> (Vec<Value>, Value) {
    let first = server.get(path).await.json();
    let (mut items, mut last) = (Vec::new(), first.clone());
    loop {
        items.extend(last[list].as_array().unwrap().clone());
        let Some(cursor) = last["cursor"].as_str() else {
            assert!(last["cursor"].is_null());
            return (items, first);
        };
        assert!(items.len() < 100, "pages end");
        last = server.get(&format!("{path}&cursor={cursor}")).await.json();
    }
}

#[tokio::test]
async fn collections_are_listed_by_name_and_by_count() {
    let server = Server::start().await;
    let all = server.get("/collections").await.json();
    let by_name = [
        named("nsid", "app.bsky.feed", counts(1, 0, 0, 1)),
        named("nsid", "app.bsky.feed.like", counts(3, 0, 1, 2)),
        named("nsid", "app.bsky.feed.post", counts(1, 1, 0, 1)),
        named("nsid", "app.bsky.graph.follow", counts(1, 0, 0, 1)),
        named("nsid", "sh.feedback.inbox.note", counts(1, 0, 0, 1)),
        named("nsid", "sh.tangled.feed.star", counts(0, 0, 1, 1)),
    ];
    assert_eq!(all["collections"], json!(by_name));
    assert!(all["cursor"].is_null());
    let (paged, _) = all_pages(&server, "/collections?limit=2", "collections").await;
    assert_eq!(paged, by_name);
    let hour = "since=2023-11-14T23:00:00Z&until=2023-11-15T00:00:00Z";
    let one = server.get(&format!("/collections?{hour}")).await.json();
    assert_eq!(
        one["collections"],
        json!([
            named("nsid", "app.bsky.feed", counts(1, 0, 0, 1)),
            named("nsid", "app.bsky.feed.like", counts(0, 0, 1, 1)),
            named("nsid", "app.bsky.feed.post", counts(0, 1, 0, 1)),
        ])
    );
    for (order, names) in [
        (
            "records-created",
            ["app.bsky.feed.like", "app.bsky.feed", "app.bsky.feed.post"],
        ),
        (
            "dids-estimate",
            ["app.bsky.feed.like", "app.bsky.feed", "app.bsky.feed.post"],
        ),
        (
            "did-estimate",
            ["app.bsky.feed.like", "app.bsky.feed", "app.bsky.feed.post"],
        ),
    ] {
        let path = format!("/collections?order={order}&limit=2&{SPAN}");
        let (paged, _) = all_pages(&server, &path, "collections").await;
        let listed: Vec<&str> = paged.iter().map(|c| c["nsid"].as_str().unwrap()).collect();
        assert_eq!(listed[..3], names, "{order}");
        // Without creates there is no place by creates.
        assert_eq!(
            listed.contains(&"sh.tangled.feed.star"),
            order != "records-created"
        );
    }
}

#[tokio::test]
async fn answers_say_which_hours_they_count() {
    let server = Server::start().await;
    let all = server.get("/collections").await.json();
    assert_eq!(
        all["coverage"],
        json!({
            "from": 1_700_000_000_000_000_u64, "through": 1_700_000_004_000_000_u64,
            "since": null, "until": null,
            "current_hour": "2023-11-14T22:00:00Z", "includes_current_hour": true,
        })
    );
    let bounded = server
        .get("/collections?until=2023-11-14T22:59:00Z")
        .await
        .json();
    assert_eq!(bounded["coverage"]["until"], "2023-11-14T22:00:00Z");
    assert_eq!(bounded["coverage"]["includes_current_hour"], false);
}

#[tokio::test]
async fn named_collections_have_their_counts() {
    let server = Server::start().await;
    let path =
        format!("/collections/stats?collection=app.bsky.feed.like&collection[]=a.b.unknown&{SPAN}");
    assert_eq!(
        server.get(&path).await.json(),
        json!({"app.bsky.feed.like": counts(3, 0, 1, 2), "a.b.unknown": counts(0, 0, 0, 0)})
    );
    assert_eq!(
        server.get("/collections/stats?collection=").await.json(),
        json!({})
    );
    // The last seven days, in which nothing happened.
    let recent = server
        .get("/collections/stats?collection=app.bsky.feed.like")
        .await;
    assert_eq!(
        recent.json(),
        json!({"app.bsky.feed.like": counts(0, 0, 0, 0)})
    );
}

#[tokio::test]
async fn a_prefix_has_one_total_whatever_the_page_and_order() {
    let server = Server::start().await;
    let total = counts(6, 1, 1, 4);
    let by_name = [
        child("collection", "app.bsky.feed", counts(1, 0, 0, 1)),
        child("prefix", "app.bsky.feed", counts(4, 1, 1, 2)),
        child("prefix", "app.bsky.graph", counts(1, 0, 0, 1)),
    ];
    for limit in 1..=3 {
        let path = format!("/prefix?prefix=app.bsky&limit={limit}&{SPAN}");
        let (children, first) = all_pages(&server, &path, "children").await;
        assert_eq!((&children[..], &first["total"]), (&by_name[..], &total));
    }
    let path = format!("/prefix?prefix=app.bsky&order=records-created&limit=1&{SPAN}");
    let (children, first) = all_pages(&server, &path, "children").await;
    assert_eq!(
        children,
        [by_name[1].clone(), by_name[0].clone(), by_name[2].clone()]
    );
    assert_eq!(first["total"], total);
    let none = server.get("/prefix?prefix=no.such").await.json();
    assert_eq!(
        (&none["total"], &none["children"]),
        (&counts(0, 0, 0, 0), &json!([]))
    );
}

#[tokio::test]
async fn series_of_collections_and_prefixes_share_their_steps() {
    let server = Server::start().await;
    let path = format!(
        "/timeseries?collection=app.bsky.feed.like&collection=app.bsky.feed.post&prefix=app.bsky.feed&step=3600&{SPAN}"
    );
    let answer = server.get(&path).await.json();
    assert_eq!(
        answer["range"],
        json!([
            "2023-11-14T22:00:00Z",
            "2023-11-14T23:00:00Z",
            "2023-11-15T00:00:00Z"
        ])
    );
    assert_eq!(
        answer["series"],
        json!({
            "app.bsky.feed.like": [counts(2, 0, 0, 2), counts(0, 0, 1, 1), counts(1, 0, 0, 1)],
            "app.bsky.feed.post": [counts(1, 0, 0, 1), counts(0, 1, 0, 1), counts(0, 0, 0, 0)],
            "app.bsky.feed.*": [counts(3, 0, 0, 2), counts(0, 1, 1, 2), counts(1, 0, 0, 1)],
        })
    );
    let aligned = server
        .get(&format!(
            "/timeseries?collection=app.bsky.feed.like&align=utc&{SPAN}"
        ))
        .await
        .json();
    assert_eq!(
        aligned["range"],
        json!(["2023-11-14T22:00:00Z", "2023-11-15T00:00:00Z"])
    );
    assert_eq!(
        aligned["series"]["app.bsky.feed.like"],
        json!([counts(2, 0, 1, 2), counts(1, 0, 0, 1)])
    );
    let empty =
        "/timeseries?collection=a.b.c&since=2023-11-15T00:00:00Z&until=2023-11-14T00:00:00Z";
    let empty = server.get(empty).await.json();
    assert_eq!(
        (&empty["range"], &empty["series"]),
        (&json!([]), &json!({"a.b.c": []}))
    );
}

#[tokio::test]
async fn searches_rank_whole_segments_first_and_page() {
    let server = Server::start().await;
    let (matches, _) = all_pages(&server, "/search?q=feed+star&limit=1", "matches").await;
    let names: Vec<&str> = matches
        .iter()
        .map(|m| m["nsid"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "app.bsky.feed",
            "app.bsky.feed.like",
            "app.bsky.feed.post",
            "sh.tangled.feed.star",
            "sh.feedback.inbox.note"
        ]
    );
    assert_eq!(
        matches[3],
        named("nsid", "sh.tangled.feed.star", counts(0, 0, 1, 1))
    );
    let none = server.get("/search?q=Feed").await.json();
    assert_eq!(none["matches"], json!([]));
    let all = server.get("/search?q=").await.json();
    assert_eq!(all["matches"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn the_source_and_the_storage_are_told() {
    let server = Server::start().await;
    let meta = server.get("/meta").await.json();
    assert_eq!(meta["storage"], json!({"segments": 4096}));
    assert_eq!(
        meta["consumer"],
        json!({"jetstream": {
            "endpoint": "jetstream.example",
            "started_at": 1_700_000_000_000_000_u64,
            "latest_cursor": 1_700_000_004_000_000_u64,
            "rollup_cursor": 1_700_000_004_000_000_u64,
        }})
    );
}

#[tokio::test]
async fn sample_records_keep_their_bytes_and_the_limit_is_for_each_collection() {
    let server = Server::start().await;
    for (query, count) in [
        ("", 24),
        ("?limit=3", 6),
        ("?collection=a.b.c", 42),
        ("?collection=a.b.c,a.b.d,a.b.c&limit=64", 128),
    ] {
        let answer = server.get(&format!("/records{query}")).await;
        assert_eq!(answer.json().as_array().unwrap().len(), count, "{query}");
    }
    let answer = server.get("/records?collection=a.b.c&limit=1").await;
    let record = "\"record\":{ \"$type\":\"a.b.c\", \"n\":1e3, \"text\":\"<script>\" }";
    assert!(answer.body.contains(record), "{}", answer.body);
    assert_eq!(answer.json()[0]["time_us"], 1_700_000_000_000_000_u64);
    let page = server.page("/records?collection=a.b.c&limit=1").await.body;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    assert!(page.contains("href=\"https://pdsls.dev/at://did:plc:a/a.b.c/3k0\""));
    for (bad, name) in [
        ("collection=x", "collection"),
        ("limit=65", "limit"),
        ("limit=0", "limit"),
    ] {
        let answer = server.get(&format!("/records?{bad}")).await;
        assert!(answer.error(400, "InvalidRequest").contains(name), "{bad}");
    }
}

fn request_id(answer: &Response) -> String {
    answer.header("x-request-id").unwrap().to_owned()
}

#[tokio::test]
async fn errors_name_the_request_and_the_parameter() {
    let server = Server::start().await;
    for (path, name) in [
        ("/collections?limit=0", "limit"),
        ("/collections?limit=201", "limit"),
        ("/collections?order=x", "order"),
        ("/collections?sort=records-created", "order"),
        ("/collections?since=2026", "since"),
        ("/collections?cursor=zz", "cursor"),
        ("/collections/stats", "collection"),
        ("/collections/stats?collection=x", "collection"),
        ("/prefix", "prefix"),
        ("/prefix?prefix=app", "prefix"),
        ("/timeseries", "collection"),
        ("/timeseries?collection=nodots", "collection"),
        ("/timeseries?collection=a.b.c&step=10", "step"),
        ("/timeseries?collection=a.b.c&align=local", "align"),
        (
            "/timeseries?collection=a.b.c&since=1980-01-01T00:00:00Z&step=3600",
            "step",
        ),
        ("/search", "q"),
        ("/search?q=a&limit=201", "limit"),
    ] {
        let answer = server.get(path).await;
        assert!(answer.error(400, "InvalidRequest").contains(name), "{path}");
        assert_eq!(answer.json()["request_id"], request_id(&answer), "{path}");
    }
    server
        .get("/search?q=panic")
        .await
        .error(500, "InternalServerError");
    let refused = server
        .ask("POST", "/collections", &[("content-length", "0")])
        .await;
    refused.error(405, "MethodNotAllowed");
    assert_eq!(refused.json()["request_id"], request_id(&refused));
    let two = [
        server.get("/collections").await,
        server.get("/collections").await,
    ];
    assert_ne!(request_id(&two[0]), request_id(&two[1]));
    let links = server.get("/links/all?target=x").await;
    assert_eq!(links.header("x-request-id"), None);
    let head = server.ask("HEAD", "/collections", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn pages_show_the_same_facts() {
    let server = Server::start().await;
    for (path, part) in [
        (
            "/collections?limit=1",
            "<input type=\"hidden\" name=\"limit\" value=\"1\">",
        ),
        ("/collections?order=dids-estimate", "Most accounts first."),
        (
            "/collections?order=dids-estimate",
            "<option selected>dids-estimate</option>",
        ),
        (
            "/collections/stats?collection=app.bsky.feed.like",
            "app.bsky.feed.like",
        ),
        (
            "/prefix?prefix=app.bsky",
            "href=\"/prefix?prefix=app.bsky.feed\"",
        ),
        ("/prefix?prefix=app.bsky", "all together"),
        (
            "/timeseries?collection=app.bsky.feed.like&prefix=sh.tangled",
            "<code>sh.tangled.*</code>",
        ),
        ("/search?q=%3Cscript%3E", "&lt;script&gt;"),
        (
            "/search?q=feed",
            "href=\"/timeseries?collection=app.bsky.feed.like\"",
        ),
        ("/meta", "4,096"),
    ] {
        let page = server.page(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.body.contains(part), "{path}: {part}");
        assert!(!page.body.contains("<script"), "{path}");
        assert!(page.body.ends_with("</html>\n"), "{path}");
    }
    let collection = server.get("/prefix?prefix=app.bsky.feed.like").await;
    let hint = collection.json()["coverage"]["hint"].clone();
    let there = "/collections/stats?collection=app.bsky.feed.like";
    assert!(hint.as_str().unwrap().contains(there), "{hint}");
    let next = server
        .page("/collections?limit=1&order=dids-estimate")
        .await;
    assert!(next.body.contains("name=\"order\" value=\"dids-estimate\""));
}
