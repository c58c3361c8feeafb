//! A memtable made into a segment, with the syncs that belong to it.

use orrery_engine::event::Event;

use super::Size;
use super::accept::Fresh;
use crate::events::{decoded, lines};
use crate::harness::timing::Subject;
use crate::{Outcome, Result};

struct Seal {
    events: Vec<Event<'static>>,
    fresh: Option<Fresh>,
}

impl Subject for Seal {
    fn ready(&mut self) -> Outcome {
        self.fresh = None;
        let mut fresh = Fresh::new(&self.events)?;
        fresh.apply(&self.events, false)?;
        self.fresh = Some(fresh);
        Ok(())
    }

    fn round(&mut self) -> Result<u64> {
        let fresh = self.fresh.as_mut().ok_or("not made ready")?;
        fresh.writer.seal()?;
        if fresh.store.status().segments != 1 {
            return Err("there is not one segment after a seal".into());
        }
        Ok(self.events.len() as u64)
    }
}

pub(super) fn seal(size: Size) -> Result<Box<dyn Subject>> {
    Ok(Box::new(Seal {
        events: decoded(lines(size.seed, size.events)?)?,
        fresh: None,
    }))
}
