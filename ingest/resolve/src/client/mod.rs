//! The client: one GET after another, redirects included.
//!
//! Owns the order in which a request takes what it needs: its host's turn, a checked address, a place among
//! all requests, a connection. The time limit is around all of it, and dropping the future gives everything back.

mod connect;
mod exchange;
mod options;
mod pool;
mod retry_after;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, LOCATION, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use hyper::{Response, StatusCode};

use self::connect::{Connected, Connector, Guard};
use self::exchange::{Broken, Connection};
pub use self::options::{ClientError, ClientOptions};
use self::pool::Pool;
use crate::dns::Dns;
use crate::limits::{Hosts, Turn};
use crate::network::{Answer, Boxed, DnsError, FetchError, Network, Request};
use crate::places::{Place, Places};
use crate::url::Url;

/// Asks other servers. Clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: ClientOptions,
    user_agent: HeaderValue,
    connector: Connector,
    hosts: Hosts,
    pool: Pool,
}

/// What came of one hop.
enum Hop {
    Answer(Answer),
    Redirect(String),
}

impl Client {
    /// Sets up a client. Must be called inside a tokio runtime, and used in no other.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used, or a system configuration that cannot be read.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        options.check()?;
        let user_agent = format!(
            "orrery/{} ({})",
            env!("CARGO_PKG_VERSION"),
            options.contact.trim()
        );
        let user_agent =
            HeaderValue::try_from(user_agent).map_err(|error| ClientError::BadOption {
                name: "contact",
                problem: error.to_string(),
            })?;
        let tls = match &options.tls {
            Some(tls) => Arc::clone(tls),
            None => connect::web_tls()?,
        };
        let connector = Connector {
            guard: Guard {
                allow_private: options.allow_private,
                trusted: options.trusted.clone(),
            },
            dns: Dns::new(options.dns, options.dns_timeout)?,
            tls,
            timeout: options.connect_timeout,
            places: Places::new(
                options.concurrent,
                options.per_address,
                options.per_address_waiting,
            ),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                user_agent,
                connector,
                hosts: Hosts::new(
                    options.per_host,
                    options.own_limits.clone(),
                    options.most_hosts,
                ),
                pool: Pool::new(options.idle_connections, options.idle_timeout),
                options,
            }),
        })
    }

    /// Fetches a URL.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]. A status is no error, but for a redirect that is not followed, and for 429 and 503 with a
    /// `Retry-After`.
    pub async fn get(&self, request: Request) -> Result<Answer, FetchError> {
        let after = self.shared.options.total_timeout;
        let bad_url = |problem: &str| FetchError::BadUrl {
            url: request.url.clone(),
            problem: problem.to_owned(),
        };
        let url = Url::parse(&request.url).map_err(bad_url)?;
        let headers = self.shared.headers(&request)?;
        let host = url.host.to_string();
        match tokio::time::timeout(after, self.shared.follow(url, headers, &request)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout { host, after }),
        }
    }

    /// The TXT records of `name`, each with its strings joined.
    ///
    /// # Errors
    ///
    /// See [`DnsError`].
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.shared.connector.dns.txt(name).await
    }
}

impl Network for Client {
    fn get(&self, request: Request) -> Boxed<'_, Result<Answer, FetchError>> {
        Box::pin(Self::get(self, request))
    }

    fn txt<'a>(&'a self, name: &'a str) -> Boxed<'a, Result<Vec<String>, DnsError>> {
        Box::pin(Self::txt(self, name))
    }
}

impl Shared {
    async fn follow(
        &self,
        mut url: Url,
        mut headers: HeaderMap,
        request: &Request,
    ) -> Result<Answer, FetchError> {
        let mut left = request.redirects;
        loop {
            self.connector
                .guard
                .check_url(&url)
                .map_err(|problem| FetchError::BadUrl {
                    url: url.to_string(),
                    problem: problem.to_owned(),
                })?;
            let location = match self.hop(&url, &headers, request.most_bytes).await? {
                Hop::Answer(answer) => return Ok(answer),
                Hop::Redirect(location) => location,
            };
            let not_followed = |problem: &str| FetchError::Redirect {
                host: url.host.to_string(),
                problem: problem.to_owned(),
            };
            left = left.checked_sub(1).ok_or_else(|| {
                not_followed(if request.redirects == 0 {
                    "no redirect is followed here"
                } else {
                    "one redirect too many"
                })
            })?;
            let next = url
                .join(&location)
                .map_err(|problem| not_followed(&format!("{location:?}: {problem}")))?;
            if !next.same_origin(&url) {
                headers = self.common_headers(request)?;
            }
            url = next;
        }
    }

    /// Asks once. What it holds of the host and the client is given back before the next hop.
    async fn hop(&self, url: &Url, headers: &HeaderMap, most: usize) -> Result<Hop, FetchError> {
        let authority = url.authority();
        let turn = self.hosts.turn(&authority).await?;
        let origin = url.origin();
        let (connection, response, _place) = self.ask(url, headers, &origin).await?;
        if let Some(after) = wish(&response, &turn) {
            return Err(FetchError::RetryLater {
                host: authority,
                after,
            });
        }
        let (head, body) = response.into_parts();
        if let Some(location) = redirect(url, head.status, &head.headers)? {
            return Ok(Hop::Redirect(location));
        }
        if head.status.is_informational() {
            return Err(broken(
                url,
                most,
                Broken::Other(format!("status {}", head.status)),
            ));
        }
        let body = exchange::read_body(&head.headers, body, most)
            .await
            .map_err(|problem| broken(url, most, problem))?;
        self.pool.put(origin, connection);
        Ok(Hop::Answer(Answer {
            status: head.status.as_u16(),
            content_type: text(&head.headers, &CONTENT_TYPE),
            body,
        }))
    }

    /// Sends the request on a kept connection, or on a new one.
    async fn ask(
        &self,
        url: &Url,
        headers: &HeaderMap,
        origin: &str,
    ) -> Result<(Connection, Response<Incoming>, Place), FetchError> {
        let failed = |problem| broken(url, 0, problem);
        if let Some(mut connection) = self.pool.take(origin) {
            let place = self.connector.place(url, connection.address).await?;
            match connection.send(request(url, headers)?).await {
                Ok(response) => return Ok((connection, response, place)),
                // The server closed it while the request was on its way. A GET can be sent twice.
                Err(Broken::NoAnswer(_)) => {}
                Err(problem) => return Err(failed(problem)),
            }
        }
        let addresses = self.connector.resolve(url).await?;
        let Connected {
            stream,
            address,
            place,
        } = self.connector.connect(url, &addresses).await?;
        let mut connection = Connection::new(stream, address)
            .await
            .map_err(|problem| failed(Broken::Other(problem)))?;
        let response = connection
            .send(request(url, headers)?)
            .await
            .map_err(failed)?;
        Ok((connection, response, place))
    }

    /// What every server is told.
    fn common_headers(&self, request: &Request) -> Result<HeaderMap, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(accept) = &request.accept {
            headers.insert(ACCEPT, header_value(request, "accept", accept)?);
        }
        Ok(headers)
    }

    /// What only the first origin is told, too.
    fn headers(&self, request: &Request) -> Result<HeaderMap, FetchError> {
        let mut headers = self.common_headers(request)?;
        for (name, value) in &request.headers {
            let known = HeaderName::try_from(name.as_str())
                .ok()
                .filter(|name| !OWN_HEADERS.contains(name))
                .ok_or_else(|| FetchError::BadUrl {
                    url: request.url.clone(),
                    problem: format!("the header {name:?} cannot be sent along"),
                })?;
            headers.append(known, header_value(request, name, value)?);
        }
        Ok(headers)
    }
}

/// Headers this client decides about, or that would change where the request ends.
const OWN_HEADERS: [HeaderName; 9] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

fn header_value(request: &Request, name: &str, value: &str) -> Result<HeaderValue, FetchError> {
    HeaderValue::from_str(value).map_err(|error| FetchError::BadUrl {
        url: request.url.clone(),
        problem: format!("the header {name:?}: {error}"),
    })
}

fn request(url: &Url, headers: &HeaderMap) -> Result<hyper::Request<String>, FetchError> {
    let bad_url = |problem: String| FetchError::BadUrl {
        url: url.to_string(),
        problem,
    };
    let mut request = hyper::Request::new(String::new());
    *request.uri_mut() = url
        .target
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| bad_url(error.to_string()))?;
    *request.headers_mut() = headers.clone();
    let host =
        HeaderValue::try_from(url.host_header()).map_err(|error| bad_url(error.to_string()))?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

/// How long the server wants to be left alone, from now on heeded for all requests.
fn wish(response: &Response<Incoming>, turn: &Turn) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let wish = retry_after::parse(&text(response.headers(), &RETRY_AFTER)?)?;
    (!wish.is_zero()).then(|| turn.hold(wish))
}

/// The `Location` of an answer that is a redirect.
fn redirect(
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<String>, FetchError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = text(headers, &LOCATION).ok_or_else(|| FetchError::Redirect {
        host: url.host.to_string(),
        problem: "it says nowhere to go".to_owned(),
    })?;
    Ok(Some(location))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn broken(url: &Url, most: usize, problem: Broken) -> FetchError {
    let host = url.host.to_string();
    match problem {
        Broken::TooLarge => FetchError::TooLarge { host, most },
        Broken::NoAnswer(problem) | Broken::Other(problem) => {
            FetchError::Protocol { host, problem }
        }
    }
}
