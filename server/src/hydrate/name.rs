//! Names of records, as links and clients write them.

use orrery_links::syntax::{AtIdentifier, Nsid, RecordKey};
use orrery_links::{TargetKind, parse_target};

/// The name of a record, checked for its syntax. A handle is in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RecordName {
    /// A DID or a handle.
    pub(crate) authority: String,
    pub(crate) collection: String,
    pub(crate) rkey: String,
}

impl RecordName {
    /// # Errors
    /// What is wrong with which part.
    pub(crate) fn new(authority: &str, collection: &str, rkey: &str) -> Result<Self, String> {
        let authority = identifier(authority)?;
        Nsid::parse(collection).map_err(|error| error.to_string())?;
        RecordKey::parse(rkey).map_err(|error| error.to_string())?;
        Ok(Self {
            authority,
            collection: collection.to_owned(),
            rkey: rkey.to_owned(),
        })
    }

    /// Reads an at-uri, in whatever form links have it: its normal form counts, without its query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_uri(uri: &str) -> Result<Self, String> {
        let Some((uri, TargetKind::AtUri)) = parse_target(uri) else {
            return Err("it is no at-uri".to_owned());
        };
        let rest = uri.strip_prefix("at://").unwrap_or_default();
        if rest.contains('#') {
            return Err("an at-uri of a record has no fragment".to_owned());
        }
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let mut parts = rest.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(authority), Some(collection), Some(rkey)) => {
                Self::new(authority, collection, rkey)
            }
            _ => Err("an at-uri of a record has a collection and a record key".to_owned()),
        }
    }

    /// Whether no handle has to be resolved.
    pub(crate) fn is_by_did(&self) -> bool {
        self.authority.starts_with("did:")
    }
}

/// A DID, or a handle in lower case.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn identifier(text: &str) -> Result<String, String> {
    match AtIdentifier::parse(text) {
        Ok(AtIdentifier::Did(did)) => Ok(did.as_str().to_owned()),
        Ok(AtIdentifier::Handle(handle)) => Ok(handle.as_str().to_ascii_lowercase()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_uris_are_read_in_their_normal_form() {
        let name = |uri: &str| {
            let name = RecordName::of_uri(uri).unwrap();
            format!("{} {} {}", name.authority, name.collection, name.rkey)
        };
        for uri in [
            "at://did:plc:a/app.bsky.feed.post/3k",
            "AT://did:plc:a/app.bsky.feed.post/3k/",
            "at://did:plc:a/app.bsky.feed.post/3k?x=y",
            "at://did:plc:a/app.bsky.feed.post/%33k",
            "at://did:plc:a/x/../app.bsky.feed.post/3k",
        ] {
            assert_eq!(name(uri), "did:plc:a app.bsky.feed.post 3k", "{uri}");
        }
        assert_eq!(
            name("at://Alice.Example/app.bsky.feed.post/self"),
            "alice.example app.bsky.feed.post self"
        );
    }

    #[test]
    fn what_names_no_record_is_refused() {
        for uri in [
            "",
            "x",
            "https://x.example/a.b.c/d",
            "at://",
            "at://did:plc:a",
            "at://did:plc:a/app.bsky.feed.post",
            "at://did:plc:a/app.bsky.feed.post/",
            "at://did:plc:a/app.bsky.feed.post/3k/x",
            "at://did:plc:a/app.bsky.feed.post/3k#x",
            "at://did:plc:a/app.bsky.feed.post/..",
            "at://did:plc:a/post/3k",
            "at://nohandle/app.bsky.feed.post/3k",
            "at://did:plc:a/app.bsky.feed.post/a%20b",
        ] {
            assert!(RecordName::of_uri(uri).is_err(), "{uri}");
        }
    }
}
