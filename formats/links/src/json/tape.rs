//! The tape: the parts of a JSON record that matter for links, in document order, in one flat vector
//! that is reused from record to record. Values that can never be links are not on it, except where
//! they must stand in for a member, because a later member of the same key overrides an earlier one.

use crate::node::{Node, View};

/// Kind of a value on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string that may be a link.
    Text,
    /// The string of a `$type` that cannot be a link.
    PlainText,
    Object,
    Array,
    /// Anything that gives no link.
    Other,
    /// A member that a later one of the same key overrides.
    Superseded,
}

/// A range of text: of the record, or, where it had escapes, of the buffer of decoded strings.
/// Records are at most 4 GiB long, so 32 bits do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) decoded: bool,
}

impl Span {
    pub(super) const EMPTY: Self = Self {
        start: 0,
        end: 0,
        decoded: false,
    };
}

/// One value, with the key under which it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// The key; empty for elements.
    pub(super) key: Span,
    /// The text of a string.
    pub(super) text: Span,
    /// Entries of this value and all in it: the distance to the next sibling.
    pub(super) entries: u32,
    /// Distance to the member `$type` of an object; 0 where it has none.
    pub(super) type_at: u32,
}

/// The two buffers of text that spans point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'v> {
    pub(super) record: &'v str,
    pub(super) decoded: &'v str,
}

impl<'v> Texts<'v> {
    #[inline]
    pub(super) fn get(self, span: Span) -> &'v str {
        let text = if span.decoded {
            self.decoded
        } else {
            self.record
        };
        text.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

/// A value of a scanned record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapeNode<'v> {
    /// The tape from this value on; empty only for a tape that is no record.
    tape: &'v [Entry],
    texts: Texts<'v>,
}

impl<'v> TapeNode<'v> {
    pub(super) fn new(tape: &'v [Entry], texts: Texts<'v>) -> Self {
        Self { tape, texts }
    }
}

/// Goes over what is directly in a container.
#[derive(Debug, Clone)]
pub(crate) struct Children<'v> {
    tape: &'v [Entry],
    texts: Texts<'v>,
}

impl<'v> Children<'v> {
    fn of(container: &Entry, node: TapeNode<'v>) -> Self {
        let tape = node
            .tape
            .get(1..container.entries as usize)
            .unwrap_or_default();
        Self {
            tape,
            texts: node.texts,
        }
    }
}

impl<'v> Iterator for Children<'v> {
    type Item = TapeNode<'v>;

    #[inline]
    fn next(&mut self) -> Option<TapeNode<'v>> {
        let node = TapeNode {
            tape: self.tape,
            texts: self.texts,
        };
        let entry = self.tape.first()?;
        self.tape = self.tape.get(entry.entries as usize..).unwrap_or_default();
        Some(node)
    }
}

/// Goes over the members of an object, superseded ones left out.
#[derive(Debug, Clone)]
pub(crate) struct Members<'v>(Children<'v>);

impl<'v> Iterator for Members<'v> {
    type Item = (&'v str, TapeNode<'v>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.0.next()?;
            let entry = node.tape.first()?;
            // A value that is no link needs no key either.
            if !matches!(entry.kind, Kind::Superseded | Kind::Other | Kind::PlainText) {
                return Some((node.texts.get(entry.key), node));
            }
        }
    }
}

impl<'v> Node<'v> for TapeNode<'v> {
    type Members = Members<'v>;
    type Elements = Children<'v>;

    #[inline]
    fn view(self) -> View<'v, Self> {
        let Some(entry) = self.tape.first() else {
            return View::Other;
        };
        match entry.kind {
            Kind::Text => View::Text(self.texts.get(entry.text)),
            Kind::PlainText => View::PlainText(self.texts.get(entry.text)),
            Kind::Object => View::Object(Members(Children::of(entry, self))),
            Kind::Array => View::Array(Children::of(entry, self)),
            Kind::Other | Kind::Superseded => View::Other,
        }
    }

    #[inline]
    fn type_name(self) -> Option<&'v str> {
        let object = self
            .tape
            .first()
            .filter(|entry| entry.kind == Kind::Object && entry.type_at > 0)?;
        let value = self.tape.get(object.type_at as usize)?;
        matches!(value.kind, Kind::Text | Kind::PlainText).then(|| self.texts.get(value.text))
    }
}
