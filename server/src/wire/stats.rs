//! The JSON of the routes that tell of collections.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Coverage;
use crate::index;

/// What was counted. Events count as they come: deleting a record or an account lowers no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Events that created a record.
    pub creates: u64,
    /// Events that changed a record.
    pub updates: u64,
    /// Events that deleted a record.
    pub deletes: u64,
    /// Accounts of those events: exact to 128, above with a standard error of 0.81 %.
    pub dids_estimate: u64,
}

impl From<index::Counts> for Counts {
    fn from(counts: index::Counts) -> Self {
        Self {
            creates: counts.creates,
            updates: counts.updates,
            deletes: counts.deletes,
            dids_estimate: counts.dids_estimate,
        }
    }
}

/// A collection with its counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Collection {
    /// The collection.
    pub nsid: String,
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
}

impl From<index::CollectionCounts> for Collection {
    fn from(collection: index::CollectionCounts) -> Self {
        Self {
            nsid: collection.nsid,
            counts: collection.counts.into(),
        }
    }
}

/// What stands directly below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Child {
    /// A collection one segment below.
    Collection {
        /// The collection.
        nsid: String,
        /// What was counted.
        #[serde(flatten)]
        counts: Counts,
    },
    /// Everything below a longer prefix.
    Prefix {
        /// That prefix.
        prefix: String,
        /// What was counted in all its collections; the accounts are those of their union.
        #[serde(flatten)]
        counts: Counts,
    },
}

impl From<index::Child> for Child {
    fn from(child: index::Child) -> Self {
        let (name, counts) = (child.name, child.counts.into());
        if child.is_group {
            Self::Prefix {
                prefix: name,
                counts,
            }
        } else {
            Self::Collection { nsid: name, counts }
        }
    }
}

/// What an answer about collections rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatsCoverage {
    /// What part of the network's history.
    #[serde(flatten)]
    pub coverage: Coverage,
    /// The first hour that is counted; null: the first there is.
    pub since: Option<String>,
    /// The hour up to which is counted; null: the counts of all time, which go on with every event.
    pub until: Option<String>,
    /// The hour of the last applied event, whose figures still rise.
    pub current_hour: Option<String>,
    /// Whether that hour is among those that are counted.
    pub includes_current_hour: bool,
}

/// `/collections`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Collections {
    /// This page.
    pub collections: Vec<Collection>,
    /// Where the next page begins; null at the end of the list.
    pub cursor: Option<String>,
    /// What the answer rests on.
    pub coverage: StatsCoverage,
}

/// `/collections/stats`: by collection.
pub type CollectionsStats = BTreeMap<String, Counts>;

/// `/prefix`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Prefix {
    /// Everything below the prefix, whatever page this is.
    pub total: Counts,
    /// This page.
    pub children: Vec<Child>,
    /// Where the next page begins; null at the end of the list.
    pub cursor: Option<String>,
    /// What the answer rests on.
    pub coverage: StatsCoverage,
}

/// `/timeseries`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Timeseries {
    /// When each step begins. The last one may be shorter than the others; with align=utc, the first one too.
    pub range: Vec<String>,
    /// By collection, or by prefix with `.*` behind it: the counts of each step.
    pub series: BTreeMap<String, Vec<Counts>>,
    /// What the answer rests on.
    pub coverage: StatsCoverage,
}

/// `/search`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Matches {
    /// This page.
    pub matches: Vec<Collection>,
    /// Where the next page begins; null at the end of the list.
    pub cursor: Option<String>,
    /// What the answer rests on.
    pub coverage: StatsCoverage,
}

/// A live record as it was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sample {
    /// The account.
    pub did: String,
    /// The collection.
    pub collection: String,
    /// The key.
    pub rkey: String,
    /// The record, byte for byte.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub record: Box<RawValue>,
    /// The time of the event that wrote it, microseconds since 1970.
    pub time_us: u64,
}

impl From<index::SampleRecord> for Sample {
    fn from(sample: index::SampleRecord) -> Self {
        Self {
            did: sample.did,
            collection: sample.collection,
            rkey: sample.rkey,
            record: sample.record,
            time_us: sample.time_us,
        }
    }
}

/// `/meta`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Meta {
    /// The kind of storage.
    pub storage_name: &'static str,
    /// Bytes on disk by kind of file.
    pub storage: BTreeMap<String, u64>,
    /// What is followed.
    pub consumer: Consumer,
    /// What the index rests on.
    pub coverage: StatsCoverage,
}

/// What is followed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Consumer {
    /// The stream.
    pub jetstream: Stream,
}

/// A stream that is followed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stream {
    /// Its host, or the short name of a public server; null where none is followed, or its name is not one of the public network.
    pub endpoint: Option<String>,
    /// The first covered event, microseconds since 1970.
    pub started_at: Option<u64>,
    /// The last applied event, microseconds since 1970.
    pub latest_cursor: Option<u64>,
    /// The last counted event, microseconds since 1970: the same, since events are counted as they are applied.
    pub rollup_cursor: Option<u64>,
}
