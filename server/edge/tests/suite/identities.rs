//! Identities over the stream, and pages of an account's records.
use std::time::{Duration, Instant};

use crate::common::network::Says;
use crate::common::repo::Signed;
use crate::common::{DID, POST, Place, post};
use orrery_server::{CallAsk, Edge as _, EdgeError, ListAsk};

#[tokio::test]
async fn an_identity_event_has_the_account_asked_for_again() {
    let mut place = Place::new();
    let signed = Signed::new(7);
    place.network.account(DID, "old.test", &signed.multikey());
    let known = place.edge.mini_doc(DID).await.unwrap();
    assert_eq!(
        (known.handle.as_str(), known.pds.as_str()),
        ("old.test", "https://pds.example")
    );
    assert_eq!(known.signing_key, signed.multikey());
    place.network.account(DID, "new.test", &signed.multikey());
    // Known, and not asked for again.
    assert_eq!(place.edge.mini_doc(DID).await.unwrap().handle, "old.test");
    place.source.identity(DID, Some("new.test"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while place.edge.mini_doc(DID).await.unwrap().handle != "new.test" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(place.edge.resolve_handle("new.test").await.unwrap(), DID);
    let error = place.edge.resolve_handle("old.test").await.unwrap_err();
    assert!(matches!(error, EdgeError::HandleNotFound(_)), "{error:?}");
    let error = place.edge.resolve_handle("nobody.test").await.unwrap_err();
    assert!(matches!(error, EdgeError::HandleNotFound(_)), "{error:?}");
    let endpoint = place.edge.service(DID, "#atproto_pds", None).await.unwrap();
    assert_eq!(endpoint, "https://pds.example");
    let error = place.edge.service(DID, "#other", None).await.unwrap_err();
    assert!(matches!(error, EdgeError::ServiceNotFound(_)), "{error:?}");
    let document = place.edge.did_document(DID).await.unwrap();
    assert!(document.get().contains("new.test"));
}

#[tokio::test]
async fn a_page_is_the_data_servers_with_what_the_stream_said_of_late() {
    const URL: &str = "pds.example/xrpc/com.atproto.repo.listRecords?repo=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa&collection=app.bsky.feed.post&limit=3";
    let mut place = Place::new();
    place
        .network
        .account(DID, "a.test", &Signed::new(7).multikey());
    let record = |rkey: &str, text: &str| {
        let cid = orrery_repo::record_cid(post(text).as_bytes()).unwrap();
        format!(
            r#"{{"uri":"at://{DID}/{POST}/{rkey}","cid":"{cid}","value":{}}}"#,
            post(text)
        )
    };
    let page = format!(
        r#"{{"records":[{},{},{}],"cursor":"c"}}"#,
        record("g", "old"),
        record("e", "old"),
        record("c", "old")
    );
    place.network.says(URL, Says::Json(200, page));
    place.source.write(DID, "g", &post("new"));
    place.source.delete(DID, "e");
    place.source.write(DID, "d", &post("new"));
    place.source.delete(DID, "c");
    place.source.write(DID, "a", &post("later page"));
    let ask = || ListAsk {
        did: DID.to_owned(),
        collection: POST.to_owned(),
        limit: 3,
        cursor: None,
        reverse: false,
    };
    let page = place.edge.list(ask()).await.unwrap();
    let told: Vec<String> = page
        .records
        .iter()
        .map(|record| {
            let value = String::from_utf8(record.value_json().to_vec()).unwrap();
            format!("{} {value}", record.uri.rsplit('/').next().unwrap())
        })
        .collect();
    // The page reaches as far as it did, though what it ended with is gone.
    let expected = [("g", "new"), ("d", "new")];
    assert_eq!(
        told,
        expected.map(|(rkey, text)| format!("{rkey} {}", post(text)))
    );
    assert_eq!(page.cursor.as_deref(), Some("c"));
    place.source.account(DID, false, Some("deactivated"));
    let error = place.edge.list(ask()).await.unwrap_err();
    assert!(matches!(error, EdgeError::Hidden(_)), "{error:?}");
}

#[tokio::test]
async fn a_query_of_another_service_goes_to_its_endpoint_and_its_errors_keep_their_names() {
    let place = Place::new();
    let document = r##"{"id":"did:web:feed.test","service":[{"id":"#svc","type":"X","serviceEndpoint":"https://api.feed.test/"}]}"##;
    place.network.says(
        "feed.test/.well-known/did.json",
        Says::Json(200, document.to_owned()),
    );
    let ask = |method: &str| CallAsk {
        service: "did:web:feed.test#svc".to_owned(),
        method: method.to_owned(),
        query: "q=1".to_owned(),
        authorization: Some("Bearer x".to_owned()),
        accept_labelers: None,
    };
    place.network.says(
        "api.feed.test/xrpc/a.b.good?q=1",
        Says::Json(200, r#"{"x":1}"#.to_owned()),
    );
    let answer = place.edge.call(ask("a.b.good")).await.unwrap();
    assert_eq!(answer.body.get(), r#"{"x":1}"#);
    place.network.says(
        "api.feed.test/xrpc/a.b.bad?q=1",
        Says::Json(
            401,
            r#"{"error":"AuthMissing","message":"who?"}"#.to_owned(),
        ),
    );
    let error = place.edge.call(ask("a.b.bad")).await.unwrap_err();
    assert!(
        matches!(&error, EdgeError::Origin { name, .. } if name == "AuthMissing"),
        "{error:?}"
    );
    let error = place.edge.call(ask("a.b.none")).await.unwrap_err();
    assert!(matches!(error, EdgeError::Unavailable(_)), "{error:?}");
}
