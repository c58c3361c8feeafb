//! The server of the tests on a real socket, and a client that speaks raw HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orrery_server::{Config, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Model, edge, feed};

const LOCAL: &str = "127.0.0.1:0";

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub model: Arc<Model>,
    pub events: Arc<feed::Events>,
    pub edge: Arc<edge::Fake>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<orrery_server::Result<()>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::on(LOCAL, config).await
    }

    /// A server that listens on another address.
    pub async fn on(bind: &str, config: Config) -> Self {
        Self::begin(bind, Model::sample(), config, true).await
    }

    /// A server of an index as it is.
    pub async fn of(model: Model) -> Self {
        Self::begin(LOCAL, model, Config::default(), true).await
    }

    pub async fn without_edge() -> Self {
        Self::begin(LOCAL, Model::sample(), Config::default(), false).await
    }

    async fn begin(bind: &str, model: Model, config: Config, has_edge: bool) -> Self {
        let listener = TcpListener::bind(bind).await.unwrap();
        let address = listener.local_addr().unwrap();
        let model = Arc::new(model);
        let events = Arc::<feed::Events>::default();
        let (stop, stopped) = oneshot::channel();
        let stream = feed::EventsFeed(events.clone());
        let shutdown = async {
            let _ = stopped.await;
        };
        let edge = Arc::<edge::Fake>::default();
        let seam = has_edge.then(|| edge.clone() as Arc<dyn orrery_server::Edge>);
        let served = serve(
            listener,
            model.clone(),
            Arc::new(stream),
            seam,
            config,
            shutdown,
        );
        let task = tokio::spawn(served);
        Self {
            address,
            model,
            events,
            edge,
            stop: Some(stop),
            task,
        }
    }

    pub fn feed(&self) -> Arc<dyn orrery_server::Feed> {
        Arc::new(feed::EventsFeed(self.events.clone()))
    }

    /// Signals shutdown; the end is awaited with [`ended`](Self::ended).
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }

    pub async fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[]).await
    }

    pub async fn page(&self, path: &str) -> Response {
        self.ask("GET", path, &[("accept", "text/html")]).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &str) -> Response {
        self.send(path, &[("content-type", "application/json")], body)
            .await
    }

    /// Posts a body.
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut text = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        exchange(self.address, text.as_bytes()).await
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        exchange(self.address, head.as_bytes()).await
    }
}

/// Sends bytes and reads to the end of the connection.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    // A server that refuses a request early may reset the connection after its answer.
    let _ = stream.read_to_end(&mut bytes).await;
    Response::parse(&bytes)
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            ["application/json", "application/json; charset=utf-8"].contains(&kind),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// Checks that this is an error as every error is, and gives its message.
    #[track_caller]
    pub fn error(&self, status: u16, name: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        assert_eq!(json["error"], name, "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("access-control-allow-origin"), Some("*"));
        json["message"].as_str().unwrap().to_owned()
    }
}
