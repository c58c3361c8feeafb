//! Positions in an event stream.
//!
//! Owns the distinction between the two kinds of cursor a Jetstream server understands. A *time* cursor means about
//! the same on every server; a *sequence* cursor belongs to the one server that issued it. Nothing here decides which
//! of the two to resume from; see [`crate::Subscription`] for that.

use std::fmt;

/// First wire value that servers read as a time in microseconds. Everything below is a sequence number.
///
/// The split is the server's: 10^15 microseconds is September 2001, and no sequence is near it.
pub const TIME_CURSOR_MIN: u64 = 1_000_000_000_000_000;

/// A place in an event stream, in one of the two kinds servers accept.
///
/// Cursors are inclusive on the wire: the event at the cursor is sent again.
///
/// ```
/// use orrery_jetstream::Cursor;
///
/// assert_eq!(Cursor::from_wire(1_786_000_000_000_000), Cursor::TimeUs(1_786_000_000_000_000));
/// assert_eq!(Cursor::from_wire(42), Cursor::Seq(42));
/// assert_eq!(Cursor::Seq(42).to_string(), "seq 42");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// Unix time in microseconds, portable between servers to within their clocks.
    TimeUs(u64),
    /// A sequence number of one server; it means nothing on another.
    Seq(u64),
}

impl Cursor {
    /// Reads a bare integer the way servers do: below 10^15 a sequence number, else microseconds.
    pub const fn from_wire(value: u64) -> Self {
        if value < TIME_CURSOR_MIN {
            Self::Seq(value)
        } else {
            Self::TimeUs(value)
        }
    }

    /// The integer as sent in the `cursor` query parameter.
    pub const fn value(self) -> u64 {
        match self {
            Self::TimeUs(value) | Self::Seq(value) => value,
        }
    }

    /// Whether servers would read this cursor's integer as the kind it claims to be.
    ///
    /// A time before 2001 or a sequence of 10^15 or more is silently taken for the other kind, so a configuration
    /// holding one is refused.
    pub const fn is_representable(self) -> bool {
        match self {
            Self::TimeUs(value) => value >= TIME_CURSOR_MIN,
            Self::Seq(value) => value < TIME_CURSOR_MIN,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeUs(value) => write!(f, "time {value} us"),
            Self::Seq(value) => write!(f, "seq {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_between_kinds_is_at_ten_to_the_fifteenth() {
        assert_eq!(
            Cursor::from_wire(TIME_CURSOR_MIN - 1),
            Cursor::Seq(TIME_CURSOR_MIN - 1)
        );
        assert_eq!(
            Cursor::from_wire(TIME_CURSOR_MIN),
            Cursor::TimeUs(TIME_CURSOR_MIN)
        );
    }

    #[test]
    fn a_cursor_the_server_would_misread_is_not_representable() {
        assert!(!Cursor::TimeUs(5).is_representable());
        assert!(!Cursor::Seq(TIME_CURSOR_MIN).is_representable());
        assert!(Cursor::Seq(0).is_representable());
        assert!(Cursor::TimeUs(TIME_CURSOR_MIN).is_representable());
    }
}
