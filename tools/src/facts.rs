//! The numbers of store and source on the metrics page; `server/METRICS.md` lists them all.

use std::time::Duration;

use orrery_engine::{Status, Store, WaitsFor};
use orrery_ingest::Reason;
use orrery_server::{Fact, FactKind};

use crate::health::Health;

/// Of this store, and of the source where one is followed. Does not block.
pub(crate) fn of(store: &Store, health: Option<&Health>) -> Vec<Fact> {
    let mut facts = Facts::default();
    of_contents(&mut facts, store);
    let status = store.status();
    of_trouble(&mut facts, &status);
    of_work(&mut facts, &status);
    if let Some(health) = health {
        of_source(&mut facts, health);
    }
    facts.0
}

fn of_contents(facts: &mut Facts, store: &Store) {
    let totals = store.snapshot().totals();
    facts.gauge(
        "orrery_live_records",
        "Live records with links.",
        totals.live_rows,
    );
    facts.gauge("orrery_live_links", "Live links.", totals.live_links);
    facts.gauge("orrery_actors", "Accounts seen.", totals.actors);
    let (accounts, targets) = store.exclusions().counts();
    facts.gauge(
        "orrery_excluded_accounts",
        "Accounts on the exclude list.",
        accounts as u64,
    );
    facts.gauge(
        "orrery_excluded_targets",
        "Targets on the exclude list.",
        targets as u64,
    );
    facts.gauge(
        "orrery_exclusions_pending",
        "Accounts that the index does not hide yet, or still hides.",
        store.exclusions_pending() as u64,
    );
}

fn of_trouble(facts: &mut Facts, status: &Status) {
    for (reason, waits) in [("disk", WaitsFor::Room), ("repair", WaitsFor::Repair)] {
        facts.gauge(
            &format!("orrery_ingest_paused{{reason=\"{reason}\"}}"),
            "Whether events wait: for room on disk, or for `orrery repair`; /_health tells more.",
            u64::from(status.waits_for == Some(waits)),
        );
    }
    facts.gauge(
        "orrery_ingest_stopped",
        "Whether nothing more is indexed after a failed write.",
        u64::from(status.poisoned.is_some()),
    );
    facts.gauge(
        "orrery_segments_degraded",
        "Segments that are set aside as damaged.",
        status.degraded.len() as u64,
    );
    facts.gauge(
        "orrery_gaps",
        "Stretches of the log that were lost.",
        status.gaps.len() as u64,
    );
}

fn of_work(facts: &mut Facts, status: &Status) {
    facts.gauge(
        "orrery_segments",
        "Segments in use.",
        status.segments as u64,
    );
    facts.gauge(
        "orrery_memtable_bytes",
        "Heap bytes of the memtable.",
        status.memtable_bytes as u64,
    );
    facts.gauge(
        "orrery_mask_heap_bytes",
        "Heap bytes of masks, beside their files.",
        status.mask_heap_bytes as u64,
    );
    for (kind, bytes) in &status.bytes {
        facts.gauge(
            &format!("orrery_disk_bytes{{kind=\"{kind}\"}}"),
            "Bytes on disk by kind of file.",
            *bytes,
        );
    }
    facts.counter(
        "orrery_seals_total",
        "Memtables that became segments.",
        status.seals.times,
    );
    facts.seconds(
        "orrery_seal_seconds_total",
        "Time that seals took.",
        status.seals.took,
    );
    let compaction = &status.compaction;
    facts.gauge(
        "orrery_compaction_running",
        "Whether segments are being merged.",
        u64::from(compaction.is_running),
    );
    facts.gauge(
        "orrery_compaction_failing",
        "Whether the last merge failed.",
        u64::from(compaction.failure.is_some()),
    );
    facts.counter(
        "orrery_compaction_merges_total",
        "Merges of segments.",
        compaction.merges,
    );
    facts.seconds(
        "orrery_compaction_seconds_total",
        "Time that merges took, with the pauses that they make.",
        compaction.effort.took,
    );
    facts.counter(
        "orrery_compaction_read_bytes_total",
        "Bytes of segments that merges read.",
        compaction.bytes_read,
    );
    for (what, bytes) in [
        ("seal", status.sealed_bytes),
        ("merge", compaction.bytes_written),
        ("mask", status.masks_written_bytes),
    ] {
        facts.counter(
            &format!("orrery_index_written_bytes_total{{by=\"{what}\"}}"),
            "Bytes of the index written, by what wrote them.",
            bytes,
        );
    }
}

fn of_source(facts: &mut Facts, health: &Health) {
    let stats = health.stats();
    let tally = health.tally();
    facts.gauge(
        "orrery_source_connected",
        "Whether the source is connected.",
        u64::from(stats.connected),
    );
    facts.gauge(
        "orrery_source_queue_bytes",
        "Bytes of events that wait.",
        stats.queue_bytes as u64,
    );
    for (name, help, value) in [
        (
            "orrery_source_connections_total",
            "Connections made.",
            stats.connections,
        ),
        (
            "orrery_source_disconnects_total",
            "Connections lost.",
            stats.disconnects,
        ),
        (
            "orrery_source_bytes_total",
            "Bytes received.",
            stats.message_bytes,
        ),
        (
            "orrery_source_skips_total",
            "Times that a message which ends every connection was stepped over.",
            stats.skips,
        ),
        ("orrery_events_total", "Events taken.", tally.events),
        (
            "orrery_repeats_total",
            "Events that were known already.",
            tally.repeats,
        ),
        (
            "orrery_unselected_total",
            "Events of collections not selected.",
            tally.unselected,
        ),
        (
            "orrery_links_total",
            "Links of accepted records.",
            tally.links,
        ),
    ] {
        facts.counter(name, help, value);
    }
    for reason in Reason::all() {
        let mut known = tally.drops.iter();
        let count = known.find(|(known, _)| *known == reason);
        let count = count.map_or(0, |(_, count)| count);
        facts.counter(
            &format!("orrery_dropped_total{{reason=\"{}\"}}", reason.name()),
            "Events dropped, by reason.",
            count,
        );
    }
}

/// Collects facts.
#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn push(&mut self, name: &str, help: &'static str, kind: FactKind, value: f64) {
        self.0.push(Fact {
            name: name.to_owned(),
            help,
            kind,
            value,
        });
    }

    fn gauge(&mut self, name: &str, help: &'static str, value: u64) {
        self.push(name, help, FactKind::Gauge, value as f64);
    }

    fn counter(&mut self, name: &str, help: &'static str, value: u64) {
        self.push(name, help, FactKind::Counter, value as f64);
    }

    fn seconds(&mut self, name: &str, help: &'static str, time: Duration) {
        self.push(name, help, FactKind::Counter, time.as_secs_f64());
    }
}
