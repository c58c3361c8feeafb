//! What a record may hold, and how much of it.

use crate::cbor::Item;

/// Limits and rules for a record, in either form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Longest input in bytes. The output of [`cbor_to_json`](crate::cbor_to_json) may be 14 times as long.
    pub most_bytes: usize,
    /// Most levels of lists and maps, the record itself included; at most
    /// [`DEPTH_MOST`](crate::cbor::DEPTH_MOST).
    pub most_depth: usize,
    /// Takes numbers that are no integers, as floats of 64 bits.
    pub floats: bool,
    /// Checks what the data model says of fields with a dollar sign: `$type` is text and not empty, a blob has
    /// its fields, `$link` and `$bytes` are no fields of a map.
    pub types: bool,
}

impl Rules {
    /// What repositories are found to hold: floats and odd fields are taken. What has the right hash is the
    /// record, whatever it holds.
    pub const STORED: Self = Self {
        most_bytes: 2 << 20,
        most_depth: 64,
        floats: true,
        types: false,
    };
    /// What the data model allows in a new record.
    pub const DATA_MODEL: Self = Self {
        most_bytes: 1 << 20,
        most_depth: 32,
        floats: false,
        types: true,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::DATA_MODEL
    }
}

/// What was seen of a map's fields, for [`Rules::types`].
#[derive(Debug, Default)]
pub(crate) struct Fields {
    blob: bool,
    link: bool,
    mime: bool,
    size: bool,
}

impl Fields {
    /// Takes a field into account; what is wrong with it otherwise.
    pub(crate) fn note(&mut self, key: &str, value: &Item<'_>) -> Result<(), &'static str> {
        match (key, value) {
            ("$type", Item::Text("")) => return Err("a $type that is not empty"),
            ("$type", Item::Text(text)) => self.blob = *text == "blob",
            ("$type", _) => return Err("a $type that is text"),
            ("$link" | "$bytes", _) => return Err("no field of that name"),
            ("ref", Item::Link(_)) => self.link = true,
            ("mimeType", Item::Text(_)) => self.mime = true,
            ("size", Item::Integer(0..)) => self.size = true,
            _ => {}
        }
        Ok(())
    }

    /// Ends the map; what it lacks otherwise.
    pub(crate) const fn end(&self) -> Result<(), &'static str> {
        if self.blob && !(self.link && self.mime && self.size) {
            return Err("a blob with ref (a link), mimeType (text) and size (an integer)");
        }
        Ok(())
    }
}
