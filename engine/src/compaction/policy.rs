//! Which segments to merge next: a pure function of what the segments are, so that it can be run ten
//! thousand times in a test.
//!
//! Tiered by level, as a counter counts: a sealed memtable has level 0, and [`Policy::fan_in`] neighbours of one level
//! become one segment of the next. A row is therefore written once for each level it rises, and after *n*
//! seals there are at most (fan-in - 1) segments of each of log(n) levels, until segments reach
//! the largest size. Levels count seals and not bytes: many small segments rise as fast as large ones, and the
//! bound on rewriting holds for both.
//!
//! A segment of which enough is dead is rewritten alone; each such rewrite takes away a fixed share of its rows, so
//! that what it costs is paid by what it frees.

use std::ops::Range;

use crate::Options;

/// The bounds of compaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// Neighbours of one level that are merged; at least 2.
    pub(crate) fan_in: usize,
    /// The most links of a merged segment.
    pub(crate) links_max: u64,
    /// The share of dead rows from which on a segment is rewritten alone.
    pub(crate) dead_share: f64,
}

impl Policy {
    /// The policy that the options ask for.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            fan_in: options.compact_fan_in.max(2),
            ..Self::default()
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            fan_in: 10,
            // The format takes 2^28; half of it halves the disk space that a merge needs beside its inputs, and
            // costs one segment more for each 2 GB of index.
            links_max: 1 << 27,
            dead_share: 0.3,
        }
    }
}

/// What the policy knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// How often its rows were merged.
    pub(crate) level: u8,
    pub(crate) rows: u64,
    pub(crate) links: u64,
    pub(crate) dead_rows: u64,
    /// Keys that its events left without a row.
    pub(crate) passed_keys: u64,
    /// Whether it can be read. One that is quarantined parts its neighbours: a merged range has no hole.
    pub(crate) is_readable: bool,
}

impl Candidate {
    /// The links that a merge keeps, about.
    fn live_links(&self) -> u64 {
        let live = self.rows.saturating_sub(self.dead_rows);
        let share = u128::from(self.links) * u128::from(live) / u128::from(self.rows.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

/// One merge: neighbouring segments by their places, and the level of what comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) places: Range<usize>,
    pub(crate) level: u8,
}

/// The next merge, if one is due. The lowest level comes first: its merges are the cheapest, and lessen the
/// segments that a query asks the most. O(segments).
pub(crate) fn plan(segments: &[Candidate], policy: &Policy) -> Option<Plan> {
    let levels = segments.iter().map(|segment| segment.level).max()?;
    (0..=levels)
        .find_map(|level| plan_level(segments, policy, level))
        .or_else(|| plan_rewrite(segments, policy))
}

/// A merge of segments of one level: the oldest of the first run that is long enough.
fn plan_level(segments: &[Candidate], policy: &Policy, level: u8) -> Option<Plan> {
    let is_member = |segment: &Candidate| segment.is_readable && segment.level == level;
    let mut start = 0;
    for run in segments.chunk_by(|a, b| is_member(a) == is_member(b)) {
        let first = start;
        start += run.len();
        if run.len() < policy.fan_in || !run.first().is_some_and(is_member) {
            continue;
        }
        for skipped in 0..run.len() {
            let rest = run.get(skipped..).unwrap_or_default();
            let taken = within(rest, policy.links_max).min(policy.fan_in);
            let is_cut_by_size = taken < policy.fan_in && taken < rest.len();
            if taken == policy.fan_in || (taken >= 2 && is_cut_by_size) {
                return Some(Plan {
                    places: first + skipped..first + skipped + taken,
                    level: level.saturating_add(1),
                });
            }
        }
    }
    None
}

fn plan_rewrite(segments: &[Candidate], policy: &Policy) -> Option<Plan> {
    let is_due = |segment: &Candidate| {
        // Level 0 is merged soon enough.
        segment.is_readable
            && segment.level > 0
            && segment.dead_rows > 0
            && segment.dead_rows as f64 >= segment.rows as f64 * policy.dead_share
    };
    let place = segments.iter().position(is_due)?;
    Some(Plan {
        places: place..place + 1,
        level: segments.get(place)?.level,
    })
}

/// How many of the first segments have at most `links_max` live links together, and passed keys likewise.
fn within(segments: &[Candidate], links_max: u64) -> usize {
    let (mut links, mut passed) = (0_u64, 0_u64);
    segments
        .iter()
        .take_while(|segment| {
            links = links.saturating_add(segment.live_links());
            passed = passed.saturating_add(segment.passed_keys);
            links.max(passed) <= links_max
        })
        .count()
}

/// The first of the merges after which the directory has as few segments and dead rows as it can have; `None`
/// when it is so far.
pub(crate) fn plan_full(segments: &[Candidate], policy: &Policy) -> Option<Plan> {
    let mut start = 0;
    while let Some(rest) = segments.get(start..).filter(|rest| !rest.is_empty()) {
        let readable = rest.iter().take_while(|segment| segment.is_readable);
        let readable = rest.get(..readable.count()).unwrap_or_default();
        // One that is too large by itself is still rewritten alone.
        let taken = within(readable, policy.links_max).max(1);
        let window = readable.get(..taken).unwrap_or_default();
        let dead: u64 = window.iter().map(|segment| segment.dead_rows).sum();
        if window.len() > 1 || dead > 0 {
            let level = window.iter().map(|segment| segment.level).max();
            return Some(Plan {
                places: start..start + window.len(),
                level: level.unwrap_or(0).max(1),
            });
        }
        start += taken;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::SplitMix;

    /// A segment of the simulation, with the most rewrites that one of its rows went through.
    #[derive(Debug, Clone)]
    struct Simulated {
        candidate: Candidate,
        /// By merges, each of which rises a level.
        merges: u32,
        /// Alone, which dead rows pay for.
        alone: u32,
    }

    fn candidates(segments: &[Simulated]) -> Vec<Candidate> {
        segments.iter().map(|segment| segment.candidate).collect()
    }

    fn apply(segments: &mut Vec<Simulated>, plan: &Plan) {
        let merged = &segments[plan.places.clone()];
        let sum = |f: fn(&Candidate) -> u64| merged.iter().map(|s| f(&s.candidate)).sum::<u64>();
        let dead = sum(|c| c.dead_rows);
        let is_alone = merged.len() == 1;
        let most = |f: fn(&Simulated) -> u32| merged.iter().map(f).max().unwrap();
        let result = Simulated {
            candidate: Candidate {
                level: plan.level,
                rows: sum(|c| c.rows) - dead,
                links: sum(|c| c.links) - dead.min(sum(|c| c.links)),
                dead_rows: 0,
                passed_keys: 0,
                is_readable: true,
            },
            merges: most(|s| s.merges) + u32::from(!is_alone),
            alone: most(|s| s.alone) + u32::from(is_alone),
        };
        segments.splice(plan.places.clone(), [result]);
    }

    fn log(base: f64, value: f64) -> f64 {
        value.max(1.0).ln() / base.ln()
    }

    #[test]
    fn rewriting_and_the_number_of_segments_stay_logarithmic_over_ten_thousand_random_runs() {
        for seed in 0..10_000 {
            let mut random = SplitMix::new(seed);
            let mut below = |limit: u64| random.next_u64() % limit;
            let policy = Policy {
                fan_in: 2 + below(12) as usize,
                links_max: u64::MAX,
                dead_share: 0.3,
            };
            let seals = 1 + below(400);
            let dead_per_seal = below(3) * below(500);
            let mut segments: Vec<Simulated> = Vec::new();
            let (mut rows_all, mut freed_alone, mut written_alone) = (0, 0, 0);
            for sealed in 1..=seals {
                let rows = 1 + below(1_000);
                rows_all += rows;
                segments.push(Simulated {
                    candidate: Candidate {
                        level: 0,
                        rows,
                        links: rows + below(rows),
                        dead_rows: 0,
                        passed_keys: 0,
                        is_readable: true,
                    },
                    merges: 0,
                    alone: 0,
                });
                for _ in 0..4 {
                    let place = below(segments.len() as u64) as usize;
                    let candidate = &mut segments[place].candidate;
                    let live = candidate.rows - candidate.dead_rows;
                    candidate.dead_rows += below(dead_per_seal + 1).min(live);
                }
                let mut merges = 0;
                while let Some(plan) = plan(&candidates(&segments), &policy) {
                    if plan.places.len() == 1 {
                        let alone = segments[plan.places.start].candidate;
                        freed_alone += alone.dead_rows;
                        written_alone += alone.rows - alone.dead_rows;
                    }
                    apply(&mut segments, &plan);
                    merges += 1;
                    assert!(merges < 1_000, "seed {seed}: the policy never rests");
                }
                let fan_in = policy.fan_in as f64;
                let levels = log(fan_in, sealed as f64).floor() + 1.0;
                assert!(
                    segments.len() as f64 <= (fan_in - 1.0) * levels,
                    "seed {seed}: {} segments after {sealed} seals at fan-in {fan_in}",
                    segments.len()
                );
                assert!(
                    segments.is_sorted_by(|a, b| a.candidate.level >= b.candidate.level),
                    "seed {seed}: older segments have higher levels"
                );
            }
            let rises = log(policy.fan_in as f64, seals as f64).floor() + 1.0;
            // On each level, each rewrite alone leaves at most 70 % of the rows.
            let shrinks = rises * (log(1.0 / 0.7, rows_all as f64) + 1.0);
            for segment in &segments {
                assert!(f64::from(segment.merges) <= rises, "seed {seed}");
                assert!(f64::from(segment.alone) <= shrinks, "seed {seed}");
            }
            let paid = freed_alone as f64 * 0.7 / 0.3;
            assert!(written_alone as f64 <= paid + 1.0, "seed {seed}");
        }
    }

    fn segment(level: u8, links: u64) -> Candidate {
        Candidate {
            level,
            rows: links,
            links,
            dead_rows: 0,
            passed_keys: 0,
            is_readable: true,
        }
    }

    #[test]
    fn no_merge_goes_over_the_largest_size_or_across_a_quarantined_segment() {
        let policy = Policy {
            fan_in: 3,
            links_max: 100,
            dead_share: 0.3,
        };
        assert_eq!(plan(&[segment(0, 60); 3], &policy), None);
        let cut = plan(&[segment(0, 40); 3], &policy).unwrap();
        assert_eq!((cut.places, cut.level), (0..2, 1));
        let mut parted = [segment(0, 1); 5];
        parted[2].is_readable = false;
        assert_eq!(plan(&parted, &policy), None);
        assert_eq!(plan_full(&parted, &policy).unwrap().places, 0..2);
        let whole = plan(&[segment(0, 1); 5], &policy).unwrap();
        assert_eq!((whole.places, whole.level), (0..3, 1));
    }

    #[test]
    fn dead_rows_make_room_under_the_largest_size() {
        let policy = Policy {
            fan_in: 2,
            links_max: 100,
            dead_share: 0.3,
        };
        let mut segments = [segment(1, 80); 2];
        assert_eq!(plan(&segments, &policy), None);
        segments.iter_mut().for_each(|s| s.dead_rows = 40);
        assert_eq!(plan(&segments, &policy).unwrap().places, 0..2);
    }

    #[test]
    fn a_full_compaction_ends_with_as_few_segments_as_can_be_and_nothing_dead() {
        for seed in 0..2_000 {
            let mut random = SplitMix::new(seed);
            let mut below = |limit: u64| random.next_u64() % limit;
            let policy = Policy {
                links_max: 50 + below(1_000),
                ..Policy::default()
            };
            let mut segments: Vec<Simulated> = (0..1 + below(40))
                .map(|_| {
                    let rows = below(100);
                    Simulated {
                        candidate: Candidate {
                            level: below(3) as u8,
                            rows,
                            links: rows,
                            dead_rows: below(rows + 1),
                            passed_keys: below(50),
                            is_readable: true,
                        },
                        merges: 0,
                        alone: 0,
                    }
                })
                .collect();
            while let Some(plan) = plan_full(&candidates(&segments), &policy) {
                apply(&mut segments, &plan);
            }
            for pair in segments.windows(2) {
                let links = pair[0].candidate.links + pair[1].candidate.links;
                assert!(links > policy.links_max, "seed {seed}");
            }
            assert!(segments.iter().all(|s| s.candidate.dead_rows == 0));
        }
    }
}
