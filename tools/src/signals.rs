//! The signals by which a running server is asked to end. The first one asks; the second one insists.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// Both signals, caught from the moment this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches SIGINT and SIGTERM. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] when the handlers cannot be set.
    pub(crate) fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).map_err(Failure::system("cannot catch signals"));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for either. Cancel safe.
    pub(crate) async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
