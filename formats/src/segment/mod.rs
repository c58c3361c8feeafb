//! Segments: the sealed, immutable files that hold the index. This module owns their layout, from
//! [`SegmentInput`] to bytes and back.
//!
//! ```text
//! build(&SegmentInput) -> Result<Vec<u8>>
//! merge(&[MergeInput], keep_kill, &SampleRules, out: Sink, &mut Workspace) -> Result<Merged>
//!
//! Segment::open(SealedFile) -> Result<Segment>
//! info() -> &SegmentInfo
//! rows     seq(row) -> u64, time_us(row) -> u64, actor(row) -> u32, collection(row) -> &str,
//!          rkey(row) -> RecordKey<'_>, lower_bound_seq(seq) -> u32
//! keys     may_hold_key(actor, collection, rkey) -> bool, may_hold(&KeyProbe) -> bool,
//!          find_rows(actor, collection, rkey, &mut dyn FnMut(u32)), find_key(&KeyProbe, &mut dyn FnMut(u32)),
//!          actor_rows(actor) -> ActorRows<'_>, actor_rows_from(actor, row) -> ActorRows<'_>
//! links    links(row) -> RowLinks<'_>: Iterator<Item = Result<LinkRef { path, target }>>,
//!          links_of_rows(&[row], &mut dyn FnMut(row, LinkRef)),
//!          each_list(row, &mut dyn FnMut(LinkRef, list, rows)),
//!          long_lists_of(&[row], longer_than, &mut dyn FnMut(list, row), &mut dyn FnMut(row, LinkRef)) -> u64,
//!          path(path) -> &str, target(ord) -> TargetRef<'_>,
//!          each_target(&[T], Fn(&T) -> ord, FnMut(TargetRef<'_>) -> Result<()>), fetch_targets(&[ord], &mut dyn FnMut(actor))
//! lists    find_target(&TargetKey) -> Option<u32>, find_source(collection, path) -> Option<u32>,
//!          lists_of(target) -> Lists<'_>: Iterator<Item = Result<ListInfo<'_>>>,
//!          find_list(target, source) -> Option<List<'_>>, list(id) -> List<'_>,
//!          list_id(row, path, target) -> u32
//! List     id(), len(), is_long(), get(i) -> u32, lower_bound(row) -> u32,
//!          iter_from(i) -> ListIter<'_>, iter_back_from(i) -> ListIter<'_> (yields i-1, i-2, ..),
//!          blocks(i..j) -> ListBlocks<'_>
//! actors   fetch_did(actor), did(actor) -> Option<DidRef<'_>>, find_did(did) -> Option<u32>,
//!          find_wanted_did(&WantedDid) -> Option<u32>, is_did(actor, &WantedDid) -> bool,
//!          state(actor) -> Option<ActorState>, states() -> States<'_>,
//!          account_states() -> AccountStates<'_>
//! passed   holds_passed_key(PassedKey) -> bool, holds_passed_keys_of(actor) -> bool, passed_keys() -> PassedKeys<'_>
//! buckets  bucket_collections() -> u32, bucket_collection(index) -> &str,
//!          bucket_lower_bound(name) -> u32, buckets(index) -> CollectionBuckets<'_>
//! samples  samples(collection, &mut dyn FnMut(Sample<'_>) -> ControlFlow<()>), samples_len(collection),
//!          sample_collections() -> SampleCollections<'_>, samples_bytes() -> u64
//! rest     kills() -> Kills<'_>, section_sizes() -> Vec<(&'static str, u64)>, verify()
//! ```
//!
//! Every accessor of `Segment` but `open`, `info`, `section_sizes` and those that only fetch returns its value in a `Result`,
//! reads in place, and allocates nothing; but `samples` decompresses, and those of many rows gather a few of them.

mod actors;
mod buckets;
mod build;
mod cross;
mod did_index;
mod ef;
mod hash;
mod input;
mod key_ranges;
mod keyblock;
mod layout;
mod links;
mod list;
mod lists;
mod merge;
mod passed;
mod reader;
mod rows;
mod samples;
mod spill;
mod states;
mod strings;
mod targets;
mod value;
mod verify;
mod workspace;

pub use buckets::{Bucket, BucketInput, CollectionBuckets, EventCounts, HOUR_MAX, hour_of};
pub use build::build;
pub use input::{ActorState, ActorsInput, RowInput, SegmentInput, ShapeInput, TargetKey};
pub use layout::{
    ACCOUNT_SECTIONS, KILL_SECTIONS, KIND, PASSED_SECTIONS, ROWS_MAX, SegmentInfo, VERSION,
    section_name,
};
pub use list::{LIST_BLOCK, List, ListBlocks, ListIter};
pub use merge::{MergeInput, Merged, SampleRules, merge};
pub use passed::{PASSED_HASH_BITS, PassedKey, PassedKeys};
pub use reader::{
    ActorRows, DidNames, KeyProbe, Kills, LinkRef, ListInfo, Lists, RowLinks, Segment, WantedDid,
};
pub use rows::{ActorColumn, RowName, RowNames, SeqColumn, TargetsAt};
pub use samples::{
    SAMPLE_BODY_MAX, SAMPLE_KEY_MAX, SAMPLES_MAX, Sample, SampleCollection, SampleCollections,
    is_sample_section,
};
pub use states::{AccountStates, States, rev_bound};
pub use value::{DidRef, RecordKey, TargetRef, Text};
pub use workspace::{InMemory, Scratch, Workspace};

use layout::Section;

#[cfg(test)]
mod tests;
