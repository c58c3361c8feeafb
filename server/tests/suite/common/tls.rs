//! Certificates made for a test, and a client that trusts them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A certificate and its key in PEM, trusted by itself.
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Pair {
    pub fn new(name: &str) -> Self {
        Self::until(name, SystemTime::now() + super::DAY * 90)
    }

    pub fn until(name: &str, ends: SystemTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = (SystemTime::now() - super::DAY).into();
        params.not_after = ends.into();
        Self {
            chain: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes both as `name.pem` and `name.key`.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        std::fs::write(&paths.0, &self.chain).unwrap();
        std::fs::write(&paths.1, &self.key).unwrap();
        paths
    }
}

/// A client that trusts these roots, and speaks these protocols.
pub fn trusting(roots: &[&str], protocols: &[&str]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        for root in CertificateDer::pem_slice_iter(root.as_bytes()) {
            store.add(root.unwrap()).unwrap();
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    // Each connection shows what is presented now.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

pub async fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.clone()).connect(name, tcp).await
}

/// As [`connect`], from another loopback address.
pub async fn connect_from(
    from: &str,
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    let tcp = socket.connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.clone()).connect(name, tcp).await
}

/// One request on an open connection, which stays open.
pub async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    ask_with(stream, path, "").await
}

/// As [`ask`], with more headers, each with its line's end.
pub async fn ask_with(stream: &mut TlsStream<TcpStream>, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.to_ascii_lowercase();
        let (_, length) = length.split_once("content-length: ").unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            return text.into_owned();
        }
    }
}

/// The certificate that is presented now.
pub async fn presented(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = connect(address, name, config).await.unwrap();
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].to_vec()
}

/// The first certificate of a chain in PEM.
pub fn first(chain: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(chain.as_bytes())
        .unwrap()
        .to_vec()
}

/// Longer than anything takes.
pub const WAIT: Duration = Duration::from_secs(20);

/// Waits until something holds.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, wait)
        .await
        .expect("it holds in time");
}

/// A number of the metrics page.
pub async fn fact(metrics: SocketAddr, name: &str) -> Option<f64> {
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // The address may not be listened on yet.
    TcpStream::connect(metrics).await.ok()?;
    let page = super::exchange(metrics, request).await.body;
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The next frame of the link stream.
pub async fn text(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> String {
    loop {
        let next = tokio::time::timeout(WAIT, socket.next()).await;
        if let Message::Text(text) = next.unwrap().unwrap().unwrap() {
            return text.as_str().to_owned();
        }
    }
}
