//! Servers on loopback that do what a test tells them, well or badly.
#![allow(
    dead_code,
    reason = "each test file compiles this module for itself and uses a part"
)]
pub mod dns;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orrery_resolve::{Answer, Client, ClientOptions, FetchError, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A limit on bodies that no test reaches by accident.
pub const MOST: usize = 1 << 20;

/// A server, and how often it was connected to.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `script` for each connection with its number, from 0.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    pub fn on<F, R>(listener: TcpListener, script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let server = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
        };
        let accepted = Arc::clone(&server.accepted);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, tcp));
            }
        });
        server
    }

    /// Gives this answer to every request, and keeps the connection open.
    pub async fn saying(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |_, mut tcp| {
            let answer = Arc::clone(&answer);
            async move {
                while head(&mut tcp).await.is_some() {
                    if tcp.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The head of the next request, lower-cased; `None` if the client is gone.
pub async fn head(tcp: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// A whole answer of status 200.
pub fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A redirect to `location`.
pub fn moved(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

/// The settings of a client that may ask these servers and nothing else but the public internet.
pub fn trusting(servers: &[&Server]) -> ClientOptions {
    let mut options = ClientOptions::new("+https://example.com/contact");
    options.trusted = servers.iter().map(|server| server.address).collect();
    options.total_timeout = Duration::from_secs(5);
    // Nobody answers here, so that a test which should not look up a name fails fast if it does.
    options.dns = Some("127.0.0.1:9".parse().unwrap());
    options.per_host.per_second = f64::INFINITY;
    options
}

pub fn client(servers: &[&Server]) -> Client {
    Client::new(trusting(servers)).unwrap()
}

pub async fn get(client: &Client, url: &str) -> Result<Answer, FetchError> {
    client.get(Request::new(url, MOST)).await
}

pub async fn get_following(
    client: &Client,
    url: &str,
    redirects: u8,
) -> Result<Answer, FetchError> {
    let mut request = Request::new(url, MOST);
    request.redirects = redirects;
    client.get(request).await
}
