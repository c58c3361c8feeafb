//! What a segment is built from. The engine collects it from the memtable (or from the segments it
//! merges); the builder only borrows it.

use super::buckets::BucketInput;
use super::{PassedKey, Sample};

/// The thing a link points to. Two keys are equal exactly when the normalised target strings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKey<'a> {
    /// A DID, by the id that the directory gave it.
    Did(u32),
    /// A record: `at://` + the actor's DID + `/` + collection + `/` + record key, byte for byte.
    Record {
        /// The authority.
        actor: u32,
        /// The collection.
        collection: &'a str,
        /// The record key.
        rkey: &'a str,
    },
    /// Any other target, as the string it is.
    Other(&'a str),
}

/// Everything that one segment holds.
#[derive(Debug, Clone, Default)]
pub struct SegmentInput<'a> {
    /// First seq of the range that the segment covers.
    pub first_seq: u64,
    /// Last seq of that range, which events without rows belong to as well.
    pub last_seq: u64,
    /// Earliest event time of the range in microseconds since 1970; 0 when there is none.
    pub first_time_us: u64,
    /// Latest event time of the range in microseconds since 1970; 0 when there is none.
    pub last_time_us: u64,
    /// What the hashes of the DID index are seeded with: the same number for all segments of a
    /// directory, and unknown to those who choose DIDs.
    pub did_seed: u64,
    /// The rows, seqs strictly rising.
    pub rows: Vec<RowInput<'a>>,
    /// The shapes that rows refer to, each once.
    pub shapes: Vec<ShapeInput<'a>>,
    /// The targets, each once, in any order. One without a link is kept, and has no lists.
    pub targets: Vec<TargetKey<'a>>,
    /// Indexes into `targets`: the links of the first row in the order of its shape, then those of the
    /// second, and so on.
    pub link_targets: Vec<u32>,
    /// Actors first seen in the range, and states of actors touched by it.
    pub actors: ActorsInput<'a>,
    /// Seqs of rows that events of this range made dead, in any order.
    pub kills: Vec<u64>,
    /// Keys that events of the range left without a row, strictly rising; of each actor with one there is a
    /// state.
    pub passed: Vec<PassedKey>,
    /// The buckets of the hours touched, in any order, each pair of collection and hour once.
    pub buckets: Vec<BucketInput<'a>>,
    /// Records of the range as they were written, by (collection, seq): at most
    /// [`SAMPLES_MAX`](super::SAMPLES_MAX) of a collection, each key once.
    pub samples: Vec<Sample<'a>>,
}

/// One record version with at least one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowInput<'a> {
    /// The event's number.
    pub seq: u64,
    /// The event's time in microseconds since 1970; kept to the millisecond, rounded down.
    pub time_us: u64,
    /// The author.
    pub actor: u32,
    /// Index into `shapes`.
    pub shape: u32,
    /// The record key.
    pub rkey: &'a str,
}

/// The collection of a record and how many links it has at which path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShapeInput<'a> {
    /// The collection.
    pub collection: &'a str,
    /// Paths with their leading dot, in rising order, each once, and the links at each (at least 1).
    pub runs: Vec<(&'a str, u32)>,
}

/// Actors in a segment.
#[derive(Debug, Clone, Default)]
pub struct ActorsInput<'a> {
    /// The id of the first of `dids`.
    pub first_id: u32,
    /// DIDs first seen in the range; the id of each is `first_id` + its index.
    pub dids: Vec<&'a str>,
    /// States, as after the range, of the actors that it touched; ids strictly rising.
    pub states: Vec<ActorState>,
}

/// What is known of one actor's repository and account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActorState {
    /// The actor.
    pub id: u32,
    /// The newest repository revision seen, a TID as a number (below 2^63); 0 when none was.
    /// A segment keeps it rounded up, see [`rev_bound`](super::rev_bound).
    pub last_rev: u64,
    /// The seq of the newest account event; 0 when none was seen.
    pub account_seq: u64,
    /// Bit 0: the network hides it. Bit 1: the operator has excluded it. Bit 2: the operator did so at some time, so that
    /// it is told when no longer.
    pub status: u8,
    /// The event time of the newest deletion of the account, in microseconds since 1970; 0 when there was none.
    pub purged_us: u64,
}
