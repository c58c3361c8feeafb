//! Names of records.

use std::cmp::Ordering;
use std::fmt;

/// The name of a record. One string holds all of it, as a page is made of a hundred of them and more.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// DID, collection and key, one behind the other.
    text: String,
    did_end: usize,
    collection_end: usize,
}

impl RecordId {
    /// The name of the record of an account at a key of a collection.
    #[must_use]
    pub fn new(did: &str, collection: &str, rkey: &str) -> Self {
        let mut text = String::with_capacity(did.len() + collection.len() + rkey.len());
        text.push_str(did);
        Self::behind(text, collection, rkey)
    }

    /// The same behind a DID that stands in the string already.
    pub(crate) fn behind(did: String, collection: &str, rkey: &str) -> Self {
        let did_end = did.len();
        let mut text = did;
        text.push_str(collection);
        let collection_end = text.len();
        text.push_str(rkey);
        Self {
            text,
            did_end,
            collection_end,
        }
    }

    fn part(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The account whose record it is.
    #[must_use]
    pub fn did(&self) -> &str {
        self.part(0, self.did_end)
    }

    /// Its collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        self.part(self.did_end, self.collection_end)
    }

    /// Its key in the collection.
    #[must_use]
    pub fn rkey(&self) -> &str {
        self.part(self.collection_end, self.text.len())
    }

    /// DID, collection and key as strings of their own; the DID takes over the memory of all.
    #[must_use]
    pub fn into_parts(self) -> (String, String, String) {
        let (collection, rkey) = (self.collection().to_owned(), self.rkey().to_owned());
        let mut did = self.text;
        did.truncate(self.did_end);
        (did, collection, rkey)
    }

    fn parts(&self) -> (&str, &str, &str) {
        (self.did(), self.collection(), self.rkey())
    }
}

impl Ord for RecordId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for RecordId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordId").field(&self.parts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::RecordId;

    #[test]
    fn the_parts_of_a_name_are_those_it_was_made_of() {
        let id = RecordId::new("did:web:ä", "a.b.c", "self");
        assert_eq!(
            (id.did(), id.collection(), id.rkey()),
            ("did:web:ä", "a.b.c", "self")
        );
        let owned = ["did:web:ä", "a.b.c", "self"].map(str::to_owned);
        assert_eq!(<[String; 3]>::from(id.into_parts()), owned);
        // The same text in other parts is another name, and the DID comes first in the order of names.
        let (short, long) = (RecordId::new("a", "bc", "z"), RecordId::new("ab", "c", "a"));
        assert_ne!(RecordId::new("ab", "c", "z"), short);
        assert!(short < long);
    }
}
