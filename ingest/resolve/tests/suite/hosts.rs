//! What one host is asked, and that it is nobody else's matter.
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::common::dns::{DnsServer, Reply};
use crate::common::{Server, get, head, ok, trusting};
use orrery_resolve::{Client, FetchError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

async fn silent() -> Server {
    Server::start(|_, _tcp| async move {
        let _tcp = _tcp;
        pending::<()>().await;
    })
    .await
}

fn ask(tasks: &mut JoinSet<Result<(), FetchError>>, client: &Client, server: &Server) {
    let (client, url) = (client.clone(), server.url("/"));
    tasks.spawn(async move { get(&client, &url).await.map(drop) });
}

/// Waits, however slow the machine is, until so many are connected.
async fn connected(server: &Server, count: usize) {
    while server.connections() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.connections(), count);
}

#[tokio::test]
async fn a_host_is_asked_no_more_at_once_than_was_set() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (at_once, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_, mut tcp| {
        let (at_once, peak) = (Arc::clone(&at_once), Arc::clone(&peak));
        async move {
            while head(&mut tcp).await.is_some() {
                let count = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(count, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                tcp.write_all(ok("").as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let mut options = trusting(&[&server]);
    options.per_host.concurrent = 3;
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..60 {
        ask(&mut tasks, &client, &server);
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[tokio::test]
async fn a_host_that_does_not_answer_delays_no_other() {
    let (slow, fast) = (silent().await, Server::saying(ok("fast")).await);
    let mut options = trusting(&[&slow, &fast]);
    options.total_timeout = Duration::from_secs(3);
    options.per_host.concurrent = 4;
    options.per_host.waiting = 200;
    options.concurrent = 8;
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    // Many more than the client as a whole may run at once.
    for _ in 0..200 {
        ask(&mut tasks, &client, &slow);
    }
    connected(&slow, 4).await;
    for _ in 0..50 {
        let begin = Instant::now();
        assert_eq!(get(&client, &fast.url("/")).await.unwrap().body, "fast");
        assert!(
            begin.elapsed() < Duration::from_millis(2500),
            "{:?}",
            begin.elapsed()
        );
    }
    // Those who wait are let go at the same time as those who are being served.
    while let Some(result) = tasks.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_host_with_limits_of_its_own_is_asked_by_those() {
    let (of_all, of_its_own) = (silent().await, silent().await);
    let mut options = trusting(&[&of_all, &of_its_own]);
    // Those who are given up make room for those who wait, who connect for the moment they have left: nobody is here.
    options.total_timeout = Duration::from_secs(60);
    options.per_host.concurrent = 2;
    let mut own = options.per_host;
    own.concurrent = 5;
    options.own_limits = vec![(of_its_own.address.to_string(), own)];
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    for server in [&of_all, &of_its_own] {
        for _ in 0..10 {
            ask(&mut tasks, &client, server);
        }
    }
    connected(&of_all, 2).await;
    connected(&of_its_own, 5).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((of_all.connections(), of_its_own.connections()), (2, 5));
}

#[tokio::test]
async fn more_waiting_requests_than_were_set_are_turned_away_at_once() {
    let server = silent().await;
    let mut options = trusting(&[&server]);
    options.total_timeout = Duration::from_secs(3);
    options.per_host.concurrent = 2;
    options.per_host.waiting = 3;
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..5 {
        ask(&mut tasks, &client, &server);
    }
    connected(&server, 2).await;
    let begin = Instant::now();
    assert_eq!(
        get(&client, &server.url("/")).await,
        Err(FetchError::Busy {
            host: server.address.to_string()
        })
    );
    assert!(begin.elapsed() < Duration::from_millis(2500));
    // Waiting requests whose callers have gone make room.
    tasks.shutdown().await;
    let error = get(&client, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn requests_follow_each_other_at_the_rate_that_was_set() {
    let server = Server::saying(ok("")).await;
    let mut options = trusting(&[&server]);
    options.per_host.per_second = 2.5;
    options.per_host.burst = 5;
    let client = Client::new(options).unwrap();
    let begin = Instant::now();
    for _ in 0..5 {
        get(&client, &server.url("/")).await.unwrap();
    }
    let burst = begin.elapsed();
    for _ in 0..5 {
        get(&client, &server.url("/")).await.unwrap();
    }
    let took = begin.elapsed();
    // Without the burst this would have been 1,600 ms.
    assert!(burst < Duration::from_millis(1500), "{burst:?}");
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_host_that_wants_to_be_left_alone_is() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    for (status, wish, seconds) in [
        (429, "60".to_owned(), 59..=60),
        (503, "60".to_owned(), 59..=60),
        (429, date, 97..=100),
        // No more than an hour, whatever is asked for.
        (503, "999999999999".to_owned(), 3599..=3600),
    ] {
        let server = Server::saying(format!(
            "HTTP/1.1 {status} No\r\nretry-after: {wish}\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let client = Client::new(trusting(&[&server])).unwrap();
        for _ in 0..3 {
            let error = get(&client, &server.url("/")).await.unwrap_err();
            let FetchError::RetryLater { host, after } = &error else {
                panic!("{status} {wish}: {error}")
            };
            assert_eq!(*host, server.address.to_string());
            assert!(
                seconds.contains(&after.as_millis().div_ceil(1000)),
                "{wish}: {after:?}"
            );
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_host_is_asked_again_when_its_time_is_over() {
    let server = Server::start(|number, mut tcp| async move {
        let answer = match number {
            0 => "HTTP/1.1 503 No\r\nretry-after: 1\r\nconnection: close\r\n\r\n".to_owned(),
            _ => ok("again"),
        };
        head(&mut tcp).await;
        tcp.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let client = Client::new(trusting(&[&server])).unwrap();
    assert!(get(&client, &server.url("/")).await.is_err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = get(&client, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, FetchError::RetryLater { .. }), "{error}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(get(&client, &server.url("/")).await.unwrap().body, "again");
}

#[tokio::test]
async fn those_who_wait_for_a_host_hear_that_it_wants_to_be_left_alone() {
    let server = Server::start(|_, mut tcp| async move {
        head(&mut tcp).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answer = b"HTTP/1.1 429 No\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
        tcp.write_all(answer).await.unwrap();
    })
    .await;
    let mut options = trusting(&[&server]);
    options.per_host.concurrent = 1;
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        ask(&mut tasks, &client, &server);
    }
    let begin = Instant::now();
    while let Some(result) = tasks.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert!(matches!(error, FetchError::RetryLater { .. }), "{error}");
    }
    // One after another they would have taken 6 s.
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_wish_for_no_delay_is_a_plain_answer() {
    for wish in ["0", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"] {
        let server = Server::saying(format!(
            "HTTP/1.1 429 No\r\nretry-after: {wish}\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let client = Client::new(trusting(&[&server])).unwrap();
        for _ in 0..2 {
            assert_eq!(get(&client, &server.url("/")).await.unwrap().status, 429);
        }
    }
}

#[tokio::test]
async fn a_server_with_many_names_is_still_one_server() {
    let slow = silent().await;
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let fast = Server::on(listener, |_, mut tcp| async move {
        head(&mut tcp).await;
        tcp.write_all(ok("fast").as_bytes()).await.unwrap();
    });
    let dns = DnsServer::start(|_, kind, _| Reply::addresses(kind, &["127.0.0.1"])).await;
    let mut options = trusting(&[&slow, &fast]);
    options.total_timeout = Duration::from_secs(4);
    options.dns = Some(dns.address);
    options.concurrent = 8;
    options.per_address = 6;
    let client = Client::new(options).unwrap();
    let mut tasks = JoinSet::new();
    for name in 0..100 {
        let client = client.clone();
        let url = format!("http://{name}.example:{}/", slow.address.port());
        tasks.spawn(async move { get(&client, &url).await.map(drop) });
    }
    connected(&slow, 6).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(slow.connections(), 6);
    let begin = Instant::now();
    assert_eq!(get(&client, &fast.url("/")).await.unwrap().body, "fast");
    assert!(begin.elapsed() < Duration::from_secs(3));
    while let Some(result) = tasks.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    }
}
