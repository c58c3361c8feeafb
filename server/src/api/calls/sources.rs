//! Which records and accounts an answer of another service names.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use orrery_links::syntax::{AtIdentifier, Cid};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hydrate::{Path, RecordName, Walk, identifier};

/// The most records that are looked for, and the most accounts.
pub(super) const RECORDS_MAX: usize = 1000;
pub(super) const ACCOUNTS_MAX: usize = 100;
/// The most content ids that are remembered of a record.
const CIDS_MAX: usize = 8;

/// Where records are named, and how.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: Path,
    pub(super) shape: Shape,
}

/// How a record is named. In either, a text stands for itself: an at-uri, a DID or a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    /// `did` (or `repo`), `collection` and `rkey`.
    AtUriParts,
    /// `uri` and `cid`.
    StrongRef,
}

/// A record that is named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedAs {
    /// The at-uri, as it is written or as its parts make it.
    pub(super) uri: String,
    pub(super) name: RecordName,
    /// The content ids that it is named with, the first of them.
    pub(super) cids: Vec<String>,
}

/// What is named, each once, in the order in which it stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) records: Vec<NamedAs>,
    pub(super) accounts: Vec<String>,
    /// Whether more is named than is looked for.
    pub(super) is_truncated: bool,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    did: Option<Cow<'a, str>>,
    #[serde(borrow)]
    repo: Option<Cow<'a, str>>,
    #[serde(borrow)]
    collection: Cow<'a, str>,
    #[serde(borrow)]
    rkey: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StrongRef<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Finding {
    named: Named,
    places: HashMap<String, usize>,
    accounts: HashSet<String>,
}

/// What `output` names at the sources. What has another shape there names nothing.
pub(super) fn named(output: &RawValue, sources: &[Source]) -> Named {
    let mut finding = Finding::default();
    let mut walk = Walk::default();
    for source in sources {
        let values = source.path.values(output, RECORDS_MAX + 1, &mut walk);
        finding.named.is_truncated |= values.len() > RECORDS_MAX;
        for value in values.into_iter().take(RECORDS_MAX) {
            finding.value(value.get(), source.shape);
        }
    }
    finding.named.is_truncated |= walk.is_over();
    finding.named
}

impl Finding {
    fn value(&mut self, json: &str, shape: Shape) {
        if let Ok(Text(text)) = serde_json::from_str(json) {
            match AtIdentifier::parse(&text) {
                Ok(_) => self.account(&text),
                Err(_) => self.uri(text.into_owned(), None),
            }
            return;
        }
        match shape {
            Shape::AtUriParts => {
                if let Ok(parts) = serde_json::from_str::<Parts<'_>>(json)
                    && let Some(account) = parts.did.or(parts.repo)
                {
                    let uri = format!("at://{account}/{}/{}", parts.collection, parts.rkey);
                    self.uri(uri, None);
                }
            }
            Shape::StrongRef => {
                if let Ok(strong) = serde_json::from_str::<StrongRef<'_>>(json) {
                    self.uri(strong.uri.into_owned(), strong.cid.map(Cow::into_owned));
                }
            }
        }
    }

    fn uri(&mut self, uri: String, cid: Option<String>) {
        let Ok(name) = RecordName::of_uri(&uri) else {
            return;
        };
        let place = match self.places.get(&uri) {
            Some(place) => *place,
            None if self.named.records.len() >= RECORDS_MAX => {
                self.named.is_truncated = true;
                return;
            }
            None => {
                self.account(&name.authority);
                let place = self.named.records.len();
                self.places.insert(uri.clone(), place);
                self.named.records.push(NamedAs {
                    uri,
                    name,
                    cids: Vec::new(),
                });
                place
            }
        };
        // What is no content id may be as long as the answer.
        if let Some(cid) = cid
            && let Some(record) = self.named.records.get_mut(place)
            && record.cids.len() < CIDS_MAX
            && Cid::parse(&cid).is_ok()
            && !record.cids.contains(&cid)
        {
            record.cids.push(cid);
        }
    }

    fn account(&mut self, text: &str) {
        let Ok(account) = identifier(text) else {
            return;
        };
        if self.accounts.contains(&account) {
            return;
        }
        if self.named.accounts.len() >= ACCOUNTS_MAX {
            self.named.is_truncated = true;
            return;
        }
        self.accounts.insert(account.clone());
        self.named.accounts.push(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, sources: &[(&str, Shape)]) -> Named {
        let sources: Vec<Source> = sources
            .iter()
            .map(|(path, shape)| Source {
                path: Path::parse(path).unwrap(),
                shape: *shape,
            })
            .collect();
        named(serde_json::from_str(json).unwrap(), &sources)
    }

    fn uris(named: &Named) -> Vec<&str> {
        named.records.iter().map(|r| r.uri.as_str()).collect()
    }

    #[test]
    fn records_are_named_by_parts_and_by_strong_refs() {
        let parts = r#"{"records":[{"did":"did:plc:a","collection":"a.b.c","rkey":"1"},
            {"repo":"Alice.Example","collection":"a.b.c","rkey":"2"},
            {"did":"did:plc:a","collection":"a.b.c","rkey":"1"},{"did":"did:plc:a"},7,null,
            {"did":"did:plc:b","collection":"nonsense","rkey":"1"}]}"#;
        let found = find(parts, &[("records[]", Shape::AtUriParts)]);
        assert_eq!(
            uris(&found),
            ["at://did:plc:a/a.b.c/1", "at://Alice.Example/a.b.c/2"]
        );
        assert_eq!(found.accounts, ["did:plc:a", "alice.example"]);
        let refs = r#"{"value":{"embed":{"record":{"uri":"at://did:plc:a/a.b.c/1","cid":"bafyreia"}}},
            "more":[{"uri":"at://did:plc:a/a.b.c/1","cid":"bafyreib"},{"uri":"at://did:plc:a/a.b.c/1","cid":"no content id"},{"uri":"https://x.example"}],
            "who":["did:plc:z","not one"]}"#;
        let found = find(
            refs,
            &[
                ("value.embed.record", Shape::StrongRef),
                ("value.embed.record.uri", Shape::AtUriParts),
                ("more[]", Shape::StrongRef),
                ("who[]", Shape::StrongRef),
            ],
        );
        assert_eq!(uris(&found), ["at://did:plc:a/a.b.c/1"]);
        assert_eq!(found.records[0].cids, ["bafyreia", "bafyreib"]);
        assert_eq!(found.accounts, ["did:plc:a", "did:plc:z"]);
        assert!(!found.is_truncated);
    }

    #[test]
    fn more_than_can_be_looked_for_is_cut_and_said() {
        let records = |count: usize| {
            let records: Vec<String> = (0..count)
                .map(|i| format!("\"at://did:plc:a{i}/a.b.c/{i}\""))
                .collect();
            format!("{{\"r\":[{}]}}", records.join(","))
        };
        let found = find(&records(100), &[("r[]", Shape::StrongRef)]);
        assert_eq!((found.records.len(), found.is_truncated), (100, false));
        let found = find(&records(101), &[("r[]", Shape::StrongRef)]);
        assert_eq!((found.records.len(), found.accounts.len()), (101, 100));
        assert!(found.is_truncated, "of the accounts one is left out");
        let found = find(&records(1001), &[("r[]", Shape::StrongRef)]);
        assert_eq!((found.records.len(), found.is_truncated), (1000, true));
    }

    #[test]
    fn of_many_content_ids_of_one_record_some_are_remembered() {
        let refs: Vec<String> = (0..1000)
            .map(|i| {
                format!(
                    r#"{{"uri":"at://did:plc:a/a.b.c/1","cid":"bafyrei{}"}}"#,
                    "a".repeat(i % 100)
                )
            })
            .collect();
        let found = find(
            &format!("[{}]", refs.join(",")),
            &[("[]", Shape::StrongRef)],
        );
        assert_eq!(found.records[0].cids.len(), CIDS_MAX);
    }

    #[test]
    fn hostile_answers_name_nothing() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
        let found = find(
            &deep,
            &[("a", Shape::StrongRef), ("a[][]", Shape::AtUriParts)],
        );
        assert_eq!(found, Named::default());
    }
}
