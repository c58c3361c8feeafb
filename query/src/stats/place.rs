//! Places in lists of stats, as opaque strings.

use std::fmt;
use std::str::FromStr;

use crate::error::CursorError;

/// A place in a list: behind the item with that value (of what the list falls by) and that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the list is in order of, if not of names alone.
    pub value: Option<u64>,
    /// Whether the item is a group of collections.
    pub is_group: bool,
    /// Its NSID, or the prefix of the group.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_group { 'g' } else { 'c' };
        match self.value {
            Some(value) => write!(f, "{kind}{value}~{}", self.name),
            None => write!(f, "{kind}~{}", self.name),
        }
    }
}

impl FromStr for Place {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (head, name) = text.split_once('~').ok_or(CursorError::Damaged)?;
        let (is_group, value) = match (head.strip_prefix('g'), head.strip_prefix('c')) {
            (Some(value), _) => (true, value),
            (_, Some(value)) => (false, value),
            _ => return Err(CursorError::Damaged),
        };
        let value = match value {
            "" => None,
            digits => Some(digits.parse().map_err(|_| CursorError::Damaged)?),
        };
        let place = Self {
            value,
            is_group,
            name: name.to_owned(),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_name) || place.to_string() != text {
            return Err(CursorError::Damaged);
        }
        Ok(place)
    }
}
