//! Which segments make the chain of seqs and ids of accounts that a directory had, as a pure function of what is there.

use std::collections::BTreeMap;

use orrery_formats::manifest::{SegmentEntry, State};

/// A segment that could be part of the chain.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) entry: SegmentEntry,
    pub(super) first_actor: u32,
    pub(super) is_named: bool,
    /// Why it is not read; `None` of a sound one.
    pub(super) why: Option<String>,
}

/// What a chain up to some place costs, cheaper ones first: seqs without a file, segments, segments that were not
/// named. Of a merged segment and those that it was made of the merged one is taken, named or not: segments behind it
/// may have dropped what kills rows that only the others have.
type Cost = (u64, u64, u64);

/// How a place of the chain is reached best: what that costs, and the link that leads there.
type Reached = (Cost, Option<usize>);

/// The chain that reaches farthest, and of those the cheapest. Links are in order of their first seqs.
pub(super) fn chain(links: &[Link], state: &State) -> Vec<Link> {
    let mut reached: BTreeMap<(u64, u32), Reached> = BTreeMap::new();
    reached.insert((1, 0), ((0, 0, 0), None));
    for (at, link) in links.iter().enumerate() {
        let entry = &link.entry;
        let Some(((missing, count, new), _)) = reached.get(&(entry.first_seq, link.first_actor))
        else {
            continue;
        };
        let seqs = entry.last_seq.saturating_sub(entry.first_seq) + 1;
        let cost = (
            missing + if link.why.is_none() { 0 } else { seqs },
            count + 1,
            new + u64::from(!link.is_named),
        );
        let place = (entry.last_seq.saturating_add(1), entry.actors_end);
        let known = reached.get(&place);
        if known.is_none_or(|(known, _)| cost < *known) {
            reached.insert(place, (cost, Some(at)));
        }
    }
    let far = |place: &(u64, u32)| place.0 > state.sealed_through;
    let ends = reached.iter().filter(|(place, _)| far(place));
    let end = ends.max_by_key(|(place, (cost, _))| (place.0, std::cmp::Reverse(*cost)));
    let mut place = end.map_or((1, 0), |(place, _)| *place);
    let mut chain = Vec::new();
    while let Some((_, Some(at))) = reached.get(&place)
        && let Some(link) = links.get(*at)
    {
        chain.push(link.clone());
        place = (link.entry.first_seq, link.first_actor);
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use orrery_formats::manifest::Directory;

    use super::*;

    fn link(id: u64, (first_seq, last_seq): (u64, u64), is_named: bool) -> Link {
        Link {
            entry: SegmentEntry {
                id,
                first_seq,
                last_seq,
                bytes: 1,
                checksum: 1,
                first_time_us: 0,
                last_time_us: 0,
                actors_end: last_seq as u32,
                level: 0,
            },
            first_actor: (first_seq - 1) as u32,
            is_named,
            why: None,
        }
    }

    fn ids(links: &[Link]) -> Vec<u64> {
        let state = State::new(Directory {
            id: [0; 16],
            secret: [0; 32],
        });
        chain(links, &state)
            .iter()
            .map(|link| link.entry.id)
            .collect()
    }

    #[test]
    fn a_merged_segment_is_taken_in_place_of_those_it_was_made_of() {
        let parts = [link(1, (1, 10), true), link(2, (11, 20), true)];
        let last = link(4, (21, 30), false);
        let [first, second] = parts;
        let mut merged = link(3, (1, 20), false);
        let links = |merged: &Link| [first.clone(), merged.clone(), second.clone(), last.clone()];
        assert_eq!(ids(&links(&merged)), [3, 4]);
        // But not where it is damaged.
        merged.why = Some("damaged".to_owned());
        assert_eq!(ids(&links(&merged)), [1, 2, 4]);
    }
}
