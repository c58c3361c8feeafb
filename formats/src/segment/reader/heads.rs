//! Lists and filters that nearly every question opens: their headers are kept once they were read and were sound.

use std::sync::OnceLock;

use super::Segment;
use crate::Result;
use crate::filter::{self, Filter};
use crate::monotone::{Head, Monotone};
use crate::segment::layout::Section;

/// See the module's description.
#[derive(Default)]
pub(super) struct Heads {
    state_ids: OnceLock<Head>,
    list_starts: OnceLock<Head>,
    far_keys: OnceLock<Head>,
    stray_filter: OnceLock<StrayFilter>,
}

/// What is kept of a filter of stray keys. Most segments have few such keys, and nearly every write asks the filters of all segments.
enum StrayFilter {
    Whole(filter::Kept),
    Head(filter::Head),
    /// It has several shards.
    Nothing,
}

impl Segment {
    /// The list that takes a section, whose header is kept in `head`.
    fn kept<'s>(&'s self, section: Section, head: &OnceLock<Head>) -> Result<Monotone<'s>> {
        let region = self.section(section)?;
        if let Some(head) = head.get() {
            return Ok(Monotone::with_head(region, *head));
        }
        let list = Monotone::open(region)?;
        head.get_or_init(|| list.head());
        Ok(list)
    }

    pub(super) fn state_ids(&self) -> Result<Monotone<'_>> {
        self.kept(Section::StateIds, &self.heads.state_ids)
    }

    pub(super) fn list_starts(&self) -> Result<Monotone<'_>> {
        self.kept(Section::ListStarts, &self.heads.list_starts)
    }

    /// Whether the filter of stray keys has that hash.
    pub(super) fn may_be_stray(&self, hash: u64) -> Result<bool> {
        match self.heads.stray_filter.get() {
            Some(StrayFilter::Whole(filter)) => Ok(filter.contains(hash)),
            Some(StrayFilter::Head(head)) => {
                head.contains(self.section(Section::StrayFilter)?, hash)
            }
            Some(StrayFilter::Nothing) => {
                Filter::open(self.section(Section::StrayFilter)?)?.contains(hash)
            }
            None => self.open_stray_filter(hash),
        }
    }

    #[cold]
    fn open_stray_filter(&self, hash: u64) -> Result<bool> {
        let filter = Filter::open(self.section(Section::StrayFilter)?)?;
        let kept = match filter.keep()? {
            Some(whole) => StrayFilter::Whole(whole),
            None => filter
                .head()?
                .map_or(StrayFilter::Nothing, StrayFilter::Head),
        };
        let found = filter.contains(hash)?;
        self.heads.stray_filter.get_or_init(|| kept);
        Ok(found)
    }

    pub(super) fn far_key_hashes(&self) -> Result<Monotone<'_>> {
        self.kept(Section::FarKeys, &self.heads.far_keys)
    }
}
