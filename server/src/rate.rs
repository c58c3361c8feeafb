//! Token buckets, one per client address, in a bounded map, and what a request costs. Also: which address a client
//! has, when proxies stand between.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::config::RateLimit;
use crate::network::Network;
use crate::params::decode;

/// The most addresses remembered, at about 64 bytes each. When all are in debt, further addresses share one
/// bucket until some recover.
const ADDRESSES_MAX: usize = 65_536;
/// A full map is swept at most this often, so that an attacker cannot make every request sweep.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

struct Buckets {
    map: HashMap<IpAddr, Bucket>,
    overflow: Bucket,
    swept: Instant,
}

/// Requests of a route by what they take, in tokens: that of a count from memory is 1.
const COSTS: [(&str, u32); 24] = [
    ("/links/all", 5),
    ("/links/all/count", 2),
    ("/links/count/distinct-dids", 2),
    ("/links/distinct-dids", 2),
    ("/xrpc/blue.microcosm.links.getBacklinkDids", 2),
    ("/xrpc/blue.microcosm.links.getManyToMany", 5),
    ("/xrpc/blue.microcosm.links.getManyToManyCounts", 5),
    ("/xrpc/blue.orrery.links.getBacklinksPages", 10),
    ("/xrpc/blue.orrery.links.getCounts", 10),
    ("/xrpc/blue.orrery.repo.getRecords", 10),
    ("/xrpc/com.bad-example.proxy.hydrateQueryResponse", 10),
    ("/xrpc/com.atproto.repo.listRecords", 5),
    ("/xrpc/com.atproto.sync.getRecord", 5),
    ("/collections", 2),
    ("/collections/stats", 2),
    ("/prefix", 2),
    ("/records", 2),
    ("/search", 2),
    ("/timeseries", 2),
    ("/subscribe", 5),
    ("/xrpc/com.atproto.identity.resolveHandle", 2),
    ("/xrpc/com.atproto.identity.resolveIdentity", 2),
    ("/xrpc/blue.microcosm.identity.resolveMiniDoc", 2),
    ("/xrpc/com.bad-example.identity.resolveMiniDoc", 2),
];
/// Records that are asked for along with an answer cost so much more.
const HYDRATE_COST: u32 = 5;

/// What a request takes of its client's bucket.
pub(crate) fn cost(path: &str, query: Option<&str>) -> u32 {
    let route = COSTS.iter().find(|(route, _)| *route == path);
    let hydrates = query.is_some_and(|query| query.split('&').any(hydrates));
    route.map_or(1, |(_, cost)| *cost) + if hydrates { HYDRATE_COST } else { 0 }
}

/// Whether a piece of a query asks for records, under either name of that parameter and however it is escaped. A value that
/// cannot be read is refused later, and costs as if it could.
fn hydrates(piece: &str) -> bool {
    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
    let is_asked = match name {
        "hydrate" | "hydrate[]" => true,
        name if name.contains('%') => {
            decode(name).is_ok_and(|name| matches!(&*name, "hydrate" | "hydrate[]"))
        }
        _ => false,
    };
    is_asked && decode(value).map_or(true, |value| !matches!(value.trim(), "" | "false"))
}

/// What is left of a client's bucket, for its answer to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Left {
    limit: RateLimit,
    tokens: f64,
}

impl Left {
    /// Tells in the headers of an answer, as draft-ietf-httpapi-ratelimit-headers-07 has them: how many tokens a full bucket
    /// has, how many are left, and in how many seconds it is full again.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let burst = self.limit.burst;
        let full_s = |tokens: f64| (tokens / self.limit.per_second).ceil() as u64;
        let missing = (f64::from(burst) - self.tokens).max(0.0);
        let mut put = |name, value: u64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        put("ratelimit-limit", burst.into());
        put("ratelimit-remaining", self.tokens as u64);
        put("ratelimit-reset", full_s(missing));
        let policy = format!("{burst};w={}", full_s(f64::from(burst)).max(1));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(HeaderName::from_static("ratelimit-policy"), policy);
        }
    }
}

/// The bucket has too few tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Short {
    /// In how many whole seconds it has enough.
    pub(crate) retry_after_s: u64,
    pub(crate) left: Left,
}

pub(crate) struct Limiter {
    limit: RateLimit,
    /// Clients that are not limited.
    allowed: Vec<Network>,
    buckets: Mutex<Buckets>,
    addresses_max: usize,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit, allowed: Vec<Network>, now: Instant) -> Self {
        let full = Bucket {
            tokens: f64::from(limit.burst),
            at: now,
        };
        Self {
            limit,
            allowed,
            buckets: Mutex::new(Buckets {
                map: HashMap::new(),
                overflow: full,
                swept: now,
            }),
            addresses_max: ADDRESSES_MAX,
        }
    }

    /// Takes `cost` tokens for a request, or all of a full bucket where that has fewer. Gives what is left, or nothing for
    /// a client that is not limited.
    pub(crate) fn take(
        &self,
        address: IpAddr,
        cost: u32,
        now: Instant,
    ) -> Result<Option<Left>, Short> {
        let is_free = canonical(address).is_loopback() && !self.limit.loopback;
        if is_free || self.allowed.iter().any(|known| known.contains(address)) {
            return Ok(None);
        }
        let cost = f64::from(cost.min(self.limit.burst));
        let key = network(address);
        let burst = f64::from(self.limit.burst);
        let refilled = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + passed * self.limit.per_second).min(burst)
        };
        let buckets = &mut *self.buckets.lock();
        if buckets.map.len() >= self.addresses_max
            && !buckets.map.contains_key(&key)
            && now.saturating_duration_since(buckets.swept) >= SWEEP_INTERVAL
        {
            buckets.swept = now;
            buckets.map.retain(|_, bucket| refilled(bucket) < burst);
        }
        let has_room = buckets.map.len() < self.addresses_max;
        let bucket = match buckets.map.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) if has_room => entry.insert(Bucket {
                tokens: burst,
                at: now,
            }),
            std::collections::hash_map::Entry::Vacant(_) => &mut buckets.overflow,
        };
        let tokens = refilled(bucket);
        let enough = tokens >= cost;
        let left = if enough { tokens - cost } else { tokens };
        *bucket = Bucket {
            tokens: left,
            at: now,
        };
        let limit = self.limit;
        let told = Left {
            limit,
            tokens: left,
        };
        if enough {
            return Ok(Some(told));
        }
        let wait_s = (cost - tokens) / limit.per_second;
        Err(Short {
            retry_after_s: wait_s.ceil().max(1.0) as u64,
            left: told,
        })
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which one subscriber commonly owns. A loopback
/// address stays one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        other => other,
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The client behind trusted proxies: the last address of `X-Forwarded-For` that is not itself a trusted proxy.
/// Entries before it are whatever the client claims and are not believed; one that is no address ends the walk at
/// the proxy that wrote it.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|known| known.contains(address));
    let mut client = canonical(peer);
    if !is_trusted(client) {
        return client;
    }
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or("").rsplit(','));
    for hop in hops {
        let Some(address) = hop_address(hop.trim()) else {
            break;
        };
        client = canonical(address);
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The address that a proxy wrote; some write the client's port behind it, or brackets around one of IPv6.
fn hop_address(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse() {
        return Some(address);
    }
    if let Ok(with_port) = hop.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let bare = hop.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests;
