//! The signals by which a running server is asked to end. The first one asks; the second one insists.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// The same signal again within this time is no second wish: whoever ends a whole group of processes may ask one of them twice.
const SAME_WISH: Duration = Duration::from_secs(1);

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

    /// Waits for another one after `first`. Cancel safe.
    pub(crate) async fn again(&mut self, first: &'static str, since: Instant) -> &'static str {
        loop {
            let name = self.any().await;
            if name != first || since.elapsed() >= SAME_WISH {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Number, getpid, kill_process};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_same_signal_at_once_is_no_second_wish() {
        let mut signals = Signals::catch().unwrap();
        let send = |number| kill_process(getpid(), number).unwrap();
        send(Number::TERM);
        assert_eq!(signals.any().await, "SIGTERM");
        let since = Instant::now();
        send(Number::TERM);
        let waited = timeout(SAME_WISH / 5, signals.again("SIGTERM", since)).await;
        assert!(
            waited.is_err() || since.elapsed() >= SAME_WISH,
            "{waited:?}"
        );
        // Another one is, and so is the same one later.
        send(Number::INT);
        assert_eq!(signals.again("SIGTERM", since).await, "SIGINT");
        let long_ago = since.checked_sub(SAME_WISH).unwrap();
        send(Number::TERM);
        assert_eq!(signals.again("SIGTERM", long_ago).await, "SIGTERM");
    }
}
