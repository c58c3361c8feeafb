//! The published lexicons against the running server: neither knows a method, a parameter, a member or an error that the other
//! does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::edge::{CID, OTHER_CID};
use crate::common::lexicon::Lexicons;
use crate::common::{POST, Server};
use orrery_server::Config;
use serde_json::{Value, json};

fn lexicons() -> Lexicons {
    Lexicons::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lexicons"))
}

/// The namespaces whose methods the lexicons here describe. Those of com.atproto are published by others.
const OURS: [&str; 3] = ["blue.microcosm.", "blue.orrery.", "com.bad-example."];

#[test]
fn every_lexicon_is_well_formed() {
    let lexicons = lexicons();
    assert!(lexicons.0.len() > 10);
    for nsid in lexicons.0.keys() {
        lexicons
            .well_formed(nsid)
            .unwrap_or_else(|why| panic!("{nsid}: {why}"));
    }
}

#[test]
fn a_lexicon_that_is_not_well_formed_is_told() {
    let good = lexicons().0["blue.microcosm.links.getBacklinks"].clone();
    for (pointer, value) in [
        ("/lexicon", json!(2)),
        ("/defs/main/type", json!("record")),
        ("/defs/main/parameters/properties/limit/default", json!(0)),
        (
            "/defs/main/parameters/properties/limit/minimum",
            json!(2000),
        ),
        (
            "/defs/main/parameters/properties/subject/format",
            json!("url"),
        ),
        (
            "/defs/main/parameters/properties/subject/type",
            json!("object"),
        ),
        ("/defs/main/parameters/required", json!(["object"])),
        ("/defs/main/output/encoding", json!("text/plain")),
        (
            "/defs/main/output/schema/properties/records/items/ref",
            json!("#nothing"),
        ),
        (
            "/defs/main/output/schema/properties/total",
            json!({"type": "number"}),
        ),
        (
            "/defs/main/output/schema/properties/total",
            json!({"type": "integer", "max": 1}),
        ),
    ] {
        let mut bad = lexicons();
        let mut lexicon = good.clone();
        *lexicon.pointer_mut(pointer).unwrap() = value;
        bad.0
            .insert("blue.microcosm.links.getBacklinks".into(), lexicon);
        bad.well_formed("blue.microcosm.links.getBacklinks")
            .expect_err(pointer);
    }
}

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").await.json()
}

#[tokio::test]
async fn every_method_under_these_names_has_a_lexicon_and_every_lexicon_a_method() {
    let server = Server::start().await;
    let document = document(&server).await;
    let served: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .filter_map(|path| path.strip_prefix("/xrpc/"))
        .filter(|nsid| OURS.iter().any(|ours| nsid.starts_with(ours)))
        .collect();
    let lexicons = lexicons();
    let described: BTreeSet<&str> = lexicons
        .0
        .iter()
        .filter(|(_, lexicon)| lexicon["defs"]["main"].is_object())
        .map(|(nsid, _)| nsid.as_str())
        .collect();
    assert_eq!(served, described);
}

/// A schema of the document in the words of lexicons: its type, whether it is required, bounds and default.
fn in_short(schema: &Value, is_required: bool) -> Value {
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].clone(),
        Value::Null => json!("string"),
        kind => kind.clone(),
    };
    let kind = if kind == "object" {
        json!("unknown")
    } else {
        kind
    };
    json!({
        "type": kind, "required": is_required, "default": schema["default"],
        "minimum": schema["minimum"], "maximum": schema["maximum"], "most": schema["maxItems"],
    })
}

fn lexicon_in_short(schema: &Value, is_required: bool) -> Value {
    let is_array = schema["type"] == "array";
    json!({
        "type": schema["type"], "required": is_required, "default": schema["default"],
        "minimum": schema["minimum"], "maximum": schema["maximum"],
        "most": if is_array { schema["maxLength"].clone() } else { Value::Null },
    })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test]
async fn parameters_and_bodies_are_those_of_the_document() {
    let server = Server::start().await;
    let document = document(&server).await;
    for (nsid, lexicon) in &lexicons().0 {
        let main = &lexicon["defs"]["main"];
        let item = &document["paths"][format!("/xrpc/{nsid}")];
        let told: BTreeMap<String, Value> = match main["type"].as_str() {
            Some("query") => {
                let parameters = item["get"]["parameters"].as_array().unwrap().iter();
                parameters
                    .map(|p| {
                        let name = p["name"].as_str().unwrap().to_owned();
                        (name, in_short(&p["schema"], p["required"] == true))
                    })
                    .collect()
            }
            Some("procedure") => {
                let body = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
                let required = names(&body["required"]);
                let properties = body["properties"].as_object().unwrap().iter();
                properties
                    .map(|(name, p)| (name.clone(), in_short(p, required.contains(&name.as_str()))))
                    .collect()
            }
            _ => continue,
        };
        let schema = main.get("parameters").unwrap_or(&main["input"]["schema"]);
        let required = names(&schema["required"]);
        let properties = schema["properties"].as_object().unwrap().iter();
        let described: BTreeMap<String, Value> = properties
            .map(|(name, p)| {
                (
                    name.clone(),
                    lexicon_in_short(p, required.contains(&name.as_str())),
                )
            })
            .collect();
        assert_eq!(described, told, "{nsid}");
    }
}

/// Requests for each method, with every form of its answers.
fn requests() -> Vec<(&'static str, Vec<String>)> {
    let likes = format!("subject={POST}&source=app.bsky.feed.like:subject.uri");
    let many = "subject=did:plc:m&source=app.bsky.graph.listitem:subject&pathToOther=list";
    let uri = "at_uri=at://did:plc:a/app.bsky.feed.post/3k".to_owned();
    let record = || {
        vec![
            uri.clone(),
            format!("{uri}&cid={CID}"),
            uri.replace("3k", "nocid"),
        ]
    };
    let account = || {
        vec![
            "identifier=alice.example".to_owned(),
            "identifier=did:plc:a".to_owned(),
        ]
    };
    let item = json!({"subject": POST, "source": "app.bsky.feed.like:subject.uri"});
    let items =
        json!([item, {"subject": POST, "source": "x"}, {"subject": "x:y", "source": "a:b"}]);
    vec![
        (
            "blue.microcosm.links.getBacklinks",
            vec![
                likes.clone(),
                format!("{likes}&limit=2&hydrate=true"),
                format!("{likes}&hydrate=text"),
                "subject=x:y&source=a:.b".to_owned(),
            ],
        ),
        ("blue.microcosm.links.getBacklinksCount", vec![likes.clone()]),
        ("blue.microcosm.links.getBacklinkDids", vec![likes.clone(), format!("{likes}&limit=1")]),
        (
            "blue.microcosm.links.getManyToMany",
            vec![many.to_owned(), format!("{many}&limit=1&hydrate=true")],
        ),
        ("blue.microcosm.links.getManyToManyCounts", vec![many.to_owned(), format!("{many}&limit=1")]),
        ("blue.microcosm.repo.getRecordByUri", record()),
        ("com.bad-example.repo.getUriRecord", record()),
        ("blue.microcosm.identity.resolveMiniDoc", account()),
        ("com.bad-example.identity.resolveMiniDoc", account()),
        (
            "com.bad-example.identity.resolveService",
            vec!["did=did:plc:a&id=%23x".to_owned(), "did=alice.example&id=%23x&type=T".to_owned()],
        ),
        (
            "blue.orrery.repo.getRecords",
            vec![
                json!({"uris": []}).to_string(),
                json!({"uris": ["at://did:plc:a/a.b.c/1", "at://did:plc:a/a.b.c/gone", "x",
                    "at://did:plc:a/a.b.c/hidden", "at://did:plc:a/a.b.c/down"]})
                .to_string(),
            ],
        ),
        (
            "blue.orrery.links.getCounts",
            vec![
                json!({"items": items}).to_string(),
                json!({"items": items, "distinct": true}).to_string(),
            ],
        ),
        (
            "blue.orrery.links.getBacklinksPages",
            vec![
                json!({"items": items}).to_string(),
                json!({"items": items, "limit": 1}).to_string(),
            ],
        ),
        (
            "com.bad-example.proxy.hydrateQueryResponse",
            vec![
                json!({
                    "xrpc": "app.example.getFeed", "atproto_proxy": "did:web:x.example#svc", "params": {},
                    "hydration_sources": [
                        {"path": "records[]", "shape": "at-uri-parts"}, {"path": "by", "shape": "strong-ref"},
                        {"path": "post", "shape": "strong-ref"},
                    ],
                })
                .to_string(),
            ],
        ),
    ]
}

#[tokio::test]
async fn answers_are_as_the_lexicons_say() {
    let server = Server::with(Config {
        hydrate_timeout: std::time::Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    server.model.degraded.lock().push((3, 9));
    let lexicons = lexicons();
    let mut asked = BTreeSet::new();
    for (nsid, requests) in requests() {
        asked.insert(nsid);
        let is_query = lexicons.0[nsid]["defs"]["main"]["type"] == "query";
        for request in requests {
            let path = format!("/xrpc/{nsid}");
            let answer = match is_query {
                true => server.get(&format!("{path}?{request}")).await,
                false => server.post(&path, &request).await,
            };
            assert_eq!(answer.status, 200, "{nsid} {request}: {answer:?}");
            let answer = answer.json();
            lexicons
                .check_output(nsid, &answer)
                .unwrap_or_else(|why| panic!("{nsid} {request}: {why}"));
            for (member, name) in [("records", "record"), ("identifiers", "account")] {
                for (at, named) in answer[member].as_object().into_iter().flatten() {
                    lexicons
                        .check_def(nsid, name, named)
                        .unwrap_or_else(|why| panic!("{at}: {why}"));
                }
            }
        }
    }
    let methods = lexicons.0.iter();
    let methods = methods.filter(|(_, lexicon)| lexicon["defs"]["main"].is_object());
    let methods: BTreeSet<&str> = methods.map(|(nsid, _)| nsid.as_str()).collect();
    assert_eq!(asked, methods);
    let bad = json!({"total": 1, "records": [], "coverage": {"from": null, "through": 1}, "x": 1});
    lexicons
        .check_output("blue.microcosm.links.getBacklinks", &bad)
        .unwrap_err();
}

#[tokio::test]
async fn errors_are_those_of_the_lexicons() {
    let server = Server::start().await;
    let uri = |rkey: &str| format!("at_uri=at://did:plc:a/app.bsky.feed.post/{rkey}");
    let record = || {
        vec![
            uri("gone"),
            uri("hidden"),
            uri("none"),
            format!("{}&cid={OTHER_CID}", uri("3k")),
            uri("down"),
            uri("unproven"),
            uri("unresolved"),
        ]
    };
    let account = || {
        vec![
            "identifier=did:plc:down".to_owned(),
            "identifier=unresolved.example".to_owned(),
        ]
    };
    let query = json!({
        "xrpc": "app.example.down", "atproto_proxy": "did:web:x.example#svc", "hydration_sources": [],
    });
    let cases = [
        ("blue.microcosm.repo.getRecordByUri", record()),
        ("com.bad-example.repo.getUriRecord", record()),
        ("blue.microcosm.identity.resolveMiniDoc", account()),
        ("com.bad-example.identity.resolveMiniDoc", account()),
        (
            "com.bad-example.identity.resolveService",
            vec![
                "did=did:plc:noservice&id=%23x".to_owned(),
                "did=did:plc:down&id=%23x".to_owned(),
            ],
        ),
        (
            "com.bad-example.proxy.hydrateQueryResponse",
            vec![query.to_string()],
        ),
    ];
    let lexicons = lexicons();
    let mut told: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (nsid, requests) in &cases {
        for request in requests {
            let path = format!("/xrpc/{nsid}");
            let answer = match lexicons.0[*nsid]["defs"]["main"]["type"] == "query" {
                true => server.get(&format!("{path}?{request}")).await,
                false => server.post(&path, request).await,
            };
            assert_ne!(answer.status, 200, "{nsid} {request}");
            let name = answer.json()["error"].as_str().unwrap().to_owned();
            told.entry(nsid).or_default().insert(name);
        }
    }
    for (nsid, lexicon) in &lexicons.0 {
        let errors = lexicon["defs"]["main"]["errors"]
            .as_array()
            .into_iter()
            .flatten();
        let declared: BTreeSet<String> = errors
            .map(|error| error["name"].as_str().unwrap().to_owned())
            .collect();
        let told = told.get(nsid.as_str()).cloned().unwrap_or_default();
        assert_eq!(declared, told, "{nsid}");
    }
}
