//! Buckets, costs, and whose they are.

use super::*;
use axum::http::HeaderValue;

fn limiter(now: Instant) -> Limiter {
    Limiter::new(
        RateLimit {
            per_second: 2.0,
            burst: 3,
            loopback: false,
        },
        vec!["203.0.113.0/24".parse().unwrap()],
        now,
    )
}

/// Takes a token; gives the seconds to wait where there is none.
fn take(limiter: &Limiter, address: &str, now: Instant) -> Result<(), u64> {
    let taken = limiter.take(ip(address), 1, now);
    taken.map(drop).map_err(|short| short.retry_after_s)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_bucket_empties_and_refills_by_its_rate() {
    let start = Instant::now();
    let limiter = limiter(start);
    for _ in 0..3 {
        assert_eq!(take(&limiter, "192.0.2.1", start), Ok(()));
    }
    assert_eq!(take(&limiter, "192.0.2.1", start), Err(1));
    assert_eq!(take(&limiter, "::ffff:192.0.2.1", start), Err(1));
    assert_eq!(take(&limiter, "192.0.2.2", start), Ok(()));
    let later = start + Duration::from_millis(500);
    assert_eq!(take(&limiter, "192.0.2.1", later), Ok(()));
    assert_eq!(take(&limiter, "192.0.2.1", later), Err(1));
}

#[test]
fn loopback_is_exempt_and_a_v6_client_is_its_network() {
    let start = Instant::now();
    let limiter = limiter(start);
    for _ in 0..10 {
        assert_eq!(take(&limiter, "127.0.0.1", start), Ok(()));
        assert_eq!(take(&limiter, "::1", start), Ok(()));
    }
    for host in 1..=3 {
        assert_eq!(take(&limiter, &format!("2001:db8::{host}"), start), Ok(()));
    }
    assert_eq!(take(&limiter, "2001:db8::4", start), Err(1));
    assert_eq!(take(&limiter, "2001:db8:0:1::4", start), Ok(()));
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
        assert_eq!(take(&limiter, host, start), Ok(()));
    }
    assert_eq!(limiter.buckets.lock().map.len(), 2);
    assert_eq!(
        take(&limiter, "192.0.2.6", start),
        Err(1),
        "shares the overflow bucket"
    );
    let later = start + Duration::from_secs(5);
    assert_eq!(take(&limiter, "192.0.2.7", later), Ok(()));
    assert_eq!(limiter.buckets.lock().map.len(), 1);
}

#[test]
fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
    let trusted = ["10.0.0.0/30".parse().unwrap()];
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

#[test]
fn a_forwarded_address_may_have_a_port_or_brackets() {
    let trusted = ["127.0.0.1".parse().unwrap()];
    for (said, client) in [
        ("198.51.100.1, 192.0.2.7:51234", "192.0.2.7"),
        ("[2001:db8::7]:51234", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[192.0.2.7]", "127.0.0.1"),
        ("192.0.2.7:99999", "127.0.0.1"),
    ] {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static(said));
        let found = client_address(ip("127.0.0.1"), &headers, &trusted);
        assert_eq!(found, ip(client), "{said}");
    }
}

#[test]
fn costly_requests_take_more_and_never_more_than_a_full_bucket() {
    assert_eq!(cost("/links/count", None), 1);
    assert_eq!(cost("/links/all", None), 5);
    let backlinks = "/xrpc/blue.microcosm.links.getBacklinks";
    assert_eq!(cost(backlinks, Some("subject=x&hydrate=true")), 6);
    assert_eq!(
        cost(backlinks, Some("subject=hydrate=true&hydrate=false")),
        1
    );
    // By whatever name and escapes it is asked for, as the parameters are read.
    for query in [
        "hydrate[]=true",
        "hydrate%5B%5D=true",
        "%68ydrate=text",
        "hydrate=false&hydrate=+true+",
        "hydrate=%ff",
    ] {
        assert_eq!(cost(backlinks, Some(query)), 6, "{query}");
    }
    for query in ["hydrate=", "hydrate", "hydrate[]=%66alse", "ahydrate=true"] {
        assert_eq!(cost(backlinks, Some(query)), 1, "{query}");
    }
    let start = Instant::now();
    let limiter = limiter(start);
    let taken = limiter.take(ip("192.0.2.1"), 2, start).unwrap().unwrap();
    assert!((taken.tokens - 1.0).abs() < 1e-9);
    let short = limiter.take(ip("192.0.2.1"), 100, start).unwrap_err();
    assert_eq!(short.retry_after_s, 1);
    let later = start + Duration::from_secs(1);
    assert!(limiter.take(ip("192.0.2.1"), 100, later).is_ok());
    assert!(limiter.take(ip("192.0.2.1"), 1, later).is_err());
}

#[test]
fn what_is_left_is_told_in_headers() {
    let start = Instant::now();
    let limiter = limiter(start);
    let left = limiter.take(ip("192.0.2.1"), 2, start).unwrap().unwrap();
    let mut headers = HeaderMap::new();
    left.tell(&mut headers);
    let of = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(of("ratelimit-limit"), "3");
    assert_eq!(of("ratelimit-remaining"), "1");
    assert_eq!(of("ratelimit-reset"), "1");
    assert_eq!(of("ratelimit-policy"), "3;w=2");
}

#[test]
fn clients_on_the_list_of_allowances_are_not_limited() {
    let start = Instant::now();
    let limiter = limiter(start);
    for _ in 0..10 {
        assert_eq!(limiter.take(ip("203.0.113.9"), 10, start), Ok(None));
    }
    assert!(limiter.take(ip("203.0.114.9"), 3, start).is_ok());
    assert!(limiter.take(ip("203.0.114.9"), 3, start).is_err());
}

#[test]
fn every_route_with_a_cost_is_one_that_is_served() {
    let served: Vec<&str> = crate::api::ENDPOINTS
        .iter()
        .map(|endpoint| endpoint.path)
        .chain(crate::api::calls::CALLS.iter().map(|call| call.path))
        .chain(crate::api::plain::PLAIN.iter().map(|plain| plain.path))
        .chain([crate::api::stream::SUBSCRIBE])
        .collect();
    for (route, _) in COSTS {
        assert!(served.contains(&route), "{route}");
    }
}
