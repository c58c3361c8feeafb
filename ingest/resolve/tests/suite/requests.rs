//! What is sent: headers, redirects, and over which connection.
use crate::common::{MOST, Server, client, get, get_following, head, moved, ok};
use orrery_resolve::{FetchError, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn redirects_are_followed_as_often_as_was_said() {
    let server = Server::start(|_, mut tcp| async move {
        while let Some(head) = head(&mut tcp).await {
            let path = head.split(' ').nth(1).unwrap();
            let hops: u32 = path.trim_start_matches('/').parse().unwrap();
            let answer = match hops.checked_sub(1) {
                None => ok("there"),
                Some(left) => moved(&format!("/{left}")),
            };
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = client(&[&server]);
    for (hops, allowed, arrives) in [(0, 0, true), (1, 0, false), (3, 3, true), (4, 3, false)] {
        let answer = get_following(&client, &server.url(&format!("/{hops}")), allowed).await;
        match answer {
            Ok(answer) => assert!(arrives && answer.body == "there", "{hops} {allowed}"),
            Err(error) => assert!(
                !arrives && matches!(error, FetchError::Redirect { .. }),
                "{hops} {allowed}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_or_to_another_protocol_is_an_error() {
    for location in ["", "ftp://example.com/", "file:///etc/passwd", "gopher:x"] {
        let server = Server::saying(moved(location)).await;
        let error = get_following(&client(&[&server]), &server.url("/"), 3)
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::Redirect { .. }),
            "{location}: {error}"
        );
    }
    let server = Server::saying("HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n").await;
    let error = get_following(&client(&[&server]), &server.url("/"), 3)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
}

/// Answers with the head it got.
async fn echo() -> Server {
    Server::start(|_, mut tcp| async move {
        while let Some(head) = head(&mut tcp).await {
            tcp.write_all(ok(&head).as_bytes()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn requests_say_who_asks_and_ask_for_nothing_packed() {
    let server = echo().await;
    let mut request = Request::new(server.url("/a?b=c"), MOST);
    request.accept = Some("application/did+ld+json".to_owned());
    request.headers = vec![("atproto-accept-labelers".to_owned(), "x".to_owned())];
    let answer = client(&[&server]).get(request).await.unwrap();
    let head = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n"), "{head}");
    for line in [
        format!("host: {}\r\n", server.address),
        format!(
            "user-agent: orrery/{} (+https://example.com/contact)\r\n",
            env!("CARGO_PKG_VERSION")
        ),
        "accept-encoding: identity\r\n".to_owned(),
        "accept: application/did+ld+json\r\n".to_owned(),
        "atproto-accept-labelers: x\r\n".to_owned(),
    ] {
        assert!(head.contains(&line), "{line} {head}");
    }
}

#[tokio::test]
async fn headers_stay_with_the_origin_they_were_meant_for() {
    let target = echo().await;
    let location = target.url("/there");
    let first = Server::start(move |_, mut tcp| {
        let location = location.clone();
        async move {
            while let Some(head) = head(&mut tcp).await {
                let answer = if head.starts_with("get /stay ") {
                    moved("/echo")
                } else if head.starts_with("get /echo ") {
                    ok(&head)
                } else {
                    moved(&location)
                };
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = client(&[&first, &target]);
    for (path, kept) in [("/stay", true), ("/leave", false)] {
        let mut request = Request::new(first.url(path), MOST);
        request.redirects = 1;
        request.accept = Some("text/plain".to_owned());
        request.headers = vec![("authorization".to_owned(), "secret".to_owned())];
        let answer = client.get(request).await.unwrap();
        let head = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(head.contains("secret"), kept, "{head}");
        assert!(head.contains("accept: text/plain\r\n"), "{head}");
        assert!(head.contains("user-agent: orrery/"), "{head}");
    }
}

#[tokio::test]
async fn headers_that_would_change_the_request_are_refused() {
    let server = echo().await;
    let client = client(&[&server]);
    for (name, value) in [
        ("host", "elsewhere"),
        ("Transfer-Encoding", "chunked"),
        ("content-length", "5"),
        ("connection", "upgrade"),
        ("a b", "c"),
        ("a", "b\r\nhost: elsewhere"),
    ] {
        let mut request = Request::new(server.url("/"), MOST);
        request.headers = vec![(name.to_owned(), value.to_owned())];
        let error = client.get(request).await.unwrap_err();
        assert!(
            matches!(error, FetchError::BadUrl { .. }),
            "{name}: {error}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::saying(ok("x")).await;
    let client = client(&[&server]);
    for _ in 0..20 {
        assert_eq!(get(&client, &server.url("/")).await.unwrap().body, "x");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_the_server_has_closed_costs_no_answer() {
    // One answer on each connection, after which it is closed without a word.
    let server = Server::start(|_, mut tcp| async move {
        head(&mut tcp).await;
        tcp.write_all(ok("x").as_bytes()).await.unwrap();
        // Closes when the next request has come, without an answer to it.
        let _ = tcp.read_u8().await;
    })
    .await;
    let client = client(&[&server]);
    for _ in 0..5 {
        assert_eq!(get(&client, &server.url("/")).await.unwrap().body, "x");
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_server_that_always_closes_is_asked_no_more_than_twice() {
    let server = Server::start(|number, mut tcp| async move {
        head(&mut tcp).await;
        if number == 0 {
            tcp.write_all(ok("x").as_bytes()).await.unwrap();
            head(&mut tcp).await;
        }
    })
    .await;
    let client = client(&[&server]);
    assert!(get(&client, &server.url("/")).await.is_ok());
    let error = get(&client, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error}");
    assert_eq!(server.connections(), 2);
}
