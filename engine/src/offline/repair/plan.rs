//! What can be done about each segment, as a pure function of what is there.

use std::collections::BTreeSet;

use orrery_formats::manifest::State;

use super::Outcome;

/// How a segment stands before the log is asked. `applied_through`: events up to there were applied with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Read, and sound.
    Sound,
    /// Set aside, and its file is sound again.
    Back {
        outcome: Outcome,
        applied_through: u64,
    },
    /// No sound file is there.
    Lost { applied_through: u64 },
    /// It was written off, and events that may be of it again are not sealed yet: those would count twice, since the
    /// next start applies the log as it stands.
    Waits { applied_through: u64 },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// All segments from this place on are made anew from the log.
    pub(super) redo_from: Option<usize>,
    /// The places of segments that stay set aside.
    pub(super) stays: BTreeSet<usize>,
}

/// The place from which the log has to be applied again for a segment to be back, `None` where it need not be.
fn redo_place(state: &State, place: usize, standing: &Standing) -> Option<usize> {
    match standing {
        Standing::Sound => None,
        Standing::Lost { .. } | Standing::Waits { .. } => Some(place),
        Standing::Back {
            applied_through, ..
        } => {
            let segments = &state.segments;
            let first = segments.partition_point(|entry| entry.last_seq <= *applied_through);
            // The segment itself ends before what was applied without it.
            let first = first.max(place);
            (first < segments.len()).then_some(first)
        }
    }
}

/// Plans for a log that is whole from `whole_from` up to the last sealed event. The places of `refused` were tried
/// and came to nothing.
pub(super) fn plan(
    state: &State,
    standings: &[Standing],
    whole_from: u64,
    refused: &[(usize, String)],
) -> Plan {
    let places: Vec<Option<usize>> = standings
        .iter()
        .enumerate()
        .map(|(place, standing)| redo_place(state, place, standing))
        .collect();
    let waits = |standing: &Standing| matches!(standing, Standing::Waits { .. });
    let waits = standings.iter().rposition(waits);
    let mut candidates: BTreeSet<usize> = places.iter().flatten().copied().collect();
    candidates.retain(|from| Some(*from) > waits);
    for from in candidates {
        let stays = stay(&places, Some(from));
        if refused.iter().all(|(place, _)| *place != from)
            && obstacle(state, standings, whole_from, from, &stays).is_none()
        {
            return Plan {
                redo_from: Some(from),
                stays,
            };
        }
    }
    Plan {
        redo_from: None,
        stays: stay(&places, None),
    }
}

/// The places of segments that are not back when the log is applied from `from` on.
fn stay(places: &[Option<usize>], from: Option<usize>) -> BTreeSet<usize> {
    let needs_earlier = |needed: &usize| from.is_none_or(|from| *needed < from);
    let places = places.iter().enumerate();
    places
        .filter(|(_, needed)| needed.as_ref().is_some_and(needs_earlier))
        .map(|(place, _)| place)
        .collect()
}

/// Why the log cannot be applied again from the segment at `from` on.
fn obstacle(
    state: &State,
    standings: &[Standing],
    whole_from: u64,
    from: usize,
    stays: &BTreeSet<usize>,
) -> Option<String> {
    let entry = state.segments.get(from)?;
    if entry.first_seq < whole_from {
        return Some(if whole_from > state.sealed_through {
            format!(
                "the log holds no events up to seq {}, the last sealed one",
                state.sealed_through
            )
        } else {
            format!(
                "the log is whole from seq {whole_from} on only, and events from seq {} on are needed",
                entry.first_seq
            )
        });
    }
    // Events that were applied with a segment in the index must not be applied again without it.
    let older = stays.range(..from).find_map(|place| {
        let entry = state.segments.get(*place)?;
        let applied_through = match standings.get(*place)? {
            Standing::Sound => return None,
            Standing::Back {
                applied_through, ..
            }
            | Standing::Lost { applied_through }
            | Standing::Waits { applied_through } => *applied_through,
        };
        let first_seq = state.segments.get(from)?.first_seq;
        (applied_through >= first_seq).then_some(entry)
    })?;
    Some(format!(
        "the log cannot be applied again from seq {} on while the older seq {} to {} are lost: accounts would get \
         other ids",
        entry.first_seq, older.first_seq, older.last_seq
    ))
}

impl Plan {
    /// What becomes of the segment at `place`.
    pub(super) fn outcome(&self, place: usize, standing: &Standing) -> Outcome {
        if self.stays.contains(&place) {
            return Outcome::Lost;
        }
        if self.redo_from.is_some_and(|from| place >= from) {
            return Outcome::FromLog;
        }
        match standing {
            Standing::Back { outcome, .. } => *outcome,
            Standing::Sound | Standing::Lost { .. } | Standing::Waits { .. } => Outcome::Lost,
        }
    }

    /// Whether any segment is back by it.
    pub(super) fn heals(&self, standings: &[Standing]) -> bool {
        let mut standings = standings.iter().enumerate();
        standings
            .any(|(place, standing)| *standing != Standing::Sound && !self.stays.contains(&place))
    }

    /// Says of each segment that stays set aside why the log does not bring it back.
    pub(super) fn explain(
        &self,
        state: &State,
        standings: &[Standing],
        whole_from: u64,
        refused: &[(usize, String)],
        tried: &mut [Vec<String>],
    ) {
        let places: Vec<Option<usize>> = standings
            .iter()
            .enumerate()
            .map(|(place, standing)| redo_place(state, place, standing))
            .collect();
        for place in &self.stays {
            let (Some(Some(from)), Some(tried), Some(standing)) = (
                places.get(*place),
                tried.get_mut(*place),
                standings.get(*place),
            ) else {
                continue;
            };
            if let Standing::Back {
                applied_through, ..
            } = standing
            {
                tried.push(format!(
                    "its file is sound, but events behind seq {applied_through} were applied without it"
                ));
            }
            if let Standing::Waits { .. } = standing {
                tried.push(
                    "it was written off, and events of its time have come since that are not sealed yet: those that it \
                     has too would count twice. Once they are sealed, a repair can bring it back"
                        .to_owned(),
                );
                continue;
            }
            let refused = refused.iter().find(|(place, _)| place == from);
            let why = match refused {
                Some((_, why)) => Some(why.clone()),
                None => {
                    let stays = stay(&places, Some(*from));
                    obstacle(state, standings, whole_from, *from, &stays)
                }
            };
            tried.extend(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_formats::manifest::{Directory, SegmentEntry};

    use super::*;

    /// Segments of 100 seqs each.
    fn state(count: u64) -> State {
        let mut state = State::new(Directory {
            id: [0; 16],
            secret: [0; 32],
        });
        let entry = |id: u64| SegmentEntry {
            id,
            first_seq: id * 100 - 99,
            last_seq: id * 100,
            bytes: 1,
            checksum: 1,
            first_time_us: 0,
            last_time_us: 0,
            actors_end: 0,
            level: 0,
        };
        state.segments = (1..=count).map(entry).collect();
        state.sealed_through = count * 100;
        state
    }

    fn lost(applied_through: u64) -> Standing {
        Standing::Lost { applied_through }
    }

    fn back(applied_through: u64) -> Standing {
        Standing::Back {
            outcome: Outcome::FromBackup,
            applied_through,
        }
    }

    /// Where the log is applied from, and what stays.
    fn planned(standings: &[Standing], whole_from: u64) -> (Option<usize>, Vec<usize>) {
        let state = state(standings.len() as u64);
        let plan = plan(&state, standings, whole_from, &[]);
        (plan.redo_from, plan.stays.into_iter().collect())
    }

    const SOUND: Standing = Standing::Sound;

    #[test]
    fn a_lost_segment_is_made_anew_where_the_log_covers_it_and_all_behind_it() {
        assert_eq!(planned(&[SOUND, lost(300), SOUND], 1), (Some(1), vec![]));
        assert_eq!(planned(&[SOUND, lost(300), SOUND], 101), (Some(1), vec![]));
        assert_eq!(planned(&[SOUND, lost(300), SOUND], 102), (None, vec![1]));
        assert_eq!(planned(&[SOUND, lost(300), SOUND], 301), (None, vec![1]));
    }

    #[test]
    fn a_file_that_is_back_before_anything_was_applied_without_it_needs_no_log() {
        assert_eq!(planned(&[SOUND, back(300), SOUND], 301), (None, vec![]));
        assert_eq!(planned(&[back(300), back(300), SOUND], 301), (None, vec![]));
    }

    #[test]
    fn what_was_applied_without_a_segment_is_applied_again_with_it() {
        assert_eq!(planned(&[back(200), SOUND, SOUND], 201), (Some(2), vec![]));
        assert_eq!(planned(&[back(150), SOUND, SOUND], 101), (Some(1), vec![]));
        assert_eq!(planned(&[back(150), SOUND, SOUND], 102), (None, vec![0]));
    }

    #[test]
    fn the_log_is_not_applied_over_a_loss_that_its_events_did_not_know() {
        // The first stays lost, and the second was made with it.
        assert_eq!(
            planned(&[lost(300), SOUND, lost(300)], 101),
            (None, vec![0, 2])
        );
        // The third was made without the first.
        assert_eq!(
            planned(&[lost(200), SOUND, lost(300)], 101),
            (Some(2), vec![0])
        );
        assert_eq!(
            planned(&[lost(300), back(300), lost(300)], 1),
            (Some(0), vec![])
        );
    }

    #[test]
    fn what_waits_for_a_seal_is_not_made_anew_and_is_told() {
        let waits = Standing::Waits {
            applied_through: 150,
        };
        assert_eq!(planned(&[waits, SOUND, SOUND], 1), (None, vec![0]));
        assert_eq!(planned(&[lost(300), waits, SOUND], 1), (None, vec![0, 1]));
        assert_eq!(planned(&[SOUND, waits, lost(140)], 1), (Some(2), vec![1]));
        let standings = [SOUND, waits, SOUND];
        let mut tried = vec![Vec::new(); 3];
        plan(&state(3), &standings, 1, &[]).explain(&state(3), &standings, 1, &[], &mut tried);
        assert!(tried[1][0].contains("count twice"), "{tried:?}");
    }

    #[test]
    fn what_was_refused_is_not_planned_again_and_is_told() {
        let state = state(3);
        let standings = [SOUND, lost(300), SOUND];
        let refused = [(1, "other accounts".to_owned())];
        let plan = plan(&state, &standings, 1, &refused);
        assert_eq!(plan.redo_from, None);
        let mut tried = vec![Vec::new(); 3];
        plan.explain(&state, &standings, 1, &refused, &mut tried);
        assert_eq!(tried[1], ["other accounts"]);
    }
}
