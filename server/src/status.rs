//! What `/status` tells: a word on how the server is, what to do about it, and the facts behind it. The page and the JSON are made of
//! the same report.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};

use crate::api::meta;
use crate::app::App;
use crate::config::Config;
use crate::html;
use crate::index::{Effort, Foreign, Status, Vitals, Waits};
use crate::metrics::RouteCounts;
use crate::negotiate::{View, negotiate};
use crate::problem::Problem;
use crate::source::public_host;
use crate::time::{format_time, now_us};
use crate::watch::{History, Look, Series, rate};
use crate::wire::Coverage;
use crate::wire::status::{
    StatusDisk, StatusEffort, StatusHistory, StatusIndex, StatusLast, StatusProcess, StatusRate,
    StatusRates, StatusReport, StatusRequests, StatusSeries, StatusSource,
};

/// The path.
pub(crate) const PATH: &str = "/status";

/// A disk that will be full sooner than this is told of.
const DAYS_TO_ACT: f64 = 14.0;

/// A source that is gone for no longer than this is one that is connected to anew, as servers have it now and then.
const GONE_AFTER_US: u64 = 10_000_000;

/// `/status`, unless it is turned off.
pub(crate) fn answer(app: &App, headers: &HeaderMap) -> Response<Body> {
    if !app.config.status {
        return Problem::not_found(PATH).into();
    }
    let body =
        negotiate(headers).and_then(|view| Ok((view, html::status_body(&report(app), view)?)));
    let (view, body) = match body {
        Ok(made) => made,
        Err(problem) => return problem.into(),
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    match view {
        View::Html => html::headers(headers),
        View::Json => {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn report(app: &App) -> StatusReport {
    let status = app.index.status();
    let look = app.watch.latest();
    let look = look.as_deref();
    let none = Vitals::default();
    // Trouble is told at once, and not when it is looked for next.
    let seen = look.map_or(&none, |look| &look.vitals);
    let vitals = &app.index.vitals_now(seen);
    let (rates, disk, history) = app.watch.history(|history| {
        (
            vitals.events.map(|_| rates(history)),
            disk(vitals, history),
            StatusHistory {
                hour: series(history.hour(), vitals.events.is_some()),
                day: series(history.day(), vitals.events.is_some()),
            },
        )
    });
    let (word, mut advice) = judge(&status, vitals, &app.config, now_us());
    advice.extend(will_be_full(&disk));
    let mut requests: Vec<StatusRequests> = app.requests.routes().iter().map(asked).collect();
    requests.sort_by(|a, b| b.requests.cmp(&a.requests).then(a.route.cmp(b.route)));
    StatusReport {
        status: word,
        advice,
        version: env!("CARGO_PKG_VERSION"),
        started_at: app.watch.started_us(),
        uptime_seconds: app.watch.uptime().as_secs(),
        source: status.source.as_deref().map(|source| StatusSource {
            host: public_host(source),
            connected: vitals.connected.unwrap_or(false),
            disconnected_since: vitals.disconnected_since_us,
            lag_seconds: seconds(status.lag_us),
            dropped: vitals.dropped,
        }),
        coverage: Coverage::new(
            status.coverage_from_us,
            status.indexed_through_us,
            &status.selection,
        ),
        rates,
        disk,
        index: StatusIndex {
            live_links: vitals.live_links,
            live_records: vitals.live_records,
            accounts: vitals.accounts,
            segments: vitals.segments,
            segments_set_aside: vitals.set_aside,
            gaps: vitals.gaps,
            seals: effort(&vitals.seals),
            merges: effort(&vitals.merges),
            merging: vitals.is_merging,
        },
        records: app.edge.figures(),
        stream: app.hub.figures(),
        requests,
        process: look.map_or_else(StatusProcess::default, process),
        history,
    }
}

fn seconds(us: Option<u64>) -> Option<f64> {
    us.map(|us| us as f64 / 1e6)
}

/// How the server is in a word, and what to do. Sentences of this crate alone: what the index says of damage may name files.
fn judge(
    status: &Status,
    vitals: &Vitals,
    config: &Config,
    now_us: u64,
) -> (&'static str, Vec<String>) {
    let mut advice = Vec::new();
    if vitals.has_stopped {
        advice.push("A write to disk failed, and nothing more is indexed; questions are answered from what is there. See the log of \
             the server for what failed, mend the disk, and restart it.".to_owned());
    }
    match vitals.waits {
        Some(Waits::Room) => advice.push("Events wait for room on disk; questions are answered. Free some space, raise --disk-limit or lower \
             --disk-reserve: it goes on by itself where space was freed, and after a restart with other limits.".to_owned()),
        Some(Waits::Repair) => advice.push("Events wait that only a damaged part of the index could tell from repeats. Stop the server and run \
             `orrery repair`.".to_owned()),
        None => {}
    }
    if vitals.set_aside > 0 {
        advice.push(format!(
            "{} damaged and left out of answers. Stop the server soon and run `orrery repair`: it \
             brings back what the log or a backup still has.",
            parts(
                vitals.set_aside,
                "part of the index is",
                "parts of the index are"
            )
        ));
    }
    if vitals.gaps > 0 {
        advice.push(format!(
            "{} of events lost. The source was asked for them again; `orrery repair --accept-gaps` ends this mark.",
            parts(vitals.gaps, "stretch was", "stretches were")
        ));
    }
    if vitals.merge_fails {
        advice.push("The last merge of segments failed and is tried again. Where that goes on, the index takes more room and \
             answers take longer: see the log of the server.".to_owned());
    }
    let is_degraded = status.degraded.is_some();
    if is_degraded && advice.is_empty() {
        advice
            .push("Something is wrong with the index; the log of the server says what.".to_owned());
    }
    let is_behind = meta::is_behind(status, config);
    let takes_events = !vitals.has_stopped && vitals.waits.is_none();
    let disconnected_since = vitals.disconnected_since_us.filter(|_| takes_events);
    let is_gone =
        disconnected_since.is_some_and(|since| now_us.saturating_sub(since) >= GONE_AFTER_US);
    let gone_since = disconnected_since.filter(|_| is_behind || is_gone);
    let foreign = vitals.foreign.filter(|_| takes_events);
    if let Some(about) = foreign.and_then(about_foreign) {
        advice.push(about);
    } else if let Some(since) = gone_since {
        advice.push(format!(
            "The source is not connected since {}; it is tried again by itself. If this lasts, look at the network, or follow another \
             --jetstream.",
            format_time(since)
        ));
    } else if is_behind && takes_events {
        advice.push(match status.lag_us {
            None => "No event has come from the source yet.".to_owned(),
            Some(_) => "It reads what it missed, and nothing is to be done while the lag falls. If it rises, the machine or its \
                 disk is too slow, or something else keeps them busy.".to_owned(),
        });
    }
    let word = if vitals.has_stopped {
        "stopped"
    } else if vitals.waits.is_some() {
        "paused"
    } else if is_degraded || vitals.set_aside > 0 || vitals.gaps > 0 {
        "degraded"
    } else if is_gone || foreign == Some(Foreign::Messages) {
        "disconnected"
    } else if is_behind {
        "catching-up"
    } else {
        "ok"
    };
    (word, advice)
}

/// What is most likely wrong with the source, where what it does says so.
fn about_foreign(foreign: Foreign) -> Option<String> {
    const OTHER: &str = "its address is most likely that of something else than a Jetstream (v1)";
    match foreign {
        Foreign::Messages => Some(format!(
            "Messages come from the source, and none of them is an event that can be read: {OTHER}, such as a relay's firehose. Follow \
             another --jetstream."
        )),
        Foreign::Answer(status @ (401 | 403)) => Some(format!(
            "The source refuses the connection (HTTP {status}): it wants another key, or none of this server. It is tried again by itself."
        )),
        // It is there, and cannot for the moment.
        Foreign::Answer(408 | 425 | 429 | 500..) => None,
        Foreign::Answer(status) => Some(format!(
            "The source answers HTTP {status} in place of a stream: {OTHER}, such as a web page. Follow another --jetstream."
        )),
    }
}

fn parts(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// That the disk will be full soon, if it will.
fn will_be_full(disk: &StatusDisk) -> Option<String> {
    let days = disk.days_until_full.filter(|days| *days < DAYS_TO_ACT)?;
    let when = match days {
        days if days < 1.0 => "in less than a day".to_owned(),
        days if days < 2.0 => "in about a day".to_owned(),
        days => format!("in about {days:.0} days"),
    };
    let above_reserve = disk
        .free_bytes
        .map(|free| free.saturating_sub(disk.reserve_bytes));
    let bound = match above_reserve {
        Some(above) if Some(above) == disk.left_bytes => "the disk is full",
        _ => "--disk-limit is reached",
    };
    Some(format!(
        "If it grows on like this, {bound} {when}; then events wait, and questions are answered still. Give it more room, or shorten \
         --log-age and --log-size."
    ))
}

fn rates(history: &History) -> StatusRates {
    StatusRates {
        events: StatusRate {
            now: history.rate_now(|point| point.events),
            hour: history.rate_hour(|point| point.events),
            day: history.rate_day(|point| point.events),
        },
        links: StatusRate {
            now: history.rate_now(|point| point.links),
            hour: history.rate_hour(|point| point.links),
            day: history.rate_day(|point| point.links),
        },
    }
}

fn disk(vitals: &Vitals, history: &History) -> StatusDisk {
    let growth = history.growth_per_day();
    let per_day = growth.map(|(bytes, _)| bytes);
    let left = vitals.room.left_bytes;
    StatusDisk {
        bytes: vitals.disk.iter().cloned().collect::<BTreeMap<_, _>>(),
        total_bytes: vitals.disk.iter().map(|(_, bytes)| bytes).sum(),
        limit_bytes: vitals.room.limit_bytes,
        free_bytes: vitals.room.free_bytes,
        reserve_bytes: vitals.room.reserve_bytes,
        left_bytes: left,
        bytes_per_day: per_day,
        seen_seconds: growth.map(|(_, seconds)| seconds),
        days_until_full: per_day
            .filter(|bytes| *bytes >= 1.0)
            .and_then(|bytes| Some(left? as f64 / bytes)),
    }
}

fn series(series: Option<Series>, is_following: bool) -> StatusSeries {
    let Some(Series { end_s, points }) = series else {
        return StatusSeries::default();
    };
    let mut told = StatusSeries::default();
    let mut before = None;
    for point in points {
        let since = before.replace(point).filter(|_| is_following);
        told.seconds_ago.push(end_s.saturating_sub(point.at_s));
        let events = since.and_then(|since| rate(&since, &point, |point| point.events));
        told.events_per_second.push(events);
        let links = since.and_then(|since| rate(&since, &point, |point| point.links));
        told.links_per_second.push(links);
        let lag = f64::from(point.lag_s);
        told.lag_seconds.push((!lag.is_nan()).then_some(lag));
        told.disk_bytes.push(point.disk_bytes);
    }
    told
}

fn effort(effort: &Effort) -> StatusEffort {
    let precise = |time: Duration| time.as_secs_f64();
    StatusEffort {
        times: effort.times,
        last: effort.last.map(|last| StatusLast {
            seconds_ago: precise(last.ago),
            seconds: precise(last.took),
            bytes: last.bytes,
        }),
    }
}

fn process(look: &Look) -> StatusProcess {
    let process = look.process;
    StatusProcess {
        resident_bytes: process.resident_bytes,
        anonymous_bytes: process.anonymous_bytes,
        cpu_seconds: process.cpu_seconds,
        open_files: process.open_fds,
        open_files_max: process.max_fds,
    }
}

fn asked(counts: &RouteCounts) -> StatusRequests {
    let of = |from: u16, to: u16| {
        let statuses = counts.statuses.iter();
        let statuses = statuses.filter(|(status, _)| (from..to).contains(status));
        statuses.map(|(_, count)| count).sum()
    };
    let requests: u64 = counts.statuses.iter().map(|(_, count)| count).sum();
    let nanos: u64 = counts.times.iter().map(|times| times.nanos).sum();
    StatusRequests {
        route: counts.route,
        requests,
        client_errors: of(400, 500),
        server_errors: of(500, 600),
        mean_seconds: nanos as f64 / 1e9 / requests.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_800_000_000_000_000;

    fn judged(change: impl Fn(&mut Status, &mut Vitals)) -> (&'static str, Vec<String>) {
        let mut status = Status {
            source: Some("wss://jetstream.example".into()),
            lag_us: Some(1_000_000),
            ..Status::default()
        };
        let mut vitals = Vitals {
            connected: Some(true),
            ..Vitals::default()
        };
        change(&mut status, &mut vitals);
        judge(&status, &vitals, &Config::default(), NOW_US)
    }

    #[test]
    fn each_state_has_a_word_and_says_what_to_do() {
        assert_eq!(judged(|_, _| {}), ("ok", Vec::new()));
        // One that is connected to anew.
        let anew = judged(|_, vitals| {
            vitals.connected = Some(false);
            vitals.disconnected_since_us = Some(NOW_US - 9_000_000);
        });
        assert_eq!(anew, ("ok", Vec::new()));
        let idle = judged(|status, _| {
            status.source = None;
            status.lag_us = None;
        });
        assert_eq!(idle, ("ok", Vec::new()));
        type Change = fn(&mut Status, &mut Vitals);
        let cases: [(&str, &str, Change); 15] = [
            ("disconnected", "relay's firehose", |status, vitals| {
                status.lag_us = None;
                vitals.foreign = Some(Foreign::Messages);
            }),
            ("disconnected", "HTTP 200 in place", |_, vitals| {
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 100_000_000);
                vitals.foreign = Some(Foreign::Answer(200));
            }),
            ("catching-up", "another key", |status, vitals| {
                status.lag_us = None;
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 1_000_000);
                vitals.foreign = Some(Foreign::Answer(403));
            }),
            ("disconnected", "tried again by itself", |_, vitals| {
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 100_000_000);
                vitals.foreign = Some(Foreign::Answer(503));
            }),
            ("disconnected", "not connected", |status, vitals| {
                status.lag_us = Some(3_600_000_000);
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 3_600_000_000);
            }),
            ("catching-up", "nothing is to be done", |status, _| {
                status.lag_us = Some(61_000_000);
            }),
            ("catching-up", "not connected", |status, vitals| {
                status.lag_us = Some(61_000_000);
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 1_000_000);
            }),
            ("disconnected", "2027-01-15T07:58:20", |_, vitals| {
                vitals.connected = Some(false);
                vitals.disconnected_since_us = Some(NOW_US - 100_000_000);
            }),
            ("catching-up", "No event", |status, _| status.lag_us = None),
            ("paused", "--disk-limit", |_, vitals| {
                vitals.waits = Some(Waits::Room)
            }),
            ("paused", "orrery repair", |_, vitals| {
                vitals.waits = Some(Waits::Repair)
            }),
            ("stopped", "restart", |_, vitals| {
                vitals.has_stopped = true;
                vitals.set_aside = 1;
            }),
            ("degraded", "2 parts of the index are", |_, vitals| {
                vitals.set_aside = 2
            }),
            ("degraded", "--accept-gaps", |_, vitals| vitals.gaps = 1),
            ("ok", "merge", |_, vitals| vitals.merge_fails = true),
        ];
        for (word, advice, change) in cases {
            let (said, told) = judged(change);
            assert_eq!(said, word, "{told:?}");
            assert!(told.iter().any(|told| told.contains(advice)), "{told:?}");
        }
        // What the index says in words of its own may name files.
        let (word, told) = judged(|status, _| status.degraded = Some("/var/lib/x is gone".into()));
        assert_eq!((word, told.len()), ("degraded", 1));
        assert!(!told.concat().contains("/var"), "{told:?}");
    }

    #[test]
    fn a_disk_is_told_to_be_full_by_what_bounds_it_first() {
        let mut disk = StatusDisk {
            bytes: BTreeMap::new(),
            total_bytes: 900,
            limit_bytes: None,
            free_bytes: Some(1_000),
            reserve_bytes: 0,
            left_bytes: Some(1_000),
            bytes_per_day: Some(100.0),
            seen_seconds: Some(7_200),
            days_until_full: Some(10.0),
        };
        let said = will_be_full(&disk).unwrap();
        assert!(said.contains("the disk is full in about 10 days"), "{said}");
        disk.limit_bytes = Some(1_000);
        disk.left_bytes = Some(100);
        disk.days_until_full = Some(0.5);
        let said = will_be_full(&disk).unwrap();
        assert!(
            said.contains("--disk-limit is reached in less than a day"),
            "{said}"
        );
        disk.days_until_full = Some(15.0);
        assert_eq!(will_be_full(&disk), None);
    }
}
