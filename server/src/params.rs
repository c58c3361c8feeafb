//! Query strings: a small multimap of decoded parameters that keeps their order, and typed access that names
//! the parameter in every error. Unknown parameters are kept but never read, so they change nothing.

use crate::problem::Problem;
use crate::time::parse_time_us;

/// The decoded parameters of one request, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes `a=b&c=d` as forms are encoded: `+` is a space, `%` introduces two hex digits, and one that
    /// does not stands for itself. A value that is not UTF-8 is refused rather than mended.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let name = decode(name)
                .map_err(|()| Problem::invalid("the name of a parameter is not valid UTF-8"))?;
            let value = decode(value).map_err(|()| {
                Problem::invalid(format!("parameter {name}: the value is not valid UTF-8"))
            })?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// All parameters, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter that has one value. Given twice, the values must be equal.
    pub(crate) fn scalar(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self
            .pairs()
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| value);
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            return Err(Problem::invalid(format!(
                "parameter {name} is given more than once, with different values"
            )));
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

pub(crate) fn decode(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match tail {
                [high, low, after @ ..] => {
                    let digit = |b: u8| char::from(b).to_digit(16);
                    if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                        bytes.push((high * 16 + low) as u8);
                        rest = after;
                    } else {
                        bytes.push(b'%');
                    }
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| ())
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
