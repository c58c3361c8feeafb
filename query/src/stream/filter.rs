//! What one subscriber wants: four lists, compared byte for byte.

use orrery_links::{TargetKind, parse_target};

use crate::error::StreamError;

/// The most subjects of one subscriber.
pub const SUBJECTS_MAX: usize = 50_000;
/// The most prefixes of subjects.
pub const PREFIXES_MAX: usize = 100;
/// The most bytes of a prefix.
pub const PREFIX_BYTES_MAX: usize = 512;
/// The most accounts.
pub const DIDS_MAX: usize = 10_000;
/// The most sources.
pub const SOURCES_MAX: usize = 1_000;

/// What one subscriber wants: links whose subject is in one of the first three lists, if any of them is
/// given, and whose source is in the fourth, if that is given. Empty lists want everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Subjects.
    pub subjects: Vec<String>,
    /// Beginnings of subjects.
    pub prefixes: Vec<String>,
    /// Accounts: the subject is the DID itself, or an at-uri of the account.
    pub dids: Vec<String>,
    /// Sources, as `collection:path` without the path's first dot.
    pub sources: Vec<String>,
}

impl Filters {
    /// Checks how long the lists are, and the prefixes.
    ///
    /// # Errors
    /// [`StreamError::TooMany`] with the name of the first list that is too long; [`StreamError::TooLong`] if a prefix
    /// is.
    pub fn check(&self) -> Result<(), StreamError> {
        for (list, values, limit) in [
            ("wantedSubjects", &self.subjects, SUBJECTS_MAX),
            ("wantedSubjectPrefixes", &self.prefixes, PREFIXES_MAX),
            ("wantedSubjectDids", &self.dids, DIDS_MAX),
            ("wantedSources", &self.sources, SOURCES_MAX),
        ] {
            if values.len() > limit {
                return Err(StreamError::TooMany {
                    list,
                    found: values.len(),
                    limit,
                });
            }
        }
        let mut lengths = self.prefixes.iter().map(String::len);
        match lengths.find(|length| *length > PREFIX_BYTES_MAX) {
            Some(found) => Err(StreamError::TooLong {
                list: "wantedSubjectPrefixes",
                found,
                limit: PREFIX_BYTES_MAX,
            }),
            None => Ok(()),
        }
    }

    /// Whether every link is wanted.
    #[must_use]
    pub fn wants_everything(&self) -> bool {
        self.sources.is_empty() && self.wants_every_subject()
    }

    pub(crate) fn wants_every_subject(&self) -> bool {
        self.subjects.is_empty() && self.prefixes.is_empty() && self.dids.is_empty()
    }

    /// Whether the link is wanted, found by looking at all values; [`FilterIndex`](super::FilterIndex) finds
    /// the same for many subscribers at once.
    #[must_use]
    pub fn matches(&self, subject: &str, source: &str) -> bool {
        let is_subject_wanted = || {
            let did = subject_did(subject);
            self.subjects.iter().any(|wanted| wanted == subject)
                || self
                    .prefixes
                    .iter()
                    .any(|prefix| subject.starts_with(&**prefix))
                || did.is_some_and(|did| self.dids.iter().any(|wanted| wanted == did))
        };
        (self.sources.is_empty() || self.sources.iter().any(|wanted| wanted == source))
            && (self.wants_every_subject() || is_subject_wanted())
    }
}

/// The account that a subject is of: the authority of an at-uri, which ends with a path, a query or a
/// fragment; or the DID that the subject is. Other URIs are of none, even those that look like a DID.
pub(crate) fn subject_did(subject: &str) -> Option<&str> {
    if let Some(rest) = subject.strip_prefix("at://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        return rest.get(..end);
    }
    let is_did =
        subject.starts_with("did:") && matches!(parse_target(subject), Some((_, TargetKind::Did)));
    is_did.then_some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|s| (*s).to_owned()).collect()
    }

    const LIKE: &str = "com.ex.like:subject.uri";

    #[test]
    fn no_lists_want_everything() {
        let all = Filters::default();
        assert!(all.wants_everything());
        assert!(all.matches("did:plc:a", LIKE));
    }

    #[test]
    fn any_list_of_subjects_suffices_but_the_source_must_match_too() {
        let filters = Filters {
            subjects: strings(&["https://x.example/"]),
            prefixes: strings(&["mailto:"]),
            dids: strings(&["did:plc:a"]),
            sources: strings(&[LIKE]),
        };
        for subject in [
            "https://x.example/",
            "mailto:a@b.example",
            "did:plc:a",
            "at://did:plc:a/c.d.e/k",
        ] {
            assert!(filters.matches(subject, LIKE), "{subject}");
            assert!(
                !filters.matches(subject, "com.ex.like:subject"),
                "{subject}"
            );
        }
        for subject in [
            "https://x.example",
            "https://x.example/a",
            "xmailto:a",
            "did:plc:ab",
        ] {
            assert!(!filters.matches(subject, LIKE), "{subject}");
        }
        let only_source = Filters {
            sources: strings(&[LIKE]),
            ..Filters::default()
        };
        assert!(only_source.matches("https://anything.example", LIKE));
        assert!(!only_source.matches("https://anything.example", "com.ex.like:.subject.uri"));
    }

    #[test]
    fn an_account_owns_its_did_and_every_at_uri_with_it() {
        let filters = Filters {
            dids: strings(&["did:plc:a"]),
            ..Filters::default()
        };
        for subject in [
            "did:plc:a",
            "at://did:plc:a",
            "at://did:plc:a/c.d.e",
            "at://did:plc:a#x",
            "at://did:plc:a?x=/y",
        ] {
            assert!(filters.matches(subject, LIKE), "{subject}");
        }
        for subject in [
            "at://did:plc:ab",
            "at://did:plc:b/did:plc:a",
            "https://did:plc:a/",
            "did:plc:a#x",
            "did:plc:",
        ] {
            assert!(!filters.matches(subject, LIKE), "{subject}");
        }
    }

    #[test]
    fn a_uri_that_looks_like_a_did_is_of_no_account() {
        let filters = Filters {
            dids: strings(&["did:PLC:abc", "did:plc:abc/p"]),
            ..Filters::default()
        };
        assert!(!filters.matches("did:PLC:abc", LIKE));
        assert!(!filters.matches("did:plc:abc/p", LIKE));
    }

    #[test]
    fn a_list_that_is_too_long_is_named() {
        let values = |count: usize| vec!["x".to_owned(); count];
        let cases = [
            ("wantedSubjects", SUBJECTS_MAX),
            ("wantedSubjectPrefixes", PREFIXES_MAX),
            ("wantedSubjectDids", DIDS_MAX),
            ("wantedSources", SOURCES_MAX),
        ];
        for (i, (list, limit)) in cases.into_iter().enumerate() {
            let filters = |count| {
                let of = |at| if at == i { values(count) } else { Vec::new() };
                Filters {
                    subjects: of(0),
                    prefixes: of(1),
                    dids: of(2),
                    sources: of(3),
                }
            };
            assert_eq!(filters(limit).check(), Ok(()), "{list}");
            let error = filters(limit + 1).check().unwrap_err();
            let expected = format!(
                "{list} has {} values: at most {limit} are allowed",
                limit + 1
            );
            assert_eq!(error.to_string(), expected);
        }
    }
}
