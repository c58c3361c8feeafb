//! Instructions, where valgrind is there: they hardly depend on the machine or on what else it does.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;

/// Whether valgrind can be run.
pub(crate) fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs `program` with `arguments` under callgrind, and tells the instructions that it took in all threads; within the
/// functions whose names match `only`, if that is given.
pub(crate) fn instructions(program: &Path, arguments: &[&str], only: Option<&str>) -> Result<u64> {
    let mut options = vec!["--callgrind-out-file=/dev/null".to_owned()];
    if let Some(name) = only {
        options.push("--collect-atstart=no".to_owned());
        options.push(format!("--toggle-collect={name}"));
    }
    let told = run(&options, program, arguments)?;
    collected(&told).ok_or_else(|| "callgrind does not tell what it collected".into())
}

/// Runs `program` with `arguments` under callgrind, which writes what it has counted into the file `out`.
pub(crate) fn written(program: &Path, arguments: &[&str], out: &Path) -> Result<()> {
    let option = format!("--callgrind-out-file={}", out.display());
    run(&[option], program, arguments).map(drop)
}

/// Gives what callgrind prints.
fn run(options: &[String], program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .args(options)
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} under callgrind: {told}", program.display()).into());
    }
    Ok(told.into_owned())
}

/// The sum that callgrind prints last: `==PID== Collected : N`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("Collected :")?;
        Some(rest)
    })?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_from_the_last_lines() {
        let text = "==7== Events    : Ir\n==7== Collected : 123456789\n==7== \n==7== I   refs:      123,456,789\n";
        assert_eq!(collected(text), Some(123_456_789));
        assert_eq!(collected("==7== Collected : \n"), None);
        assert_eq!(collected(""), None);
    }
}
