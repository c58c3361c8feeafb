//! Who listens to one dispatcher, and how far it is. A step is looked up in the indexes of filters, and each of its frames
//! made once, for all who want it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use orrery_query::stream::{Change, FilterIndex, Info, Step, write_info};

use super::closing::Closing;
use super::options::Form;
use super::queue::{Frame, Memory, Pushed};
use super::subscriber::{Subscriber, Told, Wants, is_behind, is_wanted, text_of};

/// A dispatcher's subscribers and place. Everything of it changes under one lock.
#[derive(Default)]
pub(crate) struct Registry {
    listeners: HashMap<u64, Listener>,
    plain: FilterIndex,
    extended: FilterIndex,
    /// Subscribers that listen, or will: the dispatcher runs while there are any.
    pub(super) attached: usize,
    /// Where it is to begin.
    pub(super) begin: u64,
    /// How far it is; none while it does not run.
    pub(super) run: Option<Run>,
    pub(super) is_stopped: bool,
}

struct Listener {
    subscriber: Arc<Subscriber>,
    /// What it was told before it came here.
    told: Told,
}

/// How far a dispatcher is.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// All events below were read.
    pub(crate) read: u64,
    /// All events below were told.
    pub(crate) told: u64,
    /// Whether something of the event `told` was told already.
    pub(crate) is_within: bool,
}

/// What a step led to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Those who are to be woken.
    pub(crate) touched: Vec<Arc<Subscriber>>,
    /// Those whose queues came to be half full.
    pub(crate) filling: Vec<Arc<Subscriber>>,
    /// Frames put into queues.
    pub(crate) frames: usize,
}

impl Registry {
    pub(crate) fn entries(&self) -> usize {
        self.plain.entries() + self.extended.entries()
    }

    fn index(&mut self, form: Form) -> &mut FilterIndex {
        match form {
            Form::Plain => &mut self.plain,
            Form::Extended(_) => &mut self.extended,
        }
    }

    /// Has a subscriber told everything from here on that lies behind `told`.
    pub(crate) fn join(&mut self, subscriber: &Arc<Subscriber>, told: Told) -> Result<(), Closing> {
        let wants = subscriber.wants.lock().take();
        let wants = wants.ok_or_else(Closing::failed)?;
        self.index(subscriber.form)
            .set_prepared(subscriber.id, wants.filters.clone())
            .map_err(|_| Closing::filters_full())?;
        let listener = Listener {
            subscriber: Arc::clone(subscriber),
            told,
        };
        self.listeners.insert(subscriber.id, listener);
        Ok(())
    }

    /// Changes what a subscriber wants, at the dispatcher's place or, where it is not there yet, at its own.
    pub(crate) fn change(&mut self, subscriber: &Subscriber, wants: Wants) -> Result<(), Closing> {
        if self.listeners.contains_key(&subscriber.id) {
            self.index(subscriber.form)
                .set_prepared(subscriber.id, wants.filters.clone())
                .map_err(|_| Closing::filters_full())
        } else {
            *subscriber.wants.lock() = Some(Arc::new(wants));
            Ok(())
        }
    }

    pub(crate) fn leave(&mut self, subscriber: &Subscriber) {
        if self.listeners.remove(&subscriber.id).is_some() {
            self.index(subscriber.form).remove(subscriber.id);
        }
    }

    /// Puts the frames of a step into the queues of those who want them.
    pub(crate) fn tell(
        &mut self,
        step: &Step,
        now: Instant,
        memory: &Arc<Memory>,
        told: &mut Outcome,
    ) {
        let Self {
            listeners,
            plain,
            extended,
            ..
        } = self;
        for (index, changes) in [(plain, &step.plain), (extended, &step.changes)] {
            if index.is_empty() {
                continue;
            }
            for change in changes {
                let mut frame = None;
                index.lookup(&change.subject, &change.source, |id| {
                    if let Some(listener) = listeners.get(&id) {
                        listener.tell(step, change, &mut frame, (now, memory), told);
                    }
                });
            }
        }
    }

    /// Tells all who know what it is.
    pub(crate) fn inform(
        &self,
        info: &Info,
        now: Instant,
        memory: &Arc<Memory>,
        told: &mut Outcome,
    ) {
        let mut text = String::new();
        write_info(&mut text, info);
        let frame = Frame::new(text, now, memory);
        for listener in self.listeners.values() {
            if listener.subscriber.form != Form::Plain {
                listener.push(&frame, told);
            }
        }
    }

    pub(crate) fn close_all(&self, closing: &Closing) {
        for listener in self.listeners.values() {
            listener.subscriber.queue.close(closing.clone());
        }
    }
}

impl Listener {
    fn tell(
        &self,
        step: &Step,
        change: &Change,
        frame: &mut Option<Arc<Frame>>,
        (now, memory): (Instant, &Arc<Memory>),
        told: &mut Outcome,
    ) {
        let form = self.subscriber.form;
        if is_wanted(form, change) && is_behind(self.told, step.seq, change.index) {
            let frame =
                frame.get_or_insert_with(|| Frame::new(text_of(form, step, change), now, memory));
            self.push(frame, told);
        }
    }

    fn push(&self, frame: &Arc<Frame>, told: &mut Outcome) {
        told.frames += 1;
        let list = match self.subscriber.queue.push(frame) {
            Pushed::First => &mut told.touched,
            Pushed::Half => &mut told.filling,
            Pushed::Other => return,
        };
        list.push(Arc::clone(&self.subscriber));
    }
}
