//! Which addresses may be connected to.
//!
//! Owns the rule that nothing but the public internet is reached on behalf of somebody else: names and documents come
//! from strangers, and must not turn this process into their hand inside a private network. Follows the IANA registries
//! of special-purpose addresses, and refuses more than they ask where an address only passes another one on.
//!
//! For IPv6 what is allowed is listed, not what is refused: of the whole space only `2000::/3` is given out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address that is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `fc00::/7`, `fec0::/10`.
    Private,
    /// `100.64.0.0/10`, behind the translators of providers.
    Shared,
    /// `169.254.0.0/16` with the metadata services of clouds, `fe80::/10`.
    LinkLocal,
    /// A metadata or management service of a cloud outside the ranges above.
    Metadata,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32`, `3fff::/20`.
    Documentation,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmarking,
    /// Set aside for protocols or for the future, or given out to nobody.
    Reserved,
    /// Leads through a tunnel or a translator to an address that cannot be judged, or that is refused itself.
    Embedding,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared by a provider's customers",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "for documentation only",
            Self::Benchmarking => "for benchmarks only",
            Self::Reserved => "reserved",
            Self::Embedding => "a way to an address that is not connected to",
        })
    }
}

/// Whether `address` is part of the public internet.
///
/// # Errors
///
/// The kind of address it is instead.
pub fn check(address: IpAddr) -> Result<(), Refusal> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Refusal> {
    Err(match address.octets() {
        [0, ..] => Refusal::Unspecified,
        [127, ..] => Refusal::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Refusal::Private,
        [100, 64..=127, ..] => Refusal::Shared,
        [169, 254, ..] => Refusal::LinkLocal,
        // The host of a virtual machine, by a public address.
        [168, 63, 129, 16] => Refusal::Metadata,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Refusal::Documentation,
        [198, 18..=19, ..] => Refusal::Benchmarking,
        // The second is where 6to4 relays used to be.
        [192, 0, 0, _] | [192, 88, 99, _] => Refusal::Reserved,
        [224..=239, ..] => Refusal::Multicast,
        [255, 255, 255, 255] => Refusal::Broadcast,
        [240..=255, ..] => Refusal::Reserved,
        _ => return Ok(()),
    })
}

fn check_v6(address: Ipv6Addr) -> Result<(), Refusal> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = || Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    match [a, b, c, d, e, f] {
        // The system connects to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff] => return check_v4(embedded()),
        // NAT64: what an IPv6-only network's resolver gives for every IPv4-only host.
        [0x64, 0xff9b, 0, 0, 0, 0] => return check_v4(embedded()).map_err(|_| Refusal::Embedding),
        _ => {}
    }
    Err(match [a, b] {
        [0, 0] if address.is_unspecified() => Refusal::Unspecified,
        [0, 0] if address.is_loopback() => Refusal::Loopback,
        // The rest of ::/16 held IPv4-compatible and translated addresses; 64:ff9b:1::/48 is a local translator's.
        [0, _] | [0x64, 0xff9b] => Refusal::Embedding,
        [0xfc00..=0xfdff, _] | [0xfec0..=0xfeff, _] => Refusal::Private,
        [0xfe80..=0xfebf, _] => Refusal::LinkLocal,
        [0xff00..=0xffff, _] => Refusal::Multicast,
        [0x2001, 0xdb8] | [0x3fff, 0..=0xfff] => Refusal::Documentation,
        [0x2001, 2] if c == 0 => Refusal::Benchmarking,
        // Teredo, and 6to4: both carry an IPv4 address, and are out of use.
        [0x2001, 0] | [0x2002, _] => Refusal::Embedding,
        // Protocol assignments: ORCHID, anycast services, identifiers that are no locations.
        [0x2001, 0..=0x1ff] => Refusal::Reserved,
        // ISATAP, in whatever prefix: the last half says which IPv4 host the router hands it to.
        [0x2000..=0x3fff, _] if e & 0xfcff == 0 && f == 0x5efe => {
            return check_v4(embedded()).map_err(|_| Refusal::Embedding);
        }
        [0x2000..=0x3fff, _] => return Ok(()),
        _ => Refusal::Reserved,
    })
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
