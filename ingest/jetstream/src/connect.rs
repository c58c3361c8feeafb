//! From an endpoint to an open websocket.
//!
//! Owns name resolution, TCP, TLS and the upgrade, and tells their failures apart. TLS is rustls with the ring
//! provider, chosen here and not by the process, so that no other crate's features can change or break it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};

use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::shown::without_secrets;

/// Bytes of an error answer that are worth keeping.
const BODY_BYTES_MAX: usize = 1024;

/// Room for pings and one filter update of the largest size servers accept.
const WRITE_BUFFER_BYTES_MAX: usize = 12 << 20;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// The TLS settings for servers with publicly trusted certificates.
pub(crate) fn web_tls() -> Result<Arc<rustls::ClientConfig>, Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| Error::BadConfig {
        name: "tls",
        problem: error.to_string(),
    })?
    .with_root_certificates(roots)
    .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Opens the websocket at `url`, which must belong to `endpoint`, within [`Config::connect_timeout`].
pub(crate) async fn connect(
    endpoint: &Endpoint,
    url: &str,
    config: &Config,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Socket, Error> {
    let limit = config.connect_timeout;
    let attempt = open(endpoint, url, config, tls);
    tokio::time::timeout(limit, attempt)
        .await
        .unwrap_or_else(|_| {
            Err(Error::ConnectTimeout {
                host: endpoint.host.clone(),
                after: limit,
            })
        })
}

async fn open(
    endpoint: &Endpoint,
    url: &str,
    config: &Config,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Socket, Error> {
    let tcp = connect_tcp(endpoint, config.connect_timeout).await?;
    let stream: Box<dyn Stream> = if endpoint.tls {
        let failed = |source| Error::Tls {
            host: endpoint.host.clone(),
            source,
        };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        Box::new(
            TlsConnector::from(Arc::clone(tls))
                .connect(name, tcp)
                .await
                .map_err(failed)?,
        )
    } else {
        Box::new(tcp)
    };
    let mut request = url
        .into_client_request()
        .map_err(|error| Error::BadEndpoint {
            endpoint: without_secrets(endpoint.url()),
            problem: error.to_string(),
        })?;
    let user_agent =
        HeaderValue::from_str(&config.user_agent).map_err(|error| Error::BadConfig {
            name: "user_agent",
            problem: error.to_string(),
        })?;
    request.headers_mut().insert(USER_AGENT, user_agent);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(config.message_bytes_max))
        .max_frame_size(Some(config.message_bytes_max))
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(limits))
        .await
        .map_err(upgrade_error)?;
    Ok(socket)
}

/// Tries the addresses in turn, each with an even share of the time left, so that a dead one does not use it all up.
async fn connect_tcp(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + limit;
    let (host, port) = (&endpoint.host, endpoint.port);
    let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|source| Error::Resolve {
            host: host.clone(),
            source,
        })?
        .collect();
    let mut source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Pongs and filter updates are small and must not wait for more.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => source = error,
            Err(elapsed) => source = elapsed.into(),
        }
    }
    Err(Error::Connect {
        host: host.clone(),
        port,
        source,
    })
}

fn upgrade_error(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(response) => refused(&response),
        other => Error::BadUpgrade {
            problem: other.to_string(),
        },
    }
}

fn refused(response: &Response) -> Error {
    let body = response.body().as_deref().unwrap_or_default();
    let kept = body.get(..BODY_BYTES_MAX).unwrap_or(body);
    let body = String::from_utf8_lossy(kept).trim().to_owned();
    match response.status() {
        http::StatusCode::BAD_REQUEST => Error::BadRequest { body },
        status => {
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| retry_after(value.to_str().ok()?));
            Error::Refused {
                status: status.as_u16(),
                retry_after,
                body,
            }
        }
    }
}

/// Both forms of RFC 9110, section 10.2.3: seconds, or a date. A date in the past asks for no delay.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        let later = SystemTime::now() + Duration::from_secs(100);
        let delay = retry_after(&httpdate::fmt_http_date(later)).unwrap();
        assert!((95..=100).contains(&delay.as_secs()), "{delay:?}");
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn built_in_tls_settings_are_usable() {
        assert!(
            !web_tls()
                .unwrap()
                .alpn_protocols
                .iter()
                .any(|name| name == b"h2")
        );
    }
}
