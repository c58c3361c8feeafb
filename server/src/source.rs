//! What is told of the source that the index is fed from, to anybody who asks.

use std::net::IpAddr;

/// The host of a source, where anybody may know it: a name of the public network. What is no URL is the short name of a public server.
pub(crate) fn public_host(source: &str) -> Option<String> {
    let Some((_, rest)) = source.split_once("://") else {
        return (!source.is_empty()).then(|| source.to_owned());
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?.trim_end_matches('.');
    let is_name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let (_, top) = host.rsplit_once('.')?;
    let is_private = [
        "local",
        "localhost",
        "internal",
        "lan",
        "home",
        "corp",
        "arpa",
        "intranet",
        "private",
        "svc",
        "localdomain",
        "test",
        "invalid",
        "onion",
    ]
    .iter()
    .any(|name| top.eq_ignore_ascii_case(name));
    let is_address =
        host.parse::<IpAddr>().is_ok() || top.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !is_private && !is_address).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_public_name_alone() {
        let told = |source| public_host(source);
        let known = "jetstream2.us-east.bsky.network";
        for source in [
            "wss://jetstream2.us-east.bsky.network/subscribe",
            "wss://jetstream2.us-east.bsky.network:443/subscribe?apiKey=secret",
            "wss://user:secret@Jetstream2.us-east.bsky.network./",
        ] {
            assert_eq!(told(source).as_deref(), Some(known), "{source}");
        }
        assert_eq!(told("us-east-1").as_deref(), Some("us-east-1"));
        for source in [
            "ws://127.0.0.1:6008/subscribe",
            "ws://[::1]:6008/subscribe",
            "ws://10.1.2.3/",
            "ws://0x7f.1/",
            "ws://jetstream:6008/",
            "ws://nas.local/",
            "ws://jetstream.feeds.svc:6008/",
            "ws://nas.localdomain/",
            "ws://abcdef.onion/",
            "ws://10.0.0.0x7f/",
            "ws://pi.home.arpa/",
            "ws://a b.example/",
            "",
        ] {
            assert_eq!(told(source), None, "{source}");
        }
    }
}
