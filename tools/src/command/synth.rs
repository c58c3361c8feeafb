//! `orrery synth`: the synthetic stream as JSON lines, or served over a websocket.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_synth::{Config, Generator, Options, Pace, Source, Stamp, Tempo};
use serde_json::json;

use crate::cli::{SynthArguments, SynthTimes};
use crate::failure::{Failure, Result};
use crate::signals::Signals;
use crate::{output, running, units};

/// Bytes written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A server with a number of events ends when it has sent nothing for so long after the last one.
const QUIET: Duration = Duration::from_secs(2);

/// How often a server with a number of events looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run(arguments: SynthArguments) -> Result<()> {
    let tempo = match arguments.span {
        Some(span) => Tempo::SpanUs(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        None => Tempo::EventsPerSecond(arguments.rate),
    };
    if !(0.0..=1.0).contains(&arguments.hot_share) {
        return Err(Failure::Usage(format!(
            "--hot-share {} is no share; it is from 0 to 1",
            arguments.hot_share
        )));
    }
    let options = Options {
        seed: arguments.seed,
        events: arguments.events,
        tempo,
        hot_like_share: arguments.hot_share,
        ..Options::default()
    };
    let options = match arguments.backfill {
        true => options.into_backfill(),
        false => options,
    };
    if let Some(address) = arguments.serve {
        return serve(address, options, &arguments);
    }
    let generator = Generator::new(options)?;
    if arguments.out == Path::new("-") {
        return write(generator, std::io::stdout().lock()).map_err(Failure::stdout);
    }
    let failed = |source| Failure::Output {
        what: arguments.out.display().to_string(),
        source,
    };
    let file = match arguments.force {
        true => File::create(&arguments.out),
        false => new_file(&arguments.out),
    };
    let file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Usage(format!(
            "{} is there already; name another file by --out, or replace it by --force",
            arguments.out.display()
        )),
        _ => failed(error),
    })?;
    write(generator, file).map_err(failed)
}

/// Makes a file that is not there yet. What is no file, such as a pipe, keeps nothing that could be lost.
fn new_file(path: &Path) -> std::io::Result<File> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => File::create(path),
        _ => File::create_new(path),
    }
}

fn write(mut generator: Generator, out: impl Write) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut line = Vec::new();
    while generator.next_into(&mut line).is_some() {
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}

/// Serves the stream until a signal comes or, with a number of events, all of them have appeared and nobody reads
/// any more.
fn serve(address: SocketAddr, options: Options, arguments: &SynthArguments) -> Result<()> {
    let events = options.events;
    let mut config = Config::new(Source::Generator(options));
    // Where a span of event time is asked for, the true pace follows from it.
    let rate = match (arguments.span, events) {
        (Some(span), Some(events)) if !span.is_zero() => events as f64 / span.as_secs_f64(),
        _ => arguments.rate,
    };
    config.pace = Pace::EventsPerSecond(rate);
    config.stamp = match arguments.times {
        SynthTimes::Seed => Stamp::AsGenerated,
        SynthTimes::Now => Stamp::WallClock,
    };
    config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
    config.close_at_end = true;
    let runtime = running::runtime()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| Failure::Bind { address, source })?;
        let server = orrery_synth::serve(listener, config)?;
        if arguments.json {
            output::line(format_args!("{}", json!({"url": server.url()})))?;
        } else {
            output::line(format_args!(
                "{} events a second at {}; stop with Ctrl-C",
                rate,
                server.url()
            ))?;
        }
        let done = async {
            let Some(events) = events else {
                return std::future::pending().await;
            };
            let mut sent = 0;
            let mut since = Instant::now();
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let stats = server.stats();
                if stats.events_produced < events || stats.events_sent != sent {
                    (sent, since) = (stats.events_sent, Instant::now());
                } else if since.elapsed() >= QUIET {
                    return;
                }
            }
        };
        tokio::select! {
            name = signals.any() => tracing::info!("{name}: shutting down"),
            () = done => {}
        }
        let stats = server.stats();
        server.stop().await;
        if arguments.json {
            output::line(format_args!(
                "{}",
                json!({
                    "connections": stats.connections,
                    "events_produced": stats.events_produced,
                    "events_sent": stats.events_sent,
                })
            ))
        } else {
            output::line(format_args!(
                "{} events appeared, {} were sent over {} connections",
                units::count_text(stats.events_produced),
                units::count_text(stats.events_sent),
                stats.connections
            ))
        }
    });
    running::end(runtime);
    result
}
