//! The keys of the tree: paths of records.

use sha2::{Digest, Sha256};

/// Longest path in bytes.
pub(super) const PATH_MOST: usize = 1024;

/// True for what can be a key of a tree: `collection/rkey`, neither of them empty, in the characters that
/// the two may have. That the collection is an NSID is for others to check.
#[must_use]
pub fn is_path(path: &str) -> bool {
    let Some((collection, rkey)) = path.split_once('/') else {
        return false;
    };
    path.len() <= PATH_MOST && is_part(collection) && is_part(rkey)
}

/// True for a part of a path.
pub(crate) fn is_part(part: &str) -> bool {
    let allowed =
        |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':' | b'~');
    !part.is_empty() && part.bytes().all(allowed)
}

/// The layer on which a key stands, counted from the leaves.
#[must_use]
pub fn layer(key: &[u8]) -> u32 {
    let digest = Sha256::digest(key);
    let mut zeros = 0;
    for byte in digest {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_two_parts_of_the_allowed_characters() {
        for path in ["a/b", "app.bsky.feed.post/3k~_-:.", "A0/374913"] {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "", "/", "a", "a/", "/b", "a/b/c", "a//b", "a b/c", "a/b ", "a/é", "a/b\0", "a/b%",
        ] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_path(&format!("a/{}", "b".repeat(1022))));
        assert!(!is_path(&format!("a/{}", "b".repeat(1023))));
    }
}
