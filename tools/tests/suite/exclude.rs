//! Takedowns: of a running server by the operator's address, and of a stopped directory. They hold from the next answer on,
//! over restarts, and leave no trace when they are taken back.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::jetstream::{Jetstream, Subscriber};
use crate::common::{Server, ingest, orrery, text};
use rustix::process::Signal;
use serde_json::{Value, json};

const A: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const SUBJECT: &str = "did:plc:cccccccccccccccccccccccc";
const LINK: &str = "https://example.org/page";
const TOKEN: &str = "0123456789abcdef-of-the-test";

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Runs `orrery exclude` and gives its exit code, standard output and standard error.
fn exclude(arguments: &[&str]) -> (i32, String, String) {
    let output = orrery().arg("exclude").args(arguments).output().unwrap();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let (code, out, error) = exclude(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

fn like(subject: &str) -> Value {
    json!({"subject": subject, "via": LINK})
}

/// What the server answers to everybody.
struct Answers<'s>(&'s Server);

impl Answers<'_> {
    fn json(&self, path: &str) -> Value {
        let (status, head, body) = self.0.get(path).unwrap();
        assert_eq!(status, 200, "{path}: {head}{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn status(&self, path: &str) -> u16 {
        self.0.get(path).unwrap().0
    }

    fn count(&self, target: &str, path: &str) -> u64 {
        let of = format!("target={target}&collection=com.ex.like&path={path}");
        let total = self.json(&format!("/links/count?{of}"))["total"]
            .as_u64()
            .unwrap();
        let list = self.json(&format!("/links?{of}"));
        assert_eq!(
            list["linking_records"].as_array().unwrap().len() as u64,
            total
        );
        assert_eq!(list["total"].as_u64(), Some(total));
        let distinct = self.json(&format!("/links/count/distinct-dids?{of}"));
        assert!(distinct["total"].as_u64().unwrap() <= total);
        let all = self.json(&format!("/links/all/count?target={target}"));
        let told = &all["links"]["com.ex.like"][path];
        assert_eq!(told.as_u64().unwrap_or(0), total, "{all}");
        total
    }

    fn record(&self, did: &str, rkey: &str) -> u16 {
        let path = "/xrpc/com.atproto.repo.getRecord";
        self.status(&format!(
            "{path}?repo={did}&collection=com.ex.like&rkey={rkey}"
        ))
    }

    /// The accounts whose records are samples.
    fn samples(&self) -> Vec<String> {
        let found = self.json("/records?collection=com.ex.like");
        let mut dids: Vec<String> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["did"].as_str().unwrap().to_owned())
            .collect();
        dids.sort_unstable();
        dids.dedup();
        dids
    }

    /// Waits until so many records link to the subject. While events come, two answers need not agree.
    fn wait_for(&self, total: u64) {
        let path = format!("/links/count?target={SUBJECT}&collection=com.ex.like&path=.subject");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.json(&path)["total"].as_u64();
            if found == Some(total) {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?} of {total}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(jetstream: Option<&str>, data: &Path, operator: &str, token: &Path, log: &Path) -> Server {
    let mut arguments = vec![
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--operator",
        operator,
    ];
    arguments.extend([
        "--operator-token-file",
        token.to_str().unwrap(),
        "--no-fetch",
    ]);
    arguments.extend(jetstream.iter().flat_map(|url| ["--jetstream", *url]));
    Server::start(&arguments, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takedown_holds_at_once_everywhere_and_leaves_no_trace_when_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log, token) = (
        dir.path().join("data"),
        dir.path().join("log"),
        dir.path().join("token"),
    );
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let operator = free().to_string();
    let jetstream = Jetstream::start().await;
    let url = jetstream.url();
    let mut server = serve(Some(&url), &data, &operator, &token, &log);
    let mut live = Subscriber::open(server.address, "?instant=true").await;
    jetstream.commit(A, "3a", "create", Some(like(SUBJECT)));
    jetstream.commit(A, "3b", "create", Some(like(SUBJECT)));
    jetstream.commit(B, "3a", "create", Some(like(SUBJECT)));
    Answers(&server).wait_for(3);
    for _ in 0..6 {
        live.next().await;
    }
    let token = token.to_str().unwrap();
    let on_server = ["--operator", &operator, "--operator-token-file", token];
    let run = |words: &[&str]| done(&[words, &on_server[..]].concat());
    assert_eq!(Answers(&server).samples(), [A, B]);
    assert_eq!(Answers(&server).record(A, "3a"), 200);

    assert_eq!(
        run(&["add", A, "--reason", "asked"]),
        format!("account {A}: all that it wrote\n1 added, 0 there already\n")
    );
    let answers = Answers(&server);
    assert_eq!(answers.count(SUBJECT, ".subject"), 1);
    assert_eq!(answers.record(A, "3a"), 400);
    assert_eq!(answers.record(B, "3a"), 200);
    assert_eq!(answers.samples(), [B]);
    // What comes meanwhile is not shown, whatever the network says of the account.
    jetstream.account(A, false, Some("suspended"));
    jetstream.account(A, true, None);
    jetstream.commit(A, "3c", "create", Some(like(SUBJECT)));
    jetstream.commit(A, "3a", "delete", None);
    jetstream.commit(B, "3b", "create", Some(like(SUBJECT)));
    Answers(&server).wait_for(2);
    let told: Value = serde_json::from_str(&live.next().await).unwrap();
    let record = told["link"]["source_record"].as_str().unwrap().to_owned();
    assert!(record.starts_with(&format!("at://{B}/")), "{record}");
    let mut replayed = Subscriber::open(server.address, "?instant=true&cursor=1").await;
    for _ in 0..4 {
        let told = replayed.next().await;
        assert!(!told.contains(A), "{told}");
    }

    // A target: questions about it find nothing, and nobody is told that it is linked to.
    assert_eq!(Answers(&server).count(LINK, ".via"), 2);
    let post = format!("at://{B}/com.ex.like/3a");
    assert_eq!(
        run(&["add", LINK, &post]),
        format!(
            "target {LINK}: links to it\nrecord {post}: the record, and links to it\n2 added, 0 there already\n"
        )
    );
    let answers = Answers(&server);
    assert_eq!(answers.count(LINK, ".via"), 0);
    assert_eq!(answers.record(B, "3a"), 400);
    assert_eq!(answers.record(B, "3b"), 200);
    assert_eq!(answers.samples(), [""; 0], "all link to it");
    let many = format!(
        "/xrpc/blue.microcosm.links.getManyToManyCounts?subject={SUBJECT}&source=com.ex.like:subject&pathToOther=via"
    );
    assert_eq!(answers.json(&many)["counts_by_other_subject"], json!([]));
    let mut replayed = Subscriber::open(server.address, "?instant=true&cursor=1").await;
    let told: Value = serde_json::from_str(&replayed.next().await).unwrap();
    assert_eq!(told["link"]["subject"], SUBJECT);

    // It is kept over a kill, and told by the stopped directory.
    server.stop(Signal::KILL);
    drop(server);
    let listed = done(&["list", "--json", "--data", data.to_str().unwrap()]);
    let entries: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), 3);
    assert_eq!(
        (&entries[0]["kind"], &entries[0]["reason"]),
        (&json!("account"), &json!("asked"))
    );
    let server = serve(Some(&url), &data, &operator, Path::new(token), &log);
    Answers(&server).wait_for(2);
    assert_eq!(Answers(&server).count(LINK, ".via"), 0);

    run(&["remove", A, LINK, &post]);
    let answers = Answers(&server);
    assert_eq!(
        answers.count(SUBJECT, ".subject"),
        4,
        "3b, 3c of A; 3a, 3b of B"
    );
    assert_eq!(answers.count(LINK, ".via"), 4);
    assert_eq!(answers.record(A, "3a"), 400, "deleted meanwhile");
    assert_eq!(answers.record(A, "3c"), 200);
    assert_eq!(answers.samples(), [A, B]);
    assert_eq!(run(&["list"]), "");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_stopped_directory_and_a_server_without_a_source_have_lists_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let events = dir.path().join("events.jsonl");
    let line = |did: &str, n: u64| {
        json!({
            "did": did, "time_us": 1_793_491_200_000_000 + n * 1000, "kind": "commit",
            "commit": {
                "rev": crate::common::jetstream::tid(n), "operation": "create", "collection": "com.ex.like",
                "rkey": "self", "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a", "record": like(SUBJECT),
            },
        })
        .to_string()
            + "\n"
    };
    std::fs::write(&events, line(A, 1) + &line(B, 2)).unwrap();
    ingest(&data, &[events.to_str().unwrap()]);
    let path = data.to_str().unwrap();
    let file = dir.path().join("list");
    std::fs::write(
        &file,
        format!("# of last week\n{A} court order 12\n\n{LINK}\n"),
    )
    .unwrap();
    let import = done(&["import", file.to_str().unwrap(), "--data", path, "--json"]);
    let import: Value = serde_json::from_str(&import).unwrap();
    assert_eq!(
        import,
        json!({"changed": 2, "unchanged": 0, "pending": 0, "accounts": 1, "records": 0, "targets": 1})
    );
    let listed = done(&["list", "--data", path]);
    assert!(
        listed.contains("court order 12") && listed.lines().count() == 2,
        "{listed}"
    );

    // Without a source nobody else writes.
    let (operator, log) = (free().to_string(), dir.path().join("log"));
    let metrics = free().to_string();
    let arguments = [
        &["serve", "--data", path, "--operator"][..],
        &[&operator, "--metrics", &metrics],
    ];
    let server = Server::start(&arguments.concat(), &log);
    // What is not the operator's address never says that something was done.
    for other in [&metrics, &server.address.to_string()] {
        for action in [&["add", B][..], &["remove", B], &["list"]] {
            let (code, out, error) = exclude(&[action, &["--operator", other]].concat());
            assert_eq!((code, out.as_str()), (1, ""), "{action:?} {other}");
            assert!(error.contains("--operator"), "{action:?} {other}: {error}");
        }
    }
    assert_eq!(Answers(&server).count(SUBJECT, ".subject"), 1);
    let (code, _, error) = exclude(&["add", B, "--data", path]);
    assert_eq!(code, 2);
    assert!(
        error.contains("in use") && error.contains("--operator"),
        "{error}"
    );
    done(&["add", B, "--data", path, "--operator", &operator]);
    assert_eq!(Answers(&server).count(SUBJECT, ".subject"), 0);
    // The configuration of the server says where it is, unless a directory is named.
    let settings = dir.path().join("orrery.toml");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(
        &settings,
        format!("data = {path:?}\noperator = {operator:?}\n"),
    )
    .unwrap();
    let (settings, elsewhere) = (settings.to_str().unwrap(), elsewhere.to_str().unwrap());
    assert_eq!(done(&["list", "--config", settings]).lines().count(), 3);
    let (_, _, error) = exclude(&["list", "--config", settings, "--data", elsewhere]);
    assert!(error.contains(elsewhere), "{error}");
    // Who names a server too means it, with the token that the file tells of.
    let with_token = dir.path().join("token.toml");
    std::fs::write(&with_token, "operator-token-file = \"/nowhere/token\"\n").unwrap();
    let with_token = with_token.to_str().unwrap();
    let named = [
        "--config",
        with_token,
        "--data",
        elsewhere,
        "--operator",
        &operator,
    ];
    let (code, _, error) = exclude(&[&["list"][..], &named].concat());
    assert!(
        code == 2 && error.contains("/nowhere/token"),
        "{code} {error}"
    );
    done(&["remove", A, B, LINK, "--config", settings]);
    assert_eq!(Answers(&server).count(SUBJECT, ".subject"), 2);
    drop(server);
    // Nothing listens there any more, so that the directory is meant.
    done(&["add", A, "--data", path, "--operator", &operator]);
    assert_eq!(done(&["list", "--data", path]).lines().count(), 1);
}

#[test]
fn removing_an_account_that_only_an_older_list_named_says_that_it_is_shown_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let events = dir.path().join("events.jsonl");
    let line = json!({
        "did": A, "time_us": 1_793_491_200_000_000_u64, "kind": "commit",
        "commit": {
            "rev": crate::common::jetstream::tid(1), "operation": "create", "collection": "com.ex.like",
            "rkey": "self", "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a", "record": like(SUBJECT),
        },
    });
    std::fs::write(&events, format!("{line}\n")).unwrap();
    ingest(&data, &[events.to_str().unwrap()]);
    let path = data.to_str().unwrap();
    let forget = || {
        done(&["add", A, "--data", path]);
        // As where an older copy of the file is put there.
        std::fs::remove_file(data.join("EXCLUSIONS")).unwrap();
    };
    forget();
    let out = done(&["remove", A, B, "--data", path]);
    let last: Vec<&str> = out.lines().rev().take(2).collect();
    assert_eq!(last[1], "0 removed, 2 not there", "{out}");
    assert!(
        last[0].starts_with("1 account that the list did not name was hidden")
            && last[0].ends_with("is shown again"),
        "{out}"
    );
    let (code, out, error) = exclude(&["remove", A, "--data", path]);
    assert!(out.ends_with("0 removed, 1 not there\n"), "{out}");
    assert!(
        out.starts_with(&format!("account {A}: not on the list")),
        "{out}"
    );
    assert!(
        code == 0 && error.contains(&format!("nothing was removed: {A} is not on the list")),
        "{code} {error}"
    );
    forget();
    let out = done(&["remove", A, "--data", path, "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["unchanged"], &told["shown"]), (&json!(1), &json!(1)));
    // The operator's address tells the same.
    forget();
    let (operator, log) = (free().to_string(), dir.path().join("log"));
    let arguments = ["serve", "--data", path, "--operator", &operator];
    let server = Server::start(&arguments, &log);
    assert_eq!(Answers(&server).count(SUBJECT, ".subject"), 0);
    let out = done(&["remove", A, "--operator", &operator]);
    assert!(out.contains("is shown again"), "{out}");
    assert_eq!(Answers(&server).count(SUBJECT, ".subject"), 1);
}

#[test]
fn what_cannot_be_excluded_is_refused_with_the_way_to_do_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap().to_owned();
    let refused = |arguments: &[&str], code: i32, says: &str| {
        let (found, _, error) = exclude(arguments);
        assert_eq!(found, code, "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    };
    refused(
        &["add", "alice.example.org", "--data", &data],
        2,
        "resolveHandle",
    );
    refused(&["add", "did:plc:", "--data", &data], 2, "no DID");
    refused(&["add", "--data", &data], 2, "name a DID");
    refused(&["add", A], 2, "--operator");
    refused(&["add", A, "--data", "~/orrery"], 2, "read by a shell");
    refused(&["list", A, "--data", &data], 2, "no further words");
    refused(
        &["add", A, "--data", "/nowhere/at/all"],
        1,
        "no data directory",
    );
    refused(&["add", A, "--operator", "127.0.0.1:1"], 1, "127.0.0.1:1");
    let file = dir.path().join("list");
    std::fs::write(&file, format!("{A}\nbob.example.org\n")).unwrap();
    let file = file.to_str().unwrap();
    refused(
        &["import", file, "--data", &data],
        2,
        "line 2: bob.example.org is a handle",
    );
    refused(&["import", "/nowhere", "--data", &data], 2, "/nowhere");
    let output = orrery()
        .args(["serve", "--data", &data, "--jetstream", "ws://127.0.0.1:1"])
        .args(["--bind", "127.0.0.1:0", "--operator", "0.0.0.0:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("operator-token-file"));
    // What no account can have may be meant as it stands, but hardly is.
    for (did, is_told) in [("did:plc:xyz", true), (A, false)] {
        let output = orrery()
            .args(["exclude", "add", did, "--data", &data])
            .output()
            .unwrap();
        assert_eq!(
            text(&output.stderr).contains("no account has it"),
            is_told,
            "{did}"
        );
    }
}
