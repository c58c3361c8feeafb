use std::time::Duration;

use orrery_resolve::address::check;
use orrery_resolve::{DnsError, HANDLE_INVALID, HandleState, ResolveError};

use crate::fake::{ALICE, BOB, Fake, HANDLE, Reply, document, down, is_technical, plc, well_known};

fn did(did: &str) -> String {
    format!("did={did}")
}

#[tokio::test]
async fn a_handle_and_a_document_that_name_each_other_are_an_identity() {
    let fake = Fake::new();
    fake.txt(HANDLE, &[&did(ALICE)]);
    fake.document(
        ALICE,
        document(ALICE, "Alice.Example.COM", "pds.example.com"),
    );
    let resolver = fake.resolver();
    for identifier in [ALICE, HANDLE, "ALICE.example.com"] {
        let identity = resolver.identity(identifier).await.expect(identifier);
        assert_eq!(identity.handle, HANDLE);
        assert_eq!(identity.handle_state, HandleState::Confirmed);
        assert_eq!(identity.document.did, ALICE);
        assert_eq!(
            identity.document.pds.as_deref(),
            Some("https://pds.example.com")
        );
    }
    assert_eq!(fake.asked_in_all(), 2, "one of each");
}

#[tokio::test]
async fn by_handle_what_is_not_confirmed_is_an_error() {
    let fake = Fake::new();
    let resolver = fake.resolver();
    fake.txt("stolen.example.com", &[&did(ALICE)]);
    fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
    let expected = ResolveError::Unconfirmed {
        handle: "stolen.example.com".to_owned(),
        did: ALICE.to_owned(),
    };
    let result = resolver.resolve_handle("stolen.example.com").await;
    assert_eq!(result, Err(expected.clone()));
    let result = resolver.identity("stolen.example.com").await;
    assert_eq!(result, Err(expected));

    fake.txt("nameless.example.com", &[&did(BOB)]);
    fake.document(BOB, format!(r#"{{"id":"{BOB}"}}"#));
    let error = resolver.resolve_handle("nameless.example.com").await;
    assert!(matches!(error, Err(ResolveError::Unconfirmed { .. })));

    let lost = "did:plc:lostttttttttttttttttttttt"
        .get(..32)
        .expect("32 bytes");
    fake.txt("lost.example.com", &[&did(lost)]);
    fake.body(plc(lost), 404, "{}");
    let error = resolver.resolve_handle("lost.example.com").await;
    assert!(
        matches!(&error, Err(ResolveError::NotFound { name, .. }) if name == lost),
        "{error:?}"
    );

    fake.txt("odd.example.com", &[&did("did:key:zabc")]);
    let error = resolver.resolve_handle("odd.example.com").await;
    assert!(matches!(error, Err(ResolveError::Unsupported { .. })));
}

#[tokio::test(start_paused = true)]
async fn by_did_the_handle_is_invalid_unless_it_is_confirmed() {
    use HandleState::{Refuted, Unchecked};
    let refused = || {
        let address = [10, 0, 0, 1].into();
        Reply::Fail(orrery_resolve::FetchError::RefusedAddress {
            host: HANDLE.to_owned(),
            address,
            why: check(address).expect_err("private"),
        })
    };
    let other = did(BOB);
    let body = |status, body: &'static str| {
        Reply::Status(status, bytes::Bytes::from_static(body.as_bytes()))
    };
    for (txt, host, state) in [
        (Ok(vec![other.clone()]), down(), Refuted),
        (Ok(vec![other, did(ALICE)]), down(), Refuted),
        (Err(DnsError::NoRecords), body(404, ""), Refuted),
        (Err(DnsError::NoRecords), body(200, BOB), Refuted),
        (Err(DnsError::NoRecords), refused(), Refuted),
        (Err(DnsError::NoRecords), down(), Unchecked),
        (Err(DnsError::Timeout), body(404, ""), Unchecked),
        (Err(DnsError::Timeout), Reply::Hang, Unchecked),
    ] {
        let fake = Fake::new();
        fake.txt_after(Duration::ZERO, HANDLE, txt.clone());
        fake.reply(well_known(HANDLE), host);
        fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
        let identity = fake.resolver().identity(ALICE).await.expect("identity");
        assert_eq!(identity.handle, HANDLE_INVALID);
        assert_eq!(identity.handle_state, state, "{txt:?}");
        assert_eq!(identity.document.handle.as_deref(), Some(HANDLE));
    }
    for (named, state) in [
        ("a.invalid", Refuted),
        ("a.local", Refuted),
        ("not a handle", HandleState::Unnamed),
    ] {
        let fake = Fake::new();
        fake.document(ALICE, document(ALICE, named, "pds.example.com"));
        let identity = fake.resolver().identity(ALICE).await.expect("identity");
        assert_eq!(identity.handle, HANDLE_INVALID);
        assert_eq!(identity.handle_state, state, "{named}");
        assert_eq!(fake.asked_in_all(), 1, "only the document");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_failed_technically_is_made_again_after_seconds() {
    let fake = Fake::new();
    fake.reply(well_known(HANDLE), down());
    fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
    let resolver = fake.resolver();
    let identity = resolver.identity(ALICE).await.expect("identity");
    assert_eq!(identity.handle_state, HandleState::Unchecked);
    let error = resolver.identity(HANDLE).await.expect_err("by handle");
    assert!(is_technical(&error));

    fake.body(well_known(HANDLE), 200, ALICE);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let identity = resolver.identity(ALICE).await.expect("identity");
    assert_eq!(identity.handle, HANDLE);
    assert_eq!(identity.handle_state, HandleState::Confirmed);
    assert_eq!(fake.asked(plc(ALICE)), 1);
}

#[tokio::test]
async fn a_did_web_is_asked_for_at_its_host() {
    let fake = Fake::new();
    let web = "did:web:alice.example.com";
    let url = "https://alice.example.com/.well-known/did.json";
    fake.body(url, 200, document(web, HANDLE, "pds.example.com"));
    fake.body(well_known(HANDLE), 200, web);
    let resolver = fake.resolver();
    assert_eq!(resolver.resolve_handle(HANDLE).await.as_deref(), Ok(web));
    let gone = resolver.document("did:web:gone.example.com").await;
    assert!(
        matches!(gone, Err(ResolveError::NotFound { .. })),
        "{gone:?}"
    );
    fake.body(
        "https://bad.example.com/.well-known/did.json",
        200,
        "<html>",
    );
    let bad = resolver.document("did:web:bad.example.com").await;
    assert!(matches!(bad, Err(ResolveError::Unusable { .. })), "{bad:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_in_place_of_a_document_are_told_apart() {
    for (status, kind) in [
        (200, "Unusable"),
        (204, "Technical"),
        (400, "NotFound"),
        (403, "Technical"),
        (404, "NotFound"),
        (410, "NotFound"),
        (429, "Technical"),
        (500, "Technical"),
        (503, "Technical"),
    ] {
        let fake = Fake::new();
        fake.body(plc(ALICE), status, "{}");
        let error = fake.resolver().document(ALICE).await.expect_err("none");
        let name = format!("{error:?}");
        assert!(name.starts_with(kind), "{status}: {name}");
    }
    let fake = Fake::new();
    fake.document(ALICE, vec![b' '; (256 << 10) + 1]);
    let error = fake.resolver().document(ALICE).await.expect_err("large");
    assert!(matches!(error, ResolveError::Unusable { .. }), "{error}");
    let fake = Fake::new();
    fake.reply(plc(ALICE), Reply::Hang);
    let began = tokio::time::Instant::now();
    let error = fake.resolver().document(ALICE).await.expect_err("hangs");
    assert!(is_technical(&error));
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}

#[tokio::test]
async fn services_are_found_by_id_and_type() {
    let fake = Fake::new();
    fake.txt(HANDLE, &[&did(ALICE)]);
    fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
    let resolver = fake.resolver();
    let kind = Some("AtprotoPersonalDataServer");
    for who in [ALICE, HANDLE] {
        for id in ["#atproto_pds", &format!("{ALICE}#atproto_pds")] {
            for kind in [None, kind] {
                let endpoint = resolver.service(who, id, kind).await;
                assert_eq!(endpoint.as_deref(), Ok("https://pds.example.com"));
            }
            let error = resolver.service(who, id, Some("Other")).await;
            let expected = ResolveError::NoService {
                did: ALICE.to_owned(),
                id: id.to_owned(),
            };
            assert_eq!(error, Err(expected));
        }
        for id in ["atproto_pds", "#other", "", &format!("{BOB}#atproto_pds")] {
            let error = resolver.service(who, id, None).await;
            assert!(matches!(error, Err(ResolveError::NoService { .. })), "{id}");
        }
    }
}

#[tokio::test]
async fn a_resolver_without_a_usable_directory_is_not_made() {
    for plc in [
        "",
        "plc.directory",
        "https://u@plc.directory",
        "https://plc.directory?x",
    ] {
        let options = orrery_resolve::ResolverOptions {
            plc: plc.to_owned(),
            ..crate::fake::options()
        };
        let keep = std::sync::Arc::new(orrery_resolve::KeepNothing);
        let made = orrery_resolve::Resolver::new(Fake::new(), options, keep);
        assert!(matches!(made, Err(ResolveError::Syntax { .. })), "{plc}");
    }
}
