//! From DAG-CBOR to JSON, in one pass.

use std::fmt::Write as _;

use crate::base;
use crate::cbor::{DEPTH_MOST, Item, Reader, malformed, too_deep};
use crate::cid::link_text;
use crate::error::{Form, Found, RepoError};
use crate::rules::{Fields, Rules};

pub(super) fn print(cbor: &[u8], rules: &Rules) -> Result<String, RepoError> {
    let mut printer = Printer {
        reader: Reader::new(cbor),
        out: String::with_capacity(cbor.len() + cbor.len() / 4),
        rules,
        most_depth: rules.most_depth.min(DEPTH_MOST),
    };
    match printer.reader.item()? {
        Item::Map(count) => printer.map(0, count, printer.most_depth)?,
        other => return Err(malformed(0, "a map", other.thing())),
    }
    printer.reader.finish()?;
    Ok(printer.out)
}

struct Printer<'a> {
    reader: Reader<'a>,
    out: String,
    rules: &'a Rules,
    most_depth: usize,
}

impl Printer<'_> {
    /// Writes the item that was just read, which began at `start`.
    fn item(&mut self, start: usize, item: Item<'_>, left: usize) -> Result<(), RepoError> {
        match item {
            Item::Null => self.out.push_str("null"),
            Item::Bool(true) => self.out.push_str("true"),
            Item::Bool(false) => self.out.push_str("false"),
            Item::Integer(value) => self.number(format_args!("{value}")),
            Item::Float(value) if self.rules.floats => self.number(format_args!("{value:?}")),
            Item::Float(_) => {
                return Err(RepoError::Float {
                    form: Form::Cbor,
                    offset: start,
                });
            }
            Item::Text(text) => self.text(text),
            Item::Bytes(bytes) => {
                self.out.push_str("{\"$bytes\":\"");
                base::put_base64(bytes, &mut self.out);
                self.out.push_str("\"}");
            }
            Item::Link(cid) => {
                self.out.push_str("{\"$link\":\"");
                self.out.push_str(&link_text(cid));
                self.out.push_str("\"}");
            }
            Item::List(count) => {
                let left = left
                    .checked_sub(1)
                    .ok_or(too_deep(start, self.most_depth))?;
                self.out.push('[');
                for at in 0..count {
                    if at > 0 {
                        self.out.push(',');
                    }
                    let start = self.reader.offset();
                    let item = self.reader.item()?;
                    self.item(start, item, left)?;
                }
                self.out.push(']');
            }
            Item::Map(count) => self.map(start, count, left)?,
        }
        Ok(())
    }

    /// Writes the map whose head was just read.
    fn map(&mut self, head: usize, count: usize, left: usize) -> Result<(), RepoError> {
        let left = left.checked_sub(1).ok_or(too_deep(head, self.most_depth))?;
        let mut fields = Fields::default();
        let mut last = None;
        self.out.push('{');
        for at in 0..count {
            if at > 0 {
                self.out.push(',');
            }
            let key = self.reader.key(&mut last)?;
            self.text(key);
            self.out.push(':');
            let start = self.reader.offset();
            let item = self.reader.item()?;
            if self.rules.types {
                let noted = fields.note(key, &item);
                noted.map_err(|expected| malformed(start, expected, item.thing()))?;
            }
            self.item(start, item, left)?;
        }
        if let Err(expected) = fields.end() {
            return Err(malformed(head, expected, Found::Thing("other fields")));
        }
        self.out.push('}');
        Ok(())
    }

    fn number(&mut self, number: std::fmt::Arguments<'_>) {
        // Writing to a `String` does not fail.
        let _ = self.out.write_fmt(number);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, tail) = rest.split_at(at);
            self.out.push_str(plain);
            let mut tail = tail.chars();
            match tail.next() {
                Some('"') => self.out.push_str("\\\""),
                Some('\\') => self.out.push_str("\\\\"),
                Some('\n') => self.out.push_str("\\n"),
                Some('\r') => self.out.push_str("\\r"),
                Some('\t') => self.out.push_str("\\t"),
                Some('\u{8}') => self.out.push_str("\\b"),
                Some('\u{c}') => self.out.push_str("\\f"),
                Some(c) => self.number(format_args!("\\u{:04x}", u32::from(c))),
                None => {}
            }
            rest = tail.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }
}
