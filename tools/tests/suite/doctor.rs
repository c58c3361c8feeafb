//! `orrery doctor` on this machine: what it says of directories, ports and sources, and that it leaves nothing.

use std::path::Path;
use std::process::Output;

use crate::common::{Server, ingest, last_line, orrery, synthetic, text};
use orrery_synth::{Config, Options, Pace, Source, Stamp};
use rustix::process::Signal;
use serde_json::Value;

fn doctor(arguments: &[&str]) -> Output {
    orrery().arg("doctor").args(arguments).output().unwrap()
}

/// The state and the words of one check.
fn check(output: &Output, what: &str) -> (String, String) {
    let said = text(&output.stdout);
    let line = said
        .lines()
        .find(|line| line.get(6..).is_some_and(|line| line.starts_with(what)));
    let line = line.unwrap_or_else(|| panic!("{what}: {said}{}", text(&output.stderr)));
    let state = line.split(' ').next().unwrap();
    (state.to_owned(), line.to_owned())
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn what_judges_ends_with_its_verdict_where_nobody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let wrong = ["--data", data, "--jetstream", "nowhere"];
    for words in [
        &["doctor", "--offline"][..],
        &["doctor", "--offline", "--json"],
        &["config", "--check"],
        &["config", "--check", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = orrery();
        let command = command.args(words).args(wrong).stdout(writer);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
    }
}

#[test]
fn it_looks_at_everything_says_what_to_change_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let (taken, bind) = (
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        ["--bind", "127.0.0.1:0"],
    );
    let sound = doctor(
        &[
            &["--offline", "--data", data, "--jetstream", "us-east-1"][..],
            &bind,
        ]
        .concat(),
    );
    for what in [
        "configuration",
        "data directory",
        "file system",
        "disk speed",
        "free space",
        "page size",
        "cores",
        "memory",
        "open files",
        "port",
        "network",
        "clock",
    ] {
        check(&sound, what);
    }
    assert_eq!(check(&sound, "port").0, "ok");
    assert_eq!(check(&sound, "network").0, "-");
    assert!(
        check(&sound, "disk speed").1.contains("a sync takes"),
        "{}",
        text(&sound.stdout)
    );
    // The disk of whoever runs this may be anything.
    let fails = text(&sound.stdout)
        .lines()
        .any(|line| line.starts_with("fail"));
    assert_eq!(
        sound.status.code(),
        Some(i32::from(fails)),
        "{}",
        text(&sound.stdout)
    );
    assert!(is_empty(dir.path()));

    let taken = taken.local_addr().unwrap().to_string();
    let file = dir.path().join("orrery.toml");
    let missing = dir.path().join("none/data");
    let settings =
        format!("data = {missing:?}\njetstream = \"us-east-1\"\nbind = {taken:?}\nstrict = 1\n");
    std::fs::write(&file, settings).unwrap();
    let file = file.to_str().unwrap();
    let failing = doctor(&["--offline", "--config", file, "--json"]);
    assert_eq!(failing.status.code(), Some(1));
    let report = last_line(&failing);
    let state = |what: &str| -> Value {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["check"] == what)
            .unwrap()
            .clone()
    };
    assert_eq!(state("configuration")["state"], "fail");
    assert!(
        state("configuration")["found"]
            .as_str()
            .unwrap()
            .contains(":4:10: strict")
    );
    assert_eq!(state("port")["state"], "fail");
    assert!(state("port")["advice"].as_str().unwrap().contains("--bind"));
    assert!(report["failures"].as_u64().unwrap() >= 2, "{report}");
    assert!(!missing.exists());
    assert_eq!(doctor(&["--nonsense"]).status.code(), Some(2));
}

#[test]
fn each_mistake_has_a_line_of_its_own_and_a_directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orrery.toml");
    let in_the_way = dir.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let data = in_the_way.join("data");
    let settings = format!(
        "data = {data:?}\njetstream = \"us-est-1\"\nstrict = 1\ncollections = [\"app.bsky.feed\"]\n"
    );
    std::fs::write(&file, settings).unwrap();
    let output = doctor(&["--offline", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let lines = |state: &str| -> Vec<&str> {
        let begin = format!("{state:<5} configuration");
        said.lines()
            .filter(|line| line.starts_with(&begin))
            .collect()
    };
    let mistakes = lines("fail");
    assert_eq!(mistakes.len(), 3, "{said}");
    for (line, about) in mistakes
        .iter()
        .zip([":1:1: data", ":2:1: jetstream", ":3:10: strict"])
    {
        assert!(line.contains(about), "{said}");
    }
    let advised: Vec<&&str> = mistakes
        .iter()
        .filter(|line| line.contains(" | correct it first"))
        .collect();
    assert_eq!(advised, [&mistakes[2]], "{said}");
    let warnings = lines("warn");
    assert!(
        warnings.len() == 1 && warnings[0].contains("app.bsky.feed.*"),
        "{said}"
    );
    for data in [&data, &in_the_way] {
        let output = doctor(&[
            "--offline",
            "--jetstream",
            "us-east-1",
            "--data",
            data.to_str().unwrap(),
        ]);
        let (state, line) = check(&output, "data directory");
        assert_eq!(state, "fail", "{line}");
        assert!(
            !line.contains("makes it") && line.contains("no directory"),
            "{line}"
        );
    }
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("notes.txt"), "").unwrap();
    for (data, why) in [
        (
            full.to_str().unwrap(),
            "it is no data directory and holds notes.txt | name an empty or a new directory",
        ),
        ("/proc/x", "cannot be made in /proc"),
    ] {
        let output = doctor(&["--offline", "--jetstream", "us-east-1", "--data", data]);
        let (state, line) = check(&output, "data directory");
        assert!(state == "fail" && line.contains(why), "{line}");
        assert_eq!(output.status.code(), Some(1));
    }
    let data = dir.path().join("none/data");
    let output = doctor(&[
        "--offline",
        "--jetstream",
        "us-east-1",
        "--data",
        data.to_str().unwrap(),
    ]);
    let (state, line) = check(&output, "data directory");
    assert!(state == "ok" && line.contains("`serve` makes it"), "{line}");
}

#[test]
fn it_asks_the_source_and_tells_a_server_that_runs_from_a_taken_port() {
    let dir = tempfile::tempdir().unwrap();
    let (events, data, log) = (
        dir.path().join("e"),
        dir.path().join("data"),
        dir.path().join("log"),
    );
    std::fs::write(&events, synthetic(1, 100)).unwrap();
    ingest(&data, &[events.to_str().unwrap()]);
    let data = data.to_str().unwrap();
    let mut server = Server::start(&["serve", "--data", data], &log);
    let bind = server.address.to_string();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(Source::Generator(Options::default()));
        config.dictionary = Some(orrery_jetstream::DICTIONARY.to_vec().into());
        (config.pace, config.stamp) = (Pace::EventsPerSecond(500.0), Stamp::WallClock);
        orrery_synth::serve(listener, config).unwrap()
    });
    let arguments = ["--data", data, "--bind", &bind, "--no-fetch", "--jetstream"];
    let beside = doctor(&[&arguments[..], &[&stream.url()]].concat());
    let (state, line) = check(&beside, "data directory");
    assert!(state == "ok" && line.contains("in use"), "{line}");
    let (state, line) = check(&beside, "port");
    assert!(state == "ok" && line.contains("a server runs"), "{line}");
    let (state, line) = check(&beside, "source");
    assert!(state == "ok" && line.contains("sent events"), "{line}");
    assert_eq!(check(&beside, "PLC directory").0, "-");
    let (_, line) = check(&beside, "clock");
    assert!(line.contains("s from the source's newest event"), "{line}");
    assert!(server.stop(Signal::TERM));

    let alone = doctor(&[&arguments[..], &["ws://127.0.0.1:1/subscribe"]].concat());
    assert_eq!(alone.status.code(), Some(1));
    let (state, line) = check(&alone, "source");
    assert!(state == "fail" && line.contains("firewall"), "{line}");
    assert!(check(&alone, "data directory").1.contains("nobody uses it"));
}
