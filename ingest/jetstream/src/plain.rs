//! The usual frame, read in one pass: an object as servers write it, members in any order, no escape in a string of the
//! envelope. Whatever is not just that is left to the reader that takes all of JSON, so nothing here names an error, and
//! what is read here is read alike there.
//!
//! A record is checked to be JSON and passed over. Strings are looked at sixteen bytes at a time.

use std::borrow::Cow;

use crate::event::{Account, Commit, Event, Identity, Kind, Operation};

/// Containers within each other that are followed in a record.
const DEPTH_MAX: u32 = 64;

/// The event of a frame of the usual form; `None` for any other.
pub(crate) fn read(text: &str) -> Option<Event<'_>> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    let event = reader.event()?;
    (reader.next().is_none()).then_some(event)
}

#[derive(Default)]
struct Members<'a> {
    did: Option<&'a str>,
    time_us: Option<u64>,
    cursor: Option<u64>,
    kind: Option<&'a str>,
    commit: Option<Commit<'a>>,
    identity: Option<Identity<'a>>,
    account: Option<Account<'a>>,
}

#[derive(Default)]
struct CommitMembers<'a> {
    rev: Option<&'a str>,
    operation: Option<&'a str>,
    collection: Option<&'a str>,
    rkey: Option<&'a str>,
    record: Option<&'a str>,
    cid: Option<&'a str>,
}

/// The members of an account or identity object.
#[derive(Default)]
struct AccountMembers<'a> {
    did: Option<&'a str>,
    seq: Option<u64>,
    time: Option<&'a str>,
    handle: Option<&'a str>,
    active: Option<bool>,
    status: Option<&'a str>,
}

/// Notes a member, unless it is there already: which of two counts is not decided here.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    match place {
        Some(_) => None,
        None => {
            *place = Some(value?);
            Some(())
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
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
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Reads an object and gives each of its names, behind which the position is at the value, to `member`.
    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            match self.next()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn event(&mut self) -> Option<Event<'a>> {
        let mut members = Members::default();
        self.object(|reader, name| match name {
            "did" => once(&mut members.did, reader.string()),
            "time_us" => once(&mut members.time_us, reader.unsigned()),
            "cursor" => once(&mut members.cursor, reader.unsigned()),
            "kind" => once(&mut members.kind, reader.string()),
            "commit" => once(&mut members.commit, reader.commit()),
            "identity" => once(&mut members.identity, reader.identity()),
            "account" => once(&mut members.account, reader.account()),
            _ => None,
        })?;
        let kind = match members.kind? {
            "commit" => Kind::Commit(members.commit?),
            "identity" => Kind::Identity(members.identity?),
            "account" => Kind::Account(members.account?),
            _ => return None,
        };
        Some(Event {
            did: Cow::Borrowed(members.did?),
            time_us: members.time_us?,
            cursor: members.cursor,
            kind,
        })
    }

    fn commit(&mut self) -> Option<Commit<'a>> {
        let mut members = CommitMembers::default();
        self.object(|reader, name| match name {
            "rev" => once(&mut members.rev, reader.string()),
            "operation" => once(&mut members.operation, reader.string()),
            "collection" => once(&mut members.collection, reader.string()),
            "rkey" => once(&mut members.rkey, reader.string()),
            "record" => once(&mut members.record, reader.record()),
            "cid" => once(&mut members.cid, reader.string()),
            _ => None,
        })?;
        let cid = members.cid.map(Cow::Borrowed);
        let operation = match members.operation? {
            "create" => Operation::Create {
                record: members.record?,
                cid,
            },
            "update" => Operation::Update {
                record: members.record?,
                cid,
            },
            "delete" => Operation::Delete,
            _ => return None,
        };
        Some(Commit {
            rev: Cow::Borrowed(members.rev?),
            collection: Cow::Borrowed(members.collection?),
            rkey: Cow::Borrowed(members.rkey?),
            operation,
        })
    }

    fn identity(&mut self) -> Option<Identity<'a>> {
        let mut members = AccountMembers::default();
        self.object(|reader, name| match name {
            "did" => once(&mut members.did, reader.string()),
            "seq" => once(&mut members.seq, reader.unsigned()),
            "time" => once(&mut members.time, reader.string()),
            "handle" => once(&mut members.handle, reader.string()),
            _ => None,
        })?;
        Some(Identity {
            did: Cow::Borrowed(members.did?),
            seq: members.seq?,
            time: Cow::Borrowed(members.time?),
            handle: members.handle.map(Cow::Borrowed),
        })
    }

    fn account(&mut self) -> Option<Account<'a>> {
        let mut members = AccountMembers::default();
        self.object(|reader, name| match name {
            "did" => once(&mut members.did, reader.string()),
            "seq" => once(&mut members.seq, reader.unsigned()),
            "time" => once(&mut members.time, reader.string()),
            "active" => once(&mut members.active, reader.boolean()),
            "status" => once(&mut members.status, reader.string()),
            _ => None,
        })?;
        Some(Account {
            did: Cow::Borrowed(members.did?),
            seq: members.seq?,
            time: Cow::Borrowed(members.time?),
            active: members.active?,
            status: members.status.map(Cow::Borrowed),
        })
    }

    /// Reads a string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        let end = plain_end(self.bytes, start);
        if *self.bytes.get(end)? != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Reads a number that has no sign, fraction or exponent, and no more digits than surely fit.
    fn unsigned(&mut self) -> Option<u64> {
        const DIGITS_MAX: usize = 19;
        self.next()?;
        let start = self.at;
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        let is_plain = (1..=DIGITS_MAX).contains(&digits)
            && (digits == 1 || self.bytes.get(start) != Some(&b'0'))
            && !matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        is_plain.then_some(value)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.next()?;
        if self.word(b"true") {
            return Some(true);
        }
        self.word(b"false").then_some(false)
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let is_there = rest.starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    /// Passes over an object with anything in it, and gives its text.
    fn record(&mut self) -> Option<&'a str> {
        if self.next()? != b'{' {
            return None;
        }
        let start = self.at;
        self.pass_over_object()?;
        self.text.get(start..self.at)
    }

    fn pass_over_object(&mut self) -> Option<()> {
        // The containers that are open, one bit each, the innermost lowest: set for an object.
        let (mut open, mut depth) = (0_u64, 0_u32);
        loop {
            // A value, and after it the brackets that close.
            match self.next()? {
                bracket @ (b'{' | b'[') => {
                    if depth == DEPTH_MAX {
                        return None;
                    }
                    self.at += 1;
                    let is_object = bracket == b'{';
                    open = open << 1 | u64::from(is_object);
                    depth += 1;
                    match self.next()? {
                        b'}' if is_object => {}
                        b']' if !is_object => {}
                        _ => {
                            if is_object {
                                self.pass_over_name()?;
                            }
                            continue;
                        }
                    }
                }
                b'"' => self.pass_over_string()?,
                _ => self.pass_over_scalar()?,
            }
            loop {
                let is_object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        if is_object {
                            self.pass_over_name()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                open >>= 1;
                depth -= 1;
                if depth == 0 {
                    return Some(());
                }
            }
        }
    }

    #[inline]
    fn pass_over_name(&mut self) -> Option<()> {
        self.next()?;
        self.pass_over_string()?;
        self.take(b':')
    }

    #[inline]
    fn pass_over_string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.pass_over_escape()?,
                _ => return None,
            }
        }
    }

    fn pass_over_escape(&mut self) -> Option<()> {
        let length = match *self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6)?
            }
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn pass_over_scalar(&mut self) -> Option<()> {
        match *self.bytes.get(self.at)? {
            b't' => self.word(b"true").then_some(()),
            b'f' => self.word(b"false").then_some(()),
            b'n' => self.word(b"null").then_some(()),
            _ => self.pass_over_number(),
        }
    }

    fn pass_over_number(&mut self) -> Option<()> {
        self.word(b"-");
        if self.word(b"0") {
            if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return None;
            }
        } else {
            self.digits()?;
        }
        if self.word(b".") {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes over one digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[inline(always)]
const fn ends_plain(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// The high bit of each byte that is no plain string contents. Above the lowest mark there may be wrong ones, since
/// subtractions borrow upwards; the lowest is right.
#[inline(always)]
const fn ends_of(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let x = u64::from_le_bytes(bytes);
    let quote = x ^ (ONES * b'"' as u64);
    let backslash = x ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = x.wrapping_sub(ONES * 0x20) & !x;
    (quotes | backslashes | controls) & HIGHS
}

/// The place of the first byte from `from` on that is no plain string contents: a quote, a backslash, a control
/// character, or the end. Two words at a time.
#[inline]
fn plain_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let place = |ends: u64| (ends.trailing_zeros() / 8) as usize;
    while let Some((first, rest)) = bytes
        .get(at..)
        .and_then(|rest| rest.split_first_chunk::<8>())
        && let Some(second) = rest.first_chunk::<8>()
    {
        let (first, second) = (ends_of(*first), ends_of(*second));
        if first != 0 {
            return at + place(first);
        }
        if second != 0 {
            return at + 8 + place(second);
        }
        at += 16;
    }
    let last = bytes.get(at..).unwrap_or_default();
    let end = last.iter().position(|byte| ends_plain(*byte));
    at + end.unwrap_or(last.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the reader that takes all of JSON makes of it.
    fn other(text: &str) -> Option<String> {
        Event::parse_any(text)
            .ok()
            .map(|event| format!("{event:?}"))
    }

    /// That whatever is read here is read alike there, and whether it is.
    fn is_read(text: &str) -> bool {
        let read = read(text).map(|event| format!("{event:?}"));
        assert!(read.is_none() || read == other(text), "{text}: {read:?}");
        read.is_some()
    }

    const COMMIT: &str = r#"{"did":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa","time_us":1786000000000001,"cursor":2,"kind":"commit","commit":{"rev":"3mabc2222222b","operation":"create","collection":"app.bsky.feed.post","rkey":"k","record":{"$type":"c.d.e","text":"long enough for two words: \n \u00e9 \ud83d\ude00 ö","n":[0,-1,2.5,1e9,-0.1E-2,true,false,null],"e":{},"a":[],"o":{"p":[{"q":[[]]}]}},"cid":"bafyrei"}}"#;
    const ACCOUNT: &str = r#"{"did":"d","time_us":1,"kind":"account","account":{"active":false,"did":"d","seq":3,"status":"deleted","time":"t"}}"#;
    const IDENTITY: &str = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"did":"d","handle":"h.example","seq":3,"time":"t"}}"#;

    #[test]
    fn frames_of_the_usual_form_are_read_as_by_any_reader() {
        let delete = COMMIT.replace("create", "delete");
        let spaced = COMMIT
            .replace(',', " ,\t")
            .replace(':', ": ")
            .replace('{', "{ \r\n");
        for text in [COMMIT, ACCOUNT, IDENTITY, &delete, &spaced] {
            assert!(is_read(text), "{text}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_other_reader() {
        let deep = COMMIT.replace("[]", &format!("{}{}", "[".repeat(70), "]".repeat(70)));
        let cases = [
            COMMIT.replace("\"did\"", "\"d\\u0069d\""),
            COMMIT.replace("\"cursor\":2", "\"cursor\":null"),
            COMMIT.replace("\"cursor\":2", "\"other\":2"),
            COMMIT.replace("bafyrei", "\\n"),
            COMMIT.replace("1786000000000001", "18446744073709551615"),
            deep,
        ];
        for text in &cases {
            assert!(!is_read(text) && other(text).is_some(), "{text}");
        }
    }

    #[test]
    fn nothing_is_read_that_is_no_json_or_lacks_something() {
        let with = |from: &str, to: &str| {
            assert!(COMMIT.contains(from), "{from}");
            COMMIT.replace(from, to)
        };
        let cases = [
            with("[]", "[,]"),
            with("[]", "[1,]"),
            with("[]", "[01]"),
            with("[]", "[-]"),
            with("[]", "[1.]"),
            with("[]", "[.5]"),
            with("[]", "[1e]"),
            with("[]", "[+1]"),
            with("[]", "[truefalse]"),
            with("[]", "[nul]"),
            with("[]", "[}"),
            with("{}", "{]"),
            with("{}", "{1:2}"),
            with("{}", "{\"a\"}"),
            with("{}", "{\"a\":}"),
            with("{}", "{\"a\":1,}"),
            with("\\n", "\\x"),
            with("\\n", "\n"),
            with("\\u00e9", "\\u00g9"),
            with("\"time_us\":1786", "\"time_us\":01786"),
            with("\"time_us\":1786", "\"time_us\":-1786"),
            with("\"did\":", "\"did\":\"d\",\"did\":"),
            with("\"rkey\":\"k\",", ""),
            format!("{COMMIT}{COMMIT}"),
            String::new(),
        ];
        for text in &cases {
            assert!(!is_read(text) && other(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn damaged_frames_are_read_alike_or_not_at_all(
            of in 0..3_usize,
            at in 0..2_000_usize,
            with in prop::sample::select(vec!["\"", "\\", "{", "}", "[", "]", ",", ":", "0", "1", "-", ".", "e", " ", "\n", "\u{0}", "a", "ü", ""]),
            cut in 0..3_usize,
        ) {
            let text = [COMMIT, ACCOUNT, IDENTITY][of];
            let at = (at % text.len()..).find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (at + cut..).find(|end| *end >= text.len() || text.is_char_boundary(*end)).unwrap();
            let damaged = format!("{}{with}{}", &text[..at], text.get(end..).unwrap_or(""));
            is_read(&damaged);
        }

        #[test]
        fn plain_text_ends_where_it_does_byte_by_byte(bytes in prop::collection::vec(prop::sample::select(vec![b'a', b'"', b'\\', 0, 0x1f, 0x20, 0x7f, 0x80, 0xff]), 0..80), rarely in 0..80_usize, from in 0..40_usize) {
            let bytes: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| if at < rarely { b'x' } else { *byte }).collect();
            let slow = (from..bytes.len()).find(|at| ends_plain(bytes[*at])).unwrap_or(bytes.len().max(from));
            prop_assert_eq!(plain_end(&bytes, from), slow);
        }
    }
}
