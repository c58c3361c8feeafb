//! The server's own numbers, beside those of requests.

use crate::app::App;
use crate::index::{Fact, FactKind};
use crate::process::Process;

/// All of them; `process` as it is now.
pub(crate) fn of_the_server(app: &App, process: &Process) -> Vec<Fact> {
    let mut facts = Facts(Vec::new());
    facts.gauge(
        concat!(
            "orrery_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"}"
        ),
        "1, with the version of the program.",
        Some(1.0),
    );
    of_process(&mut facts, app, process);
    let number = |number: usize| Some(number as f64);
    facts.gauge(
        "orrery_http_connections",
        "Open connections, without those of subscribers.",
        number(app.connections.open()),
    );
    facts.gauge(
        "orrery_http_connections_max",
        "Open connections at most; more wait in the listener's backlog.",
        number(app.config.connections_max),
    );
    facts.counter(
        "orrery_http_connections_refused_total",
        "Connections that were closed at once, since their address had too many.",
        Some(app.connections.refused() as f64),
    );
    facts.gauge(
        "orrery_http_pool_waiting",
        "Requests waiting for the pool.",
        number(app.pool.waiting()),
    );
    facts.gauge(
        "orrery_http_pool_free",
        "Free places of the pool.",
        number(app.pool.free()),
    );
    facts.gauge(
        "orrery_http_edge_free",
        "Free places for requests that wait for other servers.",
        number(app.edge.free()),
    );
    let status = app.index.status();
    let seconds = |us: Option<u64>| us.map(|us| us as f64 / 1e6);
    facts.gauge(
        "orrery_indexed_through_timestamp_seconds",
        "Time of the last applied event, seconds since 1970.",
        seconds(status.indexed_through_us),
    );
    facts.gauge(
        "orrery_coverage_from_timestamp_seconds",
        "Time from which on events are covered, seconds since 1970.",
        seconds(status.coverage_from_us),
    );
    facts.gauge(
        "orrery_lag_seconds",
        "Seconds behind the source.",
        seconds(status.lag_us),
    );
    facts.gauge(
        "orrery_lag_limit_seconds",
        "Lag beyond which /readyz says no.",
        Some(app.config.lag_limit.as_secs_f64()),
    );
    facts.gauge(
        "orrery_degraded",
        "Whether anything is wrong; /_health tells what.",
        Some(f64::from(u8::from(status.degraded.is_some()))),
    );
    if let Some(seen) = app.watch.latest() {
        let room = seen.vitals.room;
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        facts.gauge(
            "orrery_disk_free_bytes",
            "Free bytes on the file system of the data directory.",
            bytes(room.free_bytes),
        );
        facts.gauge(
            "orrery_disk_limit_bytes",
            "Bytes that the data directory may take; none where it has no limit.",
            bytes(room.limit_bytes),
        );
        facts.gauge(
            "orrery_disk_reserve_bytes",
            "Bytes that are to stay free on the file system.",
            bytes(Some(room.reserve_bytes)),
        );
        facts.gauge(
            "orrery_disk_left_bytes",
            "Bytes that may be written before limit or reserve are reached.",
            bytes(room.left_bytes),
        );
    }
    facts.0
}

/// Under the names that all programs have for them.
fn of_process(facts: &mut Facts, app: &App, process: &Process) {
    let number = |number: Option<u64>| number.map(|number| number as f64);
    facts.gauge(
        "process_start_time_seconds",
        "Start of the server, seconds since 1970.",
        Some(app.watch.started_us() as f64 / 1e6),
    );
    facts.counter(
        "process_cpu_seconds_total",
        "User and system time.",
        process.cpu_seconds,
    );
    facts.gauge(
        "process_resident_memory_bytes",
        "Memory in use, with what was read of mapped files.",
        number(process.resident_bytes),
    );
    facts.gauge(
        "process_anonymous_memory_bytes",
        "Memory in use that is no file's.",
        number(process.anonymous_bytes),
    );
    facts.gauge(
        "process_virtual_memory_bytes",
        "Address space, with mapped files.",
        number(process.virtual_bytes),
    );
    facts.gauge("process_threads", "Threads.", number(process.threads));
    facts.gauge(
        "process_open_fds",
        "Open files and connections.",
        number(process.open_fds),
    );
    facts.gauge(
        "process_max_fds",
        "Open files and connections at most.",
        number(process.max_fds),
    );
}

struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &str, help: &'static str, kind: FactKind, value: Option<f64>) {
        if let Some(value) = value {
            self.0.push(Fact {
                name: name.to_owned(),
                help,
                kind,
                value,
            });
        }
    }

    fn gauge(&mut self, name: &str, help: &'static str, value: Option<f64>) {
        self.add(name, help, FactKind::Gauge, value);
    }

    fn counter(&mut self, name: &str, help: &'static str, value: Option<f64>) {
        self.add(name, help, FactKind::Counter, value);
    }
}
