//! From a handle to the DID it leads to.
//!
//! Owns the two ways there are, and what it means when one or both lead nowhere. Nothing here says that the DID agrees.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use orrery_links::syntax::{Did, Handle};

use super::of_fetch;
use crate::error::ResolveError;
use crate::network::{DnsError, FetchError, Network, Request};

/// Time that DNS gets before the host itself is asked too.
const HEAD_START: Duration = Duration::from_millis(700);
/// A DID and some white space.
const ANSWER_BYTES_MAX: usize = 4096;

/// Top-level domains that no public name is under: of RFC 6761 and its like, and as the protocol lists them.
const RESERVED: [&str; 8] = [
    "alt",
    "arpa",
    "example",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
];

/// The top-level domain of `name`, in lower case, if it is reserved.
pub(super) fn reserved_tld(name: &str, allow_test: bool) -> Option<String> {
    let tld = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let is_reserved = RESERVED.contains(&tld.as_str()) || (tld == "test" && !allow_test);
    is_reserved.then_some(tld)
}

/// The handle in lower case.
pub(super) fn normalise(handle: &str, allow_test: bool) -> Result<String, ResolveError> {
    Handle::parse(handle).map_err(|error| ResolveError::Syntax {
        problem: error.to_string(),
    })?;
    let handle = handle.to_ascii_lowercase();
    match reserved_tld(&handle, allow_test) {
        Some(tld) => Err(ResolveError::Reserved { name: handle, tld }),
        None => Ok(handle),
    }
}

/// What one of the two ways said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Leads(String),
    /// It leads nowhere, and that is certain.
    Nowhere(String),
    Failed(ResolveError),
}

/// Asks where `handle`, which is normalised, leads to. A TXT record is worth more than what the host says, so that DNS
/// is waited for even where the host was faster.
pub(super) async fn ask(network: &dyn Network, handle: &str) -> Result<String, ResolveError> {
    let mut by_dns = pin!(by_dns(network, handle));
    let mut by_host = pin!(by_host(network, handle));
    let dns = match tokio::time::timeout(HEAD_START, &mut by_dns).await {
        Ok(dns) => dns?,
        Err(_) => return both(handle, by_dns, by_host).await,
    };
    match dns {
        Way::Leads(did) => Ok(did),
        dns => conclude(handle, dns, (&mut by_host).await),
    }
}

async fn both(
    handle: &str,
    mut by_dns: impl Future<Output = Result<Way, ResolveError>> + Unpin,
    mut by_host: impl Future<Output = Way> + Unpin,
) -> Result<String, ResolveError> {
    let (dns, host) = tokio::select! {
        biased;
        dns = &mut by_dns => match dns? {
            Way::Leads(did) => return Ok(did),
            dns => (dns, by_host.await),
        },
        host = &mut by_host => (by_dns.await?, host),
    };
    conclude(handle, dns, host)
}

fn conclude(handle: &str, dns: Way, host: Way) -> Result<String, ResolveError> {
    match (dns, host) {
        (Way::Leads(did), _) | (_, Way::Leads(did)) => Ok(did),
        (Way::Nowhere(dns), Way::Nowhere(host)) => Err(ResolveError::NotFound {
            name: handle.to_owned(),
            problem: format!("{dns}, {host}"),
        }),
        // As long as one of the two may still lead somewhere nothing is certain. A refused address is: there is
        // nothing behind it that would count.
        (Way::Failed(error), Way::Nowhere(_)) | (Way::Nowhere(_), Way::Failed(error)) => Err(error),
        (Way::Failed(dns), Way::Failed(host)) => {
            let (dns, host) = (problem_of(dns), problem_of(host));
            // Both may have failed for the same reason.
            let why = dns.strip_prefix(&*cannot_look_up(handle)).unwrap_or(&dns);
            let problem = match host.contains(why) {
                true => host,
                false => format!("{dns}; {host}"),
            };
            Err(ResolveError::Technical {
                name: handle.to_owned(),
                problem,
            })
        }
    }
}

fn cannot_look_up(handle: &str) -> String {
    format!("cannot look up _atproto.{handle}: ")
}

/// What is wrong, without what it is wrong with.
fn problem_of(error: ResolveError) -> String {
    match error {
        ResolveError::Technical { problem, .. } | ResolveError::Refused { problem, .. } => problem,
        error => error.to_string(),
    }
}

/// The error is a conflict.
async fn by_dns(network: &dyn Network, handle: &str) -> Result<Way, ResolveError> {
    let values = match network.txt(&format!("_atproto.{handle}")).await {
        Ok(values) => values,
        Err(DnsError::NoRecords) => return Ok(Way::Nowhere("no TXT record".to_owned())),
        Err(error) => {
            return Ok(Way::Failed(ResolveError::Technical {
                name: handle.to_owned(),
                problem: format!("{}{error}", cannot_look_up(handle)),
            }));
        }
    };
    let mut dids = values
        .iter()
        .filter_map(|value| value.trim().strip_prefix("did="))
        .map(str::trim)
        .filter(|did| Did::parse(did).is_ok());
    let Some(first) = dids.next() else {
        return Ok(Way::Nowhere("no TXT record with a DID".to_owned()));
    };
    match dids.find(|&did| did != first) {
        None => Ok(Way::Leads(first.to_owned())),
        Some(second) => Err(ResolveError::Conflict {
            handle: handle.to_owned(),
            first: first.to_owned(),
            second: second.to_owned(),
        }),
    }
}

async fn by_host(network: &dyn Network, handle: &str) -> Way {
    let url = format!("https://{handle}/.well-known/atproto-did");
    let mut request = Request::new(url, ANSWER_BYTES_MAX);
    request.redirects = 3;
    request.accept = Some("text/plain, */*;q=0.1".to_owned());
    let answer = match network.get(request).await {
        Ok(answer) => answer,
        Err(FetchError::NoSuchHost { .. }) => return Way::Nowhere("no such host".to_owned()),
        // A page of some kind, or a way to one: hosts that know nothing of handles answer like this.
        Err(error @ (FetchError::TooLarge { .. } | FetchError::Redirect { .. })) => {
            return Way::Nowhere(error.to_string());
        }
        Err(error) => return Way::Failed(of_fetch(handle, error)),
    };
    match answer.status {
        200 => match std::str::from_utf8(&answer.body).map(str::trim) {
            Ok(did) if Did::parse(did).is_ok() => Way::Leads(did.to_owned()),
            _ => Way::Nowhere("the host's answer is no DID".to_owned()),
        },
        // Too early, too much, or not in time.
        status @ (408 | 425 | 429 | 500..) => Way::Failed(ResolveError::Technical {
            name: handle.to_owned(),
            problem: format!("the host answers HTTP {status}"),
        }),
        status => Way::Nowhere(format!("the host answers HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(problem: &str) -> Way {
        Way::Failed(ResolveError::Technical {
            name: "a.test".to_owned(),
            problem: problem.to_owned(),
        })
    }

    #[test]
    fn a_handle_that_fails_both_ways_is_named_once_and_so_is_what_both_say() {
        let said = |dns: &str, host: &str| {
            let error = conclude("a.test", failed(dns), failed(host)).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            said("no answer", "HTTP 500"),
            "a.test cannot be resolved at the moment: no answer; HTTP 500"
        );
        assert_eq!(
            said(
                "cannot look up _atproto.a.test: offline",
                "cannot connect: offline"
            ),
            "a.test cannot be resolved at the moment: cannot connect: offline"
        );
        assert_eq!(
            said("cannot look up _atproto.a.test: refused", "HTTP 500"),
            "a.test cannot be resolved at the moment: cannot look up _atproto.a.test: refused; HTTP 500"
        );
    }
}
