//! The table of hot targets.

use super::wrong;
use crate::Result;
use crate::bits::packed_len;
use crate::segment::Segment;
use crate::segment::layout::Section;
use crate::segment::lists::width_below;

/// Hot targets are targets, rise in each class, and stand there once; the classes have room for all of them.
pub(super) fn check(segment: &Segment) -> Result<()> {
    let links = segment.link_targets()?;
    let bytes = packed_len(links.hot_targets.into(), width_below(links.targets));
    if links.hot.len() != bytes {
        let expected = format!("{bytes} bytes");
        return wrong(segment, Section::HotTargets, expected, links.hot.len());
    }
    // At most 2^16 of each class.
    let mut seen = Vec::new();
    let mut places = 0..links.hot_targets;
    for width in links.hot_widths {
        let mut before = None;
        for place in places.by_ref().take(1 << width) {
            let target = links.hot_target(place)?;
            if before >= Some(target) || target >= links.targets {
                let expected = format!("rising targets below {}", links.targets);
                return wrong(segment, Section::HotTargets, expected, target);
            }
            before = Some(target);
            seen.push(target);
        }
    }
    if !places.is_empty() {
        let expected = format!("at most {} hot targets", seen.len());
        return wrong(segment, Section::HotTargets, expected, links.hot_targets);
    }
    seen.sort_unstable();
    let twice = seen.chunk_by(|a, b| a == b).find(|same| same.len() > 1);
    if let Some([twice, ..]) = twice {
        return wrong(segment, Section::HotTargets, "each target once", twice);
    }
    Ok(())
}
