use std::time::Duration;

use orrery_resolve::{HandleState, ResolveError, Resolver};

use crate::fake::{
    ALICE, BOB, Fake, HANDLE, Reply, document, down, plc, settle, txt_name, well_known,
};

const SECOND: Duration = Duration::from_secs(1);

fn reply(did: &str, handle: &str, pds: &str) -> Reply {
    Reply::Status(200, document(did, handle, pds).into())
}

async fn pds(resolver: &Resolver) -> String {
    let document = resolver.document(ALICE).await.expect("document");
    document.pds.clone().expect("PDS")
}

#[tokio::test(start_paused = true)]
async fn the_next_use_after_an_event_asks_again() {
    let fake = Fake::new();
    fake.txt(HANDLE, &[&format!("did={ALICE}")]);
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "one.example.com"));
    let resolver = fake.resolver();
    resolver.identity(ALICE).await.expect("identity");

    fake.txt("new.example.com", &[&format!("did={ALICE}")]);
    let new = reply(ALICE, "new.example.com", "two.example.com");
    fake.reply_after(SECOND, plc(ALICE), new);
    resolver.invalidate(ALICE, Some("New.example.com"));
    let identity = resolver.identity(ALICE).await.expect("identity");
    assert_eq!(identity.handle, "new.example.com");
    assert_eq!(
        identity.document.pds.as_deref(),
        Some("https://two.example.com")
    );
    assert_eq!(fake.asked(plc(ALICE)), 2);
    let error = resolver.resolve_handle(HANDLE).await;
    assert!(matches!(error, Err(ResolveError::Unconfirmed { .. })));
    assert_eq!(
        fake.asked(txt_name(HANDLE)),
        2,
        "the handle it had is asked for again too"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_ends_what_is_known_to_be_absent() {
    let fake = Fake::new();
    fake.body(well_known(HANDLE), 404, "");
    fake.body(plc(ALICE), 404, "");
    let resolver = fake.resolver();
    resolver.document(ALICE).await.expect_err("none");
    resolver.resolve_handle(HANDLE).await.expect_err("none");
    fake.txt(HANDLE, &[&format!("did={ALICE}")]);
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "one.example.com"));
    resolver.document(ALICE).await.expect_err("remembered");
    resolver
        .resolve_handle(HANDLE)
        .await
        .expect_err("remembered");
    resolver.invalidate(ALICE, Some(HANDLE));
    assert_eq!(resolver.resolve_handle(HANDLE).await.as_deref(), Ok(ALICE));
}

#[tokio::test(start_paused = true)]
async fn what_was_being_fetched_at_the_event_is_not_kept() {
    let fake = Fake::new();
    let old = reply(ALICE, HANDLE, "old.example.com");
    fake.reply_after(10 * SECOND, plc(ALICE), old);
    let resolver = fake.resolver();
    let before = tokio::spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    tokio::time::sleep(SECOND).await;
    // From here on the directory gives the new one, slower than the old one is still on its way.
    let new = reply(ALICE, HANDLE, "new.example.com");
    fake.reply_after(20 * SECOND / 2, plc(ALICE), new);
    resolver.invalidate(ALICE, None);
    let after = tokio::spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    assert_eq!(before.await.expect("before"), "https://old.example.com");
    // The old one is there, the new one is not: whoever comes waits for the new one.
    assert_eq!(pds(&resolver).await, "https://new.example.com");
    assert_eq!(after.await.expect("after"), "https://new.example.com");
    assert_eq!(pds(&resolver).await, "https://new.example.com");
    assert_eq!(fake.asked(plc(ALICE)), 2);
    assert_eq!(resolver.status().outdated, 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_fetch_that_ends_last_does_not_win() {
    let fake = Fake::new();
    let old = reply(ALICE, HANDLE, "old.example.com");
    fake.reply_after(10 * SECOND, plc(ALICE), old);
    let resolver = fake.resolver();
    let before = tokio::spawn({
        let resolver = resolver.clone();
        async move { pds(&resolver).await }
    });
    tokio::time::sleep(SECOND).await;
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "new.example.com"));
    resolver.invalidate(ALICE, None);
    assert_eq!(pds(&resolver).await, "https://new.example.com");
    assert_eq!(before.await.expect("before"), "https://old.example.com");
    assert_eq!(pds(&resolver).await, "https://new.example.com");
    assert_eq!(fake.asked(plc(ALICE)), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_under_way_at_the_event_is_not_kept() {
    let fake = Fake::new();
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "one.example.com"));
    let resolver = fake.resolver();
    pds(&resolver).await;
    tokio::time::sleep(4 * 3600 * SECOND).await;
    let two = reply(ALICE, HANDLE, "two.example.com");
    fake.reply_after(5 * SECOND, plc(ALICE), two);
    assert_eq!(pds(&resolver).await, "https://one.example.com");
    settle().await;
    assert_eq!(fake.asked(plc(ALICE)), 2);
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "three.example.com"));
    resolver.invalidate(ALICE, None);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(pds(&resolver).await, "https://three.example.com");
}

#[tokio::test(start_paused = true)]
async fn the_doubtful_value_is_served_only_while_the_source_is_down() {
    let fake = Fake::new();
    fake.txt(HANDLE, &[&format!("did={ALICE}")]);
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "one.example.com"));
    let resolver = fake.resolver();
    resolver.identity(ALICE).await.expect("identity");
    fake.reply(plc(ALICE), down());
    fake.txt_fails(HANDLE, orrery_resolve::DnsError::Timeout);
    fake.reply(well_known(HANDLE), down());
    resolver.invalidate(ALICE, Some(HANDLE));
    for _ in 0..100 {
        let identity = resolver.identity(ALICE).await.expect("identity");
        assert_eq!(identity.handle_state, HandleState::Confirmed);
        assert_eq!(
            identity.document.pds.as_deref(),
            Some("https://one.example.com")
        );
    }
    assert_eq!(fake.asked(plc(ALICE)), 2, "not at each use");
    // It is back, and is asked within the half minute.
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "two.example.com"));
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(pds(&resolver).await, "https://two.example.com");
    // Another event while it is down: asked at once, whatever failed before.
    fake.reply(plc(ALICE), down());
    resolver.invalidate(ALICE, None);
    assert_eq!(pds(&resolver).await, "https://two.example.com");
    fake.reply(plc(ALICE), reply(ALICE, HANDLE, "three.example.com"));
    resolver.invalidate(ALICE, None);
    assert_eq!(pds(&resolver).await, "https://three.example.com");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_events_for_unknown_accounts_takes_no_memory_and_asks_nobody() {
    let fake = Fake::new();
    let resolver = fake.resolver();
    for number in 0..20_000_u32 {
        resolver.invalidate(ALICE, Some(&format!("a{number}.example.com")));
    }
    for odd in ["", "did", "did:plc:x", "did:key:z", &"x".repeat(1 << 20)] {
        resolver.invalidate(odd, Some(odd));
    }
    let status = resolver.status();
    assert_eq!((status.entries, status.asked), (0, 0));
    assert_eq!(fake.asked_in_all(), 0);
}

#[test]
fn an_event_may_come_on_a_thread_without_a_runtime() {
    let fake = Fake::new();
    fake.reply(plc(BOB), reply(BOB, HANDLE, "one.example.com"));
    let resolver = fake.resolver();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    runtime.block_on(resolver.document(BOB)).expect("document");
    resolver.invalidate(BOB, Some(HANDLE));
    runtime.block_on(resolver.document(BOB)).expect("document");
    assert_eq!(fake.asked(plc(BOB)), 2);
}

/// Fetches and events on several threads: after the last event nobody is ever given what was said before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_from_before_an_event_is_served_after_it() {
    let fake = Fake::new();
    let resolver = fake.resolver();
    let step = Duration::from_micros(200);
    for round in 0..400_u32 {
        let name = format!("r{round}.example.com");
        fake.reply_after(step, plc(ALICE), reply(ALICE, HANDLE, &name));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let resolver = resolver.clone();
                tokio::spawn(async move { pds(&resolver).await })
            })
            .collect();
        if round % 3 == 0 {
            tokio::time::sleep(step).await;
        }
        resolver.invalidate(ALICE, None);
        assert_eq!(pds(&resolver).await, format!("https://{name}"));
        for caller in callers {
            caller.await.expect("caller");
        }
        assert_eq!(pds(&resolver).await, format!("https://{name}"));
    }
}
