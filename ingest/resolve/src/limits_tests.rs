use super::*;

fn hosts(most: usize, per_second: f64) -> Hosts {
    let limits = HostLimits {
        concurrent: 2,
        per_second,
        burst: 1,
        waiting: 1,
    };
    Hosts::new(limits, Vec::new(), most)
}

async fn ask(hosts: &Hosts, name: &str) -> Result<(), FetchError> {
    hosts.turn(name).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn no_more_hosts_are_remembered_than_was_set() {
    let hosts = hosts(100, f64::INFINITY);
    for round in 0..10_000 {
        ask(&hosts, &format!("{round}.example:443")).await.unwrap();
        assert!(hosts.hosts.lock().len() <= 100);
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_do_not_make_a_host_be_asked_too_early() {
    let hosts = hosts(10, f64::INFINITY);
    let turn = hosts.turn("held.example:443").await.unwrap();
    assert_eq!(turn.hold(Duration::MAX), HOLD_MAX);
    drop(turn);
    for round in 0..1000 {
        // These want to be left alone too, but not for as long.
        let turn = hosts.turn(&format!("{round}.example:443")).await.unwrap();
        turn.hold(Duration::from_secs(1000));
    }
    let error = ask(&hosts, "held.example:443").await.unwrap_err();
    assert!(matches!(error, FetchError::RetryLater { .. }), "{error}");
    tokio::time::advance(HOLD_MAX).await;
    ask(&hosts, "held.example:443").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shorter_wish_does_not_replace_a_longer_one() {
    let hosts = hosts(10, f64::INFINITY);
    let (first, second) = (
        hosts.turn("a:1").await.unwrap(),
        hosts.turn("a:1").await.unwrap(),
    );
    first.hold(Duration::from_secs(60));
    second.hold(Duration::from_secs(5));
    drop((first, second));
    assert_eq!(
        ask(&hosts, "a:1").await,
        Err(FetchError::RetryLater {
            host: "a:1".to_owned(),
            after: Duration::from_secs(60)
        })
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_that_are_being_asked_are_not_forgotten() {
    let hosts = hosts(3, f64::INFINITY);
    let mut turns = Vec::new();
    for name in ["a:1", "b:1", "c:1"] {
        turns.push(hosts.turn(name).await.unwrap());
        turns.push(hosts.turn(name).await.unwrap());
    }
    assert_eq!(
        ask(&hosts, "d:1").await,
        Err(FetchError::Busy {
            host: "d:1".to_owned()
        })
    );
    turns.truncate(4);
    ask(&hosts, "d:1").await.unwrap();
    // Both of its turns are still taken.
    let third = tokio::time::timeout(Duration::from_secs(1), ask(&hosts, "a:1")).await;
    assert!(third.is_err(), "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_rate_is_used_up_is_not_made_new_by_forgetting_it() {
    let hosts = hosts(10, 1.0);
    let begin = Instant::now();
    ask(&hosts, "a:1").await.unwrap();
    for round in 0..9 {
        ask(&hosts, &format!("{round}:1")).await.unwrap();
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    ask(&hosts, "a:1").await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_slowest_rate_and_the_largest_burst_are_bearable() {
    let limits = HostLimits {
        concurrent: 1,
        per_second: 0.001,
        burst: u32::MAX,
        waiting: 0,
    };
    let hosts = Hosts::new(limits, Vec::new(), 1);
    for _ in 0..100 {
        ask(&hosts, "a:1").await.unwrap();
    }
}
