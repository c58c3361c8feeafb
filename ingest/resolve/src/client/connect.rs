//! From a host to an open connection.
//!
//! Owns the order that keeps strangers' names out of private networks: the host is looked up once, every address found
//! is checked, and the connection is made to one of these very addresses. Nothing else in this crate opens a stream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::address;
use crate::dns::Dns;
use crate::network::{DnsError, FetchError};
use crate::places::{Place, Places};
use crate::url::{Host, Url};

/// Addresses of one host that are tried.
const TRIED_MAX: usize = 6;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What may be connected to.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) allow_private: bool,
    pub(crate) trusted: Vec<SocketAddr>,
}

impl Guard {
    /// What can be said without looking anything up.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), &'static str> {
        if self.allow_private {
            return Ok(());
        }
        // Whether the addresses are trusted ones is seen once they are known.
        if self.trusted.is_empty() {
            if !url.tls {
                return Err("the scheme is not https");
            }
            if url.host.is_local_name() {
                return Err("the name has a meaning only in its own network");
            }
        }
        if url.port < 1024
            && url.port != 443
            && url.port != 80
            && !self
                .trusted
                .iter()
                .any(|trusted| trusted.port() == url.port)
        {
            return Err("the port belongs to another service than the web");
        }
        Ok(())
    }

    /// All addresses of a host, or none: one that is refused shows what the owner of the name is up to.
    fn check_addresses(&self, url: &Url, addresses: &[SocketAddr]) -> Result<(), FetchError> {
        if self.allow_private {
            return Ok(());
        }
        for address in addresses {
            if self.trusted.contains(address) {
                continue;
            }
            if let Err(why) = address::check(address.ip()) {
                return Err(FetchError::RefusedAddress {
                    host: url.host.to_string(),
                    address: address.ip(),
                    why,
                });
            }
            if !url.tls || url.host.is_local_name() || is_of_another_service(url.port) {
                return Err(FetchError::BadUrl {
                    url: url.to_string(),
                    problem: "only trusted addresses are asked without TLS, by a local name or at \
                              the port of another service"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Whether something other than the web is expected at a port: mail, say, which has been made to obey text in a URL.
fn is_of_another_service(port: u16) -> bool {
    port < 1024 && port != 443 && port != 80
}

/// Makes connections.
pub(crate) struct Connector {
    pub(crate) guard: Guard,
    pub(crate) dns: Dns,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) timeout: Duration,
    pub(crate) places: Places,
}

/// A stream, the address it leads to, and the place of the request it was made for.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) address: IpAddr,
    pub(crate) place: Place,
}

impl Connector {
    /// The addresses of the URL's host, all of them checked.
    pub(crate) async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let mut addresses: Vec<SocketAddr> = match &url.host {
            Host::Address(address) => vec![SocketAddr::new(*address, url.port)],
            Host::Name(name) => self
                .dns
                .addresses(name)
                .await
                .map_err(|error| match error {
                    DnsError::NoRecords => FetchError::NoSuchHost { host: name.clone() },
                    source => FetchError::Dns {
                        host: name.clone(),
                        source,
                    },
                })?
                .into_iter()
                .map(|address| SocketAddr::new(address, url.port))
                .collect(),
        };
        self.guard.check_addresses(url, &addresses)?;
        // A network without IPv6 often drops its packets instead of refusing them; one without IPv4 refuses at once.
        addresses.sort_by_key(|address| address.is_ipv6());
        addresses.dedup();
        addresses.truncate(TRIED_MAX);
        Ok(addresses)
    }

    /// Connects to one of `addresses`, tried in turn. Each has an even share of the time left, so that a dead one does
    /// not use it all up. Waiting for a place does not count.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<Connected, FetchError> {
        let mut time = self.timeout;
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut problem = "the name has no address".to_owned();
        for address in addresses {
            let place = self.place(url, address.ip()).await?;
            let share = time / left.max(1);
            left = left.saturating_sub(1);
            let begin = Instant::now();
            match tokio::time::timeout(share, self.open(url, *address)).await {
                Ok(Ok(stream)) => {
                    return Ok(Connected {
                        stream,
                        address: address.ip(),
                        place,
                    });
                }
                Ok(Err(error)) => problem = error.to_string(),
                Err(_) => problem = format!("no connection within {share:?}"),
            }
            // A name may lead into a network of which nobody else is to be told.
            if !matches!(url.host, Host::Address(_)) && address::check(address.ip()).is_ok() {
                problem = format!("{address}: {problem}");
            }
            time = time.saturating_sub(begin.elapsed());
        }
        Err(FetchError::Connect {
            host: url.host.to_string(),
            problem,
        })
    }

    /// A place for a request to this address.
    pub(crate) async fn place(&self, url: &Url, address: IpAddr) -> Result<Place, FetchError> {
        let place = self.places.take(address).await;
        place.ok_or_else(|| FetchError::Busy {
            host: url.authority(),
        })
    }

    async fn open(&self, url: &Url, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect(address).await?;
        // One small request at a time: nothing to gather.
        let _ = tcp.set_nodelay(true);
        if !url.tls {
            return Ok(Box::new(tcp));
        }
        let name = match &url.host {
            Host::Address(address) => ServerName::IpAddress(IpAddr::into(*address)),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        Ok(Box::new(tls.connect(name, tcp).await?))
    }
}

/// The TLS settings for servers with publicly trusted certificates. The provider is chosen here and not by the process,
/// so that no other crate's features can change or break it.
pub(crate) fn web_tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
