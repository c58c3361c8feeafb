//! Every route over a real socket: the shapes of its answers, its parameters and its errors.

use crate::common::{HOSTILE, POST, Server};
use serde_json::{Value, json};

const LIKES: &str = "source=app.bsky.feed.like:subject.uri";
const OLD_LIKES: &str = "collection=app.bsky.feed.like&path=.subject.uri";
const X: &str = "/xrpc/blue.microcosm.links.";

/// The JSON without the member that tells what the answer rests on, which every list has.
fn list(mut json: Value) -> Value {
    let coverage = json
        .as_object_mut()
        .and_then(|members| members.remove("coverage"));
    let expected = json!({"from": 1_700_000_000_000_000_u64, "through": 1_700_000_004_000_000_u64});
    assert_eq!(coverage, Some(expected));
    json
}

fn like(did: &str, i: u32) -> Value {
    json!({"did": did, "collection": "app.bsky.feed.like", "rkey": format!("like{i}")})
}

#[tokio::test]
async fn records_are_listed_under_both_generations_of_names() {
    let server = Server::start().await;
    let new = server
        .get(&format!("{X}getBacklinks?subject={POST}&{LIKES}&limit=2"))
        .await;
    assert_eq!(new.status, 200);
    let first = [like("did:plc:b", 4), like("did:plc:c", 3)];
    assert_eq!(
        list(new.json()),
        json!({"total": 5, "records": first, "cursor": "0002"})
    );
    let old = server
        .get(&format!(
            "/links?target={POST}&{OLD_LIKES}&limit=2&cursor=0004"
        ))
        .await;
    let last = [like("did:plc:a", 0)];
    assert_eq!(
        list(old.json()),
        json!({"total": 5, "linking_records": last, "cursor": null})
    );
    let new = server
        .get(&format!(
            "{X}getBacklinks?subject={POST}&{LIKES}&cursor=0004"
        ))
        .await;
    assert_eq!(
        list(new.json()),
        json!({"total": 5, "records": last}),
        "no cursor member"
    );
    for (name, value) in [
        ("orrery-indexed-through", "1700000004000000"),
        ("orrery-coverage-from", "1700000000000000"),
        ("cache-control", "public, max-age=10"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "*"),
        (
            "vary",
            "accept, origin, access-control-request-method, access-control-request-headers",
        ),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(new.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn accounts_are_listed_and_everything_is_counted() {
    let server = Server::start().await;
    let dids = ["did:plc:c", "did:plc:b", "did:plc:a"];
    let new = server
        .get(&format!("{X}getBacklinkDids?subject={POST}&{LIKES}"))
        .await;
    assert_eq!(list(new.json()), json!({"total": 3, "linking_dids": dids}));
    let old = server
        .get(&format!("/links/distinct-dids?target={POST}&{OLD_LIKES}"))
        .await;
    assert_eq!(
        list(old.json()),
        json!({"total": 3, "linking_dids": dids, "cursor": null})
    );
    for (path, total) in [
        (format!("{X}getBacklinksCount?subject={POST}&{LIKES}"), 5),
        (format!("/links/count?target={POST}&{OLD_LIKES}"), 5),
        (
            format!("/links/count/distinct-dids?target={POST}&{OLD_LIKES}"),
            3,
        ),
        (format!("/links/count?target=did:plc:nobody&{OLD_LIKES}"), 0),
        (
            format!("{X}getBacklinksCount?subject={POST}&source=app.bsky.feed.like:.subject.uri"),
            0,
        ),
    ] {
        assert_eq!(
            server.get(&path).await.json(),
            json!({"total": total}),
            "{path}"
        );
    }
    let all = server.get(&format!("/links/all?target={POST}")).await;
    let counts = json!({"records": 5, "distinct_dids": 3});
    let expected = json!({"links": {"app.bsky.feed.like": {".subject.uri": counts}}});
    assert_eq!(all.json(), expected, "pairs without links are left out");
    let all = server.get(&format!("/links/all/count?target={POST}")).await;
    assert_eq!(
        all.json(),
        json!({"links": {"app.bsky.feed.like": {".subject.uri": 5}}})
    );
    let none = server.get("/links/all?target=did:plc:nobody").await;
    assert_eq!(none.json(), json!({"links": {}}));
}

#[tokio::test]
async fn many_to_many_gives_items_and_counts() {
    let server = Server::start().await;
    let near = "subject=did:plc:m&source=app.bsky.graph.listitem:subject&pathToOther=list";
    let item = |did: &str, i: u32, list: &str| {
        json!({
            "linkRecord": {"did": did, "collection": "app.bsky.graph.listitem", "rkey": format!("item{i}")},
            "otherSubject": format!("at://did:plc:l/app.bsky.graph.list/{list}"),
        })
    };
    let items = server
        .get(&format!("{X}getManyToMany?{near}&limit=2"))
        .await;
    let expected = [item("did:plc:a", 0, "x"), item("did:plc:b", 1, "y")];
    assert_eq!(
        list(items.json()),
        json!({"items": expected, "cursor": "0002"})
    );
    let y = "otherSubject=+at://did:plc:l/app.bsky.graph.list/y+&otherSubject=";
    let items = server
        .get(&format!("{X}getManyToMany?{near}&{y}&linkDid=did:plc:c"))
        .await;
    assert_eq!(
        list(items.json()),
        json!({"items": [item("did:plc:c", 3, "y")]})
    );
    let counts = server.get(&format!("{X}getManyToManyCounts?{near}")).await;
    let count = |list: &str, total: u32, distinct: u32| {
        let subject = format!("at://did:plc:l/app.bsky.graph.list/{list}");
        json!({"subject": subject, "total": total, "distinct": distinct})
    };
    let both = [count("x", 3, 2), count("y", 2, 2)];
    assert_eq!(
        list(counts.json()),
        json!({"counts_by_other_subject": both})
    );
    let missing = server
        .get(&format!("{X}getManyToMany?subject=did:plc:m&source=a:b"))
        .await;
    assert!(missing.error(400, "InvalidRequest").contains("pathToOther"));
}

#[tokio::test]
async fn filters_work_on_every_list_and_count() {
    let server = Server::start().await;
    let new = format!("subject={POST}&{LIKES}");
    let old = format!("target={POST}&{OLD_LIKES}");
    let routes = [
        format!("{X}getBacklinks?{new}"),
        format!("{X}getBacklinksCount?{new}"),
        format!("{X}getBacklinkDids?{new}"),
        format!("/links?{old}"),
        format!("/links/distinct-dids?{old}"),
        format!("/links/count?{old}"),
        format!("/links/count/distinct-dids?{old}"),
    ];
    for route in &routes {
        for (filter, total) in [
            ("did=did:plc:c", 1),
            ("linkDid=did:plc:c", 1),
            ("did=+did:plc:c+&did=&linkDid=did:plc:nobody", 1),
            ("did=did:plc:nobody", 0),
            ("since=1700000003000000&until=2023-11-14T22:13:24Z", 1),
            ("since=2100-01-01T00:00:00%2B01:00", 0),
            (
                "did=did:plc:c&since=&until=&reverse=false&cursor=&unknown=1&unknown=2",
                1,
            ),
        ] {
            let answer = server.get(&format!("{route}&{filter}")).await;
            assert_eq!(answer.json()["total"], total, "{route} {filter}");
        }
        for (bad, name) in [
            ("since=yesterday", "since"),
            ("until=-1", "until"),
            ("reverse=1", "reverse"),
            ("reverse=", "reverse"),
            ("did=%ff", "did"),
            ("since=1&since=2", "since"),
        ] {
            let answer = server.get(&format!("{route}&{bad}")).await;
            assert!(
                answer.error(400, "InvalidRequest").contains(name),
                "{route} {bad}"
            );
        }
    }
    for (from, total) in [
        ("did:plc:c,did:plc:a", 3),
        ("", 5),
        ("did:plc:c,%20did:plc:a", 1),
    ] {
        let answer = server.get(&format!("/links?{old}&from_dids={from}")).await;
        assert_eq!(answer.json()["total"], total, "{from}");
    }
    let both = server
        .get(&format!("/links?{old}&from_dids=did:plc:a&did=did:plc:b"))
        .await;
    both.error(400, "InvalidRequest");
    for brackets in ["a.b.c:d[].e[f.g%23h].i", "a.b.c:d%5B%5D.e%5Bf.g%23h%5D.i"] {
        let answer = server
            .get(&format!("{X}getBacklinksCount?subject=x&source={brackets}"))
            .await;
        assert_eq!(answer.status, 200, "{brackets}");
    }
    let reverse = server
        .get(&format!("{X}getBacklinks?{new}&reverse=true&limit=1"))
        .await;
    assert_eq!(reverse.json()["records"], json!([like("did:plc:a", 0)]));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let server = Server::start().await;
    let ok = format!("subject={POST}&{LIKES}");
    for (query, name) in [
        ("".to_owned(), "subject"),
        (format!("subject={POST}"), "source"),
        ("source=x:y".to_owned(), "subject"),
        ("subject=&source=x:y".to_owned(), "subject"),
        (format!("subject={POST}&source=nocolon"), "source"),
        (format!("{ok}&subject=did:plc:other"), "subject"),
        (format!("{ok}&limit=0"), "limit"),
        (format!("{ok}&limit=1001"), "limit"),
        (format!("{ok}&limit=x"), "limit"),
        (format!("{ok}&limit="), "limit"),
        (format!("{ok}&limit=5&limit=6"), "limit"),
        (format!("{ok}&cursor=zz"), "cursor"),
        (format!("{ok}&cursor=01&cursor=02"), "cursor"),
    ] {
        let answer = server.get(&format!("{X}getBacklinks?{query}")).await;
        let message = answer.error(400, "InvalidRequest");
        assert!(message.contains(name), "{query}: {message}");
    }
    for missing in ["collection", "path", "target"] {
        let query = format!("target={POST}&{OLD_LIKES}").replace(&format!("{missing}="), "other=");
        let message = server
            .get(&format!("/links?{query}"))
            .await
            .error(400, "InvalidRequest");
        assert!(message.contains(missing), "{message}");
    }
    let same = server
        .get(&format!(
            "{X}getBacklinks?{ok}&limit=5&limit=5&subject={POST}"
        ))
        .await;
    assert_eq!(same.status, 200);
    for path in ["/links/all", "/links/all/count"] {
        assert!(
            server
                .get(path)
                .await
                .error(400, "InvalidRequest")
                .contains("target")
        );
    }
}

#[tokio::test]
async fn the_front_page_as_json_holds_what_clients_read() {
    let server = Server::start().await;
    let json = server.get("/").await.json();
    assert!(json["help"].is_string() && json["days_indexed"].as_u64().unwrap() > 100);
    assert_eq!(
        json["stats"],
        json!({"dids": 1234, "targetables": 5, "linking_records": 11,
               "started_at": 1_700_000_000_000_000_u64, "other_data": {"links": 16}})
    );
}

#[tokio::test]
async fn a_question_that_can_match_nothing_is_answered_with_a_hint() {
    let server = Server::start().await;
    let like = "app.bsky.feed.like";
    for (path, hint) in [
        (
            format!("{X}getBacklinksCount?subject={POST}&source=:"),
            "no collection",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&source={like}:"),
            "no path",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&source={like}:.subject.uri"),
            "app.bsky.feed.like:subject.uri",
        ),
        (
            format!("/links/count?target={POST}&collection={like}&path=subject.uri"),
            ".subject.uri",
        ),
        (
            format!("/links/count?target={POST}&collection=&path=.subject.uri"),
            "collection is empty",
        ),
        (
            format!(
                "{X}getManyToMany?subject=did:plc:m&source=app.bsky.graph.listitem:subject&pathToOther=.list"
            ),
            "pathToOther is a path without its first dot: list",
        ),
        (
            format!("{X}getBacklinksCount?subject=alice.example.com&{LIKES}"),
            "subject: alice.example.com is a handle",
        ),
        (
            format!("/links/count?target=@alice.example.com&collection={like}&path=.subject.uri"),
            "target: alice.example.com is a handle",
        ),
        (
            "/links/all?target=plain%20word".to_owned(),
            "target: plain?word is neither a DID",
        ),
        (
            format!(
                "{X}getBacklinksCount?subject=at://alice.example.com/app.bsky.feed.post/1&{LIKES}"
            ),
            "subject: alice.example.com stands in the place of a DID",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&source=app.bsky:subject.uri"),
            "no collection: app.bsky is no NSID",
        ),
        (
            format!("/links/count?target={POST}&collection=app.bsky.feed.like_&path=.subject.uri"),
            "collection: app.bsky.feed.like_ is no NSID",
        ),
        (
            format!("/links/count?target={POST}&collection=app.bsky.feed.lik&path=.subject.uri"),
            "collection: app.bsky.feed.lik is no well-known collection; did you mean app.bsky.feed.like?",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&source=app.bsky.feed.liek:subject.uri"),
            "source names a collection: app.bsky.feed.liek is no well-known collection; did you mean app.bsky.feed.like?",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&source={like}:subject"),
            "did you mean app.bsky.feed.like:subject.uri?",
        ),
        (
            format!("/links/count?target={POST}&collection={like}&path=.subject"),
            "parameter path: app.bsky.feed.like have no links at .subject; did you mean .subject.uri?",
        ),
        (
            format!("{X}getBacklinksCount?subject={POST}&{LIKES}&did=alice.example.com"),
            "parameter did: alice.example.com is a handle",
        ),
        (
            format!(
                "/links/count?target={POST}&collection={like}&path=.subject.uri&from_dids=did:plc:a,word"
            ),
            "parameter from_dids: word is no DID",
        ),
        (
            format!(
                "{X}getManyToMany?subject=did:plc:m&source=app.bsky.graph.listitem:subject&pathToOther=list&otherSubject=alice.example.com"
            ),
            "parameter otherSubject: alice.example.com is a handle",
        ),
        (
            format!(
                "{X}getBacklinksCount?subject=https://bsky.app/profile/alice.example.com/post/3k&{LIKES}"
            ),
            "lead to at://DID/app.bsky.feed.post/3k",
        ),
        (
            format!("{X}getBacklinksCount?subject=did:plc:z72i7hdynmk6r22z27h6tvu&{LIKES}"),
            "subject: no account has the DID",
        ),
        (
            "/timeseries?collection=app.bsky.post".to_owned(),
            "collection: app.bsky.post is no well-known collection; did you mean app.bsky.feed.post?",
        ),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.header("orrery-hint").unwrap().contains(hint),
            "{path}"
        );
        let page = server.page(&path).await;
        assert!(
            page.body.contains("Hint: ")
                && page.body.contains(hint)
                && !page.body.contains("?.</p>"),
            "{path}"
        );
    }
    let good = server
        .get(&format!("{X}getBacklinksCount?subject={POST}&{LIKES}"))
        .await;
    assert_eq!(good.header("orrery-hint"), None);
    let listed = server
        .get(&format!(
            "/links?target={POST}&collection={like}&path=subject.uri"
        ))
        .await;
    let hint = listed.json()["coverage"]["hint"].clone();
    assert!(hint.as_str().unwrap().contains(".subject.uri"), "{hint}");
    // Of many questions the first that can match nothing.
    let items = json!([
        {"subject": POST, "source": "app.bsky.feed.like:subject.uri"},
        {"subject": "alice.example.com", "source": "app.bsky.graph.follow:subject"},
        {"subject": POST, "source": "nonsense"},
    ]);
    for method in ["getCounts", "getBacklinksPages"] {
        let path = format!("/xrpc/blue.orrery.links.{method}");
        for (items, hint) in [
            (
                &items,
                Some("items[1]: subject: alice.example.com is a handle"),
            ),
            (&json!([items[0]]), None),
        ] {
            let answer = server
                .post(&path, &json!({"items": items}).to_string())
                .await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let told = answer.header("orrery-hint").map(str::to_owned);
            assert_eq!(told.is_some(), hint.is_some(), "{told:?}");
            assert!(
                told.as_deref()
                    .unwrap_or_default()
                    .contains(hint.unwrap_or_default()),
                "{told:?}"
            );
            let listed = answer.json()["coverage"]["hint"].clone();
            assert_eq!(listed.as_str(), told.as_deref());
        }
    }
}

#[tokio::test]
async fn the_front_page_asks_about_an_account_that_something_links_to() {
    let page = Server::start().await.page("/").await;
    let found = page
        .body
        .split("href=\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|href| href.starts_with("/links/all?"));
    assert_eq!(found, Some("/links/all?target=did:plc:m"), "{}", page.body);
    assert!(page.body.contains("On which lists is it?"));
    assert!(!page.body.contains("Who follows it?"), "nobody does");
}

#[tokio::test]
async fn pages_show_the_same_facts_and_escape_everything() {
    let server = Server::start().await;
    let page = server.page(&format!("{X}getBacklinks?subject={POST}&{LIKES}&limit=2&did=did:plc:a&did=did:plc:b&linkDid=did:plc:c")).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    for part in [
        "<strong>5</strong> records",
        "like4",
        "href=\"https://pdsls.dev/at://did:plc:b/app.bsky.feed.like/like4\"",
        "href=\"/links/all?target=did:plc:b\"",
        "Newest first.",
        "<input type=\"hidden\" name=\"did\" value=\"did:plc:a\">",
        "<input type=\"hidden\" name=\"did\" value=\"did:plc:b\">",
        "<input type=\"hidden\" name=\"linkDid\" value=\"did:plc:c\">",
        "<input type=\"hidden\" name=\"limit\" value=\"2\">",
        "<input type=\"hidden\" name=\"cursor\" value=\"0002\">",
        "&quot;total&quot;: 5",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    let last = server
        .page(&format!(
            "{X}getBacklinks?subject={POST}&{LIKES}&cursor=0004&reverse=true"
        ))
        .await;
    assert!(last.body.contains("End of results") && last.body.contains("Oldest first."));

    let hostile = HOSTILE
        .replace('&', "%26")
        .replace(' ', "+")
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace('"', "%22");
    let dirty = "collection=app.%3Ci%3E.post&path=.%3Cu%3E";
    let source = "source=app.%3Ci%3E.post:%3Cu%3E";
    for path in [
        format!("/links?target={hostile}&{dirty}"),
        format!("/links/distinct-dids?target={hostile}&{dirty}"),
        format!("/links/count?target={hostile}&{dirty}"),
        format!("/links/count/distinct-dids?target={hostile}&{dirty}"),
        format!("/links/all?target={hostile}"),
        format!("/links/all/count?target={hostile}"),
        format!("{X}getBacklinks?subject={hostile}&{source}&did=%22%3E%3Cscript%3E"),
        format!("{X}getBacklinksCount?subject={hostile}&{source}"),
        format!("{X}getBacklinkDids?subject={hostile}&{source}"),
        format!("{X}getManyToMany?subject={hostile}&{source}&pathToOther=%3Cu%3E"),
        format!("{X}getManyToManyCounts?subject={hostile}&{source}&pathToOther=%3Cu%3E"),
        "/".to_owned(),
    ] {
        let page = server.page(&path).await;
        assert_eq!(page.status, 200, "{path}");
        for bad in [
            "<script",
            "<img",
            "<i>",
            "<u>",
            "<b>",
            "alert('",
            "style=",
            "onclick",
            "javascript:",
        ] {
            assert!(!page.body.contains(bad), "{path} holds {bad}");
        }
        assert!(page.body.starts_with("<!doctype html>") && page.body.ends_with("</html>\n"));
        if path != "/" {
            assert!(
                page.body.contains("&lt;script&gt;alert(&#39;1&#39;)"),
                "{path}"
            );
        }
    }
    let scheme = server.page("/links/all?target=javascript:alert(1)").await;
    assert!(!scheme.body.contains("href=\"javascript:"));
    let home = server.page("/").await;
    assert!(home.body.contains("1,234") && home.body.contains("/links/count/distinct-dids"));
}

#[tokio::test]
async fn the_form_of_an_answer_follows_accept() {
    let server = Server::start().await;
    let path = format!("/links/count?target={POST}&{OLD_LIKES}");
    for (accept, kind) in [
        ("application/json", "application/json"),
        ("image/png", "application/json"),
        ("text/html;charset=utf-8", "application/json"),
        ("text/*", "text/html; charset=utf-8"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
    ] {
        let answer = server.ask("GET", &path, &[("accept", accept)]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{accept}"
        );
    }
    let bad = server.ask("GET", &path, &[("accept", "nonsense")]).await;
    assert!(bad.error(400, "InvalidRequest").contains("Accept"));
    let error = server.page("/links/count").await;
    error.error(400, "InvalidRequest");
    let robots = server
        .ask("GET", "/robots.txt", &[("accept", "nonsense")])
        .await;
    assert_eq!(robots.status, 200);
}
