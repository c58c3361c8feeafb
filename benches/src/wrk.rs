//! The load generator `wrk`, where it is installed: it takes a fraction of what a client in this process takes, so that the
//! server is what is measured.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Result;

/// Connections, as many as the own load has.
const CONNECTIONS: &str = "32";

/// Whether it can be run.
pub(crate) fn is_there() -> bool {
    // It has no option that succeeds without a load.
    Command::new("wrk")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Answers in `turn`, from one thread on this process's own cores.
pub(crate) fn answered(address: SocketAddr, path: &str, turn: Duration) -> Result<u64> {
    let seconds = format!("{}s", turn.as_secs().max(1));
    let output = Command::new("wrk")
        .args(["-t1", "-c", CONNECTIONS, "-d", &seconds])
        .arg(format!("http://{address}{path}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).map_err(|why| format!("wrk, {path}: {why}").into())
}

/// The number of answers that it tells of; none where some were no success.
fn parse(text: &str) -> std::result::Result<u64, &'static str> {
    if text.contains("Non-2xx or 3xx responses") || text.contains("Socket errors") {
        return Err("not all answers were a success");
    }
    let line = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .ok_or("it tells no number of answers")?;
    let count = line.split_whitespace().next().unwrap_or_default();
    count.parse().map_err(|_| "it tells no number of answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 3s test @ http://127.0.0.1:1/x\n  1 threads and 32 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   612.06us   98.19us   2.02ms   83.87%\n  \
        155555 requests in 3.10s, 22.25MB read\nRequests/sec:  50179.03\nTransfer/sec:      7.18MB\n";

    #[test]
    fn answers_are_counted_unless_some_failed() {
        assert_eq!(parse(TEXT), Ok(155_555));
        assert!(parse(&format!("{TEXT}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(parse(&format!("{TEXT}  Socket errors: connect 0, read 5\n")).is_err());
        assert!(parse("unable to connect").is_err());
    }
}
