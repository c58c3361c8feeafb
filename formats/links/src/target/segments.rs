//! Removal of dot segments (RFC 3986, section 5.2.4), for paths that begin with a slash.

/// Whether the path holds a `.` or `..` segment, or at least a segment that begins with a dot.
pub(crate) fn may_have_dots(path: &str) -> bool {
    path.as_bytes().windows(2).any(|pair| pair == b"/.")
}

/// Appends `path`, which begins with `/`, without its dot segments. `..` at the root stays there.
/// What is appended begins with `/` again.
pub(crate) fn push_without_dots(out: &mut String, path: &str) {
    let root = out.len();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        if segment == ".." {
            let parent = out.get(root..).and_then(|path| path.rfind('/'));
            out.truncate(root + parent.unwrap_or(0));
        }
        if !dots || segments.peek().is_none() {
            out.push('/');
        }
        if !dots {
            out.push_str(segment);
        }
    }
}
