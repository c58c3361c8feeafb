//! From JSON to canonical DAG-CBOR, in one pass: values are encoded where they stand, and the fields of an
//! object put into their order once it ends.

use std::borrow::Cow;

use super::malformed;
use crate::base;
use crate::cbor::{DEPTH_MOST, Item, Reader, put};
use crate::cid::{check_link, text_bytes};
use crate::error::{Form, Found, RepoError};
use crate::rules::{Fields, Rules};

/// Largest whole number that every float up to it has exactly.
const WHOLE_MOST: f64 = 9_007_199_254_740_992.0;

pub(super) fn encode(json: &[u8], rules: &Rules) -> Result<Vec<u8>, RepoError> {
    let text = std::str::from_utf8(json).map_err(|error| {
        let at = error.valid_up_to();
        malformed(at, "UTF-8", Found::at(json, at))
    })?;
    let mut encoder = Encoder {
        text,
        at: 0,
        out: Vec::with_capacity(json.len()),
        rules,
        most_depth: rules.most_depth.min(DEPTH_MOST),
    };
    encoder.space();
    if encoder.peek() != Some(b'{') {
        return Err(encoder.expected("an object"));
    }
    let start = encoder.at;
    encoder.value(encoder.most_depth)?;
    // `{"$link": …}` and `{"$bytes": …}` are objects in JSON only.
    if encoder.out.first().is_none_or(|head| head >> 5 != 5) {
        return Err(malformed(
            start,
            "an object with fields",
            Found::Thing("a link or bytes"),
        ));
    }
    encoder.space();
    if encoder.at < text.len() {
        return Err(encoder.expected("the end"));
    }
    Ok(encoder.out)
}

struct Encoder<'a> {
    text: &'a str,
    at: usize,
    out: Vec<u8>,
    rules: &'a Rules,
    most_depth: usize,
}

/// A field of an object, encoded in the output.
#[derive(Clone, Copy)]
struct Field {
    /// Offset of its key in the JSON.
    json: usize,
    start: usize,
    key_end: usize,
    end: usize,
}

impl<'a> Encoder<'a> {
    fn value(&mut self, left: usize) -> Result<(), RepoError> {
        match self.peek() {
            Some(b'{') => self.object(left),
            Some(b'[') => self.list(left),
            Some(b'"') => {
                let text = self.string()?;
                put(&mut self.out, Item::Text(&text));
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Item::Bool(true)),
            Some(b'f') => self.word("false", Item::Bool(false)),
            Some(b'n') => self.word("null", Item::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn list(&mut self, left: usize) -> Result<(), RepoError> {
        let left = self.deeper(left)?;
        let start = self.out.len();
        let mut count = 0;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.space();
                self.value(left)?;
                count += 1;
                if self.ends(b']', "a comma or the list's end")? {
                    break;
                }
            }
        }
        self.insert_head(start, Item::List(count));
        Ok(())
    }

    fn object(&mut self, left: usize) -> Result<(), RepoError> {
        let left = self.deeper(left)?;
        let (open, start) = (self.at, self.out.len());
        let mut fields: Vec<Field> = Vec::new();
        let mut noted = Fields::default();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                let json = self.at;
                let key = self.key()?;
                if key == "$link" || key == "$bytes" {
                    if !fields.is_empty() {
                        return Err(malformed(
                            json,
                            "$link or $bytes to be the only field",
                            Found::Thing("other fields"),
                        ));
                    }
                    return self.special(&key);
                }
                let field_start = self.out.len();
                put(&mut self.out, Item::Text(&key));
                let key_end = self.out.len();
                let value = self.at;
                self.value(left)?;
                if self.rules.types {
                    let encoded = self.out.get(key_end..).unwrap_or_default();
                    let item = Reader::new(encoded).item()?;
                    let noted = noted.note(&key, &item);
                    noted.map_err(|expected| malformed(value, expected, item.thing()))?;
                }
                fields.push(Field {
                    json,
                    start: field_start,
                    key_end,
                    end: self.out.len(),
                });
                if self.ends(b'}', "a comma or the object's end")? {
                    break;
                }
            }
        }
        if let Err(expected) = noted.end() {
            return Err(malformed(open, expected, Found::Thing("other fields")));
        }
        self.order(start, &mut fields)?;
        self.insert_head(start, Item::Map(fields.len()));
        Ok(())
    }

    /// Puts the fields, which fill the output from `start`, into the order of their keys.
    fn order(&mut self, start: usize, fields: &mut [Field]) -> Result<(), RepoError> {
        let out = &self.out;
        // Encoded keys begin with their length, so that the order of their bytes is the canonical one.
        let key = |field: &Field| out.get(field.start..field.key_end).unwrap_or_default();
        if fields.is_sorted_by(|a, b| key(a) < key(b)) {
            return Ok(());
        }
        fields.sort_by(|a, b| key(a).cmp(key(b)));
        let mut last: Option<&Field> = None;
        for field in fields.iter() {
            if let Some(last) = last.filter(|last| key(last) == key(field)) {
                let offset = last.json.max(field.json);
                let found = Found::Thing("the same key again");
                return Err(malformed(offset, "each key once", found));
            }
            last = Some(field);
        }
        let mut ordered = Vec::with_capacity(out.len().saturating_sub(start));
        for field in fields.iter() {
            ordered.extend_from_slice(out.get(field.start..field.end).unwrap_or_default());
        }
        self.out.truncate(start);
        self.out.append(&mut ordered);
        Ok(())
    }

    fn insert_head(&mut self, start: usize, item: Item<'_>) {
        let mut head = Vec::with_capacity(9);
        put(&mut head, item);
        self.out.splice(start..start, head);
    }

    /// A link or bytes, behind the key; its object holds nothing else.
    fn special(&mut self, key: &str) -> Result<(), RepoError> {
        let from = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.expected("text in $link or $bytes"));
        }
        let text = self.string()?;
        if key == "$link" {
            let bytes = text_bytes(&text)?;
            check_link(&bytes)?;
            put(&mut self.out, Item::Link(&bytes));
        } else {
            let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
            base::base64(text.as_bytes(), &mut bytes).map_err(|at| {
                let found = text.get(at..).and_then(|rest| rest.chars().next());
                // Right where the text has no escapes, which base64 needs none of.
                malformed(
                    from + 1 + at,
                    "base64",
                    found.map_or(Found::End, Found::Character),
                )
            })?;
            put(&mut self.out, Item::Bytes(&bytes));
        }
        self.space();
        if self.peek() != Some(b'}') {
            return Err(self.expected("$link or $bytes to be the only field"));
        }
        self.at += 1;
        Ok(())
    }

    fn key(&mut self) -> Result<Cow<'a, str>, RepoError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        self.space();
        Ok(key)
    }

    fn number(&mut self) -> Result<(), RepoError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if is_integer {
            let Ok(value) = text.parse() else {
                let found = Found::Thing("one beyond");
                return Err(malformed(start, "an integer of 64 bits with sign", found));
            };
            put(&mut self.out, Item::Integer(value));
            return Ok(());
        }
        let value = text.parse().unwrap_or(f64::INFINITY);
        if !value.is_finite() {
            let found = Found::Thing("one beyond");
            return Err(malformed(start, "a float of 64 bits", found));
        }
        if value.fract() == 0.0 && value.abs() <= WHOLE_MOST {
            // In range and whole by the line above.
            put(&mut self.out, Item::Integer(value as i64));
        } else if self.rules.floats {
            put(&mut self.out, Item::Float(value));
        } else {
            return Err(RepoError::Float {
                form: Form::Json,
                offset: start,
            });
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), RepoError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.expected("a digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    /// The text that begins with the quote here.
    fn string(&mut self) -> Result<Cow<'a, str>, RepoError> {
        self.at += 1;
        let mut decoded = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
            let len = rest.bytes().position(|byte| special(&byte));
            let plain = rest.get(..len.unwrap_or(rest.len())).unwrap_or_default();
            self.at += plain.len();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if decoded.is_empty() {
                        return Ok(Cow::Borrowed(plain));
                    }
                    decoded.push_str(plain);
                    return Ok(Cow::Owned(decoded));
                }
                Some(b'\\') => {
                    decoded.push_str(plain);
                    self.at += 1;
                    let c = self.escape()?;
                    decoded.push(c);
                }
                _ => return Err(self.expected("more text or a closing quote")),
            }
        }
    }

    /// The character of an escape, behind its backslash.
    fn escape(&mut self) -> Result<char, RepoError> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    /// The character of an escape, behind its `\u`.
    fn unicode(&mut self) -> Result<char, RepoError> {
        let start = self.at;
        let high = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            let rest = self.text.get(self.at..).unwrap_or_default();
            if !rest.starts_with("\\u") {
                return Err(self.expected("the second half of a surrogate pair"));
            }
            self.at += 2;
            let low = self.hex()?;
            match low.checked_sub(0xdc00) {
                Some(low @ ..0x400) => 0x1_0000 + ((high - 0xd800) << 10 | low),
                // Half a pair, which is no character.
                _ => high,
            }
        } else {
            high
        };
        char::from_u32(code).ok_or(malformed(
            start,
            "a character",
            Found::Thing("half a surrogate pair"),
        ))
    }

    fn hex(&mut self) -> Result<u32, RepoError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.expected("a hex digit"))?;
            self.at += 1;
        }
        Ok(value)
    }

    fn word(&mut self, word: &'static str, item: Item<'_>) -> Result<(), RepoError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        put(&mut self.out, item);
        Ok(())
    }

    /// Behind a value: true at the end, false behind a comma.
    fn ends(&mut self, close: u8, expected: &'static str) -> Result<bool, RepoError> {
        self.space();
        let next = self.peek();
        if next != Some(close) && next != Some(b',') {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(next == Some(close))
    }

    fn deeper(&self, left: usize) -> Result<usize, RepoError> {
        left.checked_sub(1).ok_or(RepoError::TooDeep {
            form: Form::Json,
            offset: self.at,
            most: self.most_depth,
        })
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> RepoError {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = rest.chars().next().map_or(Found::End, Found::Character);
        malformed(self.at, expected, found)
    }
}
