//! Masks at a start: what their files hold, and what later segments say since. Each step sets a state and
//! counts nothing twice, so that it does no harm to take in more than is new.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Mask, OrdinalHasher};
use crate::actors::{ActorId, is_masked};
use crate::memtable::{DEAD, HIDDEN};
use crate::snapshot::Sealed;
use crate::{Error, Result};

type ByActor<V> = HashMap<ActorId, V, std::hash::BuildHasherDefault<OrdinalHasher>>;

/// So many hidden rows are looked through in the time that one actor's rows are looked up. In tests, whose
/// segments are small, less, so that both ways are taken.
const LOOKUP_COST: u64 = if cfg!(test) { 1 } else { 32 };

/// The newest account state of an actor among some segments.
struct Account {
    /// The last seq of the segment that has it.
    segment_seq: u64,
    hidden: bool,
}

/// Brings the masks up to the newest of `segments`, which come with the masks of their files.
///
/// Costs the kills and account states of the segments that are newer than the oldest file; for a segment without a
/// file, those of all segments from it on, and all account states.
pub(crate) fn recover_masks(segments: &mut [Sealed]) -> Result<()> {
    let mut masks: Vec<Mask> = segments
        .iter()
        .map(|sealed| Mask::clone(&sealed.mask))
        .collect();
    let in_file = |sealed: &Sealed| {
        if sealed.degraded.is_some() {
            // What stands for a segment that is set aside has no rows.
            return Some(u64::MAX);
        }
        sealed.mask.file().map(|file| file.header().through_seq)
    };
    // The kills in a segment's own range may be of its rows; whether its rows are hidden, older ones say too.
    let kills: Vec<u64> = segments
        .iter()
        .map(|sealed| {
            let before = sealed.segment.info().first_seq.saturating_sub(1);
            in_file(sealed).unwrap_or(before)
        })
        .collect();
    let states: Vec<u64> = segments
        .iter()
        .map(|sealed| in_file(sealed).unwrap_or(0))
        .collect();
    apply_kills(segments, &kills, &mut masks)?;
    let accounts = newest_accounts(segments, states.iter().min().copied().unwrap_or(0))?;
    for ((sealed, mask), through) in segments.iter().zip(&mut masks).zip(&states) {
        apply_accounts(sealed, mask, &accounts, *through)?;
    }
    for (sealed, mask) in segments.iter_mut().zip(masks) {
        sealed.mask = Arc::new(mask);
    }
    Ok(())
}

fn apply_kills(segments: &[Sealed], throughs: &[u64], masks: &mut [Mask]) -> Result<()> {
    let oldest = throughs.iter().min().copied().unwrap_or(u64::MAX);
    for newer in segments {
        let last_seq = newer.segment.info().last_seq;
        if last_seq <= oldest {
            continue;
        }
        for seq in newer.kills().kills()? {
            let seq = seq?;
            let part = segments.partition_point(|known| known.segment.info().last_seq < seq);
            let (Some(of), Some(through), Some(mask)) =
                (segments.get(part), throughs.get(part), masks.get_mut(part))
            else {
                return Err(Error::Internal(format!(
                    "{} kills seq {seq}, which is in no segment",
                    newer.name
                )));
            };
            if last_seq <= *through {
                continue;
            }
            let row = of.segment.lower_bound_seq(seq)?;
            // A row that a compaction has dropped is no longer there to be masked.
            if row < of.segment.info().rows && of.segment.seq(row)? == seq {
                mask.move_row(&of.segment, row, DEAD)?;
            }
        }
    }
    Ok(())
}

/// The newest state of each account that had an event in a segment that ends after `oldest`.
fn newest_accounts(segments: &[Sealed], oldest: u64) -> Result<ByActor<Account>> {
    let mut accounts: ByActor<Account> = HashMap::default();
    for newer in segments.iter().rev() {
        let last_seq = newer.segment.info().last_seq;
        if last_seq <= oldest {
            break;
        }
        for state in newer.accounts().account_states()? {
            let state = state?;
            accounts.entry(state.id).or_insert(Account {
                segment_seq: last_seq,
                hidden: is_masked(&state),
            });
        }
    }
    Ok(accounts)
}

/// Applies what accounts became after `through` to a mask.
fn apply_accounts(
    sealed: &Sealed,
    mask: &mut Mask,
    accounts: &ByActor<Account>,
    through: u64,
) -> Result<()> {
    let segment = &sealed.segment;
    let changed = || {
        accounts
            .iter()
            .filter(|(_, account)| account.segment_seq > through)
    };
    // Of accounts that are back, rows are shown again: found by the accounts, or, where fewer are hidden, by
    // these rows.
    let shown = changed().filter(|(_, account)| !account.hidden).count() as u64;
    let by_rows = mask.hidden_rows() / LOOKUP_COST < shown;
    if by_rows {
        let rows: Vec<u32> = mask
            .bits()
            .rows_of(|chunk| chunk.hidden)
            .collect::<Result<_>>()?;
        for row in rows {
            let account = accounts.get(&segment.actor(row)?);
            if account.is_some_and(|account| account.segment_seq > through && !account.hidden) {
                mask.move_row(segment, row, 0)?;
            }
        }
    }
    for (actor, account) in changed() {
        if by_rows && !account.hidden {
            continue;
        }
        for row in segment.actor_rows(*actor)? {
            let row = row?;
            let state = mask.state(row)?;
            let hidden = if account.hidden { HIDDEN } else { 0 };
            if state & DEAD == 0 && state != hidden {
                mask.move_row(segment, row, hidden)?;
            }
        }
    }
    Ok(())
}
