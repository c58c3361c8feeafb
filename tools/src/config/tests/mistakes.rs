//! What is wrong with a file, with single values, and with all of them together.

use std::path::PathBuf;

use orrery_engine::{Options, Store};

use super::*;

#[test]
fn each_mistake_has_its_place_and_says_what_would_be_right() {
    let text = "\
disk_limit = \"2GiB\"
colections = [\"app.bsky.*\"]
strict = \"yes\"
  disk-reserve = \"much\"
lag-limit = 5
bind = \"localhost\"
subscribers-max = 0
trusted-proxy = [\"127.0.0.1\", \"nowhere\"]
no-fetch = true
[http]
metrics = \"127.0.0.1:1\"
";
    let found = settings(
        &[],
        &[("ORRERY_PLC", ""), ("ORRERY_NO_MMAP", "maybe")],
        Some(text),
    );
    let told: Vec<String> = found
        .mistakes
        .iter()
        .map(|mistake| match &mistake.place {
            Place::File { line, column, .. } => format!(
                "{line}:{column} {} | {} | {}",
                mistake.key.as_deref().unwrap(),
                mistake.wrong,
                mistake.right
            ),
            other => format!("{other:?} {} | {}", mistake.wrong, mistake.right),
        })
        .collect();
    let wanted = [
        (
            "1:1 disk_limit | there is no such key",
            "did you mean disk-limit?",
        ),
        (
            "2:1 colections | there is no such key",
            "did you mean collections?",
        ),
        (
            "3:10 strict | it is a text, and true or false is wanted",
            "strict = false",
        ),
        ("4:18 disk-reserve | \"much\" is no size", "2GiB"),
        (
            "5:13 lag-limit | it is a whole number",
            "lag-limit = \"60s\"",
        ),
        ("6:8 bind | \"localhost\": ", "127.0.0.1:6789"),
        (
            "7:19 subscribers-max | 0 is not in 1..=1000000",
            "subscribers-max = 10000",
        ),
        (
            "8:31 trusted-proxy | nowhere is no address",
            "trusted-proxy = [\"192.0.2.",
        ),
        ("10:2 http | there are no tables here", "[table]"),
        (
            "Variable(\"ORRERY_PLC\") it is empty",
            "plc = \"https://plc.directory\"",
        ),
        ("Variable(\"ORRERY_NO_MMAP\") \"maybe\"", "no-mmap = false"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (told, (begins, holds)) in told.iter().zip(wanted) {
        assert!(
            told.starts_with(begins) && told.contains(holds),
            "{told}: {begins} {holds}"
        );
    }
    // What could be read counts, and what could not has its default.
    assert_eq!(found.words(), ["--no-fetch"]);
}

#[test]
fn a_file_that_is_no_toml_is_told_line_by_line() {
    let text = "bind = 127.0.0.1:6789\ndata = \"d\"\nstrict = true true\ndata = \"e\"\nno-fetch = true\nlag-limit = \"60s\n";
    let found = settings(&[], &[], Some(text));
    let mut lines: Vec<usize> = found
        .mistakes
        .iter()
        .map(|mistake| match mistake.place {
            Place::File { line, .. } => line,
            _ => 0,
        })
        .collect();
    lines.dedup();
    assert_eq!(lines, [1, 3, 4, 6], "{:#?}", found.mistakes);
    assert!(
        found.mistakes[0]
            .right
            .contains("bind = \"127.0.0.1:6789\"")
    );
    assert_eq!(
        found.get("no-fetch").unwrap().source,
        Source::File { line: 5, column: 1 }
    );

    let read = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        file::read(&path, &keys()).mistakes
    };
    let mistakes = read(b"strict = true\nplc = \"\xff\"\n");
    assert!(matches!(
        mistakes[..],
        [Mistake {
            place: Place::File {
                line: 2,
                column: 8,
                ..
            },
            ..
        }]
    ));
    assert!(read(&vec![b'#'; (1 << 20) + 1])[0].wrong.contains("1 MiB"));
    let missing = PathBuf::from("/nowhere/orrery.toml");
    let mistakes = file::read(&missing, &keys()).mistakes;
    assert_eq!(mistakes[0].place, Place::Whole(missing));
}

/// A data directory within another one.
fn index_in(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    drop(Store::open(&data, Options::default()).unwrap());
    data
}

#[test]
fn what_makes_no_sense_together_is_a_mistake_of_the_key_that_says_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let index = index_in(dir.path());
    let data = format!("data = {index:?}\n");
    let here = "jetstream = \"us-east-1\"\n";
    for (text, key, holds) in [
        (
            format!("{data}jetstream = \"us-eats-1\""),
            "jetstream",
            "did you mean us-east-1?",
        ),
        (
            format!("{data}jetstream = \"us-east-9\""),
            "jetstream",
            "did you mean us-east-1 or us-east-2?",
        ),
        (
            format!("{data}jetstream = \"us-eats\""),
            "jetstream",
            "did you mean us-east?",
        ),
        (
            format!("{data}log = \"info,loud\""),
            "log",
            "one of off, error",
        ),
        (
            format!("{data}jetstream = \"https://a.example\""),
            "jetstream",
            "wss://",
        ),
        (
            format!("{data}jetstream = \"ws://\""),
            "jetstream",
            "wss://",
        ),
        (
            format!("{data}force-source = true"),
            "force-source",
            "jetstream",
        ),
        (
            format!("{data}{here}collections = [\"a b\"]"),
            "collections",
            "NSID",
        ),
        (
            format!("{data}{here}collections = [\"a.b.c\"]\nexclude = [\"a.b.*\"]"),
            "exclude",
            "nothing is selected",
        ),
        (
            format!("{data}metrics = \"127.0.0.1:6789\""),
            "metrics",
            "port",
        ),
        (
            format!("{data}disk-limit = \"1MiB\""),
            "disk-limit",
            "the least is",
        ),
        (
            format!("{data}disk-limit = \"1GiB\"\nlog-size = \"2GiB\""),
            "log-size",
            "1.0 GiB",
        ),
        (
            format!("{data}plc = \"ftp://x\""),
            "plc",
            "https://plc.directory",
        ),
        (format!("{here}data = {taken:?}"), "data", "no directory"),
        (
            format!("{here}data = {:?}", taken.join("x")),
            "data",
            "no directory",
        ),
        (
            format!("data = {:?}", dir.path().join("none")),
            "data",
            "--jetstream",
        ),
        (
            format!("{here}{data}tls-cert = {taken:?}"),
            "tls-cert",
            "by --tls-key",
        ),
        (
            format!("{here}{data}tls-domain = [\"links.example\"]"),
            "tls-domain",
            "agree by --tls-accept-terms",
        ),
        (
            format!("{here}{data}bind-http = \"127.0.0.1:1\""),
            "bind-http",
            "needs --tls-cert or --tls-domain",
        ),
        (
            format!("{here}{data}operator = \"0.0.0.0:8766\""),
            "operator",
            "others can reach 0.0.0.0:8766; give a token by `operator-token-file`",
        ),
        (
            format!("{here}{data}operator-token-file = {taken:?}"),
            "operator-token-file",
            "16 or more",
        ),
        ("strict = true".to_owned(), "data", "it is not set"),
    ] {
        let (_, mistakes) = check::all(&of_file(&text));
        let [mistake] = &mistakes[..] else {
            panic!("{text}: {mistakes:#?}");
        };
        assert_eq!(mistake.key.as_deref(), Some(key), "{text}");
        assert!(mistake.to_string().contains(holds), "{text}: {mistake}");
        let is_there = text.contains(&format!("{key} = "));
        assert_eq!(
            is_there,
            matches!(mistake.place, Place::File { .. }),
            "{text}"
        );
    }
    // Others beside it are told in the same run.
    let acme = "tls-domain = [\"links.example\"]\n";
    for (text, wanted) in [
        (
            format!("tls-cert = {taken:?}\ntls-contct = \"x\""),
            &["tls-cert", "tls-contct"][..],
        ),
        (
            format!("tls-cert = {taken:?}\n{acme}"),
            &["tls-cert", "tls-cert", "tls-domain"],
        ),
        (
            format!(
                "{acme}tls-cache = {:?}\ntls-directory = \"x\"\ntls-contact = \"x\"",
                index.join("in")
            ),
            &["tls-domain", "tls-cache", "tls-directory", "tls-contact"],
        ),
        (
            format!("{acme}tls-contact = \"x\"\ntls-accept-term = true"),
            &["tls-contact", "tls-accept-term"],
        ),
    ] {
        let (_, mistakes) = check::all(&settings(&[], &[], Some(&format!("{data}{here}{text}"))));
        let keys: Vec<&str> = mistakes
            .iter()
            .filter_map(|mistake| mistake.key.as_deref())
            .collect();
        assert_eq!(keys, wanted, "{text}: {mistakes:#?}");
    }
    // A path is not read by a shell: of a file, of an option and of a variable alike.
    for (text, words, variables) in [
        (format!("{here}data = \"~/orrery\""), &[][..], &[][..]),
        (format!("{here}data = \"$HOME/orrery\""), &[], &[]),
        (here.to_owned(), &["--data=~/orrery"], &[]),
        (here.to_owned(), &[], &[("ORRERY_DATA", "~/orrery")]),
    ] {
        let (_, mistakes) = check::all(&settings(words, variables, Some(&text)));
        let [mistake] = &mistakes[..] else {
            panic!("{text}: {mistakes:#?}");
        };
        let told = mistake.to_string();
        assert!(
            told.contains(
                "is read by a shell and not here; write the whole path, such as /var/lib/orrery"
            ),
            "{text}: {told}"
        );
    }
    let sound = format!("{data}{here}disk-limit = \"1GiB\"\nmetrics = \"127.0.0.1:1\"");
    let (arguments, mistakes) = check::all(&of_file(&sound));
    assert_eq!(mistakes, []);
    assert_eq!(arguments.unwrap().disk.disk_limit, Some(1 << 30));
}

#[test]
fn a_data_directory_that_a_server_refuses_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for made in ["empty", "full", "backup"] {
        std::fs::create_dir(path(made)).unwrap();
    }
    std::fs::write(path("full/notes.txt"), "").unwrap();
    std::fs::write(path("backup/BACKUP-00000001"), "").unwrap();
    std::os::unix::fs::symlink(path("nothing"), path("link")).unwrap();
    let here = "jetstream = \"us-east-1\"\n";
    for (data, source, wanted) in [
        (
            path("full"),
            here,
            "it is no data directory and holds notes.txt; name an empty or a new directory",
        ),
        (
            path("full"),
            "",
            "it holds notes.txt, and no manifest; one holds a file MANIFEST-",
        ),
        (path("backup"), here, "this is a backup"),
        (path("empty"), "", "it has no manifest; one holds"),
        (
            "/proc/x".into(),
            here,
            "cannot be made in /proc: files there are made by the system alone",
        ),
        (path("link"), here, "a link to nothing has its name"),
        (path("full/notes.txt/x/y"), here, "no directory"),
    ] {
        let (_, mistakes) = check::all(&of_file(&format!("{source}data = {data:?}")));
        let [mistake] = &mistakes[..] else {
            panic!("{data:?}: {mistakes:#?}");
        };
        let said = mistake.to_string();
        assert!(said.contains(wanted), "{said}");
        assert_eq!(
            said.matches(&format!("{}: ", data.display())).count(),
            usize::from(data.is_dir()),
            "{said}"
        );
    }
    for data in [path("empty"), path("new"), index_in(dir.path())] {
        let (_, mistakes) = check::all(&of_file(&format!("{here}data = {data:?}")));
        assert_eq!(mistakes, []);
    }
}

#[test]
fn what_only_follows_from_a_mistake_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (none, here) = (dir.path().join("none"), "jetstream = \"us-east-1\"\n");
    let index = index_in(dir.path());
    let data = format!("data = {index:?}\n");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (text, key) in [
        (
            format!("data = {none:?}\njetstream = 1\nforce-source = true"),
            "jetstream",
        ),
        // The name of a key is a mistake, and what it stands for is not known.
        (
            format!("data = {none:?}\njetsream = \"us-east-1\"\nforce-source = true"),
            "jetsream",
        ),
        (format!("{here}dta = {index:?}"), "dta"),
        (format!("{here}Data = {index:?}"), "Data"),
        // Nor is what stands in a table, or where no TOML does.
        (format!("{here}[http]\n{data}"), "http"),
        (format!("{here}data {index:?}"), ""),
        (format!("{here}data: {index:?}"), ""),
        // An address that is left out is none at its default.
        (
            format!("{data}{here}bind = \"nowhere\"\nmetrics = \"127.0.0.1:6789\""),
            "bind",
        ),
        (
            format!(
                "{data}{here}disk-limit = \"1MiB\"\nlog-size = \"2GiB\"\nsamples-limit = \"1GiB\""
            ),
            "disk-limit",
        ),
        (
            format!("{data}{here}operator = \"0.0.0.0:8766\"\noperator-token-file = 5"),
            "operator-token-file",
        ),
        (
            format!("{data}{here}tls-cert = {file:?}\ntls-key = 5"),
            "tls-key",
        ),
        (
            format!("{data}{here}tls-cert = {file:?}\ntls-ky = {file:?}"),
            "tls-ky",
        ),
        (
            format!("{data}{here}tls-domain = 5\nbind-http = \"127.0.0.1:1\""),
            "tls-domain",
        ),
        (
            format!("{data}{here}tls-domain = [\"links.example\"]\ntls-accept-terms = \"x\""),
            "tls-accept-terms",
        ),
        (
            format!("{here}data = 5\ntls-domain = [\"links.example\"]\ntls-accept-terms = true"),
            "data",
        ),
    ] {
        let (_, mistakes) = check::all(&settings(&[], &[], Some(&text)));
        let [mistake] = &mistakes[..] else {
            panic!("{text}: {mistakes:#?}");
        };
        if !key.is_empty() {
            assert_eq!(mistake.key.as_deref(), Some(key), "{text}");
        }
    }
    // What has nothing to do with it is told beside it.
    let text = format!("{data}bind = \"nowhere\"\nforce-source = true\nlog = \"loud\"");
    let (_, mistakes) = check::all(&settings(&[], &[], Some(&text)));
    let keys: Vec<&str> = mistakes
        .iter()
        .filter_map(|mistake| mistake.key.as_deref())
        .collect();
    assert_eq!(keys, ["bind", "force-source", "log"]);
}
