//! Query strings: a small multimap of decoded parameters that keeps their order, and typed access that names
//! the parameter in every error. Unknown parameters are kept but never read, so they change nothing.

use crate::problem::Problem;
use crate::time::parse_time_us;

/// How many parameters there is room for from the start: no route takes many more.
const PARAMS_USUAL: usize = 8;

/// The decoded parameters of one request, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params {
    /// All names and values, one after the other.
    text: String,
    ends: Vec<Ends>,
}

/// Where a parameter's name and value end in the text; it begins where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    name: usize,
    value: usize,
}

impl Params {
    /// Decodes `a=b&c=d` as forms are encoded: `+` is a space, `%` introduces two hex digits, and one that
    /// does not stands for itself. A value that is not UTF-8 is refused rather than mended.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        // One pass: every request comes by here, and most of it is what its own server would not have had to read.
        let mut bytes = Vec::with_capacity(query.len());
        let mut ends = Vec::with_capacity(PARAMS_USUAL);
        let mut piece = Piece::default();
        let mut rest = query.as_bytes();
        loop {
            // The bytes that do not stand for themselves.
            let is_mark = |byte: &u8| matches!(byte, b'&' | b'=' | b'%' | b'+');
            let at = rest.iter().position(is_mark).unwrap_or(rest.len());
            let (plain, marked) = rest.split_at(at);
            bytes.extend_from_slice(plain);
            rest = match marked {
                [] => break,
                [b'&', after @ ..] => {
                    ends.extend(piece.end(bytes.len()));
                    after
                }
                [b'=', after @ ..] if piece.name.is_none() => {
                    piece.name = Some(bytes.len());
                    after
                }
                _ => {
                    let (byte, after) = unescape(marked);
                    bytes.push(byte);
                    after
                }
            };
        }
        ends.extend(piece.end(bytes.len()));
        match String::from_utf8(bytes) {
            // A character of the whole must not reach over the end of a piece.
            Ok(text) if ends.iter().all(|ends| ends.are_ends_of(&text)) => Ok(Self { text, ends }),
            Ok(text) => Err(not_utf8(text.as_bytes(), &ends)),
            Err(error) => Err(not_utf8(error.as_bytes(), &ends)),
        }
    }

    /// All parameters, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let piece = |from, to| self.text.get(from..to).unwrap_or_default();
            let pair = (piece(start, ends.name), piece(ends.name, ends.value));
            start = ends.value;
            pair
        })
    }

    /// A parameter that has one value. Given twice, the values must be equal.
    pub(crate) fn scalar(&self, name: &str) -> Result<Option<&str>, Problem> {
        // Every request asks for many names, most of which are not there: what is compared is lengths, and then bytes.
        let (text, mut start, mut first) = (self.text.as_bytes(), 0, None);
        for ends in &self.ends {
            let is_as_long = ends.name - start == name.len();
            if is_as_long && text.get(start..ends.name) == Some(name.as_bytes()) {
                let value = self.text.get(ends.name..ends.value);
                if first.is_some() && first != value {
                    return Err(Problem::invalid(format!(
                        "parameter {name} is given more than once, with different values"
                    )));
                }
                first = value;
            }
            start = ends.value;
        }
        Ok(first)
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.scalar(name)?
            .ok_or_else(|| Problem::invalid(format!("parameter {name} is required")))
    }

    /// A parameter that must be there and hold something.
    pub(crate) fn required_text(&self, name: &str) -> Result<&str, Problem> {
        match self.required(name)? {
            "" => Err(Problem::invalid(format!(
                "parameter {name} must not be empty"
            ))),
            value => Ok(value),
        }
    }

    /// The values of repeatable parameters: trimmed, empty ones dropped, none left: no list.
    pub(crate) fn list(&self, names: &[&str]) -> Option<Vec<String>> {
        let values: Vec<String> = self
            .pairs()
            .filter(|(name, _)| names.contains(name))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        (!values.is_empty()).then_some(values)
    }

    /// A whole number in a range.
    pub(crate) fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, Problem> {
        let Some(text) = self.scalar(name)? else {
            return Ok(default);
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && range.contains(&number) => Ok(number),
            _ => Err(Problem::invalid(format!(
                "parameter {name} must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// Exactly `true` or `false`; false when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.scalar(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(format!(
                "parameter {name} must be true or false"
            ))),
        }
    }

    /// A point in time, as microseconds since 1970 or by RFC 3339; an empty value is none.
    pub(crate) fn time_us(&self, name: &str) -> Result<Option<u64>, Problem> {
        match self.scalar(name)? {
            None | Some("") => Ok(None),
            Some(text) => parse_time_us(text).map(Some).ok_or_else(|| {
                Problem::invalid(format!(
                    "parameter {name} must be microseconds since 1970 or a time by RFC 3339, \
                     not before 1970"
                ))
            }),
        }
    }
}

/// The parameter that is being read.
#[derive(Default)]
struct Piece {
    /// Where it begins.
    start: usize,
    /// Where its name ends, once that is known.
    name: Option<usize>,
}

impl Piece {
    /// Ends it at `at`, where the next one begins. One without a byte is none.
    fn end(&mut self, at: usize) -> Option<Ends> {
        let Self { start, name } = std::mem::replace(
            self,
            Self {
                start: at,
                name: None,
            },
        );
        let is_there = name.is_some() || at > start;
        is_there.then_some(Ends {
            name: name.unwrap_or(at),
            value: at,
        })
    }
}

impl Ends {
    fn are_ends_of(self, text: &str) -> bool {
        text.is_char_boundary(self.name) && text.is_char_boundary(self.value)
    }
}

/// Says which of the pieces is the first that is not UTF-8.
fn not_utf8(bytes: &[u8], ends: &[Ends]) -> Problem {
    let mut start = 0;
    for ends in ends {
        let piece = |from, to| std::str::from_utf8(bytes.get(from..to).unwrap_or_default());
        let Ok(name) = piece(start, ends.name) else {
            break;
        };
        if piece(ends.name, ends.value).is_err() {
            return Problem::invalid(format!("parameter {name}: the value is not valid UTF-8"));
        }
        start = ends.value;
    }
    Problem::invalid("the name of a parameter is not valid UTF-8")
}

pub(crate) fn decode(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    decode_into(&mut bytes, text);
    String::from_utf8(bytes).map_err(|_| ())
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that a text begins with, and what is behind it.
fn unescape(text: &[u8]) -> (u8, &[u8]) {
    match text {
        [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, after),
            _ => (b'%', text.get(1..).unwrap_or_default()),
        },
        [b'+', after @ ..] => (b' ', after),
        [byte, after @ ..] => (*byte, after),
        // Of nothing there is no first byte; nobody asks.
        [] => (0, text),
    }
}

/// Appends what `text` stands for; linear in its length.
fn decode_into(bytes: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr2(b'%', b'+', rest) {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain);
        let (byte, after) = unescape(escape);
        bytes.push(byte);
        rest = after;
    }
    bytes.extend_from_slice(rest);
}

/// Appends `text` to a URL's query, everything but unreserved characters and a few that are legal there and
/// read better left alone escaped.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: [char; 16] = [
                '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
            ];
            out.push('%');
            out.extend(HEX.get(usize::from(byte >> 4)));
            out.extend(HEX.get(usize::from(byte & 15)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query).unwrap()
    }

    #[test]
    fn values_are_decoded_as_forms_are() {
        let p = params("a=1+2&b=%41%zz%4&c&a=1+2&=x&&d=a=b");
        assert_eq!(p.scalar("a").unwrap(), Some("1 2"));
        assert_eq!(p.scalar("b").unwrap(), Some("A%zz%4"));
        assert_eq!(p.scalar("c").unwrap(), Some(""));
        assert_eq!(p.scalar("d").unwrap(), Some("a=b"));
        assert_eq!(p.scalar("e").unwrap(), None);
    }

    #[test]
    fn values_that_are_not_utf8_are_refused_by_name() {
        let error = Params::parse("did=%ff").unwrap_err();
        assert!(error.message().contains("did"), "{}", error.message());
        assert!(Params::parse("%ff=1").is_err());
        assert!(Params::parse("a=%e2%82%ac").is_ok());
        // The pieces of one character are none, wherever they meet.
        for query in ["a%e2=%82%ac", "a=%e2&%82%ac=b", "a=%e2%82&%ac"] {
            assert!(Params::parse(query).is_err(), "{query}");
        }
        let error = Params::parse("a=b&c=%e2&%82%ac=b").unwrap_err();
        assert!(
            error.message().contains("parameter c:"),
            "{}",
            error.message()
        );
    }

    #[test]
    fn an_escape_is_two_digits_and_anything_else_stands_for_itself() {
        // Each byte in the place of either digit, as by RFC 3986, section 2.1.
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte);
            if "&=+%".contains(text) {
                continue;
            }
            for (query, digits) in [
                (format!("x=%{text}1"), [text, '1']),
                (format!("x=%4{text}"), ['4', text]),
            ] {
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                let wanted = match (high, low) {
                    (Some(high), Some(low)) => match Params::parse(&query) {
                        Ok(_) if high < 8 => char::from((high * 16 + low) as u8).to_string(),
                        Err(_) if high >= 8 => continue,
                        other => panic!("{query}: {other:?}"),
                    },
                    _ => format!("%{}{}", digits[0], digits[1]),
                };
                assert_eq!(
                    params(&query).scalar("x").unwrap(),
                    Some(&*wanted),
                    "{query}"
                );
            }
        }
    }

    /// The pieces between `&` that hold anything, each split at its first `=`.
    #[test]
    fn a_query_is_what_its_pieces_are_by_themselves() {
        let mut state = 7_u64;
        let mut drawn = |of: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % of
        };
        let alphabet = [
            "&", "&", "=", "=", "%", "+", "%3", "%41", "%26", "%3D", "a", "b", "é", "%c3%a9",
        ];
        for _ in 0..20_000 {
            let query: String = (0..drawn(12))
                .map(|_| alphabet[drawn(alphabet.len())])
                .collect();
            let pieces = query.split('&').filter(|piece| !piece.is_empty());
            let wanted: Result<Vec<_>, ()> = pieces
                .map(|piece| {
                    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                    Ok((decode(name)?, decode(value)?))
                })
                .collect();
            match (Params::parse(&query), wanted) {
                (Ok(params), Ok(wanted)) => {
                    let pairs = params
                        .pairs()
                        .map(|(name, value)| (name.to_owned(), value.to_owned()));
                    assert_eq!(pairs.collect::<Vec<_>>(), wanted, "{query}");
                }
                (got, wanted) => assert_eq!(got.is_ok(), wanted.is_ok(), "{query}"),
            }
        }
    }

    #[test]
    fn scalars_may_repeat_only_with_the_same_value() {
        assert!(params("a=1&a=2").scalar("a").is_err());
        assert_eq!(params("a=1&a=1").scalar("a").unwrap(), Some("1"));
    }

    #[test]
    fn numbers_flags_and_lists_are_strict() {
        for bad in [
            "",
            "0",
            "1001",
            "x",
            "+5",
            "-1",
            "1.0",
            "99999999999999999999",
        ] {
            let mut query = String::from("limit=");
            encode(bad, &mut query);
            assert!(
                params(&query).number("limit", 1..=1000, 100).is_err(),
                "{bad:?}"
            );
        }
        assert_eq!(
            params("limit=1000").number("limit", 1..=1000, 100).unwrap(),
            1000
        );
        assert_eq!(params("").number("limit", 1..=1000, 100).unwrap(), 100);
        for bad in ["1", "on", "", "TRUE"] {
            assert!(
                params(&format!("reverse={bad}")).flag("reverse").is_err(),
                "{bad:?}"
            );
        }
        assert_eq!(
            params("did=+a+&did=&linkDid=b")
                .list(&["did", "linkDid"])
                .unwrap(),
            ["a", "b"]
        );
        assert_eq!(params("did=&did=+").list(&["did"]), None);
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "a b+c%&=#[]<\"'>é\u{0}";
        let mut query = String::from("x=");
        encode(text, &mut query);
        assert_eq!(params(&query).scalar("x").unwrap(), Some(text));
    }
}
