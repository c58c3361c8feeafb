//! Counters of answered requests, and the metrics page: Prometheus text format 0.0.4. Labels come from the
//! closed set of routes and statuses, never from what a client sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;

use crate::index::{Fact, FactKind};

#[derive(Default, Clone, Copy)]
struct Answered {
    count: u64,
    seconds: f64,
}

/// Counts of answers by route and status.
#[derive(Default)]
pub(crate) struct Metrics {
    answered: Mutex<BTreeMap<(&'static str, u16), Answered>>,
}

impl Metrics {
    pub(crate) fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let mut map = self.answered.lock();
        let entry = map.entry((route, status)).or_default();
        entry.count += 1;
        entry.seconds += took.as_secs_f64();
    }

    /// The whole page.
    pub(crate) fn render(&self, facts: &[Fact]) -> String {
        let answered: Vec<_> = self.answered.lock().iter().map(|(k, v)| (*k, *v)).collect();
        let mut page = String::new();
        head(
            &mut page,
            "orrery_http_requests_total",
            "Answered requests.",
            FactKind::Counter,
        );
        for ((route, status), n) in &answered {
            let count = n.count;
            let _ = writeln!(
                page,
                "orrery_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        head(
            &mut page,
            "orrery_http_request_seconds_total",
            "Time from request to answer, summed.",
            FactKind::Counter,
        );
        for ((route, status), n) in &answered {
            let seconds = n.seconds;
            let _ = writeln!(
                page,
                "orrery_http_request_seconds_total{{route=\"{route}\",status=\"{status}\"}} {seconds}"
            );
        }
        let mut last = "";
        for fact in facts {
            let name = fact.name.split('{').next().unwrap_or_default();
            if name != last {
                head(&mut page, name, fact.help, fact.kind);
                last = name;
            }
            let _ = writeln!(page, "{} {}", fact.name, fact.value);
        }
        page
    }
}

fn head(page: &mut String, name: &str, help: &str, kind: FactKind) {
    let kind = match kind {
        FactKind::Counter => "counter",
        FactKind::Gauge => "gauge",
    };
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_one_name_share_one_head() {
        let metrics = Metrics::default();
        metrics.answered("/links", 200, Duration::from_millis(250));
        metrics.answered("/links", 200, Duration::from_millis(250));
        let fact = |name: &str, value| Fact {
            name: name.to_owned(),
            help: "Things.",
            kind: FactKind::Gauge,
            value,
        };
        let page = metrics.render(&[fact("x{k=\"a\"}", 1.0), fact("x{k=\"b\"}", 2.5)]);
        assert_eq!(
            page,
            "# HELP orrery_http_requests_total Answered requests.\n\
             # TYPE orrery_http_requests_total counter\n\
             orrery_http_requests_total{route=\"/links\",status=\"200\"} 2\n\
             # HELP orrery_http_request_seconds_total Time from request to answer, summed.\n\
             # TYPE orrery_http_request_seconds_total counter\n\
             orrery_http_request_seconds_total{route=\"/links\",status=\"200\"} 0.5\n\
             # HELP x Things.\n# TYPE x gauge\nx{k=\"a\"} 1\nx{k=\"b\"} 2.5\n"
        );
    }
}
