//! Events that the log lost, as answers and `/_health` tell of them.

use orrery_engine::GapEntry;

/// The ranges of segments that are set aside, and those that the log lost besides, by their first seqs.
pub(crate) fn with_gaps(mut ranges: Vec<(u64, u64)>, gaps: &[GapEntry]) -> Vec<(u64, u64)> {
    for gap in gaps {
        let (first, last) = (gap.first_seq, gap.last_seq.unwrap_or(gap.first_seq));
        let is_told = |range: &(u64, u64)| range.0 <= first && last <= range.1;
        if !ranges.iter().any(is_told) {
            ranges.push((first, last));
        }
    }
    ranges.sort_unstable();
    ranges
}

/// What is lost, and what can be done.
pub(crate) fn sentence(gap: &GapEntry) -> String {
    let last = gap
        .last_seq
        .map_or_else(|| "the end".to_owned(), |last| last.to_string());
    format!(
        "the log lost seq {} to {last} (log/{}), and answers lack what the source did not give again; to accept that, \
         stop and run `orrery repair --accept-gaps`",
        gap.first_seq, gap.file
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(first_seq: u64, last_seq: u64) -> GapEntry {
        GapEntry {
            first_seq,
            last_seq: Some(last_seq),
            file: "0000000000000001.log".to_owned(),
            offset: 0,
        }
    }

    #[test]
    fn ranges_that_the_log_lost_stand_among_those_of_segments_and_none_twice() {
        assert_eq!(with_gaps(vec![], &[]), []);
        assert_eq!(
            with_gaps(vec![(10, 20)], &[gap(25, 30), gap(1, 3), gap(12, 14)]),
            [(1, 3), (10, 20), (25, 30)]
        );
    }
}
