//! The test that decides whether a string is a link, and its normal form. At-uri, then DID, then URI;
//! the first that accepts wins. The tests are lenient on purpose: they accept what records hold, not
//! what the identifier grammars allow (`crate::syntax` has those).
//!
//! What a record yields is a key that queries match byte for byte, so the normal form is part of the
//! contract. It is stable: the normal form of a normal form is itself.

mod at_uri;
mod did;
mod percent;
mod segments;
mod uri;

use std::borrow::Cow;

use crate::class;

/// What sort of thing a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// `at://` and an authority: an account or a record.
    AtUri,
    /// A bare DID.
    Did,
    /// Any other URI with a scheme.
    Uri,
}

impl TargetKind {
    /// The kind's name: `at-uri`, `did` or `uri`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtUri => "at-uri",
            Self::Did => "did",
            Self::Uri => "uri",
        }
    }
}

impl std::fmt::Display for TargetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tests a whole string for being a link and gives the normalised target, borrowed where the string
/// is in normal form already. `None` when it is no link.
///
/// A string that cannot be a link is refused at its first byte that fits no scheme. Otherwise the time
/// is linear in its length, and nothing is allocated unless the normal form differs.
///
/// ```
/// use orrery_links::{TargetKind, parse_target};
///
/// let (target, kind) = parse_target("HTTPS://Ex.Example/a/../b").ok_or("no link")?;
/// assert_eq!((&*target, kind), ("https://ex.example/b", TargetKind::Uri));
/// assert_eq!(parse_target("see https://ex.example"), None);
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn parse_target(s: &str) -> Option<(Cow<'_, str>, TargetKind)> {
    // Every kind of link begins with a scheme: `at` and `did` are two of them.
    let scheme_len = scheme_len(s.as_bytes())?;
    if at_uri::has_scheme(s)
        && let Some(target) = at_uri::normalise(s)
    {
        return Some((target, TargetKind::AtUri));
    }
    if did::accepts(s.as_bytes()) {
        return Some((Cow::Borrowed(s), TargetKind::Did));
    }
    let target = uri::normalise(s, scheme_len)?;
    // An at-uri that was too long to be one can become short enough when its escapes are decoded. Its
    // stored form must be the one it would have as an at-uri, or it would not be stable.
    if let Cow::Owned(shorter) = &target
        && at_uri::has_scheme(shorter)
        && let Some(again) = at_uri::normalise(shorter)
    {
        return Some((Cow::Owned(again.into_owned()), TargetKind::AtUri));
    }
    Some((target, TargetKind::Uri))
}

/// The form under which a target is stored, for queries. `None` when the string is no link, so that
/// nothing can be stored under it.
#[must_use]
pub fn normalise_target(s: &str) -> Option<Cow<'_, str>> {
    parse_target(s).map(|(target, _)| target)
}

/// Length of the scheme in front of the first colon; `None` where no valid scheme stands there.
pub(crate) fn scheme_len(s: &[u8]) -> Option<usize> {
    if !class::is(*s.first()?, class::ALPHA) {
        return None;
    }
    let len = s.iter().position(|&b| !class::is(b, class::SCHEME))?;
    (s.get(len) == Some(&b':')).then_some(len)
}
