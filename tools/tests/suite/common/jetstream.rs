//! A Jetstream server whose events a test gives one by one, and a subscriber to the link stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The time of the first event.
pub const TIME_US: u64 = 1_793_491_200_000_000;

/// Events, which clients get from their cursor on.
pub struct Jetstream {
    lines: Arc<watch::Sender<Vec<(u64, String)>>>,
    pub address: SocketAddr,
}

impl Jetstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(watch::Sender::new(Vec::new()));
        let served = Arc::clone(&lines);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, served.subscribe()));
            }
        });
        Self { lines, address }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/subscribe", self.address)
    }

    /// Sends an event, at the next millisecond.
    pub fn send(&self, mut event: Value) {
        self.lines.send_modify(|lines| {
            let time_us = TIME_US + lines.len() as u64 * 1000;
            event["time_us"] = json!(time_us);
            lines.push((time_us, event.to_string()));
        });
    }

    /// Sends a commit. A record makes a create; none a delete.
    pub fn commit(&self, did: &str, rkey: &str, operation: &str, record: Option<Value>) {
        let rev = self.rev();
        let mut commit =
            json!({"rev": rev, "operation": operation, "collection": "com.ex.like", "rkey": rkey});
        if let Some(mut record) = record {
            record["$type"] = json!("com.ex.like");
            commit["record"] = record;
            commit["cid"] = json!("bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a");
        }
        self.send(json!({"did": did, "kind": "commit", "commit": commit}));
    }

    /// The rev of the next commit.
    pub fn rev(&self) -> String {
        tid(self.lines.borrow().len() as u64)
    }

    /// Sends the state of an account.
    pub fn account(&self, did: &str, active: bool, status: Option<&str>) {
        let seq = self.lines.borrow().len();
        let mut account =
            json!({"active": active, "did": did, "seq": seq, "time": "2026-11-01T00:00:00Z"});
        if let Some(status) = status {
            account["status"] = json!(status);
        }
        self.send(json!({"did": did, "kind": "account", "account": account}));
    }
}

/// A TID that rises with `n`.
pub fn tid(n: u64) -> String {
    const DIGITS: &[u8] = b"234567abcdefghijklmnopqrstuvwxyz";
    let value = (TIME_US + n * 1000) << 10;
    (0..13)
        .map(|place| char::from(DIGITS[(value >> (60 - 5 * place)) as usize & 31]))
        .collect()
}

async fn serve(socket: TcpStream, mut lines: watch::Receiver<Vec<(u64, String)>>) {
    let mut cursor = None;
    #[allow(
        clippy::result_large_err,
        reason = "the type is that of the websocket crate"
    )]
    let callback = |request: &Request, response: Response| {
        let query = request.uri().query().unwrap_or_default();
        cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="))
            .and_then(|cursor| cursor.parse::<u64>().ok());
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, callback).await else {
        return;
    };
    let mut next = match cursor {
        // A test begins with an empty server, so that all is to come.
        None => 0,
        Some(cursor) => lines.borrow().partition_point(|(time, _)| *time < cursor),
    };
    loop {
        let fresh: Vec<String> = {
            let lines = lines.borrow_and_update();
            lines[next..].iter().map(|(_, line)| line.clone()).collect()
        };
        next += fresh.len();
        for line in fresh {
            if socket.feed(Message::text(line)).await.is_err() {
                return;
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
        tokio::select! {
            changed = lines.changed() => if changed.is_err() { return },
            message = socket.next() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
}

/// A subscriber.
pub struct Subscriber(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Subscriber {
    pub async fn try_open(address: SocketAddr, query: &str) -> Option<Self> {
        let url = format!("ws://{address}/subscribe{query}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.ok()?;
        Some(Self(socket))
    }

    pub async fn open(address: SocketAddr, query: &str) -> Self {
        Self::try_open(address, query)
            .await
            .expect("a subscription")
    }

    /// The next frame; none where the connection is gone.
    pub async fn try_next(&mut self) -> Option<String> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.try_next());
        next.await.expect("a frame within 60 s").expect("a frame")
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await).unwrap()
    }

    /// The code and the reason of its end.
    pub async fn end(&mut self) -> (u16, String) {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }
}
