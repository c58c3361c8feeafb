//! Logs go to standard error, warnings and worse unless asked otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Result};

/// Starts logging by `filter`, in the syntax of `tracing` (`info`, `orrery_ingest=debug,warn`).
///
/// # Errors
///
/// [`Failure::Usage`] when the filter cannot be read.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    let environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(environment.as_deref()).unwrap_or("warn");
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::Usage(format!("--log {filter:?}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
