use super::*;

/// Each form with what it is; the way it is written does not matter here, `url_tests` has the odd ones.
const REFUSED: &[(&str, Refusal)] = &[
    ("0.0.0.0", Refusal::Unspecified),
    ("0.1.2.3", Refusal::Unspecified),
    ("0.255.255.255", Refusal::Unspecified),
    ("127.0.0.1", Refusal::Loopback),
    ("127.0.0.53", Refusal::Loopback),
    ("127.255.255.255", Refusal::Loopback),
    ("10.0.0.0", Refusal::Private),
    ("10.255.255.255", Refusal::Private),
    ("172.16.0.1", Refusal::Private),
    ("172.31.255.255", Refusal::Private),
    ("192.168.0.1", Refusal::Private),
    ("192.168.255.255", Refusal::Private),
    ("100.64.0.1", Refusal::Shared),
    ("100.100.100.200", Refusal::Shared),
    ("100.127.255.255", Refusal::Shared),
    ("169.254.0.1", Refusal::LinkLocal),
    ("169.254.169.254", Refusal::LinkLocal),
    ("169.254.170.2", Refusal::LinkLocal),
    ("168.63.129.16", Refusal::Metadata),
    ("192.0.0.1", Refusal::Reserved),
    ("192.0.0.192", Refusal::Reserved),
    ("192.0.2.1", Refusal::Documentation),
    ("198.51.100.255", Refusal::Documentation),
    ("203.0.113.7", Refusal::Documentation),
    ("198.18.0.1", Refusal::Benchmarking),
    ("198.19.255.255", Refusal::Benchmarking),
    ("192.88.99.1", Refusal::Reserved),
    ("224.0.0.1", Refusal::Multicast),
    ("239.255.255.250", Refusal::Multicast),
    ("240.0.0.1", Refusal::Reserved),
    ("255.255.255.254", Refusal::Reserved),
    ("255.255.255.255", Refusal::Broadcast),
    ("::", Refusal::Unspecified),
    ("::1", Refusal::Loopback),
    ("::2", Refusal::Embedding),
    ("::127.0.0.1", Refusal::Embedding),
    ("::8.8.8.8", Refusal::Embedding),
    ("::ffff:0.0.0.0", Refusal::Unspecified),
    ("::ffff:127.0.0.1", Refusal::Loopback),
    ("::ffff:7f00:1", Refusal::Loopback),
    ("::ffff:10.1.2.3", Refusal::Private),
    ("::ffff:192.168.1.1", Refusal::Private),
    ("::ffff:169.254.169.254", Refusal::LinkLocal),
    ("::ffff:a9fe:a9fe", Refusal::LinkLocal),
    ("::ffff:0:127.0.0.1", Refusal::Embedding),
    ("64:ff9b::127.0.0.1", Refusal::Embedding),
    ("64:ff9b::10.0.0.1", Refusal::Embedding),
    ("64:ff9b::a9fe:a9fe", Refusal::Embedding),
    ("64:ff9b:1::8.8.8.8", Refusal::Embedding),
    ("64:ff9b:1:ffff::1", Refusal::Embedding),
    ("64:ff9b::1:0:0", Refusal::Embedding),
    ("100::1", Refusal::Reserved),
    ("100:0:0:1::1", Refusal::Reserved),
    ("200::1", Refusal::Reserved),
    ("1fff:ffff::1", Refusal::Reserved),
    ("2001::1", Refusal::Embedding),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Refusal::Embedding),
    ("2001:1::1", Refusal::Reserved),
    ("2001:2::1", Refusal::Benchmarking),
    ("2001:10::1", Refusal::Reserved),
    ("2001:20::1", Refusal::Reserved),
    ("2001:1ff::1", Refusal::Reserved),
    ("2001:db8::1", Refusal::Documentation),
    ("2001:db8:ffff::1", Refusal::Documentation),
    ("2002:7f00:1::1", Refusal::Embedding),
    ("2002:a9fe:a9fe::", Refusal::Embedding),
    ("2002:808:808::1", Refusal::Embedding),
    ("2600:1f18::5efe:10.0.0.1", Refusal::Embedding),
    ("2600:1f18::200:5efe:127.0.0.1", Refusal::Embedding),
    ("2600:1f18::100:5efe:169.254.169.254", Refusal::Embedding),
    ("3fff::1", Refusal::Documentation),
    ("3fff:fff:ffff::1", Refusal::Documentation),
    ("4000::1", Refusal::Reserved),
    ("5f00::1", Refusal::Reserved),
    ("fc00::1", Refusal::Private),
    ("fd00:ec2::254", Refusal::Private),
    ("fdff:ffff::1", Refusal::Private),
    ("fe00::1", Refusal::Reserved),
    ("fe80::1", Refusal::LinkLocal),
    ("fe80::a9fe:a9fe", Refusal::LinkLocal),
    ("febf:ffff::1", Refusal::LinkLocal),
    ("fec0::1", Refusal::Private),
    ("feff::1", Refusal::Private),
    ("ff02::1", Refusal::Multicast),
    (
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Refusal::Multicast,
    ),
];

/// The nearest neighbours of what is refused, and ordinary hosts.
const ALLOWED: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2600:1f18::5efe:8.8.8.8",
    "2a00:1450::1",
    "3ffe::1",
    "3fff:1000::1",
];

#[test]
fn addresses_outside_the_public_internet_are_refused_by_kind() {
    assert!(REFUSED.len() >= 60);
    for (text, why) in REFUSED {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(check(address), Err(*why), "{text}");
    }
}

#[test]
fn addresses_of_the_public_internet_are_allowed() {
    for text in ALLOWED {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(check(address), Ok(()), "{text}");
    }
}

#[test]
fn mapped_and_translated_forms_are_judged_like_the_ipv4_address_they_hold() {
    for (text, _) in REFUSED {
        let Ok(IpAddr::V4(address)) = text.parse() else {
            continue;
        };
        let mapped = address.to_ipv6_mapped();
        assert_eq!(check(mapped.into()), check(address.into()), "{text}");
        let translated: IpAddr = format!("64:ff9b::{address}").parse().unwrap();
        assert_eq!(check(translated), Err(Refusal::Embedding), "{text}");
    }
}
