//! Gives the program its version with the commit that it was built from: `SOURCE_COMMIT` where that is set, as for a
//! build out of a tarball, else the one that is checked out. Neither times nor paths get in, so that the same
//! sources give the same version; and it runs again only when the commit has changed.

use std::path::Path;
use std::process::Command;

/// So many digits of a commit.
const DIGITS: usize = 12;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    let given = std::env::var("SOURCE_COMMIT").unwrap_or_default();
    let commit = if given.is_empty() {
        checked_out()
    } else {
        Some(given)
    };
    let version = env!("CARGO_PKG_VERSION");
    let version = match commit {
        None => version.to_owned(),
        Some(commit) if commit.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let commit: String = commit.chars().take(DIGITS).collect();
            format!("{version} ({commit})")
        }
        Some(commit) => {
            return Err(format!(
                "SOURCE_COMMIT is {commit:?}; it has to be letters and digits"
            ));
        }
    };
    println!("cargo::rustc-env=BUILD_VERSION={version}");
    Ok(())
}

/// The commit of the git repository whose folder `tools` this is, if it is one.
fn checked_out() -> Option<String> {
    // Elsewhere, as in a tarball unpacked within another repository, it would be a commit of something else.
    if git(&["rev-parse", "--show-prefix"])? != "tools/" {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    // HEAD changes with the branch, its log with every commit. What is not there would have this run each time.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
