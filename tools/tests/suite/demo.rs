//! The demo shows URLs that answer, soon, and ends when asked.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Server, orrery};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Whether an answer has a total or a list of more than nothing.
fn holds_links(server: &Server, url: &str) -> bool {
    let (status, _, body) = server.get(url).unwrap();
    assert_eq!(status, 200, "{url}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let total = answer["total"].as_u64();
    let links = answer["links"].as_object().map(|links| links.len() as u64);
    let others = answer["counts_by_other_subject"].as_array();
    let others = others.map(|others| others.len() as u64);
    total.or(links).or(others).unwrap() > 0
}

#[test]
fn the_demo_prints_urls_with_answers_within_20_s_and_ends_on_sigint() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let started = Instant::now();
    let mut child = orrery()
        .args(["demo", "--bind", &address.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
    let mut server = Server { child, address };
    let prefix = format!("http://{address}");
    let mut urls = Vec::new();
    let mut stream = None;
    for line in lines.by_ref() {
        if let Some((_, url)) = line.split_once("in a browser: ") {
            stream = url.trim().strip_prefix(&prefix).map(str::to_owned);
        }
        if let Some(path) = line.trim().strip_prefix(&prefix) {
            urls.push(path.to_owned());
        }
        if line.contains("Ctrl-C") {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(urls.len() >= 3, "{urls:?}");
    for url in urls {
        assert!(holds_links(&server, &url), "{url}");
    }
    let (status, _, page) = server.get_as(&stream.unwrap(), "text/html").unwrap();
    assert!(status == 200 && page.contains("/stream.js"), "{page}");
    // What the readme and the front page ask of a demo has an answer too.
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    let readme = readme.unwrap();
    let (_, of_demo) = readme.split_once("Of the demo").unwrap();
    let (of_demo, _) = of_demo.split_once("\n## ").unwrap();
    let asked: Vec<&str> = of_demo
        .lines()
        .filter_map(|line| line.strip_prefix("curl 'http://127.0.0.1:6789"))
        .filter_map(|rest| rest.strip_suffix('\''))
        .collect();
    assert_eq!(asked.len(), 2);
    for url in asked {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds_links(&server, url) {
            assert!(Instant::now() < until, "{url}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let (_, _, page) = server.get_as("/", "text/html").unwrap();
    let (_, questions) = page.split_once("Questions to begin with").unwrap();
    let (questions, _) = questions.split_once("</ul>").unwrap();
    let asked: Vec<String> = questions
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|href| href.replace("&amp;", "&"))
        .collect();
    assert!(asked.len() >= 2, "{questions}");
    for url in asked {
        assert!(holds_links(&server, &url), "{url}");
    }
    let mut progress = lines.filter(|line| line.contains("on disk"));
    let (first, second) = (progress.next().unwrap(), progress.next().unwrap());
    for part in ["events", "links", "lag"] {
        assert!(
            first.contains(part) && second.contains(part),
            "{first} {second}"
        );
    }
    // A rate is of the time since the line before, of which nothing was before the first event.
    assert!(
        !first.contains("/s)") && second.contains("/s)"),
        "{first} {second}"
    );
    kill_process(Pid::from_child(&server.child), Signal::INT).unwrap();
    assert!(server.child.wait().unwrap().success());
}
