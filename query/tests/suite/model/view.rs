//! What can be asked of a system at one moment. The model and the real engine both answer it, and the
//! answers are compared as values.

use super::event::{Event, Key, Outcome};

/// A question about the links of one source to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub target: String,
    pub collection: String,
    /// With its leading dot.
    pub path: String,
    /// Only records of these authors.
    pub dids: Option<Vec<String>>,
    pub since_us: Option<u64>,
    pub until_us: Option<u64>,
}

/// The far side of a many-to-many question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    pub path: String,
    pub subjects: Option<Vec<String>>,
}

/// A list that was paged through to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The total that each page told; one value, where all agree.
    pub totals: Vec<u64>,
    /// The pages; a walk ends with the page that has no cursor.
    pub pages: Vec<Vec<T>>,
}

impl<T: Clone> Listing<T> {
    /// The listing that a correct system gives: full pages, then the rest, no empty page behind them.
    pub fn of(total: u64, items: &[T], limit: u32) -> Self {
        let mut pages: Vec<Vec<T>> = items.chunks(limit as usize).map(<[T]>::to_vec).collect();
        if pages.is_empty() {
            pages.push(Vec::new());
        }
        Self {
            totals: vec![total],
            pages,
        }
    }

    /// The same for a list whose total no page tells.
    pub fn untold(items: &[T], limit: u32) -> Self {
        Self {
            totals: Vec::new(),
            ..Self::of(0, items, limit)
        }
    }

    pub fn items(&self) -> Vec<T> {
        self.pages.concat()
    }
}

/// Counts of one (collection, path) of a target: records, distinct DIDs.
pub type SourceCounts = (String, String, u64, u64);

/// A system at one moment.
pub trait View {
    fn count(&self, question: &Question) -> u64;
    fn count_distinct(&self, question: &Question) -> u64;
    fn records(&self, question: &Question, reverse: bool, limit: u32) -> Listing<Key>;
    fn distinct_dids(&self, question: &Question, reverse: bool, limit: u32) -> Listing<String>;
    fn all(&self, target: &str) -> Vec<SourceCounts>;
    fn all_counts(&self, target: &str) -> Vec<(String, String, u64)>;
    fn many(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(Key, String)>;
    fn many_counts(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(String, u64, u64)>;
    /// Live records with links, live links.
    fn totals(&self) -> (u64, u64);
}

/// A system that takes events.
pub trait System {
    fn apply(&mut self, event: &Event) -> Outcome;
    fn view(&self) -> Box<dyn View>;
    /// Makes everything durable.
    fn commit(&mut self) {}
    /// Closes the current segment.
    fn seal(&mut self) {}
    /// Merges segments, if the policy says so.
    fn merge(&mut self) {}
    /// Merges all segments into one.
    fn compact(&mut self) {}
    /// Stops cleanly and starts again.
    fn restart(&mut self) {}
}
