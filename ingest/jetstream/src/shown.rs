//! Addresses as errors and logs tell them.

/// What stands in the place of what is not told.
const HIDDEN: &str = "(hidden)";
const HIDDEN_USER: &str = "(hidden)@";

/// Segments of a path behind which a key stands.
const BEFORE_KEYS: [&str; 12] = [
    "key",
    "keys",
    "apikey",
    "api-key",
    "api_key",
    "token",
    "tokens",
    "access-token",
    "access_token",
    "secret",
    "auth",
    "password",
];

/// A word with fewer characters is not taken for a key because of what it looks like.
const KEY_CHARS_MIN: usize = 8;

/// A word with so many characters is: names of the network's methods are made of shorter ones.
const WORD_CHARS_MAX: usize = 31;

/// An address with what may be a secret in it hidden: user and password, what is behind `?` or `#`, in which keys stand, and segments of
/// the path that look like a key, or stand behind one that says so.
///
/// ```
/// let url = "wss://me:secret@jetstream.example/subscribe?key=secret";
/// let shown = orrery_jetstream::without_secrets(url);
/// assert_eq!(shown, "wss://(hidden)@jetstream.example/subscribe?(hidden)");
/// let shown = orrery_jetstream::without_secrets("wss://jetstream.example/key/abc123/subscribe");
/// assert_eq!(shown, "wss://jetstream.example/key/(hidden)/subscribe");
/// ```
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let parts = Parts::of(address);
    let user = if parts.has_user { HIDDEN_USER } else { "" };
    let behind = match parts.mark {
        Some(mark) => format!("{mark}{HIDDEN}"),
        None => String::new(),
    };
    format!("{}{user}{}{}{behind}", parts.scheme, parts.host, parts.path)
}

/// The name by which a server is known, whatever key it is asked with: its address without user, query and fragment, and with what looks
/// like a key in its path hidden. An address without any of that is its own name, and the name of a name is itself.
///
/// ```
/// use orrery_jetstream::server_name;
///
/// assert_eq!(server_name("wss://jetstream.example/subscribe?key=secret"), "wss://jetstream.example/subscribe");
/// assert_eq!(server_name("us-east-1"), "us-east-1");
/// ```
#[must_use]
pub fn server_name(address: &str) -> String {
    let parts = Parts::of(address);
    format!("{}{}{}", parts.scheme, parts.host, parts.path)
}

/// What there is in an address, without its secrets.
struct Parts<'a> {
    /// With its colon and slashes, where there is one.
    scheme: &'a str,
    has_user: bool,
    host: &'a str,
    path: String,
    /// What begins that which is not told.
    mark: Option<char>,
}

impl<'a> Parts<'a> {
    fn of(address: &'a str) -> Self {
        let (scheme, rest) = match address.find("://") {
            Some(at) => address.split_at(at + "://".len()),
            None => ("", address),
        };
        let (place, behind) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let (has_user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => (true, host),
            None => (false, authority),
        };
        Self {
            scheme,
            has_user,
            host,
            path: shown_path(path),
            mark: behind.chars().next(),
        }
    }
}

fn shown_path(path: &str) -> String {
    let mut is_behind = false;
    let segments = path.split('/').map(|segment| {
        let is_key = !segment.is_empty() && (is_behind || is_like_a_key(segment));
        if !segment.is_empty() {
            is_behind = !is_key
                && BEFORE_KEYS
                    .iter()
                    .any(|name| segment.eq_ignore_ascii_case(name));
        }
        if is_key { HIDDEN } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether a segment looks like it was drawn and not written: one that gives a name a value, and one with a word in it that is
/// longer than words are, or in which letters and digits, or small and large letters, come in no order.
fn is_like_a_key(segment: &str) -> bool {
    if segment == HIDDEN {
        return false;
    }
    let words = segment.split(|c: char| !c.is_ascii_alphanumeric() && c != '+');
    segment.contains('=') || words.into_iter().any(is_drawn)
}

fn is_drawn(word: &str) -> bool {
    let length = word.len();
    if length < KEY_CHARS_MIN {
        return false;
    }
    let pairs = || word.bytes().zip(word.bytes().skip(1));
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let turns = pairs()
        .filter(|(a, b)| is_digit(*a) != is_digit(*b))
        .count();
    // In a name that is put together each word begins with a large letter, and has some more.
    let begun = pairs()
        .filter(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase())
        .count();
    length > WORD_CHARS_MAX || turns >= 2 || begun >= 3 && begun * 4 > length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_in_an_address_is_hidden_and_the_rest_stays() {
        for (address, shown) in [
            ("us-east-1", "us-east-1"),
            ("", ""),
            ("ws://a.example:80/x/@y", "ws://a.example:80/x/@y"),
            ("wss://a.example?key=b@c/d", "wss://a.example?(hidden)"),
            ("wss://a.example/#key", "wss://a.example/#(hidden)"),
            (
                "wss://a@b@c.example/#k?l",
                "wss://(hidden)@c.example/#(hidden)",
            ),
            ("u:p@a.example/s?key", "(hidden)@a.example/s?(hidden)"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn what_looks_like_a_key_in_a_path_is_hidden_and_plain_paths_stay() {
        for path in [
            "/subscribe",
            "/",
            "//x//",
            "/xrpc/com.atproto.sync.subscribeRepos",
            "/xrpc/network.bsky.jetstream.subscribeEventsOfAccounts",
            "/jetstream2/us-east-1/v1/subscribe",
            "/proxy/jetstream-2024-11-05/subscribe",
            "/keys",
            "/key/",
            "/DATA/Stream",
        ] {
            let address = format!("wss://a.example{path}");
            assert_eq!(without_secrets(&address), address);
            assert_eq!(server_name(&address), address);
        }
        for key in [
            "4f9a1c77b02e4d5a",
            "550e8400-e29b-41d4-a716-446655440000",
            "sk_live_51H8xQ2eZvKYlo2C",
            "AbQxKcVtPmRsZyWu",
            "qwertyuiopasdfghjklzxcvbnmqwertyu",
            "dGhpcyBpcyBhIGtleQ==",
            "key=abc",
        ] {
            let address = format!("wss://a.example:443/{key}/subscribe");
            let shown = "wss://a.example:443/(hidden)/subscribe";
            assert_eq!(without_secrets(&address), shown, "{key}");
            assert_eq!(server_name(&address), shown, "{key}");
        }
        // A key may be short where the segment before it says what it is.
        for before in ["key", "Token", "api-key"] {
            let shown = without_secrets(&format!("ws://a.example/{before}/abc123/subscribe"));
            assert_eq!(shown, format!("ws://a.example/{before}/(hidden)/subscribe"));
        }
    }

    #[test]
    fn a_server_has_one_name_whatever_key_it_is_asked_with() {
        for address in [
            "wss://a.example/key/abc123/subscribe?x=y#z",
            "wss://u:p@a.example/key/other/subscribe",
            "wss://a.example/key/(hidden)/subscribe",
        ] {
            let name = server_name(address);
            assert_eq!(name, "wss://a.example/key/(hidden)/subscribe");
            assert_eq!(server_name(&name), name);
        }
        for other in [
            "ws://a.example/key/abc123/subscribe",
            "wss://b.example/key/abc123/subscribe",
            "wss://a.example:444/key/abc123/subscribe",
            "wss://a.example/key/abc123",
        ] {
            assert_ne!(server_name(other), "wss://a.example/key/(hidden)/subscribe");
        }
    }
}
