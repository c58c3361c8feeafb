//! From a source into a sink: the loop that keeps the position behind the events. Durability order: events
//! are applied, then the position after them is set, then both become durable at one commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// What a pipeline is told beside its two ends.
#[derive(Debug, Default)]
pub struct Pipeline<'a> {
    /// Which collections to index.
    pub selection: Selection,
    /// Counters for others to read.
    pub counters: Option<&'a Counters>,
    /// Ends the pipeline after the present batch, when set.
    pub stop: Option<&'a AtomicBool>,
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
        let next = source.next(WAIT, &mut |place, item| {
            tally.items += 1;
            match item {
                Item::Event(event) => take(event, place, &name, sink, &mut pipeline, &mut tally),
                Item::Dropped(reason) => {
                    drop_one(&mut tally, reason, &name, place);
                    Ok(())
                }
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
            Err(error @ Error::Sink { .. }) => return Err(error),
            Err(error) => break Err(error),
        }
        sink.tick().map_err(Error::sink)?;
        if let Some(counters) = pipeline.counters {
            counters.publish(&tally);
        }
    };
    sink.commit().map_err(Error::sink)?;
    if let Some(counters) = pipeline.counters {
        counters.publish(&tally);
    }
    outcome.map(|()| tally)
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
    let outcome = sink.apply(event).map_err(Error::sink)?;
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
