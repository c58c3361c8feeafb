//! Addresses as errors and logs tell them.

use std::fmt::Write as _;

/// What stands in the place of what is not told.
const HIDDEN: &str = "(hidden)";
const HIDDEN_USER: &str = "(hidden)@";

/// What a [mark](marked) begins with.
const MARKED: &str = "(hidden-";

/// Names of keys: of members of a query, and of segments of a path before one.
const KEYS: [&str; 11] = [
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
    "password",
];

/// A word with fewer characters is not taken for a key because of what it looks like.
const KEY_CHARS_MIN: usize = 8;

/// A secret with fewer bytes is hidden in other texts only where it is a word of its own.
const ANYWHERE_BYTES_MIN: usize = 4;

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
    let user = if parts.user.is_some() {
        HIDDEN_USER
    } else {
        ""
    };
    let behind = match parts.mark {
        Some(mark) => format!("{mark}{HIDDEN}"),
        None => String::new(),
    };
    format!("{}{user}{}{}{behind}", parts.scheme, parts.host, parts.path)
}

/// A server as anybody may be told of it: its address without user, query and fragment, and with what looks like a key in its path hidden.
/// Several sources may be told alike; [`source_name`] tells them apart.
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

/// The name under which positions of a source are stored: its address without what is a key by its own name, which may be
/// changed, and with a mark in place of what else may be a secret. Two addresses have one name only where nothing but such keys
/// differs: what only looks like a key may be what one source is told from another by. The name of a name is itself, and that of an
/// address without any of that is the address.
///
/// Names are stored: those of an address may not change.
///
/// ```
/// use orrery_jetstream::source_name;
///
/// assert_eq!(source_name("wss://jetstream.example/subscribe?key=secret"), "wss://jetstream.example/subscribe");
/// let [east, west] = ["east", "west"].map(|of| source_name(&format!("wss://jetstream.example/subscribe?key=secret&of={of}")));
/// assert_ne!(east, west);
/// ```
#[must_use]
pub fn source_name(address: &str) -> String {
    let parts = Parts::of(address);
    let path = map_segments(parts.whole_path, |segment, before| {
        let is_key = before.is_some_and(says_key) || is_named_key(segment);
        match is_key {
            true => HIDDEN.to_owned(),
            false if before.is_some_and(precedes_key) || is_like_a_key(segment) => marked(segment),
            false => segment.to_owned(),
        }
    });
    let members = parts.query.split('&');
    let members = members.filter(|member| !member.is_empty() && !is_key_member(member));
    let query = match &*members.collect::<Vec<_>>().join("&") {
        "" => String::new(),
        left => format!("?{}", marked(left)),
    };
    format!("{}{}{path}{query}", parts.scheme, parts.host)
}

/// A text that came from the server at an address, with all that [`without_secrets`] hides of that address hidden in it too, as it stands
/// there, percent-encoded and decoded: servers say what they were asked for. Large and small letters count as the same, and a secret whose
/// end is cut off at the end of the text is hidden as well.
pub(crate) fn without_secrets_of(address: &str, text: &str) -> String {
    let (said, parts) = (text.as_bytes(), secrets(address));
    let mut is_hidden = vec![false; said.len()];
    for part in parts.iter().map(String::as_bytes) {
        for at in 0..said.len() {
            let rest = said.get(at..).unwrap_or_default();
            let length = part.len().min(rest.len());
            let is_cut = length < part.len();
            let is_it = match (rest.get(..length), part.get(..length)) {
                (Some(found), Some(wanted)) => found.eq_ignore_ascii_case(wanted),
                _ => false,
            };
            // A few characters may stand in any word.
            let is_word = || {
                !is_alphanumeric(said, at.checked_sub(1))
                    && !is_alphanumeric(said, at.checked_add(length))
            };
            if is_it && (length >= ANYWHERE_BYTES_MIN || !is_cut && is_word()) {
                is_hidden
                    .iter_mut()
                    .skip(at)
                    .take(length)
                    .for_each(|hidden| *hidden = true);
            }
        }
    }
    let mut shown = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, character) in text.char_indices() {
        let is_hidden = is_hidden.get(at) == Some(&true);
        match (is_hidden, was_hidden) {
            (true, true) => {}
            (true, false) => shown.push_str(HIDDEN),
            (false, _) => shown.push(character),
        }
        was_hidden = is_hidden;
    }
    shown
}

fn is_alphanumeric(text: &[u8], at: Option<usize>) -> bool {
    at.and_then(|at| text.get(at))
        .is_some_and(u8::is_ascii_alphanumeric)
}

/// All that is not told of an address, as a whole and in its parts, in each way that it may be written.
fn secrets(address: &str) -> Vec<String> {
    let parts = Parts::of(address);
    let mut found = Vec::new();
    let mut add_with_value = |text: &str, separator: char| {
        // What gives no value is one itself.
        let (name, value) = text.split_once(separator).unwrap_or((text, ""));
        let value = if value.is_empty() { name } else { value };
        for text in [text, value] {
            let decoded = percent_decoded(text);
            found.extend([
                text.to_owned(),
                percent_encoded(&decoded),
                decoded.replace('+', " "),
                decoded,
            ]);
        }
    };
    if let Some(user) = parts.user {
        add_with_value(user, ':');
        add_with_value(user.split(':').next().unwrap_or_default(), ':');
    }
    let segments = parts.whole_path.split('/').zip(parts.path.split('/'));
    for (segment, _) in segments.filter(|(segment, shown)| segment != shown) {
        add_with_value(segment, '=');
    }
    for text in [parts.query, parts.fragment] {
        add_with_value(text, '=');
        text.split('&')
            .for_each(|member| add_with_value(member, '='));
    }
    found.retain(|text| !text.is_empty());
    found.sort_unstable();
    found.dedup();
    found
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let decoded = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(first));
        rest = behind
            .get(if decoded.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What there is in an address, and what of it may be told.
struct Parts<'a> {
    /// With its colon and slashes, where there is one.
    scheme: &'a str,
    /// With its password.
    user: Option<&'a str>,
    host: &'a str,
    whole_path: &'a str,
    /// Without its secrets.
    path: String,
    /// What begins that which is not told.
    mark: Option<char>,
    /// Without its mark.
    query: &'a str,
    /// Without its mark.
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(address: &'a str) -> Self {
        let scheme_end = address.find("://").filter(|end| {
            let scheme = address.get(..*end).unwrap_or_default();
            scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
        let (scheme, rest) = address.split_at(scheme_end.map_or(0, |end| end + "://".len()));
        let (place, behind) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let slash = place.find('/').unwrap_or(place.len());
        let authority = place.get(..slash).unwrap_or_default();
        // What is no address may be one with a slash in its password.
        let is_address = !scheme.is_empty() && has_port_or_none(authority);
        let user_end = match is_address {
            true => authority.rfind('@'),
            false => place.rfind('@'),
        };
        let (user, place) = match user_end.and_then(|at| place.split_at_checked(at)) {
            Some((user, behind)) => (Some(user), behind.get(1..).unwrap_or_default()),
            None => (None, place),
        };
        let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let (query, fragment) = behind.split_once('#').unwrap_or((behind, ""));
        Self {
            scheme,
            user,
            host,
            whole_path: path,
            path: shown_path(path),
            mark: behind.chars().next(),
            query: query.strip_prefix('?').unwrap_or_default(),
            fragment,
        }
    }
}

/// Whether what is behind the last colon of an authority, where there is one, can be a port.
fn has_port_or_none(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn shown_path(path: &str) -> String {
    map_segments(path, |segment, before| {
        let is_behind = before.is_some_and(precedes_key);
        match is_behind || is_marked(segment) || is_like_a_key(segment) {
            true => HIDDEN.to_owned(),
            false => segment.to_owned(),
        }
    })
}

/// A path with each segment that is not empty replaced by what is made of it and of the one before it, unless that is hidden by one
/// before it: a key says nothing of what is behind it.
fn map_segments(path: &str, replaced: impl Fn(&str, Option<&str>) -> String) -> String {
    let mut before = None;
    let segments = path.split('/').map(|segment| {
        if segment.is_empty() {
            return String::new();
        }
        let is_behind = before.is_some_and(precedes_key);
        let made = replaced(segment, before);
        before = (!is_behind).then_some(segment);
        made
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether a name says that its value, or the segment behind it, is a key and nothing else.
fn says_key(name: &str) -> bool {
    KEYS.iter().any(|key| name.eq_ignore_ascii_case(key))
}

/// Whether the segment behind one of this name most likely is a key.
fn precedes_key(name: &str) -> bool {
    says_key(name) || name.eq_ignore_ascii_case("auth")
}

fn is_named_key(member: &str) -> bool {
    member
        .split_once('=')
        .is_some_and(|(name, _)| says_key(name))
}

/// Whether a member of a query is a key by its name.
fn is_key_member(member: &str) -> bool {
    let name = member.split('=').next().unwrap_or_default();
    says_key(name) || name.eq_ignore_ascii_case("auth")
}

/// A mark that is another one for another text, and does not tell the text.
fn marked(text: &str) -> String {
    if text == HIDDEN || is_marked(text) {
        return text.to_owned();
    }
    // FNV-1a, of which half is told: no text can be found by that.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{MARKED}{:08x})", (hash >> 32) ^ (hash & 0xffff_ffff))
}

fn is_marked(text: &str) -> bool {
    text.strip_prefix(MARKED)
        .and_then(|text| text.strip_suffix(')'))
        .is_some_and(|mark| mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
    fn a_server_is_told_alike_whatever_key_it_is_asked_with() {
        for address in [
            "wss://a.example/key/abc123/subscribe?x=y#z",
            "wss://u:p@a.example/key/other/subscribe",
            "wss://a.example/key/(hidden)/subscribe",
        ] {
            let name = server_name(address);
            assert_eq!(name, "wss://a.example/key/(hidden)/subscribe");
            assert_eq!(server_name(&name), name);
        }
    }

    #[test]
    fn a_source_has_one_name_whatever_its_key_is_and_older_names_are_it_too() {
        for (addresses, name) in [
            (
                [
                    "wss://a.example/subscribe?key=one",
                    "wss://a.example/subscribe?Token=two#three",
                    "wss://u:p@a.example/subscribe?&auth=x&",
                ],
                "wss://a.example/subscribe",
            ),
            (
                [
                    "wss://a.example/key/abc123/subscribe",
                    "wss://a.example/key/other/subscribe?api_key=4",
                    "wss://a.example/key/4f9a1c77b02e4d5a/subscribe",
                ],
                "wss://a.example/key/(hidden)/subscribe",
            ),
            (
                [
                    "wss://a.example/key=abc/subscribe",
                    "wss://a.example/key=/subscribe",
                    "wss://a.example/(hidden)/subscribe",
                ],
                "wss://a.example/(hidden)/subscribe",
            ),
            (["us-east-1"; 3], "us-east-1"),
        ] {
            for address in addresses {
                assert_eq!(source_name(address), name, "{address}");
            }
            assert_eq!(source_name(name), name);
        }
    }

    #[test]
    fn what_only_looks_like_a_key_tells_sources_apart_without_being_told() {
        let mut names = Vec::new();
        for (address, secret) in [
            ("wss://a.example/subscribe", "none"),
            ("wss://a.example/subscribe?of=east&key=k", "east"),
            ("wss://a.example/subscribe?of=west&key=k", "west"),
            ("wss://a.example/subscribe?k=west", "west"),
            ("wss://a.example/4f9a1c77b02e4d5a/subscribe", "4f9a"),
            ("wss://a.example/4f9a1c77b02e4d5b/subscribe", "4f9a"),
            ("wss://a.example/of=east/subscribe", "east"),
            ("wss://a.example/of=west/subscribe", "west"),
            ("wss://a.example/auth/east", "east"),
            ("wss://a.example/auth/west", "west"),
            ("wss://a.example/key/abc123/one", "abc123"),
            ("wss://a.example/key/abc123/two", "abc123"),
            ("wss://a.example/subscribe/key", "none"),
            ("wss://[::1]/one/@x", "none"),
            ("wss://[::1]/two/@x", "none"),
            ("wss://b.example/subscribe", "none"),
            ("wss://a.example:444/subscribe", "none"),
            ("ws://a.example/subscribe", "none"),
        ] {
            let name = source_name(address);
            assert!(!name.contains(secret), "{name}");
            assert_eq!(source_name(&name), name);
            for text in [without_secrets(&name), server_name(&name)] {
                assert!(!text.contains("hidden-"), "{text}");
            }
            names.push(name);
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{names:#?}");
        // They are in data directories.
        assert_eq!(
            source_name("wss://a.example/4f9a1c77b02e4d5a/subscribe?of=east"),
            "wss://a.example/(hidden-c4360b4a)/subscribe?(hidden-f8e40905)"
        );
    }

    #[test]
    fn what_is_no_address_tells_no_secret_either() {
        for (address, shown) in [
            ("a.example/s?key=x://y", "a.example/s?(hidden)"),
            ("u:x://p@a.example", "(hidden)@a.example"),
            ("wss://u:p/w@a.example/s", "wss://(hidden)@a.example/s"),
            ("wss://u:1/w@a.example/s", "wss://u:1/w@a.example/s"),
            ("wss://[::1]:80/@s", "wss://[::1]:80/@s"),
            ("u:p@x://a.example", "(hidden)@x://a.example"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn what_is_hidden_of_an_address_is_hidden_in_what_its_server_says() {
        let address = "ws://me:pass%2Fword@a.example/token/SECRET456/s?apikey=SECRET789&k=a%20b%2bc&n=1&BARE#frag";
        for (said, shown) in [
            ("no such stream", "no such stream"),
            ("", ""),
            (
                "404: /token/SECRET456/s?apikey=SECRET789&k=a%20b%2bc&n=1&BARE is not there",
                "404: /token/(hidden)/s?(hidden) is not there",
            ),
            ("bad key SECRET789!", "bad key (hidden)!"),
            ("bad key secret789, SECRET456", "bad key (hidden), (hidden)"),
            (
                "k is \"a b+c\" or a%20b%2Bc",
                "k is \"(hidden)\" or (hidden)",
            ),
            ("me, pass/word, pass%2fword", "(hidden), (hidden), (hidden)"),
            ("me:pass/word@a.example frag", "(hidden)@a.example (hidden)"),
            (
                "BARE? n = 1, of 10 or 21",
                "(hidden)? n = (hidden), of 10 or 21",
            ),
            // Only so much was read.
            ("ä SECRET789SECR", "ä (hidden)"),
            ("ä SEC", "ä SEC"),
        ] {
            assert_eq!(without_secrets_of(address, said), shown);
        }
        for address in ["us-east-1", "wss://a.example/subscribe", ""] {
            let said = "GET /subscribe of a.example: 404";
            assert_eq!(without_secrets_of(address, said), said);
        }
    }
}
