//! The page of the link stream in a browser. Skipped, and said so, where there is none.

use crate::common::Server;
use crate::common::browser::Page;
use crate::common::feed::LIKE;
use serde_json::json;

const FOLLOW: &str = "com.ex.follow:subject";
const ROWS: &str = "document.querySelectorAll('#rows li').length";
const FIRST: &str = "document.querySelector('#rows li').innerText";

#[tokio::test]
async fn the_page_is_one_of_this_server_alone() {
    let server = Server::start().await;
    let page = server.get("/stream").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
    for outside in ["http://", "style=", " on", "javascript:"] {
        let found = page.body.find(outside).map(|at| &page.body[at..at + 30]);
        assert!(
            found.is_none_or(|found| found.starts_with(" one ")),
            "{found:?}"
        );
    }
    let script = server.get("/stream.js").await;
    assert_eq!(
        script.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    for way in ["innerHTML", "eval(", "document.write", "insertAdjacentHTML"] {
        assert!(!script.body.contains(way), "{way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_and_a_filter_changes_them() {
    let profile = std::env::temp_dir().join(format!("orrery-browser-{}", std::process::id()));
    let Some(mut page) = Page::open(&profile, 360).await else {
        return;
    };
    let server = Server::start().await;
    let hostile = "https://x.example/<img src=x onerror=alert(1)>";
    let tell = |n: u32, source: &str, subject: &str| {
        server.events.create(
            &format!("at://did:plc:a/com.ex.x/{n}"),
            &[(source, subject)],
        )
    };
    page.go(&format!("http://{}/stream", server.address)).await;
    page.wait("document.getElementById('state').innerText.startsWith('Connected')")
        .await;
    // The first message of options may still be on its way.
    while page.value(ROWS).await == json!(0) {
        tell(0, LIKE, "did:plc:probe");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    tell(0, LIKE, "did:plc:last");
    page.wait(&format!("{FIRST}.includes('did:plc:last')"))
        .await;
    // A letter means something only in the list.
    page.value("document.getElementById('rows').focus()").await;
    page.press("c").await;
    page.wait(&format!("{ROWS} === 0")).await;
    page.value("document.activeElement.blur()").await;
    page.press("p").await;
    let pressed = "document.getElementById('pause').getAttribute('aria-pressed')";
    assert_eq!(page.value(pressed).await, json!("false"));
    page.value("document.getElementById('rows').focus()").await;
    tell(1, LIKE, hostile);
    tell(2, FOLLOW, "did:plc:b");
    page.wait(&format!("{ROWS} === 2")).await;
    let first = page.value(FIRST).await;
    let first = first.as_str().unwrap();
    assert!(
        first.contains(FOLLOW) && first.contains("did:plc:b"),
        "{first}"
    );
    let second = page.value("document.querySelectorAll('#rows li')[1].innerText");
    assert!(second.await.as_str().unwrap().contains(hostile));
    assert_eq!(
        page.value("document.querySelectorAll('main img').length")
            .await,
        json!(0)
    );
    let width = page.value("document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= 360, "{width}");

    // A filter, typed and sent with the keyboard.
    page.press("/").await;
    page.wait("document.activeElement.name === 'wantedSources'")
        .await;
    page.value(&format!("document.activeElement.value = '{FOLLOW}'"))
        .await;
    page.value("document.getElementById('filters').requestSubmit()")
        .await;
    page.wait("location.search.includes('wantedSources=com.ex.follow')")
        .await;
    let escape = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))";
    page.value(escape).await;
    page.wait("document.activeElement.id === 'rows'").await;
    page.wait(&format!("{ROWS} === 0")).await;
    let mut n = 3;
    // Until the filter is in place, others come too.
    loop {
        tell(n, LIKE, "did:plc:unwanted");
        tell(n + 1, FOLLOW, "did:plc:wanted");
        n += 2;
        page.wait(&format!("{ROWS} > 0 && {FIRST}.includes('did:plc:wanted')"))
            .await;
        let rows = page.value(ROWS).await;
        page.press("c").await;
        page.wait(&format!("{ROWS} === 0")).await;
        if rows == json!(1) {
            break;
        }
    }

    // Paused, what comes is held.
    page.press("p").await;
    tell(n, FOLLOW, "did:plc:held");
    page.wait("document.getElementById('counted').innerText.includes('1 held')")
        .await;
    assert_eq!(page.value(ROWS).await, json!(0));
    page.press("p").await;
    page.wait(&format!("{ROWS} === 1 && {FIRST}.includes('did:plc:held')"))
        .await;

    // A connection that breaks misses nothing and repeats nothing, and what is half typed is not asked for.
    page.value("document.getElementById('filters').elements.wantedSources.value = 'com.ex.f'")
        .await;
    page.value("socket.close()").await;
    page.wait("document.getElementById('state').innerText.includes('trying again')")
        .await;
    tell(n + 1, FOLLOW, "did:plc:missed");
    page.wait(&format!(
        "{ROWS} === 2 && {FIRST}.includes('did:plc:missed')"
    ))
    .await;

    // The list has an end.
    for more in 0..300 {
        tell(n + 2 + more, FOLLOW, &format!("did:plc:{more}"));
    }
    page.wait(&format!("{FIRST}.includes('did:plc:299')")).await;
    assert_eq!(page.value(ROWS).await, json!(200));

    // The address of the page says what it shows.
    let address = page.value("location.href").await;
    page.go("about:blank").await;
    page.go(address.as_str().unwrap()).await;
    let filter = "document.getElementById('filters').elements.wantedSources.value";
    assert_eq!(page.value(filter).await, json!(FOLLOW));
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    // Processes of the browser may write there for a moment yet.
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let _ = std::fs::remove_dir_all(&profile);
    }
}
