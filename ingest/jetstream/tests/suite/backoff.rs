//! Delays between attempts, in paused time.
use std::time::Duration;

use crate::common::next;
use orrery_jetstream::{Client, Config, Delivery, Error};
use tokio::time::Instant;

/// An address that nobody listens on: connecting to it is refused without any wait.
fn refusing_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn delays_grow_to_the_cap_and_are_kept_and_it_never_gives_up() {
    let mut config = Config::new(format!("ws://{}", refusing_address()));
    config.backoff.base = Duration::from_secs(1);
    config.backoff.max = Duration::from_secs(30);
    let mut subscription = Client::new(config).unwrap().subscribe().unwrap();
    let mut longest = Duration::ZERO;
    let mut until: Option<Instant> = None;
    for attempt in 0..400u32 {
        let delivery = subscription.next().await;
        let Some(Delivery::Disconnected { error, retry_in }) = delivery else {
            panic!("{delivery:?}")
        };
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        if let Some(until) = until {
            assert!(Instant::now() >= until, "attempt {attempt} came early");
        }
        until = Some(Instant::now() + retry_in);
        let bound = 1u64.checked_shl(attempt).unwrap_or(u64::MAX).min(30);
        assert!(
            retry_in <= Duration::from_secs(bound),
            "attempt {attempt}: {retry_in:?}"
        );
        longest = longest.max(retry_in);
    }
    assert!(longest > Duration::from_secs(25), "{longest:?}");
    assert_eq!(subscription.handle().stats().failed_attempts, 400);
}

#[tokio::test(start_paused = true)]
async fn closing_interrupts_the_wait() {
    let mut config = Config::new(format!("ws://{}", refusing_address()));
    config.backoff.base = Duration::from_secs(86_400);
    config.backoff.max = Duration::from_secs(86_400);
    let mut subscription = Client::new(config).unwrap().subscribe().unwrap();
    assert!(matches!(
        subscription.next().await,
        Some(Delivery::Disconnected { .. })
    ));
    subscription.handle().close();
    assert!(next(&mut subscription).await.is_none());
}
