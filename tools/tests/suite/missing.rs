//! What is said of directories that are not there or are something else, and of words that are nearly right.

use crate::common::{orrery, text};

/// The exit code and what was said on standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = orrery().args(arguments).output().unwrap();
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_directory_that_is_not_there_is_named_with_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (none, file, new) = (path("none"), path("file"), path("new"));
    std::fs::write(&file, "").unwrap();
    for (place, is) in [(&none, "is not there"), (&file, "is a file")] {
        for words in [
            &["inspect", "--data", place][..],
            &["verify", "--data", place],
            &["dump", "--data", place],
            &["backup", "--data", place, "--to", &new],
            &["replay", "--from", place, "--data", &new],
            &["restore", "--from", place, "--data", &new],
        ] {
            let (code, said) = run(words);
            let wanted = match words[0] {
                "restore" => "the directory of a backup",
                _ => "a data directory",
            };
            let told = format!("error: {place} {is}; name {wanted}");
            assert!(said.starts_with(&told), "{words:?}: {said}");
            assert_eq!(code, Some(1), "{words:?}");
            assert!(!std::fs::exists(&new).unwrap(), "{words:?}");
        }
    }
}

#[test]
fn words_that_are_nearly_right_are_asked_about() {
    for (words, meant) in [
        (&["verfy", "--data", "d"][..], "'verify'"),
        (&["verify", "--dta", "d"], "'--data'"),
        (
            &["serve", "--data", "d", "--jetsteam", "us-east-1"],
            "'--jetstream'",
        ),
        (&["dump", "--data", "d", "--what", "link"], "'links'"),
    ] {
        let (code, said) = run(words);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(meant), "{words:?}: {said}");
    }
}
