//! A network that nobody is asked in.

use orrery_resolve::{Answer, Boxed, DnsError, FetchError, Network, Request};

const PROBLEM: &str = "this server asks nobody on the network";

/// For a server that is to tell only what it has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Network for Offline {
    fn get(&self, request: Request) -> Boxed<'_, Result<Answer, FetchError>> {
        let rest = request.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(['/', '?']).next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Err(FetchError::Connect {
                host,
                problem: PROBLEM.to_owned(),
            })
        })
    }

    fn txt<'a>(&'a self, _name: &'a str) -> Boxed<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async {
            Err(DnsError::Failed {
                problem: PROBLEM.to_owned(),
            })
        })
    }
}
