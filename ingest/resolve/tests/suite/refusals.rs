//! What is never connected to. Each test has a server that would notice.
use crate::common::dns::{DnsServer, Reply};
use crate::common::{Server, client, get, get_following, head, moved, ok, trusting};
use orrery_resolve::address::Refusal;
use orrery_resolve::{Client, FetchError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Hosts that must not lead to loopback, to other addresses of this machine's network, or to a cloud's metadata.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F.1",
    "0",
    "0.0.0.0",
    "00000000",
    "127.0.0.1%00",
    "127%2e0.0.1",
    "%31%32%37.0.0.1",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "\u{2460}\u{2461}\u{2466}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "example.com@127.0.0.1",
    "example.com:443@127.0.0.1",
    "a:b@127.0.0.1",
    "@127.0.0.1",
    "127.0.0.1\\@example.com",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:0]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[::1%251]",
    "[::1",
    "::1",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "metadata",
    "metadata.google.internal",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

/// One port, listened on at every loopback address there is.
async fn victims() -> (u16, Vec<Server>) {
    let everywhere = loop {
        let first = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        // A machine without IPv6 has nobody to reach there either.
        match TcpListener::bind(("::1", port)).await {
            Ok(second) => break vec![first, second],
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(_) => break vec![first],
        }
    };
    let port = everywhere.first().unwrap().local_addr().unwrap().port();
    let servers = everywhere
        .into_iter()
        .map(|listener| {
            Server::on(listener, |_, mut tcp| async move {
                head(&mut tcp).await;
                let _ = tcp.write_all(ok("secret").as_bytes()).await;
            })
        })
        .collect();
    (port, servers)
}

/// A client whose DNS server says of every name that it is this machine.
async fn leading_home(servers: &[&Server]) -> Client {
    let dns = DnsServer::start(|_, kind, _| Reply::addresses(kind, &["127.0.0.1", "::1"])).await;
    let mut options = trusting(servers);
    options.dns = Some(dns.address);
    Client::new(options).unwrap()
}

fn untouched(victims: &[Server]) -> bool {
    victims.iter().all(|victim| victim.connections() == 0)
}

fn is_refusal(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::BadUrl { .. } | FetchError::RefusedAddress { .. }
    )
}

#[tokio::test]
async fn no_form_of_a_private_address_is_connected_to() {
    assert!(HOSTS.len() >= 60);
    let (port, victims) = victims().await;
    // One client that trusts nobody, and one that has a trusted server, whose name checks are milder.
    let trusted = Server::saying(ok("")).await;
    for servers in [vec![], vec![&trusted]] {
        let client = leading_home(&servers).await;
        for host in HOSTS {
            for url in [
                format!("https://{host}:{port}/"),
                format!("http://{host}:{port}/"),
                format!("https://{host}/"),
                format!("HTTPS://{host}:{port}?x#y"),
            ] {
                let error = get(&client, &url).await.unwrap_err();
                assert!(is_refusal(&error), "{url}: {error}");
            }
        }
    }
    assert!(untouched(&victims));
}

#[tokio::test]
async fn no_redirect_leads_to_a_private_address() {
    let (port, victims) = victims().await;
    for host in HOSTS {
        for location in [
            format!("https://{host}:{port}/"),
            format!("http://{host}:{port}/"),
            format!("//{host}:{port}/"),
            format!("http://{host}/latest/meta-data/"),
        ] {
            // A header cannot hold other than ASCII; servers send such bytes all the same.
            let server = Server::saying(moved(&location)).await;
            let client = leading_home(&[&server]).await;
            let error = get_following(&client, &server.url("/"), 3)
                .await
                .unwrap_err();
            assert!(
                is_refusal(&error) || matches!(error, FetchError::Redirect { .. }),
                "{location}: {error}"
            );
            assert_eq!(server.connections(), 1);
        }
    }
    assert!(untouched(&victims));
}

#[tokio::test]
async fn redirects_to_loopback_and_metadata_are_refused_by_name_of_the_address() {
    let (port, victims) = victims().await;
    for (location, address, kind) in [
        (
            format!("http://127.0.0.1:{port}/"),
            "127.0.0.1",
            Refusal::Loopback,
        ),
        (
            format!("https://127.0.0.1:{port}/"),
            "127.0.0.1",
            Refusal::Loopback,
        ),
        (
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "169.254.169.254",
            Refusal::LinkLocal,
        ),
        (format!("https://[::1]:{port}/"), "::1", Refusal::Loopback),
    ] {
        let server = Server::saying(moved(&location)).await;
        let error = get_following(&client(&[&server]), &server.url("/"), 1)
            .await
            .unwrap_err();
        let FetchError::RefusedAddress {
            address: got, why, ..
        } = &error
        else {
            panic!("{location}: {error}")
        };
        assert_eq!((got.to_string().as_str(), *why), (address, kind));
    }
    assert!(untouched(&victims));
}

#[tokio::test]
async fn a_name_with_one_private_address_is_refused_whole() {
    let (port, victims) = victims().await;
    let dns = DnsServer::start(|name, kind, _| match name {
        "first.example" => Reply::addresses(kind, &["127.0.0.1", "1.1.1.1"]),
        "last.example" => Reply::addresses(kind, &["1.1.1.1", "8.8.8.8", "127.0.0.1"]),
        "other.example" => Reply::addresses(kind, &["1.1.1.1", "::1"]),
        "mapped.example" => Reply::addresses(kind, &["1.1.1.1", "::ffff:127.0.0.1"]),
        "metadata.example" => Reply::addresses(kind, &["169.254.169.254"]),
        "private.example" => Reply::addresses(kind, &["10.0.0.1", "fd00::1"]),
        _ => Reply::Code(3),
    })
    .await;
    let mut options = trusting(&[]);
    options.dns = Some(dns.address);
    let client = Client::new(options).unwrap();
    for (name, address) in [
        ("first.example", "127.0.0.1"),
        ("last.example", "127.0.0.1"),
        ("other.example", "::1"),
        ("mapped.example", "::ffff:127.0.0.1"),
        ("metadata.example", "169.254.169.254"),
        ("private.example", "10.0.0.1"),
    ] {
        let error = get(&client, &format!("https://{name}:{port}/"))
            .await
            .unwrap_err();
        let FetchError::RefusedAddress {
            host, address: got, ..
        } = &error
        else {
            panic!("{name}: {error}")
        };
        assert_eq!((host.as_str(), got.to_string().as_str()), (name, address));
    }
    assert_eq!(
        get(&client, &format!("https://absent.example:{port}/")).await,
        Err(FetchError::NoSuchHost {
            host: "absent.example".to_owned()
        })
    );
    assert!(untouched(&victims));
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    // The same port at two addresses; a second look-up would lead to the other one.
    let server = Server::saying(ok("checked")).await;
    let port = server.address.port();
    let listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let victim = Server::on(listener, |_, tcp| async move { drop(tcp) });
    let dns = DnsServer::start(|_, kind, before| match before {
        0 => Reply::addresses(kind, &["127.0.0.1"]),
        _ => Reply::addresses(kind, &["127.0.0.2"]),
    })
    .await;
    let mut options = trusting(&[&server]);
    options.dns = Some(dns.address);
    options.idle_connections = 0;
    let client = Client::new(options).unwrap();
    let url = format!("http://pds.example:{port}/");
    let answer = get(&client, &url).await.unwrap();
    assert_eq!(answer.body, "checked");
    // One question per family, and none in between.
    let mut kinds: Vec<_> = dns.asked().iter().map(|asked| asked.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [crate::common::dns::A, crate::common::dns::AAAA]);

    let error = get(&client, &url).await.unwrap_err();
    assert!(
        matches!(error, FetchError::RefusedAddress { .. }),
        "{error}"
    );
    assert_eq!((server.connections(), victim.connections()), (1, 0));
}

#[tokio::test]
async fn trust_is_in_an_address_and_its_port_and_does_not_spread() {
    let server = Server::saying(ok("own")).await;
    let other = Server::saying(ok("secret")).await;
    let client = client(&[&server]);
    assert_eq!(get(&client, &server.url("/")).await.unwrap().body, "own");
    let error = get(&client, &other.url("/")).await.unwrap_err();
    assert!(
        matches!(error, FetchError::RefusedAddress { .. }),
        "{error}"
    );
    // By http nobody else is asked, public or not.
    let error = get(&client, "http://1.1.1.1/").await.unwrap_err();
    assert!(matches!(error, FetchError::BadUrl { .. }), "{error}");
    assert_eq!((server.connections(), other.connections()), (1, 0));
}

#[tokio::test]
async fn ports_of_other_services_and_plain_http_are_not_asked() {
    // A trusted address at such a port makes no difference to others.
    let mut options = trusting(&[]);
    options.trusted = ["127.0.0.1:22", "127.0.0.1:53"]
        .map(|address| address.parse().unwrap())
        .to_vec();
    let dns = DnsServer::start(|_, kind, _| Reply::addresses(kind, &["1.1.1.1"])).await;
    options.dns = Some(dns.address);
    for client in [client(&[]), Client::new(options).unwrap()] {
        for url in [
            "https://example.com:22/",
            "https://example.com:25/",
            "https://1.1.1.1:53/",
            "https://example.com:1023/",
            "http://example.com/",
            "http://1.1.1.1:443/",
        ] {
            let error = get(&client, url).await.unwrap_err();
            assert!(matches!(error, FetchError::BadUrl { .. }), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn everything_is_asked_once_private_networks_are_allowed() {
    let server = Server::saying(ok("private")).await;
    let mut options = trusting(&[]);
    options.allow_private = true;
    options.dns = None;
    let client = Client::new(options).unwrap();
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let answer = get(&client, &format!("http://{host}:{port}/")).await;
        assert_eq!(answer.unwrap().body, "private", "{host}");
    }
}
