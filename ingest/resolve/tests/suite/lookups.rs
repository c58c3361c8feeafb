//! TXT records and addresses, against a DNS server that does what it is told.
use std::time::{Duration, Instant};

use crate::common::dns::{A, AAAA, DnsServer, Reply, TXT, txt};
use crate::common::{Server, get, ok, trusting};
use orrery_resolve::{Client, DnsError, FetchError};

fn client(dns: &DnsServer, servers: &[&Server]) -> Client {
    let mut options = trusting(servers);
    options.dns = Some(dns.address);
    options.dns_timeout = Duration::from_millis(600);
    Client::new(options).unwrap()
}

#[tokio::test]
async fn txt_records_are_found_with_their_strings_joined() {
    let dns = DnsServer::start(|name, kind, _| {
        assert_eq!((name, kind), ("_atproto.alice.example", TXT));
        Reply::Records(vec![
            txt(&["did=did:plc:", "abc"]),
            txt(&["v=spf1 -all"]),
            txt(&[""]),
            vec![3, 0xff, b'x', b'y'],
        ])
    })
    .await;
    let client = client(&dns, &[]);
    for name in ["_atproto.alice.example", "_atproto.Alice.example."] {
        let mut found = client.txt(name).await.unwrap();
        found.sort();
        assert_eq!(found, ["", "did=did:plc:abc", "v=spf1 -all", "\u{fffd}xy"]);
    }
    // Nothing is kept: a change is seen by the next one who asks.
    assert_eq!(dns.asked().len(), 2);
}

#[tokio::test]
async fn no_such_name_and_no_such_records_are_told_from_failures() {
    let dns = DnsServer::start(|name, _, _| match name {
        "absent.example" => Reply::Code(3),
        "bare.example" => Reply::Records(Vec::new()),
        "broken.example" => Reply::Code(2),
        "refused.example" => Reply::Code(5),
        "garbage.example" => Reply::Garbage,
        _ => Reply::Silence,
    })
    .await;
    let client = client(&dns, &[]);
    assert_eq!(client.txt("absent.example").await, Err(DnsError::NoRecords));
    assert_eq!(client.txt("bare.example").await, Err(DnsError::NoRecords));
    for name in ["broken.example", "refused.example"] {
        let error = client.txt(name).await.unwrap_err();
        assert!(matches!(error, DnsError::Failed { .. }), "{name}: {error}");
    }
    for name in ["silent.example", "garbage.example"] {
        let begin = Instant::now();
        let error = client.txt(name).await.unwrap_err();
        assert!(
            matches!(error, DnsError::Timeout | DnsError::Failed { .. }),
            "{name}: {error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
    let error = client.txt("a..b").await.unwrap_err();
    assert!(matches!(error, DnsError::Failed { .. }), "{error}");
    let error = client.txt(&"x".repeat(300)).await.unwrap_err();
    assert!(matches!(error, DnsError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn without_a_name_server_the_name_is_told_and_not_where_that_should_be() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut options = trusting(&[]);
    options.dns = Some(closed.local_addr().unwrap());
    drop(closed);
    let client = Client::new(options).unwrap();
    let error = get(&client, "https://plc.directory/x").await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("cannot look up plc.directory: no name server ")
            && !told.contains("127.0"),
        "{told}"
    );
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_asked_for_by_tcp() {
    let long: Vec<String> = (0..100).map(|n| format!("{n:0200}")).collect();
    let records: Vec<Vec<u8>> = long.iter().map(|text| txt(&[text])).collect();
    let dns = DnsServer::start(move |_, _, _| Reply::TooLong(records.clone())).await;
    let mut found = client(&dns, &[]).txt("long.example").await.unwrap();
    found.sort();
    assert_eq!(found, long);
    let ways: Vec<bool> = dns.asked().iter().map(|asked| asked.tcp).collect();
    assert_eq!(ways, [false, true]);
}

#[tokio::test]
async fn one_lost_datagram_is_made_up_for() {
    let dns = DnsServer::start(|_, _, before| match before {
        0 => Reply::Silence,
        _ => Reply::Records(vec![txt(&["did=did:plc:abc"])]),
    })
    .await;
    let found = client(&dns, &[]).txt("_atproto.alice.example").await;
    assert_eq!(found, Ok(vec!["did=did:plc:abc".to_owned()]));
}

#[tokio::test]
async fn a_host_without_addresses_is_told_from_one_that_cannot_be_looked_up() {
    let dns = DnsServer::start(|name, kind, _| match (name, kind) {
        ("absent.example", _) => Reply::Code(3),
        ("bare.example", _) => Reply::Records(Vec::new()),
        // The one says there is nothing, the other does not know.
        ("half.example", A) => Reply::Records(Vec::new()),
        ("half.example", AAAA) => Reply::Code(2),
        ("flah.example", A) => Reply::Code(2),
        ("flah.example", AAAA) => Reply::Records(Vec::new()),
        _ => Reply::Silence,
    })
    .await;
    let client = client(&dns, &[]);
    for name in ["absent.example", "bare.example"] {
        let error = get(&client, &format!("https://{name}/")).await.unwrap_err();
        assert!(matches!(error, FetchError::NoSuchHost { .. }), "{error}");
    }
    for name in ["half.example", "flah.example", "silent.example"] {
        let error = get(&client, &format!("https://{name}/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Dns { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = Server::saying(ok("here")).await;
    let dns = DnsServer::start(|name, kind, _| match (name, kind) {
        (_, A) => Reply::addresses(kind, &["127.0.0.1"]),
        ("broken.example", _) => Reply::Code(2),
        ("silent.example", _) => Reply::Silence,
        _ => Reply::Records(Vec::new()),
    })
    .await;
    let client = client(&dns, &[&server]);
    let port = server.address.port();
    for name in ["v4.example", "broken.example", "silent.example"] {
        let answer = get(&client, &format!("http://{name}:{port}/")).await;
        assert_eq!(answer.unwrap().body, "here", "{name}");
    }
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let server = Server::saying(ok("here")).await;
    let dns =
        DnsServer::start(|_, kind, _| Reply::addresses(kind, &["127.0.0.3", "127.0.0.1"])).await;
    let port = server.address.port();
    let mut options = trusting(&[&server]);
    options.dns = Some(dns.address);
    // Nobody listens at the first one.
    options
        .trusted
        .push(format!("127.0.0.3:{port}").parse().unwrap());
    let client = Client::new(options).unwrap();
    let answer = get(&client, &format!("http://two.example:{port}/")).await;
    assert_eq!(answer.unwrap().body, "here");
}
