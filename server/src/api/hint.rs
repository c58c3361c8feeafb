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
    if let Some(meant) = scalar("pathToOther").and_then(|path| path.strip_prefix('.')) {
        return Some(format!(
            "parameter pathToOther is a path without its first dot: {}",
            shown(meant)
        ));
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
    let path = scalar("path").filter(|path| !path.starts_with('.'))?;
    Some(format!(
        "parameter path begins with a dot: .{}",
        shown(path)
    ))
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
        true => nearly(collection).map(|about| format!("names a collection: {about}")),
        false => Some(format!("has no collection: {}", no_collection(collection))),
    }
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

/// Whether it is hardly what links lead to: [no target](is_no_target), or an at-uri with something else than a DID in its DID's place.
pub(super) fn is_odd_target(text: &str) -> bool {
    is_no_target(text)
        || text
            .strip_prefix("at://")
            .is_some_and(|uri| !uri.starts_with("did:"))
}

/// What most likely is meant by a target to which hardly any link leads: a handle, a word, an at-uri without a DID.
#[must_use]
pub fn of_target(text: &str) -> Option<String> {
    is_odd_target(text).then(|| about(text))
}

/// What is to be said of a thing that no link leads to.
fn about(text: &str) -> String {
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

/// About the lists of a subscription: the first value that can match nothing.
pub(crate) fn of_subscription(filters: &Filters) -> Option<String> {
    let subjects = filters.subjects.iter();
    if let Some(subject) = subjects.into_iter().find(|subject| is_odd_target(subject)) {
        return Some(format!("wantedSubjects: {}", about(subject)));
    }
    let mut dids = filters.dids.iter();
    if let Some(did) = dids.find(|did| did.contains('/') || !did.starts_with("did:")) {
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
        let about = collections.find_map(nearly)?;
        return Some(format!("wantedSources: {about}"));
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
