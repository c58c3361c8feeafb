//! Records of collections by example: the newest live ones, whole, of collections that are asked for or of all that
//! are active. What a snapshot keeps of a collection is bounded, and so is every answer.

use orrery_engine as engine;

use crate::error::Result;
use crate::limits::SAMPLE_COLLECTIONS_MAX;

/// The newest records of each of `collections`, at most `limit` of each, newest first over all. A collection that is
/// named twice counts once.
///
/// # Errors
/// When the index cannot be read.
pub fn records(
    snapshot: &engine::Snapshot,
    collections: &[impl AsRef<str>],
    limit: usize,
) -> Result<Vec<engine::SampleRecord>> {
    let mut names: Vec<&str> = collections.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names.dedup();
    let mut records = Vec::new();
    for name in names {
        records.extend(snapshot.sample_records(name, limit)?);
    }
    // By event time, as the answer shows it; at one time by the order of indexing.
    records.sort_unstable_by_key(|record| std::cmp::Reverse((record.time_us, record.seq)));
    Ok(records)
}

/// The newest records of each of the first [`SAMPLE_COLLECTIONS_MAX`] collections, by byte order of their names, in
/// which records were written at `since_us` (microseconds since 1970) or later; at most `limit` of each, newest first over all.
///
/// # Errors
/// When the index cannot be read.
pub fn all_records(
    snapshot: &engine::Snapshot,
    since_us: u64,
    limit: usize,
) -> Result<Vec<engine::SampleRecord>> {
    let mut names = snapshot.sample_collections(since_us)?;
    names.truncate(SAMPLE_COLLECTIONS_MAX);
    records(snapshot, &names, limit)
}
