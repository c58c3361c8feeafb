//! What a running server exposes, the table of metrics, the alert rules and the dashboard: each knows only what the others know.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::Server;
use crate::common::jetstream::{Jetstream, Subscriber};
use serde_json::{Value, json};

/// A metric as it is told: its type and the names of its labels.
type Told = BTreeMap<String, (String, BTreeSet<String>)>;

fn server_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server")
        .join(name)
}

fn read(name: &str) -> String {
    let path = server_file(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of `METRICS.md`.
fn table() -> Told {
    let text = read("METRICS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let names = |cell: &str| -> BTreeSet<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let mut told = Told::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, what, _] = cells[..] else {
            panic!("{row}");
        };
        assert!(!what.is_empty(), "{row}");
        let name = name.trim_matches('`').to_owned();
        let row = (kind.to_owned(), names(labels));
        assert!(told.insert(name.clone(), row).is_none(), "{name} twice");
    }
    told
}

/// What a page of metrics has, checked for its form.
fn exposed(page: &str) -> Told {
    let mut told = Told::new();
    let mut helped = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.'), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} has two heads");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has no help");
            told.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let metric = base(name, &told).unwrap_or_else(|| panic!("{line} has no type"));
            let known = &mut told.get_mut(&metric).unwrap().1;
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let label = label.split_once('=').unwrap().0;
                if label != "le" {
                    known.insert(label.to_owned());
                }
            }
        }
    }
    told
}

/// The metric that a series belongs to.
fn base(series: &str, known: &Told) -> Option<String> {
    if known.contains_key(series) {
        return Some(series.to_owned());
    }
    let ends = ["_bucket", "_sum", "_count"];
    let mut bases = ends.iter().filter_map(|end| series.strip_suffix(end));
    let is_histogram = |name: &&str| {
        known
            .get(*name)
            .is_some_and(|(kind, _)| kind == "histogram")
    };
    bases.find(is_histogram).map(str::to_owned)
}

fn scrape(address: SocketAddr) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exposed_is_what_the_table_tells() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = free.local_addr().unwrap();
    drop(free);
    let (url, bind) = (jetstream.url(), metrics.to_string());
    let data = dir.path().join("data");
    let arguments = [
        "serve",
        "--jetstream",
        &url,
        "--data",
        data.to_str().unwrap(),
        "--metrics",
        &bind,
        "--no-fetch",
        "--disk-limit",
        "1GiB",
    ];
    let server = Arc::new(Server::start(&arguments, &dir.path().join("log")));
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let record =
        json!({"subject": {"uri": "at://did:plc:bbbbbbbbbbbbbbbbbbbbbbbb/com.ex.post/3j"}});
    let mut subscriber = Subscriber::open(server.address, "?instant=true").await;
    jetstream.commit(did, "3k", "create", Some(record));
    subscriber.next().await;
    drop(subscriber);
    let page = tokio::task::spawn_blocking(move || {
        server
            .get("/links/count?target=x&collection=a.b.c&path=.x")
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let page = scrape(metrics);
            // The disk is looked at beside the start, and events are counted by batches.
            let has = |line: &str| page.contains(line);
            if has("orrery_disk_left_bytes ") && has("\norrery_events_total 1\n") {
                let status = server.get_as("/status", "text/html").unwrap();
                return (page, status);
            }
            assert!(Instant::now() < until, "{page}");
        }
    });
    let (page, status) = page.await.unwrap();
    let mut table = table();
    // A server without TLS has none of these; those of one with it are asked for by name where TLS is tested.
    let of_tls = [
        "orrery_tls_certificate_end_timestamp_seconds",
        "orrery_tls_certificate_failures_total",
        "orrery_tls_handshakes_failed_total",
    ];
    for name in of_tls {
        assert!(table.remove(name).is_some(), "{name}");
    }
    assert_eq!(exposed(&page), table);
    for line in [
        "orrery_events_total 1",
        "orrery_disk_limit_bytes 1073741824",
        "orrery_ingest_paused{reason=\"disk\"} 0",
        "orrery_stream_ended_total{reason=\"slow\"} 0",
        "orrery_dropped_total{reason=\"invalid_did\"} 0",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} in {page}");
    }
    // The status page tells nothing of where all this is.
    let data = dir.path().to_str().unwrap().to_owned();
    assert_eq!(status.0, 200);
    assert!(status.2.contains("Records and identities"), "{}", status.2);
    for kept in [data.as_str(), "127.0.0.1", "ws://"] {
        assert!(!status.2.contains(kept), "{kept}");
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| word.starts_with("orrery_") || word.starts_with("process_");
    words.filter(is_metric).collect()
}

#[test]
fn rules_and_dashboard_use_metrics_that_there_are() {
    let table = table();
    for file in [
        "monitoring/alerts.yml",
        "monitoring/alerts_test.yml",
        "monitoring/dashboard.json",
    ] {
        let text = read(file);
        let names = named(&text);
        assert!(names.len() > 10, "{file}");
        for name in names {
            assert!(
                base(name, &table).is_some(),
                "{file} knows {name}, which is no metric"
            );
        }
    }
}

#[test]
fn the_dashboard_has_the_shape_that_grafana_reads() {
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    assert_eq!(dashboard["title"], "orrery");
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].as_u64() >= Some(38));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<&Value> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "instance"]);
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut expressions = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(
            place("x") + place("w") <= 24,
            "{title} is wider than the page"
        );
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        let kind = panel["type"].as_str().unwrap();
        assert!(
            ["row", "stat", "timeseries"].contains(&kind),
            "{title}: {kind}"
        );
        if kind == "row" {
            continue;
        }
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        assert_eq!(panel["datasource"], source, "{title}");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        let mut references = BTreeSet::new();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert!(
                references.insert(target["refId"].as_str().unwrap()),
                "{title}"
            );
            let expression = target["expr"].as_str().unwrap();
            assert!(!named(expression).is_empty(), "{title}: {expression}");
            assert!(expression.contains("$instance"), "{title}: {expression}");
            expressions += 1;
        }
    }
    assert!(expressions > 40, "{expressions}");
}

#[test]
fn the_alert_rules_do_what_their_tests_say() {
    let directory = server_file("monitoring");
    let run = |what: &str, file: &str| {
        let output = Command::new("promtool")
            .args([what, "rules", file])
            .current_dir(&directory)
            .output()
            .ok()?;
        let said = format!("{output:?}");
        assert!(output.status.success(), "{said}");
        Some(())
    };
    if run("check", "alerts.yml").is_none() {
        eprintln!("skipped: promtool is not there");
        return;
    }
    run("test", "alerts_test.yml").unwrap();
    let names = |text: &str, before: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim);
        let names = lines.filter_map(|line| line.strip_prefix(before));
        names.map(str::to_owned).collect()
    };
    let rules = names(&read("monitoring/alerts.yml"), "- alert: ");
    let tried = names(&read("monitoring/alerts_test.yml"), "alertname: ");
    assert_eq!(rules, tried, "each rule is tried");
}
