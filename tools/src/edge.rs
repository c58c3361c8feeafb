//! The edge cache put together: the store, the network, and what the followed stream vouches for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_edge::{EdgeCache, EdgeOptions, Followed, Offline};
use orrery_engine::{CacheOptions, Store};
use orrery_jetstream::without_secrets;
use orrery_resolve::{
    Client, ClientOptions, HostLimits, KeepNothing, Network, Resolver, ResolverOptions,
};
use orrery_server::{Edge, Index};
use parking_lot::Mutex;

use crate::cli::EdgeArguments;
use crate::failure::{Failure, Result};
use crate::health::now_us;
use crate::index::StoreIndex;
use crate::withheld::Withholding;

/// How long what was found out about the stream stands. The lag moves by as much.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Silence after which a source that never told of the present is taken to have nothing more to tell of the past. Longer than where only
/// a lag is shown: what is vouched for too early is served without a check.
const QUIET_AFTER: Duration = Duration::from_secs(60);

/// What the edge cache is to be like.
#[derive(Debug, Clone)]
pub(crate) struct EdgeSettings {
    plc: String,
    dns: Option<SocketAddr>,
    contact: String,
    allow_private: bool,
    fetches: bool,
    memory_bytes: u64,
    disk_bytes: u64,
}

impl EdgeSettings {
    /// One that tells what it has and asks nobody.
    pub(crate) fn offline() -> Self {
        Self {
            plc: PLC_DEFAULT.to_owned(),
            dns: None,
            contact: String::new(),
            allow_private: false,
            fetches: false,
            memory_bytes: 16 << 20,
            disk_bytes: 0,
        }
    }

    /// As the command line has it. Without a stream to follow nobody is asked: what is there is told.
    pub(crate) fn of(arguments: &EdgeArguments, follows: bool) -> Self {
        Self {
            plc: arguments.plc.clone(),
            dns: arguments.dns,
            contact: arguments.contact.clone().unwrap_or_default(),
            allow_private: arguments.allow_private_network,
            fetches: follows && !arguments.no_fetch,
            memory_bytes: arguments.edge_memory,
            disk_bytes: arguments.edge_disk,
        }
    }

    fn resolving(&self) -> ResolverOptions {
        ResolverOptions {
            plc: self.plc.clone(),
            memory_bytes: self.memory_bytes / 4,
            allow_private: self.allow_private,
            allow_test: self.allow_private,
            ..ResolverOptions::default()
        }
    }

    /// What is wrong with the address where DIDs are looked up, which is told by [`without_secrets`].
    pub(crate) fn problem(&self) -> Option<String> {
        let asked = Resolver::new(Arc::new(Offline), self.resolving(), Arc::new(KeepNothing));
        let error = asked.err()?;
        Some(format!("{:?}: {error}", without_secrets(&self.plc)))
    }

    /// Whether anybody is asked.
    pub(crate) fn fetches(&self) -> bool {
        self.fetches
    }

    /// Where DIDs of the method plc are looked up.
    pub(crate) fn plc(&self) -> &str {
        &self.plc
    }

    /// What asks others. Must be called on the runtime.
    ///
    /// # Errors
    ///
    /// [`Failure::Edge`].
    pub(crate) fn client(&self) -> Result<Client> {
        let mut options = ClientOptions::new(if self.contact.is_empty() {
            NO_CONTACT.to_owned()
        } else {
            self.contact.clone()
        });
        options.total_timeout = FETCH_TIMEOUT;
        // The directory of DIDs is one host for all accounts of the network. Data servers have the limits of all others: whoever
        // keeps one that does not answer must not have as many waiting there as there may be fetches.
        let directory = HostLimits {
            concurrent: 32,
            per_second: 20.0,
            burst: 200,
            waiting: 1024,
        };
        options.own_limits = authority_of(&self.plc)
            .map(|authority| (authority, directory))
            .into_iter()
            .collect();
        options.dns = self.dns;
        options.allow_private = self.allow_private;
        options.trusted = address_of(&self.plc).into_iter().collect();
        Client::new(options).map_err(|error| Failure::Edge(error.to_string()))
    }

    /// What the store keeps of it.
    pub(crate) fn cache(&self) -> CacheOptions {
        CacheOptions {
            most_bytes: self.disk_bytes,
        }
    }

    /// Starts it. Must be called on the runtime.
    ///
    /// # Errors
    ///
    /// [`Failure::Edge`].
    pub(crate) fn start(
        &self,
        store: Store,
        index: Arc<StoreIndex>,
        lag_limit: Duration,
    ) -> Result<Arc<dyn Edge>> {
        let network: Arc<dyn Network> = match self.fetches {
            true => Arc::new(self.client()?),
            false => Arc::new(Offline),
        };
        let resolving = self.resolving();
        let options = EdgeOptions {
            memory_bytes: self.memory_bytes / 4 * 3,
            fetches: self.fetches,
            ..EdgeOptions::default()
        };
        let followed = Arc::new(Stream {
            index,
            lag_limit,
            started_us: now_us(),
            has_caught_up: AtomicBool::new(false),
            known: Mutex::new(None),
        });
        let excluding = store.clone();
        let edge = EdgeCache::start(store, network, followed, resolving, options)
            .map_err(|error| Failure::Edge(error.to_string()))?;
        Ok(Arc::new(Withholding::new(Arc::new(edge), excluding)))
    }
}

/// How long a host has for its answer: less than a request has, so that whoever asks is told who did not answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(8);

/// What hosts are told where the operator gave no contact.
const NO_CONTACT: &str = "no contact given";

/// Where DIDs of the method plc are looked up.
pub(crate) const PLC_DEFAULT: &str = "https://plc.directory";

/// The address in a URL that names one: whoever runs the server has said that it is to be asked.
fn address_of(url: &str) -> Option<SocketAddr> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let port = if scheme == "http" { 80 } else { 443 };
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, port))
}

/// The host and the port of a URL.
fn authority_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let port = if scheme.eq_ignore_ascii_case("http") {
        80
    } else {
        443
    };
    let behind_address = host.rsplit_once(']').map_or(&*host, |(_, rest)| rest);
    Some(match behind_address.contains(':') {
        true => host,
        false => format!("{host}:{port}"),
    })
}

/// What the followed stream vouches for.
struct Stream {
    index: Arc<StoreIndex>,
    lag_limit: Duration,
    started_us: u64,
    /// Whether the source has told what happened up to the start of this process. Before that, a newest event of a moment ago says
    /// nothing of what came since.
    has_caught_up: AtomicBool,
    /// When it was looked at last, and from when on it was whole then.
    known: Mutex<Option<(Instant, Option<u64>)>>,
}

impl Stream {
    /// From when on all that is selected is in the index, up to now.
    fn since_us(&self) -> Option<u64> {
        let mut known = self.known.lock();
        if let Some((at, since_us)) = *known
            && at.elapsed() < LOOK_EVERY
        {
            return since_us;
        }
        let status = self.index.status();
        let is_through = self.index.is_quiet_for(QUIET_AFTER)
            || status
                .indexed_through_us
                .is_some_and(|through| through >= self.started_us);
        if is_through {
            self.has_caught_up.store(true, Ordering::Relaxed);
        }
        let is_near = self.has_caught_up.load(Ordering::Relaxed)
            && status
                .lag_us
                .is_some_and(|lag| u128::from(lag) <= self.lag_limit.as_micros());
        // Where nothing was ever indexed and nothing comes, the stream vouches from now on, which helps nobody.
        let since_us = if is_near {
            status.coverage_from_us
        } else {
            None
        };
        *known = Some((Instant::now(), since_us));
        since_us
    }
}

impl Followed for Stream {
    fn whole_since_us(&self, collection: &str) -> Option<u64> {
        let since_us = self.since_us()?;
        self.index.selects(collection).then_some(since_us)
    }
}

#[cfg(test)]
mod tests {
    use super::{address_of, authority_of};

    #[test]
    fn a_url_names_a_host_and_a_port() {
        let of = |url| authority_of(url).unwrap();
        assert_eq!(of("https://plc.directory"), "plc.directory:443");
        assert_eq!(of("https://PLC.example/base"), "plc.example:443");
        assert_eq!(of("http://127.0.0.1:2582/"), "127.0.0.1:2582");
        assert_eq!(of("http://[::1]"), "[::1]:80");
        assert_eq!(of("https://[::1]:99?x"), "[::1]:99");
    }

    #[test]
    fn only_a_url_with_an_address_names_one() {
        let of = |url| address_of(url).map(|address| address.to_string());
        assert_eq!(
            of("http://127.0.0.1:2582").as_deref(),
            Some("127.0.0.1:2582")
        );
        assert_eq!(of("http://127.0.0.1/x").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(of("https://[::1]:99/").as_deref(), Some("[::1]:99"));
        assert_eq!(of("https://[::1]/").as_deref(), Some("[::1]:443"));
        assert_eq!(of("https://plc.directory"), None);
        assert_eq!(of("127.0.0.1:80"), None);
    }
}
