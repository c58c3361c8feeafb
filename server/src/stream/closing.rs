//! Why a subscription ends, as a close frame tells it: a code of RFC 6455 and a reason of at most 123 bytes.

use std::time::Duration;

/// What a close frame has room for.
const REASON_MAX: usize = 123;

/// The kind of those that are read too slowly.
pub(super) const SLOW: &str = "slow";

/// A code and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    code: u16,
    reason: String,
    /// For the count of subscriptions by their end.
    kind: &'static str,
}

impl Closing {
    fn new(code: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = REASON_MAX.min(reason.len());
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason, kind }
    }

    /// A message that is none, or options over a limit.
    pub(crate) fn bad_options(why: impl std::fmt::Display) -> Self {
        Self::new(1008, "options", why.to_string())
    }

    pub(crate) fn too_slow(frames: usize, age: Duration) -> Self {
        let seconds = age.as_secs_f64();
        let reason = format!("too slow: {frames} links waited, the oldest for {seconds:.1} s");
        Self::new(1013, SLOW, reason)
    }

    pub(crate) fn filters_full() -> Self {
        Self::new(
            1013,
            "filters",
            "the filters of all subscribers are full; try fewer values, or later",
        )
    }

    pub(crate) fn message_unfinished(limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        Self::new(
            1008,
            "options",
            format!("a message took longer than {seconds} s"),
        )
    }

    pub(crate) fn intake_busy() -> Self {
        Self::new(
            1013,
            "busy",
            "the messages of others left no room for one; try again later",
        )
    }

    pub(crate) fn slow_replay(limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        let reason = format!("too slow: a part of what was missed took longer than {seconds} s");
        Self::new(1013, SLOW, reason)
    }

    pub(crate) fn no_pong() -> Self {
        Self::new(1008, "pong", "the last ping was not answered")
    }

    pub(crate) fn shutdown() -> Self {
        Self::new(1001, "shutdown", "the server is shutting down")
    }

    pub(crate) fn failed() -> Self {
        Self::new(
            1011,
            "failed",
            "the index failed; the log of the server says why",
        )
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let reason = format!("a message is longer than {limit} bytes");
        Self::new(1009, "protocol", reason)
    }

    pub(crate) fn not_text() -> Self {
        Self::new(1007, "protocol", "a text message is not valid UTF-8")
    }

    pub(crate) fn protocol(why: impl std::fmt::Display) -> Self {
        Self::new(1002, "protocol", why.to_string())
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        let closing = Closing::bad_options("é".repeat(100));
        assert_eq!(closing.reason(), "é".repeat(61));
        for closing in [
            Closing::filters_full(),
            Closing::intake_busy(),
            Closing::slow_replay(Duration::from_millis(12_345)),
        ] {
            assert!(closing.reason().len() < REASON_MAX);
        }
    }
}
