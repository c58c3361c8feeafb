//! What a client asks for: the parameters of `/subscribe`, the `options_update`
//! message, and the filter that both describe.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

/// Distinct collections a client may ask for.
const COLLECTIONS_MAX: usize = 100;

/// Distinct DIDs a client may ask for.
const DIDS_MAX: usize = 10_000;

/// A client's wishes at connect.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) cursor: Option<u64>,
    pub(crate) compress: bool,
    pub(crate) require_hello: bool,
    pub(crate) filter: Filter,
}

/// Which events a client wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    collections: HashSet<String>,
    /// What stands before the `*` of `prefix.*`, dot included.
    prefixes: Vec<String>,
    dids: HashSet<String>,
    /// 0 is no limit.
    message_bytes_max: u64,
}

/// A message from the client.
#[derive(Debug, Deserialize)]
struct ClientMessage<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    payload: OptionsPayload,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OptionsPayload {
    wanted_collections: Vec<String>,
    wanted_dids: Vec<String>,
    max_message_size_bytes: i64,
}

/// What a message of the client means.
#[derive(Debug)]
pub(crate) enum Message {
    /// A new filter; replaces the old one whole.
    Options(Filter),
    /// Nothing to us.
    Unknown,
    /// Not JSON of the expected shape: close with 1007.
    Malformed(String),
    /// Options out of range: close with 1008.
    Invalid(String),
}

impl Request {
    /// Reads the query of the request target and the `Socket-Encoding` header.
    ///
    /// # Errors
    ///
    /// The text of the 400 answer, which names the parameter.
    pub(crate) fn parse(query: &str, socket_encoding: Option<&str>) -> Result<Self, String> {
        let mut request = Self {
            compress: socket_encoding == Some("zstd"),
            ..Self::default()
        };
        let (mut collections, mut dids, mut size) = (Vec::new(), Vec::new(), 0);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            match decode(name).as_str() {
                "cursor" if value.is_empty() => {}
                "cursor" => {
                    let cursor = value
                        .parse()
                        .map_err(|_| format!("cursor is not a number: {value}"))?;
                    request.cursor = Some(cursor);
                }
                "compress" => request.compress |= value == "true",
                "requireHello" => request.require_hello = value == "true",
                "wantedCollections" => collections.push(value),
                "wantedDids" => dids.push(value),
                "maxMessageSizeBytes" => size = value.parse::<u32>().unwrap_or(0),
                _ => {}
            }
        }
        request.filter = Filter::new(collections, dids, u64::from(size))?;
        Ok(request)
    }
}

impl Filter {
    fn new(
        collections: Vec<String>,
        dids: Vec<String>,
        message_bytes_max: u64,
    ) -> Result<Self, String> {
        let mut filter = Self {
            dids: dids.into_iter().collect(),
            message_bytes_max,
            ..Self::default()
        };
        for collection in collections {
            if let Some(prefix) = collection
                .strip_suffix('*')
                .filter(|prefix| prefix.ends_with('.'))
            {
                filter.prefixes.push(prefix.to_owned());
            } else if is_nsid(&collection) {
                filter.collections.insert(collection);
            } else {
                return Err(format!("wantedCollections is not an NSID: {collection}"));
            }
        }
        filter.prefixes.sort_unstable();
        filter.prefixes.dedup();
        if filter.collections.len() + filter.prefixes.len() > COLLECTIONS_MAX {
            return Err(format!(
                "wantedCollections has more than {COLLECTIONS_MAX} entries"
            ));
        }
        if filter.dids.len() > DIDS_MAX {
            return Err(format!("wantedDids has more than {DIDS_MAX} entries"));
        }
        if let Some(did) = filter.dids.iter().find(|did| !did.starts_with("did:")) {
            return Err(format!("wantedDids is not a DID: {did}"));
        }
        Ok(filter)
    }

    /// Whether the client wants this line. Constant time without filters; else the line is parsed.
    pub(crate) fn admits(&self, line: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            did: Cow<'a, str>,
            #[serde(borrow)]
            commit: Option<Commit<'a>>,
        }
        #[derive(Deserialize)]
        struct Commit<'a> {
            #[serde(borrow)]
            collection: Cow<'a, str>,
        }
        if self.message_bytes_max > 0 && line.len() as u64 > self.message_bytes_max {
            return false;
        }
        let by_collection = !(self.collections.is_empty() && self.prefixes.is_empty());
        if self.dids.is_empty() && !by_collection {
            return true;
        }
        let Ok(head) = serde_json::from_slice::<Head<'_>>(line) else {
            return false;
        };
        if !self.dids.is_empty() && !self.dids.contains(head.did.as_ref()) {
            return false;
        }
        match head.commit {
            Some(Commit { collection }) if by_collection => {
                self.collections.contains(collection.as_ref())
                    || self
                        .prefixes
                        .iter()
                        .any(|prefix| collection.starts_with(prefix.as_str()))
            }
            _ => true,
        }
    }
}

/// Reads a text message of the client.
pub(crate) fn client_message(text: &str) -> Message {
    let message: ClientMessage<'_> = match serde_json::from_str(text) {
        Ok(message) => message,
        Err(error) => return Message::Malformed(error.to_string()),
    };
    if message.kind != "options_update" {
        return Message::Unknown;
    }
    let payload = message.payload;
    let size = u64::try_from(payload.max_message_size_bytes).unwrap_or(0);
    match Filter::new(payload.wanted_collections, payload.wanted_dids, size) {
        Ok(filter) => Message::Options(filter),
        Err(reason) => Message::Invalid(reason),
    }
}

/// Whether the text has the syntax of an NSID (<https://atproto.com/specs/nsid>).
fn is_nsid(text: &str) -> bool {
    let segments: Vec<&str> = text.split('.').collect();
    let alphabet = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let Some((name, authority)) = segments.split_last() else {
        return false;
    };
    text.len() <= 317
        && authority.len() >= 2
        && authority.iter().all(|s| {
            (1..=63).contains(&s.len()) && alphabet(s) && !s.starts_with('-') && !s.ends_with('-')
        })
        && authority
            .first()
            .is_some_and(|tld| !tld.starts_with(|c: char| c.is_ascii_digit()))
        && (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Undoes percent-encoding; what does not decode stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| byte == b'%');
        let value = hex
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match value {
            Some(value) => {
                out.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE: &[u8] = br#"{"did":"did:plc:aa","time_us":1,"kind":"commit","commit":{"rev":"r","operation":"delete","collection":"app.bsky.feed.like","rkey":"k"}}"#;
    const ACCOUNT: &[u8] =
        br#"{"did":"did:plc:aa","time_us":1,"kind":"account","account":{"active":true}}"#;

    #[test]
    fn filters_combine_and_account_events_ignore_collections() {
        let admits = |query: &str| {
            let filter = Request::parse(query, None).unwrap().filter;
            (filter.admits(LIKE), filter.admits(ACCOUNT))
        };
        assert_eq!(admits(""), (true, true));
        assert_eq!(admits("wantedCollections=app.bsky.feed.like"), (true, true));
        assert_eq!(admits("wantedCollections=app.bsky.feed.*"), (true, true));
        assert_eq!(
            admits("wantedCollections=app.bsky.graph.%2A&wantedCollections=a.b.c"),
            (false, true)
        );
        assert_eq!(admits("wantedDids=did%3Aplc%3Aaa"), (true, true));
        assert_eq!(admits("wantedDids=did:plc:bb"), (false, false));
        assert_eq!(
            admits("wantedDids=did:plc:aa&wantedCollections=a.b.c"),
            (false, true)
        );
        assert_eq!(admits("maxMessageSizeBytes=100"), (false, true));
        assert_eq!(admits("maxMessageSizeBytes=-1"), (true, true));
    }

    #[test]
    fn bad_parameters_are_named() {
        for (query, name) in [
            ("cursor=x", "cursor"),
            ("wantedCollections=like", "wantedCollections"),
            ("wantedDids=bob", "wantedDids"),
        ] {
            let error = Request::parse(query, None).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let many: Vec<String> = (0..101)
            .map(|i| format!("wantedCollections=a.b.c{i}"))
            .collect();
        assert!(Request::parse(&many.join("&"), None).is_err());
        assert!(
            Request::parse("cursor=&unknown=1", None)
                .unwrap()
                .cursor
                .is_none()
        );
        assert!(Request::parse("", Some("zstd")).unwrap().compress);
    }

    #[test]
    fn messages_of_the_client_are_told_apart() {
        assert!(matches!(client_message("{"), Message::Malformed(_)));
        assert!(matches!(
            client_message(r#"{"type":"other"}"#),
            Message::Unknown
        ));
        assert!(matches!(
            client_message(r#"{"type":"options_update","payload":{"wantedDids":["x"]}}"#),
            Message::Invalid(_)
        ));
        let Message::Options(filter) = client_message(
            r#"{"type":"options_update","payload":{"wantedCollections":["a.b.c"]}}"#,
        ) else {
            panic!("options expected");
        };
        assert!(!filter.admits(LIKE));
    }
}
