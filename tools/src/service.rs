//! What a service manager such as systemd is told of a running server, by the protocol of `sd_notify`, and the
//! listening socket that it may pass. Without a manager (no `NOTIFY_SOCKET`, no `LISTEN_FDS`) nothing of this does anything.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use orrery_server::{Index as _, Status};
use sd_notify::NotifyState;

use crate::failure::{Failure, Result};
use crate::health::Health;
use crate::index::StoreIndex;

/// Longest time between two reports. A watchdog is told at least three times in its time.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Longest status in bytes; what is more is cut off. A datagram has room for far more, a line of a terminal has not.
const STATUS_BYTES_MAX: usize = 512;

/// The socket that the service manager listens on for this process, if it passes one.
///
/// # Errors
///
/// [`Failure::Usage`] for several sockets, since only one can be answered on; [`Failure::System`] for one that is not a
/// listening TCP socket.
pub(crate) fn passed_listener() -> Result<Option<TcpListener>> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(Failure::Usage(format!(
            "{} sockets are passed by LISTEN_FDS; give one ListenStream to orrery.socket",
            passed.len()
        )));
    }
    let taken = passed.take_tcp_listener(0).and_then(|listener| {
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
        }
        Ok(listener)
    });
    taken.map_err(Failure::system(
        "cannot use the socket that is passed by LISTEN_FDS",
    ))
}

/// Tells the manager that the server is ready, then again and again how it is, and keeps its watchdog quiet while
/// everything goes on: the task that accepts connections, since this is to be polled by the same one; the threads that answer, since
/// one of them reads the status of the index; and the writer, by its pulse. Never ends.
pub(crate) async fn tell(index: Arc<StoreIndex>, health: Option<Arc<Health>>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let every = sd_notify::watchdog_enabled().map_or(REPORT_EVERY, |time| {
        (time / 3).clamp(Duration::from_millis(1), REPORT_EVERY)
    });
    let mut writer = Writer::default();
    let mut is_ready = false;
    loop {
        let read = tokio::task::spawn_blocking({
            let index = Arc::clone(&index);
            move || index.status()
        });
        // A panic there is told by the runtime. Without an answer nothing is told, and the watchdog runs out.
        if let Ok(status) = read.await {
            let line = line(&status);
            let mut states = vec![NotifyState::Status(&line)];
            if !is_ready {
                states.push(NotifyState::Ready);
                is_ready = true;
            }
            if writer.goes_on(health.as_ref().and_then(|health| health.pulse().turns())) {
                states.push(NotifyState::Watchdog);
            }
            notify(&states);
        }
        tokio::time::sleep(every).await;
    }
}

/// Tells the manager what takes the time before the server is ready.
pub(crate) fn opening(data: &Path) {
    notify(&[NotifyState::Status(&format!("Opens {}", data.display()))]);
}

/// Tells the manager that the server is about to end.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// What was last seen of the writer.
#[derive(Debug, Default)]
struct Writer {
    turns: Option<u64>,
}

impl Writer {
    /// Whether the writer has moved since the last call, or there is none: nothing is followed, or it has ended in good
    /// order after a failure, which health tells, while queries go on.
    fn goes_on(&mut self, turns: Option<u64>) -> bool {
        let goes_on = turns.is_none() || turns != self.turns;
        self.turns = turns;
        goes_on
    }
}

/// How the server is, in one line.
fn line(status: &Status) -> String {
    let mut line = match (&status.degraded, &status.source, status.lag_us) {
        (Some(why), ..) => why.replace(['\n', '\r'], " "),
        (None, Some(source), Some(lag_us)) => {
            format!("Follows {source}, {} s behind", lag_us / 1_000_000)
        }
        (None, Some(source), None) => format!("Follows {source}, no event yet"),
        (None, None, _) => "Answers, follows nothing".to_owned(),
    };
    let mut bytes = STATUS_BYTES_MAX.min(line.len());
    while !line.is_char_boundary(bytes) {
        bytes -= 1;
    }
    line.truncate(bytes);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_stands_still_does_not_go_on_and_one_that_has_ended_is_not_waited_for() {
        let mut writer = Writer::default();
        assert!(writer.goes_on(Some(0)));
        assert!(!writer.goes_on(Some(0)));
        assert!(writer.goes_on(Some(7)));
        assert!(!writer.goes_on(Some(7)));
        assert!(writer.goes_on(None));
        assert!(writer.goes_on(None));
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        let mut status = Status {
            source: Some("wss://a.example".to_owned()),
            lag_us: Some(2_900_000),
            ..Status::default()
        };
        assert_eq!(line(&status), "Follows wss://a.example, 2 s behind");
        status.degraded = Some(format!("a\nb{}", "é".repeat(STATUS_BYTES_MAX)));
        let line = line(&status);
        assert!(line.starts_with("a bé") && line.len() <= STATUS_BYTES_MAX);
        assert!(line.len() > STATUS_BYTES_MAX - 2 && line.lines().count() == 1);
    }
}
