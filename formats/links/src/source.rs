//! The *source* of a link: the collection of the linking record and the path in it, as queries write
//! it: `app.bsky.feed.like:subject.uri`, without the dot with which the path begins.

use std::borrow::Cow;
use std::fmt;

use crate::error::SyntaxError;

/// A collection and a path.
///
/// ```
/// use orrery_links::Source;
///
/// let source = Source::parse("app.bsky.feed.like:subject.uri")?;
/// assert_eq!(source.collection(), "app.bsky.feed.like");
/// assert_eq!(source.path(), ".subject.uri");
/// assert_eq!(source.to_string(), "app.bsky.feed.like:subject.uri");
/// # Ok::<(), orrery_links::SyntaxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source<'a> {
    collection: Cow<'a, str>,
    path: Cow<'a, str>,
}

impl<'a> Source<'a> {
    /// Reads `collection:path`. Splits at the first colon, so that a path may hold colons, and puts one
    /// dot before the rest. Neither part is checked: a source that nothing has matches nothing.
    ///
    /// # Errors
    /// When there is no colon.
    pub fn parse(source: &'a str) -> Result<Self, SyntaxError> {
        let Some((collection, rest)) = source.split_once(':') else {
            return Err(SyntaxError::Rule {
                what: "a source",
                rule: "needs a colon between collection and path",
            });
        };
        Ok(Self {
            collection: Cow::Borrowed(collection),
            path: Cow::Owned(format!(".{rest}")),
        })
    }

    /// A source from its parts; the path begins with its dot, as [`Link::path`](crate::Link::path) does.
    ///
    /// # Errors
    /// When the collection holds a colon, or the path does not begin with a dot: no string would read
    /// back as such a source.
    pub fn from_parts(collection: &'a str, path: &'a str) -> Result<Self, SyntaxError> {
        if let Some(offset) = collection.find(':') {
            return Err(SyntaxError::character(
                "the collection of a source",
                collection,
                offset,
            ));
        }
        if !path.starts_with('.') {
            return Err(SyntaxError::Rule {
                what: "the path of a source",
                rule: "must begin with a dot",
            });
        }
        Ok(Self {
            collection: Cow::Borrowed(collection),
            path: Cow::Borrowed(path),
        })
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The path; begins with `.`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same source, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Source<'static> {
        Source {
            collection: self.collection.into_owned().into(),
            path: self.path.into_owned().into(),
        }
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.collection,
            self.path.strip_prefix('.').unwrap_or(&self.path)
        )
    }
}
