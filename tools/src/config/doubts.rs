//! Names of collections that can be taken as they stand, and most likely stand for more.

/// Collections of well-known lexicons: a name above one of them, and itself none of them, hardly means a collection of its own.
/// What is not here is taken as it stands, without a word.
const KNOWN: [&str; 30] = [
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

/// What is to be told of a name in a selection: what it is taken for, and what most likely is meant.
pub(crate) fn of_selection(
    collections: &[String],
    exclude: &[String],
) -> Vec<(&'static str, (String, String))> {
    let mut found = Vec::new();
    for (key, names) in [("collections", collections), ("exclude", exclude)] {
        let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        for name in &names {
            let is_below = |other: &str| {
                let below = other.strip_prefix(name);
                below.is_some_and(|below| below.starts_with('.'))
            };
            let is_meant = name.ends_with(".*") || KNOWN.contains(name);
            if is_meant || names.contains(&&*format!("{name}.*")) {
                continue;
            }
            if let Some(below) = KNOWN.into_iter().find(|other| is_below(other)) {
                let wrong = format!(
                    "{name} is taken for one collection of that name, and {below} is another"
                );
                found.push((key, (wrong, format!("for all below it write {name}.*"))));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_above_collections_is_doubted_and_a_collection_is_not() {
        let told = |collections: &[&str], exclude: &[&str]| -> Vec<String> {
            let owned = |names: &[&str]| -> Vec<String> {
                names.iter().map(|name| (*name).to_owned()).collect()
            };
            let found = of_selection(&owned(collections), &owned(exclude));
            let lines = found.into_iter();
            lines
                .map(|(key, (wrong, right))| format!("{key}: {wrong}; {right}"))
                .collect()
        };
        assert_eq!(
            told(&["app.bsky.feed", "app.bsky.graph.*"], &[]),
            [
                "collections: app.bsky.feed is taken for one collection of that name, and app.bsky.feed.generator is another; \
              for all below it write app.bsky.feed.*"
            ]
        );
        let spaced = told(&["sh.tangled.repo", " app.bsky.graph"], &[]);
        assert!(
            spaced.len() == 1 && spaced[0].ends_with("write app.bsky.graph.*"),
            "{spaced:?}"
        );
        // A collection that nobody here knows may well have others below its name.
        assert_eq!(
            told(
                &["org.example.a.*"],
                &["org.example.a.b", "org.example.a.b.c"]
            ),
            [""; 0]
        );
        for names in [
            &["sh.tangled.repo", "sh.tangled.repo.issue"][..],
            &["app.bsky.feed.*", "app.bsky.feed.like", "app.bsky.fee"],
            &["org.example.thing", "org.example.things"],
            &["org.example.thing", "org.example.thing.*"],
            &["app.bsky.feed", "app.bsky.feed.*"],
        ] {
            assert_eq!(told(names, &[]), [""; 0], "{names:?}");
        }
    }
}
