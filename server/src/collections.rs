//! Collections of well-known lexicons, and names that are nearly theirs. Lexicons are open: a name that is not here is as good as one
//! that is, and what is said of it is a question.

/// Collections of well-known lexicons, in byte order.
pub const WELL_KNOWN: [&str; 30] = [
    "app.bsky.actor.profile",
    "app.bsky.actor.status",
    "app.bsky.feed.generator",
    "app.bsky.feed.like",
    "app.bsky.feed.post",
    "app.bsky.feed.postgate",
    "app.bsky.feed.repost",
    "app.bsky.feed.threadgate",
    "app.bsky.graph.block",
    "app.bsky.graph.follow",
    "app.bsky.graph.list",
    "app.bsky.graph.listblock",
    "app.bsky.graph.listitem",
    "app.bsky.graph.starterpack",
    "app.bsky.graph.verification",
    "app.bsky.labeler.service",
    "app.bsky.notification.declaration",
    "chat.bsky.actor.declaration",
    "com.atproto.lexicon.schema",
    "com.whtwnd.blog.entry",
    "fm.teal.alpha.feed.play",
    "pub.leaflet.document",
    "pub.leaflet.publication",
    "sh.tangled.feed.star",
    "sh.tangled.graph.follow",
    "sh.tangled.repo",
    "sh.tangled.repo.issue",
    "sh.tangled.repo.issue.comment",
    "sh.tangled.repo.pull",
    "sh.tangled.repo.pull.comment",
];

/// The well-known collection that somebody most likely means by a name which is none: one letter of it is another, missing, too much or
/// large, two have changed places, or a segment within it is missing.
///
/// ```
/// use orrery_server::meant_collection;
///
/// assert_eq!(meant_collection("app.bsky.feed.lik"), Some("app.bsky.feed.like"));
/// assert_eq!(meant_collection("app.bsky.post"), Some("app.bsky.feed.post"));
/// assert_eq!(meant_collection("app.bsky.feed.like"), None);
/// assert_eq!(meant_collection("org.example.thing"), None);
/// ```
#[must_use]
pub fn meant_collection(name: &str) -> Option<&'static str> {
    if WELL_KNOWN.binary_search(&name).is_ok() {
        return None;
    }
    WELL_KNOWN.into_iter().find(|known| is_near(name, known))
}

/// The prefix of well-known collections that somebody most likely means by one above none of them, in the same way.
#[must_use]
pub fn meant_prefix(prefix: &str) -> Option<&'static str> {
    let is_above = |known: &str| {
        let below = known.strip_prefix(prefix);
        below.is_some_and(|below| below.starts_with('.'))
    };
    if WELL_KNOWN.into_iter().any(is_above) {
        return None;
    }
    let prefixes = WELL_KNOWN.into_iter().flat_map(|known| {
        let ends = known.match_indices('.').map(|(at, _)| at);
        ends.filter_map(|at| known.get(..at))
    });
    prefixes
        .filter(|known| known.contains('.'))
        .find(|known| is_near(prefix, known))
}

/// Every count of a collection that is not well-known asks this of each that is: nothing is allocated.
fn is_near(name: &str, known: &str) -> bool {
    if name.len() > known.len() + 1 {
        return false;
    }
    if name.eq_ignore_ascii_case(known) {
        return true;
    }
    let pairs = name.bytes().zip(known.bytes());
    let before = pairs.take_while(|(a, b)| a == b).count();
    let (name_left, known_left) = (name.len() - before, known.len() - before);
    let pairs = name.bytes().rev().zip(known.bytes().rev());
    let both = pairs.take(name_left.min(known_left));
    let behind = both.take_while(|(a, b)| a == b).count();
    let [name_differs, known_differs] = [name, known].map(|text| {
        let bytes = text.as_bytes();
        bytes.get(before..bytes.len() - behind).unwrap_or_default()
    });
    match (name_differs, known_differs) {
        ([], [_]) | ([_], [] | [_]) => true,
        ([a, b], [c, d]) => (a, b) == (d, c),
        // A segment, with one of its dots.
        ([], more) => {
            let is_within = before > 0 && behind > 0;
            let dots = more.iter().filter(|byte| **byte == b'.').count();
            let begins = more.first() == Some(&b'.')
                && known.as_bytes().get(before + more.len()) == Some(&b'.');
            let ends = more.last() == Some(&b'.')
                && known.as_bytes().get(before.wrapping_sub(1)) == Some(&b'.');
            is_within && dots == 1 && (begins || ends)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_names_are_in_order_and_mean_themselves() {
        assert!(WELL_KNOWN.is_sorted());
        for name in WELL_KNOWN {
            assert_eq!(meant_collection(name), None);
        }
    }

    #[test]
    fn a_name_that_is_nearly_a_well_known_one_means_that_and_another_means_nothing() {
        for (name, meant) in [
            ("app.bsky.feed.lik", "app.bsky.feed.like"),
            ("app.bsky.feed.likes", "app.bsky.feed.like"),
            ("app.bsky.feed.liek", "app.bsky.feed.like"),
            ("app.bsky.fed.like", "app.bsky.feed.like"),
            ("app.bksy.feed.post", "app.bsky.feed.post"),
            ("apt.bsky.feed.post", "app.bsky.feed.post"),
            ("pp.bsky.feed.post", "app.bsky.feed.post"),
            ("app.bsky.graph.listItem", "app.bsky.graph.listitem"),
            ("app.bsky.post", "app.bsky.feed.post"),
            ("app.feed.like", "app.bsky.feed.like"),
            ("app.bsky.follow", "app.bsky.graph.follow"),
            ("sh.tangled.repos", "sh.tangled.repo"),
        ] {
            assert_eq!(meant_collection(name), Some(meant), "{name}");
        }
        for name in [
            "",
            "a.b.c",
            "com.ex.like",
            "org.example.thing",
            "app.bsky.feed",
            "app.bsky.feed.like.comment",
            "app.bsky.feed.bookmark",
            "app.bsky.graph.muteword",
            "bsky.feed.like",
            "app.bsky.feed.é",
        ] {
            assert_eq!(meant_collection(name), None, "{name}");
        }
    }

    #[test]
    fn a_prefix_that_is_nearly_above_well_known_names_means_the_one_that_is() {
        for (prefix, meant) in [
            ("app.bsky.fed", Some("app.bsky.feed")),
            ("app.bksy", Some("app.bsky")),
            ("app.bsky.feeds", Some("app.bsky.feed")),
            ("app.bsky.feed", None),
            ("app", None),
            ("ap", None),
            ("org.example", None),
        ] {
            assert_eq!(meant_prefix(prefix), meant, "{prefix}");
        }
    }
}
