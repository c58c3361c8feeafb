use std::time::Duration;

use orrery_resolve::address::check;
use orrery_resolve::{DnsError, FetchError, ResolveError};

use crate::fake::{
    ALICE, BOB, Fake, HANDLE, Reply, document, down, is_technical, plc, txt_name, well_known,
};

/// Whether the handle leads to Alice.
async fn leads(fake: &std::sync::Arc<Fake>) -> Result<String, ResolveError> {
    fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
    fake.document(BOB, document(BOB, HANDLE, "pds.example.com"));
    fake.resolver().resolve_handle(HANDLE).await
}

fn alice() -> String {
    format!("did={ALICE}")
}

#[tokio::test(start_paused = true)]
async fn a_txt_record_is_enough() {
    for values in [
        vec![alice()],
        vec!["v=spf1 -all".to_owned(), alice(), alice()],
        vec![format!(" did= {ALICE} ")],
        vec!["did=".to_owned(), "did=nonsense".to_owned(), alice()],
    ] {
        let fake = Fake::new();
        fake.txt_after(Duration::ZERO, HANDLE, Ok(values.clone()));
        assert_eq!(leads(&fake).await.as_deref(), Ok(ALICE), "{values:?}");
        assert_eq!(fake.asked(well_known(HANDLE)), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn several_dids_in_txt_records_are_a_conflict() {
    let fake = Fake::new();
    fake.txt(HANDLE, &[&alice(), "other", &format!("did={BOB}")]);
    fake.body(well_known(HANDLE), 200, ALICE);
    let error = leads(&fake).await.expect_err("conflict");
    let expected = ResolveError::Conflict {
        handle: HANDLE.to_owned(),
        first: ALICE.to_owned(),
        second: BOB.to_owned(),
    };
    assert_eq!(error, expected);
    assert!(error.is_definitive());
}

#[tokio::test(start_paused = true)]
async fn the_host_is_asked_where_dns_has_nothing() {
    for dns in [
        Err(DnsError::NoRecords),
        Err(DnsError::Timeout),
        Err(DnsError::Failed {
            problem: "SERVFAIL".to_owned(),
        }),
        Ok(vec![]),
        Ok(vec!["did=".to_owned(), "didnt".to_owned()]),
    ] {
        for body in [ALICE.to_owned(), format!("\r\n {ALICE}\t\n")] {
            let fake = Fake::new();
            fake.txt_after(Duration::ZERO, HANDLE, dns.clone());
            fake.body(well_known(HANDLE), 200, body);
            assert_eq!(leads(&fake).await.as_deref(), Ok(ALICE), "{dns:?}");
            let asked = fake.requests();
            let request = asked.first().expect("request");
            assert_eq!((request.redirects, request.most_bytes), (3, 4096));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_dns_wins_over_a_fast_host() {
    let fake = Fake::new();
    fake.txt_after(Duration::from_secs(4), HANDLE, Ok(vec![alice()]));
    fake.body(well_known(HANDLE), 200, BOB);
    assert_eq!(leads(&fake).await.as_deref(), Ok(ALICE));
    assert_eq!(fake.asked(well_known(HANDLE)), 1, "asked meanwhile");
}

#[tokio::test(start_paused = true)]
async fn slow_dns_and_a_slow_host_are_waited_for_at_the_same_time() {
    let fake = Fake::new();
    let began = tokio::time::Instant::now();
    fake.txt_after(Duration::from_secs(4), HANDLE, Err(DnsError::Timeout));
    let body = bytes::Bytes::from_static(ALICE.as_bytes());
    let reply = Reply::Status(200, body);
    fake.reply_after(Duration::from_secs(4), well_known(HANDLE), reply);
    assert_eq!(leads(&fake).await.as_deref(), Ok(ALICE));
    assert!(began.elapsed() < Duration::from_secs(6));

    let fake = Fake::new();
    fake.txt_after(Duration::from_secs(4), HANDLE, Ok(vec![alice()]));
    fake.reply(well_known(HANDLE), Reply::Hang);
    let began = tokio::time::Instant::now();
    assert_eq!(leads(&fake).await.as_deref(), Ok(ALICE));
    assert_eq!(began.elapsed(), Duration::from_secs(4), "not the host");
}

#[tokio::test(start_paused = true)]
async fn what_is_certain_is_told_from_what_is_not() {
    let refused = || {
        let address = [127, 0, 0, 1].into();
        Reply::Fail(FetchError::RefusedAddress {
            host: HANDLE.to_owned(),
            address,
            why: check(address).expect_err("loopback"),
        })
    };
    let status = |status| Reply::Status(status, bytes::Bytes::new());
    let garbage = |body: &'static [u8]| Reply::Status(200, bytes::Bytes::from_static(body));
    let no_host = || {
        Reply::Fail(FetchError::NoSuchHost {
            host: HANDLE.to_owned(),
        })
    };
    let redirect = || {
        Reply::Fail(FetchError::Redirect {
            host: HANDLE.to_owned(),
            problem: "too many".to_owned(),
        })
    };
    static PAGE: [u8; 5000] = [b' '; 5000];
    for (host, kind) in [
        (status(404), "NotFound"),
        (status(403), "NotFound"),
        (status(410), "NotFound"),
        (no_host(), "NotFound"),
        (redirect(), "NotFound"),
        (garbage(b"<!doctype html>"), "NotFound"),
        (garbage(b""), "NotFound"),
        (garbage(b"did:plc:a\0b"), "NotFound"),
        (garbage(b"\xff\xfe"), "NotFound"),
        (garbage(&PAGE), "NotFound"),
        (refused(), "Refused"),
        (status(500), "Technical"),
        (status(503), "Technical"),
        (status(429), "Technical"),
        (status(408), "Technical"),
        (down(), "Technical"),
        (Reply::Hang, "Technical"),
        (Reply::Panic, "Technical"),
    ] {
        for dns_works in [true, false] {
            let fake = Fake::new();
            if !dns_works {
                fake.txt_fails(HANDLE, DnsError::Timeout);
            }
            fake.reply(well_known(HANDLE), host.clone());
            let error = leads(&fake).await.expect_err("leads nowhere");
            let name = format!("{error:?}");
            let expected = if dns_works { kind } else { "Technical" };
            assert!(name.starts_with(expected), "{name}, not {expected}");
            assert_eq!(error.is_definitive(), expected != "Technical");
        }
    }
    let fake = Fake::new();
    let after = Duration::from_secs(77);
    let reply = Reply::Fail(FetchError::RetryLater {
        host: HANDLE.to_owned(),
        after,
    });
    fake.reply(well_known(HANDLE), reply);
    let expected = ResolveError::RetryLater {
        name: HANDLE.to_owned(),
        after,
    };
    assert_eq!(leads(&fake).await, Err(expected));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_asked_it_is_told_what_for_and_whom() {
    let fake = Fake::new();
    fake.txt_fails(HANDLE, DnsError::Timeout);
    fake.reply(well_known(HANDLE), down());
    let error = leads(&fake).await.expect_err("leads nowhere").to_string();
    let looked_up = format!(
        "cannot look up {}: no name server answered in time",
        txt_name(HANDLE)
    );
    assert!(
        error.contains(&looked_up) && error.contains("cannot connect to "),
        "{error}"
    );
}

#[tokio::test]
async fn names_that_can_be_no_public_handles_are_not_asked_for() {
    let fake = Fake::new();
    let resolver = fake.resolver();
    for tld in [
        "alt",
        "arpa",
        "example",
        "internal",
        "invalid",
        "local",
        "localhost",
        "onion",
        "test",
        "LOCAL",
    ] {
        let error = resolver.resolve_handle(&format!("a.{tld}")).await;
        let error = error.expect_err(tld);
        assert!(
            matches!(&error, ResolveError::Reserved { tld: named, .. } if *named == tld.to_lowercase()),
            "{error}"
        );
    }
    for bad in [
        "", "alice", "a..b", "@a.b", "at://a.b", "a.b.", "10.0.0.1", "a.b/c", "ä.com",
    ] {
        for result in [
            resolver.resolve_handle(bad).await.map(drop),
            resolver.identity(bad).await.map(drop),
        ] {
            let error = result.expect_err(bad);
            assert!(
                matches!(error, ResolveError::Syntax { .. }),
                "{bad}: {error}"
            );
        }
    }
    assert_eq!(fake.asked_in_all(), 0);
}

#[tokio::test]
async fn names_under_test_are_resolved_with_the_switch() {
    let fake = Fake::new();
    fake.txt("alice.test", &[&alice()]);
    fake.document(ALICE, document(ALICE, "alice.test", "pds.example.com"));
    let options = orrery_resolve::ResolverOptions {
        allow_test: true,
        ..crate::fake::options()
    };
    let resolver = fake.resolver_with(options, std::sync::Arc::new(orrery_resolve::KeepNothing));
    assert_eq!(
        resolver.resolve_handle("Alice.Test").await.as_deref(),
        Ok(ALICE)
    );
    let identity = resolver.identity(ALICE).await.expect("identity");
    assert_eq!(identity.handle, "alice.test");
}

#[tokio::test(start_paused = true)]
async fn absence_is_remembered_for_a_minute_and_failure_for_seconds() {
    let fake = Fake::new();
    let resolver = fake.resolver();
    for (host, holds) in [(Reply::Status(404, bytes::Bytes::new()), 60), (down(), 3)] {
        fake.reply(well_known(HANDLE), host);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let before = fake.asked(txt_name(HANDLE));
        for _ in 0..100 {
            let error = resolver.resolve_handle(HANDLE).await.expect_err("nowhere");
            assert_eq!(is_technical(&error), holds == 3);
        }
        tokio::time::sleep(Duration::from_secs(holds - 1)).await;
        resolver.resolve_handle(HANDLE).await.expect_err("nowhere");
        assert_eq!(fake.asked(txt_name(HANDLE)), before + 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        resolver.resolve_handle(HANDLE).await.expect_err("nowhere");
        assert_eq!(fake.asked(txt_name(HANDLE)), before + 2);
    }
    // And then it is there.
    fake.txt(HANDLE, &[&alice()]);
    fake.document(ALICE, document(ALICE, HANDLE, "pds.example.com"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(resolver.resolve_handle(HANDLE).await.as_deref(), Ok(ALICE));
    assert_eq!(fake.asked(plc(ALICE)), 1);
}
