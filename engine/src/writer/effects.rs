//! What an event undoes, told before it is accepted, for the log to keep beside it. All that is read for it is read
//! now: damage that is met costs no more than its segment. Events that come from the log have theirs there.

use orrery_formats::effect::{AccountBuf, Before, Effect, INLINE_LINKS_MAX, Links, LinksBuf, Row};
use orrery_formats::segment::{LinkRef, SeqColumn, Text};

use super::own_rows::{Move, OwnRows};
use super::{Place, Writer};
use crate::actors::ActorId;
use crate::{Error, Result};

/// The most links that the rows of an account event are told with where these stay: further rows are told by their seqs,
/// by which whoever follows finds them in the index, or learns that some are missing where they died and were merged away
/// meanwhile. That is more than most accounts have; the busy ones of which most account events are would have the writer
/// print thousands of links an event that hardly anybody reads. Those of a deleted account are told as far as the log can,
/// since merges drop them.
const STAYING_LINKS_MAX: u32 = 64;

/// Rows whose seqs, or whose links' targets, are fetched together.
const FETCHED: usize = 16;
/// Targets that are fetched together: a row may have thousands.
const FETCHED_TARGETS: usize = 64;

/// The effect of the event that comes next. Its buffers are kept from event to event.
#[derive(Debug, Default)]
pub(super) struct NextEffect {
    what: What,
    links: LinksBuf,
    account: AccountBuf,
    target: LastTarget,
}

/// The target of a segment that was printed last: what many link to is unlinked by many.
#[derive(Debug, Default)]
struct LastTarget {
    /// The segment's id in the manifest, and the target.
    of: Option<(u64, u32)>,
    text: String,
}

#[derive(Debug, Clone, Copy, Default)]
enum What {
    #[default]
    Unknown,
    Commit {
        hidden: bool,
        before: Stood,
    },
    Account,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stood {
    Nothing,
    Same,
    Links,
    Unknown,
}

/// Passes over a DID that is not to be had, for it stood in a segment that is set aside, or the index contradicts
/// itself: no answer depends on what the log is told, so that the event is not refused for it.
fn without_did(error: Error) -> Result<()> {
    match error {
        Error::LostDid { .. } => Ok(()),
        Error::Internal(_) => {
            tracing::error!(%error, "what an event undid cannot be told");
            Ok(())
        }
        error => Err(error),
    }
}

impl NextEffect {
    pub(super) fn forget(&mut self) {
        self.what = What::Unknown;
    }

    /// Drops what was read, for there is no room for it: it is told that there may be something.
    pub(super) fn leave_out(&mut self) {
        match &mut self.what {
            What::Unknown => {}
            What::Commit { before, .. } => *before = Stood::Unknown,
            What::Account => {
                self.account.clear();
                self.account.cut();
            }
        }
    }

    pub(super) fn effect(&self) -> Effect<'_> {
        match self.what {
            What::Unknown => Effect::Unknown,
            What::Commit { hidden, before } => Effect::Commit {
                hidden,
                before: match before {
                    Stood::Nothing => Before::Nothing,
                    Stood::Same => Before::Same,
                    Stood::Links => Before::Links(self.links.links()),
                    Stood::Unknown => Before::Unknown,
                },
            },
            What::Account => self.account.effect(),
        }
    }

    /// Whether a commit keeps the row that stands at its key; `None` where that was not told.
    pub(super) fn keeps_row(&self) -> Option<bool> {
        match self.what {
            What::Commit { before, .. } if before != Stood::Unknown => Some(before == Stood::Same),
            _ => None,
        }
    }
}

/// The most links that a move's rows are told with.
pub(super) const fn links_told(moves: Move) -> u32 {
    match moves {
        Move::Delete => INLINE_LINKS_MAX,
        Move::Hide | Move::Show => STAYING_LINKS_MAX,
    }
}

impl Writer {
    /// Tells what a commit of `actor`, whom the network hides or not, undoes, whose links are in `spans`: `old` is the
    /// row at its key. Where there is none to be seen, a segment that is set aside may have one.
    pub(super) fn read_commit_effect(
        &mut self,
        actor: Option<ActorId>,
        hidden: bool,
        old: Option<Place>,
    ) -> Result<()> {
        let Some(place) = old else {
            let before = if self.unread.may_have_rows(actor) {
                Stood::Unknown
            } else {
                Stood::Nothing
            };
            self.next_effect.what = What::Commit { hidden, before };
            return Ok(());
        };
        let mut links = std::mem::take(&mut self.next_effect.links);
        let mut last = std::mem::take(&mut self.next_effect.target);
        let known = match place {
            Place::Sealed { part, row } => self.old_row.links_of(part, row),
            Place::Memtable(_) => None,
        };
        let read = self.read_links_of(place, known, &mut links, &mut last);
        self.next_effect.target = last;
        let before = match read {
            Ok(()) if self.are_new_links(&links.links()) => Stood::Same,
            Ok(()) => Stood::Links,
            Err(error) => {
                without_did(error)?;
                Stood::Unknown
            }
        };
        self.next_effect.links = links;
        self.next_effect.what = What::Commit { hidden, before };
        Ok(())
    }

    /// Tells that an account event changes which of those rows of `actor` are to be seen; none where nothing
    /// `changes`. A segment that is set aside may have more, or tell that something does change.
    pub(super) fn read_account_effect(
        &mut self,
        actor: Option<ActorId>,
        changes: Option<Move>,
        rows: &OwnRows,
    ) -> Result<()> {
        let may_change = changes.is_some() || self.unread.may_have_states();
        let mut account = std::mem::take(&mut self.next_effect.account);
        let mut links = std::mem::take(&mut self.next_effect.links);
        account.clear();
        if may_change && self.unread.may_have_rows(actor) {
            account.cut();
        }
        let read = match changes {
            Some(moves) => self.read_rows(rows, links_told(moves), &mut account, &mut links),
            None => Ok(()),
        };
        self.next_effect.account = account;
        self.next_effect.links = links;
        self.next_effect.what = What::Account;
        read
    }

    fn read_rows(
        &self,
        rows: &OwnRows,
        links_max: u32,
        account: &mut AccountBuf,
        links: &mut LinksBuf,
    ) -> Result<()> {
        let mut last = LastTarget::default();
        let (mut told, mut is_full) = (0_u32, false);
        let mut kept = rows.links().iter().peekable();
        let mut next_kept = rows.links().iter().peekable();
        let (mut seqs, mut targets) = (None, Vec::new());
        let (mut places, mut near) = (rows.places(), Vec::with_capacity(FETCHED));
        loop {
            near.clear();
            near.extend(places.by_ref().take(FETCHED));
            if near.is_empty() {
                break;
            }
            if is_full {
                self.fetch_seqs(&near, &mut seqs)?;
            } else {
                let near = near.iter().filter_map(|place| {
                    let (of, links) =
                        next_kept.next_if(|(of, _)| *place == Place::of_segment(*of))?;
                    Some((of.0, links))
                });
                self.fetch_targets(near, &mut targets);
            }
            for &place in &near {
                if !is_full {
                    let of_place = kept.next_if(|(of, _)| place == Place::of_segment(*of));
                    let of_place = of_place.map(|(_, links)| links);
                    match self.read_links_of(place, of_place, links, &mut last) {
                        Ok(()) => {
                            told = told.saturating_add(links.links().len());
                            if told <= links_max && self.push_row(place, links, account)? {
                                continue;
                            }
                            is_full = true;
                        }
                        Err(error) => without_did(error)?,
                    }
                }
                account.push_seq(self.seq(place, &mut seqs)?);
            }
        }
        Ok(())
    }

    /// Has what the targets of those links are read of fetched, each with the part of its segment. `targets` is a buffer.
    fn fetch_targets<'l>(
        &self,
        links: impl Iterator<Item = (u32, &'l [LinkRef])>,
        targets: &mut Vec<(u32, u32)>,
    ) {
        targets.clear();
        targets.extend(
            links
                .flat_map(|(part, links)| links.iter().map(move |link| (part, link.target)))
                .take(FETCHED_TARGETS),
        );
        let generation = &self.generation;
        let mut of_one = Vec::with_capacity(FETCHED);
        for same in targets.chunk_by(|a, b| a.0 == b.0) {
            of_one.clear();
            of_one.extend(same.iter().map(|(_, target)| *target));
            let part = same.first().map(|(part, _)| self.segment(*part));
            if let Some(Ok(segment)) = part {
                segment.fetch_targets(&of_one, &mut |actor| generation.fetch_did(actor));
            }
        }
    }

    /// Has what the seqs of the first places of one segment are read of fetched.
    fn fetch_seqs<'s>(
        &'s self,
        places: &[Place],
        column: &mut Option<(u32, SeqColumn<'s>)>,
    ) -> Result<()> {
        let row_in = |wanted: u32| {
            move |place: &Place| match *place {
                Place::Sealed { part, row } if part == wanted => Some(row),
                _ => None,
            }
        };
        let Some(&Place::Sealed { part, .. }) = places.first() else {
            return Ok(());
        };
        let rows = places.iter().filter_map(row_in(part));
        self.seqs_of(part, column)?.fetch(rows);
        Ok(())
    }

    /// The seqs of a segment; `column` keeps those of the last one asked for.
    fn seqs_of<'s, 'c>(
        &'s self,
        part: u32,
        column: &'c mut Option<(u32, SeqColumn<'s>)>,
    ) -> Result<&'c mut SeqColumn<'s>> {
        if column.as_ref().is_none_or(|(of, _)| *of != part) {
            *column = Some((part, self.segment(part)?.seq_column()?));
        }
        match column {
            Some((_, column)) => Ok(column),
            None => Err(Error::Internal("no seqs of a segment".to_owned())),
        }
    }

    fn push_row(&self, place: Place, links: &LinksBuf, account: &mut AccountBuf) -> Result<bool> {
        let mut push = |collection: &str, rkey: &str| {
            account.push_row(&Row {
                collection,
                rkey,
                links: links.links(),
            })
        };
        Ok(match place {
            Place::Memtable(row) => {
                let memtable = self.memtable();
                push(memtable.collection(row), &memtable.rkey(row).text())
            }
            Place::Sealed { part, row } => {
                let segment = self.segment(part)?;
                push(segment.collection(row)?, &segment.rkey(row)?.text())
            }
        })
    }

    /// The seq of a row. Those of one segment, asked for one after the other, are read by blocks; `column` keeps the last segment's.
    fn seq<'s>(&'s self, place: Place, column: &mut Option<(u32, SeqColumn<'s>)>) -> Result<u64> {
        let (part, row) = match place {
            Place::Memtable(row) => return Ok(self.memtable().seq(row)),
            Place::Sealed { part, row } => (part, row),
        };
        Ok(self.seqs_of(part, column)?.get(row)?)
    }

    /// The links of a row as strings, in place of what `links` holds; where the row is of a segment and they were read,
    /// they are `known`.
    fn read_links_of(
        &self,
        place: Place,
        known: Option<&[LinkRef]>,
        links: &mut LinksBuf,
        last: &mut LastTarget,
    ) -> Result<()> {
        links.clear();
        let generation = &self.generation;
        let mut target = String::new();
        match place {
            Place::Memtable(row) => {
                let memtable = self.memtable();
                for (source, id, _) in memtable.row_links(row) {
                    target.clear();
                    memtable.with_target(id, |key| generation.push_target(&key, &mut target))?;
                    links.push(memtable.source(source).1, &target);
                }
            }
            Place::Sealed { part, row } => {
                let segment = self.segment(part)?;
                let id = generation.segments.get(part as usize);
                let id = id.map_or(u64::MAX, |sealed| sealed.id);
                let mut push = |link: LinkRef| -> Result<()> {
                    let of = Some((id, link.target));
                    if last.of != of {
                        last.of = None;
                        last.text.clear();
                        let mut text = Text::default();
                        let key = segment.target(link.target)?;
                        generation.push_target(&key.key(&mut text), &mut last.text)?;
                        last.of = of;
                    }
                    links.push(segment.path(link.path)?, &last.text);
                    Ok(())
                };
                match known {
                    Some(read) => read.iter().try_for_each(|link| push(*link))?,
                    None => {
                        for link in segment.links(row)? {
                            push(link?)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the links in `spans` are these, of which each is there once.
    fn are_new_links(&self, old: &Links<'_>) -> bool {
        if self.spans.len() < old.len() as usize {
            return false;
        }
        let mut start = 0;
        let spans = self.spans.iter().map(|(path_end, target_end)| {
            let path = self.text.get(start..*path_end).unwrap_or_default();
            let target = self.text.get(*path_end..*target_end).unwrap_or_default();
            start = *target_end;
            (path, target)
        });
        let mut new: Vec<(&str, &str)> = spans.collect();
        new.sort_unstable();
        new.dedup();
        let mut known: Vec<(&str, &str)> = old.iter().collect();
        known.sort_unstable();
        new == known
    }
}
