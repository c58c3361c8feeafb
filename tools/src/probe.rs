//! One HTTP request to a server of our own: the demo shows only URLs whose answers it has seen.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The same of an operator's address: a list may have many entries.
const OPERATOR_BYTES_MAX: u64 = 1 << 30;

/// The address to connect to for a server that listens on `bound`, which may mean every address.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// A path with a query string. Escapes only what has a meaning in a query or a shell, so that at-uris stay
/// readable.
pub(crate) fn path(route: &str, query: &[(&str, &str)]) -> String {
    let mut path = route.to_owned();
    for (place, (name, value)) in query.iter().enumerate() {
        path.push(if place == 0 { '?' } else { '&' });
        let _ = write!(path, "{name}=");
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// The JSON that `GET path` answers with status 200; nothing when it does not.
pub(crate) async fn get_json(address: SocketAddr, path: &str) -> Option<Value> {
    tokio::time::timeout(TIMEOUT, get(address, path))
        .await
        .ok()?
        .ok()
        .and_then(|answer| {
            let text = std::str::from_utf8(&answer).ok()?;
            let (head, body) = text.split_once("\r\n\r\n")?;
            let status = head.split(' ').nth(1)?;
            (status == "200").then(|| serde_json::from_str(body).ok())?
        })
}

/// One request with JSON, by a thread that waits. Gives the status and the body.
///
/// # Errors
///
/// What the system says, or that the answer is none of HTTP.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> std::io::Result<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect_timeout(&address, TIMEOUT)?;
    // The server waits some seconds for its index.
    socket.set_read_timeout(Some(TIMEOUT * 12))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let proof = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{}\r\n{body}",
        body.len(),
        proof.unwrap_or_default()
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.take(OPERATOR_BYTES_MAX).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let parts = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parts.ok_or_else(|| std::io::Error::other("it does not answer as a server of HTTP does"))
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    // By HTTP/1.0 the answer comes in one piece and ends with the connection.
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_escape_what_a_query_or_a_shell_would_read() {
        assert_eq!(
            path(
                "/a",
                &[("x", "at://did:plc:b/c.d.e/1"), ("y", "a&b=c d#é'")]
            ),
            "/a?x=at://did:plc:b/c.d.e/1&y=a%26b%3Dc%20d%23%C3%A9%27"
        );
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        assert_eq!(
            reachable("0.0.0.0:1".parse().unwrap()).to_string(),
            "127.0.0.1:1"
        );
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(
            reachable("10.0.0.1:1".parse().unwrap()).to_string(),
            "10.0.0.1:1"
        );
    }
}
