//! The status page: how the server is, for whoever looks after it, on a phone too. Without a script; the plots are drawn here.

use super::markup::{Markup, grouped};
use super::plot::Plot;
use super::{begin, encode, end};
use crate::negotiate::View;
use crate::problem::Problem;
use crate::time::format_time;
use crate::wire::status::{
    StatusEffort, StatusRate, StatusRecords, StatusReport, StatusRequests, StatusSeries,
};

/// The body in the form that was asked for.
pub(crate) fn status_body(report: &StatusReport, view: View) -> Result<String, Problem> {
    match view {
        View::Json => encode(report, false),
        View::Html => Ok(page(report, &encode(report, true)?)),
    }
}

fn page(report: &StatusReport, json: &str) -> String {
    let mut m = begin("orrery: status", "How this server is doing.");
    m.raw("<h1>Status</h1>\n");
    state(&mut m, report);
    figures(&mut m, report);
    if let Some(rates) = &report.rates {
        m.raw("<h2>What comes in</h2>\n<table class=\"numbers\"><thead><tr><th>Per second</th><th>Now</th><th>Hour</th><th>Day</th></tr></thead>\n<tbody>");
        rate(&mut m, "Events", rates.events);
        rate(&mut m, "Links", rates.links);
        m.raw("</tbody></table>\n");
    }
    plots(&mut m, report);
    disk(&mut m, report);
    index(&mut m, report);
    if let Some(records) = &report.records {
        of_records(&mut m, records);
    }
    m.raw("<h2>Link stream</h2>\n<dl class=\"stats\">\n");
    let stream = &report.stream;
    number(&mut m, "subscribers at once", stream.instant);
    number(&mut m, "subscribers after the delay", stream.delayed);
    number(&mut m, "frames sent", stream.frames);
    number(&mut m, "ended as too slow", stream.too_slow);
    m.raw("</dl>\n");
    requests(&mut m, &report.requests);
    process(&mut m, report);
    end(m, json, &report.coverage)
}

/// The word, and what to do.
fn state(m: &mut Markup, report: &StatusReport) {
    m.raw(match report.status {
        "ok" => "<p class=\"state\"><strong>",
        _ => "<p class=\"state trouble\"><strong>",
    });
    m.text(report.status).raw("</strong> ");
    match report.status {
        "ok" if report.source.is_none() => {
            m.raw("It answers from what is there, and follows nothing.")
        }
        "ok" => m.raw("It indexes and answers."),
        "catching-up" => m.raw("It answers, and is behind its source."),
        "disconnected" => m.raw("It answers, and nothing comes from its source."),
        "paused" => m.raw("It answers, and indexes nothing at the moment."),
        "stopped" => m.raw("It answers, and indexes nothing until it is restarted."),
        _ => m.raw("It answers, and something is missing."),
    };
    m.raw("</p>\n");
    for advice in &report.advice {
        m.raw("<p class=\"note\">").text(advice).raw("</p>\n");
    }
}

fn figures(m: &mut Markup, report: &StatusReport) {
    m.raw("<dl class=\"stats\">\n");
    if let Some(source) = &report.source {
        figure(
            m,
            "behind the source",
            &match source.lag_seconds {
                Some(seconds) => duration(seconds),
                None => "not known yet".to_owned(),
            },
        );
    }
    if let Some(now) = report.rates.as_ref().and_then(|rates| rates.events.now) {
        figure(m, "events a second", &decimal(now));
    }
    figure(m, "on disk", &bytes(report.disk.total_bytes as f64));
    figure(m, "until the disk is full", &until_full(report));
    figure(
        m,
        "since the start",
        &duration(report.uptime_seconds as f64),
    );
    figure(m, "version", report.version);
    m.raw("</dl>\n<p class=\"order\">");
    match &report.source {
        None => {
            m.raw("Follows no stream");
        }
        Some(source) => {
            m.raw("Follows ");
            match &source.host {
                Some(host) => m.raw("<code>").text(host).raw("</code>"),
                None => m.raw("a server of a private network"),
            };
            m.raw(if source.connected {
                ", connected"
            } else {
                ", not connected"
            });
            if let Some(since) = source.disconnected_since {
                m.raw(" since ").text(&minute(since));
            }
            if source.dropped > 0 {
                m.raw("; ").text(&grouped(source.dropped));
                m.raw(" malformed events dropped since the start");
            }
        }
    }
    m.raw(". Covered ");
    match report.coverage.from {
        Some(us) => m.raw("from ").text(&minute(us)),
        None => m.raw("from no time that is known"),
    };
    match report.coverage.through {
        Some(us) => m.raw(" to ").text(&minute(us)).raw(".</p>\n"),
        None => m.raw(" on; nothing is indexed yet.</p>\n"),
    };
}

fn until_full(report: &StatusReport) -> String {
    match (report.disk.days_until_full, report.disk.bytes_per_day) {
        (Some(days), _) if days >= 3_650.0 => "over 10 years".to_owned(),
        (Some(days), _) if days >= 100.0 => format!("{} days", grouped(days as u64)),
        (Some(days), _) if days >= 2.0 => format!("{days:.0} days"),
        (Some(days), _) => duration(days * 86_400.0),
        (None, Some(_)) => "does not grow".to_owned(),
        (None, None) => "not known yet".to_owned(),
    }
}

fn plots(m: &mut Markup, report: &StatusReport) {
    m.raw("<h2>Over time</h2>\n<p class=\"order\">Since the start, ");
    m.text(&minute(report.started_at));
    m.raw("; nothing of before is kept.</p>\n<div class=\"plots\">\n");
    let young = format!("{} ago, the start", duration(report.uptime_seconds as f64));
    let history = &report.history;
    let spans = [
        (&history.hour, 3_600, "1 hour ago"),
        (&history.day, 86_400, "1 day ago"),
    ];
    let mut plot = |title: [&'static str; 2],
                    from_zero: bool,
                    text: fn(f64) -> String,
                    of: &dyn Fn(&StatusSeries) -> Vec<Option<f64>>| {
        for ((series, span_s, begin), title) in spans.into_iter().zip(title) {
            Plot {
                title,
                span_s,
                begin,
                young: &young,
                seconds_ago: &series.seconds_ago,
                values: &of(series),
                from_zero,
                text,
            }
            .draw(m);
        }
    };
    if report.rates.is_some() {
        plot(
            ["Events a second, hour", "Events a second, day"],
            true,
            decimal,
            &|series| from_the_first(&series.events_per_second),
        );
        plot(
            ["Links a second, hour", "Links a second, day"],
            true,
            decimal,
            &|series| from_the_first(&series.links_per_second),
        );
    }
    if report.source.is_some() {
        plot(["Lag, hour", "Lag, day"], true, duration, &|series| {
            series.lag_seconds.clone()
        });
    }
    plot(["On disk, hour", "On disk, day"], false, bytes, &|series| {
        let all = series.disk_bytes.iter();
        all.map(|bytes| Some(*bytes as f64)).collect()
    });
    m.raw("</div>\n");
}

/// Rates with one at their first point too: what was counted up to the second came since then.
fn from_the_first(rates: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut rates = rates.to_vec();
    if let [first @ None, second, ..] = &mut rates[..] {
        *first = *second;
    }
    rates
}

fn disk(m: &mut Markup, report: &StatusReport) {
    let disk = &report.disk;
    m.raw("<h2>Disk</h2>\n<table class=\"numbers\"><tbody>");
    let row = |m: &mut Markup, name: &str, value: &str| {
        m.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>");
        m.text(value).raw("</td></tr>\n");
    };
    for (kind, count) in &disk.bytes {
        row(m, kind, &bytes(*count as f64));
    }
    row(m, "all", &bytes(disk.total_bytes as f64));
    let mut optional = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            row(m, name, &bytes(value as f64));
        }
    };
    optional("limit", disk.limit_bytes);
    optional("free on the disk", disk.free_bytes);
    optional(
        "of that to stay free",
        disk.free_bytes.map(|_| disk.reserve_bytes),
    );
    optional("still to be written", disk.left_bytes);
    match (disk.bytes_per_day, disk.seen_seconds) {
        (Some(per_day), Some(seen)) => {
            let sign = if per_day < 0.0 { "-" } else { "" };
            let over = duration(f64::from(seen));
            row(
                m,
                &format!("growth a day, over {over}"),
                &format!("{sign}{}", bytes(per_day.abs())),
            );
        }
        _ => row(m, "growth a day", "known after an hour"),
    }
    m.raw("</tbody></table>\n");
    m.raw("<p class=\"order\">The log of the newest events grows to its size and no further, and merges take room in passing: growth of the first days says little.</p>\n");
}

fn index(m: &mut Markup, report: &StatusReport) {
    let index = &report.index;
    m.raw("<h2>Index</h2>\n<dl class=\"stats\">\n");
    number(m, "live links", index.live_links);
    number(m, "live records", index.live_records);
    number(m, "accounts", index.accounts);
    number(m, "segments", index.segments);
    number(m, "damaged and left out", index.segments_set_aside);
    number(m, "stretches lost", index.gaps);
    m.raw("</dl>\n<ul>\n");
    last(m, "Last seal", &index.seals, false);
    last(m, "Last merge", &index.merges, index.merging);
    m.raw("</ul>\n");
}

/// A seal or a merge.
fn last(m: &mut Markup, what: &'static str, effort: &StatusEffort, is_running: bool) {
    m.raw("<li>").raw(what).raw(": ");
    match &effort.last {
        None => m.raw("none since the start"),
        Some(last) => m
            .text(&duration(last.seconds_ago))
            .raw(" ago, took ")
            .text(&duration(last.seconds))
            .raw(", made ")
            .text(&bytes(last.bytes as f64))
            .raw("; ")
            .text(&grouped(effort.times))
            .raw(" since the start"),
    };
    m.raw(if is_running {
        "; one runs.</li>\n"
    } else {
        ".</li>\n"
    });
}

fn of_records(m: &mut Markup, records: &StatusRecords) {
    let here = records.from_memory + records.from_log + records.from_disk;
    let all = here + records.fetched + records.absent + records.failed;
    m.raw("<h2>Records and identities</h2>\n<dl class=\"stats\">\n");
    number(m, "records asked for", all);
    figure(
        m,
        "were here",
        &match all {
            0 => "-".to_owned(),
            all => format!("{:.1} %", 100.0 * here as f64 / all as f64),
        },
    );
    number(m, "fetched", records.fetched);
    number(m, "not there", records.absent);
    number(m, "failed", records.failed);
    figure(m, "in memory", &bytes(records.memory_bytes as f64));
    if let Some(disk) = records.disk_bytes {
        figure(m, "kept on disk", &bytes(disk as f64));
    }
    m.raw("</dl>\n");
}

fn requests(m: &mut Markup, requests: &[StatusRequests]) {
    m.raw("<h2>Requests</h2>\n");
    if requests.is_empty() {
        m.raw("<p>None since the start.</p>\n");
        return;
    }
    m.raw("<table class=\"numbers named\"><thead><tr><th>Route</th><th>Answered</th><th>4xx</th><th>5xx</th><th>Mean</th></tr></thead>\n<tbody>");
    for of in requests {
        m.raw("<tr><th scope=\"row\"><code>")
            .text(of.route)
            .raw("</code></th>");
        for count in [of.requests, of.client_errors, of.server_errors] {
            m.raw("<td>").text(&grouped(count)).raw("</td>");
        }
        m.raw("<td>")
            .text(&duration(of.mean_seconds))
            .raw("</td></tr>\n");
    }
    m.raw("</tbody></table>\n");
}

fn process(m: &mut Markup, report: &StatusReport) {
    let process = &report.process;
    m.raw("<h2>Process</h2>\n<dl class=\"stats\">\n");
    let mut size = |name: &'static str, value: Option<u64>| {
        if let Some(value) = value {
            figure(m, name, &bytes(value as f64));
        }
    };
    size("memory, with mapped files", process.resident_bytes);
    size("memory of its own", process.anonymous_bytes);
    if let Some(seconds) = process.cpu_seconds {
        figure(m, "processor time", &duration(seconds));
    }
    match (process.open_files, process.open_files_max) {
        (Some(open), Some(most)) => {
            let text = format!("{} of {}", grouped(open), grouped(most));
            figure(m, "open files", &text);
        }
        (Some(open), None) => number(m, "open files", open),
        _ => {}
    }
    m.raw("</dl>\n");
}

fn rate(m: &mut Markup, what: &'static str, rate: StatusRate) {
    m.raw("<tr><th scope=\"row\">").raw(what).raw("</th>");
    for value in [rate.now, rate.hour, rate.day] {
        m.raw("<td>");
        match value {
            Some(value) => m.text(&decimal(value)),
            None => m.raw("-"),
        };
        m.raw("</td>");
    }
    m.raw("</tr>\n");
}

fn number(m: &mut Markup, what: &'static str, count: u64) {
    figure(m, what, &grouped(count));
}

fn figure(m: &mut Markup, what: &'static str, value: &str) {
    m.raw("<div><dt>").raw(what).raw("</dt><dd>");
    m.text(value).raw("</dd></div>\n");
}

/// A rate: whole from ten on.
fn decimal(value: f64) -> String {
    if value >= 9.95 {
        grouped(value.round() as u64)
    } else {
        format!("{value:.1}")
    }
}

/// Bytes in the unit that leaves one to three digits before the point.
fn bytes(count: f64) -> String {
    let mut count = count;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if count < 1024.0 {
            return match unit {
                "B" => format!("{count:.0} B"),
                unit if count < 99.95 => format!("{count:.1} {unit}"),
                unit => format!("{count:.0} {unit}"),
            };
        }
        count /= 1024.0;
    }
    format!("{count:.2} TiB")
}

/// A moment, to the minute.
fn minute(us: u64) -> String {
    let text = format_time(us);
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// A time in one or two units.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s.max(0.0) * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_with_as_many_digits_as_matter() {
        for (value, text) in [
            (0.0, "0.0"),
            (9.94, "9.9"),
            (9.96, "10"),
            (2_345.6, "2,346"),
        ] {
            assert_eq!(decimal(value), text);
        }
        for (value, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1536.0, "1.5 KiB"),
            (300.0 * 1024.0 * 1024.0, "300 MiB"),
            (5.5e12, "5.00 TiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (value, text) in [
            (0.000_012, "12 µs"),
            (0.012, "12.0 ms"),
            (0.5, "500 ms"),
            (1.5, "1.5 s"),
            (75.0, "75 s"),
            (600.0, "10 min"),
            (7_260.0, "2 h 1 min"),
            (200_000.0, "2 d 7 h"),
            (-1.0, "0 µs"),
        ] {
            assert_eq!(duration(value), text);
        }
        assert_eq!(minute(1_700_000_000_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(from_the_first(&[None, Some(2.0)]), [Some(2.0); 2]);
        assert_eq!(from_the_first(&[None]), [None]);
    }
}
