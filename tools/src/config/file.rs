//! The configuration file: TOML of one level, whose keys are names of options. What is wrong with it is told all at once, each with
//! its place; the rest of it counts.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, nearest};
use super::mistake::{Mistake, Place};

/// The largest file that is read, in bytes: a template with long lists is a tenth of it.
const BYTES_MAX: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) entries: Vec<Entry>,
    /// In the order of their places.
    pub(super) mistakes: Vec<Mistake>,
    /// Whether there are parts that could not be read, and that may have any key.
    pub(super) has_unread: bool,
}

/// A key with what it is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// As they would stand on a command line.
    pub(super) values: Vec<String>,
    /// Where the key begins, counted from 1.
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Reads a file.
pub(super) fn read(path: &Path, keys: &[Key]) -> File {
    let whole = |wrong: String, right: &str| File {
        mistakes: vec![Mistake {
            place: Place::Whole(path.to_owned()),
            key: None,
            wrong,
            right: right.to_owned(),
        }],
        has_unread: true,
        ..File::default()
    };
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return whole(
            format!("cannot be read: {error}"),
            "name a file with --config or ORRERY_CONFIG that this user may read",
        );
    }
    if bytes.len() as u64 > BYTES_MAX {
        return whole(
            "is larger than 1 MiB".to_owned(),
            "name the configuration file; `orrery config --template` prints one",
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path, keys),
        Err(error) => {
            let sound = error.utf8_error().valid_up_to();
            let sound = error.as_bytes().get(..sound).unwrap_or_default();
            let sound = String::from_utf8_lossy(sound);
            let (line, column) = position(&sound, sound.len());
            let place = Place::File {
                path: path.to_owned(),
                line,
                column,
            };
            File {
                mistakes: vec![Mistake {
                    place,
                    key: None,
                    wrong: "what stands here is no UTF-8".to_owned(),
                    right: "save the file as UTF-8".to_owned(),
                }],
                has_unread: true,
                ..File::default()
            }
        }
    }
}

/// Line and column of a place in a text, both from 1. Columns are characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Reads the text of a file.
fn parse(text: &str, path: &Path, keys: &[Key]) -> File {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        path,
        keys,
        entries: Vec::new(),
        mistakes: Vec::new(),
        has_tables: false,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut lines = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or_default();
        // What else is wrong with a line mostly follows from the first.
        let (line, _) = position(text, span.start);
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        // The line stands in the message again, and what it begins with is most likely the key.
        let key = reader.key_at(&span);
        let right = match key.and_then(|name| keys.iter().find(|key| key.name == name)) {
            Some(key) => format!("write it like {}", key.line()),
            None => "a line is KEY = VALUE; texts stand in quotes".to_owned(),
        };
        let (key, wrong) = (key.map(str::to_owned), error.message().trim().to_owned());
        reader.mistake(&span, key, wrong.replace('\n', ", "), right);
    }
    let broken: Vec<usize> = reader
        .mistakes
        .iter()
        .map(|(offset, _)| position(text, *offset).0)
        .collect();
    for (key, value) in table.get_ref() {
        let (line, _) = position(text, key.span().start);
        // What was made of a line with an error in it is a guess.
        if !broken.contains(&line) {
            reader.entry(key.get_ref(), &key.span(), value.get_ref(), &value.span());
        }
    }
    let mut mistakes = reader.mistakes;
    mistakes.sort_by_key(|(offset, _)| *offset);
    File {
        has_unread: !errors.is_empty() || reader.has_tables,
        entries: reader.entries,
        mistakes: mistakes.into_iter().map(|(_, mistake)| mistake).collect(),
    }
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    keys: &'a [Key],
    entries: Vec<Entry>,
    /// With their offsets.
    mistakes: Vec<(usize, Mistake)>,
    /// Whether there are tables, in which every key behind their beginning stands.
    has_tables: bool,
}

impl<'a> Reader<'a> {
    /// The key at the beginning of the line of a place.
    fn key_at(&self, span: &Range<usize>) -> Option<&'a str> {
        let before = self.text.get(..span.start)?;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(start..)?.lines().next()?;
        let name = line.split('=').next()?.trim().trim_matches('"');
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_key)).then_some(name)
    }

    fn mistake(&mut self, span: &Range<usize>, key: Option<String>, wrong: String, right: String) {
        let (line, column) = position(self.text, span.start);
        let place = Place::File {
            path: self.path.to_owned(),
            line,
            column,
        };
        let mistake = Mistake {
            place,
            key,
            wrong,
            right,
        };
        self.mistakes.push((span.start, mistake));
    }

    fn entry(&mut self, name: &str, at: &Range<usize>, value: &DeValue<'_>, span: &Range<usize>) {
        let named = |wrong: &str, right: String| (Some(name.to_owned()), wrong.to_owned(), right);
        let Some(key) = self.keys.iter().find(|key| key.name == name) else {
            let right = match nearest(self.keys, name) {
                Some(near) => format!("did you mean {near}?"),
                None => "`orrery config --template` names all".to_owned(),
            };
            self.has_tables |= matches!(value, DeValue::Table(_));
            let (key, wrong, right) = match value {
                DeValue::Table(_) => named(
                    "there are no tables here",
                    "write each key on a line of its own, without a [table] before it".to_owned(),
                ),
                _ => named("there is no such key", right),
            };
            return self.mistake(at, key, wrong, right);
        };
        let before = self.mistakes.len();
        let values = self.values(key, value, span);
        if self.mistakes.len() > before {
            return;
        }
        let (line, column) = position(self.text, at.start);
        self.entries.push(Entry {
            key: key.name.clone(),
            values,
            line,
            column,
        });
    }

    /// The values of a key, after whose mistakes the list is not whole.
    fn values(&mut self, key: &Key, value: &DeValue<'_>, span: &Range<usize>) -> Vec<String> {
        let mut values = Vec::new();
        match value {
            DeValue::Array(items) if key.is_list || items.len() == 1 => {
                for item in items {
                    values.extend(
                        self.value(key, item.get_ref(), &item.span())
                            .into_iter()
                            .flatten(),
                    );
                }
            }
            DeValue::Array(items) => {
                let wrong = match items.is_empty() {
                    true => "it is an empty list".to_owned(),
                    false => format!("it has {} values", items.len()),
                };
                let right = format!("it takes one; write it like {}", key.line());
                self.mistake(span, Some(key.name.clone()), wrong, right);
            }
            value => values.extend(self.value(key, value, span).into_iter().flatten()),
        }
        values
    }

    /// A value, or several that one text gives as on a command line, separated by commas.
    fn value(
        &mut self,
        key: &Key,
        value: &DeValue<'_>,
        span: &Range<usize>,
    ) -> Option<Vec<String>> {
        let text = match (key.kind, value) {
            (Kind::Switch, DeValue::Boolean(is_on)) => return Some(vec![is_on.to_string()]),
            (Kind::Text | Kind::Amount, DeValue::String(text)) => text.clone().into_owned(),
            (Kind::Integer | Kind::Number | Kind::Amount, DeValue::Integer(number)) => {
                // As a decimal number, however it is written; one too large stays as it is and is refused for that.
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_or_else(|_| number.to_string(), |number| number.to_string())
            }
            (Kind::Number | Kind::Amount, DeValue::Float(number)) => number.as_str().to_owned(),
            _ => {
                let wanted = match key.kind {
                    Kind::Switch => "true or false",
                    Kind::Integer => "a whole number",
                    Kind::Number => "a number",
                    Kind::Amount => "a text with a unit, or a number",
                    Kind::Text => "a text in quotes",
                };
                let wrong = format!("it is {}, and {wanted} is wanted", kind_of(value));
                let right = format!("write it like {}", key.line());
                self.mistake(span, Some(key.name.clone()), wrong, right);
                return None;
            }
        };
        let parts = key.split(text.as_ref());
        let wrong = key.wrong_values(&parts);
        if wrong.is_empty() {
            let parts = parts
                .into_iter()
                .map(|part| part.to_string_lossy().into_owned());
            return Some(parts.collect());
        }
        for (wrong, right) in wrong {
            self.mistake(span, Some(key.name.clone()), wrong, right);
        }
        None
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
