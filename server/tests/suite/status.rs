//! `/status` for people and programs, what it keeps to itself, and pages in a browser, narrow and wide.

use std::time::Duration;

use crate::common::browser::Page;
use crate::common::{Model, Response, Server};
use orrery_server::{Config, Waits};
use serde_json::{Value, json};

/// The status, once the server has looked at its index for the first time.
async fn status(server: &Server) -> Value {
    loop {
        let status = server.get("/status").await.json();
        if status["history"]["hour"]["seconds_ago"] != json!([]) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn people_and_programs_are_told_the_same() {
    let server = Server::start().await;
    server.get("/links/count").await;
    let told = status(&server).await;
    assert_eq!(told["status"], "ok");
    assert_eq!(told["advice"], json!([]));
    assert_eq!(told["source"]["host"], "jetstream.example");
    assert_eq!(told["source"]["lag_seconds"], 1.5);
    assert_eq!(told["disk"]["bytes"]["log"], 2_147_483_648_u64);
    assert_eq!(told["index"]["seals"]["last"]["bytes"], 5 << 20);
    assert_eq!(told["history"]["hour"]["seconds_ago"], json!([0]));
    let requests = told["requests"].as_array().unwrap();
    let count = requests.iter().find(|of| of["route"] == "/links/count");
    let count = count.unwrap();
    assert_eq!(
        (&count["requests"], &count["client_errors"]),
        (&json!(1), &json!(1))
    );

    let page = server.page("/status").await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"));
    for shown in [
        "<strong>ok</strong>",
        "jetstream.example",
        "1.5 s",
        "1,234,567",
        "39.0 GiB",
        "known after an hour",
        "Last merge: 90 s ago, took 1.5 s, made 50.0 MiB; 3 since the start",
        "/links/count",
        "<svg",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for outside in ["<script", "style=", "http://", "src="] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn trouble_has_a_word_and_says_what_to_do() {
    let server = Server::start().await;
    status(&server).await;
    server.model.status.lock().lag_us = Some(3_600_000_000);
    assert_eq!(status(&server).await["status"], "catching-up");
    let page = server.page("/status").await;
    assert!(page.body.contains("<strong>catching-up</strong>"));

    let mut model = Model::sample();
    model.vitals.get_mut().waits = Some(Waits::Room);
    let server = Server::of(model).await;
    let told = status(&server).await;
    assert_eq!(told["status"], "paused");
    assert!(told["advice"][0].as_str().unwrap().contains("--disk-limit"));
}

#[tokio::test]
async fn damage_is_told_as_soon_as_it_is_known() {
    let server = Server::start().await;
    let told = status(&server).await;
    assert_eq!(told["status"], "ok");
    {
        let mut vitals = server.model.vitals.lock();
        vitals.set_aside = 1;
        // What asks the disk is as it was seen.
        vitals.room.free_bytes = None;
    }
    let told = status(&server).await;
    assert_eq!(told["status"], "degraded");
    assert_eq!(told["index"]["segments_set_aside"], 1);
    assert_eq!(told["disk"]["free_bytes"], 40_u64 << 30);
    let advice = told["advice"][0].as_str().unwrap();
    assert!(
        advice.starts_with("1 part of the index is damaged"),
        "{advice}"
    );
    let page = server.page("/status").await;
    assert!(page.body.contains("1 part of the index is damaged"));
}

#[tokio::test]
async fn what_an_operator_keeps_to_himself_is_not_told() {
    let server = Server::start().await;
    status(&server).await;
    {
        let mut status = server.model.status.lock();
        status.source = Some("ws://10.0.0.5:6008/subscribe?key=hidden".into());
        status.degraded = Some("/var/lib/secret/log: No space left on device".into());
    }
    let (json, page) = (server.get("/status").await, server.page("/status").await);
    for Response { body, .. } in [&json, &page] {
        for kept in ["10.0.0.5", "6008", "hidden", "/var/lib", "127.0.0.1"] {
            assert!(!body.contains(kept), "{kept}: {body}");
        }
        assert!(body.contains("degraded"), "{body}");
    }
    assert!(page.body.contains("a server of a private network"));
}

#[tokio::test]
async fn turned_off_it_is_not_found_and_nothing_leads_there() {
    let server = Server::with(Config {
        status: false,
        ..Config::default()
    })
    .await;
    server.get("/status").await.error(404, "NotFound");
    assert!(!server.page("/").await.body.contains("\"/status\""));
    let server = Server::start().await;
    assert!(server.page("/").await.body.contains("\"/status\""));
}

/// What is wider than the page, or cut: nothing but what scrolls by itself may be.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')].filter(e => !e.closest('pre') && !e.closest('svg') \
    && e.getClientRects().length > 0 && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_fit_a_phone_and_a_desk_in_light_and_dark() {
    let profile = std::env::temp_dir().join(format!("orrery-status-{}", std::process::id()));
    let Some(mut page) = Page::open(&profile, 360).await else {
        return;
    };
    let server = Server::start().await;
    status(&server).await;
    server
        .get("/xrpc/com.bad-example.proxy.hydrateQueryResponse")
        .await;
    let target = "at://did:plc:author/app.bsky.feed.post/1";
    let all = format!("/links/all?target={target}");
    for path in ["/status", "/", "/openapi", &all, "/collections", "/meta"] {
        for width in [360, 1280] {
            page.resize(width).await;
            page.go(&format!("http://{}{path}", server.address)).await;
            page.value("document.querySelectorAll('details').forEach(d => d.open = true)")
                .await;
            let scrolls = page.value("document.documentElement.scrollWidth").await;
            assert!(
                scrolls.as_u64().unwrap() <= u64::from(width),
                "{path} at {width}: {scrolls}"
            );
            assert_eq!(page.value(TOO_WIDE).await, json!([]), "{path} at {width}");
        }
    }
    page.go(&format!("http://{}/status", server.address)).await;
    // The policy lets nothing in that would draw them otherwise.
    let drawn = "document.querySelectorAll('svg .line').length";
    assert!(page.value(drawn).await.as_u64() >= Some(4));
    let stroke = "getComputedStyle(document.querySelector('svg .line')).stroke";
    let ground = "getComputedStyle(document.body).backgroundColor";
    page.prefer("light").await;
    let light = [page.value(stroke).await, page.value(ground).await];
    page.prefer("dark").await;
    let dark = [page.value(stroke).await, page.value(ground).await];
    assert!(
        light[0] != dark[0] && light[1] != dark[1],
        "{light:?} {dark:?}"
    );
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    // Processes of the browser may write there for a moment yet.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = std::fs::remove_dir_all(&profile);
    }
}
