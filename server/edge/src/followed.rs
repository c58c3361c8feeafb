//! What the edge cache needs to know of the stream that feeds the index.

/// Tells for how long every event has been seen.
pub trait Followed: Send + Sync + 'static {
    /// The time from which on every event of the collection is in the index, up to now but for the lag that is allowed;
    /// microseconds since 1970. `None` while the index is behind, or does not take the collection, or follows nothing: then a
    /// record may have changed without a word. Asked for each answer, and must not block.
    fn whole_since_us(&self, collection: &str) -> Option<u64>;
}

/// A stream of which nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotFollowed;

impl Followed for NotFollowed {
    fn whole_since_us(&self, _collection: &str) -> Option<u64> {
        None
    }
}
