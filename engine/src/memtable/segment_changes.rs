//! What the events of a memtable changed in older segments: rows that died, hid or came back, and how many links are
//! masked by that.

use std::sync::atomic::Ordering;

use super::Memtable;

/// The key of a row or list of the segment at `part` in the overlays.
fn overlay_key(part: u32, ordinal: u32) -> u64 {
    u64::from(part) << 32 | u64::from(ordinal)
}

impl Memtable {
    /// The changed state of a row of an older segment, `None` where it is as sealed.
    pub(crate) fn segment_state(&self, part: u32, row: u32, seq: u64) -> Option<u64> {
        self.segment_rows
            .as_of(&self.versions, overlay_key(part, row), seq)
    }

    /// Has the processor fetch what the state of a row of an older segment is looked for in.
    pub(crate) fn fetch_segment_state(&self, part: u32, row: u32) {
        self.segment_rows.fetch(overlay_key(part, row));
    }

    /// Rows of older segments whose state has changed, at least.
    pub(crate) fn segment_states_len(&self) -> u32 {
        self.segment_rows.len()
    }

    /// The rows of an older segment whose state had changed by `seq`, with their states then. Costs a look at
    /// the changes of all segments.
    pub(crate) fn segment_states(&self, part: u32, seq: u64) -> impl Iterator<Item = (u32, u64)> {
        let all = self.segment_rows.all_as_of(&self.versions, seq);
        all.filter_map(move |(key, state)| {
            ((key >> 32) as u32 == part).then_some((key as u32, state))
        })
    }

    /// Whether links of a long list of an older segment were masked or unmasked by `seq`.
    pub(crate) fn segment_list_touched(&self, part: u32, list: u32, seq: u64) -> bool {
        let key = overlay_key(part, list);
        let change = self.segment_lists.as_of(&self.versions, key, seq);
        change.is_some()
    }

    /// By how much the masked links of a long list of an older segment have changed.
    pub(crate) fn segment_masked(&self, part: u32, list: u32, seq: u64) -> i64 {
        self.segment_lists
            .as_of(&self.versions, overlay_key(part, list), seq)
            .unwrap_or(0)
            .cast_signed()
    }
}

// Writing: one thread only.
impl Memtable {
    /// Changes the state of a row of an older segment from `seq` on; what that masks or unmasks is told by
    /// [`add_segment_masked`](Self::add_segment_masked) and [`add_segment_links`](Self::add_segment_links).
    pub(crate) fn set_segment_state(&self, part: u32, row: u32, seq: u64, state: u64) {
        self.segment_rows
            .set(&self.versions, overlay_key(part, row), seq, state);
    }

    /// Changes the number of links of an older segment whose rows are masked. Snapshots do not ask for it.
    pub(crate) fn add_segment_links(&self, part: u32, change: i64) {
        self.segment_links
            .at(part)
            .fetch_add(change, Ordering::Relaxed);
    }

    /// By how much that number has changed.
    pub(crate) fn segment_links(&self, part: u32) -> i64 {
        self.segment_links.at(part).load(Ordering::Relaxed)
    }

    /// Changes the number of masked links of a long list of an older segment from `seq` on.
    pub(crate) fn add_segment_masked(&self, part: u32, list: u32, seq: u64, change: i64) {
        let now = self.segment_masked(part, list, u64::MAX);
        self.segment_lists.set(
            &self.versions,
            overlay_key(part, list),
            seq,
            now.wrapping_add(change).cast_unsigned(),
        );
    }

    /// States and masked changes of older segments as of now: ((part, row), state), ((part, list), change).
    pub(crate) fn segment_changes(
        &self,
    ) -> (
        impl Iterator<Item = (u32, u32, u64)>,
        impl Iterator<Item = (u32, u32, i64)>,
    ) {
        let split = |key: u64| ((key >> 32) as u32, key as u32);
        (
            self.segment_rows
                .newest(&self.versions)
                .map(move |(key, state)| (split(key).0, split(key).1, state)),
            self.segment_lists
                .newest(&self.versions)
                .map(move |(key, change)| (split(key).0, split(key).1, change.cast_signed())),
        )
    }
}
