//! Events as the tests hold them: owned, so that they can be delivered again.

/// One event of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since 1970; a multiple of 2,000 in generated events, so that bounds given in odd
    /// milliseconds never touch one.
    pub time_us: u64,
    pub did: String,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Commit {
        rev: u64,
        collection: String,
        rkey: String,
        operation: Operation,
    },
    Identity {
        seq: u64,
        handle: Option<String>,
    },
    Account {
        seq: u64,
        active: bool,
        status: Option<String>,
    },
}

/// What a commit did; records are JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Create(String),
    Update(String),
    Delete,
}

/// A record's name: DID, collection, record key.
pub type Key = (String, String, String);

/// What a system says about an event that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied; for a write, how many distinct (path, target) pairs the record holds.
    New { links: u32 },
    /// Newer than what was known, with the same links.
    Unchanged,
    /// Known already.
    Repeat,
}
