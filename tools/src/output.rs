//! The two streams of a terminal program. Answers go to standard output, where a failure matters; notes go
//! to standard error, where it cannot be told to anyone.

use std::fmt::Arguments;
use std::io::Write;

use crate::failure::{Failure, Result};

/// Writes a line to standard output.
///
/// # Errors
///
/// [`Failure::Output`], a closed pipe above all.
pub(crate) fn line(text: Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(Failure::stdout)
}

/// As [`line`], of a command that judges: where nobody reads any more, its exit code still says what it found.
///
/// # Errors
///
/// As [`line`], but for a closed pipe.
pub(crate) fn line_if_read(text: Arguments<'_>) -> Result<()> {
    match line(text) {
        Err(failure) if failure.is_closed_output() => Ok(()),
        written => written,
    }
}

/// Writes a line to standard error.
pub(crate) fn note(text: Arguments<'_>) {
    // When standard error is gone, there is nowhere left to say so.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Standard output for many lines.
pub(crate) fn lines() -> std::io::BufWriter<std::io::StdoutLock<'static>> {
    std::io::BufWriter::with_capacity(256 << 10, std::io::stdout().lock())
}
