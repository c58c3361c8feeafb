//! Token buckets, one per client address, in a bounded map. Also: which address a client has, when proxies
//! stand between.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use parking_lot::Mutex;

use crate::config::RateLimit;

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

pub(crate) struct Limiter {
    limit: RateLimit,
    buckets: Mutex<Buckets>,
    addresses_max: usize,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Self {
        let full = Bucket {
            tokens: f64::from(limit.burst),
            at: now,
        };
        Self {
            limit,
            buckets: Mutex::new(Buckets {
                map: HashMap::new(),
                overflow: full,
                swept: now,
            }),
            addresses_max: ADDRESSES_MAX,
        }
    }

    /// Takes a token for a request, or says in how many whole seconds there will be one.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        if canonical(address).is_loopback() && !self.limit.loopback {
            return Ok(());
        }
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
        if tokens >= 1.0 {
            *bucket = Bucket {
                tokens: tokens - 1.0,
                at: now,
            };
            Ok(())
        } else {
            *bucket = Bucket { tokens, at: now };
            Err(((1.0 - tokens) / self.limit.per_second).ceil().max(1.0) as u64)
        }
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
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let mut client = canonical(peer);
    if !trusted.contains(&client) {
        return client;
    }
    let values: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| value.to_str().unwrap_or(""))
        .flat_map(|value| value.split(','))
        .collect();
    for hop in values.iter().rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = canonical(address);
        if !trusted.contains(&client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn limiter(now: Instant) -> Limiter {
        Limiter::new(
            RateLimit {
                per_second: 2.0,
                burst: 3,
                loopback: false,
            },
            now,
        )
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_bucket_empties_and_refills_by_its_rate() {
        let start = Instant::now();
        let limiter = limiter(start);
        for _ in 0..3 {
            assert_eq!(limiter.take(ip("192.0.2.1"), start), Ok(()));
        }
        assert_eq!(limiter.take(ip("192.0.2.1"), start), Err(1));
        assert_eq!(limiter.take(ip("::ffff:192.0.2.1"), start), Err(1));
        assert_eq!(limiter.take(ip("192.0.2.2"), start), Ok(()));
        let later = start + Duration::from_millis(500);
        assert_eq!(limiter.take(ip("192.0.2.1"), later), Ok(()));
        assert_eq!(limiter.take(ip("192.0.2.1"), later), Err(1));
    }

    #[test]
    fn loopback_is_exempt_and_a_v6_client_is_its_network() {
        let start = Instant::now();
        let limiter = limiter(start);
        for _ in 0..10 {
            assert_eq!(limiter.take(ip("127.0.0.1"), start), Ok(()));
            assert_eq!(limiter.take(ip("::1"), start), Ok(()));
        }
        for host in 1..=3 {
            assert_eq!(
                limiter.take(ip(&format!("2001:db8::{host}")), start),
                Ok(())
            );
        }
        assert_eq!(limiter.take(ip("2001:db8::4"), start), Err(1));
        assert_eq!(limiter.take(ip("2001:db8:0:1::4"), start), Ok(()));
    }

    #[test]
    fn the_map_is_bounded_and_forgets_addresses_out_of_debt() {
        let start = Instant::now();
        let mut limiter = limiter(start);
        limiter.addresses_max = 2;
        for host in [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.4",
            "192.0.2.5",
        ] {
            assert_eq!(limiter.take(ip(host), start), Ok(()));
        }
        assert_eq!(limiter.buckets.lock().map.len(), 2);
        assert_eq!(
            limiter.take(ip("192.0.2.6"), start),
            Err(1),
            "shares the overflow bucket"
        );
        let later = start + Duration::from_secs(5);
        assert_eq!(limiter.take(ip("192.0.2.7"), later), Ok(()));
        assert_eq!(limiter.buckets.lock().map.len(), 1);
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let trusted = [ip("10.0.0.1"), ip("10.0.0.2")];
        let mut headers = HeaderMap::new();
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_static("203.0.113.9, 192.0.2.7"),
        );
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        assert_eq!(
            client_address(ip("10.0.0.1"), &headers, &trusted),
            ip("192.0.2.7")
        );
        assert_eq!(
            client_address(ip("10.0.0.9"), &headers, &trusted),
            ip("10.0.0.9")
        );
        let mut nonsense = HeaderMap::new();
        nonsense.append(
            "x-forwarded-for",
            HeaderValue::from_static("192.0.2.7, unknown"),
        );
        assert_eq!(
            client_address(ip("10.0.0.1"), &nonsense, &trusted),
            ip("10.0.0.1")
        );
    }
}
