use std::time::Duration;

use bytes::Bytes;
use orrery_resolve::FetchError;
use orrery_resolve::address::check;
use orrery_resolve::origin::{
    OriginError, PROOF_BYTES_MAX, RECORD_BYTES_MAX, get_record, get_record_proof, list_records,
};

use crate::fake::{ALICE, BOB, Fake, Reply};

const PDS: &str = "https://pds.example.com";
const POST: &str = "app.bsky.feed.post";
const CID: &str = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

fn url(method: &str, rest: &str) -> String {
    format!("{PDS}/xrpc/com.atproto.{method}?{rest}")
}

fn record_url() -> String {
    url(
        "repo.getRecord",
        &format!("repo={ALICE}&collection={POST}&rkey=3k"),
    )
}

fn uri() -> String {
    format!("at://{ALICE}/{POST}/3k")
}

async fn get(fake: &Fake) -> Result<orrery_resolve::origin::OriginRecord, OriginError> {
    get_record(fake, PDS, ALICE, POST, "3k", None).await
}

/// What the body is taken for.
async fn given(
    status: u16,
    body: impl AsRef<[u8]>,
) -> Result<(String, Option<String>, String), OriginError> {
    let fake = Fake::new();
    fake.body(record_url(), status, body);
    let record = get(&fake).await?;
    Ok((record.uri, record.cid, record.value.get().to_owned()))
}

#[tokio::test]
async fn a_record_is_given_byte_for_byte() {
    let value = r#"{ "z":1e3, "a" : "\u00e4", "n": 12345678901234567890.10 }"#;
    let body = format!(
        r#"{{"value": {value} ,"uri":"{}","cid":"{CID}","more":1}}"#,
        uri()
    );
    assert_eq!(
        given(200, body).await,
        Ok((uri(), Some(CID.to_owned()), value.to_owned()))
    );
}

#[tokio::test]
async fn the_cid_may_be_absent_and_the_authority_a_handle() {
    for (authority, cid) in [
        (ALICE, String::new()),
        (ALICE, r#","cid":null"#.to_owned()),
        ("alice.example.com", format!(r#","cid":"{CID}""#)),
    ] {
        let body = format!(r#"{{"uri":"at://{authority}/{POST}/3k","value":{{}}{cid}}}"#);
        let (uri_given, cid_given, _) = given(200, body).await.expect("record");
        assert_eq!(uri_given, uri());
        assert_eq!(cid_given.is_some(), cid.contains("baf"));
    }
}

#[tokio::test]
async fn answers_about_something_else_are_refused() {
    for wrong in [
        format!("at://{BOB}/{POST}/3k"),
        format!("at://{ALICE}/{POST}/3l"),
        format!("at://{ALICE}/app.bsky.feed.like/3k"),
        format!("at://alice.example.com/{POST}/3l"),
        format!("at://{ALICE}/{POST}"),
        format!("at://{ALICE}"),
        format!("at://{ALICE}/{POST}/3k/"),
        format!("at://{ALICE}/{POST}/3k#x"),
        format!("https://{ALICE}/{POST}/3k"),
        "x".repeat(10_000),
        String::new(),
    ] {
        let body = format!(r#"{{"uri":"{wrong}","value":{{}},"cid":"{CID}"}}"#);
        match given(200, body).await.expect_err("another") {
            OriginError::WrongUri { asked, got } => {
                assert_eq!(asked, uri());
                assert!(wrong.starts_with(&got) && got.len() <= 1024);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn garbage_is_told_as_such() {
    let uri = uri();
    for body in [
        String::new(),
        "<html>".to_owned(),
        "null".to_owned(),
        format!(r#"["{uri}","{CID}",{{}}]"#),
        format!(r#"{{"uri":"{uri}"}}"#),
        format!(r#"{{"value":{{}},"cid":"{CID}"}}"#),
        format!(r#"{{"uri":"{uri}","value":null}}"#),
        format!(r#"{{"uri":"{uri}","value":[]}}"#),
        format!(r#"{{"uri":"{uri}","value":"{{}}"}}"#),
        format!(r#"{{"uri":"{uri}","value":{{}},"cid":7}}"#),
        format!(r#"{{"uri":"{uri}","value":{{}},"cid":""}}"#),
        format!(r#"{{"uri":"{uri}","value":{{}},"cid":"not a cid"}}"#),
        format!(r#"{{"uri":"{uri}","value":{{}},"cid":"{CID}""#),
        format!(r#"{{"uri":"{uri}","value":{{}},"value":{{}}}}"#),
        format!(r#"{{"uri":"{uri}","value":{{"a":}}}}"#),
    ] {
        let error = given(200, &body).await.expect_err("garbage");
        assert!(
            matches!(error, OriginError::Garbage { .. }),
            "{body}: {error:?}"
        );
    }
    let mut bytes = format!(r#"{{"uri":"{uri}","value":{{"a":""#).into_bytes();
    bytes.extend(b"\xff\"}}");
    let error = given(200, bytes).await.expect_err("not UTF-8");
    assert!(matches!(error, OriginError::Garbage { .. }), "{error:?}");
}

#[tokio::test]
async fn error_objects_are_given_on_and_absence_told_apart() {
    let absent = |error: &str, message: &str| OriginError::NoRecord {
        error: error.to_owned(),
        message: message.to_owned(),
    };
    let answered = |status, error: &str, message: &str| OriginError::Answered {
        status,
        error: error.to_owned(),
        message: message.to_owned(),
    };
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"RecordNotFound","message":"m"}"#,
            absent("RecordNotFound", "m"),
        ),
        (404, r#"{"error":"NotFound"}"#, absent("NotFound", "")),
        (
            400,
            r#"{"error":"NotFound","message":null}"#,
            absent("NotFound", ""),
        ),
        (
            400,
            r#"{"error":"InvalidRequest","message":"Could not locate record: at://x"}"#,
            absent("InvalidRequest", "Could not locate record: at://x"),
        ),
        (
            500,
            r#"{"error":"NotFound"}"#,
            answered(500, "NotFound", ""),
        ),
        (
            400,
            r#"{"error":"RepoTakendown","message":"m"}"#,
            answered(400, "RepoTakendown", "m"),
        ),
        (
            401,
            r#"{"error":"AuthMissing","message":"m"}"#,
            answered(401, "AuthMissing", "m"),
        ),
        (
            502,
            r#"{"error":"UpstreamFailure","message":"m"}"#,
            answered(502, "UpstreamFailure", "m"),
        ),
        (
            400,
            r#"{"error":"no such name"}"#,
            OriginError::Status { status: 400 },
        ),
        (400, r#"{"error":""}"#, OriginError::Status { status: 400 }),
        (400, r#"{"error":7}"#, OriginError::Status { status: 400 }),
        (
            400,
            r#"["NotFound","m"]"#,
            OriginError::Status { status: 400 },
        ),
        (404, "<html>", OriginError::Status { status: 404 }),
        (500, "", OriginError::Status { status: 500 }),
        (204, "", OriginError::Status { status: 204 }),
        (
            429,
            r#"{"error":"RateLimitExceeded"}"#,
            OriginError::RetryLater { after: None },
        ),
    ] {
        assert_eq!(given(status, body).await, Err(expected), "{status} {body}");
    }
    let long = format!(r#"{{"error":"X","message":"{}"}}"#, "ä".repeat(5000));
    match given(400, long).await.expect_err("error object") {
        OriginError::Answered { message, .. } => assert_eq!(message.len(), 1024),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_is_asked_for_without_its_cid_once() {
    let body = format!(r#"{{"uri":"{}","value":{{}},"cid":"{CID}"}}"#, uri());
    let other = CID.replace("z2a", "z2b");
    let with_cid = format!("{}&cid={other}", record_url());
    for (status, answer, again) in [
        (400, r#"{"error":"RecordNotFound"}"#, true),
        (400, r#"{"error":"NotFound"}"#, true),
        (400, r#"{"error":"InvalidRequest","message":"bad"}"#, false),
        (500, "", false),
    ] {
        let fake = Fake::new();
        fake.body(&with_cid, status, answer);
        fake.body(record_url(), 200, &body);
        let result = get_record(&*fake, PDS, ALICE, POST, "3k", Some(&other)).await;
        assert_eq!(result.is_ok(), again, "{answer}");
        if let Ok(record) = result {
            assert_eq!(record.cid.as_deref(), Some(CID), "the newest one");
        }
        assert_eq!(fake.asked(&with_cid), 1);
        assert_eq!(fake.asked(record_url()), usize::from(again));
    }
    let fake = Fake::new();
    fake.body(&with_cid, 400, r#"{"error":"RecordNotFound"}"#);
    fake.body(record_url(), 400, r#"{"error":"RecordNotFound"}"#);
    let result = get_record(&*fake, PDS, ALICE, POST, "3k", Some(&other)).await;
    assert!(matches!(result, Err(OriginError::NoRecord { .. })));
    assert_eq!(fake.asked_in_all(), 2);
}

#[tokio::test]
async fn failures_to_ask_are_told_apart() {
    let host = || "pds.example.com".to_owned();
    let after = Duration::from_secs(9);
    let address = [127, 0, 0, 1].into();
    let why = check(address).expect_err("loopback");
    for (failure, kind) in [
        (
            FetchError::Timeout {
                host: host(),
                after,
            },
            "Timeout",
        ),
        (
            FetchError::RefusedAddress {
                host: host(),
                address,
                why,
            },
            "Refused",
        ),
        (
            FetchError::RetryLater {
                host: host(),
                after,
            },
            "RetryLater { after: Some(9s) }",
        ),
        (FetchError::Busy { host: host() }, "Busy"),
        (
            FetchError::BadUrl {
                url: host(),
                problem: String::new(),
            },
            "Refused",
        ),
        (FetchError::NoSuchHost { host: host() }, "Unreachable"),
        (
            FetchError::Connect {
                host: host(),
                problem: String::new(),
            },
            "Unreachable",
        ),
        (
            FetchError::Redirect {
                host: host(),
                problem: String::new(),
            },
            "Unreachable",
        ),
        (
            FetchError::Protocol {
                host: host(),
                problem: String::new(),
            },
            "Garbage",
        ),
    ] {
        let fake = Fake::new();
        fake.reply(record_url(), Reply::Fail(failure));
        let error = format!("{:?}", get(&fake).await.expect_err("failure"));
        assert!(error.starts_with(kind), "{error}");
    }
    let fake = Fake::new();
    fake.body(record_url(), 200, vec![b' '; RECORD_BYTES_MAX + 1]);
    let most = RECORD_BYTES_MAX;
    assert_eq!(get(&fake).await.err(), Some(OriginError::TooLarge { most }));
}

#[tokio::test]
async fn only_scheme_host_and_port_of_the_endpoint_are_used() {
    let body = format!(r#"{{"uri":"{}","value":{{}}}}"#, uri());
    let fake = Fake::new();
    fake.body(record_url(), 200, body);
    for pds in [
        "https://pds.example.com/",
        "https://pds.example.com/a/b/../c",
        "https://pds.example.com?x=y#z",
        "https://pds.example.com/xrpc/com.evil.method?repo=",
    ] {
        let record = get_record(&*fake, pds, ALICE, POST, "3k", None).await;
        assert!(record.is_ok(), "{pds}: {record:?}");
    }
    assert_eq!(fake.asked_in_all(), 4);
    for request in fake.requests() {
        assert_eq!((request.redirects, request.headers.len()), (0, 0));
        assert_eq!(request.most_bytes, RECORD_BYTES_MAX);
    }
    for pds in [
        "",
        "pds.example.com",
        "https://u:p@pds.example.com",
        "file:///etc/passwd",
    ] {
        let error = get_record(&*fake, pds, ALICE, POST, "3k", None).await;
        assert!(matches!(error, Err(OriginError::BadPds { .. })), "{pds}");
    }
    assert_eq!(fake.asked_in_all(), 4);
}

#[tokio::test]
async fn what_can_be_no_record_is_not_asked_for() {
    let fake = Fake::new();
    for (did, collection, rkey, cid) in [
        ("alice.example.com", POST, "3k", None),
        (ALICE, "post", "3k", None),
        (ALICE, POST, "..", None),
        (ALICE, POST, "a/b", None),
        (ALICE, POST, "a&cid=b", None),
        (ALICE, POST, "", None),
        (ALICE, POST, "3k", Some("")),
        (ALICE, POST, "3k", Some("x y")),
    ] {
        let error = get_record(&*fake, PDS, did, collection, rkey, cid).await;
        assert!(matches!(error, Err(OriginError::Argument { .. })));
        if cid.is_none() {
            let error = get_record_proof(&*fake, PDS, did, collection, rkey).await;
            assert!(matches!(error, Err(OriginError::Argument { .. })));
        }
    }
    let long = "x".repeat(5000);
    let error = list_records(&*fake, PDS, ALICE, POST, 1, Some(&long), false).await;
    assert!(matches!(error, Err(OriginError::Argument { .. })));
    assert_eq!(fake.asked_in_all(), 0);
}

#[tokio::test]
async fn a_proof_is_given_as_it_came() {
    let fake = Fake::new();
    let proof_url = url(
        "sync.getRecord",
        &format!("did={ALICE}&collection={POST}&rkey=3k"),
    );
    fake.body(&proof_url, 200, b"\x01car");
    let proof = get_record_proof(&*fake, PDS, ALICE, POST, "3k").await;
    assert_eq!(proof, Ok(Bytes::from_static(b"\x01car")));
    fake.body(&proof_url, 404, r#"{"error":"RecordNotFound"}"#);
    let proof = get_record_proof(&*fake, PDS, ALICE, POST, "3k").await;
    assert!(matches!(proof, Err(OriginError::NoRecord { .. })));
    fake.body(&proof_url, 200, vec![0; PROOF_BYTES_MAX + 1]);
    let most = PROOF_BYTES_MAX;
    let proof = get_record_proof(&*fake, PDS, ALICE, POST, "3k").await;
    assert_eq!(proof, Err(OriginError::TooLarge { most }));
}

#[tokio::test]
async fn pages_are_checked_record_by_record() {
    let list = |limit: u32, rest: &str| {
        url(
            "repo.listRecords",
            &format!("repo={ALICE}&collection={POST}&limit={limit}{rest}"),
        )
    };
    let record = |authority: &str, rkey: &str| {
        format!(
            r#"{{"uri":"at://{authority}/{POST}/{rkey}","cid":"{CID}","value":{{"n":"{rkey}"}}}}"#
        )
    };
    let fake = Fake::new();
    let good = format!(
        r#"{{"cursor":"3l","records":[{},{}]}}"#,
        record(ALICE, "3k"),
        record("alice.example.com", "3l")
    );
    fake.body(list(2, ""), 200, &good);
    let page = list_records(&*fake, PDS, ALICE, POST, 2, None, false).await;
    let page = page.expect("page");
    let uris: Vec<_> = page
        .records
        .iter()
        .map(|record| record.uri.as_str())
        .collect();
    let (first, second) = (
        format!("at://{ALICE}/{POST}/3k"),
        format!("at://{ALICE}/{POST}/3l"),
    );
    assert_eq!(uris, [first, second]);
    assert_eq!(page.records[1].value.get(), r#"{"n":"3l"}"#);
    assert_eq!(page.cursor.as_deref(), Some("3l"));

    fake.body(
        list(100, "&cursor=a%26b&reverse=true"),
        200,
        r#"{"records":[],"cursor":""}"#,
    );
    let page = list_records(&*fake, PDS, ALICE, POST, 1000, Some("a&b"), true).await;
    let page = page.expect("page");
    assert!(page.records.is_empty());
    assert_eq!(page.cursor, None);

    fake.body(list(1, ""), 200, &good);
    let error = list_records(&*fake, PDS, ALICE, POST, 0, None, false).await;
    assert!(
        matches!(error, Err(OriginError::Garbage { .. })),
        "one more than asked for"
    );
    let mixed = format!(
        r#"{{"records":[{},{}]}}"#,
        record(ALICE, "3k"),
        record(BOB, "3l")
    );
    fake.body(list(2, ""), 200, mixed);
    let error = list_records(&*fake, PDS, ALICE, POST, 2, None, false).await;
    assert!(
        matches!(error, Err(OriginError::WrongUri { .. })),
        "{error:?}"
    );
    let endless = format!(r#"{{"records":[],"cursor":"{}"}}"#, "x".repeat(5000));
    fake.body(list(2, ""), 200, endless);
    let error = list_records(&*fake, PDS, ALICE, POST, 2, None, false).await;
    assert!(
        matches!(error, Err(OriginError::Garbage { .. })),
        "{error:?}"
    );
}
