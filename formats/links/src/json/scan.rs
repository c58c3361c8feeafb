//! The scanner: one pass over a record that validates it as JSON (RFC 8259) and fills the tape. It does
//! not recurse. Containers below the depth limit are validated, but leave only an empty container on the
//! tape, by which the walk sees that something was cut.

use super::strings::{RawString, may_have_scheme};
use super::tape::{Entry, Kind, Span, TapeNode, Texts};
use crate::error::{ExtractError, Found};

/// Objects with at most this many members look for a repeated key by comparing with each member before;
/// larger ones sort their keys once, when they close.
const MEMBERS_COMPARED_MAX: u32 = 32;

/// Entries, stack frames and bytes kept from one record to the next.
const RETAINED_MAX: usize = 1 << 17;

/// Longest record: spans have 32 bits.
const RECORD_BYTES_MAX: usize = u32::MAX as usize;

const VALUE: &str = "a value";

/// The buffers of the scanner, kept between records.
#[derive(Debug, Default)]
pub(crate) struct JsonScratch {
    tape: Vec<Entry>,
    decoded: String,
    frames: Vec<Frame>,
    /// Whether each open container below the depth limit is an object.
    deep: Vec<bool>,
    /// Members of one large object, while its keys are sorted.
    members: Vec<u32>,
}

/// An open container.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Its place on the tape.
    place: u32,
    is_object: bool,
    members: u32,
    /// One bit for each key, so that most keys are known to be new without looking.
    keys_seen: u64,
    /// Whether repeated keys are still to be looked for.
    unsorted: bool,
}

impl JsonScratch {
    /// Scans a record; the node given is its outermost value. Containers deeper than `depth_max` are
    /// passed over.
    pub(crate) fn scan<'v>(
        &'v mut self,
        record: &'v str,
        depth_max: usize,
    ) -> Result<TapeNode<'v>, ExtractError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(ExtractError::TooLarge {
                bytes: record.len(),
                bytes_max: RECORD_BYTES_MAX,
            });
        }
        self.tape.clear();
        self.tape.shrink_to(RETAINED_MAX);
        self.decoded.clear();
        self.decoded.shrink_to(RETAINED_MAX);
        self.frames.clear();
        self.deep.clear();
        self.deep.shrink_to(RETAINED_MAX);
        self.members.shrink_to(RETAINED_MAX);
        let mut scanner = Scanner {
            record,
            bytes: record.as_bytes(),
            at: 0,
            tape: &mut self.tape,
            decoded: &mut self.decoded,
            frames: &mut self.frames,
            deep: &mut self.deep,
            members: &mut self.members,
            depth_max,
        };
        scanner.document()?;
        Ok(TapeNode::new(
            &self.tape,
            Texts {
                record,
                decoded: &self.decoded,
            },
        ))
    }
}

pub(super) struct Scanner<'s> {
    pub(super) record: &'s str,
    pub(super) bytes: &'s [u8],
    /// Offset of the next byte to look at.
    pub(super) at: usize,
    tape: &'s mut Vec<Entry>,
    pub(super) decoded: &'s mut String,
    frames: &'s mut Vec<Frame>,
    deep: &'s mut Vec<bool>,
    members: &'s mut Vec<u32>,
    depth_max: usize,
}

impl Scanner<'_> {
    /// The error that `expected` is not at `offset`.
    #[cold]
    pub(super) fn error_at(&self, offset: usize, expected: &'static str) -> ExtractError {
        let rest = self.record.get(offset..).unwrap_or_default();
        let found = rest.chars().next().map_or(Found::End, Found::Character);
        ExtractError::Json {
            offset,
            expected,
            found,
        }
    }

    /// Skips white space; the byte after it, `None` at the end.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ExtractError> {
        if self.next() != Some(byte) {
            return Err(self.error_at(self.at, expected));
        }
        self.at += 1;
        Ok(())
    }

    fn document(&mut self) -> Result<(), ExtractError> {
        // Where the outermost value is no container, an entry stands for it all the same, so that the
        // caller can tell a string from a number.
        let mut key = Span::EMPTY;
        'value: loop {
            let opened = self.value(key)?;
            if opened && !self.first_in_container(&mut key)? {
                self.close();
            } else if opened {
                continue 'value;
            }
            while let Some(frame) = self.frames.last() {
                let is_object = frame.is_object;
                match self.next() {
                    Some(b',') => {
                        self.at += 1;
                        key = if is_object { self.key()? } else { Span::EMPTY };
                        continue 'value;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return Err(self.error_at(self.at, after_value(is_object))),
                }
                self.close();
            }
            break;
        }
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.error_at(self.at, "nothing after the record")),
        }
    }

    /// Looks at what follows the opening of the innermost container: whether there is a first value,
    /// whose key is put into `key`. The position stays at the closing bracket where there is none.
    #[inline]
    fn first_in_container(&mut self, key: &mut Span) -> Result<bool, ExtractError> {
        let is_object = self.frames.last().is_some_and(|frame| frame.is_object);
        *key = Span::EMPTY;
        match self.next() {
            Some(b'}') if is_object => Ok(false),
            Some(b']') if !is_object => Ok(false),
            Some(b'"') if is_object => {
                *key = self.key()?;
                Ok(true)
            }
            _ if is_object => Err(self.error_at(self.at, "a member name or `}`")),
            _ => Ok(true),
        }
    }

    /// Reads the value under `key`; true when it is a container that is now open.
    #[inline]
    fn value(&mut self, key: Span) -> Result<bool, ExtractError> {
        let in_object = self.frames.last().is_some_and(|frame| frame.is_object);
        let is_type = in_object && self.key_is_type(key);
        let mut text = Span::EMPTY;
        let kind = match self.next() {
            Some(b'"') => {
                let (span, may_be_link) = self.text(is_type || self.frames.is_empty())?;
                text = span;
                match (may_be_link, is_type || self.frames.is_empty()) {
                    (true, _) => Kind::Text,
                    (false, true) => Kind::PlainText,
                    (false, false) => Kind::Other,
                }
            }
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(_) => {
                self.scalar()?;
                Kind::Other
            }
            None => return Err(self.error_at(self.at, VALUE)),
        };
        // Elements that give nothing need no place; members do, for they may override others.
        if kind == Kind::Other && !in_object {
            return Ok(false);
        }
        let place = self.place();
        if in_object {
            self.member(key, place, is_type);
        }
        self.tape.push(Entry {
            kind,
            key,
            text,
            entries: 1,
            type_at: 0,
        });
        if !matches!(kind, Kind::Object | Kind::Array) {
            return Ok(false);
        }
        if self.frames.len() >= self.depth_max {
            self.skip_container()?;
            return Ok(false);
        }
        self.at += 1;
        let is_object = kind == Kind::Object;
        self.frames.push(Frame {
            place,
            is_object,
            members: 0,
            keys_seen: 0,
            unsorted: false,
        });
        Ok(true)
    }

    /// Where the next entry will be. There are fewer entries than bytes in the record.
    #[inline]
    fn place(&self) -> u32 {
        u32::try_from(self.tape.len()).unwrap_or(u32::MAX)
    }

    /// Closes the innermost container; the position is at its closing bracket.
    #[inline]
    fn close(&mut self) {
        self.at += 1;
        let end = self.place();
        if let Some(frame) = self.frames.pop() {
            if let Some(entry) = self.tape.get_mut(frame.place as usize) {
                entry.entries = end - frame.place;
            }
            if frame.unsorted {
                self.sort_members(frame.place);
            }
        }
    }

    /// Reads a member name and the colon after it.
    #[inline]
    fn key(&mut self) -> Result<Span, ExtractError> {
        if self.next() != Some(b'"') {
            return Err(self.error_at(self.at, "a member name"));
        }
        let raw = self.raw_string()?;
        let span = if raw.escaped {
            self.decode(&raw)?
        } else {
            span(raw.start, raw.end, false)
        };
        self.expect(b':', "`:` after the member name")?;
        Ok(span)
    }

    /// Reads a string value: where its text is, and whether it may be a link. The text of one that may
    /// not is only given when `keep` says so.
    #[inline]
    fn text(&mut self, keep: bool) -> Result<(Span, bool), ExtractError> {
        let raw = self.raw_string()?;
        let start = self.bytes.get(raw.start..raw.end).unwrap_or_default();
        if !raw.escaped {
            let may_be_link = raw.colon && may_have_scheme(start);
            return Ok((span(raw.start, raw.end, false), may_be_link));
        }
        if !keep && !may_have_scheme(start) {
            self.escaped_rest::<false>()?;
            return Ok((Span::EMPTY, false));
        }
        let span = self.decode(&raw)?;
        let text = self.decoded.get(span.start as usize..).unwrap_or_default();
        let may_be_link = may_have_scheme(text.as_bytes());
        if !may_be_link && !keep {
            self.decoded.truncate(span.start as usize);
        }
        Ok((span, may_be_link))
    }

    /// Decodes a string with escapes into the buffer for them; the position is at the first one.
    fn decode(&mut self, raw: &RawString) -> Result<Span, ExtractError> {
        let start = self.decoded.len();
        self.decoded
            .push_str(self.record.get(raw.start..raw.end).unwrap_or_default());
        self.escaped_rest::<true>()?;
        Ok(span(start, self.decoded.len(), true))
    }

    /// Reads a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<(), ExtractError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        for word in [&b"true"[..], b"false", b"null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        match rest.first() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error_at(self.at, VALUE)),
        }
    }

    fn number(&mut self) -> Result<(), ExtractError> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), ExtractError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return Err(self.error_at(self.at, "a digit"));
        }
        self.at += len;
        Ok(())
    }

    /// Validates a container without keeping anything of it, however deep it goes.
    fn skip_container(&mut self) -> Result<(), ExtractError> {
        self.deep.clear();
        loop {
            // A value, and after it the brackets that close.
            match self.next() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    let is_object = open == b'{';
                    self.deep.push(is_object);
                    match self.next() {
                        Some(b'}') if is_object => {}
                        Some(b']') if !is_object => {}
                        Some(b'"') if is_object => {
                            self.skip_key()?;
                            continue;
                        }
                        _ if is_object => {
                            return Err(self.error_at(self.at, "a member name or `}`"));
                        }
                        _ => continue,
                    }
                }
                Some(b'"') => self.skip_string()?,
                Some(_) => self.scalar()?,
                None => return Err(self.error_at(self.at, VALUE)),
            }
            loop {
                let Some(&is_object) = self.deep.last() else {
                    return Ok(());
                };
                match self.next() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return Err(self.error_at(self.at, after_value(is_object))),
                }
                self.at += 1;
                self.deep.pop();
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), ExtractError> {
        if self.raw_string()?.escaped {
            self.escaped_rest::<false>()?;
        }
        Ok(())
    }

    fn skip_key(&mut self) -> Result<(), ExtractError> {
        if self.next() != Some(b'"') {
            return Err(self.error_at(self.at, "a member name"));
        }
        self.skip_string()?;
        self.expect(b':', "`:` after the member name")
    }

    #[inline]
    fn key_text(&self, key: Span) -> &str {
        Texts {
            record: self.record,
            decoded: self.decoded,
        }
        .get(key)
    }

    #[inline]
    fn key_is_type(&self, key: Span) -> bool {
        key.end - key.start == 5 && self.key_text(key) == "$type"
    }

    /// Notes a member of the innermost object, which is about to go to `place`, and marks an earlier
    /// one of the same key.
    #[inline]
    fn member(&mut self, key: Span, place: u32, is_type: bool) {
        let bit = 1u64 << (key_hash(self.key_text(key).as_bytes()) & 63);
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let object = frame.place;
        let seen = frame.keys_seen & bit != 0;
        frame.keys_seen |= bit;
        frame.members += 1;
        let many = frame.members > MEMBERS_COMPARED_MAX;
        frame.unsorted |= seen && many;
        if seen && !many {
            self.supersede_before(object, key, place);
        }
        if is_type && let Some(entry) = self.tape.get_mut(object as usize) {
            entry.type_at = place - object;
        }
    }

    /// Marks the member of `object` that has the same key as the one about to go to `place`.
    fn supersede_before(&mut self, object: u32, key: Span, place: u32) {
        let texts = Texts {
            record: self.record,
            decoded: self.decoded,
        };
        let key = texts.get(key);
        let mut at = object + 1;
        while at < place {
            let Some(entry) = self.tape.get_mut(at as usize) else {
                return;
            };
            if entry.kind != Kind::Superseded && texts.get(entry.key) == key {
                entry.kind = Kind::Superseded;
                return;
            }
            at += entry.entries;
        }
    }

    /// Marks all members of a large object that a later one overrides.
    #[cold]
    fn sort_members(&mut self, object: u32) {
        let texts = Texts {
            record: self.record,
            decoded: self.decoded,
        };
        let key = |tape: &[Entry], place: u32| {
            tape.get(place as usize)
                .map(|entry| texts.get(entry.key))
                .unwrap_or_default()
        };
        self.members.clear();
        let mut at = object + 1;
        let end = self.place();
        while at < end {
            self.members.push(at);
            at += self.tape.get(at as usize).map_or(1, |entry| entry.entries);
        }
        let tape = &mut *self.tape;
        self.members
            .sort_unstable_by(|&a, &b| key(tape, a).cmp(key(tape, b)).then(a.cmp(&b)));
        for pair in self.members.windows(2) {
            let &[earlier, later] = pair else { continue };
            if key(tape, earlier) == key(tape, later)
                && let Some(entry) = tape.get_mut(earlier as usize)
            {
                entry.kind = Kind::Superseded;
            }
        }
    }
}

/// Spreads keys over the bits of [`Frame::keys_seen`]; nothing depends on how well.
#[inline]
fn key_hash(key: &[u8]) -> usize {
    let first = usize::from(key.first().copied().unwrap_or(0));
    let last = usize::from(key.last().copied().unwrap_or(0));
    let second = usize::from(key.get(1).copied().unwrap_or(0));
    first.wrapping_mul(7)
        ^ last.wrapping_mul(13)
        ^ second.wrapping_mul(29)
        ^ key.len().wrapping_mul(3)
}

/// A span; offsets fit, because the record does, and decoded text is shorter than what it came from.
#[inline]
fn span(start: usize, end: usize, decoded: bool) -> Span {
    Span {
        start: start as u32,
        end: end as u32,
        decoded,
    }
}

fn after_value(is_object: bool) -> &'static str {
    if is_object {
        "`,` or `}`"
    } else {
        "`,` or `]`"
    }
}
