//! The operator's routes: on their own address and nowhere else, for those who may ask.

use std::net::SocketAddr;

use crate::common::{POST, Response, Server, exchange};
use orrery_server::{Config, OperatorToken};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TOKEN: &str = "correct-horse-battery-staple";

struct Operator {
    server: Server,
    address: SocketAddr,
    authorization: Option<String>,
}

impl Operator {
    async fn start(token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let server = Server::with(Config {
            operator: Some(address),
            operator_token: token.map(|token| OperatorToken::parse(token).unwrap()),
            ..Config::default()
        })
        .await;
        // The addresses are listened on one after the other, and this one first.
        server.get("/_health").await;
        Self {
            server,
            address,
            authorization: token.map(|token| format!("authorization: Bearer {token}\r\n")),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str, headers: &str) -> Response {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(self.address, request.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Response {
        let authorization = self.authorization.as_deref().unwrap_or_default();
        let headers = format!("host: {}\r\n{authorization}", self.address);
        self.ask("GET", path, "", &headers).await
    }

    async fn change(&self, method: &str, entries: Value) -> (u16, Value) {
        let authorization = self.authorization.as_deref().unwrap_or_default();
        let headers = format!(
            "host: {}\r\ncontent-type: application/json\r\n{authorization}",
            self.address
        );
        let body = json!({ "entries": entries }).to_string();
        let answer = self.ask(method, "/exclude", &body, &headers).await;
        (answer.status, answer.json())
    }
}

fn refusal(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{response:?}");
    let none = response.header("access-control-allow-origin");
    assert_eq!(none, None, "no page of another origin may read it");
    response.json()["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_exclude_list_is_read_and_changed_on_the_operators_address_only() {
    let operator = Operator::start(None).await;
    let did = "did:plc:a";
    let entry = json!([{"value": did, "reason": "asked"}, {"value": POST}]);
    let (status, told) = operator.change("POST", entry).await;
    assert_eq!(
        (status, told),
        (200, json!({"changed": 2, "unchanged": 0, "pending": 0}))
    );
    let list = operator.get("/exclude").await.json();
    assert_eq!(list["entries"][0]["value"], did);
    assert_eq!(list["entries"][0]["reason"], "asked");
    assert_eq!(list["entries"][0]["time"], "2023-11-14T22:13:20.000Z");
    let (status, told) = operator
        .change("DELETE", json!([{"value": did}, {"value": "did:plc:x"}]))
        .await;
    assert_eq!(
        (status, told),
        (200, json!({"changed": 1, "unchanged": 1, "pending": 0}))
    );
    // What the index cannot follow yet is accepted, and told.
    let (status, told) = operator
        .change("POST", json!([{"value": did, "reason": "waits"}]))
        .await;
    assert_eq!((status, &told["waits"]), (202, &json!("the disk is full")));
    // What is not written is told from what is and may not be durable.
    for (reason, name) in [("fails", "NotWritten"), ("may be undone", "NotDurable")] {
        let entry = json!([{"value": did, "reason": reason}]);
        let (status, told) = operator.change("POST", entry).await;
        assert_eq!((status, &told["error"]), (503, &json!(name)));
    }
    let (status, told) = operator
        .change("POST", json!([{"value": "alice.example"}]))
        .await;
    assert_eq!(status, 400);
    assert!(told["message"].as_str().unwrap().contains("handle"));
    let (status, _) = operator.change("POST", json!([{"valeu": did}])).await;
    assert_eq!(status, 400);
    let many: Vec<Value> = (0..10_001)
        .map(|n| json!({"value": format!("did:plc:{n}")}))
        .collect();
    assert_eq!(operator.change("POST", json!(many)).await.0, 400);
    refusal(&operator.get("/links").await, 404);
    for path in ["/exclude", "/user-agents", "/metrics"] {
        operator.server.get(path).await.error(404, "NotFound");
        operator
            .server
            .post(path, "{\"entries\":[]}")
            .await
            .error(404, "NotFound");
    }
}

#[tokio::test]
async fn who_has_no_token_is_turned_away_where_one_is_wanted() {
    let operator = Operator::start(Some(TOKEN)).await;
    let host = format!("host: {}\r\n", operator.address);
    for wrong in [
        String::new(),
        "authorization: Bearer wrong\r\n".to_owned(),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: Bearer {TOKEN}x\r\n"),
    ] {
        for path in ["/", "/metrics", "/exclude", "/user-agents", "/nothing"] {
            let answer = operator
                .ask("GET", path, "", &format!("{host}{wrong}"))
                .await;
            let message = refusal(&answer, 401);
            assert!(!message.contains(TOKEN), "{message}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(operator.get("/exclude").await.status, 200);
    assert!(
        operator
            .get("/metrics")
            .await
            .body
            .contains("orrery_links 16")
    );
    // By any name: the token is the proof.
    let named = format!("host: orrery.example\r\nauthorization: bearer {TOKEN}\r\n");
    assert_eq!(operator.ask("GET", "/", "", &named).await.status, 200);
}

#[tokio::test]
async fn pages_that_a_browser_shows_are_turned_away_without_a_token() {
    let operator = Operator::start(None).await;
    let address = operator.address;
    for headers in [
        "host: evil.example\r\n".to_owned(),
        "host: evil\u{e9}.example\r\n".to_owned(),
        format!("host: {address}\r\nhost: evil.example\r\n"),
        format!("host: {address}\r\norigin: https://evil.example\r\n"),
    ] {
        refusal(&operator.ask("GET", "/exclude", "", &headers).await, 403);
    }
    let body = r#"{"entries":[{"value":"did:plc:a"}]}"#;
    let simple = format!("host: {address}\r\ncontent-type: text/plain\r\n");
    refusal(&operator.ask("POST", "/exclude", body, &simple).await, 415);
    assert!(operator.server.model.excluded.lock().is_empty());
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    let server = Server::start().await;
    let config = Config {
        operator: Some("0.0.0.0:0".parse().unwrap()),
        ..Config::default()
    };
    let serve = async |config| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (model, feed) = (server.model.clone(), server.feed());
        orrery_server::serve(listener, model, feed, None, config, async {}).await
    };
    let error = serve(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("token"), "{error}");
    let config = Config {
        operator_token: Some(OperatorToken::parse(TOKEN).unwrap()),
        ..config
    };
    serve(config).await.unwrap();
}

#[tokio::test]
async fn programs_are_counted_by_what_they_call_themselves_and_nothing_else_of_them() {
    let operator = Operator::start(None).await;
    let count =
        format!("/links/count?target={POST}&collection=app.bsky.feed.like&path=.subject.uri");
    let agent = [("user-agent", "Some-Bot/1.0 (at 192.0.2.77)")];
    for _ in 0..20 {
        assert_eq!(operator.server.ask("GET", &count, &agent).await.status, 200);
    }
    operator.server.ask("GET", "/links/count", &agent).await;
    operator.server.get("/nothing").await;
    let told = operator.get("/user-agents").await;
    assert!(!told.body.contains("192.0.2.77"), "{}", told.body);
    let told = told.json();
    let first = &told["products"][0];
    assert_eq!(
        (&first["product"], &first["requests"]),
        (&json!("Some-Bot"), &json!(21))
    );
    assert_eq!(first["errors"], 1);
    assert!(first["bytes"].as_u64().unwrap() > 20);
    assert_eq!(first["routes"]["/links/count"]["requests"], 21);
    let unnamed = &told["products"][1];
    assert_eq!(unnamed["product"], "(none)");
    assert_eq!(unnamed["routes"]["other"]["errors"], 1);
    let page = operator.get("/metrics").await.body;
    assert!(
        page.contains("orrery_http_agent_requests_total{product=\"Some-Bot\"} 21\n"),
        "{page}"
    );
    assert!(!page.contains("(none)"), "few requests make no series");
}
