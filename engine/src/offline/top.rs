//! The targets with the most links. Targets stand in the same order in every segment, so one merge over all
//! segments adds up each target's lists exactly, and memory holds the best so far and one target a segment.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use orrery_formats::segment::{Segment, TargetRef};

use super::Directory;
use crate::Result;

/// A target with its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopTarget {
    /// The target.
    pub target: String,
    /// Rows in its lists, dead and hidden ones included.
    pub links: u64,
    /// Its lists.
    pub lists: u64,
}

/// The next target of one segment.
struct Head<'a> {
    target: TargetRef<'a>,
    segment: &'a Segment,
    ordinal: u32,
}

impl Head<'_> {
    fn order(&self, other: &Self) -> Ordering {
        order(&self.target, &other.target)
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

fn order(a: &TargetRef<'_>, b: &TargetRef<'_>) -> Ordering {
    let kind = |target: &TargetRef<'_>| match target {
        TargetRef::Did(_) => 0_u8,
        TargetRef::Record { .. } => 1,
        TargetRef::Other(_) => 2,
    };
    match (a, b) {
        (TargetRef::Did(a), TargetRef::Did(b)) => a.cmp(b),
        (TargetRef::Other(a), TargetRef::Other(b)) => (*a).cmp(*b),
        (
            TargetRef::Record {
                actor,
                collection,
                rkey,
            },
            TargetRef::Record {
                actor: other_actor,
                collection: other_collection,
                rkey: other_rkey,
            },
        ) => (actor, collection)
            .cmp(&(other_actor, other_collection))
            .then_with(|| rkey.order(other_rkey)),
        _ => kind(a).cmp(&kind(b)),
    }
}

impl Directory {
    /// The `count` targets with the most links, most first; of equal ones the first in the order of targets.
    /// Segments that do not open are left out. O(all targets · log segments).
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn top_targets(&self, count: usize) -> Result<Vec<TopTarget>> {
        let mut heads = BinaryHeap::new();
        for (_, segment) in self.sound_segments() {
            advance(&mut heads, segment, 0)?;
        }
        let mut best: BinaryHeap<Reverse<(u64, Reverse<u64>, u64)>> = BinaryHeap::new();
        let mut texts: std::collections::HashMap<u64, TargetRef<'_>> =
            std::collections::HashMap::new();
        let mut number = 0u64;
        while let Some(Reverse(head)) = heads.pop() {
            let target = head.target;
            let (mut links, mut lists) = (0u64, 0u64);
            let mut next = Some(head);
            while let Some(head) = next.take() {
                for list in head.segment.lists_of(head.ordinal)? {
                    links = links.saturating_add(u64::from(list?.len));
                    lists += 1;
                }
                advance(&mut heads, head.segment, head.ordinal.saturating_add(1))?;
                let is_same = heads
                    .peek()
                    .is_some_and(|Reverse(head)| order(&head.target, &target).is_eq());
                if is_same {
                    next = heads.pop().map(|Reverse(head)| head);
                }
            }
            best.push(Reverse((links, Reverse(number), lists)));
            texts.insert(number, target);
            number += 1;
            if best.len() > count
                && let Some(Reverse((_, Reverse(worst), _))) = best.pop()
            {
                texts.remove(&worst);
            }
        }
        let mut top = Vec::with_capacity(best.len());
        let mut text = String::new();
        for Reverse((links, Reverse(number), lists)) in best.into_sorted_vec() {
            if let Some(target) = texts.get(&number) {
                self.target_text(target, &mut text)?;
                top.push(TopTarget {
                    target: text.clone(),
                    links,
                    lists,
                });
            }
        }
        Ok(top)
    }
}

/// Puts the target at `ordinal` of a segment among the next ones.
fn advance<'a>(
    heads: &mut BinaryHeap<Reverse<Head<'a>>>,
    segment: &'a Segment,
    ordinal: u32,
) -> Result<()> {
    if ordinal < segment.info().targets {
        heads.push(Reverse(Head {
            target: segment.target(ordinal)?,
            segment,
            ordinal,
        }));
    }
    Ok(())
}
