//! Which collections an operator wants in the index.
//!
//! A pattern is an NSID or a prefix of whole segments with `.*` behind it, as in `app.bsky.feed.*`. Account
//! and identity events concern every collection and are never left out.

use std::fmt;

use orrery_links::syntax::Nsid;

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{pattern:?} selects no collection: {problem}; an NSID (app.bsky.feed.like) or a prefix (app.bsky.*) is wanted"
)]
pub struct SelectionError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Which collections are indexed. The default takes all.
///
/// ```
/// use orrery_ingest::Selection;
///
/// let selection = Selection::new(&["app.bsky.*"], &["app.bsky.feed.post"])?;
/// assert!(selection.takes("app.bsky.feed.like"));
/// assert!(!selection.takes("app.bsky.feed.post"));
/// assert!(!selection.takes("sh.tangled.star"));
/// # Ok::<(), orrery_ingest::SelectionError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty for all.
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Whole(String),
    /// With the dot at its end.
    Prefix(String),
}

impl Selection {
    /// Takes the collections that match one of `only` (all, where that is empty) and none of `except`.
    ///
    /// # Errors
    ///
    /// Names the first pattern that is neither an NSID nor a prefix.
    pub fn new(
        only: &[impl AsRef<str>],
        except: &[impl AsRef<str>],
    ) -> Result<Self, SelectionError> {
        Ok(Self {
            only: parse_all(only)?,
            except: parse_all(except)?,
        })
    }

    /// Whether everything is taken.
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }

    /// Whether records of `collection` are indexed. Linear in the number of patterns.
    pub fn takes(&self, collection: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(collection)))
            && !self
                .except
                .iter()
                .any(|pattern| pattern.matches(collection))
    }

    /// The patterns of wanted collections as they were given; empty for all.
    pub fn only(&self) -> Vec<String> {
        self.only.iter().map(Pattern::to_string).collect()
    }

    /// The patterns of unwanted collections as they were given.
    pub fn except(&self) -> Vec<String> {
        self.except.iter().map(Pattern::to_string).collect()
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.only.is_empty() {
            f.write_str("all collections")?;
        } else {
            f.write_str(&self.only().join(", "))?;
        }
        if !self.except.is_empty() {
            write!(f, " except {}", self.except().join(", "))?;
        }
        Ok(())
    }
}

fn parse_all(patterns: &[impl AsRef<str>]) -> Result<Vec<Pattern>, SelectionError> {
    patterns
        .iter()
        .map(|pattern| Pattern::parse(pattern.as_ref().trim()))
        .collect()
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, SelectionError> {
        let error = |problem: String| SelectionError {
            pattern: text.to_owned(),
            problem,
        };
        let Some(prefix) = text.strip_suffix(".*") else {
            return match Nsid::parse(text) {
                Ok(nsid) => Ok(Self::Whole(nsid.as_str().to_owned())),
                Err(problem) => Err(error(problem.to_string())),
            };
        };
        // A prefix is good if some NSID begins with it; two plain segments complete any.
        match Nsid::parse(&format!("{prefix}.a.a")) {
            Ok(_) => Ok(Self::Prefix(format!("{prefix}."))),
            Err(problem) => Err(error(problem.to_string())),
        }
    }

    fn matches(&self, collection: &str) -> bool {
        match self {
            Self::Whole(name) => name == collection,
            Self::Prefix(prefix) => collection.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(only: &[&str], except: &[&str]) -> Selection {
        Selection::new(only, except).unwrap()
    }

    #[test]
    fn nothing_said_takes_everything() {
        assert!(Selection::default().takes("a.b.c"));
        assert!(Selection::default().is_all());
        assert_eq!(Selection::default().to_string(), "all collections");
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let selection = selection(&["app.bsky.*"], &[]);
        assert!(selection.takes("app.bsky.feed.like"));
        assert!(!selection.takes("app.bskyx.feed.like"));
        assert!(!selection.takes("app.bsky"));
    }

    #[test]
    fn exclusion_wins() {
        let selection = selection(&["app.bsky.feed.like", "sh.*"], &["sh.tangled.*"]);
        assert!(selection.takes("app.bsky.feed.like"));
        assert!(!selection.takes("app.bsky.feed.likes"));
        assert!(selection.takes("sh.other.thing"));
        assert!(!selection.takes("sh.tangled.star"));
        assert_eq!(
            selection.to_string(),
            "app.bsky.feed.like, sh.* except sh.tangled.*"
        );
    }

    #[test]
    fn bad_patterns_are_named() {
        for bad in [
            "",
            "*",
            ".*",
            "app",
            "app.bsky",
            "app..*",
            "app.bsky*",
            "a.b.*.c",
            "1a.*",
            "app.bsky.**",
        ] {
            let error = Selection::new(&[bad], &[] as &[&str]).unwrap_err();
            assert_eq!(error.pattern, bad);
            assert!(error.to_string().contains("app.bsky.*"), "{error}");
            assert!(Selection::new(&[] as &[&str], &[bad]).is_err(), "{bad}");
        }
    }
}
