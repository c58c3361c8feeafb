//! Questions that name a target and a source and nothing else, as nearly all that count do, read in one pass: that is most of what a
//! count from memory costs.

use std::borrow::Cow;

use super::hint;
use super::links::Generation;
use crate::collections::meant_collection;
use crate::html;
use crate::params::Params;
use crate::wire;

/// A question for all links to a target from a source: most that count are such.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open<'a> {
    pub(crate) target: &'a str,
    pub(crate) collection: &'a str,
    /// With its first dot.
    pub(crate) path: Cow<'a, str>,
}

impl<'a> Open<'a> {
    /// Reads it in one pass. `None` for every other question, for one that is wrong, and for one about which the answer has a
    /// hint: the other way reads those.
    pub(crate) fn read(params: &'a Params, generation: Generation) -> Option<Self> {
        let [
            mut target,
            mut collection,
            mut path,
            mut source,
            mut reverse,
        ] = [None; 5];
        for (name, value) in params.pairs() {
            let place = match (name, generation) {
                ("target", Generation::Links) | ("subject", Generation::Xrpc) => &mut target,
                ("collection", Generation::Links) => &mut collection,
                ("path", Generation::Links) => &mut path,
                ("source", Generation::Xrpc) => &mut source,
                ("reverse", _) => &mut reverse,
                ("did" | "linkDid" | "from_dids" | "since" | "until", _)
                | ("target" | "source" | "pathToOther", _) => return None,
                _ => continue,
            };
            if place.replace(value).is_some_and(|before| before != value) {
                return None;
            }
        }
        let (collection, path) = match generation {
            Generation::Links => {
                let path = path.filter(|path| path.starts_with('.'))?;
                (collection?, Cow::Borrowed(path))
            }
            Generation::Xrpc => {
                let (collection, path) = source?.split_once(':')?;
                let is_usual = !path.is_empty() && !path.starts_with('.');
                is_usual.then(|| (collection, Cow::Owned(format!(".{path}"))))?
            }
        };
        let is_right = matches!(reverse, None | Some("true" | "false"))
            && hint::is_collection(collection)
            && meant_collection(collection).is_none()
            && hint::meant_path(collection, path.strip_prefix('.').unwrap_or(&path)).is_none();
        let target = target
            .filter(|target| is_right && !hint::is_odd_target(target) && !target.is_empty())?;
        Some(Self {
            target,
            collection,
            path,
        })
    }
}

/// The body that tells a total, as JSON.
pub(crate) fn total_json(total: u64) -> Option<String> {
    html::encode(&wire::Total { total }, false).ok()
}

#[cfg(test)]
mod tests {
    use orrery_query::Filter;

    use super::*;
    use crate::api::links::filter;

    const VALUES: [&str; 18] = [
        "",
        "a.b.c",
        "a",
        ".b",
        "a.b.c:d",
        "a.b.c:.d",
        "c:d",
        ":d",
        "true",
        "did:plc:x",
        "at://x.y/a.b.c/d",
        "https://x.y/",
        "app.bsky.feed.lik",
        "app.bsky.feed.lik:d",
        "app.bsky.feed.like",
        ".subject",
        "app.bsky.feed.like:subject",
        "did:plc:z72i7hdynmk6r22z27h6tvu",
    ];

    #[test]
    fn what_is_read_in_one_pass_is_what_the_other_way_reads() {
        let names = [
            "target",
            "collection",
            "path",
            "subject",
            "source",
            "pathToOther",
            "reverse",
            "did",
            "linkDid",
        ];
        let names = [&names[..], &["from_dids", "since", "until", "other"]].concat();
        let mut state = 5_u64;
        let mut drawn = |of: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % of
        };
        let mut read = [0; 2];
        for _ in 0..20_000 {
            let mut query = [
                "target=did:plc:x&collection=a.b.c&path=.b",
                "subject=did:plc:x&source=a.b.c:d",
                "",
            ][drawn(3)]
            .to_owned();
            for _ in 0..drawn(3) {
                query += &format!(
                    "&{}={}",
                    names[drawn(names.len())],
                    VALUES[drawn(VALUES.len())]
                );
            }
            let params = Params::parse(&query).unwrap();
            for (generation, read) in [Generation::Links, Generation::Xrpc]
                .into_iter()
                .zip(&mut read)
            {
                let Some(open) = Open::read(&params, generation) else {
                    continue;
                };
                *read += 1;
                let filter = filter(&params, generation).ok();
                let Open {
                    target,
                    collection,
                    path,
                } = open;
                assert_eq!(
                    filter,
                    Some(Filter::new(target, collection, path)),
                    "{query}"
                );
                assert!(params.flag("reverse").is_ok(), "{query}");
                assert_eq!(hint::of_links(&params), None, "{query}");
            }
        }
        // Of each generation, so that none is only ever read the other way.
        assert!(read.iter().all(|read| *read > 1_000), "{read:?}");
    }
}
