//! Hosts that a server is made to ask: a directory of DIDs, and data servers that behave as badly as they like.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a host answers.
#[derive(Clone)]
pub enum Manner {
    /// This body, by path with its query; others are not found.
    Pages(Arc<Mutex<HashMap<String, (u16, String)>>>),
    /// Never.
    Hangs,
    /// A head and the beginning of a body, and no more.
    HangsMidway,
    /// No HTTP.
    Garbage,
    /// 5 GB, told before or just sent.
    Huge { says_so: bool },
    /// Another place.
    Redirects(String),
    /// A byte at a time, for ever.
    Trickles,
}

/// A host.
pub struct Host {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Host {
    pub async fn start(manner: Manner) -> Self {
        Self::start_on("127.0.0.1:0", manner).await
    }

    pub async fn start_on(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(socket, manner.clone()));
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(mut socket: TcpStream, manner: Manner) -> Option<()> {
    let mut asked = Vec::new();
    loop {
        while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
            if socket.read_buf(&mut asked).await.ok()? == 0 {
                return None;
            }
        }
        let head = String::from_utf8_lossy(&asked).into_owned();
        asked.clear();
        let path = head.split(' ').nth(1)?.to_owned();
        match &manner {
            Manner::Pages(pages) => {
                let page = pages.lock().get(&path).cloned();
                let (status, body) = page.unwrap_or((404, "{}".to_owned()));
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                socket.write_all((head + &body).as_bytes()).await.ok()?;
            }
            Manner::Hangs => tokio::time::sleep(Duration::from_secs(600)).await,
            Manner::HangsMidway => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"uri\":";
                socket.write_all(head.as_bytes()).await.ok()?;
                tokio::time::sleep(Duration::from_secs(600)).await;
            }
            Manner::Garbage => {
                socket
                    .write_all(b"\x16\x03\x01 what is this\r\n\r\n")
                    .await
                    .ok()?;
                return None;
            }
            Manner::Huge { says_so } => {
                let length = if *says_so {
                    "content-length: 5000000000\r\n"
                } else {
                    ""
                };
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n");
                socket.write_all(head.as_bytes()).await.ok()?;
                let piece = vec![b' '; 1 << 16];
                for _ in 0..5_000_000_000_u64 >> 16 {
                    socket.write_all(&piece).await.ok()?;
                }
                return None;
            }
            Manner::Redirects(to) => {
                let head =
                    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(head.as_bytes()).await.ok()?;
            }
            Manner::Trickles => {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                    .await
                    .ok()?;
                loop {
                    socket.write_all(b" ").await.ok()?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// A DID document with that data server.
pub fn document(did: &str, pds: &str) -> String {
    json!({
        "id": did,
        "alsoKnownAs": ["at://someone.example.com"],
        "verificationMethod": [{
            "id": format!("{did}#atproto"), "type": "Multikey", "controller": did,
            "publicKeyMultibase": "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        }],
        "service": [{
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds,
        }],
    })
    .to_string()
}
