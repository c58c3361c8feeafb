//! Which collections an operator wants in the index.
//!
//! A pattern is an NSID or a prefix of whole segments with `.*` behind it, as in `app.bsky.feed.*`. Account
//! and identity events concern every collection and are never left out.

use std::fmt;

use orrery_links::syntax::Nsid;

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// It is neither an NSID nor a prefix.
    #[error(
        "{pattern:?} selects no collection: {problem}; an NSID (app.bsky.feed.like) or a prefix (app.bsky.*) is wanted"
    )]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// All that is wanted is left out.
    #[error("nothing is selected: {except} leaves out all of {only}")]
    Nothing {
        /// What is wanted.
        only: String,
        /// What is left out.
        except: String,
    },
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
    /// Names the first pattern that is neither an NSID nor a prefix, or tells that nothing can be taken.
    pub fn new(
        only: &[impl AsRef<str>],
        except: &[impl AsRef<str>],
    ) -> Result<Self, SelectionError> {
        let selection = Self {
            only: parse_all(only)?,
            except: parse_all(except)?,
        };
        if selection.is_none() {
            return Err(SelectionError::Nothing {
                only: selection.only().join(", "),
                except: selection.except().join(", "),
            });
        }
        Ok(selection)
    }

    /// Whether everything is taken.
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }

    /// Whether no collection can be taken: all that is wanted is left out.
    fn is_none(&self) -> bool {
        !self.only.is_empty() && self.only.iter().all(|only| within(only, &self.except))
    }

    /// Whether everything that `other` takes is taken. May say no where several patterns together take all of one.
    pub fn covers(&self, other: &Self) -> bool {
        let takes = |pattern: &Pattern| self.only.is_empty() || within(pattern, &self.only);
        let wanted = match other.only.as_slice() {
            [] => self.only.is_empty(),
            only => only
                .iter()
                .all(|pattern| takes(pattern) || within(pattern, &other.except)),
        };
        // What is left out here must not be taken there.
        wanted
            && self.except.iter().all(|except| {
                within(except, &other.except)
                    || !other.only.is_empty()
                        && other
                            .only
                            .iter()
                            .filter_map(|only| only.common(except))
                            .all(|common| within(common, &other.except))
            })
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

/// Whether one of `patterns` matches all that `pattern` does.
fn within(pattern: &Pattern, patterns: &[Pattern]) -> bool {
    patterns.iter().any(|other| other.contains(pattern))
}

impl Pattern {
    /// Whether all that `other` matches is matched.
    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Whole(name)) => self.matches(name),
            (Self::Prefix(prefix), Self::Prefix(longer)) => longer.starts_with(prefix.as_str()),
            (Self::Whole(_), Self::Prefix(_)) => false,
        }
    }

    /// What both match: of two patterns that have anything in common, one contains the other.
    fn common<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        if self.contains(other) {
            Some(other)
        } else {
            other.contains(self).then_some(self)
        }
    }

    fn parse(text: &str) -> Result<Self, SelectionError> {
        let error = |problem: String| SelectionError::Pattern {
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
            assert!(
                error.to_string().starts_with(&format!("{bad:?}")),
                "{error}"
            );
            assert!(error.to_string().contains("app.bsky.*"), "{error}");
            assert!(Selection::new(&[] as &[&str], &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_selection_of_nothing_is_refused() {
        for (only, except) in [
            (&["app.bsky.feed.like"][..], &["app.bsky.*"][..]),
            (&["app.bsky.feed.like"], &["app.bsky.feed.like"]),
            (&["app.bsky.feed.*", "a.b.c"], &["app.bsky.*", "a.b.c"]),
        ] {
            let error = Selection::new(only, except).unwrap_err();
            assert!(error.to_string().contains(except[0]), "{error}");
        }
        selection(&["app.bsky.*"], &["app.bsky.feed.*"]);
        selection(&["app.bsky.feed.like", "a.b.c"], &["app.bsky.*"]);
        selection(&[], &["app.bsky.*"]);
    }

    #[test]
    fn a_selection_covers_another_that_takes_nothing_else() {
        type Patterns = (&'static [&'static str], &'static [&'static str]);
        const NO: &[&str] = &[];
        let cases: &[(Patterns, Patterns, bool)] = &[
            ((NO, NO), (NO, NO), true),
            ((NO, NO), (&["a.b.*"], &["a.b.c.d"]), true),
            ((&["a.b.*"], NO), (NO, NO), false),
            ((&["a.b.*"], NO), (&["a.b.c"], NO), true),
            ((&["a.b.c"], NO), (&["a.b.*"], NO), false),
            ((&["a.b.*"], NO), (&["a.b.c.*", "a.b.d"], NO), true),
            ((&["a.b.*"], NO), (&["a.b.c", "x.y.z"], NO), false),
            // What is wanted and left out is not taken.
            ((&["a.b.*"], NO), (&["a.b.c", "x.y.z"], &["x.y.*"]), true),
            ((NO, &["a.b.*"]), (NO, NO), false),
            ((NO, &["a.b.*"]), (NO, &["a.b.c"]), false),
            ((NO, &["a.b.c"]), (NO, &["a.b.*"]), true),
            ((NO, &["a.b.*"]), (&["x.y.z"], NO), true),
            ((NO, &["a.b.*"]), (&["a.b.c"], NO), false),
            ((NO, &["a.b.c"]), (&["a.b.*"], NO), false),
            ((NO, &["a.b.c"]), (&["a.b.*"], &["a.b.c"]), true),
            (
                (NO, &["a.b.*"]),
                (&["a.b.c.*", "x.y.z"], &["a.b.c.*"]),
                true,
            ),
        ];
        for (whole, part, covered) in cases {
            let (a, b) = (selection(whole.0, whole.1), selection(part.0, part.1));
            assert_eq!(a.covers(&b), *covered, "{a} covers {b}");
        }
    }
}
