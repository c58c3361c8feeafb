//! The OpenAPI document against the running server: neither knows a route, a parameter or a shape of an answer
//! that the other does not.

use std::collections::BTreeSet;

use crate::common::schema::check;
use crate::common::{POST, Response, Server};
use orrery_server::Config;
use serde_json::Value;

/// A value that each parameter takes, under which the model has something to tell.
fn good(path: &str, name: &str) -> String {
    let is_stats = [
        "/collections",
        "/prefix",
        "/timeseries",
        "/search",
        "/records",
    ]
    .iter()
    .any(|stats| path.starts_with(stats));
    let is_many = path.contains("ManyToMany");
    match name {
        "hydrate" => "text".into(),
        "repo" | "identifier" => "Alice.Example".into(),
        "handle" => "alice.example".into(),
        "rkey" => "3k".into(),
        "cid" => crate::common::edge::CID.into(),
        "at_uri" => "at://did:plc:a/app.bsky.feed.like/3k".into(),
        "id" => "%23atproto_pds".into(),
        "type" => "AtprotoPersonalDataServer".into(),
        "wantedSubjects" | "wantedSubjectPrefixes" => POST.into(),
        "wantedSubjectDids" => "did:plc:a".into(),
        "wantedSources" => "app.bsky.feed.like:subject.uri".into(),
        "wantedOperations" => "delete".into(),
        "wantedOrigins" => "live".into(),
        "cursor" if path == "/subscribe" => "17.2147483648".into(),
        "instant" | "allLinks" | "includeTime" | "requireHello" => "true".into(),
        "subject" | "target" if is_many => "did:plc:m".into(),
        "subject" | "target" => POST.into(),
        "source" if is_many => "app.bsky.graph.listitem:subject".into(),
        "source" => "app.bsky.feed.like:subject.uri".into(),
        "pathToOther" => "list".into(),
        "collection" => "app.bsky.feed.like".into(),
        "path" => ".subject.uri".into(),
        "did" | "linkDid" | "from_dids" => "did:plc:a".into(),
        "otherSubject" => "at://did:plc:l/app.bsky.graph.list/x".into(),
        "since" => "2023-11-14T22:13:20Z".into(),
        "until" if is_stats => "2023-11-15T01:00:00Z".into(),
        "prefix" => "app.bsky".into(),
        "order" => "records-created".into(),
        "step" => "3600".into(),
        "align" => "utc".into(),
        "q" => "feed".into(),
        "until" => "1900000000000000".into(),
        "limit" => "1".into(),
        "cursor" => String::new(),
        "reverse" => "true".into(),
        other => panic!("no value for parameter {other} of {path}"),
    }
}

/// Values that a parameter of this schema refuses, where there are any.
fn bad(parameter: &Value) -> Vec<String> {
    let schema = &parameter["schema"];
    let value = match schema["type"].as_str() {
        Some("integer") => {
            let [least, most] = bounds(schema);
            return vec![
                (least - 1).to_string(),
                (most + 1).to_string(),
                String::new(),
            ];
        }
        Some("array") if schema["items"]["anyOf"].is_array() => "x",
        Some("array") if schema["items"]["enum"].is_array() => "x",
        Some("array") => return Vec::new(),
        Some("boolean") => "yes",
        _ if parameter["name"] == "cursor" || parameter["name"] == "rkey" => "%20",
        Some("string") if schema["enum"].is_array() => "x",
        Some("string") if schema["minLength"] == 1 => "",
        Some("string") if schema["pattern"].is_string() => "x",
        Some("string") => return Vec::new(),
        _ => "yesterday",
    };
    vec![value.to_owned()]
}

/// The least and the greatest number that a schema takes.
fn bounds(schema: &Value) -> [u64; 2] {
    ["minimum", "maximum"].map(|bound| schema[bound].as_u64().unwrap())
}

fn url(path: &str, parameters: &[&Value]) -> String {
    let mut url = format!("{path}?");
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        url.push_str(&format!("{name}={}&", good(path, name)));
    }
    url
}

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").await.json()
}

/// The operations of the document, by path.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, item)| {
            let operation = item.get("get").unwrap_or(&item["post"]);
            (path.clone(), operation.clone())
        })
        .collect()
}

/// Whether what follows the document is a body.
fn has_body(operation: &Value) -> bool {
    operation["requestBody"].is_object()
}

fn parameters(operation: &Value) -> &[Value] {
    operation["parameters"].as_array().unwrap()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

/// Checks that an answer is one that the operation declares: status, media type, shape and headers.
fn declared(document: &Value, operation: &Value, answer: &Response) {
    let id = &operation["operationId"];
    let responses = &operation["responses"][answer.status.to_string()];
    assert!(responses.is_object(), "{id} does not declare {answer:?}");
    let response = resolved(document, responses);
    let media = answer.header("content-type").unwrap();
    let schema = &response["content"][media]["schema"];
    assert!(schema.is_object(), "{id}: {media} is not declared");
    if media.starts_with("application/json") && id != "getOpenapi" && id != "getOpenapiJson" {
        check(document, schema, &answer.json(), "$").unwrap_or_else(|why| panic!("{id}: {why}"));
    }
    let headers = response["headers"].as_object().unwrap();
    for (name, header) in headers {
        if resolved(document, header)["required"] == true {
            assert!(answer.header(name).is_some(), "{id}: no header {name}");
        }
    }
    for (name, _) in &answer.headers {
        // These are of the transport, the pages or the hardening of answers.
        let common = [
            "content-type",
            "content-length",
            "connection",
            "date",
            "x-content-type-options",
            "content-security-policy",
            "referrer-policy",
        ];
        assert!(
            headers.contains_key(name) || common.contains(&name.as_str()),
            "{id}: undeclared header {name}"
        );
    }
}

/// Whether what follows the document is answered only to those who ask for a websocket.
fn is_websocket(operation: &Value) -> bool {
    operation["responses"]["101"].is_object()
}

#[tokio::test]
async fn the_websocket_takes_and_refuses_what_the_document_says() {
    let server = Server::start().await;
    let document = document(&server).await;
    let websockets = operations(&document)
        .into_iter()
        .filter(|(_, operation)| is_websocket(operation));
    let paths: Vec<(String, Value)> = websockets.collect();
    let [(path, operation)] = &paths[..] else {
        panic!("{paths:?}");
    };
    let all: Vec<&Value> = parameters(operation).iter().collect();
    let good = url(path, &all).split_once('?').unwrap().1.to_owned();
    let mut queries = vec![String::new(), good];
    queries.extend(all.iter().map(|one| url("", &[*one])));
    for query in queries {
        let query = query.trim_start_matches('?');
        let answer = server.get(&format!("{path}?{query}")).await;
        assert!(answer.error(400, "InvalidRequest").contains("websocket"));
        declared(&document, operation, &answer);
        crate::common::feed::Client::open(server.address, &format!("?{query}")).await;
    }
    for parameter in all {
        let name = parameter["name"].as_str().unwrap();
        for bad in bad(parameter) {
            let answer = server.get(&format!("{path}?{name}={bad}")).await;
            assert!(
                answer.error(400, "InvalidRequest").contains(name),
                "{name}={bad}"
            );
        }
    }
}

#[tokio::test]
async fn every_route_of_the_document_answers_as_it_says() {
    let server = Server::with(Config {
        did_web_domain: Some("links.example".into()),
        ..Config::default()
    })
    .await;
    let document = document(&server).await;
    for (path, operation) in operations(&document) {
        if is_websocket(&operation) || has_body(&operation) {
            continue;
        }
        let all = parameters(&operation);
        let (required, optional): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|p| {
            // Of two lists one is needed, which a document cannot say.
            p["required"] == true || path == "/timeseries" && p["name"] == "collection"
        });
        // Parameters that exclude each other are asked one by one; all that go together, together.
        let most: Vec<&Value> = all.iter().filter(|p| p["name"] != "from_dids").collect();
        let mut queries = vec![url(&path, &required), url(&path, &most)];
        for one in &optional {
            queries.push(url(&path, &[&required[..], &[*one][..]].concat()));
        }
        for query in &queries {
            let answer = server.get(query).await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            declared(&document, &operation, &answer);
        }
        declared(&document, &operation, &server.page(&queries[0]).await);
        let head = server.ask("HEAD", &queries[0], &[]).await;
        assert_eq!(head.status, 200, "{path}");
        for parameter in all {
            let name = parameter["name"].as_str().unwrap();
            let others: Vec<&Value> = required
                .iter()
                .copied()
                .filter(|p| p["name"] != name)
                .collect();
            if parameter["required"] == true {
                let answer = server.get(&url(&path, &others)).await;
                assert!(
                    answer.error(400, "InvalidRequest").contains(name),
                    "{path} {name}"
                );
                declared(&document, &operation, &answer);
            }
            // A scalar has one value; a list takes several.
            let one = good(&path, name);
            let twice = format!("{}{name}={one}&{name}={one}x", url(&path, &others));
            let is_list = parameter["schema"]["type"] == "array";
            assert_eq!(server.get(&twice).await.status == 200, is_list, "{twice}");
            for bad in bad(parameter) {
                let answer = server
                    .get(&format!("{}{name}={bad}", url(&path, &others)))
                    .await;
                assert!(
                    answer.error(400, "InvalidRequest").contains(name),
                    "{path} {name}={bad}"
                );
                declared(&document, &operation, &answer);
            }
            if parameter["schema"]["type"] == "integer" {
                for good in bounds(&parameter["schema"]) {
                    let query = format!("{}{name}={good}", url(&path, &others));
                    assert_eq!(server.get(&query).await.status, 200, "{query}");
                }
            }
        }
        let refused = server.ask("POST", &path, &[("content-length", "0")]).await;
        declared(&document, &operation, &refused);
        let long = server
            .get(&format!("{path}?x={}", "x".repeat(62_000)))
            .await;
        assert_eq!(long.status, 414);
        declared(&document, &operation, &long);
    }
}

#[tokio::test]
async fn every_route_with_a_body_answers_as_the_document_says() {
    let server = Server::with(Config {
        did_web_domain: Some("links.example".into()),
        body_bytes_max: 5000,
        ..Config::default()
    })
    .await;
    let document = document(&server).await;
    let posts = operations(&document).into_iter();
    let posts: Vec<_> = posts.filter(|(_, operation)| has_body(operation)).collect();
    assert_eq!(posts.len(), 4);
    for (path, operation) in posts {
        let body = &operation["requestBody"]["content"]["application/json"];
        let example = &body["example"];
        check(&document, &body["schema"], example, "$").unwrap();
        let answer = server.post(&path, &example.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        declared(&document, &operation, &answer);
        let required = body["schema"]["required"].as_array().unwrap();
        for name in required {
            let mut bad = example.clone();
            bad.as_object_mut().unwrap().remove(name.as_str().unwrap());
            let answer = server.post(&path, &bad.to_string()).await;
            let message = answer.error(400, "InvalidRequest");
            assert!(
                message.contains(name.as_str().unwrap()),
                "{path}: {message}"
            );
            declared(&document, &operation, &answer);
        }
        for (name, schema) in body["schema"]["properties"].as_object().unwrap() {
            let Some(most) = schema["maxItems"].as_u64() else {
                continue;
            };
            let one = &example[name][0];
            for (count, status) in [(0, 200), (most + 1, 400)] {
                let mut many = example.clone();
                many[name] = vec![one.clone(); count as usize].into();
                let server = Server::with(Config {
                    did_web_domain: Some("links.example".into()),
                    ..Config::default()
                })
                .await;
                let answer = server.post(&path, &many.to_string()).await;
                assert_eq!(answer.status, status, "{path} {name} {count}: {answer:?}");
            }
        }
        let json = ("content-type", "application/json");
        let empty = server.send(&path, &[json], "").await;
        empty.error(400, "InvalidRequest");
        declared(&document, &operation, &empty);
        let long = server.send(&path, &[json], &" ".repeat(5001)).await;
        long.error(413, "PayloadTooLarge");
        declared(&document, &operation, &long);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "json"] {
            let answer = server.send(&path, &[("content-type", kind)], "{}").await;
            answer.error(415, "UnsupportedMediaType");
            declared(&document, &operation, &answer);
        }
        for method in ["GET", "HEAD", "PUT"] {
            let refused = server.ask(method, &path, &[("content-length", "0")]).await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.header("allow"), Some("POST,OPTIONS"), "{method}");
            if method == "GET" {
                declared(&document, &operation, &refused);
            }
        }
        let options = server.ask("OPTIONS", &path, &[]).await;
        assert_eq!(options.header("allow"), Some("POST,OPTIONS"));
    }
}

#[tokio::test]
async fn failures_are_declared_too() {
    let server = Server::start().await;
    let document = document(&server).await;
    let operation = &document["paths"]["/links/all/count"]["get"];
    let count = &document["paths"]["/links/count"]["get"];
    for (target, status) in [
        ("test:panic", 500),
        ("test:fail", 500),
        ("test:unavailable", 503),
    ] {
        let path = format!("/links/count?target={target}&collection=a&path=.b");
        let answer = server.get(&path).await;
        assert_eq!(answer.status, status);
        declared(&document, count, &answer);
    }
    let malformed = server
        .ask(
            "GET",
            &format!("/links/all/count?target={POST}"),
            &[("accept", "nonsense")],
        )
        .await;
    assert_eq!(malformed.status, 400);
    declared(&document, operation, &malformed);
    let absent = server.get("/.well-known/did.json").await;
    assert_eq!(absent.status, 404);
    declared(
        &document,
        &document["paths"]["/.well-known/did.json"]["get"],
        &absent,
    );
    let malformed = server
        .ask("GET", "/openapi", &[("accept", "nonsense")])
        .await;
    assert_eq!(malformed.status, 400);
    declared(&document, &document["paths"]["/openapi"]["get"], &malformed);
}

#[tokio::test]
async fn the_document_the_front_page_and_the_manual_know_the_same_routes() {
    let server = Server::start().await;
    let document = document(&server).await;
    let known: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    // What follows is on another address, and for the operator alone.
    let (manual, _) = include_str!("../../API.md")
        .split_once("### The operator's routes")
        .unwrap();
    let manual: BTreeSet<String> = manual
        .replace("`POST ", "`GET ")
        .split("`GET ")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap().to_owned())
        .collect();
    assert_eq!(known, manual, "the document and API.md");
    let home = server.page("/").await.body;
    for start in ["href=\"/", "action=\"/"] {
        for rest in home.split(start).skip(1) {
            let target = rest.split(['"', '?', '#']).next().unwrap();
            assert!(
                known.contains(&format!("/{target}")),
                "the front page leads to /{target}"
            );
        }
    }
    for (path, operation) in operations(&document) {
        if is_websocket(&operation) {
            assert!(home.contains(&format!("<code>{path}</code>")), "{path}");
        } else if !parameters(&operation).is_empty() {
            assert!(
                home.contains(&format!("action=\"{path}\"")),
                "no form for {path}"
            );
        }
    }
    let ids: BTreeSet<String> = operations(&document)
        .iter()
        .map(|(_, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), known.len(), "names of operations are unique");
}

#[tokio::test]
async fn the_description_is_json_unless_a_browser_asks() {
    let server = Server::start().await;
    let json = document(&server).await;
    assert_eq!(json["openapi"], "3.1.0");
    assert_eq!(server.get("/openapi").await.json(), json);
    let again = server
        .ask("GET", "/openapi.json", &[("accept", "text/html")])
        .await;
    assert_eq!(again.json(), json);
    let page = server.page("/openapi").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(page.header("vary").unwrap().starts_with("accept"));
    for (path, _) in operations(&json) {
        assert!(
            page.body.contains(&format!("<code>{path}</code>")),
            "{path}"
        );
    }
    for outside in ["http://", "https://", "src=", "<script", "style="] {
        assert!(!page.body.contains(outside), "the page needs no {outside}");
    }
    assert_eq!(json["paths"]["/links"]["get"]["deprecated"], true);
    assert!(json["paths"]["/links/all"]["get"]["deprecated"].is_null());
}
