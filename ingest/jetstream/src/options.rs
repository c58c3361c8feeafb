//! The filter of a subscription, which can be changed while it runs.

use serde::Serialize;

use crate::error::Error;

/// What servers accept: `wantedCollections` after removing duplicates.
const WANTED_COLLECTIONS_MAX: usize = 100;
/// What servers accept: `wantedDids` after removing duplicates.
const WANTED_DIDS_MAX: usize = 10_000;
/// What servers accept for one client message; beyond, they close with 1009.
const UPDATE_BYTES_MAX: usize = 10_000_000;

/// Which events to ask for. The default asks for everything.
///
/// An update replaces the whole filter: an empty list matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Collections whose commits to send, as exact NSIDs or prefixes ending in `.*`; at most 100, empty for all.
    /// Identity and account events come regardless.
    pub wanted_collections: Vec<String>,
    /// Repositories whose events to send; at most 10,000, empty for all.
    pub wanted_dids: Vec<String>,
    /// Events whose JSON is larger are left out by the server without a word; 0 for no limit. This can swallow
    /// account and identity events, so it is best left at 0.
    pub max_message_size_bytes: u32,
}

#[derive(Serialize)]
struct Update<'a> {
    r#type: &'static str,
    payload: &'a Options,
}

impl Options {
    /// Checks the limits that servers enforce.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let lists = [
            (
                "wanted_collections",
                &self.wanted_collections,
                WANTED_COLLECTIONS_MAX,
            ),
            ("wanted_dids", &self.wanted_dids, WANTED_DIDS_MAX),
        ];
        for (name, values, count_max) in lists {
            if values.len() > count_max {
                let problem = format!("{} values, servers accept {count_max}", values.len());
                return Err(Error::BadConfig { name, problem });
            }
            if values.iter().any(String::is_empty) {
                return Err(Error::BadConfig {
                    name,
                    problem: "one value is empty".to_owned(),
                });
            }
        }
        let bytes = self.to_update()?.len();
        if bytes > UPDATE_BYTES_MAX {
            let problem =
                format!("the filter takes {bytes} bytes, servers accept {UPDATE_BYTES_MAX}");
            return Err(Error::BadConfig {
                name: "options",
                problem,
            });
        }
        Ok(())
    }

    /// The `options_update` message that makes this the filter.
    pub(crate) fn to_update(&self) -> Result<String, Error> {
        serde_json::to_string(&Update {
            r#type: "options_update",
            payload: self,
        })
        .map_err(|error| Error::BadConfig {
            name: "options",
            problem: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn update_has_the_published_shape() {
        let options = Options {
            wanted_collections: vec!["app.bsky.feed.*".into()],
            ..Options::default()
        };
        assert_eq!(
            options.to_update().unwrap(),
            r#"{"type":"options_update","payload":{"wantedCollections":["app.bsky.feed.*"],"wantedDids":[],"maxMessageSizeBytes":0}}"#
        );
    }

    #[test]
    fn limits_of_the_server_are_checked_first() {
        let many = Options {
            wanted_collections: vec!["a.b.c".into(); 101],
            ..Options::default()
        };
        assert!(
            many.check()
                .unwrap_err()
                .to_string()
                .contains("wanted_collections: 101 values")
        );
        let empty = Options {
            wanted_dids: vec![String::new()],
            ..Options::default()
        };
        assert!(
            empty
                .check()
                .unwrap_err()
                .to_string()
                .contains("wanted_dids")
        );
        let long = Options {
            wanted_dids: vec!["d".repeat(2048); 10_000],
            ..Options::default()
        };
        assert!(long.check().unwrap_err().to_string().contains("10000000"));
        assert!(Options::default().check().is_ok());
    }
}
