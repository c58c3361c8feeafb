//! When the file of a mask is written anew. Changes are kept on the heap, copied at each seal and made again
//! at each start, so they are to stay few; a file costs its size to write, so it is not to be written for few.

/// Bounds of what is kept out of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// So many changes of one mask are never a reason to write it.
    pub(crate) changes_min: u64,
    /// Beyond [`changes_min`](Self::changes_min), so many masked rows of the file allow for one change.
    pub(crate) rows_per_change: u64,
    /// The most changes of all masks together.
    pub(crate) changes_sum: u64,
    /// The most kills and account states that a start may have to look through for one mask.
    pub(crate) behind_max: u64,
}

impl Bounds {
    /// While the store runs. 400,000 changes take 8 MB of heap at most, and a second of a start; 4 million kills and
    /// states are looked through in half a second.
    pub(crate) const RUNNING: Self = Self {
        changes_min: 4_096,
        rows_per_change: 4,
        changes_sum: 400_000,
        behind_max: 4_000_000,
    };

    /// At a clean end, so that the next start has little to do.
    pub(crate) const CLOSING: Self = Self {
        changes_sum: 16_384,
        behind_max: 1_000_000,
        ..Self::RUNNING
    };
}

/// What speaks for writing a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// The masked rows of its file; `None` without a file, which makes a start look through all rows.
    pub(crate) file_rows: Option<u64>,
    /// Changes since the file was written.
    pub(crate) changes: u64,
    /// Kills and account states of segments since then.
    pub(crate) behind: u64,
}

/// Which of the masks are to be written, by their places, in the order in which to do it.
pub(crate) fn plan(loads: &[Load], bounds: &Bounds) -> Vec<usize> {
    let is_due = |load: &Load| {
        let Some(rows) = load.file_rows else {
            return true;
        };
        let allowed = bounds.changes_min.max(rows / bounds.rows_per_change.max(1));
        load.changes > allowed || load.behind > bounds.behind_max
    };
    let mut due = Vec::new();
    let mut kept = Vec::new();
    let mut sum = 0_u64;
    for (place, load) in loads.iter().enumerate() {
        if is_due(load) {
            due.push(place);
        } else {
            kept.push((load.changes, place));
            sum = sum.saturating_add(load.changes);
        }
    }
    kept.sort_unstable_by(|a, b| b.cmp(a));
    for (changes, place) in kept {
        if sum <= bounds.changes_sum {
            break;
        }
        due.push(place);
        sum -= changes;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file_rows: u64, changes: u64) -> Load {
        Load {
            file_rows: Some(file_rows),
            changes,
            behind: 0,
        }
    }

    #[test]
    fn few_changes_stay_on_the_heap() {
        let loads = [load(0, 4_096), load(100_000, 25_000), load(10, 0)];
        assert!(plan(&loads, &Bounds::RUNNING).is_empty());
    }

    #[test]
    fn a_mask_with_more_than_a_quarter_of_its_rows_changed_is_written() {
        let loads = [load(0, 4_097), load(100_000, 25_001), load(100_000, 25_000)];
        assert_eq!(plan(&loads, &Bounds::RUNNING), [0, 1]);
    }

    #[test]
    fn a_mask_without_a_file_is_written() {
        let none = Load {
            file_rows: None,
            changes: 0,
            behind: 0,
        };
        assert_eq!(plan(&[load(0, 0), none], &Bounds::RUNNING), [1]);
    }

    #[test]
    fn a_mask_far_behind_is_written() {
        let behind = |behind| Load {
            behind,
            ..load(0, 0)
        };
        let loads = [behind(4_000_000), behind(4_000_001)];
        assert_eq!(plan(&loads, &Bounds::RUNNING), [1]);
    }

    #[test]
    fn too_many_changes_together_take_the_largest_first() {
        let big = 10_000_000;
        let loads = [
            load(big, 100_000),
            load(big, 150_000),
            load(big, 120_000),
            load(big, 130_000),
        ];
        assert_eq!(plan(&loads, &Bounds::RUNNING), [1]);
        let loads = [load(big, 300_000), load(big, 300_000), load(big, 300_001)];
        assert_eq!(plan(&loads, &Bounds::RUNNING), [2, 1]);
        assert_eq!(plan(&loads, &Bounds::CLOSING), [2, 1, 0]);
    }
}
