//! What the tests of the program share: running it, asking it, and asking an index directory directly.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]
pub mod directory;
pub mod hosts;
pub mod jetstream;

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use orrery_engine::{Options, Snapshot, Store};
use orrery_links::Extractor;
use orrery_query::{Filter, Paging, Queries};
use serde_json::Value;

/// The program, with no settings from the environment.
pub fn orrery() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ORRERY_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// A directory of the shared test data, where it is there; says so where it is not.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ORRERY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("skipped: {} is not there", found.display());
    None
}

/// Runs `orrery ingest --json` with these arguments and gives its summary.
pub fn ingest(data: &Path, arguments: &[&str]) -> Value {
    let output = orrery()
        .args(["ingest", "--json", "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    last_line(&output)
}

/// The last line of standard output as JSON.
pub fn last_line(output: &Output) -> Value {
    let text = text(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap()).expect(&text)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `orrery` that answers HTTP. Killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts `orrery serve` with these arguments on a free port, its standard error going to `log`, and
    /// waits until it says where it answers.
    pub fn start(arguments: &[&str], log: &Path) -> Self {
        Self::start_by(orrery(), arguments, log)
    }

    /// As [`start`](Self::start), by a command that takes the program's arguments.
    pub fn start_by(mut command: Command, arguments: &[&str], log: &Path) -> Self {
        let mut child = command
            .args(arguments)
            .args(["--bind", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let address = said
                .split_once("answers on ")
                .and_then(|(_, url)| url.split_once("://")?.1.split_once(','))
                .map(|(address, _)| address.parse().unwrap());
            if let Some(address) = address {
                return Self { child, address };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended: {status}: {said}");
            }
            assert!(Instant::now() < deadline, "no answer within 30 s: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Status, head and body of `GET path`, as JSON.
    pub fn get(&self, path: &str) -> Option<(u16, String, String)> {
        self.get_as(path, "application/json")
    }

    /// Status, head and body of `GET path`, in a form that is accepted.
    pub fn get_as(&self, path: &str, accept: &str) -> Option<(u16, String, String)> {
        let mut socket = TcpStream::connect(self.address).ok()?;
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .ok()?;
        write!(
            socket,
            "GET {path} HTTP/1.0\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head.to_owned(), body.to_owned()))
    }

    /// Sends a signal and waits for the end; whether it was in good order.
    pub fn stop(&mut self, signal: rustix::process::Signal) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every target and source (collection, path) in lines of events, with how often it occurs, most first.
pub fn targets<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String, String, u64)> {
    let mut extractor = Extractor::default();
    let mut counts: HashMap<(String, String, String), u64> = HashMap::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        let commit = &event["commit"];
        let Some(record) = commit.get("record") else {
            continue;
        };
        let text = record.to_string();
        for link in extractor.extract_json(text.as_bytes()).unwrap().links() {
            let collection = commit["collection"].as_str().unwrap();
            let key = (
                link.target.to_owned(),
                collection.to_owned(),
                link.path.to_owned(),
            );
            *counts.entry(key).or_default() += 1;
        }
    }
    let mut all: Vec<_> = counts
        .into_iter()
        .map(|((target, collection, path), count)| (target, collection, path, count))
        .collect();
    all.sort_by(|a, b| (b.3, &a.0, &a.1, &a.2).cmp(&(a.3, &b.0, &b.1, &b.2)));
    all
}

/// The answers of a snapshot: `/links/all` for every target, and every page of the hottest lists.
pub fn answers(
    snapshot: &Snapshot,
    targets: &[(String, String, String, u64)],
    hottest: usize,
) -> BTreeMap<String, String> {
    let queries = Queries::new(0);
    let mut answers = BTreeMap::new();
    for (target, ..) in targets {
        if !answers.contains_key(target) {
            let all = queries.all(snapshot, target).unwrap();
            answers.insert(target.clone(), format!("{all:?}"));
        }
    }
    for (target, collection, path, _) in targets.iter().take(hottest) {
        let filter = Filter::new(target, collection, path);
        let mut paging = Paging {
            limit: 7,
            ..Paging::default()
        };
        let mut pages = String::new();
        loop {
            let page = queries.records(snapshot, &filter, &paging).unwrap();
            pages += &format!("{} {:?}\n", page.total, page.items);
            paging.cursor = page.cursor;
            if paging.cursor.is_none() {
                break;
            }
        }
        answers.insert(format!("{target} {collection}:{path}"), pages);
    }
    answers
}

/// Opens a directory that no process has open, and asks it.
pub fn answers_of(
    data: &Path,
    targets: &[(String, String, String, u64)],
) -> BTreeMap<String, String> {
    let store = Store::open(data, Options::default()).unwrap();
    answers(&store.snapshot(), targets, 100)
}

/// Fails with the first answer that differs, rather than with two whole maps.
pub fn assert_same(what: &str, wanted: &BTreeMap<String, String>, got: &BTreeMap<String, String>) {
    assert_eq!(wanted.len(), got.len(), "{what}");
    for (key, answer) in wanted {
        assert_eq!(got.get(key), Some(answer), "{what}: {key}");
    }
}

/// Synthetic events, one a line.
pub fn synthetic(seed: u64, events: u64) -> String {
    let mut generator =
        orrery_synth::Generator::new(orrery_synth::Options::finite(seed, events)).unwrap();
    let mut text = String::new();
    let mut line = Vec::new();
    while generator.next_into(&mut line).is_some() {
        text += std::str::from_utf8(&line).unwrap();
        text.push('\n');
    }
    text
}
