use orrery_links::syntax::Handle;
use orrery_resolve::{Document, KeyKind, ResolveError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fake::{ALICE, BOB};

const KEY: &str = "zQ3shXvCK2RyPrSLYQjBEw5CExZkUhJH3n1K2Mb9sC7JbvRMF";

fn whole() -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": ALICE,
        "alsoKnownAs": ["at://alice.example.com"],
        "verificationMethod": [{
            "id": format!("{ALICE}#atproto"), "type": "Multikey", "controller": ALICE, "publicKeyMultibase": KEY,
        }],
        "service": [{
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com",
        }],
    })
}

fn parse(document: &Value) -> Result<Document, ResolveError> {
    Document::parse(ALICE, document.to_string().as_bytes())
}

/// The whole document with another value at the place, or without any.
fn with(pointer: &str, value: impl Into<Option<Value>>) -> Document {
    let mut document = whole();
    match value.into() {
        Some(value) => {
            let (parent, member) = pointer.rsplit_once('/').expect("pointer");
            match document.pointer_mut(parent).expect("parent") {
                Value::Object(members) => drop(members.insert(member.to_owned(), value)),
                Value::Array(elements) => {
                    elements[member.parse::<usize>().expect("number")] = value
                }
                other => panic!("{other}"),
            }
        }
        None => {
            let (parent, member) = pointer.rsplit_once('/').expect("pointer");
            let parent = document.pointer_mut(parent).expect("parent");
            parent.as_object_mut().expect("object").remove(member);
        }
    }
    parse(&document).expect(pointer)
}

#[test]
fn a_whole_document_is_read() {
    let document = parse(&whole()).expect("document");
    assert_eq!(document.did, ALICE);
    assert_eq!(document.handle.as_deref(), Some("alice.example.com"));
    assert_eq!(document.pds.as_deref(), Some("https://pds.example.com"));
    let key = document.signing_key.as_ref().expect("key");
    assert_eq!((key.multibase.as_str(), key.kind), (KEY, KeyKind::Multikey));
    assert!(!key.is_legacy());
    assert_eq!(document.services.len(), 1);
    assert_eq!(*document.raw, whole().to_string());
}

#[test]
fn the_id_must_be_exactly_the_did() {
    for id in [
        json!(BOB),
        json!(ALICE.to_uppercase()),
        json!(format!("{ALICE} ")),
        json!(format!("{ALICE}#")),
        json!(""),
        json!(null),
        json!(7),
        json!([ALICE]),
        json!({ "id": ALICE }),
    ] {
        let mut document = whole();
        document["id"] = id.clone();
        let error = parse(&document).expect_err("another id");
        assert!(
            matches!(&error, ResolveError::Unusable { did, .. } if did == ALICE),
            "{id}: {error}"
        );
    }
}

#[test]
fn what_is_no_document_is_unusable() {
    let twice = format!(r#"{{"id":"{ALICE}","id":"{ALICE}"}}"#);
    let deep = format!(r#"{{"id":"{ALICE}","service":{}"#, "[".repeat(100_000));
    let mut large = format!(r#"{{"id":"{ALICE}"}}"#);
    large.push_str(&" ".repeat(Document::BYTES_MAX));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "<!doctype html>",
        &format!(r#"["{ALICE}",null,null,null]"#),
        &format!(r#"{{"id":"{ALICE}""#),
        &format!(r#"{{"id":"{ALICE}"}} x"#),
        &twice,
        &deep,
        &large,
    ] {
        let error = Document::parse(ALICE, body.as_bytes()).expect_err("no document");
        assert!(matches!(error, ResolveError::Unusable { .. }), "{error}");
    }
    let bytes = [b"{\"id\":\"", ALICE.as_bytes(), b"\",\"x\":\"\xff\"}"].concat();
    Document::parse(ALICE, &bytes).expect_err("not UTF-8");
}

#[test]
fn any_context_will_do() {
    for context in [
        json!("https://www.w3.org/ns/did/v1"),
        json!({ "@vocab": "https://example.com" }),
        json!(["https://www.w3.org/ns/did/v1", { "x": "y" }]),
        json!(null),
        json!(7),
        json!([]),
    ] {
        let document = with("/@context", context);
        assert!(document.handle.is_some() && document.pds.is_some());
    }
    assert!(with("/@context", None).signing_key.is_some());
}

#[test]
fn the_first_valid_handle_counts() {
    for (names, handle) in [
        (json!(["at://Alice.Example.COM"]), Some("alice.example.com")),
        (json!(["https://a.b", "at://b.c", "at://d.e"]), Some("b.c")),
        (json!(["at://not a handle", "at://b.c"]), Some("b.c")),
        (json!([7, null, "at://b.c"]), Some("b.c")),
        (json!("at://b.c"), Some("b.c")),
        (json!(["at://b.c/"]), None),
        (json!(["at://b.c/app.bsky.feed.post/x"]), None),
        (json!(["AT://b.c"]), None),
        (json!(["b.c"]), None),
        (json!([format!("at://{ALICE}")]), None),
        (json!(["at://single"]), None),
        (json!([]), None),
        (json!(null), None),
        (json!({ "at://b.c": "at://b.c" }), None),
    ] {
        let document = with("/alsoKnownAs", names.clone());
        assert_eq!(document.handle.as_deref(), handle, "{names}");
        assert!(document.pds.is_some(), "the rest still counts");
    }
    assert_eq!(with("/alsoKnownAs", None).handle, None);
}

#[test]
fn the_pds_is_found_under_either_form_of_its_id() {
    for (pointer, value, found) in [
        ("id", json!("#atproto_pds"), true),
        ("id", json!(format!("{ALICE}#atproto_pds")), true),
        ("id", json!(format!("{BOB}#atproto_pds")), false),
        ("id", json!("atproto_pds"), false),
        ("id", json!("#atproto_pds2"), false),
        ("id", json!(7), false),
        ("type", json!("AtprotoPersonalDataServer"), true),
        ("type", json!(["AtprotoPersonalDataServer"]), true),
        ("type", json!("atprotopersonaldataserver"), false),
        ("type", json!([]), false),
        ("type", json!(null), false),
        ("serviceEndpoint", json!("http://pds.example.com"), true),
        (
            "serviceEndpoint",
            json!("https://pds.example.com:8443/path"),
            true,
        ),
        (
            "serviceEndpoint",
            json!("https://u:p@pds.example.com"),
            false,
        ),
        ("serviceEndpoint", json!("ftp://pds.example.com"), false),
        ("serviceEndpoint", json!("pds.example.com"), false),
        (
            "serviceEndpoint",
            json!({ "uri": "https://pds.example.com" }),
            false,
        ),
        ("serviceEndpoint", json!(null), false),
    ] {
        let document = with(&format!("/service/0/{pointer}"), value.clone());
        assert_eq!(document.pds.is_some(), found, "{pointer}: {value}");
        assert!(document.handle.is_some() && document.signing_key.is_some());
    }
    for member in ["id", "type", "serviceEndpoint"] {
        assert_eq!(with(&format!("/service/0/{member}"), None).pds, None);
    }
    for services in [
        json!(null),
        json!([]),
        json!("x"),
        json!([7, "x", []]),
        json!({}),
    ] {
        assert_eq!(with("/service", services).pds, None);
    }
}

#[test]
fn the_first_usable_pds_counts_and_all_services_are_kept() {
    let service = |id: &str, kind: &str, endpoint: &str| json!({"id": id, "type": kind, "serviceEndpoint": endpoint});
    let pds = "AtprotoPersonalDataServer";
    let document = with(
        "/service",
        json!([
            service(
                "#atproto_labeler",
                "AtprotoLabeler",
                "https://labels.example.com"
            ),
            service("#atproto_pds", "Other", "https://other.example.com"),
            service("#atproto_pds", pds, "nonsense"),
            service(
                &format!("{ALICE}#atproto_pds"),
                pds,
                "https://one.example.com"
            ),
            service("#atproto_pds", pds, "https://two.example.com"),
        ]),
    );
    assert_eq!(document.pds.as_deref(), Some("https://one.example.com"));
    assert_eq!(document.services.len(), 5);
    let found = document.service(&format!("{ALICE}#atproto_labeler"), None);
    assert_eq!(
        found.expect("labeler").endpoint,
        "https://labels.example.com"
    );
    let many: Vec<_> = (0..1000)
        .map(|n| service(&format!("#s{n}"), "X", "y"))
        .collect();
    assert_eq!(with("/service", json!(many)).services.len(), 128);
    let long = service(
        "#atproto_pds",
        pds,
        &format!("https://a.b/{}", "x".repeat(2048)),
    );
    assert_eq!(with("/service", json!([long])).services.len(), 0);
    let single = service("#atproto_pds", pds, "https://one.example.com");
    assert!(with("/service", single).pds.is_some());
}

#[test]
fn keys_of_the_account_are_found_and_old_ones_marked() {
    for (member, value, kind) in [
        ("id", json!("#atproto"), Some(KeyKind::Multikey)),
        ("id", json!(format!("{BOB}#atproto")), None),
        ("id", json!("#atproto_label"), None),
        (
            "type",
            json!("EcdsaSecp256k1VerificationKey2019"),
            Some(KeyKind::LegacyK256),
        ),
        (
            "type",
            json!("EcdsaSecp256r1VerificationKey2019"),
            Some(KeyKind::LegacyP256),
        ),
        ("type", json!("Ed25519VerificationKey2020"), None),
        ("type", json!(null), None),
        ("controller", json!(BOB), None),
        ("controller", json!(7), None),
        ("publicKeyMultibase", json!("mQ3sh"), None),
        ("publicKeyMultibase", json!("z"), None),
        ("publicKeyMultibase", json!("zQ3sh0"), None),
        ("publicKeyMultibase", json!("z".repeat(257)), None),
        (
            "publicKeyMultibase",
            json!("z".repeat(256)),
            Some(KeyKind::Multikey),
        ),
        ("publicKeyMultibase", json!(7), None),
    ] {
        let document = with(&format!("/verificationMethod/0/{member}"), value.clone());
        let key = document.signing_key.as_ref();
        assert_eq!(key.map(|key| key.kind), kind, "{member}: {value}");
        let legacy = kind.is_some_and(|kind| kind != KeyKind::Multikey);
        assert_eq!(key.is_some_and(|key| key.is_legacy()), legacy);
        assert!(document.handle.is_some() && document.pds.is_some());
    }
    let without = |member: &str| with(&format!("/verificationMethod/0/{member}"), None);
    assert!(without("controller").signing_key.is_some());
    for member in ["id", "type", "publicKeyMultibase"] {
        assert_eq!(without(member).signing_key, None, "{member}");
    }
    for methods in [
        json!(null),
        json!([]),
        json!(["#atproto"]),
        json!("#atproto"),
    ] {
        assert_eq!(with("/verificationMethod", methods).signing_key, None);
    }
}

/// Any JSON, with the strings that mean something here more often than chance would have it.
fn hostile() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            ALICE,
            BOB,
            "at://b.c",
            "at://B.c",
            "at://",
            "#atproto",
            "#atproto_pds",
            "did:plc:aliceaaaaaaaaaaaaaaaaaaa#atproto",
            "did:plc:aliceaaaaaaaaaaaaaaaaaaa#atproto_pds",
            "AtprotoPersonalDataServer",
            "Multikey",
            "EcdsaSecp256r1VerificationKey2019",
            "https://a.b",
            "https://a@b",
            "zabc",
        ])
        .prop_map(Value::from),
    ];
    let leaf = prop_oneof![
        4 => text,
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let name = prop_oneof![
        1 => ".{0,6}",
        8 => prop::sample::select(vec![
            "id", "@context", "alsoKnownAs", "verificationMethod", "service", "type", "controller",
            "publicKeyMultibase", "serviceEndpoint",
        ]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn check(bytes: &[u8]) {
    let Ok(document) = Document::parse(ALICE, bytes) else {
        return;
    };
    assert_eq!(document.did, ALICE);
    assert_eq!(document.raw.as_bytes(), bytes);
    if let Some(handle) = &document.handle {
        assert!(Handle::parse(handle).is_ok() && *handle == handle.to_lowercase());
    }
    if let Some(pds) = &document.pds {
        assert!(pds.starts_with("http") && !pds.contains('@'));
        assert!(
            document
                .services
                .iter()
                .any(|service| service.endpoint == *pds)
        );
    }
    if let Some(key) = &document.signing_key {
        assert!(key.multibase.starts_with('z') && key.multibase.is_ascii());
    }
    assert_eq!(
        Document::parse(ALICE, document.raw.as_bytes()),
        Ok(document)
    );
}

proptest! {
    #[test]
    fn hostile_json_is_read_or_refused(
        names in hostile(), methods in hostile(), services in hostile(), context in hostile(), cut in any::<prop::sample::Index>(),
    ) {
        let document = json!({
            "id": ALICE, "@context": context, "alsoKnownAs": names, "verificationMethod": methods, "service": services,
        });
        let text = document.to_string();
        check(text.as_bytes());
        prop_assert!(Document::parse(ALICE, text.as_bytes()).is_ok());
        check(&text.as_bytes()[..cut.index(text.len())]);
        let mut flipped = text.into_bytes();
        let at = cut.index(flipped.len());
        flipped[at] ^= 1 << (at % 8);
        check(&flipped);
    }

    #[test]
    fn hostile_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), value in hostile()) {
        check(&bytes);
        check(value.to_string().as_bytes());
    }
}
