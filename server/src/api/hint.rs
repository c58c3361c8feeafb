//! What is most likely meant where a question is well formed and can match nothing: the answer stays what it is, and
//! says so beside it.

use orrery_links::syntax::Handle;
use orrery_query::stream::Filters;

use crate::params::Params;

/// About a question for links.
pub(super) fn of_links(params: &Params) -> Option<String> {
    let scalar = |name| params.scalar(name).ok().flatten();
    let name = if scalar("target").is_some() {
        "target"
    } else {
        "subject"
    };
    if let Some(target) = scalar(name).filter(|target| is_no_target(target)) {
        return Some(format!("parameter {name}: {}", about(target)));
    }
    if let Some((collection, path)) = scalar("source").and_then(|source| source.split_once(':')) {
        if collection.is_empty() {
            return Some("parameter source has no collection before its colon".to_owned());
        }
        if path.is_empty() {
            return Some("parameter source has no path behind its colon".to_owned());
        }
        if let Some(meant) = path.strip_prefix('.') {
            return Some(format!(
                "parameter source has a path without its first dot: {}:{}",
                shown(collection),
                shown(meant)
            ));
        }
    }
    if let Some(meant) = scalar("pathToOther").and_then(|path| path.strip_prefix('.')) {
        return Some(format!(
            "parameter pathToOther is a path without its first dot: {}",
            shown(meant)
        ));
    }
    // What follows are the parameters of the older generation.
    scalar("target")?;
    if scalar("collection").is_some_and(str::is_empty) {
        return Some("parameter collection is empty".to_owned());
    }
    let path = scalar("path").filter(|path| !path.starts_with('.'))?;
    Some(format!(
        "parameter path begins with a dot: .{}",
        shown(path)
    ))
}

/// Whether no link leads to such a thing: it is neither a DID nor a URI of any kind, all of which have a scheme. What has one that leads nowhere
/// all the same is not told apart.
pub(crate) fn is_no_target(text: &str) -> bool {
    !text.is_empty() && !text.contains(':')
}

/// What is to be said of a thing that no link leads to.
fn about(text: &str) -> String {
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
    if let Some(subject) = subjects.into_iter().find(|subject| is_no_target(subject)) {
        return Some(format!("wantedSubjects: {}", about(subject)));
    }
    // A handle may stand in an at-uri in a DID's place.
    let mut dids = filters.dids.iter();
    if let Some(did) = dids
        .find(|did| did.contains('/') || !(did.starts_with("did:") || Handle::parse(did).is_ok()))
    {
        return Some(format!("wantedSubjectDids: {} is no DID", shown(did)));
    }
    let mut sources = filters.sources.iter();
    let source = sources.find(|source| match source.split_once(':') {
        Some((collection, path)) => {
            collection.is_empty() || path.is_empty() || path.starts_with('.')
        }
        None => true,
    })?;
    Some(match source.split_once(':') {
        Some((collection, path)) if !collection.is_empty() && path.len() > 1 => format!(
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
        let dids = ["did:plc:a", "alice.example.com"];
        assert_eq!(
            told(&subjects, &dids, &["a.b.c:d", "a.b.c:d:e", "a.b.c:d.e[]"]),
            None
        );
        for (told, wanted) in [
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
                told(&[], &[], &["app.bsky.feed.like"]),
                "wantedSources: app.bsky.feed.like is not a collection",
            ),
            (
                told(&[], &[], &["a.b.c:d", "a.b.c:"]),
                "wantedSources: a.b.c: is not a collection",
            ),
            (told(&[], &[], &[":d"]), "wantedSources: :d is not"),
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
