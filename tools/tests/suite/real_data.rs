//! Real captures give the numbers that an independent count of them gives.

use std::path::PathBuf;

use crate::common::{ingest, shared};
use serde_json::{Value, json};

/// Loads the files of a directory of shared data whose names end with `suffix`.
fn load(directory: &str, suffix: &str) -> Option<Value> {
    let directory = shared(directory)?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    files.sort();
    let data = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--by-source"];
    arguments.extend(files.iter().map(|path| path.to_str().unwrap()));
    Some(ingest(data.path(), &arguments))
}

#[test]
fn a_capture_of_jetstream_gives_the_counted_links() {
    let Some(summary) = load("data/jetstream", ".jsonl") else {
        return;
    };
    assert_eq!(summary["events"], 666);
    assert_eq!(summary["bad_lines"], json!({}));
    assert_eq!(summary["links"], 642);
    assert_eq!(summary["links_live"], 641);
    let by_source = &summary["links_by_source"];
    for (source, links) in [
        ("app.bsky.feed.like:subject.uri", 335),
        ("app.bsky.graph.follow:subject", 167),
        ("app.bsky.feed.post:reply.parent.uri", 33),
        (
            "app.bsky.feed.post:facets[].features[app.bsky.richtext.facet#link].uri",
            5,
        ),
    ] {
        assert_eq!(by_source[source], links, "{source}");
    }
    let sum: u64 = by_source
        .as_object()
        .unwrap()
        .values()
        .map(|links| links.as_u64().unwrap())
        .sum();
    assert_eq!(sum, 642);
}

#[test]
fn a_capture_of_relay_frames_gives_the_counted_links() {
    let Some(summary) = load("data/firehose", "expected-jetstream-v1.jsonl") else {
        return;
    };
    assert_eq!(summary["events"], 102);
    assert_eq!(summary["bad_lines"], json!({}));
    assert_eq!(summary["links"], 119);
    assert_eq!(summary["links_by_source"]["app.bsky.feed.like:via.uri"], 12);
}
