//! What a server asks, and where it answers: each tried once, within a short time.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use orrery_jetstream::{Client, Config, Delivery, without_secrets};
use orrery_resolve::{DnsError, FetchError, Request};

use super::{Finding, State};
use crate::cli::ServeArguments;
use crate::config::Settings;
use crate::edge::EdgeSettings;
use crate::failure::Result;
use crate::running;

/// How long each of them has.
const PATIENCE: Duration = Duration::from_secs(6);
/// A name with the records that handles are found by.
const NAME: &str = "_atproto.bsky.app";

/// Whether what is to be listened on is free.
pub(super) fn ports(
    settings: &Settings,
    is_in_use: bool,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    for (name, address) in settings.listens_on() {
        tell(port(name, address, is_in_use))?;
    }
    Ok(())
}

fn port(name: &str, address: SocketAddr, is_in_use: bool) -> Finding {
    let what = "port";
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(what, format!("{address} (--{name}) is free")),
        Err(error) => error,
    };
    let found = format!("{address} (--{name}): {error}");
    match error.kind() {
        std::io::ErrorKind::AddrInUse if is_in_use => Finding::ok(
            what,
            format!("{address} (--{name}) is taken, and so is the data directory: a server runs"),
        ),
        std::io::ErrorKind::AddrInUse => {
            let advice = format!("stop what listens there, or choose another --{name}");
            Finding::new(what, State::Fail, found, advice)
        }
        std::io::ErrorKind::PermissionDenied => {
            let advice = format!(
                "choose a port above 1023 for --{name}, or allow this one (AmbientCapabilities=CAP_NET_BIND_SERVICE)"
            );
            Finding::new(what, State::Fail, found, advice)
        }
        _ => {
            let advice = format!("choose an address of this machine for --{name}");
            Finding::new(what, State::Fail, found, advice)
        }
    }
}

/// Asks the source, the directory of DIDs and the name server. Gives the time of the source's newest event.
pub(super) fn examine(
    arguments: &ServeArguments,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<Option<u64>> {
    let runtime = running::runtime()?;
    let edge = EdgeSettings::of(&arguments.edge, arguments.jetstream.is_some());
    let (source, plc, names) = runtime.block_on(async {
        tokio::join!(
            source(arguments.jetstream.as_deref()),
            plc(&edge),
            names(&edge)
        )
    });
    running::end(runtime);
    let (found, time_us) = source;
    tell(found)?;
    tell(plc)?;
    tell(names)?;
    Ok(time_us)
}

/// What comes of it within the time that it has.
async fn within<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, future).await.ok()
}

async fn source(server: Option<&str>) -> (Finding, Option<u64>) {
    let what = "source";
    let Some(server) = server else {
        let why = "none is followed: without --jetstream queries are answered from what is there";
        return (Finding::skipped(what, why), None);
    };
    let shown = without_secrets(server);
    let advice = "check the name, the network of this machine and its firewall; `orrery serve` tries again until it answers";
    let failed = |problem: String| {
        let found = format!("{shown}: {problem}");
        (Finding::new(what, State::Fail, found, advice), None)
    };
    let started = Instant::now();
    let mut subscription =
        match Client::new(Config::new(server)).and_then(|client| client.subscribe()) {
            Ok(subscription) => subscription,
            Err(error) => return failed(error.to_string()),
        };
    let mut is_connected = false;
    let first = async {
        loop {
            match subscription.next().await {
                Some(Delivery::Batch(batch)) => {
                    let times = batch.events().filter_map(|event| Some(event.ok()?.time_us));
                    return Ok(times.max());
                }
                Some(Delivery::Connected { .. }) => is_connected = true,
                Some(Delivery::Disconnected { error, .. } | Delivery::Failed(error)) => {
                    return Err(error.to_string());
                }
                None => return Err("the connection ended".to_owned()),
                Some(_) => {}
            }
        }
    };
    match within(first).await {
        Some(Ok(time_us)) => {
            let found = format!(
                "{shown} sent events after {:.1} s",
                started.elapsed().as_secs_f64()
            );
            (Finding::ok(what, found), time_us)
        }
        Some(Err(problem)) => failed(problem),
        None if is_connected => {
            let found = format!("{shown} is connected to, and was silent for {PATIENCE:?}");
            let advice = "a quiet network of one's own is; the public servers never are";
            (Finding::new(what, State::Warn, found, advice), None)
        }
        None => failed(format!("no connection within {PATIENCE:?}")),
    }
}

async fn plc(edge: &EdgeSettings) -> Finding {
    let what = "PLC directory";
    if !edge.fetches() {
        return Finding::skipped(what, "not asked with these settings");
    }
    let url = format!("{}/_health", edge.plc().trim_end_matches('/'));
    let advice = "accounts cannot be looked up until it answers: check --plc, the network of this machine and its firewall";
    let client = match edge.client() {
        Ok(client) => client,
        Err(failure) => return Finding::new(what, State::Fail, failure.to_string(), advice),
    };
    let started = Instant::now();
    let answered = within(client.get(Request::new(url, 64 << 10))).await;
    match answered {
        Some(Ok(answer)) => {
            let found = format!(
                "{} answers {} after {:.1} s",
                without_secrets(edge.plc()),
                answer.status,
                started.elapsed().as_secs_f64()
            );
            Finding::ok(what, found)
        }
        // It has the whole URL.
        Some(Err(FetchError::BadUrl { problem, .. })) => {
            let found = format!(
                "{} is not asked for: {problem}",
                without_secrets(edge.plc())
            );
            Finding::new(what, State::Warn, found, advice)
        }
        Some(Err(error)) => Finding::new(what, State::Warn, error.to_string(), advice),
        None => {
            let found = format!(
                "{} does not answer within {PATIENCE:?}",
                without_secrets(edge.plc())
            );
            Finding::new(what, State::Warn, found, advice)
        }
    }
}

async fn names(edge: &EdgeSettings) -> Finding {
    let what = "name server";
    if !edge.fetches() {
        return Finding::skipped(what, "not asked with these settings");
    }
    let advice = "handles cannot be looked up until it answers: check --dns or /etc/resolv.conf";
    let client = match edge.client() {
        Ok(client) => client,
        Err(failure) => return Finding::new(what, State::Fail, failure.to_string(), advice),
    };
    let started = Instant::now();
    match within(client.txt(NAME)).await {
        // One of a network of its own knows no such name, and says so.
        Some(Ok(_) | Err(DnsError::NoRecords)) => {
            let found = format!("answers after {:.1} s", started.elapsed().as_secs_f64());
            Finding::ok(what, found)
        }
        Some(Err(error)) => {
            let found = format!("{NAME}: {error}");
            Finding::new(what, State::Warn, found, advice)
        }
        None => {
            let found = format!("no answer within {PATIENCE:?}");
            Finding::new(what, State::Warn, found, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_fails_unless_a_server_runs() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let finding = port("bind", address, false);
        assert_eq!(finding.state, State::Fail);
        assert!(finding.advice.contains("--bind"), "{finding:?}");
        assert_eq!(port("bind", address, true).state, State::Ok);
        drop(taken);
        // An address that is kept for documents is nobody's.
        let foreign = port("metrics", "192.0.2.1:1".parse().unwrap(), true);
        assert_eq!(foreign.state, State::Fail);
        assert!(
            foreign.advice.contains("address of this machine"),
            "{foreign:?}"
        );
    }
}
