//! The strict parsers against every line of the official interop vectors, valid and invalid.
//!
//! The vectors are not part of this repository: they are looked for beside it, or where
//! `ORRERY_SHARED` says, and without them these tests say that they were skipped.

use std::path::{Path, PathBuf};

use orrery_links::SyntaxError;
use orrery_links::syntax::{AtIdentifier, AtUri, Cid, Did, Handle, Nsid, RecordKey, Tid};

fn vectors() -> Option<PathBuf> {
    let shared = match std::env::var_os("ORRERY_SHARED") {
        Some(shared) => PathBuf::from(shared),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let vectors = shared.join("data/interop/syntax");
    if vectors.is_dir() {
        return Some(vectors);
    }
    eprintln!("skipped: no interop vectors at {}", vectors.display());
    None
}

/// Cases of a file: each line that is neither empty nor a comment, with its spaces.
fn cases(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let cases: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(str::to_owned)
        .collect();
    assert!(!cases.is_empty(), "{} holds no case", file.display());
    cases
}

/// Runs both files of one identifier; `parse` gives the string that the parsed value writes.
fn check(name: &str, parse: impl Fn(&str) -> Result<String, SyntaxError>) {
    let Some(vectors) = vectors() else { return };
    for case in cases(&vectors.join(format!("{name}_syntax_valid.txt"))) {
        match parse(&case) {
            Ok(written) => assert_eq!(written, case),
            Err(error) => panic!("{name} {case:?} is valid, but: {error}"),
        }
    }
    for case in cases(&vectors.join(format!("{name}_syntax_invalid.txt"))) {
        let error = parse(&case)
            .err()
            .unwrap_or_else(|| panic!("{name} {case:?} is invalid, but passes"));
        assert!(error.to_string().len() > 10, "{error}");
    }
}

#[test]
fn dids() {
    check("did", |s| Did::parse(s).map(|did| did.to_string()));
}

#[test]
fn handles() {
    check("handle", |s| {
        Handle::parse(s).map(|handle| handle.to_string())
    });
}

#[test]
fn at_identifiers() {
    check("atidentifier", |s| {
        AtIdentifier::parse(s).map(|id| id.to_string())
    });
}

#[test]
fn nsids() {
    check("nsid", |s| {
        Nsid::parse(s).map(|nsid| format!("{}.{}", nsid.authority(), nsid.name()))
    });
}

#[test]
fn record_keys() {
    check("recordkey", |s| {
        RecordKey::parse(s).map(|key| key.to_string())
    });
}

#[test]
fn tids() {
    check("tid", |s| Tid::parse(s).map(|tid| tid.to_string()));
}

#[test]
fn at_uris() {
    check("aturi", |s| AtUri::parse(s).map(|uri| uri.to_string()));
}

#[test]
fn cids() {
    check("cid", |s| Cid::parse(s).map(|cid| cid.to_string()));
}

/// The lenient test agrees with the vectors for URIs where it can: all valid lines are links.
#[test]
fn valid_uris_are_links() {
    let Some(vectors) = vectors() else { return };
    for case in cases(&vectors.join("uri_syntax_valid.txt")) {
        assert!(
            orrery_links::parse_target(&case).is_some(),
            "{case:?} is a URI"
        );
    }
}
