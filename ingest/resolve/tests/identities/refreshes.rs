use std::sync::Arc;
use std::time::Duration;

use orrery_resolve::{KeepNothing, ResolveError, ResolverOptions};

use crate::fake::{
    ALICE, BOB, Fake, HANDLE, Reply, document, down, is_technical, options, plc, settle, txt_name,
};

const HOUR: Duration = Duration::from_secs(3600);

fn reply(did: &str, pds: &str) -> Reply {
    Reply::Status(200, document(did, HANDLE, pds).into())
}

async fn pds(resolver: &orrery_resolve::Resolver, did: &str) -> String {
    let document = resolver.document(did).await.expect("document");
    document.pds.clone().expect("PDS")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_one_request() {
    let fake = Fake::new();
    let delay = Duration::from_millis(500);
    fake.reply_after(delay, plc(ALICE), reply(ALICE, "pds.example.com"));
    fake.txt_after(delay, HANDLE, Ok(vec![format!("did={ALICE}")]));
    let resolver = fake.resolver();
    let callers: Vec<_> = (0..1000)
        .map(|number| {
            let resolver = resolver.clone();
            tokio::spawn(async move {
                let identifier = if number % 2 == 0 { ALICE } else { HANDLE };
                resolver.identity(identifier).await
            })
        })
        .collect();
    for caller in callers {
        let identity = caller.await.expect("caller").expect("identity");
        assert_eq!(identity.handle, HANDLE);
    }
    assert_eq!(fake.asked(plc(ALICE)), 1);
    assert_eq!(fake.asked(txt_name(HANDLE)), 1);
    assert_eq!(fake.asked_in_all(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_value_is_served_at_once_and_refreshed_behind() {
    let fake = Fake::new();
    fake.reply(plc(ALICE), reply(ALICE, "one.example.com"));
    let resolver = fake.resolver();
    assert_eq!(pds(&resolver, ALICE).await, "https://one.example.com");
    let slow = Duration::from_secs(5);
    fake.reply_after(slow, plc(ALICE), reply(ALICE, "two.example.com"));

    tokio::time::sleep(4 * HOUR - Duration::from_secs(1)).await;
    assert_eq!(pds(&resolver, ALICE).await, "https://one.example.com");
    settle().await;
    assert_eq!(fake.asked(plc(ALICE)), 1, "not yet");

    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    for _ in 0..1000 {
        assert_eq!(pds(&resolver, ALICE).await, "https://one.example.com");
    }
    settle().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits");
    assert_eq!(fake.asked(plc(ALICE)), 2, "once for all");
    tokio::time::sleep(slow).await;
    settle().await;
    assert_eq!(pds(&resolver, ALICE).await, "https://two.example.com");
    assert_eq!(fake.asked(plc(ALICE)), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_or_gives_garbage_keeps_the_old_value_with_backoff() {
    let garbage = Reply::Status(200, "<html>".into());
    let wrong = Reply::Status(200, document(BOB, HANDLE, "evil.example.com").into());
    for trouble in [
        down(),
        garbage,
        wrong,
        Reply::Hang,
        Reply::Status(502, "".into()),
    ] {
        let fake = Fake::new();
        fake.reply(plc(ALICE), reply(ALICE, "one.example.com"));
        let resolver = fake.resolver();
        pds(&resolver, ALICE).await;
        fake.reply(plc(ALICE), trouble);
        tokio::time::sleep(4 * HOUR).await;
        // Used every second of a day.
        for _ in 0..24 * 3600 {
            assert_eq!(pds(&resolver, ALICE).await, "https://one.example.com");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let asked = fake.asked(plc(ALICE)) - 1;
        // Ten seconds doubled nine times is more than an hour: then once an hour.
        assert!((25..=35).contains(&asked), "{asked}");

        fake.reply(plc(ALICE), reply(ALICE, "two.example.com"));
        tokio::time::sleep(HOUR).await;
        pds(&resolver, ALICE).await;
        settle().await;
        assert_eq!(pds(&resolver, ALICE).await, "https://two.example.com");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_too_old_in_the_end() {
    let fake = Fake::new();
    fake.reply(plc(ALICE), reply(ALICE, "one.example.com"));
    let resolver = fake.resolver();
    pds(&resolver, ALICE).await;
    fake.reply(plc(ALICE), down());
    tokio::time::sleep(7 * 24 * HOUR - Duration::from_secs(1)).await;
    pds(&resolver, ALICE).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    for _ in 0..10 {
        let error = resolver.document(ALICE).await.expect_err("too old");
        assert!(is_technical(&error));
    }
    let asked = fake.asked(plc(ALICE));
    assert!((2..=3).contains(&asked), "{asked}");
    // Somebody waits, so that the source is tried again soon.
    fake.reply(plc(ALICE), reply(ALICE, "two.example.com"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(pds(&resolver, ALICE).await, "https://two.example.com");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_not_served_once_the_source_says_so() {
    let fake = Fake::new();
    fake.reply(plc(ALICE), reply(ALICE, "one.example.com"));
    let resolver = fake.resolver();
    pds(&resolver, ALICE).await;
    fake.body(plc(ALICE), 410, "{}");
    tokio::time::sleep(4 * HOUR).await;
    pds(&resolver, ALICE).await;
    settle().await;
    let error = resolver.document(ALICE).await.expect_err("gone");
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
}

fn numbered(number: usize) -> String {
    let digits: String = format!("{number:06}")
        .bytes()
        .map(|digit| char::from(digit - b'0' + b'a'))
        .collect();
    format!("did:plc:{digits}aaaaaaaaaaaaaaaaaa")
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_refreshes_at_a_source_that_hangs_is_bounded_and_delays_nobody() {
    let fake = Fake::new();
    let all: Vec<_> = (0..2000).map(numbered).collect();
    for did in &all {
        fake.reply(plc(did), reply(did, "one.example.com"));
    }
    let resolver = fake.resolver();
    for did in &all {
        pds(&resolver, did).await;
    }
    assert_eq!(fake.most_under_way(), 1);
    for did in &all {
        fake.reply(plc(did), Reply::Hang);
    }
    tokio::time::sleep(4 * HOUR).await;
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        for did in &all {
            assert_eq!(pds(&resolver, did).await, "https://one.example.com");
        }
        settle().await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits");
    assert_eq!(fake.most_under_way(), 32);
    assert!(resolver.status().refreshes_skipped > 5000);
    // One who must ask is not behind the storm.
    fake.reply(plc(BOB), reply(BOB, "bob.example.com"));
    assert_eq!(pds(&resolver, BOB).await, "https://bob.example.com");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // And what could not be refreshed then is refreshed by a later use.
    for did in &all {
        fake.reply(plc(did), reply(did, "two.example.com"));
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        for did in &all {
            resolver.document(did).await.expect("document");
            tokio::task::yield_now().await;
        }
    }
    for did in &all {
        assert_eq!(pds(&resolver, did).await, "https://two.example.com");
    }
}

#[tokio::test(start_paused = true)]
async fn look_ups_beyond_the_limit_are_refused_by_name() {
    let fake = Fake::new();
    let options = ResolverOptions {
        look_ups: 10,
        ..options()
    };
    let resolver = fake.resolver_with(options, Arc::new(KeepNothing));
    let mut callers = Vec::new();
    for did in (0..10).map(numbered) {
        fake.reply(plc(&did), Reply::Hang);
        let resolver = resolver.clone();
        callers.push(tokio::spawn(async move { resolver.document(&did).await }));
    }
    settle().await;
    let error = resolver.document(ALICE).await.expect_err("full");
    assert_eq!(error, ResolveError::Busy { most: 10 });
    assert!(!error.is_definitive());
    for caller in callers {
        let error = caller.await.expect("caller").expect_err("hangs");
        assert!(is_technical(&error));
    }
    fake.reply(plc(ALICE), reply(ALICE, "pds.example.com"));
    pds(&resolver, ALICE).await;
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_whatever_is_asked_for() {
    let fake = Fake::new();
    let most = 1 << 20;
    let options = ResolverOptions {
        memory_bytes: most,
        ..options()
    };
    let resolver = fake.resolver_with(options, Arc::new(KeepNothing));
    for number in 0..20_000 {
        let did = numbered(number);
        if number % 2 == 0 {
            fake.reply(plc(&did), reply(&did, "pds.example.com"));
        } else {
            fake.body(plc(&did), 404, "");
        }
        drop(resolver.document(&did).await);
        drop(
            resolver
                .resolve_handle(&format!("a{number}.example.com"))
                .await,
        );
    }
    let status = resolver.status();
    assert!(status.entries > 500, "{status:?}");
    assert!(status.bytes <= most + most / 10, "{status:?}");
    assert_eq!(status.under_way, 0);
}
