//! Numbers for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use orrery_server::wire::status::StatusRecords;
use orrery_server::{Fact, FactKind};

use crate::records::Records;

/// What the status page tells. Does not block.
pub(crate) fn figures(records: &Records) -> StatusRecords {
    let counters = &records.counters;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    StatusRecords {
        from_memory: of(&counters.memory),
        from_log: of(&counters.window),
        from_disk: of(&counters.kept),
        fetched: of(&counters.fetched),
        absent: of(&counters.absent),
        failed: of(&counters.failed),
        memory_bytes: records.memory.bytes(),
        disk_bytes: records.cache.as_ref().map(|cache| cache.status().bytes),
    }
}

/// All of them. Does not block.
pub(crate) fn of(records: &Records) -> Vec<Fact> {
    let mut facts = Facts(Vec::new());
    let counters = &records.counters;
    let answers: [(&str, &AtomicU64); 6] = [
        ("memory", &counters.memory),
        ("window", &counters.window),
        ("kept", &counters.kept),
        ("fetched", &counters.fetched),
        ("absent", &counters.absent),
        ("failed", &counters.failed),
    ];
    for (from, counter) in answers {
        facts.counter(
            &format!("orrery_edge_records_total{{from=\"{from}\"}}"),
            "Records that were looked for, by where they were found.",
            counter.load(Ordering::Relaxed),
        );
    }
    facts.gauge(
        "orrery_edge_memory_bytes",
        "Bytes of records in memory.",
        records.memory.bytes(),
    );
    facts.gauge(
        "orrery_edge_memory_records",
        "Records in memory.",
        records.memory.len(),
    );
    let identities = records.resolver.status();
    facts.counter(
        "orrery_edge_identities_asked_total",
        "Look-ups of handles and DID documents at their sources.",
        identities.asked,
    );
    facts.counter(
        "orrery_edge_identities_failed_total",
        "Those that gave an error, also that there is none.",
        identities.failed,
    );
    facts.gauge(
        "orrery_edge_identities_memory_bytes",
        "Bytes of identities in memory.",
        identities.bytes,
    );
    if let Some(cache) = &records.cache {
        let disk = cache.status();
        facts.gauge(
            "orrery_edge_disk_bytes",
            "Bytes of fetched values on disk.",
            disk.bytes,
        );
        facts.counter(
            "orrery_edge_disk_appended_bytes_total",
            "Bytes of fetched values written.",
            disk.appended_bytes,
        );
        facts.counter(
            "orrery_edge_disk_damaged_total",
            "Fetched values that were damaged on disk, and fetched again.",
            disk.damaged,
        );
        facts.gauge(
            "orrery_edge_disk_off",
            "1 after a failed write: no fetched value is kept until the next start.",
            u64::from(disk.off.is_some()),
        );
    }
    facts.0
}

struct Facts(Vec<Fact>);

impl Facts {
    fn counter(&mut self, name: &str, help: &'static str, value: u64) {
        self.add(name, help, FactKind::Counter, value);
    }

    fn gauge(&mut self, name: &str, help: &'static str, value: u64) {
        self.add(name, help, FactKind::Gauge, value);
    }

    fn add(&mut self, name: &str, help: &'static str, kind: FactKind, value: u64) {
        #[allow(clippy::cast_precision_loss, reason = "a number for a graph")]
        let value = value as f64;
        self.0.push(Fact {
            name: name.to_owned(),
            help,
            kind,
            value,
        });
    }
}
