//! What is most likely meant where a question is well formed and can match nothing: the answer stays what it is, and
//! says so beside it.

use orrery_links::syntax::{Handle, Nsid};
use orrery_query::stream::Filters;

use crate::collections::meant_collection;
use crate::params::Params;

/// About a question for links.
pub(super) fn of_links(params: &Params) -> Option<String> {
    let scalar = |name| params.scalar(name).ok().flatten();
    let name = if scalar("target").is_some() {
        "target"
    } else {
        "subject"
    };
    if let Some(about) = scalar(name).and_then(of_target) {
        return Some(format!("parameter {name}: {about}"));
    }
    if let Some(about) = scalar("source").and_then(of_source) {
        return Some(format!("parameter source {about}"));
    }
    if let Some(about) = of_accounts(params) {
        return Some(about);
    }
    if let Some(meant) = scalar("pathToOther").and_then(|path| path.strip_prefix('.')) {
        return Some(format!(
            "parameter pathToOther is a path without its first dot: {}",
            shown(meant)
        ));
    }
    if scalar("pathToOther").is_some() {
        let others = params.pairs().filter(|(name, _)| *name == "otherSubject");
        let about = others
            .filter_map(|(_, value)| of_target(value.trim()))
            .next();
        if let Some(about) = about {
            return Some(format!("parameter otherSubject: {about}"));
        }
    }
    // What follows are the parameters of the older generation.
    scalar("target")?;
    match scalar("collection") {
        Some("") => return Some("parameter collection is empty".to_owned()),
        Some(name) if !is_collection(name) => {
            return Some(format!("parameter collection: {}", no_collection(name)));
        }
        Some(name) => {
            if let Some(about) = nearly(name) {
                return Some(format!("parameter collection: {about}"));
            }
        }
        None => {}
    }
    let path = scalar("path")?;
    let Some(bare) = path.strip_prefix('.') else {
        return Some(format!(
            "parameter path begins with a dot: .{}",
            shown(path)
        ));
    };
    let (collection, meant) = meant_path(scalar("collection")?, bare)?;
    Some(format!(
        "parameter path: {} have no links at {}; did you mean .{meant}?",
        shown(collection),
        shown(path)
    ))
}

/// About the accounts whose links are wanted.
fn of_accounts(params: &Params) -> Option<String> {
    params.pairs().find_map(|(name, value)| {
        let about = match name {
            "did" | "linkDid" => of_did(value.trim()),
            "from_dids" => value.split(',').find_map(of_did),
            _ => None,
        };
        about.map(|about| format!("parameter {name}: {about}"))
    })
}

/// About what stands where a DID is wanted; nothing about no text at all.
fn of_did(text: &str) -> Option<String> {
    let bare = text.strip_prefix('@').unwrap_or(text);
    if text.is_empty() || (text.starts_with("did:") && !text.contains('/') && !is_misspelt(text)) {
        return None;
    }
    Some(match Handle::parse(bare) {
        Ok(_) => format!(
            "{} is a handle: accounts are known by their DID, which resolveHandle tells",
            shown(bare)
        ),
        Err(_) if is_misspelt(text) => misspelt(text),
        Err(_) => format!("{} is no DID", shown(text)),
    })
}

/// About a question for what is counted in collections.
pub(super) fn of_stats(params: &Params) -> Option<String> {
    let named = params
        .pairs()
        .filter(|(name, _)| matches!(*name, "collection" | "collection[]"));
    let about = named.filter_map(|(_, name)| nearly(name.trim())).next();
    about.map(|about| format!("parameter collection: {about}"))
}

/// About one of many questions in a request.
pub(super) fn of_item(subject: &str, source: &str) -> Option<String> {
    if let Some(about) = of_target(subject) {
        return Some(format!("subject: {about}"));
    }
    of_source(source).map(|about| format!("source {about}"))
}

/// About a collection and a path behind a colon; without one it is refused elsewhere.
fn of_source(source: &str) -> Option<String> {
    let (collection, path) = source.split_once(':')?;
    if collection.is_empty() {
        return Some("has no collection before its colon".to_owned());
    }
    if path.is_empty() {
        return Some("has no path behind its colon".to_owned());
    }
    if let Some(meant) = path.strip_prefix('.') {
        return Some(format!(
            "has a path without its first dot: {}:{}",
            shown(collection),
            shown(meant)
        ));
    }
    match is_collection(collection) {
        true => nearly(collection)
            .map(|about| format!("names a collection: {about}"))
            .or_else(|| {
                let (collection, meant) = meant_path(collection, path)?;
                Some(format!(
                    "has a path at which {collection} have no links; did you mean {collection}:{meant}?"
                ))
            }),
        false => Some(format!("has no collection: {}", no_collection(collection))),
    }
}

/// The links of well-known collections that questions are mostly about, by their paths without the first dot, in byte order of the collections.
const LINKS: [(&str, &[&str]); 10] = [
    ("app.bsky.feed.generator", &["did"]),
    ("app.bsky.feed.like", &["subject.uri", "via.uri"]),
    ("app.bsky.feed.postgate", &["post"]),
    ("app.bsky.feed.repost", &["subject.uri", "via.uri"]),
    ("app.bsky.feed.threadgate", &["post"]),
    ("app.bsky.graph.block", &["subject"]),
    ("app.bsky.graph.follow", &["subject"]),
    ("app.bsky.graph.listblock", &["subject"]),
    ("app.bsky.graph.listitem", &["subject", "list"]),
    ("app.bsky.graph.starterpack", &["list"]),
];

/// What is most likely meant by a path at which a well-known collection has no links, above or below one at which it has: the collection
/// and that path, both without a first dot.
pub(super) fn meant_path(collection: &str, path: &str) -> Option<(&'static str, &'static str)> {
    let place = LINKS
        .binary_search_by(|(known, _)| (*known).cmp(collection))
        .ok()?;
    let (collection, paths) = LINKS.get(place)?;
    let is_below = |below: &str, above: &str| {
        below
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if paths.contains(&path) {
        return None;
    }
    let mut paths = paths.iter();
    let meant = paths.find(|known| is_below(known, path) || is_below(path, known))?;
    Some((collection, meant))
}

/// About a name that there may be, and that is nearly a well-known one.
fn nearly(name: &str) -> Option<String> {
    let meant = meant_collection(name)?;
    Some(format!(
        "{} is no well-known collection; did you mean {meant}?",
        shown(name)
    ))
}

/// Whether there may be records of a collection of that name.
pub(super) fn is_collection(name: &str) -> bool {
    Nsid::parse(name).is_ok()
}

fn no_collection(name: &str) -> String {
    format!("{} is no NSID, such as app.bsky.feed.like", shown(name))
}

/// Whether no link leads to such a thing: it is neither a DID nor a URI of any kind, all of which have a scheme. What has one that leads nowhere
/// all the same is not told apart.
pub(crate) fn is_no_target(text: &str) -> bool {
    !text.is_empty() && !text.contains(':')
}

/// Whether it is hardly what links lead to: [no target](is_no_target), an at-uri with something else than a DID in its DID's place, a DID of
/// the method plc that is not of its form, or a page about an account or a record.
pub(super) fn is_odd_target(text: &str) -> bool {
    let uri = text.strip_prefix("at://");
    is_no_target(text)
        || uri.is_some_and(|uri| !uri.starts_with("did:"))
        || is_misspelt(authority(uri.unwrap_or(text)))
        || text.starts_with(PAGES)
}

/// Where pages about accounts and records are.
const PAGES: &str = "https://bsky.app/profile/";

/// What stands before the first slash.
fn authority(text: &str) -> &str {
    text.split('/').next().unwrap_or_default()
}

/// Whether it looks as if a DID of the method plc had lost some characters, or had others: behind did:plc: are 24 of a to z and 2 to 7. One that is far
/// shorter or longer was never meant to be of this form.
fn is_misspelt(did: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    did.strip_prefix("did:plc:").is_some_and(|id| {
        (16..=32).contains(&id.len()) && !(id.len() == 24 && id.bytes().all(is_digit))
    })
}

fn misspelt(did: &str) -> String {
    format!(
        "no account has the DID {}: behind did:plc: are 24 of the characters a to z and 2 to 7",
        shown(did)
    )
}

/// What links lead to instead of a page about an account or a record; `path` is what stands behind [`PAGES`].
fn behind_page(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.trim_end_matches('/').split('/');
    let (name, page, key) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let collection = match page {
        Some("post") => "/app.bsky.feed.post/",
        Some("feed") => "/app.bsky.feed.generator/",
        Some("lists") => "/app.bsky.graph.list/",
        _ => "",
    };
    let record = match key {
        Some(key) if !collection.is_empty() => format!("{collection}{key}"),
        _ => String::new(),
    };
    let (did, how) = match name.starts_with("did:") {
        true => (name, String::new()),
        false => (
            "DID",
            format!("; resolveHandle tells the DID of {}", shown(name)),
        ),
    };
    match record.is_empty() {
        true => format!(
            "it is a page, to which few links lead: those to the account lead to {}{how}",
            shown(did)
        ),
        false => format!(
            "it is a page, to which few links lead: those to the record lead to {}{how}",
            shown(&format!("at://{did}{record}"))
        ),
    }
}

/// What most likely is meant by a target to which hardly any link leads: a handle, a word, an at-uri without a DID, a DID that is none, a page about
/// an account or a record.
#[must_use]
pub fn of_target(text: &str) -> Option<String> {
    is_odd_target(text).then(|| about(text))
}

/// What is to be said of a thing that no link leads to.
fn about(text: &str) -> String {
    if let Some(path) = text.strip_prefix(PAGES) {
        return behind_page(path);
    }
    let did = authority(text.strip_prefix("at://").unwrap_or(text));
    if is_misspelt(did) {
        return misspelt(did);
    }
    if let Some(uri) = text.strip_prefix("at://") {
        let authority = uri.split('/').next().unwrap_or_default();
        return match Handle::parse(authority) {
            Ok(_) => format!(
                "{} stands in the place of a DID: nearly all links to a record name its account's DID, which resolveHandle tells",
                shown(authority)
            ),
            Err(_) => format!("{} has no DID behind its at://", shown(text)),
        };
    }
    let bare = text.strip_prefix('@').unwrap_or(text);
    match Handle::parse(bare) {
        Ok(_) => format!(
            "{} is a handle or a host: links lead to an account's DID, which resolveHandle tells, or to a URL with its https://",
            shown(bare)
        ),
        Err(_) => format!("{} is neither a DID, an at-uri nor a URL", shown(text)),
    }
}

/// About the beginning of subjects: a whole handle in a DID's place, or by itself.
fn of_prefix(prefix: &str) -> Option<String> {
    let uri = prefix.strip_prefix("at://");
    let name = authority(uri.unwrap_or(prefix));
    let is_handle = Handle::parse(name).is_ok() && (uri.is_some() || name == prefix);
    if is_handle {
        return Some(about(prefix));
    }
    let is_whole = uri.is_some_and(|uri| uri.len() > name.len());
    (is_whole && is_misspelt(name)).then(|| misspelt(name))
}

/// About the lists of a subscription: the first value that can match nothing.
pub(crate) fn of_subscription(filters: &Filters) -> Option<String> {
    let subjects = filters.subjects.iter();
    if let Some(subject) = subjects.into_iter().find(|subject| is_odd_target(subject)) {
        return Some(format!("wantedSubjects: {}", about(subject)));
    }
    if let Some(about) = filters.prefixes.iter().find_map(|prefix| of_prefix(prefix)) {
        return Some(format!("wantedSubjectPrefixes: {about}"));
    }
    let is_odd = |did: &&String| did.contains('/') || !did.starts_with("did:") || is_misspelt(did);
    if let Some(did) = filters.dids.iter().find(is_odd) {
        if is_misspelt(did) {
            return Some(format!("wantedSubjectDids: {}", misspelt(did)));
        }
        let bare = did.strip_prefix('@').unwrap_or(did);
        return Some(match Handle::parse(bare) {
            // One may stand in an at-uri in a DID's place, and hardly ever does.
            Ok(_) => format!(
                "wantedSubjectDids: {} is a handle: nearly all links name an account's DID, which resolveHandle tells",
                shown(bare)
            ),
            Err(_) => format!("wantedSubjectDids: {} is no DID", shown(did)),
        });
    }
    let mut sources = filters.sources.iter();
    let odd = sources.find(|source| match source.split_once(':') {
        Some((collection, path)) => {
            !is_collection(collection) || path.is_empty() || path.starts_with('.')
        }
        None => true,
    });
    let Some(source) = odd else {
        let named = filters.sources.iter();
        let mut collections = named.filter_map(|source| Some(source.split_once(':')?.0));
        if let Some(about) = collections.find_map(nearly) {
            return Some(format!("wantedSources: {about}"));
        }
        let (source, (collection, meant)) = filters.sources.iter().find_map(|source| {
            let (collection, path) = source.split_once(':')?;
            Some((source, meant_path(collection, path)?))
        })?;
        return Some(format!(
            "wantedSources: {} has a path at which {collection} have no links; did you mean {collection}:{meant}?",
            shown(source)
        ));
    };
    Some(match source.split_once(':') {
        Some((collection, path)) if is_collection(collection) && path.len() > 1 => format!(
            "wantedSources: a path is written without its first dot: {}:{}",
            shown(collection),
            shown(path.trim_start_matches('.'))
        ),
        _ => format!(
            "wantedSources: {} is not a collection, a colon and a path, such as app.bsky.feed.like:subject.uri",
            shown(source)
        ),
    })
}

/// As far as a header should carry it: printable ASCII, and not too long.
fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLC: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

    #[test]
    fn paths_of_well_known_links_are_in_order_and_asked_about_only_where_they_are_wrong() {
        assert!(LINKS.is_sorted_by_key(|(collection, _)| collection));
        for (collection, paths) in LINKS {
            assert!(meant_collection(collection).is_none());
            for path in paths {
                assert_eq!(meant_path(collection, path), None);
                let below = format!("{path}.x");
                assert_eq!(meant_path(collection, &below), Some((collection, *path)));
            }
        }
    }

    #[test]
    fn what_a_subscription_takes_of_beginnings_in_vain_is_named() {
        for (prefix, wanted) in [
            ("", None),
            ("a", None),
            ("at:", None),
            ("at://", None),
            ("at://d", None),
            ("at://did:plc:z72i7hdynmk6r22z27", None),
            ("https://example.com/", None),
            ("https://bsky.app/profile/alice.example.com", None),
            (
                "at://alice.example.com/",
                Some("alice.example.com stands in the place of a DID"),
            ),
            (
                "at://alice.example.com",
                Some("alice.example.com stands in the place of a DID"),
            ),
            ("alice.example.com", Some("alice.example.com is a handle")),
            (
                "at://did:plc:z72i7hdynmk6r22z27h6tvu/",
                Some("no account has the DID"),
            ),
        ] {
            let told = of_subscription(&Filters {
                prefixes: vec![prefix.to_owned()],
                ..Filters::default()
            });
            let wanted = wanted.map(|wanted| format!("wantedSubjectPrefixes: {wanted}"));
            assert_eq!(told.is_some(), wanted.is_some(), "{prefix}: {told:?}");
            assert!(
                told.unwrap_or_default()
                    .starts_with(&wanted.unwrap_or_default()),
                "{prefix}"
            );
        }
    }

    #[test]
    fn what_an_item_asks_in_vain_is_named() {
        let post = "at://did:plc:a/a.b.c/d";
        for (subject, source, wanted) in [
            (post, "a.b.c:d", None),
            (
                "at://alice.example.com/a.b.c/d",
                "a.b.c:d",
                Some("subject: alice.example.com stands in"),
            ),
            (
                "at:///a.b.c",
                "a.b.c:d",
                Some("subject: at:///a.b.c has no DID"),
            ),
            (
                "alice.example.com",
                "a.b.c:d",
                Some("subject: alice.example.com is a handle"),
            ),
            (
                post,
                "a.b.c:.d",
                Some("source has a path without its first dot: a.b.c:d"),
            ),
            (
                post,
                "a.b:d",
                Some("source has no collection: a.b is no NSID"),
            ),
            (post, "a.b.c_d:e", Some("a.b.c_d is no NSID")),
            (
                post,
                "app.bsky.feed.lik:subject.uri",
                Some("did you mean app.bsky.feed.like?"),
            ),
            (post, "app.bsky.feed.like:subject.uri", None),
            (post, "app.bsky.feed.like:via.uri", None),
            (post, "app.bsky.feed.like:other", None),
            (post, "org.example.like:subject", None),
            (
                post,
                "app.bsky.feed.like:subject",
                Some(
                    "source has a path at which app.bsky.feed.like have no links; did you mean app.bsky.feed.like:subject.uri?",
                ),
            ),
            (
                post,
                "app.bsky.graph.follow:subject.uri",
                Some("did you mean app.bsky.graph.follow:subject?"),
            ),
            (PLC, "a.b.c:d", None),
            ("did:web:alice.example.com", "a.b.c:d", None),
            ("https://bsky.app/", "a.b.c:d", None),
            (
                "did:plc:z72i7hdynmk6r22z27h6tvu",
                "a.b.c:d",
                Some(
                    "subject: no account has the DID did:plc:z72i7hdynmk6r22z27h6tvu: behind did:plc: are 24",
                ),
            ),
            (
                "at://did:plc:Z72i7hdynmk6r22z27h6tvur/a.b.c/d",
                "a.b.c:d",
                Some("no account has the DID did:plc:Z72i7hdynmk6r22z27h6tvur:"),
            ),
            (
                "https://bsky.app/profile/alice.example.com/post/3k?x=y",
                "a.b.c:d",
                Some(
                    "those to the record lead to at://DID/app.bsky.feed.post/3k; resolveHandle tells the DID of alice.example.com",
                ),
            ),
            (
                "https://bsky.app/profile/did:plc:a/feed/news",
                "a.b.c:d",
                Some("those to the record lead to at://did:plc:a/app.bsky.feed.generator/news"),
            ),
            (
                "https://bsky.app/profile/alice.example.com",
                "a.b.c:d",
                Some(
                    "those to the account lead to DID; resolveHandle tells the DID of alice.example.com",
                ),
            ),
        ] {
            let told = of_item(subject, source);
            let is_told = told
                .as_deref()
                .zip(wanted)
                .is_some_and(|(told, wanted)| told.contains(wanted));
            assert_eq!(is_told, wanted.is_some(), "{subject} {source}: {told:?}");
            assert_eq!(
                told.is_some(),
                wanted.is_some(),
                "{subject} {source}: {told:?}"
            );
        }
    }

    #[test]
    fn what_a_subscription_wants_in_vain_is_named() {
        let told = |subjects: &[&str], dids: &[&str], sources: &[&str]| {
            let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            of_subscription(&Filters {
                subjects: list(subjects),
                prefixes: vec!["a".to_owned()],
                dids: list(dids),
                sources: list(sources),
            })
        };
        let subjects = [
            "did:plc:a",
            "at://did:plc:a/b.c.d/e",
            "https://x.example/",
            "x:y",
        ];
        let dids = ["did:plc:a", "did:web:alice.example.com"];
        assert_eq!(
            told(&subjects, &dids, &["a.b.c:d", "a.b.c:d:e", "a.b.c:d.e[]"]),
            None
        );
        for (told, wanted) in [
            (
                told(&["at://alice.example.com/a.b.c/d"], &[], &[]),
                "wantedSubjects: alice.example.com stands in the place of a DID",
            ),
            (
                told(&["did:plc:a", "alice.example.com"], &[], &[]),
                "wantedSubjects: alice.example.com is a handle",
            ),
            (told(&["word"], &[], &[]), "wantedSubjects: word is neither"),
            (
                told(&[], &["at://did:plc:a"], &[]),
                "wantedSubjectDids: at://did:plc:a is no DID",
            ),
            (
                told(&[], &["word"], &[]),
                "wantedSubjectDids: word is no DID",
            ),
            (
                told(&[], &["did:plc:a", "alice.example.com"], &[]),
                "wantedSubjectDids: alice.example.com is a handle: nearly all links name an account's DID",
            ),
            (
                told(&[], &["@alice.example.com"], &[]),
                "wantedSubjectDids: alice.example.com is a handle",
            ),
            (
                told(&[], &[], &["app.bsky.feed.like"]),
                "wantedSources: app.bsky.feed.like is not a collection",
            ),
            (
                told(&[], &[], &["a.b.c:d", "a.b.c:"]),
                "wantedSources: a.b.c: is not a collection",
            ),
            (told(&[], &[], &[":d"]), "wantedSources: :d is not"),
            (
                told(&[], &[], &["a.b.c:d", "app.bsky.feed.lik:subject.uri"]),
                "wantedSources: app.bsky.feed.lik is no well-known collection; did you mean app.bsky.feed.like?",
            ),
            (
                told(&[], &[], &["app.bsky:subject"]),
                "wantedSources: app.bsky:subject is not",
            ),
            (
                told(&[], &[], &["a.b.c:d", "app.bsky.feed.like:subject"]),
                "wantedSources: app.bsky.feed.like:subject has a path at which app.bsky.feed.like have no links",
            ),
            (
                told(&[], &["did:plc:z72i7hdynmk6r22z27h6tvu"], &[]),
                "wantedSubjectDids: no account has the DID",
            ),
            (
                told(&[], &[], &["a.b.c:.d.e"]),
                "without its first dot: a.b.c:d.e",
            ),
        ] {
            assert!(
                told.as_deref().is_some_and(|told| told.contains(wanted)),
                "{told:?}, {wanted}"
            );
        }
    }
}
