//! Logs go to standard error, warnings and worse unless asked otherwise.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::{Failure, Result};

/// Starts logging by `filter`: levels of targets, as in `orrery_ingest=debug,warn`, or one for all, as in `info`.
///
/// # Errors
///
/// [`Failure::Usage`] when the filter cannot be read.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    let environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(environment.as_deref()).unwrap_or("warn");
    let targets: Targets = filter
        .parse()
        .map_err(|error| Failure::Usage(format!("--log {filter:?}: {error}")))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
    Ok(())
}
