//! Server addresses and the request that opens a stream.
//!
//! Owns the shorthand names of the public servers, the checks on an endpoint URL, and the query string.

use std::fmt::Write as _;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::cursor::Cursor;
use crate::error::Error;
use crate::options::Options;
use crate::shown::without_secrets;

/// Query members this crate sets itself; an endpoint that carries one would contradict the configuration.
const OWN_PARAMETERS: [&str; 6] = [
    "wantedCollections",
    "wantedDids",
    "cursor",
    "maxMessageSizeBytes",
    "compress",
    "requireHello",
];

/// A filter whose query string would be longer than this goes into an `options_update` after a hello instead. Proxies
/// commonly refuse request lines over 8 KiB.
const QUERY_BYTES_MAX: usize = 4096;

/// One server, as a checked websocket URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// What to ask of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) compress: bool,
    pub(crate) require_hello: bool,
    pub(crate) options: Options,
}

impl Endpoint {
    /// Accepts a shorthand (`us-east-1`, `us-east-2`, `us-west-1`, `us-west-2`; `us-east`, `us-west` for the newer
    /// servers) or a URL with the scheme `ws`, `wss`, `http` or `https`. Without a path, `/subscribe` is meant.
    pub(crate) fn parse(endpoint: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::BadEndpoint {
            endpoint: without_secrets(endpoint),
            problem: problem.to_owned(),
        };
        let host_of = |host: &str| format!("wss://{host}.bsky.network/subscribe");
        let given = match endpoint {
            "us-east-1" => host_of("jetstream1.us-east"),
            "us-east-2" => host_of("jetstream2.us-east"),
            "us-west-1" => host_of("jetstream1.us-west"),
            "us-west-2" => host_of("jetstream2.us-west"),
            "us-east" => host_of("jetstream.us-east"),
            "us-west" => host_of("jetstream.us-west"),
            url => url.to_owned(),
        };
        let uri: Uri = given
            .parse()
            .map_err(|error| bad(&format!("not a URL ({error})")))?;
        let tls = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            Some(_) => return Err(bad("the scheme must be wss or ws")),
            None => return Err(bad("neither a known server name nor a URL with a scheme")),
        };
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("user and password are not supported"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(bad("no host"));
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().len() > host.len() => {
                return Err(bad("the port is not a number below 65536"));
            }
            None if tls => 443,
            None => 80,
        };
        for pair in uri.query().unwrap_or_default().split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            if OWN_PARAMETERS.contains(&name) {
                return Err(bad(&format!(
                    "`{name}` belongs in the configuration, not in the URL"
                )));
            }
        }
        let path = if uri.path() == "/" {
            "/subscribe"
        } else {
            uri.path()
        };
        let scheme = if tls { "wss" } else { "ws" };
        let mut url = format!("{scheme}://{authority}{path}");
        if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
            let _ = write!(url, "?{query}");
        }
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self {
            url,
            host,
            port,
            tls,
        })
    }

    /// The URL without the query members that this crate adds.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The whole URL of `request`, and whether its filter has to follow as an `options_update`.
    pub(crate) fn request_url(&self, request: &Request) -> (String, bool) {
        let filter = filter_query(&request.options);
        let say_hello = request.require_hello || filter.len() > QUERY_BYTES_MAX;
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            query.push_str(if query.is_empty() { "" } else { "&" });
            let _ = write!(query, "{name}={value}");
        };
        if let Some(cursor) = request.cursor {
            add("cursor", &cursor.value().to_string());
        }
        if request.compress {
            add("compress", "true");
        }
        if say_hello {
            add("requireHello", "true");
        }
        // With a hello the update replaces the whole filter, so that nothing of it belongs in the URL.
        if !say_hello && !filter.is_empty() {
            query.push_str(if query.is_empty() { "" } else { "&" });
            query.push_str(&filter);
        }
        let mut url = self.url.clone();
        if !query.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&query);
        }
        (url, say_hello)
    }
}

fn filter_query(options: &Options) -> String {
    let mut query = String::new();
    let lists = [
        ("wantedCollections", &options.wanted_collections),
        ("wantedDids", &options.wanted_dids),
    ];
    for (name, values) in lists {
        for value in values {
            let _ = write!(query, "{}{name}=", if query.is_empty() { "" } else { "&" });
            percent_encode(value, &mut query);
        }
    }
    if options.max_message_size_bytes > 0 {
        let separator = if query.is_empty() { "" } else { "&" };
        let _ = write!(
            query,
            "{separator}maxMessageSizeBytes={}",
            options.max_message_size_bytes
        );
    }
    query
}

/// Escapes everything but the unreserved characters of RFC 3986 and `:` and `*`, which a query may hold as they are.
fn percent_encode(value: &str, query: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:*".contains(&byte) {
            query.push(char::from(byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthands_name_the_public_servers() {
        let cases = [
            (
                "us-east-1",
                "wss://jetstream1.us-east.bsky.network/subscribe",
            ),
            (
                "us-west-2",
                "wss://jetstream2.us-west.bsky.network/subscribe",
            ),
            ("us-west", "wss://jetstream.us-west.bsky.network/subscribe"),
            ("ws://127.0.0.1:6008", "ws://127.0.0.1:6008/subscribe"),
            ("https://a.example/x/y?z=1", "wss://a.example/x/y?z=1"),
        ];
        for (given, url) in cases {
            assert_eq!(Endpoint::parse(given).unwrap().url(), url);
        }
        let local = Endpoint::parse("ws://[::1]:6008/").unwrap();
        assert_eq!(
            (local.host.as_str(), local.port, local.tls),
            ("::1", 6008, false)
        );
        assert_eq!(Endpoint::parse("wss://a.example").unwrap().port, 443);
    }

    #[test]
    fn unusable_endpoints_are_named() {
        for (given, problem) in [
            ("", "URL"),
            ("us-south-1", "known server name"),
            ("ftp://a.example/", "scheme"),
            ("wss://", "URL"),
            ("wss://u:p@a.example/", "password"),
            ("wss://a.example:99999/", "port"),
            ("wss://a.example/subscribe?cursor=1", "`cursor`"),
            ("wss://a.example/subscribe?x=1&compress=true", "`compress`"),
        ] {
            let error = Endpoint::parse(given).unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains(&without_secrets(given)),
                "{given}: {error}"
            );
            assert!(!error.contains("u:p") && !error.contains("x=1"), "{error}");
        }
    }

    #[test]
    fn query_holds_what_was_asked_for() {
        let endpoint = Endpoint::parse("ws://a.example/subscribe?x=1").unwrap();
        let mut request = Request {
            cursor: Some(Cursor::Seq(7)),
            compress: true,
            ..Request::default()
        };
        request.options.wanted_collections = vec!["app.bsky.feed.*".into(), "a&b".into()];
        request.options.wanted_dids = vec!["did:web:a%3A1".into()];
        request.options.max_message_size_bytes = 9;
        let (url, hello) = endpoint.request_url(&request);
        assert!(!hello);
        assert_eq!(
            url,
            "ws://a.example/subscribe?x=1&cursor=7&compress=true&wantedCollections=app.bsky.feed.*\
             &wantedCollections=a%26b&wantedDids=did:web:a%253A1&maxMessageSizeBytes=9"
        );
        assert_eq!(
            endpoint.request_url(&Request::default()).0,
            "ws://a.example/subscribe?x=1"
        );
    }

    #[test]
    fn a_long_filter_waits_for_the_hello() {
        let endpoint = Endpoint::parse("ws://a.example").unwrap();
        let mut request = Request::default();
        request.options.wanted_dids = (0..1000).map(|n| format!("did:plc:{n}")).collect();
        let (url, hello) = endpoint.request_url(&request);
        assert!(hello);
        assert_eq!(url, "ws://a.example/subscribe?requireHello=true");
    }
}
