//! Whether a sample in a segment still is its record. Every event that was applied leaves evidence of its key in its
//! segment: a row, or a passed key, or the deletion of its account. A sample has no such evidence in any newer part.

use std::ops::{ControlFlow, Range};

use orrery_formats::Result;
use orrery_formats::segment::{ActorState, SAMPLES_MAX, Sample};

use crate::actors::ActorId;
use crate::log::keys::KeyHasher;
use crate::snapshot::Sealed;
use crate::writer::passed_key;

/// Whether one of `newer` has evidence of an event of the key.
pub(crate) fn is_superseded(newer: &[Sealed], sample: &Sample<'_>, key_hash: u64) -> Result<bool> {
    let key = passed_key(sample.actor, key_hash);
    for sealed in newer.iter().rev() {
        let segment = &sealed.segment;
        if sealed.passed_keys().holds_passed_key(key)? {
            return Ok(true);
        }
        let (actor, collection, rkey) = (sample.actor, sample.collection, sample.rkey);
        if segment.may_hold_key(actor, collection, rkey)? {
            let mut is_found = false;
            segment.find_rows(actor, collection, rkey, &mut |_| is_found = true)?;
            if is_found {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The newest state of an actor in `segments`, with nothing known where there is none.
pub(crate) fn newest_state(segments: &[Sealed], actor: ActorId) -> Result<ActorState> {
    for sealed in segments.iter().rev() {
        let accounts = sealed.accounts();
        if let Some(state) = accounts.state(actor)? {
            return Ok(state);
        }
        let info = accounts.info();
        if info.actors_count > 0 && actor >= info.actors_first_id {
            break;
        }
    }
    Ok(ActorState::default())
}

/// Whether the account was deleted behind the sample of the segment at `place`; `newest` is its newest state. What
/// stands in a segment lived through all deletions that the segment and those before it know.
pub(crate) fn is_purged(
    segments: &[Sealed],
    place: usize,
    sample: &Sample<'_>,
    newest: &ActorState,
) -> Result<bool> {
    if newest.purged_us == 0 {
        return Ok(false);
    }
    if newest.purged_us >= sample.time_us {
        return Ok(true);
    }
    let known = segments.get(..=place).unwrap_or_default();
    Ok(newest_state(known, sample.actor)?.purged_us != newest.purged_us)
}

/// Whether a merge keeps a sample of the segment at `place`. Those of hidden accounts stay.
pub(crate) fn is_kept(
    segments: &[Sealed],
    place: usize,
    sample: &Sample<'_>,
    hasher: KeyHasher,
) -> Result<bool> {
    let newer = segments.get(place + 1..).unwrap_or_default();
    let key_hash = hasher.hash(sample.collection, sample.rkey);
    if is_superseded(newer, sample, key_hash)? {
        return Ok(false);
    }
    let newest = newest_state(segments, sample.actor)?;
    Ok(!is_purged(segments, place, sample, &newest)?)
}

/// How many samples of a collection a merge of the segments at `places` keeps, beside those of newer segments that
/// live. These are looked at only where all together are more than a segment takes, and until there are as many as that.
pub(crate) fn most_in_merge(
    segments: &[Sealed],
    places: &Range<usize>,
    collection: &str,
    hasher: KeyHasher,
) -> Result<usize> {
    let mut all = 0;
    for sealed in segments.get(places.start..).unwrap_or_default() {
        all += sealed.segment.samples_len(collection)?;
    }
    if all <= SAMPLES_MAX {
        return Ok(SAMPLES_MAX);
    }
    let mut most = SAMPLES_MAX;
    for (place, sealed) in segments.iter().enumerate().skip(places.end).rev() {
        let mut failed = None;
        sealed.segment.samples(collection, &mut |sample| {
            match is_kept(segments, place, &sample, hasher) {
                Ok(is_kept) => most -= usize::from(is_kept && most > 0),
                Err(error) => failed = Some(error),
            }
            if most == 0 || failed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        if most == 0 {
            break;
        }
    }
    Ok(most)
}

/// Whether the segment at `place` has a sample that a merge would not keep.
pub(crate) fn has_dead_samples(
    segments: &[Sealed],
    place: usize,
    hasher: KeyHasher,
) -> Result<bool> {
    let Some(sealed) = segments.get(place) else {
        return Ok(false);
    };
    for collection in sealed.segment.sample_collections()? {
        let mut is_dead = Ok(false);
        sealed.segment.samples(collection?.name, &mut |sample| {
            is_dead = is_kept(segments, place, &sample, hasher).map(|is_kept| !is_kept);
            match is_dead {
                Ok(false) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        })?;
        if is_dead? {
            return Ok(true);
        }
    }
    Ok(false)
}
