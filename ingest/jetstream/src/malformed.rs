//! The closed set of reasons for which a frame is not an event.
//!
//! Owns the names under which such frames are counted. The set is closed so that it can label a metric: no text from
//! the wire ever becomes part of a name.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal, $text:literal;)*) => {
        /// Why a frame could not be read as an event.
        ///
        /// The set is closed and each member has a stable [`reason`](Malformed::reason), fit for a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Malformed {
            $($(#[$doc])* $variant,)*
        }

        impl Malformed {
            /// Every reason, in order of declaration; [`index`](Self::index) is the place in this list.
            pub const ALL: &'static [Malformed] = &[$(Malformed::$variant,)*];

            /// The stable name of the reason.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Malformed::$variant => $name,)*
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Malformed::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The bytes are not UTF-8.
    BadUtf8 => "bad_utf8", "the frame is not UTF-8";
    /// The text is not one complete JSON value.
    BadJson => "bad_json", "the frame is not JSON";
    /// The JSON value is not an object.
    NotObject => "not_object", "the frame is JSON but not an object";
    /// A member of the envelope occurs twice.
    DuplicateMember => "duplicate_member", "a member of the event occurs twice";
    /// No `did`.
    MissingDid => "missing_did", "`did` is missing";
    /// `did` is not a string.
    BadDid => "bad_did", "`did` is not a string";
    /// No `time_us`.
    MissingTimeUs => "missing_time_us", "`time_us` is missing";
    /// `time_us` is not an unsigned 64-bit integer.
    BadTimeUs => "bad_time_us", "`time_us` is not an unsigned 64-bit integer";
    /// `cursor` is present but not an unsigned 64-bit integer.
    BadCursor => "bad_cursor", "`cursor` is not an unsigned 64-bit integer";
    /// No `kind`.
    MissingKind => "missing_kind", "`kind` is missing";
    /// `kind` is not a string.
    BadKind => "bad_kind", "`kind` is not a string";
    /// `kind` names none of the known kinds.
    UnknownKind => "unknown_kind", "`kind` is none of commit, identity, account";
    /// A commit event without its `commit` object.
    MissingCommit => "missing_commit", "a commit event has no `commit`";
    /// `commit` or one of its members has the wrong type.
    BadCommit => "bad_commit", "`commit` or a member of it has the wrong type";
    /// `commit` lacks `rev`, `collection` or `rkey`.
    IncompleteCommit => "incomplete_commit", "`commit` lacks `rev`, `collection` or `rkey`";
    /// `commit` lacks `operation`.
    MissingOperation => "missing_operation", "`commit.operation` is missing";
    /// `operation` is none of create, update, delete.
    BadOperation => "bad_operation", "`commit.operation` is none of create, update, delete";
    /// A create or update without a `record`.
    MissingRecord => "missing_record", "a create or update has no `record`";
    /// `record` is not an object.
    BadRecord => "bad_record", "`commit.record` is not an object";
    /// An identity event without its `identity` object.
    MissingIdentity => "missing_identity", "an identity event has no `identity`";
    /// `identity` lacks a member or a member has the wrong type.
    BadIdentity => "bad_identity", "`identity` lacks a member or one has the wrong type";
    /// An account event without its `account` object.
    MissingAccount => "missing_account", "an account event has no `account`";
    /// `account` lacks a member or a member has the wrong type.
    BadAccount => "bad_account", "`account` lacks a member or one has the wrong type";
}

impl Malformed {
    /// Place of the reason in [`ALL`](Self::ALL), for counters kept in an array.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_indexes_match_the_list() {
        let names: HashSet<_> = Malformed::ALL.iter().map(|m| m.reason()).collect();
        assert_eq!(names.len(), Malformed::ALL.len());
        for (index, reason) in Malformed::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
