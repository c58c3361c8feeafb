//! Cursors of the link stream: what a subscriber missed comes first, and then the present, without a gap or a repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::Server;
use crate::common::feed::{Client, LIKE, TIME_US};
use orrery_server::{Config, StreamConfig};

async fn server(delay: Duration) -> Server {
    let stream = StreamConfig {
        delay,
        ..StreamConfig::default()
    };
    Server::with(Config {
        stream,
        ..Config::default()
    })
    .await
}

/// Events of three links each.
fn tell(server: &Server, count: usize) {
    for _ in 0..count {
        let seq = server.events.len() + 1;
        let subjects = [0, 1, 2].map(|n| format!("did:plc:{seq}.{n}"));
        let links = subjects.each_ref().map(|subject| (LIKE, &**subject));
        server
            .events
            .create(&format!("at://did:plc:a/com.ex.like/{seq}"), &links);
    }
}

/// Origins and subjects of the next frames.
async fn told(client: &mut Client, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let frame = client.json().await;
        let subject = frame["link"]["subject"].as_str().unwrap();
        let subject = subject.strip_prefix("did:plc:").unwrap();
        assert_eq!(frame["cursor"], subject);
        told.push(format!("{} {subject}", frame["origin"].as_str().unwrap()));
    }
    told
}

#[tokio::test]
async fn a_cursor_goes_on_behind_its_link_and_numbers_and_times_include_theirs() {
    let server = server(Duration::from_secs(21)).await;
    tell(&server, 3);
    let time = TIME_US + 3000;
    for (cursor, first) in [
        ("2.1".to_owned(), "replay 2.2"),
        ("2.2".to_owned(), "replay 3.0"),
        ("2.9".to_owned(), "replay 3.0"),
        ("3".to_owned(), "replay 3.0"),
        ("0".to_owned(), "replay 1.0"),
        (time.to_string(), "replay 3.0"),
        ((time - 1).to_string(), "replay 3.0"),
        (TIME_US.to_string(), "replay 1.0"),
    ] {
        let query = format!("?instant=true&cursor={cursor}");
        let mut client = Client::open(server.address, &query).await;
        assert_eq!(told(&mut client, 1).await, [first], "{cursor}");
    }
    let mut client = Client::open(server.address, "?instant=true&cursor=3.1").await;
    assert_eq!(told(&mut client, 1).await, ["replay 3.2"]);
    tell(&server, 1);
    assert_eq!(
        told(&mut client, 3).await,
        ["live 4.0", "live 4.1", "live 4.2"]
    );
}

#[tokio::test]
async fn a_place_ahead_is_waited_for_unless_it_is_too_far() {
    let server = server(Duration::from_millis(200)).await;
    tell(&server, 2);
    for instant in ["true", "false"] {
        let len = server.events.len();
        let open = |cursor: String| {
            let query = format!("?instant={instant}&cursor={cursor}");
            async move { Client::open(server.address, &query).await }
        };
        // A crash took what this client was told: it comes again, and is not told again.
        let mut ahead = open(format!("{}.1", len + 2)).await;
        let mut bare = open((len + 2).to_string()).await;
        let mut far = open("100000.0".to_owned()).await;
        let mut future = open((TIME_US * 2).to_string()).await;
        tell(&server, 3);
        assert_eq!(told(&mut ahead, 1).await, [format!("live {}.2", len + 2)]);
        assert_eq!(told(&mut ahead, 1).await, [format!("live {}.0", len + 3)]);
        assert_eq!(told(&mut bare, 1).await, [format!("live {}.0", len + 2)]);
        for client in [&mut far, &mut future] {
            assert_eq!(told(client, 1).await, [format!("live {}.0", len + 1)]);
        }
    }
}

#[tokio::test]
async fn a_place_that_is_gone_is_told_so() {
    let server = server(Duration::from_secs(21)).await;
    tell(&server, 5);
    server.events.trim(3);
    let mut client = Client::open(server.address, "?instant=true&cursor=1.0").await;
    let outdated = format!(
        r#"{{"kind":"info","info":{{"name":"OutdatedCursor","time_us":{}}}}}"#,
        TIME_US + 3000
    );
    assert_eq!(client.text().await, outdated);
    assert_eq!(told(&mut client, 1).await, ["replay 3.0"]);
}

#[tokio::test]
async fn origins_select_what_is_replayed_and_what_is_live() {
    let server = server(Duration::from_secs(21)).await;
    tell(&server, 2);
    let query = "?instant=true&cursor=1&wantedOrigins=";
    let mut live = Client::open(server.address, &format!("{query}live")).await;
    let mut replay = Client::open(server.address, &format!("{query}replay")).await;
    tell(&server, 1);
    assert_eq!(told(&mut live, 1).await, ["live 3.0"]);
    let replayed = told(&mut replay, 6).await;
    assert_eq!(replayed[5], "replay 2.2");
    replay.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_replay_that_fails_ends_with_a_reason() {
    let server = server(Duration::from_secs(21)).await;
    tell(&server, 2);
    // The dispatcher begins behind it.
    server.events.break_at(1);
    let mut client = Client::open(server.address, "?instant=true&cursor=1").await;
    let (code, reason) = client.end().await.expect("a close frame");
    assert_eq!(code, 1011, "{reason}");
    assert!(!reason.contains("test"), "{reason}");
}

#[tokio::test]
async fn a_delayed_replay_leaves_out_what_was_undone_in_time() {
    let server = server(Duration::from_millis(400)).await;
    let like = |n: u32| format!("at://did:plc:a/com.ex.like/{n}");
    // Event times are 1 ms apart, but for the last, which is later by more than the delay.
    server.events.create(&like(1), &[(LIKE, "did:plc:kept")]);
    server.events.create(&like(2), &[(LIKE, "did:plc:undone")]);
    server.events.delete(&like(2), &[(LIKE, "did:plc:undone")]);
    let late = Some(TIME_US + 1_000_000);
    server
        .events
        .create_at(&like(3), &[(LIKE, "did:plc:late")], late);
    server.events.delete(&like(1), &[(LIKE, "did:plc:kept")]);
    let query = "?cursor=1&wantedOperations=create&wantedOperations=delete";
    let mut client = Client::open(server.address, query).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let frame = client.json().await;
        let link = &frame["link"];
        let text = |member: &str| link[member].as_str().unwrap().to_owned();
        told.push(format!("{} {}", text("operation"), text("subject")));
    }
    assert_eq!(
        told,
        [
            "create did:plc:kept",
            "create did:plc:late",
            "delete did:plc:kept"
        ]
    );
    client.quiet(Duration::from_millis(500)).await;
}

/// The present, as events tell it.
fn now_us() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

#[tokio::test]
async fn what_came_within_the_delay_before_the_first_subscriber_is_held_back_for_it() {
    let server = server(Duration::from_secs(8)).await;
    let like = |n: u32| format!("at://did:plc:a/com.ex.like/{n}");
    for (n, subject) in [(1, "did:plc:undone"), (2, "did:plc:kept")] {
        let time = Some(now_us());
        server.events.create_at(&like(n), &[(LIKE, subject)], time);
    }
    let query = "?wantedOperations=create&wantedOperations=delete";
    let mut client = Client::open(server.address, query).await;
    server.events.delete(&like(1), &[(LIKE, "did:plc:undone")]);
    assert_eq!(client.subjects(1).await, ["did:plc:kept"]);
    client.quiet(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn replays_have_places_which_a_subscriber_that_does_not_read_loses() {
    let stream = StreamConfig {
        replays_open_max: 1,
        queue_age: Duration::from_secs(2),
        ..StreamConfig::default()
    };
    let server = Server::with(Config {
        stream,
        ..Config::default()
    })
    .await;
    let long = "x".repeat(10_000);
    // More than the system's own buffers take.
    for n in 0..4_000 {
        let record = format!("at://did:plc:a/com.ex.like/{n}");
        let subject = format!("https://{n}.example/{long}");
        server.events.create(&record, &[(LIKE, &subject)]);
    }
    let mut deaf = Client::open(server.address, "?instant=true&cursor=1").await;
    // It has the place once it is told something.
    deaf.text().await;
    let mut waits = Client::open(server.address, "?instant=true&cursor=4000").await;
    assert!(waits.subjects(1).await[0].starts_with("https://3999.example/"));
    let (code, said) = deaf.end().await.expect("a close frame");
    assert_eq!((code, said.contains("too slow")), (1013, true), "{said}");
}

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit
    }
}

/// Reads from a random place, ends at a random moment, and goes on behind the last cursor, again and again: all that is
/// read together is everything from the first place on, in order, once.
async fn follows_exactly(server: Arc<Server>, seed: u64, instant: bool, until: u64) {
    let mut random = Random(seed);
    let first = 1 + random.below(server.events.len());
    let mut cursor = first.to_string();
    let mut expected = (first, 0);
    while expected.0 <= until {
        let query = format!("?instant={instant}&cursor={cursor}");
        let mut client = Client::open(server.address, &query).await;
        let stays = random.below(3000);
        for _ in 0..stays {
            let frame = client.json().await;
            cursor = frame["cursor"].as_str().unwrap().to_owned();
            assert_eq!(cursor, format!("{}.{}", expected.0, expected.1), "{query}");
            expected = match expected {
                (seq, 2) => (seq + 1, 0),
                (seq, index) => (seq, index + 1),
            };
            if expected.0 > until {
                break;
            }
        }
        // Cut, not closed.
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_the_seams_the_union_is_everything_once_and_in_order() {
    let server = Arc::new(server(Duration::from_millis(50)).await);
    tell(&server, 2000);
    let until = 8000;
    let is_done = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (server, is_done) = (server.clone(), is_done.clone());
        tokio::spawn(async move {
            while !is_done.load(Ordering::Relaxed) {
                tell(&server, if server.events.len() < until { 20 } else { 1 });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };
    let followers: Vec<_> = (0..12)
        .map(|seed| {
            let server = server.clone();
            tokio::spawn(follows_exactly(server, seed, seed % 2 == 0, until))
        })
        .collect();
    for follower in followers {
        follower.await.unwrap();
    }
    is_done.store(true, Ordering::Relaxed);
    feeder.await.unwrap();
}
