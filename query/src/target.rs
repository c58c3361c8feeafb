//! The forms in which a target is tried. Links are stored under the normal form of their string; a query
//! may name a target in another form, and an account by its at-uri.

use orrery_links::normalise_target;

use crate::error::{CursorError, Result};
use crate::view::{List, View};

/// A target under the form that a query settled on.
pub(crate) struct Subject<K> {
    /// Which of the forms it is; cursors remember it, so that a walk stays with one.
    pub(crate) candidate: u8,
    /// The form.
    pub(crate) text: String,
    /// Its key in the index.
    pub(crate) key: K,
}

/// The strings under which links to `target` may be stored, in the order in which they are tried: as
/// given, normalised, and for the at-uri of an account also `at://DID` and `DID`. Never empty, at most five.
pub(crate) fn candidates(target: &str) -> Vec<String> {
    let mut forms = vec![target.to_owned()];
    let mut add = |form: String| {
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    let normalised = normalise_target(target);
    if let Some(normalised) = &normalised {
        add(normalised.clone().into_owned());
    }
    for form in [Some(target), normalised.as_deref()].into_iter().flatten() {
        if let Some(did) = account_of(form) {
            add(format!("at://{did}"));
            add(did.to_owned());
        }
    }
    forms
}

/// The DID of an at-uri that names an account.
fn account_of(target: &str) -> Option<&str> {
    let rest = target.strip_prefix("at://")?;
    let did = rest.strip_suffix('/').unwrap_or(rest);
    (did.starts_with("did:") && !did.contains(['/', '?', '#'])).then_some(did)
}

/// Settles on the first form of `target` that has live links from the source; the one named by a cursor where
/// there is one. `None` when there can be no links under any.
pub(crate) fn resolve<V: View>(
    view: &V,
    target: &str,
    collection: &str,
    path: &str,
    pinned: Option<u8>,
) -> Result<Option<Subject<V::Key>>> {
    let forms = candidates(target);
    if let Some(candidate) = pinned {
        let text = forms
            .into_iter()
            .nth(usize::from(candidate))
            .ok_or(CursorError::Damaged)?;
        return Ok(view.target_key(&text)?.map(|key| Subject {
            candidate,
            text,
            key,
        }));
    }
    let last = forms.len() - 1;
    for (i, text) in forms.into_iter().enumerate() {
        let Some(key) = view.target_key(&text)? else {
            continue;
        };
        // Nothing is left to prefer the last form to: whether it has links shows in the answer.
        if i == last || has_live_links(view, &key, collection, path)? {
            return Ok(Some(Subject {
                candidate: i as u8,
                text,
                key,
            }));
        }
    }
    Ok(None)
}

fn has_live_links<V: View>(view: &V, key: &V::Key, collection: &str, path: &str) -> Result<bool> {
    // The newest part is the likeliest to have one.
    for (_, list) in view.lists(key, collection, path)?.into_iter().rev() {
        if list.len() > list.masked()? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_an_account_end_with_the_did() {
        for given in ["at://did:plc:abc", "at://did:plc:abc/"] {
            let forms = candidates(given);
            assert_eq!(forms.first().map(String::as_str), Some(given));
            assert!(forms.contains(&"at://did:plc:abc".to_owned()), "{forms:?}");
            assert_eq!(forms.last().map(String::as_str), Some("did:plc:abc"));
            assert!(forms.len() <= 5);
        }
    }

    #[test]
    fn a_target_in_normal_form_is_tried_once() {
        for given in [
            "did:plc:abc",
            "at://did:plc:abc/a.b.c/r",
            "https://ex.example/b",
            "no link at all",
        ] {
            assert_eq!(candidates(given), [given]);
        }
        assert_eq!(
            candidates("HTTPS://Ex.Example/a/../b"),
            ["HTTPS://Ex.Example/a/../b", "https://ex.example/b"]
        );
    }
}
