//! Percent-escapes (RFC 3986, sections 2.1 and 6.2.2.2): validity, and the normal form, in which
//! escapes of unreserved characters are decoded and the others have upper-case digits.

use std::borrow::Cow;

use crate::class;

/// The string with all its escapes in normal form; `None` when a `%` is not followed by two hex digits.
/// The caller vouches that `s` is ASCII.
pub(crate) fn normalise(s: &str) -> Option<Cow<'_, str>> {
    let Some(first) = s.bytes().position(|b| b == b'%') else {
        return Some(Cow::Borrowed(s));
    };
    let mut out = String::with_capacity(s.len());
    out.push_str(s.get(..first)?);
    let mut rest = s.get(first..)?;
    while let Some(after) = rest.strip_prefix('%') {
        let mut digits = after.bytes();
        let high = (digits.next()? as char).to_digit(16)?;
        let low = (digits.next()? as char).to_digit(16)?;
        let byte = u8::try_from(high * 16 + low).ok()?;
        if class::is(byte, class::UNRESERVED) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(
                after
                    .chars()
                    .take(2)
                    .map(|digit| digit.to_ascii_uppercase()),
            );
        }
        let after = after.get(2..)?;
        let plain = after.bytes().position(|b| b == b'%').unwrap_or(after.len());
        out.push_str(after.get(..plain)?);
        rest = after.get(plain..)?;
    }
    Some(if out == s {
        Cow::Borrowed(s)
    } else {
        Cow::Owned(out)
    })
}

/// Appends a part whose escapes are in normal form, its letters in lower case, its escapes as they are.
pub(crate) fn push_lower_case(out: &mut String, part: &str) {
    let mut escape_digits = 0;
    for c in part.chars() {
        if escape_digits > 0 {
            escape_digits -= 1;
            out.push(c);
        } else {
            escape_digits = if c == '%' { 2 } else { 0 };
            out.push(c.to_ascii_lowercase());
        }
    }
}

/// Whether the escape that begins at `at` is whole.
pub(crate) fn is_escape(s: &[u8], at: usize) -> bool {
    matches!(s.get(at..).and_then(|rest| rest.first_chunk()), Some([b'%', high, low])
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}
