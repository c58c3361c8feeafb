//! Counters of answered requests, and the metrics page: Prometheus text format 0.0.4. Labels come from the
//! closed set of routes and statuses, never from what a client sent. `METRICS.md` lists every metric.

mod facts;
mod requests;
mod routes;

use std::fmt::Write as _;

use crate::index::{Fact, FactKind};
pub(crate) use facts::of_the_server;
use requests::BOUNDS;
pub(crate) use requests::{Requests, RouteCounts};
pub(crate) use routes::{Known, Route};

/// The whole page.
pub(crate) fn render(requests: &Requests, facts: &[Fact]) -> String {
    let routes = requests.routes();
    let mut page = String::new();
    let name = "orrery_http_requests_total";
    head(&mut page, name, "Answered requests.", "counter");
    for counts in &routes {
        let route = counts.route;
        for (status, count) in &counts.statuses {
            let _ = match status {
                0 => writeln!(page, "{name}{{route=\"{route}\",status=\"other\"}} {count}"),
                status => {
                    writeln!(
                        page,
                        "{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
                    )
                }
            };
        }
    }
    let name = "orrery_http_request_duration_seconds";
    head(&mut page, name, "Time from request to answer.", "histogram");
    for counts in &routes {
        for times in &counts.times {
            let labels = format!("route=\"{}\",class=\"{}\"", counts.route, times.class);
            let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
            let mut up_to = 0;
            for (bound, count) in bounds.zip(times.buckets) {
                up_to += count;
                let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {up_to}");
            }
            let seconds = times.nanos as f64 / 1e9;
            let _ = writeln!(page, "{name}_sum{{{labels}}} {seconds}");
            let _ = writeln!(page, "{name}_count{{{labels}}} {up_to}");
        }
    }
    let mut last = "";
    for fact in facts {
        let name = fact.name.split('{').next().unwrap_or_default();
        if name != last {
            let kind = match fact.kind {
                FactKind::Counter => "counter",
                FactKind::Gauge => "gauge",
            };
            head(&mut page, name, fact.help, kind);
            last = name;
        }
        let _ = writeln!(page, "{} {}", fact.name, fact.value);
    }
    page
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn facts_of_one_name_share_one_head() {
        let requests = Requests::default();
        let (route, _) = Route::of("/links");
        requests.answered(route, 200, Duration::from_millis(250));
        requests.answered(route, 200, Duration::from_millis(500));
        let fact = |name: &str, value| Fact {
            name: name.to_owned(),
            help: "Things.",
            kind: FactKind::Gauge,
            value,
        };
        let page = render(
            &requests,
            &[fact("x{k=\"a\"}", 1.0), fact("x{k=\"b\"}", 2.5)],
        );
        let start = "# HELP orrery_http_requests_total Answered requests.\n\
             # TYPE orrery_http_requests_total counter\n\
             orrery_http_requests_total{route=\"/links\",status=\"200\"} 2\n\
             # HELP orrery_http_request_duration_seconds Time from request to answer.\n\
             # TYPE orrery_http_request_duration_seconds histogram\n\
             orrery_http_request_duration_seconds_bucket{route=\"/links\",class=\"2xx\",le=\"0.0001\"} 0\n";
        assert!(page.starts_with(start), "{page}");
        let end = "class=\"2xx\",le=\"0.1\"} 0\n\
             orrery_http_request_duration_seconds_bucket{route=\"/links\",class=\"2xx\",le=\"0.25\"} 1\n\
             orrery_http_request_duration_seconds_bucket{route=\"/links\",class=\"2xx\",le=\"1\"} 2\n";
        assert!(page.contains(end), "{page}");
        let end = "class=\"2xx\",le=\"+Inf\"} 2\n\
             orrery_http_request_duration_seconds_sum{route=\"/links\",class=\"2xx\"} 0.75\n\
             orrery_http_request_duration_seconds_count{route=\"/links\",class=\"2xx\"} 2\n\
             # HELP x Things.\n# TYPE x gauge\nx{k=\"a\"} 1\nx{k=\"b\"} 2.5\n";
        assert!(page.ends_with(end), "{page}");
    }
}
