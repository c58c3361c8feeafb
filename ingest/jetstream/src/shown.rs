//! Addresses as errors and logs tell them.

/// What stands in the place of what is not told.
const HIDDEN: &str = "(hidden)";

/// An address with what may be a secret in it hidden: user and password, and what is behind `?` or `#`, in which keys stand.
///
/// ```
/// let url = "wss://me:secret@jetstream.example/subscribe?key=secret";
/// let shown = orrery_jetstream::without_secrets(url);
/// assert_eq!(shown, "wss://(hidden)@jetstream.example/subscribe?(hidden)");
/// ```
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let (place, mark) = match rest.split_once(['?', '#']) {
        Some((place, _)) if rest.as_bytes().get(place.len()) == Some(&b'?') => (place, "?"),
        Some((place, _)) => (place, "#"),
        None => (rest, ""),
    };
    let (authority, path) = match place.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (place, String::new()),
    };
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => authority.to_owned(),
    };
    let behind = if mark.is_empty() { "" } else { HIDDEN };
    format!("{scheme}{authority}{path}{mark}{behind}")
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
}
