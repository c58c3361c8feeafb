//! A DNS server on loopback, over UDP and TCP.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

pub const A: u16 = 1;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;

/// What is answered to a question.
#[derive(Clone)]
pub enum Reply {
    /// Records of the type asked for, by their data. None: the name exists, without such records.
    Records(Vec<Vec<u8>>),
    /// An error code: 2 the server failed, 3 there is no such name, 5 it refuses.
    Code(u8),
    /// Over UDP that the answer is too long, over TCP the records.
    TooLong(Vec<Vec<u8>>),
    /// Something that is no DNS message.
    Garbage,
    Silence,
}

impl Reply {
    /// Those of the addresses that are of the type asked for.
    pub fn addresses(kind: u16, addresses: &[&str]) -> Self {
        let data = addresses
            .iter()
            .filter_map(|text| match (kind, text.parse().unwrap()) {
                (A, IpAddr::V4(address)) => Some(address.octets().to_vec()),
                (AAAA, IpAddr::V6(address)) => Some(address.octets().to_vec()),
                _ => None,
            });
        Self::Records(data.collect())
    }
}

/// The data of a TXT record.
pub fn txt(strings: &[&str]) -> Vec<u8> {
    let mut data = Vec::new();
    for string in strings {
        data.push(u8::try_from(string.len()).unwrap());
        data.extend_from_slice(string.as_bytes());
    }
    data
}

/// What a question is and by which way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub kind: u16,
    pub tcp: bool,
}

#[derive(Clone)]
pub struct DnsServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl DnsServer {
    /// Answers questions for a lower-cased name without a dot at its end, and a type; the last argument says how many
    /// times the same was asked before.
    pub async fn start<F>(answer: F) -> Self
    where
        F: Fn(&str, u16, usize) -> Reply + Send + Sync + 'static,
    {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = Self {
            address: udp.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let answer = Arc::new(answer);
        let (over_udp, also) = (server.clone(), Arc::clone(&answer));
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            loop {
                let (length, from) = udp.recv_from(&mut packet).await.unwrap();
                if let Some(reply) = over_udp.reply(&packet[..length], false, &*also) {
                    let _ = udp.send_to(&reply, from).await;
                }
            }
        });
        let over_tcp = server.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let (over_tcp, answer) = (over_tcp.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut packet = vec![0; usize::from(length)];
                        stream.read_exact(&mut packet).await.unwrap();
                        if let Some(reply) = over_tcp.reply(&packet, true, &*answer) {
                            let length = u16::try_from(reply.len()).unwrap();
                            stream.write_u16(length).await.unwrap();
                            stream.write_all(&reply).await.unwrap();
                        }
                    }
                });
            }
        });
        server
    }

    /// The questions so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn reply<F>(&self, packet: &[u8], tcp: bool, answer: &F) -> Option<Vec<u8>>
    where
        F: Fn(&str, u16, usize) -> Reply,
    {
        let mut labels = Vec::new();
        let mut at = 12;
        while packet[at] != 0 {
            let end = at + 1 + usize::from(packet[at]);
            labels.push(String::from_utf8(packet[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        let question = &packet[12..at + 5];
        let name = labels.join(".").to_ascii_lowercase();
        let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
        let now = Asked { name, kind, tcp };
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let same = |one: &&Asked| one.name == now.name && one.kind == kind;
            let before = asked.iter().filter(same).count();
            asked.push(now.clone());
            before
        };
        let (code, truncated, records) = match answer(&now.name, kind, before) {
            Reply::Records(records) => (0, false, records),
            Reply::Code(code) => (code, false, Vec::new()),
            Reply::TooLong(records) if tcp => (0, false, records),
            Reply::TooLong(_) => (0, true, Vec::new()),
            Reply::Garbage => return Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Reply::Silence => return None,
        };
        let mut reply = packet[..2].to_vec();
        reply.push(0x81 | if truncated { 2 } else { 0 });
        reply.push(0x80 | code);
        for count in [1, u16::try_from(records.len()).unwrap(), 0, 0] {
            reply.extend_from_slice(&count.to_be_bytes());
        }
        reply.extend_from_slice(question);
        for data in records {
            reply.extend_from_slice(&[0xc0, 12]);
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&[0, 1, 0, 0, 1, 0]);
            reply.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            reply.extend_from_slice(&data);
        }
        Some(reply)
    }
}
