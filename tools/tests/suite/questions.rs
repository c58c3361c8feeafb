//! The ten questions of the API's manual, asked as they stand there of a server that has the records they are about.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::jetstream::{Jetstream, Subscriber};
use crate::common::{Server, text};
use serde_json::{Value, json};

const ALICE: &str = "did:plc:alice2222222222222222222";
const BOB: &str = "did:plc:bob222222222222222222222";
const CAROL: &str = "did:plc:carol2222222222222222222";
const HOST: &str = "127.0.0.1:6789";

struct Question {
    title: String,
    /// What the shell makes of the command.
    words: Vec<String>,
    answer: Value,
}

/// The questions of `API.md`, in their order.
fn questions() -> Vec<Question> {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../server/API.md"));
    let manual = manual.unwrap();
    let (_, manual) = manual.split_once("\n## Ten questions\n").unwrap();
    let (manual, _) = manual.split_once("\n## ").unwrap();
    let block = |part: &str, language: &str| -> String {
        let (_, rest) = part.split_once(&format!("\n```{language}\n")).unwrap();
        rest.split_once("\n```").unwrap().0.to_owned()
    };
    manual
        .split("\n### ")
        .skip(1)
        .map(|part| Question {
            title: part.lines().next().unwrap().to_owned(),
            words: words(&block(part, "sh")),
            answer: serde_json::from_str(&block(part, "json")).unwrap(),
        })
        .collect()
}

/// The commands by which the readme asks a server, one a line or two, but for those that are of the demo, which another test asks.
fn of_the_readme() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    let readme = readme.unwrap().replace("\\\n", " ");
    readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .flat_map(str::lines)
        .filter(|line| line.starts_with("curl ") || line.starts_with("websocat "))
        .filter(|line| !line.contains("did:plc:227kipb2w4zfoafwxecz4yrq"))
        .map(words)
        .collect()
}

fn words(command: &str) -> Vec<String> {
    let script = format!(
        "said() {{ printf '%s\\n' \"$@\"; }}; curl() {{ said curl \"$@\"; }}; websocat() {{ said websocat \"$@\"; }}; {command}"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        text(&output.stderr)
    );
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Sends what `curl` would with these arguments, and gives status and body.
fn curl(arguments: &[String], address: SocketAddr) -> (u16, String) {
    let (mut headers, mut url, mut body) = (String::new(), None, None);
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-H" => headers.push_str(&format!("{}\r\n", rest.next().unwrap())),
            "-d" => body = Some(rest.next().unwrap().as_str()),
            _ => assert!(url.replace(word.as_str()).is_none(), "two URLs: {word}"),
        }
    }
    let path = url
        .unwrap()
        .strip_prefix(&format!("http://{HOST}"))
        .unwrap();
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        socket,
        "{method} {path} HTTP/1.0\r\nHost: {HOST}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

fn commit(jetstream: &Jetstream, did: &str, collection: &str, rkey: &str, mut record: Value) {
    record["$type"] = json!(collection);
    jetstream.send(json!({
        "did": did,
        "kind": "commit",
        "commit": {
            "rev": jetstream.rev(),
            "operation": "create",
            "collection": collection,
            "rkey": rkey,
            "record": record,
            "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
        },
    }));
}

/// Every record that the questions are about, and some that they are not.
fn tell(jetstream: &Jetstream) {
    let commit = |did: &str, collection: &str, rkey: &str, record: Value| {
        commit(jetstream, did, collection, rkey, record);
    };
    let post = format!("at://{ALICE}/app.bsky.feed.post/3m4post222222");
    let post_ref =
        json!({"uri": post, "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"});
    let follow = |did: &str, rkey: &str, whom: &str| {
        commit(did, "app.bsky.graph.follow", rkey, json!({"subject": whom}));
    };
    follow(BOB, "3m4follow2222", ALICE);
    follow(CAROL, "3m4follow3333", ALICE);
    follow(ALICE, "3m4follow4444", CAROL);
    for (did, rkey) in [(BOB, "3m4like222222"), (CAROL, "3m4like333333")] {
        commit(
            did,
            "app.bsky.feed.like",
            rkey,
            json!({"subject": post_ref}),
        );
    }
    commit(
        CAROL,
        "app.bsky.feed.post",
        "3m4reply22222",
        json!({"text": "Well said!", "reply": {"root": post_ref, "parent": post_ref}}),
    );
    commit(
        BOB,
        "app.bsky.feed.post",
        "3m4page222222",
        json!({
            "text": "Read this",
            "embed": {"$type": "app.bsky.embed.external", "external": {"uri": "https://example.org/", "title": "An example"}},
        }),
    );
    commit(
        BOB,
        "app.bsky.graph.listitem",
        "3m4item222222",
        json!({"subject": ALICE, "list": format!("at://{BOB}/app.bsky.graph.list/3m4list222222")}),
    );
    commit(
        ALICE,
        "sh.tangled.repo",
        "3m4repo222222",
        json!({"name": "core"}),
    );
    commit(
        CAROL,
        "sh.tangled.feed.star",
        "3m4star222222",
        json!({"subject": format!("at://{ALICE}/sh.tangled.repo/3m4repo222222")}),
    );
}

/// The members that tell when the server asked was fed, which the manual leaves out.
fn without_coverage(mut answer: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("coverage");
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ten_questions_of_the_manual_have_the_answers_that_stand_there() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = Jetstream::start().await;
    tell(&jetstream);
    let data = dir.path().join("data");
    let arguments = [
        "serve",
        "--jetstream",
        &jetstream.url(),
        "--no-fetch",
        "--data",
        data.to_str().unwrap(),
    ];
    let server = Server::start(&arguments, &dir.path().join("log"));
    let star = format!(
        "/links/count?target=at://{ALICE}/sh.tangled.repo/3m4repo222222&collection=sh.tangled.feed.star&path=.subject"
    );
    let until = Instant::now() + Duration::from_secs(20);
    while server.get(&star).unwrap().2 != r#"{"total":1}"# {
        assert!(Instant::now() < until, "the events were not indexed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let questions = questions();
    assert_eq!(questions.len(), 10);
    let mut wrong = Vec::new();
    for question in questions {
        let title = &question.title;
        let (program, arguments) = question.words.split_first().unwrap();
        let answer = match program.as_str() {
            "curl" => {
                let (arguments, address) = (arguments.to_vec(), server.address);
                let asked = tokio::task::spawn_blocking(move || curl(&arguments, address));
                let (status, body) = asked.await.unwrap();
                assert_eq!(status, 200, "{title}: {body}");
                serde_json::from_str(&body).unwrap()
            }
            _ => {
                let query = arguments[0].strip_prefix(&format!("ws://{HOST}/subscribe"));
                let query = query.unwrap();
                Subscriber::open(server.address, query).await.json().await
            }
        };
        let answer = without_coverage(answer);
        if answer != question.answer {
            wrong.push(format!("{title}\n{answer}\nnot {}", question.answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let asked = of_the_readme();
    assert_eq!(asked.len(), 7, "{asked:?}");
    for words in asked {
        let (program, arguments) = words.split_first().unwrap();
        if program == "websocat" {
            let query = arguments[0].strip_prefix(&format!("ws://{HOST}/subscribe"));
            let mut subscriber = Subscriber::open(server.address, query.unwrap()).await;
            commit(
                &jetstream,
                BOB,
                "app.bsky.graph.follow",
                "3m4follow5555",
                json!({"subject": CAROL}),
            );
            let frame = subscriber.json().await;
            assert_eq!(frame["link"]["source"], "app.bsky.graph.follow:subject");
            continue;
        }
        let (arguments, address) = (arguments.to_vec(), server.address);
        let asked = tokio::task::spawn_blocking(move || curl(&arguments, address));
        let (status, body) = asked.await.unwrap();
        // A server that asks nobody does not know the handle that two of them are about, and says so.
        if words.iter().any(|word| word.contains("=bsky.app")) {
            assert_eq!(status, 500, "{words:?}: {body}");
            assert!(body.contains("asks nobody"), "{words:?}: {body}");
        } else {
            assert_eq!(status, 200, "{words:?}: {body}");
        }
    }
}
