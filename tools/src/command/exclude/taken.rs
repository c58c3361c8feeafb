//! What an entry is taken for, and what a page is of that somebody most likely means.

use orrery_engine::{Excluded, ExclusionKind};
use orrery_links::syntax::{Did, Handle};

/// What an entry was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Account,
    Record,
    Target,
}

impl Taken {
    pub(super) const ALL: [Self; 3] = [Self::Account, Self::Record, Self::Target];

    pub(super) fn of(entry: &Excluded) -> Self {
        let is_record = |uri: &str| {
            // Records are known by their account's DID, and a handle in its place is only where links lead.
            uri.strip_prefix("at://")
                .is_some_and(|uri| uri.starts_with("did:") && uri.split('/').count() == 3)
        };
        match entry.kind {
            ExclusionKind::Account => Self::Account,
            ExclusionKind::Target if is_record(&entry.value) => Self::Record,
            ExclusionKind::Target => Self::Target,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Record => "record",
            Self::Target => "target",
        }
    }

    /// What an entry of that kind is about.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Account => "all that it wrote",
            Self::Record => "the record, and links to it",
            Self::Target => "links to it",
        }
    }
}

/// What a target is most likely the page of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// What goes on being shown.
    pub(super) what: &'static str,
    /// What to exclude so that it is not: a DID or a record's at-uri, or how the handle in it is resolved.
    pub(super) exclude: String,
}

/// Records that have pages behind an account's, by what stands in the path.
const PAGES: [(&str, &str, &str); 3] = [
    ("post", "app.bsky.feed.post", "the post"),
    ("lists", "app.bsky.graph.list", "the list"),
    ("feed", "app.bsky.feed.generator", "the feed's record"),
];

pub(super) fn behind(entry: &Excluded) -> Option<Behind> {
    if Taken::of(entry) != Taken::Target {
        return None;
    }
    let path = match entry.value.strip_prefix("at://") {
        Some(authority) => authority,
        // As bsky.app and its like have them.
        None => {
            let (_, path) = entry.value.split_once("/profile/")?;
            path.split(['?', '#']).next()?
        }
    };
    let mut parts = path.trim_end_matches('/').split('/');
    let (name, page, key, more) = (parts.next()?, parts.next(), parts.next(), parts.next());
    let (what, record) = match (page, key, more) {
        (None, ..) => ("what the account wrote", String::new()),
        (Some(page), Some(key), None) => {
            let (_, collection, what) = PAGES.into_iter().find(|(of, ..)| *of == page)?;
            (what, format!("/{collection}/{key}"))
        }
        _ => return None,
    };
    let uri = |did: &str| match record.is_empty() {
        true => did.to_owned(),
        false => format!("at://{did}{record}"),
    };
    let exclude = if Did::parse(name).is_ok() {
        uri(name)
    } else {
        Handle::parse(name).ok()?;
        let told = format!("/xrpc/com.atproto.identity.resolveHandle?handle={name} tells");
        match record.is_empty() {
            true => format!("the DID of {name}, which {told}"),
            false => format!("{}, with the DID of {name}, which {told}", uri("DID")),
        }
    };
    Some(Behind { what, exclude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_is_of_is_told_from_the_page() {
        let behind = |text: &str| {
            let found = behind(&Excluded::parse(text, false).unwrap())?;
            Some((found.what, found.exclude))
        };
        let did = "did:plc:z72i7hdynmk6r22z27h6tvur";
        for text in [
            format!("https://bsky.app/profile/{did}"),
            format!("https://bsky.app/profile/{did}/?a=b/c"),
            format!("at://{did}"),
        ] {
            let account = Some(("what the account wrote", did.to_owned()));
            assert_eq!(behind(&text), account, "{text}");
        }
        // Advice to exclude the account would take down far more than the page shows.
        let post = format!("https://bsky.app/profile/{did}/post/3k");
        let uri = format!("at://{did}/app.bsky.feed.post/3k");
        assert_eq!(behind(&post), Some(("the post", uri)));
        let (_, of_handle) = behind("https://bsky.app/profile/alice.example.org").unwrap();
        assert!(
            of_handle.starts_with("the DID of")
                && of_handle.contains("resolveHandle?handle=alice.example.org"),
            "{of_handle}"
        );
        let (_, of_post) = behind("https://bsky.app/profile/alice.example.org/post/3k").unwrap();
        assert!(
            of_post
                .starts_with("at://DID/app.bsky.feed.post/3k, with the DID of alice.example.org"),
            "{of_post}"
        );
        for text in [
            did.to_owned(),
            format!("at://{did}/app.bsky.feed.post/3k"),
            format!("https://bsky.app/profile/{did}/followers"),
            format!("https://bsky.app/profile/{did}/post/3k/liked-by"),
            "https://example.org/profile/".to_owned(),
            "https://example.org/about".to_owned(),
        ] {
            assert_eq!(behind(&text), None, "{text}");
        }
    }

    #[test]
    fn a_record_is_known_by_a_did_alone() {
        let taken = |text: &str| Taken::of(&Excluded::parse(text, true).unwrap());
        assert_eq!(
            taken("at://did:plc:abc/app.bsky.feed.post/3k"),
            Taken::Record
        );
        assert_eq!(
            taken("at://alice.example.org/app.bsky.feed.post/3k"),
            Taken::Target
        );
    }
}
