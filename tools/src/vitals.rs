//! How the store and its source are doing, in the server's terms.

use orrery_engine::{EffortStatus, Store, WaitsFor};
use orrery_server::{Effort, LastEffort, Room, Vitals, Waits};

use crate::health::Health;

/// Of this store, and of the source where one is followed. Asks the file system.
pub(crate) fn of(store: &Store, health: Option<&Health>) -> Vitals {
    let room = store.disk_room();
    let room = Room {
        free_bytes: room.free_bytes,
        limit_bytes: room.limit_bytes,
        reserve_bytes: room.reserve_bytes,
        left_bytes: room.left_bytes,
    };
    with_room(store, health, room)
}

/// The same with the room that was there when the file system was asked last. Does not block.
pub(crate) fn with_room(store: &Store, health: Option<&Health>, room: Room) -> Vitals {
    let totals = store.snapshot().totals();
    let status = store.status();
    let tally = health.map(Health::tally);
    let connected = health.map(|health| health.stats().connected);
    // It may be there again by now.
    let gone = health.filter(|_| connected == Some(false));
    let merges = &status.compaction;
    let bytes = status.bytes.iter();
    Vitals {
        connected,
        disconnected_since_us: gone.and_then(Health::disconnected_since_us),
        foreign: health.and_then(Health::foreign),
        events: tally.as_ref().map(|tally| tally.events),
        links: tally.as_ref().map(|tally| tally.links),
        dropped: tally.map_or(0, |tally| tally.drops.iter().map(|(_, count)| count).sum()),
        live_records: totals.live_rows,
        live_links: totals.live_links,
        accounts: totals.actors,
        disk: bytes
            .map(|(kind, bytes)| (kind.to_string(), *bytes))
            .collect(),
        room,
        waits: status.waits_for.map(|why| match why {
            WaitsFor::Room => Waits::Room,
            // Whatever else events wait for is something that a repair ends.
            _ => Waits::Repair,
        }),
        has_stopped: status.poisoned.is_some(),
        segments: status.segments as u64,
        set_aside: status.degraded.len() as u64,
        gaps: status.gaps.len() as u64,
        seals: effort(&status.seals),
        merges: effort(&merges.effort),
        is_merging: merges.is_running,
        merge_fails: merges.failure.is_some(),
    }
}

fn effort(effort: &EffortStatus) -> Effort {
    Effort {
        times: effort.times,
        took: effort.took,
        last: effort.last.map(|last| LastEffort {
            ago: last.ago,
            took: last.took,
            bytes: last.bytes,
        }),
    }
}
