//! Names of collections that can be taken as they stand, and most likely stand for more, or for others. What is like no well-known name is
//! taken without a word.

use orrery_server::{WELL_KNOWN, meant_collection, meant_prefix};

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
            if let Some(prefix) = name.strip_suffix(".*") {
                if let Some(meant) = meant_prefix(prefix) {
                    let wrong = format!("nothing well-known is below {prefix}");
                    found.push((key, (wrong, format!("did you mean {meant}.*?"))));
                }
                continue;
            }
            if WELL_KNOWN.contains(name) || names.contains(&&*format!("{name}.*")) {
                continue;
            }
            if let Some(meant) = meant_collection(name) {
                let wrong = format!("{name} is no well-known collection");
                found.push((key, (wrong, format!("did you mean {meant}?"))));
                continue;
            }
            if let Some(below) = WELL_KNOWN.into_iter().find(|other| is_below(other)) {
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
        assert_eq!(
            told(
                &["app.bsky.feed.lik", "app.bsky.feed.post"],
                &["app.bsky.grph.*"]
            ),
            [
                "collections: app.bsky.feed.lik is no well-known collection; did you mean app.bsky.feed.like?",
                "exclude: nothing well-known is below app.bsky.grph; did you mean app.bsky.graph.*?",
            ]
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
