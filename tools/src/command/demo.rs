//! `orrery demo`: the whole system on one machine, fed by a synthetic stream over a loopback websocket.
//! The answering side knows nothing of the synthetic one but its address.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_engine::offline::{Directory, Span};
use orrery_engine::{Options, Store};
use orrery_ingest::FollowConfig;
use orrery_synth::{Generator, Pace, Source, Stamp, Tempo};
use serde_json::Value;

use crate::cli::DemoArguments;
use crate::edge::EdgeSettings;
use crate::failure::{Failure, Result};
use crate::health::{Health, now_us};
use crate::running::{self, Running};
use crate::signals::Signals;
use crate::{output, probe, units};

/// The name under which the position in the synthetic stream is stored; its port changes with every start.
const SOURCE_NAME: &str = "demo";
/// The share of likes that go to one post, so that a minute's demo has a target with many.
const HOT_LIKE_SHARE: f64 = 0.02;
/// What to leave free on disk: a temporary directory may be small.
const DISK_RESERVE: u64 = 32 << 20;
/// Popular targets of each kind that are tried.
const CANDIDATES: usize = 8;
/// When to print what there is; the promise is 20 s.
const SHOW_BY: Duration = Duration::from_secs(15);
/// Pause between looks for answers.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

pub(crate) fn run(arguments: DemoArguments) -> Result<()> {
    let started = Instant::now();
    let listener = running::bind(arguments.bind)?;
    let address = listener.local_addr().unwrap_or(arguments.bind);
    let temporary = match &arguments.data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("orrery-demo-")
                .tempdir()
                .map_err(Failure::system("cannot make a temporary directory"))?,
        ),
    };
    if let Some(data) = &arguments.data {
        refuse_other(data)?;
    }
    let data = arguments
        .data
        .as_deref()
        .or(temporary.as_ref().map(|dir| dir.path()))
        .ok_or_else(|| Failure::Usage("no data directory".to_owned()))?;

    let options = orrery_synth::Options {
        seed: arguments.seed,
        start_us: now_us(),
        tempo: Tempo::EventsPerSecond(arguments.rate),
        hot_like_share: HOT_LIKE_SHARE,
        ..orrery_synth::Options::default()
    };
    let topics = topics(&Generator::new(options.clone())?);
    let runtime = running::runtime()?;
    let signals = {
        let _context = runtime.enter();
        Signals::catch()?
    };
    let stream = runtime.block_on(serve_stream(options, arguments.rate))?;
    let mut store_options = Options::default();
    store_options.disk_reserve = DISK_RESERVE;
    let mut running = Running::open(data, store_options)?;
    let mut config = FollowConfig::new(stream.url());
    config.name = Some(SOURCE_NAME.to_owned());
    running.follow(config, &runtime)?;

    output::line(format_args!(
        "orrery {} demo: {} synthetic events a second from {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        arguments.rate,
        stream.url(),
        data.display(),
    ))?;
    let store = running.store().clone();
    let health = running.health();
    let show = async move {
        show_urls(probe::reachable(address), topics, started).await?;
        show_progress(&store, health).await
    };
    let server = orrery_server::Config::default();
    let result = runtime.block_on(async {
        let result = running
            .run(listener, server, &EdgeSettings::offline(), signals, show)
            .await;
        stream.stop().await;
        result
    });
    running::end(runtime);
    result
}

/// Refuses a directory with events that no demo wrote: synthetic ones among them could not be told from real ones.
/// Looks without a lock, and writes nothing.
fn refuse_other(data: &Path) -> Result<()> {
    let failed = Failure::store(data);
    if !Store::is_at(data).map_err(&failed)? {
        return Ok(());
    }
    let directory = Directory::open(data).map_err(&failed)?;
    let state = directory.state();
    let mut cursor = state.source_cursor.clone();
    let mut holds_events = state.sealed_through > 0;
    let unsealed = Span {
        from_seq: state.sealed_through.saturating_add(1),
        ..Span::ALL
    };
    directory
        .each_frame::<orrery_engine::Error>(&unsealed, &mut |_| {}, &mut |frame| {
            cursor = frame.cursor.clone().or(cursor.take());
            holds_events = true;
            Ok(())
        })
        .map_err(&failed)?;
    let holds = match cursor {
        Some(cursor) if cursor.endpoint == SOURCE_NAME => return Ok(()),
        Some(cursor) => format!(
            "follows {}",
            orrery_jetstream::without_secrets(&cursor.endpoint)
        ),
        None if holds_events => "holds events of files".to_owned(),
        None => return Ok(()),
    };
    Err(Failure::Usage(format!(
        "--data {}: it {holds}, and a demo would add synthetic events for good; name a new directory, or one that \
         a demo made",
        data.display()
    )))
}

/// Serves the synthetic stream on a free loopback port.
async fn serve_stream(options: orrery_synth::Options, rate: f64) -> Result<orrery_synth::Handle> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| Failure::Bind { address, source })?;
    let mut config = orrery_synth::Config::new(Source::Generator(options));
    config.pace = Pace::EventsPerSecond(rate);
    config.stamp = Stamp::WallClock;
    config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
    Ok(orrery_synth::serve(listener, config)?)
}

/// Questions about one thing, and the things that they could be about.
struct Topic {
    targets: Vec<String>,
    questions: Vec<Question>,
}

struct Question {
    what: &'static str,
    path: &'static str,
    /// The parameter that names the thing.
    target: &'static str,
    others: &'static [(&'static str, &'static str)],
}

impl Question {
    fn about(&self, target: &str) -> String {
        let named = [(self.target, target)];
        let all: Vec<(&str, &str)> = named.iter().chain(self.others).copied().collect();
        probe::path(self.path, &all)
    }
}

fn topics(generator: &Generator) -> [Topic; 2] {
    const LIKES: (&str, &str) = ("source", "app.bsky.feed.like:subject.uri");
    let popular = generator.popular_targets(CANDIDATES);
    let mut posts = vec![generator.hot_target()];
    posts.extend(popular.posts);
    let of_post = vec![
        Question {
            what: "How many likes does this post have?",
            path: "/xrpc/blue.microcosm.links.getBacklinksCount",
            target: "subject",
            others: &[LIKES],
        },
        Question {
            what: "Which likes are these, newest first?",
            path: "/xrpc/blue.microcosm.links.getBacklinks",
            target: "subject",
            others: &[LIKES, ("limit", "5")],
        },
        Question {
            what: "And what do these likes themselves say?",
            path: "/xrpc/blue.microcosm.links.getBacklinks",
            target: "subject",
            others: &[LIKES, ("limit", "2"), ("hydrate", "true")],
        },
    ];
    let of_account = vec![
        Question {
            what: "What links to this account, and how?",
            path: "/links/all",
            target: "target",
            others: &[],
        },
        Question {
            what: "Who follows it?",
            path: "/links/distinct-dids",
            target: "target",
            others: &[
                ("collection", "app.bsky.graph.follow"),
                ("path", ".subject"),
            ],
        },
    ];
    [
        Topic {
            targets: posts,
            questions: of_post,
        },
        Topic {
            targets: popular.accounts,
            questions: of_account,
        },
    ]
}

/// What of a topic has an answer that holds something.
#[derive(Debug, Default)]
struct Answered {
    /// Questions and their paths, all about one thing.
    questions: Vec<(&'static str, String)>,
    /// Whether these are all of the topic.
    is_whole: bool,
}

/// The first thing about which every question has an answer, or else that about which most have. The questions are asked one after the
/// other while events come: what had no answer a moment ago may have one now.
async fn answered(topic: &Topic, holds: &mut impl AsyncFnMut(&str) -> bool) -> Answered {
    let mut best = Answered::default();
    for target in &topic.targets {
        let mut found = Vec::new();
        for question in &topic.questions {
            let path = question.about(target);
            if holds(&path).await {
                found.push((question.what, path));
            }
        }
        let is_whole = found.len() == topic.questions.len();
        if is_whole || found.len() > best.questions.len() {
            best = Answered {
                questions: found,
                is_whole,
            };
        }
        if is_whole {
            break;
        }
    }
    best
}

/// Prints the URLs once each has an answer that holds something, or those that have when time is up.
async fn show_urls(address: SocketAddr, topics: [Topic; 2], started: Instant) -> Result<()> {
    let mut holds = async |path: &str| {
        let answer = probe::get_json(address, path).await;
        answer.as_ref().is_some_and(holds_something)
    };
    let mut found = topics.each_ref().map(|_| Answered::default());
    loop {
        for (topic, found) in topics.iter().zip(&mut found) {
            if !found.is_whole {
                *found = answered(topic, &mut holds).await;
            }
        }
        let is_late =
            started.elapsed() >= SHOW_BY && found.iter().any(|found| !found.questions.is_empty());
        if is_late || found.iter().all(|found| found.is_whole) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    output::line(format_args!(
        "After {:.1} s there are answers to try:\n",
        started.elapsed().as_secs_f64()
    ))?;
    for (what, path) in found.iter().flat_map(|found| &found.questions) {
        output::line(format_args!("  {what}\n    http://{address}{path}\n"))?;
    }
    output::line(format_args!(
        "  Links as they are made and undone, in a browser: http://{address}/stream\n"
    ))?;
    output::line(format_args!("Stop with Ctrl-C.\n"))
}

/// Whether an answer holds a link: a total above zero, or a list or map that is not empty.
fn holds_something(answer: &Value) -> bool {
    let Some(members) = answer.as_object() else {
        return false;
    };
    let total = members.get("total").and_then(Value::as_u64);
    if total == Some(0) {
        return false;
    }
    let lists: Vec<bool> = members
        .values()
        .filter_map(|value| match value {
            Value::Array(items) => Some(!items.is_empty()),
            Value::Object(items) => Some(!items.is_empty()),
            _ => None,
        })
        .collect();
    if lists.is_empty() {
        total.is_some()
    } else {
        lists.contains(&true)
    }
}

/// Prints a line every few seconds, for ever.
async fn show_progress(store: &Store, health: Option<Arc<Health>>) -> Result<()> {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let mut before = None;
    loop {
        ticks.tick().await;
        let (store, health) = (store.clone(), health.clone());
        let now = Instant::now();
        let events = health.as_deref().map_or(0, |health| health.tally().events);
        let rate = before.replace((now, events)).and_then(|(since, known)| {
            let seconds = now.duration_since(since).as_secs_f64();
            (seconds > 0.0).then(|| events.saturating_sub(known) as f64 / seconds)
        });
        let text =
            tokio::task::spawn_blocking(move || progress(&store, health.as_deref(), events, rate));
        if let Ok(text) = text.await {
            output::line(format_args!("{text}"))?;
        }
    }
}

/// The rate is that since the line before, so that the first has none.
fn progress(store: &Store, health: Option<&Health>, events: u64, rate: Option<f64>) -> String {
    let snapshot = store.snapshot();
    let rate = rate.map_or_else(String::new, |rate| {
        format!(" ({}/s)", units::count_text(rate.round() as u64))
    });
    let lag = health.and_then(|health| health.lag_us(snapshot.indexed_through_us()));
    let lag = lag.map_or("unknown".to_owned(), |lag_us| {
        format!("{:.1} s", lag_us as f64 / 1e6)
    });
    let bytes = store.status().bytes.iter().map(|(_, bytes)| bytes).sum();
    format!(
        "{} events{rate} | {} links | lag {lag} | {} on disk",
        units::count_text(events),
        units::count_text(snapshot.totals().live_links),
        units::bytes_text(bytes),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn all_urls_about_a_post_are_about_one_post_whenever_its_first_like_comes() {
        let options = orrery_synth::Options::default();
        let [posts, _] = topics(&Generator::new(options).unwrap());
        let [first, second] = [0, 1].map(|place: usize| posts.targets[place].clone());
        let target = |text: &str| probe::path("", &[("subject", text)]);
        // The second post has likes from the start on, and the first from some question on.
        for since in 0..12 {
            let mut asked = 0;
            let mut holds = async |path: &str| {
                asked += 1;
                match path.contains(&target(&first)[1..]) {
                    true => asked > since,
                    false => path.contains(&target(&second)[1..]),
                }
            };
            let found = answered(&posts, &mut holds).await;
            assert!(found.is_whole && found.questions.len() == 3, "{found:?}");
            for post in [&first, &second] {
                let about = |(_, path): &(&str, String)| path.contains(&target(post)[1..]);
                let about = found
                    .questions
                    .iter()
                    .filter(|question| about(question))
                    .count();
                assert!([0, 3].contains(&about), "{since}: {found:?}");
            }
        }
        // Where nothing has all answers, what is shown is about one thing too.
        let mut holds = async |path: &str| path.contains("getBacklinksCount");
        let found = answered(&posts, &mut holds).await;
        assert!(!found.is_whole);
        assert_eq!(found.questions.len(), 1);
    }

    #[test]
    fn only_answers_that_hold_links_are_shown() {
        for (answer, is_shown) in [
            (json!({"total": 3}), true),
            (json!({"total": 0}), false),
            (json!({"total": 2, "records": []}), false),
            (json!({"total": 2, "records": [1], "cursor": null}), true),
            (json!({"links": {}}), false),
            (json!({"links": {"a.b.c": {}}}), true),
            (json!({"error": "x"}), false),
            (json!([1]), false),
        ] {
            assert_eq!(holds_something(&answer), is_shown, "{answer}");
        }
    }
}
