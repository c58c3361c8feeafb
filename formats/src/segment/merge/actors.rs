//! DIDs, one part's behind the other's, and their index; states, of which the newest stay; kills; passed keys.

use super::columns::{MonotoneColumn, StringColumn};
use super::output::Output;
use super::passed::Passed;
use super::spill::{Sorter, Spool};
use super::{MergeInput, bad};
use crate::Result;
use crate::bytes::{put_u32, put_varint};
use crate::segment::build::count;
use crate::segment::did_index::DidIndexWriter;
use crate::segment::layout::{ROWS_MAX, Section, SegmentInfo};
use crate::segment::rows::{BLOCK, offset_u64};
use crate::segment::workspace::{Env, Workspace};
use crate::segment::{ActorState, DidRef, hash, states};
use crate::sink::Sink;

/// Makes the sections of actors and of kills.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    keep_kill: &dyn Fn(u64) -> bool,
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    dids(env, inputs, info, out)?;
    let passed = merge_states(env, inputs, info, out)?;
    kills(env, inputs, keep_kill, info, out)?;
    passed.sections(env, out)
}

fn dids<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut hashes: Sorter<W, (u64, u32)> = Sorter::new(env);
    let mut indexes = MonotoneColumn::new();
    let mut others = StringColumn::new("DIDs of a segment");
    let mut plc = Vec::new();
    let mut index = 0;
    out.begin(Section::PlcDids)?;
    for (number, input) in inputs.iter().enumerate() {
        let segment = input.segment;
        let dids = segment.dids()?;
        let first = index;
        let mut other_indexes = dids.other_indexes.iter_from(0);
        let mut other = other_indexes.next().transpose()?;
        let mut others_read = 0;
        for old in 0..segment.info().actors_count {
            let did = if other == Some(old) {
                let did = dids.others.get(others_read)?;
                others_read += 1;
                other = other_indexes.next().transpose()?;
                DidRef::Str(did)
            } else {
                DidRef::Plc(dids.plc.array_at(u64::from(old) * 15)?)
            };
            match did {
                DidRef::Plc(bytes) => plc.extend_from_slice(&bytes),
                DidRef::Str(did) => {
                    plc.extend_from_slice(&[0; 15]);
                    indexes.push(env, index)?;
                    others.push(env, did)?;
                }
            }
            hashes.push(env, (hash::did_ref(did, info.did_seed), index))?;
            index += 1;
            out.settle(env, &mut plc)?;
            env.stepped(1)?;
        }
        if other.is_some() || index - first != segment.info().actors_count {
            let expected = "indexes of DIDs among the actors";
            return Err(bad(number, expected, others_read).into());
        }
    }
    out.drain(env, &mut plc)?;
    indexes.section(env, Section::OtherDidIndexes, out)?;
    others.section(env, Section::OtherDids, out)?;

    let hashes = hashes.finish(env)?;
    let mut writer = DidIndexWriter::new(info.actors_count);
    let mut data = Vec::new();
    out.begin(Section::DidIndex)?;
    for (hash, index) in hashes.iter() {
        writer.push(hash, index, &mut data);
        out.settle(env, &mut data)?;
        env.stepped(1)?;
    }
    writer.finish(&mut data);
    out.drain(env, &mut data)
}

/// The states of the inputs by actor, the last input's where several have one. Gives the passed keys.
fn merge_states<'a, W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'a>],
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<Passed<'a, W>, W::Error> {
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut states = input.segment.states()?;
        let head = states.next().transpose()?;
        cursors.push((states, head));
    }
    let mut passed = Passed::new(inputs)?;
    // Each input's own state of an actor.
    let mut own: Vec<Option<ActorState>> = Vec::with_capacity(inputs.len());
    let mut ids = MonotoneColumn::new();
    let mut directory = Spool::new();
    let mut block: Vec<ActorState> = Vec::with_capacity(BLOCK as usize);
    let (mut data, mut written, mut total) = (Vec::new(), 0, 0usize);
    out.begin(Section::States)?;
    loop {
        let heads = cursors.iter().filter_map(|(_, head)| head.as_ref());
        let least = heads.map(|state| state.id).min();
        if block.len() == BLOCK as usize || (least.is_none() && !block.is_empty()) {
            let at = offset_u64(written, "bytes of states in a segment")?;
            put_u32(directory.tail(), at);
            directory.settle(env)?;
            let before = data.len();
            states::encode_block(&block, &mut data)?;
            written += (data.len() - before) as u64;
            block.clear();
            out.settle(env, &mut data)?;
        }
        let Some(least) = least else {
            break;
        };
        let mut newest = ActorState::default();
        own.clear();
        for (states, head) in &mut cursors {
            own.push(head.filter(|state| state.id == least));
            if let Some(state) = *head
                && state.id == least
            {
                newest = ActorState {
                    purged_us: state.purged_us.max(newest.purged_us),
                    ..state
                };
                *head = states.next().transpose()?;
                if head.is_some_and(|next| next.id <= least) {
                    return Err(bad(0, "states with rising ids", least).into());
                }
            }
        }
        block.push(newest);
        passed.take(env, &newest, &own)?;
        ids.push(env, least)?;
        total += 1;
        env.stepped(1)?;
    }
    info.states = count("states in a segment", total, ROWS_MAX)?;
    passed.count(info)?;
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::StateDirectory, directory.bytes())?;
    ids.section(env, Section::StateIds, out)?;
    Ok(passed)
}

/// The kills of the inputs whose row is still somewhere else.
fn kills<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    keep_kill: &dyn Fn(u64) -> bool,
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut kills = input.segment.kills()?;
        let head = kills.next().transpose()?;
        cursors.push((kills, head));
    }
    let inside = info.first_seq..=info.last_seq;
    let (mut data, mut before, mut total) = (Vec::new(), 0, 0usize);
    out.begin(Section::Kills)?;
    while let Some(least) = cursors.iter().filter_map(|(_, head)| *head).min() {
        for (kills, head) in &mut cursors {
            while *head == Some(least) {
                *head = kills.next().transpose()?;
            }
        }
        if !inside.contains(&least) && keep_kill(least) {
            put_varint(&mut data, least.saturating_sub(before));
            before = least;
            total += 1;
            out.settle(env, &mut data)?;
        }
        env.stepped(1)?;
    }
    info.kills = count("kills in a segment", total, ROWS_MAX)?;
    out.drain(env, &mut data)
}
