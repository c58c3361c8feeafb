//! From a source into a sink: the loop that keeps the position behind the events. Durability order: events
//! are applied, then the position after them is set, then both become durable at one commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_formats::event::{Body, Event};

use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::reason::Reason;
use crate::report::{LinkCounts, Tally};
use crate::select::Selection;
use crate::sink::{Outcome, Sink};
use crate::source::{Item, Next, Place, Source};

/// Longest wait for events; the sink is ticked at least as often.
const WAIT: Duration = Duration::from_millis(250);

/// How long a paused pipeline takes at most to see that it is to stop.
const STOP_WITHIN: Duration = Duration::from_millis(100);

/// What a pipeline is told beside its two ends.
#[derive(Debug, Default)]
pub struct Pipeline<'a> {
    /// Which collections to index.
    pub selection: Selection,
    /// Counters for others to read.
    pub counters: Option<&'a Counters>,
    /// Ends the pipeline after the present batch, when set.
    pub stop: Option<&'a AtomicBool>,
    /// How often to try again while the sink is paused; `None`: a pause ends the pipeline as any error does.
    pub retry_every: Option<Duration>,
    /// Counts accepted links by source.
    pub link_counts: Option<&'a mut LinkCounts>,
}

/// Moves events from `source` into `sink` until the source ends or `stop` is set, and commits.
///
/// # Errors
///
/// What ended the source or the sink. What came before the end of a source is committed all the same.
pub fn pump<S: Source + ?Sized, K: Sink>(
    source: &mut S,
    sink: &mut K,
    mut pipeline: Pipeline<'_>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let name = source.name().to_owned();
    let stop = pipeline.stop;
    let outcome = loop {
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            break Ok(());
        }
        tell_turn(&pipeline);
        let next = source.next(WAIT, &mut |place, item| {
            tally.items += u64::from(!matches!(item, Item::Missing { .. }));
            match item {
                Item::Event(event) => take(event, place, &name, sink, &mut pipeline, &mut tally),
                Item::Dropped(reason) => {
                    drop_one(&mut tally, reason, &name, place);
                    Ok(())
                }
                Item::Missing { since_us } => sink
                    .begin_anew(&pipeline.selection, since_us)
                    .map_err(Error::sink),
            }
        });
        match next {
            Ok(Next::Batch(cursor)) => {
                if let Some(cursor) = &cursor {
                    sink.set_cursor(cursor);
                }
            }
            Ok(Next::Idle) => {}
            Ok(Next::End) => break Ok(()),
            Err(Error::Stopped) => break Ok(()),
            Err(error @ Error::Sink { .. }) => return Err(error),
            Err(error) => break Err(error),
        }
        sink.tick().map_err(Error::sink)?;
        if let Some(counters) = pipeline.counters {
            counters.publish(&tally);
        }
    };
    match sink.commit() {
        // What is not durable is not behind the durable position either: it comes again.
        Err(error) if pipeline.retry_every.is_some() && K::passes(&error) => {
            tracing::warn!(
                "{name}: the last events are not durable and will be asked for again: {error}"
            );
        }
        committed => committed.map_err(Error::sink)?,
    }
    if let Some(counters) = pipeline.counters {
        counters.publish(&tally);
    }
    outcome.map(|()| tally)
}

fn tell_turn(pipeline: &Pipeline<'_>) {
    if let Some(counters) = pipeline.counters {
        counters.turn();
    }
}

fn take<K: Sink>(
    event: &Event<'_>,
    place: Place,
    name: &str,
    sink: &mut K,
    pipeline: &mut Pipeline<'_>,
    tally: &mut Tally,
) -> Result<()> {
    if let Body::Commit { collection, .. } = event.body
        && !pipeline.selection.takes(collection)
    {
        tally.unselected += 1;
        return Ok(());
    }
    let outcome = match sink.apply(event) {
        Err(error) if K::passes(&error) && pipeline.retry_every.is_some() => {
            wait_to_apply(event, name, sink, pipeline, &error, tally)?
        }
        outcome => outcome.map_err(Error::sink)?,
    };
    if outcome == Outcome::BadRecord {
        drop_one(tally, Reason::UnreadableRecord, name, place);
        return Ok(());
    }
    tally.count(event, outcome);
    if let Some(link_counts) = &mut pipeline.link_counts
        && outcome != Outcome::Repeat
    {
        link_counts.count(event);
    }
    Ok(())
}

/// Tries an event again until the sink takes it. Meanwhile nothing more is read from the source.
fn wait_to_apply<K: Sink>(
    event: &Event<'_>,
    name: &str,
    sink: &mut K,
    pipeline: &Pipeline<'_>,
    why: &K::Error,
    tally: &Tally,
) -> Result<Outcome> {
    let since = Instant::now();
    tracing::warn!("{name}: paused: {why}. It goes on by itself once that is mended");
    if let Some(counters) = pipeline.counters {
        counters.publish(tally);
    }
    let stop = || {
        pipeline
            .stop
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    };
    loop {
        let retry_at = Instant::now() + pipeline.retry_every.unwrap_or(WAIT);
        loop {
            if stop() {
                return Err(Error::Stopped);
            }
            tell_turn(pipeline);
            let left = retry_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(STOP_WITHIN));
        }
        // What was taken before still becomes durable in time.
        sink.tick().map_err(Error::sink)?;
        match sink.apply(event) {
            Err(error) if K::passes(&error) => {}
            outcome => {
                let outcome = outcome.map_err(Error::sink)?;
                let paused = since.elapsed().as_secs_f64();
                tracing::warn!("{name}: goes on after a pause of {paused:.0} s");
                return Ok(outcome);
            }
        }
    }
}

/// Counts a drop and tells of the first of its kind; telling of each would let a source fill the log.
fn drop_one(tally: &mut Tally, reason: Reason, name: &str, place: Place) {
    if !tally.drops.add(reason) {
        return;
    }
    let code = reason.name();
    if place > 0 {
        tracing::warn!(
            "{name}, line {place}: {reason} ({code}); more of this kind are only counted"
        );
    } else {
        tracing::warn!("{name}: {reason} ({code}); more of this kind are only counted");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::source::{Cursor, CursorKind};

    /// Gives batches of two events, each with a position.
    struct Events {
        given: u64,
        total: u64,
    }

    impl Source for Events {
        fn next(
            &mut self,
            _wait: Duration,
            take: &mut dyn FnMut(Place, Item<'_>) -> Result<()>,
        ) -> Result<Next> {
            if self.given == self.total {
                return Ok(Next::End);
            }
            for _ in 0..2 {
                self.given += 1;
                take(
                    0,
                    Item::Event(&Event {
                        time_us: self.given,
                        did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
                        body: Body::Identity {
                            seq: self.given,
                            handle: None,
                        },
                    }),
                )?;
            }
            Ok(Next::Batch(Some(Cursor {
                kind: CursorKind::JetstreamTime,
                endpoint: "events".into(),
                value: self.given,
            })))
        }

        fn name(&self) -> &str {
            "events"
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no room")]
    struct NoRoom;

    /// Takes three events at a time, and refuses `refusals` times in between.
    #[derive(Default)]
    struct Small {
        room: u64,
        refusals: u64,
        refused: Arc<AtomicU64>,
        taken: Vec<u64>,
        cursor: u64,
        ticks: u64,
    }

    impl Sink for Small {
        type Error = NoRoom;

        fn passes(_: &NoRoom) -> bool {
            true
        }

        fn apply(&mut self, event: &Event<'_>) -> Result<Outcome, NoRoom> {
            if self.room == 0 {
                self.refused.fetch_add(1, Ordering::Relaxed);
                if self.refusals > 0 {
                    self.refusals -= 1;
                    return Err(NoRoom);
                }
                self.room = 3;
            }
            self.room -= 1;
            self.taken.push(event.time_us);
            Ok(Outcome::New { links: 0 })
        }

        fn set_cursor(&mut self, cursor: &Cursor) {
            self.cursor = cursor.value;
        }

        fn tick(&mut self) -> Result<(), NoRoom> {
            self.ticks += 1;
            Ok(())
        }

        fn commit(&mut self) -> Result<(), NoRoom> {
            Ok(())
        }
    }

    #[test]
    fn a_paused_sink_gets_the_same_event_again_until_it_takes_it() {
        let (mut source, mut sink) = (
            Events {
                given: 0,
                total: 10,
            },
            Small::default(),
        );
        sink.refusals = 4;
        let tally = pump(
            &mut source,
            &mut sink,
            Pipeline {
                retry_every: Some(Duration::from_millis(1)),
                ..Pipeline::default()
            },
        );
        assert_eq!(tally.unwrap().events, 10);
        assert_eq!(sink.taken, (1..=10).collect::<Vec<_>>());
        assert_eq!(sink.cursor, 10);
        assert!(sink.ticks >= 4, "what was taken before becomes durable");
    }

    #[test]
    fn without_patience_a_pause_ends_the_pipeline_with_its_reason() {
        let (mut source, mut sink) = (Events { given: 0, total: 4 }, Small::default());
        sink.refusals = 1;
        let error = pump(&mut source, &mut sink, Pipeline::default()).unwrap_err();
        assert!(matches!(error, Error::Sink { .. }));
        assert!(error.to_string().contains("no room"), "{error}");
    }

    #[test]
    fn a_paused_pipeline_stops_when_told_and_leaves_its_position_behind_the_events_taken() {
        let stop = AtomicBool::new(false);
        let mut source = Events { given: 0, total: 4 };
        let mut sink = Small {
            room: 3,
            refusals: u64::MAX,
            ..Small::default()
        };
        let refused = Arc::clone(&sink.refused);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while refused.load(Ordering::Relaxed) == 0 {
                    std::thread::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
            let pipeline = Pipeline {
                stop: Some(&stop),
                retry_every: Some(Duration::from_secs(3_600)),
                ..Pipeline::default()
            };
            let tally = pump(&mut source, &mut sink, pipeline);
            assert_eq!(tally.unwrap().events, 3);
        });
        assert_eq!(
            sink.cursor, 2,
            "the batch with the refused event comes again"
        );
    }

    /// Takes nothing more once it was told to wait, until the other end of the channel goes.
    struct Stuck(std::sync::mpsc::Receiver<()>, Arc<AtomicBool>);

    impl Sink for Stuck {
        type Error = NoRoom;

        fn apply(&mut self, _event: &Event<'_>) -> Result<Outcome, NoRoom> {
            self.1.store(true, Ordering::Relaxed);
            let _ = self.0.recv();
            Ok(Outcome::Repeat)
        }

        fn set_cursor(&mut self, _cursor: &Cursor) {}

        fn tick(&mut self) -> Result<(), NoRoom> {
            Ok(())
        }

        fn commit(&mut self) -> Result<(), NoRoom> {
            Ok(())
        }
    }

    #[test]
    fn a_paused_pipeline_tells_that_it_goes_on_and_one_that_hangs_does_not() {
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        let mut source = Events { given: 0, total: 4 };
        let mut paused = Small {
            refusals: u64::MAX,
            ..Small::default()
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let first = counters.turns();
                while counters.turns() < first + 3 {
                    std::thread::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
            let pipeline = Pipeline {
                counters: Some(&counters),
                stop: Some(&stop),
                retry_every: Some(Duration::from_secs(3_600)),
                ..Pipeline::default()
            };
            pump(&mut source, &mut paused, pipeline).unwrap();
        });

        let counters = Counters::default();
        let (go_on, waits) = std::sync::mpsc::channel();
        let is_stuck = Arc::new(AtomicBool::new(false));
        let mut stuck = Stuck(waits, Arc::clone(&is_stuck));
        let mut source = Events { given: 0, total: 4 };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_stuck.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                let turns = counters.turns();
                std::thread::sleep(2 * WAIT);
                assert_eq!(counters.turns(), turns);
                drop(go_on);
            });
            let pipeline = Pipeline {
                counters: Some(&counters),
                ..Pipeline::default()
            };
            pump(&mut source, &mut stuck, pipeline).unwrap();
        });
    }
}
