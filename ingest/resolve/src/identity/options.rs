//! What can be set about a resolver.

use std::time::Duration;

/// What can be set about a [`Resolver`](crate::Resolver).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverOptions {
    /// Base URL of the PLC directory.
    pub plc: String,
    /// Memory for what is known.
    pub memory_bytes: u64,
    /// Age from which a value is still served, and asked for anew in the background.
    pub refresh_after: Duration,
    /// Age from which a value is no longer served, even if the source is down.
    pub stale_most: Duration,
    /// How long "not found" and its like hold.
    pub negative: Duration,
    /// How long a source is left alone for a key after it could not be asked, where nothing is known.
    pub failure_pause: Duration,
    /// The same where a value is known; doubled after each failure.
    pub refresh_pause: Duration,
    /// What `refresh_pause` grows to.
    pub refresh_pause_most: Duration,
    /// What it grows to where the value is known to be doubtful or too old.
    pub doubtful_pause_most: Duration,
    /// Time for one look-up, from the first question to the last answer.
    pub ask_timeout: Duration,
    /// Most refreshes at a time, of documents and of handles each.
    pub refreshes: usize,
    /// Most look-ups at a time, of documents and of handles each, refreshes included.
    pub look_ups: usize,
    /// `did:web:localhost%3A<port>` is asked for, by http. For tests.
    pub allow_private: bool,
    /// Names under `.test` are resolved. For tests.
    pub allow_test: bool,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            plc: "https://plc.directory".to_owned(),
            memory_bytes: 64 << 20,
            refresh_after: Duration::from_secs(4 * 3600),
            stale_most: Duration::from_secs(7 * 24 * 3600),
            negative: Duration::from_secs(60),
            failure_pause: Duration::from_secs(3),
            refresh_pause: Duration::from_secs(10),
            refresh_pause_most: Duration::from_secs(3600),
            doubtful_pause_most: Duration::from_secs(30),
            ask_timeout: Duration::from_secs(15),
            refreshes: 32,
            look_ups: 4096,
            allow_private: false,
            allow_test: false,
        }
    }
}
