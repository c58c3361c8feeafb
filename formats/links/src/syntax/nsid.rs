//! Namespaced identifiers: <https://atproto.com/specs/nsid>.

use super::{LabelNames, borrowed_identifier, check_label, check_length};
use crate::error::SyntaxError;

/// A namespaced identifier, such as `app.bsky.feed.like`: a domain name in reverse and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid<'a>(&'a str);

borrowed_identifier!(Nsid);

const SEGMENT: LabelNames = LabelNames {
    label: "a segment of an NSID",
    start: "the start of a segment of an NSID",
    end: "the end of a segment of an NSID",
};

/// Whether it is an NSID of the form that nearly all have: three segments or more of letters and digits, each beginning with
/// a letter.
fn is_usual(s: &str) -> bool {
    let (mut segments, mut len) = (1, 0);
    for b in s.bytes() {
        if b == b'.' {
            if len == 0 {
                return false;
            }
            segments += 1;
            len = 0;
        } else if b.is_ascii_alphabetic() || (len > 0 && b.is_ascii_digit()) {
            len += 1;
            if len > 63 {
                return false;
            }
        } else {
            return false;
        }
    }
    segments >= 3 && len > 0 && s.len() <= Nsid::BYTES_MAX
}

impl<'a> Nsid<'a> {
    /// Longest NSID. Enough for an authority of 253 bytes, a dot, and a name of 63; the authority has no
    /// limit of its own, as the interop vectors have it.
    pub const BYTES_MAX: usize = 317;

    /// Checks an NSID.
    ///
    /// # Errors
    /// When the string is no NSID.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "an NSID";
        if is_usual(s) {
            return Ok(Self(s));
        }
        check_length(WHAT, s, Self::BYTES_MAX)?;
        let mut segments = 0;
        let mut start = 0;
        let mut name_start = 0;
        for segment in s.split('.') {
            check_label(&SEGMENT, s, start, start + segment.len())?;
            name_start = start;
            start += segment.len() + 1;
            segments += 1;
        }
        if segments < 3 {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "needs three segments or more",
            });
        }
        let digit_at = |at: usize| s.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        if digit_at(0) {
            return Err(SyntaxError::character("the start of an NSID", s, 0));
        }
        if digit_at(name_start) {
            return Err(SyntaxError::character(
                "the start of the name of an NSID",
                s,
                name_start,
            ));
        }
        let name = s.as_bytes().get(name_start..).unwrap_or_default();
        if let Some(at) = name.iter().position(|&b| b == b'-') {
            return Err(SyntaxError::character(
                "the name of an NSID",
                s,
                name_start + at,
            ));
        }
        Ok(Self(s))
    }

    /// The last segment: `like` in `app.bsky.feed.like`.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.0.rsplit_once('.').map_or("", |(_, name)| name)
    }

    /// All but the last segment, which is a domain name in reverse: `app.bsky.feed` in
    /// `app.bsky.feed.like`.
    #[must_use]
    pub fn authority(self) -> &'a str {
        self.0
            .rsplit_once('.')
            .map_or("", |(authority, _)| authority)
    }
}
