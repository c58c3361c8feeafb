//! The engine's store as what the link stream asks.

use std::ops::ControlFlow;

use orrery_engine::Store;
use orrery_query::stream::{Forms, Read, Reader, Start, Step};
use orrery_server::{Feed, IndexError, StepReader};

use crate::index::is_mended;

/// Reads the events of a store.
pub(crate) struct StoreFeed(Store);

impl StoreFeed {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }
}

impl Feed for StoreFeed {
    fn next_seq(&self) -> u64 {
        self.0.next_seq()
    }

    fn is_withheld(&self, record: &str, subject: &str) -> bool {
        let list = self.0.exclusions_if_any();
        list.is_some_and(|list| list.hides_uri(record) || list.hides_target(subject))
    }

    fn reader(&self, start: Start, forms: Forms) -> Result<Box<dyn StepReader>, IndexError> {
        loop {
            // Who asks knows what is live to whom.
            match Reader::open(&self.0, start, forms) {
                Ok(reader) => {
                    return Ok(Box::new(StoreReader {
                        store: self.0.clone(),
                        reader: reader.live_from(0),
                    }));
                }
                Err(error) if is_mended(&self.0, &error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

struct StoreReader {
    store: Store,
    reader: Reader,
}

impl StepReader for StoreReader {
    fn next_seq(&self) -> u64 {
        self.reader.next_seq()
    }

    fn tells_all_below(&self) -> u64 {
        self.reader.tells_all_below()
    }

    fn read(
        &mut self,
        most_events: usize,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read, IndexError> {
        match self.reader.read(most_events, before, each) {
            Ok(read) => Ok(read),
            // What is damaged is left out by the next read.
            Err(error) if is_mended(&self.store, &error) => Ok(Read::More),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
