//! A configuration file with every key, commented out: what it means, its variable, and its default or, where it has none, an example.

use std::fmt::Write as _;

use super::keys::{Key, keys};

/// The width of its comments.
const WIDTH: usize = 100;

const HEAD: &str = "\
The configuration of orrery, for `orrery serve --config FILE` or the variable ORRERY_CONFIG=FILE.

Each key is an option of `orrery serve`, without its dashes. An option given on the command line comes before its \
variable, that before this file, and that before the default; of a list the first of these counts as a whole. \
Sizes are written like \"512KiB\", \"2GiB\" or as bytes, durations like \"30s\", \"48h\" or \"2d\", switches as true or false, lists \
like [\"a\", \"b\"]. A relative path begins where the program is started. Other commands that have --config take \
the keys that are options of theirs.

`orrery config --check` names every mistake, `orrery config` prints what is in effect, and `orrery doctor` tells whether this \
machine is up to it.";

/// The whole file.
pub(crate) fn template() -> String {
    let mut text = String::new();
    comment(&mut text, HEAD);
    let keys = keys();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for key in &keys {
        if !headings.contains(&key.heading()) {
            headings.push(key.heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            let _ = write!(text, "\n\n#### {heading}\n");
        }
        for key in keys.iter().filter(|key| key.heading() == heading) {
            entry(&mut text, key);
        }
    }
    text
}

fn entry(text: &mut String, key: &Key) {
    text.push('\n');
    comment(text, &key.help());
    let variable = key.variable().unwrap_or_default();
    match key.defaults() {
        Some(_) => comment(text, &format!("Variable {variable}. By default:")),
        None => comment(
            text,
            &format!("Variable {variable}. Not set by default; for example:"),
        ),
    }
    let _ = writeln!(text, "#{}", key.line());
}

/// Writes a text as comments.
fn comment(text: &mut String, said: &str) {
    for paragraph in said.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
                let _ = writeln!(text, "{line}");
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(text, "{line}");
    }
}
