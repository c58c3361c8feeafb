//! Passed keys: those of all parts together, each once, without those from before the newest deletion of
//! their account.

use super::output::Output;
use super::spill::Spool;
use super::{MergeInput, bad};
use crate::Result;
use crate::segment::ActorState;
use crate::segment::build::count;
use crate::segment::layout::{ROWS_MAX, Section, SegmentInfo};
use crate::segment::passed::{PassedKey, PassedKeys, PassedWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;

/// One part's keys.
struct Cursor<'a> {
    keys: PassedKeys<'a>,
    head: Option<PassedKey>,
    /// Whether its keys of the actor at hand stay.
    stay: bool,
}

impl Cursor<'_> {
    fn step(&mut self) -> Result<()> {
        let before = self.head;
        self.head = self.keys.next().transpose()?;
        if self.head.is_some() && self.head <= before {
            return Err(bad(0, "passed keys in rising order", "others"));
        }
        Ok(())
    }
}

/// The keys that stay, taken over actor by actor.
pub(super) struct Passed<'a, W: Workspace> {
    cursors: Vec<Cursor<'a>>,
    writer: PassedWriter,
    directory: Spool<W>,
    data: Spool<W>,
}

impl<'a, W: Workspace> Passed<'a, W> {
    pub(super) fn new(inputs: &[MergeInput<'a>]) -> Result<Self> {
        let mut cursors = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut keys = input.segment.passed_keys()?;
            let head = keys.next().transpose()?;
            cursors.push(Cursor {
                keys,
                head,
                stay: false,
            });
        }
        Ok(Self {
            cursors,
            writer: PassedWriter::new(),
            directory: Spool::new(),
            data: Spool::new(),
        })
    }

    /// Takes over the keys of the actor of `newest`. `states` has each part's own state of it: each part that
    /// has a passed key of an actor has a state of it, so a part whose state does not know the newest deletion
    /// has only keys from before it.
    pub(super) fn take(
        &mut self,
        env: &mut Env<'_, W>,
        newest: &ActorState,
        states: &[Option<ActorState>],
    ) -> Result<(), W::Error> {
        let actor = newest.id;
        for (cursor, state) in self.cursors.iter_mut().zip(states) {
            cursor.stay = state.is_some_and(|state| state.purged_us == newest.purged_us);
            if cursor.head.is_some_and(|key| key.actor < actor) {
                return Err(bad(0, "a state of each actor with passed keys", actor).into());
            }
        }
        let of_actor = |cursor: &Cursor<'_>| cursor.head.filter(|key| key.actor == actor);
        while let Some(least) = self.cursors.iter().filter_map(of_actor).min() {
            let mut stays = false;
            for cursor in &mut self.cursors {
                if cursor.head == Some(least) {
                    stays |= cursor.stay;
                    cursor.step()?;
                }
            }
            if stays {
                let (directory, data) = (self.directory.tail(), self.data.tail());
                self.writer.push(least, directory, data)?;
                self.directory.settle(env)?;
                self.data.settle(env)?;
            }
            env.stepped(1)?;
        }
        Ok(())
    }

    /// Notes how many stay, after the last actor.
    pub(super) fn count(&self, info: &mut SegmentInfo) -> Result<()> {
        if let Some(key) = self.cursors.iter().find_map(|cursor| cursor.head) {
            let expected = "a state of each actor with passed keys";
            return Err(bad(0, expected, key.actor));
        }
        info.passed = count("passed keys of a segment", self.writer.count(), ROWS_MAX)?;
        Ok(())
    }

    /// Writes the sections.
    pub(super) fn sections<O: Sink<Error = W::Error>>(
        mut self,
        env: &mut Env<'_, W>,
        out: &mut Output<O>,
    ) -> Result<(), W::Error> {
        let (directory, data) = (self.directory.tail(), self.data.tail());
        self.writer.flush(directory, data)?;
        let data = self.data.finish(env)?;
        out.section(env, Section::PassedKeys, data.bytes())?;
        let directory = self.directory.finish(env)?;
        out.section(env, Section::PassedDirectory, directory.bytes())
    }
}
