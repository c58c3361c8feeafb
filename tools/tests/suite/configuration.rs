//! The configuration file, as `serve`, `config` and the commands beside them read it.

use std::path::Path;
use std::process::Output;

use crate::common::{Server, ingest, last_line, orrery, synthetic, text};
use rustix::process::Signal;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    orrery().args(arguments).output().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_check_names_every_mistake_and_serve_stops_at_them_before_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("orrery.toml"), dir.path().join("data"));
    let said = format!(
        "data = {data:?}\njetstream = \"us-est-1\"\ndisk-limt = \"2GiB\"\nlog-size = \"3\"\nstrict = 1\n"
    );
    std::fs::write(&file, said).unwrap();
    let file = file.to_str().unwrap();

    let checked = run(&["config", "--check", "--config", file]);
    assert_eq!(checked.status.code(), Some(1));
    let told = text(&checked.stdout);
    let lines: Vec<&str> = told.lines().collect();
    for (line, holds) in lines.iter().zip([
        ":2:1: jetstream: \"us-est-1\" is no server that has a short name; did you mean us-east-1?",
        ":3:1: disk-limt: there is no such key; did you mean disk-limit?",
        ":4:12: log-size: \"3\" is 3 bytes, too little for a log window; the least is 1MiB",
        ":5:10: strict: it is a whole number, and true or false is wanted; write it like strict = false",
    ]) {
        assert!(line.starts_with(file) && line.contains(holds), "{line}");
    }
    assert_eq!(lines.len(), 4, "{told}");
    assert!(text(&checked.stderr).contains("4 mistakes"));

    let json = run(&["config", "--check", "--json", "--config", file]);
    let report: Value = last_line(&json);
    let mistake = &report["mistakes"][1];
    assert_eq!(json.status.code(), Some(1));
    assert_eq!(mistake["file"], file);
    assert_eq!(
        (&mistake["line"], &mistake["key"]),
        (&3.into(), &"disk-limt".into())
    );
    assert_eq!(mistake["right"], "did you mean disk-limit?");

    let served = run(&["serve", "--config", file]);
    let error = text(&served.stderr);
    assert_eq!(served.status.code(), Some(2), "{error}");
    for line in &lines {
        assert!(error.contains(line), "{line}: {error}");
    }
    std::fs::write(file, format!("data = {data:?}\njetstream = \"us-est-1\"\n")).unwrap();
    let served = run(&["serve", "--config", file]);
    let error = text(&served.stderr);
    assert_eq!(served.status.code(), Some(2), "{error}");
    assert!(error.contains(lines[0]), "{error}");
    assert_eq!(names(dir.path()), ["orrery.toml"], "nothing is written");

    let sound = run(&[
        "config",
        "--check",
        "--config",
        file,
        "--jetstream",
        "us-east-1",
    ]);
    assert_eq!(text(&sound.stdout).trim(), "no mistakes");
    assert!(sound.status.success());
    let missing = run(&["serve", "--config", "/nowhere/orrery.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    let error = text(&missing.stderr);
    assert!(
        error.contains("/nowhere/orrery.toml: cannot be read"),
        "{error}"
    );
    assert_eq!(error.matches("/nowhere/orrery.toml").count(), 1, "{error}");
    // What begins it all and is commented out in a template.
    std::fs::write(file, "# data =\n").unwrap();
    for words in [&["serve"][..], &["verify"], &["ingest", "events.jsonl"]] {
        let unset = run(&[words, &["--config", file]].concat());
        let error = text(&unset.stderr);
        assert_eq!(unset.status.code(), Some(2), "{error}");
        assert!(
            error.starts_with(&format!(
                "error: {file}: data: it is not set; set it in the file, by --data"
            )),
            "{error}"
        );
    }
    let usage = run(&["config", "--check", "--template"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_name_that_hardly_means_one_collection_is_a_warning_and_no_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, data, events) = (path("orrery.toml"), path("data"), path("e.jsonl"));
    std::fs::write(&events, synthetic(1, 20)).unwrap();
    let settings =
        format!("data = {data:?}\njetstream = \"us-east-1\"\ncollections = [\"app.bsky.feed\"]\n");
    std::fs::write(&file, settings).unwrap();
    let checked = run(&["config", "--check", "--config", &file]);
    let told = text(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    let warning =
        format!("warning: {file}:3:1: collections: app.bsky.feed is taken for one collection");
    assert!(
        told.starts_with(&warning) && told.ends_with("no mistakes\n"),
        "{told}"
    );
    let json = last_line(&run(&["config", "--check", "--json", "--config", &file]));
    assert_eq!(json["warnings"][0]["key"], "collections", "{json}");
    for words in [
        &["ingest", &events, "--config", &file][..],
        &[
            "ingest",
            &events,
            "--data",
            &data,
            "--collections",
            "app.bsky.feed",
        ],
    ] {
        let loaded = run(words);
        let said = text(&loaded.stderr);
        assert!(loaded.status.success(), "{said}");
        assert!(
            said.contains("warning: collections: app.bsky.feed is"),
            "{said}"
        );
    }
    // Its other settings let it end before it begins.
    let served = run(&[
        "serve",
        "--data",
        &data,
        "--bind",
        "192.0.2.1:1",
        "--collections",
        "app.bsky.feed",
    ]);
    let said = text(&served.stderr);
    assert!(
        said.contains("warning: --collections: app.bsky.feed is"),
        "{said}"
    );
}

#[test]
fn commands_take_from_the_file_what_their_options_do_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data, events) = (
        dir.path().join("orrery.toml"),
        dir.path().join("data"),
        dir.path().join("e.jsonl"),
    );
    std::fs::write(&events, synthetic(1, 300)).unwrap();
    let settings = format!(
        "data = {data:?}\ncollections = [\"app.bsky.feed.like\"]\ndid-web-domain = \"links.example.org\"\nlag-limit = \"7s\"\n"
    );
    std::fs::write(&file, settings).unwrap();
    let (file, events) = (file.to_str().unwrap(), events.to_str().unwrap());

    let mut loaded = orrery();
    let loaded = loaded
        .env("ORRERY_CONFIG", file)
        .args(["ingest", "--json", "--", events]);
    let summary = last_line(&loaded.output().unwrap());
    assert!(summary["unselected"].as_u64().unwrap() > 0, "{summary}");
    // A value given there does not shift which word is the command.
    let shown = run(&["--log", "warn", "inspect", "--config", file, "--json"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));

    let log = dir.path().join("log");
    let mut server = Server::start(&["serve", "--config", file, "--collections", "a.b.*"], &log);
    let (status, _, body) = server.get("/.well-known/did.json").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("did:web:links.example.org"), "{body}");
    assert!(server.stop(Signal::TERM));

    let shown = run(&["config", "--config", file, "--lag-limit", "9s"]);
    let said = text(&shown.stdout);
    assert!(shown.status.success(), "{said}");
    assert!(
        said.contains("lag-limit = \"9s\"  # option --lag-limit"),
        "{said}"
    );
    assert!(said.contains(&format!("# {file}:3")), "{said}");
}

#[test]
fn a_look_at_a_directory_does_not_wait_for_a_mistake_that_is_not_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("orrery.toml"));
    let events = dir.path().join("events.jsonl");
    std::fs::write(&events, synthetic(3, 50)).unwrap();
    ingest(&data, &[events.to_str().unwrap()]);
    let (file, data, events) = (
        file.to_str().unwrap(),
        data.to_str().unwrap(),
        events.to_str().unwrap(),
    );
    let named = ["--data", data];
    for (settings, words, warning) in [
        // A key that nobody knows, one of the server alone, a line that is no TOML where the directory is named.
        (
            format!("data = {data:?}\nnonsense = 1\n"),
            &[][..],
            Some(":2:1: nonsense"),
        ),
        (
            format!("data = {data:?}\nbind = \"nowhere\"\nlog = 5\n"),
            &[],
            Some(":2:8: bind"),
        ),
        (
            "data = 5\nstrict: 1\n".to_owned(),
            &named,
            Some(":1:8: data"),
        ),
        (format!("dta = {data:?}\n"), &named, Some(":1:1: dta")),
        // What may be about the directory.
        (format!("dta = {data:?}\n"), &[], None),
        ("strict: 1\n".to_owned(), &[], None),
        (
            format!("data = {data:?}\nstrict = 1\ndata = 6\n"),
            &[],
            None,
        ),
    ] {
        std::fs::write(file, &settings).unwrap();
        for command in [&["exclude", "list"][..], &["inspect"], &["verify"]] {
            let output = run(&[command, &["--config", file], words].concat());
            let said = text(&output.stderr);
            match warning {
                Some(warning) => {
                    assert!(output.status.success(), "{settings} {command:?}: {said}");
                    assert!(
                        said.contains(&format!("warning: {file}{warning}")),
                        "{settings}: {said}"
                    );
                }
                None => assert_eq!(
                    output.status.code(),
                    Some(2),
                    "{settings} {command:?}: {said}"
                ),
            }
        }
    }
    // The list of a server that may run is not looked for elsewhere, and what is indexed is no guess.
    for (settings, words) in [
        (
            format!("data = {data:?}\noperater = \"127.0.0.1:1\"\n"),
            &["exclude", "list"][..],
        ),
        (
            format!("data = {data:?}\nnonsense = 1\n"),
            &["ingest", events],
        ),
    ] {
        std::fs::write(file, &settings).unwrap();
        let output = run(&[words, &["--config", file]].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_printed_template_is_a_file_without_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orrery.toml");
    let printed = run(&["config", "--template"]);
    assert!(printed.status.success());
    std::fs::write(&file, &printed.stdout).unwrap();
    let file = file.to_str().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let checked = run(&[
        "config",
        "--check",
        "--config",
        file,
        "--data",
        data,
        "--jetstream",
        "us-east-1",
    ]);
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}

#[test]
fn an_address_of_the_directory_of_dids_is_refused_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = ["--data", data.to_str().unwrap(), "--jetstream", "us-east-1"];
    for (plc, shown, wrong) in [
        (
            "https://u:SECRET1@plc.example/?k=SECRET2",
            "https://(hidden)@plc.example/?(hidden)",
            "it has a user name",
        ),
        (
            "https://plc.example/token/SECRET1?k=SECRET2",
            "https://plc.example/token/(hidden)?(hidden)",
            "it has a query or fragment",
        ),
    ] {
        for words in [
            &["config"][..],
            &["config", "--check"],
            &["config", "--check", "--json"],
            &["doctor", "--offline"],
            &["doctor", "--offline", "--json"],
            &["serve", "--bind", "127.0.0.1:0"],
        ] {
            let mut command = orrery();
            let command = command.args(words).args(settings).args(["--plc", plc]);
            let output = command.output().unwrap();
            let told = text(&output.stdout) + &text(&output.stderr);
            assert!(told.contains(shown), "{words:?}: {told}");
            assert!(!told.contains("SECRET"), "{words:?}: {told}");
            if words != ["config"] {
                assert!(told.contains(wrong), "{words:?}: {told}");
                assert_ne!(output.status.code(), Some(0), "{words:?}");
            }
        }
    }
}
