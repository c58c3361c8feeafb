//! The file against the command line: all that one says, the other says too.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use super::*;
use crate::cli;

mod mistakes;

/// The settings of `orrery config` with these words, variables and file.
fn settings(words: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Settings {
    let dir = tempfile::tempdir().unwrap();
    let path = file.map(|text| {
        let path = dir.path().join("orrery.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let words = [&["orrery", "config"], words].concat();
    let matches = cli::commands().try_get_matches_from(words).unwrap();
    let (_, matched) = matches.subcommand().unwrap();
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &OsStr| variables.get(name.to_str()?).map(OsString::from);
    Settings::of(matched, path.as_deref(), variable, true)
}

/// What `serve` is told by them, in a comparable form.
fn told(settings: &Settings) -> String {
    let mut words = settings.words();
    if !settings.is_set("data") {
        words.push("--data=d".into());
    }
    format!("{:?}", cli::serve_arguments(words).unwrap())
}

fn of_file(text: &str) -> Settings {
    let settings = settings(&[], &[], Some(text));
    assert_eq!(settings.mistakes, [], "{text}");
    settings
}

/// The lines of the template that set something, without their `#`.
fn uncommented() -> Vec<String> {
    let names: Vec<String> = keys().into_iter().map(|key| key.name).collect();
    let text = template();
    let lines = text.lines().filter_map(|line| {
        let line = line.strip_prefix('#')?;
        let name = line.split_once(" = ")?.0;
        names
            .iter()
            .any(|known| known == name)
            .then(|| line.to_owned())
    });
    lines.collect()
}

#[test]
fn every_option_of_serve_is_a_key_and_stands_in_the_template_with_its_help_and_variable() {
    let commands = cli::commands();
    let serve = commands.find_subcommand("serve").unwrap();
    let text = template();
    let words = |text: &str| -> String {
        text.replace('#', " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let said = words(&text);
    let mut options = 0;
    for option in serve.get_arguments() {
        let long = option.get_long().unwrap();
        if matches!(long, "help" | "version" | "config") {
            continue;
        }
        options += 1;
        let line = format!("#{long} = ");
        let count = text.lines().filter(|text| text.starts_with(&line)).count();
        assert_eq!(count, 1, "{long}");
        let help = option
            .get_long_help()
            .or_else(|| option.get_help())
            .unwrap();
        assert!(said.contains(&words(&help.to_string())), "{long}");
        let variable = option.get_env().unwrap().to_str().unwrap();
        assert!(said.contains(&format!("Variable {variable}. ")), "{long}");
    }
    let global = commands
        .get_arguments()
        .filter(|option| option.is_global_set());
    assert_eq!(keys().len(), options + global.count());
    assert!(
        text.lines()
            .all(|line| line.is_empty() || line.starts_with('#')),
        "{text}"
    );
}

#[test]
fn the_template_says_nothing_and_uncommented_it_says_the_defaults() {
    let plain = told(&settings(&[], &[], None));
    assert_eq!(told(&of_file(&template())), plain);
    let lines = uncommented();
    assert_eq!(lines.len(), keys().len());
    let has_default = |line: &&String| {
        keys()
            .iter()
            .any(|key| line.starts_with(&format!("{} = ", key.name)) && key.defaults().is_some())
    };
    let defaults: Vec<String> = lines.iter().filter(has_default).cloned().collect();
    assert!(defaults.len() > 10, "{defaults:?}");
    assert_eq!(told(&of_file(&defaults.join("\n"))), plain);
    // With the examples it can all be read too.
    let all = of_file(&lines.join("\n"));
    assert!(
        all.all
            .iter()
            .all(|setting| matches!(setting.source, Source::File { .. }))
    );
}

#[test]
fn the_file_of_the_readme_says_what_it_seems_to() {
    let (_, readme) = include_str!("../../../README.md")
        .split_once("```toml\n")
        .unwrap();
    let (file, _) = readme.split_once("```").unwrap();
    let read = of_file(file);
    assert!(file.lines().count() >= 5);
    for (place, line) in (1..).zip(file.lines()) {
        let (key, _) = line.split_once(" = ").unwrap();
        let source = Source::File {
            line: place,
            column: 1,
        };
        assert_eq!(read.get(key).unwrap().source, source, "{line}");
    }
}

#[test]
fn each_key_in_a_file_says_what_its_option_and_its_variable_say() {
    let plain = told(&settings(&[], &[], None));
    for key in keys() {
        let name = key.name.as_str();
        let value = match key.is_switch() {
            true => "true",
            false => key.example(),
        };
        assert!(!value.is_empty(), "EXAMPLES has no value for {name}");
        let text = format!("{name} = {}", key.written(&[value.into()]));
        let by_file = of_file(&text);
        let setting = by_file.get(name).unwrap();
        assert_eq!(setting.source, Source::File { line: 1, column: 1 });
        assert_eq!(setting.values, [value], "{text}");
        let word = match key.is_switch() {
            true => format!("--{name}"),
            false => format!("--{name}={value}"),
        };
        let by_option = settings(&[&word], &[], None);
        let by_variable = settings(&[], &[(key.variable().unwrap(), value)], None);
        assert_eq!(by_option.get(name).unwrap().source, Source::Flag);
        assert_eq!(by_variable.get(name).unwrap().source, Source::Variable);
        assert_eq!(by_option.words(), by_file.words(), "{text}");
        assert_eq!(by_variable.words(), by_file.words(), "{text}");
        // That of all commands is not among the arguments of this one.
        if name != "log" {
            assert_ne!(told(&by_file), plain, "{text}");
        }
        assert_eq!(told(&by_option), told(&by_file), "{text}");
        assert_eq!(told(&by_variable), told(&by_file), "{text}");
    }
}

#[test]
fn options_come_before_variables_and_variables_before_the_file() {
    let file = "bind = \"127.0.0.1:3\"\nstrict = true\nexclude = [\"a.b.c\", \"a.b.d\"]\n";
    let (option, variable) = (["--bind", "127.0.0.1:1"], [("ORRERY_BIND", "127.0.0.1:2")]);
    for (words, variables, file, source, value) in [
        (
            &option[..],
            &variable[..],
            Some(file),
            Source::Flag,
            "127.0.0.1:1",
        ),
        (&[], &variable, Some(file), Source::Variable, "127.0.0.1:2"),
        (
            &[],
            &[],
            Some(file),
            Source::File { line: 1, column: 1 },
            "127.0.0.1:3",
        ),
        (&[], &[], None, Source::Default, "127.0.0.1:6789"),
    ] {
        let settings = settings(words, variables, file);
        let bind = settings.get("bind").unwrap();
        assert_eq!(
            (&bind.source, &bind.values[..]),
            (&source, &[value.into()][..])
        );
        assert!(
            told(&settings).contains(&format!("bind: {value}")),
            "{value}"
        );
    }
    // A switch can be turned off again, and a list counts as a whole.
    let said = told(&settings(
        &["--exclude", "x.y.z"],
        &[("ORRERY_STRICT", "off")],
        Some(file),
    ));
    assert!(
        said.contains("strict: false") && said.contains("exclude: [\"x.y.z\"]"),
        "{said}"
    );
    let said = told(&settings(&[], &[], Some(file)));
    assert!(said.contains("strict: true"), "{said}");
    assert!(said.contains("exclude: [\"a.b.c\", \"a.b.d\"]"), "{said}");
}

#[test]
fn values_are_written_as_toml_has_them() {
    for (text, said) in [
        ("disk-limit = 1_073_741_824", "disk_limit: Some(1073741824)"),
        ("disk-limit = '1 GiB'", "disk_limit: Some(1073741824)"),
        ("subscribers-max = 0x10", "subscribers_max: 16"),
        ("compact-share = 1", "compact_share: 1.0"),
        ("rate-limit = 2.5", "rate_limit: Some((2.5, 5))"),
        (
            "jetstream = [\"us-east-1\"]",
            "jetstream: Some(\"us-east-1\")",
        ),
        (
            "collections = \"a.b.c,a.b.d\"",
            "collections: [\"a.b.c\", \"a.b.d\"]",
        ),
        (
            "collections = [\n  \"a.b.c\", # one\n]",
            "collections: [\"a.b.c\"]",
        ),
        ("collections = []", "collections: []"),
        ("no-mmap = false", "no_mmap: false"),
        ("\u{feff}data = \"ü\"", "data: \"ü\""),
    ] {
        let told = told(&of_file(text));
        assert!(told.contains(said), "{text}: {told}");
    }
}

#[test]
fn the_values_in_effect_are_a_file_that_says_the_same() {
    let words = [
        "--bind",
        "[::1]:1",
        "--strict",
        "--collections",
        "a.b.c,a.b.d",
    ];
    let variables = [
        ("ORRERY_DISK_LIMIT", "3GiB"),
        ("ORRERY_CONTACT", "a@b.example"),
    ];
    let settings = settings(
        &words,
        &variables,
        Some("data = \"a\\\"b\"\nlog-age = \"1h\"\n"),
    );
    let text = as_text(&settings);
    let line = |begins: &str| text.lines().find(|line| line.starts_with(begins)).unwrap();
    assert_eq!(line("bind"), "bind = \"[::1]:1\"  # option --bind");
    assert_eq!(
        line("disk-limit"),
        "disk-limit = \"3GiB\"  # variable ORRERY_DISK_LIMIT"
    );
    assert!(line("log-age").ends_with("orrery.toml:2"), "{text}");
    assert_eq!(line("disk-reserve"), "disk-reserve = \"256MiB\"  # default");
    assert_eq!(line("# metrics"), "# metrics is not set: off");
    assert_eq!(told(&of_file(&text)), told(&settings));

    let values = as_json(&settings);
    let value = |key: &str| {
        let all = values["values"].as_array().unwrap();
        all.iter()
            .find(|value| value["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(value("data")["value"], "a\"b");
    assert_eq!(
        (&value("data")["source"], &value("data")["line"]),
        (&"file".into(), &1.into())
    );
    assert_eq!(value("strict")["value"], true);
    assert_eq!(value("subscribers-max")["value"], 10_000);
    assert_eq!(
        value("collections")["value"],
        serde_json::json!(["a.b.c", "a.b.d"])
    );
    assert!(value("metrics")["value"].is_null());
}

#[test]
fn secrets_are_not_shown() {
    let settings = settings(
        &[
            "--plc",
            "https://me:secret@plc.example/x",
            "--jetstream",
            "wss://jetstream.example/subscribe?key=secret",
        ],
        &[],
        None,
    );
    for shown in [as_text(&settings), as_json(&settings).to_string()] {
        assert!(!shown.contains("secret"), "{shown}");
        for rest in [
            "@plc.example/x\"",
            "\"wss://jetstream.example/subscribe?(hidden)\"",
        ] {
            assert!(shown.contains(rest), "{rest}: {shown}");
        }
    }
    for source in [
        "https://me:secret@jetstream.example/",
        "wss://me:secret@jetstream.example/",
        "wss://jetstream.example/?key=secret&cursor=1",
        "me:secret@jetstream.example?key=secret",
    ] {
        let (_, mistakes) = check::all(&self::settings(&["--jetstream", source], &[], None));
        let told: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
        let told = told.join("\n");
        assert!(
            told.contains("(hidden)") && !told.contains("secret"),
            "{source}: {told}"
        );
    }
    let mut key = keys().remove(0);
    assert!(!key.is_secret());
    key.name = "operator-token".to_owned();
    assert!(key.is_secret());
    let hidden = Settings {
        all: vec![Setting {
            key,
            source: Source::Flag,
            values: vec!["hunter2".into()],
        }],
        ..Settings::default()
    };
    for shown in [as_text(&hidden), as_json(&hidden).to_string()] {
        assert!(
            !shown.contains("hunter2") && shown.contains("(hidden)"),
            "{shown}"
        );
    }
}
