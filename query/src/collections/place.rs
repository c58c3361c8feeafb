//! Places in lists of collections, as opaque lower-case hex: one tag (the kind of list), the value by which the list
//! is ordered as eight bytes, one that tells a group from a collection, the name, and three bytes of XXH3 over all
//! before. A place is by value and name, not an index: collections that come and go shift nothing.

use std::cmp::{Ordering, Reverse};
use std::fmt::{self, Write as _};
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Order;
use crate::cursor::nibble;
use crate::error::CursorError;

/// Separates the checksum from other uses of the hash; part of what a cursor is.
const CHECK_SEED: u64 = 0x6f72_7265_7279_0002;
const CHECK_BYTES: usize = 3;
/// Bytes before the name: tag, value, group.
const HEAD_BYTES: usize = 1 + 8 + 1;
/// More than any name of a collection has.
const NAME_BYTES_MAX: usize = 512;

/// The kinds of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ListOf {
    Collections(Order),
    Children(Order),
    Matches,
}

impl ListOf {
    const ALL: [Self; 7] = [
        Self::Collections(Order::Name),
        Self::Collections(Order::RecordsCreated),
        Self::Collections(Order::DidsEstimate),
        Self::Children(Order::Name),
        Self::Children(Order::RecordsCreated),
        Self::Children(Order::DidsEstimate),
        Self::Matches,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Collections(Order::Name) => "collections by name",
            Self::Collections(Order::RecordsCreated) => "collections by records",
            Self::Collections(Order::DidsEstimate) => "collections by accounts",
            Self::Children(Order::Name) => "children by name",
            Self::Children(Order::RecordsCreated) => "children by records",
            Self::Children(Order::DidsEstimate) => "children by accounts",
            Self::Matches => "matches",
        }
    }

    fn tag(self) -> u8 {
        let place = Self::ALL.iter().position(|list| *list == self);
        place.map_or(0, |place| place as u8 + 1)
    }
}

/// A place. Places are in the order of lists: by value, greatest first, then by name, and a collection before the group of its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) value: u64,
    pub(super) name: String,
    pub(super) is_group: bool,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |place: &Self| Reverse(place.value);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.name.cmp(&other.name))
            .then(self.is_group.cmp(&other.is_group))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a page of a list of collections ended. Give it back with the same question to get what follows. Shown and
/// read as lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameCursor {
    list: ListOf,
    place: Place,
}

impl NameCursor {
    pub(super) fn new(list: ListOf, place: Place) -> Self {
        Self { list, place }
    }

    /// The place, if the cursor is one of this list.
    pub(super) fn place(&self, list: ListOf) -> Result<&Place, CursorError> {
        if self.list == list {
            return Ok(&self.place);
        }
        Err(CursorError::OtherList {
            found: self.list.name(),
            expected: list.name(),
        })
    }
}

impl fmt::Display for NameCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.place.name.len() + CHECK_BYTES);
        bytes.push(self.list.tag());
        bytes.extend_from_slice(&self.place.value.to_be_bytes());
        bytes.push(u8::from(self.place.is_group));
        bytes.extend_from_slice(self.place.name.as_bytes());
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        let mut text = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            write!(text, "{byte:02x}")?;
        }
        f.pad(&text)
    }
}

impl FromStr for NameCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.as_bytes();
        let bytes_max = HEAD_BYTES + NAME_BYTES_MAX + CHECK_BYTES;
        if digits.is_empty() || digits.len() > 2 * bytes_max || !digits.len().is_multiple_of(2) {
            return Err(CursorError::NotHex);
        }
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        for pair in digits.chunks_exact(2) {
            let &[high, low] = pair else {
                return Err(CursorError::NotHex);
            };
            bytes.push(nibble(high)? << 4 | nibble(low)?);
        }
        decode(&bytes).ok_or(CursorError::Damaged)
    }
}

fn decode(bytes: &[u8]) -> Option<NameCursor> {
    let (body, found) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
    if check(body) != *found {
        return None;
    }
    let (&tag, rest) = body.split_first()?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    let (&group, name) = rest.split_first()?;
    Some(NameCursor {
        list: *ListOf::ALL.get(usize::from(tag).checked_sub(1)?)?,
        place: Place {
            value: u64::from_be_bytes(*value),
            name: String::from_utf8(name.to_vec()).ok()?,
            is_group: match group {
                0 => false,
                1 => true,
                _ => return None,
            },
        },
    })
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, ..] = xxh3_64_with_seed(bytes, CHECK_SEED).to_le_bytes();
    [a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_belong_to_one_list() {
        let place = Place {
            value: 1 << 40,
            name: "app.bsky.feed".into(),
            is_group: true,
        };
        for list in ListOf::ALL {
            let cursor = NameCursor::new(list, place.clone());
            let again: NameCursor = cursor.to_string().parse().unwrap();
            assert_eq!(again, cursor);
            for other in ListOf::ALL {
                assert_eq!(again.place(other).is_ok(), list == other);
            }
        }
    }

    #[test]
    fn what_no_answer_gave_is_no_cursor() {
        for text in [
            "",
            "a",
            "YQ",
            "zz",
            "AB",
            "ab",
            &"0".repeat(28),
            &"ab".repeat(600),
        ] {
            assert!(text.parse::<NameCursor>().is_err(), "{text}");
        }
        let place = Place {
            value: 7,
            name: "a.b.c".into(),
            is_group: false,
        };
        let text = NameCursor::new(ListOf::Matches, place).to_string();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                changed.parse::<NameCursor>(),
                Err(CursorError::Damaged),
                "{at}"
            );
        }
    }
}
