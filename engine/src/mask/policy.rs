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
    /// The most bytes of mask files written at once, where that is enough for more than one.
    pub(crate) bytes_max: u64,
}

impl Bounds {
    /// While the store runs. 400,000 changes take 8 MB of heap at most, and a second of a start; 4 million kills and
    /// states are looked through in half a second.
    pub(crate) const RUNNING: Self = Self {
        changes_min: 4_096,
        rows_per_change: 4,
        changes_sum: 400_000,
        behind_max: 4_000_000,
        // Two or three seconds of a slow card, while ingest waits.
        bytes_max: 32 << 20,
    };

    /// At a clean end, so that the next start has little to do.
    pub(crate) const CLOSING: Self = Self {
        changes_sum: 16_384,
        behind_max: 1_000_000,
        bytes_max: 256 << 20,
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
    /// The seq that its file is as of; 0 without one.
    pub(crate) through: u64,
    /// About the bytes of a new file.
    pub(crate) bytes: u64,
}

/// Which of the masks are to be written at this time, by their places, in the order in which to do it: of those that
/// are due, as many as fit within [`Bounds::bytes_max`], oldest file first. The first is written whatever its
/// size, so that each has its turn.
pub(crate) fn plan(loads: &[Load], bounds: &Bounds) -> Vec<usize> {
    let mut due: Vec<(usize, &Load)> = all_due(loads, bounds)
        .into_iter()
        .filter_map(|place| Some((place, loads.get(place)?)))
        .collect();
    due.sort_by_key(|(_, load)| load.through);
    let mut left = bounds.bytes_max;
    let mut planned = Vec::new();
    for (place, load) in due {
        if planned.is_empty() || load.bytes <= left {
            planned.push(place);
            left = left.saturating_sub(load.bytes);
        }
    }
    planned
}

/// Which of the masks are due, by their places, those that are due only for the sum last, with the most changes first.
fn all_due(loads: &[Load], bounds: &Bounds) -> Vec<usize> {
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
            through: 1,
            bytes: 1,
        }
    }

    #[test]
    fn masks_that_are_due_together_are_written_a_few_at_a_time_and_each_has_its_turn() {
        let bounds = Bounds {
            bytes_max: 100,
            ..Bounds::RUNNING
        };
        // The largest goes beyond the bound by itself.
        let mut loads: Vec<Load> = [60, 30, 500, 50, 20, 40]
            .into_iter()
            .map(|bytes| Load {
                bytes,
                ..load(0, 5_000)
            })
            .collect();
        let mut written = Vec::new();
        for through in 2.. {
            let planned = plan(&loads, &bounds);
            if planned.is_empty() {
                break;
            }
            let sum: u64 = planned.iter().map(|place| loads[*place].bytes).sum();
            assert!(sum <= 100 || planned == [2], "{planned:?}");
            for place in &planned {
                (loads[*place].through, loads[*place].changes) = (through, 0);
            }
            written.push(planned);
        }
        assert_eq!(written, [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
        // One that does not fit keeps its place before those whose files are newer.
        loads[2].changes = 5_000;
        loads[2].through = 1;
        loads[0].changes = 5_000;
        assert_eq!(plan(&loads, &bounds), [2]);
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
            ..load(0, 0)
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
