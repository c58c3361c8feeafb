//! What is most likely meant where a question is well formed and can match nothing: the answer stays what it is, and
//! says so beside it.

use crate::params::Params;

/// About a question for links.
pub(super) fn of_links(params: &Params) -> Option<String> {
    let scalar = |name| params.scalar(name).ok().flatten();
    if let Some((collection, path)) = scalar("source").and_then(|source| source.split_once(':')) {
        if collection.is_empty() {
            return Some("parameter source has no collection before its colon".to_owned());
        }
        if path.is_empty() {
            return Some("parameter source has no path behind its colon".to_owned());
        }
        if let Some(meant) = path.strip_prefix('.') {
            return Some(format!(
                "parameter source has a path without its first dot: {}:{}",
                shown(collection),
                shown(meant)
            ));
        }
    }
    if let Some(meant) = scalar("pathToOther").and_then(|path| path.strip_prefix('.')) {
        return Some(format!(
            "parameter pathToOther is a path without its first dot: {}",
            shown(meant)
        ));
    }
    // What follows are the parameters of the older generation.
    scalar("target")?;
    if scalar("collection").is_some_and(str::is_empty) {
        return Some("parameter collection is empty".to_owned());
    }
    let path = scalar("path").filter(|path| !path.starts_with('.'))?;
    Some(format!(
        "parameter path begins with a dot: .{}",
        shown(path)
    ))
}

/// As far as a header should carry it: printable ASCII, and not too long.
fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}
